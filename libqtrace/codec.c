/*
 * codec.c - how the bytes of a column are stored in the file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "codec.h"

#include <lz4frame.h>

#include "qtrace/error.h"

#define LZ4_MAGIC 0x184d2204u

void qt_codec_finish(struct qt_codec *codec)
{
    LZ4F_freeCompressionContext(codec->compress);
    LZ4F_freeDecompressionContext(codec->decompress);
    *codec = (struct qt_codec){0};
}

static int encode_none(const void *raw, size_t raw_size, struct qt_buf *out)
{
    uint8_t head[8];
    int ret = qt_buf_reserve(out, sizeof(head) + raw_size);

    if (ret < 0) {
        return ret;
    }
    qt_put_le32(qt_put_le32(head, QT_COLUMN_MAGIC), (uint32_t)raw_size);
    qt_buf_append(out, head, sizeof(head));
    return qt_buf_append(out, raw, raw_size);
}

/* The smallest block that holds everything: a reader allocates buffers of that size. */
static LZ4F_blockSizeID_t block_size(size_t raw_size)
{
    return raw_size <= 64 << 10  ? LZ4F_max64KB
         : raw_size <= 256 << 10 ? LZ4F_max256KB
         : raw_size <= 1 << 20   ? LZ4F_max1MB
                                 : LZ4F_max4MB;
}

static LZ4F_preferences_t preferences(unsigned level, size_t raw_size)
{
    LZ4F_preferences_t p = LZ4F_INIT_PREFERENCES;

    p.frameInfo.blockSizeID = block_size(raw_size);
    p.frameInfo.blockMode = LZ4F_blockLinked;
    p.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    p.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
    p.frameInfo.contentSize = raw_size;
    p.compressionLevel = (int)level;
    p.autoFlush = 1;
    return p;
}

static int encode_lz4(struct qt_codec *codec, unsigned level, const void *raw, size_t raw_size,
                      struct qt_buf *out)
{
    LZ4F_compressOptions_t options = {.stableSrc = 1};
    LZ4F_preferences_t prefs = preferences(level, raw_size);
    size_t bound = LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(raw_size, &prefs);
    LZ4F_cctx *ctx = codec->compress;
    size_t len = out->len, step;

    if (qt_buf_reserve(out, bound) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (ctx == NULL) {
        if (LZ4F_isError(LZ4F_createCompressionContext(&ctx, LZ4F_VERSION))) {
            return QTRACE_E_NOMEM;
        }
        codec->compress = ctx;
    }
    step = LZ4F_compressBegin(ctx, out->data + len, out->cap - len, &prefs);
    if (LZ4F_isError(step)) {
        return QTRACE_E_NOMEM;
    }
    len += step;
    step = LZ4F_compressUpdate(ctx, out->data + len, out->cap - len, raw, raw_size, &options);
    if (LZ4F_isError(step)) {
        return QTRACE_E_NOMEM;
    }
    len += step;
    step = LZ4F_compressEnd(ctx, out->data + len, out->cap - len, &options);
    if (LZ4F_isError(step)) {
        return QTRACE_E_NOMEM;
    }
    out->len = len + step;
    return QTRACE_OK;
}

int qt_codec_encode(struct qt_codec *codec, unsigned level, const void *raw, size_t raw_size,
                    struct qt_buf *out)
{
    if (level == 0) {
        return encode_none(raw, raw_size, out);
    }
    return encode_lz4(codec, level, raw, raw_size, out);
}

static int decode_none(const uint8_t *stored, size_t stored_size, void *raw, size_t raw_size)
{
    if (stored_size != raw_size + 8 || qt_get_le32(stored) != QT_COLUMN_MAGIC ||
        qt_get_le32(stored + 4) != raw_size) {
        return QTRACE_E_DAMAGED;
    }
    if (raw_size > 0) {
        memcpy(raw, stored + 8, raw_size);
    }
    return QTRACE_OK;
}

static int decompression_context(struct qt_codec *codec)
{
    LZ4F_dctx *ctx = codec->decompress;

    if (ctx == NULL) {
        if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION))) {
            return QTRACE_E_NOMEM;
        }
        codec->decompress = ctx;
    }
    LZ4F_resetDecompressionContext(ctx);
    return QTRACE_OK;
}

/* The frame must announce what the directory says and come out as exactly that. */
static int decode_lz4(struct qt_codec *codec, const uint8_t *stored, size_t stored_size,
                      uint8_t *raw, size_t raw_size)
{
    LZ4F_decompressOptions_t options = {.stableDst = 1};
    LZ4F_frameInfo_t info;
    size_t in = stored_size, done_in, done_out = 0, n_in, n_out, hint;

    if (stored_size < 7 || qt_get_le32(stored) != LZ4_MAGIC) {
        return QTRACE_E_DAMAGED;
    }
    if (decompression_context(codec) < 0) {
        return QTRACE_E_NOMEM;
    }
    hint = LZ4F_getFrameInfo(codec->decompress, &info, stored, &in);
    if (LZ4F_isError(hint) || info.contentSize != raw_size || info.dictID != 0) {
        return QTRACE_E_DAMAGED;
    }
    done_in = in;
    while (hint != 0) {
        n_in = stored_size - done_in;
        n_out = raw_size - done_out;
        hint = LZ4F_decompress(codec->decompress, raw + done_out, &n_out, stored + done_in,
                               &n_in, &options);
        if (LZ4F_isError(hint) || (hint != 0 && n_in == 0 && n_out == 0)) {
            return QTRACE_E_DAMAGED;
        }
        done_in += n_in;
        done_out += n_out;
    }
    return done_in == stored_size && done_out == raw_size ? QTRACE_OK : QTRACE_E_DAMAGED;
}

int qt_codec_decode(struct qt_codec *codec, unsigned id, const void *stored,
                    size_t stored_size, void *raw, size_t raw_size)
{
    switch (id) {
    case QT_CODEC_NONE:
        return stored_size < 8 ? QTRACE_E_DAMAGED
                               : decode_none(stored, stored_size, raw, raw_size);
    case QT_CODEC_LZ4:
        return decode_lz4(codec, stored, stored_size, raw, raw_size);
    default:
        return QTRACE_E_REFUSED;
    }
}
