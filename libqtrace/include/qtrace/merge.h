/*
 * qtrace/merge.h - all streams of a trace in one order
 *
 * Every stream carries sync points (struct qtrace_event.seq). Between two of them a stream is
 * taken whole; pieces of different streams follow each other by sequence. A translation comes
 * before any execution of its block, and translations come in the order of their ids.
 *
 * With less than all columns (qtrace_reader_select) the items are the same, but for what needs
 * the rows: which of several streams waits for a translation of another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_MERGE_H
#define QTRACE_MERGE_H

#include "reader.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qtrace_merge;

enum qtrace_item_kind {
    QTRACE_ITEM_RUN,   /* block rows and access rows of one batch */
    QTRACE_ITEM_EVENT, /* one event */
    QTRACE_ITEM_GAP,   /* rows are missing in this stream before what follows */
};

struct qtrace_item {
    enum qtrace_item_kind kind;
    const struct qtrace_batch *batch; /* borrowed until the next call; NULL for a gap */
    uint32_t stream, vcpu;
    size_t frame; /* that the batch was read from */
    uint32_t block_begin, block_end;   /* RUN: block rows */
    uint32_t access_begin, access_end; /* RUN: access rows; those before the first block row's
                                          own belong to the block that ran before in this
                                          stream (normally there are none) */
    const struct qtrace_event *event;  /* EVENT */
};

/* The reader is borrowed and must outlive the merge. */
QTRACE_API int qtrace_merge_open(struct qtrace_merge **out, struct qtrace_reader *reader,
                                 struct qtrace_error *err) QTRACE_MUST_USE;
QTRACE_API void qtrace_merge_close(struct qtrace_merge **merge);

/* Decode frames before they are due on so many other threads, which takes the memory of as many
 * more frames. The reader's selection must not change any more. Without effect for a reader that
 * was opened by its index. */
QTRACE_API void qtrace_merge_read_ahead(struct qtrace_merge *merge, unsigned threads);

/* 0 and an item, QTRACE_END after the last one, or an error that ends the reading (memory);
 * damage is no error but a gap, listed in the reader. */
QTRACE_API int qtrace_merge_next(struct qtrace_merge *merge, struct qtrace_item *item,
                                 struct qtrace_error *err) QTRACE_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
