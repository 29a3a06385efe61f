/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Threads that run at the same time, share a mutex, atomics and a barrier, and do different
 * amounts of work. Arguments: number of threads (default 4), scale (default 1).
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static uint64_t shared_sum;
static uint64_t shared_count;
static unsigned int n_threads = 4;
static unsigned int scale = 1;

static void *work(void *arg)
{
    uint64_t me = (uintptr_t)arg;
    uint64_t sum = me;

    pthread_barrier_wait(&barrier);
    for (uint64_t round = 0; round < 20ull * scale; round++) {
        for (uint64_t i = 0; i < 50 * (me % 8 + 1); i++) {
            sum = sum * 6364136223846793005ull + i;
            if (i % 16 == 0) {
                __atomic_fetch_add(&shared_count, 1, __ATOMIC_SEQ_CST);
            }
        }
        pthread_mutex_lock(&lock);
        shared_sum += sum;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        n_threads = (unsigned int)atoi(argv[1]);
    }
    if (argc > 2) {
        scale = (unsigned int)atoi(argv[2]);
    }
    pthread_t *threads = calloc(n_threads, sizeof(*threads));
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_barrier_init(&barrier, NULL, n_threads);
    for (unsigned int i = 0; i < n_threads; i++) {
        if (threads == NULL || pthread_create(&threads[i], &attr, work, (void *)(uintptr_t)i)) {
            fprintf(stderr, "cannot create thread %u\n", i);
            return 1;
        }
    }
    for (unsigned int i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("threads %u sum %016" PRIx64 " count %" PRIu64 "\n", n_threads, shared_sum,
           shared_count);
    return 0;
}
