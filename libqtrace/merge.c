/*
 * merge.c - all streams of a trace in one order
 *
 * Each stream has a cursor that stands before its next piece: the rows up to the next event, or
 * that event. Cursors that could go on are in a heap by the place of their piece in the order of
 * all streams. Those whose next piece needs a translation that another stream has yet to deliver
 * wait outside the heap. Batches are loaded when their cursor comes to the front and freed when
 * it leaves them, so that memory depends on the number of live streams only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/merge.h"

#include <stdlib.h>
#include <string.h>

#include "ahead.h"
#include "scan.h"

/* A whole trace delivers an awaited translation soon: its sequence numbers are taken when it
 * happens. Once the others are this far ahead, it is one of the rows that are lost. */
#define PATIENCE (UINT64_C(1) << 16)

struct cursor {
    uint32_t stream, vcpu;
    size_t *frame; /* indices of the stream's frames, in order */
    size_t n_frames, next_frame;

    struct qtrace_batch *batch; /* NULL: the next frame is not loaded yet */
    uint32_t blocks, accesses;  /* rows of its frame, which the batch may not have */
    uint32_t block_row, access_row, event;
    uint64_t id_end; /* all translation ids of the batch's rows are below */
    uint64_t seq;       /* of the last event before the next piece */
    uint64_t key;       /* place of the next piece */

    uint64_t next_block, next_access, next_event; /* ordinals that should follow */
    bool missing; /* rows are missing before the next piece */
    bool forced;  /* the next piece is delivered whatever it waits for */
};

struct qtrace_merge {
    struct qtrace_reader *reader;
    struct cursor *cursor;
    size_t n_cursors;
    struct cursor **heap, **waiting;
    size_t n_heap, n_waiting;
    struct qt_ahead *ahead; /* NULL = no threads */
    unsigned distance;      /* frames of a stream that are read ahead */
    struct qtrace_batch *retired; /* left by its cursor, still lent to the caller */
    uint64_t next_translation;    /* every lower id is delivered, or given up */
};

static bool before(const struct cursor *a, const struct cursor *b)
{
    return a->key != b->key ? a->key < b->key : a->stream < b->stream;
}

static void heap_push(struct qtrace_merge *m, struct cursor *c)
{
    size_t i = m->n_heap++;

    while (i > 0 && before(c, m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = c;
}

static struct cursor *heap_pop(struct qtrace_merge *m)
{
    struct cursor *top = m->heap[0];
    struct cursor *last = m->heap[--m->n_heap];
    size_t i = 0;

    for (size_t child = 1; child < m->n_heap; child = 2 * i + 1) {
        if (child + 1 < m->n_heap && before(m->heap[child + 1], m->heap[child])) {
            child++;
        }
        if (!before(m->heap[child], last)) {
            break;
        }
        m->heap[i] = m->heap[child];
        i = child;
    }
    if (m->n_heap > 0) {
        m->heap[i] = last;
    }
    return top;
}

/* ---- opening ---- */

/* Room for every stream that is listed or that a frame names. */
static size_t count_streams(const struct qtrace_reader *reader)
{
    size_t n = qtrace_reader_n_streams(reader);

    for (size_t i = 0; i < qtrace_reader_n_frames(reader); i++) {
        const struct qtrace_frame_info *f = qtrace_reader_frame(reader, i);
        if (f->of_stream && f->stream >= n) {
            n = (size_t)f->stream + 1;
        }
    }
    return n;
}

static int list_frames(struct qtrace_merge *m)
{
    size_t n = qtrace_reader_n_frames(m->reader);

    for (size_t i = 0; i < n; i++) {
        const struct qtrace_frame_info *f = qtrace_reader_frame(m->reader, i);
        if (f->of_stream) {
            m->cursor[f->stream].n_frames++;
        }
    }
    for (size_t s = 0; s < m->n_cursors; s++) {
        struct cursor *c = &m->cursor[s];
        c->stream = (uint32_t)s;
        c->frame = c->n_frames > 0 ? malloc(c->n_frames * sizeof(c->frame[0])) : NULL;
        if (c->n_frames > 0 && c->frame == NULL) {
            return QTRACE_E_NOMEM;
        }
        c->n_frames = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct qtrace_frame_info *f = qtrace_reader_frame(m->reader, i);
        if (f->of_stream) {
            struct cursor *c = &m->cursor[f->stream];
            c->frame[c->n_frames++] = i;
        }
    }
    return QTRACE_OK;
}

/* The place of the next frame, as far as its header tells. */
static void aim_at_frame(struct qtrace_merge *m, struct cursor *c)
{
    const struct qtrace_frame_info *f = qtrace_reader_frame(m->reader, c->frame[c->next_frame]);

    c->vcpu = f->vcpu;
    c->seq = f->first_seq;
    c->key = f->first_seq;
}

int qtrace_merge_open(struct qtrace_merge **out, struct qtrace_reader *reader,
                      struct qtrace_error *err)
{
    struct qtrace_merge *m = calloc(1, sizeof(*m));
    size_t n = count_streams(reader);

    *out = NULL;
    if (m == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    m->reader = reader;
    m->n_cursors = n;
    m->cursor = calloc(n + 1, sizeof(*m->cursor));
    m->heap = calloc(n + 1, sizeof(struct cursor *));
    m->waiting = calloc(n + 1, sizeof(struct cursor *));
    if (!m->cursor || !m->heap || !m->waiting || list_frames(m) != QTRACE_OK) {
        qtrace_merge_close(&m);
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    for (size_t s = 0; s < n; s++) {
        if (m->cursor[s].n_frames > 0) {
            aim_at_frame(m, &m->cursor[s]);
            heap_push(m, &m->cursor[s]);
        }
    }
    *out = m;
    return QTRACE_OK;
}

void qtrace_merge_close(struct qtrace_merge **merge)
{
    struct qtrace_merge *m = merge != NULL ? *merge : NULL;

    if (m == NULL) {
        return;
    }
    qt_ahead_free(m->ahead);
    for (size_t s = 0; m->cursor != NULL && s < m->n_cursors; s++) {
        qtrace_batch_free(&m->cursor[s].batch);
        free(m->cursor[s].frame);
    }
    qtrace_batch_free(&m->retired);
    free(m->cursor);
    free(m->heap);
    free(m->waiting);
    free(m);
    *merge = NULL;
}

/* ---- cursors ---- */

static uint64_t end_of_ids(const struct qtrace_batch *b)
{
    uint64_t end = 0;

    for (uint32_t i = 0; i < b->n_blocks; i++) {
        end = b->block[i] >= end ? b->block[i] + UINT64_C(1) : end;
    }
    return end;
}

/* What the recorder counted as lost within a batch is told by its own event; only what is
 * missing on top of that is a gap. */
static void expect_after(struct cursor *c, const struct qtrace_batch *b)
{
    c->next_block = b->first_block + c->blocks;
    c->next_access = b->first_access + c->accesses;
    c->next_event = b->first_event + b->n_events;
    for (uint32_t i = 0; i < b->n_events; i++) {
        if (b->event[i].kind == QTRACE_EVENT_LOST) {
            c->next_block += b->event[i].arg[0];
            c->next_access += b->event[i].arg[2];
            c->next_event += b->event[i].arg[3];
        }
    }
}

void qtrace_merge_read_ahead(struct qtrace_merge *merge, unsigned threads)
{
    if (merge->ahead == NULL && threads > 0 && !qtrace_reader_is_indexed(merge->reader)) {
        merge->ahead = qt_ahead_new(merge->reader, threads);
        merge->distance = threads + 1;
    }
}

static int read_next(struct qtrace_merge *m, struct cursor *c, struct qtrace_batch **batch,
                     struct qtrace_error *err)
{
    size_t frame = c->frame[c->next_frame++];

    *batch = m->ahead != NULL ? qt_ahead_take(m->ahead, frame) : NULL;
    for (size_t i = c->next_frame; m->ahead != NULL && i < c->n_frames &&
         i < c->next_frame + m->distance; i++) {
        qt_ahead_want(m->ahead, c->frame[i]);
    }
    return *batch != NULL ? QTRACE_OK : qtrace_reader_read(m->reader, frame, batch, err);
}

/* The memory of a batch that its cursor has left may be that of one to come. */
static void leave(struct qtrace_merge *m, struct qtrace_batch **batch)
{
    if (*batch == NULL) {
        return;
    }
    if (m->reader->coder.spare == NULL) {
        m->reader->coder.spare = *batch;
        *batch = NULL;
    } else if (m->ahead != NULL) {
        qt_ahead_give(m->ahead, batch);
    } else {
        qtrace_batch_free(batch);
    }
}

/* Load the next frame that can be read. QTRACE_END: there is none. */
static int load(struct qtrace_merge *m, struct cursor *c, struct qtrace_error *err)
{
    const struct qtrace_frame_info *f;

    while (c->next_frame < c->n_frames) {
        struct qtrace_batch *b = NULL;
        int code = read_next(m, c, &b, err);

        if (code == QTRACE_E_NOMEM || code == QTRACE_E_IO) {
            return code;
        }
        if (code != QTRACE_OK) {
            c->missing = true;
            continue;
        }
        if (b->first_block != c->next_block || b->first_access != c->next_access ||
            b->first_event != c->next_event) {
            c->missing = true;
        }
        f = qtrace_reader_frame(m->reader, c->frame[c->next_frame - 1]);
        c->blocks = (uint32_t)f->blocks;
        c->accesses = (uint32_t)f->accesses;
        expect_after(c, b);
        c->batch = b;
        c->vcpu = b->vcpu;
        c->block_row = c->access_row = c->event = 0;
        c->id_end = m->n_cursors > 1 ? end_of_ids(b) : 0;
        c->seq = b->first_seq;
        return QTRACE_OK;
    }
    return QTRACE_END;
}

/* Where the rows before the next event end. */
static void rows_end(const struct cursor *c, uint32_t *blocks, uint32_t *accesses)
{
    const struct qtrace_batch *b = c->batch;

    *blocks = c->blocks;
    *accesses = c->accesses;
    if (c->event < b->n_events) {
        *blocks = b->event[c->event].block_row;
        *accesses = b->event[c->event].access_row;
    }
}

static bool rows_are_next(const struct cursor *c)
{
    uint32_t blocks, accesses;

    rows_end(c, &blocks, &accesses);
    return c->block_row < blocks || c->access_row < accesses;
}

/* Take the cursor to a loaded batch with something left in it and work out its key. */
static int settle(struct qtrace_merge *m, struct cursor *c, struct qtrace_error *err)
{
    for (;;) {
        if (c->batch == NULL) {
            int code = load(m, c, err);
            if (code != QTRACE_OK) {
                return code;
            }
        }
        if (rows_are_next(c)) {
            c->key = c->seq;
            return QTRACE_OK;
        }
        if (c->event < c->batch->n_events) {
            c->key = c->batch->event[c->event].seq;
            return QTRACE_OK;
        }
        leave(m, &c->batch);
    }
}

/* ---- translations ---- */

/* The row's own accesses begin here, as far as the batch tells. */
static uint32_t access_begin(const struct cursor *c, uint32_t row)
{
    const struct qtrace_batch *b = c->batch;

    if (b->n_accesses < c->accesses) {
        return c->access_row;
    }
    return row > 0 ? b->access_end[row - 1] : b->access_begin;
}

/* The first row from c->block_row on, and before end, that runs a block not yet translated. */
static uint32_t first_untranslated(const struct qtrace_merge *m, const struct cursor *c,
                                   uint32_t end)
{
    const struct qtrace_batch *b = c->batch;

    /* In a single stream everything is in place by itself. */
    if (m->n_cursors == 1 || c->id_end <= m->next_translation) {
        return end;
    }
    for (uint32_t i = c->block_row; i < end; i++) {
        if (b->block[i] >= m->next_translation) {
            return i;
        }
    }
    return end;
}

/* Does the next piece need a translation that is not delivered yet? If so, which one is it
 * itself or has to be there: *id. */
static bool must_wait(const struct qtrace_merge *m, const struct cursor *c, uint64_t *id)
{
    if (m->n_cursors == 1) {
        return false;
    }
    if (rows_are_next(c)) {
        uint32_t blocks, accesses;

        rows_end(c, &blocks, &accesses);
        if (c->block_row < blocks && c->id_end > m->next_translation &&
            c->batch->block[c->block_row] >= m->next_translation) {
            *id = c->batch->block[c->block_row];
            return c->access_row >= access_begin(c, c->block_row);
        }
        return false;
    }
    const struct qtrace_event *e = &c->batch->event[c->event];
    *id = e->arg[0];
    return e->kind == QTRACE_EVENT_TRANSLATION && *id > m->next_translation;
}

static void wake_all(struct qtrace_merge *m)
{
    while (m->n_waiting > 0) {
        heap_push(m, m->waiting[--m->n_waiting]);
    }
}

/* Nobody else can deliver what the first of those who wait needs: it goes on without. */
static void give_up_waiting(struct qtrace_merge *m)
{
    size_t first = 0;

    for (size_t i = 1; i < m->n_waiting; i++) {
        if (before(m->waiting[i], m->waiting[first])) {
            first = i;
        }
    }
    m->waiting[first]->forced = true;
    wake_all(m);
}

static bool patience_is_over(const struct qtrace_merge *m)
{
    for (size_t i = 0; i < m->n_waiting; i++) {
        uint64_t ready = m->heap[0]->key, key = m->waiting[i]->key;

        if (ready > key && ready - key > PATIENCE) {
            return true;
        }
    }
    return false;
}

/* ---- items ---- */

static void take_rows(struct qtrace_merge *m, struct cursor *c, struct qtrace_item *item)
{
    uint32_t blocks, accesses;

    rows_end(c, &blocks, &accesses);
    uint32_t split = first_untranslated(m, c, blocks);
    if (split < blocks) {
        /* Accesses that are left of the block before come first, without any block row. */
        blocks = split;
        accesses = access_begin(c, split);
        accesses = accesses < c->access_row ? c->access_row : accesses;
    }
    item->kind = QTRACE_ITEM_RUN;
    item->block_begin = c->block_row;
    item->block_end = blocks;
    item->access_begin = c->access_row;
    item->access_end = accesses;
    c->block_row = blocks;
    c->access_row = accesses;
}

static void take_event(struct qtrace_merge *m, struct cursor *c, struct qtrace_item *item)
{
    const struct qtrace_event *e = &c->batch->event[c->event++];

    item->kind = QTRACE_ITEM_EVENT;
    item->event = e;
    c->seq = e->seq;
    if (e->kind == QTRACE_EVENT_TRANSLATION && e->arg[0] >= m->next_translation) {
        m->next_translation = e->arg[0] + 1;
        wake_all(m);
    }
}

static void take(struct qtrace_merge *m, struct cursor *c, struct qtrace_item *item)
{
    memset(item, 0, sizeof(*item));
    item->stream = c->stream;
    item->vcpu = c->vcpu;
    if (c->missing) {
        c->missing = false;
        item->kind = QTRACE_ITEM_GAP;
        return;
    }
    item->batch = c->batch;
    item->frame = c->frame[c->next_frame - 1];
    if (rows_are_next(c)) {
        take_rows(m, c, item);
    } else {
        take_event(m, c, item);
    }
}

/* After an item: put the cursor back. A batch that is used up stays with the caller until the
 * next call. */
static void put_back(struct qtrace_merge *m, struct cursor *c)
{
    if (c->batch != NULL && !rows_are_next(c) && c->event == c->batch->n_events) {
        m->retired = c->batch;
        c->batch = NULL;
        if (c->next_frame == c->n_frames) {
            return;
        }
        aim_at_frame(m, c);
    } else if (rows_are_next(c)) {
        c->key = c->seq;
    } else {
        c->key = c->batch->event[c->event].seq;
    }
    heap_push(m, c);
}

int qtrace_merge_next(struct qtrace_merge *m, struct qtrace_item *item,
                      struct qtrace_error *err)
{
    leave(m, &m->retired);
    for (;;) {
        uint64_t id = 0;

        if (m->n_waiting > 0 && (m->n_heap == 0 || patience_is_over(m))) {
            give_up_waiting(m);
        }
        if (m->n_heap == 0) {
            return QTRACE_END;
        }
        struct cursor *c = heap_pop(m);
        int code = settle(m, c, err);
        if (code == QTRACE_END) {
            continue;
        }
        if (code != QTRACE_OK) {
            return code;
        }
        /* Only now is the key exact. */
        if (m->n_heap > 0 && before(m->heap[0], c)) {
            heap_push(m, c);
            continue;
        }
        if (!c->missing && must_wait(m, c, &id)) {
            if (!c->forced) {
                m->waiting[m->n_waiting++] = c;
                continue;
            }
            if (rows_are_next(c)) {
                m->next_translation = id + 1;
            }
        }
        c->forced = c->forced && c->missing;
        take(m, c, item);
        put_back(m, c);
        return QTRACE_OK;
    }
}
