/*
 * usage.c - what the process and the thread on which the guest ends have used until then
 *
 * Of a single-threaded guest that is the vCPU's thread. Must be the first plugin on the command
 * line: the last one is called first, so this one's atexit callback sees the work of all
 * others, threads that they have ended included. Time that is spent waiting does not count.
 *
 * Arguments: out=FILE, and cpu=N to run the first vCPU on that CPU only, as CPUs are not all
 * equally fast; other threads run where they like. The file gets one line: user and system time of
 * the thread, user and system time of the process, in seconds, and its peak resident memory in
 * KiB.
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

/* Of this program only: ru_maxrss has that of the process before it called exec, too. */
static long peak_memory(void)
{
    char text[4096];
    const char *line = NULL;
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    close(fd);
    if (n > 0) {
        text[n] = '\0';
        line = strstr(text, "VmHWM:");
    }
    return line ? atol(line + strlen("VmHWM:")) : 0;
}

static int print_times(char *text, size_t size, int who)
{
    struct rusage usage = {0};

    getrusage(who, &usage);
    return snprintf(text, size, "%ld.%06ld %ld.%06ld ", (long)usage.ru_utime.tv_sec,
                    (long)usage.ru_utime.tv_usec, (long)usage.ru_stime.tv_sec,
                    (long)usage.ru_stime.tv_usec);
}

static void on_exit_of_guest(qemu_plugin_id_t id, void *userdata)
{
    char text[256];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int n = print_times(text, sizeof(text), RUSAGE_THREAD);

    n += print_times(text + n, sizeof(text) - n, RUSAGE_SELF);
    n += snprintf(text + n, sizeof(text) - n, "%ld\n", peak_memory());
    if (write(fd, text, n) != n) {
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
            perror("usage: cpu");
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
