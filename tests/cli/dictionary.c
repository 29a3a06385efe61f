/*
 * dictionary.c - make a trace whose definitions take more memory than the tools may
 *
 * usage: dictionary FILE TRANSLATIONS
 * Each translation has eight instructions that no other has, and runs once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qtrace/qtrace.h"

#define LENGTH 8
#define BATCH 1000

static int define(struct qtrace_writer *w, uint32_t id, struct qtrace_error *err)
{
    struct qtrace_insn insn[LENGTH];
    struct qtrace_translation t = {.id = id, .n_insns = LENGTH, .insn = insn};
    char disas[LENGTH][64], symbol[64];
    uint64_t bytes[LENGTH];

    snprintf(symbol, sizeof(symbol), "function_%u", id / 12);
    for (uint32_t i = 0; i < LENGTH; i++) {
        bytes[i] = (uint64_t)(id * LENGTH + i) * 2654435761u;
        snprintf(disas[i], sizeof(disas[i]), "movq 0x%x(%%rip), %%rax", (unsigned)bytes[i]);
        insn[i] = (struct qtrace_insn){
            .vaddr = 0x400000 + (id * (uint64_t)LENGTH + i) * 7, .size = 7, .data_size = 7,
            .data = (const uint8_t *)&bytes[i], .disas = disas[i], .symbol = symbol,
        };
    }
    t.vaddr = insn[0].vaddr;
    return qtrace_writer_define(w, &t, err);
}

static int run(struct qtrace_writer *w, uint32_t first, struct qtrace_error *err)
{
    uint32_t block[BATCH], access_end[BATCH] = {0};
    uint16_t started[BATCH];
    struct qtrace_batch batch = {
        .struct_size = sizeof(batch), .n_blocks = BATCH, .block = block, .started = started,
        .access_end = access_end, .first_block = first, .first_insn = (uint64_t)first * LENGTH,
        .n_insns = BATCH * LENGTH,
    };

    for (uint32_t i = 0; i < BATCH; i++) {
        block[i] = first + i;
        started[i] = LENGTH;
    }
    return qtrace_writer_batch(w, &batch, err);
}

int main(int argc, char **argv)
{
    const struct qtrace_writer_options options = {sizeof(options), 1, false, "dictionary"};
    const struct qtrace_run facts = {.target = "x86_64", .mem = true, .disas = true};
    struct qtrace_error err = {0};
    struct qtrace_writer *w;
    uint32_t id, n;
    int ret;

    if (argc != 3 || (n = (uint32_t)atoi(argv[2])) % BATCH != 0) {
        fprintf(stderr, "usage: dictionary FILE TRANSLATIONS (a multiple of %d)\n", BATCH);
        return 2;
    }
    ret = qtrace_writer_open(&w, argv[1], &options, &err);
    if (ret == QTRACE_OK) {
        ret = qtrace_writer_run(w, &facts, &err);
    }
    for (id = 0; ret == QTRACE_OK && id < n; id++) {
        ret = define(w, id, &err);
        if (ret == QTRACE_OK && id % BATCH == BATCH - 1) {
            ret = run(w, id - (BATCH - 1), &err);
        }
    }
    if (ret == QTRACE_OK) {
        ret = qtrace_writer_close(&w, "exit", 1, &err);
    }
    if (ret != QTRACE_OK) {
        fprintf(stderr, "%s\n", err.message);
    }
    return ret != QTRACE_OK;
}
