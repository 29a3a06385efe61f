/*
 * definitions.h - a Definitions message in the making
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_DEFINITIONS_H
#define QT_DEFINITIONS_H

#include "dictionary.h"

/* Zero it to begin with. */
struct qt_definitions {
    uint64_t first, n;                   /* ids */
    struct qt_buf message;               /* made by qt_definitions_end */
    struct qt_buf column[QT_DEF_FIELDS]; /* payloads, by field number */
    bool used[QT_DEF_FIELDS];            /* false: all zero, left out */
    uint32_t n_insns, n_forms, n_names;
    uint64_t end;                        /* of the translation before */
    uint64_t bias;                       /* haddr - vaddr of the instruction before */
    struct qt_form_slot *form;           /* lossy: a collision writes a form twice */
    struct qt_name_slot *name;           /* the same */
};

void qt_definitions_finish(struct qt_definitions *definitions);
int qt_definitions_begin(struct qt_definitions *definitions, uint64_t first);

/* Is it time to begin the next message? */
bool qt_definitions_full(const struct qt_definitions *definitions);

/* Is it within the format's limits? */
bool qt_definitions_accept(const struct qtrace_translation *translation);

/* Add the translation with the id first + n. same: how much lower the id of a translation is
 * that it repeats, 0 = it repeats none. It must be acceptable and the message not full. 0 or
 * QTRACE_E_NOMEM, which spoils the message. */
int qt_definitions_add(struct qt_definitions *definitions,
                       const struct qtrace_translation *translation, uint32_t same);

/* Make the message. */
int qt_definitions_end(struct qt_definitions *definitions);

#endif
