/*
 * steps.c - what a whole execution of a block does, in as few steps as possible
 *
 * Between two callbacks nobody looks at what inline operations have done. So those on one place
 * become a single one: additions their sum, and of what is stored over and over only the last
 * remains.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#define LOOK_BACK 64 /* operations */

static bool is_call(unsigned kind)
{
    return kind == HOST_OP_CALL || kind == HOST_OP_CALL_IF;
}

static bool have_one_place(const struct host_op *a, const struct host_op *b)
{
    return a->kind == HOST_OP_ADD_RAW ? a->userdata == b->userdata
                                      : a->score == b->score && a->offset == b->offset;
}

/* Where an operation writes, counted from the scoreboard that it has, if it has one. */
static uintptr_t offset_of(const struct host_op *op)
{
    return op->kind == HOST_OP_ADD_RAW ? (uintptr_t)op->userdata : op->offset;
}

/* Do the places of two of the same sort have bytes in common? */
static bool touch(const struct host_op *a, const struct host_op *b)
{
    const uintptr_t at = offset_of(a), other = offset_of(b);

    return a->score == b->score && MAX(at, other) - MIN(at, other) < sizeof(uint64_t);
}

/* Can nothing be said of how the two act on each other? Whatever a bare pointer points to may be
 * a scoreboard's. */
static bool are_strangers(const struct host_op *a, const struct host_op *b)
{
    if (is_call(a->kind) || (a->kind == HOST_OP_ADD_RAW) != (b->kind == HOST_OP_ADD_RAW)) {
        return true;
    }
    return touch(a, b) && !have_one_place(a, b);
}

/* The operation of the first n whose result op changes, with nothing in between that must stay
 * there; n: there is none, not among the last ones. */
static uint32_t find_former(const struct host_op *first, uint32_t n, const struct host_op *op)
{
    const uint32_t stop = n > LOOK_BACK ? n - LOOK_BACK : 0;

    if (is_call(op->kind)) {
        return n;
    }
    for (uint32_t i = n; i-- > stop && !are_strangers(&first[i], op);) {
        if (have_one_place(&first[i], op)) {
            return i;
        }
    }
    return n;
}

/* The operations of the block, fewer of them, at shortened; returns how many. */
static uint32_t shorten(const struct host_block *block, struct host_op *shortened)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < block->n_ops; i++) {
        const struct host_op *op = &block->op[i];
        uint32_t former = find_former(shortened, n, op);

        if (former == n) {
            shortened[n++] = *op;
        } else if (op->kind == HOST_OP_STORE) {
            shortened[former] = *op;
        } else {
            shortened[former].imm += op->imm;
        }
    }
    return n;
}

static struct host_step make_step(const struct host_op *op)
{
    struct host_step step = {
        .kind = op->kind, .cond = op->cond, .func = op->func, .userdata = op->userdata,
        .plugin = op->plugin, .imm = op->imm,
    };

    if (op->kind == HOST_OP_ADD_RAW) {
        step.kind = HOST_OP_ADD;
        step.place = op->userdata;
    } else if (op->score != NULL) {
        step.place = op->score->data + op->offset;
        step.stride = op->score->element_size;
    }
    return step;
}

void host_make_steps(struct host_block *block)
{
    g_clear_pointer(&block->step, g_free);
    block->n_steps = 0;
    if (block->n_ops == 0 || block->mem != NULL) {
        return; /* what is between accesses has its place there */
    }
    struct host_op *shortened = g_new(struct host_op, block->n_ops);

    block->n_steps = shorten(block, shortened);
    block->step = g_new(struct host_step, block->n_steps);
    for (uint32_t i = 0; i < block->n_steps; i++) {
        block->step[i] = make_step(&shortened[i]);
    }
    g_free(shortened);
}

void host_make_all_steps(void)
{
    for (guint i = 0; i < host.block->len; i++) {
        struct host_block *block = host.block->pdata[i];

        if (block != NULL && block->epoch == host.epoch) { /* others may know what is no more */
            host_make_steps(block);
        }
    }
}
