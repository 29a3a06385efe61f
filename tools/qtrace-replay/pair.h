/*
 * pair.h - two replays that are compared
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PAIR_H
#define PAIR_H

#include <glib.h>

/* Is it an analyzer that compares two runs? spec: "NAME,ARG=VALUE,..." */
bool pair_is_meant(const char *spec);

/* Returns in two new processes, 0 in that of the first trace and 1 in that of the second one.
 * *spec is the analyzer's there, with the connection to the other process; to be freed. The
 * caller's own process ends in here, when both have ended, with the larger of their statuses. */
int pair_fork(const char *spec, char *const trace[2], char **own_spec);

#endif
