/*
 * batch.h - a batch that owns its arrays
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_BATCH_H
#define QT_BATCH_H

#include "qtrace/event.h"

/* How many rows of each kind. */
struct qt_batch_size {
    uint32_t blocks, accesses, events;
    bool values, phys; /* of the accesses */
};

/* The writable arrays are those that batch shows read-only. One allocation holds all but
 * foreign and wide, which grow (qt_grow), and device, with its names behind it;
 * qtrace_batch_free(&batch) releases all. */
struct qt_batch {
    struct qtrace_batch batch; /* first: a pointer to it is a pointer to the whole */
    size_t bytes;              /* of the allocation */
    uint32_t *block, *access_end;
    uint16_t *started, *insn;
    uint64_t *vaddr, *value, *phys;
    uint16_t *phys_kind;
    uint8_t *flags;
    struct qtrace_foreign *foreign;
    struct qtrace_wide *wide;
    struct qtrace_device *device;
    struct qtrace_event *event;
};

/* NULL: out of memory. The counts in batch are set, the rows are not initialised. */
struct qt_batch *qt_batch_new(const struct qt_batch_size *size);

/* The same in the memory of another one if that is large enough; *old is NULL then, whatever is
 * returned. NULL is accepted. Fresh memory of this size costs as much as a tenth of the
 * decoding. */
struct qt_batch *qt_batch_renew(struct qtrace_batch **old, const struct qt_batch_size *size);

/* Has the batch values? Its maker may not have known of them. */
static inline bool qt_batch_has_values(const struct qtrace_batch *b)
{
    return b->struct_size >= offsetof(struct qtrace_batch, value_max) + sizeof(b->value_max) &&
           b->value != NULL && b->n_accesses > 0;
}

/* The same of physical addresses. */
static inline bool qt_batch_has_phys(const struct qtrace_batch *b)
{
    return b->struct_size >= offsetof(struct qtrace_batch, n_devices) + sizeof(b->n_devices) &&
           b->phys != NULL && b->n_accesses > 0;
}

#endif
