/*
 * late.c - make a trace of two streams, one of which runs a block before its translation comes
 *
 * usage: late FILE
 * Between two events a stream's rows have no finer order, so a reader can meet them before the
 * translation that the other stream brings. Block 0 runs 110 times and block 1, at 0x2000, 110
 * times; each execution loads once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>

#include "qtrace/qtrace.h"

#define MAX_ROWS 210

static int define(struct qtrace_writer *w, uint32_t id, struct qtrace_error *err)
{
    static const uint8_t code[] = {0x8b, 0x00};
    const uint64_t vaddr = 0x1000 + id * 0x1000u;
    const struct qtrace_insn insn = {
        .vaddr = vaddr, .size = sizeof(code), .data_size = sizeof(code), .data = code,
        .disas = "movl (%rax), %eax",
    };
    const struct qtrace_translation t = {.id = id, .vaddr = vaddr, .n_insns = 1, .insn = &insn};

    return qtrace_writer_define(w, &t, err);
}

/* The first n_zeros rows are of block 0, the others of block 1. */
static int put(struct qtrace_writer *w, uint32_t stream, uint32_t n_zeros, uint32_t n_rows,
               const struct qtrace_event *event, uint32_t n_events, struct qtrace_error *err)
{
    uint32_t block[MAX_ROWS], access_end[MAX_ROWS];
    uint16_t started[MAX_ROWS], insn[MAX_ROWS] = {0};
    uint64_t vaddr[MAX_ROWS];
    uint8_t flags[MAX_ROWS];
    const struct qtrace_batch batch = {
        .struct_size = sizeof(batch), .stream = stream, .vcpu = stream, .n_blocks = n_rows,
        .block = block, .started = started, .access_end = access_end, .n_accesses = n_rows,
        .vaddr = vaddr, .insn = insn, .flags = flags, .n_events = n_events, .event = event,
        .n_insns = n_rows,
    };

    for (uint32_t i = 0; i < n_rows; i++) {
        block[i] = i >= n_zeros;
        started[i] = 1;
        access_end[i] = i + 1;
        vaddr[i] = 0x10000 + i * 4;
        flags[i] = 2;
    }
    return qtrace_writer_batch(w, &batch, err);
}

int main(int argc, char **argv)
{
    const struct qtrace_writer_options options = {sizeof(options), 1, true, "late"};
    const struct qtrace_run facts = {.target = "x86_64", .mem = true, .disas = true};
    const struct qtrace_event first[] = {
        {.kind = QTRACE_EVENT_VCPU_INIT, .seq = 1},
        {.kind = QTRACE_EVENT_TRANSLATION, .seq = 2, .n_args = 1, .arg = {0}},
        {.kind = QTRACE_EVENT_TRANSLATION, .seq = 20, .n_args = 1, .arg = {1},
         .block_row = 10, .access_row = 10},
    };
    const struct qtrace_event second[] = {
        {.kind = QTRACE_EVENT_VCPU_INIT, .seq = 3},
        {.kind = QTRACE_EVENT_SYNC, .seq = 30, .block_row = 200, .access_row = 200},
    };
    struct qtrace_error err = {0};
    struct qtrace_writer *w = NULL;

    if (argc != 2) {
        fprintf(stderr, "usage: late FILE\n");
        return 2;
    }
    if (qtrace_writer_open(&w, argv[1], &options, &err) != QTRACE_OK ||
        qtrace_writer_run(w, &facts, &err) != QTRACE_OK || define(w, 0, &err) != QTRACE_OK ||
        define(w, 1, &err) != QTRACE_OK || put(w, 0, 10, 10, first, 3, &err) != QTRACE_OK ||
        put(w, 1, 100, 210, second, 2, &err) != QTRACE_OK ||
        qtrace_writer_close(&w, "exit", 1, &err) != QTRACE_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return 0;
}
