/*
 * hotblocks - the blocks that are executed most often
 *
 * Arguments: inline=on|off (default off): count by QEMU's inline operations; limit=N (default 20,
 * 0 = all); format=text|csv|json. Blocks with the same address and number of instructions are
 * one, however often they are translated. With inline=on and a QEMU before 8.2, threads that run
 * at the same time can lose counts: its inline operations are not atomic.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "counter.h"
#include "options.h"
#include "report.h"

struct block {
    uint64_t pc;
    uint64_t insns;
    uint64_t translations;
    struct counter counter;
    uint64_t count; /* its value at the end */
};

static GMutex lock; /* of the table and of translations */
static GHashTable *blocks;
static bool use_inline;
static uint64_t limit = 20;
static int format = REPORT_TEXT;

static guint block_hash(gconstpointer p)
{
    const struct block *b = p;
    uint64_t h = (b->pc ^ (b->insns << 48)) * UINT64_C(0x9e3779b97f4a7c15);

    return (guint)(h >> 32);
}

static gboolean block_equal(gconstpointer pa, gconstpointer pb)
{
    const struct block *a = pa, *b = pb;

    return a->pc == b->pc && a->insns == b->insns;
}

static gint compare(gconstpointer pa, gconstpointer pb)
{
    const struct block *a = *(struct block *const *)pa, *b = *(struct block *const *)pb;

    if (a->count != b->count) {
        return a->count > b->count ? -1 : 1;
    }
    if (a->pc != b->pc) {
        return a->pc < b->pc ? -1 : 1;
    }
    return a->insns < b->insns ? -1 : a->insns > b->insns;
}

static struct block *find_block(uint64_t pc, uint64_t insns)
{
    struct block key = { .pc = pc, .insns = insns };

    g_mutex_lock(&lock);
    struct block *b = g_hash_table_lookup(blocks, &key);
    if (b == NULL) {
        b = g_new0(struct block, 1);
        b->pc = pc;
        b->insns = insns;
        counter_init(&b->counter, use_inline);
        g_hash_table_add(blocks, b);
    }
    b->translations++;
    g_mutex_unlock(&lock);
    return b;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    struct block *b = find_block(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));

    counter_attach_block(&b->counter, use_inline, tb);
}

static GPtrArray *sorted_blocks(void)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        struct block *b = key;
        b->count = counter_value(&b->counter);
        g_ptr_array_add(list, b);
    }
    g_ptr_array_sort(list, compare);
    return list;
}

static void analyzer_exit(void)
{
    struct report *report = report_new(format);

    g_mutex_lock(&lock);
    GPtrArray *list = sorted_blocks();
    report_text(report, "collected %u entries in the hash table\n", list->len);
    report_table(report, "hotblocks", "pc", "tcount", "icount", "ecount", NULL);
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct block *b = list->pdata[i];
        report_address(report, b->pc);
        report_number(report, b->translations);
        report_number(report, b->insns);
        report_number(report, b->count);
        report_row(report);
    }
    g_mutex_unlock(&lock);
    report_print(report);
    g_ptr_array_free(list, TRUE);
}

ANALYZER_SUMMARY("the blocks that are executed most often")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    const struct option options[] = {
        { "inline", OPTION_BOOL, &use_inline },
        { "limit", OPTION_NUMBER, &limit, .hint = "N" },
        OPTION_FORMAT(&format),
        { NULL },
    };

    (void)info;
    if (!options_parse("hotblocks", options, argc, argv)) {
        return -1;
    }
    blocks = g_hash_table_new(block_hash, block_equal);
    analyzer_register(id);
    return 0;
}
