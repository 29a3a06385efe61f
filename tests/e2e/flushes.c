/*
 * flushes.c - a plugin that counts QEMU's flush callbacks, and writes their number to out=FILE
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <qemu-plugin.h>
#include <stdio.h>
#include <string.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static unsigned flushes;
static char path[4096];

static void on_flush(qemu_plugin_id_t id)
{
    (void)id;
    __atomic_fetch_add(&flushes, 1, __ATOMIC_RELAXED);
}

static void at_exit(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    FILE *file = fopen(path, "w");
    if (file) {
        fprintf(file, "%u\n", flushes);
        fclose(file);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s", argv[0] + 4);
    qemu_plugin_register_flush_cb(id, on_flush);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
