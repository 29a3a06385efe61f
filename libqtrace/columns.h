/*
 * columns.h - the columns of a frame of events
 *
 * FORMAT.md describes the encodings. encoder.h makes columns, qt_columns_decode reads them;
 * it does not trust what it reads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_COLUMNS_H
#define QT_COLUMNS_H

#include "batch.h"
#include "bytes.h"
#include "loss.h"
#include "phys.h"
#include "predict.h"
#include "qtrace/reader.h"
#include "tokens.h"
#include "values.h"

/* Columns of event frames have the ids 1 .. QT_COLUMNS - 1, but for the summary's. */
#define QT_COLUMNS 12

enum { QT_ROWS_BLOCK = 1, QT_ROWS_ACCESS = 2, QT_ROWS_EVENT = 3, QT_ROWS_TRANSLATION = 4,
       QT_ROWS_COUNT = 5, QT_ROWS_FRAME = 6, QT_ROWS_DEVICE = 7 };

#define QT_ENCODING 1 /* the only one of each column so far */

/* Largest numbers of block and access rows together, and of events, in a frame. */
#define QT_MAX_ROWS (1u << 21)
#define QT_MAX_EVENTS (1u << 16)

/* All flags of an access that have a meaning. */
#define QT_ACCESS_FLAGS 0x7f

/* The kinds of surprises (tokens.h). */
enum {
    QT_BLOCK_RANKED, /* and above: the candidate with this rank, of QT_RANKS */
    QT_BLOCK_NEXT = QT_BLOCK_RANKED + QT_RANKS, /* id of the last one written out, plus 1 */
    QT_BLOCK_OTHER,     /* a difference to that one follows */
    QT_BLOCK_KINDS,
};
enum {
    QT_SHAPE_END,  /* the row has no more accesses */
    QT_SHAPE_OWN,  /* instruction and flags follow */
    QT_SHAPE_FOREIGN, /* block, instruction and flags follow */
    QT_SHAPE_KINDS,
};
enum {
    QT_ADDRESS_FROM_OWN,    /* literal: distance from the node's last address */
    QT_ADDRESS_FROM_RECENT, /* literal: distance from the access before */
    QT_ADDRESS_BY,          /* and above: this predictor was right */
    QT_ADDRESS_KINDS = QT_ADDRESS_BY + QT_PREDICTORS,
};

/* Lengths of the translations, by pages so that sparse ids cost little. Pages never move. */
#define QT_LENGTH_PAGE 512

struct qt_lengths {
    uint16_t **page; /* entries are 0 for undefined ids; a page may be NULL */
    size_t n_pages;
};

static inline uint32_t qt_length(const struct qt_lengths *lengths, uint32_t id)
{
    size_t page = id / QT_LENGTH_PAGE;

    if (qt_unlikely(page >= lengths->n_pages || lengths->page[page] == NULL)) {
        return 0;
    }
    return lengths->page[page][id % QT_LENGTH_PAGE];
}

/* Raw bytes of the columns of a frame for decoding; size 0 = no such column. */
struct qt_column_bytes {
    const uint8_t *data[QT_COLUMNS];
    size_t size[QT_COLUMNS];
    uint64_t rows[QT_COLUMNS];
    unsigned bits;   /* of the tables */
    unsigned select; /* QTRACE_SELECT_* */
};

/* Fill the selected rows of batch, whose counts are those of the frame and whose first_* are
 * set; rows that are not selected have no place in it, and the counts become 0. QTRACE_E_DAMAGED:
 * the columns contradict each other or the definitions; *why tells, and predictor->undefined is
 * the block that is not defined, if this is the reason. predictor, values, phys: tables to work
 * with, kept from frame to frame. The batch has room for values and physical addresses if they are
 * to be decoded. */
int qt_columns_decode(struct qt_predictor *predictor, struct qt_values *values,
                      struct qt_phys *phys, struct qt_batch *batch,
                      const struct qt_column_bytes *bytes, const struct qt_lengths *lengths,
                      const char **why);

#endif
