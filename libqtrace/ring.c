/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring.h"

#include <sys/mman.h>

bool qt_ring_init(struct qt_ring *ring, size_t bytes)
{
    uint32_t n = bytes / QT_CHUNK_BYTES;
    if (n < QT_RING_MIN_CHUNKS) {
        n = QT_RING_MIN_CHUNKS;
    }
    /* one chunk more to align the others, one for scratch */
    size_t size = (size_t)(n + 2) * QT_CHUNK_BYTES;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    uintptr_t start = ((uintptr_t)map + QT_CHUNK_BYTES - 1) & ~(uintptr_t)(QT_CHUNK_BYTES - 1);
    ring->map = map;
    ring->map_size = size;
    ring->chunks = (uint64_t *)start;
    ring->n_chunks = n;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return true;
}

void qt_ring_finish(struct qt_ring *ring)
{
    if (ring->map) {
        munmap(ring->map, ring->map_size);
        ring->map = NULL;
    }
}
