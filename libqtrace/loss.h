/*
 * loss.h - what is missing from a stream, by kind of row
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_LOSS_H
#define QT_LOSS_H

#include <stdbool.h>
#include <stdint.h>

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

#endif
