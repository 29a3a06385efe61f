/*
 * main.c - qtrace-dump: look into a trace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <errno.h>
#include <string.h>

#include "parse.h"

/* Gaps that an overview names. */
#define OVERVIEW_GAPS 4

static const char description[] =
    "Without a mode it shows what the trace is, what it holds and what it costs.\n"
    "\n"
    "--from and --count speak of block executions, counted from 0 within each stream; an\n"
    "event belongs to the block that it follows. A stream is the life of one vCPU.\n"
    "\n"
    "Examples:\n"
    "  qtrace-dump run.qtr\n"
    "  qtrace-dump --events --vcpu 0 --from 1000000 --count 20 run.qtr\n"
    "  qtrace-dump --blocks run.qtr | less\n"
    "  qtrace-dump --summary run.qtr | head\n"
    "  qtrace-dump --json run.qtr | jq .streams\n"
    "  qtrace-dump --verify *.qtr\n"
    "  qtrace-dump --recover killed.qtr\n"
    "  qtrace-dump --frames run.qtr\n"
    "  qtrace-dump --extract=0 run.qtr | protoc --decode=qtrace.FileHeader format/trace.proto\n"
    "\n"
    "Exit status: 0 whole, 1 failure, 2 wrong usage, 3 incomplete, 4 damaged or no trace,\n"
    "5 events lost, 6 refused (version or size); the largest applies.";

struct options {
    gboolean events, blocks, frames, summary, verify, recover, json, version;
    char *extract, *output, *memory, **files;
    size_t limit; /* of memory; 0 = the default */
    gint64 from, count, vcpu;
};

static GOptionContext *make_context(struct options *o)
{
    const GOptionEntry entries[] = {
        {"events", 'e', 0, G_OPTION_ARG_NONE, &o->events,
         "Mode: one line per block, access and event", NULL},
        {"blocks", 'b', 0, G_OPTION_ARG_NONE, &o->blocks,
         "Mode: the translations of blocks, with disassembly", NULL},
        {"frames", 'f', 0, G_OPTION_ARG_NONE, &o->frames,
         "Mode: offset of every message and column", NULL},
        {"summary", 's', 0, G_OPTION_ARG_NONE, &o->summary,
         "Mode: executions and accesses of each translation, the most executed first", NULL},
        {"verify", 'V', 0, G_OPTION_ARG_NONE, &o->verify,
         "Mode: read everything, print one line per FILE", NULL},
        {"recover", 'r', 0, G_OPTION_ARG_NONE, &o->recover,
         "Mode: write the end that a killed recorder did not, into FILE itself", NULL},
        {"extract", 'x', 0, G_OPTION_ARG_STRING, &o->extract,
         "Mode: the bytes of the message or column at OFFSET; its type on stderr", "OFFSET"},
        {"from", 0, 0, G_OPTION_ARG_INT64, &o->from,
         "With --events: first block execution (0)", "N"},
        {"count", 0, 0, G_OPTION_ARG_INT64, &o->count,
         "With --events: block executions of each stream (all)", "N"},
        {"vcpu", 0, 0, G_OPTION_ARG_INT64, &o->vcpu,
         "With --events: only the streams of this vCPU, one after the other", "N"},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &o->json,
         "Print JSON: without a mode, and with --summary", NULL},
        {"memory", 0, 0, G_OPTION_ARG_STRING, &o->memory,
         "Take no more memory than SIZE (default 64M)", "SIZE"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &o->output, "Write to FILE", "FILE"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Print the version", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->files, NULL, "FILE..."},
        {0},
    };
    GOptionContext *context = g_option_context_new("- look into a trace of qtrace");

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_description(context, description);
    return context;
}

static int usage_error(const char *text)
{
    fprintf(stderr, "qtrace-dump: %s\nTry 'qtrace-dump --help'.\n", text);
    return STATUS_USAGE;
}

/* NULL, or what is wrong with the options. */
static const char *check_options(struct options *o)
{
    unsigned n = o->files != NULL ? g_strv_length(o->files) : 0;
    int modes = o->events + o->blocks + o->frames + o->summary + o->verify + o->recover +
                (o->extract != NULL);

    if (modes > 1) {
        return "only one of --events, --blocks, --frames, --summary, --verify, --recover, "
               "--extract";
    }
    if (n == 0) {
        return "no FILE given";
    }
    if (n > 1 && !o->verify) {
        return "only --verify takes several files";
    }
    if (!o->events && (o->from != 0 || o->count != -1 || o->vcpu != -1)) {
        return "--from, --count and --vcpu need --events";
    }
    if (o->json && modes > o->summary) {
        return "--json goes with --summary or without a mode";
    }
    if (o->from < 0 || o->count < -1 || o->vcpu < -1 || o->vcpu > UINT32_MAX) {
        return "--from, --count and --vcpu must not be negative or too large";
    }
    if (o->memory != NULL && !qt_parse_size(o->memory, &o->limit)) {
        return "--memory needs a size, such as 500M or 2G";
    }
    return NULL;
}

/* "123" or "0x7b" */
static bool parse_offset(const char *text, uint64_t *offset)
{
    bool hex = g_str_has_prefix(text, "0x");
    guint64 value;

    if (!g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, G_MAXUINT64, &value,
                                    NULL)) {
        return false;
    }
    *offset = value;
    return true;
}

/* A piece of one stream, or counts, need not be preceded by a walk over all of the trace. */
static int open_trace(struct dump *dump, const struct options *o, struct qtrace_error *err)
{
    bool piece = o->events && (o->from > 0 || o->count >= 0);
    int ret = piece || o->summary ? qtrace_reader_open_indexed(&dump->reader, dump->path, err)
                                  : qtrace_reader_open(&dump->reader, dump->path, err);

    if (ret == QTRACE_OK && piece && o->vcpu < 0 && qtrace_reader_n_streams(dump->reader) > 1) {
        qtrace_reader_close(&dump->reader);
        ret = qtrace_reader_open(&dump->reader, dump->path, err);
    }
    return ret;
}

static void run_mode(struct dump *dump, const struct options *o, uint64_t extract)
{
    struct qtrace_error err = {0};

    if (o->verify) {
        dump_verify(dump, o->files, o->limit);
        return;
    }
    dump->path = o->files[0];
    memory_limit(dump, o->limit);
    if (o->recover) {
        dump_recover(dump);
        return;
    }
    if (open_trace(dump, o, &err) != QTRACE_OK) {
        dump_error(dump, &err);
        return;
    }
    /* the rest is for frames */
    qtrace_reader_keep(dump->reader, (size_t)(dump->memory / 8));
    if (o->extract != NULL) {
        /* About these bytes only, whatever else is wrong with the file. */
        dump_extract(dump, extract);
        return;
    }
    if (o->events) {
        struct dump_range range = {
            .has_vcpu = o->vcpu >= 0,
            .vcpu = (uint32_t)o->vcpu,
            .from = (uint64_t)o->from,
            .count = o->count < 0 ? UINT64_MAX : (uint64_t)o->count,
        };
        dump_events(dump, &range);
    } else if (o->blocks) {
        dump_blocks(dump);
    } else if (o->frames) {
        dump_frames(dump);
    } else if (o->summary) {
        dump_summary(dump, o->json);
    } else if (o->json) {
        dump_overview_json(dump);
    } else {
        dump_overview(dump);
    }
    if (qtrace_reader_failure(dump->reader, &err) != QTRACE_OK) {
        dump_error(dump, &err);
    }
    dump_raise(dump, qtrace_reader_status(dump->reader));
    /* whoever asked for events or for messages needs to know all that is missing */
    dump_gaps(dump->path, dump->reader, o->events || o->frames ? SIZE_MAX : OVERVIEW_GAPS);
}

/* Data that could not be written is a failure, but a reader that had enough is not news. */
static void close_output(struct dump *dump, const char *name)
{
    bool failed = fflush(dump->out) != 0 || ferror(dump->out);
    int error = errno;

    failed = fclose(dump->out) != 0 || failed;
    if (failed) {
        if (error != EPIPE) {
            dump_message(name != NULL ? name : "standard output", UINT64_MAX, "%s",
                         g_strerror(error));
        }
        dump_raise(dump, STATUS_FAILURE);
    }
}

static int dump_with(const struct options *o)
{
    struct dump dump = {.out = stdout};
    uint64_t extract = 0;

    if (o->extract != NULL && !parse_offset(o->extract, &extract)) {
        return usage_error("--extract needs an offset, such as 4096 or 0x1000");
    }
    if (o->output != NULL) {
        dump.out = fopen(o->output, "wb");
        if (dump.out == NULL) {
            dump_message(o->output, UINT64_MAX, "%s", g_strerror(errno));
            return STATUS_FAILURE;
        }
    }
    setvbuf(dump.out, NULL, _IOFBF, 1 << 16);
    run_mode(&dump, o, extract);
    close_output(&dump, o->output);
    qtrace_reader_close(&dump.reader);
    return dump.status;
}

int main(int argc, char **argv)
{
    struct options o = {.count = -1, .vcpu = -1};
    g_autoptr(GOptionContext) context = make_context(&o);
    g_autoptr(GError) error = NULL;
    int status;

    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        return usage_error(error->message);
    }
    const char *wrong = check_options(&o);
    if (o.version) {
        puts("qtrace-dump " QTRACE_VERSION);
        status = fflush(stdout) == 0 ? STATUS_WHOLE : STATUS_FAILURE;
    } else if (wrong != NULL) {
        status = usage_error(wrong);
    } else {
        status = dump_with(&o);
    }
    g_free(o.extract);
    g_free(o.output);
    g_free(o.memory);
    g_strfreev(o.files);
    return status;
}
