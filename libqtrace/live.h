/*
 * live.h - memory that outlives the process: a file beside the trace
 *
 * While a recording lives, what is not in its trace yet lies in a mapped file: producers and
 * their rings, a journal of each open frame (journal.h), definitions that were not written
 * (notes.h). When the process is gone, however it went, the kernel still has all that was stored;
 * salvage.c finishes the trace from it. A clean end removes the file.
 *
 *   header | arena, in units of 64 KiB | the producers' memory
 *
 * The file is sparse. Its pages are populated before they are used, so that a full disk shows as an
 * error instead of a SIGBUS. Whoever records holds a lock on it; its descriptor belongs to the
 * recorder's thread, all else is for any thread.
 *
 * The file is for the build that made it alone, as its header says: it has C structs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_LIVE_H
#define QT_LIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qtrace/error.h"

#define QT_LIVE_SUFFIX ".live"
#define QT_LIVE_UNIT ((size_t)64 << 10)

/* A circle of bytes in the arena. */
struct qt_notes_place {
    uint32_t unit, n_units;
    _Atomic uint64_t head, tail; /* bytes put in, and not needed any more */
};

struct qt_live_header {
    char magic[8];
    char build[56]; /* who can read it */
    uint64_t nonce; /* of the trace */
    uint64_t arena, arena_address, n_units; /* offset in the file, place in the process */
    uint64_t slots, slots_address, slots_size, slot_size; /* the same of the producers */
    uint32_t user, more; /* QT_MORE_* */
    uint64_t devices_address; /* of a struct qt_devices; 0 = there is none */
    _Atomic uint32_t n_slots; /* that were ever used */
    struct qt_notes_place notes;
};

struct qt_live {
    int fd;
    struct qt_live_header *header;
    size_t size; /* of the mapping: header and arena */
    uint8_t *arena;
    void *slots;
    pthread_mutex_t lock;
    uint8_t *used; /* per unit */
    atomic_bool thrifty; /* recycled memory keeps a page only */
    size_t n_units;
};

/* What a file is to hold. slots: the producers' memory, whole pages whose contents are all zero;
 * from now on it lies in the file. The arena is smaller where space is short, but not below
 * arena_min. */
struct qt_live_options {
    const char *path; /* of the trace */
    uint64_t nonce;
    void *slots;
    size_t slots_size, slot_size, arena_size, arena_min;
    bool user;
    unsigned more;
};

/* Make the file. NULL: it cannot be made, *err says why; there is nothing of it then. */
struct qt_live *qt_live_create(const struct qt_live_options *options, struct qtrace_error *err);

/* A clean end: the file goes. The memory stays, as threads may still write there. */
void qt_live_remove(struct qt_live *live, const char *path);

/* In a forked child, before anything else: the memory becomes the process's own. */
void qt_live_leave(struct qt_live *live);

/* And when nothing of it is used any more: what is left of it there goes. */
void qt_live_drop(struct qt_live *live);

/* Memory in the arena, a unit or more; NULL: there is none. Nothing of it is populated. */
void *qt_live_alloc(struct qt_live *live, size_t size);
void qt_live_free(struct qt_live *live, void *memory, size_t size);

/* The same for memory that will soon be wanted again: its pages stay, unless live->thrifty. */
void qt_live_recycle(struct qt_live *live, void *memory, size_t size);

/* Populate pages of the file, so that they can be written to. false: the disk is full. */
bool qt_live_populate(void *memory, size_t size);

/* The page of this slot, before its first use; if it cannot be populated, it lies in ordinary
 * memory. */
void qt_live_populate_slot(struct qt_live *live, void *slot);

/* The file beside the trace at path, for reading. QTRACE_END:
 * there is none that belongs to the trace with this nonce, or its recorder is at work.
 * QTRACE_E_REFUSED: there is one, but of another build. */
int qt_live_open(struct qt_live **live, const char *path, uint64_t nonce,
                 struct qtrace_error *err);
void qt_live_close(struct qt_live *live);

/* Is the recorder of the trace at path at work? */
bool qt_live_is_busy(const char *path);

/* Remove the file, unless its recorder is at work: all that it had is in the trace. */
void qt_live_discard(const char *path);

/* Where an address of the process that wrote the file lies now. NULL: size bytes from there are
 * not in the arena. */
void *qt_live_find(const struct qt_live *live, uint64_t address, size_t size);

/* The file at the address of a unit. NULL: there is no such unit. */
static inline uint8_t *qt_live_unit(const struct qt_live *live, uint64_t unit)
{
    return unit < live->n_units ? live->arena + unit * QT_LIVE_UNIT : NULL;
}

#endif
