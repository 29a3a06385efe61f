/*
 * touch.c - how many bytes of a trace does it take to read one frame in the middle?
 *
 * usage: touch TRACE [MAX]; prints the file's size and the bytes that were read, as the kernel
 * counts them. Fails if there are more than MAX, or if the index was not used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "qtrace/qtrace.h"

/* What this process has read so far. */
static uint64_t bytes_read(void)
{
    uint64_t n = 0;
    FILE *io = fopen("/proc/self/io", "r");

    if (io == NULL || fscanf(io, "rchar: %" SCNu64, &n) != 1) {
        fprintf(stderr, "touch: /proc/self/io does not tell\n");
        exit(77);
    }
    fclose(io);
    return n;
}

int main(int argc, char **argv)
{
    const struct qtrace_translation *t;
    struct qtrace_reader *reader;
    struct qtrace_batch *batch;
    struct qtrace_error err = {0};
    uint64_t begin, io, size, middle;
    size_t frame;

    if (argc < 2) {
        return 2;
    }
    begin = bytes_read();
    io = bytes_read() - begin; /* of looking itself */
    begin = bytes_read();
    if (qtrace_reader_open_indexed(&reader, argv[1], &err) < 0) {
        fprintf(stderr, "touch: %s\n", err.message);
        return 1;
    }
    middle = qtrace_reader_stream(reader, 0)->blocks / 2;
    if (qtrace_reader_find(reader, 0, QTRACE_BY_BLOCK, middle, &frame) != QTRACE_OK ||
        qtrace_reader_read(reader, frame, &batch, &err) < 0) {
        fprintf(stderr, "touch: %s\n", err.message);
        return 1;
    }
    t = batch->n_blocks > 0 ? qtrace_reader_translation(reader, batch->block[0]) : NULL;
    begin = bytes_read() - begin - io;
    size = qtrace_reader_file_size(reader);
    printf("%" PRIu64 " of %" PRIu64 " bytes for %u blocks, %u accesses of %zu frames\n", begin,
           size, batch->n_blocks, batch->n_accesses, qtrace_reader_n_frames(reader));
    return !qtrace_reader_is_indexed(reader) || t == NULL ||
           (argc > 2 && begin > strtoull(argv[2], NULL, 10));
}
