/*
 * transfers.c - a guest whose functions read and write what their comments say, on any target
 *
 * It needs no C library, so nothing else happens in it. Compile with -O2 -ffreestanding
 * -nostdlib -static. On x86 each function's return is one more load, of 8 bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

static volatile uint64_t words[1000];
static volatile uint8_t octets[300];
static volatile uint32_t from[70], to[70];

/* 1000 stores of 8 bytes */
static __attribute__((noinline)) void fill_words(void)
{
    for (int i = 0; i < 1000; i++) {
        words[i] = (uint64_t)i;
    }
}

/* 300 loads of 1 byte */
static __attribute__((noinline)) void read_octets(void)
{
    for (int i = 0; i < 300; i++) {
        (void)octets[i];
    }
}

/* 70 loads and 70 stores of 4 bytes */
static __attribute__((noinline)) void copy_words(void)
{
    for (int i = 0; i < 70; i++) {
        to[i] = from[i];
    }
}

static void leave(void)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" ::"a"(60), "D"(0) : "memory");
#elif defined(__aarch64__)
    register long number __asm__("x8") = 93, status __asm__("x0") = 0;
    __asm__ volatile("svc #0" ::"r"(number), "r"(status) : "memory");
#else
#error "how does a program end here?"
#endif
}

void _start(void);
void _start(void)
{
    fill_words();
    read_octets();
    copy_words();
    leave();
}
