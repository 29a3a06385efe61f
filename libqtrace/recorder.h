/*
 * recorder.h - from the words of many threads to one file
 *
 * A *producer* is one vCPU lifetime: its thread pushes words, everything else is done by the
 * recorder's own thread, which reads the rings, builds batches and writes frames. That thread
 * blocks all signals and has a file descriptor table of its own, so the traced program can
 * neither disturb it nor see its files.
 *
 * Threads: qt_push and qt_event are for the thread that runs the vCPU; qt_recorder_define may
 * be called by any thread; a producer may be closed by another thread while its own still
 * pushes (what it pushes from then on is not recorded).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_RECORDER_H
#define QT_RECORDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "builder.h"
#include "disas.h"
#include "journal.h"
#include "qtrace/writer.h"
#include "ring.h"
#include "words.h"

struct qt_recorder;

struct qt_recorder_options {
    const char *path; /* absolute */
    bool another;     /* if that exists or is being recorded: path.PID, path.PID.2, ... */
    bool follow;      /* qt_recorder_follow shall be possible */
    struct qtrace_writer_options writer;
    size_t ring_bytes;  /* of one producer */
    size_t rings_bytes; /* of all */
    bool user;          /* how addresses stand in words, see words.h */
    unsigned more;      /* QT_MORE_*: what follows accesses */
    bool drop;          /* when a ring is full: count a loss at once instead of waiting */
    unsigned wait_ms;   /* longest wait for a recorder's thread that is stuck, see below */
    unsigned flush_ms;  /* no row waits longer for its frame, but those of the block that runs;
                         * 0: until it is full */
    /* All producers, whole pages of zeros, slot_size bytes each: then they and their rings lie in
     * a file beside the trace as long as it grows, if that can be made. NULL: they do not. */
    void *slots;
    size_t slots_size, slot_size;
    /* Makes the disassembly of instructions that come without (NULL), on the recorder's thread;
     * text has room for QT_TEXT_MAX bytes. NULL: they have none. */
    void (*disas)(const struct qtrace_insn *insn, char *text);
};

/* The first chunk of a stream ends with its beginning and room for one word, so that its own thread
 * comes to qt_producer_turn at once. */
#define QT_FIRST_WORD (QT_CHUNK_WORDS - 4)

/* Hot words first; one cache line. */
struct qt_producer {
    uint64_t *next;  /* the next word */
    uint64_t *slot;  /* instructions behind the one of the current block that started last */
    uint64_t block;  /* word of the current block, where somebody asks for it */
    uint64_t own_slot;
    /* from here on cold */
    struct qt_recorder *recorder;
    uint32_t stream, vcpu;
    uint64_t seq;       /* of the last event; own thread */
    bool open;          /* the recorder's thread reads it; recorder->lock */
    bool losing;        /* words go to the scratch chunk; own thread and lock */
    uint32_t carry;     /* PARTIAL of the last recorded block, met in a scratch chunk */
    struct qt_loss loss;
    struct qt_ring ring;
    struct qt_journal journal; /* recorder's thread */
    atomic_bool waiting; /* for the ring to be low */
    struct qt_builder *builder; /* recorder's thread */
    uint64_t seen;             /* chunks that were handed over when the thread looked last */
    uint64_t consumed;         /* words of the chunk after the consumed ones that are done, too */
    atomic_bool closed;        /* no more words; set under recorder->lock */
    size_t last_words;         /* of the chunk that was being filled */
    uint32_t last_remaining;
    struct qt_producer *link;  /* list of the recorder */
    struct qt_tally *tally;    /* the stream is only counted; recorder->lock and own thread */
};

struct qt_summary {
    uint64_t blocks, insns, accesses, events, translations, streams, bytes;
    struct qt_loss lost, overrun; /* all of it, and what of it found no place in a ring */
    uint64_t user_us, system_us;  /* processor time of the recorder's thread, microseconds */
    struct qtrace_error error; /* code 0 = none */
    bool endless; /* not even an end could be written: what is not in the file is counted here */
};

/* Open the file and start the thread. options->path is borrowed for ever. */
int qt_recorder_start(struct qt_recorder **out, const struct qt_recorder_options *options,
                      struct qtrace_error *err) QTRACE_MUST_USE;

/* Why there is no file beside the trace; code 0 = there is one, or none was wanted. */
const struct qtrace_error *qt_recorder_live_error(const struct qt_recorder *recorder);

/* The facts of the run, before the first definition; later calls are ignored. The strings are
 * borrowed for ever. */
void qt_recorder_run(struct qt_recorder *recorder, const struct qtrace_run *run);

/* A translation with the next id, which is returned through *id; the caller gives away
 * `definition`, one malloc'ed piece whose first member is a struct qtrace_translation. The
 * stream of this thread gets the event. UINT32_MAX: nothing is recorded any more. */
uint32_t qt_recorder_define(struct qt_recorder *recorder,
                            struct qtrace_translation *definition);

/* Begin a stream in *producer (all zero, or closed). Waits until the words of the one before
 * are read; if the recorder's thread is stuck, the stream begins with a loss. False: no memory. */
bool qt_producer_open(struct qt_recorder *recorder, struct qt_producer *producer, uint32_t vcpu);

/* End a stream. The words pushed so far will be recorded; this does not wait for it, because a
 * vCPU that takes its time to exit meets a QEMU that frees its plugins' callbacks (10.0). */
void qt_producer_close(struct qt_producer *producer, bool vcpu_exits);

/* Has it a stream that is not closed? */
static inline bool qt_producer_is_live(const struct qt_producer *producer)
{
    return producer->recorder && (!producer->closed || producer->tally);
}

/* Write everything, close the file, end the thread. The recorder itself stays, as other
 * threads may still touch it. Returns when all is done; true, with a summary, to the first who
 * calls it. */
bool qt_recorder_stop(struct qt_recorder *recorder, const char *reason,
                      struct qt_summary *summary);

/* The file that is written. It lives as long as the recorder. */
const char *qt_recorder_path(const struct qt_recorder *recorder);

/* Around a fork: before it, and then in the parent. */
void qt_recorder_before_fork(struct qt_recorder *recorder);
void qt_recorder_after_fork(struct qt_recorder *recorder);

/* In the child, before anything else happens there: one of these two. Record nothing any more,
 * touch nothing that is the parent's; */
void qt_recorder_abandon(struct qt_recorder *recorder);

/* or record on, on this thread as the only one, into a file of the child's own with definitions of
 * all translations so far: `file` if its name has the process id (has_pid), else file.PID; if that
 * exists, as in options->another. An error: as abandoned. */
int qt_recorder_follow(struct qt_recorder *recorder, const char *file, bool has_pid,
                       const struct qtrace_run *run, struct qtrace_error *err) QTRACE_MUST_USE;

/* The producer that this thread filled last; NULL = none yet. */
struct qt_producer *qt_producer_self(void);
void qt_producer_adopt(struct qt_producer *producer);

/* The place after a full chunk. */
void qt_producer_turn(struct qt_producer *producer);

/* An event, with the next place in the order of all streams. */
void qt_event(struct qt_producer *producer, enum qtrace_event_kind kind, unsigned n_args,
              const uint64_t *args);

/* An access that a single word cannot hold, with the n words that follow accesses here. */
void qt_producer_access(struct qt_producer *producer, uint32_t insn, uint32_t flags,
                        uint64_t vaddr, uint32_t block, unsigned n, const uint64_t *more);

/* An access with the n words that follow accesses here; word is that of qt_push. */
void qt_push_more(struct qt_producer *producer, uint64_t word, unsigned n, const uint64_t *more);

/* The number of a device, to be written into words. */
uint32_t qt_recorder_device(struct qt_recorder *recorder, const char *name);

/* The recorder's thread has read what was here before, so the line is not in this core's cache, and
 * having it back, to write, takes as long as a hundred words: ask for it early. (Beyond the last
 * chunk lies the scratch chunk.) */
#define QT_FETCH_AHEAD 512 /* words */

static inline void qt_fetch_ahead(const uint64_t *next)
{
    __builtin_prefetch(next + QT_FETCH_AHEAD, 1);
}

/* The release order lets another thread that sees the new place see the word as well. */
static inline void qt_push(struct qt_producer *producer, uint64_t word)
{
    uint64_t *next = producer->next;
    qt_fetch_ahead(next);
    *next++ = word;
    __atomic_store_n(&producer->next, next, __ATOMIC_RELEASE);
    if (__builtin_expect(qt_chunk_is_full(next), 0)) {
        qt_producer_turn(producer);
    }
}

/* A block begins; what the slot says belongs to the one before. */
static inline void qt_push_block(struct qt_producer *producer, uint64_t word)
{
    uint64_t left = __atomic_load_n(producer->slot, __ATOMIC_RELAXED);
    qt_push(producer, word | left << QT_LEFT_SHIFT);
}

#endif
