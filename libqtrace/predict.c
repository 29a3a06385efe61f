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
    free(p->expected);
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
    p->expected = malloc(n * sizeof(*p->expected));
    p->toucher = malloc(n * sizeof(*p->toucher));
    p->sequel = malloc(n * sizeof(*p->sequel));
    p->node_place = malloc(4 * n * sizeof(*p->node_place));
    p->entry_place = malloc(2 * n * sizeof(*p->entry_place));
    if (p->node == NULL || p->lessons == NULL || p->entry == NULL || p->expected == NULL ||
        p->toucher == NULL || p->sequel == NULL || p->node_place == NULL ||
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

    if (p->bits != bits && allocate(p, bits) < 0) {
        return QTRACE_E_NOMEM;
    }
    memset(p->expected, 0, n * sizeof(*p->expected));
    memset(p->toucher, 0, n * sizeof(*p->toucher));
    memset(p->sequel, 0, n * sizeof(*p->sequel));
    memset(p->node_place, 0, 4 * n * sizeof(*p->node_place));
    memset(p->entry_place, 0, 2 * n * sizeof(*p->entry_place));
    memset(p->recent, 0, sizeof(p->recent));
    p->node[0] = (struct qt_node){.key = QT_KEY_NONE};
    p->lessons[0] = (struct qt_lessons){.block = UINT32_MAX};
    p->entry[0] = (struct qt_entry){.id = UINT32_MAX};
    p->n_nodes = p->n_entries = 1;
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
    return p->entry_place[i] = p->n_entries++;
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
