/*
 * loss.h - what is missing from a stream, by kind of row
 *
 * Events that the recorder makes for itself (sync, lost) are never counted as lost: nobody knows
 * of them but the recorder.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_LOSS_H
#define QT_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "qtrace/event.h"

struct qt_loss {
    uint64_t blocks, insns, accesses, events;
};

static inline bool qt_is_own_event(uint64_t kind)
{
    return kind == QTRACE_EVENT_SYNC || kind == QTRACE_EVENT_LOST;
}

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

#endif
