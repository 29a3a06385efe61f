/*
 * random.h - numbers that look random and are the same for the same seed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* Any state is as good as any other, also 0, 1, 2 ... */
static inline uint64_t any(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. n - 1; 0 if n is 0. */
static inline uint64_t below(uint64_t *state, uint64_t n)
{
    return n == 0 ? 0 : any(state) % n;
}

#endif
