/*
 * recover.c - write the end that a killed recorder could not write
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "recover.h"
#include "salvage.h"
#include "writer.h"

static int no_memory(struct qtrace_error *err)
{
    return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
}

/* The messages that stand at the beginning, for their copies. */
static int take_messages(struct qtrace_writer *w, const struct qtrace_reader *r)
{
    Qtrace__FileHeader none = QTRACE__FILE_HEADER__INIT;
    const Qtrace__FileHeader *header = r->header == NULL ? &none : r->header;

    if (qt_buf_reserve(&w->header, qtrace__file_header__get_packed_size(header)) < 0) {
        return QTRACE_E_NOMEM;
    }
    w->header.len = qtrace__file_header__pack(header, w->header.data);
    if (r->run_message == NULL) {
        return QTRACE_OK;
    }
    if (qt_buf_reserve(&w->run, qtrace__run__get_packed_size(r->run_message)) < 0) {
        return QTRACE_E_NOMEM;
    }
    w->run.len = qtrace__run__pack(r->run_message, w->run.data);
    return QTRACE_OK;
}

static int take_definitions(struct qtrace_writer *w, struct qtrace_reader *r)
{
    const struct qtrace_translation *t;
    int ret = QTRACE_OK;

    for (uint64_t id = 0; ret == QTRACE_OK && id < r->n_translations; id++) {
        t = qtrace_reader_translation(r, (uint32_t)id);
        ret = t == NULL ? QTRACE_OK : qt_writer_merge(w, t);
    }
    w->n_translations = w->n_written = r->n_translations;
    return ret;
}

/* The counts of a frame, as it has them. */
static int take_summary(struct qtrace_reader *r, const struct qt_frame *f,
                        struct qtrace_error *err)
{
    r->raw.len = 0;
    for (unsigned i = 0; f->info.of_stream && i < f->info.n_columns; i++) {
        if (f->info.column[i].id == QTRACE_COLUMN_SUMMARY) {
            return qt_scan_column(r, f, i, err);
        }
    }
    return QTRACE_OK;
}

/* The segment that the recorder had begun. */
static int take_index(struct qtrace_writer *w, struct qtrace_reader *r, struct qtrace_error *err)
{
    int ret = QTRACE_OK;

    w->index.first = r->last_index;
    w->index.previous = r->last_index_offset;
    for (size_t i = r->last_index; ret == QTRACE_OK && i < r->n_frames; i++) {
        const struct qt_frame *f = &r->frame[i].frame;

        ret = take_summary(r, f, err);
        if (ret == QTRACE_E_DAMAGED) {
            r->raw.len = 0; /* the segment will not be counted */
            ret = QTRACE_OK;
        }
        /* only where a segment was damaged can there be so many */
        w->unindexed |= qt_index_full(&w->index);
        qt_writer_note(w, f, f->info.offset, f->info.size, &r->raw);
    }
    return ret;
}

/* Whatever is missing in between was recorded as well. */
static int take_totals(struct qtrace_writer *w, const struct qtrace_reader *r)
{
    for (size_t i = 0; i < r->n_streams; i++) {
        const struct qt_reader_stream *s = &r->stream[i];
        Qtrace__StreamTotals *t = qt_writer_totals(w, s->info.stream, s->info.vcpu);

        if (t == NULL) {
            return QTRACE_E_NOMEM;
        }
        t->blocks = s->next.block - s->info.lost_blocks;
        t->insns = s->next.insn - s->info.lost_insns;
        t->accesses = s->next.access - s->info.lost_accesses;
        t->events = s->next.event - s->info.lost_events;
        t->lost_blocks = s->info.lost_blocks;
        t->lost_insns = s->info.lost_insns;
        t->lost_accesses = s->info.lost_accesses;
        t->lost_events = s->info.lost_events;
    }
    return QTRACE_OK;
}

static uint64_t last_time(const struct qtrace_reader *r)
{
    uint64_t time = 0;

    for (size_t i = 0; i < r->n_frames; i++) {
        const struct qtrace_frame_info *f = &r->frame[i].frame.info;

        time = f->of_stream && f->last_time > time ? f->last_time : time;
    }
    return time;
}

static int tell_writer(struct qtrace_writer *w, struct qtrace_reader *r, struct qtrace_error *err)
{
    int ret = take_messages(w, r);

    ret = ret == QTRACE_OK ? take_definitions(w, r) : ret;
    ret = ret == QTRACE_OK ? take_totals(w, r) : ret;
    ret = ret == QTRACE_OK ? take_index(w, r, err) : ret;
    return ret;
}

int qt_recover_end(struct qtrace_reader *r, int fd, const struct qt_live *live,
                   struct qtrace_error *err)
{
    struct qtrace_writer *w = fd < 0 ? NULL : calloc(1, sizeof(*w));
    int ret;

    if (w == NULL) {
        close(fd);
        return no_memory(err);
    }
    *w = (struct qtrace_writer){.fd = fd, .level = 1, .size = r->good_end, .nonce = r->nonce,
                                .seq = (uint32_t)r->next_seq, .last_time = last_time(r),
                                .recovered = true};
    ret = tell_writer(w, r, err);
    if (ret == QTRACE_OK && live != NULL) {
        ret = qt_salvage(w, r, live, err);
    }
    if (ret < 0) {
        qt_writer_discard(w);
        return ret == QTRACE_E_NOMEM ? no_memory(err) : ret;
    }
    return qtrace_writer_close(&w, "the recorder did not come to its end", w->last_time, err);
}

/* What the reader has as a tail goes into the file. */
static int copy_tail(const struct qtrace_reader *r, int fd, struct qtrace_error *err)
{
    uint8_t bytes[4096];
    uint64_t at = r->file.split;
    int ret = QTRACE_OK;

    while (ret == QTRACE_OK && at < r->size) {
        const size_t n = r->size - at < sizeof(bytes) ? (size_t)(r->size - at) : sizeof(bytes);

        ret = qt_io_pread(r->file.tail, bytes, n, at, err);
        ret = ret == QTRACE_OK ? qt_io_pwrite(fd, bytes, n, at, err) : ret;
        at += n;
    }
    if (ret == QTRACE_OK && ftruncate(fd, (off_t)r->size) < 0) {
        ret = qt_io_error(err, errno, r->size, "cannot cut");
    }
    return ret;
}

static int recover(struct qtrace_reader *r, const char *path, struct qtrace_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), ret;

    if (fd < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot open for writing");
    }
    if (r->file.tail < 0) {
        return qt_recover_end(r, fd, NULL, err);
    }
    ret = copy_tail(r, fd, err);
    if (close(fd) < 0 && ret == QTRACE_OK) {
        ret = qt_io_error(err, errno, UINT64_MAX, "cannot close");
    }
    return ret;
}

int qtrace_recover(const char *path, struct qtrace_error *err)
{
    struct qtrace_reader *r;
    int ret;

    if (qt_live_is_busy(path)) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "its recorder is still at work");
    }
    ret = qtrace_reader_open(&r, path, err);
    if (ret < 0) {
        return ret;
    }
    ret = r->file.tail < 0 && r->mark && r->end != NULL ? QTRACE_END : recover(r, path, err);
    qtrace_reader_close(&r);
    if (ret >= 0) {
        qt_live_discard(path);
    }
    return ret;
}
