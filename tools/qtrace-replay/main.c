/*
 * qtrace-replay - run QEMU plugins on a recorded trace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/host.h"
#include "pair.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INCOMPLETE = 3, EXIT_DAMAGED = 4, EXIT_REFUSED = 6 };

#define GAPS_SHOWN 5
#define HEAP (3 << 20) /* bytes */

struct host host;

static struct {
    char **analyzer;
    char *output;
    gboolean list, version;
    char **rest;
} option;

static const GOptionEntry entries[] = {
    { "analyzer", 'a', 0, G_OPTION_ARG_STRING_ARRAY, &option.analyzer,
      "Analyzer or path of a QEMU plugin, with its arguments; may be repeated",
      "NAME[,ARG=VALUE...]" },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &option.output,
      "Write what the plugins print to FILE, not to standard output", "FILE" },
    { "list", 0, 0, G_OPTION_ARG_NONE, &option.list, "List the analyzers and exit", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &option.version, "Show the version and exit", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &option.rest, NULL, "TRACE" },
    { NULL },
};

static const char summary[] =
    "Run QEMU plugins on a trace: they print what they would have printed in the recorded run.\n"
    "TRACE is a file, or - for standard input. The analyzer lockstep, alone, compares two traces.";

static const char description[] =
    "Examples:\n"
    "  qtrace-replay --analyzer=hotblocks run.qtr\n"
    "  qtrace-replay --analyzer=hotblocks,inline=on,limit=5 --analyzer=execlog run.qtr\n"
    "  qtrace-replay -o log --analyzer=/usr/lib/qemu/plugins/libinsn.so run.qtr\n"
    "  qtrace-replay --analyzer=lockstep good.qtr bad.qtr\n"
    "\n"
    "Exit status: 0 the trace is whole, 1 failure, 2 wrong usage, 3 the trace has no end (the\n"
    "recorder was killed), 4 it is damaged, 5 the recorder lost events, 6 it is refused. What is\n"
    "there is replayed in any case. Of two traces, the larger status. A plugin that calls exit()\n"
    "decides itself.\n";

/* ---- progress ---- */

static struct {
    bool wanted, shown;
    uint64_t total, done; /* block executions */
    gint64 next;          /* when to show it next, microseconds */
} progress;

static void progress_start(void)
{
    progress.wanted = isatty(STDERR_FILENO);
    progress.next = g_get_monotonic_time() + G_USEC_PER_SEC;
    for (size_t i = 0; i < qtrace_reader_n_streams(host.reader); i++) {
        progress.total += qtrace_reader_stream(host.reader, i)->blocks;
    }
}

static void progress_item(const struct qtrace_item *item)
{
    if (item->kind != QTRACE_ITEM_RUN) {
        return;
    }
    progress.done += item->block_end - item->block_begin;
    gint64 now = g_get_monotonic_time();
    if (now < progress.next) {
        return;
    }
    progress.next = now + G_USEC_PER_SEC / 5;
    progress.shown = true;
    fprintf(stderr, "\rqtrace-replay: %3.0f %%",
            progress.total > 0 ? 100.0 * (double)progress.done / (double)progress.total : 0.0);
}

static void progress_end(void)
{
    if (progress.shown) {
        fprintf(stderr, "\r%24s\r", "");
        progress.shown = false;
    }
}

/* ---- the end ---- */

static bool replaying; /* from the first plugin on until the atexit callbacks */

/* Also runs when a plugin calls exit: QEMU's own handler calls the callbacks then. */
static void at_exit(void)
{
    progress_end();
    if (replaying) {
        replaying = false;
        host_run_atexit();
    }
    if (host_output_flush() != 0) {
        /* that a reader has had enough is no news */
        if (host_output_failure() != EPIPE) {
            host_message("cannot write the output: %s", g_strerror(host_output_failure()));
        }
        _exit(EXIT_FAILED);
    }
    host_output_unbuffered(); /* destructors of plugins may still print */
}

/* User-mode QEMU ends without running destructors or closing files, so it is not done here either:
 * a file that a plugin leaves open ends where its buffer was last written. */
static void G_GNUC_NORETURN leave(int status)
{
    if (host.run->system) {
        exit(status);
    }
    at_exit();
    fflush(stdout); /* live, a terminal would have shown it */
    _exit(status);
}

static int report_health(const char *path)
{
    size_t n = qtrace_reader_n_gaps(host.reader), shown = 0;
    int status = qtrace_reader_status(host.reader);
    const char *before = "";

    /* What concerns all streams is a gap in each of them, but said once. */
    for (size_t i = 0; i < n && shown < GAPS_SHOWN; i++) {
        const char *message = qtrace_reader_gap(host.reader, i)->message;
        if (strcmp(message, before) != 0) {
            host_message("%s: %s", path, message);
            shown++;
        }
        before = message;
    }
    if (shown == GAPS_SHOWN) {
        host_message("%s: qtrace-dump --verify shows all gaps", path);
    }
    if (n == 0 && status == EXIT_INCOMPLETE) {
        host_message("%s: the trace has no end: its recorder was killed%s", path,
                     qtrace_reader_health(host.reader).salvaged
                         ? "; all that it had recorded was replayed" : "");
    }
    return status;
}

/* ---- the work ---- */

static int replay(void)
{
    struct qtrace_error err = { 0 };
    int code = host_drive(progress.wanted ? progress_item : NULL, &err);

    progress_end();
    if (code < 0) {
        host_message("%s", err.message);
        return EXIT_FAILED;
    }
    return host_output_failure() != 0 ? EXIT_FAILED : 0;
}

static int open_status(int code)
{
    switch (code) {
    case QTRACE_E_REFUSED:
        return EXIT_REFUSED;
    case QTRACE_E_FORMAT: /* or a trace whose first bytes are wrong */
    case QTRACE_E_DAMAGED:
        return EXIT_DAMAGED;
    case QTRACE_E_TRUNCATED:
        return EXIT_INCOMPLETE;
    default:
        return EXIT_FAILED;
    }
}

/* 0, or the status of the tool. */
static int open_trace(struct qtrace_reader **reader, const char *path)
{
    struct qtrace_error err = { 0 };
    int code = qtrace_reader_open(reader, path, &err);

    if (code != QTRACE_OK) {
        host_message("%s: %s", path, err.message);
        return open_status(code);
    }
    return 0;
}

static void init_host(struct qtrace_reader *reader)
{
    host.reader = reader;
    host.run = qtrace_reader_run(reader);
    host.plugin = g_ptr_array_new();
    host.block = g_ptr_array_new();
    host.call = g_array_new(FALSE, TRUE, sizeof(struct host_call));
    g_array_set_size(host.call, 1);
    host.live = g_hash_table_new_full(g_int_hash, g_int_equal, g_free, NULL);
}

static bool is_file(const char *path, const struct stat *file)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

static void open_output(void)
{
    struct stat out;

    if (option.output == NULL) {
        return;
    }
    bool exists = stat(option.output, &out) == 0;
    for (size_t i = 0; exists && option.rest[i] != NULL; i++) {
        if (is_file(option.rest[i], &out)) {
            host_message("%s is the trace itself", option.output);
            exit(EXIT_USAGE);
        }
    }
    int error = host_output_open(option.output);
    if (error != 0) {
        host_message("cannot write %s: %s", option.output, g_strerror(error));
        exit(EXIT_FAILED);
    }
}

static void G_GNUC_NORETURN usage_error(const char *message)
{
    host_message("%s (--help explains)", message);
    exit(EXIT_USAGE);
}

static void check_traces(void)
{
    char **trace = option.rest;

    if (trace == NULL || trace[0] == NULL) {
        usage_error("which trace? its path is missing");
    }
    if (trace[1] == NULL) {
        return;
    }
    if (trace[2] != NULL || option.analyzer[1] != NULL || !pair_is_meant(option.analyzer[0])) {
        usage_error("only one trace can be replayed, and two by --analyzer=lockstep alone");
    }
    if (strcmp(trace[0], "-") == 0 && strcmp(trace[1], "-") == 0) {
        usage_error("only one of two traces can be the standard input");
    }
}

static void parse_options(int argc, char **argv)
{
    GOptionContext *context = g_option_context_new("- run QEMU plugins on a trace");
    GError *error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, description);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        usage_error(error->message);
    }
    g_option_context_free(context);
    if (option.version) {
        printf("qtrace-replay %s\n", QTRACE_VERSION);
        exit(0);
    }
    if (option.list) {
        host_list_analyzers(stdout);
        exit(0);
    }
    if (option.analyzer == NULL) {
        usage_error("which analyzer? --analyzer=NAME is missing");
    }
    check_traces();
}

/* Of two traces, both failures are told before the tool ends. */
static void open_traces(struct qtrace_reader *reader[2])
{
    int status = 0;

    for (int i = 0; i < 2 && option.rest[i] != NULL; i++) {
        int failure = open_trace(&reader[i], option.rest[i]);
        status = MAX(status, failure);
    }
    if (status != 0) {
        exit(status);
    }
}

/* With two traces: go on in two processes, each with one trace. The number of the one that this
 * process has. */
static int share_traces(struct qtrace_reader *reader[2])
{
    if (reader[1] == NULL) {
        return 0;
    }
    int own = pair_fork(option.analyzer[0], option.rest, &option.analyzer[0]);
    qtrace_reader_close(&reader[1 - own]);
    return own;
}

static void load_plugins(void)
{
    for (size_t i = 0; option.analyzer[i] != NULL; i++) {
        if (!host_load(option.analyzer[i])) {
            replaying = false;
            exit(EXIT_FAILED);
        }
    }
}

/* The heap of a small replay in one go: where a page fault is dear, as in many virtual machines,
 * one for each page takes a sixth of the time of a replay that only counts. Without effect where
 * it is not to be had. */
static void make_heap(void)
{
#if defined(__GLIBC__) && defined(MADV_POPULATE_WRITE)
    const long page = sysconf(_SC_PAGESIZE);

    mallopt(M_MMAP_THRESHOLD, HEAP);
    mallopt(M_TOP_PAD, HEAP);
    g_free(g_malloc(HEAP / 2)); /* more than is there */
    char *end = sbrk(0), *begin = end - HEAP;
    madvise(begin + (page - (uintptr_t)begin % page) % page, HEAP - page, MADV_POPULATE_WRITE);
#endif
}

int main(int argc, char **argv)
{
    struct qtrace_reader *reader[2] = { NULL, NULL };

    parse_options(argc, argv);
    make_heap();
    signal(SIGPIPE, SIG_IGN); /* a failed write is reported */
    open_traces(reader);
    open_output();
    int own = share_traces(reader);
    init_host(reader[own]);
    atexit(at_exit);
    host_output_survive();
    replaying = true;
    load_plugins();
    if (own == 0) {
        progress_start();
    }
    int status = replay();
    if (host_output_failure() == 0) {
        replaying = false;
        host_run_atexit();
    }
    int health = report_health(option.rest[own]);
    leave(MAX(status, health));
}
