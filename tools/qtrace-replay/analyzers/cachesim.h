/*
 * cachesim.h - a set-associative cache, without its data
 *
 * Write-allocate, write-back. Caches do not lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_CACHESIM_H
#define ANALYZER_CACHESIM_H

#include <stdbool.h>
#include <stdint.h>

enum cache_policy {
    CACHE_LRU,
    CACHE_FIFO,
    CACHE_RAND,
    CACHE_PLRU, /* tree pseudo-LRU: a bit per node points to the half that was used less recently */
};

struct cache_geometry {
    uint64_t block_size, assoc, size; /* bytes, blocks of a set, bytes */
};

/* State of a block, in the low bits of its address. */
#define CACHE_VALID UINT64_C(1)
#define CACHE_DIRTY UINT64_C(2)

struct cache {
    struct cache *next; /* where misses and write-backs go; NULL: memory. Set by the user. */
    int level;          /* of the user */
    uint64_t accesses, misses, write_backs;

    uint64_t *recent;   /* the block that was used last */
    uint64_t tag_mask;  /* of what is looked for: an address without the offset in its block */
    uint64_t *block;    /* of all sets; LRU: the most recently used first */
    uint64_t *turn;     /* of each set: FIFO: the oldest block; PLRU: the nodes' bits, root 1 */
    uint64_t set_mask;
    unsigned block_shift;
    unsigned assoc;
    enum cache_policy policy;
    uint64_t random;
};

/* NULL, or why there is no such cache, to be freed. */
char *cache_check(const struct cache_geometry *geometry, enum cache_policy policy);

/* The geometry must be good. seed: of CACHE_RAND. Caches live as long as the plugin. */
struct cache *cache_new(const struct cache_geometry *geometry, enum cache_policy policy,
                        uint64_t seed);

/* cache_access when the block was not the last one. */
bool cache_look_up(struct cache *cache, uint64_t addr, bool store, uint64_t *victim);

/* Use addr: true if it hits, else its block is in the cache now and *victim is 0, or the block that
 * was written back to make room, marked as valid. */
static inline bool cache_access(struct cache *cache, uint64_t addr, bool store, uint64_t *victim)
{
    cache->accesses++;
    /* No policy's state changes when the same block is used again. */
    if ((*cache->recent & ~CACHE_DIRTY) == ((addr & cache->tag_mask) | CACHE_VALID)) {
        *cache->recent |= store ? CACHE_DIRTY : 0;
        return true;
    }
    return cache_look_up(cache, addr, store, victim);
}

/* A block of size bytes comes back from the level above. It becomes dirty here, or goes on to the
 * next level if it is not here; neither is an access. cache may be NULL. */
void cache_write_back(struct cache *cache, uint64_t victim, uint64_t size);

#endif
