/*
 * reader.c - open a trace, look at it, read its frames
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover.h"
#include "scan.h"

/* ---- opening ---- */

/* Take fd over: what cannot be read at any place is copied first. */
static int take_fd(struct qtrace_reader *r, int fd, bool spool, struct qtrace_error *err)
{
    struct stat st;
    int ret;

    if (fstat(fd, &st) < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot look at the file");
    }
    if (S_ISDIR(st.st_mode)) {
        return qt_io_error(err, EISDIR, UINT64_MAX, "cannot read");
    }
    if (!spool && S_ISREG(st.st_mode)) {
        r->file.fd = fd;
    } else {
        ret = qt_io_spool(fd, &r->file.fd, err);
        if (ret < 0) {
            return ret;
        }
        if (fstat(r->file.fd, &st) < 0) {
            return qt_io_error(err, errno, UINT64_MAX, "cannot look at the file");
        }
    }
    r->size = (uint64_t)st.st_size;
    return QTRACE_OK;
}

static int open_file(struct qtrace_reader *r, const char *path, struct qtrace_error *err)
{
    int fd, ret;

    if (strcmp(path, "-") == 0) {
        return take_fd(r, STDIN_FILENO, true, err);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot open");
    }
    ret = take_fd(r, fd, false, err);
    if (r->file.fd != fd) {
        close(fd);
    }
    return ret;
}

static const char *known(const char *s)
{
    return s == NULL || *s == '\0' ? NULL : s;
}

static void show_run(struct qtrace_run *run, const Qtrace__Run *m)
{
    run->target = known(m->target);
    run->system = m->system;
    run->smp_vcpus = m->smp_vcpus;
    run->max_vcpus = m->max_vcpus;
    run->api_min = m->api_min;
    run->api_cur = m->api_cur;
    run->api_used = m->api_used;
    run->qemu_version = known(m->qemu_version);
    run->qemu_path = known(m->qemu_path);
    run->guest_path = known(m->guest_path);
    run->has_code = m->has_code;
    run->start_code = m->start_code;
    run->end_code = m->end_code;
    run->entry_code = m->entry_code;
    run->command_line = (const char *const *)m->command_line;
    run->n_command_line = m->n_command_line;
    run->option = (const char *const *)m->option;
    run->n_option = m->n_option;
    run->host = known(m->host);
    run->start_time = m->start_time;
    run->pid = m->pid;
    run->mem = m->mem;
    run->disas = m->disas;
    run->values = m->values;
    run->phys = m->phys;
    run->one_thread = m->one_thread;
    run->parent_pid = m->parent_pid;
    run->parent_trace = known(m->parent_trace);
}

static void free_messages(struct qtrace_reader *r)
{
    if (r->header != NULL) {
        qtrace__file_header__free_unpacked(r->header, NULL);
    }
    if (r->run_message != NULL) {
        qtrace__run__free_unpacked(r->run_message, NULL);
    }
    if (r->end != NULL) {
        qtrace__end__free_unpacked(r->end, NULL);
    }
}

/* All but the file. */
static void forget(struct qtrace_reader *r)
{
    const struct qt_source file = r->file;
    const uint64_t size = r->size;
    size_t i;

    free_messages(r);
    for (i = 0; i < r->n_streams; i++) {
        free(r->stream[i].frame);
    }
    free(r->stream);
    free(r->frame);
    free(r->gap);
    free(r->segment);
    free(r->hole);
    qt_dictionary_finish(&r->dictionary);
    qt_frame_coder_finish(&r->coder);
    qt_buf_finish(&r->window);
    qt_buf_finish(&r->search);
    qt_buf_finish(&r->stored);
    qt_buf_finish(&r->raw);
    qt_buf_finish(&r->packed[0]);
    qt_buf_finish(&r->packed[1]);
    *r = (struct qtrace_reader){.file = file, .size = size, .select = QTRACE_SELECT_ALL};
}

/* A killed recorder has left what it had not written beside the trace: read it as if it had been
 * written, from a file of our own. */
static int add_tail(struct qtrace_reader *r, const char *path, struct qtrace_error *err)
{
    struct qt_live *live;
    struct stat st;
    int tail, ret = QTRACE_END;

    if (r->end == NULL && strcmp(path, "-") != 0) {
        ret = qt_live_open(&live, path, r->nonce, err);
    }
    if (ret != QTRACE_OK) {
        return ret == QTRACE_END ? QTRACE_OK : ret;
    }
    tail = qt_io_unnamed(err);
    ret = tail < 0 ? QTRACE_E_IO : qt_recover_end(r, dup(tail), live, err);
    qt_live_close(live);
    if (ret == QTRACE_OK && fstat(tail, &st) < 0) {
        ret = qt_io_error(err, errno, UINT64_MAX, "cannot look at a temporary file");
    }
    if (ret < 0) {
        close(tail);
        return ret;
    }
    r->file.tail = tail;
    r->file.split = r->good_end;
    r->size = (uint64_t)st.st_size;
    forget(r);
    return qt_scan(r, err);
}

static int open_reader(struct qtrace_reader **out, const char *path, bool indexed,
                       struct qtrace_error *err)
{
    struct qtrace_reader *r = calloc(1, sizeof(*r));
    int ret;

    *out = NULL;
    if (r == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    r->file.fd = r->file.tail = -1;
    r->select = QTRACE_SELECT_ALL;
    ret = open_file(r, path, err);
    if (ret == QTRACE_OK) {
        ret = indexed ? qt_open_indexed(r, err) : QTRACE_END;
    }
    if (ret == QTRACE_END) {
        forget(r);
        ret = qt_scan(r, err);
    }
    if (ret == QTRACE_OK) {
        ret = add_tail(r, path, err);
    }
    if (ret < 0) {
        qtrace_reader_close(&r);
        return ret;
    }
    if (r->run_message != NULL) {
        show_run(&r->run, r->run_message);
    }
    *out = r;
    return QTRACE_OK;
}

int qtrace_reader_open(struct qtrace_reader **out, const char *path, struct qtrace_error *err)
{
    return open_reader(out, path, false, err);
}

int qtrace_reader_open_indexed(struct qtrace_reader **out, const char *path,
                               struct qtrace_error *err)
{
    return open_reader(out, path, true, err);
}

bool qtrace_reader_is_indexed(const struct qtrace_reader *reader)
{
    return reader->indexed;
}

void qtrace_reader_close(struct qtrace_reader **reader)
{
    struct qtrace_reader *r = reader == NULL ? NULL : *reader;

    if (r == NULL) {
        return;
    }
    *reader = NULL;
    forget(r);
    if (r->file.fd >= 0) {
        close(r->file.fd);
    }
    if (r->file.tail >= 0) {
        close(r->file.tail);
    }
    free(r);
}

/* ---- looking ---- */

const struct qtrace_run *qtrace_reader_run(const struct qtrace_reader *reader)
{
    return &reader->run;
}

const char *qtrace_reader_producer(const struct qtrace_reader *reader)
{
    return reader->header == NULL ? NULL : known(reader->header->producer);
}

unsigned qtrace_reader_version(const struct qtrace_reader *reader)
{
    return reader->header == NULL ? 0 : reader->header->version;
}

uint64_t qtrace_reader_file_size(const struct qtrace_reader *reader)
{
    return reader->size;
}

struct qtrace_health qtrace_reader_health(const struct qtrace_reader *reader)
{
    const Qtrace__End *end = reader->end;

    return (struct qtrace_health){
        .complete = end != NULL && reader->mark && !reader->cut && !end->recovered,
        .salvaged = end != NULL && reader->mark && end->recovered && end->salvaged,
        .damaged = reader->damaged,
        .lost = reader->lost,
        .reason = end == NULL ? NULL : end->reason,
        .end_time = end == NULL ? 0 : end->time,
    };
}

int qtrace_reader_status(const struct qtrace_reader *reader)
{
    struct qtrace_health health = qtrace_reader_health(reader);

    if (health.lost) {
        return 5;
    }
    if (health.damaged) {
        return 4;
    }
    return health.complete ? 0 : 3;
}

size_t qtrace_reader_n_gaps(const struct qtrace_reader *reader)
{
    return reader->n_gaps;
}

const struct qtrace_gap *qtrace_reader_gap(const struct qtrace_reader *reader, size_t i)
{
    return i < reader->n_gaps ? &reader->gap[i] : NULL;
}

size_t qtrace_reader_n_streams(const struct qtrace_reader *reader)
{
    return reader->n_streams;
}

const struct qtrace_stream_info *qtrace_reader_stream(const struct qtrace_reader *reader,
                                                      size_t i)
{
    return i < reader->n_streams ? &reader->stream[i].info : NULL;
}

size_t qtrace_reader_n_frames(const struct qtrace_reader *reader)
{
    return reader->n_frames;
}

const struct qtrace_frame_info *qtrace_reader_frame(const struct qtrace_reader *reader,
                                                    size_t i)
{
    return i < reader->n_frames ? &reader->frame[i].frame.info : NULL;
}

size_t qtrace_reader_n_translations(const struct qtrace_reader *reader)
{
    return reader->n_translations;
}

const struct qtrace_translation *qtrace_reader_translation(struct qtrace_reader *reader,
                                                           uint32_t id)
{
    const struct qtrace_translation *t = qt_dictionary_get(&reader->dictionary, id);
    struct qtrace_error err;
    int ret;

    if (t != NULL) {
        return t;
    }
    if (reader->keep > 0 && reader->dictionary.used > reader->keep) {
        qt_dictionary_forget(&reader->dictionary);
    }
    ret = qt_indexed_define(reader, id, &err);
    if (ret < 0 && reader->failure.code == QTRACE_OK) {
        reader->failure = err;
    }
    return qt_dictionary_get(&reader->dictionary, id);
}

void qtrace_reader_keep(struct qtrace_reader *reader, size_t bytes)
{
    reader->keep = bytes;
}

int qtrace_reader_failure(const struct qtrace_reader *reader, struct qtrace_error *err)
{
    if (err != NULL && reader->failure.code != QTRACE_OK) {
        *err = reader->failure;
    }
    return reader->failure.code;
}

/* Does the frame hold the ordinal or something behind it? */
static bool reaches(const struct qtrace_frame_info *f, enum qtrace_ordinal by, uint64_t ordinal)
{
    switch (by) {
    case QTRACE_BY_BLOCK:
        return f->first_block + f->blocks > ordinal;
    case QTRACE_BY_INSN:
        return f->first_insn + f->insns > ordinal;
    case QTRACE_BY_ACCESS:
        return f->first_access + f->accesses > ordinal;
    default:
        return f->last_time >= ordinal;
    }
}

int qtrace_reader_find(const struct qtrace_reader *reader, uint32_t stream,
                       enum qtrace_ordinal by, uint64_t ordinal, size_t *frame)
{
    const struct qt_reader_stream *s;
    size_t low = 0, high, middle;

    if (stream >= reader->n_streams) {
        return QTRACE_END;
    }
    s = &reader->stream[stream];
    high = s->n_frames;
    while (low < high) {
        middle = low + (high - low) / 2;
        if (reaches(&reader->frame[s->frame[middle]].frame.info, by, ordinal)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == s->n_frames) {
        return QTRACE_END;
    }
    *frame = s->frame[low];
    return QTRACE_OK;
}

/* ---- reading ---- */

void qtrace_reader_select(struct qtrace_reader *reader, unsigned select)
{
    reader->select = select;
}

/* Columns that lie side by side are read at once. */
static int read_run(struct qtrace_reader *r, const struct qtrace_frame_info *f, unsigned from,
                    unsigned to, struct qtrace_error *err)
{
    uint64_t size = 0;
    unsigned i;
    int ret;

    for (i = from; i < to; i++) {
        size += f->column[i].stored_size;
    }
    /* the columns of a hostile frame together can be more than 32 bits hold */
    if (size > SIZE_MAX / 2 || qt_buf_reserve(&r->stored, (size_t)size) < 0) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    ret = qt_source_read(&r->file, r->stored.data + r->stored.len, (size_t)size,
                      f->column[from].offset, err);
    r->stored.len += (size_t)size;
    return ret;
}

static int read_columns(struct qtrace_reader *r, const struct qt_frame *frame, uint32_t wanted,
                        struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->info;
    const uint8_t *p;
    unsigned i, from;
    int ret = QTRACE_OK;

    r->stored.len = 0;
    for (i = 0; ret == QTRACE_OK && i < f->n_columns;) {
        for (from = i; i < f->n_columns && wanted >> i & 1; i++) {
        }
        if (from < i) {
            ret = read_run(r, f, from, i, err);
        } else {
            i++;
        }
    }
    p = r->stored.data;
    for (i = 0; ret == QTRACE_OK && i < f->n_columns; i++) {
        if (wanted >> i & 1) {
            ret = qt_scan_stored_sum(frame, i, p, err);
            p += f->column[i].stored_size;
        }
    }
    return ret;
}

static int check_others(struct qtrace_reader *r, const struct qt_frame *frame, uint32_t wanted,
                        struct qtrace_error *err)
{
    int ret = QTRACE_OK;

    for (unsigned i = 0; ret == QTRACE_OK && i < frame->info.n_columns; i++) {
        if (!(wanted >> i & 1)) {
            ret = qt_scan_stored(r, frame, i, err);
        }
    }
    return ret;
}

int qt_reader_decode(struct qtrace_reader *r, const struct qt_frame *frame,
                     struct qtrace_batch **batch, struct qtrace_error *err)
{
    uint32_t wanted = qt_frame_columns(frame, r->select);
    int ret = r->select & QTRACE_SELECT_CHECK ? check_others(r, frame, wanted, err) : QTRACE_OK;

    if (ret == QTRACE_OK) {
        ret = read_columns(r, frame, wanted, err);
    }
    r->coder.predictor.undefined = UINT32_MAX;
    return ret == QTRACE_OK ? qt_frame_decode(&r->coder, frame, r->select, r->stored.data,
                                              &r->dictionary.lengths, batch, err)
                            : ret;
}

/* With an index, definitions are read when a frame is found to need them. */
static int read_defined(struct qtrace_reader *r, const struct qt_frame *frame,
                        struct qtrace_batch **batch, struct qtrace_error *err)
{
    uint32_t id;
    int ret;

    for (;;) {
        ret = qt_reader_decode(r, frame, batch, err);
        id = r->coder.predictor.undefined;
        if (ret != QTRACE_E_DAMAGED || id == UINT32_MAX ||
            qt_dictionary_get(&r->dictionary, id) != NULL) {
            return ret;
        }
        ret = qt_indexed_define(r, id, err);
        if (ret < 0 || qt_dictionary_get(&r->dictionary, id) == NULL) {
            return ret < 0 ? ret : QTRACE_E_DAMAGED;
        }
    }
}

static int add_bad_frame(struct qtrace_reader *r, struct qt_reader_frame *f,
                         const struct qtrace_error *error)
{
    uint64_t offset = error->offset == UINT64_MAX ? f->frame.info.offset : error->offset;

    if (f->bad) {
        return QTRACE_OK;
    }
    f->bad = true;
    return qt_scan_damage(r, offset, &f->frame, error->message);
}

/* A frame cannot be read: note it, if it is the frame's fault. */
static int give_up(struct qtrace_reader *r, struct qt_reader_frame *f, int code,
                   struct qtrace_error *error, struct qtrace_error *err)
{
    if (code == QTRACE_E_TRUNCATED) {
        /* The file has become shorter since it was opened. */
        error->code = code = QTRACE_E_DAMAGED;
    }
    if ((code == QTRACE_E_DAMAGED || code == QTRACE_E_REFUSED) &&
        add_bad_frame(r, f, error) < 0) {
        code = qtrace_error_set(error, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    if (err != NULL) {
        *err = *error;
    }
    return code;
}

int qtrace_reader_read(struct qtrace_reader *reader, size_t i, struct qtrace_batch **batch,
                       struct qtrace_error *err)
{
    struct qt_reader_frame *f;
    struct qtrace_error error;
    int ret;

    *batch = NULL;
    if (i >= reader->n_frames || !reader->frame[i].frame.info.of_stream) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "frame %zu is no frame of events", i);
    }
    f = &reader->frame[i];
    ret = qt_indexed_frame(reader, f, &error);
    if (ret == QTRACE_OK) {
        ret = read_defined(reader, &f->frame, batch, &error);
    }
    return ret == QTRACE_OK ? ret : give_up(reader, f, ret, &error, err);
}

/* ---- counting ---- */

static bool has_summary(const struct qt_frame *f, unsigned *column)
{
    for (*column = 0; *column < f->info.n_columns; ++*column) {
        const struct qtrace_column_info *c = &f->info.column[*column];

        if (c->id == QTRACE_COLUMN_SUMMARY) {
            return c->encoding == QT_ENCODING && c->codec <= QT_CODEC_LZ4 &&
                   c->raw_size <= QT_SUMMARY_MAX;
        }
    }
    return false;
}

static int count_summary(struct qtrace_reader *r, struct qt_reader_frame *f, unsigned column,
                         uint32_t limit, struct qtrace_counts *counts, struct qtrace_error *err)
{
    struct qtrace_error error;
    int ret = qt_indexed_frame(r, f, &error);

    if (ret == QTRACE_OK) {
        ret = qt_scan_column(r, &f->frame, column, &error);
    }
    if (ret == QTRACE_OK) {
        ret = qt_counts_unpack(counts, r->raw.data, r->raw.len,
                               f->frame.info.column[column].rows, limit);
        qtrace_error_set(&error, ret, f->frame.info.offset, "the summary at offset %" PRIu64
                         ": %s", f->frame.info.offset, qtrace_strerror(ret));
    }
    return ret == QTRACE_OK ? ret : give_up(r, f, ret, &error, err);
}

static int count_rows(struct qtrace_reader *r, size_t i, struct qtrace_counts *counts,
                      struct qtrace_error *err)
{
    const unsigned select = r->select;
    struct qtrace_batch *batch;
    int ret;

    r->select = QTRACE_SELECT_ACCESSES;
    ret = qtrace_reader_read(r, i, &batch, err);
    r->select = select;
    if (ret == QTRACE_OK && qtrace_counts_add(counts, batch, r) < 0) {
        ret = qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    qtrace_batch_free(&batch);
    return ret;
}

/* The segment of the index that begins with frame i and ends before n: the frame that sums it
 * up, in that column. 0 = there is none. */
static size_t segment_at(const struct qtrace_reader *r, size_t i, size_t n, unsigned *column)
{
    size_t end;

    if (i > 0 && !r->frame[i].frame.info.index) {
        return 0;
    }
    for (end = i + 1; end < n && !r->frame[end].frame.info.index; end++) {
    }
    return end < n && has_summary(&r->frame[end].frame, column) ? end : 0;
}

int qtrace_reader_count(struct qtrace_reader *reader, size_t first, size_t n,
                        struct qtrace_counts *counts, struct qtrace_error *err)
{
    size_t i, end, last;
    unsigned column;
    int ret = QTRACE_OK;

    if (first > reader->n_frames || n > reader->n_frames - first) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX, "there are no such frames");
    }
    for (i = first, last = first + n; ret == QTRACE_OK && i < last; i++) {
        struct qt_reader_frame *f = &reader->frame[i];

        end = reader->damaged ? 0 : segment_at(reader, i, last, &column);
        if (end > 0) {
            ret = count_summary(reader, &reader->frame[end], column, QT_COUNTS_SEGMENT, counts,
                                err);
            i = end - 1;
        } else if (!f->frame.info.of_stream) {
            continue;
        } else if (has_summary(&f->frame, &column)) {
            ret = count_summary(reader, f, column, QT_COUNTS_FRAME, counts, err);
        } else {
            ret = count_rows(reader, i, counts, err);
        }
    }
    return ret;
}

/* ---- extracting ---- */

static int give(const struct qt_buf *buf, size_t from, size_t size, void **data, size_t *out,
                struct qtrace_error *err)
{
    *data = malloc(size + 1);
    if (*data == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    if (size > 0) {
        memcpy(*data, buf->data + from, size);
    }
    *out = size;
    return QTRACE_OK;
}

static const char *envelope_name(unsigned type)
{
    static const char *const name[] = {"?", "FileHeader", "Run", "Frame", "End", "end mark"};

    return type < sizeof(name) / sizeof(name[0]) ? name[type] : "?";
}

static int extract_column(struct qtrace_reader *r, uint64_t offset, void **data, size_t *size,
                          const char **type, struct qtrace_error *err)
{
    const struct qt_frame *f;
    size_t i;
    unsigned k;
    int ret;

    for (i = 0; i < r->n_frames; i++) {
        f = &r->frame[i].frame;
        for (k = 0; k < f->info.n_columns; k++) {
            if (f->info.column[k].offset != offset) {
                continue;
            }
            *type = f->info.column[k].id == QTRACE_COLUMN_DEFINITIONS
                        ? "Definitions"
                        : qtrace_column_name(f->info.column[k].id);
            ret = qt_scan_column(r, f, k, err);
            return ret < 0 ? ret : give(&r->raw, 0, r->raw.len, data, size, err);
        }
    }
    return qtrace_error_set(err, QTRACE_E_INVALID, offset,
                            "neither a message nor a column is at offset %" PRIu64, offset);
}

int qtrace_reader_extract(struct qtrace_reader *reader, uint64_t offset, void **data,
                          size_t *size, const char **type, struct qtrace_error *err)
{
    struct qt_envelope e = {0};
    int ret = QTRACE_E_DAMAGED;

    *data = NULL;
    *size = 0;
    if (offset < reader->size) {
        ret = qt_scan_envelope(reader, offset, false, &e, err);
    }
    if (ret == QTRACE_E_IO || ret == QTRACE_E_NOMEM) {
        return ret;
    }
    if (ret < 0) {
        return extract_column(reader, offset, data, size, type, err);
    }
    *type = envelope_name(e.type);
    return give(&reader->window, QT_ENVELOPE_HEAD, e.body_size, data, size, err);
}
