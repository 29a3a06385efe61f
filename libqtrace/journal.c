/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal.h"

/* A unit: the number of the next one, then bytes. The bytes of a journal's units are a sequence of
 * records: a checkpoint, then what each column has more than in the one before. */
#define UNIT_HEAD sizeof(uint32_t)
#define UNIT_BYTES (QT_LIVE_UNIT - UNIT_HEAD)

#define NO_UNIT UINT32_MAX

/* Of memory, at most; a unit has several. */
#define PAGE ((size_t)4096)

/* ---- writing ---- */

static uint32_t new_unit(struct qt_live *live)
{
    uint8_t *unit = qt_live_alloc(live, QT_LIVE_UNIT);

    if (unit == NULL) {
        return NO_UNIT;
    }
    if (!qt_live_populate(unit, PAGE)) {
        qt_live_recycle(live, unit, QT_LIVE_UNIT);
        return NO_UNIT;
    }
    return (uint32_t)((size_t)(unit - live->arena) / QT_LIVE_UNIT);
}

/* More of a unit that has its pages up to the one of byte `from` (many journals are short). */
static bool populate(uint8_t *unit, size_t from, size_t to)
{
    const size_t first = (from + PAGE - 1) / PAGE * PAGE, end = (to + PAGE - 1) / PAGE * PAGE;

    return first >= end || qt_live_populate(unit + first, end - first);
}

static uint32_t next_of(const struct qt_live *live, uint32_t unit)
{
    uint32_t next;

    memcpy(&next, qt_live_unit(live, unit), sizeof(next));
    return next;
}

static void free_units(struct qt_live *live, uint32_t first, uint32_t last)
{
    uint32_t next;

    for (; first != NO_UNIT; first = next) {
        next = first == last ? NO_UNIT : next_of(live, first);
        qt_live_recycle(live, qt_live_unit(live, first), QT_LIVE_UNIT);
    }
}

static bool append(struct qt_journal *j, struct qt_live *live, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size > 0) {
        const size_t used = j->bytes % UNIT_BYTES;
        const size_t n = size < UNIT_BYTES - used ? size : UNIT_BYTES - used;

        if (used == 0 && j->bytes > 0) {
            const uint32_t unit = new_unit(live);

            if (unit == NO_UNIT) {
                return false;
            }
            memcpy(qt_live_unit(live, j->last), &unit, sizeof(unit));
            j->last = unit;
        }
        if (!populate(qt_live_unit(live, j->last), UNIT_HEAD + used, UNIT_HEAD + used + n)) {
            return false;
        }
        memcpy(qt_live_unit(live, j->last) + UNIT_HEAD + used, from, n);
        j->bytes += (uint32_t)n;
        from += n;
        size -= n;
    }
    return true;
}

static bool begin(struct qt_journal *j, struct qt_live *live, uint64_t frames)
{
    j->first = j->last = new_unit(live);
    j->bytes = 0;
    j->frames = frames;
    j->begun = j->first != NO_UNIT;
    memset(j->copied, 0, sizeof(j->copied));
    return j->begun;
}

static void describe(struct qt_checkpoint *s, const struct qt_builder *b)
{
    const struct qt_encoder *e = &b->encoder;
    unsigned i;

    *s = (struct qt_checkpoint){
        .first_block = b->head.first_block,
        .first_insn = b->head.first_insn,
        .first_access = b->head.first_access,
        .first_event = b->head.first_event,
        .seq = b->seq,
        .time = b->time,
        .lost = b->lost,
        .total_lost = b->total_lost,
        .open = b->open,
        .after_loss = b->after_loss,
        .dropping = b->dropping,
        .pending = b->pending,
    };
    if (!b->open) {
        return;
    }
    s->first_seq = e->first_seq;
    s->first_time = e->first_time;
    s->n_insns = e->rows.n_insns;
    s->n_blocks = e->rows.n_blocks;
    s->n_accesses = e->rows.n_accesses;
    s->n_events = e->n_events;
    s->rows[QTRACE_COLUMN_STARTED] = (uint32_t)e->column_rows[QTRACE_COLUMN_STARTED];
    s->rows[QTRACE_COLUMN_ACCESS_LITERAL] = e->rows.n_literals;
    s->rows[QTRACE_COLUMN_VALUE_LITERAL] = e->value.n_literals;
    s->rows[QTRACE_COLUMN_DEVICE] = e->phys.n_devices;
    s->bits = e->predictor.bits;
    s->end = *e->rows.next != 0;
    s->end_run = e->rows.shape_run;
    s->values = e->value.on;
    s->phys = e->phys.on;
    for (i = 0; i < QT_COLUMNS; i++) {
        s->bytes[i] = (uint32_t)e->column[i].len;
    }
}

static bool add_record(struct qt_journal *j, struct qt_live *live, const struct qt_builder *b,
                       const struct qt_checkpoint *s)
{
    unsigned i;

    if (!append(j, live, s, sizeof(*s))) {
        return false;
    }
    for (i = 0; i < QT_COLUMNS; i++) {
        if (s->bytes[i] > j->copied[i] &&
            !append(j, live, b->encoder.column[i].data + j->copied[i],
                    s->bytes[i] - j->copied[i])) {
            return false;
        }
        j->copied[i] = s->bytes[i];
    }
    return true;
}

void qt_journal_save(struct qt_journal *j, struct qt_live *live, const struct qt_builder *b,
                     uint64_t chunk, uint64_t words)
{
    struct qt_journal old = {.first = NO_UNIT};
    struct qt_checkpoint state;
    bool good = true;

    if (!j->begun || j->frames != b->n_frames) {
        old.first = j->begun ? j->first : NO_UNIT;
        old.last = j->last;
        good = begin(j, live, b->n_frames);
    }
    if (good) {
        describe(&state, b);
        state.chunk = chunk;
        state.words = words;
        good = add_record(j, live, b, &state);
    }
    atomic_store_explicit(&j->commit,
                          good ? (uint64_t)j->first << 32 | j->bytes : QT_JOURNAL_LOST,
                          memory_order_release);
    free_units(live, old.first, old.last);
    if (!good) {
        qt_journal_drop(j, live);
    }
}

void qt_journal_drop(struct qt_journal *j, struct qt_live *live)
{
    if (j->begun) {
        free_units(live, j->first, j->last);
        j->begun = false;
    }
}

/* ---- reading: the file is not trusted ---- */

/* All bytes of a journal, from unit to unit. */
static int gather(const struct qt_live *live, uint64_t commit, struct qt_buf *all)
{
    uint64_t unit = commit >> 32;
    size_t left = commit & UINT32_MAX;

    while (left > 0) {
        const uint8_t *p = qt_live_unit(live, unit);
        const size_t n = left < UNIT_BYTES ? left : UNIT_BYTES;

        if (p == NULL || all->len > live->n_units * QT_LIVE_UNIT) {
            return QTRACE_E_DAMAGED;
        }
        if (qt_buf_append(all, p + UNIT_HEAD, n) < 0) {
            return QTRACE_E_NOMEM;
        }
        unit = next_of(live, (uint32_t)unit);
        left -= n;
    }
    return QTRACE_OK;
}

static int take_record(struct qt_cursor *c, struct qt_checkpoint *state, struct qt_buf *column)
{
    unsigned i;

    if (qt_cursor_left(c) < sizeof(*state)) {
        return QTRACE_E_DAMAGED;
    }
    memcpy(state, c->p, sizeof(*state));
    c->p += sizeof(*state);
    for (i = 0; i < QT_COLUMNS; i++) {
        const size_t n = state->bytes[i] - column[i].len;

        if (state->bytes[i] < column[i].len || n > qt_cursor_left(c)) {
            return QTRACE_E_DAMAGED;
        }
        if (n > 0 && qt_buf_append(&column[i], c->p, n) < 0) {
            return QTRACE_E_NOMEM;
        }
        c->p += n;
    }
    return QTRACE_OK;
}

/* The end of the last row, which the encoder would have written. */
static int end_row(const struct qt_checkpoint *state, struct qt_buf *shape)
{
    if (!state->end) {
        return QTRACE_OK;
    }
    if (qt_buf_reserve(shape, QT_TOKEN_MAX) < 0) {
        return QTRACE_E_NOMEM;
    }
    shape->len = (size_t)(qt_put_token(shape->data + shape->len, QT_SHAPE_KINDS, QT_SHAPE_END,
                                       state->end_run & (QT_MAX_RUN - 1)) - shape->data);
    return QTRACE_OK;
}

int qt_journal_load(const struct qt_live *live, uint64_t commit, struct qt_checkpoint *state,
                    struct qt_buf column[QT_COLUMNS])
{
    struct qt_buf all = {0};
    struct qt_cursor c;
    unsigned i;
    int ret;

    for (i = 0; i < QT_COLUMNS; i++) {
        column[i].len = 0;
    }
    if (commit == QT_JOURNAL_EMPTY) {
        return QTRACE_END;
    }
    ret = commit == QT_JOURNAL_LOST ? QTRACE_E_DAMAGED : gather(live, commit, &all);
    c = qt_cursor(all.data, all.len);
    do {
        ret = ret == QTRACE_OK ? take_record(&c, state, column) : ret;
    } while (ret == QTRACE_OK && qt_cursor_left(&c) > 0);
    qt_buf_finish(&all);
    return ret == QTRACE_OK ? end_row(state, &column[QTRACE_COLUMN_ACCESS_SHAPE]) : ret;
}
