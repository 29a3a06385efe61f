/*
 * envelope.c - the skippable frames that carry messages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "envelope.h"

#include "qtrace/error.h"

#define SUM_FROM 8  /* what LZ4 needs, magic and size, is not summed but fully determined */
#define SUM_AT 36

int qt_envelope_put(struct qt_buf *out, const struct qt_envelope *envelope, const void *body,
                    size_t body_size)
{
    uint8_t head[QT_ENVELOPE_HEAD], *p = head;
    uint32_t crc;
    int ret;

    if (body_size > QT_ENVELOPE_BODY_MAX) {
        return QTRACE_E_INVALID;
    }
    p = qt_put_le32(p, QT_ENVELOPE_MAGIC);
    p = qt_put_le32(p, (uint32_t)(QT_ENVELOPE_HEAD - 8 + body_size));
    memcpy(p, QT_ENVELOPE_MARK, 8);
    p = qt_put_le64(p + 8, envelope->nonce);
    p = qt_put_le32(p, envelope->seq);
    p = qt_put_le16(p, envelope->type);
    p = qt_put_le16(p, envelope->flags);
    p = qt_put_le32(p, (uint32_t)body_size);
    crc = qt_crc32c(0, head + SUM_FROM, SUM_AT - SUM_FROM);
    qt_put_le32(p, qt_crc32c(crc, body, body_size));
    ret = qt_buf_reserve(out, sizeof(head) + body_size);
    if (ret == QTRACE_OK) {
        qt_buf_append(out, head, sizeof(head));
        qt_buf_append(out, body, body_size);
    }
    return ret;
}

bool qt_envelope_head(struct qt_envelope *envelope, const uint8_t *head)
{
    if (qt_get_le32(head) != QT_ENVELOPE_MAGIC ||
        memcmp(head + 8, QT_ENVELOPE_MARK, 8) != 0) {
        return false;
    }
    envelope->nonce = qt_get_le64(head + 16);
    envelope->seq = qt_get_le32(head + 24);
    envelope->type = qt_get_le16(head + 28);
    envelope->flags = qt_get_le16(head + 30);
    envelope->body_size = qt_get_le32(head + 32);
    envelope->crc = qt_get_le32(head + SUM_AT);
    return envelope->body_size <= QT_ENVELOPE_BODY_MAX &&
           qt_get_le32(head + 4) == QT_ENVELOPE_HEAD - 8 + envelope->body_size;
}

bool qt_envelope_check(const struct qt_envelope *envelope, const uint8_t *head,
                       const uint8_t *body)
{
    uint32_t crc = qt_crc32c(0, head + SUM_FROM, SUM_AT - SUM_FROM);

    return qt_crc32c(crc, body, envelope->body_size) == envelope->crc;
}

bool qt_envelope_prefix(const uint8_t *p, size_t n, uint64_t nonce)
{
    uint8_t want[24];

    if (n == 0) {
        return true;
    }
    memcpy(want + 8, QT_ENVELOPE_MARK, 8);
    qt_put_le32(want, QT_ENVELOPE_MAGIC);
    qt_put_le64(want + 16, nonce);
    return memcmp(p, want, n < 4 ? n : 4) == 0 &&
           (n <= 8 || memcmp(p + 8, want + 8, (n < 24 ? n : 24) - 8) == 0);
}
