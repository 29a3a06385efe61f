/*
 * stackdist.h - LRU stack distances of accesses to lines, exact and in one pass
 *
 * The distance of an access is the number of distinct lines that were used since the last use of
 * its line, that line included: a fully associative LRU cache of N lines hits if and only if the
 * distance is at most N (Mattson et al., "Evaluation techniques for storage hierarchies", IBM
 * Systems Journal 9(2), 1970). The first use of a line has none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_STACKDIST_H
#define ANALYZER_STACKDIST_H

#include <stdint.h>

struct stackdist {
    uint64_t accesses;
    uint64_t lines;  /* that were used: as many accesses were the first of their line */
    uint64_t *count; /* by distance, 1 .. lines */

    uint64_t *recent;  /* the line that was used last */
    uint64_t now;      /* the next time */
    uint64_t capacity; /* times */
    uint64_t *mark;    /* a bit for each time: some line was last used then */
    uint64_t *tree;    /* sums of the words of mark */
    uint64_t **owner;  /* whose time it is */
};

void stackdist_init(struct stackdist *stack);

/* stackdist_use when it is not the line that was used last. */
void stackdist_move(struct stackdist *stack, uint64_t *line);

/* line: a word that belongs to the line, 0 at first. */
static inline void stackdist_use(struct stackdist *stack, uint64_t *line)
{
    stack->accesses++;
    if (line == stack->recent) {
        stack->count[1]++;
    } else {
        stackdist_move(stack, line);
    }
}

#endif
