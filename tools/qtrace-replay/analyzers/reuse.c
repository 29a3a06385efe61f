/*
 * reuse - the LRU stack distance of every access, and the miss ratio of every cache size
 *
 * What the distance is, stackdist.h says. All vCPUs together; an access uses the line of its first
 * byte, as with the analyzer cache: its misses with dcachesize=N*line, dblksize=line, dassoc=N (or
 * the same for instructions) are those that stand here for N lines.
 *
 * Arguments: access=split|data|insn|unified (default split: data accesses and instructions each
 * for themselves; unified: in one stack); line=BYTES (default 64); exact=on: a row for every
 * distance that occurs, not for powers of two; format=text|csv|json.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "linemap.h"
#include "lock.h"
#include "options.h"
#include "report.h"
#include "stackdist.h"
#include "touched.h"

#include <stdio.h>

struct stream {
    const char *name;
    struct lock lock;
    struct linemap map; /* of times, for the stack */
    struct stackdist stack;
};

enum { SPLIT, DATA, INSN, UNIFIED };

static struct stream stream[2];
static struct stream *data, *fetch; /* NULL: not wanted; the same if unified */
static uint64_t line_size = 64;
static unsigned line_shift;
static int selection = SPLIT, format = REPORT_TEXT;
static bool exact;

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    uint64_t addr;

    (void)vcpu_index;
    (void)userdata;
    if (touched_by_access(info, vaddr, &addr)) {
        lock_take(&data->lock);
        stackdist_use(&data->stack, linemap_find(&data->map, addr >> line_shift));
        lock_release(&data->lock);
    }
}

static void on_fetch(unsigned int vcpu_index, void *userdata)
{
    (void)vcpu_index;
    lock_take(&fetch->lock);
    stackdist_use(&fetch->stack, userdata);
    lock_release(&fetch->lock);
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        if (data != NULL) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
        }
        if (fetch != NULL) {
            lock_take(&fetch->lock);
            void *line = linemap_find(&fetch->map, touched_by_fetch(insn) >> line_shift);
            lock_release(&fetch->lock);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_fetch, QEMU_PLUGIN_CB_NO_REGS, line);
        }
    }
}

/* ---- report ---- */

/* The distances of a row: powers of two belong to the cache size that is the first to hit. */
static uint64_t row_end(uint64_t begin)
{
    return exact || begin == 1 ? begin : 2 * (begin - 1);
}

/* The longest distance that occurs, 0 if none does. */
static uint64_t longest(const struct stackdist *s)
{
    uint64_t distance = s->lines;

    while (distance > 0 && s->count[distance] == 0) {
        distance--;
    }
    return distance;
}

static uint64_t count_between(const struct stackdist *s, uint64_t begin, uint64_t end)
{
    uint64_t sum = 0;

    for (uint64_t distance = begin; distance <= MIN(end, s->lines); distance++) {
        sum += s->count[distance];
    }
    return sum;
}

static void histogram_rows(struct report *r, const struct stream *t)
{
    const struct stackdist *s = &t->stack;
    uint64_t end, last = longest(s);

    for (uint64_t begin = 1; begin <= last; begin = end + 1) {
        end = row_end(begin);
        uint64_t count = count_between(s, begin, end);
        if (exact && count == 0) {
            continue;
        }
        report_string(r, t->name);
        report_number(r, begin);
        report_number(r, end);
        report_number(r, count);
        report_row(r);
    }
}

static void miss_rows(struct report *r, const struct stream *t)
{
    const struct stackdist *s = &t->stack;
    uint64_t end, hits = 0, last = longest(s);

    for (uint64_t begin = 1; begin <= last; begin = end + 1) {
        end = row_end(begin);
        uint64_t count = count_between(s, begin, end);
        hits += count;
        if (exact && count == 0) {
            continue;
        }
        report_string(r, t->name);
        report_number(r, end);
        report_number(r, end * line_size);
        report_number(r, s->accesses - hits);
        report_real(r, (double)(s->accesses - hits) / s->accesses, 6);
        report_row(r);
    }
}

static void total_rows(struct report *r, const struct stream *t)
{
    report_string(r, t->name);
    report_number(r, t->stack.accesses);
    report_number(r, t->stack.lines);
    report_row(r);
}

static void for_each_stream(struct report *r,
                            void (*rows)(struct report *r, const struct stream *t))
{
    for (int i = 0; i < 2; i++) {
        if (stream[i].name != NULL) {
            rows(r, &stream[i]);
        }
    }
}

static void analyzer_exit(void)
{
    struct report *r = report_new(format);

    for (int i = 0; i < 2; i++) {
        lock_take(&stream[i].lock);
    }
    report_table(r, "totals", "stack", "accesses", "lines", NULL);
    for_each_stream(r, total_rows);
    report_text(r, "\n");
    report_table(r, "histogram", "stack", "from", "to", "accesses", NULL);
    for_each_stream(r, histogram_rows);
    report_text(r, "\n");
    report_table(r, "miss_ratio", "stack", "lines", "bytes", "misses", "miss_ratio", NULL);
    for_each_stream(r, miss_rows);
    for (int i = 0; i < 2; i++) {
        lock_release(&stream[i].lock);
    }
    report_print(r);
}

/* ---- arguments ---- */

static void set_up(void)
{
    line_shift = (unsigned)__builtin_ctzll(line_size);
    data = selection == INSN ? NULL : &stream[0];
    fetch = selection == DATA ? NULL : selection == UNIFIED ? data : &stream[1];
    for (int i = 0; i < 2; i++) {
        linemap_init(&stream[i].map, sizeof(uint64_t));
        stackdist_init(&stream[i].stack);
    }
    if (fetch != NULL) {
        fetch->name = "insn";
    }
    if (data != NULL) {
        data->name = selection == UNIFIED ? "unified" : "data";
    }
}

ANALYZER_SUMMARY("the LRU stack distance of every access, and the miss ratio of every cache size")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    static const char *const selections[] = { "split", "data", "insn", "unified", NULL };
    const struct option options[] = {
        { "access", OPTION_CHOICE, &selection, selections },
        { "line", OPTION_NUMBER, &line_size, .hint = "BYTES" },
        { "exact", OPTION_BOOL, &exact },
        OPTION_FORMAT(&format),
        { NULL },
    };

    if (!options_parse("reuse", options, argc, argv)) {
        return -1;
    }
    if (line_size == 0 || (line_size & (line_size - 1)) != 0) {
        fprintf(stderr, "reuse: line size %" PRIu64 " is not a power of two\n", line_size);
        return -1;
    }
    touched_system = info->system_emulation;
    set_up();
    analyzer_register(id);
    return 0;
}
