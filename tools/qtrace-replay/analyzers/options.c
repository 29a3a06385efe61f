/*
 * options.c - the arguments of an analyzer, as a table
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "options.h"

#include <errno.h>
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* In every QEMU from 6.2 on */
#define QEMU_PLUGIN_API_VERSION 7
#define QEMU_PLUGIN_API __attribute__((weak))
#include "qtrace/qemu-plugin.h"

static bool parse_number(const char *text, uint64_t *value)
{
    const char *unit;
    char *end;
    unsigned shift = 0;
    bool hex = g_str_has_prefix(text, "0x");
    guint64 n;

    if (!(hex ? g_ascii_isxdigit(text[2]) : g_ascii_isdigit(text[0]))) {
        return false;
    }
    errno = 0;
    n = g_ascii_strtoull(text, &end, hex ? 16 : 10);
    if (*end != '\0' && (unit = strchr("KMG", g_ascii_toupper(*end))) != NULL) {
        shift = 10 * (unsigned)(strchr("KMG", *unit) - "KMG" + 1);
        end++;
    }
    if (errno != 0 || *end != '\0' || n > UINT64_MAX >> shift) {
        return false;
    }
    *value = n << shift;
    return true;
}

static bool parse_choice(const char *text, const char *const *choices, int *value)
{
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool parse_value(const struct option *o, const char *text)
{
    switch (o->kind) {
    case OPTION_BOOL:
        return qemu_plugin_bool_parse(o->name, text, o->value);
    case OPTION_NUMBER:
        return parse_number(text, o->value);
    case OPTION_CHOICE:
        return parse_choice(text, o->choices, o->value);
    case OPTION_TEXT:
        g_free(*(char **)o->value);
        *(char **)o->value = g_strdup(text);
        return true;
    case OPTION_LIST:
        if (*(GPtrArray **)o->value == NULL) {
            *(GPtrArray **)o->value = g_ptr_array_new_with_free_func(g_free);
        }
        g_ptr_array_add(*(GPtrArray **)o->value, g_strdup(text));
        return true;
    }
    return false;
}

static bool parse_argument(const struct option *option, const char *arg)
{
    for (const struct option *o = option; o->name != NULL; o++) {
        size_t n = strlen(o->name);
        if (strncmp(arg, o->name, n) == 0 && arg[n] == '=') {
            return parse_value(o, arg + n + 1);
        }
    }
    return false;
}

/* "inline=on|off, limit=N" */
static char *describe(const struct option *option)
{
    GString *text = g_string_new(NULL);

    for (const struct option *o = option; o->name != NULL; o++) {
        g_string_append_printf(text, "%s%s=", o == option ? "" : ", ", o->name);
        if (o->kind == OPTION_BOOL) {
            g_string_append(text, "on|off");
        } else if (o->kind != OPTION_CHOICE) {
            g_string_append(text, o->hint);
        } else {
            g_autofree char *words = g_strjoinv("|", (char **)o->choices);
            g_string_append(text, words);
        }
    }
    return g_string_free(text, FALSE);
}

bool options_parse(const char *analyzer, const struct option *option, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!parse_argument(option, argv[i])) {
            g_autofree char *known = describe(option);
            fprintf(stderr, "%s: wrong argument '%s'; these are understood: %s\n", analyzer,
                    argv[i], known);
            return false;
        }
    }
    return true;
}
