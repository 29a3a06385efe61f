/*
 * counts.c - the summary column: counts of blocks and accesses, packed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "counts.h"

#include <stdlib.h>

#include "scan.h"

/* How the counts of an instruction's accesses are told. */
enum { ALL_LOADS, ALL_STORES, BOTH, KINDS };

struct qtrace_counts *qtrace_counts_new(void)
{
    return calloc(1, sizeof(struct qtrace_counts));
}

void qtrace_counts_free(struct qtrace_counts **counts)
{
    if (counts != NULL && *counts != NULL) {
        qt_counts_finish(*counts);
        free(*counts);
        *counts = NULL;
    }
}

void qt_counts_finish(struct qtrace_counts *counts)
{
    size_t i;

    for (i = 0; i < counts->cap; i++) {
        free(counts->block[i].count.insn);
    }
    free(counts->block);
    free(counts->slot);
    free(counts->order);
    *counts = (struct qtrace_counts){0};
}

void qt_counts_clear(struct qtrace_counts *counts)
{
    if (counts->n_slots > 0) {
        memset(counts->slot, 0, counts->n_slots * sizeof(*counts->slot));
    }
    if (counts->cap > 0) {
        counts->block[QT_COUNTS_CARRIED].count.n_insns = 0;
    }
    counts->n = counts->n_insns = 0;
    counts->sorted = false;
}

/* ---- looking up ---- */

static uint32_t *find(const struct qtrace_counts *c, uint32_t id)
{
    size_t i = id * 2654435761u & (c->n_slots - 1);

    while (c->slot[i] != 0 && c->block[c->slot[i]].count.block != id) {
        i = (i + 1) & (c->n_slots - 1);
    }
    return &c->slot[i];
}

static int grow_slots(struct qtrace_counts *c)
{
    size_t n = c->n_slots == 0 ? 256 : 2 * c->n_slots, i;
    uint32_t *slot = calloc(n, sizeof(*slot));

    if (slot == NULL) {
        return QTRACE_E_NOMEM;
    }
    free(c->slot);
    c->slot = slot;
    c->n_slots = n;
    for (i = 1; i <= c->n; i++) {
        *find(c, c->block[i].count.block) = (uint32_t)i;
    }
    return QTRACE_OK;
}

uint32_t qt_counts_block(struct qtrace_counts *counts, uint32_t id)
{
    struct qtrace_block_count *b;
    uint32_t *slot;

    if (2 * counts->n >= counts->n_slots && grow_slots(counts) < 0) {
        return QT_COUNTS_NONE;
    }
    slot = find(counts, id);
    if (*slot != 0) {
        return *slot;
    }
    if (qt_grow((void **)&counts->block, &counts->cap, counts->n + 2,
                sizeof(*counts->block)) < 0) {
        return QT_COUNTS_NONE;
    }
    b = &counts->block[++counts->n].count;
    b->block = id;
    b->n_insns = 0;
    b->executions = 0;
    counts->sorted = false;
    return *slot = (uint32_t)counts->n;
}

struct qtrace_insn_count *qt_counts_insn(struct qtrace_counts *counts, uint32_t number,
                                         uint32_t insn)
{
    struct qtrace_block_count *b;
    uint32_t low = 0, high, middle;

    if (qt_grow((void **)&counts->block, &counts->cap, 1, sizeof(*counts->block)) < 0) {
        return NULL;
    }
    b = &counts->block[number].count;
    for (high = b->n_insns; low < high;) {
        middle = (low + high) / 2;
        if (b->insn[middle].insn < insn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < b->n_insns && b->insn[low].insn == insn) {
        return &b->insn[low];
    }
    if (qt_grow((void **)&b->insn, &counts->block[number].cap, b->n_insns + 1ull,
                sizeof(*b->insn)) < 0) {
        return NULL;
    }
    memmove(b->insn + low + 1, b->insn + low, (b->n_insns - low) * sizeof(*b->insn));
    b->insn[low] = (struct qtrace_insn_count){.insn = insn};
    b->n_insns++;
    counts->n_insns++;
    return &b->insn[low];
}

static int by_id(const void *a, const void *b, void *data)
{
    const struct qtrace_counts *c = data;
    uint32_t x = c->block[*(const uint32_t *)a].count.block;
    uint32_t y = c->block[*(const uint32_t *)b].count.block;

    return x < y ? -1 : x > y;
}

static int sort(struct qtrace_counts *c)
{
    size_t i;

    if (c->sorted) {
        return QTRACE_OK;
    }
    if (qt_grow((void **)&c->order, &c->cap_order, c->n, sizeof(*c->order)) < 0) {
        return QTRACE_E_NOMEM;
    }
    for (i = 0; i < c->n; i++) {
        c->order[i] = (uint32_t)i + 1;
    }
    if (c->n > 0) {
        qsort_r(c->order, c->n, sizeof(*c->order), by_id, c);
    }
    c->sorted = true;
    return QTRACE_OK;
}

size_t qtrace_counts_n_blocks(struct qtrace_counts *counts)
{
    return sort(counts) == QTRACE_OK ? counts->n : 0;
}

const struct qtrace_block_count *qtrace_counts_block(struct qtrace_counts *counts, size_t i)
{
    return i < qtrace_counts_n_blocks(counts) ? &counts->block[counts->order[i]].count : NULL;
}

const struct qtrace_block_count *qtrace_counts_carried(const struct qtrace_counts *counts)
{
    const struct qtrace_block_count *b =
        counts->cap > 0 ? &counts->block[QT_COUNTS_CARRIED].count : NULL;

    return b != NULL && b->n_insns > 0 ? b : NULL;
}

/* ---- counting rows ---- */

static int add_accesses(struct qtrace_counts *c, const struct qtrace_batch *b, uint32_t own,
                        uint32_t from, uint32_t to, uint32_t *foreign)
{
    struct qtrace_insn_count *insn;
    uint32_t number;

    for (; from < to; from++) {
        number = own;
        if (b->flags[from] & QTRACE_ACCESS_FOREIGN) {
            number = qt_counts_block(c, b->foreign[(*foreign)++].block);
        }
        insn = number == QT_COUNTS_NONE ? NULL : qt_counts_insn(c, number, b->insn[from]);
        if (insn == NULL) {
            return QTRACE_E_NOMEM;
        }
        if (b->flags[from] & QTRACE_ACCESS_STORE) {
            insn->stores++;
        } else {
            insn->loads++;
        }
    }
    return QTRACE_OK;
}

static int add_row(struct qtrace_counts *c, uint32_t block, uint32_t started, uint32_t length,
                   uint32_t *number)
{
    struct qtrace_insn_count *insn;

    *number = qt_counts_block(c, block);
    if (*number == QT_COUNTS_NONE) {
        return QTRACE_E_NOMEM;
    }
    c->block[*number].count.executions++;
    if (started < length) {
        insn = qt_counts_insn(c, *number, started);
        if (insn == NULL) {
            return QTRACE_E_NOMEM;
        }
        insn->left++;
    }
    return QTRACE_OK;
}

int qtrace_counts_add(struct qtrace_counts *counts, const struct qtrace_batch *batch,
                      struct qtrace_reader *reader)
{
    uint32_t row, number, foreign = 0;
    int ret = add_accesses(counts, batch, QT_COUNTS_CARRIED, 0, batch->access_begin, &foreign);

    for (row = 0; ret == QTRACE_OK && row < batch->n_blocks; row++) {
        ret = add_row(counts, batch->block[row], batch->started[row],
                      qt_length(&reader->dictionary.lengths, batch->block[row]), &number);
        if (ret == QTRACE_OK) {
            ret = add_accesses(counts, batch, number,
                               row == 0 ? batch->access_begin : batch->access_end[row - 1],
                               batch->access_end[row], &foreign);
        }
    }
    return ret;
}

bool qtrace_counts_equal(struct qtrace_counts *a, struct qtrace_counts *b)
{
    struct qt_buf x = {0}, y = {0};
    uint64_t n, m;
    bool equal = qt_counts_pack(a, &x, &n) == QTRACE_OK &&
                 qt_counts_pack(b, &y, &m) == QTRACE_OK && n == m && x.len == y.len &&
                 (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);

    qt_buf_finish(&x);
    qt_buf_finish(&y);
    return equal;
}

/* ---- packing ---- */

static uint8_t *put_accesses(uint8_t *p, const struct qtrace_block_count *b)
{
    const struct qtrace_insn_count *insn;
    uint32_t i, n = 0, expected = 0, kind;

    for (i = 0; i < b->n_insns; i++) {
        n += (b->insn[i].loads | b->insn[i].stores) != 0;
    }
    p = qt_put_varint(p, n);
    for (i = 0; i < b->n_insns; i++) {
        insn = &b->insn[i];
        if ((insn->loads | insn->stores) == 0) {
            continue;
        }
        kind = insn->loads == b->executions && insn->stores == 0   ? ALL_LOADS
               : insn->stores == b->executions && insn->loads == 0 ? ALL_STORES
                                                                   : BOTH;
        p = qt_put_varint(p, (uint64_t)(insn->insn - expected) * KINDS + kind);
        expected = insn->insn + 1;
        if (kind == BOTH) {
            p = qt_put_varint(qt_put_varint(p, insn->loads), insn->stores);
        }
    }
    return p;
}

static uint8_t *put_left(uint8_t *p, const struct qtrace_block_count *b)
{
    uint32_t i, n = 0, expected = 0;

    for (i = 0; i < b->n_insns; i++) {
        n += b->insn[i].left != 0;
    }
    p = qt_put_varint(p, b->executions << 1 | (n > 0));
    if (n == 0) {
        return p;
    }
    p = qt_put_varint(p, n);
    for (i = 0; i < b->n_insns; i++) {
        if (b->insn[i].left != 0) {
            p = qt_put_varint(p, b->insn[i].insn - expected);
            p = qt_put_varint(p, b->insn[i].left);
            expected = b->insn[i].insn + 1;
        }
    }
    return p;
}

int qt_counts_pack(struct qtrace_counts *counts, struct qt_buf *out, uint64_t *rows)
{
    static const struct qtrace_block_count none;
    const struct qtrace_block_count *b = qtrace_counts_carried(counts);
    size_t i, most = QT_VARINT_MAX * (4 * (counts->n + 1) + 5 * (counts->n_insns + 1));
    uint32_t expected = 0;
    uint8_t *p;

    if (sort(counts) < 0 || qt_buf_reserve(out, most) < 0) {
        return QTRACE_E_NOMEM;
    }
    p = put_accesses(out->data + out->len, b == NULL ? &none : b);
    for (i = 0; i < counts->n; i++) {
        b = &counts->block[counts->order[i]].count;
        p = qt_put_varint(p, b->block - expected);
        expected = b->block + 1;
        p = put_accesses(put_left(p, b), b);
    }
    out->len = (size_t)(p - out->data);
    *rows = counts->n;
    return QTRACE_OK;
}

/* ---- unpacking ---- */

/* limit below: for the instructions that are listed, those from before included */

/* The next position of an ascending list, told as a distance. */
static bool next_insn(uint64_t distance, uint32_t *expected, uint32_t *insn)
{
    if (distance >= QTRACE_MAX_BLOCK_INSNS - *expected) {
        return false;
    }
    *insn = *expected + (uint32_t)distance;
    *expected = *insn + 1;
    return true;
}

static int take_accesses(struct qtrace_counts *c, struct qt_cursor *from, uint32_t number,
                         uint64_t executions, size_t limit)
{
    struct qtrace_insn_count *count;
    uint64_t n, v, loads, stores;
    uint32_t expected = 0, insn;

    if (!qt_cursor_max(from, &n, QTRACE_MAX_BLOCK_INSNS)) {
        return QTRACE_E_DAMAGED;
    }
    for (; n > 0; n--) {
        if (!qt_cursor_varint(from, &v) || !next_insn(v / KINDS, &expected, &insn) ||
            c->n_insns >= limit) {
            return QTRACE_E_DAMAGED;
        }
        loads = v % KINDS == ALL_LOADS ? executions : 0;
        stores = v % KINDS == ALL_STORES ? executions : 0;
        if (v % KINDS == BOTH &&
            (!qt_cursor_varint(from, &loads) || !qt_cursor_varint(from, &stores))) {
            return QTRACE_E_DAMAGED;
        }
        count = qt_counts_insn(c, number, insn);
        if (count == NULL) {
            return QTRACE_E_NOMEM;
        }
        count->loads += loads;
        count->stores += stores;
    }
    return QTRACE_OK;
}

static int take_left(struct qtrace_counts *c, struct qt_cursor *from, uint32_t number,
                     size_t limit)
{
    struct qtrace_insn_count *count;
    uint64_t n, distance, left;
    uint32_t expected = 0, insn;

    if (!qt_cursor_max(from, &n, QTRACE_MAX_BLOCK_INSNS)) {
        return QTRACE_E_DAMAGED;
    }
    for (; n > 0; n--) {
        if (!qt_cursor_varint(from, &distance) || !next_insn(distance, &expected, &insn) ||
            !qt_cursor_varint(from, &left) || c->n_insns >= limit) {
            return QTRACE_E_DAMAGED;
        }
        count = qt_counts_insn(c, number, insn);
        if (count == NULL) {
            return QTRACE_E_NOMEM;
        }
        count->left += left;
    }
    return QTRACE_OK;
}

static int take_block(struct qtrace_counts *c, struct qt_cursor *from, uint64_t *expected,
                      size_t limit)
{
    uint64_t distance, executions;
    uint32_t number;
    int ret = QTRACE_OK;

    if (!qt_cursor_varint(from, &distance) || distance >= UINT32_MAX - *expected ||
        !qt_cursor_varint(from, &executions)) {
        return QTRACE_E_DAMAGED;
    }
    number = qt_counts_block(c, (uint32_t)(*expected + distance));
    if (number == QT_COUNTS_NONE) {
        return QTRACE_E_NOMEM;
    }
    *expected += distance + 1;
    c->block[number].count.executions += executions >> 1;
    if (executions & 1) {
        ret = take_left(c, from, number, limit);
    }
    return ret == QTRACE_OK ? take_accesses(c, from, number, executions >> 1, limit) : ret;
}

int qt_counts_unpack(struct qtrace_counts *counts, const void *data, size_t size, uint64_t rows,
                     uint32_t limit)
{
    struct qt_cursor from = qt_cursor(data, size);
    const size_t most = counts->n_insns + limit;
    uint64_t expected = 0;
    int ret = rows > limit ? QTRACE_E_DAMAGED
                           : take_accesses(counts, &from, QT_COUNTS_CARRIED, 0, most);

    for (; ret == QTRACE_OK && rows > 0; rows--) {
        ret = take_block(counts, &from, &expected, most);
    }
    return ret == QTRACE_OK && from.p < from.end ? QTRACE_E_DAMAGED : ret;
}
