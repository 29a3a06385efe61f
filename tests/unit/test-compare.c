/*
 * test-compare.c - the comparison of two runs, against trying everything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"

#include "thread-test.h"

#include <string.h>

#define MAX_ROWS 40000
#define N_CODES 5

/* Two runs and where the plain comparison is in them. */
struct plain {
    uint32_t row[N_RUNS][MAX_ROWS];
    size_t n[N_RUNS], at[N_RUNS];
    size_t window, context;
    size_t in_step;
    uint64_t same, skipped[N_RUNS];
    bool lost;
};

static uint64_t state = 88172645463325252u;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % n;
}

/* ---- runs ---- */

static void append(struct plain *p, int run, uint32_t row)
{
    if (p->n[run] < MAX_ROWS) {
        p->row[run][p->n[run]++] = row;
    }
}

/* Loops of few blocks; sometimes a run makes more or fewer rounds, or something else. */
static void make_runs(struct plain *p, uint32_t most_rounds)
{
    memset(p, 0, sizeof(*p));
    p->window = (size_t[]){ 0, 1, 20, 63, 64, 65, 150, 1000 }[below(8)];
    p->context = (size_t[]){ 0, 3, 100 }[below(3)];
    uint32_t pieces = below(20);
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t length = 1 + below(6), rounds[N_RUNS], body[6];

        rounds[RUN_A] = rounds[RUN_B] = 1 + below(most_rounds);
        if (below(3) == 0) {
            rounds[below(2)] = below(12);
        }
        for (uint32_t k = 0; k < length; k++) {
            body[k] = below(N_CODES);
        }
        for (int run = 0; run < N_RUNS; run++) {
            for (uint32_t k = 0; k < rounds[run] * length; k++) {
                append(p, run, body[k % length]);
            }
            if (below(8) == 0) {
                append(p, run, below(N_CODES));
            }
        }
    }
}

/* ---- the plain comparison ---- */

static bool same_way(const struct plain *p, size_t i, size_t j)
{
    for (size_t k = 0; k < COMPARE_MATCH; k++) {
        bool end_a = i + k >= p->n[RUN_A], end_b = j + k >= p->n[RUN_B];

        if (end_a || end_b) {
            return end_a && end_b && k > 0;
        }
        if (p->row[RUN_A][i + k] != p->row[RUN_B][j + k]) {
            return false;
        }
    }
    return true;
}

static bool meet(const struct plain *p, size_t skip[N_RUNS])
{
    for (size_t sum = 0; sum < 2 * p->window; sum++) {
        for (size_t x = sum < p->window ? 0 : sum - p->window + 1; x <= sum; x++) {
            if (x < p->window && same_way(p, p->at[RUN_A] + x, p->at[RUN_B] + sum - x)) {
                skip[RUN_A] = x;
                skip[RUN_B] = sum - x;
                return true;
            }
        }
    }
    return false;
}

static void check_context(const struct plain *p, const struct divergence *d)
{
    size_t before = MIN(p->context, p->in_step);
    guint i = 0;

    for (size_t k = 0; k < before; k++, i++) {
        const struct context_row *row = &g_array_index(d->context, struct context_row, i);
        cr_assert(row->run == N_RUNS && row->block == p->at[RUN_A] - before + k);
        cr_assert(row->code->pc == p->row[RUN_A][row->block]);
    }
    for (int run = 0; run < N_RUNS; run++) {
        size_t after = MIN(p->context, p->n[run] - p->at[run]);
        for (size_t k = 0; k < after; k++, i++) {
            const struct context_row *row = &g_array_index(d->context, struct context_row, i);
            cr_assert(row->run == run && row->block == p->at[run] + k);
            cr_assert(row->code->pc == p->row[run][row->block]);
        }
    }
    cr_assert(d->context->len == i);
}

static void check_divergence(struct plain *p, const struct divergence *d)
{
    size_t skip[N_RUNS] = { 0, 0 };
    bool met = meet(p, skip);

    cr_assert(d->met == met);
    check_context(p, d);
    for (int run = 0; run < N_RUNS; run++) {
        cr_assert(d->before[run].blocks == p->at[run]);
        cr_assert(d->code[run]->pc == p->row[run][p->at[run]]);
        cr_assert(d->skipped[run].blocks == skip[run]);
        p->skipped[run] += skip[run];
        p->at[run] += skip[run];
    }
    p->in_step = 0;
    p->lost = !met;
}

static void check(struct plain *p, const struct lane *l)
{
    guint n = 0;

    while (!p->lost && p->at[RUN_A] < p->n[RUN_A] && p->at[RUN_B] < p->n[RUN_B]) {
        if (p->row[RUN_A][p->at[RUN_A]] == p->row[RUN_B][p->at[RUN_B]]) {
            p->at[RUN_A]++;
            p->at[RUN_B]++;
            p->in_step++;
            p->same++;
        } else {
            cr_assert(n < l->divergence->len);
            check_divergence(p, l->divergence->pdata[n++]);
        }
    }
    cr_assert(l->n_divergences == n && l->divergence->len == n);
    cr_assert(l->same.blocks == p->same && l->lost == p->lost);
    for (int run = 0; run < N_RUNS; run++) {
        cr_assert(l->skipped[run].blocks == p->skipped[run]);
        cr_assert(l->rest[run].blocks == p->n[run] - p->at[run]);
    }
}

/* ---- both ---- */

/* The numbers of a's blocks count up, those of b's down. */
static void define(struct comparison *c)
{
    for (uint32_t i = 0; i < N_CODES; i++) {
        comparison_define(c, RUN_A, i, 1, "", "");
        comparison_define(c, RUN_B, N_CODES - 1 - i, 1, "", "");
    }
}

/* In pieces, now of one run, then of the other; either may end first. */
static void feed(struct comparison *c, const struct plain *p)
{
    size_t at[N_RUNS] = { 0, 0 };

    while (!c->ended[RUN_A] || !c->ended[RUN_B]) {
        int run = (int)below(2);
        uint32_t piece[64];
        size_t wanted = below(64), n = MIN(p->n[run] - at[run], wanted);

        for (size_t i = 0; i < n; i++) {
            uint32_t code = p->row[run][at[run] + i];
            piece[i] = run == RUN_A ? code : N_CODES - 1 - code;
        }
        comparison_add(c, run, 3, piece, n);
        at[run] += n;
        if (at[run] == p->n[run] && !c->ended[run]) {
            comparison_end(c, run);
        }
    }
}

static void try_random(int tries, uint32_t most_rounds)
{
    struct plain *p = g_new(struct plain, 1);

    for (int i = 0; i < tries; i++) {
        make_runs(p, most_rounds);
        struct comparison *c = comparison_new(p->window, p->context, true);
        define(c);
        feed(c, p);
        check(p, c->lane->pdata[3]);
        comparison_free(c);
    }
    g_free(p);
}

Test(compare, short_runs)
{
    try_random(3000, 40);
}

/* Rows are forgotten on the way. */
Test(compare, long_runs)
{
    try_random(50, 2000);
}

/* Another first block, 16 same ones, another last block. */
Test(compare, only_the_first_is_kept)
{
    struct comparison *c = comparison_new(100, 1, false);

    for (int run = 0; run < N_RUNS; run++) {
        comparison_define(c, run, 0x1000, 10, "", "");
        comparison_define(c, run, 0x2000, 1 + (uint64_t)run, "", ""); /* not the same */
        uint32_t rows[COMPARE_MATCH + 2] = { [0] = 1, [COMPARE_MATCH + 1] = 1 };
        comparison_add(c, run, 0, rows, G_N_ELEMENTS(rows));
    }
    comparison_end(c, RUN_B);
    comparison_end(c, RUN_A);
    const struct lane *l = c->lane->pdata[0];
    cr_assert(l->n_divergences == 2 && l->divergence->len == 1 && l->lost);
    cr_assert(l->same.blocks == COMPARE_MATCH && l->same.insns == 10 * COMPARE_MATCH);
    for (int run = 0; run < N_RUNS; run++) {
        cr_assert(l->skipped[run].blocks == 1 && l->skipped[run].insns == 1 + (uint64_t)run);
        cr_assert(l->rest[run].blocks == 1 && l->rest[run].insns == 1 + (uint64_t)run);
    }
    comparison_free(c);
}
