/*
 * memory.c - a trace from anywhere must not take all memory of the machine
 *
 * The kernel keeps the limit, so it holds for whatever allocates. A reader that meets it gets an
 * error like any other; before that is reported, the limit is lifted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define ALWAYS (64u << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* its shadow memory is beyond any limit */
#else
#define SANITIZED 0
#endif

void memory_limit(struct dump *dump, uint64_t limit)
{
    struct rlimit now;
    struct stat st;

    if (limit == 0) {
        limit = ALWAYS + (stat(dump->path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0);
    }
    dump->memory = limit;
    if (!SANITIZED && getrlimit(RLIMIT_DATA, &now) == 0) {
        now.rlim_cur = now.rlim_max < limit ? now.rlim_max : (rlim_t)limit;
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
