/*
 * decode.c - what it costs to decode a trace
 *
 * usage: decode TRACE [PASSES]
 *
 * Reads all frames on one thread, PASSES (5) times with everything and as often with blocks
 * alone, in turns. Prints two lines, nanoseconds of processor time: for an event (a block or an
 * access) of everything, best and median; for a block of blocks alone, best and median.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "qtrace/qtrace.h"

#define MAX_PASSES 99

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const struct qtrace_error *err)
{
    fprintf(stderr, "decode: %s\n", err->message);
    exit(1);
}

/* Nanoseconds that all frames take, and how many blocks and accesses there are. */
static uint64_t pass(struct qtrace_reader *reader, unsigned select, uint64_t *rows)
{
    struct qtrace_batch *batch;
    struct qtrace_error err;

    qtrace_reader_select(reader, select);
    *rows = 0;
    uint64_t begin = now();
    for (size_t i = 0; i < qtrace_reader_n_frames(reader); i++) {
        if (!qtrace_reader_frame(reader, i)->of_stream) {
            continue;
        }
        if (qtrace_reader_read(reader, i, &batch, &err) != QTRACE_OK) {
            die(&err);
        }
        *rows += batch->n_blocks + batch->n_accesses;
        qtrace_batch_free(&batch);
    }
    return now() - begin;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_times(uint64_t *ns, size_t n, uint64_t rows)
{
    qsort(ns, n, sizeof(*ns), by_value);
    const double median = (double)(ns[(n - 1) / 2] + ns[n / 2]) / 2;
    printf("%.4f %.4f\n", (double)ns[0] / (double)rows, median / (double)rows);
}

int main(int argc, char **argv)
{
    static uint64_t all[MAX_PASSES], blocks[MAX_PASSES];
    struct qtrace_error err = {0};
    struct qtrace_reader *reader;
    uint64_t all_rows = 0, block_rows = 0;
    int passes = argc > 2 ? atoi(argv[2]) : 5;

    if (argc < 2 || passes < 1 || passes > MAX_PASSES) {
        fprintf(stderr, "usage: decode TRACE [PASSES]\n");
        return 2;
    }
    if (qtrace_reader_open(&reader, argv[1], &err) != QTRACE_OK) {
        die(&err);
    }
    for (int i = 0; i < passes; i++) {
        all[i] = pass(reader, QTRACE_SELECT_ALL, &all_rows);
        blocks[i] = pass(reader, QTRACE_SELECT_BLOCKS, &block_rows);
    }
    print_times(all, (size_t)passes, all_rows);
    print_times(blocks, (size_t)passes, block_rows);
    qtrace_reader_close(&reader);
    return 0;
}
