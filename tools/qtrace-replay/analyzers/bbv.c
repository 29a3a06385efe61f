/*
 * bbv - basic block vectors for SimPoint
 *
 * Arguments: outfile=FILE (has to be given); interval=N (default 100000000). For each vCPU n there
 * is a file FILE.n.bb, and in it a line whenever the vCPU has executed another N instructions:
 *
 *   T:block:instructions :block:instructions ...
 *
 * Blocks are numbered from 1 in the order of their first translation; instructions are those
 * that the vCPU executed in the block since its line before. What comes after the last whole
 * interval has no line. Several threads can have the same vCPU index one after the other: they
 * share its file.
 *
 * The lines are those of QEMU's plugin of this name, down to the order within a line, which is
 * that of a glib hash table of the blocks' addresses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define ANALYZER_VCPU_INIT
#include "qtrace/analyzer.h"
#include "options.h"
#include "per-vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct block {
    uint64_t vaddr;
    unsigned number;
    struct qemu_plugin_scoreboard *score; /* from version 2 on: instructions */
};

/* A translation of a block, for the callback of version 1. */
struct execution {
    unsigned number;
    uint64_t insns;
};

struct vcpu {
    bool has_file;
    uint64_t count;   /* version 1: instructions in this interval, */
    uint64_t *insns;  /* those of each block, by its number, */
    unsigned n_insns; /* and as many there is room for */
};

static GRWLock lock; /* of the blocks */
static GHashTable *blocks;
static struct per_vcpu *vcpus;
static struct qemu_plugin_scoreboard *counts; /* from version 2 on: as struct vcpu's count */
static char *outfile;
static uint64_t interval = 100000000;

/* ---- files ---- */

/* A file is open only while it is written: there may be more vCPUs than files can be open, and
 * in user mode descriptors are shared with the guest, which may close them. */
static void write_file(unsigned vcpu_index, const char *mode, const char *text)
{
    static bool said;
    g_autofree char *path = g_strdup_printf("%s.%u.bb", outfile, vcpu_index);
    FILE *file = fopen(path, mode);
    bool good = file != NULL && fputs(text, file) >= 0;

    if (file != NULL && fclose(file) != 0) {
        good = false;
    }
    if (!good && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED)) {
        fprintf(stderr, "bbv: cannot write '%s': %s\n", path, strerror(errno));
    }
}

static void analyzer_vcpu_init(unsigned int vcpu_index)
{
    struct vcpu *v = per_vcpu_get(vcpus, vcpu_index);

    if (!v->has_file) {
        v->has_file = true;
        write_file(vcpu_index, "w", "");
    }
}

/* ---- counters ---- */

/* The instructions of a block since the last call. */
static uint64_t take_insns(const struct block *b, struct vcpu *v, unsigned vcpu_index)
{
    uint64_t insns = 0;

    if (b->score != NULL) {
        qemu_plugin_u64 entry = qemu_plugin_scoreboard_u64(b->score);
        insns = qemu_plugin_u64_get(entry, vcpu_index);
        if (insns > 0) {
            qemu_plugin_u64_set(entry, vcpu_index, 0);
        }
    } else if (b->number < v->n_insns) {
        insns = v->insns[b->number];
        v->insns[b->number] = 0;
    }
    return insns;
}

static void end_interval(unsigned int vcpu_index, void *userdata)
{
    struct vcpu *v = per_vcpu_get(vcpus, vcpu_index);
    GString *line = g_string_new("T");
    GHashTableIter iter;
    gpointer p;

    (void)userdata;
    if (counts != NULL) {
        qemu_plugin_u64 count = qemu_plugin_scoreboard_u64(counts);
        qemu_plugin_u64_set(count, vcpu_index, qemu_plugin_u64_get(count, vcpu_index) - interval);
    } else {
        v->count -= interval;
    }
    g_rw_lock_reader_lock(&lock);
    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, NULL, &p)) {
        const struct block *b = p;
        uint64_t insns = take_insns(b, v, vcpu_index);
        if (insns > 0) {
            g_string_append_printf(line, ":%u:%" PRIu64 " ", b->number, insns);
        }
    }
    g_rw_lock_reader_unlock(&lock);
    g_string_append_c(line, '\n');
    write_file(vcpu_index, "a", line->str);
    g_string_free(line, TRUE);
}

static void count_block(unsigned int vcpu_index, void *userdata)
{
    const struct execution *e = userdata;
    struct vcpu *v = per_vcpu_get(vcpus, vcpu_index);

    if (e->number >= v->n_insns) {
        unsigned n = MAX(2 * e->number, 1024);
        v->insns = g_renew(uint64_t, v->insns, n);
        memset(v->insns + v->n_insns, 0, (n - v->n_insns) * sizeof(uint64_t));
        v->n_insns = n;
    }
    v->insns[e->number] += e->insns;
    v->count += e->insns;
    if (v->count >= interval) {
        end_interval(vcpu_index, NULL);
    }
}

/* ---- blocks ---- */

static struct block *find_block(uint64_t vaddr)
{
    g_rw_lock_writer_lock(&lock);
    struct block *b = g_hash_table_lookup(blocks, &vaddr);
    if (b == NULL) {
        b = g_new0(struct block, 1);
        b->vaddr = vaddr;
        b->number = g_hash_table_size(blocks) + 1;
        if (counts != NULL) {
            b->score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
        }
        g_hash_table_replace(blocks, &b->vaddr, b);
    }
    g_rw_lock_writer_unlock(&lock);
    return b;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    uint64_t insns = qemu_plugin_tb_n_insns(tb);
    struct block *b = find_block(qemu_plugin_tb_vaddr(tb));

    if (counts == NULL) {
        struct execution *e = g_new(struct execution, 1); /* as long as the code: for ever */
        e->number = b->number;
        e->insns = insns;
        qemu_plugin_register_vcpu_tb_exec_cb(tb, count_block, QEMU_PLUGIN_CB_NO_REGS, e);
        return;
    }
    qemu_plugin_u64 count = qemu_plugin_scoreboard_u64(counts);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, count,
                                                      insns);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb, QEMU_PLUGIN_INLINE_ADD_U64, qemu_plugin_scoreboard_u64(b->score), insns);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, end_interval, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_GE, count, interval, NULL);
}

/* Every line is in its file already. */
static void analyzer_exit(void)
{
}

ANALYZER_SUMMARY("basic block vectors for SimPoint")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    char *name = NULL;
    const struct option options[] = {
        { "outfile", OPTION_TEXT, &name, .hint = "FILE" },
        { "interval", OPTION_NUMBER, &interval, .hint = "N" },
        { NULL },
    };

    (void)info;
    if (!options_parse("bbv", options, argc, argv)) {
        return -1;
    }
    if (name == NULL || interval == 0) {
        fprintf(stderr, "bbv: %s\n", name == NULL ? "outfile=FILE is missing"
                                                  : "interval=0 is no interval");
        return -1;
    }
    outfile = g_canonicalize_filename(name, NULL); /* the guest may change the folder */
    g_free(name);
    blocks = g_hash_table_new(g_int64_hash, g_int64_equal);
    vcpus = per_vcpu_new(sizeof(struct vcpu));
    if (qemu_plugin_version >= 2) {
        counts = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    }
    analyzer_register(id);
    return 0;
}
