/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What only whole machines have, in a plugin that prints all of it: host addresses of instructions,
 * what accesses to devices have reached, the places where the names of devices stand, idle and
 * resumed vCPUs, discontinuities; each with the number of accesses before it. Compiled with
 * -DQEMU_PLUGIN_API_VERSION=1, 4 or 7.
 */
#define QEMU_PLUGIN_API_ALL
#define QEMU_PLUGIN_API
#include "qtrace/qemu-plugin.h"

#include <stdarg.h>
#include <stdio.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

/* Callbacks have the plugin's number first, or userdata last. */
#if QEMU_PLUGIN_API_VERSION >= 7
#define CALLBACK(name, ...) static void name(__VA_ARGS__, void *userdata)
#define MORE , NULL
#else
#define CALLBACK(name, ...) static void name(qemu_plugin_id_t id, __VA_ARGS__)
#define MORE
#endif

static uint64_t n_accesses, n_unknown;

static void say(const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    qemu_plugin_outs(line);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    const struct qemu_plugin_hwaddr *handle = qemu_plugin_get_hwaddr(info, vaddr);

    n_accesses++;
    if (handle == NULL) {
        n_unknown++;
    } else if (qemu_plugin_hwaddr_is_io(handle)) {
        const char *name = qemu_plugin_hwaddr_device_name(handle);

        say("%u %" PRIx64 " %" PRIx64 " %p %s\n", vcpu, vaddr,
            qemu_plugin_hwaddr_phys_addr(handle), (const void *)name, name);
    }
}

CALLBACK(on_translation, struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        say("insn %" PRIx64 " %p\n", qemu_plugin_insn_vaddr(insn), qemu_plugin_insn_haddr(insn));
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

CALLBACK(on_idle, unsigned int vcpu)
{
    say("idle %u, %" PRIu64 " accesses\n", vcpu, n_accesses);
}

CALLBACK(on_resume, unsigned int vcpu)
{
    say("resume %u, %" PRIu64 " accesses\n", vcpu, n_accesses);
}

#if QEMU_PLUGIN_API_VERSION >= 6
CALLBACK(on_discon, unsigned int vcpu, enum qemu_plugin_discon_type type, uint64_t from,
         uint64_t to)
{
    say("discon %u %d %" PRIx64 " %" PRIx64 ", %" PRIu64 " accesses\n", vcpu, type, from, to,
        n_accesses);
}
#endif

#if QEMU_PLUGIN_API_VERSION >= 7
static void on_exit_of_qemu(void *userdata)
#else
static void on_exit_of_qemu(qemu_plugin_id_t id, void *userdata)
#endif
{
    say("%" PRIu64 " accesses, %" PRIu64 " of them to nobody knows what\n", n_accesses, n_unknown);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation MORE);
    qemu_plugin_register_vcpu_idle_cb(id, on_idle MORE);
    qemu_plugin_register_vcpu_resume_cb(id, on_resume MORE);
#if QEMU_PLUGIN_API_VERSION >= 6
    qemu_plugin_register_vcpu_discon_cb(id, QEMU_PLUGIN_DISCON_ALL, on_discon MORE);
#endif
    qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
    return 0;
}
