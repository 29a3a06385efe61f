/*
 * codec.h - how the bytes of a column are stored in the file
 *
 * Either codec makes whole frames in the sense of LZ4, so that a trace is an LZ4 file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_CODEC_H
#define QT_CODEC_H

#include "bytes.h"

enum {
    QT_CODEC_NONE = 0, /* a skippable frame */
    QT_CODEC_LZ4 = 1,  /* an LZ4 frame: content size, content and block checksums */
};

#define QT_COLUMN_MAGIC 0x184d2a5du /* of the skippable frames of codec 0 */
#define QT_LEVEL_MAX 12

/* Contexts that are made on first use and kept. Zero it to begin with. */
struct qt_codec {
    void *compress, *decompress;
};

void qt_codec_finish(struct qt_codec *codec);

/* Append the stored form of raw to out; level 0 means codec 0, else codec 1. */
int qt_codec_encode(struct qt_codec *codec, unsigned level, const void *raw, size_t raw_size,
                    struct qt_buf *out);

/* Decode into raw, which must come out to exactly raw_size bytes. QTRACE_E_DAMAGED: it does
 * not; QTRACE_E_REFUSED: unknown codec. */
int qt_codec_decode(struct qt_codec *codec, unsigned id, const void *stored,
                    size_t stored_size, void *raw, size_t raw_size);

#endif
