/*
 * report.h - the rows of a report as text, CSV or JSON
 *
 *     struct report *r = report_new(format);
 *     report_text(r, "%u entries\n", n);             (only in a text)
 *     report_table(r, "blocks", "pc", "count", NULL);
 *     for (...) {
 *         report_address(r, pc);
 *         report_number(r, count);
 *         report_row(r);
 *     }
 *     report_print(r);
 *
 * text: the names of the columns and the rows, with ", " between cells. csv: tables are parted
 * by an empty line. json: an object that has an array for each table, and in it an object
 * for each row. An analyzer whose text has another shape asks report_is_text and prints it with
 * report_text alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_REPORT_H
#define ANALYZER_REPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum report_format { REPORT_TEXT, REPORT_CSV, REPORT_JSON };

struct report;

struct report *report_new(int format);
bool report_is_text(const struct report *report);
void report_text(struct report *report, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Begin a table. The names of its columns follow, then NULL; they are borrowed until
 * report_print. */
void report_table(struct report *report, const char *name, ...) G_GNUC_NULL_TERMINATED;

/* The cells of a row, one for each column in order, then report_row. */
void report_number(struct report *report, uint64_t value);
void report_address(struct report *report, uint64_t value); /* 0x and 16 digits */
void report_real(struct report *report, double value, unsigned digits); /* after the point */
void report_string(struct report *report, const char *value); /* NULL: empty, in JSON null */
void report_row(struct report *report);

/* Print everything with qemu_plugin_outs, and free the report. */
void report_print(struct report *report);

#endif
