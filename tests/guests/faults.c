/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Faults in the middle of straight-line code, so that QEMU leaves a block half-way: loads and
 * stores to a protected page whose handler, on a stack of its own, repairs the page, jumps out
 * or skips the instruction; division by zero where it traps; illegal instructions.
 * Arguments: rounds (default 100), "timer" for a periodic signal on top.
 */

#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum reaction { REPAIR, JUMP, SKIP };

static volatile uint32_t *page;
static size_t page_size;
static volatile sig_atomic_t reaction;
static volatile sig_atomic_t n_segv;
static volatile sig_atomic_t n_fpe;
static volatile sig_atomic_t n_ill;
static volatile sig_atomic_t n_ticks;
static sigjmp_buf escape;

/* One store whose length is known: SKIP_BYTES. */
#if defined(__x86_64__) || defined(__i386__)
#define SKIP_BYTES 2
#define STORE(where, value) \
    __asm__ volatile("movl %1, (%0)" : : "c"(where), "a"(value) : "memory")
#define ILLEGAL() __asm__ volatile("ud2")
#elif defined(__aarch64__)
#define SKIP_BYTES 4
#define STORE(where, value) \
    __asm__ volatile("str %w1, [%0]" : : "r"(where), "r"(value) : "memory")
#define ILLEGAL() __asm__ volatile(".inst 0")
#elif defined(__arm__)
#define SKIP_BYTES 4
#define STORE(where, value) \
    __asm__ volatile("str.w %1, [%0]" : : "r"(where), "r"(value) : "memory")
#define ILLEGAL() __asm__ volatile("udf #0")
#elif defined(__riscv)
#define SKIP_BYTES 4
#define STORE(where, value)                                                                    \
    __asm__ volatile(".option push\n\t.option norvc\n\tsw %1, 0(%0)\n\t.option pop"            \
                     :                                                                         \
                     : "r"(where), "r"(value)                                                  \
                     : "memory")
#define ILLEGAL() __asm__ volatile("unimp")
#elif defined(__powerpc64__)
#define SKIP_BYTES 4
#define STORE(where, value) \
    __asm__ volatile("stw %1, 0(%0)" : : "b"(where), "r"(value) : "memory")
#define ILLEGAL() __asm__ volatile(".long 0")
#elif defined(__s390x__)
#define SKIP_BYTES 4
#define STORE(where, value) \
    __asm__ volatile("st %1, 0(%0)" : : "a"(where), "d"(value) : "memory")
#define ILLEGAL() __asm__ volatile(".short 0")
#endif

static void skip_instruction(ucontext_t *context)
{
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RIP] += SKIP_BYTES;
#elif defined(__i386__)
    context->uc_mcontext.gregs[REG_EIP] += SKIP_BYTES;
#elif defined(__aarch64__)
    context->uc_mcontext.pc += SKIP_BYTES;
#elif defined(__arm__)
    context->uc_mcontext.arm_pc += SKIP_BYTES;
#elif defined(__riscv)
    context->uc_mcontext.__gregs[REG_PC] += SKIP_BYTES;
#elif defined(__powerpc64__)
    context->uc_mcontext.gp_regs[32] += SKIP_BYTES;
#elif defined(__s390x__)
    context->uc_mcontext.psw.addr += SKIP_BYTES;
#endif
}

static void on_segv(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    n_segv++;
    switch (reaction) {
    case REPAIR:
        mprotect((void *)page, page_size, PROT_READ | PROT_WRITE);
        break;
    case JUMP:
        siglongjmp(escape, 1);
    case SKIP:
        skip_instruction(context);
        break;
    }
}

static void on_fpe(int signal)
{
    (void)signal;
    n_fpe++;
    siglongjmp(escape, 1);
}

static void on_ill(int signal)
{
    (void)signal;
    n_ill++;
    siglongjmp(escape, 1);
}

static void on_alarm(int signal)
{
    (void)signal;
    n_ticks++;
}

/* Straight line: arithmetic, stores to the stack, the store that faults, more of the same. */
static __attribute__((noinline)) uint32_t store_in_the_middle(uint32_t x)
{
    volatile uint32_t local[4];
    local[0] = x + 1;
    local[1] = x ^ 0x55aa;
    x = x * 3 + local[0];
    STORE(page, x);
    local[2] = x + local[1];
    x = x * 5 + local[2];
    local[3] = x;
    return local[3] + local[0];
}

static __attribute__((noinline)) uint32_t load_in_the_middle(uint32_t x)
{
    volatile uint32_t local[4];
    local[0] = x + 7;
    local[1] = x ^ 0xaa55;
    x = x * 9 + local[0];
    x += page[3];
    local[2] = x + local[1];
    x = x * 11 + local[2];
    local[3] = x;
    return local[3] + local[1];
}

static __attribute__((noinline)) uint32_t divide(volatile uint32_t *by)
{
    uint32_t a = *by + 8;
    uint32_t b = a * 3;
    return b / *by + a;
}

static __attribute__((noinline)) uint32_t illegal(volatile uint32_t *x)
{
    uint32_t a = *x + 8;
    *x = a;
    ILLEGAL();
    *x = a * 3;
    return a;
}

int main(int argc, char **argv)
{
    unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 100;
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action;
    volatile uint32_t sum = 1;
    volatile uint32_t zero = 0;

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || sigaltstack(&alternate, NULL) != 0) {
        perror("faults");
        return 1;
    }
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_segv;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = on_fpe;
    sigaction(SIGFPE, &action, NULL);
    action.sa_handler = on_ill;
    sigaction(SIGILL, &action, NULL);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    if (argc > 2 && strcmp(argv[2], "timer") == 0) {
        struct itimerval every = {.it_interval = {.tv_usec = 500}, .it_value = {.tv_usec = 500}};
        setitimer(ITIMER_REAL, &every, NULL);
    }

    for (unsigned int i = 0; i < rounds; i++) {
        for (volatile int how = REPAIR; how <= SKIP; how++) {
            reaction = how;
            mprotect((void *)page, page_size, how == REPAIR ? PROT_NONE : PROT_READ);
            if (sigsetjmp(escape, 1) == 0) {
                sum += store_in_the_middle(i);
            } else {
                sum += 3;
            }
        }
        for (volatile int how = REPAIR; how <= JUMP; how++) {
            reaction = how;
            mprotect((void *)page, page_size, PROT_NONE);
            if (sigsetjmp(escape, 1) == 0) {
                sum += load_in_the_middle(i);
            } else {
                sum += 5;
            }
        }
        mprotect((void *)page, page_size, PROT_READ | PROT_WRITE);
#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__)
        if (sigsetjmp(escape, 1) == 0) {
            sum += divide(&zero);
        }
#else
        (void)divide;
        (void)zero;
#endif
        if (sigsetjmp(escape, 1) == 0) {
            volatile uint32_t x = i;
            sum += illegal(&x);
        }
    }
    struct itimerval none = {.it_value = {.tv_usec = 0}};
    setitimer(ITIMER_REAL, &none, NULL);
    printf("faults %u sum %08" PRIx32 " segv %d fpe %d ill %d\n", rounds, sum, (int)n_segv,
           (int)n_fpe, (int)n_ill);
    return 0;
}
