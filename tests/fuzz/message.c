/*
 * message.c - fuzz target: the message of an envelope, of any kind
 *
 * The first byte chooses the kind. Before it stands a good FileHeader; behind a message of
 * another kind than End stands an End.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "envelope.h"
#include "trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qt_envelope e = {.nonce = 1, .type = QT_ENVELOPE_FILE_HEADER, .flags = 1};
    struct qt_buf file = {0};

    if (size == 0 || size > QT_ENVELOPE_BODY_MAX) {
        return 0;
    }
    MUST(qt_envelope_put(&file, &e, "", 0) == 0);
    e.seq = 1;
    e.type = (uint16_t)(1 + data[0] % QT_ENVELOPE_END_MARK);
    MUST(qt_envelope_put(&file, &e, data + 1, size - 1) == 0);
    e.seq = 2;
    if (e.type != QT_ENVELOPE_END) {
        e.type = QT_ENVELOPE_END;
        MUST(qt_envelope_put(&file, &e, "", 0) == 0);
    }
    fuzz_trace(file.data, file.len);
    qt_buf_finish(&file);
    return 0;
}
