/*
 * counter.h - how often instructions or blocks were executed
 *
 * For analyzers, after analyzer.h. A counter may belong to any number of them. It counts
 * by callback, or by QEMU's inline operations: those are exact from API version 2 on, where each
 * vCPU has its own place; before, threads that run at the same time can lose counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_COUNTER_H
#define ANALYZER_COUNTER_H

struct counter {
    uint64_t count;                       /* by callback, or inline up to version 1 */
    struct qemu_plugin_scoreboard *score; /* inline from version 2 on, else NULL */
};

static inline void counter_init(struct counter *c, bool use_inline)
{
    if (use_inline && qemu_plugin_version >= 2) {
        c->score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    }
}

static inline void counter_add(unsigned int vcpu_index, void *userdata)
{
    struct counter *c = userdata;

    (void)vcpu_index;
    __atomic_fetch_add(&c->count, 1, __ATOMIC_RELAXED);
}

static inline void counter_attach(struct counter *c, bool use_inline,
                                  struct qemu_plugin_insn *insn)
{
    if (!use_inline) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, counter_add, QEMU_PLUGIN_CB_NO_REGS, c);
    } else if (c->score != NULL) {
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, QEMU_PLUGIN_INLINE_ADD_U64, qemu_plugin_scoreboard_u64(c->score), 1);
    } else {
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &c->count, 1);
    }
}

static inline void counter_attach_block(struct counter *c, bool use_inline,
                                        struct qemu_plugin_tb *tb)
{
    if (!use_inline) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, counter_add, QEMU_PLUGIN_CB_NO_REGS, c);
    } else if (c->score != NULL) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
            tb, QEMU_PLUGIN_INLINE_ADD_U64, qemu_plugin_scoreboard_u64(c->score), 1);
    } else {
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &c->count, 1);
    }
}

static inline uint64_t counter_value(const struct counter *c)
{
    return c->score != NULL ? qemu_plugin_u64_sum(qemu_plugin_scoreboard_u64(c->score))
                            : __atomic_load_n(&c->count, __ATOMIC_RELAXED);
}

#endif
