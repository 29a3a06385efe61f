/*
 * indexed.c - a trace through the index that it ends with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdlib.h>

#include "scan.h"

/* Repetitions of repetitions that are followed; writers make none. */
#define MAX_DEPTH 8

/* ---- opening ---- */

static int read_envelope(struct qtrace_reader *r, uint64_t offset, enum qt_envelope_type type,
                         bool any_nonce, struct qt_envelope *e, struct qtrace_error *err)
{
    int ret = offset < r->size ? qt_scan_envelope(r, offset, any_nonce, e, err)
                               : QTRACE_E_DAMAGED;

    return ret == QTRACE_OK && e->type != type ? QTRACE_E_DAMAGED : ret;
}

static int take_message(struct qtrace_reader *r, uint64_t offset, enum qt_envelope_type type,
                        bool any_nonce, struct qtrace_error *err)
{
    struct qt_envelope e = {0};
    int ret = read_envelope(r, offset, type, any_nonce, &e, err);

    if (ret == QTRACE_OK && any_nonce) {
        r->nonce = e.nonce;
    }
    return ret == QTRACE_OK ? qt_scan_message(r, &e, offset, err) : ret;
}

/* Read the frame at offset; what it says replaces *frame. */
static int read_frame(struct qtrace_reader *r, uint64_t offset, struct qt_frame *frame,
                      struct qtrace_error *err)
{
    struct qt_envelope e = {0};
    int ret = read_envelope(r, offset, QT_ENVELOPE_FRAME, false, &e, err);
    uint64_t next = offset + QT_ENVELOPE_HEAD + e.body_size;

    if (ret == QTRACE_OK) {
        ret = qt_frame_unpack(frame, r->window.data + QT_ENVELOPE_HEAD, e.body_size, err);
    }
    return ret == QTRACE_OK && !qt_scan_place(r, frame, offset, &next) ? QTRACE_E_DAMAGED : ret;
}

/* The end mark, End and what comes before the first frame. */
static int take_ends(struct qtrace_reader *r, struct qtrace_error *err)
{
    uint64_t mark = r->size - QT_END_MARK_SIZE;
    int ret = take_message(r, mark, QT_ENVELOPE_END_MARK, true, err);

    if (ret == QTRACE_OK) {
        ret = take_message(r, qt_get_le64(r->window.data + QT_ENVELOPE_HEAD), QT_ENVELOPE_END,
                           false, err);
    }
    if (ret == QTRACE_OK) {
        ret = take_message(r, 0, QT_ENVELOPE_FILE_HEADER, false, err);
    }
    if (ret == QTRACE_OK && r->end->run != 0) {
        ret = take_message(r, r->end->run, QT_ENVELOPE_RUN, false, err);
    }
    return ret == QTRACE_OK && r->end->index == 0 ? QTRACE_E_DAMAGED : ret;
}

/* A segment, kept until those before it are read. */
struct link {
    struct qt_frame frame;
    struct qt_buf message;
};

struct chain {
    struct link *link; /* the last segment first */
    size_t n, cap;
};

static void finish_chain(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        qt_buf_finish(&c->link[i].message);
    }
    free(c->link);
}

static int find_segments(struct qtrace_reader *r, struct chain *c, struct qtrace_error *err)
{
    uint64_t offset = r->end->index, frames = r->end->frames;
    int ret = QTRACE_OK;

    while (ret == QTRACE_OK && offset != 0) {
        if (qt_grow((void **)&c->link, &c->cap, c->n + 1, sizeof(*c->link)) < 0) {
            return QTRACE_E_NOMEM;
        }
        ret = read_frame(r, offset, &c->link[c->n++].frame, err);
        if (ret == QTRACE_OK) {
            ret = qt_scan_segment(r, &c->link[c->n - 1].frame, err);
        }
        if (ret == QTRACE_OK) {
            ret = qt_buf_append(&c->link[c->n - 1].message, r->raw.data, r->raw.len);
        }
        if (ret == QTRACE_OK && (r->segment->first + r->segment->n != frames ||
                                 r->segment->n == 0 || r->segment->previous >= offset)) {
            ret = QTRACE_E_DAMAGED;
        }
        offset = ret == QTRACE_OK ? r->segment->previous : 0;
        frames = ret == QTRACE_OK ? r->segment->first : 0;
    }
    return ret == QTRACE_OK && frames != 0 ? QTRACE_E_DAMAGED : ret;
}

/* Frames can be read when the lengths of blocks are known; definitions can wait. */
static int take_lengths(struct qtrace_reader *r, const struct qtrace_frame_info *f)
{
    uint64_t i, n = qt_index_n_lengths(f);
    int ret = QTRACE_OK;

    for (i = 0; ret == QTRACE_OK && i < n; i++) {
        uint32_t length = qt_index_length(r->segment);

        ret = length == 0 ? QTRACE_E_DAMAGED
                          : qt_lengths_set(&r->dictionary.lengths,
                                           (uint32_t)(f->first_translation + i),
                                           (uint16_t)length);
    }
    return ret;
}

static int take_segment(struct qtrace_reader *r, const struct link *link,
                        struct qtrace_error *err)
{
    int ret = qt_index_unpack(r->segment, link->message.data, link->message.len,
                              link->frame.info.offset);

    for (uint32_t i = 0; ret == QTRACE_OK && i < r->segment->n; i++) {
        const struct qtrace_frame_info *f = &r->segment->frame[i].info;

        if (f->of_stream && f->stream >= QT_MAX_STREAMS) {
            return QTRACE_E_DAMAGED;
        }
        ret = take_lengths(r, f);
        if (ret == QTRACE_OK) {
            ret = qt_scan_frame(r, &r->segment->frame[i], err);
        }
        if (ret == QTRACE_OK) {
            r->frame[r->n_frames - 1].indexed = true;
        }
    }
    return ret;
}

static int open_indexed(struct qtrace_reader *r, struct chain *c, struct qtrace_error *err)
{
    int ret = take_ends(r, err);

    r->indexed = true;
    r->trouble = UINT64_MAX;
    if (ret == QTRACE_OK) {
        ret = find_segments(r, c, err);
    }
    for (size_t i = c->n; ret == QTRACE_OK && i > 0; i--) {
        ret = take_segment(r, &c->link[i - 1], err);
    }
    /* the last segment is in none; the others came with their successors */
    if (ret == QTRACE_OK) {
        ret = qt_scan_frame(r, &c->link[0].frame, err);
    }
    if (ret == QTRACE_OK) {
        ret = qt_scan_join(r, err);
    }
    if (ret == QTRACE_OK && qt_scan_finish(r) < 0) {
        ret = QTRACE_E_NOMEM;
    }
    return ret == QTRACE_OK && r->damaged ? QTRACE_E_DAMAGED : ret;
}

int qt_open_indexed(struct qtrace_reader *reader, struct qtrace_error *err)
{
    struct chain chain = {0};
    int ret = reader->size < QT_END_MARK_SIZE ? QTRACE_E_DAMAGED
                                              : open_indexed(reader, &chain, err);

    finish_chain(&chain);
    return ret == QTRACE_E_DAMAGED || ret == QTRACE_E_TRUNCATED ? QTRACE_END : ret;
}

/* ---- frames ---- */

int qt_indexed_frame(struct qtrace_reader *reader, struct qt_reader_frame *frame,
                     struct qtrace_error *err)
{
    struct qt_frame now;
    int ret;

    if (!frame->indexed) {
        return QTRACE_OK;
    }
    ret = read_frame(reader, frame->frame.info.offset, &now, err);
    if (ret == QTRACE_OK && !qt_scan_same(reader, &frame->frame, &now)) {
        ret = QTRACE_E_DAMAGED;
    }
    if (ret == QTRACE_E_DAMAGED || ret == QTRACE_E_TRUNCATED) {
        return qtrace_error_set(err, QTRACE_E_DAMAGED, frame->frame.info.offset,
                                "the frame at offset %" PRIu64 " is not what the index says",
                                frame->frame.info.offset);
    }
    if (ret == QTRACE_OK) {
        frame->frame = now;
        frame->indexed = false;
    }
    return ret;
}

/* ---- definitions ---- */

static bool defines(const struct qtrace_frame_info *f, uint64_t id)
{
    return f->definitions && f->first_translation <= id &&
           id - f->first_translation < f->translations;
}

static int define(struct qtrace_reader *r, uint32_t id, unsigned depth, struct qtrace_error *err);

static int load(struct qtrace_reader *r, size_t frame, uint32_t id, unsigned depth,
                struct qtrace_error *err)
{
    struct qt_reader_frame *f = &r->frame[frame];
    int ret = qt_indexed_frame(r, f, err);

    r->dictionary.wanted = id;
    if (ret == QTRACE_OK) {
        ret = qt_scan_definitions(r, &f->frame, err);
    }
    /* what it repeats, and then it once more */
    if (ret == QTRACE_OK && qt_dictionary_get(&r->dictionary, id) == NULL &&
        r->dictionary.missing > 0 && depth > 0) {
        ret = define(r, (uint32_t)(r->dictionary.missing - 1), depth - 1, err);
        ret = ret == QTRACE_OK ? qt_scan_definitions(r, &f->frame, err) : ret;
    }
    return ret;
}

/* Copies first: they are few and stand close together. */
static int define(struct qtrace_reader *r, uint32_t id, unsigned depth, struct qtrace_error *err)
{
    int ret;

    for (size_t i = r->n_frames; i > 0; i--) {
        if (!defines(&r->frame[i - 1].frame.info, id)) {
            continue;
        }
        ret = load(r, i - 1, id, depth, err);
        if (ret == QTRACE_E_IO || ret == QTRACE_E_NOMEM) {
            return ret;
        }
        if (qt_dictionary_get(&r->dictionary, id) != NULL) {
            return QTRACE_OK;
        }
    }
    return QTRACE_OK;
}

int qt_indexed_define(struct qtrace_reader *reader, uint32_t id, struct qtrace_error *err)
{
    if (reader->indexed || qt_length(&reader->dictionary.lengths, id) != 0) {
        return define(reader, id, MAX_DEPTH, err);
    }
    return QTRACE_OK; /* the walk has looked for it */
}
