/*
 * traffic - how much memory each function reads and writes
 *
 * An example of an analyzer: one file, which QEMU loads as a plugin and qtrace-replay as well.
 * See writing-analyzers.md. Argument: limit=N, the number of functions to print (default 0: all).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <qtrace/analyzer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct function {
    const char *name; /* of QEMU's, lives for ever */
    uint64_t loads, stores, bytes_read, bytes_written;
};

static GMutex lock; /* of the table: threads may translate at the same time */
static GHashTable *functions;
static unsigned long limit;

/* ---- while the guest runs ---- */

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    struct function *f = userdata;
    uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);

    (void)vcpu_index;
    (void)vaddr;
    if (qemu_plugin_mem_is_store(info)) {
        count(&f->stores, 1);
        count(&f->bytes_written, size);
    } else {
        count(&f->loads, 1);
        count(&f->bytes_read, size);
    }
}

/* ---- when code is translated ---- */

static struct function *find_function(const char *name)
{
    g_mutex_lock(&lock);
    struct function *f = g_hash_table_lookup(functions, name);
    if (f == NULL) {
        f = g_new0(struct function, 1);
        f->name = name;
        g_hash_table_insert(functions, (void *)name, f);
    }
    g_mutex_unlock(&lock);
    return f;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const char *symbol = qemu_plugin_insn_symbol(insn);

        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW,
                                         find_function(symbol != NULL ? symbol : "?"));
    }
}

/* ---- at the end ---- */

/* A total order, so that the report does not depend on the order of the table. */
static gint compare(gconstpointer pa, gconstpointer pb)
{
    const struct function *a = *(struct function *const *)pa, *b = *(struct function *const *)pb;
    uint64_t bytes_a = a->bytes_read + a->bytes_written;
    uint64_t bytes_b = b->bytes_read + b->bytes_written;

    if (bytes_a != bytes_b) {
        return bytes_a > bytes_b ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static GPtrArray *sorted_functions(void)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, functions);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct function *f = value;
        if (f->loads + f->stores > 0) {
            g_ptr_array_add(list, f);
        }
    }
    g_ptr_array_sort(list, compare);
    return list;
}

static void analyzer_exit(void)
{
    GString *text = g_string_new("function, loads, bytes read, stores, bytes written\n");

    g_mutex_lock(&lock);
    GPtrArray *list = sorted_functions();
    for (guint i = 0; i < list->len && (limit == 0 || i < limit); i++) {
        const struct function *f = list->pdata[i];
        g_string_append_printf(text, "%s, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "\n",
                               f->name, f->loads, f->bytes_read, f->stores, f->bytes_written);
    }
    g_mutex_unlock(&lock);
    qemu_plugin_outs(text->str);
    g_string_free(text, TRUE);
    g_ptr_array_free(list, TRUE);
}

/* ---- at the beginning ---- */

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!g_str_has_prefix(argv[i], "limit=")) {
            fprintf(stderr, "traffic: what is '%s'? There is only limit=N\n", argv[i]);
            return -1;
        }
        limit = strtoul(argv[i] + strlen("limit="), NULL, 10);
    }
    functions = g_hash_table_new(g_str_hash, g_str_equal);
    analyzer_register(id);
    return 0;
}
