/*
 * outs.c - a place for what each plugin prints, when several run in one QEMU
 *
 * Preloaded into QEMU. QEMU has one log for all plugins; here are sixteen functions of the same
 * kind, qemu_plugin_out0 to qemu_plugin_outf, for copies of plugins in which that name was put
 * instead of qemu_plugin_outs (it is as long). What a function is given goes into the file OUTS.N
 * (OUTS is an environment variable): eight bytes with the length, from 4096 on the text.
 *
 * The files are mapped: the guest, which shares QEMU's descriptors, may close all of them, and
 * its end runs no handler. What a forked child prints is not kept, it is not recorded either.
 * With OUTS_LINES set, what a thread prints is kept back until its line is complete, so that
 * lines of several threads do not mix.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 16
#define HEADER 4096
#define SIZE (INT64_C(1) << 30)

static char *slot[SLOTS];
static bool whole_lines;
static pid_t self;
static __thread struct {
    char text[4096];
    size_t length;
} part[SLOTS];

__attribute__((constructor)) static void open_files(void)
{
    char path[4096];

    self = getpid();
    whole_lines = getenv("OUTS_LINES") != NULL;
    for (int i = 0; i < SLOTS; i++) {
        snprintf(path, sizeof(path), "%s.%x", getenv("OUTS"), i);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0 || ftruncate(fd, SIZE) != 0) {
            perror(path);
            _exit(1);
        }
        slot[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        close(fd);
        if (slot[i] == MAP_FAILED) {
            perror(path);
            _exit(1);
        }
    }
}

static void append(int i, const char *text, size_t length)
{
    uint64_t at = __atomic_fetch_add((uint64_t *)(void *)slot[i], length, __ATOMIC_RELAXED);

    if (at + length > SIZE - HEADER) {
        fputs("outs.c: a plugin prints too much\n", stderr);
        _exit(1);
    }
    memcpy(slot[i] + HEADER + at, text, length);
}

static void put(int i, const char *text)
{
    size_t length = strlen(text);

    if (getpid() != self || length == 0) {
        return;
    }
    if (!whole_lines || (part[i].length == 0 && text[length - 1] == '\n') ||
        part[i].length + length > sizeof(part[i].text)) {
        append(i, part[i].text, part[i].length);
        append(i, text, length);
        part[i].length = 0;
        return;
    }
    memcpy(part[i].text + part[i].length, text, length);
    part[i].length += length;
    if (text[length - 1] == '\n') {
        append(i, part[i].text, part[i].length);
        part[i].length = 0;
    }
}

#define SLOT(n)                                                                              \
    void qemu_plugin_out##n(const char *text);                                               \
    void qemu_plugin_out##n(const char *text)                                                \
    {                                                                                        \
        put(0x##n, text);                                                                    \
    }

SLOT(0)
SLOT(1)
SLOT(2)
SLOT(3)
SLOT(4)
SLOT(5)
SLOT(6)
SLOT(7)
SLOT(8)
SLOT(9)
SLOT(a)
SLOT(b)
SLOT(c)
SLOT(d)
SLOT(e)
SLOT(f)
