/*
 * trans.c - a plugin that looks at its own counts whenever a block is translated
 *
 * Counts blocks, instructions and accesses, by callbacks and by inline operations, and prints the
 * counts at each translation, system call and flush: what it prints shows at which place between
 * executions these come. Built for versions 1 to 4 of the API (-DQEMU_PLUGIN_API_VERSION=N).
 * Argument: tag=TEXT, which lines begin with.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "qtrace/qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

/* What is counted, by callback; inline counts are in the same order. */
struct counts {
    uint64_t blocks, insns, loads, stores;
};

static const char *tag = "";
static struct counts called;

#if QEMU_PLUGIN_API_VERSION >= 2
static struct qemu_plugin_scoreboard *board;

#define SUM(member)                                                                          \
    qemu_plugin_u64_sum(qemu_plugin_scoreboard_u64_in_struct(board, struct counts, member))
#define ENTRY(member) qemu_plugin_scoreboard_u64_in_struct(board, struct counts, member)
#else
static struct counts inlined;

#define SUM(member) (inlined.member)
#define ENTRY(member) (&inlined.member)
#define qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu                                    \
    qemu_plugin_register_vcpu_tb_exec_inline
#define qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu                                  \
    qemu_plugin_register_vcpu_insn_exec_inline
#define qemu_plugin_register_vcpu_mem_inline_per_vcpu qemu_plugin_register_vcpu_mem_inline
#endif

static void show(const char *what, uint64_t detail)
{
    char line[400];

    snprintf(line, sizeof(line),
             "%s%s %" PRIx64 ": %" PRIu64 " %" PRIu64 " blocks, %" PRIu64 " %" PRIu64
             " insns, %" PRIu64 " %" PRIu64 " loads, %" PRIu64 " %" PRIu64 " stores\n",
             tag, what, detail, called.blocks, SUM(blocks), called.insns, SUM(insns),
             called.loads, SUM(loads), called.stores, SUM(stores));
    qemu_plugin_outs(line);
}

static void on_block(unsigned int vcpu, void *count)
{
    (void)vcpu;
    (void)count;
    called.blocks++;
    if (called.blocks % 64 == 0) {
        show("block", called.blocks);
    }
}

static void on_insn(unsigned int vcpu, void *address)
{
    (void)vcpu;
    called.insns++;
    if (called.insns % 512 == 0) {
        show("insn", (uintptr_t)address);
    }
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *udata)
{
    (void)vcpu;
    (void)udata;
    if (qemu_plugin_mem_is_store(info)) {
        called.stores++;
    } else {
        called.loads++;
    }
    if ((called.loads + called.stores) % 256 == 0) {
        show("access", vaddr);
    }
}

static void count_access(struct qemu_plugin_insn *insn)
{
    qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                     QEMU_PLUGIN_MEM_RW, NULL);
#if QEMU_PLUGIN_API_VERSION >= 2
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_R,
                                                  QEMU_PLUGIN_INLINE_ADD_U64, ENTRY(loads), 1);
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_W,
                                                  QEMU_PLUGIN_INLINE_ADD_U64, ENTRY(stores), 1);
#else
    /* QEMU 7.2 confuses directions: both here. */
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_RW,
                                                  QEMU_PLUGIN_INLINE_ADD_U64, ENTRY(loads), 1);
#endif
}

static void on_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    show("translation", qemu_plugin_tb_vaddr(tb));
    /* Around the callback: only their order tells what it sees. */
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      ENTRY(blocks), 1);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        void *address = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);

        if (i % 2 == 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   address);
        }
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                            ENTRY(insns), 1);
        if (i % 2 != 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   address);
        }
        count_access(insn);
    }
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, uint64_t a1,
                       uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8)
{
    show("system call", (uint64_t)num);
}

static void on_syscall_ret(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, int64_t ret)
{
    show("its return", (uint64_t)ret);
}

static void on_flush(qemu_plugin_id_t id)
{
    show("flush", 0);
}

static void on_init(qemu_plugin_id_t id, unsigned int vcpu)
{
    show("vCPU", vcpu);
}

static void at_end(qemu_plugin_id_t id, void *userdata)
{
    show("exit", 0);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (argc > 0 && g_str_has_prefix(argv[0], "tag=")) {
        tag = argv[0] + 4;
    }
#if QEMU_PLUGIN_API_VERSION >= 2
    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
#endif
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_trans);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_ret);
    qemu_plugin_register_flush_cb(id, on_flush);
    qemu_plugin_register_vcpu_init_cb(id, on_init);
    qemu_plugin_register_atexit_cb(id, at_end, NULL);
    return 0;
}
