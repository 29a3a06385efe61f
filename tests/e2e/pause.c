/*
 * pause.c - a guest that works, says so, sleeps, and works again
 *
 *   pause ROUNDS SECONDS
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    unsigned rounds = (unsigned)atoi(argv[1]);
    printf("%" PRIu64 "\n", work(rounds));
    fflush(stdout);
    sleep((unsigned)atoi(argv[2]));
    printf("%" PRIu64 "\n", work(rounds));
    return 0;
}
