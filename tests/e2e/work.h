/*
 * work.h - something for a guest to do, whose result depends on all of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WORK_H
#define WORK_H

#include <stdint.h>

static uint64_t table[1 << 16];

static uint64_t work(unsigned rounds)
{
    uint64_t sum = 1;
    for (unsigned i = 0; i < rounds * 1000; i++) {
        uint64_t *cell = &table[sum >> 48];
        sum = sum * 6364136223846793005u + *cell + i;
        *cell = sum & 4 ? sum : i;
    }
    return sum;
}

#endif
