/*
 * frame.h - rows of a stream as a message with a column directory and the columns behind it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_FRAME_H
#define QT_FRAME_H

#include "codec.h"
#include "columns.h"
#include "encoder.h"

#define QT_COLUMN_RAW_MAX (256u << 20)
#define QT_FRAME_BODY_MAX (64u << 10) /* of the message */
#define QT_MAX_STREAMS (1u << 18)     /* their totals must fit in one message */

/* What the message of a frame says; info.offset and column offsets are the reader's. */
struct qt_frame {
    struct qtrace_frame_info info;
    uint32_t crc[QTRACE_FRAME_COLUMNS];
    uint16_t mandatory; /* bit per column */
    unsigned bits;      /* of the predictors' tables; event frames only */
};

/* Pack the message into out, which is emptied first; or what the index says of it, which is
 * less. */
int qt_frame_pack(const struct qt_frame *frame, bool for_index, struct qt_buf *out);

/* Unpack a message. QTRACE_E_DAMAGED: it contradicts itself; QTRACE_E_REFUSED: it needs what
 * this library does not know. */
int qt_frame_unpack(struct qt_frame *frame, const void *body, size_t size,
                    struct qtrace_error *err);

/* Things to make frames with, kept from frame to frame. Zero it to begin with. */
struct qt_frame_coder {
    struct qt_codec codec;
    struct qt_buf stored; /* the columns' stored bytes, in the order of the directory */
    struct qt_buf raw[QT_COLUMNS];   /* decoding only, as are the next four */
    struct qt_predictor predictor;
    struct qt_values values;
    struct qt_phys phys;
    struct qtrace_batch *spare;  /* owned; its memory may be the next batch's; NULL = none */
    struct qtrace_counts counts; /* encoding only, as is the next */
    struct qt_buf summary;       /* of the last frame; len 0 = it has none */
};

void qt_frame_coder_finish(struct qt_frame_coder *coder);

/* Store what an encoder has ended: fills counts, times and directory of frame, whose stream
 * and first_* are set, and coder->stored. */
int qt_frame_encode(struct qt_frame_coder *coder, unsigned level,
                    const struct qt_encoder *encoder, struct qt_frame *frame,
                    struct qtrace_error *err);

/* Append a column to coder->stored and to the directory of frame. */
int qt_frame_add_column(struct qt_frame_coder *coder, unsigned level, struct qt_frame *frame,
                        unsigned id, uint64_t rows, const void *raw, size_t size);

/* The columns, a bit per column, that are needed for what is selected (QTRACE_SELECT_*). All,
 * unknown ones included, for everything. */
uint32_t qt_frame_columns(const struct qt_frame *frame, unsigned select);

/* Decode what is selected of a frame. The stored bytes of the columns that are needed for it lie
 * one behind the other at stored; their sums have been checked. */
int qt_frame_decode(struct qt_frame_coder *coder, const struct qt_frame *frame,
                    unsigned select, const uint8_t *stored, const struct qt_lengths *lengths,
                    struct qtrace_batch **batch, struct qtrace_error *err);

#endif
