/*
 * memory.c - a trace from anywhere must not take all memory of the machine
 *
 * The kernel keeps the limit, so it holds for whatever allocates. A reader that meets it gets an
 * error like any other; before that is reported, the limit is lifted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <malloc.h>
#include <sys/resource.h>

#define DEFAULT_LIMIT (64u << 20)

/* Pieces from here on are mapped, and gone when they are freed. (Left alone, glibc takes them from
 * its heap as soon as one was freed, and what is left between them is too small for the next.) */
#define MAPPED (1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* its shadow memory is beyond any limit */
#else
#define SANITIZED 0
#endif

void memory_limit(struct dump *dump, uint64_t limit)
{
    struct rlimit now;

    dump->memory = limit > 0 ? limit : DEFAULT_LIMIT;
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, MAPPED);
#endif
    if (!SANITIZED && getrlimit(RLIMIT_DATA, &now) == 0) {
        now.rlim_cur = now.rlim_max < dump->memory ? now.rlim_max : (rlim_t)dump->memory;
        setrlimit(RLIMIT_DATA, &now);
    }
}

void memory_unlimited(void)
{
    struct rlimit now;

    if (getrlimit(RLIMIT_DATA, &now) == 0) {
        now.rlim_cur = now.rlim_max;
        setrlimit(RLIMIT_DATA, &now);
    }
}
