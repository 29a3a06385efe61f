/*
 * guest-path.c - which program a command line of user-mode QEMU runs, with which plugins
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest-path.h"

#include <string.h>

static bool takes_value(const char *option)
{
    static const char *const list[] = {
        "0", "B", "D", "E", "L", "R", "U", "cpu", "d", "dfilter", "g", "p", "plugin", "r", "s",
        "seed", "t", "tb-size", "trace",
    };

    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        if (strcmp(option, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

const char *qt_guest_path(const char *const *word, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (word[i][0] != '-') {
            return word[i];
        }
        if (takes_value(word[i] + (word[i][1] == '-' ? 2 : 1))) {
            i++;
        }
    }
    return NULL;
}

bool qt_command_has_plugin(const char *const *word, size_t n, const char *name)
{
    for (size_t i = 1; i + 1 < n && word[i][0] == '-'; i++) {
        const char *option = word[i] + (word[i][1] == '-' ? 2 : 1);

        if (strcmp(option, "plugin") == 0 && strstr(word[i + 1], name) != NULL) {
            return true;
        }
        i += takes_value(option);
    }
    return false;
}
