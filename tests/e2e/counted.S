/*
 * counted.S - x86-64 guests whose instructions are counted in their comments
 *
 * They need no C library: nothing runs but what stands here. Compile with -nostdlib -static and
 * one of LOOP, CALLS, STRINGS and VECTORS defined. Each ends with the 3 instructions
 * of LEAVE.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
.macro LEAVE
    mov $60, %eax
    xor %edi, %edi
    syscall
.endm

    .section .note.GNU-stack, "", @progbits
    .text
    .globl _start
_start:

#if defined(LOOP)
    /* 1 + 2 * 100000 */
    mov $100000, %ecx
1:  dec %ecx
    jnz 1b
    LEAVE

#elif defined(CALLS)
    /* fib is 4 instructions for n < 2, else 12 and those of fib(n - 1) and fib(n - 2). From
     * n = 15 it is called 987 times with n < 2 and 986 times with more, and 2 instructions are
     * here. Each call and each push stores, each ret and each pop loads. */
    mov $15, %edi
    call fib
    LEAVE
fib:
    cmp $2, %edi
    jb 1f
    push %rdi
    dec %edi
    call fib
    pop %rdi
    push %rax
    sub $2, %edi
    call fib
    pop %rdx
    add %edx, %eax
    ret
1:  mov %edi, %eax
    ret

#elif defined(STRINGS)
    /* 9 instructions, and 5 that repeat: 1000 times, 500 times, not at all, 40 times until a
     * byte is found, 30 times until the count is used up. */
    lea buffer(%rip), %rdi
    mov %rdi, %rsi
    mov $1000, %ecx
    rep movsb
    mov $500, %ecx
    xor %eax, %eax
    rep stosq
    rep stosq
    lea bytes(%rip), %rdi
    mov $100, %ecx
    mov $7, %al
    repne scasb
    mov $30, %ecx
    repe scasb
    LEAVE
    .data
bytes:
    .fill 39, 1, 0
    .fill 61, 1, 7
    .bss
buffer:
    .skip 8192

#elif defined(VECTORS)
    /* 4 + 12 * 3000. In each round 3 loads and 2 stores; one of each is of 16 bytes. */
    lea buffer(%rip), %rdi
    mov $3000, %ecx
    pxor %xmm0, %xmm0
    cvtsi2sd %ecx, %xmm1
1:  movups (%rdi), %xmm2
    paddd %xmm0, %xmm2
    addsd %xmm1, %xmm0
    mulsd %xmm0, %xmm1
    sqrtsd %xmm1, %xmm1
    movups %xmm2, 16(%rdi)
    addl %eax, (%rdi)
    movbe 4(%rdi), %eax
    cmovz %edx, %eax
    imul $3, %eax, %eax
    dec %ecx
    jnz 1b
    LEAVE
    .bss
buffer:
    .skip 64
#endif
