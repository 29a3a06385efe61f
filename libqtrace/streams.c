/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder-inside.h"

uint64_t qt_nowhere[QT_CHUNK_WORDS] __attribute__((aligned(QT_CHUNK_BYTES)));

void qt_producer_park(struct qt_recorder *r, struct qt_producer *p)
{
    p->recorder = r;
    p->closed = true;
    p->ring.scratch = qt_nowhere;
    p->slot = &p->own_slot;
    p->next = qt_nowhere;
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
    qt_producer_park(r, p);
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

/* ---- streams that are only counted ---- */

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
    *t = (struct qt_tally){.next = r->tallies,
                           .producer = p,
                           .stream = stream,
                           .vcpu = vcpu,
                           .chunk = chunk,
                           .first = QT_FIRST_WORD};
    r->tallies = t;
    p->tally = t;
    p->own_slot = 0;
    p->slot = &p->own_slot;
    p->next = chunk + t->first;
    return true;
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
        qt_producer_put(p, QT_CONTROL_NOP, 0, 0, NULL);
    }
    qt_ring_publish(&p->ring);
    qt_producer_begin_loss(p);
    p->loss = t->loss;
    forget_tally(r, t);
}

void qt_tally_turn(struct qt_recorder *r, struct qt_producer *p)
{
    count_words(r, p->tally, QT_CHUNK_WORDS);
    __atomic_store_n(&p->next, p->tally->chunk, __ATOMIC_RELEASE);
    if (!p->open && !r->stopping) {
        end_tally(r, p);
    }
}

/* ---- the beginning ---- */

bool qt_producer_open_stream(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu,
                             bool continued)
{
    if (atomic_load(&r->abandoned)) {
        memset(p, 0, sizeof(*p));
        qt_producer_park(r, p);
        return false;
    }
    if (r->live) {
        qt_live_populate_slot(r->live, p);
    }
    pthread_mutex_lock(&r->lock);
    while (p->open && qt_recorder_wait_unless_stuck(r)) {
        /* what the vCPU before left behind is still being read */
    }
    const uint64_t arg = 1;
    bool ok =
        p->open ? begin_tally(r, p, vcpu, r->n_streams) : begin_stream(r, p, vcpu, r->n_streams);
    if (ok) {
        r->n_streams++;
        qt_producer_put_event(p, QTRACE_EVENT_VCPU_INIT, qt_recorder_take_seq(r),
                              qt_recorder_now(r), continued, &arg);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool qt_producer_open(struct qt_recorder *r, struct qt_producer *p, uint32_t vcpu)
{
    return qt_producer_open_stream(r, p, vcpu, false);
}

/* ---- the end ---- */

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

void qt_tally_close(struct qt_recorder *r, struct qt_tally *t)
{
    uint64_t *next, remaining;
    snapshot(t->producer, &next, &remaining);
    count_words(r, t, next - t->chunk);
    t->loss.insns -= t->loss.blocks && remaining <= t->loss.insns ? remaining : 0;
    qt_loss_add(&r->overrun, &t->loss);
    t->producer->tally = NULL;
    t->producer = NULL;
}

void qt_producer_close_locked(struct qt_producer *p)
{
    uint64_t *next, remaining;
    snapshot(p, &next, &remaining);
    if (p->losing) {
        qt_producer_count_loss(p, (next - p->ring.scratch));
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
        qt_tally_close(r, tally);
    } else if (!p->closed) {
        qt_producer_close_locked(p);
    }
    if (tally && vcpu_exits) {
        free(tally->chunk);
        tally->chunk = NULL;
    }
    if (vcpu_exits) {
        p->slot = &p->own_slot;
        p->next = qt_nowhere;
    }
    pthread_mutex_unlock(&r->lock);
    if (qt_producer_self() == p) {
        qt_producer_adopt(NULL);
    }
}
