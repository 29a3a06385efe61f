/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A single-threaded mixture of what programs do: integer loops, pointer chasing, string
 * functions, qsort with a callback, recursion, floating point, calls through pointers.
 * Argument: scale (default 1). Prints one check sum, the same on every architecture.
 */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252ull;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t integers(unsigned int n)
{
    uint64_t sum = 1;
    for (unsigned int i = 1; i <= n; i++) {
        sum = sum * 6364136223846793005ull + i;
        sum ^= sum / (i | 1);
        if (sum & 4) {
            sum += i << (sum % 13);
        }
    }
    return sum;
}

struct node {
    struct node *next;
    uint64_t value;
};

static uint64_t pointers(unsigned int n)
{
    static struct node nodes[1024];
    uint32_t order[1024];
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 1024; i++) {
        order[i] = i;
    }
    for (uint32_t i = 1023; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random() % (i + 1));
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < 1024; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) % 1024]];
        nodes[order[i]].value = next_random();
    }
    struct node *at = &nodes[0];
    for (unsigned int i = 0; i < n; i++) {
        sum = sum * 31 + at->value;
        at->value += i;
        at = at->next;
    }
    return sum;
}

static uint64_t strings(unsigned int n)
{
    static char a[4096];
    static char b[4096];
    uint64_t sum = 0;

    for (unsigned int i = 0; i < n; i++) {
        size_t length = next_random() % 2000;
        memset(a, 'a' + (int)(i % 26), length);
        a[length] = '\0';
        memcpy(b + i % 7, a, length + 1);
        sum = sum * 131 + strlen(b + i % 7);
        memmove(b + 1, b, length);
        sum += (uint64_t)(strcmp(a, b + i % 7) == 0) + (strchr(b, 'q') != NULL);
    }
    return sum;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t sorting(unsigned int n)
{
    uint32_t *list = malloc(n * sizeof(*list));
    uint64_t sum = 0;

    if (list == NULL) {
        abort();
    }
    for (unsigned int i = 0; i < n; i++) {
        list[i] = (uint32_t)next_random();
    }
    qsort(list, n, sizeof(*list), compare);
    for (unsigned int i = 0; i < n; i++) {
        sum = sum * 33 + list[i];
    }
    free(list);
    return sum;
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned int n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t floats(unsigned int n)
{
    volatile double x = 1.0;
    uint64_t sum = 0;

    for (unsigned int i = 1; i <= n; i++) {
        /* Exact in every format, so that the sum is the same everywhere. */
        x = x * 0.5 + (double)(i % 64);
        if (i % 16 == 0) {
            sum = sum * 7 + (uint64_t)x;
            x = (double)(i % 32);
        }
    }
    return sum;
}

static __attribute__((noinline)) uint64_t op_add(uint64_t a, uint64_t b)
{
    return a + b;
}

static __attribute__((noinline)) uint64_t op_xor(uint64_t a, uint64_t b)
{
    return a ^ b;
}

static __attribute__((noinline)) uint64_t op_mul(uint64_t a, uint64_t b)
{
    return a * (b | 1);
}

static __attribute__((noinline)) uint64_t op_rotate(uint64_t a, uint64_t b)
{
    return a << (b % 63 + 1) | a >> (63 - b % 63);
}

static uint64_t indirect(unsigned int n)
{
    static uint64_t (*const volatile table[])(uint64_t, uint64_t) = {
        op_add, op_xor, op_mul, op_rotate};
    uint64_t sum = 1;

    for (unsigned int i = 0; i < n; i++) {
        uint64_t r = next_random();
        sum = table[r % 4](sum, r);
    }
    return sum;
}

int main(int argc, char **argv)
{
    unsigned int scale = argc > 1 ? (unsigned int)atoi(argv[1]) : 1;
    uint64_t sum = 0;

    for (unsigned int i = 0; i < scale; i++) {
        sum = sum * 17 + integers(3000);
        sum = sum * 17 + pointers(3000);
        sum = sum * 17 + strings(40);
        sum = sum * 17 + sorting(500);
        sum = sum * 17 + fibonacci(14);
        sum = sum * 17 + floats(1600);
        sum = sum * 17 + indirect(2000);
    }
    printf("mix %u %016" PRIx64 "\n", scale, sum);
    return 0;
}
