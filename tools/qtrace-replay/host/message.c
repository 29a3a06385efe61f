/*
 * message.c - what the host has to say, on stderr
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

/* In one piece: two replays can have the same stderr. */
static void print(const char *fmt, va_list args)
{
    char *text = g_strdup_vprintf(fmt, args);

    fprintf(stderr, "qtrace-replay: %s\n", text);
    g_free(text);
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
