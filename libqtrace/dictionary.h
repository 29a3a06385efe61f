/*
 * dictionary.h - translations by id; their form in the file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_DICTIONARY_H
#define QT_DICTIONARY_H

#include "columns.h"

/* Limits of one Definitions message that a reader accepts, and what a writer begins the next one
 * at. */
#define QT_DEFINITIONS_MAX (16u << 20)
#define QT_DEFINITIONS_SPLIT (256u << 10)
#define QT_DEFINITIONS_INSNS (1u << 18) /* what repeats another counts as one */
#define QT_DEFINITIONS_SPLIT_INSNS (QT_DEFINITIONS_INSNS - QTRACE_MAX_BLOCK_INSNS)

/* Field numbers of the message. */
enum {
    QT_DEF_FIRST_ID = 1,
    QT_DEF_INSNS,
    QT_DEF_VADDR,
    QT_DEF_FORM,
    QT_DEF_SKIP,
    QT_DEF_SYMBOL,
    QT_DEF_HADDR,
    QT_DEF_NO_HADDR,
    QT_DEF_NAME,
    QT_DEF_SIZE,
    QT_DEF_EXTRA,
    QT_DEF_DATA,
    QT_DEF_DISAS,
    QT_DEF_SAME,
    QT_DEF_FIELDS,
};

/* Set the length of a translation. 0 or QTRACE_E_NOMEM. */
int qt_lengths_set(struct qt_lengths *lengths, uint32_t id, uint16_t n_insns);
void qt_lengths_finish(struct qt_lengths *lengths);

struct qt_arena_chunk;

/* Deep copies of translations that do not move, and the lengths of all that were ever loaded.
 * Zero it to begin with. */
struct qt_dictionary {
    struct qt_lengths lengths;
    struct qtrace_translation **page; /* QT_LENGTH_PAGE entries each; insn NULL = undefined */
    size_t n_pages;
    uint32_t wanted;  /* an id for which definitions are loaded */
    uint64_t missing; /* 1 + what it repeats, if that is not there; else 0 */
    struct qt_arena_chunk *arena;
    size_t used; /* bytes of what can be forgotten */
};

void qt_dictionary_finish(struct qt_dictionary *dictionary);

/* Forget everything but the lengths. */
void qt_dictionary_forget(struct qt_dictionary *dictionary);

/* NULL = not defined. */
const struct qtrace_translation *qt_dictionary_get(const struct qt_dictionary *dictionary,
                                                   uint32_t id);

/* Load a Definitions message that must define first .. first + n - 1. What is defined already
 * is kept; what repeats a translation that is not there stays undefined, but has a length if
 * that has one. QTRACE_E_DAMAGED: malformed. */
int qt_dictionary_load(struct qt_dictionary *dictionary, const void *data, size_t size,
                       uint32_t first, uint64_t n);

#endif
