/*
 * overview.c - without options: what a trace is, what it holds, what it costs
 *
 * Reads the headers of the frames only; that the columns are undamaged is for --verify to say.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <string.h>

#define LABEL "%-13s"

/* ------------------------------------------------------------------------------------------
 * The run */

static void print_text(FILE *out, const char *label, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        g_autofree char *safe = text_safe(value);
        fprintf(out, LABEL "%s\n", label, safe);
    }
}

static void print_words(FILE *out, const char *label, const char *const *words, size_t n,
                        const char *between)
{
    g_autoptr(GString) line = g_string_new(NULL);

    for (size_t i = 0; i < n; i++) {
        bool plain = words[i][0] != '\0' && strpbrk(words[i], " \t\n\"'\\$`*?;&|<>()") == NULL;
        g_autofree char *quoted = plain ? g_strdup(words[i]) : g_shell_quote(words[i]);
        g_string_append_printf(line, "%s%s", i > 0 ? between : "", quoted);
    }
    print_text(out, label, line->str);
}

static void print_target(FILE *out, const struct qtrace_run *run)
{
    g_autofree char *safe = text_safe(run->target);

    if (run->system) {
        fprintf(out, LABEL "%s, system mode, %u vCPUs (at most %u)\n", "target", safe,
                run->smp_vcpus, run->max_vcpus);
    } else {
        fprintf(out, LABEL "%s, user mode\n", "target", safe);
    }
}

static void print_qemu(FILE *out, const struct qtrace_run *run)
{
    g_autofree char *version =
        text_safe(run->qemu_version != NULL ? run->qemu_version : "unknown version");
    g_autofree char *path = text_safe(run->qemu_path != NULL ? run->qemu_path : "unknown path");

    fprintf(out, LABEL "%s, %s, process %" PRIu64 "\n", "QEMU", version, path, run->pid);
    fprintf(out, LABEL "%u (QEMU accepts %u to %u)\n", "plugin API", run->api_used,
            run->api_min, run->api_cur);
}

static void print_parent(FILE *out, const struct qtrace_run *run)
{
    if (run->parent_pid != 0) {
        g_autofree char *trace =
            text_safe(run->parent_trace != NULL ? run->parent_trace : "unknown");
        fprintf(out, LABEL "process %" PRIu64 ", trace %s\n", "forked from", run->parent_pid,
                trace);
    }
}

static void print_start(FILE *out, const struct qtrace_run *run)
{
    g_autoptr(GDateTime) time =
        g_date_time_new_from_unix_utc((gint64)(run->start_time / 1000000000u));

    if (run->start_time != 0 && time != NULL) {
        g_autofree char *text = g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC");
        fprintf(out, LABEL "%s\n", "started", text);
    }
}

static void print_run(FILE *out, const struct qtrace_run *run)
{
    if (run == NULL || run->target == NULL) {
        fprintf(out, LABEL "unknown, the file does not have the facts\n", "run");
        return;
    }
    print_target(out, run);
    print_text(out, "guest", run->guest_path);
    if (run->has_code) {
        fprintf(out, LABEL "0x%" PRIx64 " to 0x%" PRIx64 ", entry 0x%" PRIx64 "\n", "guest code",
                run->start_code, run->end_code, run->entry_code);
    }
    print_words(out, "command", run->command_line, run->n_command_line, " ");
    print_qemu(out, run);
    print_parent(out, run);
    print_text(out, "host", run->host);
    print_start(out, run);
    print_words(out, "options", run->option, run->n_option, ", ");
    fprintf(out, LABEL "%s%s%s, %s\n", "recorded", run->mem ? "memory accesses" : "no accesses",
            run->values ? " with values" : "",
            !run->phys ? "" : run->values ? " and physical addresses" : " with physical addresses",
            run->disas ? "disassembly" : "no disassembly");
    if (run->one_thread) {
        fprintf(out, LABEL "exact, one host thread ran all vCPUs%s\n", "order",
                run->api_used > 1 ? "; their indices are as QEMU reported them" : "");
    }
}

/* ------------------------------------------------------------------------------------------
 * The state of the file */

static void print_state(struct dump *dump)
{
    struct qtrace_health health = qtrace_reader_health(dump->reader);
    FILE *out = dump->out;

    if (health.complete) {
        g_autofree char *reason = text_safe(health.reason != NULL ? health.reason : "unknown");
        fprintf(out, LABEL "%s, ended after %.6f s (%s)\n", "state",
                health.damaged || health.lost ? "closed" : "complete",
                (double)health.end_time / 1e9, reason);
    } else {
        fprintf(out, LABEL "incomplete: the recorder %s\n", "state",
                health.salvaged ? "was killed; all that it had recorded is here"
                                : "did not close it");
    }
    if (health.damaged) {
        fprintf(out, LABEL "damaged\n", "");
    }
    if (health.lost) {
        fprintf(out, LABEL "the recorder lost events\n", "");
    }
    size_t gaps = qtrace_reader_n_gaps(dump->reader);
    if (gaps > 0) {
        fprintf(out, LABEL "%zu, see the messages\n", "gaps", gaps);
    }
}

/* ------------------------------------------------------------------------------------------
 * The streams */

static void add_stream(struct qtrace_stream_info *sum, const struct qtrace_stream_info *s)
{
    sum->blocks += s->blocks;
    sum->insns += s->insns;
    sum->accesses += s->accesses;
    sum->events += s->events;
    sum->syscalls += s->syscalls;
    sum->lost_blocks += s->lost_blocks;
    sum->lost_insns += s->lost_insns;
    sum->lost_accesses += s->lost_accesses;
    sum->lost_events += s->lost_events;
}

static void print_counts(FILE *out, const char *stream, const char *vcpu,
                         const struct qtrace_stream_info *s)
{
    fprintf(out,
            "%-6s %5s %13" PRIu64 " %14" PRIu64 " %13" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n",
            stream, vcpu, s->blocks, s->insns, s->accesses, s->events, s->syscalls);
    if (s->lost_blocks || s->lost_insns || s->lost_accesses || s->lost_events) {
        fprintf(out,
                "%-6s %5s %13" PRIu64 " %14" PRIu64 " %13" PRIu64 " %9" PRIu64 "\n", "  lost",
                "", s->lost_blocks, s->lost_insns, s->lost_accesses, s->lost_events);
    }
}

static struct qtrace_stream_info print_streams(struct dump *dump)
{
    struct qtrace_stream_info sum = {0};
    size_t n = qtrace_reader_n_streams(dump->reader);
    char stream[16], vcpu[16];

    fprintf(dump->out, "\n%-6s %5s %13s %14s %13s %9s %9s\n", "stream", "vcpu", "blocks",
            "instructions", "accesses", "events", "syscalls");
    for (size_t i = 0; i < n; i++) {
        const struct qtrace_stream_info *s = qtrace_reader_stream(dump->reader, i);
        snprintf(stream, sizeof(stream), "%u", s->stream);
        snprintf(vcpu, sizeof(vcpu), "%u", s->vcpu);
        print_counts(dump->out, stream, vcpu, s);
        add_stream(&sum, s);
    }
    print_counts(dump->out, "all", "", &sum);
    fprintf(dump->out, "block translations: %zu\n",
            qtrace_reader_n_translations(dump->reader));
    return sum;
}

/* ------------------------------------------------------------------------------------------
 * What it costs */

static void add_costs(struct costs *costs, const struct qtrace_frame_info *frame)
{
    for (unsigned i = 0; i < frame->n_columns; i++) {
        const struct qtrace_column_info *c = &frame->column[i];
        struct cost *cost = &costs->column[c->id < G_N_ELEMENTS(costs->column) ? c->id : 0];
        if (frame->copy) {
            cost = &costs->copies;
        }
        cost->rows += c->rows;
        cost->raw += c->raw_size;
        cost->stored += c->stored_size;
        costs->stored += c->stored_size;
    }
}

struct costs dump_costs(const struct qtrace_reader *reader)
{
    struct costs costs = {.file = qtrace_reader_file_size(reader)};

    for (size_t i = 0; i < qtrace_reader_n_frames(reader); i++) {
        add_costs(&costs, qtrace_reader_frame(reader, i));
    }
    return costs;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void print_cost(FILE *out, const struct costs *costs, const char *name,
                       const struct cost *cost)
{
    if (cost->stored > 0) {
        fprintf(out, "%-15s %13" PRIu64 " %13" PRIu64 " %13" PRIu64 " %7.1f%% %10.3f\n", name,
                cost->rows, cost->raw, cost->stored,
                100 * ratio((double)cost->stored, (double)costs->file),
                ratio(8 * (double)cost->stored, (double)costs->insns));
    }
}

static void print_costs(struct dump *dump, uint64_t insns)
{
    struct costs costs = dump_costs(dump->reader);
    FILE *out = dump->out;

    costs.insns = insns;
    fprintf(out, "\n%-15s %13s %13s %13s %8s %10s\n", "column", "rows", "raw bytes", "bytes",
            "of file", "bits/insn");
    for (unsigned id = 1; id < G_N_ELEMENTS(costs.column); id++) {
        print_cost(out, &costs, qtrace_column_name(id), &costs.column[id]);
    }
    print_cost(out, &costs, "unknown", &costs.column[0]);
    print_cost(out, &costs, "second copy", &costs.copies);
    uint64_t rest = costs.file > costs.stored ? costs.file - costs.stored : 0;
    print_cost(out, &costs, "messages", &(struct cost){.raw = rest, .stored = rest});
    print_cost(out, &costs, "file", &(struct cost){.stored = costs.file});
}

void dump_overview(struct dump *dump)
{
    const struct qtrace_run *run = qtrace_reader_run(dump->reader);
    const char *producer = qtrace_reader_producer(dump->reader);
    g_autofree char *safe = text_safe(producer != NULL ? producer : "unknown");

    fprintf(dump->out, LABEL "format %u, made by %s\n", "trace",
            qtrace_reader_version(dump->reader), safe);
    print_run(dump->out, run);
    print_state(dump);
    struct qtrace_stream_info sum = print_streams(dump);
    print_costs(dump, sum.insns);
}
