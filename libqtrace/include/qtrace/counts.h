/*
 * qtrace/counts.h - how often blocks ran and instructions accessed memory
 *
 * Counts of one frame or of many, without any order of events. A trace keeps them beside the
 * events of each frame (see qtrace_reader_count), so that who only counts reads little.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_COUNTS_H
#define QTRACE_COUNTS_H

#include "error.h"
#include "event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qtrace_reader;

/* Of one instruction of a block. */
struct qtrace_insn_count {
    uint32_t insn; /* its position */
    uint64_t loads, stores;
    uint64_t left; /* executions that ended just before this instruction */
};

/* Of one translation. Instructions that are not listed have only counts of 0. */
struct qtrace_block_count {
    uint32_t block;      /* translation id */
    uint32_t n_insns;    /* listed, in order */
    uint64_t executions; /* block rows */
    struct qtrace_insn_count *insn;
};

struct qtrace_counts;

/* Empty counts. NULL: no memory. Release with qtrace_counts_free, which takes NULL as well. */
QTRACE_API struct qtrace_counts *qtrace_counts_new(void);
QTRACE_API void qtrace_counts_free(struct qtrace_counts **counts);

/* The blocks that have any count, by ascending id; borrowed until the counts change. */
QTRACE_API size_t qtrace_counts_n_blocks(struct qtrace_counts *counts);
QTRACE_API const struct qtrace_block_count *
qtrace_counts_block(struct qtrace_counts *counts, size_t i);

/* Accesses before the first block row of a frame belong to the block that the frame before
 * ended with. Their instructions' counts; NULL: there are none. */
QTRACE_API const struct qtrace_block_count *
qtrace_counts_carried(const struct qtrace_counts *counts);

/* Add the rows of a batch that came from this reader. 0, or QTRACE_E_NOMEM, which leaves the
 * counts incomplete. */
QTRACE_API int qtrace_counts_add(struct qtrace_counts *counts, const struct qtrace_batch *batch,
                                 struct qtrace_reader *reader);

/* Are they the same? */
QTRACE_API bool qtrace_counts_equal(struct qtrace_counts *a, struct qtrace_counts *b);

#ifdef __cplusplus
}
#endif

#endif
