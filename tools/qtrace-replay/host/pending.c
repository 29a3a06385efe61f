/*
 * pending.c - rows that have happened and of which nobody has asked yet
 *
 * As long as plugins have registered nothing for executions but inline additions, no row of a
 * trace need be looked at when its turn comes. What has happened is noted, and counted when a
 * plugin could see it: whole frames from their summaries, the rest row by row.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include "qtrace/counts.h"

struct pending {
    uint32_t stream;
    unsigned vcpu;
    GArray *frame; /* size_t: those with rows that are not counted */
    uint32_t block, access;         /* rows of the first one that are counted */
    uint32_t block_end, access_end; /* rows of the last one that have happened */
    struct qtrace_batch *batch;     /* rows of batch_frame; NULL = none */
    size_t batch_frame;
};

static GArray *streams; /* struct pending */
static const struct qtrace_item *event; /* whose callbacks are running */

static const struct qtrace_frame_info *frame_info(size_t frame)
{
    return qtrace_reader_frame(host.reader, frame);
}

static size_t frame_at(const struct pending *p, guint i)
{
    return g_array_index(p->frame, size_t, i);
}

static struct pending *pending_of(const struct qtrace_item *item)
{
    struct pending *p = host_by_stream(&streams, sizeof(*p), item->stream);

    if (p->frame == NULL) {
        p->stream = item->stream;
        p->vcpu = item->vcpu;
        p->frame = g_array_new(FALSE, FALSE, sizeof(size_t));
    }
    return p;
}

void host_pending_rows(const struct qtrace_item *item)
{
    struct pending *p = pending_of(item);
    guint n = p->frame->len;

    if (n == 0 || frame_at(p, n - 1) != item->frame) {
        if (n == 0) {
            p->block = item->block_begin;
            p->access = item->access_begin;
        }
        g_array_append_val(p->frame, item->frame);
    }
    p->block_end = item->block_end;
    p->access_end = item->access_end;
}

void host_pending_event(const struct qtrace_item *item)
{
    event = item;
}

/* ---- row by row ---- */

/* NULL: damage, of which the reader has taken note, or a failure. */
static struct qtrace_batch *read_frame(size_t frame, unsigned select)
{
    struct qtrace_batch *batch = NULL;
    struct qtrace_error err;

    qtrace_reader_select(host.reader, select);
    int code = qtrace_reader_read(host.reader, frame, &batch, &err);
    qtrace_reader_select(host.reader, host.select);
    if (code == QTRACE_E_NOMEM || code == QTRACE_E_IO) {
        host.failure = err;
    }
    return batch;
}

static bool load(struct pending *p, size_t frame)
{
    if (p->batch == NULL || p->batch_frame != frame) {
        qtrace_batch_free(&p->batch);
        p->batch = read_frame(frame, QTRACE_SELECT_ACCESSES);
        p->batch_frame = frame;
    }
    return p->batch != NULL;
}

/* The rows before have been counted from a summary, which does not tell what ran last. */
static void resume(const struct pending *p, size_t frame)
{
    while (frame-- > 0) {
        const struct qtrace_frame_info *f = frame_info(frame);

        if (!f->of_stream || f->stream != p->stream || f->blocks == 0) {
            continue;
        }
        struct qtrace_batch *batch = read_frame(frame, QTRACE_SELECT_BLOCKS);
        if (batch != NULL) {
            host_stream_resume(p->stream, batch->block[batch->n_blocks - 1]);
        }
        qtrace_batch_free(&batch);
        return;
    }
}

/* With several streams, a block can be met before the translation that another one brings, and
 * then have operations that are more than additions. Its rows are read again. */
static bool is_countable(uint32_t id)
{
    const struct host_block *block = host_known_block(id);

    return block != NULL && (block->needs & HOST_NEEDS_ORDER) == 0;
}

static uint32_t countable_rows(const struct qtrace_batch *b, uint32_t begin, uint32_t end)
{
    while (begin < end && is_countable(b->block[begin])) {
        begin++;
    }
    return begin;
}

/* Count rows of the first frame, up to these. */
static void count_rows(struct pending *p, uint32_t block_end, uint32_t access_end)
{
    if (!load(p, frame_at(p, 0))) {
        p->block = block_end;
        p->access = access_end;
        return;
    }
    const struct qtrace_batch *b = p->batch;
    uint32_t known = countable_rows(b, p->block, block_end);
    struct qtrace_item item = {
        .kind = QTRACE_ITEM_RUN, .batch = b, .stream = p->stream, .vcpu = p->vcpu,
        .frame = p->batch_frame, .block_begin = p->block, .block_end = known,
        .access_begin = p->access, .access_end = access_end,
    };

    if (known < block_end) {
        item.access_end = MAX(p->access, known > 0 ? b->access_end[known - 1] : b->access_begin);
    }
    if (p->block == 0 && p->access < b->access_begin && !host_stream_knows_last(p->stream)) {
        resume(p, p->batch_frame);
    }
    host_run_rows(&item);
    p->block = item.block_end;
    p->access = item.access_end;
}

/* ---- from summaries ---- */

static void add_times(const struct host_op *op, unsigned vcpu, uint64_t n)
{
    if (op->kind == HOST_OP_ADD) {
        *host_entry(op->score, op->offset, vcpu) += op->imm * n;
    } else {
        *(uint64_t *)op->userdata += op->imm * n;
    }
}

static void add_point(const struct host_block *block, const struct host_point *at, unsigned vcpu,
                      uint64_t started, const struct qtrace_insn_count *accesses)
{
    const struct host_op *op = block->op + at->begin, *end = block->op + at[1].begin;

    for (; op < end; op++) {
        if (op->rw == 0) {
            add_times(op, vcpu, started);
        } else if (accesses != NULL) {
            add_times(op, vcpu, (op->rw & QEMU_PLUGIN_MEM_R ? accesses->loads : 0) +
                                    (op->rw & QEMU_PLUGIN_MEM_W ? accesses->stores : 0));
        }
    }
}

/* An instruction was started by the executions that did not end before it. */
static void add_block(const struct qtrace_block_count *count, unsigned vcpu)
{
    const struct host_block *block = host.block->pdata[count->block];
    uint64_t started = count->executions;
    uint32_t k = 0;

    for (uint32_t i = 0; i < block->n_block_ops; i++) {
        add_times(&block->op[i], vcpu, count->executions);
    }
    for (uint32_t i = 0; i < block->n_points; i++) {
        const struct host_point *at = &block->point[i];
        for (; k < count->n_insns && count->insn[k].insn <= at->insn; k++) {
            started -= count->insn[k].left;
        }
        bool has = k > 0 && count->insn[k - 1].insn == at->insn;
        add_point(block, at, vcpu, started, has ? &count->insn[k - 1] : NULL);
    }
}

/* Accesses that the last block of the frame before made: the summary does not name it. */
static bool can_add(struct qtrace_counts *counts)
{
    for (size_t i = 0; i < qtrace_counts_n_blocks(counts); i++) {
        if (!is_countable(qtrace_counts_block(counts, i)->block)) {
            return false;
        }
    }
    return qtrace_counts_carried(counts) == NULL;
}

/* The first n frames that are pending, as a whole. false: their rows have to be read. */
static bool count_frames(const struct pending *p, guint n)
{
    struct qtrace_counts *counts = qtrace_counts_new();
    bool single = qtrace_reader_n_streams(host.reader) == 1;
    int code = counts == NULL ? QTRACE_E_NOMEM : QTRACE_OK;
    bool counted;

    if (single && code == QTRACE_OK) { /* then the frames between are without rows */
        size_t first = frame_at(p, 0), last = frame_at(p, n - 1);
        code = qtrace_reader_count(host.reader, first, last - first + 1, counts, NULL);
    }
    for (guint i = 0; !single && code == QTRACE_OK && i < n; i++) {
        code = qtrace_reader_count(host.reader, frame_at(p, i), 1, counts, NULL);
    }
    counted = code == QTRACE_OK && can_add(counts);
    for (size_t i = 0; counted && i < qtrace_counts_n_blocks(counts); i++) {
        add_block(qtrace_counts_block(counts, i), p->vcpu);
    }
    qtrace_counts_free(&counts);
    return counted;
}

/* ---- catching up ---- */

static void drop_frames(struct pending *p, guint n)
{
    if (n > 0) {
        g_array_remove_range(p->frame, 0, n);
        p->block = p->access = 0;
    }
}

/* false: something of the first frame is still to happen, or cannot be counted yet. */
static bool count_first(struct pending *p)
{
    const struct qtrace_frame_info *f = frame_info(frame_at(p, 0));
    bool last = p->frame->len == 1;

    count_rows(p, last ? p->block_end : (uint32_t)f->blocks,
               last ? p->access_end : (uint32_t)f->accesses);
    if (p->block < f->blocks || p->access < f->accesses) {
        return false;
    }
    drop_frames(p, 1);
    return true;
}

/* Has everything of the last frame happened, so that it can be taken as a whole? */
static bool is_complete(const struct pending *p)
{
    const struct qtrace_frame_info *f = frame_info(frame_at(p, p->frame->len - 1));

    return p->block_end == f->blocks && p->access_end == f->accesses;
}

static void catch_up(struct pending *p, bool at_end)
{
    bool go_on = p->frame != NULL && p->frame->len > 0;
    guint n;

    if (go_on && (p->block > 0 || p->access > 0)) {
        go_on = count_first(p) && p->frame->len > 0;
    }
    if (go_on) {
        n = at_end && is_complete(p) ? p->frame->len : p->frame->len - 1;
        if (n > 0 && count_frames(p, n)) {
            host_stream_skip(p->stream, p->vcpu);
            drop_frames(p, n);
        }
    }
    while (go_on && p->frame->len > 0) {
        go_on = count_first(p);
    }
}

void host_count_pending(bool at_end)
{
    struct host_plugin *outer = host.current; /* whose callback asks */

    host.counting = true;
    for (guint i = 0; streams != NULL && i < streams->len; i++) {
        struct pending *p = &g_array_index(streams, struct pending, i);

        catch_up(p, at_end);
        if (event != NULL && event->stream == p->stream && p->batch != NULL &&
            p->batch_frame == event->frame) {
            host_close_before(event, p->batch);
        } else {
            qtrace_batch_free(&p->batch);
        }
    }
    host.counting = false;
    host.current = outer;
}

void host_pending_left(uint32_t stream, uint64_t *block, uint64_t *access)
{
    struct pending *p = host_by_stream(&streams, sizeof(*p), stream);

    if (p->frame == NULL || p->frame->len == 0) {
        return;
    }
    const struct qtrace_frame_info *f = frame_info(frame_at(p, 0));
    *block = f->first_block + p->block;
    *access = f->first_access + p->access;
    drop_frames(p, p->frame->len);
}
