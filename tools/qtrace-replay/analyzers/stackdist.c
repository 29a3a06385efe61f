/*
 * stackdist.c - LRU stack distances of accesses to lines, exact and in one pass
 *
 * After Bennett and Kruskal, "LRU stack processing", IBM Journal of Research and Development
 * 19(4), 1975: time advances by one with each access, the time of each line's last use is marked,
 * and the distance is the number of marks from the line's own on. A tree of partial sums counts
 * them in logarithmic time (Fenwick, "A new data structure for cumulative frequency tables",
 * Software: Practice and Experience 24(3), 1994), here over words of 64 marks. When time runs
 * out, the marks are moved together, keeping their order, as in Olken, "Efficient methods for
 * calculating the success function of fixed space replacement policies" (1981); so memory grows
 * with the number of lines, not with that of accesses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "stackdist.h"

#include <glib.h>
#include <string.h>

#define MIN_CAPACITY (UINT64_C(1) << 14)

/* ---- the tree; element w is for the words (w + 1) - ((w + 1) & -(w + 1)) to w ---- */

static void tree_add(struct stackdist *s, uint64_t word, uint64_t delta)
{
    uint64_t n = s->capacity / 64;

    for (uint64_t i = word + 1; i <= n; i += i & -i) {
        s->tree[i - 1] += delta;
    }
}

static uint64_t marks_before(const struct stackdist *s, uint64_t time)
{
    uint64_t below = (UINT64_C(1) << (time % 64)) - 1;
    uint64_t sum = (uint64_t)__builtin_popcountll(s->mark[time / 64] & below);

    for (uint64_t i = time / 64; i > 0; i -= i & -i) {
        sum += s->tree[i - 1];
    }
    return sum;
}

static void tree_build(struct stackdist *s)
{
    uint64_t n = s->capacity / 64;

    for (uint64_t i = 0; i < n; i++) {
        s->tree[i] = (uint64_t)__builtin_popcountll(s->mark[i]);
    }
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t parent = i + (i & -i);
        if (parent <= n) {
            s->tree[parent - 1] += s->tree[i - 1];
        }
    }
}

/* ---- times ---- */

static void resize(struct stackdist *s, uint64_t capacity)
{
    s->capacity = capacity;
    s->mark = g_renew(uint64_t, s->mark, capacity / 64);
    s->tree = g_renew(uint64_t, s->tree, capacity / 64);
    s->owner = g_renew(uint64_t *, s->owner, capacity);
    s->count = g_renew(uint64_t, s->count, capacity + 1);
}

void stackdist_init(struct stackdist *s)
{
    *s = (struct stackdist){ 0 };
    resize(s, MIN_CAPACITY);
    memset(s->mark, 0, s->capacity / 8);
    memset(s->tree, 0, s->capacity / 8);
    memset(s->count, 0, (s->capacity + 1) * sizeof(*s->count));
}

/* Lines get the times 0 to lines - 1, in the order that they have. */
static void compact(struct stackdist *s)
{
    uint64_t old = s->capacity, time = 0;

    for (uint64_t word = 0; word < old / 64; word++) {
        for (uint64_t marks = s->mark[word]; marks != 0; marks &= marks - 1) {
            uint64_t *line = s->owner[word * 64 + (uint64_t)__builtin_ctzll(marks)];
            s->owner[time++] = line;
            *line = time;
        }
    }
    s->now = time;
    if (4 * s->lines > s->capacity) {
        resize(s, 2 * s->capacity);
        memset(s->count + old + 1, 0, (s->capacity - old) * sizeof(*s->count));
    }
    memset(s->mark, 0, s->capacity / 8);
    memset(s->mark, 0xff, time / 64 * 8);
    s->mark[time / 64] = (UINT64_C(1) << (time % 64)) - 1;
    tree_build(s);
}

void stackdist_move(struct stackdist *s, uint64_t *line)
{
    if (s->now == s->capacity) {
        compact(s);
    }
    uint64_t now = s->now++;
    if (*line == 0) {
        s->lines++;
        tree_add(s, now / 64, 1);
    } else {
        uint64_t last = *line - 1; /* times are kept plus one: 0 is never */
        s->count[s->lines - marks_before(s, last)]++;
        s->mark[last / 64] &= ~(UINT64_C(1) << (last % 64));
        if (last / 64 != now / 64) {
            tree_add(s, last / 64, UINT64_MAX);
            tree_add(s, now / 64, 1);
        }
    }
    s->mark[now / 64] |= UINT64_C(1) << (now % 64);
    s->owner[now] = line;
    *line = now + 1;
    s->recent = line;
}
