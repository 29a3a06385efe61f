/*
 * summary.c - --summary: how often everything was executed, without reading any event
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"
#include "json.h"

#include <stdlib.h>

/* A line: a translation and what it did. */
struct line {
    const struct qtrace_block_count *count;
    uint64_t insns, loads, stores; /* of all executions */
};

static int most_executed_first(const void *a, const void *b)
{
    const struct qtrace_block_count *x = ((const struct line *)a)->count;
    const struct qtrace_block_count *y = ((const struct line *)b)->count;

    if (x->executions != y->executions) {
        return x->executions > y->executions ? -1 : 1;
    }
    return x->block < y->block ? -1 : x->block > y->block;
}

static struct line make_line(const struct qtrace_block_count *count, uint32_t length)
{
    struct line line = {.count = count, .insns = count->executions * length};

    for (uint32_t i = 0; i < count->n_insns; i++) {
        const struct qtrace_insn_count *insn = &count->insn[i];
        line.loads += insn->loads;
        line.stores += insn->stores;
        line.insns -= insn->left * (length > insn->insn ? length - insn->insn : 0);
    }
    return line;
}

static void print_line(struct dump *dump, const struct line *line)
{
    const struct qtrace_translation *t =
        qtrace_reader_translation(dump->reader, line->count->block);
    const char *symbol = t == NULL ? NULL : t->insn[0].symbol;

    fprintf(dump->out, "%10u %#18" PRIx64 " %6u %14" PRIu64 " %14" PRIu64 " %14" PRIu64
            " %14" PRIu64, line->count->block, t == NULL ? 0 : t->vaddr,
            t == NULL ? 0 : t->n_insns, line->count->executions, line->insns, line->loads,
            line->stores);
    if (symbol != NULL) {
        g_autofree char *safe = text_safe(symbol);
        fprintf(dump->out, "  %s", safe);
    }
    fputc('\n', dump->out);
}

static void put_line(struct json *json, struct dump *dump, const struct line *line)
{
    const struct qtrace_translation *t =
        qtrace_reader_translation(dump->reader, line->count->block);

    json_begin(json, NULL, '{');
    json_number(json, "block", line->count->block);
    if (t != NULL) {
        json_address(json, "address", t->vaddr);
        json_number(json, "length", t->n_insns);
        json_text(json, "symbol", t->insn[0].symbol);
    }
    json_number(json, "executions", line->count->executions);
    json_number(json, "instructions", line->insns);
    json_number(json, "loads", line->loads);
    json_number(json, "stores", line->stores);
    json_end(json, '}');
}

/* Accesses of blocks that nobody knows. */
static struct line carried(struct qtrace_counts *counts)
{
    const struct qtrace_block_count *count = qtrace_counts_carried(counts);

    return count == NULL ? (struct line){0} : make_line(count, 0);
}

static void print_json(struct dump *dump, const struct line *lines, size_t n,
                       struct qtrace_counts *counts)
{
    struct json json = {.out = dump->out};
    struct line rest = carried(counts);

    json_begin(&json, NULL, '{');
    json_begin(&json, "blocks", '[');
    for (size_t i = 0; i < n; i++) {
        put_line(&json, dump, &lines[i]);
    }
    json_end(&json, ']');
    json_number(&json, "other_loads", rest.loads);
    json_number(&json, "other_stores", rest.stores);
    json_end(&json, '}');
}

static void print_table(struct dump *dump, const struct line *lines, size_t n,
                        struct qtrace_counts *counts)
{
    struct line rest = carried(counts);

    fprintf(dump->out, "%10s %18s %6s %14s %14s %14s %14s  %s\n", "block", "address", "length",
            "executions", "instructions", "loads", "stores", "symbol");
    for (size_t i = 0; i < n; i++) {
        print_line(dump, &lines[i]);
    }
    if (rest.count != NULL) {
        fprintf(dump->out, "%10s %18s %6s %14s %14s %14" PRIu64 " %14" PRIu64 "\n", "?", "?", "?",
                "", "", rest.loads, rest.stores);
    }
}

static void print_counts(struct dump *dump, struct qtrace_counts *counts, bool as_json)
{
    size_t n = qtrace_counts_n_blocks(counts);
    g_autofree struct line *lines = g_try_new(struct line, n + 1);

    if (lines == NULL) {
        dump_error(dump, &(struct qtrace_error){.code = QTRACE_E_NOMEM});
        return;
    }

    for (size_t i = 0; i < n; i++) {
        const struct qtrace_block_count *count = qtrace_counts_block(counts, i);
        const struct qtrace_translation *t =
            qtrace_reader_translation(dump->reader, count->block);
        lines[i] = make_line(count, t == NULL ? 0 : t->n_insns);
    }
    qsort(lines, n, sizeof(*lines), most_executed_first);
    (as_json ? print_json : print_table)(dump, lines, n, counts);
}

void dump_summary(struct dump *dump, bool as_json)
{
    struct qtrace_counts *counts = qtrace_counts_new();
    struct qtrace_error err = {.code = QTRACE_E_NOMEM};

    if (counts == NULL) {
        dump_error(dump, &err);
        return;
    }
    /* frame by frame: a damaged one is left out, and named with the gaps */
    size_t n = qtrace_reader_n_frames(dump->reader);
    if (qtrace_reader_count(dump->reader, 0, n, counts, &err) != QTRACE_OK) {
        qtrace_counts_free(&counts);
        counts = qtrace_counts_new();
        for (size_t i = 0; counts != NULL && i < n; i++) {
            int code = qtrace_reader_count(dump->reader, i, 1, counts, &err);
            if (code == QTRACE_E_IO || code == QTRACE_E_NOMEM) {
                dump_error(dump, &err);
                break;
            }
        }
    }
    if (counts != NULL) {
        print_counts(dump, counts, as_json);
    }
    qtrace_counts_free(&counts);
}
