/*
 * limit.c - a guest that limits the size of files while it runs, and goes on
 *
 *   limit BYTES ROUNDS    so many rounds of work before, and as many behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "work.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    unsigned rounds = (unsigned)atoi(argv[2]);
    struct rlimit limit = {(rlim_t)atoll(argv[1]), (rlim_t)atoll(argv[1])};
    uint64_t before = work(rounds);
    int result = setrlimit(RLIMIT_FSIZE, &limit);
    printf("%d %" PRIu64 " %" PRIu64 "\n", result, before, work(rounds));
    return 0;
}
