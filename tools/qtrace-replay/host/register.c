/*
 * register.c - registration of what shall happen when a block is executed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

static void add_call(struct host_block *block, int32_t insn, qemu_plugin_vcpu_udata_cb_t cb,
                     void *userdata)
{
    struct host_op op = {
        .kind = HOST_OP_CALL, .insn = insn, .func = (void *)cb, .userdata = userdata,
    };

    host_add_op(block, &op);
}

static void add_conditional(struct host_block *block, int32_t insn,
                            qemu_plugin_vcpu_udata_cb_t cb, enum qemu_plugin_cond cond,
                            qemu_plugin_u64 entry, uint64_t imm, void *userdata)
{
    struct host_op op = {
        .kind = HOST_OP_CALL_IF, .cond = (uint8_t)cond, .insn = insn, .func = (void *)cb,
        .userdata = userdata, .score = entry.score, .offset = entry.offset, .imm = imm,
    };

    if (cond == QEMU_PLUGIN_COND_ALWAYS) {
        add_call(block, insn, cb, userdata);
    } else if (cond != QEMU_PLUGIN_COND_NEVER) {
        host_add_op(block, &op);
    }
}

static void add_inline(struct host_block *block, int32_t insn, unsigned rw,
                       enum qemu_plugin_op what, qemu_plugin_u64 entry, uint64_t imm)
{
    struct host_op op = {
        .kind = what == QEMU_PLUGIN_INLINE_STORE_U64 ? HOST_OP_STORE : HOST_OP_ADD,
        .rw = (uint8_t)rw, .insn = insn, .score = entry.score, .offset = entry.offset,
        .imm = imm,
    };

    host_add_op(block, &op);
}

static void add_raw(struct host_block *block, int32_t insn, unsigned rw, void *ptr, uint64_t imm)
{
    struct host_op op = {
        .kind = HOST_OP_ADD_RAW, .rw = (uint8_t)rw, .insn = insn, .userdata = ptr, .imm = imm,
    };

    host_add_op(block, &op);
}

/* The directions for which QEMU would have called. From 6.2 to 8.2, the QEMUs of version 1, one
 * that is asked for loads calls for stores, and one that is asked for stores calls for both. (For
 * accesses of its helper functions it calls as asked; the trace does not say which these are.) */
static uint8_t directions(enum qemu_plugin_mem_rw rw)
{
    if (!host.run->mem) {
        host_message_once("a plugin asked for memory accesses: the trace was recorded without "
                          "(mem=off)");
    }
    if (host.run->api_cur > 1 || host.current == NULL || host.current->version > 1 ||
        rw == QEMU_PLUGIN_MEM_RW) {
        return (uint8_t)rw;
    }
    host_message_once("a plugin asked for loads only or stores only: the recorded QEMU confuses "
                      "them, and so does the replay, except for accesses of helper functions");
    return rw == QEMU_PLUGIN_MEM_R ? QEMU_PLUGIN_MEM_W : QEMU_PLUGIN_MEM_RW;
}

/* ---- blocks ---- */

void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                          qemu_plugin_vcpu_udata_cb_t cb,
                                          enum qemu_plugin_cb_flags flags, void *userdata)
{
    (void)flags;
    add_call(tb->block, -1, cb, userdata);
}

void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb,
                                               qemu_plugin_vcpu_udata_cb_t cb,
                                               enum qemu_plugin_cb_flags flags,
                                               enum qemu_plugin_cond cond,
                                               qemu_plugin_u64 entry, uint64_t imm,
                                               void *userdata)
{
    (void)flags;
    add_conditional(tb->block, -1, cb, cond, entry, imm, userdata);
}

void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
                                                       enum qemu_plugin_op op,
                                                       qemu_plugin_u64 entry, uint64_t imm)
{
    add_inline(tb->block, -1, 0, op, entry, imm);
}

void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op,
                                              void *ptr, uint64_t imm)
{
    (void)op;
    add_raw(tb->block, -1, 0, ptr, imm);
}

/* ---- instructions ---- */

void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                            qemu_plugin_vcpu_udata_cb_t cb,
                                            enum qemu_plugin_cb_flags flags, void *userdata)
{
    (void)flags;
    add_call(insn->block, insn->index, cb, userdata);
}

void qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *insn,
                                                 qemu_plugin_vcpu_udata_cb_t cb,
                                                 enum qemu_plugin_cb_flags flags,
                                                 enum qemu_plugin_cond cond,
                                                 qemu_plugin_u64 entry, uint64_t imm,
                                                 void *userdata)
{
    (void)flags;
    add_conditional(insn->block, insn->index, cb, cond, entry, imm, userdata);
}

void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                         enum qemu_plugin_op op,
                                                         qemu_plugin_u64 entry, uint64_t imm)
{
    add_inline(insn->block, insn->index, 0, op, entry, imm);
}

void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn,
                                                enum qemu_plugin_op op, void *ptr, uint64_t imm)
{
    (void)op;
    add_raw(insn->block, insn->index, 0, ptr, imm);
}

/* ---- accesses ---- */

/* Registrations for neither loads nor stores mean nothing. */
static bool is_for_any(enum qemu_plugin_mem_rw rw)
{
    return (rw & QEMU_PLUGIN_MEM_RW) != 0;
}

void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                      qemu_plugin_vcpu_mem_cb_t cb,
                                      enum qemu_plugin_cb_flags flags,
                                      enum qemu_plugin_mem_rw rw, void *userdata)
{
    (void)flags;
    if (is_for_any(rw)) {
        struct host_op op = {
            .kind = HOST_OP_CALL, .rw = directions(rw), .insn = insn->index,
            .func = (void *)cb, .userdata = userdata,
        };
        host_add_op(insn->block, &op);
    }
}

void qemu_plugin_register_vcpu_mem_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                   enum qemu_plugin_mem_rw rw,
                                                   enum qemu_plugin_op op,
                                                   qemu_plugin_u64 entry, uint64_t imm)
{
    if (is_for_any(rw)) {
        add_inline(insn->block, insn->index, directions(rw), op, entry, imm);
    }
}

void qemu_plugin_register_vcpu_mem_inline(struct qemu_plugin_insn *insn,
                                          enum qemu_plugin_mem_rw rw, enum qemu_plugin_op op,
                                          void *ptr, uint64_t imm)
{
    (void)op;
    if (is_for_any(rw)) {
        add_raw(insn->block, insn->index, directions(rw), ptr, imm);
    }
}
