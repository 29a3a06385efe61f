/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring.h"

#include "live.h"

#include <sys/mman.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

#define LINE_WORDS 8

static bool can_flush(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_CLFLUSHOPT;
}

static __attribute__((target("clflushopt"))) void flush(const uint64_t *chunk)
{
    for (size_t i = 0; i < QT_CHUNK_WORDS; i += LINE_WORDS) {
        _mm_clflushopt((void *)(chunk + i));
    }
}
#else
static bool can_flush(void)
{
    return false;
}

static void flush(const uint64_t *chunk)
{
    (void)chunk;
}
#endif

/* Chunks ahead of the producer, and how many at once; but few at first. */
#define AHEAD 128
#define STEP 32
#define FIRST 4

static bool take_memory(struct qt_ring *ring, struct qt_live *live, size_t size)
{
    ring->map = live == NULL ? NULL : qt_live_alloc(live, size);
    ring->map_size = size;
    ring->live = ring->map == NULL ? NULL : live;
    if (ring->map == NULL) {
        ring->map = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    return ring->map != MAP_FAILED;
}

/* Pages for the next n chunks. */
static bool populate(struct qt_ring *ring, uint32_t n)
{
    uint32_t left = ring->n_chunks - ring->ready;

    n = n < left ? n : left;
    if (qt_live_populate(ring->chunks + (size_t)ring->ready * QT_CHUNK_WORDS,
                         n * QT_CHUNK_BYTES)) {
        ring->ready += n;
    } else if (ring->live == NULL) {
        ring->ready = ring->n_chunks; /* Linux before 5.14 cannot do it: the first write does */
    } else {
        return false;
    }
    return true;
}

static bool init(struct qt_ring *ring, uint32_t n, struct qt_live *live)
{
    /* one chunk more to align the others, one for scratch */
    if (!take_memory(ring, live, (size_t)(n + 2) * QT_CHUNK_BYTES)) {
        ring->map = NULL;
        return false;
    }
    uintptr_t start = ((uintptr_t)ring->map + QT_CHUNK_BYTES - 1) & ~(QT_CHUNK_BYTES - 1);
    ring->scratch = (uint64_t *)start;
    ring->chunks = ring->scratch + QT_CHUNK_WORDS;
    ring->n_chunks = n;
    ring->ready = 0;
    return (ring->live == NULL || qt_live_populate(ring->scratch, QT_CHUNK_BYTES)) &&
           populate(ring, FIRST);
}

bool qt_ring_init(struct qt_ring *ring, size_t bytes, struct qt_live *live)
{
    uint32_t n = bytes / QT_CHUNK_BYTES;

    n = n < QT_RING_MIN_CHUNKS ? QT_RING_MIN_CHUNKS : n;
    ring->flushes = can_flush();
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    if (live != NULL && !init(ring, n, live)) {
        qt_ring_finish(ring);
        live = NULL;
    }
    return live != NULL || init(ring, n, NULL);
}

void qt_ring_touch(struct qt_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while (!qt_ring_is_ready(ring) && ring->ready < head + AHEAD) {
        if (!populate(ring, STEP)) {
            ring->n_chunks = ring->ready; /* all places so far stay where they are */
        }
    }
}

void qt_ring_forget(const struct qt_ring *ring, const uint64_t *chunk)
{
    if (ring->flushes) {
        flush(chunk);
    }
}

void qt_ring_finish(struct qt_ring *ring)
{
    if (ring->live) {
        qt_live_free(ring->live, ring->map, ring->map_size);
    } else if (ring->map) {
        munmap(ring->map, ring->map_size);
    }
    ring->map = NULL;
    ring->live = NULL;
}
