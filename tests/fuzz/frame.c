/*
 * frame.c - fuzz target: the message of a frame
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "frame.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qt_frame frame, again;
    struct qt_buf packed = {0};

    if (qt_frame_unpack(&frame, data, size, NULL) == 0) {
        MUST(frame.info.n_columns <= QTRACE_FRAME_COLUMNS);
        MUST(frame.info.blocks + frame.info.accesses <= QT_MAX_ROWS);
        MUST(qt_frame_pack(&frame, false, &packed) == 0);
        MUST(qt_frame_unpack(&again, packed.data, packed.len, NULL) == 0);
        MUST(memcmp(&frame.info, &again.info, sizeof(frame.info)) == 0);
        qt_buf_finish(&packed);
    }
    return 0;
}
