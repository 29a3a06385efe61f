/*
 * json.c - print JSON as it comes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "json.h"

#include <glib.h>
#include <inttypes.h>

char *json_quoted(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *quoted = g_string_new("\"");

    for (const char *p = valid; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            g_string_append_printf(quoted, "\\%c", *p);
        } else if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            g_string_append_printf(quoted, "\\u%04x", (unsigned)*p);
        } else {
            g_string_append_c(quoted, *p);
        }
    }
    g_string_append_c(quoted, '"');
    return g_string_free(quoted, FALSE);
}

static void put_string(FILE *out, const char *text)
{
    g_autofree char *quoted = json_quoted(text);

    fputs(quoted, out);
}

/* A value follows. */
static void next(struct json *json, const char *key)
{
    if (json->any) {
        fputc(',', json->out);
    }
    if (json->depth > 0) {
        fprintf(json->out, "\n%*s", 2 * (int)json->depth, "");
    }
    if (key != NULL) {
        put_string(json->out, key);
        fputs(": ", json->out);
    }
    json->any = true;
}

void json_begin(struct json *json, const char *key, char open)
{
    next(json, key);
    fputc(open, json->out);
    json->depth++;
    json->any = false;
}

void json_end(struct json *json, char close)
{
    json->depth--;
    if (json->any) {
        fprintf(json->out, "\n%*s", 2 * (int)json->depth, "");
    }
    fputc(close, json->out);
    if (json->depth == 0) {
        fputc('\n', json->out);
    }
    json->any = true;
}

void json_text(struct json *json, const char *key, const char *value)
{
    next(json, key);
    if (value == NULL) {
        fputs("null", json->out);
    } else {
        put_string(json->out, value);
    }
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    next(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_raw(struct json *json, const char *key, const char *number)
{
    next(json, key);
    fputs(number, json->out);
}

void json_bool(struct json *json, const char *key, bool value)
{
    next(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_address(struct json *json, const char *key, uint64_t value)
{
    next(json, key);
    fprintf(json->out, "\"0x%" PRIx64 "\"", value);
}
