/*
 * linemap.c - something to remember for each line of memory that was touched
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "linemap.h"

#include <glib.h>

#define FIRST_BITS 10

void linemap_init(struct linemap *map, size_t value_size)
{
    *map = (struct linemap){ .value_size = value_size, .bits = FIRST_BITS };
    map->slot = g_new0(struct linemap_slot, 1 << FIRST_BITS);
}

/* The slot of the chunk, or the free one where it belongs. */
static struct linemap_slot *probe(const struct linemap *map, uint64_t chunk)
{
    uint64_t mask = (UINT64_C(1) << map->bits) - 1;
    uint64_t i = linemap_home(map, chunk);

    while (map->slot[i].values != NULL && map->slot[i].chunk != chunk) {
        i = (i + 1) & mask;
    }
    return &map->slot[i];
}

static void grow(struct linemap *map)
{
    struct linemap_slot *old = map->slot;
    uint64_t n = UINT64_C(1) << map->bits;

    map->bits++;
    map->slot = g_new0(struct linemap_slot, 2 * n);
    for (uint64_t i = 0; i < n; i++) {
        if (old[i].values != NULL) {
            *probe(map, old[i].chunk) = old[i];
        }
    }
    g_free(old);
}

struct linemap_slot *linemap_add(struct linemap *map, uint64_t chunk)
{
    struct linemap_slot *slot = probe(map, chunk);

    if (slot->values != NULL) {
        return slot;
    }
    if (4 * (map->used + 1) > UINT64_C(1) << map->bits) { /* few chunks share a home */
        grow(map);
        slot = probe(map, chunk);
    }
    map->used++;
    slot->chunk = chunk;
    slot->values = g_malloc0_n((size_t)1 << LINEMAP_SHIFT, map->value_size);
    return slot;
}
