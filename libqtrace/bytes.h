/*
 * bytes.h - little-endian numbers, varints, a checked cursor, a growable buffer, CRC32C
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_BYTES_H
#define QT_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define QT_VARINT_MAX 10 /* bytes of the longest varint */

#define qt_likely(x) __builtin_expect(!!(x), 1)
#define qt_unlikely(x) __builtin_expect(!!(x), 0)

/* Hot code that is made in more than one place, or once for each constant argument. */
#define QT_INLINE static inline __attribute__((always_inline))

static inline uint8_t *qt_put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static inline uint8_t *qt_put_le32(uint8_t *p, uint32_t v)
{
    return qt_put_le16(qt_put_le16(p, (uint16_t)v), (uint16_t)(v >> 16));
}

static inline uint8_t *qt_put_le64(uint8_t *p, uint64_t v)
{
    return qt_put_le32(qt_put_le32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static inline uint16_t qt_get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t qt_get_le32(const uint8_t *p)
{
    return qt_get_le16(p) | (uint32_t)qt_get_le16(p + 2) << 16;
}

static inline uint64_t qt_get_le64(const uint8_t *p)
{
    return qt_get_le32(p) | (uint64_t)qt_get_le32(p + 4) << 32;
}

/* Unchecked: the caller has reserved QT_VARINT_MAX bytes (fewer for smaller types). */
static inline uint8_t *qt_put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* The same for values of changing size, without branches on them: the seven-bit groups are
 * spread over eight bytes at once. Writes QT_VARINT_MAX bytes at most, 8 at least. */
static inline uint8_t *qt_put_varint_wide(uint8_t *p, uint64_t v)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1), size = (bits * 9 + 64) / 64;
    uint64_t x = v;

    if (qt_unlikely(bits > 56)) {
        return qt_put_varint(p, v);
    }
    x = (x & 0x00fffffff0000000u) << 4 | (x & 0x000000000fffffffu);
    x = (x & 0x0fffc0000fffc000u) << 2 | (x & 0x00003fff00003fffu);
    x = (x & 0x3f803f803f803f80u) << 1 | (x & 0x007f007f007f007fu);
    x |= 0x8080808080808080u & ((1ull << 8 * (size - 1)) - 1);
    x = htole64(x);
    memcpy(p, &x, sizeof(x));
    return p + size;
}

static inline size_t qt_varint_size(uint64_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

static inline uint64_t qt_zigzag64(uint64_t v)
{
    return v << 1 ^ (0 - (v >> 63));
}

static inline uint64_t qt_unzigzag64(uint64_t v)
{
    return v >> 1 ^ (0 - (v & 1));
}

static inline uint32_t qt_zigzag32(uint32_t v)
{
    return v << 1 ^ (0 - (v >> 31));
}

static inline uint32_t qt_unzigzag32(uint32_t v)
{
    return v >> 1 ^ (0 - (v & 1));
}

/* What is left to read. Getters return false at the end or on bad data. */
struct qt_cursor {
    const uint8_t *p, *end;
};

static inline struct qt_cursor qt_cursor(const void *data, size_t size)
{
    const uint8_t *p = data;

    return (struct qt_cursor){p, size == 0 ? p : p + size};
}

static inline size_t qt_cursor_left(const struct qt_cursor *c)
{
    return (size_t)(c->end - c->p);
}

bool qt_cursor_long_varint(struct qt_cursor *c, uint64_t *v);

static inline bool qt_cursor_varint(struct qt_cursor *c, uint64_t *v)
{
    if (qt_likely(c->p < c->end && *c->p < 0x80)) {
        *v = *c->p++;
        return true;
    }
    return qt_cursor_long_varint(c, v);
}

/* Take a varint if `take`, else 0 or anything: without branches on it or on the size, but near
 * the end. Eight bytes at once; their seven-bit groups are moved together. */
static inline bool qt_cursor_varint_if(struct qt_cursor *c, bool take, uint64_t *v)
{
    uint64_t x, stop;

    *v = 0;
    if (qt_unlikely(qt_cursor_left(c) < sizeof(x))) {
        return !take || qt_cursor_varint(c, v);
    }
    memcpy(&x, c->p, sizeof(x));
    x = le64toh(x);
    stop = ~x & 0x8080808080808080u;
    if (qt_unlikely(stop == 0)) {
        return !take || qt_cursor_long_varint(c, v);
    }
    x &= stop ^ (stop - 1);
    x = (x & 0x7f007f007f007f00u) >> 1 | (x & 0x007f007f007f007fu);
    x = (x & 0x3fff00003fff0000u) >> 2 | (x & 0x00003fff00003fffu);
    x = (x & 0x0fffffff00000000u) >> 4 | (x & 0x000000000fffffffu);
    *v = x;
    c->p += take ? (unsigned)__builtin_ctzll(stop) / 8 + 1 : 0;
    return true;
}

/* A varint that is at most max. */
static inline bool qt_cursor_max(struct qt_cursor *c, uint64_t *v, uint64_t max)
{
    return qt_cursor_varint(c, v) && *v <= max;
}

/* A buffer that grows. Functions return 0 or QTRACE_E_NOMEM; then it is unchanged. */
struct qt_buf {
    uint8_t *data;
    size_t len, cap;
};

/* Make room for extra bytes behind len. */
int qt_buf_reserve(struct qt_buf *buf, size_t extra);
int qt_buf_append(struct qt_buf *buf, const void *data, size_t size);
void qt_buf_finish(struct qt_buf *buf);

/* Grow an array of *cap elements to at least need. 0 or QTRACE_E_NOMEM. */
int qt_grow(void **array, size_t *cap, size_t need, size_t element);

/* CRC32C (Castagnoli) of data that follows other data with the sum crc; start with 0. */
uint32_t qt_crc32c(uint32_t crc, const void *data, size_t size);

/* ---- protobuf ---- */

enum { QT_WIRE_VARINT = 0, QT_WIRE_FIXED64 = 1, QT_WIRE_BYTES = 2, QT_WIRE_FIXED32 = 5 };
#define QT_TAG(number, wire) ((number) << 3 | (wire))

/* A field of a message. */
struct qt_field {
    uint32_t tag; /* QT_TAG */
    uint64_t value;
    struct qt_cursor bytes;
};

/* Take the next field. false: there is none, or it is malformed. */
bool qt_next_field(struct qt_cursor *message, struct qt_field *field);

/* Append numbers, and the head of a field of bytes. 0 or QTRACE_E_NOMEM. */
int qt_buf_varint(struct qt_buf *buf, uint64_t value);
int qt_buf_field(struct qt_buf *buf, uint32_t number, size_t size);

#endif
