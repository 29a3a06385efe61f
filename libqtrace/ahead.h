/*
 * ahead.h - read frames before they are asked for, on other threads
 *
 * A frame decodes alone, so threads can decode several at a time. They read what the reader has
 * found, with tables and buffers of their own; a frame that cannot be read is left to the
 * caller, whose reader notes what is wrong with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_AHEAD_H
#define QT_AHEAD_H

#include "qtrace/reader.h"

struct qt_ahead;

/* The reader is borrowed. It must be one that was not opened by its index, and its selection
 * must stay as it is. NULL: no memory, or no thread. */
struct qt_ahead *qt_ahead_new(struct qtrace_reader *reader, unsigned threads);
void qt_ahead_free(struct qt_ahead *ahead); /* NULL is accepted */

/* A frame that will be taken soon. What cannot be remembered is forgotten. */
void qt_ahead_want(struct qt_ahead *ahead, size_t frame);

/* The rows of a frame, now the caller's; if a thread is at it, reads other frames that are wanted
 * meanwhile, with the reader, or waits. NULL: nobody has read it, or it cannot be read. */
struct qtrace_batch *qt_ahead_take(struct qt_ahead *ahead, size_t frame);

/* A batch that is no longer needed: its memory may be another's. */
void qt_ahead_give(struct qt_ahead *ahead, struct qtrace_batch **batch);

#endif
