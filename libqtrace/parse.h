/*
 * parse.h - what users write in options
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_PARSE_H
#define QT_PARSE_H

#include <stdbool.h>
#include <stddef.h>

/* A number of bytes with k, M or G behind it. False: it is none, 0, or too large. */
bool qt_parse_size(const char *text, size_t *size);

/* A time with its unit, "500ms" or "2s"; it may be 0. False: it is none, or too large. */
bool qt_parse_duration(const char *text, unsigned *ms);

#endif
