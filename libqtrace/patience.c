/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder-inside.h"

/* Has the thread done nothing for so long? done: what it has done so far. With the lock held, like
 * the next. */
bool qt_patience_is_over(struct patience *patience, uint64_t done, uint64_t wait_ns)
{
    if (patience->done != done) {
        patience->done = done;
        patience->waited = 0;
    }
    return patience->waited >= wait_ns;
}

#define WAIT_STEPS 20

void qt_recorder_wait_a_step(struct qt_recorder *r, struct patience *patience, uint64_t wait_ns)
{
    uint64_t step = wait_ns / WAIT_STEPS + 1, begin = qt_recorder_now(r);
    struct timespec until = qt_deadline(step);
    pthread_cond_signal(&r->wanted);
    pthread_cond_timedwait(&r->room, &r->lock, &until);
    uint64_t end = qt_recorder_now(r), from = begin > patience->until ? begin : patience->until;
    if (end > from) {
        patience->waited += end - from < step ? end - from : step;
        patience->until = end;
    }
}

bool qt_recorder_wait_unless_stuck(struct qt_recorder *r)
{
    if (qt_patience_is_over(&r->patience, atomic_load(&r->taken), r->wait_ns)) {
        return false;
    }
    qt_recorder_wait_a_step(r, &r->patience, r->wait_ns);
    return true;
}
