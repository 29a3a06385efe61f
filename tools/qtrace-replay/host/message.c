/*
 * message.c - what the host has to say, on stderr
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

static void print(const char *fmt, va_list args)
{
    fputs("qtrace-replay: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void host_message(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print(fmt, args);
    va_end(args);
}

void host_message_once(const char *fmt, ...)
{
    static GHashTable *said;
    va_list args;

    if (said == NULL) {
        said = g_hash_table_new(g_str_hash, g_str_equal);
    }
    if (g_hash_table_add(said, (gpointer)fmt)) {
        va_start(args, fmt);
        print(fmt, args);
        va_end(args);
    }
}
