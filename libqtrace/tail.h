/*
 * tail.h - what was written last, so that it can be given up
 *
 * The end of a trace must find its place in the file even when the disk is full: if nothing else
 * helps, in the place of what was written last.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_TAIL_H
#define QT_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "loss.h"

#define QT_TAIL_PIECES 64 /* remembered, the newest */

/* An envelope and its columns. */
struct qt_piece {
    uint64_t offset;
    uint32_t seq;
    uint32_t stream;         /* if it holds rows */
    struct qt_loss rows;     /* what is missing without it */
    uint64_t own_events;     /* besides those of rows */
    struct qt_loss lost;     /* before its rows */
    uint64_t translations;   /* defined in it */
};

struct qt_tail {
    struct qt_piece piece[QT_TAIL_PIECES];
    uint64_t n; /* pieces so far */
    unsigned kept;
};

/* Remember a piece; it is the caller's to fill in. */
static inline struct qt_piece *qt_tail_push(struct qt_tail *tail, uint64_t offset, uint32_t seq)
{
    struct qt_piece *piece = &tail->piece[tail->n++ % QT_TAIL_PIECES];

    tail->kept += tail->kept < QT_TAIL_PIECES;
    *piece = (struct qt_piece){.offset = offset, .seq = seq};
    return piece;
}

/* The newest piece; NULL: none is remembered. */
static inline struct qt_piece *qt_tail_last(struct qt_tail *tail)
{
    return tail->kept > 0 ? &tail->piece[(tail->n - 1) % QT_TAIL_PIECES] : NULL;
}

/* Forget it. */
static inline void qt_tail_pop(struct qt_tail *tail)
{
    tail->n--;
    tail->kept--;
}

/* The piece that was forgotten last, until another one is pushed; and remember it again. */
static inline const struct qt_piece *qt_tail_next(const struct qt_tail *tail)
{
    return &tail->piece[tail->n % QT_TAIL_PIECES];
}

static inline void qt_tail_unpop(struct qt_tail *tail)
{
    tail->n++;
    tail->kept++;
}

#endif
