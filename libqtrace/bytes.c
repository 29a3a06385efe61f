/*
 * bytes.c - little-endian numbers, varints, a checked cursor, a growable buffer, CRC32C
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "bytes.h"

#include <pthread.h>
#include <stdlib.h>

#include "qtrace/error.h"

bool qt_cursor_long_varint(struct qt_cursor *c, uint64_t *v)
{
    const uint8_t *p = c->p;
    uint64_t value = 0;
    unsigned shift;
    uint8_t byte;

    for (shift = 0; shift < 64; shift += 7) {
        if (p == c->end) {
            return false;
        }
        byte = *p++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            c->p = p;
            *v = value;
            return true;
        }
    }
    return false;
}

int qt_buf_reserve(struct qt_buf *buf, size_t extra)
{
    size_t need = buf->len + extra;
    size_t cap = buf->cap < 256 ? 256 : buf->cap;
    uint8_t *data;

    if (need < extra || need > SIZE_MAX / 2) {
        return QTRACE_E_NOMEM;
    }
    if (need <= buf->cap) {
        return QTRACE_OK;
    }
    while (cap < need) {
        cap += cap / 2;
    }
    data = realloc(buf->data, cap);
    if (data == NULL) {
        return QTRACE_E_NOMEM;
    }
    buf->data = data;
    buf->cap = cap;
    return QTRACE_OK;
}

int qt_buf_append(struct qt_buf *buf, const void *data, size_t size)
{
    int ret = qt_buf_reserve(buf, size);

    if (ret == QTRACE_OK && size > 0) {
        memcpy(buf->data + buf->len, data, size);
        buf->len += size;
    }
    return ret;
}

void qt_buf_finish(struct qt_buf *buf)
{
    free(buf->data);
    *buf = (struct qt_buf){0};
}

int qt_grow(void **array, size_t *cap, size_t need, size_t element)
{
    size_t n = *cap < 16 ? 16 : *cap;
    void *p;

    if (need <= *cap) {
        return QTRACE_OK;
    }
    while (n < need) {
        n += n / 2;
    }
    if (n > SIZE_MAX / 2 / element) {
        return QTRACE_E_NOMEM;
    }
    p = realloc(*array, n * element);
    if (p == NULL) {
        return QTRACE_E_NOMEM;
    }
    memset((char *)p + *cap * element, 0, (n - *cap) * element);
    *array = p;
    *cap = n;
    return QTRACE_OK;
}

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_init(void)
{
    uint32_t crc;
    unsigned i, k;

    for (i = 0; i < 256; i++) {
        crc = i;
        for (k = 0; k < 8; k++) {
            crc = crc >> 1 ^ (0x82f63b78 & (0 - (crc & 1)));
        }
        crc_table[0][i] = crc;
    }
    for (i = 0; i < 256; i++) {
        for (k = 1; k < 8; k++) {
            crc = crc_table[k - 1][i];
            crc_table[k][i] = crc >> 8 ^ crc_table[0][crc & 0xff];
        }
    }
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *p, size_t size)
{
    uint64_t v;
    unsigned k;

    pthread_once(&crc_once, crc_init);
    for (; size >= 8; p += 8, size -= 8) {
        v = qt_get_le64(p) ^ crc;
        crc = 0;
        for (k = 0; k < 8; k++) {
            crc ^= crc_table[7 - k][v >> 8 * k & 0xff];
        }
    }
    for (; size > 0; p++, size--) {
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_cpu(uint32_t crc, const uint8_t *p,
                                                            size_t size)
{
    uint64_t sum = crc, v;

    for (; size >= 8; p += 8, size -= 8) {
        memcpy(&v, p, 8);
        sum = __builtin_ia32_crc32di(sum, v);
    }
    for (; size > 0; p++, size--) {
        sum = __builtin_ia32_crc32qi((uint32_t)sum, *p);
    }
    return (uint32_t)sum;
}
#endif

uint32_t qt_crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_by_cpu(~crc, data, size);
    }
#endif
    return ~crc_by_table(~crc, data, size);
}

/* ---- protobuf ---- */

static bool take(struct qt_cursor *c, uint64_t n, struct qt_cursor *taken)
{
    if (n > qt_cursor_left(c)) {
        return false;
    }
    *taken = qt_cursor(c->p, (size_t)n);
    c->p += n;
    return true;
}

bool qt_next_field(struct qt_cursor *message, struct qt_field *field)
{
    uint64_t v;

    if (!qt_cursor_max(message, &v, UINT32_MAX)) {
        return false;
    }
    field->tag = (uint32_t)v;
    switch (v & 7) {
    case QT_WIRE_VARINT:
        return qt_cursor_varint(message, &field->value);
    case QT_WIRE_FIXED64:
        return take(message, 8, &field->bytes);
    case QT_WIRE_BYTES:
        return qt_cursor_varint(message, &v) && take(message, v, &field->bytes);
    case QT_WIRE_FIXED32:
        return take(message, 4, &field->bytes);
    default:
        return false;
    }
}

int qt_buf_varint(struct qt_buf *buf, uint64_t value)
{
    if (qt_buf_reserve(buf, QT_VARINT_MAX) < 0) {
        return QTRACE_E_NOMEM;
    }
    buf->len = (size_t)(qt_put_varint(buf->data + buf->len, value) - buf->data);
    return QTRACE_OK;
}

int qt_buf_field(struct qt_buf *buf, uint32_t number, size_t size)
{
    return qt_buf_varint(buf, QT_TAG(number, QT_WIRE_BYTES)) < 0 ? QTRACE_E_NOMEM
                                                                 : qt_buf_varint(buf, size);
}
