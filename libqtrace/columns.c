/*
 * columns.c - the columns of a frame become the arrays of a batch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "columns.h"

#include <stdlib.h>

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
        [QTRACE_COLUMN_PHYS] = "phys",
        [QTRACE_COLUMN_DEVICE] = "device",
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

_Static_assert((uint64_t)QT_MAX_ROWS * QT_VALUE_WORDS <= QT_MAX_RUN && QT_MAX_RUN < QT_ENDLESS / 2,
               "no column has more tokens than a run can have rows, or than QT_ENDLESS");

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
    uint32_t fresh;
    uint32_t source;  /* number of the row that the next one should repeat; 0 = none */
    uint32_t history; /* before the row `since` */
    uint32_t since;   /* from 0 on */
};

static const char malformed_block[] = "column block is malformed";

/* Rows i .. i + n - 1 repeat others. (What they repeat can be among them.) Rows behind them, which
 * are yet to come, may be written as well. */
#define AT_ONCE 8

static void repeat_rows(struct block_decoder *d, const struct qt_batch *b, uint32_t i, uint32_t n)
{
    const uint32_t distance = i + 1 - d->source, end = i + n;
    uint32_t *row = d->p->row + 1;

    for (; i < end && distance >= AT_ONCE && b->batch.n_blocks - i >= AT_ONCE; i += AT_ONCE) {
        memcpy(row + i, row + i - distance, AT_ONCE * sizeof(*row));
        memcpy(b->block + i, b->block + i - distance, AT_ONCE * sizeof(*b->block));
        memcpy(b->started + i, b->started + i - distance, AT_ONCE * sizeof(*b->started));
    }
    for (; i < end; i++) {
        row[i] = row[i - distance];
        b->block[i] = b->block[i - distance];
        b->started[i] = b->started[i - distance];
    }
    d->source += n;
}

/* The history before row i. */
static uint32_t history_before(struct block_decoder *d, const struct qt_batch *b, uint32_t i)
{
    if (i - d->since > QT_HISTORY_ROWS) {
        d->since = i - QT_HISTORY_ROWS; /* nothing before counts any more */
    }
    for (; d->since < i; d->since++) {
        d->history = qt_history(d->history, b->block[d->since]);
    }
    return d->history;
}

/* A block that is no candidate; its entry is 0 if it is one of many. NULL or what is wrong. */
static const char *fresh_block(struct block_decoder *d, uint32_t *entry, uint32_t *length)
{
    uint64_t difference = 1;

    if (d->t.kind == QT_BLOCK_OTHER) {
        if (!qt_cursor_max(&d->t.c, &difference, UINT32_MAX)) {
            return malformed_block;
        }
        difference = qt_unzigzag32((uint32_t)difference);
    }
    d->fresh += (uint32_t)difference;
    *length = qt_length(d->lengths, d->fresh);
    if (*length == 0) {
        d->p->undefined = d->fresh;
        return "a block's definition is lost";
    }
    *entry = qt_predictor_entry(d->p, d->fresh, *length);
    return NULL;
}

/* Row i is not what was foreseen. NULL or what is wrong. */
static const char *surprise_block(struct block_decoder *d, const struct qt_batch *b, uint32_t i)
{
    struct qt_predictor *p = d->p;
    const struct qt_turn turn = {i + 1, d->source, p->row[i], history_before(d, b, i)};
    uint32_t entry, length;

    if (d->t.kind < QT_BLOCK_NEXT) {
        entry = qt_predictor_ranked(p, &turn, d->t.kind - QT_BLOCK_RANKED);
        if (entry == 0) {
            return malformed_block;
        }
        b->block[i] = p->entry[entry].id;
        length = p->entry[entry].length;
    } else {
        const char *why = fresh_block(d, &entry, &length);

        if (why != NULL) {
            return why;
        }
        b->block[i] = d->fresh;
    }
    p->row[i + 1] = entry;
    b->started[i] = (uint16_t)length;
    d->source = qt_predictor_turn(p, &turn, entry, b->block[i]);
    return qt_next_token(&d->t, QT_BLOCK_KINDS) ? NULL : malformed_block;
}

/* NULL or what is wrong. */
static const char *decode_blocks(struct qt_predictor *p, const struct qt_batch *b,
                                 const struct qt_column_bytes *bytes,
                                 const struct qt_lengths *lengths)
{
    const uint32_t n = b->batch.n_blocks;
    struct block_decoder d = {.p = p, .lengths = lengths};
    const char *why = NULL;
    uint32_t i = 0, run;

    if (qt_predictor_reserve(p, n) < 0) {
        return no_memory;
    }
    if (!first_token(&d.t, bytes, QTRACE_COLUMN_BLOCK, QT_BLOCK_KINDS)) {
        return malformed_block;
    }
    while (why == NULL && (i < n || !d.t.last)) {
        run = d.t.last ? n - i : d.t.run;
        if ((run > 0 && d.source == 0) || run > n - i || (run == n - i && !d.t.last)) {
            return malformed_block;
        }
        repeat_rows(&d, b, i, run);
        i += run;
        why = d.t.last ? NULL : surprise_block(&d, b, i++);
    }
    return why;
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

static const char malformed_access[] =
    "columns access-shape, -address and -literal, or value or phys, are malformed";

/* Where the decoder of accesses stands. */
struct access_decoder {
    struct qt_predictor *p;
    struct qt_batch *b;
    const struct qt_lengths *lengths;
    struct qt_tokens shape, address;
    struct qt_cursor literal;
    struct qt_value_decoder value;
    struct qt_phys_decoder phys;
    size_t cap_foreign, cap_wide;
    bool no_memory;
};

/* What changes with each access, kept in registers. Functions for surprises get what they need
 * of it. */
struct place {
    uint32_t shape_run, address_run; /* predicted rows to come */
    uint32_t row;
    uint32_t size;  /* log2, of the access before */
    uint32_t *next; /* where the node of the next access is expected */
};

#define KEY_REPEAT 24 /* shift */

/* Instruction and flags as the key of a node; the repeat comes on top. */
static inline uint32_t make_key(uint64_t insn, uint64_t flags)
{
    return (uint32_t)(insn | flags << 16);
}

static inline uint16_t key_insn(uint32_t key)
{
    return key & 0xffff;
}

static inline uint8_t key_flags(uint32_t key)
{
    return (uint8_t)(key >> 16);
}

/* The node of an access that was not predicted. next: where it was expected. */
static bool surprise_access(struct access_decoder *d, uint32_t row, const uint32_t *next,
                            uint32_t id, uint32_t *node)
{
    /* before the first row, instructions are of an unknown block */
    uint32_t length = id == UINT32_MAX ? QTRACE_MAX_BLOCK_INSNS : qt_length(d->lengths, id), key;
    uint64_t insn, block, flags, foreign = 0;

    if (d->shape.kind == QT_SHAPE_FOREIGN) {
        if (!qt_cursor_max(&d->shape.c, &block, UINT32_MAX)) {
            return false;
        }
        id = (uint32_t)block;
        foreign = QTRACE_ACCESS_FOREIGN;
        length = qt_length(d->lengths, id);
        d->p->undefined = length == 0 ? id : d->p->undefined;
    }
    if (!qt_cursor_varint(&d->shape.c, &insn) || insn >= length ||
        !qt_cursor_max(&d->shape.c, &flags, QT_ACCESS_FLAGS & ~QTRACE_ACCESS_FOREIGN)) {
        return false;
    }
    key = qt_repeated(d->p, next, make_key(insn, flags | foreign), KEY_REPEAT);
    *node = qt_predictor_node(d->p, id, key, qt_recent(d->p->recent, row, 1));
    if (*node == 0) {
        d->p->node[0].key = key; /* for now; nobody expects node 0 */
        d->p->lessons[0].block = id;
    }
    return true;
}

/* What was not predicted: an access, or *last: the row ends instead. next: where its node was
 * expected. */
static bool surprise_shape(struct access_decoder *d, uint32_t row, uint32_t *next, uint32_t id,
                           uint32_t *node, bool *last)
{
    *last = d->shape.kind == QT_SHAPE_END;
    *node = 0;
    if (!*last && !surprise_access(d, row, next, id, node)) {
        return false;
    }
    if (qt_can_learn(d->p, next)) {
        *next = *node;
    }
    return qt_next_token(&d->shape, QT_SHAPE_KINDS);
}

/* Few branches: what kind of surprise comes next is not known before. */
static bool surprise_address(struct access_decoder *d, const struct place *at, uint32_t node,
                             unsigned size, uint64_t *address)
{
    struct qt_predictor *p = d->p;
    const unsigned kind = d->address.kind;
    const bool literal = kind < QT_ADDRESS_BY;
    const uint32_t k = kind - (literal ? QT_ADDRESS_FROM_OWN : QT_ADDRESS_BY);
    uint64_t base[QT_PREDICTORS], step[QT_PREDICTORS], distance;
    uint64_t *sequel;
    uint32_t favourite = (literal | (k == QT_BY_SEQUEL)) ? qt_favourite(&p->node[node]) : k;

    if (!qt_cursor_varint_if(&d->literal, literal, &distance)) {
        return false;
    }
    qt_bases(p, node, at->row, at->size, size, base);
    sequel = qt_sequel(p, node, base[QT_BY_STRIDE]);
    /* it is far away: not to be waited for if it is not asked for */
    base[QT_BY_SEQUEL] = *(k == QT_BY_SEQUEL ? sequel : &base[QT_BY_STRIDE]);
    memcpy(step, p->lessons[node].step, sizeof(p->lessons[node].step));
    step[QT_BY_SEQUEL] = 0;
    *address = base[k] + (literal ? qt_unzigzag64(distance) : step[k]);
    qt_find_partner(p, node, *address, literal);
    qt_learn(p, node, favourite, base, sequel, *address);
    return qt_next_token(&d->address, QT_ADDRESS_KINDS);
}

_Static_assert((int)QT_ADDRESS_FROM_OWN == (int)QT_BY_STRIDE &&
                   (int)QT_ADDRESS_FROM_RECENT == (int)QT_BY_RECENT,
               "literals have the bases of predictors");

static bool add_foreign(struct access_decoder *d, uint32_t row, uint32_t id)
{
    uint32_t n = d->b->batch.n_foreign;

    if (qt_grow((void **)&d->b->foreign, &d->cap_foreign, n + 1, sizeof(*d->b->foreign)) < 0) {
        d->no_memory = true;
        return false;
    }
    d->b->foreign[n] = (struct qtrace_foreign){row, id};
    d->b->batch.foreign = d->b->foreign;
    d->b->batch.n_foreign = n + 1;
    return true;
}

static bool decode_value(struct access_decoder *d, uint32_t row, uint32_t node)
{
    const struct qt_value_access access = {node, d->b->flags[row], d->b->vaddr[row]};
    const unsigned n = qt_value_words(access.flags, d->value.log2);
    uint64_t word[QT_VALUE_WORDS] = {0};
    uint32_t w = d->b->batch.n_wide;
    unsigned i;

    if (!qt_values_get(&d->value, &access, word)) {
        return false;
    }
    d->b->value[row] = word[0];
    if (n > 1 && qt_grow((void **)&d->b->wide, &d->cap_wide, w + n - 1, sizeof(*d->b->wide)) < 0) {
        d->no_memory = true;
        return false;
    }
    for (i = 1; i < n; i++) {
        d->b->wide[w++] = (struct qtrace_wide){row, i, word[i]};
    }
    d->b->batch.wide = d->b->wide;
    d->b->batch.n_wide = w;
    return true;
}

static bool decode_phys(struct access_decoder *d, uint32_t row)
{
    struct qt_physical physical;

    if (!qt_phys_get(&d->phys, d->b->vaddr[row], &physical)) {
        return false;
    }
    d->b->phys[row] = physical.address;
    d->b->phys_kind[row] = (uint16_t)physical.kind;
    return true;
}

/* What few traces have, as far as this one has it. */
static bool decode_more(struct access_decoder *d, uint32_t row, uint32_t node)
{
    return (d->b->value == NULL || decode_value(d, row, node)) &&
           (d->b->phys == NULL || decode_phys(d, row));
}

/* How much of the rows is wanted; a constant in the functions that are inlined with it. */
enum wanted { WANT_BLOCKS, WANT_SHAPES, WANT_ADDRESSES, WANT_MORE };

/* What does not change, to be kept in registers as well. */
struct tables {
    struct qt_node *node;
    uint32_t *toucher;
    uint64_t *recent;
    unsigned bits;
    uint16_t *insn;
    uint8_t *flags;
    uint64_t *vaddr;
    uint32_t n_accesses;
};

QT_INLINE bool decode_address(struct access_decoder *d, const struct tables *t, struct place *at,
                              uint32_t node, uint32_t size)
{
    struct qt_node *n = &t->node[node];
    uint64_t address;

    if (qt_likely(at->address_run > 0)) {
        at->address_run--;
        address = qt_guess(t->node, n, t->recent, at->row, at->size, size);
    } else {
        const struct place here = *at; /* not to have `at` and `address` in memory */
        uint64_t found;

        if (!surprise_address(d, &here, node, size, &found)) {
            return false;
        }
        at->address_run = d->address.run;
        address = found;
    }
    t->toucher[qt_address_hash(address, t->bits)] = node;
    n->last = address;
    t->recent[at->row % QT_RECENT] = address;
    t->vaddr[at->row] = address;
    at->size = size;
    return true;
}

QT_INLINE bool decode_access(struct access_decoder *d, const struct tables *t, struct place *at,
                             uint32_t node, enum wanted wanted)
{
    const uint32_t key = t->node[node].key, flags = key_flags(key);

    if (qt_unlikely(at->row == t->n_accesses)) {
        return false;
    }
    at->next = &t->node[node].next;
    if (qt_unlikely(flags & QTRACE_ACCESS_FOREIGN)) {
        /* Rows of other blocks share this node: what followed here says nothing there. */
        at->next = &t->node[0].next;
        if (!add_foreign(d, at->row, d->p->lessons[node].block)) {
            return false;
        }
    }
    t->insn[at->row] = key_insn(key);
    t->flags[at->row] = (uint8_t)flags;
    if (wanted >= WANT_ADDRESSES && !decode_address(d, t, at, node, flags & QTRACE_ACCESS_SIZE)) {
        return false;
    }
    if (wanted >= WANT_MORE && !decode_more(d, at->row, node)) {
        return false;
    }
    at->row++;
    return true;
}

/* The accesses of a row, up to its end. */
QT_INLINE bool decode_row(struct access_decoder *d, const struct tables *t, struct place *at,
                          uint32_t id, enum wanted wanted)
{
    for (;;) {
        uint32_t node;
        bool last;

        if (qt_likely(at->shape_run > 0)) {
            at->shape_run--;
            node = *at->next;
            last = node == 0;
        } else {
            uint32_t found; /* not to have node in memory */
            bool end;

            if (!surprise_shape(d, at->row, at->next, id, &found, &end)) {
                return false;
            }
            at->shape_run = d->shape.run;
            node = found;
            last = end;
        }
        if (last) {
            return true;
        }
        if (!decode_access(d, t, at, node, wanted)) {
            return false;
        }
    }
}

/* Is nothing left of the columns? */
static bool at_end(const struct access_decoder *d, enum wanted wanted)
{
    return d->shape.last &&
           (wanted < WANT_ADDRESSES || (d->address.last && d->literal.p == d->literal.end)) &&
           (wanted < WANT_MORE || ((d->b->value == NULL || qt_values_at_end(&d->value)) &&
                                   (d->b->phys == NULL || qt_phys_at_end(&d->phys))));
}

static bool open_more(struct access_decoder *d, const struct qt_column_bytes *bytes)
{
    return (d->b->value == NULL ||
            qt_values_open(&d->value, column(bytes, QTRACE_COLUMN_VALUE),
                           column(bytes, QTRACE_COLUMN_VALUE_LITERAL))) &&
           (d->b->phys == NULL ||
            qt_phys_open(&d->phys, column(bytes, QTRACE_COLUMN_PHYS), d->b->batch.n_devices));
}

/* The first tokens of those columns that are wanted. */
static bool open_columns(struct access_decoder *d, const struct qt_column_bytes *bytes,
                         enum wanted wanted)
{
    return (wanted < WANT_SHAPES ||
            first_token(&d->shape, bytes, QTRACE_COLUMN_ACCESS_SHAPE, QT_SHAPE_KINDS)) &&
           (wanted < WANT_ADDRESSES ||
            first_token(&d->address, bytes, QTRACE_COLUMN_ACCESS_ADDRESS, QT_ADDRESS_KINDS)) &&
           (wanted < WANT_MORE || open_more(d, bytes));
}

/* ---- rows ---- */

/* The accesses of all blocks, which are decoded. */
QT_INLINE const char *decode_wanted(struct access_decoder *d, enum wanted wanted)
{
    struct qt_batch *b = d->b;
    struct qt_predictor *p = d->p;
    const struct tables t = {
        .node = p->node,
        .toucher = p->toucher,
        .recent = p->recent,
        .bits = p->bits,
        .insn = b->insn,
        .flags = b->flags,
        .vaddr = b->vaddr,
        .n_accesses = b->batch.n_accesses,
    };
    struct place at = {
        .shape_run = d->shape.run,
        .address_run = d->address.run,
        .next = &p->node[0].next,
    };
    const uint32_t n = b->batch.n_blocks;
    uint32_t i;

    if (!decode_row(d, &t, &at, UINT32_MAX, wanted)) {
        return malformed_access;
    }
    b->batch.access_begin = at.row;
    for (i = 0; i < n; i++) {
        at.next = &p->entry[p->row[i + 1]].first;
        if (!decode_row(d, &t, &at, b->block[i], wanted)) {
            return malformed_access;
        }
        b->access_end[i] = at.row;
    }
    return at.row == b->batch.n_accesses && at_end(d, wanted) ? NULL : malformed_access;
}

static const char *decode_accesses(struct access_decoder *d, enum wanted wanted)
{
    switch (wanted) {
    case WANT_BLOCKS:
        d->b->batch.access_begin = 0;
        memset(d->b->access_end, 0, d->b->batch.n_blocks * sizeof(*d->b->access_end));
        return NULL;
    case WANT_SHAPES:
        return decode_wanted(d, WANT_SHAPES);
    case WANT_ADDRESSES:
        return decode_wanted(d, WANT_ADDRESSES);
    default:
        return decode_wanted(d, WANT_MORE);
    }
}

static enum wanted what_is_wanted(const struct qt_batch *b, unsigned select)
{
    if (b->batch.n_accesses == 0 || (select & QTRACE_SELECT_ACCESSES) != QTRACE_SELECT_ACCESSES) {
        return WANT_BLOCKS;
    }
    if ((select & QTRACE_SELECT_ADDRESSES) != QTRACE_SELECT_ADDRESSES) {
        return WANT_SHAPES;
    }
    return b->value == NULL && b->phys == NULL ? WANT_ADDRESSES : WANT_MORE;
}

/* Their names go behind them. */
static const char *decode_devices(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    static const char malformed[] = "column device is malformed";
    const size_t n = (size_t)bytes->rows[QTRACE_COLUMN_DEVICE];
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_DEVICE);
    bool seen[QTRACE_MAX_DEVICES] = {false};
    size_t i, length;
    char *name;

    if (n == 0) {
        return NULL;
    }
    /* each device has bytes enough in the column for its name's end */
    b->device = malloc(n * sizeof(*b->device) + qt_cursor_left(&c));
    if (b->device == NULL) {
        return no_memory;
    }
    name = (char *)(b->device + n);
    for (i = 0; i < n; i++) {
        struct qtrace_device *device = &b->device[i];

        if (!qt_device_get(&c, device, &length) || seen[device->number]) {
            return malformed;
        }
        seen[device->number] = true;
        memcpy(name, device->name, length);
        device->name = name;
        name[length] = '\0';
        name += length + 1;
    }
    b->batch.device = b->device;
    b->batch.n_devices = (uint32_t)n;
    return c.p == c.end ? NULL : malformed;
}

static const char *begin_more(struct qt_values *values, struct qt_phys *phys, struct qt_batch *b,
                              const struct qt_column_bytes *bytes)
{
    if ((b->value != NULL && qt_values_begin(values, bytes->bits) < 0) ||
        (b->phys != NULL && qt_phys_begin(phys, bytes->bits) < 0)) {
        return no_memory;
    }
    return b->phys == NULL ? NULL : decode_devices(b, bytes);
}

static const char *decode_rows(struct qt_predictor *p, struct qt_values *values,
                               struct qt_phys *phys, struct qt_batch *b,
                               const struct qt_column_bytes *bytes,
                               const struct qt_lengths *lengths)
{
    const enum wanted wanted = what_is_wanted(b, bytes->select);
    struct access_decoder d = {
        .p = p,
        .b = b,
        .lengths = lengths,
        .literal = column(bytes, QTRACE_COLUMN_ACCESS_LITERAL),
        .value.values = values,
        .phys.phys = phys,
    };
    const char *why = wanted < WANT_MORE ? NULL : begin_more(values, phys, b, bytes);

    if (why != NULL) {
        return why;
    }
    why = decode_blocks(p, b, bytes, lengths);
    if (why != NULL) {
        return why;
    }
    if (!open_columns(&d, bytes, wanted)) {
        return malformed_access;
    }
    why = decode_accesses(&d, wanted);
    b->batch.value_max = b->value == NULL || wanted < WANT_MORE ? 0 : 1u << d.value.log2;
    return d.no_memory ? no_memory : why;
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
                              struct qt_phys *phys, struct qt_batch *b,
                              const struct qt_column_bytes *bytes,
                              const struct qt_lengths *lengths)
{
    const char *why = NULL;

    if (bytes->select & QTRACE_SELECT_BLOCKS) {
        why = decode_rows(p, values, phys, b, bytes, lengths);
        why = why == NULL ? decode_started(b, bytes) : why;
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
    if ((select & QTRACE_SELECT_PHYS) != QTRACE_SELECT_PHYS) {
        b->phys = NULL;
        b->phys_kind = NULL;
    }
    if (!(select & QTRACE_SELECT_EVENTS)) {
        b->n_events = 0;
    }
}

int qt_columns_decode(struct qt_predictor *p, struct qt_values *values, struct qt_phys *phys,
                      struct qt_batch *batch, const struct qt_column_bytes *bytes,
                      const struct qt_lengths *lengths, const char **why)
{
    uint32_t i;

    if (bytes->select & QTRACE_SELECT_BLOCKS && qt_predictor_begin(p, bytes->bits) < 0) {
        *why = no_memory;
        return QTRACE_E_NOMEM;
    }
    p->undefined = UINT32_MAX;
    *why = decode_all(p, values, phys, batch, bytes, lengths);
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
