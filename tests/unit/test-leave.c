/*
 * test-leave.c - which instructions can leave their block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <criterion/criterion.h>
#include <stdbool.h>

void qt_leave_init(const char *target, bool system);
bool qt_can_leave(const char *disas);

struct example {
    const char *text;
    bool can_leave;
};

static void compare(const struct example *example, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_expect(qt_can_leave(example[i].text) == example[i].can_leave, "%s",
                  example[i].text ? example[i].text : "(none)");
    }
}

#define COMPARE(list) compare(list, sizeof(list) / sizeof(*(list)))

Test(leave, x86_64)
{
    static const struct example examples[] = {
        {"movq %rax, %rbx", false},
        {"mov %rax, %rbx", false},
        {"movabsq $0x1234567890, %rax", false},
        {"addl $1, %eax", false},
        {"subb %al, %r9b", false},
        {"imulq $0x18, %rdx, %rax", false},
        {"leaq 8(%rsp, %rax, 4), %rdi", false},
        {"cmovneq %rax, %rcx", false},
        {"setb %al", false},
        {"movzbl %al, %eax", false},
        {"movslq %edi, %rdi", false},
        {"jmp 0x401000", false},
        {"jne 0x401000", false},
        {"nopw %cs:(%rax, %rax)", false},
        {"nop ", false},
        {"nop", false},
        {"endbr64 ", false},
        {"cltq ", false},
        {"testl %edi, %edi", false},
        {"shrq $3, %rsi", false},
        /* memory */
        {"movq (%rax), %rbx", true},
        {"movq %rax, 8(%rsp)", true},
        {"movq 0x601040, %rax", true},
        {"movabsq 0x1122334455667788, %al", true},
        {"addl $1, 0x2004(%rip)", true},
        {"movq %fs:0x28, %rax", true},
        {"cmovneq (%rax), %rcx", true},
        {"setb (%rax)", true},
        {"leave ", true},
        {"leaveq ", true},
        {"pushq %rbp", true},
        {"popq %rbp", true},
        {"callq 0x401000", true},
        {"retq ", true},
        {"jmpq *%rax", true},
        {"jmpq *0x2fe2(%rip)", true},
        {"movsb (%rsi), %es:(%rdi)", true},
        {"rep stosq %rax, %es:(%rdi)", true},
        /* traps and services */
        {"divl %ecx", true},
        {"idivq %rcx", true},
        {"syscall ", true},
        {"int3 ", true},
        {"int $0x80", true},
        {"ud2 ", true},
        {"hlt ", true},
        {"movl %eax, %ds", true},
        {"movl %fs, %eax", true},
        {"movq %rax, %cr0", true},
        {"movq %db0, %rax", true},
        {"lock addl %eax, %ebx", true},
        {"cpuid ", true},
        {"xchgq %rax, %rbx", true},
        {".byte 0x06", true},
        {"", true},
        {NULL, true},
    };
    qt_leave_init("x86_64", false);
    COMPARE(examples);
}

Test(leave, aarch64)
{
    static const struct example examples[] = {
        {"add x0, x1, x2, lsl #3", false},
        {"sub sp, sp, #0x20", false},
        {"mov w0, #1", false},
        {"movk x0, #0x1234, lsl #16", false},
        {"cmp x0, x1", false},
        {"b.eq #0x400100", false},
        {"b #0x400100", false},
        {"bl #0x400100", false},
        {"cbz x0, #0x400100", false},
        {"tbnz w0, #3, #0x400100", false},
        {"adrp x0, #0x400000", false},
        {"csel x0, x1, x2, ne", false},
        {"udiv x0, x1, x2", false},
        {"nop ", false},
        {"ldr x0, [x1]", true},
        {"stp x29, x30, [sp, #-0x20]!", true},
        {"ldr x0, #0x400100", true},
        {"adr z0.d, [z1.d, z2.d]", true},
        {"br x0", true},
        {"blr x0", true},
        {"ret ", true},
        {"svc #0", true},
        {"brk #1", true},
        {"udf #0", true},
        {"ldxr x0, [x1]", true},
        {"dc zva, x0", true},
        {"mrs x0, tpidr_el0", true},
        {"isb ", true},
        {"fadd d0, d1, d2", true},
        {NULL, true},
    };
    qt_leave_init("aarch64", false);
    COMPARE(examples);
}

Test(leave, elsewhere)
{
    static const struct example examples[] = {{"add x0, x1, x2", true}, {"nop", true}};

    qt_leave_init("riscv64", false);
    COMPARE(examples);
    qt_leave_init("x86_64", true);
    COMPARE(examples);
}
