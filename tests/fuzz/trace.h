/*
 * trace.h - open bytes as a trace and read all that there is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FUZZ_TRACE_H
#define FUZZ_TRACE_H

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "qtrace/qtrace.h"

static void fuzz_read_all(struct qtrace_reader *reader)
{
    struct qtrace_counts *counts = qtrace_counts_new();
    size_t n = qtrace_reader_n_frames(reader), i;
    struct qtrace_batch *batch;

    for (i = 0; i < n; i++) {
        if (qtrace_reader_frame(reader, i)->of_stream &&
            qtrace_reader_read(reader, i, &batch, NULL) == 0) {
            MUST(batch->n_blocks == qtrace_reader_frame(reader, i)->blocks);
            qtrace_batch_free(&batch);
        }
    }
    MUST(qtrace_reader_count(reader, 0, n, counts, NULL) <= 0);
    for (i = 0; i < qtrace_reader_n_translations(reader) && i < 1000; i++) {
        (void)qtrace_reader_translation(reader, (uint32_t)i);
    }
    qtrace_counts_free(&counts);
}

/* By a walk and by the index. */
static void fuzz_trace(const uint8_t *data, size_t size)
{
    struct qtrace_reader *reader;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (qtrace_reader_open(&reader, path, NULL) == 0) {
        fuzz_read_all(reader);
        qtrace_reader_close(&reader);
    }
    if (qtrace_reader_open_indexed(&reader, path, NULL) == 0) {
        fuzz_read_all(reader);
        qtrace_reader_close(&reader);
    }
    close(fd);
}

#endif
