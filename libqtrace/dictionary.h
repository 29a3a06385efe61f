/*
 * dictionary.h - translations by id; their form in the file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_DICTIONARY_H
#define QT_DICTIONARY_H

#include "columns.h"

/* Bytes of one Definitions message that a reader accepts, and at which a writer begins the
 * next one. */
#define QT_DEFINITIONS_MAX (16u << 20)
#define QT_DEFINITIONS_SPLIT (4u << 20)

/* Set the length of a translation. 0 or QTRACE_E_NOMEM. */
int qt_lengths_set(struct qt_lengths *lengths, uint32_t id, uint16_t n_insns);
void qt_lengths_finish(struct qt_lengths *lengths);

struct qt_arena_chunk;

/* Deep copies of translations that never move. Zero it to begin with. */
struct qt_dictionary {
    struct qt_lengths lengths;
    struct qtrace_translation **page; /* QT_LENGTH_PAGE entries each; insn NULL = undefined */
    size_t n_pages;
    uint64_t end; /* all ids are below */
    struct qt_arena_chunk *arena;
    const char **symbol; /* of the message that is being loaded */
    size_t symbol_cap;
};

void qt_dictionary_finish(struct qt_dictionary *dictionary);

/* NULL = not defined. */
const struct qtrace_translation *qt_dictionary_get(const struct qt_dictionary *dictionary,
                                                   uint32_t id);

/* Are all of these defined? */
bool qt_dictionary_has(const struct qt_dictionary *dictionary, uint32_t first, uint64_t n);

/* Load a Definitions message that must define first .. first + n - 1. What is defined already
 * is kept. QTRACE_E_DAMAGED: malformed, but what came before that place is loaded. */
int qt_dictionary_load(struct qt_dictionary *dictionary, const void *data, size_t size,
                       uint32_t first, uint64_t n);

/* A Definitions message in the making. Zero it to begin with. */
struct qt_definitions {
    struct qt_buf message;
    struct qt_buf translation, insn; /* scratch */
    uint64_t first, n;
    uint32_t n_symbols;
    struct qt_symbol_slot *symbol; /* lossy: a collision writes a name twice */
};

void qt_definitions_finish(struct qt_definitions *definitions);
int qt_definitions_begin(struct qt_definitions *definitions, uint64_t first);

/* Add the translation with the id first + n. QTRACE_E_INVALID: out of the format's limits. */
int qt_definitions_add(struct qt_definitions *definitions,
                       const struct qtrace_translation *translation);

#endif
