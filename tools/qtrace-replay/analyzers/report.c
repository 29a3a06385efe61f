/*
 * report.c - the rows of a report as text, CSV or JSON
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "report.h"

#include "json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define QEMU_PLUGIN_API_VERSION 7
#define QEMU_PLUGIN_API __attribute__((weak))
#include "qtrace/qemu-plugin.h"

struct report {
    int format;
    char *data; /* of the stream */
    size_t size;
    FILE *out;
    struct json json;
    GPtrArray *column; /* names; NULL before the first table */
    guint cell;        /* the next one of the row */
};

struct report *report_new(int format)
{
    struct report *r = g_new0(struct report, 1);

    r->format = format;
    r->out = open_memstream(&r->data, &r->size);
    if (r->out == NULL) {
        g_error("out of memory");
    }
    r->json.out = r->out;
    if (format == REPORT_JSON) {
        json_begin(&r->json, NULL, '{');
    }
    return r;
}

bool report_is_text(const struct report *report)
{
    return report->format == REPORT_TEXT;
}

void report_text(struct report *report, const char *fmt, ...)
{
    va_list args;

    if (report->format == REPORT_TEXT) {
        va_start(args, fmt);
        vfprintf(report->out, fmt, args);
        va_end(args);
    }
}

/* ---- tables ---- */

static void end_table(struct report *r)
{
    if (r->column == NULL) {
        return;
    }
    if (r->format == REPORT_JSON) {
        json_end(&r->json, ']');
    }
    g_clear_pointer(&r->column, g_ptr_array_unref);
}

void report_table(struct report *report, const char *name, ...)
{
    bool first = report->column == NULL;
    const char *column;
    va_list args;

    end_table(report);
    report->column = g_ptr_array_new();
    va_start(args, name);
    while ((column = va_arg(args, const char *)) != NULL) {
        g_ptr_array_add(report->column, (gpointer)column);
    }
    va_end(args);
    if (report->format == REPORT_JSON) {
        json_begin(&report->json, name, '[');
        return;
    }
    if (report->format == REPORT_CSV && !first) {
        fputc('\n', report->out);
    }
    for (guint i = 0; i < report->column->len; i++) {
        report_string(report, report->column->pdata[i]);
    }
    report_row(report);
}

/* ---- cells ---- */

/* The name of the column, for JSON; what parts it from the cell before is printed. */
static const char *next_cell(struct report *r)
{
    guint i = r->cell++;

    g_return_val_if_fail(r->column != NULL && i < r->column->len, "");
    if (r->format == REPORT_JSON && i == 0) {
        json_begin(&r->json, NULL, '{');
    } else if (i > 0) {
        fputs(r->format == REPORT_TEXT ? ", " : r->format == REPORT_CSV ? "," : "", r->out);
    }
    return r->column->pdata[i];
}

void report_number(struct report *report, uint64_t value)
{
    const char *key = next_cell(report);

    if (report->format == REPORT_JSON) {
        json_number(&report->json, key, value);
    } else {
        fprintf(report->out, "%" PRIu64, value);
    }
}

void report_address(struct report *report, uint64_t value)
{
    char text[24];

    g_snprintf(text, sizeof(text), "0x%016" PRIx64, value);
    report_string(report, text);
}

void report_real(struct report *report, double value, unsigned digits)
{
    const char *key = next_cell(report);
    char format[8], text[G_ASCII_DTOSTR_BUF_SIZE + 320];

    g_snprintf(format, sizeof(format), "%%.%uf", MIN(digits, 9u));
    g_ascii_formatd(text, sizeof(text), format, value);
    if (report->format == REPORT_JSON) {
        json_raw(&report->json, key, text);
    } else {
        fputs(text, report->out);
    }
}

static void put_csv(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        fputs(*text == '"' ? "\"\"" : (char[]){ *text, '\0' }, out);
    }
    fputc('"', out);
}

void report_string(struct report *report, const char *value)
{
    const char *key = next_cell(report);

    if (report->format == REPORT_JSON) {
        json_text(&report->json, key, value);
    } else if (report->format == REPORT_CSV) {
        put_csv(report->out, value != NULL ? value : "");
    } else {
        fputs(value != NULL ? value : "", report->out);
    }
}

void report_row(struct report *report)
{
    if (report->format == REPORT_JSON) {
        json_end(&report->json, '}');
    } else {
        fputc('\n', report->out);
    }
    report->cell = 0;
}

void report_print(struct report *report)
{
    end_table(report);
    if (report->format == REPORT_JSON) {
        json_end(&report->json, '}');
    }
    if (fclose(report->out) != 0) {
        g_error("out of memory");
    }
    qemu_plugin_outs(report->data);
    free(report->data);
    g_free(report);
}
