/*
 * drcov - the code that was executed, as a coverage file of DynamoRIO's drcov
 *
 * Argument: filename=FILE (default file.drcov.trace). The file is what QEMU's plugin of this name
 * writes: version 2, one module, which is the guest's program, and an entry for each translation
 * that was executed, in the order of translation: the lower 32 bits of the address, the size in
 * bytes, module 0. Blocks of libraries are in it too. QEMU 10.0 does not tell plugins where the
 * code begins and ends: the module's addresses are 0 then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "guest-path.h"
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct block {
    uint64_t vaddr;
    uint16_t size;
    bool executed;
};

static GMutex lock; /* of the list */
static GPtrArray *blocks;
static char *filename;

static void mark_block(unsigned int vcpu_index, void *userdata)
{
    struct block *b = userdata;

    (void)vcpu_index;
    if (!__atomic_load_n(&b->executed, __ATOMIC_RELAXED)) {
        __atomic_store_n(&b->executed, true, __ATOMIC_RELAXED);
    }
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    struct block *b = g_new0(struct block, 1);

    b->vaddr = qemu_plugin_tb_vaddr(tb);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        b->size += (uint16_t)qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
    }
    g_mutex_lock(&lock);
    g_ptr_array_add(blocks, b);
    g_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, mark_block, QEMU_PLUGIN_CB_NO_REGS, b);
}

/* ---- the file ---- */

/* The guest's program as it was called, for a QEMU that does not tell. To be freed. */
static char *called_program(void)
{
    g_autofree char *text = NULL;
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    gsize size;

    if (!g_file_get_contents("/proc/self/cmdline", &text, &size, NULL)) {
        return NULL;
    }
    for (char *word = text; word < text + size; word += strlen(word) + 1) {
        g_ptr_array_add(words, word);
    }
    return g_strdup(qt_guest_path((const char *const *)words->pdata, words->len));
}

static void write_module(FILE *file)
{
    const char *path = qemu_plugin_path_to_binary != NULL ? qemu_plugin_path_to_binary()
                                                          : called_program();
    uint64_t start = 0, end = 0, entry = 0;

    if (qemu_plugin_start_code != NULL) {
        start = qemu_plugin_start_code();
        end = qemu_plugin_end_code();
        entry = qemu_plugin_entry_code();
    }
    fprintf(file, "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov-64\nModule Table: version 2, count 1\n"
                  "Columns: id, base, end, entry, path\n");
    fprintf(file, "0, 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", %s\n", start, end, entry,
            path != NULL ? path : "(null)");
}

/* Little-endian, whatever runs this. */
static void write_block(FILE *file, const struct block *b)
{
    unsigned char entry[8] = { b->vaddr & 0xff, b->vaddr >> 8 & 0xff, b->vaddr >> 16 & 0xff,
                               b->vaddr >> 24 & 0xff, b->size & 0xff, b->size >> 8 };

    fwrite(entry, sizeof(entry), 1, file);
}

static FILE *open_file(void)
{
    FILE *file = fopen(filename, "wb");

    if (file == NULL) {
        fprintf(stderr, "drcov: cannot write '%s': %s\n", filename, strerror(errno));
    }
    return file;
}

/* A list of its own: a machine's vCPUs run on, but the number of entries comes first. */
static GPtrArray *executed_blocks(void)
{
    GPtrArray *list = g_ptr_array_new();

    g_mutex_lock(&lock);
    for (guint i = 0; i < blocks->len; i++) {
        struct block *b = blocks->pdata[i];
        if (__atomic_load_n(&b->executed, __ATOMIC_RELAXED)) {
            g_ptr_array_add(list, b);
        }
    }
    g_mutex_unlock(&lock);
    return list;
}

static void analyzer_exit(void)
{
    g_autoptr(GPtrArray) executed = executed_blocks();
    FILE *file = open_file();

    if (file == NULL) {
        return;
    }
    write_module(file);
    fprintf(file, "BB Table: %u bbs\n", executed->len);
    for (guint i = 0; i < executed->len; i++) {
        write_block(file, executed->pdata[i]);
    }
    if (ferror(file) | fclose(file)) {
        fprintf(stderr, "drcov: cannot write '%s'\n", filename);
    }
}

ANALYZER_SUMMARY("the code that was executed, as a coverage file of DynamoRIO's drcov")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    char *name = g_strdup("file.drcov.trace");
    const struct option options[] = {
        { "filename", OPTION_TEXT, &name, .hint = "FILE" },
        { NULL },
    };
    FILE *file;

    (void)info;
    if (!options_parse("drcov", options, argc, argv)) {
        return -1;
    }
    filename = g_canonicalize_filename(name, NULL); /* the guest may change the folder */
    g_free(name);
    /* Written at the end, for a guest can close descriptors; but refused now. */
    file = open_file();
    if (file == NULL) {
        return -1;
    }
    fclose(file);
    blocks = g_ptr_array_new();
    analyzer_register(id);
    return 0;
}
