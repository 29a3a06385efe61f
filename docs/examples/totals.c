/*
 * totals - what each stream of a trace holds
 *
 * An example of a program that reads a trace with libqtrace, no plugin: it walks all rows and
 * prints a line for each stream. The exit status is that of the qtrace tools.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <qtrace/qtrace.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct totals {
    uint64_t blocks, insns, loads, stores, syscalls;
};

static void add(struct totals *t, const struct qtrace_batch *batch)
{
    t->blocks += batch->n_blocks;
    for (uint32_t i = 0; i < batch->n_blocks; i++) {
        t->insns += batch->started[i]; /* a block may have been left before its end */
    }
    for (uint32_t i = 0; i < batch->n_accesses; i++) {
        if (batch->flags[i] & QTRACE_ACCESS_STORE) {
            t->stores++;
        } else {
            t->loads++;
        }
    }
    for (uint32_t i = 0; i < batch->n_events; i++) {
        t->syscalls += batch->event[i].kind == QTRACE_EVENT_SYSCALL;
    }
}

/* All frames that hold rows, in the order of the file. */
static int walk(struct qtrace_reader *reader, struct totals *totals)
{
    struct qtrace_error err;

    for (size_t i = 0; i < qtrace_reader_n_frames(reader); i++) {
        struct qtrace_batch *batch = NULL;

        if (!qtrace_reader_frame(reader, i)->of_stream) {
            continue;
        }
        int code = qtrace_reader_read(reader, i, &batch, &err);
        if (code == QTRACE_E_DAMAGED) {
            continue; /* it is a gap now, and the status says so */
        }
        if (code != QTRACE_OK) {
            fprintf(stderr, "totals: %s\n", err.message);
            return 1;
        }
        add(&totals[batch->stream], batch);
        qtrace_batch_free(&batch);
    }
    return qtrace_reader_status(reader);
}

int main(int argc, char **argv)
{
    struct qtrace_reader *reader;
    struct qtrace_error err;

    if (argc != 2) {
        fprintf(stderr, "usage: totals TRACE\n");
        return 2;
    }
    if (qtrace_reader_open(&reader, argv[1], &err) != QTRACE_OK) {
        fprintf(stderr, "totals: %s: %s\n", argv[1], err.message);
        return 1;
    }
    size_t n = qtrace_reader_n_streams(reader);
    struct totals *totals = (struct totals *)calloc(n + 1, sizeof(*totals));
    int status = totals != NULL ? walk(reader, totals) : 1;
    for (size_t i = 0; totals != NULL && i < n; i++) {
        const struct totals *t = &totals[i];
        printf("stream=%zu vcpu=%" PRIu32 " blocks=%" PRIu64 " insns=%" PRIu64 " loads=%" PRIu64
               " stores=%" PRIu64 " syscalls=%" PRIu64 "\n",
               i, qtrace_reader_stream(reader, i)->vcpu, t->blocks, t->insns, t->loads,
               t->stores, t->syscalls);
    }
    free(totals);
    qtrace_reader_close(&reader);
    return status;
}
