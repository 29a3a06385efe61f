/*
 * index.c - fuzz target: a segment of the index, and a summary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "index.h"

#include <string.h>

#include "fuzz.h"

#define LIMIT 4096

static void check_segment(const uint8_t *data, size_t size)
{
    static struct qt_index_segment s;
    const uint64_t limit = 1ull << 40;
    uint64_t end = 0;
    uint32_t i;

    if (qt_index_unpack(&s, data, size, limit) < 0) {
        return;
    }
    MUST(s.n <= QT_INDEX_FRAMES);
    for (i = 0; i < s.n; i++) {
        const struct qtrace_frame_info *f = &s.frame[i].info;

        MUST(f->offset >= end && f->size >= QT_ENVELOPE_HEAD && f->size <= limit - f->offset);
        end = f->offset + f->size;
    }
    while (qt_index_length(&s) > 0) {
    }
}

/* What can be unpacked is packed again, and then it is the same. */
static void check_counts(const uint8_t *data, size_t size)
{
    struct qtrace_counts *a = qtrace_counts_new(), *b = qtrace_counts_new();
    struct qt_buf packed = {0};
    uint64_t rows = size > 0 ? data[0] : 0;

    if (size > 0 && qt_counts_unpack(a, data + 1, size - 1, rows, LIMIT) == 0) {
        MUST(a->n <= LIMIT && a->n_insns <= LIMIT);
        MUST(qt_counts_pack(a, &packed, &rows) == 0);
        MUST(qt_counts_unpack(b, packed.data, packed.len, rows, LIMIT) == 0);
        MUST(qtrace_counts_equal(a, b));
    }
    qt_buf_finish(&packed);
    qtrace_counts_free(&a);
    qtrace_counts_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_segment(data, size);
    check_counts(data, size);
    return 0;
}
