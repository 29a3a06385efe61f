/*
 * recover.c - --recover: an end for a trace that has none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <string.h>

void dump_recover(struct dump *dump)
{
    struct qtrace_error err = {0};
    int code;

    if (strcmp(dump->path, "-") == 0) {
        dump_message(dump->path, UINT64_MAX, "a trace is recovered in its file, name it");
        dump_raise(dump, STATUS_USAGE);
        return;
    }
    code = qtrace_recover(dump->path, &err);
    if (code < 0 || qtrace_reader_open(&dump->reader, dump->path, &err) != QTRACE_OK) {
        dump_error(dump, &err);
        return;
    }
    g_autofree char *name = text_safe(dump->path);
    fprintf(dump->out, "%s: %s\n", name,
            code == QTRACE_END ? "has an end, unchanged" : "recovered");
    dump_raise(dump, qtrace_reader_status(dump->reader));
    dump_gaps(dump->path, dump->reader, SIZE_MAX);
}
