/*
 * vcpu-set.h - a set of vCPUs: bit n is vCPU n, however many there are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_VCPU_SET_H
#define ANALYZER_VCPU_SET_H

#include <glib.h>
#include <inttypes.h>

#include "report.h"

/* Words of 64 bits, the lowest first; to be freed with g_array_free. */
static inline GArray *vcpu_set_new(void)
{
    return g_array_new(FALSE, TRUE, sizeof(uint64_t));
}

static inline void vcpu_set_add(GArray *set, unsigned vcpu_index)
{
    if (vcpu_index / 64 >= set->len) {
        g_array_set_size(set, vcpu_index / 64 + 1);
    }
    g_array_index(set, uint64_t, vcpu_index / 64) |= UINT64_C(1) << vcpu_index % 64;
}

/* One hexadecimal number, to be freed. */
static inline char *vcpu_set_text(const GArray *set)
{
    GString *text = g_string_new(NULL);
    uint64_t top = set->len > 0 ? g_array_index(set, uint64_t, set->len - 1) : 0;

    g_string_printf(text, "0x%04" PRIx64, top);
    for (guint i = set->len; i > 1; i--) {
        g_string_append_printf(text, "%016" PRIx64, g_array_index(set, uint64_t, i - 2));
    }
    return g_string_free(text, FALSE);
}

static inline void vcpu_set_report(struct report *report, const GArray *set)
{
    g_autofree char *text = vcpu_set_text(set);

    report_string(report, text);
}

#endif
