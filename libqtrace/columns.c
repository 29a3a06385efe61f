/*
 * columns.c - the columns of a frame become the arrays of a batch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "columns.h"

#include <stdlib.h>

#include "words.h"

const char *qtrace_column_name(unsigned id)
{
    static const char *const name[] = {
        [QTRACE_COLUMN_BLOCK] = "block",
        [QTRACE_COLUMN_STARTED] = "started",
        [QTRACE_COLUMN_ACCESS_SHAPE] = "access-shape",
        [QTRACE_COLUMN_ACCESS_ADDRESS] = "access-address",
        [QTRACE_COLUMN_ACCESS_LITERAL] = "access-literal",
        [QTRACE_COLUMN_EVENT] = "event",
        [QTRACE_COLUMN_SUMMARY] = "summary",
        [QTRACE_COLUMN_VALUE] = "value",
        [QTRACE_COLUMN_VALUE_LITERAL] = "value-literal",
        [QTRACE_COLUMN_DEFINITIONS] = "definitions",
        [QTRACE_COLUMN_INDEX] = "index",
    };

    if (id >= sizeof(name) / sizeof(name[0]) || name[id] == NULL) {
        return "?";
    }
    return name[id];
}

/* Among the reasons why columns cannot be decoded the one that is not theirs. */
static const char no_memory[] = "out of memory";

static struct qt_cursor column(const struct qt_column_bytes *bytes, unsigned id)
{
    return qt_cursor(bytes->data[id], bytes->size[id]);
}

static bool first_token(struct qt_tokens *t, const struct qt_column_bytes *bytes, unsigned id,
                        unsigned kinds)
{
    return qt_first_token(t, column(bytes, id), kinds);
}

/* ---- blocks ---- */

/* Where the decoder of blocks stands. */
struct block_decoder {
    struct qt_predictor *p;
    const struct qt_lengths *lengths;
    struct qt_tokens t;
    uint32_t current, fresh, history;
};

/* The entry of a block that was not predicted, 0 for one of many. false: malformed. */
static bool surprise_block(struct block_decoder *d, uint32_t *id, uint32_t *entry)
{
    uint64_t difference;

    if (d->t.kind == QT_BLOCK_SUCCESSOR) {
        *entry = d->p->entry[d->current].successor;
        *id = d->p->entry[*entry].id;
        return *entry != 0 && qt_next_token(&d->t);
    }
    if (d->t.kind == QT_BLOCK_NEXT) {
        d->fresh++;
    } else {
        if (!qt_cursor_max(&d->t.c, &difference, UINT32_MAX)) {
            return false;
        }
        d->fresh += qt_unzigzag32((uint32_t)difference);
    }
    *id = d->fresh;
    *entry = qt_predictor_entry(d->p, *id, qt_length(d->lengths, *id));
    return qt_next_token(&d->t);
}

/* Into row i. */
static const char *decode_block(struct block_decoder *d, struct qt_batch *b, uint32_t i)
{
    struct qt_predictor *p = d->p;
    uint32_t *expected = &p->next_entry[d->history >> (32 - p->bits)];
    uint32_t entry = *expected, id = p->entry[entry].id;

    if (qt_is_predicted(&d->t) ? entry == 0 : !surprise_block(d, &id, &entry)) {
        return "column block is malformed";
    }
    if (qt_unlikely(p->entry[entry].length == 0)) {
        p->undefined = id;
        return "a block's definition is lost";
    }
    *expected = entry;
    p->entry[d->current].successor = entry;
    d->current = entry;
    d->history = qt_history(d->history, id);
    b->block[i] = id;
    b->access_end[i] = entry; /* until the accesses are decoded */
    b->started[i] = (uint16_t)p->entry[entry].length;
    return NULL;
}

static const char *decode_blocks(struct qt_predictor *p, struct qt_batch *b,
                                 const struct qt_column_bytes *bytes,
                                 const struct qt_lengths *lengths)
{
    struct block_decoder d = {.p = p, .lengths = lengths};
    const char *why = NULL;
    uint32_t i;

    if (!first_token(&d.t, bytes, QTRACE_COLUMN_BLOCK, QT_BLOCK_KINDS)) {
        return "column block is malformed";
    }
    for (i = 0; why == NULL && i < b->batch.n_blocks; i++) {
        why = decode_block(&d, b, i);
    }
    return why != NULL || d.t.last ? why : "column block is malformed";
}

static const char *decode_started(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_STARTED);
    uint64_t n, delta, started, row = 0;

    for (n = 0; n < bytes->rows[QTRACE_COLUMN_STARTED]; n++) {
        if (!qt_cursor_varint(&c, &delta) || !qt_cursor_varint(&c, &started) ||
            (n > 0 && delta == 0) || delta >= b->batch.n_blocks - row ||
            started >= b->started[row + delta]) {
            return "column started is malformed";
        }
        row += delta;
        b->started[row] = (uint16_t)started;
    }
    return c.p == c.end ? NULL : "column started is malformed";
}

/* ---- accesses ---- */

/* Where the decoder of accesses stands. */
struct access_decoder {
    struct qt_predictor *p;
    struct qt_batch *b;
    const struct qt_lengths *lengths;
    struct qt_tokens shape, address;
    struct qt_cursor literal;
    uint32_t *next; /* where the node of the next access is expected */
    struct qt_value_decoder value;
    size_t cap_foreign, cap_wide;
    uint32_t row;
    uint32_t size; /* log2, of the access before */
    bool addresses, values; /* are wanted */
    bool no_memory;
};

/* The node of an access that was not predicted. */
static bool surprise_access(struct access_decoder *d, uint32_t id, uint32_t length,
                            uint32_t *node)
{
    uint64_t insn, block, flags;
    uint32_t key = 0;

    if (d->shape.kind == QT_SHAPE_FOREIGN) {
        if (!qt_cursor_max(&d->shape.c, &block, UINT32_MAX)) {
            return false;
        }
        id = (uint32_t)block;
        key = QT_KEY_FOREIGN;
        length = qt_length(d->lengths, id);
        d->p->undefined = length == 0 ? id : d->p->undefined;
    }
    if (!qt_cursor_varint(&d->shape.c, &insn) || insn >= length ||
        !qt_cursor_max(&d->shape.c, &flags, QT_ACCESS_FLAGS & ~QTRACE_ACCESS_FOREIGN)) {
        return false;
    }
    key |= (uint32_t)(qt_word_insn((uint32_t)insn) | qt_word_flags((uint32_t)flags));
    *node = qt_predictor_node(d->p, id, key, qt_recent(d->p->recent, d->row, 1));
    if (*node == 0) {
        d->p->node[0].key = key; /* for now; nobody expects node 0 */
        d->p->node_block[0] = id;
    }
    return true;
}

/* What was not predicted: an access, or *last: the row ends instead. */
static bool surprise_shape(struct access_decoder *d, uint32_t id, uint32_t length,
                           uint32_t *node, bool *last)
{
    *last = d->shape.kind == QT_SHAPE_END;
    *node = 0;
    if (!*last && !surprise_access(d, id, length, node)) {
        return false;
    }
    if (qt_can_learn(d->p, d->next)) {
        *d->next = *node;
    }
    return qt_next_token(&d->shape);
}

/* What predictor k says. */
static uint64_t predict(const struct access_decoder *d, uint32_t node, uint64_t scaled,
                        uint32_t k)
{
    const struct qt_predictor *p = d->p;
    const struct qt_node *n = &p->node[node];

    switch (k) {
    case QT_BY_SCALED:
        return scaled + p->scaled[node];
    case QT_BY_SEQUEL:
        return *qt_sequel(p, node, n->last);
    default:
        return qt_predict(p->node, n, k, p->recent, d->row);
    }
}

static bool wrong_address(struct access_decoder *d, uint32_t node, uint64_t scaled,
                          uint64_t *address)
{
    const struct qt_predictor *p = d->p;
    struct qt_node *n = &p->node[node];
    const unsigned kind = d->address.kind;
    uint64_t delta, base;

    if (kind >= QT_ADDRESS_BY) {
        *address = predict(d, node, scaled, kind - QT_ADDRESS_BY);
        if (kind != QT_ADDRESS_BY + QT_BY_SEQUEL) {
            n->favourite = kind - QT_ADDRESS_BY;
        }
    } else {
        if (!qt_cursor_varint(&d->literal, &delta)) {
            return false;
        }
        base = kind == QT_ADDRESS_FROM_OWN ? n->last : qt_recent(p->recent, d->row, 1);
        *address = base + qt_unzigzag64(delta);
        qt_find_partner(p->node, n, p->toucher[qt_address_hash(*address, p->bits)], *address);
    }
    qt_steps(n, p->recent, d->row, *address, n->step);
    p->scaled[node] = *address - scaled;
    *qt_sequel(p, node, n->last) = *address;
    return qt_next_token(&d->address);
}

static bool decode_address(struct access_decoder *d, uint32_t node, uint32_t size)
{
    struct qt_predictor *p = d->p;
    struct qt_node *n = &p->node[node];
    uint64_t scaled = qt_scaled(qt_recent(p->recent, d->row, 1), d->size, size), address;

    if (qt_likely(qt_is_predicted(&d->address))) {
        address = predict(d, node, scaled, n->favourite);
    } else if (!wrong_address(d, node, scaled, &address)) {
        return false;
    }
    p->toucher[qt_address_hash(address, p->bits)] = node;
    n->last = address;
    p->recent[d->row % QT_RECENT] = address;
    d->size = size;
    d->b->vaddr[d->row] = address;
    return true;
}

static bool add_foreign(struct access_decoder *d, uint32_t id)
{
    uint32_t n = d->b->batch.n_foreign;

    if (qt_grow((void **)&d->b->foreign, &d->cap_foreign, n + 1, sizeof(*d->b->foreign)) < 0) {
        d->no_memory = true;
        return false;
    }
    d->b->foreign[n] = (struct qtrace_foreign){d->row, id};
    d->b->batch.foreign = d->b->foreign;
    d->b->batch.n_foreign = n + 1;
    return true;
}

static bool decode_value(struct access_decoder *d, uint32_t node)
{
    const struct qt_value_access access = {node, d->b->flags[d->row], d->b->vaddr[d->row]};
    const unsigned n = qt_value_words(access.flags, d->value.log2);
    uint64_t word[QT_VALUE_WORDS] = {0};
    uint32_t w = d->b->batch.n_wide;
    unsigned i;

    if (!qt_values_get(&d->value, &access, word)) {
        return false;
    }
    d->b->value[d->row] = word[0];
    if (n > 1 && qt_grow((void **)&d->b->wide, &d->cap_wide, w + n - 1, sizeof(*d->b->wide)) < 0) {
        d->no_memory = true;
        return false;
    }
    for (i = 1; i < n; i++) {
        d->b->wide[w++] = (struct qtrace_wide){d->row, i, word[i]};
    }
    d->b->batch.wide = d->b->wide;
    d->b->batch.n_wide = w;
    return true;
}

static bool decode_access(struct access_decoder *d, uint32_t node)
{
    struct qt_batch *b = d->b;
    uint32_t key = d->p->node[node].key, flags = qt_word_access_flags(key & 0xffff);

    if (d->row == b->batch.n_accesses) {
        return false;
    }
    if (qt_unlikely(key & QT_KEY_FOREIGN)) {
        if (!add_foreign(d, d->p->node_block[node])) {
            return false;
        }
        flags |= QTRACE_ACCESS_FOREIGN;
    }
    b->insn[d->row] = (uint16_t)qt_word_access_insn(key & 0xffff);
    b->flags[d->row] = (uint8_t)flags;
    if (d->addresses && !decode_address(d, node, flags & QTRACE_ACCESS_SIZE)) {
        return false;
    }
    if (d->values && !decode_value(d, node)) {
        return false;
    }
    d->next = &d->p->node[key & QT_KEY_FOREIGN ? 0 : node].next;
    d->row++;
    return true;
}

/* The accesses of a row, up to its end. */
static bool decode_row(struct access_decoder *d, uint32_t id, uint32_t length)
{
    bool last = false;
    uint32_t node;

    while (!last) {
        if (qt_likely(qt_is_predicted(&d->shape))) {
            node = *d->next;
            last = node == 0;
        } else if (!surprise_shape(d, id, length, &node, &last)) {
            return false;
        }
        if (!last && !decode_access(d, node)) {
            return false;
        }
    }
    return true;
}

static bool decode_rows(struct access_decoder *d)
{
    struct qt_batch *b = d->b;
    struct qt_predictor *p = d->p;
    uint32_t i;

    if (!decode_row(d, UINT32_MAX, QTRACE_MAX_BLOCK_INSNS)) {
        return false;
    }
    b->batch.access_begin = d->row;
    for (i = 0; i < b->batch.n_blocks; i++) {
        d->next = &p->entry[b->access_end[i]].first;
        if (!decode_row(d, b->block[i], qt_length(d->lengths, b->block[i]))) {
            return false;
        }
        b->access_end[i] = d->row;
    }
    return d->row == b->batch.n_accesses && d->shape.last &&
           (!d->addresses || (d->address.last && d->literal.p == d->literal.end)) &&
           (!d->values || qt_values_at_end(&d->value));
}

/* The first tokens of those columns that are wanted. */
static bool open_columns(struct access_decoder *d, const struct qt_column_bytes *bytes)
{
    return first_token(&d->shape, bytes, QTRACE_COLUMN_ACCESS_SHAPE, QT_SHAPE_KINDS) &&
           (!d->addresses ||
            first_token(&d->address, bytes, QTRACE_COLUMN_ACCESS_ADDRESS, QT_ADDRESS_KINDS)) &&
           (!d->values || qt_values_open(&d->value, column(bytes, QTRACE_COLUMN_VALUE),
                                         column(bytes, QTRACE_COLUMN_VALUE_LITERAL)));
}

static const char *decode_accesses(struct qt_predictor *p, struct qt_values *values,
                                   struct qt_batch *b, const struct qt_column_bytes *bytes,
                                   const struct qt_lengths *lengths)
{
    const bool addresses = (bytes->select & QTRACE_SELECT_ADDRESSES) == QTRACE_SELECT_ADDRESSES;
    struct access_decoder d = {
        .p = p,
        .b = b,
        .lengths = lengths,
        .literal = column(bytes, QTRACE_COLUMN_ACCESS_LITERAL),
        .value.values = values,
        .next = &p->node[0].next,
        .addresses = addresses,
        .values = addresses && b->value != NULL,
    };

    if (b->batch.n_accesses == 0 ||
        (bytes->select & QTRACE_SELECT_ACCESSES) != QTRACE_SELECT_ACCESSES) {
        memset(b->access_end, 0, b->batch.n_blocks * sizeof(*b->access_end));
        return NULL;
    }
    if (d.values && qt_values_begin(values, bytes->bits) < 0) {
        return no_memory;
    }
    if (!open_columns(&d, bytes) || !decode_rows(&d)) {
        return d.no_memory ? no_memory
               : d.values ? "columns access-shape, -address, -literal and value are malformed"
                          : "columns access-shape, -address and -literal are malformed";
    }
    b->batch.value_max = d.values ? 1u << d.value.log2 : 0;
    return NULL;
}

/* ---- events ---- */

/* Events are in order, within the rows, and a loss is the first of them. */
static bool event_is_valid(const struct qtrace_batch *b, uint32_t i)
{
    static const struct qtrace_event none;
    const struct qtrace_event *e = &b->event[i];
    const struct qtrace_event *before = i == 0 ? &none : e - 1;

    return e->block_row >= before->block_row && e->block_row <= b->n_blocks &&
           e->access_row >= before->access_row && e->access_row <= b->n_accesses &&
           (i == 0 ? e->seq >= b->first_seq : e->seq > before->seq) &&
           (e->kind != QTRACE_EVENT_LOST || (i == 0 && e->n_args >= 4));
}

/* translation: the id of the last such event. */
static bool decode_event(struct qt_cursor *c, struct qtrace_event *e,
                         const struct qtrace_event *before, uint64_t *translation)
{
    uint64_t kind, blocks, accesses, seq, time, n;
    uint32_t k;

    if (!qt_cursor_max(c, &kind, QTRACE_EVENT_DISCON) || kind < QTRACE_EVENT_SYNC ||
        !qt_cursor_max(c, &blocks, QT_MAX_ROWS) || !qt_cursor_max(c, &accesses, QT_MAX_ROWS) ||
        !qt_cursor_max(c, &seq, UINT64_MAX - before->seq) || !qt_cursor_varint(c, &time) ||
        !qt_cursor_max(c, &n, QTRACE_EVENT_ARGS)) {
        return false;
    }
    *e = (struct qtrace_event){
        .kind = (enum qtrace_event_kind)kind,
        .block_row = before->block_row + (uint32_t)blocks,
        .access_row = before->access_row + (uint32_t)accesses,
        .n_args = (uint32_t)n,
        .seq = before->seq + seq,
        .time = before->time + qt_unzigzag64(time),
    };
    for (k = 0; k < n; k++) {
        if (!qt_cursor_varint(c, &e->arg[k])) {
            return false;
        }
    }
    if (e->kind == QTRACE_EVENT_TRANSLATION && n > 0) {
        *translation += qt_unzigzag64(e->arg[0]);
        e->arg[0] = *translation;
    }
    return true;
}

static const char *decode_events(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_EVENT);
    struct qtrace_event first = {.seq = b->batch.first_seq, .time = b->batch.first_time};
    const struct qtrace_event *before = &first;
    uint64_t translation = 0;
    uint32_t i;

    for (i = 0; i < b->batch.n_events; i++) {
        if (!decode_event(&c, &b->event[i], before, &translation) ||
            !event_is_valid(&b->batch, i)) {
            return "column event is malformed";
        }
        before = &b->event[i];
    }
    return c.p == c.end ? NULL : "column event is malformed";
}

static const char *decode_all(struct qt_predictor *p, struct qt_values *values,
                              struct qt_batch *b, const struct qt_column_bytes *bytes,
                              const struct qt_lengths *lengths)
{
    const char *why = NULL;

    if (bytes->select & QTRACE_SELECT_BLOCKS) {
        why = decode_blocks(p, b, bytes, lengths);
        why = why == NULL ? decode_started(b, bytes) : why;
        why = why == NULL ? decode_accesses(p, values, b, bytes, lengths) : why;
    }
    if (why == NULL && bytes->select & QTRACE_SELECT_EVENTS) {
        why = decode_events(b, bytes);
    }
    return why;
}

/* Rows that nobody wanted are not there. */
static void leave_out(struct qtrace_batch *b, unsigned select)
{
    if (!(select & QTRACE_SELECT_BLOCKS)) {
        b->n_blocks = 0;
    }
    if ((select & QTRACE_SELECT_ACCESSES) != QTRACE_SELECT_ACCESSES) {
        b->n_accesses = b->access_begin = 0;
    }
    if ((select & QTRACE_SELECT_ADDRESSES) != QTRACE_SELECT_ADDRESSES) {
        b->vaddr = NULL;
    }
    if ((select & QTRACE_SELECT_VALUES) != QTRACE_SELECT_VALUES) {
        b->value = NULL;
    }
    if (!(select & QTRACE_SELECT_EVENTS)) {
        b->n_events = 0;
    }
}

int qt_columns_decode(struct qt_predictor *p, struct qt_values *values, struct qt_batch *batch,
                      const struct qt_column_bytes *bytes, const struct qt_lengths *lengths,
                      const char **why)
{
    uint32_t i;

    if (bytes->select & QTRACE_SELECT_BLOCKS && qt_predictor_begin(p, bytes->bits) < 0) {
        *why = no_memory;
        return QTRACE_E_NOMEM;
    }
    p->undefined = UINT32_MAX;
    *why = decode_all(p, values, batch, bytes, lengths);
    if (*why != NULL) {
        return *why == no_memory ? QTRACE_E_NOMEM : QTRACE_E_DAMAGED;
    }
    leave_out(&batch->batch, bytes->select);
    batch->batch.n_insns = 0;
    for (i = 0; i < batch->batch.n_blocks; i++) {
        batch->batch.n_insns += batch->started[i];
    }
    return QTRACE_OK;
}
