/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Many short threads: N created and joined one after another, so that they share vCPU indexes,
 * then N that are all alive at once. Arguments: N (default 50); 1, and each of the latter is
 * created when the one before it runs (default 0); how many come one after another, if not N.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t sum;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int alive;
static unsigned int expected;

static void count(uint64_t n)
{
    for (uint64_t i = 0; i < 10 + n % 50; i++) {
        __atomic_fetch_add(&sum, i * n, __ATOMIC_RELAXED);
    }
}

static void *alone(void *arg)
{
    count((uintptr_t)arg);
    return NULL;
}

static void *together(void *arg)
{
    count((uintptr_t)arg);
    pthread_mutex_lock(&lock);
    alive++;
    pthread_cond_broadcast(&changed);
    while (alive < expected) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
    count((uintptr_t)arg + 1);
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned int n = argc > 1 ? (unsigned int)atoi(argv[1]) : 50;
    int in_turn = argc > 2 && atoi(argv[2]);
    unsigned int short_ones = argc > 3 ? (unsigned int)atoi(argv[3]) : n;
    pthread_t *threads = calloc(n, sizeof(*threads));
    pthread_attr_t attr;

    if (threads == NULL) {
        return 1;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    for (unsigned int i = 0; i < short_ones; i++) {
        if (pthread_create(&threads[0], &attr, alone, (void *)(uintptr_t)i)) {
            fprintf(stderr, "cannot create thread %u\n", i);
            return 1;
        }
        pthread_join(threads[0], NULL);
    }
    expected = n;
    for (unsigned int i = 0; i < n; i++) {
        if (pthread_create(&threads[i], &attr, together, (void *)(uintptr_t)i)) {
            fprintf(stderr, "cannot create overlapping thread %u\n", i);
            return 1;
        }
        pthread_mutex_lock(&lock);
        while (in_turn && alive <= i) {
            pthread_cond_wait(&changed, &lock);
        }
        pthread_mutex_unlock(&lock);
    }
    for (unsigned int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("churn %u %" PRIu64 "\n", n, sum);
    return 0;
}
