/*
 * compare.c - where two runs go different ways, and where they meet again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "compare.h"

#include <string.h>

#define FIRST_REACH 64
#define MIX UINT64_C(0x9e3779b97f4a7c15)

static void free_divergence(gpointer p)
{
    struct divergence *d = p;

    g_array_unref(d->context);
    g_free(d);
}

static void free_lane(gpointer p)
{
    struct lane *l = p;

    if (l == NULL) {
        return;
    }
    for (int run = 0; run < N_RUNS; run++) {
        g_array_unref(l->row[run]);
    }
    g_ptr_array_unref(l->divergence);
    g_free(l);
}

struct comparison *comparison_new(size_t window, size_t context, bool all)
{
    struct comparison *c = g_new0(struct comparison, 1);

    c->window = window;
    c->context = context;
    c->all = all;
    for (int run = 0; run < N_RUNS; run++) {
        c->code[run] = g_ptr_array_new_with_free_func(g_free);
    }
    c->lane = g_ptr_array_new_with_free_func(free_lane);
    return c;
}

void comparison_free(struct comparison *c)
{
    for (int run = 0; run < N_RUNS; run++) {
        g_ptr_array_unref(c->code[run]);
    }
    g_ptr_array_unref(c->lane);
    g_free(c);
}

void comparison_define(struct comparison *c, int run, uint64_t pc, uint64_t insns,
                       const char *symbol, const char *disas)
{
    struct code *code = g_new(struct code, 1);

    *code = (struct code){ pc, insns, symbol, disas };
    g_ptr_array_add(c->code[run], code);
}

/* ---- rows ---- */

static struct lane *lane_of(struct comparison *c, unsigned vcpu)
{
    if (vcpu >= c->lane->len) {
        g_ptr_array_set_size(c->lane, (gint)vcpu + 1);
    }
    if (c->lane->pdata[vcpu] == NULL) {
        struct lane *l = g_new0(struct lane, 1);

        l->vcpu = vcpu;
        l->divergence = g_ptr_array_new_with_free_func(free_divergence);
        for (int run = 0; run < N_RUNS; run++) {
            l->row[run] = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        }
        c->lane->pdata[vcpu] = l;
    }
    return c->lane->pdata[vcpu];
}

static inline size_t available(const struct lane *l, int run)
{
    return l->row[run]->len - l->head[run];
}

/* The block that is i rows behind the head, or before it if i is negative. */
static inline const struct code *code_at(const struct comparison *c, const struct lane *l, int run,
                                         ptrdiff_t i)
{
    uint32_t block = g_array_index(l->row[run], uint32_t, (size_t)((ptrdiff_t)l->head[run] + i));

    return c->code[run]->pdata[block];
}

static inline bool is_same(const struct code *a, const struct code *b)
{
    return a->pc == b->pc && a->insns == b->insns;
}

/* Step over n rows. */
static void pass(const struct comparison *c, struct lane *l, int run, size_t n,
                 struct tally *tally)
{
    for (size_t i = 0; i < n; i++) {
        tally->insns += code_at(c, l, run, (ptrdiff_t)i)->insns;
    }
    tally->blocks += n;
    l->head[run] += n;
}

/* Forget rows that nobody needs, when it is worth it. */
static void forget(const struct comparison *c, struct lane *l, int run)
{
    size_t kept = MIN(c->context, l->head[run]), done = l->head[run] - kept;

    if (done > 4096 && done > l->row[run]->len / 2) {
        g_array_remove_range(l->row[run], 0, (guint)done);
        l->head[run] = kept;
    }
}

/* ---- looking for the meeting ---- */

/* What a row counts in the sums below. Behind the end of a run stands a row without a block. */
static uint64_t key_at(const struct comparison *c, const struct lane *l, int run, size_t i)
{
    if (i >= available(l, run)) {
        return MIX;
    }
    const struct code *code = code_at(c, l, run, (ptrdiff_t)i);
    uint64_t key = (code->pc ^ code->insns << 48) * MIX;
    return key ^ key >> 29;
}

/* For each of the next n rows, a sum of it and those that follow it, COMPARE_MATCH in all. */
static uint64_t *sums(const struct comparison *c, const struct lane *l, int run, size_t n)
{
    uint64_t *sum = g_new(uint64_t, n + 1), s = 0, top = 1;

    for (size_t i = 0; i < COMPARE_MATCH; i++) {
        s = s * MIX + key_at(c, l, run, i);
        top *= i > 0 ? MIX : 1;
    }
    for (size_t i = 0; i < n; i++) {
        sum[i] = s;
        s = (s - key_at(c, l, run, i) * top) * MIX + key_at(c, l, run, i + COMPARE_MATCH);
    }
    return sum;
}

static bool go_the_same_way(const struct comparison *c, const struct lane *l, size_t x, size_t y)
{
    for (size_t i = 0; i < COMPARE_MATCH; i++) {
        bool end_a = x + i >= available(l, RUN_A), end_b = y + i >= available(l, RUN_B);

        if (end_a || end_b) {
            return end_a && end_b;
        }
        if (!is_same(code_at(c, l, RUN_A, (ptrdiff_t)(x + i)),
                     code_at(c, l, RUN_B, (ptrdiff_t)(y + i)))) {
            return false;
        }
    }
    return true;
}

/* The nearest meeting that skips less than reach blocks of each run. Of each run there are that
 * many rows and COMPARE_MATCH more, or all that it has. */
static bool find_meeting(const struct comparison *c, const struct lane *l, size_t reach,
                         size_t skip[N_RUNS])
{
    size_t n_a = MIN(reach, available(l, RUN_A)), n_b = MIN(reach, available(l, RUN_B));
    size_t best = SIZE_MAX;
    uint64_t *sum_a = sums(c, l, RUN_A, n_a), *sum_b = sums(c, l, RUN_B, n_b);
    GHashTable *first = g_hash_table_new(g_int64_hash, g_int64_equal);

    for (size_t y = n_b; y-- > 0;) {
        g_hash_table_insert(first, &sum_b[y], &sum_b[y]);
    }
    for (size_t x = 0; x < n_a && x < best; x++) {
        const uint64_t *at = g_hash_table_lookup(first, &sum_a[x]);
        size_t y = at != NULL ? (size_t)(at - sum_b) : SIZE_MAX;

        if (at != NULL && x + y < best && go_the_same_way(c, l, x, y)) {
            best = x + y;
            skip[RUN_A] = x;
            skip[RUN_B] = y;
        }
    }
    g_hash_table_destroy(first);
    g_free(sum_a);
    g_free(sum_b);
    return best != SIZE_MAX;
}

/* ---- divergences ---- */

static void add_context(const struct comparison *c, const struct lane *l, GArray *context, int run,
                        ptrdiff_t from, ptrdiff_t to)
{
    int of = run == N_RUNS ? RUN_A : run;
    uint64_t number = l->same.blocks + l->skipped[of].blocks;

    for (ptrdiff_t i = from; i < to; i++) {
        struct context_row row = { run, number + (uint64_t)i, code_at(c, l, of, i) };

        g_array_append_val(context, row);
    }
}

/* Both runs are at the divergence. */
static void keep_divergence(const struct comparison *c, struct lane *l, bool met,
                            const size_t skip[N_RUNS])
{
    struct divergence *d = g_new0(struct divergence, 1);

    d->number = l->n_divergences;
    d->met = met;
    d->context = g_array_new(FALSE, FALSE, sizeof(struct context_row));
    add_context(c, l, d->context, N_RUNS, -(ptrdiff_t)MIN(c->context, l->in_step), 0);
    for (int run = 0; run < N_RUNS; run++) {
        d->before[run].blocks = l->same.blocks + l->skipped[run].blocks;
        d->before[run].insns = l->same.insns + l->skipped[run].insns;
        d->code[run] = code_at(c, l, run, 0);
        d->skipped[run].blocks = skip[run];
        for (size_t i = 0; i < skip[run]; i++) {
            d->skipped[run].insns += code_at(c, l, run, (ptrdiff_t)i)->insns;
        }
        add_context(c, l, d->context, run, 0, (ptrdiff_t)MIN(c->context, available(l, run)));
    }
    g_ptr_array_add(l->divergence, d);
}

static void leave_divergence(const struct comparison *c, struct lane *l, bool met,
                             const size_t skip[N_RUNS])
{
    l->n_divergences++;
    if (c->all || l->n_divergences == 1) {
        keep_divergence(c, l, met, skip);
    }
    for (int run = 0; run < N_RUNS; run++) {
        pass(c, l, run, skip[run], &l->skipped[run]);
    }
    l->lost = !met;
    l->reach = 0;
    l->in_step = 0;
}

/* Widens the search until it finds a meeting that nothing outside can be nearer than. false:
 * more rows are needed. */
static bool search(const struct comparison *c, struct lane *l)
{
    for (;;) {
        size_t reach = MIN(l->reach, c->window), skip[N_RUNS] = { 0, 0 };
        size_t need = MAX(reach + COMPARE_MATCH, c->context);

        for (int run = 0; run < N_RUNS; run++) {
            if (!c->ended[run] && available(l, run) < need) {
                return false;
            }
        }
        bool found = find_meeting(c, l, reach, skip);
        if (reach == c->window || (found && skip[RUN_A] + skip[RUN_B] < reach)) {
            leave_divergence(c, l, found, skip);
            return true;
        }
        l->reach *= 2;
    }
}

/* ---- in step ---- */

/* false: a run has no more rows; true: they diverge. */
static bool walk(const struct comparison *c, struct lane *l)
{
    size_t n = MIN(available(l, RUN_A), available(l, RUN_B)), i = 0;

    for (; i < n; i++) {
        const struct code *a = code_at(c, l, RUN_A, (ptrdiff_t)i);

        if (!is_same(a, code_at(c, l, RUN_B, (ptrdiff_t)i))) {
            break;
        }
        l->same.insns += a->insns;
    }
    l->same.blocks += i;
    l->in_step += i;
    l->head[RUN_A] += i;
    l->head[RUN_B] += i;
    return i < n;
}

static void proceed(const struct comparison *c, struct lane *l)
{
    while (!l->lost) {
        if (l->reach == 0) {
            if (!walk(c, l)) {
                break;
            }
            l->reach = FIRST_REACH;
        }
        if (!search(c, l)) {
            return;
        }
    }
    for (int run = 0; run < N_RUNS; run++) {
        if (l->lost || c->ended[1 - run]) {
            pass(c, l, run, available(l, run), &l->rest[run]);
        }
        forget(c, l, run);
    }
}

void comparison_add(struct comparison *c, int run, unsigned vcpu, const uint32_t *block, size_t n)
{
    struct lane *l = lane_of(c, vcpu);

    g_array_append_vals(l->row[run], block, (guint)n);
    proceed(c, l);
}

void comparison_end(struct comparison *c, int run)
{
    c->ended[run] = true;
    for (guint i = 0; i < c->lane->len; i++) {
        if (c->lane->pdata[i] != NULL) {
            proceed(c, c->lane->pdata[i]);
        }
    }
}
