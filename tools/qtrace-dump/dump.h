/*
 * dump.h - what the files of qtrace-dump share
 *
 * Every mode is one file with one function. It prints to dump->out, reports through
 * dump_error() and leaves the exit status in dump->status.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_DUMP_H
#define QTRACE_DUMP_H

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>

#include <qtrace/qtrace.h>

/* Exit statuses of the tools; when several apply, the largest wins. */
enum {
    STATUS_WHOLE = 0,
    STATUS_FAILURE = 1,
    STATUS_USAGE = 2,
    STATUS_INCOMPLETE = 3,
    STATUS_DAMAGED = 4,
    STATUS_LOST = 5,
    STATUS_REFUSED = 6,
};

struct dump {
    const char *path;             /* of the trace */
    struct qtrace_reader *reader; /* NULL in --verify, which opens its own */
    FILE *out;
    uint64_t memory; /* limit, in bytes */
    int status;
};

/* Which part of the streams --events prints. */
struct dump_range {
    bool has_vcpu;
    uint32_t vcpu;
    uint64_t from, count; /* block executions within each stream */
};

/* overview.c: what the columns of a trace cost */
struct cost {
    uint64_t rows, raw, stored;
};

struct costs {
    struct cost column[32]; /* by id; [0] = those with larger ids */
    struct cost copies;     /* of definitions, in the trailer */
    uint64_t file, insns, stored;
};

struct costs dump_costs(const struct qtrace_reader *reader);

/* The modes. */
void dump_overview(struct dump *dump);
void dump_overview_json(struct dump *dump);
void dump_blocks(struct dump *dump);
void dump_frames(struct dump *dump);
void dump_events(struct dump *dump, const struct dump_range *range);
void dump_summary(struct dump *dump, bool as_json);
void dump_verify(struct dump *dump, char **files, uint64_t memory);
void dump_recover(struct dump *dump);
void dump_extract(struct dump *dump, uint64_t offset);

/* report.c: messages on stderr, exit statuses */

void dump_message(const char *path, uint64_t offset, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* Report err, which came from dump->path, and raise the status to what it means. */
void dump_error(struct dump *dump, const struct qtrace_error *err);
/* Report the gaps that the reader knows by now, a line each for the first max. */
void dump_gaps(const char *path, const struct qtrace_reader *reader, size_t max);
void dump_raise(struct dump *dump, int status);

/* memory.c */

/* From now on the process gets so many bytes; 0 = a limit that fits the file dump->path. */
void memory_limit(struct dump *dump, uint64_t limit);
void memory_unlimited(void);

/* text.c: text that comes from the trace is not to be trusted by a terminal */

/* A copy in which control characters, backslashes and bytes that are no UTF-8 are escaped. */
char *text_safe(const char *s);
/* Append to a line; return its new end. The caller provides the room. */
char *text_str(char *p, const char *s);
char *text_dec(char *p, uint64_t value);
char *text_hex(char *p, uint64_t value);

#endif
