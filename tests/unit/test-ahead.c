/*
 * test-ahead.c - reading ahead on other threads changes nothing but the time it takes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "qtrace/merge.h"
#include "qtrace/writer.h"
#include "thread-test.h"

#define N_STREAMS 3
#define N_FRAMES 60
#define ROWS 3000

static char *make_path(void)
{
    char *path = strdup("/tmp/qtrace-ahead.XXXXXX");
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    close(fd);
    unlink(path);
    return path;
}

static void define(struct qtrace_writer *w)
{
    static const uint8_t nop[2] = {0x90, 0x90};
    const struct qtrace_insn insn[2] = {
        {.vaddr = 0x1000, .data = nop, .data_size = 1, .size = 1},
        {.vaddr = 0x1001, .data = nop, .data_size = 1, .size = 1},
    };
    const struct qtrace_translation t = {.id = 0, .n_insns = 2, .vaddr = 0x1000, .insn = insn};

    cr_assert(qtrace_writer_define(w, &t, NULL) == 0);
}

/* Batch i: the streams take turns, and every batch is another one. */
static void add_batch(struct qtrace_writer *w, uint32_t i)
{
    static uint32_t block[ROWS], access_end[ROWS];
    static uint16_t started[ROWS], insn[ROWS];
    static uint64_t vaddr[ROWS];
    static uint8_t flags[ROWS];
    uint64_t turn = i / N_STREAMS;
    const struct qtrace_event sync = {.kind = QTRACE_EVENT_SYNC, .seq = i + 1, .time = i};
    const struct qtrace_batch b = {
        .struct_size = sizeof(b), .stream = i % N_STREAMS, .vcpu = i % N_STREAMS,
        .first_block = turn * ROWS, .first_insn = turn * 2 * ROWS, .first_access = turn * ROWS,
        .first_event = turn, .first_seq = i, .first_time = i, .n_blocks = ROWS, .block = block,
        .started = started, .access_end = access_end, .n_accesses = ROWS, .vaddr = vaddr,
        .insn = insn, .flags = flags, .n_events = 1, .event = &sync, .n_insns = 2 * ROWS,
    };

    for (uint32_t k = 0; k < ROWS; k++) {
        started[k] = 2;
        access_end[k] = k + 1;
        insn[k] = k % 2;
        vaddr[k] = (uint64_t)i * k * k;
    }
    cr_assert(qtrace_writer_batch(w, &b, NULL) == 0);
}

static char *write_trace(void)
{
    const struct qtrace_writer_options options = {sizeof(options), 1, true, "test"};
    char *path = make_path();
    struct qtrace_writer *w;

    cr_assert(qtrace_writer_open(&w, path, &options, NULL) == 0);
    define(w);
    for (uint32_t i = 0; i < N_FRAMES; i++) {
        add_batch(w, i);
    }
    cr_assert(qtrace_writer_close(&w, "exit", N_FRAMES, NULL) == 0);
    return path;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x9e3779b97f4a7c15u + (sum >> 29);
}

static uint64_t add_item(uint64_t sum, const struct qtrace_item *item)
{
    sum = mix(mix(sum, item->kind), item->stream);
    if (item->kind == QTRACE_ITEM_EVENT) {
        return mix(sum, item->event->seq);
    }
    for (uint32_t k = item->access_begin; k < item->access_end; k++) {
        sum = mix(sum, item->batch->vaddr[k]);
    }
    return mix(mix(sum, item->block_begin), item->block_end);
}

/* A sum over everything in its order; stop: after so many items. */
static uint64_t read_all(const char *path, unsigned threads, unsigned stop, size_t *gaps)
{
    struct qtrace_reader *r;
    struct qtrace_merge *m;
    struct qtrace_item item;
    uint64_t sum = 0;
    int code = 0;

    cr_assert(qtrace_reader_open(&r, path, NULL) == 0);
    cr_assert(qtrace_merge_open(&m, r, NULL) == 0);
    qtrace_merge_read_ahead(m, threads);
    while (stop-- > 0 && (code = qtrace_merge_next(m, &item, NULL)) == 0) {
        sum = add_item(sum, &item);
    }
    cr_assert(code >= 0);
    *gaps = qtrace_reader_n_gaps(r);
    qtrace_merge_close(&m);
    qtrace_reader_close(&r);
    return sum;
}

static void damage(const char *path, double where)
{
    FILE *f = fopen(path, "r+b");

    cr_assert(f != NULL && fseek(f, 0, SEEK_END) == 0);
    long at = (long)((double)ftell(f) * where);
    cr_assert(fseek(f, at, SEEK_SET) == 0);
    int byte = fgetc(f);
    cr_assert(fseek(f, at, SEEK_SET) == 0 && fputc(byte ^ 4, f) != EOF && fclose(f) == 0);
}

Test(ahead, same_items_whole_and_damaged)
{
    char *path = write_trace();
    size_t gaps, ahead_gaps;

    for (unsigned hurt = 0; hurt < 4; hurt++) {
        uint64_t sum = read_all(path, 0, UINT32_MAX, &gaps);
        cr_assert((hurt == 0) == (gaps == 0));
        for (unsigned threads = 1; threads <= 9; threads += 2) {
            cr_assert(read_all(path, threads, UINT32_MAX, &ahead_gaps) == sum);
            cr_assert(ahead_gaps == gaps);
        }
        damage(path, 0.2 + 0.15 * hurt);
    }
    unlink(path);
    free(path);
}

Test(ahead, closed_in_the_middle)
{
    char *path = write_trace();
    size_t gaps;

    for (unsigned stop = 0; stop < 2 * N_FRAMES; stop += 7) {
        cr_assert(read_all(path, 2, stop, &gaps) == read_all(path, 0, stop, &gaps));
    }
    unlink(path);
    free(path);
}
