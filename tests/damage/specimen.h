/*
 * specimen.h - a trace to be damaged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SPECIMEN_H
#define SPECIMEN_H

#include <stddef.h>

#include "qtrace/error.h"

/* Write a trace of about size bytes: several streams, losses, accesses of other blocks, events,
 * frames and definition frames by the dozen. The same seed gives the same trace but for its
 * nonce. level 0 stores the columns as they are. */
int specimen_write(const char *path, uint64_t seed, size_t size, unsigned level,
                   struct qtrace_error *err);

#endif
