/*
 * guest-path.h - which program a command line of user-mode QEMU runs, with which plugins
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_GUEST_PATH_H
#define QT_GUEST_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* The first word that is neither an option nor its value, or NULL; word[0] is QEMU itself. */
const char *qt_guest_path(const char *const *word, size_t n);

/* Is there an option -plugin with `name` in its value? */
bool qt_command_has_plugin(const char *const *word, size_t n, const char *name);

#endif
