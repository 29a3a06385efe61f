/*
 * writer.c - make a trace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "envelope.h"
#include "io.h"

#define INDEX_LEVEL 9 /* whatever that of the rows: it is small, and read first */
#define PRODUCER "libqtrace " QTRACE_VERSION

/* ---- writing ---- */

static int fail(struct qtrace_writer *w, struct qtrace_error *err, int code, const char *what)
{
    qtrace_error_set(&w->error, code, UINT64_MAX, "%s", what);
    if (err != NULL) {
        *err = w->error;
    }
    return code;
}

static int sticky(const struct qtrace_writer *w, struct qtrace_error *err)
{
    if (w->error.code != QTRACE_OK && err != NULL) {
        *err = w->error;
    }
    return w->error.code;
}

/* ---- room for the end ---- */

/* So many streams that come can be counted and told, however short memory is by then. */
#define SPARE_STREAMS 64

/* What the totals of a stream take in the end (a few numbers are large, most are small), and the
 * rest of the end, with a long reason. */
#define TOTALS_BYTES 96
#define END_BYTES 512

/* The facts of the run come a little later than the header. */
#define RUN_BYTES 4096

static uint64_t end_bytes(const struct qtrace_writer *w)
{
    return END_BYTES + (w->n_used + 1) * TOTALS_BYTES + (w->run.len > 0 ? 0 : RUN_BYTES);
}

static int reserve_memory(struct qtrace_writer *w, size_t streams)
{
    const size_t size = END_BYTES + streams * TOTALS_BYTES;

    w->body.len = w->out.len = 0;
    if (qt_grow((void **)&w->stream, &w->n_streams, streams, sizeof(*w->stream)) < 0 ||
        qt_grow((void **)&w->list, &w->cap_list, streams, sizeof(*w->list)) < 0 ||
        qt_buf_reserve(&w->body, size) < 0 || qt_buf_reserve(&w->out, size) < 0) {
        return QTRACE_E_NOMEM;
    }
    w->max_streams = streams;
    return QTRACE_OK;
}

/* The end may use what was reserved for it, and must take what it can get. */
static int reserve_disk(struct qtrace_writer *w, size_t size, struct qtrace_error *err)
{
    return qt_io_reserve(w->fd, w->size, size + end_bytes(w), err);
}

static int write_at(struct qtrace_writer *w, const void *data, size_t size, uint64_t offset,
                    bool end, struct qtrace_error *err)
{
    int ret = qt_io_pwrite(w->fd, data, size, offset, err);

    return ret < 0 && end ? qt_io_overwrite(w->fd, data, size, offset, err) : ret;
}

/* Envelope and what follows it, at the end of the file. Nothing counts until all is there. */
static int put(struct qtrace_writer *w, unsigned type, const struct qt_buf *body,
               const void *more, size_t more_size, struct qtrace_error *err)
{
    const struct qt_envelope envelope = {
        .nonce = w->nonce,
        .seq = w->seq,
        .type = (uint16_t)type,
        .flags = QT_ENVELOPE_MANDATORY,
    };
    const bool end = type == QT_ENVELOPE_END || type == QT_ENVELOPE_END_MARK;
    struct qtrace_error error;
    int ret;

    w->out.len = 0;
    ret = qt_envelope_put(&w->out, &envelope, body->data, body->len);
    if (ret < 0) {
        return fail(w, err, ret, "a message cannot be made");
    }
    ret = end ? QTRACE_OK : reserve_disk(w, w->out.len + more_size, &error);
    if (ret == QTRACE_OK) {
        ret = write_at(w, w->out.data, w->out.len, w->size, end, &error);
    }
    if (ret == QTRACE_OK) {
        ret = write_at(w, more, more_size, w->size + w->out.len, end, &error);
    }
    if (ret < 0) {
        return fail(w, err, ret, error.message);
    }
    if (!w->ending && type != QT_ENVELOPE_FILE_HEADER) {
        qt_tail_push(&w->tail, w->size, w->seq);
    }
    w->size += w->out.len + more_size;
    w->seq++;
    return QTRACE_OK;
}

static int put_frame_alone(struct qtrace_writer *w, const struct qt_frame *frame,
                           const void *stored, size_t size, struct qtrace_error *err)
{
    if (qt_frame_pack(frame, false, &w->body) < 0) {
        return fail(w, err, QTRACE_E_NOMEM, "out of memory");
    }
    return put(w, QT_ENVELOPE_FRAME, &w->body, stored, size, err);
}

/* Can the trace do without an index? Better than without events. */
void qt_writer_note(struct qtrace_writer *w, const struct qt_frame *frame, uint64_t offset,
                    uint64_t size, const struct qt_buf *summary)
{
    if (frame->info.of_stream && frame->info.last_time > w->last_time) {
        w->last_time = frame->info.last_time;
    }
    if (!w->unindexed &&
        qt_index_add(&w->index, frame, offset, size, summary, &w->lengths) < 0) {
        w->unindexed = true;
    }
}

static int encode_index(struct qtrace_writer *w, struct qt_frame *frame)
{
    struct qt_buf *summary = &w->coder.summary;
    uint64_t rows = 0;
    int ret = qt_index_end(&w->index);

    w->coder.stored.len = summary->len = 0;
    if (ret == QTRACE_OK) {
        ret = qt_frame_add_column(&w->coder, INDEX_LEVEL, frame, QTRACE_COLUMN_INDEX,
                                  w->index.n, w->index.message.data, w->index.message.len);
    }
    if (ret == QTRACE_OK && w->index.counts.n > 0) {
        ret = qt_counts_pack(&w->index.counts, summary, &rows);
    }
    if (ret == QTRACE_OK && rows > 0 && summary->len <= QT_SUMMARY_MAX) {
        ret = qt_frame_add_column(&w->coder, w->level, frame, QTRACE_COLUMN_SUMMARY, rows,
                                  summary->data, summary->len);
    }
    return ret;
}

/* A segment of the index, of all frames since the one before. */
static int put_index(struct qtrace_writer *w, struct qtrace_error *err)
{
    struct qt_frame frame = {.info.index = true};
    uint64_t offset = w->size;
    int ret;

    if (w->index.n == 0) {
        return QTRACE_OK; /* there are no frames at all */
    }
    if (w->unindexed || encode_index(w, &frame) < 0) {
        w->unindexed = true;
        return QTRACE_OK;
    }
    ret = put_frame_alone(w, &frame, w->coder.stored.data, w->coder.stored.len, err);
    if (ret == QTRACE_OK) {
        qt_index_next(&w->index, offset);
        qt_writer_note(w, &frame, offset, w->size - offset, &w->coder.summary);
    }
    return ret;
}

static int put_frame(struct qtrace_writer *w, const struct qt_frame *frame, const void *stored,
                     size_t size, struct qtrace_error *err)
{
    uint64_t offset = w->size;
    int ret = put_frame_alone(w, frame, stored, size, err);

    if (ret < 0) {
        return ret;
    }
    if (!w->ending) {
        qt_tail_last(&w->tail)->translations = frame->info.translations;
    }
    qt_writer_note(w, frame, offset, w->size - offset, &w->coder.summary);
    return QTRACE_OK;
}

/* (If that fails, it is no matter of the frame before, which has been written.) */
static void put_index_if_full(struct qtrace_writer *w)
{
    if (qt_index_full(&w->index)) {
        put_index(w, NULL);
    }
}

/* ---- opening ---- */

/* What was made and could not be begun. */
static void uncreate(const char *path, bool overwrite)
{
    if (!overwrite) { /* else it may have been there before */
        unlink(path);
    }
}

/* Ours alone, and empty. The lock lasts as long as the file is open: it tells others that the trace
 * is being recorded. (Where files cannot be locked it tells nothing.) */
static int claim(int fd, struct qtrace_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot create");
    }
    if (!S_ISREG(st.st_mode)) {
        return qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX, "is not a regular file");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        return qtrace_error_set(err, QTRACE_E_EXISTS, UINT64_MAX, "is being recorded");
    }
    if (st.st_size > 0 && ftruncate(fd, 0) < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot empty");
    }
    return QTRACE_OK;
}

static int create(const char *path, bool overwrite, int *fd, struct qtrace_error *err)
{
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | (overwrite ? 0 : O_EXCL);
    int ret;

    *fd = open(path, flags, 0666);
    if (*fd < 0 && errno == EEXIST) {
        return qtrace_error_set(err, QTRACE_E_EXISTS, UINT64_MAX, "exists; use overwrite=on");
    }
    if (*fd < 0) {
        return qt_io_error(err, errno, UINT64_MAX, "cannot create");
    }
    ret = claim(*fd, err);
    if (ret < 0) {
        uncreate(path, overwrite);
        close(*fd);
        *fd = -1;
    }
    return ret;
}

/* Nobody must be able to guess it; time and process are better than giving up. */
static uint64_t random_nonce(void)
{
    struct timespec now;
    uint64_t nonce;

    if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) == (ssize_t)sizeof(nonce)) {
        return nonce;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    nonce = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 44;
    return nonce * 0x9e3779b97f4a7c15u;
}

static int put_header(struct qtrace_writer *w, const char *producer, struct qtrace_error *err)
{
    Qtrace__FileHeader message = QTRACE__FILE_HEADER__INIT;

    message.producer = (char *)(producer == NULL ? PRODUCER : producer);
    if (qt_buf_reserve(&w->header, qtrace__file_header__get_packed_size(&message)) < 0) {
        return fail(w, err, QTRACE_E_NOMEM, "out of memory");
    }
    w->header.len = qtrace__file_header__pack(&message, w->header.data);
    return put(w, QT_ENVELOPE_FILE_HEADER, &w->header, NULL, 0, err);
}

static int begin(struct qtrace_writer *w, const char *producer, struct qtrace_error *err)
{
    if (reserve_memory(w, SPARE_STREAMS) < 0) {
        return fail(w, err, QTRACE_E_NOMEM, "out of memory");
    }
    return put_header(w, producer, err);
}

void qt_writer_discard(struct qtrace_writer *w)
{
    size_t i;

    for (i = 0; i < w->n_kept; i++) {
        free(w->kept[i].stored);
    }
    free(w->kept);
    free(w->stream);
    free(w->list);
    qt_buf_finish(&w->header);
    qt_buf_finish(&w->run);
    qt_buf_finish(&w->body);
    qt_buf_finish(&w->out);
    qt_frame_coder_finish(&w->coder);
    qt_encoder_finish(&w->encoder);
    qt_lengths_finish(&w->lengths);
    qt_definitions_finish(&w->definitions);
    qt_definitions_finish(&w->merged);
    qt_contents_finish(&w->contents);
    qt_index_finish(&w->index);
    if (w->fd >= 0) {
        close(w->fd);
    }
    free(w);
}

int qtrace_writer_open(struct qtrace_writer **out, const char *path,
                       const struct qtrace_writer_options *options, struct qtrace_error *err)
{
    struct qtrace_writer *w;
    int ret;

    *out = NULL;
    if (options->level > QT_LEVEL_MAX) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX, "level must be 0 .. %d",
                                QT_LEVEL_MAX);
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    w->level = options->level;
    w->nonce = random_nonce();
    ret = create(path, options->overwrite, &w->fd, err);
    if (ret == QTRACE_OK) {
        ret = begin(w, options->producer, err);
    }
    if (ret < 0) {
        if (w->fd >= 0) {
            uncreate(path, options->overwrite);
        }
        qt_writer_discard(w);
        return ret;
    }
    *out = w;
    return QTRACE_OK;
}

/* ---- the run ---- */

static char *text(const char *s)
{
    return (char *)(s == NULL ? "" : s);
}

static Qtrace__Run run_message(const struct qtrace_run *run)
{
    Qtrace__Run m = QTRACE__RUN__INIT;

    m.target = text(run->target);
    m.system = run->system;
    m.smp_vcpus = run->smp_vcpus;
    m.max_vcpus = run->max_vcpus;
    m.api_min = run->api_min;
    m.api_cur = run->api_cur;
    m.api_used = run->api_used;
    m.qemu_version = text(run->qemu_version);
    m.qemu_path = text(run->qemu_path);
    m.guest_path = text(run->guest_path);
    m.has_code = run->has_code;
    m.start_code = run->start_code;
    m.end_code = run->end_code;
    m.entry_code = run->entry_code;
    m.command_line = (char **)run->command_line;
    m.n_command_line = run->n_command_line;
    m.option = (char **)run->option;
    m.n_option = run->n_option;
    m.host = text(run->host);
    m.start_time = run->start_time;
    m.pid = run->pid;
    m.mem = run->mem;
    m.disas = run->disas;
    m.values = run->values;
    m.phys = run->phys;
    m.one_thread = run->one_thread;
    m.parent_pid = run->parent_pid;
    m.parent_trace = text(run->parent_trace);
    return m;
}

int qt_writer_pack_run(const struct qtrace_run *run, struct qt_buf *message)
{
    const Qtrace__Run m = run_message(run);

    if (qt_buf_reserve(message, qtrace__run__get_packed_size(&m)) < 0) {
        return QTRACE_E_NOMEM;
    }
    message->len += qtrace__run__pack(&m, message->data + message->len);
    return QTRACE_OK;
}

int qt_writer_put_run(struct qtrace_writer *writer, const void *message, size_t size,
                      struct qtrace_error *err)
{
    if (sticky(writer, err) < 0) {
        return writer->error.code;
    }
    if (writer->run.len > 0 || writer->n_translations > 0) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "the run must be given once and before all definitions");
    }
    if (qt_buf_append(&writer->run, message, size) < 0) {
        return fail(writer, err, QTRACE_E_NOMEM, "out of memory");
    }
    return put(writer, QT_ENVELOPE_RUN, &writer->run, NULL, 0, err);
}

int qtrace_writer_run(struct qtrace_writer *writer, const struct qtrace_run *run,
                      struct qtrace_error *err)
{
    struct qt_buf message = {0};
    int ret = qt_writer_pack_run(run, &message);

    ret = ret < 0 ? fail(writer, err, ret, "out of memory")
                  : qt_writer_put_run(writer, message.data, message.len, err);
    qt_buf_finish(&message);
    return ret;
}

/* ---- definitions ---- */

static int keep(struct qtrace_writer *w, const struct qt_frame *frame, struct qtrace_error *err)
{
    struct qt_kept *kept;
    size_t size = w->coder.stored.len;
    uint8_t *stored = malloc(size);

    if (stored == NULL || qt_grow((void **)&w->kept, &w->cap_kept, w->n_kept + 1,
                                  sizeof(*w->kept)) < 0) {
        free(stored);
        return fail(w, err, QTRACE_E_NOMEM, "out of memory");
    }
    memcpy(stored, w->coder.stored.data, size);
    kept = &w->kept[w->n_kept++];
    *kept = (struct qt_kept){.frame = *frame, .stored = stored, .size = size};
    return QTRACE_OK;
}

/* The message as a frame, its column in coder.stored. */
static int encode_definitions(struct qtrace_writer *w, struct qt_definitions *d,
                              struct qt_frame *frame, struct qtrace_error *err)
{
    int ret = qt_definitions_end(d);

    *frame = (struct qt_frame){.info = {.definitions = true, .first_translation = d->first,
                                        .translations = d->n}};
    w->coder.stored.len = 0;
    if (ret == QTRACE_OK) {
        ret = qt_frame_add_column(&w->coder, w->level, frame, QTRACE_COLUMN_DEFINITIONS, d->n,
                                  d->message.data, d->message.len);
    }
    return ret < 0 ? fail(w, err, ret, "definitions cannot be compressed") : QTRACE_OK;
}

static int flush_definitions(struct qtrace_writer *w, struct qtrace_error *err)
{
    struct qt_frame frame;
    int ret;

    if (w->definitions.n == 0) {
        return QTRACE_OK;
    }
    ret = encode_definitions(w, &w->definitions, &frame, err);
    if (ret == QTRACE_OK) {
        ret = put_frame(w, &frame, w->coder.stored.data, w->coder.stored.len, err);
    }
    if (ret == QTRACE_OK) {
        w->n_written += w->definitions.n;
        w->definitions.n = 0;
        put_index_if_full(w);
    }
    return ret;
}

int qt_writer_flush(struct qtrace_writer *writer, struct qtrace_error *err)
{
    const int ret = sticky(writer, err);

    return ret < 0 ? ret : flush_definitions(writer, err);
}

static int flush_merged(struct qtrace_writer *w, struct qtrace_error *err)
{
    struct qt_frame frame;
    int ret;

    if (w->merged.n == 0) {
        return QTRACE_OK;
    }
    ret = encode_definitions(w, &w->merged, &frame, err);
    frame.info.copy = true;
    w->merged.n = 0;
    return ret == QTRACE_OK ? keep(w, &frame, err) : ret;
}

static int add_definition(struct qtrace_writer *w, struct qt_definitions *d,
                          int (*flush)(struct qtrace_writer *, struct qtrace_error *),
                          const struct qtrace_translation *t, uint32_t same,
                          struct qtrace_error *err)
{
    int ret = QTRACE_OK;

    if (d->n > 0 && qt_definitions_full(d)) {
        ret = flush(w, err);
    }
    if (ret == QTRACE_OK && d->n == 0) {
        ret = qt_definitions_begin(d, t->id);
    }
    return ret == QTRACE_OK ? qt_definitions_add(d, t, same) : ret;
}

/* For the copy in the trailer. */
static int merge(struct qtrace_writer *w, const struct qtrace_translation *t, uint32_t same,
                 struct qtrace_error *err)
{
    int ret = add_definition(w, &w->merged, flush_merged, t, same, err);

    return ret == QTRACE_OK ? qt_lengths_set(&w->lengths, t->id, (uint16_t)t->n_insns) : ret;
}

int qt_writer_merge(struct qtrace_writer *w, const struct qtrace_translation *translation)
{
    uint32_t first;
    int ret = QTRACE_OK;

    if (w->merged.first + w->merged.n != translation->id) {
        ret = flush_merged(w, NULL);
    }
    if (ret == QTRACE_OK) {
        ret = qt_contents_first(&w->contents, translation, &first);
    }
    if (ret == QTRACE_OK) {
        ret = merge(w, translation, translation->id - first, NULL);
    }
    return ret < 0 && w->error.code == QTRACE_OK ? fail(w, NULL, ret, "out of memory") : ret;
}

int qt_writer_adopt(struct qtrace_writer *writer, struct qtrace_writer *from,
                    struct qtrace_error *err)
{
    size_t i;
    int ret = from->error.code == QTRACE_OK ? flush_merged(from, err) : sticky(from, err);

    if (ret < 0) {
        return ret;
    }
    writer->lengths = from->lengths;
    writer->contents = from->contents;
    writer->kept = from->kept;
    writer->n_kept = from->n_kept;
    writer->cap_kept = from->cap_kept;
    writer->n_translations = from->n_translations;
    from->lengths = (struct qt_lengths){0};
    from->contents = (struct qt_contents){0};
    from->kept = NULL;
    from->n_kept = 0;
    for (i = 0; ret == QTRACE_OK && i < writer->n_kept; i++) {
        struct qt_frame frame = writer->kept[i].frame;

        frame.info.copy = false;
        ret = put_frame(writer, &frame, writer->kept[i].stored, writer->kept[i].size, err);
    }
    writer->n_written = ret == QTRACE_OK ? writer->n_translations : 0;
    return ret;
}

int qtrace_writer_define(struct qtrace_writer *writer,
                         const struct qtrace_translation *translation,
                         struct qtrace_error *err)
{
    uint32_t first;
    int ret = sticky(writer, err);

    if (ret < 0) {
        return ret;
    }
    if (translation->id != writer->n_translations || translation->id == UINT32_MAX) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "translation %" PRIu32 " is not the next one",
                                translation->id);
    }
    if (!qt_definitions_accept(translation)) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "translation %" PRIu32 " is beyond the format's limits",
                                translation->id);
    }
    ret = qt_contents_first(&writer->contents, translation, &first);
    if (ret == QTRACE_OK) {
        ret = add_definition(writer, &writer->definitions, flush_definitions, translation,
                             translation->id - first, err);
    }
    if (ret == QTRACE_OK) {
        ret = merge(writer, translation, translation->id - first, err);
    }
    if (ret == QTRACE_E_NOMEM) {
        writer->merged.n = 0; /* it may end in the middle of a translation */
    }
    if (ret < 0) {
        return writer->error.code < 0 ? ret : fail(writer, err, ret, "out of memory");
    }
    writer->n_translations++;
    return QTRACE_OK;
}

/* ---- frames ---- */

const struct qt_lengths *qt_writer_lengths(const struct qtrace_writer *writer)
{
    return &writer->lengths;
}

static int find_stream(struct qtrace_writer *w, uint32_t stream, uint32_t vcpu,
                       Qtrace__StreamTotals **totals, struct qtrace_error *err)
{
    struct qt_writer_stream *s;

    if (stream >= QT_MAX_STREAMS) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "stream %" PRIu32 " is beyond the format's limits", stream);
    }
    if (stream + SPARE_STREAMS > w->max_streams &&
        reserve_memory(w, stream + 2 * SPARE_STREAMS) < 0 && stream >= w->max_streams) {
        return fail(w, err, QTRACE_E_NOMEM, "out of memory");
    }
    s = &w->stream[stream];
    if (!s->used) {
        qtrace__stream_totals__init(&s->totals);
        s->used = true;
        w->n_used++;
        s->totals.stream = stream;
        s->totals.vcpu = vcpu;
    }
    *totals = &s->totals;
    return QTRACE_OK;
}

static void add_lost(Qtrace__StreamTotals *t, const struct qt_loss *lost)
{
    t->lost_blocks += lost->blocks;
    t->lost_insns += lost->insns;
    t->lost_accesses += lost->accesses;
    t->lost_events += lost->events;
}

Qtrace__StreamTotals *qt_writer_totals(struct qtrace_writer *writer, uint32_t stream,
                                       uint32_t vcpu)
{
    Qtrace__StreamTotals *totals = NULL;

    return find_stream(writer, stream, vcpu, &totals, NULL) == QTRACE_OK ? totals : NULL;
}

/* What cannot be written is lost, and the end will say so. */
static void add_unwritten(Qtrace__StreamTotals *t, const struct qt_loss *lost)
{
    add_lost(t, lost);
    t->unwritten_blocks += lost->blocks;
    t->unwritten_insns += lost->insns;
    t->unwritten_accesses += lost->accesses;
    t->unwritten_events += lost->events;
}

void qt_writer_lose(struct qtrace_writer *writer, uint32_t stream, uint32_t vcpu,
                    const struct qt_loss *lost)
{
    Qtrace__StreamTotals *totals;

    if (find_stream(writer, stream, vcpu, &totals, NULL) == QTRACE_OK) {
        add_unwritten(totals, lost);
    }
}

void qt_writer_sum(const struct qtrace_writer *writer, struct qt_loss *written,
                   struct qt_loss *lost)
{
    *written = *lost = (struct qt_loss){0};
    for (size_t i = 0; i < writer->n_streams; i++) {
        const Qtrace__StreamTotals *t = &writer->stream[i].totals;

        if (writer->stream[i].used) {
            qt_loss_add(written, &(struct qt_loss){t->blocks, t->insns, t->accesses, t->events});
            qt_loss_add(lost, &(struct qt_loss){t->lost_blocks, t->lost_insns, t->lost_accesses,
                                                t->lost_events});
        }
    }
}

static bool continues(const struct qtrace_frame_info *head, const Qtrace__StreamTotals *t)
{
    return head->first_block == t->blocks + t->lost_blocks &&
           head->first_insn == t->insns + t->lost_insns &&
           head->first_access == t->accesses + t->lost_accesses &&
           head->first_event == t->events + t->lost_events;
}

static int write_frame(struct qtrace_writer *w, const struct qt_encoder *encoder,
                       struct qt_frame *frame, struct qtrace_error *err)
{
    struct qtrace_error error;
    int ret = sticky(w, err);

    if (ret == QTRACE_OK) {
        ret = flush_definitions(w, err);
    }
    if (ret == QTRACE_OK) {
        ret = qt_frame_encode(&w->coder, w->level, encoder, frame, &error);
        if (ret < 0) {
            return fail(w, err, ret, error.message);
        }
    }
    if (ret == QTRACE_OK) {
        ret = put_frame(w, frame, w->coder.stored.data, w->coder.stored.len, err);
    }
    return ret;
}

static void remember_rows(struct qtrace_writer *w, const struct qt_encoder *encoder,
                          uint32_t stream, const struct qt_loss *rows)
{
    struct qt_piece *piece = qt_tail_last(&w->tail);

    piece->stream = stream;
    piece->rows = *rows;
    piece->own_events = encoder->n_own_events;
    piece->lost = encoder->lost;
}

int qt_writer_frame(struct qtrace_writer *writer, const struct qt_encoder *encoder,
                    const struct qtrace_frame_info *head, struct qtrace_error *err)
{
    struct qt_frame frame = {.info = *head};
    struct qt_loss rows = {encoder->rows.n_blocks, encoder->rows.n_insns,
                           encoder->rows.n_accesses,
                           encoder->n_events - encoder->n_own_events};
    Qtrace__StreamTotals *totals = NULL, after;
    int ret = find_stream(writer, head->stream, head->vcpu, &totals, err);

    if (ret < 0) {
        return ret;
    }
    after = *totals;
    add_lost(&after, &encoder->lost);
    if (!qt_writer_failed(writer) && !continues(head, &after)) {
        return qtrace_error_set(err, QTRACE_E_INVALID, UINT64_MAX,
                                "stream %" PRIu32 ": a batch does not continue it",
                                head->stream);
    }
    ret = write_frame(writer, encoder, &frame, err);
    if (ret == QTRACE_OK) {
        after.blocks += rows.blocks;
        after.insns += rows.insns;
        after.accesses += rows.accesses;
        after.events += encoder->n_events;
        *totals = after;
        remember_rows(writer, encoder, head->stream, &rows);
        put_index_if_full(writer);
    } else if (writer->error.code != QTRACE_OK) {
        add_unwritten(totals, &encoder->lost);
        add_unwritten(totals, &rows);
    }
    return ret;
}

/* It cannot be encoded: there was no memory, or translations that came after an error are not
 * known. */
static void lose_batch(struct qtrace_writer *w, const struct qtrace_batch *b)
{
    const struct qtrace_event *e = b->event;
    struct qt_loss lost = {b->n_blocks, b->n_insns, b->n_accesses, 0};
    Qtrace__StreamTotals *totals = NULL;

    for (uint32_t i = 0; i < b->n_events; i++) {
        lost.events += !qt_is_own_event(e[i].kind);
    }
    if (b->n_events > 0 && e->kind == QTRACE_EVENT_LOST) {
        qt_loss_add(&lost, &(struct qt_loss){e->arg[0], e->arg[1], e->arg[2], e->arg[3]});
    }
    if (find_stream(w, b->stream, b->vcpu, &totals, NULL) == QTRACE_OK) {
        add_unwritten(totals, &lost);
    }
}

int qtrace_writer_batch(struct qtrace_writer *writer, const struct qtrace_batch *batch,
                        struct qtrace_error *err)
{
    const struct qtrace_frame_info head = {
        .stream = batch->stream,
        .vcpu = batch->vcpu,
        .first_block = batch->first_block,
        .first_insn = batch->first_insn,
        .first_access = batch->first_access,
        .first_event = batch->first_event,
    };
    const char *why;
    int ret = sticky(writer, err);

    if (ret < 0) {
        lose_batch(writer, batch);
        return ret;
    }
    ret = qt_encoder_batch(&writer->encoder, batch, &writer->lengths, &why);
    if (ret == QTRACE_E_NOMEM) {
        lose_batch(writer, batch);
        return fail(writer, err, ret, "out of memory");
    }
    if (ret < 0) {
        return qtrace_error_set(err, ret, UINT64_MAX, "%s", why);
    }
    return qt_writer_frame(writer, &writer->encoder, &head, err);
}

/* ---- the trailer ---- */

/* Whatever of the definitions could not be written before is written here. */
static int put_copies(struct qtrace_writer *w, bool no_memory)
{
    size_t i;
    int ret = flush_merged(w, NULL);

    for (i = 0; ret == QTRACE_OK && i < w->n_kept; i++) {
        ret = qt_index_full(&w->index) ? put_index(w, NULL) : QTRACE_OK;
        if (ret == QTRACE_OK) {
            ret = put_frame(w, &w->kept[i].frame, w->kept[i].stored, w->kept[i].size, NULL);
        }
    }
    if (ret == QTRACE_OK && w->run.len > 0) {
        w->run_at = w->size;
        ret = put(w, QT_ENVELOPE_RUN, &w->run, NULL, 0, NULL);
    }
    if (ret == QTRACE_OK) {
        ret = put(w, QT_ENVELOPE_FILE_HEADER, &w->header, NULL, 0, NULL);
    }
    if (ret == QTRACE_OK) {
        ret = put_index(w, NULL);
        w->index_at = w->unindexed ? 0 : w->index.previous;
    }
    if (ret == QTRACE_OK && !no_memory) {
        w->n_written = w->n_translations;
    }
    return ret;
}

static int pack_end(struct qtrace_writer *w, const char *reason, uint64_t time)
{
    Qtrace__End m = QTRACE__END__INIT;
    size_t i;
    int ret;

    m.reason = text(reason);
    m.time = time;
    m.translations = w->n_written;
    m.index = w->index_at;
    m.frames = m.index == 0 ? 0 : w->index.first;
    m.run = w->run_at;
    m.recovered = w->recovered;
    m.salvaged = w->salvaged;
    m.stream = w->list;
    for (i = 0; i < w->max_streams; i++) {
        if (w->stream[i].used) {
            w->list[m.n_stream++] = &w->stream[i].totals;
        }
    }
    w->body.len = 0;
    ret = qt_buf_reserve(&w->body, qtrace__end__get_packed_size(&m));
    if (ret == QTRACE_OK) {
        w->body.len = qtrace__end__pack(&m, w->body.data);
    }
    return ret;
}

static int put_end(struct qtrace_writer *w, const char *reason, uint64_t time)
{
    uint8_t numbers[16];
    const struct qt_buf mark = {numbers, sizeof(numbers), 0};
    uint64_t end = w->size;
    int ret;

    if (pack_end(w, reason, time) < 0) {
        return fail(w, NULL, QTRACE_E_NOMEM, "out of memory");
    }
    ret = put(w, QT_ENVELOPE_END, &w->body, NULL, 0, NULL);
    if (ret < 0) {
        return ret;
    }
    qt_put_le64(qt_put_le64(numbers, end), w->size + QT_END_MARK_SIZE);
    return put(w, QT_ENVELOPE_END_MARK, &mark, NULL, 0, NULL);
}

/* What this piece holds is lost, as the end takes its place; with sign -1: is not lost after all. */
static void count_given_up(struct qtrace_writer *w, const struct qt_piece *piece, uint64_t sign)
{
    w->n_written -= sign * piece->translations;
    if (piece->stream < w->max_streams && w->stream[piece->stream].used) {
        Qtrace__StreamTotals *t = &w->stream[piece->stream].totals;
        const struct qt_loss rows = {sign * piece->rows.blocks, sign * piece->rows.insns,
                                     sign * piece->rows.accesses, sign * piece->rows.events};

        t->blocks -= rows.blocks;
        t->insns -= rows.insns;
        t->accesses -= rows.accesses;
        t->events -= rows.events + sign * piece->own_events;
        add_unwritten(t, &rows);
        t->unwritten_blocks += sign * piece->lost.blocks; /* lost they were before */
        t->unwritten_insns += sign * piece->lost.insns;
        t->unwritten_accesses += sign * piece->lost.accesses;
        t->unwritten_events += sign * piece->lost.events;
    }
}

/* Make room for the end: what was written last is lost as well. False: there is nothing left that
 * could be given up. */
static bool give_up_last(struct qtrace_writer *w)
{
    const struct qt_piece *piece = qt_tail_last(&w->tail);

    if (piece == NULL) {
        return false;
    }
    w->size = piece->offset;
    w->seq = piece->seq;
    count_given_up(w, piece, 1);
    qt_tail_pop(&w->tail);
    return true;
}

/* Nothing that was to be written in the place of this piece has come there. */
static bool is_intact(const struct qtrace_writer *w, const struct qt_piece *piece)
{
    uint8_t head[QT_ENVELOPE_HEAD];
    struct qt_envelope envelope;

    return qt_io_pread(w->fd, head, sizeof(head), piece->offset, NULL) == QTRACE_OK &&
           qt_envelope_head(&envelope, head) && envelope.nonce == w->nonce &&
           envelope.seq == piece->seq && envelope.type != QT_ENVELOPE_END;
}

/* There is no end, so nothing that was given up for it need be missing: of n pieces there were, up to
 * size and seq. */
static void take_back(struct qtrace_writer *w, uint64_t n, uint64_t size, uint32_t seq)
{
    while (w->tail.n < n && is_intact(w, qt_tail_next(&w->tail))) {
        count_given_up(w, qt_tail_next(&w->tail), -1);
        qt_tail_unpop(&w->tail);
        w->size = w->tail.n < n ? qt_tail_next(&w->tail)->offset : size;
        w->seq = w->tail.n < n ? qt_tail_next(&w->tail)->seq : seq;
    }
}

/* The end alone, wherever there is room for it. */
static bool put_end_somewhere(struct qtrace_writer *w, const char *reason, uint64_t time)
{
    const uint64_t n = w->tail.n, size = w->size;
    const uint32_t seq = w->seq;

    while (put_end(w, reason, time) < 0) {
        if (!give_up_last(w)) {
            take_back(w, n, size, seq);
            return false;
        }
    }
    return true;
}

/* After an error the end is still worth trying: it is small and says what happened. */
static void put_trailer(struct qtrace_writer *w, const char *reason, uint64_t time)
{
    struct qtrace_error first = w->error;
    uint64_t begin;
    uint32_t seq;

    if (first.code == QTRACE_OK) {
        flush_definitions(w, NULL);
        first = w->error;
    }
    if (first.code != QTRACE_OK && (reason == NULL || strcmp(reason, "exit") == 0)) {
        reason = first.message;
    }
    begin = w->size;
    seq = w->seq;
    w->ending = true;
    if (put_copies(w, first.code == QTRACE_E_NOMEM) < 0 || put_end(w, reason, time) < 0) {
        if (first.code == QTRACE_OK) {
            first = w->error;
        }
        w->size = begin;
        w->seq = seq;
        w->index_at = w->run_at = 0;
        w->endless = !put_end_somewhere(w, first.message, time);
    }
    w->error = first;
}

int qt_writer_end(struct qtrace_writer *w, const char *reason, uint64_t time,
                  struct qtrace_error *err)
{
    struct qtrace_error error;
    struct stat st;

    put_trailer(w, reason, time);
    if (w->error.code == QTRACE_OK && !w->recovered && fstat(w->fd, &st) == 0 &&
        st.st_nlink == 0) {
        qtrace_error_set(&w->error, QTRACE_E_IO, UINT64_MAX,
                         "was removed while it was being written: nothing is left of it");
    }
    if (qt_io_cut(w->fd, w->size, &error) < 0 && w->error.code == QTRACE_OK) {
        w->error = error;
    }
    if (close(w->fd) < 0 && w->error.code == QTRACE_OK) {
        qt_io_error(&w->error, errno, UINT64_MAX, "cannot close");
    }
    w->fd = -1;
    return sticky(w, err);
}

int qtrace_writer_close(struct qtrace_writer **writer, const char *reason, uint64_t time,
                        struct qtrace_error *err)
{
    struct qtrace_writer *w = writer == NULL ? NULL : *writer;
    int ret;

    if (w == NULL) {
        return QTRACE_OK;
    }
    *writer = NULL;
    ret = qt_writer_end(w, reason, time, err);
    qt_writer_discard(w);
    return ret;
}

uint64_t qtrace_writer_size(const struct qtrace_writer *writer)
{
    return writer->size;
}
