/*
 * verify.c - --verify: is every bit of these traces there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <stdlib.h>

/* The columns of a frame without rows. Of definitions the reader needs one good copy, we want
 * both. */
static bool check_columns(struct dump *dump, const struct qtrace_frame_info *frame)
{
    for (unsigned i = 0; i < frame->n_columns; i++) {
        struct qtrace_error err = {0};
        const char *type;
        void *data = NULL;
        size_t size;
        int code = qtrace_reader_extract(dump->reader, frame->column[i].offset, &data, &size,
                                         &type, &err);
        free(data);
        if (code != QTRACE_OK) {
            dump_error(dump, &err);
            if (code == QTRACE_E_IO || code == QTRACE_E_NOMEM) {
                return false;
            }
        }
    }
    return true;
}

/* Rows, and whether the summary says the same of them. The batch is freed as soon as it has been
 * counted: a frame without a summary is read again. */
static int count_twice(struct dump *dump, size_t i, struct qtrace_batch **batch,
                       struct qtrace_error *err)
{
    struct qtrace_counts *rows = qtrace_counts_new(), *summary = qtrace_counts_new();
    int code = rows == NULL || summary == NULL ? QTRACE_E_NOMEM : QTRACE_OK;

    if (code == QTRACE_OK) {
        code = qtrace_counts_add(rows, *batch, dump->reader);
    }
    qtrace_batch_free(batch);
    if (code == QTRACE_OK) {
        code = qtrace_reader_count(dump->reader, i, 1, summary, err);
    }
    if (code == QTRACE_OK && !qtrace_counts_equal(rows, summary)) {
        code = QTRACE_E_DAMAGED;
        dump_raise(dump, STATUS_DAMAGED);
        dump_message(dump->path, qtrace_reader_frame(dump->reader, i)->offset,
                     "the summary of this frame differs from its rows");
    }
    qtrace_counts_free(&rows);
    qtrace_counts_free(&summary);
    return code;
}

static bool check_events(struct dump *dump, size_t i)
{
    struct qtrace_batch *batch = NULL;
    struct qtrace_error err = {0};
    int code = qtrace_reader_read(dump->reader, i, &batch, &err);

    if (code == QTRACE_OK) {
        code = count_twice(dump, i, &batch, &err);
    }
    if (code == QTRACE_E_IO || code == QTRACE_E_NOMEM) {
        dump_error(dump, &err);
        return false;
    }
    if (code == QTRACE_E_REFUSED) {
        dump_error(dump, &err);
    }
    /* Damage has become a gap, which is reported with the others. */
    return true;
}

static void check_frames(struct dump *dump)
{
    for (size_t i = 0; i < qtrace_reader_n_frames(dump->reader); i++) {
        const struct qtrace_frame_info *frame = qtrace_reader_frame(dump->reader, i);
        bool go_on = frame->of_stream ? check_events(dump, i) : check_columns(dump, frame);
        if (!go_on) {
            return;
        }
    }
}

static const char *verdict(int status)
{
    switch (status) {
    case STATUS_WHOLE:
        return "whole";
    case STATUS_INCOMPLETE:
        return "incomplete";
    case STATUS_DAMAGED:
        return "damaged";
    case STATUS_LOST:
        return "events lost";
    case STATUS_REFUSED:
        return "refused";
    default:
        return "failed";
    }
}

static void print_result(struct dump *dump)
{
    g_autofree char *name = text_safe(dump->path);
    uint64_t blocks = 0, insns = 0;

    fprintf(dump->out, "%s: %s", name, verdict(dump->status));
    if (dump->reader != NULL) {
        for (size_t i = 0; i < qtrace_reader_n_streams(dump->reader); i++) {
            blocks += qtrace_reader_stream(dump->reader, i)->blocks;
            insns += qtrace_reader_stream(dump->reader, i)->insns;
        }
        fprintf(dump->out,
                ": %zu frames, %zu streams, %" PRIu64 " blocks, %" PRIu64 " instructions, "
                "%zu gaps",
                qtrace_reader_n_frames(dump->reader), qtrace_reader_n_streams(dump->reader),
                blocks, insns, qtrace_reader_n_gaps(dump->reader));
    }
    fputc('\n', dump->out);
}

static void verify_file(struct dump *dump)
{
    struct qtrace_error err = {0};

    if (qtrace_reader_open(&dump->reader, dump->path, &err) != QTRACE_OK) {
        dump_error(dump, &err);
    } else {
        check_frames(dump);
        dump_raise(dump, qtrace_reader_status(dump->reader));
        dump_gaps(dump->path, dump->reader, SIZE_MAX);
    }
    print_result(dump);
    qtrace_reader_close(&dump->reader);
}

void dump_verify(struct dump *dump, char **files, uint64_t memory)
{
    for (; *files != NULL; files++) {
        struct dump one = {.path = *files, .out = dump->out};
        memory_limit(&one, memory);
        verify_file(&one);
        dump_raise(dump, one.status);
    }
}
