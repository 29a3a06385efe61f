/*
 * ring.h - words on their way from one vCPU thread to the encoder thread
 *
 * A ring is a circle of chunks. The producer fills a chunk by plain stores; that a chunk is
 * full shows in the address of the next word (chunks are aligned to their size), so the hot
 * path needs no other bound. Only whole chunks are handed over, and then nobody is woken: the
 * consumer looks often enough. All functions but those marked are for the producer's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_RING_H
#define QT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QT_CHUNK_WORDS 4096
#define QT_CHUNK_BYTES (QT_CHUNK_WORDS * sizeof(uint64_t))
#define QT_RING_MIN_CHUNKS 2

struct qt_live;

struct qt_ring {
    uint64_t *chunks;   /* n_chunks of them */
    uint64_t *scratch;  /* where a producer writes what nobody will read; one chunk */
    _Atomic uint32_t n_chunks;
    size_t map_size;
    void *map;
    struct qt_live *live;  /* whose memory it is; NULL = its own */
    _Atomic uint32_t ready; /* the first chunks, whose pages are there: only these are used */
    bool flushes;          /* qt_ring_forget can do something */
    _Atomic uint64_t head; /* chunks handed over by the producer */
    _Atomic uint64_t tail; /* chunks given back by the consumer */
};

/* Does the next word start a new chunk? */
static inline bool qt_chunk_is_full(const uint64_t *next)
{
    return ((uintptr_t)next & (QT_CHUNK_BYTES - 1)) == 0;
}

/* False: no memory. bytes is rounded to chunks, at least QT_RING_MIN_CHUNKS. live: the file that
 * it shall lie in if there is room, or NULL. */
bool qt_ring_init(struct qt_ring *ring, size_t bytes, struct qt_live *live);
void qt_ring_finish(struct qt_ring *ring);

/* See that the chunks that come next have pages, if necessary; by either thread, one at a time. If
 * they can have none (of a file on a full disk) the ring stays as small as it is. */
void qt_ring_touch(struct qt_ring *ring);

static inline bool qt_ring_is_ready(const struct qt_ring *ring)
{
    return ring->ready == ring->n_chunks;
}

/* What the consumer has read of a chunk shall not stay in its caches: before the producer can write
 * there again it would have to fetch every line from another core, which on processors of several
 * dies takes longer than from memory. (Measured on such a one: 5 to 10 % of the vCPU's time.) */
void qt_ring_forget(const struct qt_ring *ring, const uint64_t *chunk);

/* The chunk that the producer fills after `head` others. */
static inline uint64_t *qt_ring_chunk(const struct qt_ring *ring, uint64_t number)
{
    return ring->chunks + number % ring->n_chunks * QT_CHUNK_WORDS;
}

/* Hand over the chunk that was being filled. */
static inline void qt_ring_publish(struct qt_ring *ring)
{
    atomic_fetch_add_explicit(&ring->head, 1, memory_order_release);
}

/* May the chunk after the published ones be filled? */
static inline bool qt_ring_has_room(struct qt_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    return head - atomic_load_explicit(&ring->tail, memory_order_acquire) < ring->n_chunks &&
           (qt_ring_is_ready(ring) || head < ring->ready);
}

/* Are at least three quarters free? */
static inline bool qt_ring_is_low(struct qt_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed) -
               atomic_load(&ring->tail) <=
           ring->n_chunks / 4;
}

#endif
