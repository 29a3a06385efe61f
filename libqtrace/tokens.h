/*
 * tokens.h - the tokens of predicted columns
 *
 * A token says that so many rows were as predicted, and what kind of surprise came then. Behind
 * the last token all rows are as predicted. FORMAT.md has the bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_TOKENS_H
#define QT_TOKENS_H

#include "bytes.h"

#define QT_TOKEN_MAX 6         /* bytes */
#define QT_MAX_RUN (1u << 24) /* at least the rows of any column */

static inline uint8_t *qt_put_token(uint8_t *p, unsigned kinds, unsigned kind, uint32_t run)
{
    const unsigned runs = 256 / kinds;

    if (qt_likely(run < runs - 1)) {
        *p++ = (uint8_t)(kind * runs + run);
        return p;
    }
    *p++ = (uint8_t)(kind * runs + runs - 1);
    return qt_put_varint(p, run - (runs - 1));
}

#define QT_ENDLESS UINT32_MAX /* rows, none of which is a surprise */

struct qt_tokens {
    struct qt_cursor c; /* behind the token */
    unsigned kind;
    uint32_t run; /* rows before the surprise */
    bool last;    /* there is no token any more: run began as QT_ENDLESS */
};

/* False: malformed. kinds is a constant, or it would be slow. */
static inline bool qt_next_token(struct qt_tokens *t, unsigned kinds)
{
    const unsigned runs = 256 / kinds;
    unsigned byte;
    uint64_t more;

    t->last = t->c.p == t->c.end;
    if (t->last) {
        t->run = QT_ENDLESS;
        return true;
    }
    byte = *t->c.p++;
    t->kind = byte / runs;
    t->run = byte % runs;
    if (t->run == runs - 1) {
        if (!qt_cursor_max(&t->c, &more, QT_MAX_RUN)) {
            return false;
        }
        t->run += (uint32_t)more;
    }
    return t->kind < kinds;
}

static inline bool qt_first_token(struct qt_tokens *t, struct qt_cursor c, unsigned kinds)
{
    *t = (struct qt_tokens){.c = c};
    return qt_next_token(t, kinds);
}

/* Is the next row as predicted? */
static inline bool qt_is_predicted(struct qt_tokens *t)
{
    if (qt_unlikely(t->run == 0)) {
        return false;
    }
    t->run--;
    return true;
}

#endif
