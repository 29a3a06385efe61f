/*
 * builder.h - words of one stream become frames
 *
 * The length of a block's execution is known when the next block begins, so a frame only ever
 * ends there. Words are not trusted: a guest can scribble over a ring. What makes no sense is
 * counted as lost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_BUILDER_H
#define QT_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "devices.h"
#include "encoder.h"
#include "loss.h"
#include "qtrace/error.h"

/* How large a frame grows. */
struct qt_frame_size {
    uint32_t rows; /* block and access rows; it ends with the block row that reaches them */
    unsigned bits; /* of its tables */
    unsigned bits_full; /* the same when those of the frame before were nearly full, or would be */
    uint32_t bytes; /* of its columns, before compression; it ends soon after */
};

/* How large those of a recording shall be. */
struct qt_frame_size qt_frame_size_for(uint32_t live_streams, unsigned more, unsigned level);

struct qt_builder {
    struct qt_encoder encoder;
    bool open;                     /* the encoder is in a frame */
    bool user;                     /* how addresses stand in words */
    unsigned more;                 /* QT_MORE_*: what follows accesses */
    const struct qt_devices *devices; /* that words may name */
    uint32_t n_devices;            /* of them, those for which the frame has room */
    bool after_loss;               /* the block that runs is a lost one */
    bool dropping;                 /* accesses are lost until the next block */
    bool pending;                  /* something in lost waits for its place */
    uint64_t n_frames;             /* that have ended */
    struct qtrace_frame_info head; /* of the frame: stream, vcpu, first ordinals */
    uint64_t seq, time;            /* of the last event */
    struct qt_loss lost; /* since the last frame; becomes the first event of the next */
    struct qt_loss total_lost;
};

/* Called with a frame that has ended: builder->encoder and builder->head. */
typedef int qt_builder_sink(void *sink, const struct qt_builder *builder);

/* devices: borrowed; NULL without QT_MORE_PHYS. */
void qt_builder_init(struct qt_builder *builder, uint32_t stream, uint32_t vcpu, bool user,
                     unsigned more, const struct qt_devices *devices);
void qt_builder_finish(struct qt_builder *builder);

/* Add words; frames go to the sink when they are large enough. Returns the sink's result or
 * QTRACE_E_NOMEM; what could not be kept has been counted as lost. */
int qt_builder_add(struct qt_builder *builder, const struct qt_lengths *lengths,
                   const uint64_t *words, size_t n_words, const struct qt_frame_size *size,
                   qt_builder_sink *emit, void *sink) QTRACE_MUST_USE;

/* Count words as lost, since nothing can be kept any more. */
void qt_builder_skip(struct qt_builder *builder, const uint64_t *words, size_t n_words);

/* Without an open frame a builder needs no encoder: streams can take turns with one. Returning is
 * nothing as long as there is a frame. */
void qt_builder_borrow(struct qt_builder *builder, struct qt_encoder *spare);
void qt_builder_return(struct qt_builder *builder, struct qt_encoder *spare);

/* Instructions of the last block that did not start, told outside the words. */
void qt_builder_partial(struct qt_builder *builder, uint32_t remaining);

/* Add a loss behind what was added, and hand out what is there. */
int qt_builder_flush(struct qt_builder *builder, qt_builder_sink *emit,
                     void *sink) QTRACE_MUST_USE;
void qt_builder_lose(struct qt_builder *builder, const struct qt_loss *loss);

/* Count the rows in words that nobody will record; more: as in struct qt_builder. What the first
 * block says of the one before it is left in *carry. */
void qt_words_count(const uint64_t *words, size_t n_words, unsigned more, struct qt_loss *loss,
                    uint32_t *carry);

#endif
