/*
 * parse.c - what users write in options
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "parse.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool qt_parse_size(const char *text, size_t *size)
{
    static const char units[] = "kMG";
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || end == text || text[0] == '-') {
        return false;
    }
    int shift = 0;
    if (*end) {
        const char *unit = strchr(units, *end == 'K' ? 'k' : *end);
        if (!unit || end[1]) {
            return false;
        }
        shift = 10 * (unit - units + 1);
    }
    if (n == 0 || n > (SIZE_MAX >> 1) >> shift) {
        return false;
    }
    *size = n << shift;
    return true;
}

bool qt_parse_duration(const char *text, unsigned *ms)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned unit = strcmp(end, "ms") == 0 ? 1 : strcmp(end, "s") == 0 ? 1000 : 0;
    if (errno || end == text || text[0] == '-' || !unit || n > UINT_MAX / unit) {
        return false;
    }
    *ms = n * unit;
    return true;
}
