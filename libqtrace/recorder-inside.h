/*
 * recorder-inside.h - what the files of the recorder share
 *
 * push.c is what a vCPU's thread does, streams.c how streams begin and end, drain.c how the
 * recorder's thread reads the rings, follow.c what becomes of a forked child, patience.c how long
 * others wait for the recorder's thread, and recorder.c the beginning and the end of all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_RECORDER_INSIDE_H
#define QT_RECORDER_INSIDE_H

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "live.h"
#include "notes.h"
#include "recorder.h"
#include "writer.h"

struct definition {
    struct definition *next;
    struct qtrace_translation *translation;
};

/* How long others have waited for the recorder's thread since it last did something. */
struct patience {
    uint64_t done;          /* by the thread, then */
    uint64_t waited, until; /* in all, and the end of what that counts */
};

/* A stream that is only counted: when it began, the thread was stuck with what is left of the one
 * before, and so with the producer's memory. */
struct qt_tally {
    struct qt_tally *next;
    struct qt_producer *producer; /* NULL = the stream has ended */
    uint32_t stream, vcpu;
    struct qt_loss loss;
    uint64_t *chunk; /* where its words go, and the first of them */
    size_t first;
};

/* Who forks; producer is NULL if the child cannot record on. */
struct forking {
    struct qt_producer *producer;
    uint32_t vcpu;
    uint64_t *slot; /* NULL = its own */
};

struct qt_recorder {
    pthread_mutex_t lock;
    pthread_cond_t room;   /* producers wait for chunks, close and stop for the thread */
    pthread_cond_t wanted; /* the thread waits for work */
    pthread_t thread;
    struct timespec start;
    bool user, drop;
    unsigned more; /* QT_MORE_* */
    uint64_t wait_ns;
    size_t ring_bytes, rings_bytes;
    _Atomic uint64_t seq;
    _Atomic uint64_t taken; /* by the thread: chunks of all rings, and all definitions */
    atomic_bool abandoned;  /* a forked child that records nothing */
    bool follow;            /* children shall be able to go on */
    bool opened, stopping, ended, stopped;
    struct qt_live *live; /* NULL = there is none */
    struct qt_live_options live_options;
    struct qtrace_error live_error;

    /* under lock */
    struct qt_producer *producers;
    _Atomic uint32_t n_live; /* read without it */
    uint32_t n_streams;
    size_t rings_used;
    struct definition *first, **last;
    uint32_t n_translations;
    bool has_run;
    struct patience patience;
    struct qt_loss overrun;
    struct qt_tally *tallies;
    struct qt_devices *devices; /* read without it; NULL = there are none */
    atomic_uint forks;          /* under way; the thread looks without lock */
    struct forking forking;
    bool working; /* the thread may be changing what is its own */

    /* the thread's own */
    const char *file; /* the name asked for */
    bool another;     /* another one will do */
    unsigned name;    /* which one is to be tried next: 0 = file itself */
    char *path;       /* the name it got */
    mode_t mask;      /* of the first recorder's files, and so of all */
    struct qtrace_writer_options writer_options;
    struct qtrace_writer *writer, *inherited;
    struct qt_encoder spare; /* for builders without an open frame */
    struct qt_summary summary;
    struct qtrace_run run;
    bool run_written;
    const char *reason;
    uint64_t noted; /* notes of what the writer has been told */
    unsigned flush_ms;
    uint64_t flushed; /* when */
    void (*disas)(const struct qtrace_insn *insn, char *text);
    char text[QTRACE_MAX_BLOCK_INSNS][QT_TEXT_MAX];
};

static inline uint64_t qt_recorder_now(const struct qt_recorder *recorder)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)(t.tv_sec - recorder->start.tv_sec) * 1000000000 + t.tv_nsec -
           recorder->start.tv_nsec;
}

static inline uint64_t qt_recorder_take_seq(struct qt_recorder *recorder)
{
    return atomic_fetch_add_explicit(&recorder->seq, 1, memory_order_acq_rel) + 1;
}

static inline struct timespec qt_deadline(uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += t.tv_nsec;
    t.tv_sec += ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

/* ---- patience.c: with the lock held ---- */

/* Has the thread done nothing for so long? done: what it has done so far. With the lock held, like
 * the next. */
bool qt_patience_is_over(struct patience *patience, uint64_t done, uint64_t wait_ns);

/* Wait for a part of what is allowed. What several wait at the same time counts once. Long pauses,
 * in which the whole process was stopped, count for a step: the thread could do nothing either. */
void qt_recorder_wait_a_step(struct qt_recorder *r, struct patience *patience, uint64_t wait_ns);

/* Wait a little, unless the thread is stuck. */
bool qt_recorder_wait_unless_stuck(struct qt_recorder *r);

/* ---- push.c ---- */

/* Push without looking for the end of the chunk; the caller has made room. The words of a
 * control become visible together: whoever stops the recording reads up to `next`. */
void qt_producer_put(struct qt_producer *p, enum qt_control kind, uint64_t payload, unsigned n,
                     const uint64_t *words);

void qt_producer_put_event(struct qt_producer *p, enum qtrace_event_kind kind, uint64_t seq,
                           uint64_t time, unsigned n_args, const uint64_t *args);

void qt_producer_begin_loss(struct qt_producer *p);

/* Count what is in the scratch chunk. What its first block says of the one before it belongs to
 * a block lost earlier, or else to the last one that was recorded. */
void qt_producer_count_loss(struct qt_producer *p, size_t n_words);

/* The chunk may have become full exactly. */
void qt_producer_turn_if_full(struct qt_producer *p);

/* Translations of this thread that no stream has an event of are forgotten. */
void qt_producer_forget_waiting(void);

/* ---- streams.c ---- */

/* Where a producer without a ring writes, so that the hot path need not ask. */
extern uint64_t qt_nowhere[QT_CHUNK_WORDS];

void qt_producer_park(struct qt_recorder *r, struct qt_producer *p);

/* continued: the vCPU began before the recording did. */
bool qt_producer_open_stream(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu,
                             bool continued);

/* With the lock held: the chunk is full. */
void qt_tally_turn(struct qt_recorder *r, struct qt_producer *p);

/* The chunk stays: when all stops, a thread may still be pushing into it. */
void qt_tally_close(struct qt_recorder *r, struct qt_tally *t);

void qt_producer_close_locked(struct qt_producer *p);

/* ---- drain.c: the recorder's thread ---- */

int qt_recorder_note(struct qt_recorder *r, int result, const struct qtrace_error *err);

void qt_recorder_write_run(struct qt_recorder *r);

/* Everything that was defined before the words that will be looked at next. */
void qt_recorder_take_definitions(struct qt_recorder *r);

/* Not with the next frame, but now. */
void qt_recorder_write_definitions(struct qt_recorder *r);

void qt_recorder_work(struct qt_recorder *r);

/* ---- recorder.c ---- */

int qt_recorder_start_thread(struct qt_recorder *r, struct qtrace_error *err);

void qt_recorder_init_locks(struct qt_recorder *r);

void qt_recorder_note_run(struct qt_recorder *r);

#endif
