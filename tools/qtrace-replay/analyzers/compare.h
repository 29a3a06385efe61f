/*
 * compare.h - where two runs go different ways, and where they meet again
 *
 * The runs, a and b, are compared vCPU index by vCPU index: of each index, the sequence of the
 * blocks that it executed. Two blocks are the same if address and number of instructions are.
 * Both sequences are given piece by piece, in any rhythm: what one run is ahead is kept.
 *
 * After a divergence the runs meet again at the nearest place from which both execute
 * COMPARE_MATCH same blocks in a row, or the same ones up to the end of both. Nearest: the least
 * number of blocks is skipped, of both runs together; among those, the least of a. If there is
 * none within the window, they have lost each other, and this vCPU is not compared any more.
 *
 * Not thread safe: the caller has a lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_COMPARE_H
#define ANALYZER_COMPARE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define COMPARE_MATCH 16

enum { RUN_A, RUN_B, N_RUNS };

/* A block as a run translated it. */
struct code {
    uint64_t pc;
    uint64_t insns;
    const char *symbol; /* of the first instruction */
    const char *disas;
};

struct tally {
    uint64_t blocks;
    uint64_t insns;
};

/* A place that is worth to be shown; one of both runs has the number it has in a. */
struct context_row {
    int run; /* N_RUNS: of both */
    uint64_t block;
    const struct code *code;
};

struct divergence {
    uint64_t number; /* 1 is the vCPU's first */
    struct tally before[N_RUNS]; /* that run's way up to here: its next block is the other one */
    struct tally skipped[N_RUNS]; /* until they met again */
    const struct code *code[N_RUNS];
    bool met;
    GArray *context; /* struct context_row: the last ones of both, the next ones of a, of b */
};

/* Each block of a run is one of three: same as the other run's, skipped, or not compared, as
 * the other run had ended or was lost. */
struct lane {
    unsigned vcpu;
    struct tally same;
    struct tally skipped[N_RUNS], rest[N_RUNS];
    uint64_t n_divergences;
    GPtrArray *divergence; /* struct divergence: the first one, or all */
    bool lost;

    /* for compare.c */
    GArray *row[N_RUNS];   /* uint32_t, numbers of blocks; kept for context before head */
    size_t head[N_RUNS];   /* the first one that is not compared yet */
    uint64_t in_step;      /* since they met last */
    size_t reach;          /* of the search for the next meeting; 0 = no search is on */
};

struct comparison {
    size_t window;  /* how many blocks of each run a search may skip */
    size_t context; /* rows of each kind in a divergence's context */
    bool all;       /* keep all divergences, not only the first of a vCPU */
    GPtrArray *code[N_RUNS]; /* struct code by number */
    GPtrArray *lane; /* struct lane by vCPU index; NULL: it did not run */
    bool ended[N_RUNS];
};

struct comparison *comparison_new(size_t window, size_t context, bool all);
void comparison_free(struct comparison *c);

/* The run's next translation: numbers count from 0. The texts live as long as the comparison. */
void comparison_define(struct comparison *c, int run, uint64_t pc, uint64_t insns,
                       const char *symbol, const char *disas);

/* The run's vCPU executed n blocks, each of which is defined. */
void comparison_add(struct comparison *c, int run, unsigned vcpu, const uint32_t *block,
                    size_t n);

/* The run has ended. When both have, the result is in the lanes. */
void comparison_end(struct comparison *c, int run);

#endif
