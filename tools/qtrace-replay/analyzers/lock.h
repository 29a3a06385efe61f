/*
 * lock.h - a lock for callbacks that run at every instruction
 *
 * It is held for some ten nanoseconds and nearly always free, so taking it is one atomic
 * operation. One per vCPU is wanted by others only at the end, when a machine's vCPUs run on.
 * Zero is free.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_LOCK_H
#define ANALYZER_LOCK_H

#include <sched.h>

struct lock {
    char taken;
};

static inline void lock_take(struct lock *lock)
{
    while (__atomic_test_and_set(&lock->taken, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

static inline void lock_release(struct lock *lock)
{
    __atomic_clear(&lock->taken, __ATOMIC_RELEASE);
}

#endif
