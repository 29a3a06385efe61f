/*
 * facts.c - what run this is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "guest-path.h"
#include "plugin.h"

/* QEMU does not tell its version; it prints it, so the text is in the program:
 * "qemu-TARGET version V\n" in user mode, "QEMU emulator version V\n" otherwise. */
static char *find_version(const char *program, size_t size, const char *before)
{
    const char *start = memmem(program, size, before, strlen(before));
    if (!start) {
        return NULL;
    }
    start += strlen(before);
    const char *end = start;
    while (end < program + size && end < start + 200 && *end && *end != '\n') {
        end++;
    }
    return g_strndup(start, end - start);
}

static char *qemu_version(const char *target, bool system)
{
    char *version = NULL;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        void *program = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (program != MAP_FAILED) {
            char *before = system ? g_strdup("QEMU emulator version ")
                                  : g_strdup_printf("qemu-%s version ", target);
            version = find_version(program, st.st_size, before);
            g_free(before);
            munmap(program, st.st_size);
        }
    }
    close(fd);
    return version;
}

static void read_command_line(struct qtrace_run *run)
{
    char *text = NULL;
    gsize size = 0;
    if (!g_file_get_contents("/proc/self/cmdline", &text, &size, NULL)) {
        return;
    }
    GPtrArray *words = g_ptr_array_new();
    for (char *word = text; word < text + size; word += strlen(word) + 1) {
        g_ptr_array_add(words, word);
    }
    run->n_command_line = words->len;
    run->command_line = (const char *const *)g_ptr_array_free(words, FALSE);
}

static const char *host_text(void)
{
    struct utsname u;
    return uname(&u) ? NULL : g_strdup_printf("%s %s %s", u.sysname, u.release, u.machine);
}

static uint64_t time_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void qt_facts_install(struct qtrace_run *run, const qemu_info_t *info)
{
    run->target = g_strdup(info->target_name);
    run->system = info->system_emulation;
    if (info->system_emulation) {
        run->smp_vcpus = info->system.smp_vcpus;
        run->max_vcpus = info->system.max_vcpus;
    }
    run->api_min = info->version.min;
    run->api_cur = info->version.cur;
    run->api_used = qemu_plugin_version;
    run->qemu_version = qemu_version(run->target, run->system);
    run->qemu_path = g_file_read_link("/proc/self/exe", NULL);
    read_command_line(run);
    run->option = qt_options_text(&qt_plugin.options, &run->n_option);
    run->host = host_text();
    run->start_time = time_now();
    run->pid = getpid();
    run->mem = qt_plugin.options.mem;
    run->values = qt_plugin.options.values;
    run->phys = qt_plugin.options.phys;
    run->disas = qt_plugin.options.disas;
}

void qt_facts_forked(struct qtrace_run *run, const char *parent_trace)
{
    run->parent_pid = run->pid;
    run->parent_trace = parent_trace;
    run->pid = getpid();
    run->start_time = time_now();
}

void qt_facts_guest(struct qtrace_run *run)
{
    if (run->system) {
        return;
    }
    if (qemu_plugin_path_to_binary) {
        run->guest_path = qemu_plugin_path_to_binary();
    }
    if (!run->guest_path) {
        run->guest_path = qt_guest_path(run->command_line, run->n_command_line);
    }
    if (qemu_plugin_start_code && qemu_plugin_end_code && qemu_plugin_entry_code) {
        run->has_code = true;
        run->start_code = qemu_plugin_start_code();
        run->end_code = qemu_plugin_end_code();
        run->entry_code = qemu_plugin_entry_code();
    }
}
