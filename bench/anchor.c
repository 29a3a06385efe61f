/*
 * anchor.c - the least that a recorder of everything can cost: an empty callback for each
 * executed block and one for each memory access
 *
 * With insns=on the first is for each executed instruction instead. That is the least where QEMU
 * has no inline operations per vCPU (7.2) and the guest has several threads: nothing else tells
 * how far a block gets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static int for_each_insn;

static void on_execution(unsigned int vcpu, void *userdata)
{
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    if (!for_each_insn) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execution, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        if (for_each_insn) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_execution, QEMU_PLUGIN_CB_NO_REGS,
                                                   NULL);
        }
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    for_each_insn = argc == 1 && strcmp(argv[0], "insns=on") == 0;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return argc > for_each_insn;
}
