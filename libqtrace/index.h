/*
 * index.h - where the frames of a trace are: a segment of the index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_INDEX_H
#define QT_INDEX_H

#include "envelope.h"
#include "frame.h"

#define QT_INDEX_FRAMES 1024 /* of one segment */
#define QT_INDEX_MAX (4u << 20)  /* bytes of its message */

/* A segment in the making. Zero it to begin with. */
struct qt_index {
    uint64_t previous, first; /* as in the message */
    uint64_t n;               /* frames */
    uint64_t end;             /* of the last one, in the file */
    struct qt_buf frame, skip, size, length; /* fields */
    struct qt_buf body, message;
    struct qtrace_counts counts; /* of all its frames */
    bool uncounted;              /* one of them has no summary */
};

void qt_index_finish(struct qt_index *index);

/* Is it time to begin the next segment? */
bool qt_index_full(const struct qt_index *index);

/* Add a frame that lies at offset; summary: its packed summary, if it has rows; lengths: of what
 * it defines. 0 or QTRACE_E_NOMEM. */
int qt_index_add(struct qt_index *index, const struct qt_frame *frame, uint64_t offset,
                 uint64_t size, const struct qt_buf *summary, const struct qt_lengths *lengths);

/* Make index->message. */
int qt_index_end(struct qt_index *index);

/* Begin the next segment: this one lies at offset. */
void qt_index_next(struct qt_index *index, uint64_t offset);

/* What the message of a segment says. */
struct qt_index_segment {
    uint64_t previous, first;
    uint32_t n;
    struct qt_cursor lengths; /* borrowed from the message */
    struct qt_frame frame[QT_INDEX_FRAMES]; /* offset, size and places of columns included */
};

/* QTRACE_E_DAMAGED: it is none, or its frames do not lie below limit one behind the other. */
int qt_index_unpack(struct qt_index_segment *segment, const void *data, size_t size,
                    uint64_t limit);

/* The next length of a translation; 0 = there is none. */
uint32_t qt_index_length(struct qt_index_segment *segment);

/* How many lengths the index has for a frame: those of what it defines, copies aside. */
static inline uint64_t qt_index_n_lengths(const struct qtrace_frame_info *frame)
{
    return frame->definitions && !frame->copy ? frame->translations : 0;
}

#endif
