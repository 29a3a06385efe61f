/*
 * envelope.h - the skippable frames that carry messages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_ENVELOPE_H
#define QT_ENVELOPE_H

#include "bytes.h"

#define QT_ENVELOPE_MAGIC 0x184d2a5cu
#define QT_ENVELOPE_MARK "QTRframe"
#define QT_ENVELOPE_HEAD 40 /* bytes before the body */
#define QT_ENVELOPE_BODY_MAX (16u << 20)
#define QT_END_MARK_SIZE (QT_ENVELOPE_HEAD + 16)

enum qt_envelope_type {
    QT_ENVELOPE_FILE_HEADER = 1,
    QT_ENVELOPE_RUN = 2,
    QT_ENVELOPE_FRAME = 3,
    QT_ENVELOPE_END = 4,
    QT_ENVELOPE_END_MARK = 5,
};

enum { QT_ENVELOPE_MANDATORY = 1 };

struct qt_envelope {
    uint64_t nonce;
    uint32_t seq;
    uint16_t type, flags;
    uint32_t body_size;
    uint32_t crc;
};

/* Append an envelope with its body. 0 or QTRACE_E_NOMEM, QTRACE_E_INVALID (body too big). */
int qt_envelope_put(struct qt_buf *out, const struct qt_envelope *envelope, const void *body,
                    size_t body_size);

/* Take apart the QT_ENVELOPE_HEAD bytes at head. false: they are none; the body and the sum
 * have not been looked at. */
bool qt_envelope_head(struct qt_envelope *envelope, const uint8_t *head);

/* Does the sum in head fit head and body? */
bool qt_envelope_check(const struct qt_envelope *envelope, const uint8_t *head,
                       const uint8_t *body);

/* Could these first n bytes be the beginning of an envelope of this trace? */
bool qt_envelope_prefix(const uint8_t *p, size_t n, uint64_t nonce);

#endif
