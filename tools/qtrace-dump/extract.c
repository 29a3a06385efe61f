/*
 * extract.c - --extract: one message or column, as bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <stdlib.h>

void dump_extract(struct dump *dump, uint64_t offset)
{
    struct qtrace_error err = {0};
    const char *type = NULL;
    void *data = NULL;
    size_t size = 0;

    if (qtrace_reader_extract(dump->reader, offset, &data, &size, &type, &err) != QTRACE_OK) {
        dump_error(dump, &err);
        return;
    }
    /* Just the name: a script hands it to protoc. */
    fprintf(stderr, "%s\n", type);
    fwrite(data, 1, size, dump->out);
    free(data);
}
