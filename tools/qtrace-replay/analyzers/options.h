/*
 * options.h - the arguments of an analyzer, as a table
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_OPTIONS_H
#define ANALYZER_OPTIONS_H

#include <stdbool.h>

enum option_kind {
    OPTION_BOOL,   /* bool: on, yes, true, y, off, no, false, n; a bare word is "on" */
    OPTION_NUMBER, /* uint64_t, decimal or after 0x hexadecimal; K, M, G may follow */
    OPTION_CHOICE, /* int: the position of the word in choices */
    OPTION_TEXT,   /* char *, to be freed */
    OPTION_LIST,   /* GPtrArray * of char *: may be given several times */
};

struct option {
    const char *name; /* NULL ends a table */
    enum option_kind kind;
    void *value;               /* keeps its default if the option is not given */
    const char *const *choices; /* ends with NULL */
    const char *hint;          /* what stands for the value in messages, "N" */
};

/* One more line of a table: the format of the report (see report.h). */
#define OPTION_FORMAT(place) \
    { "format", OPTION_CHOICE, place, (const char *const[]){ "text", "csv", "json", NULL } }

/* Take the arguments of a plugin. false after a message that says what is understood. */
bool options_parse(const char *analyzer, const struct option *option, int argc, char **argv);

#endif
