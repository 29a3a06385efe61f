/*
 * run.c - questions about the recorded run, and about words
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

int qemu_plugin_n_vcpus(void)
{
    return host.run->system ? (int)host.run->smp_vcpus : -1;
}

int qemu_plugin_n_max_vcpus(void)
{
    return host.run->system ? (int)host.run->max_vcpus : -1;
}

/* QEMU makes a new copy for each caller, who may free it. */
const char *qemu_plugin_path_to_binary(void)
{
    return host.run->system ? NULL : g_strdup(host.run->guest_path);
}

uint64_t qemu_plugin_start_code(void)
{
    return host.run->has_code ? host.run->start_code : 0;
}

uint64_t qemu_plugin_end_code(void)
{
    return host.run->has_code ? host.run->end_code : 0;
}

uint64_t qemu_plugin_entry_code(void)
{
    return host.run->has_code ? host.run->entry_code : 0;
}

bool qemu_plugin_bool_parse(const char *name, const char *val, bool *ret)
{
    static const char *const yes[] = { "on", "yes", "true", "y", NULL };
    static const char *const no[] = { "off", "no", "false", "n", NULL };

    if (name == NULL || val == NULL) {
        return false;
    }
    if (g_strv_contains(yes, val)) {
        *ret = true;
        return true;
    }
    if (g_strv_contains(no, val)) {
        *ret = false;
        return true;
    }
    return false;
}
