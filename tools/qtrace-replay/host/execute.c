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
    struct host_block *block = id < host.block->len ? host.block->pdata[id] : NULL;

    if (G_UNLIKELY(block == NULL || block->epoch != host.epoch)) {
        block = host_announce(id);
    }
    return block;
}

/* ---- operations ---- */

static bool condition_holds(const struct host_op *op, unsigned vcpu)
{
    uint64_t value = *host_entry(op->score, op->offset, vcpu);

    switch (op->cond) {
    case QEMU_PLUGIN_COND_EQ:
        return value == op->imm;
    case QEMU_PLUGIN_COND_NE:
        return value != op->imm;
    case QEMU_PLUGIN_COND_LT:
        return value < op->imm;
    case QEMU_PLUGIN_COND_LE:
        return value <= op->imm;
    case QEMU_PLUGIN_COND_GT:
        return value > op->imm;
    case QEMU_PLUGIN_COND_GE:
        return value >= op->imm;
    default:
        return op->cond == QEMU_PLUGIN_COND_ALWAYS;
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
            (op->kind == HOST_OP_CALL_IF && condition_holds(op, vcpu))) {
            host.current = op->plugin;
            ((qemu_plugin_vcpu_udata_cb_t)op->func)(vcpu, op->userdata);
        } else if (op->kind != HOST_OP_CALL_IF) {
            run_inline(op, vcpu);
        }
    }
    host.current = NULL;
}

/* What is registered on an access of the block's, if anything is. host.access is set; vaddr is
 * NULL if nobody calls for addresses. */
static inline void run_mem_ops(const struct host_block *block, uint32_t row, uint32_t insn,
                               unsigned flags, const uint64_t *vaddr, unsigned vcpu)
{
    const struct host_mem none = { 0 }, mem = insn < block->n_insns ? block->mem[insn] : none;
    unsigned rw = flags & QTRACE_ACCESS_STORE ? QEMU_PLUGIN_MEM_W : QEMU_PLUGIN_MEM_R;

    flags &= ~(unsigned)QTRACE_ACCESS_FOREIGN;
    host.access_row = row;
    for (const struct host_op *op = mem.begin; op < mem.end; op++) {
        if ((op->rw & rw) == 0) {
            continue;
        }
        if (op->kind == HOST_OP_CALL) {
            host.current = op->plugin;
            ((qemu_plugin_vcpu_mem_cb_t)op->func)(vcpu, flags, vaddr[row], op->userdata);
        } else {
            run_inline(op, vcpu);
        }
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
    const struct host_op *op = at->block->op;

    for (; at->next < at->end && at->next->insn <= insn; at->next++) {
        run_ops(op + at->next->begin, op + at->next->mem, vcpu);
    }
}

static void enter(struct place *at, struct host_block *block, uint32_t started)
{
    at->block = block;
    at->epoch = host.epoch;
    at->next = block->point;
    at->end = block->point + block->n_points;
    while (at->end > at->next && at->end[-1].insn >= started) {
        at->end--;
    }
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

/* Nobody has registered for instructions: what the accesses are between does not matter. */
static inline void run_only_accesses(const struct host_block *block,
                                     const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    const uint16_t *insn = b->insn;
    const uint8_t *flags = b->flags;
    const uint64_t *vaddr = b->vaddr;
    const unsigned vcpu = item->vcpu;
    uint32_t end = row_end(item, i);

    host.access = b;
    for (uint32_t row = row_begin(item, i); row < end; row++) {
        run_mem_ops(block, row, insn[row], flags[row], vaddr, vcpu);
    }
    host.access = NULL;
    host.current = NULL;
}

static void run_mixed(struct stream *s, struct host_block *block, const struct qtrace_item *item,
                      uint32_t i)
{
    uint32_t end = row_end(item, i);

    enter(&s->last, block, item->batch->started[i]);
    run_accesses(&s->last, item->batch, row_begin(item, i), end, item->vcpu);
    s->open = true;
    if (end == item->batch->access_end[i]) {
        close_block(s, item->vcpu);
    }
}

static void run_started(const struct host_block *block, uint32_t started, unsigned vcpu)
{
    for (uint32_t p = 0; p < block->n_points && block->point[p].insn < started; p++) {
        run_ops(block->op + block->point[p].begin, block->op + block->point[p].mem, vcpu);
    }
}

static inline void run_block(struct stream *s, struct host_block *block,
                             const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    const struct host_op *op = block->op;
    bool has_mem = block->mem != NULL;

    s->last.block = block;
    s->last.epoch = host.epoch;
    if (!has_mem && b->n_foreign == 0 && b->started[i] >= block->n_insns) {
        run_ops(op, op + block->n_ops, item->vcpu);
        return;
    }
    if (block->n_block_ops > 0) {
        run_ops(op, op + block->n_block_ops, item->vcpu);
    }
    if (b->n_foreign > 0 || (has_mem && !block->only_mem)) {
        run_mixed(s, block, item, i);
    } else if (has_mem) {
        run_only_accesses(block, item, i);
    } else {
        run_started(block, b->started[i], item->vcpu);
    }
}

/* Accesses of a block that nobody knows: only those of others in between matter. */
static void run_unknown(struct stream *s, const struct qtrace_item *item, uint32_t i)
{
    const struct qtrace_batch *b = item->batch;
    uint32_t row = i > 0 ? b->access_end[i - 1] : b->access_begin;
    uint32_t end = MIN(b->access_end[i], item->access_end);

    s->last.block = NULL;
    for (row = MAX(row, item->access_begin); b->n_foreign > 0 && row < end; row++) {
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

void host_run_rows(const struct qtrace_item *item)
{
    const struct qtrace_batch *b = item->batch;
    struct stream *s = stream_state(item->stream);

    run_leftovers(s, item);
    for (uint32_t i = item->block_begin; i < item->block_end; i++) {
        if (G_UNLIKELY(host.changes_pending)) {
            host_apply_changes(item->stream);
        }
        struct host_block *block = block_of(b->block[i]);

        if (G_LIKELY(block != NULL)) {
            run_block(s, block, item, i);
        } else {
            run_unknown(s, item, i);
        }
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

void host_item(const struct qtrace_item *item)
{
    host.stream = item->stream;
    switch (item->kind) {
    case QTRACE_ITEM_RUN:
        begin_stream(item);
        if (host_needs_rows()) {
            host_run_rows(item);
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
