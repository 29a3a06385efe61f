/*
 * cachesim.c - a set-associative cache, without its data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cachesim.h"

#include <glib.h>
#include <inttypes.h>

#define MIN_BLOCK 4 /* two bits of an address are used for the state */
#define MAX_BLOCKS (UINT64_C(1) << 28)
#define MAX_PLRU 64 /* the nodes' bits are one word */

static bool power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

char *cache_check(const struct cache_geometry *g, enum cache_policy policy)
{
    uint64_t blocks;

    if (!power_of_two(g->block_size) || g->block_size < MIN_BLOCK) {
        return g_strdup_printf("block size %" PRIu64 " is not a power of two of at least %d",
                               g->block_size, MIN_BLOCK);
    }
    if (g->size == 0 || g->size % g->block_size != 0) {
        return g_strdup_printf("size %" PRIu64 " is not a multiple of the block size %" PRIu64,
                               g->size, g->block_size);
    }
    blocks = g->size / g->block_size;
    if (blocks > MAX_BLOCKS) {
        return g_strdup_printf("size %" PRIu64 " makes more than %" PRIu64 " blocks", g->size,
                               MAX_BLOCKS);
    }
    if (g->assoc == 0 || g->assoc > blocks) {
        return g_strdup_printf("associativity %" PRIu64 " is not between 1 and the number of "
                               "blocks, %" PRIu64, g->assoc, blocks);
    }
    if (blocks % g->assoc != 0) {
        return g_strdup_printf("size %" PRIu64 " is not a multiple of the set size %" PRIu64
                               " (associativity * block size)", g->size,
                               g->assoc * g->block_size);
    }
    if (!power_of_two(blocks / g->assoc)) {
        return g_strdup_printf("the number of sets, %" PRIu64 ", is not a power of two",
                               blocks / g->assoc);
    }
    if (policy == CACHE_PLRU && (!power_of_two(g->assoc) || g->assoc > MAX_PLRU)) {
        return g_strdup_printf("associativity %" PRIu64 " is not a power of two up to %d, as plru "
                               "needs it", g->assoc, MAX_PLRU);
    }
    return NULL;
}

/* Stafford's mix 13 of the state, as in Steele et al., "Fast splittable pseudorandom number
 * generators" (2014): any seed is good. */
static uint64_t next_random(struct cache *c)
{
    uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct cache *cache_new(const struct cache_geometry *g, enum cache_policy policy, uint64_t seed)
{
    uint64_t sets = g->size / g->block_size / g->assoc;
    struct cache *c = g_new0(struct cache, 1);

    c->policy = policy;
    c->assoc = (unsigned)g->assoc;
    c->tag_mask = ~(g->block_size - 1);
    c->block_shift = (unsigned)__builtin_ctzll(g->block_size);
    c->set_mask = sets - 1;
    c->block = g_new0(uint64_t, sets * g->assoc);
    c->turn = g_new0(uint64_t, sets);
    c->recent = c->block;
    c->random = seed;
    return c;
}

/* ---- policies ---- */

/* Blocks that were used before the one that is wanted move back by one place; it, or its
 * replacement, comes first. */
static bool look_up_lru(struct cache *c, uint64_t *set, uint64_t tag, uint64_t *victim)
{
    uint64_t moved = set[0];

    for (unsigned i = 1; (moved & ~CACHE_DIRTY) != tag; i++) {
        if (i == c->assoc) {
            *victim = moved;
            set[0] = tag;
            return false;
        }
        uint64_t here = set[i];
        set[i] = moved;
        moved = here;
    }
    set[0] = moved;
    return true;
}

/* All nodes on the way to a block point to their other half. */
static void plru_used(struct cache *c, uint64_t *bits, unsigned way)
{
    for (unsigned node = way + c->assoc; node > 1; node /= 2) {
        uint64_t parent = UINT64_C(1) << (node / 2);
        *bits = node % 2 == 0 ? *bits | parent : *bits & ~parent;
    }
}

static unsigned plru_victim(const struct cache *c, uint64_t bits)
{
    unsigned node = 1;

    while (node < c->assoc) {
        node = 2 * node + ((bits >> node) & 1);
    }
    return node - c->assoc;
}

/* Sets fill from their first block on. */
static unsigned choose_victim(struct cache *c, const uint64_t *set, uint64_t *turn)
{
    unsigned way = 0;

    if (c->policy == CACHE_FIFO) {
        way = (unsigned)*turn;
        *turn = way + 1 < c->assoc ? way + 1 : 0;
    } else if (set[c->assoc - 1] == 0) {
        while (set[way] != 0) {
            way++;
        }
    } else if (c->policy == CACHE_RAND) {
        way = (unsigned)((next_random(c) >> 32) * c->assoc >> 32);
    } else {
        way = plru_victim(c, *turn);
    }
    return way;
}

bool cache_look_up(struct cache *c, uint64_t addr, bool store, uint64_t *victim)
{
    uint64_t tag = (addr & c->tag_mask) | CACHE_VALID;
    uint64_t n = (addr >> c->block_shift) & c->set_mask;
    uint64_t *set = c->block + n * c->assoc;
    uint64_t *turn = c->turn + n;
    unsigned way = 0;
    bool hit;

    *victim = 0;
    if (c->policy == CACHE_LRU) {
        hit = look_up_lru(c, set, tag, victim);
    } else {
        while (way < c->assoc && (set[way] & ~CACHE_DIRTY) != tag) {
            way++;
        }
        hit = way < c->assoc;
        if (!hit) {
            way = choose_victim(c, set, turn);
            *victim = set[way];
            set[way] = tag;
        }
        if (c->policy == CACHE_PLRU) {
            plru_used(c, turn, way);
        }
    }
    c->misses += !hit;
    c->recent = set + way;
    *c->recent |= store ? CACHE_DIRTY : 0;
    if (*victim & CACHE_DIRTY) {
        c->write_backs++;
        *victim &= ~CACHE_DIRTY;
    } else {
        *victim = 0;
    }
    return hit;
}

/* ---- write-backs ---- */

static bool make_dirty(struct cache *c, uint64_t addr)
{
    uint64_t tag = (addr & c->tag_mask) | CACHE_VALID;
    uint64_t *set = c->block + ((addr >> c->block_shift) & c->set_mask) * c->assoc;

    for (unsigned way = 0; way < c->assoc; way++) {
        if ((set[way] & ~CACHE_DIRTY) == tag) {
            set[way] |= CACHE_DIRTY;
            return true;
        }
    }
    return false;
}

void cache_write_back(struct cache *cache, uint64_t victim, uint64_t size)
{
    uint64_t addr = victim & ~CACHE_VALID;

    if (cache == NULL) {
        return;
    }
    uint64_t step = MIN(size, UINT64_C(1) << cache->block_shift);
    for (uint64_t at = 0; at < size; at += step) {
        if (!make_dirty(cache, addr + at)) {
            cache_write_back(cache->next, addr + at, step);
        }
    }
}
