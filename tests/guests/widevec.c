/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Loads and stores of 16 bytes and more, aligned and not, and gathers where the processor has
 * them. Argument: rounds (default 100). The result does not depend on what the processor has.
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__i386__)
#define WIDE __attribute__((noinline, target("sse2")))
#elif defined(__arm__)
#define WIDE __attribute__((noinline, target("fpu=neon")))
#elif defined(__s390x__)
#define WIDE __attribute__((noinline, target("arch=z13")))
#else
#define WIDE __attribute__((noinline))
#endif

typedef uint32_t v16 __attribute__((vector_size(16)));
typedef uint32_t v16_unaligned __attribute__((vector_size(16), aligned(1)));

static uint32_t source[4096] __attribute__((aligned(64)));
static uint32_t target[4096] __attribute__((aligned(64)));

static WIDE void add_aligned(uint32_t *to, const uint32_t *from, unsigned int n)
{
    v16 *t = (v16 *)to;
    const v16 *f = (const v16 *)from;
    for (unsigned int i = 0; i < n / 4; i++) {
        t[i] = t[i] + f[i] * 3;
    }
}

static WIDE void copy_unaligned(void *to, const void *from, unsigned int n)
{
    v16_unaligned *t = to;
    const v16_unaligned *f = from;
    for (unsigned int i = 0; i < n / 16; i++) {
        t[i] = f[i] ^ (v16_unaligned){1, 2, 3, 4};
    }
}

static __attribute__((noinline)) uint32_t gather_scalar(const uint32_t *from, unsigned int step)
{
    uint32_t sum = 0;
    for (unsigned int i = 0; i < 8; i++) {
        sum += from[i * step];
    }
    return sum;
}

#if defined(__x86_64__)
typedef long long v32 __attribute__((vector_size(32)));
typedef long long v32_unaligned __attribute__((vector_size(32), aligned(1)));
typedef int v8int __attribute__((vector_size(32)));

static __attribute__((noinline, target("avx2"))) uint32_t gather_avx2(const uint32_t *from,
                                                                       unsigned int step)
{
    v8int at = {0, 1, 2, 3, 4, 5, 6, 7};
    v8int all = {-1, -1, -1, -1, -1, -1, -1, -1};
    at = at * (int)step;
    v8int got = __builtin_ia32_gathersiv8si((v8int){0}, (const int *)from, at, all, 4);
    uint32_t sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += (uint32_t)got[i];
    }
    return sum;
}

static __attribute__((noinline, target("avx2"))) void negate_avx2(void *at, unsigned int n)
{
    v32_unaligned *p = at;
    for (unsigned int i = 0; i < n / 32; i++) {
        p[i] = ~p[i];
    }
}
#endif

static __attribute__((noinline)) void negate_scalar(void *at, unsigned int n)
{
    volatile uint8_t *p = at;
    for (unsigned int i = 0; i < n; i++) {
        p[i] = (uint8_t)~p[i];
    }
}

int main(int argc, char **argv)
{
    unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 100;
    int wide = 0;
    uint64_t sum = 0;

#if defined(__x86_64__)
    wide = __builtin_cpu_supports("avx2") != 0;
#endif
    for (unsigned int i = 0; i < 4096; i++) {
        source[i] = i * 2654435761u;
    }
    for (unsigned int r = 0; r < rounds; r++) {
        add_aligned(target, source + r % 8 * 4, 512);
        copy_unaligned((uint8_t *)target + r % 61 + 1, (uint8_t *)source + r % 37, 640);
#if defined(__x86_64__)
        if (wide) {
            sum = sum * 3 + gather_avx2(target, r % 50 + 1);
            negate_avx2((uint8_t *)target + r % 70, 256);
        } else
#endif
        {
            sum = sum * 3 + gather_scalar(target, r % 50 + 1);
            negate_scalar((uint8_t *)target + r % 70, 256);
        }
    }
    for (unsigned int i = 0; i < 4096; i++) {
        sum = sum * 31 + target[i];
    }
    (void)wide;
    printf("widevec %u %016" PRIx64 "\n", rounds, sum);
    return 0;
}
