/*
 * columns.h - arrays of a batch to bytes of a column and back
 *
 * Pure functions; FORMAT.md describes the encodings. Nothing here trusts its input: encoders
 * check what the caller passes while they encode it, decoders what the file says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_COLUMNS_H
#define QT_COLUMNS_H

#include "batch.h"
#include "bytes.h"
#include "qtrace/reader.h"

/* Columns of event frames have the ids 1 .. QT_COLUMNS - 1. */
#define QT_COLUMNS 9

enum { QT_ROWS_BLOCK = 1, QT_ROWS_ACCESS = 2, QT_ROWS_EVENT = 3, QT_ROWS_TRANSLATION = 4 };

#define QT_ENCODING 1 /* the only one of each column so far */

/* Largest number of rows of one kind in a frame. */
#define QT_MAX_ROWS (1u << 24)

/* All flags of an access that have a meaning. */
#define QT_ACCESS_FLAGS 0x7f

/* Predictor of addresses: 2^16 slots, all 0 at the start of a frame. */
#define QT_ADDR_SLOTS 65536

static inline uint32_t qt_addr_key(uint32_t id)
{
    return id * 2654435761u;
}

static inline uint32_t qt_addr_slot(uint32_t key, uint32_t insn)
{
    return (key + insn * 2246822519u) >> 16;
}

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

/* The raw bytes of every column of a frame; len 0 = no such column. */
struct qt_raw_columns {
    struct qt_buf column[QT_COLUMNS];
    uint64_t rows[QT_COLUMNS];
    uint64_t n_insns; /* sum of started */
    uint64_t *addr;   /* QT_ADDR_SLOTS, made on first use */
};

void qt_raw_columns_finish(struct qt_raw_columns *raw);

/* Encode all columns. QTRACE_E_INVALID: the batch is not what event.h says; *why tells. */
int qt_columns_encode(struct qt_raw_columns *raw, const struct qtrace_batch *batch,
                      const struct qt_lengths *lengths, const char **why);

/* Raw bytes of the columns of a frame for decoding; size 0 = no such column. */
struct qt_column_bytes {
    const uint8_t *data[QT_COLUMNS];
    size_t size[QT_COLUMNS];
    uint64_t rows[QT_COLUMNS];
};

/* Fill batch, whose counts and first_* are set. addr: QT_ADDR_SLOTS numbers to work with.
 * QTRACE_E_DAMAGED: the columns contradict each other or the definitions; *why tells. */
int qt_columns_decode(struct qt_batch *batch, const struct qt_column_bytes *bytes,
                      const struct qt_lengths *lengths, uint64_t *addr, const char **why);

/* The first event of an event column. false = none or bad. */
bool qt_columns_first_event(const uint8_t *data, size_t size, struct qtrace_event *event);

#endif
