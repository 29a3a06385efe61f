/*
 * frame.c - one batch as a message with a column directory and the columns behind it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "frame.h"

#include <inttypes.h>
#include <stdlib.h>

#include "trace.pb-c.h"

/* ---- the message ---- */

static uint32_t row_kind(unsigned id)
{
    static const uint8_t kind[] = {
        [QTRACE_COLUMN_BLOCK] = QT_ROWS_BLOCK,
        [QTRACE_COLUMN_STARTED] = QT_ROWS_BLOCK,
        [QTRACE_COLUMN_ACCESS_SHAPE] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_ACCESS_ADDRESS] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_ACCESS_LITERAL] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_EVENT] = QT_ROWS_EVENT,
        [QTRACE_COLUMN_SUMMARY] = QT_ROWS_COUNT,
        [QTRACE_COLUMN_VALUE] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_VALUE_LITERAL] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_PHYS] = QT_ROWS_ACCESS,
        [QTRACE_COLUMN_DEVICE] = QT_ROWS_DEVICE,
        [QTRACE_COLUMN_DEFINITIONS] = QT_ROWS_TRANSLATION,
        [QTRACE_COLUMN_INDEX] = QT_ROWS_FRAME,
    };

    return id < sizeof(kind) ? kind[id] : 0;
}

/* Columns without which the column cannot be decoded. */
static size_t column_needs(unsigned id, uint32_t **needs)
{
    static uint32_t list[] = {QTRACE_COLUMN_BLOCK, QTRACE_COLUMN_ACCESS_SHAPE,
                              QTRACE_COLUMN_ACCESS_ADDRESS, QTRACE_COLUMN_VALUE};
    static const uint8_t n[] = {
        [QTRACE_COLUMN_STARTED] = 1,
        [QTRACE_COLUMN_ACCESS_SHAPE] = 1,
        [QTRACE_COLUMN_ACCESS_ADDRESS] = 2,
        [QTRACE_COLUMN_ACCESS_LITERAL] = 3,
        [QTRACE_COLUMN_VALUE] = 3,
        [QTRACE_COLUMN_VALUE_LITERAL] = 4,
        [QTRACE_COLUMN_PHYS] = 3,
    };

    *needs = list;
    return id < sizeof(n) ? n[id] : 0;
}

static void pack_column(Qtrace__Column *to, const struct qt_frame *frame, unsigned i)
{
    const struct qtrace_column_info *from = &frame->info.column[i];

    qtrace__column__init(to);
    to->id = from->id;
    to->row_kind = row_kind(from->id);
    to->rows = from->rows;
    to->encoding = from->encoding;
    to->codec = from->codec;
    to->raw_size = from->raw_size;
    to->stored_size = from->stored_size;
    to->crc32c = frame->crc[i];
    to->mandatory = frame->mandatory >> i & 1;
    to->n_needs = column_needs(from->id, &to->needs);
}

/* The fields that message and info have in common, as one list for both directions. */
#define FRAME_FIELDS(X)                                                                   \
    X(stream) X(vcpu) X(first_block) X(first_insn) X(first_access) X(first_event)         \
    X(blocks) X(insns) X(accesses) X(events) X(first_seq) X(last_seq) X(first_time)       \
    X(last_time) X(first_translation) X(translations) X(copy) X(syscalls)                 \
    X(lost_blocks) X(lost_insns) X(lost_accesses) X(lost_events)

int qt_frame_pack(const struct qt_frame *frame, bool for_index, struct qt_buf *out)
{
    Qtrace__Column column[QTRACE_FRAME_COLUMNS], *list[QTRACE_FRAME_COLUMNS];
    Qtrace__Frame message = QTRACE__FRAME__INIT;
    unsigned i;
    int ret;

#define PACK(name) message.name = frame->info.name;
    FRAME_FIELDS(PACK)
#undef PACK
    for (i = 0; i < frame->info.n_columns; i++) {
        pack_column(&column[i], frame, i);
        if (for_index) {
            column[i].crc32c = 0;
            column[i].n_needs = 0;
        }
        list[i] = &column[i];
    }
    message.table_bits = frame->bits;
    message.n_column = frame->info.n_columns;
    message.column = list;
    out->len = 0;
    ret = qt_buf_reserve(out, qtrace__frame__get_packed_size(&message));
    if (ret == QTRACE_OK) {
        out->len = qtrace__frame__pack(&message, out->data);
    }
    return ret;
}

static int damaged(struct qtrace_error *err, const char *what)
{
    return qtrace_error_set(err, QTRACE_E_DAMAGED, UINT64_MAX, "%s", what);
}

static int unpack_column(struct qt_frame *frame, unsigned i, const Qtrace__Column *from,
                         struct qtrace_error *err)
{
    struct qtrace_column_info *to = &frame->info.column[i];
    unsigned k;

    to->id = from->id;
    to->encoding = from->encoding;
    to->codec = from->codec;
    to->rows = from->rows;
    to->raw_size = from->raw_size;
    to->stored_size = from->stored_size;
    frame->crc[i] = from->crc32c;
    frame->mandatory |= (uint16_t)((from->mandatory ? 1u : 0u) << i);
    if (to->raw_size > QT_COLUMN_RAW_MAX || to->stored_size > 2ull * QT_COLUMN_RAW_MAX) {
        return qtrace_error_set(err, QTRACE_E_DAMAGED, UINT64_MAX, "column %s is too big",
                                qtrace_column_name(to->id));
    }
    if (to->raw_size == 0 || to->rows == 0 || to->raw_size > 255 * to->stored_size + 64) {
        return qtrace_error_set(err, QTRACE_E_DAMAGED, UINT64_MAX,
                                "column %s has an impossible size",
                                qtrace_column_name(to->id));
    }
    for (k = 0; k < i; k++) {
        if (frame->info.column[k].id == to->id) {
            return qtrace_error_set(err, QTRACE_E_DAMAGED, UINT64_MAX,
                                    "column %s is there twice", qtrace_column_name(to->id));
        }
    }
    return QTRACE_OK;
}

/* First ordinals stay far from where adding counts to them would wrap around. */
static bool too_far(uint64_t ordinal)
{
    return ordinal > UINT64_MAX / 2;
}

static int check_counts(const struct qtrace_frame_info *f, struct qtrace_error *err)
{
    if (f->blocks > QT_MAX_ROWS || f->accesses > QT_MAX_ROWS - f->blocks ||
        f->events > QT_MAX_EVENTS ||
        f->insns > f->blocks * QTRACE_MAX_BLOCK_INSNS || f->syscalls > f->events) {
        return damaged(err, "a frame has impossible counts");
    }
    if (too_far(f->first_block) || too_far(f->first_insn) || too_far(f->first_access) ||
        too_far(f->first_event)) {
        return damaged(err, "a frame has impossible ordinals");
    }
    if (f->lost_blocks > f->first_block || f->lost_insns > f->first_insn ||
        f->lost_accesses > f->first_access || f->lost_events > f->first_event) {
        return damaged(err, "a frame has lost more than there was");
    }
    if (f->definitions && (f->translations == 0 || f->first_translation > UINT32_MAX ||
                           f->translations > UINT32_MAX - f->first_translation)) {
        return damaged(err, "a definition frame has impossible ids");
    }
    if ((f->definitions && f->n_columns != 1) ||
        (!f->of_stream && (f->blocks > 0 || f->accesses > 0 || f->events > 0))) {
        return damaged(err, "a frame without events has rows of them");
    }
    return QTRACE_OK;
}

static int unpack(struct qt_frame *frame, const Qtrace__Frame *message,
                  struct qtrace_error *err)
{
    unsigned i;
    int ret = QTRACE_OK;

    if (message->n_column > QTRACE_FRAME_COLUMNS) {
        return qtrace_error_set(err, QTRACE_E_REFUSED, UINT64_MAX,
                                "a frame has %zu columns, more than this reader knows",
                                message->n_column);
    }
#define UNPACK(name) frame->info.name = message->name;
    FRAME_FIELDS(UNPACK)
#undef UNPACK
    frame->bits = message->table_bits;
    frame->info.n_columns = (unsigned)message->n_column;
    for (i = 0; ret == QTRACE_OK && i < message->n_column; i++) {
        ret = unpack_column(frame, i, message->column[i], err);
        frame->info.definitions |= message->column[i]->id == QTRACE_COLUMN_DEFINITIONS;
        frame->info.index |= message->column[i]->id == QTRACE_COLUMN_INDEX;
    }
    frame->info.of_stream = !frame->info.definitions && !frame->info.index;
    if (ret == QTRACE_OK) {
        ret = check_counts(&frame->info, err);
    }
    if (ret == QTRACE_OK && frame->info.of_stream &&
        (frame->bits < QT_BITS_MIN || frame->bits > QT_BITS_MAX)) {
        ret = damaged(err, "a frame has tables of an impossible size");
    }
    return ret;
}

int qt_frame_unpack(struct qt_frame *frame, const void *body, size_t size,
                    struct qtrace_error *err)
{
    Qtrace__Frame *message;
    int ret;

    *frame = (struct qt_frame){0};
    if (size > QT_FRAME_BODY_MAX) {
        return damaged(err, "a frame's message is too big");
    }
    message = qtrace__frame__unpack(NULL, size, body);
    if (message == NULL) {
        return damaged(err, "a frame's message is malformed");
    }
    ret = unpack(frame, message, err);
    qtrace__frame__free_unpacked(message, NULL);
    return ret;
}

/* ---- encoding ---- */

void qt_frame_coder_finish(struct qt_frame_coder *coder)
{
    unsigned i;

    qt_codec_finish(&coder->codec);
    qt_predictor_finish(&coder->predictor);
    qt_values_finish(&coder->values);
    qt_phys_finish(&coder->phys);
    qt_counts_finish(&coder->counts);
    qtrace_batch_free(&coder->spare);
    qt_buf_finish(&coder->summary);
    for (i = 0; i < QT_COLUMNS; i++) {
        qt_buf_finish(&coder->raw[i]);
    }
    qt_buf_finish(&coder->stored);
}

/* Can a reader do without it? */
static bool is_optional(unsigned id)
{
    return id == QTRACE_COLUMN_SUMMARY || id == QTRACE_COLUMN_INDEX || id == QTRACE_COLUMN_VALUE ||
           id == QTRACE_COLUMN_VALUE_LITERAL || id == QTRACE_COLUMN_PHYS ||
           id == QTRACE_COLUMN_DEVICE;
}

int qt_frame_add_column(struct qt_frame_coder *coder, unsigned level, struct qt_frame *frame,
                        unsigned id, uint64_t rows, const void *raw, size_t size)
{
    unsigned i = frame->info.n_columns;
    struct qtrace_column_info *column = &frame->info.column[i];
    size_t begin = coder->stored.len;
    int ret;

    if (size > QT_COLUMN_RAW_MAX) {
        return QTRACE_E_INVALID;
    }
    ret = qt_codec_encode(&coder->codec, level, raw, size, &coder->stored);
    if (ret < 0) {
        return ret;
    }
    *column = (struct qtrace_column_info){
        .id = id,
        .encoding = QT_ENCODING,
        .codec = level == 0 ? QT_CODEC_NONE : QT_CODEC_LZ4,
        .rows = rows,
        .raw_size = size,
        .stored_size = coder->stored.len - begin,
    };
    frame->crc[i] = qt_crc32c(0, coder->stored.data + begin, coder->stored.len - begin);
    if (!is_optional(id)) {
        frame->mandatory |= (uint16_t)(1u << i);
    }
    frame->info.n_columns++;
    return QTRACE_OK;
}

static void describe(struct qtrace_frame_info *f, const struct qt_encoder *e)
{
    f->blocks = e->rows.n_blocks;
    f->insns = e->rows.n_insns;
    f->accesses = e->rows.n_accesses;
    f->events = e->n_events;
    f->syscalls = e->n_syscalls;
    f->lost_blocks = e->lost.blocks;
    f->lost_insns = e->lost.insns;
    f->lost_accesses = e->lost.accesses;
    f->lost_events = e->lost.events;
    f->first_seq = e->first_seq;
    f->first_time = e->first_time;
    f->last_seq = e->last.seq;
    f->last_time = e->last.time;
}

static int add_summary(struct qt_frame_coder *coder, unsigned level,
                       const struct qt_encoder *encoder, struct qt_frame *frame)
{
    uint64_t rows = 0;
    int ret = qt_encoder_count(encoder, &coder->counts);

    coder->summary.len = 0;
    if (ret == QTRACE_OK) {
        ret = qt_counts_pack(&coder->counts, &coder->summary, &rows);
    }
    if (ret < 0) {
        return ret;
    }
    if (rows == 0) {
        coder->summary.len = 0;
        return QTRACE_OK;
    }
    return qt_frame_add_column(coder, level, frame, QTRACE_COLUMN_SUMMARY, rows,
                               coder->summary.data, coder->summary.len);
}

int qt_frame_encode(struct qt_frame_coder *coder, unsigned level,
                    const struct qt_encoder *encoder, struct qt_frame *frame,
                    struct qtrace_error *err)
{
    const struct qt_buf *raw;
    unsigned id;
    int ret;

    describe(&frame->info, encoder);
    frame->bits = encoder->predictor.bits;
    coder->stored.len = 0;
    for (id = 1; id < QT_COLUMNS; id++) {
        raw = &encoder->column[id];
        if (raw->len == 0) {
            continue;
        }
        ret = qt_frame_add_column(coder, level, frame, id, encoder->column_rows[id], raw->data,
                                  raw->len);
        if (ret < 0) {
            return qtrace_error_set(err, ret, UINT64_MAX, "column %s: %s",
                                    qtrace_column_name(id), qtrace_strerror(ret));
        }
    }
    ret = add_summary(coder, level, encoder, frame);
    return ret < 0 ? qtrace_error_set(err, ret, UINT64_MAX, "the summary: %s",
                                      qtrace_strerror(ret))
                   : QTRACE_OK;
}

/* ---- decoding ---- */

static uint64_t rows_wanted(const struct qtrace_frame_info *f, unsigned id, uint64_t rows)
{
    switch (id) {
    case QTRACE_COLUMN_BLOCK:
        return rows == 0 ? 0 : f->blocks; /* absent: all as predicted */
    case QTRACE_COLUMN_STARTED:
        return rows <= f->blocks ? rows : f->blocks;
    case QTRACE_COLUMN_ACCESS_LITERAL:
        return rows <= f->accesses ? rows : f->accesses;
    case QTRACE_COLUMN_EVENT:
        return f->events;
    case QTRACE_COLUMN_VALUE_LITERAL:
        return rows <= f->accesses * QT_VALUE_WORDS ? rows : f->accesses;
    case QTRACE_COLUMN_DEVICE:
        return rows <= QTRACE_MAX_DEVICES ? rows : 0;
    default:
        return rows == 0 ? 0 : f->accesses;
    }
}

static bool is_known(const struct qtrace_column_info *c)
{
    return c->id > 0 && c->id < QT_COLUMNS && c->id != QTRACE_COLUMN_SUMMARY &&
           c->encoding == QT_ENCODING && c->codec <= QT_CODEC_LZ4;
}

static int check_rows(const struct qt_frame *frame, const unsigned *index,
                      struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->info;
    uint64_t rows;
    unsigned id;

    for (id = 1; id < QT_COLUMNS; id++) {
        rows = index[id] == 0 ? 0 : f->column[index[id] - 1].rows;
        if (rows != rows_wanted(f, id, rows)) {
            return qtrace_error_set(err, QTRACE_E_DAMAGED, f->offset,
                                    "column %s has not the rows of its frame",
                                    qtrace_column_name(id));
        }
    }
    return QTRACE_OK;
}

/* Must a column be understood, whatever it says of itself? Without them rows would be others. */
static bool makes_rows(const struct qtrace_column_info *c)
{
    return c->id >= QTRACE_COLUMN_BLOCK && c->id <= QTRACE_COLUMN_EVENT;
}

/* Find the columns in the directory: index + 1 by id, 0 = absent. */
static int find_columns(const struct qt_frame *frame, unsigned *index, struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->info;
    const struct qtrace_column_info *c;
    bool values = true, phys = true;
    unsigned i;

    for (i = 0; i < f->n_columns; i++) {
        c = &f->column[i];
        if (is_known(c)) {
            index[c->id] = i + 1;
        } else if (frame->mandatory >> i & 1 || makes_rows(c)) {
            return qtrace_error_set(err, QTRACE_E_REFUSED, c->offset,
                                    "column %u (%s), encoding %u, codec %u is not known",
                                    c->id, qtrace_column_name(c->id), c->encoding, c->codec);
        }
        values = values && (is_known(c) || c->id != QTRACE_COLUMN_VALUE_LITERAL);
        phys = phys && (is_known(c) || c->id != QTRACE_COLUMN_DEVICE);
    }
    if (!values || index[QTRACE_COLUMN_VALUE] == 0) {
        /* one is nothing without the other */
        index[QTRACE_COLUMN_VALUE] = index[QTRACE_COLUMN_VALUE_LITERAL] = 0;
    }
    if (!phys || index[QTRACE_COLUMN_PHYS] == 0) {
        index[QTRACE_COLUMN_PHYS] = index[QTRACE_COLUMN_DEVICE] = 0;
    }
    return check_rows(frame, index, err);
}

uint32_t qt_frame_columns(const struct qt_frame *frame, unsigned select)
{
    static const uint8_t needed_for[QT_COLUMNS] = {
        [QTRACE_COLUMN_BLOCK] = QTRACE_SELECT_BLOCKS,
        [QTRACE_COLUMN_STARTED] = QTRACE_SELECT_BLOCKS,
        [QTRACE_COLUMN_ACCESS_SHAPE] = QTRACE_SELECT_ACCESSES,
        [QTRACE_COLUMN_ACCESS_ADDRESS] = QTRACE_SELECT_ADDRESSES,
        [QTRACE_COLUMN_ACCESS_LITERAL] = QTRACE_SELECT_ADDRESSES,
        [QTRACE_COLUMN_EVENT] = QTRACE_SELECT_EVENTS,
        [QTRACE_COLUMN_VALUE] = QTRACE_SELECT_VALUES,
        [QTRACE_COLUMN_VALUE_LITERAL] = QTRACE_SELECT_VALUES,
        [QTRACE_COLUMN_PHYS] = QTRACE_SELECT_PHYS,
        [QTRACE_COLUMN_DEVICE] = QTRACE_SELECT_PHYS,
    };
    uint32_t wanted = 0;
    unsigned i, id, need;

    for (i = 0; i < frame->info.n_columns; i++) {
        id = frame->info.column[i].id;
        need = id < QT_COLUMNS ? needed_for[id] : 0;
        if ((select & QTRACE_SELECT_ALL) == QTRACE_SELECT_ALL ||
            (need != 0 && (select & need) == need)) {
            wanted |= 1u << i;
        }
    }
    return wanted;
}

static int decompress(struct qt_frame_coder *coder, const struct qt_frame *frame,
                      const uint8_t *stored, const unsigned *index,
                      struct qt_column_bytes *bytes, struct qtrace_error *err)
{
    const uint32_t wanted = qt_frame_columns(frame, bytes->select);
    const struct qtrace_column_info *c;
    struct qt_buf *raw;
    unsigned i;
    int ret;

    for (i = 0; i < frame->info.n_columns; i++) {
        const uint8_t *from = stored;

        c = &frame->info.column[i];
        stored += wanted >> i & 1 ? c->stored_size : 0;
        if (!(wanted >> i & 1) || c->id >= QT_COLUMNS || index[c->id] != i + 1) {
            continue;
        }
        raw = &coder->raw[c->id];
        raw->len = 0;
        ret = qt_buf_reserve(raw, c->raw_size);
        if (ret == QTRACE_OK) {
            ret = qt_codec_decode(&coder->codec, c->codec, from, c->stored_size, raw->data,
                                  c->raw_size);
        }
        if (ret < 0) {
            return qtrace_error_set(err, ret, c->offset, "column %s: %s",
                                    qtrace_column_name(c->id), qtrace_strerror(ret));
        }
        bytes->data[c->id] = raw->data;
        bytes->size[c->id] = c->raw_size;
        bytes->rows[c->id] = c->rows;
    }
    return QTRACE_OK;
}

static struct qt_batch *new_batch(struct qtrace_batch **spare, const struct qtrace_frame_info *f,
                                  const struct qt_column_bytes *bytes)
{
    const unsigned select = bytes->select;
    const bool accesses = (select & QTRACE_SELECT_ACCESSES) == QTRACE_SELECT_ACCESSES;
    const struct qt_batch_size size = {
        .blocks = select & QTRACE_SELECT_BLOCKS ? (uint32_t)f->blocks : 0,
        .accesses = accesses ? (uint32_t)f->accesses : 0,
        .events = select & QTRACE_SELECT_EVENTS ? (uint32_t)f->events : 0,
        .values = bytes->size[QTRACE_COLUMN_VALUE] > 0,
        .phys = bytes->size[QTRACE_COLUMN_PHYS] > 0,
    };
    struct qt_batch *b = qt_batch_renew(spare, &size);

    if (b != NULL) {
        b->batch.n_blocks = (uint32_t)f->blocks;
        b->batch.n_accesses = (uint32_t)f->accesses;
        b->batch.n_events = (uint32_t)f->events;
        b->batch.stream = f->stream;
        b->batch.vcpu = f->vcpu;
        b->batch.first_block = f->first_block;
        b->batch.first_insn = f->first_insn;
        b->batch.first_access = f->first_access;
        b->batch.first_event = f->first_event;
        b->batch.first_seq = f->first_seq;
        b->batch.first_time = f->first_time;
    }
    return b;
}

/* Header and events must tell the same of a loss. */
static bool same_loss(const struct qtrace_frame_info *f, const struct qtrace_batch *b)
{
    const struct qtrace_event *e = b->event;

    if (b->n_events == 0 || e->kind != QTRACE_EVENT_LOST) {
        return (f->lost_blocks | f->lost_insns | f->lost_accesses | f->lost_events) == 0;
    }
    return e->arg[0] == f->lost_blocks && e->arg[1] == f->lost_insns &&
           e->arg[2] == f->lost_accesses && e->arg[3] == f->lost_events;
}

static int decode_rows(struct qt_frame_coder *coder, const struct qt_frame *frame,
                       const struct qt_column_bytes *bytes, const struct qt_lengths *lengths,
                       struct qtrace_batch **batch, struct qtrace_error *err)
{
    struct qt_batch *b;
    const char *why;
    int ret;

    b = new_batch(&coder->spare, &frame->info, bytes);
    *batch = b == NULL ? NULL : &b->batch;
    if (b == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    ret = qt_columns_decode(&coder->predictor, &coder->values, &coder->phys, b, bytes, lengths,
                            &why);
    if (ret == QTRACE_OK && bytes->select & QTRACE_SELECT_BLOCKS &&
        b->batch.n_insns != frame->info.insns) {
        ret = QTRACE_E_DAMAGED;
        why = "a frame has not the instructions that it announces";
    }
    if (ret == QTRACE_OK && bytes->select & QTRACE_SELECT_EVENTS &&
        !same_loss(&frame->info, &b->batch)) {
        ret = QTRACE_E_DAMAGED;
        why = "a frame has not the loss that it announces";
    }
    if (ret < 0) {
        qtrace_batch_free(batch);
        return qtrace_error_set(err, ret, frame->info.offset, "%s", why);
    }
    return QTRACE_OK;
}

int qt_frame_decode(struct qt_frame_coder *coder, const struct qt_frame *frame,
                    unsigned select, const uint8_t *stored, const struct qt_lengths *lengths,
                    struct qtrace_batch **batch, struct qtrace_error *err)
{
    unsigned index[QT_COLUMNS] = {0};
    struct qt_column_bytes bytes = {.bits = frame->bits, .select = select};
    int ret = find_columns(frame, index, err);

    *batch = NULL;
    if (ret == QTRACE_OK) {
        ret = decompress(coder, frame, stored, index, &bytes, err);
    }
    return ret == QTRACE_OK ? decode_rows(coder, frame, &bytes, lengths, batch, err) : ret;
}
