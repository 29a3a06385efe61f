/*
 * index.c - where the frames of a trace are: a segment of the index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "index.h"

/* Fields of the message. */
enum { PREVIOUS = 1, FIRST = 2, FRAME = 3, SKIP = 4, SIZE = 5, LENGTH = 6 };

void qt_index_finish(struct qt_index *index)
{
    qt_buf_finish(&index->frame);
    qt_buf_finish(&index->skip);
    qt_buf_finish(&index->size);
    qt_buf_finish(&index->length);
    qt_buf_finish(&index->body);
    qt_buf_finish(&index->message);
    qt_counts_finish(&index->counts);
}

bool qt_index_full(const struct qt_index *index)
{
    return index->n == QT_INDEX_FRAMES || index->length.len > QT_INDEX_MAX / 4;
}

static void add_counts(struct qt_index *index, const struct qt_frame *frame,
                       const struct qt_buf *summary)
{
    unsigned n = frame->info.n_columns;
    const struct qtrace_column_info *last = n == 0 ? NULL : &frame->info.column[n - 1];

    if (frame->info.blocks == 0 && frame->info.accesses == 0) {
        return;
    }
    if (index->uncounted || last == NULL || last->id != QTRACE_COLUMN_SUMMARY ||
        qt_counts_unpack(&index->counts, summary->data, summary->len, last->rows,
                         QT_COUNTS_FRAME) < 0 ||
        qtrace_counts_carried(&index->counts) != NULL || index->counts.n > QT_COUNTS_SEGMENT ||
        index->counts.n_insns > QT_COUNTS_SEGMENT) {
        index->uncounted = true;
        qt_counts_clear(&index->counts);
    }
}

static int add_lengths(struct qt_index *index, const struct qtrace_frame_info *f,
                       const struct qt_lengths *lengths)
{
    uint64_t i, n = qt_index_n_lengths(f);
    int ret = QTRACE_OK;

    for (i = 0; ret == QTRACE_OK && i < n; i++) {
        ret = qt_buf_varint(&index->length,
                            qt_length(lengths, (uint32_t)(f->first_translation + i)));
    }
    return ret;
}

int qt_index_add(struct qt_index *index, const struct qt_frame *frame, uint64_t offset,
                 uint64_t size, const struct qt_buf *summary, const struct qt_lengths *lengths)
{
    if (qt_frame_pack(frame, true, &index->body) < 0 ||
        qt_buf_field(&index->frame, FRAME, index->body.len) < 0 ||
        qt_buf_append(&index->frame, index->body.data, index->body.len) < 0 ||
        qt_buf_varint(&index->skip, offset - index->end) < 0 ||
        qt_buf_varint(&index->size, size) < 0 ||
        add_lengths(index, &frame->info, lengths) < 0) {
        return QTRACE_E_NOMEM;
    }
    index->end = offset + size;
    index->n++;
    add_counts(index, frame, summary);
    return QTRACE_OK;
}

static int put_list(struct qt_buf *out, uint32_t field, const struct qt_buf *list)
{
    return qt_buf_field(out, field, list->len) < 0
               ? QTRACE_E_NOMEM
               : qt_buf_append(out, list->data, list->len);
}

int qt_index_end(struct qt_index *index)
{
    struct qt_buf *out = &index->message;

    out->len = 0;
    if (qt_buf_varint(out, QT_TAG(PREVIOUS, QT_WIRE_VARINT)) < 0 ||
        qt_buf_varint(out, index->previous) < 0 ||
        qt_buf_varint(out, QT_TAG(FIRST, QT_WIRE_VARINT)) < 0 ||
        qt_buf_varint(out, index->first) < 0 ||
        qt_buf_append(out, index->frame.data, index->frame.len) < 0 ||
        put_list(out, SKIP, &index->skip) < 0 || put_list(out, SIZE, &index->size) < 0 ||
        put_list(out, LENGTH, &index->length) < 0) {
        return QTRACE_E_NOMEM;
    }
    return QTRACE_OK;
}

void qt_index_next(struct qt_index *index, uint64_t offset)
{
    index->previous = offset;
    index->first += index->n;
    index->n = 0;
    index->end = 0;
    index->frame.len = index->skip.len = index->size.len = index->length.len = 0;
    index->uncounted = false;
    qt_counts_clear(&index->counts);
}

/* ---- unpacking ---- */

uint32_t qt_index_length(struct qt_index_segment *segment)
{
    uint64_t n;

    return qt_cursor_max(&segment->lengths, &n, QTRACE_MAX_BLOCK_INSNS) ? (uint32_t)n : 0;
}

/* The columns end with the frame. */
static void place_columns(struct qtrace_frame_info *frame)
{
    uint64_t at = frame->offset + frame->size;
    unsigned i;

    for (i = frame->n_columns; i > 0; i--) {
        at -= frame->column[i - 1].stored_size;
        frame->column[i - 1].offset = at;
    }
}

/* Do the columns leave room for an envelope? */
static bool has_room(const struct qtrace_frame_info *f)
{
    uint64_t left = f->size;
    unsigned i;

    for (i = 0; i < f->n_columns; i++) {
        if (f->column[i].stored_size > left) {
            return false;
        }
        left -= f->column[i].stored_size;
    }
    return left >= QT_ENVELOPE_HEAD;
}

static bool place(struct qt_index_segment *s, struct qt_cursor skip, struct qt_cursor size,
                  uint64_t limit)
{
    uint64_t end = 0, n;
    uint32_t i;

    for (i = 0; i < s->n; i++) {
        struct qtrace_frame_info *f = &s->frame[i].info;

        if (!qt_cursor_max(&skip, &n, limit - end)) {
            return false;
        }
        f->offset = end + n;
        if (!qt_cursor_max(&size, &f->size, limit - f->offset) || !has_room(f)) {
            return false;
        }
        end = f->offset + f->size;
        place_columns(f);
    }
    return skip.p == skip.end && size.p == size.end;
}

int qt_index_unpack(struct qt_index_segment *segment, const void *data, size_t size,
                    uint64_t limit)
{
    struct qt_cursor message = qt_cursor(data, size), skips = {0}, sizes = {0};
    struct qt_field f;

    segment->previous = segment->first = 0;
    segment->n = 0;
    segment->lengths = skips;
    while (message.p < message.end) {
        if (!qt_next_field(&message, &f)) {
            return QTRACE_E_DAMAGED;
        }
        if (f.tag == QT_TAG(PREVIOUS, QT_WIRE_VARINT)) {
            segment->previous = f.value;
        } else if (f.tag == QT_TAG(FIRST, QT_WIRE_VARINT)) {
            segment->first = f.value;
        } else if (f.tag == QT_TAG(SKIP, QT_WIRE_BYTES)) {
            skips = f.bytes;
        } else if (f.tag == QT_TAG(SIZE, QT_WIRE_BYTES)) {
            sizes = f.bytes;
        } else if (f.tag == QT_TAG(LENGTH, QT_WIRE_BYTES)) {
            segment->lengths = f.bytes;
        } else if (f.tag == QT_TAG(FRAME, QT_WIRE_BYTES) &&
                   (segment->n == QT_INDEX_FRAMES ||
                    qt_frame_unpack(&segment->frame[segment->n++], f.bytes.p,
                                    qt_cursor_left(&f.bytes), NULL) < 0)) {
            return QTRACE_E_DAMAGED;
        }
    }
    return place(segment, skips, sizes, limit) ? QTRACE_OK : QTRACE_E_DAMAGED;
}
