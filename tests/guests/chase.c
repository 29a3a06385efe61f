/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Nothing but pointer chasing: a walk along a list whose order is random, in 16 MiB, by a loop of
 * few instructions; first the list is linked, at random, too. No addresses are harder to predict:
 * each lap goes to every node once. Argument: how many thousand steps (default 10). Prints one
 * check sum, the same on every architecture.
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES (1u << 18)

struct node {
    struct node *next;
    uint64_t value[7];
};

static struct node nodes[NODES];
static uint64_t state = 88172645463325252ull;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* One cycle through the first n nodes (Sattolo's shuffle of their successors). */
static void link_nodes(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].next = &nodes[i];
        nodes[i].value[0] = i;
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random() % i);
        struct node *next = nodes[i].next;
        nodes[i].next = nodes[j].next;
        nodes[j].next = next;
    }
}

int main(int argc, char **argv)
{
    uint64_t steps = 1000ull * (argc > 1 ? strtoull(argv[1], NULL, 10) : 10);
    uint64_t sum = 0;
    const struct node *at = &nodes[0];

    link_nodes(steps < NODES ? (uint32_t)steps + 2 : NODES);
    for (uint64_t i = 0; i < steps; i++) {
        sum += at->value[0];
        at = at->next;
    }
    printf("chase %016" PRIx64 "\n", sum);
    return 0;
}
