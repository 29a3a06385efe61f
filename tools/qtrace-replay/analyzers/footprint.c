/*
 * footprint - how many distinct pages and lines of memory a program touches, over time
 *
 * Time is the number of instructions that all vCPUs have executed. Two tables have the same
 * columns: what was touched within each interval (the last one may be short), and what was
 * touched up to its end. Code and data are counted for themselves; of the data, what was read and
 * what was written as well. An access touches every line that it has a byte in.
 *
 * Arguments: interval=INSNS (default 1000000; 0: the whole run is one); line=BYTES (default 64);
 * page=BYTES (default 4096); format=text|csv|json.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "linemap.h"
#include "lock.h"
#include "options.h"
#include "report.h"
#include "touched.h"

#include <stdio.h>
#include <string.h>

enum size { PAGE, LINE, SIZES };
enum use { CODE, READ, WRITE, USES };

/* A page or a line: in which interval it was last used so, counted from 1. */
struct unit {
    uint64_t last[USES]; /* 0: never */
};

/* Of one size. data: read or written. */
struct counts {
    uint64_t use[USES], data;
};

struct row {
    uint64_t insns; /* at its end */
    struct counts within[SIZES], so_far[SIZES];
};

/* What a callback gets. Addresses of the first and the last byte. */
struct insn {
    uint64_t begin, end;
    uint64_t last; /* the interval in which it was executed last */
};

static struct linemap map[SIZES];
static uint64_t bytes[SIZES] = { [PAGE] = 4096, [LINE] = 64 };
static unsigned shift[SIZES];

static struct lock lock;
static GArray *rows;       /* of the intervals that are over */
static struct row current; /* of the one that is not */
static uint64_t number = 1; /* of the current one */
static uint64_t interval = 1000000, interval_end;
static int format = REPORT_TEXT;

/* ---- counting ---- */

static void count(enum size size, struct unit *unit, enum use use)
{
    struct counts *within = &current.within[size], *so_far = &current.so_far[size];

    if (unit->last[use] == number) {
        return;
    }
    within->use[use]++;
    so_far->use[use] += unit->last[use] == 0;
    if (use != CODE) {
        uint64_t last = MAX(unit->last[READ], unit->last[WRITE]);
        within->data += last != number;
        so_far->data += last == 0;
    }
    unit->last[use] = number;
}

static inline void touch_line(uint64_t addr, enum use use)
{
    struct unit *line = linemap_find(&map[LINE], addr >> shift[LINE]);

    if (line->last[use] != number) {
        count(LINE, line, use);
        count(PAGE, linemap_find(&map[PAGE], addr >> shift[PAGE]), use);
    }
}

/* The address space ends where it begins. */
static inline void touch(uint64_t begin, uint64_t end, enum use use)
{
    uint64_t addr = begin;

    touch_line(addr, use);
    while (((addr ^ end) >> shift[LINE]) != 0) {
        addr += bytes[LINE];
        touch_line(addr, use);
    }
}

static void close_interval(void)
{
    g_array_append_val(rows, current);
    memset(current.within, 0, sizeof(current.within));
    interval_end += interval;
    number++;
}

static void on_fetch(unsigned int vcpu_index, void *userdata)
{
    struct insn *insn = userdata;

    (void)vcpu_index;
    lock_take(&lock);
    if (current.insns == interval_end) {
        close_interval();
    }
    current.insns++;
    if (insn->last != number) {
        insn->last = number;
        touch(insn->begin, insn->end, CODE);
    }
    lock_release(&lock);
}

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    uint64_t addr;

    (void)vcpu_index;
    (void)userdata;
    if (touched_by_access(info, vaddr, &addr)) {
        uint64_t end = addr + (UINT64_C(1) << qemu_plugin_mem_size_shift(info)) - 1;
        enum use use = qemu_plugin_mem_is_store(info) ? WRITE : READ;

        lock_take(&lock);
        touch(addr, end, use);
        lock_release(&lock);
    }
}

/* Descriptions are never freed: the code may run at any time. */
static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    struct insn *insn = g_new0(struct insn, n);

    for (size_t i = 0; i < n; i++, insn++) {
        struct qemu_plugin_insn *translated = qemu_plugin_tb_get_insn(tb, i);

        insn->begin = touched_by_fetch(translated);
        insn->end = insn->begin + qemu_plugin_insn_size(translated) - 1;
        qemu_plugin_register_vcpu_insn_exec_cb(translated, on_fetch, QEMU_PLUGIN_CB_NO_REGS,
                                               insn);
        qemu_plugin_register_vcpu_mem_cb(translated, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

/* ---- report ---- */

static void report_counts(struct report *r, const char *name, bool so_far)
{
    report_table(r, name, "insns", "code_pages", "code_lines", "data_pages", "data_lines",
                 "read_pages", "read_lines", "written_pages", "written_lines", NULL);
    for (guint i = 0; i < rows->len; i++) {
        const struct row *row = &g_array_index(rows, struct row, i);
        const struct counts *c = so_far ? row->so_far : row->within;

        report_number(r, row->insns);
        report_number(r, c[PAGE].use[CODE]);
        report_number(r, c[LINE].use[CODE]);
        report_number(r, c[PAGE].data);
        report_number(r, c[LINE].data);
        for (enum use use = READ; use <= WRITE; use++) {
            report_number(r, c[PAGE].use[use]);
            report_number(r, c[LINE].use[use]);
        }
        report_row(r);
    }
}

static void analyzer_exit(void)
{
    struct report *r = report_new(format);

    lock_take(&lock);
    close_interval();
    report_text(r, "within each interval\n");
    report_counts(r, "intervals", false);
    report_text(r, "\nfrom the beginning\n");
    report_counts(r, "cumulative", true);
    lock_release(&lock);
    report_print(r);
}

/* ---- arguments ---- */

static bool check_sizes(void)
{
    for (enum size size = PAGE; size < SIZES; size++) {
        if (bytes[size] == 0 || (bytes[size] & (bytes[size] - 1)) != 0) {
            fprintf(stderr, "footprint: %s=%" PRIu64 " is not a power of two\n",
                    size == PAGE ? "page" : "line", bytes[size]);
            return false;
        }
        shift[size] = (unsigned)__builtin_ctzll(bytes[size]);
    }
    if (bytes[LINE] > bytes[PAGE]) {
        fprintf(stderr, "footprint: a line of %" PRIu64 " bytes is larger than a page of %" PRIu64
                "\n", bytes[LINE], bytes[PAGE]);
        return false;
    }
    return true;
}

ANALYZER_SUMMARY("how many distinct pages and lines of memory a program touches, over time")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "interval", OPTION_NUMBER, &interval, .hint = "INSNS" },
        { "line", OPTION_NUMBER, &bytes[LINE], .hint = "BYTES" },
        { "page", OPTION_NUMBER, &bytes[PAGE], .hint = "BYTES" },
        OPTION_FORMAT(&format),
        { NULL },
    };

    if (!options_parse("footprint", options, argc, argv) || !check_sizes()) {
        return -1;
    }
    interval = interval == 0 ? UINT64_MAX : interval;
    interval_end = interval;
    linemap_init(&map[PAGE], sizeof(struct unit));
    linemap_init(&map[LINE], sizeof(struct unit));
    rows = g_array_new(FALSE, FALSE, sizeof(struct row));
    touched_system = info->system_emulation;
    analyzer_register(id);
    return 0;
}
