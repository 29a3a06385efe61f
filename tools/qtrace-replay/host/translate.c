/*
 * translate.c - tell plugins of translations; remember what they registered on the block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

#define MAX_CALLS 16

static bool is_late(const struct host_op *op)
{
    return op->kind != HOST_OP_CALL && op->kind != HOST_OP_CALL_IF && op->plugin->version <= 1;
}

static unsigned needs_of(const struct host_op *op)
{
    bool adds = op->kind == HOST_OP_ADD || op->kind == HOST_OP_ADD_RAW;

    return (adds ? 0 : HOST_NEEDS_ORDER) | (op->rw != 0 ? HOST_NEEDS_ACCESSES : 0) |
           (op->rw != 0 && op->kind == HOST_OP_CALL ? HOST_NEEDS_ADDRESSES : 0) |
           (op->kind == HOST_OP_ADD_RAW ? HOST_NEEDS_AT_ONCE : 0);
}

void host_add_op(struct host_block *block, const struct host_op *op)
{
    struct host_op copy = *op;

    if (host.current == NULL) {
        return; /* not in a callback: QEMU would write to a block that is gone */
    }
    copy.plugin = host.current;
    copy.generation = host.current->generation;
    if (block->ops == NULL) {
        block->ops = g_array_new(FALSE, FALSE, sizeof(struct host_op));
    }
    g_array_append_val(block->ops, copy);
    host.needs |= needs_of(op);
}

/* ---- compiling ---- */

static bool is_current(const struct host_op *op)
{
    return !op->plugin->gone && op->generation == op->plugin->generation;
}

static void drop_old(GArray *ops)
{
    guint kept = 0;

    for (guint i = 0; i < ops->len; i++) {
        struct host_op *op = &g_array_index(ops, struct host_op, i);
        if (is_current(op)) {
            g_array_index(ops, struct host_op, kept++) = *op;
        }
    }
    g_array_set_size(ops, kept);
}

/* By place in the block, then as registered. QEMUs that speak version 1 at most run the inline
 * operations of a place after its callbacks, those of all plugins. */
static gint compare_ops(gconstpointer a, gconstpointer b, gpointer base)
{
    const struct host_op *oa = *(struct host_op *const *)a;
    const struct host_op *ob = *(struct host_op *const *)b;
    bool mem_a = oa->rw != 0, mem_b = ob->rw != 0;

    (void)base;
    if (oa->insn != ob->insn) {
        return oa->insn < ob->insn ? -1 : 1;
    }
    if (mem_a != mem_b) {
        return mem_a ? 1 : -1;
    }
    if (is_late(oa) != is_late(ob)) {
        return is_late(oa) ? 1 : -1;
    }
    return oa < ob ? -1 : oa > ob ? 1 : 0;
}

static void sort_ops(struct host_block *block)
{
    GArray *ops = block->ops;
    struct host_op **index = g_new(struct host_op *, ops->len);

    for (guint i = 0; i < ops->len; i++) {
        index[i] = &g_array_index(ops, struct host_op, i);
    }
    g_qsort_with_data(index, (gint)ops->len, sizeof(index[0]), compare_ops, NULL);
    block->n_ops = ops->len;
    block->op = g_new(struct host_op, ops->len);
    for (guint i = 0; i < ops->len; i++) {
        block->op[i] = *index[i];
    }
    g_free(index);
}

static struct host_call only_call(const struct host_op *op, const struct host_op *end)
{
    if (end - op != 1 || op->kind != HOST_OP_CALL ||
        (op->rw != 0 && op->rw != QEMU_PLUGIN_MEM_RW)) {
        return (struct host_call){ .func = NULL };
    }
    return (struct host_call){ op->func, op->userdata, op->plugin };
}

static void find_points(struct host_block *block)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(struct host_point));
    uint32_t n = block->n_ops, i = 0;
    struct host_point end = { .insn = UINT32_MAX, .begin = n };

    while (i < n && block->op[i].insn < 0) {
        i++;
    }
    block->n_block_ops = i;
    while (i < n) {
        int32_t insn = block->op[i].insn;
        struct host_point p = { .insn = (uint32_t)insn, .begin = i };

        while (i < n && block->op[i].insn == insn) {
            i++;
        }
        g_array_append_val(points, p);
    }
    block->n_points = points->len;
    g_array_append_val(points, end);
    block->point = (struct host_point *)(void *)g_array_free(points, FALSE);
}

/* What a point has on execution, and what on accesses. */
static void split_point(struct host_block *block, struct host_point *p)
{
    const struct host_op *begin = &block->op[p->begin], *end = &block->op[p[1].begin];
    const struct host_op *mem = host_exec_end(block, p);

    p->only = only_call(begin, mem);
    block->only_mem &= begin == mem;
    if (mem < end && p->insn < block->n_insns) {
        if (block->mem == NULL) {
            block->mem = g_new0(struct host_mem, block->n_insns);
        }
        block->mem[p->insn] = (struct host_mem){ only_call(mem, end), mem, end };
    }
}

/* Does each instruction have the one callback for its accesses, and is that all? */
static bool is_uniform(const struct host_block *block)
{
    const struct host_call *call = block->mem == NULL ? NULL : &block->mem[0].only;

    if (call == NULL || call->func == NULL || block->n_block_ops > 0 || !block->only_mem) {
        return false;
    }
    for (uint32_t i = 1; i < block->n_insns; i++) {
        if (memcmp(&block->mem[i].only, call, sizeof(*call)) != 0) {
            return false;
        }
    }
    return true;
}

/* The number of a call. Plugins that have one for each block get none for most. */
static uint16_t number_of(const struct host_call *call)
{
    for (guint i = 0; i < host.call->len; i++) {
        if (memcmp(&g_array_index(host.call, struct host_call, i), call, sizeof(*call)) == 0) {
            return (uint16_t)i;
        }
    }
    if (host.call->len == MAX_CALLS) {
        return 0;
    }
    g_array_append_val(host.call, *call);
    return (uint16_t)(host.call->len - 1);
}

static void compile(struct host_block *block)
{
    g_clear_pointer(&block->op, g_free);
    g_clear_pointer(&block->point, g_free);
    g_clear_pointer(&block->mem, g_free);
    block->n_ops = block->n_block_ops = block->n_points = 0;
    block->calls = 0;
    block->needs = 0;
    block->only_mem = true;
    if (block->ops != NULL) {
        sort_ops(block);
        for (uint32_t i = 0; i < block->n_ops; i++) {
            block->needs |= (uint8_t)needs_of(&block->op[i]);
        }
        find_points(block);
        for (uint32_t i = 0; i < block->n_points; i++) {
            split_point(block, &block->point[i]);
        }
        block->calls = is_uniform(block) ? number_of(&block->mem[0].only) : 0;
    }
    host_make_steps(block);
}

/* ---- announcing ---- */

static void fill_handle(struct host_block *block)
{
    const struct qtrace_translation *tr = block->tr;

    host.tb.block = block;
    host.tb.n_insns = MIN(tr->n_insns, QTRACE_MAX_BLOCK_INSNS);
    for (size_t i = 0; i < host.tb.n_insns; i++) {
        host.tb.insn[i].insn = &tr->insn[i];
        host.tb.insn[i].block = block;
        host.tb.insn[i].index = (int32_t)i;
    }
}

static void call_trans(struct host_plugin *p)
{
    const struct host_callback *cb = &p->event[HOST_TB_TRANS];

    host.current = p;
    if (p->version >= 7) {
        ((qemu_plugin_v7_vcpu_tb_trans_cb_t)cb->func)(&host.tb, cb->userdata);
    } else {
        ((qemu_plugin_v1_vcpu_tb_trans_cb_t)cb->func)(p->id, &host.tb);
    }
    host.current = NULL;
}

/* Plugins that were reset have forgotten the block: they hear of it again. */
static void announce_again(struct host_block *block)
{
    GPtrArray *list = host_listeners(HOST_TB_TRANS);

    if (block->ops != NULL) {
        drop_old(block->ops);
    }
    for (guint i = 0; i < list->len; i++) {
        struct host_plugin *p = list->pdata[i];
        if (block->epoch < p->reset_epoch) {
            call_trans(p);
        }
    }
    g_ptr_array_free(list, TRUE);
}

static void announce_first(void)
{
    GPtrArray *list = host_listeners(HOST_TB_TRANS);

    for (guint i = 0; i < list->len; i++) {
        call_trans(list->pdata[i]);
    }
    g_ptr_array_free(list, TRUE);
}

struct host_block *host_announce(uint32_t id)
{
    const struct qtrace_translation *tr = qtrace_reader_translation(host.reader, id);
    struct host_block *block;

    if (tr == NULL) {
        return NULL;
    }
    host_before_callbacks();
    if (id >= host.block->len) {
        g_ptr_array_set_size(host.block, (gint)id + 1);
    }
    block = host.block->pdata[id];
    if (block != NULL && block->epoch == host.epoch) {
        return block; /* its event came after an execution: only in damaged traces */
    }
    if (block != NULL) {
        fill_handle(block);
        announce_again(block);
    } else {
        block = g_new0(struct host_block, 1);
        block->tr = tr;
        block->n_insns = tr->n_insns;
        fill_handle(block);
        announce_first();
    }
    compile(block);
    block->epoch = host.epoch;
    host.block->pdata[id] = block; /* not before: its callback may have others counted */
    return block;
}
