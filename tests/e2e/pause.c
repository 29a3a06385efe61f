/*
 * pause.c - a guest that works, says so, sleeps, and works again
 *
 *   pause ROUNDS SECONDS [THREADS]    so many threads, one after another, work too, each time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "work.h"

static void *work_a_little(void *sum)
{
    *(uint64_t *)sum += work(1);
    return NULL;
}

static void work_and_say(unsigned rounds, unsigned threads)
{
    uint64_t sum = work(rounds);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work_a_little, &sum) == 0) {
            pthread_join(thread, NULL);
        }
    }
    printf("%" PRIu64 "\n", sum);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    unsigned rounds = (unsigned)atoi(argv[1]), threads = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    work_and_say(rounds, threads);
    sleep((unsigned)atoi(argv[2]));
    work_and_say(rounds, threads);
    return 0;
}
