/*
 * translate.c - tell plugins of translations; remember what they registered on the block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

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

/* Make the points. Does any have operations on accesses? */
static bool find_points(struct host_block *block)
{
    GArray *points = g_array_new(FALSE, FALSE, sizeof(struct host_point));
    uint32_t n = block->ops->len, i = 0;
    bool has_mem = false;

    while (i < n && block->op[i].insn < 0) {
        i++;
    }
    block->n_block_ops = i;
    while (i < n) {
        int32_t insn = block->op[i].insn;
        struct host_point p = { .insn = (uint32_t)insn, .begin = i };

        for (; i < n && block->op[i].insn == insn && block->op[i].rw == 0; i++) {
        }
        p.mem = i;
        for (; i < n && block->op[i].insn == insn; i++) {
        }
        p.end = i;
        has_mem |= p.mem < p.end;
        block->only_mem &= p.begin == p.mem;
        g_array_append_val(points, p);
    }
    block->n_points = points->len;
    block->point = (struct host_point *)(void *)g_array_free(points, FALSE);
    return has_mem;
}

static void list_mem(struct host_block *block)
{
    block->mem = g_new0(struct host_mem, block->n_insns);
    for (uint32_t i = 0; i < block->n_points; i++) {
        const struct host_point *p = &block->point[i];
        if (p->insn < block->n_insns) {
            block->mem[p->insn] = (struct host_mem){ &block->op[p->mem], &block->op[p->end] };
        }
    }
}

static void compile(struct host_block *block)
{
    g_clear_pointer(&block->op, g_free);
    g_clear_pointer(&block->point, g_free);
    g_clear_pointer(&block->mem, g_free);
    block->n_ops = block->n_block_ops = block->n_points = 0;
    block->only_mem = true;
    if (block->ops != NULL) {
        sort_ops(block);
        if (find_points(block)) {
            list_mem(block);
        }
    }
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
        host.block->pdata[id] = block;
        fill_handle(block);
        announce_first();
    }
    block->epoch = host.epoch;
    compile(block);
    return block;
}
