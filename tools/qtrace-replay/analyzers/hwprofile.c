/*
 * hwprofile - which devices are accessed, how often, by which vCPUs
 *
 * Arguments: track=read|write (or read, write): only these accesses; pattern=on: by physical
 * address; source=on: by the instruction that makes the access; match=NAME, several times: only
 * these devices; format=text|csv|json. The busiest device comes first. Its address is the lowest
 * physical one that was accessed. RCPUs and WCPUs are the sets of vCPUs that read and wrote.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "options.h"
#include "report.h"
#include "vcpu-set.h"

#include <stdio.h>

enum { READ, WRITE, WAYS };

struct counts {
    uint64_t n[WAYS];
    GArray *vcpus[WAYS];
};

/* A register of a device, or an instruction. */
struct spot {
    uint64_t address; /* the key */
    struct counts counts;
};

struct device {
    const char *name; /* QEMU's, which tells devices apart */
    uint64_t address;
    unsigned number; /* in order of appearance */
    struct counts counts;
    GHashTable *spots;
};

static GMutex lock; /* accesses to devices are slow anyway */
static GHashTable *devices;
static bool tracked[WAYS] = { true, true };
static bool pattern, source;
static GPtrArray *matches;
static int format = REPORT_TEXT;

/* ---- counting ---- */

static void count(struct counts *c, int way, unsigned vcpu_index)
{
    if (c->vcpus[way] == NULL) {
        c->vcpus[way] = vcpu_set_new();
    }
    vcpu_set_add(c->vcpus[way], vcpu_index);
    c->n[way]++;
}

static struct device *find_device(const char *name, uint64_t address)
{
    struct device *d = g_hash_table_lookup(devices, name);

    if (d == NULL) {
        d = g_new0(struct device, 1);
        d->name = name;
        d->address = address;
        d->number = g_hash_table_size(devices);
        d->spots = g_hash_table_new(g_int64_hash, g_int64_equal);
        g_hash_table_insert(devices, (gpointer)name, d);
    }
    d->address = MIN(d->address, address);
    return d;
}

static struct spot *find_spot(struct device *d, uint64_t address)
{
    struct spot *spot = g_hash_table_lookup(d->spots, &address);

    if (spot == NULL) {
        spot = g_new0(struct spot, 1);
        spot->address = address;
        g_hash_table_insert(d->spots, &spot->address, spot);
    }
    return spot;
}

static bool is_wanted(const char *name)
{
    for (guint i = 0; matches != NULL && i < matches->len; i++) {
        if (strcmp(matches->pdata[i], name) == 0) {
            return true;
        }
    }
    return matches == NULL;
}

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    int way = qemu_plugin_mem_is_store(info) ? WRITE : READ;

    if (where == NULL || !tracked[way] || !qemu_plugin_hwaddr_is_io(where)) {
        return;
    }
    const char *name = qemu_plugin_hwaddr_device_name(where);
    uint64_t address = qemu_plugin_hwaddr_phys_addr(where);
    if (!is_wanted(name)) {
        return;
    }
    g_mutex_lock(&lock);
    struct device *d = find_device(name, address);
    count(&d->counts, way, vcpu_index);
    if (pattern || source) {
        count(&find_spot(d, source ? (uintptr_t)userdata : address)->counts, way, vcpu_index);
    }
    g_mutex_unlock(&lock);
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW,
                                         (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
    }
}

/* ---- the end ---- */

static gint by_traffic(gconstpointer pa, gconstpointer pb)
{
    const struct device *a = *(struct device *const *)pa, *b = *(struct device *const *)pb;
    uint64_t n_a = a->counts.n[READ] + a->counts.n[WRITE];
    uint64_t n_b = b->counts.n[READ] + b->counts.n[WRITE];
    int order = strcmp(a->name, b->name);

    if (n_a != n_b) {
        return n_a > n_b ? -1 : 1;
    }
    if (order != 0) {
        return order;
    }
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

static gint by_address(gconstpointer pa, gconstpointer pb)
{
    const struct spot *a = *(struct spot *const *)pa, *b = *(struct spot *const *)pb;

    return a->address < b->address ? -1 : a->address > b->address;
}

static GPtrArray *sorted(GHashTable *table, GCompareFunc order)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer p;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &p)) {
        g_ptr_array_add(list, p);
    }
    g_ptr_array_sort(list, order);
    return list;
}

static void report_counts(struct report *r, const struct counts *c)
{
    for (int way = 0; way < WAYS; way++) {
        if (tracked[way] && c->vcpus[way] != NULL) {
            vcpu_set_report(r, c->vcpus[way]);
            report_number(r, c->n[way]);
        } else if (tracked[way]) {
            report_string(r, "0x0000");
            report_number(r, 0);
        }
    }
    report_row(r);
}

static void report_device(struct report *r, const struct device *d)
{
    report_string(r, d->name);
    report_address(r, d->address);
    if (!pattern && !source) {
        report_counts(r, &d->counts);
    }
}

static void report_spots(struct report *r, const struct device *d)
{
    GPtrArray *list = sorted(d->spots, by_address);

    for (guint i = 0; i < list->len; i++) {
        const struct spot *spot = list->pdata[i];

        report_device(r, d);
        report_address(r, spot->address);
        report_counts(r, &spot->counts);
    }
    g_ptr_array_free(list, TRUE);
}

static void begin_table(struct report *r)
{
    const char *column[8] = { "Device", "Address" };
    int n = 2;

    if (pattern || source) {
        column[n++] = pattern ? "Register" : "PC";
    }
    if (tracked[READ]) {
        column[n++] = "RCPUs";
        column[n++] = "Reads";
    }
    if (tracked[WRITE]) {
        column[n++] = "WCPUs";
        column[n++] = "Writes";
    }
    report_table(r, "hwprofile", column[0], column[1], column[2], column[3], column[4], column[5],
                 column[6], NULL);
}

/* The vCPUs of a machine run on while QEMU exits. */
static void analyzer_exit(void)
{
    struct report *r = report_new(format);

    g_mutex_lock(&lock);
    GPtrArray *list = sorted(devices, by_traffic);
    begin_table(r);
    for (guint i = 0; i < list->len; i++) {
        if (pattern || source) {
            report_spots(r, list->pdata[i]);
        } else {
            report_device(r, list->pdata[i]);
        }
    }
    g_mutex_unlock(&lock);
    report_print(r);
    g_ptr_array_free(list, TRUE);
}

/* ---- arguments ---- */

static bool settle(int track, bool read, bool write, const qemu_info_t *info)
{
    if (pattern && source) {
        fprintf(stderr, "hwprofile: pattern and source exclude each other\n");
        return false;
    }
    if (!info->system_emulation) {
        fprintf(stderr, "hwprofile: only whole machines have devices, programs in user mode have "
                        "none\n");
        return false;
    }
    if (track != WAYS || read != write) {
        tracked[READ] = track == READ || (track == WAYS && read);
        tracked[WRITE] = track == WRITE || (track == WAYS && write);
    }
    return true;
}

ANALYZER_SUMMARY("which devices are accessed, how often, by which vCPUs")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    bool read = false, write = false;
    int track = WAYS;
    const struct option options[] = {
        { "track", OPTION_CHOICE, &track, (const char *const[]){ "read", "write", NULL } },
        { "read", OPTION_BOOL, &read },
        { "write", OPTION_BOOL, &write },
        { "pattern", OPTION_BOOL, &pattern },
        { "source", OPTION_BOOL, &source },
        { "match", OPTION_LIST, &matches, .hint = "NAME" },
        OPTION_FORMAT(&format),
        { NULL },
    };

    if (!options_parse("hwprofile", options, argc, argv) ||
        !settle(track, read, write, info)) {
        return -1;
    }
    devices = g_hash_table_new(NULL, NULL);
    analyzer_register(id);
    return 0;
}
