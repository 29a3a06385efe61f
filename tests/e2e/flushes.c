/*
 * flushes.c - a plugin that counts QEMU's flush callbacks, in a file of eight bytes, out=FILE
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <qemu-plugin.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t *flushes;

static void on_flush(qemu_plugin_id_t id)
{
    (void)id;
    __atomic_fetch_add(flushes, 1, __ATOMIC_RELAXED);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    int fd = argc == 1 && strncmp(argv[0], "out=", 4) == 0
                 ? open(argv[0] + 4, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (fd < 0 || ftruncate(fd, sizeof(*flushes)) < 0) {
        return -1;
    }
    flushes = mmap(NULL, sizeof(*flushes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (flushes == MAP_FAILED) {
        return -1;
    }
    qemu_plugin_register_flush_cb(id, on_flush);
    return 0;
}
