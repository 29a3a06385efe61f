/*
 * options.c - what the user wrote behind -plugin libqtrace.so,
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parse.h"
#include "plugin.h"

static bool parse_switch(const char *value, const char *on, const char *off, bool *result)
{
    *result = strcmp(value, on) == 0;
    return *result || strcmp(value, off) == 0;
}

static bool parse_on_off(const char *value, bool *result)
{
    return parse_switch(value, "on", "off", result) ||
           parse_switch(value, "true", "false", result) ||
           parse_switch(value, "yes", "no", result);
}

/* Relative to the directory in which QEMU was started: the guest may change it. */
static bool parse_out(struct qt_options *o, const char *value)
{
    char cwd[PATH_MAX];
    GString *path = g_string_new(NULL);
    if (value[0] != '/' && getcwd(cwd, sizeof(cwd))) {
        for (const char *c = cwd; *c; c++) {
            g_string_append_printf(path, *c == '%' ? "%%%%" : "%c", *c);
        }
        g_string_append_c(path, '/');
    }
    g_string_append(path, value);
    g_free(o->out);
    o->out = g_string_free(path, FALSE);
    return *value;
}

/* %p is the process id, %% a percent sign; the rest stays. */
char *qt_options_path(const struct qt_options *o, bool *has_pid)
{
    GString *path = g_string_new(NULL);
    *has_pid = false;
    for (const char *c = o->out; *c; c++) {
        if (c[0] == '%' && c[1] == 'p') {
            g_string_append_printf(path, "%d", (int)getpid());
            *has_pid = true;
            c++;
        } else {
            g_string_append_c(path, *c);
            c += c[0] == '%' && c[1] == '%';
        }
    }
    return g_string_free(path, FALSE);
}

static bool parse_overwrite(struct qt_options *o, const char *value)
{
    return parse_on_off(value, &o->overwrite);
}

static bool parse_mem(struct qt_options *o, const char *value)
{
    return parse_on_off(value, &o->mem);
}

static bool parse_values(struct qt_options *o, const char *value)
{
    return parse_on_off(value, &o->values);
}

static bool parse_phys(struct qt_options *o, const char *value)
{
    o->phys_auto = strcmp(value, "auto") == 0;
    return o->phys_auto || parse_on_off(value, &o->phys);
}

static bool parse_disas(struct qt_options *o, const char *value)
{
    return parse_on_off(value, &o->disas);
}

static bool parse_ring(struct qt_options *o, const char *value)
{
    return qt_parse_size(value, &o->ring);
}

static bool parse_rings(struct qt_options *o, const char *value)
{
    return qt_parse_size(value, &o->rings);
}

static bool parse_level(struct qt_options *o, const char *value)
{
    char *end;
    long level = strtol(value, &end, 10);
    o->level = level;
    return end != value && !*end && level >= 0 && level <= 12;
}

static bool parse_loss(struct qt_options *o, const char *value)
{
    return parse_switch(value, "drop", "block", &o->drop);
}

static bool parse_wait(struct qt_options *o, const char *value)
{
    return qt_parse_duration(value, &o->wait_ms);
}

static bool parse_flush(struct qt_options *o, const char *value)
{
    return qt_parse_duration(value, &o->flush_ms) && o->flush_ms > 0;
}

static bool parse_follow(struct qt_options *o, const char *value)
{
    return parse_switch(value, "fork", "off", &o->follow);
}

static bool parse_verbose(struct qt_options *o, const char *value)
{
    return parse_on_off(value, &o->verbose);
}

static const struct option {
    const char *name, *form, *help;
    bool (*parse)(struct qt_options *options, const char *value);
} table[] = {
    {"out", "FILE", "the trace; %p is the process id (qtrace-%p.qtr)", parse_out},
    {"overwrite", "on|off", "replace an existing file (off: refuse)", parse_overwrite},
    {"mem", "on|off", "record memory accesses (on)", parse_mem},
    {"values", "on|off", "record what is loaded and stored (off)", parse_values},
    {"phys", "auto|on|off", "record physical addresses (auto: in system mode)", parse_phys},
    {"disas", "on|off", "record disassembly (on)", parse_disas},
    {"ring", "SIZE", "memory between a vCPU and the encoder (8M)", parse_ring},
    {"rings", "SIZE", "the same for all vCPUs together (256M)", parse_rings},
    {"level", "0..12", "compression: none, LZ4 fast, LZ4 HC (1)", parse_level},
    {"loss", "block|drop", "when a ring is full: wait, or count a loss (block)", parse_loss},
    {"wait", "500ms|2s|...", "longest wait for a writer that is stuck (5s)", parse_wait},
    {"flush", "100ms|1s|...", "longest time until rows are in the file (1s)", parse_flush},
    {"follow", "fork|off", "record forked children, too, each in a file of its own (off)",
     parse_follow},
    {"verbose", "on|off", "say at the end what was recorded (off)", parse_verbose},
};

static void explain(void)
{
    fprintf(stderr, "qtrace: the options are:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        char left[32];
        snprintf(left, sizeof(left), "%s=%s", table[i].name, table[i].form);
        fprintf(stderr, "  %-20s %s\n", left, table[i].help);
    }
}

static const struct option *find_option(const char *argument, const char **value)
{
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        size_t n = strlen(table[i].name);
        if (strncmp(argument, table[i].name, n) == 0 && argument[n] == '=') {
            *value = argument + n + 1;
            return &table[i];
        }
    }
    return NULL;
}

bool qt_options_parse(struct qt_options *options, int argc, char **argv)
{
    *options = (struct qt_options){
        .mem = true, .phys_auto = true, .disas = true, .level = 1, .ring = 8 << 20,
        .rings = 256 << 20, .wait_ms = 5000, .flush_ms = 1000};
    for (int i = 0; i < argc; i++) {
        const char *argument = g_str_has_prefix(argv[i], "arg=") ? argv[i] + 4 : argv[i];
        const char *value;
        const struct option *option = find_option(argument, &value);
        if (!option) {
            fprintf(stderr, "qtrace: unknown option '%s'\n", argument);
            explain();
            return false;
        }
        if (!option->parse(options, value)) {
            fprintf(stderr, "qtrace: option '%s': '%s' is not %s\n", option->name, value,
                    option->form);
            return false;
        }
    }
    if (!options->out) {
        parse_out(options, "qtrace-%p.qtr");
    }
    return true;
}

const char *const *qt_options_text(const struct qt_options *o, size_t *n)
{
    static const char *text[G_N_ELEMENTS(table)];
    size_t i = 0;
    text[i++] = g_strdup_printf("out=%s", o->out);
    text[i++] = o->overwrite ? "overwrite=on" : "overwrite=off";
    text[i++] = o->mem ? "mem=on" : "mem=off";
    text[i++] = o->values ? "values=on" : "values=off";
    text[i++] = o->phys ? "phys=on" : "phys=off";
    text[i++] = o->disas ? "disas=on" : "disas=off";
    text[i++] = g_strdup_printf("ring=%zu", o->ring);
    text[i++] = g_strdup_printf("rings=%zu", o->rings);
    text[i++] = g_strdup_printf("level=%u", o->level);
    text[i++] = o->drop ? "loss=drop" : "loss=block";
    text[i++] = g_strdup_printf("wait=%ums", o->wait_ms);
    text[i++] = g_strdup_printf("flush=%ums", o->flush_ms);
    text[i++] = o->follow ? "follow=fork" : "follow=off";
    text[i++] = o->verbose ? "verbose=on" : "verbose=off";
    *n = i;
    return text;
}
