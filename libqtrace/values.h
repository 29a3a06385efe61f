/*
 * values.h - the values of accesses: columns value and value-literal
 *
 * A value is taken as words of eight bytes (or the fewer bytes that it has), lowest first. What a
 * load finds is what its memory held when it was last seen; what a store writes is often what was
 * loaded just before. Both sides keep the same tables, sized like those of predict.h; FORMAT.md
 * is normative.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_VALUES_H
#define QT_VALUES_H

#include "bytes.h"
#include "qtrace/event.h"
#include "tokens.h"

#define QT_VALUE_LOG2 6 /* of the largest access that may have a value, in bytes */
#define QT_VALUE_WORDS (1 << (QT_VALUE_LOG2 - 3))

/* How a word may be predicted. */
enum {
    QT_VALUE_BY_MEMORY, /* what its address held */
    QT_VALUE_BY_STRIDE, /* the lane's last word, plus a step */
    QT_VALUE_BY_RECENT, /* .. 5: the 1st .. 4th last word of the stream */
    QT_VALUE_PREDICTORS = QT_VALUE_BY_RECENT + 4,
};
enum {
    QT_VALUE_BYTES,      /* literal: the bytes of the word */
    QT_VALUE_DIFFERENCE, /* literal: the distance from the lane's last word */
    QT_VALUE_BY,         /* and above: this predictor was right */
    QT_VALUE_KINDS = QT_VALUE_BY + QT_VALUE_PREDICTORS,
};

/* What one node's words with even, or with odd numbers were. */
struct qt_lane {
    uint64_t last, step;
    uint32_t favourite; /* predictor */
};

/* Eight bytes of memory, the lowest address in the lowest byte. */
struct qt_cell {
    uint64_t number; /* address / 8 */
    uint64_t bytes;
};

struct qt_values {
    unsigned bits;       /* of the tables that are there; 0 = none */
    uint32_t n_nodes;    /* that have lanes */
    struct qt_lane *lane; /* 4 << bits, two of each node */
    struct qt_cell *cell; /* 1 << bits */
    uint64_t recent[4];  /* words of the stream */
    uint32_t n_words;
};

/* Whose value it is: the node of column access-address, size and byte order, the address. */
struct qt_value_access {
    uint32_t node, flags;
    uint64_t address;
};

/* Empty tables of that size. 0 or QTRACE_E_NOMEM. */
int qt_values_begin(struct qt_values *values, unsigned bits);
void qt_values_finish(struct qt_values *values);

/* How many words has the value of an access, when those of up to 2^log2 bytes have one? */
static inline unsigned qt_value_words(unsigned flags, unsigned log2)
{
    const unsigned size = flags & QTRACE_ACCESS_SIZE;

    return size > log2 ? 0 : size > 3 ? 1u << (size - 3) : 1;
}

/* The bits that a word of such an access may have. */
static inline uint64_t qt_value_mask(unsigned flags)
{
    const unsigned size = flags & QTRACE_ACCESS_SIZE;

    return size >= 3 ? UINT64_MAX : (1ull << (8u << size)) - 1;
}

/* What the encoder writes. */
struct qt_value_encoder {
    struct qt_values values;
    bool on;       /* this frame has values */
    unsigned log2; /* of accesses of up to so many bytes */
    uint32_t run;  /* predicted words, not yet written */
    uint32_t n_literals;
    struct qt_buf *column, *literal; /* with room for each word */
};

#define QT_VALUE_BYTES_MAX 8 /* of a literal */

/* Add the words of an access that has a value. */
void qt_values_put(struct qt_value_encoder *encoder, const struct qt_value_access *access,
                   const uint64_t *word);

struct qt_value_decoder {
    struct qt_values *values;
    unsigned log2;
    struct qt_tokens tokens;
    struct qt_cursor literal;
};

/* From the first byte of the columns to behind the last; false: malformed. */
bool qt_values_open(struct qt_value_decoder *decoder, struct qt_cursor column,
                    struct qt_cursor literal);
bool qt_values_get(struct qt_value_decoder *decoder, const struct qt_value_access *access,
                   uint64_t *word);
bool qt_values_at_end(const struct qt_value_decoder *decoder);

#endif
