/*
 * counts.h - the summary column: counts of blocks and accesses, packed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_COUNTS_H
#define QT_COUNTS_H

#include "bytes.h"
#include "qtrace/counts.h"

/* Most blocks, and most listed instructions, that a reader accepts of a frame, and of the
 * summary of a segment of the index. */
#define QT_COUNTS_FRAME (1u << 18)
#define QT_COUNTS_SEGMENT (1u << 20)
#define QT_SUMMARY_MAX (16u << 20) /* bytes */

struct qt_counted {
    struct qtrace_block_count count;
    size_t cap; /* of count.insn */
};

struct qtrace_counts {
    struct qt_counted *block; /* 0: carried; 1 .. n; those behind have memory to use again */
    size_t n, cap;
    size_t n_insns; /* listed of all blocks */
    uint32_t *slot; /* numbers of blocks by id, open addressing; 0 = free */
    size_t n_slots;
    uint32_t *order; /* block numbers by ascending id, when sorted */
    size_t cap_order;
    bool sorted;
};

#define QT_COUNTS_CARRIED 0
#define QT_COUNTS_NONE UINT32_MAX

void qt_counts_clear(struct qtrace_counts *counts);
void qt_counts_finish(struct qtrace_counts *counts);

/* The number of a block, made if there are no counts of it. QT_COUNTS_NONE: no memory. */
uint32_t qt_counts_block(struct qtrace_counts *counts, uint32_t id);

/* The counts of an instruction of the block with this number, made if there are none; they
 * move when others are made. NULL: no memory. */
struct qtrace_insn_count *qt_counts_insn(struct qtrace_counts *counts, uint32_t number,
                                         uint32_t insn);

/* Append them in their packed form; *rows: blocks. 0 or QTRACE_E_NOMEM. */
int qt_counts_pack(struct qtrace_counts *counts, struct qt_buf *out, uint64_t *rows);

/* Add what qt_counts_pack made; limit: of blocks and of instructions. QTRACE_E_DAMAGED: it is
 * no such thing. */
int qt_counts_unpack(struct qtrace_counts *counts, const void *data, size_t size, uint64_t rows,
                     uint32_t limit);

#endif
