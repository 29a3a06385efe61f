/*
 * predict.c - the tables of encoder and decoder
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "predict.h"

#include <stdlib.h>

#include "qtrace/error.h"

void qt_predictor_finish(struct qt_predictor *p)
{
    free(p->node);
    free(p->lessons);
    free(p->entry);
    free(p->junction);
    free(p->path);
    free(p->row);
    free(p->toucher);
    free(p->sequel);
    free(p->node_place);
    free(p->entry_place);
    *p = (struct qt_predictor){0};
}

static int allocate(struct qt_predictor *p, unsigned bits)
{
    const size_t n = (size_t)1 << bits;

    qt_predictor_finish(p);
    p->node = aligned_alloc(64, 2 * n * sizeof(*p->node));
    p->lessons = aligned_alloc(64, 2 * n * sizeof(*p->lessons));
    p->entry = malloc(n * sizeof(*p->entry));
    p->junction = malloc(n * sizeof(*p->junction));
    p->path = malloc(n * sizeof(*p->path));
    p->toucher = malloc(n * sizeof(*p->toucher));
    p->sequel = malloc(n * sizeof(*p->sequel));
    p->node_place = malloc(4 * n * sizeof(*p->node_place));
    p->entry_place = malloc(2 * n * sizeof(*p->entry_place));
    if (p->node == NULL || p->lessons == NULL || p->entry == NULL || p->junction == NULL ||
        p->path == NULL || p->toucher == NULL || p->sequel == NULL || p->node_place == NULL ||
        p->entry_place == NULL) {
        qt_predictor_finish(p);
        return QTRACE_E_NOMEM;
    }
    p->bits = bits;
    return QTRACE_OK;
}

int qt_predictor_begin(struct qt_predictor *p, unsigned bits)
{
    const size_t n = (size_t)1 << bits;

    if ((p->bits != bits && allocate(p, bits) < 0) || qt_predictor_reserve(p, 0) < 0) {
        return QTRACE_E_NOMEM;
    }
    memset(p->path, 0, n * sizeof(*p->path));
    memset(p->toucher, 0, n * sizeof(*p->toucher));
    memset(p->sequel, 0, n * sizeof(*p->sequel));
    memset(p->node_place, 0, 4 * n * sizeof(*p->node_place));
    memset(p->entry_place, 0, 2 * n * sizeof(*p->entry_place));
    memset(p->recent, 0, sizeof(p->recent));
    p->node[0] = (struct qt_node){.key = QT_KEY_NONE};
    p->lessons[0] = (struct qt_lessons){.block = UINT32_MAX};
    p->entry[0] = (struct qt_entry){.id = UINT32_MAX};
    p->junction[0] = (struct qt_junction){0};
    p->row[0] = 0;
    p->n_nodes = p->n_entries = 1;
    return QTRACE_OK;
}

int qt_predictor_reserve(struct qt_predictor *p, size_t n)
{
    const size_t cap = n + n / 2 + 1024;
    uint32_t *row;

    if (n < p->cap_rows) {
        return QTRACE_OK;
    }
    row = realloc(p->row, cap * sizeof(*row));
    if (row == NULL) {
        return QTRACE_E_NOMEM;
    }
    p->row = row;
    p->cap_rows = cap;
    return QTRACE_OK;
}

uint32_t qt_predictor_entry(struct qt_predictor *p, uint32_t id, uint32_t length)
{
    const uint32_t mask = (2u << p->bits) - 1;
    uint32_t i = id * 2654435761u >> (31 - p->bits);

    for (; p->entry_place[i] != 0; i = (i + 1) & mask) {
        if (p->entry[p->entry_place[i]].id == id) {
            return p->entry_place[i];
        }
    }
    if (p->n_entries == 1u << p->bits) {
        p->entry[0].length = length;
        return 0;
    }
    p->entry[p->n_entries] = (struct qt_entry){.id = id, .length = length};
    p->junction[p->n_entries] = (struct qt_junction){0};
    return p->entry_place[i] = p->n_entries++;
}

/* Which of the candidates was foreseen? QT_RANKS: none. (No branches: it would go either way.) */
static unsigned find_foreseen(const uint32_t *successor, uint32_t foreseen)
{
    uint32_t found = 1u << QT_RANKS, i;

#pragma GCC unroll 4
    for (i = 0; i < QT_RANKS; i++) {
        found |= (uint32_t)(successor[i] == foreseen) << i;
    }
    return (unsigned)__builtin_ctz(found);
}

unsigned qt_predictor_rank(const struct qt_predictor *p, const struct qt_turn *turn, uint32_t id)
{
    const uint32_t *successor = p->junction[turn->previous].successor;
    unsigned i = 0;

    while (i < QT_RANKS && p->entry[successor[i]].id != id) {
        i++;
    }
    return i < QT_RANKS && successor[i] != 0
               ? i - (i > find_foreseen(successor, p->row[turn->source]))
               : QT_RANKS;
}

uint32_t qt_predictor_ranked(const struct qt_predictor *p, const struct qt_turn *turn,
                             unsigned rank)
{
    const uint32_t *successor = p->junction[turn->previous].successor;
    const unsigned i = rank + (rank >= find_foreseen(successor, p->row[turn->source]));

    return i < QT_RANKS ? successor[i] : 0;
}

/* The last one comes first. */
static void move_to_front(uint32_t *successor, uint32_t entry)
{
    uint32_t moved = entry, old;
    unsigned i;

    for (i = 0; i < QT_RANKS; i++) {
        old = successor[i];
        successor[i] = moved;
        if (old == entry) {
            break;
        }
        moved = old;
    }
}

uint32_t qt_predictor_turn(struct qt_predictor *p, const struct qt_turn *turn, uint32_t entry,
                           uint32_t id)
{
    struct qt_junction *from = &p->junction[turn->previous], *to = &p->junction[entry];
    uint32_t *before = &p->path[turn->history >> (32 - p->bits)];
    uint32_t *behind = &p->path[qt_history(turn->history, id) >> (32 - p->bits)];
    uint32_t source;

    *before = from->row = turn->row;
    source = *behind != 0 ? *behind : to->row;
    *behind = to->row = turn->row + 1;
    if (entry != 0) {
        move_to_front(from->successor, entry);
    }
    return source;
}

uint32_t qt_predictor_node(struct qt_predictor *p, uint32_t id, uint32_t key, uint64_t near)
{
    const uint32_t mask = (4u << p->bits) - 1;
    uint32_t i = (id * 2654435761u + key * 2246822519u) >> (30 - p->bits), n;

    for (; (n = p->node_place[i]) != 0; i = (i + 1) & mask) {
        if (p->node[n].key == key && p->lessons[n].block == id) {
            return n;
        }
    }
    if (p->n_nodes == 2u << p->bits) {
        return 0;
    }
    n = p->n_nodes++;
    p->node[n] = (struct qt_node){.last = near, .key = key, .habit = qt_habit(QT_BY_STRIDE, n)};
    p->lessons[n] = (struct qt_lessons){.partner = n, .block = id};
    return p->node_place[i] = n;
}
