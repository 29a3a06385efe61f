/*
 * hotpages - the pages that are accessed most often
 *
 * Arguments: sortby=reads|writes|address (default: by the sum of reads and writes); io=on|off
 * (default off): count only accesses to devices; pagesize=N (default 4096); limit=N (default 50,
 * 0 = all); format=text|csv|json. A machine's memory is counted by physical pages, everything
 * else (devices, user mode) by virtual ones. RCPUs and WCPUs are the sets of vCPUs that read and
 * wrote: bit n is vCPU n, and there are as many digits as it takes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "lock.h"
#include "options.h"
#include "per-vcpu.h"
#include "report.h"
#include "vcpu-set.h"

#include <stdio.h>

enum sort_key { SORT_READS, SORT_WRITES, SORT_ADDRESS, SORT_SUM };

/* What a vCPU did to a page. */
struct page {
    uint64_t address;
    uint64_t reads, writes;
};

/* Each vCPU counts by itself. */
struct vcpu {
    struct lock lock;
    GHashTable *pages;
    struct page *last; /* the next access is likely to hit it again */
};

/* What all vCPUs did to it. */
struct total {
    uint64_t address;
    uint64_t reads, writes;
    GArray *readers, *writers; /* bits, in words of 64 */
};

static struct per_vcpu *vcpus;
static uint64_t page_size = 4096;
static uint64_t limit = 50;
static int sort_by = SORT_SUM;
static bool track_io;
static int format = REPORT_TEXT;

/* ---- counting ---- */

static struct page *find_page(struct vcpu *v, uint64_t address)
{
    if (v->last != NULL && v->last->address == address) {
        return v->last;
    }
    if (v->pages == NULL) {
        v->pages = g_hash_table_new(g_int64_hash, g_int64_equal);
    }
    struct page *page = g_hash_table_lookup(v->pages, &address);
    if (page == NULL) {
        page = g_new0(struct page, 1);
        page->address = address;
        g_hash_table_insert(v->pages, &page->address, page);
    }
    v->last = page;
    return page;
}

static void count_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                         void *userdata)
{
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    bool is_io = where != NULL && qemu_plugin_hwaddr_is_io(where);
    uint64_t address = vaddr;

    (void)userdata;
    if (track_io && !is_io) {
        return;
    }
    if (where != NULL && !is_io) {
        address = qemu_plugin_hwaddr_phys_addr(where);
    }
    struct vcpu *v = per_vcpu_get(vcpus, vcpu_index);
    lock_take(&v->lock);
    struct page *page = find_page(v, address & ~(page_size - 1));
    if (qemu_plugin_mem_is_store(info)) {
        page->writes++;
    } else {
        page->reads++;
    }
    lock_release(&v->lock);
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), count_access,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

/* ---- the end ---- */

static void add_page(GHashTable *totals, const struct page *page, unsigned vcpu_index)
{
    struct total *total = g_hash_table_lookup(totals, &page->address);

    if (total == NULL) {
        total = g_new0(struct total, 1);
        total->address = page->address;
        total->readers = vcpu_set_new();
        total->writers = vcpu_set_new();
        g_hash_table_insert(totals, &total->address, total);
    }
    total->reads += page->reads;
    total->writes += page->writes;
    if (page->reads > 0) {
        vcpu_set_add(total->readers, vcpu_index);
    }
    if (page->writes > 0) {
        vcpu_set_add(total->writers, vcpu_index);
    }
}

static void free_total(gpointer p)
{
    struct total *total = p;

    g_array_free(total->readers, TRUE);
    g_array_free(total->writers, TRUE);
    g_free(total);
}

static uint64_t sort_value(const struct total *t)
{
    switch (sort_by) {
    case SORT_READS:
        return t->reads;
    case SORT_WRITES:
        return t->writes;
    case SORT_ADDRESS:
        return t->address;
    default:
        return t->reads + t->writes;
    }
}

/* The largest first, addresses too, as in QEMU's; among equals the lowest address. */
static gint compare(gconstpointer pa, gconstpointer pb)
{
    const struct total *a = *(struct total *const *)pa, *b = *(struct total *const *)pb;
    uint64_t value_a = sort_value(a), value_b = sort_value(b);

    if (value_a != value_b) {
        return value_a > value_b ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

/* All totals, sorted. They are freed with the array. */
static GPtrArray *collect(void)
{
    GHashTable *totals = g_hash_table_new(g_int64_hash, g_int64_equal);
    GPtrArray *list = g_ptr_array_new_with_free_func(free_total);
    GHashTableIter iter;
    gpointer p;

    for (unsigned i = 0; i < per_vcpu_end(vcpus); i++) {
        struct vcpu *v = per_vcpu_get(vcpus, i);
        lock_take(&v->lock);
        if (v->pages != NULL) {
            g_hash_table_iter_init(&iter, v->pages);
            while (g_hash_table_iter_next(&iter, NULL, &p)) {
                add_page(totals, p, i);
            }
        }
        lock_release(&v->lock);
    }
    g_hash_table_iter_init(&iter, totals);
    while (g_hash_table_iter_next(&iter, NULL, &p)) {
        g_ptr_array_add(list, p);
    }
    g_hash_table_destroy(totals);
    g_ptr_array_sort(list, compare);
    return list;
}

static void analyzer_exit(void)
{
    struct report *report = report_new(format);
    GPtrArray *list = collect();

    report_table(report, "hotpages", "Addr", "RCPUs", "Reads", "WCPUs", "Writes", NULL);
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct total *total = list->pdata[i];
        report_address(report, total->address);
        vcpu_set_report(report, total->readers);
        report_number(report, total->reads);
        vcpu_set_report(report, total->writers);
        report_number(report, total->writes);
        report_row(report);
    }
    report_print(report);
    g_ptr_array_free(list, TRUE);
}

ANALYZER_SUMMARY("the pages that are accessed most often")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "sortby", OPTION_CHOICE, &sort_by,
          (const char *const[]){ "reads", "writes", "address", NULL } },
        { "io", OPTION_BOOL, &track_io },
        { "pagesize", OPTION_NUMBER, &page_size, .hint = "N" },
        { "limit", OPTION_NUMBER, &limit, .hint = "N" },
        OPTION_FORMAT(&format),
        { NULL },
    };

    (void)info;
    if (!options_parse("hotpages", options, argc, argv)) {
        return -1;
    }
    if (page_size == 0 || (page_size & (page_size - 1)) != 0) {
        fprintf(stderr, "hotpages: pagesize=%" PRIu64 " is no power of two\n", page_size);
        return -1;
    }
    vcpus = per_vcpu_new(sizeof(struct vcpu));
    analyzer_register(id);
    return 0;
}
