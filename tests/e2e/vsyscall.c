/*
 * vsyscall.c - a guest that asks for the time in the page that Linux keeps for old programs
 *
 * QEMU emulates the page and has no code of it. x86_64 only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <time.h>

int main(void)
{
    volatile long sum = 0;
    long now, told;

    __asm__ volatile("call *%1"
                     : "=a"(now)
                     : "r"(0xffffffffff600400ul), "D"(&told)
                     : "rcx", "r11", "memory");
    for (long i = 0; i < 1000; i++) {
        sum += i;
    }
    printf("%ld %d\n", sum, now == told);
    return 0;
}
