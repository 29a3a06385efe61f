/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring.h"

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

bool qt_ring_init(struct qt_ring *ring, size_t bytes)
{
    uint32_t n = bytes / QT_CHUNK_BYTES;
    if (n < QT_RING_MIN_CHUNKS) {
        n = QT_RING_MIN_CHUNKS;
    }
    /* one chunk more to align the others, one for scratch */
    size_t size = (size_t)(n + 2) * QT_CHUNK_BYTES;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    uintptr_t start = ((uintptr_t)map + QT_CHUNK_BYTES - 1) & ~(uintptr_t)(QT_CHUNK_BYTES - 1);
    ring->map = map;
    ring->map_size = size;
    ring->chunks = (uint64_t *)start;
    ring->n_chunks = n;
    ring->touched = 0;
    ring->flushes = can_flush();
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return true;
}

/* Chunks ahead of the producer, and how many at once. */
#define AHEAD 128
#define STEP 32

void qt_ring_touch(struct qt_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while (ring->touched < ring->n_chunks && ring->touched < head + AHEAD) {
        uint32_t n = ring->n_chunks - ring->touched;
        n = n < STEP ? n : STEP;
        /* (Linux before 5.14 cannot do it: then the producer's first write does) */
        if (madvise(ring->chunks + (size_t)ring->touched * QT_CHUNK_WORDS, n * QT_CHUNK_BYTES,
                    MADV_POPULATE_WRITE)) {
            ring->touched = ring->n_chunks;
        } else {
            ring->touched += n;
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
    if (ring->map) {
        munmap(ring->map, ring->map_size);
        ring->map = NULL;
    }
}
