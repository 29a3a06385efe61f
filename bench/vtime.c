/*
 * vtime.c - processor time of the thread on which the guest ends
 *
 * Of a single-threaded guest that is the vCPU thread. Must be the first plugin on the command
 * line: the last one is called first, so this one's atexit callback sees the work of all
 * others. Time that the thread spends waiting does not count. Argument: out=FILE.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static char path[PATH_MAX];

/* Seconds: user, system. */
static void on_exit_of_guest(qemu_plugin_id_t id, void *userdata)
{
    struct rusage usage;
    char text[64];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || getrusage(RUSAGE_THREAD, &usage) != 0) {
        return;
    }
    int n = snprintf(text, sizeof(text), "%ld.%06ld %ld.%06ld\n", (long)usage.ru_utime.tv_sec,
                     (long)usage.ru_utime.tv_usec, (long)usage.ru_stime.tv_sec,
                     (long)usage.ru_stime.tv_usec);
    if (write(fd, text, (size_t)n) != n) {
        unlink(path);
    }
    close(fd);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || strlen(argv[0] + 4) >= sizeof(path)) {
        return 1;
    }
    strcpy(path, argv[0] + 4);
    qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
    return 0;
}
