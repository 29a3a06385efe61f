/*
 * journal.h - a copy of the frame that is being made
 *
 * A frame is written when it is full; until then its rows are columns in the memory of the
 * recorder. After each piece of a ring that was read, what was added to the columns is copied to
 * the file beside the trace (live.h), with the builder's state as it was between two words. One
 * store makes both valid, and the piece of the ring is given back after it: so at any moment
 * trace, journal and ring have all of a stream, and may have some of it twice.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_JOURNAL_H
#define QT_JOURNAL_H

#include <stdatomic.h>

#include "builder.h"
#include "live.h"

/* The builder, between two words; and where the next word is. */
struct qt_checkpoint {
    uint64_t chunk, words; /* whole chunks of the ring, and words of the next one, that are done */
    uint64_t first_block, first_insn, first_access, first_event; /* of the frame */
    uint64_t first_seq, first_time, seq, time;
    uint64_t n_insns;
    struct qt_loss lost, total_lost;
    uint32_t n_blocks, n_accesses, n_events;
    uint32_t rows[QT_COLUMNS];  /* of columns with rows of their own */
    uint32_t bytes[QT_COLUMNS]; /* of the columns */
    uint32_t bits;
    uint32_t end_run; /* when the last row has an end that was not predicted: its token's run */
    bool open, end, values, phys, after_loss, dropping, pending;
};

/* Recorder's thread, but for commit. */
struct qt_journal {
    _Atomic uint64_t commit; /* what is valid: first unit << 32 | bytes; or one of the below */
    uint32_t first, last; /* units; bytes of them that are used */
    uint32_t bytes;
    uint32_t copied[QT_COLUMNS]; /* bytes of the columns */
    uint64_t frames; /* that the builder had handed out when this journal began */
    bool begun;
};

#define QT_JOURNAL_EMPTY 0u           /* no word of the ring has been read */
#define QT_JOURNAL_LOST UINT64_MAX    /* there was no room: nobody knows */

/* Note what the builder has taken. chunk, words: as in a checkpoint. */
void qt_journal_save(struct qt_journal *journal, struct qt_live *live,
                     const struct qt_builder *builder, uint64_t chunk, uint64_t words);

/* Give the memory back. */
void qt_journal_drop(struct qt_journal *journal, struct qt_live *live);

/* Read what is valid. The columns are raw and complete, as if the frame ended there; they are
 * emptied first. QTRACE_END: no word had been read; QTRACE_E_DAMAGED; QTRACE_E_NOMEM. */
int qt_journal_load(const struct qt_live *live, uint64_t commit, struct qt_checkpoint *state,
                    struct qt_buf column[QT_COLUMNS]);

#endif
