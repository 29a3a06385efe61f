/*
 * detours.c - an x86-64 guest that leaves blocks in their middle
 *
 * 50 times it stores to a page that is not there, between other instructions; a signal handler
 * provides the page, and the store is executed once more. It needs no C library. Compile with
 * -O2 -ffreestanding -fno-stack-protector -nostdlib -static.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <asm/signal.h>
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define SA_RESTORER 0x04000000
#define PAGE 4096

static volatile uint64_t page[PAGE / 8] __attribute__((aligned(PAGE)));
static unsigned int provided;

static long call(long number, long a1, long a2, long a3, long a4)
{
    register long r10 __asm__("r10") = a4;
    long result = number;

    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(a1), "S"(a2), "d"(a3), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static void protect(int how)
{
    call(__NR_mprotect, (long)page, PAGE, how, 0);
}

static void provide(int number)
{
    (void)number;
    provided++;
    protect(PROT_READ | PROT_WRITE);
}

/* What the kernel returns to from the handler. */
void back(void);
__asm__("back: mov $15, %eax\n syscall");

static __attribute__((noinline)) uint64_t visit(uint64_t x)
{
    x = x * 5 + 1;
    page[x % (PAGE / 8)] = x;
    x ^= x >> 7;
    page[0] += x;
    return x;
}

void _start(void);
void _start(void)
{
    /* as the kernel declares it: handler, flags, restorer, mask */
    const struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } action = { provide, SA_RESTORER, back, 0 };
    uint64_t x = 1;

    call(__NR_rt_sigaction, SIGSEGV, (long)&action, 0, 8);
    for (int i = 0; i < 50; i++) {
        protect(PROT_NONE);
        x = visit(x);
    }
    call(__NR_exit, provided == 50 ? 0 : 1, 0, 0, 0);
}
