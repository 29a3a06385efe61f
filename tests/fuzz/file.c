/*
 * file.c - fuzz target: a whole file
 *
 * Checksums would keep a fuzzer from getting anywhere: where bytes look like an envelope whose
 * sum is wrong, it is put right first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "envelope.h"
#include "fuzz.h"
#include "qtrace/qtrace.h"

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

static void read_all(struct qtrace_reader *reader)
{
    struct qtrace_batch *batch;
    size_t i;

    for (i = 0; i < qtrace_reader_n_frames(reader); i++) {
        if (!qtrace_reader_frame(reader, i)->definitions &&
            qtrace_reader_read(reader, i, &batch, NULL) == 0) {
            MUST(batch->n_blocks == qtrace_reader_frame(reader, i)->blocks);
            qtrace_batch_free(&batch);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qtrace_reader *reader;
    uint8_t *copy = malloc(size + 1);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];

    MUST(copy != NULL && fd >= 0);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    mend_sums(copy, size);
    MUST(write(fd, copy, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (qtrace_reader_open(&reader, path, NULL) == 0) {
        read_all(reader);
        qtrace_reader_close(&reader);
    }
    close(fd);
    free(copy);
    return 0;
}
