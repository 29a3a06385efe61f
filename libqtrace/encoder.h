/*
 * encoder.h - rows of one stream become the columns of a frame, one by one
 *
 * This is the hottest code of the recorder's thread. So the rows are inline functions on a
 * struct qt_rows, which the caller keeps in a local variable: load it, add rows, store it.
 * What was not predicted goes to functions of encoder.c. The rows come from the words of a
 * ring (builder.c) or from the arrays of a batch (qt_encoder_batch).
 *
 * Callers are not trusted: what is not possible is refused and changes nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_ENCODER_H
#define QT_ENCODER_H

#include "columns.h"
#include "counts.h"
#include "phys.h"
#include "predict.h"
#include "values.h"
#include "words.h"

/* The key of an access are bits of its word, and for a foreign one another bit above. In that of
 * a node the repeat comes on top. */
#define QT_KEY_FOREIGN (1u << 16)
#define QT_KEY_ACCESS (QT_KEY_FOREIGN | (QT_KEY_FOREIGN - 1))
#define QT_KEY_REPEAT 17 /* shift */

/* Is it an access of this node? */
static inline bool qt_has_key(const struct qt_node *node, uint32_t key)
{
    return (node->key & QT_KEY_ACCESS) == key;
}

struct qt_rows {
    struct qt_node *node;
    struct qt_entry *entry;
    uint32_t *row;    /* entries of the block rows, from number 1 on */
    uint32_t source;  /* number of the row that the next one should repeat; 0 = none */
    uint32_t *toucher;
    uint64_t *recent;
    unsigned bits;
    uint32_t *next;   /* where the node of the next access of the row is expected */
    uint32_t current; /* entry of the row's block */
    uint32_t id, length;
    uint32_t history;
    uint32_t block_run, shape_run, address_run; /* predicted, not yet written */
    uint32_t n_blocks, n_accesses, n_literals;
    uint32_t size; /* log2, of the last access */
    uint64_t n_insns;
    uint8_t *address, *literal; /* end of these columns */
};

struct qt_encoder {
    struct qt_rows rows;
    struct qt_predictor predictor;
    struct qt_buf column[QT_COLUMNS];
    uint64_t column_rows[QT_COLUMNS];
    uint32_t fresh;       /* the last block that was written out */
    uint32_t partial_row; /* the last row of column started */
    uint32_t n_events, n_syscalls;
    uint32_t n_own_events; /* of them, those that the recorder makes for itself: loss.h */
    uint64_t translation; /* of the last such event */
    struct qtrace_event last; /* before any: what the first one is measured from */
    uint64_t first_seq, first_time;
    struct qt_loss lost; /* before the frame, as its first event says */
    struct qt_value_encoder value;
    struct qt_phys_encoder phys;
    struct qt_buf left;  /* id and started of the rows that are not whole, two uint32_t each */
};

void qt_encoder_finish(struct qt_encoder *encoder);

/* Begin a frame with tables of 2^bits entries; seq and time in force at its first row. */
int qt_encoder_begin(struct qt_encoder *encoder, unsigned bits, uint64_t seq, uint64_t time);

/* The frame that has just begun has values, of accesses of up to 2^log2 bytes. */
int qt_encoder_values(struct qt_encoder *encoder, unsigned log2);

/* Room for so many more words of values. */
int qt_encoder_reserve_values(struct qt_encoder *encoder, size_t words);

/* The frame that has just begun has physical addresses. */
int qt_encoder_phys(struct qt_encoder *encoder);

/* Room for so many more of them, and for so many devices that are new to the frame. */
int qt_encoder_reserve_phys(struct qt_encoder *encoder, size_t accesses, size_t devices);

/* Room for so many more block and access rows. Before qt_rows_load. */
int qt_encoder_reserve(struct qt_encoder *encoder, size_t rows);

/* After the last row of a frame: the columns are complete, a len of 0 means none. */
void qt_encoder_end(struct qt_encoder *encoder);

/* After the end: the counts of the frame's rows, with which counts, made empty, are filled.
 * QTRACE_END: there were more blocks or accesses than the tables have room for. */
int qt_encoder_count(const struct qt_encoder *encoder, struct qtrace_counts *counts);

/* The whole of a batch as one frame, from beginning to end. QTRACE_E_INVALID: it is not what
 * event.h says; *why tells. */
int qt_encoder_batch(struct qt_encoder *encoder, const struct qtrace_batch *batch,
                     const struct qt_lengths *lengths, const char **why);

/* Add the rows and events of a batch to the frame, behind what it has. As qt_encoder_batch. */
int qt_encoder_add_batch(struct qt_encoder *encoder, const struct qtrace_batch *batch,
                         const struct qt_lengths *lengths, const char **why);

/* An event behind the rows so far. QTRACE_E_INVALID or QTRACE_E_NOMEM. The rows must have been
 * stored. */
int qt_encoder_event(struct qt_encoder *encoder, const struct qtrace_event *event);

/* The last block row was left: so many of its instructions did not start. False: it has not
 * so many, or that was said before, or there is no row. The rows must have been stored. */
bool qt_encoder_left(struct qt_encoder *encoder, uint32_t left);

/* Surprises. A block's entry, and the row that the next one should repeat; the node. */
struct qt_found {
    uint32_t entry, source;
};
struct qt_found qt_encoder_block(struct qt_encoder *encoder, uint32_t run,
                                 const struct qt_turn *turn, uint32_t id, uint32_t length);
uint32_t qt_encoder_shape(struct qt_encoder *encoder, uint32_t run, uint32_t *next, uint32_t id,
                          uint32_t key, uint64_t near);
void qt_encoder_row_end(struct qt_encoder *encoder, uint32_t run, uint32_t *next);

static inline struct qt_rows qt_rows_load(const struct qt_encoder *e)
{
    struct qt_rows r = e->rows;

    r.row = e->predictor.row;
    r.address = e->column[QTRACE_COLUMN_ACCESS_ADDRESS].data +
                e->column[QTRACE_COLUMN_ACCESS_ADDRESS].len;
    r.literal = e->column[QTRACE_COLUMN_ACCESS_LITERAL].data +
                e->column[QTRACE_COLUMN_ACCESS_LITERAL].len;
    return r;
}

static inline void qt_rows_store(struct qt_encoder *e, const struct qt_rows *r)
{
    struct qt_buf *address = &e->column[QTRACE_COLUMN_ACCESS_ADDRESS];
    struct qt_buf *literal = &e->column[QTRACE_COLUMN_ACCESS_LITERAL];

    address->len = (size_t)(r->address - address->data);
    literal->len = (size_t)(r->literal - literal->data);
    e->rows = *r;
}

/* The row that began last has no more accesses. */
static inline void qt_rows_end_row(struct qt_rows *r, struct qt_encoder *e)
{
    if (qt_likely(*r->next == 0)) {
        r->shape_run++;
    } else {
        qt_encoder_row_end(e, r->shape_run, r->next);
        r->shape_run = 0;
    }
}

/* A block begins. False: it is not defined. */
QT_INLINE bool qt_rows_block(struct qt_rows *r, struct qt_encoder *e, uint32_t id,
                             const struct qt_lengths *lengths)
{
    uint32_t entry = r->row[r->source];

    if (qt_likely(r->entry[entry].id == id && entry != 0)) {
        qt_rows_end_row(r, e);
        r->block_run++;
        r->source++;
    } else {
        const struct qt_turn turn = {r->n_blocks + 1, r->source, r->current, r->history};
        uint32_t length = qt_length(lengths, id);
        struct qt_found found;
        if (qt_unlikely(length == 0)) {
            return false;
        }
        qt_rows_end_row(r, e);
        found = qt_encoder_block(e, r->block_run, &turn, id, length);
        entry = found.entry;
        r->source = found.source;
        r->block_run = 0;
    }
    r->current = entry;
    r->id = id;
    r->length = r->entry[entry].length; /* before it is written to, or it is waited for */
    r->entry[entry].count++;
    r->history = qt_history(r->history, id);
    r->next = &r->entry[entry].first;
    r->row[++r->n_blocks] = entry;
    r->n_insns += r->length;
    return true;
}

/* Which predictor would have been right? QT_PREDICTORS: none. */
static inline uint32_t qt_rows_find(const struct qt_lessons *l, const uint64_t *base,
                                    uint64_t address)
{
    uint32_t right = 1u << QT_PREDICTORS | (uint32_t)(base[QT_BY_SEQUEL] == address)
                                               << QT_BY_SEQUEL;
    uint32_t k;

#pragma GCC unroll 7
    for (k = 0; k < QT_STEPS; k++) {
        right |= (uint32_t)(base[k] + l->step[k] == address) << k;
    }
    return (uint32_t)__builtin_ctz(right);
}

static inline void qt_rows_wrong_address(struct qt_rows *r, struct qt_predictor *p,
                                         uint32_t node, unsigned size, uint64_t address)
{
    uint32_t favourite = qt_favourite(&r->node[node]), k, kind;
    uint64_t base[QT_PREDICTORS], *sequel;

    qt_bases(p, node, r->n_accesses, r->size, size, base);
    sequel = qt_sequel(p, node, base[QT_BY_STRIDE]);
    base[QT_BY_SEQUEL] = *sequel;
    k = qt_rows_find(&p->lessons[node], base, address);
    kind = QT_ADDRESS_BY + k;
    if (k < QT_PREDICTORS) {
        favourite = k == QT_BY_SEQUEL ? favourite : k;
    } else {
        uint64_t own = qt_zigzag64(address - base[QT_BY_STRIDE]);
        uint64_t near = qt_zigzag64(address - base[QT_BY_RECENT]);
        /* the distance from its own last address is more regular, unless it is much longer */
        bool from_near = near < own >> 4;
        kind = from_near ? QT_ADDRESS_FROM_RECENT : QT_ADDRESS_FROM_OWN;
        r->n_literals++;
        r->literal = qt_put_varint_wide(r->literal, from_near ? near : own);
        qt_find_partner(p, node, address, true);
    }
    qt_learn(p, node, favourite, base, sequel, address);
    r->address = qt_put_token(r->address, QT_ADDRESS_KINDS, kind, r->address_run);
    r->address_run = 0;
}

QT_INLINE void qt_rows_address(struct qt_rows *r, struct qt_predictor *p, uint32_t node,
                               uint32_t key, uint64_t address)
{
    struct qt_node *n = &r->node[node];
    uint32_t size = key >> 1 & QTRACE_ACCESS_SIZE;

    if (qt_likely(qt_guess(r->node, n, r->recent, r->n_accesses, r->size, size) == address)) {
        r->address_run++;
    } else {
        qt_rows_wrong_address(r, p, node, size, address);
    }
    r->toucher[qt_address_hash(address, r->bits)] = node;
    r->size = size;
    n->count++;
    n->last = address;
    r->recent[r->n_accesses++ % QT_RECENT] = address;
}

#define QT_NO_NODE UINT32_MAX

/* An access of the row's block; key: instruction and flags as in a word. Returns its node;
 * QT_NO_NODE: the block has not that instruction. */
QT_INLINE uint32_t qt_rows_access(struct qt_rows *r, struct qt_encoder *e, uint32_t key,
                                  uint64_t address)
{
    uint32_t node = *r->next;

    if (qt_likely(qt_has_key(&r->node[node], key))) {
        r->shape_run++;
    } else {
        if (qt_unlikely(qt_word_access_insn(key) >= r->length)) {
            return QT_NO_NODE;
        }
        node = qt_encoder_shape(e, r->shape_run, r->next, r->id, key,
                                qt_recent(r->recent, r->n_accesses, 1));
        r->shape_run = 0;
    }
    r->next = &r->node[node].next;
    qt_rows_address(r, &e->predictor, node, key, address);
    return node;
}

/* An access of another block, which is defined and has that instruction. Returns its node. */
static inline uint32_t qt_rows_foreign(struct qt_rows *r, struct qt_encoder *e, uint32_t id,
                                       uint32_t key, uint64_t address)
{
    uint32_t node = *r->next;

    key |= QT_KEY_FOREIGN;
    if (qt_has_key(&r->node[node], key) && e->predictor.lessons[node].block == id) {
        r->shape_run++;
    } else {
        node = qt_encoder_shape(e, r->shape_run, r->next, id, key,
                                qt_recent(r->recent, r->n_accesses, 1));
        r->shape_run = 0;
    }
    /* Rows of other blocks share this node: what followed here says nothing there. */
    r->next = &r->node[0].next;
    qt_rows_address(r, &e->predictor, node, key, address);
    return node;
}

/* The value of the access with this node that was added last, where the frame has values. */
static inline void qt_rows_value(struct qt_encoder *e, uint32_t node, uint32_t key,
                                 uint64_t address, const uint64_t *word)
{
    const struct qt_value_access access = {node, qt_word_access_flags(key), address};

    qt_values_put(&e->value, &access, word);
}

#endif
