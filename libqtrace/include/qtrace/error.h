/*
 * qtrace/error.h - result codes and error reports
 *
 * Every function that can fail returns 0 or a negative enum qtrace_code; QTRACE_END is the
 * one positive result and means that there is nothing more to read. Functions that take a
 * struct qtrace_error fill it when they fail (NULL is accepted). The library never prints
 * and never aborts on data.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_ERROR_H
#define QTRACE_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QTRACE_API __attribute__((visibility("default")))
#define QTRACE_MUST_USE __attribute__((warn_unused_result))
#define QTRACE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define QTRACE_API
#define QTRACE_MUST_USE
#define QTRACE_PRINTF(fmt, args)
#endif

#define QTRACE_CODES(X)                                                                   \
    X(QTRACE_OK, 0, "no error")                                                           \
    X(QTRACE_END, 1, "end of the data")                                                   \
    X(QTRACE_E_IO, -1, "input or output failed")                                          \
    X(QTRACE_E_NOMEM, -2, "out of memory")                                                \
    X(QTRACE_E_INVALID, -3, "invalid argument")                                           \
    X(QTRACE_E_EXISTS, -4, "the file exists, or is being recorded")                       \
    X(QTRACE_E_FORMAT, -10, "not a qtrace file")                                          \
    X(QTRACE_E_TRUNCATED, -11, "the data ends too early")                                 \
    X(QTRACE_E_DAMAGED, -12, "the data is damaged")                                       \
    X(QTRACE_E_REFUSED, -13, "a version, feature or size that this reader refuses")

enum qtrace_code {
#define QTRACE_CODE_ENUM(name, value, text) name = value,
    QTRACE_CODES(QTRACE_CODE_ENUM)
#undef QTRACE_CODE_ENUM
};

/* What went wrong, for people. */
struct qtrace_error {
    int code;           /* enum qtrace_code */
    uint64_t offset;    /* file offset that the message speaks of; UINT64_MAX = none */
    char message[256];  /* one line, without file name and without full stop */
};

/* The fixed text of a code ("unknown code" for any other number). */
QTRACE_API const char *qtrace_strerror(int code);

/* Fill err (may be NULL) and return code. */
QTRACE_API int qtrace_error_set(struct qtrace_error *err, int code, uint64_t offset,
                                const char *fmt, ...) QTRACE_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif

#endif
