/*
 * order.c - a plugin that hashes the order of what all vCPUs do
 *
 * Where one host thread runs all vCPUs there is one order of all blocks, accesses and translations.
 * The hash is of that order, of each one's vCPU index as reported, and of its address; it is
 * printed every 2^18 events, so that two logs tell about where orders part, and at the end.
 * Built for versions 1 to 7 of the API (-DQEMU_PLUGIN_API_VERSION=N).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "qtrace/qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

#define SHOW_EVERY (1u << 18)

static uint64_t n_events, n_switches, hash;
static unsigned int last;

static void show(void)
{
    char line[100];

    snprintf(line, sizeof(line), "order: %" PRIu64 " events, %" PRIu64 " switches, %016" PRIx64
             "\n", n_events, n_switches, hash);
    qemu_plugin_outs(line);
}

static void add(uint64_t event)
{
    uint64_t z = hash ^ event;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    hash = (z ^ z >> 31) + 1;
    if (++n_events % SHOW_EVERY == 0) {
        show();
    }
}

static void add_of(unsigned int vcpu, uint64_t event)
{
    n_switches += vcpu != last;
    last = vcpu;
    add(event * 256 + vcpu);
}

static void on_block(unsigned int vcpu, void *vaddr)
{
    add_of(vcpu, (uintptr_t)vaddr);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *pc)
{
    uint64_t kind = qemu_plugin_mem_size_shift(info) * 2 + qemu_plugin_mem_is_store(info);

    add_of(vcpu, (vaddr ^ (uintptr_t)pc << 13) * 16 + kind);
}

static void describe(struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    void *vaddr = (void *)(uintptr_t)qemu_plugin_tb_vaddr(tb);

    add((uintptr_t)vaddr * 1024 + n);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, vaddr);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW,
                                         (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
    }
}

#if QEMU_PLUGIN_API_VERSION >= 7
#define USERDATA , NULL

static void on_trans(struct qemu_plugin_tb *tb, void *userdata)
{
    describe(tb);
}

static void at_end(void *userdata)
{
    show();
}
#else
#define USERDATA

static void on_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    describe(tb);
}

static void at_end(qemu_plugin_id_t id, void *userdata)
{
    show();
}
#endif

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_trans USERDATA);
    qemu_plugin_register_atexit_cb(id, at_end, NULL);
    return 0;
}
