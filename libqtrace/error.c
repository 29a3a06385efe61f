/*
 * error.c - result codes as text, error reports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qtrace/error.h"

#include <stdio.h>

const char *qtrace_strerror(int code)
{
    switch (code) {
#define QTRACE_CODE_TEXT(name, value, text)                                               \
    case value:                                                                           \
        return text;
        QTRACE_CODES(QTRACE_CODE_TEXT)
#undef QTRACE_CODE_TEXT
    default:
        return "unknown code";
    }
}

int qtrace_error_set(struct qtrace_error *err, int code, uint64_t offset, const char *fmt, ...)
{
    va_list args;

    if (err == NULL) {
        return code;
    }
    err->code = code;
    err->offset = offset;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    return code;
}
