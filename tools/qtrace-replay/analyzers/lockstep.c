/*
 * lockstep - where two runs of the same program go different ways
 *
 * Arguments: sockpath=PATH: the socket at which both runs meet (qtrace-replay with two traces
 * gives socket= and side= instead); side=a|b: which run this is, by default a is the one that
 * comes first; context=N (default 5): how many blocks to show before a divergence, and of each
 * run after it; window=N (default 65536): how many blocks of each run the search for the place
 * where they meet again may skip; verbose=on|off (default off): show all divergences, not only
 * the first of each vCPU; format=text|csv|json. Only a prints. compare.h says what is compared.
 *
 * The children of a guest that forks are not compared.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/analyzer.h"
#include "channel.h"
#include "compare.h"
#include "options.h"
#include "report.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAX_VCPUS 65536
#define CHUNK 256      /* rows that a vCPU collects before it takes the lock */
#define MAX_LEAD 65536 /* rows that a may be ahead before it waits for b */
#define MAX_WINDOW (1 << 24)
#define MAX_CONTEXT 1000
#define MAX_TEXT 1000

/* Messages from b to a. */
enum { MESSAGE_BLOCK = 1, MESSAGE_ROWS, MESSAGE_END };

/* What follows in MESSAGE_BLOCK: the symbol and the disassembly, each with its 0. */
struct block_head {
    uint64_t pc;
    uint64_t insns;
};

/* Only the vCPU's thread adds rows. */
struct chunk {
    uint32_t n;
    uint32_t row[CHUNK];
};

static GMutex lock; /* of all that follows */
static struct channel *channel;
static struct comparison *comparison; /* NULL: this run is b */
static GStringChunk *texts;
static uint32_t n_blocks;
static uint64_t n_rows[N_RUNS];
static bool done;

static struct chunk *chunk[MAX_VCPUS]; /* each belongs to its vCPU */
static bool forked;                    /* this is a child of the guest */
static int format = REPORT_TEXT;

/* ---- from b to a ---- */

static bool take_block(const char *data, size_t size)
{
    struct block_head head;

    if (size < sizeof(head) + 2 || data[size - 1] != '\0') {
        return false;
    }
    memcpy(&head, data, sizeof(head));
    const char *symbol = data + sizeof(head), *disas = symbol + strlen(symbol) + 1;
    if (disas >= data + size) {
        return false;
    }
    comparison_define(comparison, RUN_B, head.pc, head.insns,
                      g_string_chunk_insert_const(texts, symbol),
                      g_string_chunk_insert_const(texts, disas));
    return true;
}

static bool take_rows(unsigned vcpu, const void *data, size_t size)
{
    uint32_t row[CHUNK];
    size_t n = size / sizeof(row[0]);

    if (size > sizeof(row) || size % sizeof(row[0]) != 0 || vcpu >= MAX_VCPUS) {
        return false;
    }
    memcpy(row, data, size);
    for (size_t i = 0; i < n; i++) {
        if (row[i] >= comparison->code[RUN_B]->len) {
            return false;
        }
    }
    n_rows[RUN_B] += n;
    comparison_add(comparison, RUN_B, vcpu, row, n);
    return true;
}

/* a, with the lock: waits for b. */
static void take_message(void)
{
    const void *data;
    struct channel_message m = channel_receive(channel, &data);

    if ((m.kind == MESSAGE_BLOCK && take_block(data, m.size)) ||
        (m.kind == MESSAGE_ROWS && take_rows(m.vcpu, data, m.size))) {
        return;
    }
    if (m.kind != MESSAGE_END) {
        fprintf(stderr, "lockstep: b is gone without a word, its last blocks may be missing\n");
    }
    comparison_end(comparison, RUN_B);
}

/* ---- this run ---- */

/* With the lock. */
static void hand_over(unsigned vcpu, const uint32_t *row, uint32_t n)
{
    if (comparison == NULL) {
        channel_send(channel, MESSAGE_ROWS, vcpu, row, n * sizeof(row[0]));
        return;
    }
    n_rows[RUN_A] += n;
    comparison_add(comparison, RUN_A, vcpu, row, n);
    while (!comparison->ended[RUN_B] && n_rows[RUN_A] > n_rows[RUN_B] + MAX_LEAD) {
        take_message();
    }
}

static void empty(unsigned vcpu, struct chunk *c)
{
    g_mutex_lock(&lock);
    if (!done) {
        hand_over(vcpu, c->row, c->n);
    }
    g_mutex_unlock(&lock);
    __atomic_store_n(&c->n, 0, __ATOMIC_RELEASE);
}

static void run_block(unsigned int vcpu_index, void *userdata)
{
    if (forked || vcpu_index >= MAX_VCPUS) {
        return;
    }
    struct chunk *c = chunk[vcpu_index];
    if (G_UNLIKELY(c == NULL)) {
        c = g_new0(struct chunk, 1);
        __atomic_store_n(&chunk[vcpu_index], c, __ATOMIC_RELEASE);
    }
    c->row[c->n] = GPOINTER_TO_UINT(userdata);
    __atomic_store_n(&c->n, c->n + 1, __ATOMIC_RELEASE);
    if (c->n == CHUNK) {
        empty(vcpu_index, c);
    }
}

static void send_block(const struct block_head *head, const char *symbol, const char *disas)
{
    GByteArray *data = g_byte_array_new();

    g_byte_array_append(data, (const guint8 *)head, sizeof(*head));
    g_byte_array_append(data, (const guint8 *)symbol, (guint)strlen(symbol) + 1);
    g_byte_array_append(data, (const guint8 *)disas, (guint)strlen(disas) + 1);
    channel_send(channel, MESSAGE_BLOCK, 0, data->data, data->len);
    g_byte_array_free(data, TRUE);
}

/* The number of the block. A machine translates on after the end. */
static uint32_t define_block(struct qemu_plugin_tb *tb)
{
    struct block_head head = { qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb) };
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
    const char *name = qemu_plugin_insn_symbol(insn);
    char *text = qemu_plugin_insn_disas(insn);
    g_autofree char *symbol = g_strndup(name != NULL ? name : "", MAX_TEXT);
    g_autofree char *disas = g_strndup(text != NULL ? text : "", MAX_TEXT);

    g_free(text);
    g_mutex_lock(&lock);
    uint32_t number = n_blocks++;
    if (!done && comparison == NULL) {
        send_block(&head, symbol, disas);
    } else if (!done) {
        comparison_define(comparison, RUN_A, head.pc, head.insns,
                          g_string_chunk_insert_const(texts, symbol),
                          g_string_chunk_insert_const(texts, disas));
    }
    g_mutex_unlock(&lock);
    return number;
}

static void analyzer_translate(struct qemu_plugin_tb *tb)
{
    if (!forked) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, run_block, QEMU_PLUGIN_CB_NO_REGS,
                                             GUINT_TO_POINTER(define_block(tb)));
    }
}

/* ---- the report ---- */

static const char run_name[N_RUNS + 1] = "ab=";

static void text_context(struct report *r, const struct context_row *row)
{
    report_text(r, "  %c %10" PRIu64 "  0x%016" PRIx64 "/%-3" PRIu64 " %s%s%s\n",
                run_name[row->run], row->block, row->code->pc, row->code->insns,
                row->code->symbol, row->code->symbol[0] != '\0' ? ": " : "", row->code->disas);
}

static void text_divergence(struct report *r, const struct lane *l, const struct divergence *d)
{
    report_text(r, "vCPU %u: divergence %" PRIu64 ", block %" PRIu64 " of a is 0x%016" PRIx64
                   ", block %" PRIu64 " of b is 0x%016" PRIx64 "\n", l->vcpu, d->number,
                d->before[RUN_A].blocks, d->code[RUN_A]->pc, d->before[RUN_B].blocks,
                d->code[RUN_B]->pc);
    for (guint i = 0; i < d->context->len; i++) {
        text_context(r, &g_array_index(d->context, struct context_row, i));
    }
    if (d->met) {
        report_text(r, "  they meet again after %" PRIu64 " blocks of a and %" PRIu64 " of b\n",
                    d->skipped[RUN_A].blocks, d->skipped[RUN_B].blocks);
    } else {
        report_text(r, "  they do not meet again\n");
    }
}

static void text_tally(struct report *r, const char *what, const struct tally *t)
{
    if (t->blocks > 0) {
        report_text(r, "  %-22s %12" PRIu64 " blocks %14" PRIu64 " instructions\n", what,
                    t->blocks, t->insns);
    }
}

static void text_lane(struct report *r, const struct lane *l)
{
    for (guint i = 0; i < l->divergence->len; i++) {
        text_divergence(r, l, l->divergence->pdata[i]);
    }
    if (l->n_divergences == 0) {
        report_text(r, "vCPU %u: no divergence\n", l->vcpu);
    } else {
        report_text(r, "vCPU %u: divergences: %" PRIu64 "\n", l->vcpu, l->n_divergences);
    }
    text_tally(r, "the same in both", &l->same);
    text_tally(r, "skipped of a", &l->skipped[RUN_A]);
    text_tally(r, "skipped of b", &l->skipped[RUN_B]);
    text_tally(r, "not compared of a", &l->rest[RUN_A]);
    text_tally(r, "not compared of b", &l->rest[RUN_B]);
}

static void table_runs(struct report *r)
{
    report_table(r, "runs", "vcpu", "run", "divergences", "blocks", "insns", "same_blocks",
                 "same_insns", "skipped_blocks", "skipped_insns", "rest_blocks", "rest_insns",
                 NULL);
    for (guint i = 0; i < comparison->lane->len; i++) {
        const struct lane *l = comparison->lane->pdata[i];

        for (int run = 0; l != NULL && run < N_RUNS; run++) {
            const struct tally *skipped = &l->skipped[run], *rest = &l->rest[run];

            report_number(r, l->vcpu);
            report_string(r, run == RUN_A ? "a" : "b");
            report_number(r, l->n_divergences);
            report_number(r, l->same.blocks + skipped->blocks + rest->blocks);
            report_number(r, l->same.insns + skipped->insns + rest->insns);
            report_number(r, l->same.blocks);
            report_number(r, l->same.insns);
            report_number(r, skipped->blocks);
            report_number(r, skipped->insns);
            report_number(r, rest->blocks);
            report_number(r, rest->insns);
            report_row(r);
        }
    }
}

static void table_divergences(struct report *r)
{
    report_table(r, "divergences", "vcpu", "number", "a_block", "a_insn", "a_pc", "b_block",
                 "b_insn", "b_pc", "a_skipped", "b_skipped", "result", NULL);
    for (guint i = 0; i < comparison->lane->len; i++) {
        const struct lane *l = comparison->lane->pdata[i];

        for (guint k = 0; l != NULL && k < l->divergence->len; k++) {
            const struct divergence *d = l->divergence->pdata[k];

            report_number(r, l->vcpu);
            report_number(r, d->number);
            for (int run = 0; run < N_RUNS; run++) {
                report_number(r, d->before[run].blocks);
                report_number(r, d->before[run].insns);
                report_address(r, d->code[run]->pc);
            }
            report_number(r, d->skipped[RUN_A].blocks);
            report_number(r, d->skipped[RUN_B].blocks);
            report_string(r, d->met ? "met" : "lost");
            report_row(r);
        }
    }
}

static void context_rows(struct report *r, const struct lane *l, const struct divergence *d)
{
    for (guint i = 0; i < d->context->len; i++) {
        const struct context_row *row = &g_array_index(d->context, struct context_row, i);

        report_number(r, l->vcpu);
        report_number(r, d->number);
        report_string(r, (char[]){ run_name[row->run], '\0' });
        report_number(r, row->block);
        report_address(r, row->code->pc);
        report_number(r, row->code->insns);
        report_string(r, row->code->symbol);
        report_string(r, row->code->disas);
        report_row(r);
    }
}

static void table_context(struct report *r)
{
    report_table(r, "context", "vcpu", "number", "run", "block", "pc", "insns", "symbol",
                 "disassembly", NULL);
    for (guint i = 0; i < comparison->lane->len; i++) {
        const struct lane *l = comparison->lane->pdata[i];

        for (guint k = 0; l != NULL && k < l->divergence->len; k++) {
            context_rows(r, l, l->divergence->pdata[k]);
        }
    }
}

static void print_report(void)
{
    struct report *r = report_new(format);
    const GPtrArray *lanes = comparison->lane;

    if (!report_is_text(r)) {
        table_runs(r);
        table_divergences(r);
        table_context(r);
    } else if (lanes->len == 0) {
        report_text(r, "neither run executed anything\n");
    }
    for (guint i = 0; report_is_text(r) && i < lanes->len; i++) {
        if (lanes->pdata[i] != NULL) {
            text_lane(r, lanes->pdata[i]);
        }
    }
    report_print(r);
}

/* ---- the end ---- */

/* With the lock. Chunks of vCPUs that still run are taken as they are. */
static void finish(void)
{
    for (unsigned vcpu = 0; vcpu < MAX_VCPUS; vcpu++) {
        struct chunk *c = __atomic_load_n(&chunk[vcpu], __ATOMIC_ACQUIRE);

        if (c != NULL) {
            hand_over(vcpu, c->row, __atomic_load_n(&c->n, __ATOMIC_ACQUIRE));
        }
    }
    if (comparison == NULL) {
        channel_send(channel, MESSAGE_END, 0, NULL, 0);
    } else {
        comparison_end(comparison, RUN_A);
        while (!comparison->ended[RUN_B]) {
            take_message();
        }
        print_report();
        comparison_free(comparison);
        g_string_chunk_free(texts);
    }
    channel_close(channel);
}

/* QEMU can call this from several threads at once, while others still execute. */
static void analyzer_exit(void)
{
    if (forked) {
        return;
    }
    g_mutex_lock(&lock);
    if (!done) {
        finish();
        done = true;
    }
    g_mutex_unlock(&lock);
}

/* The other run has to see the connection end with the parent. A child can have children. */
static void in_child(void)
{
    if (!forked && !done) {
        channel_close(channel);
    }
    forked = true;
}

/* ---- the beginning ---- */

static struct channel *make_channel(const char *path, uint64_t fd, int side)
{
    if (fd <= INT_MAX && side != CHANNEL_ANY) {
        return channel_of((int)fd);
    }
    if (path == NULL) {
        fprintf(stderr, "lockstep: there is one run only: give two traces to qtrace-replay, or "
                        "both runs the same sockpath=\n");
        return NULL;
    }
    return channel_meet(path);
}

static bool is_at_most(const char *option, uint64_t value, unsigned limit)
{
    if (value > limit) {
        fprintf(stderr, "lockstep: %s can be %u at most\n", option, limit);
    }
    return value <= limit;
}

ANALYZER_SUMMARY("where two runs of the same program go different ways")

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    char *path = NULL;
    uint64_t fd = UINT64_MAX, context = 5, window = 65536;
    int side = CHANNEL_ANY;
    bool verbose = false;
    const struct option options[] = {
        { "sockpath", OPTION_TEXT, &path, .hint = "PATH" },
        { "socket", OPTION_NUMBER, &fd, .hint = "FD" },
        { "side", OPTION_CHOICE, &side, (const char *const[]){ "a", "b", NULL } },
        { "context", OPTION_NUMBER, &context, .hint = "N" },
        { "window", OPTION_NUMBER, &window, .hint = "N" },
        { "verbose", OPTION_BOOL, &verbose },
        OPTION_FORMAT(&format),
        { NULL },
    };

    if (!options_parse("lockstep", options, argc, argv) ||
        !is_at_most("window", window, MAX_WINDOW) || !is_at_most("context", context, MAX_CONTEXT)) {
        return -1;
    }
    channel = make_channel(path, fd, side);
    g_free(path);
    if (channel != NULL) {
        side = channel_agree(channel, side, info->target_name);
    }
    if (channel == NULL || side == CHANNEL_ANY) {
        channel_close(channel);
        return -1;
    }
    if (side == CHANNEL_A) {
        texts = g_string_chunk_new(4096);
        comparison = comparison_new(window, context, verbose);
    }
    pthread_atfork(NULL, NULL, in_child);
    analyzer_register(id);
    return 0;
}
