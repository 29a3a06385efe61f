/*
 * vtime.c - processor time of the thread on which the guest ends
 *
 * Of a single-threaded guest that is the vCPU thread. Must be the first plugin on the command
 * line: the last one is called first, so this one's atexit callback sees the work of all
 * others. Time that the thread spends waiting does not count. Arguments: out=FILE, and cpu=N to
 * run it on that CPU only, as CPUs are not all equally fast; other threads run where they like.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static char path[PATH_MAX];
static int cpu = -1;

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

/* Not before: threads that other plugins start at install would inherit it. */
static void on_vcpu(qemu_plugin_id_t id, unsigned int vcpu)
{
    cpu_set_t set;

    if (cpu >= 0 && vcpu == 0) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) != 0) {
            perror("vtime: cpu");
        }
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0 && strlen(argv[i] + 4) < sizeof(path)) {
            strcpy(path, argv[i] + 4);
        } else if (strncmp(argv[i], "cpu=", 4) == 0) {
            cpu = atoi(argv[i] + 4);
        } else {
            return 1;
        }
    }
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
    qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
    return 0;
}
