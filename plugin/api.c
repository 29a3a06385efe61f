/*
 * api.c - one binary for all QEMUs
 *
 * QEMU loads the plugin first and reads qemu_plugin_version afterwards, so the answer can
 * depend on what the process offers. All references to QEMU are weak.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;

/* Nothing tells 7 from 6 by symbol, and no packaged QEMU stops at 6. */
static int offered_version(void)
{
    if (qemu_plugin_set_pc || qemu_plugin_register_vcpu_syscall_filter_cb) {
        return 7;
    }
    if (qemu_plugin_translate_vaddr) {
        return 5;
    }
    if (qemu_plugin_read_memory_vaddr) {
        return 4;
    }
    /* 3 copies instruction bytes, 2 returns a pointer, and the symbols are the same; the
     * registers' names came with 2 and mem_get_value after 3, which decides for 9.0 */
    return qemu_plugin_scoreboard_new ? 2 : 1;
}

__attribute__((constructor)) static void choose_version(void)
{
    const char *forced = getenv("QTRACE_PLUGIN_API");
    qemu_plugin_version = forced ? atoi(forced) : offered_version();
}
