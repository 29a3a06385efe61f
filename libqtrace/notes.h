/*
 * notes.h - what is defined, from its definition until it is in the trace
 *
 * A circle of bytes in the file beside the trace (live.h). Definitions are noted by the threads
 * that make them, under the recorder's lock, and forgotten by the recorder's thread once they are
 * written; the run's facts stand there, too, until they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_NOTES_H
#define QT_NOTES_H

#include "bytes.h"
#include "live.h"
#include "qtrace/event.h"

#define QT_NOTES_SIZE ((size_t)4 << 20)

/* Make the circle. false: no room for it. */
bool qt_notes_init(struct qt_live *live);

/* Add a translation. false: it does not fit now. */
bool qt_notes_define(struct qt_live *live, const struct qtrace_translation *translation);

/* Add the message of the run. */
bool qt_notes_run(struct qt_live *live, const void *message, size_t size);

/* Is more than half of the circle taken? */
bool qt_notes_crowded(const struct qt_live *live);

/* What has been added so far; and forget what had been then. */
uint64_t qt_notes_head(const struct qt_live *live);
void qt_notes_forget(struct qt_live *live, uint64_t head);

/* What is noted is handed out in order. Strings and bytes are borrowed until the function
 * returns; a result other than 0 ends it. */
struct qt_notes_taker {
    int (*translation)(void *data, const struct qtrace_translation *translation);
    int (*run)(void *data, const void *message, size_t size);
    void *data;
};
int qt_notes_read(const struct qt_live *live, const struct qt_notes_taker *taker);

#endif
