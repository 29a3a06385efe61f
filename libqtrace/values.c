/*
 * values.c - the values of accesses: columns value and value-literal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "values.h"

#include <stdlib.h>

#include "predict.h"
#include "qtrace/error.h"

/* ---- tables ---- */

void qt_values_finish(struct qt_values *v)
{
    free(v->lane);
    free(v->cell);
    *v = (struct qt_values){0};
}

int qt_values_begin(struct qt_values *v, unsigned bits)
{
    const size_t n = (size_t)1 << bits;

    if (v->bits != bits) {
        qt_values_finish(v);
        v->lane = malloc(4 * n * sizeof(*v->lane));
        v->cell = malloc(n * sizeof(*v->cell));
        if (v->lane == NULL || v->cell == NULL) {
            qt_values_finish(v);
            return QTRACE_E_NOMEM;
        }
        v->bits = bits;
    }
    memset(v->cell, 0, n * sizeof(*v->cell));
    memset(v->recent, 0, sizeof(v->recent));
    v->n_nodes = v->n_words = 0;
    return QTRACE_OK;
}

/* A word of a value, and where it is to be looked up. */
struct word {
    struct qt_lane *lane;
    struct qt_cell *cell, *next; /* the second NULL: all bytes are in the first */
    uint64_t address, mask;
    unsigned size, shift; /* bytes; bits of the first cell before it */
    bool big_endian;
};

static inline struct qt_cell *cell_of(const struct qt_values *v, uint64_t address)
{
    return &v->cell[qt_address_hash(address / 8, v->bits)];
}

static inline struct qt_lane *lane_of(struct qt_values *v, uint32_t node, unsigned i)
{
    for (; qt_unlikely(v->n_nodes <= node); v->n_nodes++) {
        memset(&v->lane[2 * v->n_nodes], 0, 2 * sizeof(*v->lane));
    }
    return &v->lane[2 * node + i % 2];
}

/* Word i of an access: the lowest of a big-endian value has the highest address. */
static inline struct word find_word(struct qt_values *v, const struct qt_value_access *a,
                                    unsigned i)
{
    const unsigned log2 = a->flags & QTRACE_ACCESS_SIZE, size = log2 > 3 ? 8 : 1u << log2;
    const bool big_endian = a->flags & QTRACE_ACCESS_BE;
    const uint64_t offset = big_endian ? (1u << log2) - size * (i + 1) : size * i;
    const uint64_t address = a->address + offset;

    return (struct word){
        .lane = lane_of(v, a->node, i),
        .cell = cell_of(v, address),
        .next = address % 8 + size > 8 ? cell_of(v, address + 7) : NULL,
        .address = address,
        .mask = qt_value_mask(a->flags),
        .size = size,
        .shift = address % 8 * 8,
        .big_endian = big_endian,
    };
}

/* The value that these bytes are, or the other way round. */
static inline uint64_t in_order(const struct word *w, uint64_t bytes)
{
    return w->big_endian ? __builtin_bswap64(bytes) >> (64 - 8 * w->size) : bytes;
}

static inline uint64_t read_cell(const struct qt_cell *c, uint64_t address)
{
    return c->number == address / 8 ? c->bytes : 0;
}

static inline uint64_t read_memory(const struct word *w)
{
    uint64_t bytes = read_cell(w->cell, w->address) >> w->shift;

    if (w->next != NULL) {
        bytes |= read_cell(w->next, w->address + 7) << (64 - w->shift);
    }
    return in_order(w, bytes & w->mask);
}

static inline void write_cell(struct qt_cell *c, uint64_t address, uint64_t bytes, uint64_t mask)
{
    const uint64_t others = c->number == address / 8 ? c->bytes & ~mask : 0;

    *c = (struct qt_cell){address / 8, others | bytes};
}

static inline void write_memory(const struct word *w, uint64_t value)
{
    const uint64_t bytes = in_order(w, value);

    write_cell(w->cell, w->address, bytes << w->shift, w->mask << w->shift);
    if (w->next != NULL) {
        write_cell(w->next, w->address + 7, bytes >> (64 - w->shift), w->mask >> (64 - w->shift));
    }
}

static inline uint64_t predict(const struct qt_values *v, const struct word *w, uint32_t k)
{
    if (k == QT_VALUE_BY_MEMORY) {
        return read_memory(w);
    }
    return (k == QT_VALUE_BY_STRIDE ? w->lane->last + w->lane->step
                                    : v->recent[(v->n_words - 1 - (k - QT_VALUE_BY_RECENT)) % 4]) &
           w->mask;
}

/* What both sides do with each word in the end. */
static inline void learn(struct qt_values *v, const struct word *w, uint64_t value)
{
    write_memory(w, value);
    w->lane->last = value;
    v->recent[v->n_words++ % 4] = value;
}

/* ---- encoding ---- */

/* A difference of numbers of fewer than eight bytes has their sign. */
static uint64_t difference(const struct word *w, uint64_t value)
{
    const unsigned unused = 64 - 8 * w->size;

    return qt_zigzag64((uint64_t)((int64_t)((value - w->lane->last) << unused) >> unused));
}

/* In whichever form is shorter. */
static unsigned put_literal(struct qt_value_encoder *e, const struct word *w, uint64_t value)
{
    const uint64_t d = difference(w, value);
    uint8_t *end = e->literal->data + e->literal->len;
    unsigned i;

    e->n_literals++;
    if (qt_varint_size(d) < w->size) {
        e->literal->len += (size_t)(qt_put_varint(end, d) - end);
        return QT_VALUE_DIFFERENCE;
    }
    for (i = 0; i < w->size; i++) {
        end[i] = (uint8_t)(value >> 8 * i);
    }
    e->literal->len += w->size;
    return QT_VALUE_BYTES;
}

static void put_surprise(struct qt_value_encoder *e, const struct word *w, uint64_t value)
{
    uint8_t *end = e->column->data + e->column->len;
    uint32_t k = 0;
    unsigned kind;

    while (k < QT_VALUE_PREDICTORS && predict(&e->values, w, k) != value) {
        k++;
    }
    if (k < QT_VALUE_PREDICTORS) {
        kind = QT_VALUE_BY + k;
        w->lane->favourite = k;
    } else {
        kind = put_literal(e, w, value);
    }
    e->column->len += (size_t)(qt_put_token(end, QT_VALUE_KINDS, kind, e->run) - end);
    e->run = 0;
    w->lane->step = value - w->lane->last;
}

void qt_values_put(struct qt_value_encoder *e, const struct qt_value_access *access,
                   const uint64_t *word)
{
    const unsigned n = qt_value_words(access->flags, e->log2);
    unsigned i;

    for (i = 0; i < n; i++) {
        const struct word w = find_word(&e->values, access, i);
        const uint64_t value = word[i] & w.mask;

        if (qt_likely(predict(&e->values, &w, w.lane->favourite) == value)) {
            e->run++;
        } else {
            put_surprise(e, &w, value);
        }
        learn(&e->values, &w, value);
    }
}

/* ---- decoding ---- */

bool qt_values_open(struct qt_value_decoder *d, struct qt_cursor column, struct qt_cursor literal)
{
    if (column.p == column.end || *column.p > QT_VALUE_LOG2) {
        return false;
    }
    d->log2 = *column.p++;
    d->literal = literal;
    return qt_first_token(&d->tokens, column, QT_VALUE_KINDS);
}

static bool get_literal(struct qt_value_decoder *d, const struct word *w, uint64_t *value)
{
    struct qt_cursor *c = &d->literal;
    uint64_t v;
    unsigned i;

    if (d->tokens.kind == QT_VALUE_DIFFERENCE) {
        if (!qt_cursor_varint(c, &v)) {
            return false;
        }
        *value = (w->lane->last + qt_unzigzag64(v)) & w->mask;
        return true;
    }
    if (qt_cursor_left(c) < w->size) {
        return false;
    }
    *value = 0;
    for (i = 0; i < w->size; i++) {
        *value |= (uint64_t)*c->p++ << 8 * i;
    }
    return true;
}

static bool get_surprise(struct qt_value_decoder *d, const struct word *w, uint64_t *value)
{
    if (d->tokens.kind < QT_VALUE_BY) {
        if (!get_literal(d, w, value)) {
            return false;
        }
    } else {
        *value = predict(d->values, w, d->tokens.kind - QT_VALUE_BY);
        w->lane->favourite = d->tokens.kind - QT_VALUE_BY;
    }
    w->lane->step = *value - w->lane->last;
    return qt_next_token(&d->tokens, QT_VALUE_KINDS);
}

bool qt_values_get(struct qt_value_decoder *d, const struct qt_value_access *access,
                   uint64_t *word)
{
    const unsigned n = qt_value_words(access->flags, d->log2);
    unsigned i;

    for (i = 0; i < n; i++) {
        const struct word w = find_word(d->values, access, i);

        if (qt_likely(qt_is_predicted(&d->tokens))) {
            word[i] = predict(d->values, &w, w.lane->favourite);
        } else if (!get_surprise(d, &w, &word[i])) {
            return false;
        }
        learn(d->values, &w, word[i]);
    }
    return true;
}

bool qt_values_at_end(const struct qt_value_decoder *d)
{
    return d->tokens.last && d->literal.p == d->literal.end;
}
