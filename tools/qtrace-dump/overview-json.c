/*
 * overview-json.c - --json: what a trace is, what it holds, what it costs, for programs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"
#include "json.h"

static void put_words(struct json *json, const char *key, const char *const *words, size_t n)
{
    json_begin(json, key, '[');
    for (size_t i = 0; i < n; i++) {
        json_text(json, NULL, words[i]);
    }
    json_end(json, ']');
}

static void put_run(struct json *json, const struct qtrace_run *run)
{
    json_begin(json, "run", '{');
    json_text(json, "target", run->target);
    json_bool(json, "system", run->system);
    json_number(json, "smp_vcpus", run->smp_vcpus);
    json_number(json, "max_vcpus", run->max_vcpus);
    json_text(json, "guest_path", run->guest_path);
    if (run->has_code) {
        json_address(json, "start_code", run->start_code);
        json_address(json, "end_code", run->end_code);
        json_address(json, "entry_code", run->entry_code);
    }
    put_words(json, "command_line", run->command_line, run->n_command_line);
    json_text(json, "qemu_version", run->qemu_version);
    json_text(json, "qemu_path", run->qemu_path);
    json_number(json, "pid", run->pid);
    if (run->parent_pid != 0) {
        json_number(json, "parent_pid", run->parent_pid);
        json_text(json, "parent_trace", run->parent_trace);
    }
    json_number(json, "api_min", run->api_min);
    json_number(json, "api_cur", run->api_cur);
    json_number(json, "api_used", run->api_used);
    json_text(json, "host", run->host);
    json_number(json, "start_time_ns", run->start_time);
    put_words(json, "options", run->option, run->n_option);
    json_bool(json, "mem", run->mem);
    json_bool(json, "values", run->values);
    json_bool(json, "phys", run->phys);
    json_bool(json, "one_thread", run->one_thread);
    json_bool(json, "disas", run->disas);
    json_end(json, '}');
}

static void put_state(struct json *json, const struct qtrace_reader *reader)
{
    struct qtrace_health health = qtrace_reader_health(reader);

    json_begin(json, "state", '{');
    json_number(json, "status", (uint64_t)qtrace_reader_status(reader));
    json_bool(json, "complete", health.complete);
    json_bool(json, "salvaged", health.salvaged);
    json_bool(json, "damaged", health.damaged);
    json_bool(json, "lost", health.lost);
    json_text(json, "reason", health.reason);
    json_number(json, "end_time_ns", health.end_time);
    json_end(json, '}');
}

static void put_gap(struct json *json, const struct qtrace_gap *gap)
{
    json_begin(json, NULL, '{');
    json_number(json, "offset", gap->offset);
    if (gap->stream != UINT32_MAX) {
        json_number(json, "stream", gap->stream);
    }
    json_bool(json, "lost", gap->lost);
    json_bool(json, "to_end", gap->to_end);
    json_number(json, "first_block", gap->first_block);
    json_number(json, "blocks", gap->blocks);
    json_number(json, "first_insn", gap->first_insn);
    json_number(json, "insns", gap->insns);
    json_number(json, "first_access", gap->first_access);
    json_number(json, "accesses", gap->accesses);
    json_number(json, "first_event", gap->first_event);
    json_number(json, "events", gap->events);
    json_text(json, "message", gap->message);
    json_end(json, '}');
}

static void put_stream(struct json *json, const struct qtrace_stream_info *s)
{
    json_begin(json, NULL, '{');
    json_number(json, "stream", s->stream);
    json_number(json, "vcpu", s->vcpu);
    json_number(json, "blocks", s->blocks);
    json_number(json, "insns", s->insns);
    json_number(json, "accesses", s->accesses);
    json_number(json, "events", s->events);
    json_number(json, "syscalls", s->syscalls);
    json_number(json, "lost_blocks", s->lost_blocks);
    json_number(json, "lost_insns", s->lost_insns);
    json_number(json, "lost_accesses", s->lost_accesses);
    json_number(json, "lost_events", s->lost_events);
    json_end(json, '}');
}

static void put_cost(struct json *json, const char *name, const struct cost *cost)
{
    if (cost->stored > 0) {
        json_begin(json, NULL, '{');
        json_text(json, "column", name);
        json_number(json, "rows", cost->rows);
        json_number(json, "raw_bytes", cost->raw);
        json_number(json, "bytes", cost->stored);
        json_end(json, '}');
    }
}

static void put_costs(struct json *json, const struct qtrace_reader *reader)
{
    struct costs costs = dump_costs(reader);

    json_begin(json, "columns", '[');
    for (unsigned id = 1; id < G_N_ELEMENTS(costs.column); id++) {
        put_cost(json, qtrace_column_name(id), &costs.column[id]);
    }
    put_cost(json, "unknown", &costs.column[0]);
    put_cost(json, "second copy", &costs.copies);
    json_end(json, ']');
}

void dump_overview_json(struct dump *dump)
{
    const struct qtrace_reader *reader = dump->reader;
    struct json json = {.out = dump->out};

    json_begin(&json, NULL, '{');
    json_number(&json, "format", qtrace_reader_version(reader));
    json_text(&json, "producer", qtrace_reader_producer(reader));
    put_run(&json, qtrace_reader_run(reader));
    put_state(&json, reader);
    json_begin(&json, "gaps", '[');
    for (size_t i = 0; i < qtrace_reader_n_gaps(reader); i++) {
        put_gap(&json, qtrace_reader_gap(reader, i));
    }
    json_end(&json, ']');
    json_begin(&json, "streams", '[');
    for (size_t i = 0; i < qtrace_reader_n_streams(reader); i++) {
        put_stream(&json, qtrace_reader_stream(reader, i));
    }
    json_end(&json, ']');
    json_number(&json, "translations", qtrace_reader_n_translations(reader));
    json_number(&json, "frames", qtrace_reader_n_frames(reader));
    json_number(&json, "file_size", qtrace_reader_file_size(reader));
    put_costs(&json, reader);
    json_end(&json, '}');
}
