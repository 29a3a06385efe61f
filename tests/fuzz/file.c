/*
 * file.c - fuzz target: a whole file
 *
 * Checksums would keep a fuzzer from getting anywhere: where bytes look like an envelope whose
 * sum is wrong, it is put right first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "envelope.h"
#include "trace.h"

static void mend_sums(uint8_t *data, size_t size)
{
    struct qt_envelope e;
    size_t at;

    for (at = 0; size - at >= QT_ENVELOPE_HEAD && at < size; at++) {
        if (qt_envelope_head(&e, data + at) && e.body_size <= size - at - QT_ENVELOPE_HEAD) {
            uint32_t crc = qt_crc32c(0, data + at + 8, 28);

            qt_put_le32(data + at + 36,
                        qt_crc32c(crc, data + at + QT_ENVELOPE_HEAD, e.body_size));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    MUST(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    mend_sums(copy, size);
    fuzz_trace(copy, size);
    free(copy);
    return 0;
}
