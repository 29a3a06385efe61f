/*
 * encoder.c - rows of one stream become the columns of a frame, one by one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "encoder.h"

#include "qtrace/error.h"

/* The most that one row adds to a column. */
#define BLOCK_BYTES (QT_TOKEN_MAX + 5)     /* id */
#define SHAPE_BYTES (2 * QT_TOKEN_MAX + 8) /* block, instruction, flags; the end before */
#define STARTED_BYTES 7 /* distance, number */

/* Before the first block row, instructions are of an unknown block. */
#define NO_BLOCK UINT32_MAX

void qt_encoder_finish(struct qt_encoder *e)
{
    unsigned i;

    qt_predictor_finish(&e->predictor);
    qt_values_finish(&e->value.values);
    qt_phys_finish(&e->phys.phys);
    qt_buf_finish(&e->left);
    for (i = 0; i < QT_COLUMNS; i++) {
        qt_buf_finish(&e->column[i]);
    }
    *e = (struct qt_encoder){0};
}

int qt_encoder_begin(struct qt_encoder *e, unsigned bits, uint64_t seq, uint64_t time)
{
    struct qt_predictor *p = &e->predictor;
    unsigned i;

    if (qt_predictor_begin(p, bits) < 0) {
        return QTRACE_E_NOMEM;
    }
    for (i = 0; i < QT_COLUMNS; i++) {
        e->column[i].len = 0;
        e->column_rows[i] = 0;
    }
    e->rows = (struct qt_rows){
        .node = p->node,
        .entry = p->entry,
        .toucher = p->toucher,
        .recent = p->recent,
        .bits = bits,
        .next = &p->node[0].next,
        .id = NO_BLOCK,
        .length = QTRACE_MAX_BLOCK_INSNS,
    };
    e->fresh = 0;
    e->translation = 0;
    e->partial_row = 0;
    e->n_events = e->n_syscalls = e->n_own_events = 0;
    e->lost = (struct qt_loss){0};
    e->value.on = e->phys.on = false;
    e->left.len = 0;
    e->first_seq = seq;
    e->first_time = time;
    e->last = (struct qtrace_event){.seq = seq, .time = time};
    return QTRACE_OK;
}

int qt_encoder_values(struct qt_encoder *e, unsigned log2)
{
    const uint8_t head = (uint8_t)log2;
    struct qt_value_encoder *v = &e->value;

    v->on = true;
    v->log2 = log2;
    v->run = v->n_literals = 0;
    v->column = &e->column[QTRACE_COLUMN_VALUE];
    v->literal = &e->column[QTRACE_COLUMN_VALUE_LITERAL];
    return qt_values_begin(&v->values, e->predictor.bits) < 0
               ? QTRACE_E_NOMEM
               : qt_buf_append(v->column, &head, sizeof(head));
}

int qt_encoder_reserve_values(struct qt_encoder *e, size_t words)
{
    return qt_buf_reserve(e->value.column, words * QT_TOKEN_MAX) < 0 ||
                   qt_buf_reserve(e->value.literal, words * QT_VALUE_BYTES_MAX) < 0
               ? QTRACE_E_NOMEM
               : QTRACE_OK;
}

int qt_encoder_phys(struct qt_encoder *e)
{
    struct qt_phys_encoder *p = &e->phys;

    p->on = true;
    p->run = p->n_devices = 0;
    memset(p->index, 0, sizeof(p->index));
    p->column = &e->column[QTRACE_COLUMN_PHYS];
    p->device = &e->column[QTRACE_COLUMN_DEVICE];
    return qt_phys_begin(&p->phys, e->predictor.bits);
}

int qt_encoder_reserve_phys(struct qt_encoder *e, size_t accesses, size_t devices)
{
    return qt_buf_reserve(e->phys.column, accesses * QT_PHYS_BYTES_MAX) < 0 ||
                   qt_buf_reserve(e->phys.device, devices * QT_DEVICE_BYTES_MAX) < 0
               ? QTRACE_E_NOMEM
               : QTRACE_OK;
}

int qt_encoder_reserve(struct qt_encoder *e, size_t rows)
{
    static const struct {
        uint8_t id, bytes;
    } need[] = {
        {QTRACE_COLUMN_BLOCK, BLOCK_BYTES},
        {QTRACE_COLUMN_STARTED, STARTED_BYTES},
        {QTRACE_COLUMN_ACCESS_SHAPE, SHAPE_BYTES},
        {QTRACE_COLUMN_ACCESS_ADDRESS, QT_TOKEN_MAX},
        {QTRACE_COLUMN_ACCESS_LITERAL, QT_VARINT_MAX},
    };
    unsigned i;

    if (qt_predictor_reserve(&e->predictor, e->rows.n_blocks + rows) < 0) {
        return QTRACE_E_NOMEM;
    }
    /* one row more: the end of the frame */
    for (i = 0; i < sizeof(need) / sizeof(need[0]); i++) {
        if (qt_buf_reserve(&e->column[need[i].id], (rows + 1) * need[i].bytes) < 0) {
            return QTRACE_E_NOMEM;
        }
    }
    return QTRACE_OK;
}

/* Append to a column where there is room. */
static void add(struct qt_encoder *e, unsigned column, uint64_t v)
{
    struct qt_buf *buf = &e->column[column];

    buf->len = (size_t)(qt_put_varint(buf->data + buf->len, v) - buf->data);
}

static void add_token(struct qt_encoder *e, unsigned column, unsigned kinds, unsigned kind,
                      uint32_t run)
{
    struct qt_buf *buf = &e->column[column];

    buf->len = (size_t)(qt_put_token(buf->data + buf->len, kinds, kind, run) - buf->data);
}

/* ---- surprises ---- */

struct qt_found qt_encoder_block(struct qt_encoder *e, uint32_t run, const struct qt_turn *turn,
                                 uint32_t id, uint32_t length)
{
    struct qt_predictor *p = &e->predictor;
    const unsigned rank = qt_predictor_rank(p, turn, id);
    const unsigned kind = rank < QT_RANKS       ? QT_BLOCK_RANKED + rank
                          : id == e->fresh + 1 ? QT_BLOCK_NEXT
                                               : QT_BLOCK_OTHER;
    struct qt_found found;

    add_token(e, QTRACE_COLUMN_BLOCK, QT_BLOCK_KINDS, kind, run);
    if (rank < QT_RANKS) {
        found.entry = qt_predictor_ranked(p, turn, rank);
    } else {
        if (kind == QT_BLOCK_OTHER) {
            add(e, QTRACE_COLUMN_BLOCK, qt_zigzag32(id - e->fresh));
        }
        e->fresh = id;
        found.entry = qt_predictor_entry(p, id, length);
    }
    found.source = qt_predictor_turn(p, turn, found.entry, id);
    return found;
}

uint32_t qt_encoder_shape(struct qt_encoder *e, uint32_t run, uint32_t *next, uint32_t id,
                          uint32_t key, uint64_t near)
{
    uint32_t node = qt_predictor_node(
        &e->predictor, id, qt_repeated(&e->predictor, next, key, QT_KEY_REPEAT), near);
    uint32_t insn = qt_word_access_insn(key & 0xffff);
    bool foreign = key & QT_KEY_FOREIGN;

    add_token(e, QTRACE_COLUMN_ACCESS_SHAPE, QT_SHAPE_KINDS,
              foreign ? QT_SHAPE_FOREIGN : QT_SHAPE_OWN, run);
    if (foreign) {
        add(e, QTRACE_COLUMN_ACCESS_SHAPE, id);
    }
    add(e, QTRACE_COLUMN_ACCESS_SHAPE, insn);
    add(e, QTRACE_COLUMN_ACCESS_SHAPE, qt_word_access_flags(key & 0xffff));
    if (qt_can_learn(&e->predictor, next)) {
        *next = node;
    }
    return node;
}

void qt_encoder_row_end(struct qt_encoder *e, uint32_t run, uint32_t *next)
{
    add_token(e, QTRACE_COLUMN_ACCESS_SHAPE, QT_SHAPE_KINDS, QT_SHAPE_END, run);
    *next = 0;
}

bool qt_encoder_left(struct qt_encoder *e, uint32_t left)
{
    uint64_t *n = &e->column_rows[QTRACE_COLUMN_STARTED];
    uint32_t row = e->rows.n_blocks - 1;
    const uint32_t what[] = {e->rows.id, e->rows.length - left};

    if (e->rows.n_blocks == 0 || left == 0 || left > e->rows.length ||
        (*n > 0 && row == e->partial_row) ||
        qt_buf_append(&e->left, what, sizeof(what)) < 0) {
        return false;
    }
    add(e, QTRACE_COLUMN_STARTED, row - e->partial_row);
    add(e, QTRACE_COLUMN_STARTED, e->rows.length - left);
    e->partial_row = row;
    e->rows.n_insns -= left;
    ++*n;
    return true;
}

/* ---- events ---- */

static bool event_is_valid(const struct qt_encoder *e, const struct qtrace_event *event)
{
    return event->kind >= QTRACE_EVENT_SYNC && event->kind <= QTRACE_EVENT_DISCON &&
           event->n_args <= QTRACE_EVENT_ARGS && event->block_row >= e->last.block_row &&
           event->access_row >= e->last.access_row && event->block_row <= e->rows.n_blocks &&
           event->access_row <= e->rows.n_accesses &&
           (e->n_events == 0 ? event->seq >= e->last.seq : event->seq > e->last.seq) &&
           (event->kind != QTRACE_EVENT_LOST || (e->n_events == 0 && event->n_args >= 4));
}

int qt_encoder_event(struct qt_encoder *e, const struct qtrace_event *event)
{
    struct qt_buf *buf = &e->column[QTRACE_COLUMN_EVENT];
    uint32_t k;

    if (!event_is_valid(e, event) || e->n_events == QT_MAX_EVENTS) {
        return QTRACE_E_INVALID;
    }
    if (qt_buf_reserve(buf, (6 + QTRACE_EVENT_ARGS) * QT_VARINT_MAX) < 0) {
        return QTRACE_E_NOMEM;
    }
    add(e, QTRACE_COLUMN_EVENT, event->kind);
    add(e, QTRACE_COLUMN_EVENT, event->block_row - e->last.block_row);
    add(e, QTRACE_COLUMN_EVENT, event->access_row - e->last.access_row);
    add(e, QTRACE_COLUMN_EVENT, event->seq - e->last.seq);
    add(e, QTRACE_COLUMN_EVENT, qt_zigzag64(event->time - e->last.time));
    add(e, QTRACE_COLUMN_EVENT, event->n_args);
    for (k = 0; k < event->n_args; k++) {
        bool is_id = event->kind == QTRACE_EVENT_TRANSLATION && k == 0;

        add(e, QTRACE_COLUMN_EVENT,
            is_id ? qt_zigzag64(event->arg[k] - e->translation) : event->arg[k]);
        e->translation = is_id ? event->arg[k] : e->translation;
    }
    e->last = *event;
    e->n_events++;
    e->n_syscalls += event->kind == QTRACE_EVENT_SYSCALL;
    e->n_own_events += qt_is_own_event(event->kind);
    if (event->kind == QTRACE_EVENT_LOST) {
        e->lost = (struct qt_loss){event->arg[0], event->arg[1], event->arg[2], event->arg[3]};
    }
    return QTRACE_OK;
}

/* ---- the end ---- */

static void end_values(struct qt_encoder *e)
{
    if (e->rows.n_accesses == 0) {
        e->value.column->len = 0;
    }
    e->column_rows[QTRACE_COLUMN_VALUE] = e->rows.n_accesses;
    e->column_rows[QTRACE_COLUMN_VALUE_LITERAL] = e->value.n_literals;
}

void qt_encoder_end(struct qt_encoder *e)
{
    struct qt_rows rows = qt_rows_load(e);
    uint64_t *n = e->column_rows;

    qt_rows_end_row(&rows, e);
    qt_rows_store(e, &rows);
    n[QTRACE_COLUMN_BLOCK] = rows.n_blocks;
    n[QTRACE_COLUMN_ACCESS_SHAPE] = rows.n_accesses;
    n[QTRACE_COLUMN_ACCESS_ADDRESS] = rows.n_accesses;
    n[QTRACE_COLUMN_ACCESS_LITERAL] = rows.n_literals;
    n[QTRACE_COLUMN_EVENT] = e->n_events;
    if (e->value.on) {
        end_values(e);
    }
    if (e->phys.on) {
        n[QTRACE_COLUMN_PHYS] = rows.n_accesses;
        n[QTRACE_COLUMN_DEVICE] = e->phys.n_devices;
    }
}

/* ---- counts ---- */

static int count_left(struct qtrace_counts *c, const struct qt_encoder *e)
{
    struct qtrace_insn_count *insn;
    uint32_t what[2], number;
    size_t i;

    for (i = 0; i < e->left.len; i += sizeof(what)) {
        memcpy(what, e->left.data + i, sizeof(what));
        number = qt_counts_block(c, what[0]);
        insn = number == QT_COUNTS_NONE ? NULL : qt_counts_insn(c, number, what[1]);
        if (insn == NULL) {
            return QTRACE_E_NOMEM;
        }
        insn->left++;
    }
    return QTRACE_OK;
}

static int count_node(struct qtrace_counts *c, const struct qt_node *node, uint32_t block)
{
    struct qtrace_insn_count *insn;
    uint32_t number = block == NO_BLOCK ? QT_COUNTS_CARRIED : qt_counts_block(c, block);

    insn = number == QT_COUNTS_NONE
               ? NULL
               : qt_counts_insn(c, number, qt_word_access_insn(node->key & 0xffff));
    if (insn == NULL) {
        return QTRACE_E_NOMEM;
    }
    if (qt_word_access_flags(node->key & 0xffff) & QTRACE_ACCESS_STORE) {
        insn->stores += node->count;
    } else {
        insn->loads += node->count;
    }
    return QTRACE_OK;
}

int qt_encoder_count(const struct qt_encoder *e, struct qtrace_counts *counts)
{
    const struct qt_predictor *p = &e->predictor;
    uint32_t i, number;
    int ret = QTRACE_OK;

    qt_counts_clear(counts);
    if (p->n_entries == 1u << p->bits || p->n_nodes == 2u << p->bits) {
        return QTRACE_END;
    }
    for (i = 1; i < p->n_entries; i++) {
        number = qt_counts_block(counts, p->entry[i].id);
        if (number == QT_COUNTS_NONE) {
            return QTRACE_E_NOMEM;
        }
        counts->block[number].count.executions += p->entry[i].count;
    }
    for (i = 1; ret == QTRACE_OK && i < p->n_nodes; i++) {
        ret = count_node(counts, &p->node[i], p->lessons[i].block);
    }
    return ret == QTRACE_OK ? count_left(counts, e) : ret;
}

/* ---- batches ---- */

/* A batch on its way into columns. */
struct batch_encoder {
    struct qt_rows rows;
    struct qt_encoder *e;
    const struct qtrace_batch *b;
    const struct qt_lengths *lengths;
    uint32_t n_foreign, n_wide; /* so far */
    size_t room; /* rows that the columns have room for */
};

static const char no_memory[] = "out of memory";

/* Rows for which room is made at once: for all of a batch it would be much more than it needs. */
#define ROOM 4096

static bool make_room(struct batch_encoder *d, size_t rows)
{
    const size_t more = rows > ROOM ? rows : ROOM;

    if (d->room < rows) {
        qt_rows_store(d->e, &d->rows);
        if (qt_encoder_reserve(d->e, more) < 0 ||
            (d->e->value.on && qt_encoder_reserve_values(d->e, more * QT_VALUE_WORDS) < 0) ||
            (d->e->phys.on && qt_encoder_reserve_phys(d->e, more, d->b->n_devices) < 0)) {
            return false;
        }
        d->rows = qt_rows_load(d->e);
        d->room = more;
    }
    d->room -= rows;
    return true;
}

static const char *batch_value(struct batch_encoder *d, uint32_t row, uint32_t node)
{
    const struct qtrace_batch *b = d->b;
    const unsigned flags = b->flags[row], n = qt_value_words(flags, d->e->value.log2);
    const uint64_t mask = n == 0 ? 0 : qt_value_mask(flags);
    const struct qt_value_access access = {node, flags, b->vaddr[row]};
    uint64_t word[QT_VALUE_WORDS] = {b->value[row]};
    unsigned i;

    if (word[0] & ~mask) {
        return "a value has more bytes than its access";
    }
    for (i = 1; i < n; i++, d->n_wide++) {
        const struct qtrace_wide *w = &b->wide[d->n_wide];

        if (d->n_wide == b->n_wide || w->access_row != row || w->word != i) {
            return "values and their accesses disagree";
        }
        word[i] = w->value;
    }
    qt_values_put(&d->e->value, &access, word);
    return NULL;
}

static const char *batch_phys(struct batch_encoder *d, uint32_t row)
{
    const struct qtrace_batch *b = d->b;
    struct qt_physical physical = {b->phys[row], b->phys_kind[row]};
    const struct qtrace_device *device = NULL;

    if (physical.kind == QTRACE_PHYS_NONE && physical.address != 0) {
        return "an access without a physical address has one";
    }
    if (physical.kind >= QTRACE_PHYS_IO) {
        if (physical.kind - QTRACE_PHYS_IO >= b->n_devices) {
            return "an access has a device that its batch has not";
        }
        device = &b->device[physical.kind - QTRACE_PHYS_IO];
        physical.kind = QTRACE_PHYS_IO + device->number;
    }
    qt_phys_put(&d->e->phys, b->vaddr[row], &physical, device);
    return NULL;
}

static const char *batch_access(struct batch_encoder *d, uint32_t row)
{
    const struct qtrace_batch *b = d->b;
    const uint32_t key = (uint32_t)(qt_word_insn(b->insn[row]) | qt_word_flags(b->flags[row]));
    const struct qtrace_foreign *f;
    const char *why;
    uint32_t node;

    if (b->flags[row] & ~QT_ACCESS_FLAGS) {
        return "an access has unknown flags";
    }
    if (b->insn[row] >= QTRACE_MAX_BLOCK_INSNS) {
        return "an access has an instruction that its block has not";
    }
    if (!(b->flags[row] & QTRACE_ACCESS_FOREIGN)) {
        node = qt_rows_access(&d->rows, d->e, key, b->vaddr[row]);
        if (node == QT_NO_NODE) {
            return "an access has an instruction that its block has not";
        }
    } else {
        f = &b->foreign[d->n_foreign];
        if (d->n_foreign == b->n_foreign || f->access_row != row ||
            b->insn[row] >= qt_length(d->lengths, f->block)) {
            return "foreign accesses and their rows disagree";
        }
        node = qt_rows_foreign(&d->rows, d->e, f->block, key, b->vaddr[row]);
        d->n_foreign++;
    }
    why = d->e->value.on ? batch_value(d, row, node) : NULL;
    return why == NULL && d->e->phys.on ? batch_phys(d, row) : why;
}

/* The accesses of a row, up to end. */
static const char *batch_accesses(struct batch_encoder *d, uint32_t end)
{
    const char *why = NULL;
    uint32_t row = d->rows.n_accesses;

    if (end < row || end > d->b->n_accesses) {
        return "the ends of accesses are out of order";
    }
    if (!make_room(d, end - row)) {
        return no_memory;
    }
    for (; why == NULL && row < end; row++) {
        why = batch_access(d, row);
    }
    return why;
}

/* Is everything in the batch taken? */
static const char *batch_rest(const struct batch_encoder *d)
{
    if (d->rows.n_accesses != d->b->n_accesses) {
        return "the ends of accesses are out of order";
    }
    if (d->n_foreign != d->b->n_foreign) {
        return "foreign accesses and their rows disagree";
    }
    return d->e->value.on && d->n_wide != d->b->n_wide ? "values and their accesses disagree"
                                                       : NULL;
}

static const char *batch_blocks(struct qt_encoder *e, const struct qtrace_batch *b,
                                const struct qt_lengths *lengths)
{
    struct batch_encoder d = {.rows = qt_rows_load(e), .e = e, .b = b, .lengths = lengths};
    const char *why = batch_accesses(&d, b->access_begin);
    uint32_t i, left;

    for (i = 0; why == NULL && i < b->n_blocks; i++) {
        if (!make_room(&d, 1)) {
            return no_memory;
        }
        if (!qt_rows_block(&d.rows, e, b->block[i], lengths)) {
            return "a block is not defined";
        }
        left = d.rows.length - b->started[i];
        if (left != 0) {
            qt_rows_store(e, &d.rows);
            if (!qt_encoder_left(e, left)) {
                return "a block cannot have started so many instructions";
            }
            d.rows = qt_rows_load(e);
        }
        why = batch_accesses(&d, b->access_end[i]);
    }
    qt_rows_store(e, &d.rows);
    return why == NULL ? batch_rest(&d) : why;
}

static int batch_events(struct qt_encoder *e, const struct qtrace_batch *b)
{
    int ret = QTRACE_OK;
    uint32_t i;

    for (i = 0; ret == QTRACE_OK && i < b->n_events; i++) {
        ret = qt_encoder_event(e, &b->event[i]);
    }
    return ret;
}

/* Tables for so many rows: most of them repeat others. */
static unsigned table_bits(uint64_t rows)
{
    unsigned bits = QT_BITS_MIN;

    while (bits < QT_BITS_MAX && rows >> (bits + 3) != 0) {
        bits++;
    }
    return bits;
}

/* log2 of the bytes of the largest access that has a value, or too much. */
static unsigned value_log2(const struct qtrace_batch *b)
{
    unsigned log2 = 0;

    while (log2 <= QT_VALUE_LOG2 && 1u << log2 != b->value_max) {
        log2++;
    }
    return log2;
}

static int begin_batch(struct qt_encoder *e, const struct qtrace_batch *b, uint64_t rows)
{
    if (qt_encoder_begin(e, table_bits(rows), b->first_seq, b->first_time) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (qt_batch_has_values(b) && qt_encoder_values(e, value_log2(b)) < 0) {
        return QTRACE_E_NOMEM;
    }
    return qt_batch_has_phys(b) ? qt_encoder_phys(e) : QTRACE_OK;
}

int qt_encoder_add_batch(struct qt_encoder *e, const struct qtrace_batch *batch,
                         const struct qt_lengths *lengths, const char **why)
{
    int ret;

    *why = batch_blocks(e, batch, lengths);
    if (*why != NULL) {
        return *why == no_memory ? QTRACE_E_NOMEM : QTRACE_E_INVALID;
    }
    ret = batch_events(e, batch);
    *why = ret == QTRACE_E_INVALID ? "an event is wrong or out of order" : no_memory;
    return ret;
}

/* Has each device a number of its own, and is nothing of it too large? */
static bool devices_are_valid(const struct qtrace_batch *b)
{
    bool seen[QTRACE_MAX_DEVICES] = {false};
    uint32_t i;

    for (i = 0; i < b->n_devices; i++) {
        const struct qtrace_device *device = &b->device[i];

        if (device->number >= QTRACE_MAX_DEVICES || seen[device->number] ||
            strlen(device->name) > QT_DEVICE_NAME_MAX) {
            return false;
        }
        seen[device->number] = true;
    }
    return true;
}

int qt_encoder_batch(struct qt_encoder *e, const struct qtrace_batch *batch,
                     const struct qt_lengths *lengths, const char **why)
{
    const uint64_t rows = (uint64_t)batch->n_blocks + batch->n_accesses;
    int ret;

    if (rows > QT_MAX_ROWS || batch->n_events > QT_MAX_EVENTS) {
        *why = "a batch has too many rows";
        return QTRACE_E_INVALID;
    }
    if (qt_batch_has_values(batch) && value_log2(batch) > QT_VALUE_LOG2) {
        *why = "values cannot be of such a size";
        return QTRACE_E_INVALID;
    }
    if (qt_batch_has_phys(batch) && !devices_are_valid(batch)) {
        *why = "a batch has impossible devices";
        return QTRACE_E_INVALID;
    }
    *why = no_memory;
    if (begin_batch(e, batch, rows) < 0) {
        return QTRACE_E_NOMEM;
    }
    ret = qt_encoder_add_batch(e, batch, lengths, why);
    qt_encoder_end(e);
    return ret;
}
