/*
 * batch.c - a batch that owns its arrays
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "batch.h"

#include <stdlib.h>

#include "qtrace/reader.h"

static void publish(struct qt_batch *b, const struct qt_batch_size *size)
{
    b->batch.struct_size = sizeof(b->batch);
    b->batch.n_blocks = size->blocks;
    b->batch.n_accesses = size->accesses;
    b->batch.n_events = size->events;
    b->batch.block = b->block;
    b->batch.started = b->started;
    b->batch.access_end = b->access_end;
    b->batch.vaddr = b->vaddr;
    b->batch.insn = b->insn;
    b->batch.flags = b->flags;
    b->batch.event = b->event;
}

struct qt_batch *qt_batch_new(const struct qt_batch_size *size)
{
    /* Counts are 32-bit and rows small: 64 bits cannot overflow here, a size_t of 32 could. */
    uint64_t events = (uint64_t)size->events * sizeof(struct qtrace_event);
    uint64_t blocks = size->blocks, accesses = size->accesses;
    uint64_t bytes = sizeof(struct qt_batch) + events + blocks * 10 + accesses * 11;
    struct qt_batch *b;
    char *p;

    b = bytes > SIZE_MAX / 2 ? NULL : malloc((size_t)bytes);
    if (b == NULL) {
        return NULL;
    }
    *b = (struct qt_batch){0};
    /* From the largest alignment to the smallest, so that no padding is needed. */
    p = (char *)(b + 1);
    b->event = (struct qtrace_event *)p;
    p += events;
    b->vaddr = (uint64_t *)p;
    p += accesses * 8;
    b->block = (uint32_t *)p;
    p += blocks * 4;
    b->access_end = (uint32_t *)p;
    p += blocks * 4;
    b->started = (uint16_t *)p;
    p += blocks * 2;
    b->insn = (uint16_t *)p;
    p += accesses * 2;
    b->flags = (uint8_t *)p;
    publish(b, size);
    return b;
}

void qtrace_batch_free(struct qtrace_batch **batch)
{
    if (batch != NULL && *batch != NULL) {
        free(((struct qt_batch *)*batch)->foreign);
        free(*batch);
        *batch = NULL;
    }
}
