/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Code that changes: a function generated, called, rewritten in place and called again; a
 * function that stores into its own page; on x86 and s390x, whose hardware notices at once, a
 * store into the very block that is being executed. Argument: rounds (default 200).
 */

#define _GNU_SOURCE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 65536 /* of the largest kind */

typedef uint32_t (*function)(void *where, uint32_t value);

struct code {
    uint8_t bytes[32];
    size_t size;
    size_t immediate; /* offset of what a store must replace to change the result */
};

#if !defined(__x86_64__) && !defined(__i386__) && !defined(__s390x__)
static void put32(struct code *code, uint32_t word)
{
    memcpy(code->bytes + code->size, &word, 4);
    code->size += 4;
}
#endif

static void put(struct code *code, const char *bytes, size_t n)
{
    memcpy(code->bytes + code->size, bytes, n);
    code->size += n;
}

/* with_store: *(uint32_t *)where = value; and then: return result (at most 11 bits). */
static struct code generate(int with_store, uint32_t result)
{
    struct code code = {.size = 0};

#if defined(__x86_64__) || defined(__i386__)
    if (with_store) {
#if defined(__x86_64__)
        put(&code, "\x89\x37", 2);         /* mov %esi, (%rdi) */
#else
        put(&code, "\x8b\x44\x24\x04", 4); /* mov 4(%esp), %eax */
        put(&code, "\x8b\x4c\x24\x08", 4); /* mov 8(%esp), %ecx */
        put(&code, "\x89\x08", 2);         /* mov %ecx, (%eax) */
#endif
    }
    put(&code, "\xb8", 1);                 /* mov $result, %eax */
    code.immediate = code.size;
    put(&code, (const char *)&result, 4);
    put(&code, "\xc3", 1);                 /* ret */
#elif defined(__aarch64__)
    if (with_store) {
        put32(&code, 0xb9000001);          /* str w1, [x0] */
    }
    put32(&code, 0x52800000 | result << 5); /* movz w0, #result */
    put32(&code, 0xd65f03c0);              /* ret */
    (void)put;
#elif defined(__arm__)
    if (with_store) {
        put32(&code, 0xe5801000);          /* str r1, [r0] */
    }
    put32(&code, 0xe3000000 | (result & 0xfff)); /* movw r0, #result */
    put32(&code, 0xe12fff1e);              /* bx lr */
    (void)put;
#elif defined(__riscv)
    if (with_store) {
        put32(&code, 0x00b52023);          /* sw a1, 0(a0) */
    }
    put32(&code, result << 20 | 0x513);    /* li a0, result */
    put32(&code, 0x00008067);              /* ret */
    (void)put;
#elif defined(__powerpc64__)
    if (with_store) {
        put32(&code, 0x90830000);          /* stw r4, 0(r3) */
    }
    put32(&code, 0x38600000 | result);     /* li r3, result */
    put32(&code, 0x4e800020);              /* blr */
    (void)put;
#elif defined(__s390x__)
    uint32_t load = 0xa7290000 | result;
    if (with_store) {
        put(&code, "\x50\x30\x20\x00", 4); /* st %r3, 0(%r2) */
    }
    code.immediate = code.size;
    put(&code, (const char *)&load, 4);    /* lghi %r2, result */
    put(&code, "\x07\xfe", 2);             /* br %r14 */
#else
#error "unknown architecture"
#endif
    return code;
}

static void install(uint8_t *where, const struct code *code)
{
    memcpy(where, code->bytes, code->size);
    __builtin___clear_cache((char *)where, (char *)where + code->size);
}

static uint32_t call(uint8_t *code, void *where, uint32_t value)
{
    return ((function)(uintptr_t)code)(where, value);
}

int main(int argc, char **argv)
{
    unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 200;
    uint64_t sum = 0;
    uint8_t *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        perror("smc");
        return 1;
    }
    page = (uint8_t *)(((uintptr_t)page + PAGE - 1) & ~(uintptr_t)(PAGE - 1));

    /* Rewritten in place between calls. */
    for (unsigned int i = 0; i < rounds; i++) {
        struct code code = generate(0, i % 2000);
        install(page, &code);
        sum = sum * 3 + call(page, NULL, 0);
        sum = sum * 3 + call(page, NULL, 0);
    }

    /* Stores beside itself, into its own page. */
    struct code code = generate(1, 1234);
    install(page + 64, &code);
    for (unsigned int i = 0; i < rounds; i++) {
        sum = sum * 5 + call(page + 64, page + 1024, i);
        uint32_t stored;
        memcpy(&stored, page + 1024, 4);
        sum = sum * 5 + stored;
    }

    /* One function rewrites another in the same page. */
    for (unsigned int i = 0; i < rounds; i++) {
        struct code other = generate(0, 1000 + i % 500);
        struct code first = generate(0, 7);
        uint32_t word;
        install(page + 128, &first);
        sum = sum * 7 + call(page + 128, NULL, 0);
        for (size_t k = 0; k + 4 <= sizeof(other.bytes) && k < other.size; k += 4) {
            memcpy(&word, other.bytes + k, 4);
            sum = sum * 7 + call(page + 64, page + 128 + k, word);
        }
        __builtin___clear_cache((char *)page + 128, (char *)page + 160);
        sum = sum * 7 + call(page + 128, NULL, 0);
    }

#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__)
    /* Changes its own next instruction. */
    for (unsigned int i = 0; i < rounds; i++) {
        struct code next = generate(1, i % 777);
        uint32_t word;
        memcpy(&word, next.bytes + next.immediate, 4);
        uint32_t result = call(page + 64, page + 64 + next.immediate, word);
#if !defined(__s390x__) /* QEMU 7.2 notices too late */
        sum = sum * 11 + result;
#else
        (void)result;
#endif
    }
#endif
    printf("smc %u %016" PRIx64 "\n", rounds, sum);
    return 0;
}
