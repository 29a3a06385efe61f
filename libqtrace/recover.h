/*
 * recover.h - the end that a killed recorder could not write
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_RECOVER_H
#define QT_RECOVER_H

#include "live.h"
#include "scan.h"

/* Write what live (or NULL) has more than the trace, and an end, to fd, from reader->good_end on;
 * fd is closed. */
int qt_recover_end(struct qtrace_reader *reader, int fd, const struct qt_live *live,
                   struct qtrace_error *err);

#endif
