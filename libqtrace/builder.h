/*
 * builder.h - words of one stream become batches
 *
 * The length of a block's execution is known when the next block begins, so a batch is only
 * ever cut there. Words are not trusted: a guest can scribble over a ring. What makes no
 * sense is counted as lost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_BUILDER_H
#define QT_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "qtrace/error.h"
#include "qtrace/event.h"

/* What is missing from a stream, by kind of row. */
struct qt_loss {
    uint64_t blocks, insns, accesses, events;
};

static inline void qt_loss_add(struct qt_loss *sum, const struct qt_loss *loss)
{
    sum->blocks += loss->blocks;
    sum->insns += loss->insns;
    sum->accesses += loss->accesses;
    sum->events += loss->events;
}

static inline bool qt_loss_any(const struct qt_loss *loss)
{
    return loss->blocks || loss->insns || loss->accesses || loss->events;
}

/* Instructions of each translation, by id. */
struct qt_block_sizes {
    uint16_t *insns;
    uint32_t n, size;
    bool incomplete; /* memory ran out: blocks with later ids are lost */
};

struct qt_builder {
    struct qtrace_batch batch; /* counts and ordinals; its arrays are those below */
    uint32_t *block;
    uint16_t *started;
    uint32_t *access_end;
    size_t block_size;
    uint64_t *vaddr;
    uint16_t *insn;
    uint8_t *flags;
    size_t access_size;
    struct qtrace_foreign *foreign;
    size_t foreign_size;
    struct qtrace_event *event;
    size_t event_size;
    uint64_t seq, time; /* of the last event */
    struct qt_loss lost; /* since the last batch; becomes the first event of the next */
    struct qt_loss total_lost;
    uint32_t limit;  /* instructions of the block that runs; 0 = none, or a lost one */
    bool user;       /* how addresses stand in words */
    bool after_loss; /* the block that runs is a lost one */
};

/* Called with a batch whose arrays are borrowed for the call. */
typedef int qt_builder_sink(void *sink, const struct qtrace_batch *batch);

void qt_builder_init(struct qt_builder *builder, uint32_t stream, uint32_t vcpu, bool user);
void qt_builder_finish(struct qt_builder *builder);

/* Add words; a batch goes to the sink when it has max_rows block and access rows. Returns the
 * sink's result or QTRACE_E_NOMEM; what could not be kept has been counted as lost. */
int qt_builder_add(struct qt_builder *builder, const struct qt_block_sizes *sizes,
                   const uint64_t *words, size_t n_words, size_t max_rows,
                   qt_builder_sink *emit, void *sink) QTRACE_MUST_USE;

/* Instructions of the last block that did not start, told outside the words. */
void qt_builder_partial(struct qt_builder *builder, uint32_t remaining);

/* Add a loss behind what was added, and hand out what is there. */
int qt_builder_flush(struct qt_builder *builder, qt_builder_sink *emit,
                     void *sink) QTRACE_MUST_USE;
void qt_builder_lose(struct qt_builder *builder, const struct qt_loss *loss);

/* Count the rows in words that nobody will record. What the first block says of the one
 * before it is left in *carry. */
void qt_words_count(const uint64_t *words, size_t n_words, struct qt_loss *loss,
                    uint32_t *carry);

#endif
