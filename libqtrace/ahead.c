/*
 * ahead.c - read frames before they are asked for, on other threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "scan.h"

#define MAX_THREADS 8

enum state { EMPTY, WANTED, BUSY, READY };

struct slot {
    enum state state;
    size_t frame;
    uint64_t turn; /* in order of wanting */
    struct qtrace_batch *batch; /* READY: NULL = it cannot be read */
};

struct qt_ahead {
    struct qtrace_reader *reader; /* the caller's; threads read only what does not change */
    pthread_mutex_t lock;
    pthread_cond_t wanted, ready;
    struct slot slot[MAX_THREADS + 1]; /* one for each thread, and one to go on with */
    struct qtrace_batch *spare[MAX_THREADS + 1];
    unsigned n_slots, n_threads, n_spare;
    uint64_t turn;
    bool stop;
    pthread_t thread[MAX_THREADS];
};

/* ---- threads ---- */

static struct slot *next_wanted(struct qt_ahead *a)
{
    struct slot *first = NULL;

    for (unsigned i = 0; i < a->n_slots; i++) {
        struct slot *s = &a->slot[i];
        if (s->state == WANTED && (first == NULL || s->turn < first->turn)) {
            first = s;
        }
    }
    return first;
}

/* With the lock held, which is given up in between. */
static void read_wanted(struct qt_ahead *a, struct qtrace_reader *reader, struct slot *s)
{
    const struct qt_frame *frame = &a->reader->frame[s->frame].frame;
    struct qtrace_batch *batch = NULL;
    struct qtrace_error err;

    s->state = BUSY;
    if (reader->coder.spare == NULL && a->n_spare > 0) {
        reader->coder.spare = a->spare[--a->n_spare];
    }
    pthread_mutex_unlock(&a->lock);
    if (qt_reader_decode(reader, frame, &batch, &err) != QTRACE_OK) {
        batch = NULL;
    }
    pthread_mutex_lock(&a->lock);
    s->batch = batch;
    s->state = READY;
    pthread_cond_signal(&a->ready);
}

static void *run(void *data)
{
    struct qt_ahead *a = data;
    /* what the walk has found, which does not change; all else is the thread's own */
    struct qtrace_reader twin = {
        .file = a->reader->file,
        .size = a->reader->size,
        .select = a->reader->select,
        .dictionary.lengths = a->reader->dictionary.lengths,
    };
    struct slot *s;

    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        s = next_wanted(a);
        if (s != NULL) {
            read_wanted(a, &twin, s);
        } else {
            pthread_cond_wait(&a->wanted, &a->lock);
        }
    }
    pthread_mutex_unlock(&a->lock);
    qt_frame_coder_finish(&twin.coder);
    qt_buf_finish(&twin.stored);
    return NULL;
}

/* Signals are for the threads that the program knows. */
static bool start(struct qt_ahead *a)
{
    sigset_t all, old;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&a->thread[a->n_threads], NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    a->n_threads += error == 0;
    return error == 0;
}

struct qt_ahead *qt_ahead_new(struct qtrace_reader *reader, unsigned threads)
{
    struct qt_ahead *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return NULL;
    }
    a->reader = reader;
    a->n_slots = (threads < MAX_THREADS ? threads : MAX_THREADS) + 1;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wanted, NULL);
    pthread_cond_init(&a->ready, NULL);
    while (a->n_threads + 1 < a->n_slots && start(a)) {
    }
    if (a->n_threads == 0) {
        qt_ahead_free(a);
        return NULL;
    }
    return a;
}

void qt_ahead_free(struct qt_ahead *ahead)
{
    if (ahead == NULL) {
        return;
    }
    pthread_mutex_lock(&ahead->lock);
    ahead->stop = true;
    pthread_cond_broadcast(&ahead->wanted);
    pthread_mutex_unlock(&ahead->lock);
    for (unsigned i = 0; i < ahead->n_threads; i++) {
        pthread_join(ahead->thread[i], NULL);
    }
    for (unsigned i = 0; i < ahead->n_slots; i++) {
        qtrace_batch_free(&ahead->slot[i].batch);
    }
    while (ahead->n_spare > 0) {
        qtrace_batch_free(&ahead->spare[--ahead->n_spare]);
    }
    pthread_cond_destroy(&ahead->wanted);
    pthread_cond_destroy(&ahead->ready);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

/* ---- the caller ---- */

static struct slot *find(struct qt_ahead *a, size_t frame)
{
    for (unsigned i = 0; i < a->n_slots; i++) {
        if (a->slot[i].state != EMPTY && a->slot[i].frame == frame) {
            return &a->slot[i];
        }
    }
    return NULL;
}

static struct slot *find_empty(struct qt_ahead *a)
{
    for (unsigned i = 0; i < a->n_slots; i++) {
        if (a->slot[i].state == EMPTY) {
            return &a->slot[i];
        }
    }
    return NULL;
}

void qt_ahead_want(struct qt_ahead *ahead, size_t frame)
{
    struct slot *s;

    pthread_mutex_lock(&ahead->lock);
    s = find(ahead, frame) == NULL ? find_empty(ahead) : NULL;
    if (s != NULL) {
        *s = (struct slot){.state = WANTED, .frame = frame, .turn = ahead->turn++};
        pthread_cond_signal(&ahead->wanted);
    }
    pthread_mutex_unlock(&ahead->lock);
}

struct qtrace_batch *qt_ahead_take(struct qt_ahead *ahead, size_t frame)
{
    struct qtrace_batch *batch = NULL;
    struct slot *s;

    pthread_mutex_lock(&ahead->lock);
    s = find(ahead, frame);
    while (s != NULL && s->state == BUSY) {
        struct slot *other = next_wanted(ahead);

        if (other != NULL) {
            read_wanted(ahead, ahead->reader, other); /* rather than wait */
        } else {
            pthread_cond_wait(&ahead->ready, &ahead->lock);
        }
    }
    if (s != NULL) {
        batch = s->batch; /* of one that nobody has begun: NULL */
        *s = (struct slot){.state = EMPTY};
    }
    pthread_mutex_unlock(&ahead->lock);
    return batch;
}

void qt_ahead_give(struct qt_ahead *ahead, struct qtrace_batch **batch)
{
    pthread_mutex_lock(&ahead->lock);
    if (ahead->n_spare < ahead->n_slots) {
        ahead->spare[ahead->n_spare++] = *batch;
        *batch = NULL;
    }
    pthread_mutex_unlock(&ahead->lock);
    qtrace_batch_free(batch);
}
