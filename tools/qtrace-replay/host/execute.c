/*
 * execute.c - from the rows of a trace to callbacks and inline operations
 *
 * The order within a block is QEMU's: what was registered on the block; then for each instruction
 * that started, what was registered on the instruction, then what was registered on its accesses
 * for each access it made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

/* How far an execution of a block has got. */
struct place {
    struct host_block *block;
    unsigned epoch; /* host.epoch when it began: later, its points may be gone */
    const struct host_point *next, *end; /* points whose instructions are still to come */
};

struct stream {
    bool begun;
    bool open;         /* an event cut a block in two: what is left of it comes next */
    struct place last; /* the block that ran last; block = NULL: not known */
};

static GArray *streams; /* struct stream */

static struct stream *stream_state(uint32_t stream)
{
    return host_by_stream(&streams, sizeof(struct stream), stream);
}

/* The block as the plugins know it now; they may have to be told first. NULL: its definition is
 * lost, nobody can know it. */
static inline struct host_block *block_of(uint32_t id)
{
    struct host_block *block = host_known_block(id);

    return G_LIKELY(block != NULL) ? block : host_announce(id);
}

/* ---- operations ---- */

static bool condition_holds(unsigned cond, uint64_t value, uint64_t imm)
{
    switch (cond) {
    case QEMU_PLUGIN_COND_EQ:
        return value == imm;
    case QEMU_PLUGIN_COND_NE:
        return value != imm;
    case QEMU_PLUGIN_COND_LT:
        return value < imm;
    case QEMU_PLUGIN_COND_LE:
        return value <= imm;
    case QEMU_PLUGIN_COND_GT:
        return value > imm;
    case QEMU_PLUGIN_COND_GE:
        return value >= imm;
    default:
        return cond == QEMU_PLUGIN_COND_ALWAYS;
    }
}

static inline void run_inline(const struct host_op *op, unsigned vcpu)
{
    if (op->kind == HOST_OP_ADD) {
        *host_entry(op->score, op->offset, vcpu) += op->imm;
    } else if (op->kind == HOST_OP_STORE) {
        *host_entry(op->score, op->offset, vcpu) = op->imm;
    } else {
        *(uint64_t *)op->userdata += op->imm;
    }
}

static inline void run_ops(const struct host_op *op, const struct host_op *end, unsigned vcpu)
{
    for (; op < end; op++) {
        if (op->kind == HOST_OP_CALL ||
            (op->kind == HOST_OP_CALL_IF &&
             condition_holds(op->cond, *host_entry(op->score, op->offset, vcpu), op->imm))) {
            host.current = op->plugin;
            ((qemu_plugin_vcpu_udata_cb_t)op->func)(vcpu, op->userdata);
        } else if (op->kind != HOST_OP_CALL_IF) {
            run_inline(op, vcpu);
        }
    }
    host.current = NULL;
}

static inline void run_steps(const struct host_block *block, unsigned vcpu)
{
    const struct host_step *step = block->step, *end = step + block->n_steps;

    for (; step < end; step++) {
        uint64_t *place = (uint64_t *)(void *)(step->place + vcpu * step->stride);

        if (step->kind == HOST_OP_ADD) {
            *place += step->imm;
        } else if (step->kind == HOST_OP_STORE) {
            *place = step->imm;
        } else if (step->kind == HOST_OP_CALL ||
                   condition_holds(step->cond, *place, step->imm)) {
            host.current = step->plugin;
            ((qemu_plugin_vcpu_udata_cb_t)step->func)(vcpu, step->userdata);
        }
    }
    host.current = NULL;
}

static inline void run_point(const struct host_block *block, const struct host_point *p,
                             unsigned vcpu)
{
    if (G_LIKELY(p->only.func != NULL)) {
        host.current = p->only.plugin;
        ((qemu_plugin_vcpu_udata_cb_t)p->only.func)(vcpu, p->only.userdata);
    } else {
        run_ops(block->op + p->begin, host_exec_end(block, p), vcpu);
    }
}

static void run_several_mem(const struct host_mem *mem, unsigned flags, const uint64_t *vaddr,
                            unsigned vcpu)
{
    unsigned rw = flags & QTRACE_ACCESS_STORE ? QEMU_PLUGIN_MEM_W : QEMU_PLUGIN_MEM_R;

    for (const struct host_op *op = mem->begin; op < mem->end; op++) {
        if ((op->rw & rw) == 0) {
            continue;
        }
        if (op->kind == HOST_OP_CALL) {
            host.current = op->plugin;
            ((qemu_plugin_vcpu_mem_cb_t)op->func)(vcpu, flags, *vaddr, op->userdata);
        } else {
            run_inline(op, vcpu);
        }
    }
}

/* What is registered on an access of the block's, if anything is. host.access is set; vaddr is
 * NULL if nobody calls for addresses. */
static inline void run_mem_ops(const struct host_block *block, uint32_t row, uint32_t insn,
                               unsigned flags, const uint64_t *vaddr, unsigned vcpu)
{
    const struct host_mem *mem;

    if (G_UNLIKELY(insn >= block->n_insns)) {
        return;
    }
    mem = &block->mem[insn];
    flags &= ~(unsigned)QTRACE_ACCESS_FOREIGN;
    host.access_row = row;
    if (G_LIKELY(mem->only.func != NULL)) {
        host.current = mem->only.plugin;
        ((qemu_plugin_vcpu_mem_cb_t)mem->only.func)(vcpu, flags, vaddr[row],
                                                    mem->only.userdata);
    } else if (mem->begin < mem->end) {
        run_several_mem(mem, flags, vaddr == NULL ? NULL : vaddr + row, vcpu);
    }
}

/* ---- accesses ---- */

static uint32_t foreign_block(const struct qtrace_batch *b, uint32_t row)
{
    uint32_t low = 0, high = b->n_foreign;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (b->foreign[mid].access_row < row) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < b->n_foreign && b->foreign[low].access_row == row ? b->foreign[low].block
                                                                  : UINT32_MAX;
}

/* One access, of the block or of one that is not running. */
static void run_one_access(struct host_block *block, const struct qtrace_batch *b, uint32_t row,
                           unsigned vcpu)
{
    if (b->flags[row] & QTRACE_ACCESS_FOREIGN) {
        block = block_of(foreign_block(b, row));
    }
    if (block != NULL && block->mem != NULL && block->epoch == host.epoch) {
        host.access = b;
        run_mem_ops(block, row, b->insn[row], b->flags[row], b->vaddr, vcpu);
        host.access = NULL;
        host.current = NULL;
    }
}

/* ---- blocks ---- */

/* Go on to the instruction, and run what is registered on those in between and on itself. */
static inline void advance(struct place *at, uint32_t insn, unsigned vcpu)
{
    for (; at->next < at->end && at->next->insn <= insn; at->next++) {
        run_point(at->block, at->next, vcpu);
    }
    host.current = NULL;
}

/* Where the points of the instructions that started end. */
static inline const struct host_point *points_end(const struct host_block *block,
                                                  uint32_t started)
{
    const struct host_point *end = block->point + block->n_points;

    if (G_UNLIKELY(started < block->n_insns)) {
        while (end > block->point && end[-1].insn >= started) {
            end--;
        }
    }
    return end;
}

static void enter(struct place *at, struct host_block *block, uint32_t started)
{
    *at = (struct place){ block, host.epoch, block->point, points_end(block, started) };
}

/* Instructions come with their accesses. One of a foreign block was made after everything that
 * the block itself did. */
static void run_accesses(struct place *at, const struct qtrace_batch *b, uint32_t row,
                         uint32_t end, unsigned vcpu)
{
    const struct host_point *first = at->block->point;

    for (; row < end; row++) {
        if (b->flags[row] & QTRACE_ACCESS_FOREIGN) {
            advance(at, UINT32_MAX, vcpu);
            run_one_access(NULL, b, row, vcpu);
            continue;
        }
        advance(at, b->insn[row], vcpu);
        if (at->next > first && at->next[-1].insn >= b->insn[row]) {
            run_one_access(at->block, b, row, vcpu);
        }
    }
}

static void close_block(struct stream *s, unsigned vcpu)
{
    if (s->open && s->last.epoch == host.epoch) {
        advance(&s->last, UINT32_MAX, vcpu);
    }
    s->open = false;
}

/* Where the accesses of row i begin and end, as far as the item has them. */
static inline uint32_t row_begin(const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;

    return MAX(i > 0 ? b->access_end[i - 1] : b->access_begin, item->access_begin);
}

static inline uint32_t row_end(const struct qtrace_item *item, uint32_t i)
{
    return MIN(item->batch->access_end[i], item->access_end);
}

/* The accesses from row on whose instructions are before insn. Returns the first other one. */
static inline uint32_t run_accesses_before(const struct host_block *block,
                                           const struct qtrace_batch *b, uint32_t row,
                                           uint32_t end, uint32_t insn, unsigned vcpu)
{
    host.access = b;
    for (; row < end && b->insn[row] < insn; row++) {
        run_mem_ops(block, row, b->insn[row], b->flags[row], b->vaddr, vcpu);
    }
    host.access = NULL;
    return row;
}

/* Instructions with their accesses in between, as run_accesses does, but all at once and without
 * foreign ones. */
static void run_whole(const struct host_block *block, const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    const struct host_point *p = block->point, *last = points_end(block, b->started[i]);
    const uint32_t end = b->access_end[i];
    const unsigned vcpu = item->vcpu;
    uint32_t row = row_begin(item, i), next = row < end ? b->insn[row] : UINT32_MAX;

    for (; p < last; p++) {
        if (next < p->insn) {
            row = run_accesses_before(block, b, row, end, p->insn, vcpu);
            next = row < end ? b->insn[row] : UINT32_MAX;
        }
        run_point(block, p, vcpu);
    }
    run_accesses_before(block, b, row, end, b->started[i], vcpu);
    host.current = NULL;
}

/* How many rows from row i on make the same call for each access and do nothing else. */
static uint32_t count_uniform(const struct qtrace_item *item, uint32_t i, unsigned calls)
{
    const uint32_t *id = item->batch->block, begin = i;

    for (; i < item->block_end; i++) {
        const struct host_block *block = host_known_block(id[i]);
        if (block == NULL || block->calls != calls) {
            break;
        }
    }
    return i - begin;
}

/* Row i and those like it behind it: which block an access is of does not matter. Returns the
 * first row that is left. */
static uint32_t run_uniform(struct stream *s, const struct qtrace_item *item, uint32_t i,
                            unsigned calls)
{
    const struct host_call call = g_array_index(host.call, struct host_call, calls);
    const struct qtrace_batch *b = item->batch;
    uint32_t last = i + count_uniform(item, i, calls) - 1, end = row_end(item, last);
    unsigned asked = host.changes_asked;

    host.access = b;
    host.current = call.plugin;
    for (uint32_t row = row_begin(item, i); row < end; row++) {
        host.access_row = row;
        ((qemu_plugin_vcpu_mem_cb_t)call.func)(item->vcpu, b->flags[row], b->vaddr[row],
                                               call.userdata);
        if (G_UNLIKELY(host.changes_asked != asked)) { /* they come behind the block that runs */
            while (last > i && b->access_end[last - 1] > row) {
                last--;
            }
            end = row_end(item, last);
        }
    }
    host.access = NULL;
    host.current = NULL;
    s->last.block = host.block->pdata[b->block[last]];
    s->last.epoch = host.epoch;
    return last + 1;
}

static void run_mixed(struct stream *s, struct host_block *block, const struct qtrace_item *item,
                      uint32_t i)
{
    uint32_t end = row_end(item, i);

    if (G_LIKELY(item->batch->n_foreign == 0 && end == item->batch->access_end[i])) {
        run_whole(block, item, i);
        return;
    }
    enter(&s->last, block, item->batch->started[i]);
    run_accesses(&s->last, item->batch, row_begin(item, i), end, item->vcpu);
    s->open = true;
    if (end == item->batch->access_end[i]) {
        close_block(s, item->vcpu);
    }
}

static void run_started(const struct host_block *block, uint32_t started, unsigned vcpu)
{
    const struct host_point *last = points_end(block, started);

    for (const struct host_point *p = block->point; p < last; p++) {
        run_point(block, p, vcpu);
    }
    host.current = NULL;
}

/* Is row i a whole execution of a block that has steps? */
static inline bool has_steps(const struct host_block *block, const struct qtrace_batch *b,
                             uint32_t i)
{
    return block->step != NULL && b->started[i] == block->n_insns && b->n_foreign == 0;
}

/* Row i and those like it behind it. Returns the first row that is left. */
static uint32_t run_stepped(struct stream *s, struct host_block *block,
                            const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    struct host_block *next = block;

    do {
        block = next;
        run_steps(block, item->vcpu);
        i++;
        next = i < item->block_end ? host_known_block(b->block[i]) : NULL;
    } while (next != NULL && has_steps(next, b, i) && !host.changes_pending);
    s->last.block = block;
    s->last.epoch = host.epoch;
    return i;
}

static inline void run_block(struct stream *s, struct host_block *block,
                             const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    bool has_mem = block->mem != NULL;

    s->last.block = block;
    s->last.epoch = host.epoch;
    if (block->n_block_ops > 0) {
        run_ops(block->op, block->op + block->n_block_ops, item->vcpu);
    }
    if (b->n_foreign > 0 || (has_mem && !block->only_mem)) {
        run_mixed(s, block, item, i);
    } else if (has_mem) {
        /* nobody has registered for instructions: what the accesses are between does not matter */
        run_accesses_before(block, b, row_begin(item, i), row_end(item, i), UINT32_MAX,
                            item->vcpu);
        host.current = NULL;
    } else {
        run_started(block, b->started[i], item->vcpu);
    }
}

/* Accesses of a block that nobody knows: only those of others in between matter. */
static void run_unknown(struct stream *s, const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    uint32_t end = row_end(item, i);

    s->last.block = NULL;
    for (uint32_t row = row_begin(item, i); b->n_foreign > 0 && row < end; row++) {
        if (b->flags[row] & QTRACE_ACCESS_FOREIGN) {
            run_one_access(NULL, b, row, item->vcpu);
        }
    }
}

/* Accesses before the first row of an item are of the row before. */
static void run_leftovers(struct stream *s, const struct qtrace_item *item)
{
    const struct qtrace_batch *b = item->batch;
    uint32_t i = item->block_begin;
    uint32_t own = i > 0 ? b->access_end[i - 1] : b->access_begin;
    uint32_t end = MIN(own, item->access_end);

    if (b->n_accesses == 0) {
        return; /* nobody wants to know of any */
    }
    if (s->open && s->last.epoch == host.epoch) {
        run_accesses(&s->last, b, item->access_begin, end, item->vcpu);
    } else {
        for (uint32_t row = item->access_begin; row < end; row++) {
            run_one_access(s->last.block, b, row, item->vcpu);
        }
    }
    if (end == own || i < item->block_end) {
        close_block(s, item->vcpu);
    }
}

/* Changes that were asked for take place between two rows. Do the others need more now than was
 * read of them? */
static bool change_needs_more(uint32_t stream)
{
    if (host.counting) {
        return false; /* these rows happened before */
    }
    host_apply_changes(stream);
    return host.select != host_selection();
}

uint32_t host_run_rows(const struct qtrace_item *item)
{
    const struct qtrace_batch *b = item->batch;
    struct stream *s = stream_state(item->stream);
    uint32_t i = item->block_begin;

    run_leftovers(s, item);
    while (i < item->block_end) {
        if (G_UNLIKELY(host.changes_pending) && change_needs_more(item->stream)) {
            break;
        }
        struct host_block *block = block_of(b->block[i]);

        if (G_UNLIKELY(block == NULL)) {
            run_unknown(s, item, i++);
        } else if (block->calls != 0 && b->n_foreign == 0) {
            i = run_uniform(s, item, i, block->calls);
        } else if (has_steps(block, b, i)) {
            i = run_stepped(s, block, item, i);
        } else {
            run_block(s, block, item, i++);
        }
    }
    return i;
}

static void run_item(struct qtrace_item *item)
{
    uint32_t next = host_run_rows(item);

    if (next < item->block_end) {
        item->access_end = row_begin(item, next);
        item->block_end = next;
    }
}

/* ---- items ---- */

/* A vCPU whose beginning is lost begins now: plugins count on it. */
static void begin_stream(const struct qtrace_item *item)
{
    struct stream *s = stream_state(item->stream);

    if (!s->begun) {
        s->begun = true;
        host_vcpu_seen(item->vcpu);
    }
}

/* An event that plugins see may stand within a block: what comes before it are the instructions
 * up to the next access of the block's own, or all, if none follows. */
void host_close_before(const struct qtrace_item *item, const struct qtrace_batch *batch)
{
    struct stream *s = stream_state(item->stream);
    uint32_t row = item->event->access_row;

    if (s->open && item->event->kind != QTRACE_EVENT_SYNC &&
        (row >= batch->n_accesses || (batch->flags[row] & QTRACE_ACCESS_FOREIGN) != 0)) {
        close_block(s, item->vcpu);
    }
}

/* The next rows of a stream have been counted in another way. */
void host_stream_skip(uint32_t stream, unsigned vcpu)
{
    close_block(stream_state(stream), vcpu);
    stream_state(stream)->last.block = NULL;
}

bool host_stream_knows_last(uint32_t stream)
{
    return stream_state(stream)->last.block != NULL;
}

void host_stream_resume(uint32_t stream, uint32_t block)
{
    struct stream *s = stream_state(stream);

    s->last = (struct place){ .block = block_of(block), .epoch = host.epoch };
}

static void run_event(const struct qtrace_item *item)
{
    host_close_before(item, item->batch);
    switch (item->event->kind) {
    case QTRACE_EVENT_VCPU_INIT:
        stream_state(item->stream)->begun = true;
        break;
    case QTRACE_EVENT_SYNC:
    case QTRACE_EVENT_LOST:
    case QTRACE_EVENT_TRANSLATION:
    case QTRACE_EVENT_FLUSH:
        break; /* these are about no vCPU */
    default:
        begin_stream(item);
    }
    host_dispatch(item->event, item->vcpu);
}

void host_item(struct qtrace_item *item)
{
    host.stream = item->stream;
    switch (item->kind) {
    case QTRACE_ITEM_RUN:
        begin_stream(item);
        if (host_needs_rows()) {
            run_item(item);
        } else {
            host_pending_rows(item);
        }
        break;
    case QTRACE_ITEM_EVENT:
        host_pending_event(item);
        run_event(item);
        break;
    case QTRACE_ITEM_GAP:
        host_stream_skip(item->stream, item->vcpu);
        host.needs |= HOST_NEEDS_ALL; /* blocks may run that no event has told of */
        break;
    }
    host_pending_event(NULL);
}
