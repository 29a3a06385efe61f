/*
 * arguments.c - "plugin,name=value,..." as QEMU's -plugin option reads it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

/* The text up to the next single comma; a doubled comma stands for one. *p moves behind it. */
static char *next_token(const char **p)
{
    GString *token = g_string_new(NULL);

    for (; **p != '\0'; (*p)++) {
        if (**p == ',') {
            if ((*p)[1] != ',') {
                (*p)++;
                break;
            }
            (*p)++;
        }
        g_string_append_c(token, **p);
    }
    return g_string_free(token, FALSE);
}

static bool is_bool_word(const char *value)
{
    bool ignored;

    return qemu_plugin_bool_parse("arg", value, &ignored);
}

/* What a plugin gets for one token; NULL: QEMU keeps it to itself. */
static char *make_argument(const char *token)
{
    const char *equals = strchr(token, '=');

    if (equals == NULL) {
        if (strncmp(token, "no", 2) == 0) { /* "noinline" is QEMU's old way to say "off" */
            return g_strconcat(token + 2, "=off", NULL);
        }
        return g_strconcat(token, "=on", NULL);
    }
    if (strncmp(token, "id=", 3) == 0) {
        return NULL;
    }
    if (strncmp(token, "arg=", 4) == 0 && !is_bool_word(equals + 1)) {
        if (strchr(equals + 1, '=') == NULL) {
            return g_strconcat(equals + 1, "=on", NULL);
        }
        return g_strdup(equals + 1);
    }
    return g_strdup(token);
}

char *host_parse_spec(const char *spec, int *argc, char ***argv)
{
    GPtrArray *args = g_ptr_array_new();
    const char *p = g_str_has_prefix(spec, "file=") ? spec + 5 : spec;
    char *name = next_token(&p);

    while (*p != '\0') {
        char *token = next_token(&p);
        char *arg = make_argument(token);

        if (arg != NULL) {
            g_ptr_array_add(args, arg);
        }
        g_free(token);
    }
    *argc = (int)args->len;
    g_ptr_array_add(args, NULL);
    *argv = (char **)(void *)g_ptr_array_free(args, FALSE);
    return name;
}
