/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "live.h"
#include "notes.h"
#include "writer.h"

/* How often the recorder's thread looks at the rings when nobody waits for it. */
#define POLL_NS 1000000

/* Of the file beside the trace: room for journals, and scratch chunks, besides the rings; and for
 * what there is always. */
#define LIVE_EXTRA ((size_t)64 << 20)
#define LIVE_MIN ((size_t)8 << 20)

/* From so many live streams on they take turns with one encoder: each has a frame per visit, and is
 * visited when a quarter of its ring is full. Before that each has a frame that stays open, the
 * smaller the more there are. */
#define MANY_STREAMS 32

/* Names that are tried where another one will do. */
#define MAX_NAMES 10000

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
    atomic_bool abandoned; /* a forked child that records nothing */
    bool follow;           /* children shall be able to go on */
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
    atomic_uint forks; /* under way; the thread looks without lock */
    struct forking forking;
    bool working;      /* the thread may be changing what is its own */

    /* the thread's own */
    const char *file; /* the name asked for */
    bool another;     /* another one will do */
    unsigned name;    /* which one is to be tried next: 0 = file itself */
    char *path;       /* the name it got */
    struct qtrace_writer_options writer_options;
    struct qtrace_writer *writer, *inherited;
    struct qt_encoder spare; /* for builders without an open frame */
    struct qt_summary summary;
    struct qtrace_run run;
    bool run_written;
    const char *reason;
    uint64_t noted;  /* notes of what the writer has been told */
    unsigned flush_ms;
    uint64_t flushed; /* when */
    void (*disas)(const struct qtrace_insn *insn, char *text);
    char text[QTRACE_MAX_BLOCK_INSNS][QT_TEXT_MAX];
};

static __thread struct qt_producer *self;

/* Translations of a thread that has not run any block yet. */
struct waiting {
    struct waiting *next;
    uint64_t id, seq, time;
};
static __thread struct waiting *waiting_first, **waiting_last;

struct qt_producer *qt_producer_self(void)
{
    return self;
}

void qt_producer_adopt(struct qt_producer *producer)
{
    self = producer;
}

static uint64_t now(const struct qt_recorder *recorder)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)(t.tv_sec - recorder->start.tv_sec) * 1000000000 + t.tv_nsec -
           recorder->start.tv_nsec;
}

static uint64_t take_seq(struct qt_recorder *recorder)
{
    return atomic_fetch_add_explicit(&recorder->seq, 1, memory_order_acq_rel) + 1;
}

/* ---- producers ---------------------------------------------------------------------- */

static size_t room_in_chunk(const uint64_t *next)
{
    return QT_CHUNK_WORDS - (uintptr_t)next % QT_CHUNK_BYTES / sizeof(uint64_t);
}

/* Push without looking for the end of the chunk; the caller has made room. The words of a
 * control become visible together: whoever stops the recording reads up to `next`. */
static void put(struct qt_producer *p, enum qt_control kind, uint64_t payload, unsigned n,
                const uint64_t *words)
{
    uint64_t *next = p->next;
    *next++ = qt_word_control(kind, n, payload);
    for (unsigned i = 0; i < n; i++) {
        *next++ = words[i];
    }
    __atomic_store_n(&p->next, next, __ATOMIC_RELEASE);
}

static void put_event(struct qt_producer *p, enum qtrace_event_kind kind, uint64_t seq,
                      uint64_t time, unsigned n_args, const uint64_t *args)
{
    uint64_t words[2 + QTRACE_EVENT_ARGS] = {seq, time};
    p->seq = seq;
    if (n_args) {
        memcpy(words + 2, args, n_args * sizeof(*args));
    }
    put(p, QT_CONTROL_EVENT, kind, 2 + n_args, words);
}

static struct timespec deadline(uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += t.tv_nsec;
    t.tv_sec += ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

/* Has the thread done nothing for so long? done: what it has done so far. With the lock held, like
 * the next. */
static bool is_over(struct patience *patience, uint64_t done, uint64_t wait_ns)
{
    if (patience->done != done) {
        patience->done = done;
        patience->waited = 0;
    }
    return patience->waited >= wait_ns;
}

#define WAIT_STEPS 20

/* Wait for a part of what is allowed. What several wait at the same time counts once. So do long
 * pauses, in which the whole process was stopped, for a step: the thread could do nothing either. */
static void wait_a_step(struct qt_recorder *r, struct patience *patience, uint64_t wait_ns)
{
    uint64_t step = wait_ns / WAIT_STEPS + 1, begin = now(r);
    struct timespec until = deadline(step);
    pthread_cond_signal(&r->wanted);
    pthread_cond_timedwait(&r->room, &r->lock, &until);
    uint64_t end = now(r), from = begin > patience->until ? begin : patience->until;
    if (end > from) {
        patience->waited += end - from < step ? end - from : step;
        patience->until = end;
    }
}

/* Wait a little, unless the thread is stuck. */
static bool wait_unless_stuck(struct qt_recorder *r)
{
    if (is_over(&r->patience, atomic_load(&r->taken), r->wait_ns)) {
        return false;
    }
    wait_a_step(r, &r->patience, r->wait_ns);
    return true;
}

/* Is there a free chunk? If not, wait until most are, no longer than allowed: waking up is dear,
 * so it shall be worth it. Called and returns with the lock held. */
static bool wait_for_room(struct qt_producer *p)
{
    struct qt_recorder *r = p->recorder;
    if (qt_ring_has_room(&p->ring) || r->drop) {
        return qt_ring_has_room(&p->ring);
    }
    atomic_store(&p->waiting, true);
    while (!qt_ring_is_low(&p->ring) && !p->closed && wait_unless_stuck(r)) {
    }
    atomic_store(&p->waiting, false);
    return qt_ring_has_room(&p->ring);
}

static void begin_loss(struct qt_producer *p)
{
    p->losing = true;
    p->carry = 0;
    memset(&p->loss, 0, sizeof(p->loss));
    __atomic_store_n(&p->next, p->ring.scratch, __ATOMIC_RELEASE);
}

/* Count what is in the scratch chunk. What its first block says of the one before it belongs to
 * a block lost earlier, or else to the last one that was recorded. */
static void count_loss(struct qt_producer *p, size_t n_words)
{
    uint32_t carry;
    bool any_block = p->loss.blocks > 0;
    qt_words_count(p->ring.scratch, n_words, p->recorder->more, &p->loss, &carry);
    if (any_block) {
        p->loss.insns -= carry;
    } else if (carry) {
        p->carry = carry;
    }
}

static void end_loss(struct qt_producer *p)
{
    p->losing = false;
    qt_loss_add(&p->recorder->overrun, &p->loss);
    __atomic_store_n(&p->next, qt_ring_chunk(&p->ring, atomic_load(&p->ring.head)),
                     __ATOMIC_RELEASE);
    if (p->carry) {
        put(p, QT_CONTROL_PARTIAL, p->carry, 0, NULL);
    }
    uint64_t args[] = {p->loss.blocks, p->loss.insns, p->loss.accesses, p->loss.events};
    put_event(p, QTRACE_EVENT_LOST, take_seq(p->recorder), now(p->recorder), 4, args);
}

/* While nothing happens in other streams the order is clear, and sync events tell the time only. */
#define ALONE_CHUNKS 32

static bool wants_sync(const struct qt_producer *p)
{
    return atomic_load(&p->recorder->seq) != p->seq ||
           atomic_load(&p->ring.head) % ALONE_CHUNKS == 0;
}

/* With the lock held: the chunk is full, find the next place. */
static void next_chunk(struct qt_producer *p)
{
    if (p->losing) {
        count_loss(p, QT_CHUNK_WORDS);
        /* before any waiting: another thread may close this producer meanwhile */
        __atomic_store_n(&p->next, p->ring.scratch, __ATOMIC_RELEASE);
        if (wait_for_room(p) && !p->closed) {
            end_loss(p);
        }
        return;
    }
    qt_ring_publish(&p->ring);
    if (!qt_ring_is_ready(&p->ring) && !qt_ring_has_room(&p->ring)) {
        qt_ring_touch(&p->ring);
    }
    __atomic_store_n(&p->next, qt_ring_chunk(&p->ring, atomic_load(&p->ring.head)),
                     __ATOMIC_RELEASE);
    bool room = wait_for_room(p);
    if (p->closed) {
        __atomic_store_n(&p->next, p->ring.scratch, __ATOMIC_RELEASE);
    } else if (room && !waiting_first && wants_sync(p)) {
        /* (what waits has an older place in the order than this) */
        put_event(p, QTRACE_EVENT_SYNC, take_seq(p->recorder), now(p->recorder), 0, NULL);
    } else if (!room) {
        begin_loss(p);
    }
}

static void turn_tally(struct qt_recorder *r, struct qt_producer *p);

static bool turn(struct qt_producer *p)
{
    struct qt_recorder *r = p->recorder;
    if (atomic_load_explicit(&r->abandoned, memory_order_relaxed)) {
        p->next = p->ring.scratch;
        return false;
    }
    pthread_mutex_lock(&r->lock);
    if (p->tally) {
        turn_tally(r, p);
    } else if (p->closed) {
        p->next = p->ring.scratch;
    } else {
        next_chunk(p);
    }
    pthread_mutex_unlock(&r->lock);
    return true;
}

/* Room for a control word and the words that follow it. */
static void reserve(struct qt_producer *p, unsigned n_words)
{
    size_t room = room_in_chunk(p->next);
    if (room < n_words + 1) {
        while (room--) {
            put(p, QT_CONTROL_NOP, 0, 0, NULL);
        }
        qt_producer_turn(p);
    }
}

/* The chunk may have become full exactly. */
static void turn_if_full(struct qt_producer *p)
{
    if (qt_chunk_is_full(p->next)) {
        qt_producer_turn(p);
    }
}

/* Translations that this thread met before its stream had begun stand before its first word,
 * which is the last one of the first chunk. */
static void place_waiting(struct qt_producer *p, uint64_t first_word)
{
    while (waiting_first) {
        struct waiting *w = waiting_first;
        waiting_first = w->next;
        reserve(p, 3);
        put_event(p, QTRACE_EVENT_TRANSLATION, w->seq, w->time, 1, &w->id);
        turn_if_full(p);
        free(w);
    }
    qt_push(p, first_word);
}

void qt_producer_turn(struct qt_producer *p)
{
    self = p;
    uint64_t *last = p->next - 1;
    if (waiting_first && !atomic_load_explicit(&p->recorder->abandoned, memory_order_relaxed)) {
        uint64_t word = *last;
        *last = qt_word_control(QT_CONTROL_NOP, 0, 0);
        if (turn(p)) {
            place_waiting(p, word);
        }
        return;
    }
    turn(p);
}

void qt_event(struct qt_producer *p, enum qtrace_event_kind kind, unsigned n_args,
              const uint64_t *args)
{
    if (atomic_load_explicit(&p->recorder->abandoned, memory_order_relaxed)) {
        return;
    }
    reserve(p, 2 + n_args);
    put_event(p, kind, take_seq(p->recorder), now(p->recorder), n_args, args);
    turn_if_full(p);
}

void qt_producer_access(struct qt_producer *p, uint32_t insn, uint32_t flags, uint64_t vaddr,
                        uint32_t block, unsigned n, const uint64_t *more)
{
    uint64_t words[2 + QT_MORE_MAX] = {vaddr, block};
    for (unsigned i = 0; i < n; i++) {
        words[2 + i] = more[i];
    }
    reserve(p, 2 + n);
    put(p, QT_CONTROL_ACCESS, (uint64_t)flags << 16 | insn, 2 + n, words);
    turn_if_full(p);
}

void qt_push_more(struct qt_producer *p, uint64_t word, unsigned n, const uint64_t *more)
{
    reserve(p, n);
    uint64_t *next = p->next;
    qt_fetch_ahead(next);
    *next++ = word;
    for (unsigned i = 0; i < n; i++) {
        *next++ = more[i];
    }
    __atomic_store_n(&p->next, next, __ATOMIC_RELEASE);
    turn_if_full(p);
}

uint32_t qt_recorder_device(struct qt_recorder *r, const char *name)
{
    const uint64_t address = (uintptr_t)name;
    uint32_t number = qt_devices_find(r->devices, address);
    if (number == QT_NO_DEVICE && !atomic_load(&r->abandoned)) {
        pthread_mutex_lock(&r->lock);
        number = qt_devices_find(r->devices, address);
        number = number == QT_NO_DEVICE ? qt_devices_add(r->devices, address, name) : number;
        pthread_mutex_unlock(&r->lock);
    }
    return number;
}

/* Where a producer without a ring writes, so that the hot path need not ask. */
static uint64_t nowhere[QT_CHUNK_WORDS] __attribute__((aligned(QT_CHUNK_BYTES)));

static void park(struct qt_recorder *r, struct qt_producer *p)
{
    p->recorder = r;
    p->closed = true;
    p->ring.scratch = nowhere;
    p->slot = &p->own_slot;
    p->next = nowhere;
}

/* Rings share their memory: the more there are, the smaller the next one is. Most of it is for
 * those that are as small as can be, of which there can be a thousand. */
static size_t ring_size(const struct qt_recorder *r)
{
    size_t shared = r->rings_bytes / 8 * 3;
    size_t left = r->rings_used < shared ? (shared - r->rings_used) / 2 : 0;
    return left < r->ring_bytes ? left : r->ring_bytes;
}

/* With the lock held: the recorder's thread shall read it. False: no memory. */
static bool begin_stream(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu,
                         uint32_t stream)
{
    memset(p, 0, sizeof(*p));
    park(r, p);
    struct qt_builder *builder = calloc(1, sizeof(*builder));
    if (!builder || r->stopping || !qt_ring_init(&p->ring, ring_size(r), r->live)) {
        free(builder);
        return false;
    }
    p->builder = builder;
    p->closed = false;
    p->vcpu = vcpu;
    p->stream = stream;
    p->open = true;
    qt_builder_init(p->builder, p->stream, vcpu, r->user, r->more, r->devices);
    r->rings_used += p->ring.map_size;
    r->n_live++;
    p->consumed = QT_FIRST_WORD;
    p->next = qt_ring_chunk(&p->ring, 0) + p->consumed;
    struct qt_producer **end = &r->producers;
    while (*end) {
        end = &(*end)->link;
    }
    *end = p;
    return true;
}

/* The same while the thread has the producer's memory. */
static bool begin_tally(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu,
                        uint32_t stream)
{
    struct qt_tally *t = calloc(1, sizeof(*t));
    uint64_t *chunk = aligned_alloc(QT_CHUNK_BYTES, QT_CHUNK_BYTES);
    if (!t || !chunk || r->stopping) {
        free(t);
        free(chunk);
        return false;
    }
    *t = (struct qt_tally){.next = r->tallies, .producer = p, .stream = stream, .vcpu = vcpu,
                           .chunk = chunk, .first = QT_FIRST_WORD};
    r->tallies = t;
    p->tally = t;
    p->own_slot = 0;
    p->slot = &p->own_slot;
    p->next = chunk + t->first;
    return true;
}

/* continued: the vCPU began before the recording did. */
static bool open_stream(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu,
                        bool continued)
{
    if (atomic_load(&r->abandoned)) {
        memset(p, 0, sizeof(*p));
        park(r, p);
        return false;
    }
    if (r->live) {
        qt_live_populate_slot(r->live, p);
    }
    pthread_mutex_lock(&r->lock);
    while (p->open && wait_unless_stuck(r)) {
        /* what the vCPU before left behind is still being read */
    }
    const uint64_t arg = 1;
    bool ok = p->open ? begin_tally(r, p, vcpu, r->n_streams)
                      : begin_stream(r, p, vcpu, r->n_streams);
    if (ok) {
        r->n_streams++;
        put_event(p, QTRACE_EVENT_VCPU_INIT, take_seq(r), now(r), continued, &arg);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

static void count_words(struct qt_recorder *r, struct qt_tally *t, size_t end)
{
    uint32_t carry;
    bool any_block = t->loss.blocks > 0;
    qt_words_count(t->chunk + t->first, end - t->first, r->more, &t->loss, &carry);
    t->loss.insns -= any_block ? carry : 0;
    t->first = 0;
}

static void forget_tally(struct qt_recorder *r, struct qt_tally *t)
{
    struct qt_tally **link = &r->tallies;
    while (*link != t) {
        link = &(*link)->next;
    }
    *link = t->next;
    free(t->chunk);
    free(t);
}

/* With the lock held: the thread has given the memory back. The stream can be recorded from now on,
 * as one that has just lost all that was counted, behind an empty first chunk. */
static void end_tally(struct qt_recorder *r, struct qt_producer *p)
{
    struct qt_tally *t = p->tally;
    uint64_t *slot = p->slot, own_slot = p->own_slot, block = p->block;
    bool ok = begin_stream(r, p, t->vcpu, t->stream);
    p->slot = slot;
    p->own_slot = own_slot;
    p->block = block;
    if (!ok) {
        p->tally = t;
        p->next = t->chunk;
        return;
    }
    while (!qt_chunk_is_full(p->next)) {
        put(p, QT_CONTROL_NOP, 0, 0, NULL);
    }
    qt_ring_publish(&p->ring);
    begin_loss(p);
    p->loss = t->loss;
    forget_tally(r, t);
}

/* With the lock held: the chunk is full. */
static void turn_tally(struct qt_recorder *r, struct qt_producer *p)
{
    count_words(r, p->tally, QT_CHUNK_WORDS);
    __atomic_store_n(&p->next, p->tally->chunk, __ATOMIC_RELEASE);
    if (!p->open && !r->stopping) {
        end_tally(r, p);
    }
}

bool qt_producer_open(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu)
{
    return open_stream(r, p, vcpu, false);
}

/* The last place and progress of a producer. Its thread may still be pushing (a machine's vCPUs
 * run on while QEMU exits): then this is some place that it passed, and the last block counts
 * as far as the slot says, which is about the block before when it has only just begun. */
static void snapshot(struct qt_producer *p, uint64_t **next, uint64_t *remaining)
{
    for (int tries = 0; tries < 1000; tries++) {
        *next = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
        *remaining = __atomic_load_n(p->slot, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&p->next, __ATOMIC_ACQUIRE) == *next) {
            return;
        }
    }
}

/* The chunk stays: when all stops, a thread may still be pushing into it. */
static void close_tally(struct qt_recorder *r, struct qt_tally *t)
{
    uint64_t *next, remaining;
    snapshot(t->producer, &next, &remaining);
    count_words(r, t, next - t->chunk);
    t->loss.insns -= t->loss.blocks && remaining <= t->loss.insns ? remaining : 0;
    qt_loss_add(&r->overrun, &t->loss);
    t->producer->tally = NULL;
    t->producer = NULL;
}

static void close_locked(struct qt_producer *p)
{
    uint64_t *next, remaining;
    snapshot(p, &next, &remaining);
    if (p->losing) {
        count_loss(p, (next - p->ring.scratch));
        p->loss.insns -= p->loss.blocks && remaining <= p->loss.insns ? remaining : 0;
        qt_loss_add(&p->recorder->overrun, &p->loss);
        p->last_words = 0;
        p->last_remaining = p->loss.blocks ? p->carry : remaining;
    } else {
        p->last_words = next - qt_ring_chunk(&p->ring, atomic_load(&p->ring.head));
        p->last_remaining = remaining;
    }
    p->closed = true;
    pthread_cond_signal(&p->recorder->wanted);
    pthread_cond_broadcast(&p->recorder->room);
}

void qt_producer_close(struct qt_producer *p, bool vcpu_exits)
{
    struct qt_recorder *r = p->recorder;
    if (!r || atomic_load(&r->abandoned) || !qt_producer_is_live(p)) {
        return;
    }
    if (vcpu_exits) {
        qt_event(p, QTRACE_EVENT_VCPU_EXIT, 0, NULL);
    }
    pthread_mutex_lock(&r->lock);
    struct qt_tally *tally = p->tally;
    if (tally) {
        close_tally(r, tally);
    } else if (!p->closed) {
        close_locked(p);
    }
    if (tally && vcpu_exits) {
        free(tally->chunk);
        tally->chunk = NULL;
    }
    if (vcpu_exits) {
        p->slot = &p->own_slot;
        p->next = nowhere;
    }
    pthread_mutex_unlock(&r->lock);
    if (self == p) {
        self = NULL;
    }
}

/* With the lock held: give the definition the next id, and note it. The notes are full when there
 * are many definitions at once; what has been written is forgotten soon. */
static void note_definition(struct qt_recorder *r, struct qtrace_translation *definition)
{
    definition->id = r->n_translations;
    while (r->live && !r->stopping && !qt_notes_define(r->live, definition) &&
           wait_unless_stuck(r)) {
        definition->id = r->n_translations;
    }
}

uint32_t qt_recorder_define(struct qt_recorder *r, struct qtrace_translation *definition)
{
    uint64_t seq = 0, time = 0;
    struct definition *d = malloc(sizeof(*d));
    uint32_t id = UINT32_MAX;
    bool live = !atomic_load(&r->abandoned);
    if (self && live) {
        reserve(self, 3); /* now: a full chunk takes a place in the order as well */
    }
    if (d && live) {
        pthread_mutex_lock(&r->lock);
        note_definition(r, definition);
        if (!r->stopping && r->n_translations < UINT32_MAX) {
            id = r->n_translations++;
            seq = take_seq(r);
            time = now(r);
            *d = (struct definition){NULL, definition};
            *r->last = d;
            r->last = &d->next;
        }
        pthread_mutex_unlock(&r->lock);
    }
    if (id == UINT32_MAX) {
        free(d);
        free(definition);
        return id;
    }
    uint64_t arg = id;
    if (self) {
        put_event(self, QTRACE_EVENT_TRANSLATION, seq, time, 1, &arg);
        turn_if_full(self);
        return id;
    }
    struct waiting *w = malloc(sizeof(*w));
    if (w) {
        *w = (struct waiting){NULL, id, seq, time};
        if (!waiting_first) {
            waiting_last = &waiting_first;
        }
        *waiting_last = w;
        waiting_last = &w->next;
    }
    return id;
}

/* ---- the recorder's thread ------------------------------------------------------------- */

static int note(struct qt_recorder *r, int result, const struct qtrace_error *err)
{
    if (result != QTRACE_OK && r->summary.error.code == QTRACE_OK) {
        r->summary.error = *err;
        r->summary.error.code = result;
    }
    return result;
}

static void note_no_memory(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    qtrace_error_set(&err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    note(r, QTRACE_E_NOMEM, &err);
}

static void write_run(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    note(r, qtrace_writer_run(r->writer, &r->run, &err), &err);
    r->run_written = true;
}

/* Definitions are written with the next frame; whatever the writer has not written then, it never
 * will. */
static void forget_notes(struct qt_recorder *r)
{
    if (r->live) {
        qt_notes_forget(r->live, r->noted);
    }
}

static int emit(void *sink, const struct qt_builder *builder)
{
    struct qt_recorder *r = sink;
    struct qtrace_error err = {0};
    int result = qt_writer_frame(r->writer, &builder->encoder, &builder->head, &err);
    forget_notes(r);
    return note(r, result, &err);
}

/* Texts that the vCPU's thread left to us. They live until the next call. */
static void add_texts(struct qt_recorder *r, struct qtrace_translation *t)
{
    struct qtrace_insn *insn = (struct qtrace_insn *)t->insn; /* of one piece with t */
    for (uint32_t i = 0; r->disas && i < t->n_insns; i++) {
        if (!insn[i].disas) {
            r->disas(&insn[i], r->text[i]);
            insn[i].disas = r->text[i];
        }
    }
}

/* Everything that was defined before the words that will be looked at next. */
static void take_definitions(struct qt_recorder *r)
{
    pthread_mutex_lock(&r->lock);
    struct definition *list = r->first;
    r->first = NULL;
    r->last = &r->first;
    bool has_run = r->has_run;
    r->noted = r->live ? qt_notes_head(r->live) : 0;
    pthread_mutex_unlock(&r->lock);
    if (has_run && !r->run_written) { /* (not under the lock: writing may take its time) */
        write_run(r);
    }
    while (list) {
        struct definition *d = list;
        struct qtrace_error err = {0};
        list = d->next;
        add_texts(r, d->translation);
        int result = qtrace_writer_define(r->writer, d->translation, &err);
        r->summary.translations += note(r, result, &err) == QTRACE_OK;
        free(d->translation);
        free(d);
    }
}

static void add_words(struct qt_recorder *r, struct qt_producer *p, const uint64_t *words,
                      size_t n, const struct qt_frame_size *size)
{
    if (qt_writer_failed(r->writer)) {
        qt_builder_skip(p->builder, words, n);
        return;
    }
    qt_builder_borrow(p->builder, &r->spare);
    int result = qt_builder_add(p->builder, qt_writer_lengths(r->writer), words, n, size, emit, r);
    if (result == QTRACE_E_NOMEM) {
        note_no_memory(r);
    }
}

static bool are_many(const struct qt_recorder *r)
{
    return r->n_live >= MANY_STREAMS;
}

/* Words of the chunk behind the consumed ones, from where they have not been taken up to `end`. */
static void take_words(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk, size_t end)
{
    const struct qt_frame_size size =
        qt_frame_size_for(r->n_live, r->more, r->writer_options.level);

    if (end > p->consumed) {
        add_words(r, p, qt_ring_chunk(&p->ring, chunk) + p->consumed, end - p->consumed, &size);
    }
}

static void save(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk)
{
    if (r->live) {
        qt_journal_save(&p->journal, r->live, p->builder, chunk, p->consumed);
    }
}

static void touch(struct qt_recorder *r, struct qt_producer *p)
{
    if (!qt_ring_is_ready(&p->ring)) {
        pthread_mutex_lock(&r->lock);
        qt_ring_touch(&p->ring);
        pthread_mutex_unlock(&r->lock);
    }
}

/* With the lock held: nothing of the thread's own changes before it returns. */
static void rest(struct qt_recorder *r, uint64_t ns)
{
    struct timespec until = deadline(ns);
    r->working = false;
    pthread_cond_broadcast(&r->room);
    if (!r->forks) {
        pthread_cond_timedwait(&r->wanted, &r->lock, &until);
    }
    while (r->forks) {
        pthread_cond_wait(&r->wanted, &r->lock);
    }
    r->working = true;
}

static void let_fork(struct qt_recorder *r)
{
    if (atomic_load_explicit(&r->forks, memory_order_relaxed)) {
        pthread_mutex_lock(&r->lock);
        rest(r, 0);
        pthread_mutex_unlock(&r->lock);
    }
}

/* How many of these words come before the last block? */
static size_t words_before_last_block(const uint64_t *words, size_t n, unsigned more)
{
    size_t last = 0;

    for (size_t i = 0; i < n; i += qt_word_length(words + i, n - i, more)) {
        last = qt_word_is_block(words[i]) ? i : last;
    }
    return last;
}

/* Take words up to `end` and let the frame end with them, but for the last block: how far that gets
 * is not known yet, so it stays in the ring. False: it is the only one there, it cannot stay. */
static bool end_frame(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk, size_t end)
{
    uint64_t *const words = qt_ring_chunk(&p->ring, chunk);
    const size_t last = p->consumed + words_before_last_block(words + p->consumed,
                                                              end - p->consumed, r->more);

    if (!qt_word_is_block(words[last])) {
        return false;
    }
    take_words(r, p, chunk, last);
    p->consumed = last;
    qt_builder_partial(p->builder, qt_word_block_left(words[last]));
    int result = qt_builder_flush(p->builder, emit, r);
    (void)result; /* noted by emit */
    save(r, p, chunk);
    words[last] &= ~((uint64_t)QT_LEFT_MASK << QT_LEFT_SHIFT); /* that is done */
    if (are_many(r)) {
        qt_builder_return(p->builder, &r->spare);
    }
    return true;
}

/* Take the chunks that a producer has handed over up to `head`. Of many streams none has a frame open
 * between two visits, unless all is wanted, or the producer waits for room. */
static bool consume(struct qt_recorder *r, struct qt_producer *p, uint64_t head, bool all)
{
    uint64_t tail = atomic_load_explicit(&p->ring.tail, memory_order_relaxed);
    bool any = tail < head;
    p->seen = head;
    all |= !are_many(r) || atomic_load(&p->waiting);
    for (; tail < head; tail++) {
        let_fork(r);
        touch(r, p);
        if (!all && tail + 1 == head && end_frame(r, p, tail, QT_CHUNK_WORDS)) {
            break;
        }
        take_words(r, p, tail, QT_CHUNK_WORDS);
        qt_ring_forget(&p->ring, qt_ring_chunk(&p->ring, tail));
        p->consumed = 0;
        save(r, p, tail + 1);
        /* in one order with the flag of who waits: one of both sees the other's */
        atomic_store(&p->ring.tail, tail + 1);
        atomic_fetch_add_explicit(&r->taken, 1, memory_order_relaxed);
        if (atomic_load(&p->waiting) && qt_ring_is_low(&p->ring)) {
            pthread_mutex_lock(&r->lock);
            pthread_cond_broadcast(&r->room);
            pthread_mutex_unlock(&r->lock);
        }
    }
    return any;
}

/* Not with the next frame, but now. */
static void write_definitions(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    take_definitions(r);
    note(r, qt_writer_flush(r->writer, &err), &err);
    forget_notes(r);
    atomic_fetch_add_explicit(&r->taken, 1, memory_order_relaxed);
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->room); /* somebody may wait for room to note one more */
    pthread_mutex_unlock(&r->lock);
}

/* The end of a stream: the chunk that was being filled, what was lost at the end. */
static void finish_producer(struct qt_recorder *r, struct qt_producer *p)
{
    uint64_t head = atomic_load(&p->ring.head);
    consume(r, p, head, true);
    take_words(r, p, head, p->last_words);
    qt_builder_partial(p->builder, p->last_remaining);
    if (p->losing) {
        qt_builder_lose(p->builder, &p->loss);
    }
    int result = qt_builder_flush(p->builder, emit, r);
    (void)result; /* noted by emit */
    if (are_many(r)) {
        qt_builder_return(p->builder, &r->spare);
    }
    if (p->builder->pending) {
        note_no_memory(r);
        qt_writer_lose(r->writer, p->stream, p->vcpu, &p->builder->lost);
    }
    r->summary.streams++;
}

static void release(struct qt_recorder *r, struct qt_producer *p)
{
    pthread_mutex_lock(&r->lock);
    struct qt_producer **link = &r->producers;
    while (*link != p) {
        link = &(*link)->link;
    }
    *link = p->link;
    r->n_live--;
    if (r->live) {
        qt_journal_drop(&p->journal, r->live);
    }
    if (!r->stopping) {
        /* when all stops, a thread may still be pushing into this memory */
        r->rings_used -= p->ring.map_size;
        qt_ring_finish(&p->ring);
        p->ring.scratch = nowhere;
    }
    qt_builder_finish(p->builder);
    free(p->builder);
    p->builder = NULL;
    p->open = false;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
}

static bool wants_visit(const struct qt_recorder *r, struct qt_producer *p, uint64_t head)
{
    const uint64_t chunks = head - p->seen;

    return atomic_load(&p->waiting) || chunks > (are_many(r) ? p->ring.n_chunks / 4 : 0);
}

/* One look at every ring. Definitions are taken after a ring's head was read and before its
 * words are: so every block in the words is known. */
static bool round_of_rings(struct qt_recorder *r)
{
    bool any = false;
    pthread_mutex_lock(&r->lock);
    struct qt_producer *p = r->producers;
    pthread_mutex_unlock(&r->lock);
    if (r->live) {
        r->live->thrifty = are_many(r);
    }
    while (p) {
        pthread_mutex_lock(&r->lock);
        bool closed = p->closed;
        struct qt_producer *next = p->link;
        pthread_mutex_unlock(&r->lock);
        uint64_t head = atomic_load_explicit(&p->ring.head, memory_order_acquire);
        if (closed || wants_visit(r, p, head)) {
            take_definitions(r);
            any |= consume(r, p, head, closed);
            if (closed) {
                finish_producer(r, p);
                release(r, p);
                any = true;
            }
        }
        p = next;
    }
    return any;
}

/* Let what a producer has pushed so far be in frames, but for the block that runs: how far it gets
 * is not known yet. */
static void flush_producer(struct qt_recorder *r, struct qt_producer *p)
{
    const uint64_t head = atomic_load(&p->ring.head);
    uint64_t *const chunk = qt_ring_chunk(&p->ring, head);
    const uint64_t *next = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
    const size_t end = next >= chunk && next <= chunk + QT_CHUNK_WORDS ? next - chunk : 0;

    if (atomic_load(&p->ring.head) != head || p->losing) {
        return;
    }
    const bool more = end > (atomic_load(&p->ring.tail) == head ? p->consumed : 0);
    take_definitions(r);
    consume(r, p, head, more);
    if (more) {
        end_frame(r, p, head, end);
    }
}

/* Everything that is old enough. */
static void flush_all(struct qt_recorder *r)
{
    pthread_mutex_lock(&r->lock);
    struct qt_producer *p = r->producers;
    pthread_mutex_unlock(&r->lock);
    while (p) {
        pthread_mutex_lock(&r->lock);
        bool closed = p->closed;
        struct qt_producer *next = p->link;
        pthread_mutex_unlock(&r->lock);
        if (!closed) {
            flush_producer(r, p);
        }
        p = next;
    }
    write_definitions(r);
    r->flushed = now(r);
}

static void work(struct qt_recorder *r)
{
    for (;;) {
        bool any = round_of_rings(r);
        if (r->flush_ms && now(r) - r->flushed >= r->flush_ms * UINT64_C(1000000)) {
            flush_all(r);
        } else if (r->live && qt_notes_crowded(r->live)) {
            write_definitions(r);
        }
        pthread_mutex_lock(&r->lock);
        if (r->stopping && !r->producers) {
            pthread_mutex_unlock(&r->lock);
            return;
        }
        if (!any) {
            rest(r, POLL_NS);
        }
        pthread_mutex_unlock(&r->lock);
    }
}

/* A descriptor table of our own: the guest can neither close nor see what we open, and its
 * numbers are what they would be without us. And its chroot and umask shall not be ours. */
static int own_descriptors(struct qtrace_error *err)
{
    unshare(CLONE_FS);
    if (syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE)) {
        if (unshare(CLONE_FILES)) {
            return qt_io_error(err, errno, UINT64_MAX, "no descriptors of our own");
        }
        long max = sysconf(_SC_OPEN_MAX);
        for (long fd = 0; fd < max; fd++) {
            close(fd);
        }
    }
    for (int fd = 0; fd < 3; fd++) {
        if (open("/dev/null", O_RDWR) != fd) {
            break;
        }
    }
    return QTRACE_OK;
}

/* FILE; if another name will do: FILE.PID, FILE.PID.2, FILE.PID.3, ... */
static char *name_file(const struct qt_recorder *r)
{
    size_t size = strlen(r->file) + 32;
    char *path = malloc(size);
    if (path && r->name == 0) {
        strcpy(path, r->file);
    } else if (path && r->name == 1) {
        snprintf(path, size, "%s.%d", r->file, (int)getpid());
    } else if (path) {
        snprintf(path, size, "%s.%d.%u", r->file, (int)getpid(), r->name);
    }
    return path;
}

static int open_file(struct qt_recorder *r, struct qtrace_error *err)
{
    int result;
    do {
        free(r->path);
        r->path = name_file(r);
        if (!r->path) {
            return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
        }
        result = qtrace_writer_open(&r->writer, r->path, &r->writer_options, err);
    } while (result == QTRACE_E_EXISTS && r->another && r->name++ < MAX_NAMES);
    return result;
}

/* What a forked child has of its parent's writer: a copy of its memory. The file is not the
 * child's; the number of its descriptor is one of the guest's. Afterwards all that is defined is
 * in the child's file. */
static int take_over(struct qt_recorder *r, struct qtrace_error *err)
{
    struct qtrace_writer *from = r->inherited;
    if (!from) {
        return QTRACE_OK;
    }
    r->inherited = NULL;
    from->fd = -1;
    write_run(r);
    int result = qt_writer_adopt(r->writer, from, err);
    qt_writer_discard(from);
    if (result == QTRACE_OK) {
        write_definitions(r);
    } else {
        qt_writer_discard(r->writer);
        r->writer = NULL;
    }
    return result;
}

struct opening {
    struct qt_recorder *recorder;
    struct qtrace_error *err;
    int result;
};

/* The table of devices moves into the file. */
static void place_devices(struct qt_recorder *r)
{
    struct qt_devices *devices = qt_live_alloc(r->live, sizeof(*devices));

    if (devices && !qt_live_populate(devices, sizeof(*devices))) {
        qt_live_recycle(r->live, devices, sizeof(*devices));
        devices = NULL;
    }
    if (devices) {
        free(r->devices);
        r->devices = devices;
        r->live->header->devices_address = (uintptr_t)devices;
    }
}

/* Without the file the trace is as good; less is left of it when the process is killed. */
static void open_live(struct qt_recorder *r)
{
    struct qtrace_error err;
    struct qt_live *live;

    if (!r->live_options.slots) {
        return;
    }
    r->live_options.path = r->path;
    r->live_options.nonce = r->writer->nonce;
    live = qt_live_create(&r->live_options, &err);
    if (live && !qt_notes_init(live)) {
        qtrace_error_set(&err, QTRACE_E_IO, UINT64_MAX, "no space");
        qt_live_remove(live, r->path);
        live = NULL;
    }
    r->live = live;
    if (!live) {
        r->live_error = err;
    } else if (r->more & QT_MORE_PHYS) {
        place_devices(r);
    }
}

static void end_file(struct qt_recorder *r)
{
    struct qt_summary *sum = &r->summary;
    struct qtrace_error err = {0};
    struct qt_loss written;
    const char *reason = sum->error.code ? sum->error.message : r->reason;
    for (struct qt_tally *t = r->tallies; t; t = t->next) {
        qt_writer_lose(r->writer, t->stream, t->vcpu, &t->loss);
        sum->streams++;
    }
    note(r, qt_writer_end(r->writer, reason, now(r), &err), &err);
    qt_writer_sum(r->writer, &written, &sum->lost);
    sum->blocks = written.blocks;
    sum->insns = written.insns;
    sum->accesses = written.accesses;
    sum->events = written.events;
    sum->overrun = r->overrun;
    sum->bytes = qtrace_writer_size(r->writer);
    qt_writer_discard(r->writer);
    r->writer = NULL;
}

static void *thread_main(void *data)
{
    struct opening *opening = data;
    struct qt_recorder *r = opening->recorder;
    int result = own_descriptors(opening->err);
    if (result == QTRACE_OK) {
        result = open_file(r, opening->err);
    }
    if (result == QTRACE_OK) {
        result = take_over(r, opening->err);
    }
    if (result == QTRACE_OK) {
        open_live(r);
    }
    pthread_mutex_lock(&r->lock);
    opening->result = result;
    r->opened = r->working = true;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    if (result != QTRACE_OK) {
        return NULL;
    }
    work(r);
    take_definitions(r);
    end_file(r);
    qt_live_remove(r->live, r->path);
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    r->working = false;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int start_thread(struct qt_recorder *r, struct qtrace_error *err)
{
    struct opening opening = {r, err, QTRACE_OK};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = pthread_create(&r->thread, NULL, thread_main, &opening);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result) {
        return qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX, "cannot start a thread: %s",
                                strerror(result));
    }
    pthread_mutex_lock(&r->lock);
    while (!r->opened) {
        pthread_cond_wait(&r->room, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    if (opening.result != QTRACE_OK) {
        pthread_join(r->thread, NULL);
    }
    return opening.result;
}

static void init_locks(struct qt_recorder *r)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->room, &monotonic);
    pthread_cond_init(&r->wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

int qt_recorder_start(struct qt_recorder **out, const struct qt_recorder_options *options,
                      struct qtrace_error *err)
{
    struct qt_recorder *r = calloc(1, sizeof(*r));
    struct qt_devices *devices = options->more & QT_MORE_PHYS ? calloc(1, sizeof(*devices)) : NULL;
    *out = NULL;
    if (!r || (options->more & QT_MORE_PHYS && !devices)) {
        free(r);
        free(devices);
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    init_locks(r);
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    r->file = options->path;
    r->another = options->another;
    r->follow = options->follow;
    r->writer_options = options->writer;
    r->ring_bytes = options->ring_bytes;
    r->rings_bytes = options->rings_bytes;
    r->user = options->user;
    r->more = options->more;
    r->devices = devices;
    r->drop = options->drop;
    r->wait_ns = options->wait_ms * 1000000ull;
    r->flush_ms = options->flush_ms;
    r->live_options = (struct qt_live_options){
        .slots = options->slots,
        .slots_size = options->slots_size,
        .slot_size = options->slot_size,
        .arena_size = options->rings_bytes + LIVE_EXTRA,
        .arena_min = options->ring_bytes + LIVE_MIN,
        .user = options->user,
        .more = options->more,
    };
    r->disas = options->disas;
    r->last = &r->first;
    int result = start_thread(r, err);
    if (result != QTRACE_OK) {
        free(devices);
        free(r);
        return result;
    }
    *out = r;
    return QTRACE_OK;
}

const struct qtrace_error *qt_recorder_live_error(const struct qt_recorder *recorder)
{
    return &recorder->live_error;
}

static void note_run(struct qt_recorder *r)
{
    struct qt_buf message = {0};

    if (r->live && qt_writer_pack_run(&r->run, &message) == QTRACE_OK) {
        qt_notes_run(r->live, message.data, message.len);
    }
    qt_buf_finish(&message);
}

void qt_recorder_run(struct qt_recorder *r, const struct qtrace_run *run)
{
    pthread_mutex_lock(&r->lock);
    if (!r->has_run) {
        r->run = *run;
        r->has_run = true;
        note_run(r);
    }
    pthread_mutex_unlock(&r->lock);
}

/* A trace without an end is worse than a process that takes its time to end. */
#define END_WAIT_NS 1000000000

/* Wait for the end of the thread as long as it does anything at all. With the lock held. False: it
 * is stuck. */
static bool wait_for_end(struct qt_recorder *r)
{
    uint64_t wait_ns = r->wait_ns > END_WAIT_NS ? r->wait_ns : END_WAIT_NS, done = 0;
    struct patience patience = {0};
    clockid_t clock;
    bool known = pthread_getcpuclockid(r->thread, &clock) == 0;
    while (!r->ended && !is_over(&patience, done, wait_ns)) {
        struct timespec t = {0};
        wait_a_step(r, &patience, wait_ns);
        done = known && clock_gettime(clock, &t) == 0 ? t.tv_sec * 1000000000ull + t.tv_nsec : 0;
    }
    return r->ended;
}

/* Its thread is stuck somewhere, and will be when the process is gone. */
static void give_up(struct qt_summary *summary)
{
    *summary = (struct qt_summary){0};
    qtrace_error_set(&summary->error, QTRACE_E_IO, UINT64_MAX,
                     "has no end, as the writer is stuck; qtrace-dump --recover gives it one");
}

bool qt_recorder_stop(struct qt_recorder *r, const char *reason, struct qt_summary *summary)
{
    if (atomic_load(&r->abandoned)) {
        return false;
    }
    pthread_mutex_lock(&r->lock);
    bool first = !r->stopping;
    if (first) {
        r->stopping = true;
        r->reason = reason;
        for (struct qt_producer *p = r->producers; p; p = p->link) {
            if (!p->closed) {
                close_locked(p);
            }
        }
        for (struct qt_tally *t = r->tallies; t; t = t->next) {
            if (t->producer) {
                close_tally(r, t);
            }
        }
        pthread_cond_broadcast(&r->wanted);
    } else {
        /* the first caller to return ends the process: wait for the file */
        while (!r->stopped) {
            pthread_cond_wait(&r->room, &r->lock);
        }
    }
    bool ended = first && wait_for_end(r);
    pthread_mutex_unlock(&r->lock);
    if (first) {
        if (ended) {
            pthread_join(r->thread, NULL);
            *summary = r->summary;
        } else {
            give_up(summary);
        }
        pthread_mutex_lock(&r->lock);
        r->stopped = true;
        pthread_cond_broadcast(&r->room);
        pthread_mutex_unlock(&r->lock);
    }
    return first;
}

const char *qt_recorder_path(const struct qt_recorder *r)
{
    return r->path;
}

/* ---- forks ------------------------------------------------------------------------------ */

/* What the child gets must be whole: nobody is within the lock; and if the child shall go on, the
 * thread is between two steps. It may be stuck in one, then this child cannot. Producers lie in
 * memory that the child shares with its parent at first: what the child needs to know is noted. */
void qt_recorder_before_fork(struct qt_recorder *r)
{
    struct timespec until = deadline(r->wait_ns);
    int result = 0;
    pthread_mutex_lock(&r->lock);
    r->forks++;
    while (r->follow && r->working && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&r->room, &r->lock, &until);
    }
    bool live = self && qt_producer_is_live(self);
    r->forking = (struct forking){
        .producer = live && r->writer && !r->working ? self : NULL,
        .vcpu = live ? self->vcpu : 0,
        .slot = live && self->slot != &self->own_slot ? self->slot : NULL,
    };
}

void qt_recorder_after_fork(struct qt_recorder *r)
{
    r->forks--;
    pthread_cond_broadcast(&r->wanted);
    pthread_mutex_unlock(&r->lock);
}

/* Of the others there is nothing in the child: neither threads nor vCPUs. (The memory of their
 * builders stays; the parent may have changed what points to it.) */
static void forget_producers(struct qt_recorder *r)
{
    if (r->live) {
        char *slot = r->live->slots;
        for (uint32_t i = r->live->header->n_slots; i > 0; i--, slot += r->live_options.slot_size) {
            memset(slot, 0, sizeof(struct qt_producer));
            park(r, (struct qt_producer *)slot);
        }
    }
    for (struct qt_producer *p = r->live ? NULL : r->producers; p; p = p->link) {
        p->open = false;
        park(r, p);
    }
    qt_live_drop(r->live);
    r->live = NULL;
    r->producers = NULL;
    r->tallies = NULL;
    r->n_live = r->n_streams = 0;
    r->rings_used = 0;
}

void qt_recorder_abandon(struct qt_recorder *r)
{
    if (r->live) {
        qt_live_leave(r->live); /* before anything is written to memory that lies there */
    }
    atomic_store(&r->abandoned, true);
    r->working = false;
    init_locks(r);
    forget_producers(r);
    waiting_first = NULL;
}

/* As qt_recorder_start, but for what was said there and what has been defined. */
static void renew(struct qt_recorder *r, const char *file, bool has_pid)
{
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    r->seq = 0;
    r->forks = 0;
    r->patience = (struct patience){0};
    r->opened = r->stopping = r->ended = r->stopped = r->run_written = false;
    r->summary = (struct qt_summary){0};
    r->overrun = (struct qt_loss){0};
    r->noted = r->flushed = 0;
    r->reason = NULL;
    r->file = file;
    r->name = has_pid ? 0 : 1;
    r->another = true;
    r->path = NULL; /* the parent's name is the run's now */
    r->inherited = r->writer;
    r->writer = NULL;
}

/* The vCPU of this thread goes on in a stream of its own. */
static void continue_stream(struct qt_recorder *r, const struct forking *forking)
{
    struct qt_producer *p = forking->producer;
    open_stream(r, p, forking->vcpu, true);
    if (forking->slot) {
        p->slot = forking->slot;
        *p->slot = 0; /* what ran before is not in this trace */
    }
    turn_if_full(p);
    for (uint64_t id = 0; id < r->n_translations; id++) {
        qt_event(p, QTRACE_EVENT_TRANSLATION, 1, &id);
    }
}

int qt_recorder_follow(struct qt_recorder *r, const char *file, bool has_pid,
                       const struct qtrace_run *run, struct qtrace_error *err)
{
    qt_recorder_abandon(r);
    if (!r->forking.producer) {
        return qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX,
                                "the parent's recorder was ending, or busy for too long");
    }
    renew(r, file, has_pid);
    r->run = *run;
    int result = start_thread(r, err);
    if (result == QTRACE_OK) {
        note_run(r);
        atomic_store(&r->abandoned, false);
        continue_stream(r, &r->forking);
    }
    return result;
}
