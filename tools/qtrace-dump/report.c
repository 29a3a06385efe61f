/*
 * report.c - messages on stderr and exit statuses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <stdarg.h>

void dump_message(const char *path, uint64_t offset, const char *fmt, ...)
{
    g_autofree char *name = text_safe(path);
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (offset == UINT64_MAX) {
        fprintf(stderr, "qtrace-dump: %s: %s\n", name, text);
    } else {
        fprintf(stderr, "qtrace-dump: %s: offset %" PRIu64 ": %s\n", name, offset, text);
    }
}

void dump_raise(struct dump *dump, int status)
{
    dump->status = MAX(dump->status, status);
}

static int status_of(int code)
{
    switch (code) {
    case QTRACE_E_FORMAT:
    case QTRACE_E_DAMAGED:
        return STATUS_DAMAGED;
    case QTRACE_E_TRUNCATED:
        return STATUS_INCOMPLETE;
    case QTRACE_E_REFUSED:
    case QTRACE_E_NOMEM:
        return STATUS_REFUSED;
    default:
        return STATUS_FAILURE;
    }
}

void dump_error(struct dump *dump, const struct qtrace_error *err)
{
    if (err->code == QTRACE_E_NOMEM) {
        memory_unlimited();
        dump_message(dump->path, UINT64_MAX, "needs more memory than %" PRIu64 " MiB; --memory="
                     "SIZE allows more", dump->memory >> 20);
        dump_raise(dump, STATUS_REFUSED);
        return;
    }
    const char *text = err->message[0] ? err->message : qtrace_strerror(err->code);

    dump_message(dump->path, err->offset, "%s", text);
    dump_raise(dump, status_of(err->code));
}

/* FIRST+COUNT, or FIRST+? when nobody knows how much there was. */
static void add_range(GString *line, const char *name, uint64_t first, uint64_t count,
                      bool to_end)
{
    g_string_append_printf(line, " %s=%" PRIu64 "+", name, first);
    if (to_end) {
        g_string_append_c(line, '?');
    } else {
        g_string_append_printf(line, "%" PRIu64, count);
    }
}

static void report_gap(const char *path, const struct qtrace_gap *gap)
{
    g_autoptr(GString) line = g_string_new("gap: ");

    if (gap->stream == UINT32_MAX) {
        g_string_append(line, "stream=?");
    } else {
        g_string_append_printf(line, "stream=%u", gap->stream);
        add_range(line, "blocks", gap->first_block, gap->blocks, gap->to_end);
        add_range(line, "insns", gap->first_insn, gap->insns, gap->to_end);
        add_range(line, "accesses", gap->first_access, gap->accesses, gap->to_end);
        add_range(line, "events", gap->first_event, gap->events, gap->to_end);
    }
    g_autofree char *message = text_safe(gap->message);
    dump_message(path, gap->offset, "%s: %s: %s", line->str,
                 gap->lost ? "lost by the recorder" : "missing in the file", message);
}

void dump_gaps(const char *path, const struct qtrace_reader *reader, size_t max)
{
    const struct qtrace_health health = qtrace_reader_health(reader);
    size_t n = qtrace_reader_n_gaps(reader);
    bool unknown = false;

    for (size_t i = 0; i < n; i++) {
        if (i < max) {
            report_gap(path, qtrace_reader_gap(reader, i));
        }
        unknown = unknown || qtrace_reader_gap(reader, i)->stream == UINT32_MAX;
    }
    if (n > max) {
        dump_message(path, UINT64_MAX, "%zu gaps more; --verify names them", n - max);
    }
    /* The list of streams is part of the end: without it nobody knows whether some are missing. */
    if (!unknown && !health.complete && !health.salvaged) {
        struct qtrace_gap rest = {
            .offset = qtrace_reader_file_size(reader),
            .stream = UINT32_MAX,
            .to_end = true,
            .message = "the file has no end; there may have been more streams",
        };
        report_gap(path, &rest);
    }
}
