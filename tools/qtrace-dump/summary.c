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
    uint64_t vaddr;
    size_t symbol;   /* its place in the text of symbols; 0 = none */
    uint32_t length; /* in instructions; 0 = nobody knows it */
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

/* t: NULL = nobody knows it. */
static struct line make_line(const struct qtrace_block_count *count,
                             const struct qtrace_translation *t)
{
    uint32_t length = t == NULL ? 0 : t->n_insns;
    struct line line = {
        .count = count,
        .vaddr = t == NULL ? 0 : t->vaddr,
        .length = length,
        .insns = count->executions * length,
    };

    for (uint32_t i = 0; i < count->n_insns; i++) {
        const struct qtrace_insn_count *insn = &count->insn[i];
        line.loads += insn->loads;
        line.stores += insn->stores;
        line.insns -= insn->left * (length > insn->insn ? length - insn->insn : 0);
    }
    return line;
}

/* All lines, and the text of their symbols. */
struct table {
    struct line *line;
    size_t n;
    struct line rest; /* accesses of blocks that nobody knows */
    char *text;
    FILE *symbols; /* writes it */
    size_t place;  /* of the last symbol */
    char last[256];
};

static const char *symbol_of(const struct table *table, const struct line *line)
{
    return line->symbol == 0 ? NULL : table->text + line->symbol;
}

/* ---- printing ---- */

static void print_line(struct dump *dump, const struct line *line, const char *symbol)
{
    fprintf(dump->out, "%10u %#18" PRIx64 " %6u %14" PRIu64 " %14" PRIu64 " %14" PRIu64
            " %14" PRIu64, line->count->block, line->vaddr, line->length,
            line->count->executions, line->insns, line->loads, line->stores);
    if (symbol != NULL) {
        g_autofree char *safe = text_safe(symbol);
        fprintf(dump->out, "  %s", safe);
    }
    fputc('\n', dump->out);
}

static void put_line(struct json *json, const struct line *line, const char *symbol)
{
    json_begin(json, NULL, '{');
    json_number(json, "block", line->count->block);
    if (line->length > 0) {
        json_address(json, "address", line->vaddr);
        json_number(json, "length", line->length);
        json_text(json, "symbol", symbol);
    }
    json_number(json, "executions", line->count->executions);
    json_number(json, "instructions", line->insns);
    json_number(json, "loads", line->loads);
    json_number(json, "stores", line->stores);
    json_end(json, '}');
}

static void print_json(struct dump *dump, const struct table *table)
{
    struct json json = {.out = dump->out};

    json_begin(&json, NULL, '{');
    json_begin(&json, "blocks", '[');
    for (size_t i = 0; i < table->n; i++) {
        put_line(&json, &table->line[i], symbol_of(table, &table->line[i]));
    }
    json_end(&json, ']');
    json_number(&json, "other_loads", table->rest.loads);
    json_number(&json, "other_stores", table->rest.stores);
    json_end(&json, '}');
}

static void print_table(struct dump *dump, const struct table *table)
{
    const struct line *rest = &table->rest;

    fprintf(dump->out, "%10s %18s %6s %14s %14s %14s %14s  %s\n", "block", "address", "length",
            "executions", "instructions", "loads", "stores", "symbol");
    for (size_t i = 0; i < table->n; i++) {
        print_line(dump, &table->line[i], symbol_of(table, &table->line[i]));
    }
    if (rest->count != NULL) {
        fprintf(dump->out, "%10s %18s %6s %14s %14s %14" PRIu64 " %14" PRIu64 "\n", "?", "?", "?",
                "", "", rest->loads, rest->stores);
    }
}

/* ---- making ---- */

/* Copy a symbol; that of the line before is often the same. 0: there is none. */
static size_t put_symbol(struct table *table, const char *symbol)
{
    if (symbol == NULL) {
        return 0;
    }
    if (table->place == 0 || strcmp(symbol, table->last) != 0) {
        table->place = (size_t)ftell(table->symbols);
        fputs(symbol, table->symbols);
        fputc('\0', table->symbols);
        g_strlcpy(table->last, symbol, sizeof(table->last));
    }
    return table->place;
}

/* By id, as definitions are read one after the other. false: no memory. */
static bool make_lines(struct dump *dump, struct table *table, struct qtrace_counts *counts)
{
    fputc('\0', table->symbols);
    for (size_t i = 0; i < table->n; i++) {
        const struct qtrace_block_count *count = qtrace_counts_block(counts, i);
        const struct qtrace_translation *t =
            qtrace_reader_translation(dump->reader, count->block);

        if (t == NULL && qtrace_reader_failure(dump->reader, NULL) != QTRACE_OK) {
            return false;
        }
        table->line[i] = make_line(count, t);
        table->line[i].symbol = put_symbol(table, t == NULL ? NULL : t->insn[0].symbol);
    }
    return true;
}

static bool make_table(struct dump *dump, struct table *table, struct qtrace_counts *counts)
{
    const struct qtrace_block_count *rest = qtrace_counts_carried(counts);
    size_t size;
    bool good;

    table->n = qtrace_counts_n_blocks(counts);
    table->rest = rest == NULL ? (struct line){0} : make_line(rest, NULL);
    table->line = calloc(table->n + 1, sizeof(*table->line));
    table->symbols = open_memstream(&table->text, &size);
    good = table->line != NULL && table->symbols != NULL && make_lines(dump, table, counts);
    return (table->symbols == NULL || fclose(table->symbols) == 0) && good;
}

static void print_counts(struct dump *dump, struct qtrace_counts *counts, bool as_json)
{
    struct qtrace_error err = {.code = QTRACE_E_NOMEM};
    struct table table = {0};

    if (make_table(dump, &table, counts)) {
        qsort(table.line, table.n, sizeof(*table.line), most_executed_first);
        (as_json ? print_json : print_table)(dump, &table);
    } else if (qtrace_reader_failure(dump->reader, NULL) == QTRACE_OK) {
        dump_error(dump, &err);
    } /* else whoever opened the reader tells it */
    free(table.line);
    free(table.text);
}

/* Frame by frame: a damaged one is left out, and named with the gaps. NULL: no memory. */
static struct qtrace_counts *count_each(struct dump *dump, size_t n)
{
    struct qtrace_counts *counts = qtrace_counts_new();

    for (size_t i = 0; counts != NULL && i < n; i++) {
        struct qtrace_error err;
        int code = qtrace_reader_count(dump->reader, i, 1, counts, &err);
        if (code == QTRACE_E_IO || code == QTRACE_E_NOMEM) {
            dump_error(dump, &err);
            break;
        }
    }
    return counts;
}

void dump_summary(struct dump *dump, bool as_json)
{
    struct qtrace_counts *counts = qtrace_counts_new();
    size_t n = qtrace_reader_n_frames(dump->reader);

    if (counts != NULL && qtrace_reader_count(dump->reader, 0, n, counts, NULL) != QTRACE_OK) {
        qtrace_counts_free(&counts);
        counts = count_each(dump, n);
    }
    if (counts != NULL) {
        print_counts(dump, counts, as_json);
    } else {
        struct qtrace_error err = {.code = QTRACE_E_NOMEM};
        dump_error(dump, &err);
    }
    qtrace_counts_free(&counts);
}
