/*
 * batch.c - a batch that owns its arrays
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "batch.h"

#include <stdlib.h>
#include <sys/mman.h>

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
    b->batch.value = b->value;
    b->batch.phys = b->phys;
    b->batch.phys_kind = b->phys_kind;
    b->batch.insn = b->insn;
    b->batch.flags = b->flags;
    b->batch.event = b->event;
}

/* A large piece in huge pages, where the machine has them: to get each page of 4 KiB on its own
 * takes a quarter of the time of replaying a short trace. (Elsewhere the advice is of no avail.) */
#define HUGE_PAGE (2u << 20)

static void *allocate(uint64_t bytes)
{
    uint64_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *p;

    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    if (bytes < 2 * HUGE_PAGE) {
        return malloc((size_t)bytes);
    }
    p = aligned_alloc(HUGE_PAGE, (size_t)whole);
    if (p != NULL) {
        madvise(p, (size_t)whole, MADV_HUGEPAGE);
    }
    return p;
}

static void free_lists(struct qt_batch *b)
{
    free(b->foreign);
    free(b->wide);
    free(b->device);
}

struct qt_batch *qt_batch_new(const struct qt_batch_size *size)
{
    struct qtrace_batch *none = NULL;

    return qt_batch_renew(&none, size);
}

struct qt_batch *qt_batch_renew(struct qtrace_batch **old, const struct qt_batch_size *size)
{
    /* Counts are 32-bit and rows small: 64 bits cannot overflow here, a size_t of 32 could. */
    uint64_t events = (uint64_t)size->events * sizeof(struct qtrace_event);
    uint64_t blocks = size->blocks, accesses = size->accesses;
    uint64_t values = size->values ? accesses * 8 : 0;
    uint64_t phys = size->phys ? accesses * 8 : 0;
    uint64_t bytes = sizeof(struct qt_batch) + events + blocks * 10 + accesses * 11 + values +
                     phys + phys / 4;
    struct qt_batch *b = (struct qt_batch *)*old;
    char *p;

    if (b != NULL && b->bytes >= bytes) {
        bytes = b->bytes;
        free_lists(b);
        *old = NULL;
    } else {
        /* the next one may be larger; what nobody touches costs nothing */
        bytes += bytes / 4;
        qtrace_batch_free(old);
        b = allocate(bytes);
    }
    if (b == NULL) {
        return NULL;
    }
    *b = (struct qt_batch){.bytes = (size_t)bytes};
    /* From the largest alignment to the smallest, so that no padding is needed. */
    p = (char *)(b + 1);
    b->event = (struct qtrace_event *)p;
    p += events;
    b->vaddr = (uint64_t *)p;
    p += accesses * 8;
    b->value = size->values ? (uint64_t *)p : NULL;
    p += values;
    b->phys = size->phys ? (uint64_t *)p : NULL;
    p += phys;
    b->block = (uint32_t *)p;
    p += blocks * 4;
    b->access_end = (uint32_t *)p;
    p += blocks * 4;
    b->started = (uint16_t *)p;
    p += blocks * 2;
    b->insn = (uint16_t *)p;
    p += accesses * 2;
    b->phys_kind = size->phys ? (uint16_t *)p : NULL;
    p += phys / 4;
    b->flags = (uint8_t *)p;
    publish(b, size);
    return b;
}

void qtrace_batch_free(struct qtrace_batch **batch)
{
    if (batch != NULL && *batch != NULL) {
        free_lists((struct qt_batch *)*batch);
        free(*batch);
        *batch = NULL;
    }
}

bool qtrace_batch_value(const struct qtrace_batch *batch, uint32_t row, unsigned word,
                        uint64_t *value)
{
    uint32_t low = 0, high = batch->n_wide, middle;

    if (batch->value == NULL || row >= batch->n_accesses ||
        1u << (batch->flags[row] & QTRACE_ACCESS_SIZE) > batch->value_max) {
        return false;
    }
    if (word == 0) {
        *value = batch->value[row];
        return true;
    }
    while (low < high) {
        const struct qtrace_wide *w = &batch->wide[middle = low + (high - low) / 2];

        if (w->access_row < row || (w->access_row == row && w->word < word)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == batch->n_wide || batch->wide[low].access_row != row ||
        batch->wide[low].word != word) {
        return false;
    }
    *value = batch->wide[low].value;
    return true;
}
