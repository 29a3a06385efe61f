/*
 * test-guest-path.c - which program a command line of user-mode QEMU runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest-path.h"

#include "thread-test.h"

#include <string.h>

static const char *word[32];

static size_t split(const char *line)
{
    static char text[256];
    size_t n = 0;

    strcpy(text, line);
    for (char *p = strtok(text, " "); p != NULL; p = strtok(NULL, " ")) {
        word[n++] = p;
    }
    return n;
}

static const char *guest(const char *line)
{
    return qt_guest_path(word, split(line));
}

static bool has_plugin(const char *line)
{
    return qt_command_has_plugin(word, split(line), "x.so");
}

Test(guest_path, found)
{
    cr_expect_str_eq(guest("qemu-arm ./a.out"), "./a.out");
    cr_expect_str_eq(guest("qemu-arm -d plugin -D log -plugin x.so,a=b a.out -d b"), "a.out");
    cr_expect_str_eq(guest("qemu-arm --plugin x.so --strace a.out"), "a.out");
    cr_expect_str_eq(guest("qemu-arm -one-insn-per-tb -trace events a.out"), "a.out");
    cr_expect_str_eq(guest("qemu-arm -cpu max -E A=b -tb-size 4 -0 name a.out -L x"), "a.out");
}

Test(guest_path, plugins)
{
    cr_expect(has_plugin("qemu-arm -plugin x.so,a=b a.out"));
    cr_expect(has_plugin("qemu-arm -d plugin -plugin y.so --plugin file=/lib/x.so a.out"));
    cr_expect(!has_plugin("qemu-arm -plugin y.so a.out -plugin x.so"));
    cr_expect(!has_plugin("qemu-arm -d plugin -D x.so a.out"));
    cr_expect(!has_plugin("qemu-arm -L -plugin x.so"));
    cr_expect(!has_plugin("qemu-arm -plugin"));
    cr_expect(!has_plugin(""));
}

Test(guest_path, none)
{
    cr_expect(guest("qemu-arm") == NULL);
    cr_expect(guest("qemu-arm -plugin a.out") == NULL);
    cr_expect(guest("qemu-arm -strace -version") == NULL);
    cr_expect(qt_guest_path(NULL, 0) == NULL);
}
