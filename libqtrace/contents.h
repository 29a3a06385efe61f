/*
 * contents.h - which translation said the same before?
 *
 * QEMU translates a block again after every flush. Translations are compared by a digest of
 * all that a definition says of them but the id; it is a cryptographic one, because guests
 * choose the bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_CONTENTS_H
#define QT_CONTENTS_H

#include <glib.h>

#include "qtrace/event.h"

#define QT_DIGEST_BYTES 16

struct qt_content {
    uint8_t digest[QT_DIGEST_BYTES];
    uint32_t id;
    bool used;
};

/* Zero it to begin with. */
struct qt_contents {
    GChecksum *checksum;
    struct qt_content *slot; /* open addressing */
    size_t n_slots, n_used;
};

void qt_contents_finish(struct qt_contents *contents);

/* The first translation with these contents: *id is that of an earlier one, or of this one.
 * 0 or QTRACE_E_NOMEM. */
int qt_contents_first(struct qt_contents *contents, const struct qtrace_translation *translation,
                      uint32_t *id);

#endif
