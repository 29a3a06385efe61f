/*
 * linemap.h - something to remember for each line of memory that was touched
 *
 * Lines are numbered. Values come in chunks of neighbouring lines, which are found by a hash of
 * their number; a value's address stays good for ever, so who uses a line again and again looks
 * it up once. Values start as zeros.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_LINEMAP_H
#define ANALYZER_LINEMAP_H

#include <stddef.h>
#include <stdint.h>

#define LINEMAP_SHIFT 6 /* lines of a chunk, as a power of two */

struct linemap_slot {
    uint64_t chunk;
    char *values; /* NULL: free */
};

struct linemap {
    size_t value_size;
    struct linemap_slot *slot;
    unsigned bits; /* of the number of slots */
    uint64_t used;
};

void linemap_init(struct linemap *map, size_t value_size);

/* The slow part of linemap_find: the slot of the chunk, taken in if it is new. */
struct linemap_slot *linemap_add(struct linemap *map, uint64_t chunk);

/* Fibonacci hashing: the upper bits of the product. */
static inline uint64_t linemap_home(const struct linemap *map, uint64_t chunk)
{
    return chunk * UINT64_C(0x9e3779b97f4a7c15) >> (64 - map->bits);
}

static inline void *linemap_find(struct linemap *map, uint64_t line)
{
    uint64_t chunk = line >> LINEMAP_SHIFT;
    const struct linemap_slot *slot = &map->slot[linemap_home(map, chunk)];

    if (slot->chunk != chunk || slot->values == NULL) {
        slot = linemap_add(map, chunk);
    }
    return slot->values + (line & ((1 << LINEMAP_SHIFT) - 1)) * map->value_size;
}

#endif
