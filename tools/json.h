/*
 * json.h - print JSON as it comes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_JSON_H
#define QTRACE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Zero it but for out. */
struct json {
    FILE *out;
    unsigned depth;
    bool any; /* a value before, in what was begun last */
};

/* key: NULL in arrays and for the outermost value. open: '{' or '['; close: '}' or ']'. The end
 * of the outermost value ends the line. */
void json_begin(struct json *json, const char *key, char open);
void json_end(struct json *json, char close);

/* Text that is no UTF-8 has its bad bytes replaced; NULL becomes null. */
void json_text(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
/* A number that is already text. */
void json_raw(struct json *json, const char *key, const char *number);
/* As text, "0x401000": not every reader has integers of 64 bits. */
void json_address(struct json *json, const char *key, uint64_t value);

/* A string for who makes the lines himself; to be freed with g_free. */
char *json_quoted(const char *text);

#endif
