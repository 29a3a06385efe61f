/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder-inside.h"

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

static size_t room_in_chunk(const uint64_t *next)
{
    return QT_CHUNK_WORDS - (uintptr_t)next % QT_CHUNK_BYTES / sizeof(uint64_t);
}

/* Push without looking for the end of the chunk; the caller has made room. The words of a
 * control become visible together: whoever stops the recording reads up to `next`. */
void qt_producer_put(struct qt_producer *p, enum qt_control kind, uint64_t payload, unsigned n,
                     const uint64_t *words)
{
    uint64_t *next = p->next;
    *next++ = qt_word_control(kind, n, payload);
    for (unsigned i = 0; i < n; i++) {
        *next++ = words[i];
    }
    __atomic_store_n(&p->next, next, __ATOMIC_RELEASE);
}

void qt_producer_put_event(struct qt_producer *p, enum qtrace_event_kind kind, uint64_t seq,
                           uint64_t time, unsigned n_args, const uint64_t *args)
{
    uint64_t words[2 + QTRACE_EVENT_ARGS] = {seq, time};
    p->seq = seq;
    if (n_args) {
        memcpy(words + 2, args, n_args * sizeof(*args));
    }
    qt_producer_put(p, QT_CONTROL_EVENT, kind, 2 + n_args, words);
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
    while (!qt_ring_is_low(&p->ring) && !p->closed && qt_recorder_wait_unless_stuck(r)) {
    }
    atomic_store(&p->waiting, false);
    return qt_ring_has_room(&p->ring);
}

void qt_producer_begin_loss(struct qt_producer *p)
{
    p->losing = true;
    p->carry = 0;
    memset(&p->loss, 0, sizeof(p->loss));
    __atomic_store_n(&p->next, p->ring.scratch, __ATOMIC_RELEASE);
}

void qt_producer_count_loss(struct qt_producer *p, size_t n_words)
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
        qt_producer_put(p, QT_CONTROL_PARTIAL, p->carry, 0, NULL);
    }
    uint64_t args[] = {p->loss.blocks, p->loss.insns, p->loss.accesses, p->loss.events};
    qt_producer_put_event(p, QTRACE_EVENT_LOST, qt_recorder_take_seq(p->recorder),
                          qt_recorder_now(p->recorder), 4, args);
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
        qt_producer_count_loss(p, QT_CHUNK_WORDS);
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
        qt_producer_put_event(p, QTRACE_EVENT_SYNC, qt_recorder_take_seq(p->recorder),
                              qt_recorder_now(p->recorder), 0, NULL);
    } else if (!room) {
        qt_producer_begin_loss(p);
    }
}

static bool turn(struct qt_producer *p)
{
    struct qt_recorder *r = p->recorder;
    if (atomic_load_explicit(&r->abandoned, memory_order_relaxed)) {
        p->next = p->ring.scratch;
        return false;
    }
    pthread_mutex_lock(&r->lock);
    if (p->tally) {
        qt_tally_turn(r, p);
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
            qt_producer_put(p, QT_CONTROL_NOP, 0, 0, NULL);
        }
        qt_producer_turn(p);
    }
}

void qt_producer_turn_if_full(struct qt_producer *p)
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
        qt_producer_put_event(p, QTRACE_EVENT_TRANSLATION, w->seq, w->time, 1, &w->id);
        qt_producer_turn_if_full(p);
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
    qt_producer_put_event(p, kind, qt_recorder_take_seq(p->recorder), qt_recorder_now(p->recorder),
                          n_args, args);
    qt_producer_turn_if_full(p);
}

void qt_producer_access(struct qt_producer *p, uint32_t insn, uint32_t flags, uint64_t vaddr,
                        uint32_t block, unsigned n, const uint64_t *more)
{
    uint64_t words[2 + QT_MORE_MAX] = {vaddr, block};
    for (unsigned i = 0; i < n; i++) {
        words[2 + i] = more[i];
    }
    reserve(p, 2 + n);
    qt_producer_put(p, QT_CONTROL_ACCESS, (uint64_t)flags << 16 | insn, 2 + n, words);
    qt_producer_turn_if_full(p);
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
    qt_producer_turn_if_full(p);
}

/* ---- what is defined ---- */

/* With the lock held: give the definition the next id, and note it. The notes are full when there
 * are many definitions at once; what has been written is forgotten soon. */
static void note_definition(struct qt_recorder *r, struct qtrace_translation *definition)
{
    definition->id = r->n_translations;
    while (r->live && !r->stopping && !qt_notes_define(r->live, definition) &&
           qt_recorder_wait_unless_stuck(r)) {
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
            seq = qt_recorder_take_seq(r);
            time = qt_recorder_now(r);
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
        qt_producer_put_event(self, QTRACE_EVENT_TRANSLATION, seq, time, 1, &arg);
        qt_producer_turn_if_full(self);
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

void qt_producer_forget_waiting(void)
{
    waiting_first = NULL;
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
