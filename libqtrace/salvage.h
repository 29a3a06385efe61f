/*
 * salvage.h - what a killed recorder had recorded and not yet written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_SALVAGE_H
#define QT_SALVAGE_H

#include "live.h"
#include "scan.h"
#include "writer.h"

/* Write to the trace what the file beside it has more than it: definitions, then all streams to
 * their ends. The writer stands behind what the reader has found, and knows all of that. What makes
 * no sense in the file is left out, as it is not trusted; without that the end will say that
 * nothing is missing. */
int qt_salvage(struct qtrace_writer *writer, const struct qtrace_reader *reader,
               const struct qt_live *live, struct qtrace_error *err);

#endif
