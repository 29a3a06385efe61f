/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Atomic operations that a host may be unable to do atomically, so that QEMU stops the other
 * vCPUs and executes them alone (EXCP_ATOMIC): locked x86 instructions across a cache line,
 * pairs and 16 bytes elsewhere. Arguments: threads (default 4), rounds (default 200).
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    uint8_t bytes[256];
} memory __attribute__((aligned(256)));

static unsigned int rounds = 200;

/* Adds 1 to the low and 2 to the high half of 16 bytes (8 on 32-bit Arm and i386). */
static void add_pair(void *where)
{
#if defined(__x86_64__)
    uint64_t *p = where;
    uint64_t low = p[0];
    uint64_t high = p[1];
    uint8_t done;
    do {
        __asm__ volatile("lock cmpxchg16b %1\n\tsete %0"
                         : "=q"(done), "+m"(*(unsigned __int128 *)where), "+a"(low), "+d"(high)
                         : "b"(low + 1), "c"(high + 2)
                         : "cc", "memory");
    } while (!done);
#elif defined(__aarch64__)
    uint64_t low;
    uint64_t high;
    uint32_t failed;
    do {
        __asm__ volatile("ldaxp %0, %1, [%2]" : "=&r"(low), "=&r"(high) : "r"(where) : "memory");
        low += 1;
        high += 2;
        __asm__ volatile("stlxp %w0, %2, %3, [%1]"
                         : "=&r"(failed)
                         : "r"(where), "r"(low), "r"(high)
                         : "memory");
    } while (failed);
#elif defined(__powerpc64__)
    /* Under QEMU 7.2 the store never succeeds when the host cannot do it, so it is tried once,
     * on bytes that are not printed. */
    uint64_t *p = where;
    __asm__ volatile("lqarx 8, 0, %0\n\t"
                     "addi 9, 9, 1\n\t"
                     "addi 8, 8, 2\n\t"
                     "stqcx. 8, 0, %0\n\t"
                     :
                     : "b"(p + 22)
                     : "r8", "r9", "cr0", "memory");
    __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(p + 1, 2, __ATOMIC_SEQ_CST);
#elif defined(__s390x__)
    __asm__ volatile("lmg %%r2, %%r3, 0(%0)\n"
                     "0:\tlgr %%r4, %%r2\n\t"
                     "lgr %%r5, %%r3\n\t"
                     "aghi %%r4, 1\n\t"
                     "aghi %%r5, 2\n\t"
                     "cdsg %%r2, %%r4, 0(%0)\n\t"
                     "jne 0b\n\t"
                     :
                     : "a"(where)
                     : "r2", "r3", "r4", "r5", "cc", "memory");
#elif defined(__arm__) || defined(__i386__)
    uint64_t *p = where;
    uint64_t old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, old + 1 + (2ull << 32), 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
#else
    uint64_t *p = where;
    __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(p + 1, 2, __ATOMIC_SEQ_CST);
#endif
}

static uint64_t pair_sum(void *where)
{
#if defined(__arm__) || defined(__i386__)
    uint64_t *p = where;
    return (*p & 0xffffffff) + (*p >> 32);
#else
    uint64_t *p = where;
    return p[0] + p[1];
#endif
}

/* Architectures that allow misaligned locked accesses. */
static void add_misaligned(void *where, uint32_t n)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("lock addl %1, (%0)" : : "r"(where), "r"(n) : "cc", "memory");
#else
    uintptr_t aligned = (uintptr_t)where & ~(uintptr_t)3;
    __atomic_fetch_add((uint32_t *)aligned, n, __ATOMIC_SEQ_CST);
#endif
}

static uint32_t read_misaligned(void *where)
{
#if defined(__x86_64__) || defined(__i386__)
    uint32_t n;
    __builtin_memcpy(&n, where, 4);
    return n;
#else
    return *(uint32_t *)((uintptr_t)where & ~(uintptr_t)3);
#endif
}

static void *work(void *arg)
{
    (void)arg;
    for (unsigned int i = 0; i < rounds; i++) {
        add_pair(memory.bytes);
        add_misaligned(memory.bytes + 62, 3);   /* across a cache line */
        add_misaligned(memory.bytes + 101, 5);  /* within one */
        __atomic_fetch_add((uint32_t *)(memory.bytes + 128), 7, __ATOMIC_SEQ_CST);
        __atomic_fetch_add((uint16_t *)(memory.bytes + 132), 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_xor(memory.bytes + 135, 1, __ATOMIC_SEQ_CST);
        uint64_t *word = (uint64_t *)(memory.bytes + 136);
        uint64_t old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n(word, &old, old + 11, 0, __ATOMIC_SEQ_CST,
                                            __ATOMIC_RELAXED)) {
        }
        __atomic_exchange_n((uint32_t *)(memory.bytes + 144), i, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned int n = argc > 1 ? (unsigned int)atoi(argv[1]) : 4;
    if (argc > 2) {
        rounds = (unsigned int)atoi(argv[2]);
    }
    pthread_t *threads = calloc(n, sizeof(*threads));
    for (unsigned int i = 0; i < n; i++) {
        if (threads == NULL || pthread_create(&threads[i], NULL, work, NULL) != 0) {
            fprintf(stderr, "cannot create thread %u\n", i);
            return 1;
        }
    }
    for (unsigned int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("atomics %u %u: pair %" PRIu64 " across %u within %u word %u half %u byte %u"
           " long %" PRIu64 "\n",
           n, rounds, pair_sum(memory.bytes), read_misaligned(memory.bytes + 62),
           read_misaligned(memory.bytes + 101), *(uint32_t *)(memory.bytes + 128),
           *(uint16_t *)(memory.bytes + 132), memory.bytes[135],
           *(uint64_t *)(memory.bytes + 136));
    return 0;
}
