/*
 * columns.c - arrays of a batch to bytes of a column and back
 *
 * The loops over blocks and accesses are the recorder's second hottest code: one pass, no
 * calls, checks gathered in a flag that is looked at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "columns.h"

#include <stdlib.h>

void qt_raw_columns_finish(struct qt_raw_columns *raw)
{
    unsigned i;

    for (i = 0; i < QT_COLUMNS; i++) {
        qt_buf_finish(&raw->column[i]);
    }
    free(raw->addr);
    *raw = (struct qt_raw_columns){0};
}

const char *qtrace_column_name(unsigned id)
{
    static const char *const name[] = {
        [QTRACE_COLUMN_BLOCK] = "block",
        [QTRACE_COLUMN_STARTED] = "started",
        [QTRACE_COLUMN_ACCESS_COUNT] = "access-count",
        [QTRACE_COLUMN_ACCESS_INSN] = "access-insn",
        [QTRACE_COLUMN_ACCESS_FLAGS] = "access-flags",
        [QTRACE_COLUMN_ACCESS_ADDR] = "access-addr",
        [QTRACE_COLUMN_FOREIGN] = "foreign",
        [QTRACE_COLUMN_EVENT] = "event",
        [QTRACE_COLUMN_DEFINITIONS] = "definitions",
    };

    if (id >= sizeof(name) / sizeof(name[0]) || name[id] == NULL) {
        return "?";
    }
    return name[id];
}

/* ---- encoding ---- */

static uint8_t *start(struct qt_raw_columns *raw, unsigned id)
{
    return raw->column[id].data;
}

static void stop(struct qt_raw_columns *raw, unsigned id, const uint8_t *end, uint64_t rows)
{
    raw->column[id].len = rows == 0 ? 0 : (size_t)(end - raw->column[id].data);
    raw->rows[id] = rows;
}

static int reserve(struct qt_raw_columns *raw, const struct qtrace_batch *b)
{
    size_t blocks = b->n_blocks, accesses = b->n_accesses;
    const size_t need[QT_COLUMNS] = {
        [QTRACE_COLUMN_BLOCK] = blocks * 5 + 8,
        [QTRACE_COLUMN_STARTED] = blocks * 8,
        [QTRACE_COLUMN_ACCESS_COUNT] = (blocks + 1) * 5,
        [QTRACE_COLUMN_ACCESS_INSN] = accesses * 3,
        [QTRACE_COLUMN_ACCESS_FLAGS] = accesses,
        [QTRACE_COLUMN_ACCESS_ADDR] = accesses * QT_VARINT_MAX,
        [QTRACE_COLUMN_FOREIGN] = (size_t)b->n_foreign * 10,
        [QTRACE_COLUMN_EVENT] = b->n_events * (6 + (size_t)QTRACE_EVENT_ARGS) * QT_VARINT_MAX,
    };
    unsigned i;

    for (i = 0; i < QT_COLUMNS; i++) {
        raw->column[i].len = 0;
        if (qt_buf_reserve(&raw->column[i], need[i]) < 0) {
            return QTRACE_E_NOMEM;
        }
    }
    if (raw->addr == NULL && accesses > 0) {
        raw->addr = malloc(QT_ADDR_SLOTS * sizeof(*raw->addr));
        return raw->addr == NULL ? QTRACE_E_NOMEM : QTRACE_OK;
    }
    return QTRACE_OK;
}

static const char *encode_blocks(struct qt_raw_columns *raw, const struct qtrace_batch *b,
                                 const struct qt_lengths *lengths)
{
    const struct qt_lengths known = *lengths;
    const uint32_t *const ids = b->block, n = b->n_blocks;
    const uint16_t *const counts = b->started;
    uint8_t *block = start(raw, QTRACE_COLUMN_BLOCK);
    uint8_t *partial = start(raw, QTRACE_COLUMN_STARTED);
    uint32_t i, id, started, length, previous = 0, partial_row = 0, bad = 0;
    uint64_t n_partial = 0, insns = 0;

    for (i = 0; i < n; i++) {
        id = ids[i];
        started = counts[i];
        length = qt_length(&known, id);
        block = qt_put_varint_wide(block, qt_zigzag32(id - previous));
        previous = id;
        insns += started;
        bad |= length == 0;
        if (qt_unlikely(started != length)) {
            bad |= (uint32_t)(started > length) << 1;
            partial = qt_put_varint(partial, i - partial_row);
            partial = qt_put_varint(partial, started);
            partial_row = i;
            n_partial++;
        }
    }
    stop(raw, QTRACE_COLUMN_BLOCK, block, n);
    stop(raw, QTRACE_COLUMN_STARTED, partial, n_partial);
    raw->n_insns = insns;
    if (bad & 1) {
        return "a block row has an undefined translation";
    }
    return bad ? "more instructions started than the block has" : NULL;
}

static const char *encode_counts(struct qt_raw_columns *raw, const struct qtrace_batch *b)
{
    const uint32_t *const ends = b->access_end, n = b->n_blocks;
    uint8_t *p = start(raw, QTRACE_COLUMN_ACCESS_COUNT);
    uint32_t i, end, previous = b->access_begin;
    bool bad = false;

    p = qt_put_varint(p, previous);
    for (i = 0; i < n; i++) {
        end = ends[i];
        bad |= end < previous;
        p = qt_put_varint(p, end - previous);
        previous = end;
    }
    /* Without accesses all counts are 0: no column. */
    stop(raw, QTRACE_COLUMN_ACCESS_COUNT, p, b->n_accesses == 0 ? 0 : n + 1ull);
    return bad || previous != b->n_accesses ? "access_end is wrong" : NULL;
}

static const char *encode_flags(struct qt_raw_columns *raw, const struct qtrace_batch *b)
{
    uint8_t *p = start(raw, QTRACE_COLUMN_ACCESS_FLAGS);
    uint8_t all = 0;
    uint32_t i;

    memcpy(p, b->flags, b->n_accesses);
    for (i = 0; i < b->n_accesses; i++) {
        all |= b->flags[i];
    }
    stop(raw, QTRACE_COLUMN_ACCESS_FLAGS, p + b->n_accesses, b->n_accesses);
    return all & ~QT_ACCESS_FLAGS ? "an access has unknown flags" : NULL;
}

/* Which block an access with QTRACE_ACCESS_FOREIGN belongs to. false: nobody says. */
static inline bool next_foreign(const struct qtrace_batch *b, uint32_t row, uint32_t *foreign,
                                uint32_t *id)
{
    if (*foreign >= b->n_foreign || b->foreign[*foreign].access_row != row) {
        return false;
    }
    *id = b->foreign[(*foreign)++].block;
    return true;
}

/* Everything in local variables: stores of bytes may alias whatever is behind a pointer. */
static const char *encode_accesses(struct qt_raw_columns *raw, const struct qtrace_batch *b,
                                   const struct qt_lengths *lengths)
{
    const struct qt_lengths known = *lengths;
    const struct qtrace_batch in = *b;
    uint8_t *insn_out = start(raw, QTRACE_COLUMN_ACCESS_INSN);
    uint8_t *addr_out = start(raw, QTRACE_COLUMN_ACCESS_ADDR);
    uint64_t *const table = raw->addr, *slot, delta;
    uint32_t row = 0, end = in.access_begin, i = 0, foreign = 0, bad = 0;
    uint32_t id = 0, key = qt_addr_key(0), length = QTRACE_MAX_BLOCK_INSNS, own, limit, insn;

    memset(table, 0, QT_ADDR_SLOTS * sizeof(*table));
    for (;;) {
        for (; row < end; row++) {
            own = key;
            limit = length;
            insn = in.insn[row];
            if (qt_unlikely(in.flags[row] & QTRACE_ACCESS_FOREIGN)) {
                bad |= next_foreign(b, row, &foreign, &id) ? 0 : 2;
                own = qt_addr_key(id);
                limit = qt_length(&known, id);
            }
            bad |= insn >= limit;
            insn_out = qt_put_varint(insn_out, insn);
            slot = &table[qt_addr_slot(own, insn)];
            delta = in.vaddr[row] - *slot;
            *slot = in.vaddr[row];
            addr_out = qt_put_varint_wide(addr_out, qt_zigzag64(delta));
        }
        if (i == in.n_blocks) {
            break;
        }
        id = in.block[i];
        end = in.access_end[i++];
        key = qt_addr_key(id);
        length = qt_length(&known, id);
    }
    stop(raw, QTRACE_COLUMN_ACCESS_INSN, insn_out, in.n_accesses);
    stop(raw, QTRACE_COLUMN_ACCESS_ADDR, addr_out, in.n_accesses);
    if (bad & 2 || foreign != in.n_foreign) {
        return "foreign accesses and their rows disagree";
    }
    return bad ? "an access has an instruction that its block has not" : NULL;
}

static void encode_foreign(struct qt_raw_columns *raw, const struct qtrace_batch *b)
{
    uint8_t *p = start(raw, QTRACE_COLUMN_FOREIGN);
    uint32_t i, previous = 0;

    for (i = 0; i < b->n_foreign; i++) {
        p = qt_put_varint(p, b->foreign[i].access_row - previous);
        p = qt_put_varint(p, b->foreign[i].block);
        previous = b->foreign[i].access_row;
    }
    stop(raw, QTRACE_COLUMN_FOREIGN, p, b->n_foreign);
}

static bool event_is_valid(const struct qtrace_batch *b, uint32_t i)
{
    static const struct qtrace_event none;
    const struct qtrace_event *e = &b->event[i];
    const struct qtrace_event *before = i == 0 ? &none : e - 1;

    return e->kind >= QTRACE_EVENT_SYNC && e->kind <= QTRACE_EVENT_DISCON &&
           e->n_args <= QTRACE_EVENT_ARGS && e->block_row >= before->block_row &&
           e->block_row <= b->n_blocks && e->access_row >= before->access_row &&
           e->access_row <= b->n_accesses &&
           (i == 0 ? e->seq >= b->first_seq : e->seq > before->seq) &&
           (e->kind != QTRACE_EVENT_LOST || (i == 0 && e->n_args >= 4));
}

static uint8_t *encode_event(uint8_t *p, const struct qtrace_event *e,
                             const struct qtrace_event *before)
{
    uint32_t k;

    p = qt_put_varint(p, e->kind);
    p = qt_put_varint(p, e->block_row - before->block_row);
    p = qt_put_varint(p, e->access_row - before->access_row);
    p = qt_put_varint(p, e->seq - before->seq);
    p = qt_put_varint(p, qt_zigzag64(e->time - before->time));
    p = qt_put_varint(p, e->n_args);
    for (k = 0; k < e->n_args; k++) {
        p = qt_put_varint(p, e->arg[k]);
    }
    return p;
}

static const char *encode_events(struct qt_raw_columns *raw, const struct qtrace_batch *b)
{
    struct qtrace_event first = {.seq = b->first_seq, .time = b->first_time};
    const struct qtrace_event *before = &first;
    uint8_t *p = start(raw, QTRACE_COLUMN_EVENT);
    uint32_t i;

    for (i = 0; i < b->n_events; i++) {
        if (!event_is_valid(b, i)) {
            return "an event is wrong or out of order";
        }
        p = encode_event(p, &b->event[i], before);
        before = &b->event[i];
    }
    stop(raw, QTRACE_COLUMN_EVENT, p, b->n_events);
    return NULL;
}

static const char *encode_all(struct qt_raw_columns *raw, const struct qtrace_batch *b,
                              const struct qt_lengths *lengths)
{
    const char *why = encode_blocks(raw, b, lengths);

    if (why == NULL) {
        why = encode_counts(raw, b);
    }
    if (why == NULL && b->n_accesses > 0) {
        why = encode_flags(raw, b);
        if (why == NULL) {
            why = encode_accesses(raw, b, lengths);
        }
    } else if (why == NULL && b->n_foreign > 0) {
        why = "foreign accesses and their rows disagree";
    }
    if (why == NULL) {
        encode_foreign(raw, b);
        why = encode_events(raw, b);
    }
    return why;
}

int qt_columns_encode(struct qt_raw_columns *raw, const struct qtrace_batch *batch,
                      const struct qt_lengths *lengths, const char **why)
{
    if (batch->n_blocks > QT_MAX_ROWS || batch->n_accesses > QT_MAX_ROWS ||
        batch->n_events > QT_MAX_ROWS || batch->n_foreign > batch->n_accesses ||
        batch->access_begin > batch->n_accesses) {
        *why = "a batch has too many rows";
        return QTRACE_E_INVALID;
    }
    if (reserve(raw, batch) < 0) {
        *why = "out of memory";
        return QTRACE_E_NOMEM;
    }
    memset(raw->rows, 0, sizeof(raw->rows));
    *why = encode_all(raw, batch, lengths);
    return *why == NULL ? QTRACE_OK : QTRACE_E_INVALID;
}

/* ---- decoding ---- */

static struct qt_cursor column(const struct qt_column_bytes *bytes, unsigned id)
{
    return qt_cursor(bytes->data[id], bytes->size[id]);
}

static const char *decode_blocks(struct qt_batch *b, const struct qt_column_bytes *bytes,
                                 const struct qt_lengths *lengths)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_BLOCK);
    uint32_t i, id = 0, length;
    uint64_t v;

    for (i = 0; i < b->batch.n_blocks; i++) {
        if (!qt_cursor_max(&c, &v, UINT32_MAX)) {
            return "column block is malformed";
        }
        id += qt_unzigzag32((uint32_t)v);
        length = qt_length(lengths, id);
        if (qt_unlikely(length == 0)) {
            return "a block's definition is lost";
        }
        b->block[i] = id;
        b->started[i] = (uint16_t)length;
    }
    return c.p == c.end ? NULL : "column block is malformed";
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

static const char *decode_counts(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_ACCESS_COUNT);
    uint64_t v, end = 0;
    uint32_t i;

    if (b->batch.n_accesses == 0) {
        for (i = 0; i < b->batch.n_blocks; i++) {
            b->access_end[i] = 0;
        }
        return NULL;
    }
    if (!qt_cursor_max(&c, &end, b->batch.n_accesses)) {
        return "column access-count is malformed";
    }
    b->batch.access_begin = (uint32_t)end;
    for (i = 0; i < b->batch.n_blocks; i++) {
        if (!qt_cursor_max(&c, &v, b->batch.n_accesses - end)) {
            return "column access-count is malformed";
        }
        end += v;
        b->access_end[i] = (uint32_t)end;
    }
    return c.p == c.end && end == b->batch.n_accesses ? NULL
                                                      : "column access-count is malformed";
}

static const char *decode_flags(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    const uint8_t *flags = bytes->data[QTRACE_COLUMN_ACCESS_FLAGS];
    uint32_t i, n = b->batch.n_accesses;
    uint64_t foreign = 0;
    uint8_t all = 0;

    if (bytes->size[QTRACE_COLUMN_ACCESS_FLAGS] != n) {
        return "column access-flags is malformed";
    }
    for (i = 0; i < n; i++) {
        b->flags[i] = flags[i];
        all |= flags[i];
        foreign += (flags[i] & QTRACE_ACCESS_FOREIGN) != 0;
    }
    if (all & ~QT_ACCESS_FLAGS) {
        return "column access-flags has unknown flags";
    }
    return foreign == b->batch.n_foreign ? NULL : "column foreign lacks rows";
}

static const char *decode_foreign(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_FOREIGN);
    uint64_t delta, id, row = 0;
    uint32_t n;

    for (n = 0; n < b->batch.n_foreign; n++) {
        if (!qt_cursor_varint(&c, &delta) || !qt_cursor_max(&c, &id, UINT32_MAX) ||
            (n > 0 && delta == 0) || delta >= b->batch.n_accesses - row ||
            !(b->flags[row + delta] & QTRACE_ACCESS_FOREIGN)) {
            return "column foreign is malformed";
        }
        row += delta;
        b->foreign[n] = (struct qtrace_foreign){(uint32_t)row, (uint32_t)id};
    }
    return c.p == c.end ? NULL : "column foreign is malformed";
}

/* Where the decoder of accesses stands. */
struct access_decoder {
    struct qt_batch *batch;
    const struct qt_lengths *lengths;
    uint64_t *table;
    struct qt_cursor insn, addr;
    uint32_t row, foreign;
};

static bool decode_row(struct access_decoder *d, uint32_t end, uint32_t id, uint32_t length)
{
    struct qt_batch *b = d->batch;
    uint32_t key = qt_addr_key(id), own, limit;
    uint64_t insn, v, *slot;

    for (; d->row < end; d->row++) {
        own = key;
        limit = length;
        if (qt_unlikely(b->flags[d->row] & QTRACE_ACCESS_FOREIGN)) {
            id = b->foreign[d->foreign++].block;
            own = qt_addr_key(id);
            limit = qt_length(d->lengths, id);
        }
        if (!qt_cursor_varint(&d->insn, &insn) || insn >= limit ||
            !qt_cursor_varint(&d->addr, &v)) {
            return false;
        }
        slot = &d->table[qt_addr_slot(own, (uint32_t)insn)];
        *slot += qt_unzigzag64(v);
        b->vaddr[d->row] = *slot;
        b->insn[d->row] = (uint16_t)insn;
    }
    return true;
}

static const char *decode_accesses(struct qt_batch *b, const struct qt_column_bytes *bytes,
                                   const struct qt_lengths *lengths, uint64_t *table)
{
    struct access_decoder d = {
        .batch = b,
        .lengths = lengths,
        .table = table,
        .insn = column(bytes, QTRACE_COLUMN_ACCESS_INSN),
        .addr = column(bytes, QTRACE_COLUMN_ACCESS_ADDR),
    };
    bool good;
    uint32_t i;

    memset(table, 0, QT_ADDR_SLOTS * sizeof(*table));
    good = decode_row(&d, b->batch.access_begin, 0, QTRACE_MAX_BLOCK_INSNS);
    for (i = 0; good && i < b->batch.n_blocks; i++) {
        good = decode_row(&d, b->access_end[i], b->block[i], qt_length(lengths, b->block[i]));
    }
    if (!good || d.insn.p != d.insn.end || d.addr.p != d.addr.end) {
        return "columns access-insn and access-addr are malformed";
    }
    return NULL;
}

static bool decode_event(struct qt_cursor *c, struct qtrace_event *e,
                         const struct qtrace_event *before)
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
    return true;
}

static const char *decode_events(struct qt_batch *b, const struct qt_column_bytes *bytes)
{
    struct qt_cursor c = column(bytes, QTRACE_COLUMN_EVENT);
    struct qtrace_event first = {.seq = b->batch.first_seq, .time = b->batch.first_time};
    const struct qtrace_event *before = &first;
    uint32_t i;

    for (i = 0; i < b->batch.n_events; i++) {
        if (!decode_event(&c, &b->event[i], before) || !event_is_valid(&b->batch, i)) {
            return "column event is malformed";
        }
        before = &b->event[i];
    }
    return c.p == c.end ? NULL : "column event is malformed";
}

static const char *decode_all(struct qt_batch *b, const struct qt_column_bytes *bytes,
                              const struct qt_lengths *lengths, uint64_t *addr)
{
    const char *why = decode_blocks(b, bytes, lengths);

    if (why == NULL) {
        why = decode_started(b, bytes);
    }
    if (why == NULL) {
        why = decode_counts(b, bytes);
    }
    if (why == NULL) {
        why = decode_flags(b, bytes);
    }
    if (why == NULL) {
        why = decode_foreign(b, bytes);
    }
    if (why == NULL && b->batch.n_accesses > 0) {
        why = decode_accesses(b, bytes, lengths, addr);
    }
    return why == NULL ? decode_events(b, bytes) : why;
}

int qt_columns_decode(struct qt_batch *batch, const struct qt_column_bytes *bytes,
                      const struct qt_lengths *lengths, uint64_t *addr, const char **why)
{
    uint32_t i;

    *why = decode_all(batch, bytes, lengths, addr);
    if (*why != NULL) {
        return QTRACE_E_DAMAGED;
    }
    batch->batch.n_insns = 0;
    for (i = 0; i < batch->batch.n_blocks; i++) {
        batch->batch.n_insns += batch->started[i];
    }
    return QTRACE_OK;
}

bool qt_columns_first_event(const uint8_t *data, size_t size, struct qtrace_event *event)
{
    static const struct qtrace_event first;
    struct qt_cursor c = qt_cursor(data, size);

    return decode_event(&c, event, &first);
}
