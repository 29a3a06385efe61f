/*
 * test-classify.c - the classes of known instructions
 *
 * The encodings were made by LLVM's assembler, those of ppc64le are words of them turned round;
 * the classes were written by hand.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "isa.h"
#include "thread-test.h"

struct example {
    const char *text, *hex, *word; /* the class */
};

static const struct example on_x86_64[] = {
    { "addq %rax, %rbx", "4801c3", "alu" },
    { "movq %rax, %rbx", "4889c3", "alu" },
    { "leaq 8(%rax), %rbx", "488d5808", "alu" },
    { "cmovne %eax, %ebx", "0f45d8", "alu" },
    { "addl $1, (%rax)", "830001", "alu" },
    { "popcntl %eax, %eax", "f30fb8c0", "alu" },
    { "imulq %rbx, %rax", "480fafc3", "mul" },
    { "divl %ecx", "f7f1", "div" },
    { "jne .", "75fe", "cndb" },
    { "loop .", "e2fe", "cndb" },
    { "jmp .", "ebfe", "jump" },
    { "jmpq *%rax", "ffe0", "jump" },
    { "call .", "e8fbffffff", "call" },
    { "callq *(%rax)", "ff10", "call" },
    { "ret", "c3", "ret" },
    { "iretq", "48cf", "ret" },
    { "syscall", "0f05", "trap" },
    { "int3", "cc", "trap" },
    { "ud2", "0f0b", "trap" },
    { "movq (%rax), %rbx", "488b18", "load" },
    { "movzbl (%rax), %ebx", "0fb618", "load" },
    { "popq %rax", "58", "load" },
    { "movss (%rax), %xmm1", "f30f1008", "load" },
    { "fldt (%rax)", "db28", "load" },
    { "movl $1, (%rax)", "c70001000000", "store" },
    { "pushq %rax", "50", "store" },
    { "movsd %xmm1, (%rax)", "f20f1108", "store" },
    { "movntiq %rax, (%rbx)", "480fc303", "store" },
    { "fstpl (%rax)", "dd18", "store" },
    { "rep movsq", "f348a5", "string" },
    { "repne scasb", "f2ae", "string" },
    { "lock xaddl %eax, (%rbx)", "f00fc103", "atomic" },
    { "cmpxchgq %rcx, (%rdx)", "480fb10a", "atomic" },
    { "xchgl %eax, (%rbx)", "8703", "atomic" },
    { "mfence", "0faef0", "fence" },
    { "sfence", "0faef8", "fence" },
    { "prefetcht0 (%rax)", "0f1808", "cache" },
    { "addsd %xmm1, %xmm2", "f20f58d1", "fp" },
    { "cvttsd2si %xmm0, %rax", "f2480f2cc0", "fp" },
    { "vfmadd231sd %xmm1, %xmm2, %xmm3", "c4e2e9b9d9", "fp" },
    { "faddp", "dec1", "fp" },
    { "fldcw (%rax)", "d928", "fp" },
    { "addps %xmm1, %xmm2", "0f58d1", "vec" },
    { "cvtdq2ps %xmm1, %xmm2", "0f5bd1", "vec" },
    { "pxor %xmm1, %xmm1", "660fefc9", "vec" },
    { "paddd %mm1, %mm2", "0ffed1", "vec" },
    { "vpaddd %ymm1, %ymm2, %ymm3", "c5edfed9", "vec" },
    { "movq %rax, %xmm0", "66480f6ec0", "vec" },
    { "vmovdqu (%rax), %ymm0", "c5fe6f00", "vecld" },
    { "movaps (%rax), %xmm0", "0f2800", "vecld" },
    { "vbroadcastss (%rax), %ymm0", "c4e27d1800", "vecld" },
    { "movaps %xmm0, (%rax)", "0f2900", "vecst" },
    { "vmovdqu64 %zmm0, (%rax)", "62f1fe487f00", "vecst" },
    { "aesenc %xmm1, %xmm2", "660f38dcd1", "crypto" },
    { "pclmulqdq $1, %xmm1, %xmm2", "660f3a44d101", "crypto" },
    { "cpuid", "0fa2", "sys" },
    { "rdtsc", "0f31", "sys" },
    { "movq %cr3, %rax", "0f20d8", "sys" },
    { "hlt", "f4", "sys" },
    { "nopw (%rax)", "660f1f00", "hint" },
    { "endbr64", "f30f1efa", "hint" },
    { "pause", "f390", "hint" },
};

static const struct example on_i386[] = {
    { "pushl $1", "6a01", "store" },
    { "incl %eax", "40", "alu" },
    { "int $0x80", "cd80", "trap" },
    { "jecxz .", "e3fe", "cndb" },
    { "popl %ebx", "5b", "load" },
    { "pushal", "60", "store" },
    { "movl 8(%ebp), %eax", "8b4508", "load" },
    { "lock decl (%eax)", "f0ff08", "atomic" },
};

static const struct example on_aarch64[] = {
    { "udf #0", "00000000", "udef" },
    { "add z0.s, z1.s, z2.s", "2000a204", "sve" },
    { "adr x0, .", "00000010", "pcrel" },
    { "addg x0, x1, #16, #1", "20048191", "asit" },
    { "add x0, x1, #4", "20100091", "asi" },
    { "and x0, x1, #0xff", "201c4092", "logi" },
    { "mov x0, #1", "200080d2", "movwi" },
    { "ubfx x0, x1, #3, #4", "201843d3", "bitf" },
    { "ror x0, x1, #3", "200cc193", "extr" },
    { "b.ne .", "01000054", "cndb" },
    { "svc #0", "010000d4", "excp" },
    { "nop", "1f2003d5", "nop" },
    { "yield", "3f2003d5", "hint" },
    { "dmb ish", "bf3b03d5", "barr" },
    { "msr daifset, #2", "df4203d5", "psta" },
    { "dc cvau, x0", "207b0bd5", "sins" },
    { "mrs x0, tpidr_el0", "40d03bd5", "sreg" },
    { "ret", "c0035fd6", "breg" },
    { "bl .", "00000094", "bimm" },
    { "cbz x0, .", "000000b4", "cmpb" },
    { "tbnz x0, #3, .", "00001837", "tstb" },
    { "ld1 {v0.16b}, [x0]", "0070404c", "advlsm" },
    { "ld1 {v0.16b}, [x0], #16", "0070df4c", "advlsmp" },
    { "ld1 {v0.16b}, [x0], x1", "0070c14c", "advlsmp" },
    { "ld1 {v0.b}[1], [x0]", "0004400d", "advlss" },
    { "ld1r {v0.4s}, [x0], #4", "00c8df4d", "advlssp" },
    { "ldxr x0, [x1]", "207c5fc8", "ldstx" },
    { "cas x0, x1, [x2]", "417ca0c8", "ldstx" },
    { "prfm pldl1keep, .", "000000d8", "prfm" },
    { "ldr x0, .", "00000058", "ldlit" },
    { "ldnp x0, x1, [x2]", "400440a8", "ldstnap" },
    { "stp x29, x30, [sp, #-16]!", "fd7bbfa9", "ldstp" },
    { "ldur x0, [x1, #-8]", "20805ff8", "ldstr" },
    { "ldr x0, [x1], #8", "208440f8", "ldstr" },
    { "ldadd x0, x1, [x2]", "410020f8", "atomic" },
    { "ldr x0, [x20, x1]", "806a61f8", "ldstro" },
    { "str q0, [x1, x2, lsl #4]", "2078a23c", "ldstro" },
    { "ldraa x0, [x1, #8]", "201420f8", "ldstpa" },
    { "ldr x0, [x1, #8]", "200440f9", "ldsti" },
    { "stg x0, [x1]", "200820d9", "ldst" },
    { "madd x0, x1, x2, x3", "200c029b", "dprr" },
    { "fadd d0, d1, d2", "2028621e", "fpsimd" },
    { "aese v0.16b, v1.16b", "2048284e", "fpsimd" },
};

static const struct example on_arm[] = {
    { "add r0, r1, r2", "020081e0", "alu" },
    { "cmp r0, #4", "040050e3", "alu" },
    { "clz r0, r1", "110f6fe1", "alu" },
    { "qadd r0, r1, r2", "510002e1", "alu" },
    { "crc32b r0, r1, r2", "420001e1", "alu" },
    { "movw r0, #1000", "e80300e3", "alu" },
    { "uadd8 r0, r1, r2", "920f51e6", "alu" },
    { "mla r0, r1, r2, r3", "913220e0", "mul" },
    { "umull r0, r1, r2, r3", "920381e0", "mul" },
    { "smlabb r0, r1, r2, r3", "813200e1", "mul" },
    { "smuad r0, r1, r2", "11f200e7", "mul" },
    { "sdiv r0, r1, r2", "11f210e7", "div" },
    { "bne .", "feffff1a", "cndb" },
    { "b .", "feffffea", "jump" },
    { "bx r3", "13ff2fe1", "jump" },
    { "add pc, pc, r0", "00f08fe0", "jump" },
    { "ldr pc, [r0]", "00f090e5", "jump" },
    { "bl .", "feffffeb", "call" },
    { "blx r3", "33ff2fe1", "call" },
    { "blx #0", "000000fa", "call" },
    { "bx lr", "1eff2fe1", "ret" },
    { "mov pc, lr", "0ef0a0e1", "ret" },
    { "pop {r4, pc}", "1080bde8", "ret" },
    { "pop {pc}", "04f09de4", "ret" },
    { "svc #0", "000000ef", "trap" },
    { "bkpt #0", "700020e1", "trap" },
    { "udf #0", "f000f0e7", "trap" },
    { "ldr r0, [r1]", "000091e5", "load" },
    { "ldrd r0, r1, [r2]", "d000c2e1", "load" },
    { "ldrsh r0, [r1]", "f000d1e1", "load" },
    { "ldm r0, {r1, r2}", "060090e8", "load" },
    { "lda r0, [r1]", "9f0c91e1", "load" },
    { "vldr d0, [r0]", "000b90ed", "load" },
    { "vldm r0, {d0-d3}", "080b90ec", "load" },
    { "str r0, [r1, r2]", "020081e7", "store" },
    { "strd r0, r1, [r2]", "f000c2e1", "store" },
    { "push {r4, lr}", "10402de9", "store" },
    { "stl r0, [r1]", "90fc81e1", "store" },
    { "vstr s0, [r0]", "000a80ed", "store" },
    { "ldrex r0, [r1]", "9f0f91e1", "atomic" },
    { "strexd r0, r2, r3, [r1]", "920fa1e1", "atomic" },
    { "clrex", "1ff07ff5", "atomic" },
    { "dmb ish", "5bf07ff5", "fence" },
    { "pld [r0]", "00f0d0f5", "cache" },
    { "pldw [r0, r1]", "01f090f7", "cache" },
    { "vadd.f64 d0, d1, d2", "020b31ee", "fp" },
    { "vmov r0, r1, d0", "100b51ec", "fp" },
    { "vmrs APSR_nzcv, fpscr", "10faf1ee", "fp" },
    { "vadd.i32 q0, q1, q2", "440822f2", "vec" },
    { "vdup.8 q0, r0", "100be0ee", "vec" },
    { "vld1.8 {d0}, [r0]", "0f0720f4", "vecld" },
    { "vst1.8 {d0}, [r0]!", "0d0700f4", "vecst" },
    { "aese.8 q0, q1", "0203b0f3", "crypto" },
    { "sha1c.32 q0, q1, q2", "440c02f2", "crypto" },
    { "sha256su1.32 q0, q1, q2", "440c22f3", "crypto" },
    { "vmull.p64 q0, d1, d2", "020ea1f2", "crypto" },
    { "mrc p15, #0, r0, c13, c0, #3", "700f1dee", "sys" },
    { "mrs r0, apsr", "00000fe1", "sys" },
    { "cpsid i", "80000cf1", "sys" },
    { "nop", "00f020e3", "hint" },
};

static const struct example on_thumb[] = {
    { "adds r0, r1, r2", "8818", "alu" },
    { "it eq", "08bf", "alu" },
    { "add.w r0, r1, r2", "01eb0200", "alu" },
    { "muls r0, r1, r0", "4843", "mul" },
    { "mla r0, r1, r2, r3", "01fb0230", "mul" },
    { "umull r0, r1, r2, r3", "a2fb0301", "mul" },
    { "sdiv r0, r1, r2", "91fbf2f0", "div" },
    { "beq .", "fed0", "cndb" },
    { "beq.w #4096", "01f00080", "cndb" },
    { "cbz r0, #8", "20b1", "cndb" },
    { "b .", "fee7", "jump" },
    { "b.w #65536", "10f000b8", "jump" },
    { "bx r3", "1847", "jump" },
    { "tbb [pc, r0]", "dfe800f0", "jump" },
    { "bl .", "fff7feff", "call" },
    { "blx r3", "9847", "call" },
    { "blx #64", "00f020e8", "call" },
    { "bx lr", "7047", "ret" },
    { "pop {r4, pc}", "10bd", "ret" },
    { "pop.w {r4, r8, pc}", "bde81081", "ret" },
    { "ldr pc, [sp], #4", "5df804fb", "ret" },
    { "svc #0", "00df", "trap" },
    { "udf.w #0", "f0f700a0", "trap" },
    { "ldr r0, [r1]", "0868", "load" },
    { "ldrsb r0, [r1, r2]", "8856", "load" },
    { "ldr r0, [sp, #4]", "0198", "load" },
    { "ldrb.w r0, [r1, #100]", "91f86400", "load" },
    { "ldrd r0, r1, [r2]", "d2e90001", "load" },
    { "ldm r0!, {r1, r2}", "06c8", "load" },
    { "lda r0, [r1]", "d1e8af0f", "load" },
    { "str r0, [r1, r2]", "8850", "store" },
    { "strh r0, [r1]", "0880", "store" },
    { "push {r4, lr}", "10b5", "store" },
    { "push.w {r4, r8, lr}", "2de91041", "store" },
    { "strd r0, r1, [r2]", "c2e90001", "store" },
    { "stl r0, [r1]", "c1e8af0f", "store" },
    { "ldrex r0, [r1]", "51e8000f", "atomic" },
    { "stlexh r0, r1, [r2]", "c2e8d01f", "atomic" },
    { "dmb ish", "bff35b8f", "fence" },
    { "pld [r0, #64]", "90f840f0", "cache" },
    { "vadd.f64 d0, d1, d2", "31ee020b", "fp" },
    { "vadd.i32 q0, q1, q2", "22ef4408", "vec" },
    { "vld1.8 {d0}, [r0]", "20f90f07", "vecld" },
    { "vst1.8 {d0}, [r0]", "00f90f07", "vecst" },
    { "aese.8 q0, q1", "b0ff0203", "crypto" },
    { "mrc p15, #0, r0, c13, c0, #3", "1dee700f", "sys" },
    { "msr apsr_nzcvq, r0", "80f30088", "sys" },
    { "nop", "00bf", "hint" },
    { "nop.w", "aff30080", "hint" },
};

static const struct example on_riscv64[] = {
    { "add a0, a1, a2", "3385c500", "alu" },
    { "lui a0, 5", "1565", "alu" },
    { "addiw a0, a0, 1", "0525", "alu" },
    { "c.li a0, 1", "0545", "alu" },
    { "mul a0, a1, a2", "3385c502", "mul" },
    { "mulw a0, a1, a2", "3b85c502", "mul" },
    { "remu a0, a1, a2", "33f5c502", "div" },
    { "bne a0, a1, .", "6310b500", "cndb" },
    { "c.bnez a0, .", "01e1", "cndb" },
    { "jal zero, .", "01a0", "jump" },
    { "c.j .", "01a0", "jump" },
    { "c.jr a5", "8287", "jump" },
    { "jalr zero, 0(a5)", "8287", "jump" },
    { "jal ra, .", "ef000000", "call" },
    { "jalr ra, 4(a5)", "e7804700", "call" },
    { "c.jalr a5", "8297", "call" },
    { "jalr zero, 0(ra)", "8280", "ret" },
    { "c.jr ra", "8280", "ret" },
    { "mret", "73002030", "ret" },
    { "ecall", "73000000", "trap" },
    { "c.ebreak", "0290", "trap" },
    { "c.unimp", "0000", "trap" },
    { "unimp", "0000", "trap" },
    { "ld a0, 0(a1)", "8861", "load" },
    { "fld fa0, 0(a1)", "8821", "load" },
    { "c.lwsp a0, 4(sp)", "1245", "load" },
    { "c.ld a0, 0(a1)", "8861", "load" },
    { "sw a0, 4(a1)", "c8c1", "store" },
    { "fsw fa0, 0(a1)", "27a0a500", "store" },
    { "c.sdsp a0, 8(sp)", "2ae4", "store" },
    { "amoadd.w a0, a1, (a2)", "2f25b600", "atomic" },
    { "lr.d a0, (a1)", "2fb50510", "atomic" },
    { "fence rw, rw", "0f003003", "fence" },
    { "fence.i", "0f100000", "fence" },
    { "fadd.d fa0, fa1, fa2", "53f5c502", "fp" },
    { "fmadd.s fa0, fa1, fa2, fa3", "43f5c568", "fp" },
    { "vadd.vv v0, v1, v2", "57001102", "vec" },
    { "vsetvli a0, a1, e32, m1, ta, ma", "57f5050d", "vec" },
    { "vle32.v v0, (a0)", "07600502", "vecld" },
    { "vse8.v v0, (a0)", "27000502", "vecst" },
    { "sha256sum0 a0, a1", "13950510", "crypto" },
    { "aes64es a0, a1, a2", "3385c532", "crypto" },
    { "clmul a0, a1, a2", "3395c50a", "crypto" },
    { "csrr a0, cycle", "732500c0", "sys" },
    { "wfi", "73005010", "sys" },
    { "nop", "0100", "hint" },
    { "c.nop", "0100", "hint" },
    { ".word 0x0100000f", "0f000001", "hint" },
};

static const struct example on_riscv32[] = {
    { "c.jal .", "0120", "call" },
    { "c.flw fa0, 0(a1)", "8861", "load" },
    { "aes32esi a0, a1, a2, 1", "3385c562", "crypto" },
    { "sha512sig0h a0, a1, a2", "3385c55c", "crypto" },
};

static const struct example on_ppc[] = {
    { "addi 3, 4, 5", "38640005", "alu" },
    { "lwz 3, 4(5)", "80650004", "load" },
    { "stwu 1, -16(1)", "9421fff0", "store" },
    { "bl .", "48000001", "call" },
};

static const struct example on_ppc64[] = {
    { "add 3, 4, 5", "7c642a14", "alu" },
    { "mflr 0", "7c0802a6", "alu" },
    { "mtctr 12", "7d8903a6", "alu" },
    { "cmpldi 3, 4", "28230004", "alu" },
    { "isel 3, 4, 5, 2", "7c64289e", "alu" },
    { "mulld 3, 4, 5", "7c6429d2", "mul" },
    { "mulli 3, 4, 5", "1c640005", "mul" },
    { "maddld 3, 4, 5, 6", "106429b3", "mul" },
    { "divd 3, 4, 5", "7c642bd2", "div" },
    { "modsw 3, 4, 5", "7c642e16", "div" },
    { "bne 0, .", "40820000", "cndb" },
    { "bdnz .", "42000000", "cndb" },
    { "b .", "48000000", "jump" },
    { "bctr", "4e800420", "jump" },
    { "bl .", "48000001", "call" },
    { "bctrl", "4e800421", "call" },
    { "blr", "4e800020", "ret" },
    { "bnelr", "4c820020", "ret" },
    { "sc", "44000002", "trap" },
    { "tw 31, 0, 0", "7fe00008", "trap" },
    { ".long 0", "00000000", "trap" },
    { "ld 3, 8(4)", "e8640008", "load" },
    { "lbzx 3, 4, 5", "7c6428ae", "load" },
    { "lfd 1, 8(3)", "c8230008", "load" },
    { "lxsd 1, 8(3)", "e423000a", "load" },
    { "lxsdx 1, 3, 4", "7c232498", "load" },
    { "std 3, 8(4)", "f8640008", "store" },
    { "stwux 3, 4, 5", "7c64296e", "store" },
    { "stxssp 1, 8(3)", "f423000b", "store" },
    { "ldarx 3, 4, 5", "7c6428a8", "atomic" },
    { "stwcx. 3, 4, 5", "7c64292d", "atomic" },
    { "lwsync", "7c2004ac", "fence" },
    { "isync", "4c00012c", "fence" },
    { "dcbt 3, 4", "7c03222c", "cache" },
    { "icbi 3, 4", "7c0327ac", "cache" },
    { "fmadd 1, 2, 3, 4", "fc2220fa", "fp" },
    { "xsadddp 1, 2, 3", "f0221900", "fp" },
    { "mtvsrd 1, 3", "7c230166", "fp" },
    { "vaddubm 1, 2, 3", "10221800", "vec" },
    { "xvadddp 1, 2, 3", "f0221b00", "vec" },
    { "xxlor 1, 2, 3", "f0221c90", "vec" },
    { "xxpermdi 1, 2, 3, 1", "f0221950", "vec" },
    { "xxspltib 1, 3", "f0201ad0", "vec" },
    { "lvx 1, 3, 4", "7c2320ce", "vecld" },
    { "lxv 1, 16(3)", "f4230011", "vecld" },
    { "lxvd2x 1, 3, 4", "7c232698", "vecld" },
    { "lxvp 2, 32(3)", "18430020", "vecld" },
    { "stvx 1, 3, 4", "7c2321ce", "vecst" },
    { "stxv 1, 16(3)", "f4230015", "vecst" },
    { "vcipher 1, 2, 3", "10221d08", "crypto" },
    { "vpmsumd 1, 2, 3", "10221cc8", "crypto" },
    { "mfspr 3, 268", "7c6c42a6", "sys" },
    { "mtmsrd 3", "7c600164", "sys" },
    { "nop", "60000000", "hint" },
    { "paddi 3, 4, 100000, 0", "06000001386486a0", "alu" },
    { "pld 3, 100000(4), 0", "04000001e46486a0", "load" },
    { "pstxv 1, 100000(4), 0", "04000001d82486a0", "vecst" },
    { "xxspltiw 1, 5", "0500000080260005", "vec" },
};

static const struct example on_mips[] = {
    { "addu $2, $3, $4", "00641021", "alu" },
    { "lui $2, 5", "3c020005", "alu" },
    { "ext $2, $3, 1, 2", "7c620840", "alu" },
    { "mult $2, $3", "00430018", "mul" },
    { "mul $2, $3, $4", "70641002", "mul" },
    { "divu $zero, $2, $3", "0043001b", "div" },
    { "bne $2, $3, 8", "14430002", "cndb" },
    { "bltz $2, 8", "04400002", "cndb" },
    { "bc1t 8", "45010002", "cndb" },
    { "j 8", "08000002", "jump" },
    { "b 8", "10000002", "jump" },
    { "jr $25", "03200008", "jump" },
    { "jal 8", "0c000002", "call" },
    { "jalr $25", "0320f809", "call" },
    { "bal 8", "04110002", "call" },
    { "jr $31", "03e00008", "ret" },
    { "eret", "42000018", "ret" },
    { "syscall", "0000000c", "trap" },
    { "teq $2, $3", "00430034", "trap" },
    { "lw $2, 4($3)", "8c620004", "load" },
    { "lwl $2, 4($3)", "88620004", "load" },
    { "ldc1 $f0, 8($3)", "d4600008", "load" },
    { "sw $2, 4($3)", "ac620004", "store" },
    { "swc1 $f0, 4($3)", "e4600004", "store" },
    { "ll $2, 0($3)", "c0620000", "atomic" },
    { "sc $2, 0($3)", "e0620000", "atomic" },
    { "sync", "0000000f", "fence" },
    { "pref 0, 4($2)", "cc400004", "cache" },
    { "add.d $f0, $f2, $f4", "46241000", "fp" },
    { "mtc1 $2, $f0", "44820000", "fp" },
    { "addv.w $w0, $w1, $w2", "7842080e", "vec" },
    { "ld.w $w0, 16($2)", "78041022", "vecld" },
    { "st.d $w0, 16($2)", "78021027", "vecst" },
    { "rdhwr $3, $29", "7c03e83b", "sys" },
    { "mfc0 $2, $12", "40026000", "sys" },
    { "nop", "00000000", "hint" },
    { "ssnop", "00000040", "hint" },
};

static const struct example on_mips64el[] = {
    { "daddiu $sp, $sp, -16", "f0ffbd67", "alu" },
    { "dmult $2, $3", "1c004300", "mul" },
    { "ddivu $zero, $2, $3", "1f004300", "div" },
    { "ld $2, 8($3)", "080062dc", "load" },
    { "sd $2, 8($3)", "080062fc", "store" },
    { "lld $2, 0($3)", "000062d0", "atomic" },
    { "dsll $2, $3, 4", "38110300", "alu" },
};

static const struct example on_mips64r6[] = {
    { "jr $31", "0900e003", "ret" },
    { "bc 8", "020000c8", "jump" },
    { "balc 8", "020000e8", "call" },
    { "beqzc $2, 8", "020040d8", "cndb" },
    { "jic $25, 0", "000019d8", "jump" },
    { "ll $2, 0($3)", "3600627c", "atomic" },
    { "lsa $2, $3, $4, 1", "05106400", "alu" },
    { "mul $2, $3, $4", "98106400", "mul" },
    { "mod $2, $3, $4", "da106400", "div" },
};

static const struct example on_s390x[] = {
    { "agr %r1, %r2", "b9080012", "alu" },
    { "la %r1, 8(%r2)", "41102008", "alu" },
    { "lgr %r1, %r2", "b9040012", "alu" },
    { "risbg %r1, %r2, 0, 63, 0", "ec12003f0055", "alu" },
    { "locgrne %r1, %r2", "b9e27012", "alu" },
    { "msgr %r1, %r2", "b90c0012", "mul" },
    { "mlgr %r2, %r4", "b9860024", "mul" },
    { "dlgr %r2, %r4", "b9870024", "div" },
    { "jne .", "a7740000", "cndb" },
    { "brctg %r1, .", "a7170000", "cndb" },
    { "crje %r1, %r2, .", "ec1200008076", "cndb" },
    { "j .", "a7f40000", "jump" },
    { "jg .", "c0f400000000", "jump" },
    { "br %r1", "07f1", "jump" },
    { "brasl %r14, .", "c0e500000000", "call" },
    { "basr %r14, %r1", "0de1", "call" },
    { "basr %r13, 0", "0dd0", "alu" },
    { "br %r14", "07fe", "ret" },
    { "svc 1", "0a01", "trap" },
    { ".short 0", "0000", "trap" },
    { "lg %r1, 8(%r2)", "e31020080004", "load" },
    { "lmg %r6, %r15, 48(%r15)", "eb6ff0300004", "load" },
    { "lgrl %r1, .", "c41800000000", "load" },
    { "ld %f0, 8(%r1)", "68001008", "load" },
    { "stg %r1, 8(%r2)", "e31020080024", "store" },
    { "mvhi 8(%r1), 5", "e54c10080005", "store" },
    { "stmg %r6, %r15, 48(%r15)", "eb6ff0300024", "store" },
    { "std %f0, 8(%r1)", "60001008", "store" },
    { "mvc 0(8,%r1), 0(%r2)", "d20710002000", "string" },
    { "clst %r2, %r4", "b25d0024", "string" },
    { "csg %r1, %r2, 0(%r3)", "eb1230000030", "atomic" },
    { "laag %r1, %r2, 0(%r3)", "eb12300000e8", "atomic" },
    { "bcr 15, 0", "07f0", "fence" },
    { "pfd 1, 0(%r1)", "e31010000036", "cache" },
    { "adbr %f0, %f1", "b31a0001", "fp" },
    { "ldgr %f0, %r1", "b3c10001", "fp" },
    { "va %v0, %v1, %v2, 0", "e701200000f3", "vec" },
    { "vlgvg %r1, %v0, 0", "e71000003021", "vec" },
    { "vl %v0, 0(%r1)", "e70010000006", "vecld" },
    { "vlm %v0, %v3, 0(%r1)", "e70310000036", "vecld" },
    { "vst %v0, 0(%r1)", "e7001000000e", "vecst" },
    { "km %r2, %r4", "b92e0024", "crypto" },
    { "stck 0(%r1)", "b2051000", "sys" },
    { "stfle 0(%r1)", "b2b01000", "sys" },
    { "bcr 0, %r0", "0700", "hint" },
    { "brc 0, .", "a7040000", "hint" },
    { "exrl %r1, .", "c61000000000", "jump" },
};

static const struct example on_sparc[] = {
    { "add %o0, %o1, %o2", "94020009", "alu" },
    { "ld [%o0], %o1", "d2020000", "load" },
    { "st %o0, [%o1]", "d0224000", "store" },
    { "swap [%o0], %o1", "d27a0000", "atomic" },
    { "smul %o0, %o1, %o2", "945a0009", "mul" },
    { "stbar", "8143c000", "barr" },
};

static const struct example on_sparc64[] = {
    { "call .", "40000000", "call" },
    { "bne %icc, .", "12480000", "bcc" },
    { "ba .", "10800000", "bcc" },
    { "fbe .", "13800000", "fbcc" },
    { "brz %o0, .", "02ca0000", "br" },
    { "sethi 5, %o0", "11000005", "sethi" },
    { "nop", "01000000", "nop" },
    { "faddd %f0, %f2, %f4", "89a00842", "fpu" },
    { "or %o0, %o1, %o2", "94120009", "alu" },
    { "mulx %o0, %o1, %o2", "944a0009", "mul" },
    { "udivx %o0, %o1, %o2", "946a0009", "div" },
    { "fpadd32 %f0, %f2, %f4", "89b00a42", "vis" },
    { "rd %y, %o0", "91400000", "sreg" },
    { "membar #StoreLoad", "8143e002", "barr" },
    { "jmp %g1", "81c04000", "jump" },
    { "jmpl %g1, %o7", "9fc04000", "callr" },
    { "ret", "81c7e008", "ret" },
    { "retl", "81c3e008", "ret" },
    { "rett %i7+8", "81cfe008", "ret" },
    { "ta 0x6d", "91d0206d", "trap" },
    { "save %sp, -176, %sp", "9de3bf50", "window" },
    { "restore", "81e80000", "window" },
    { "ldx [%o0], %o1", "d25a0000", "load" },
    { "ldd [%o0], %f0", "c11a0000", "load" },
    { "stx %o0, [%o1]", "d0724000", "store" },
    { "std %f0, [%o1]", "c13a4000", "store" },
    { "casx [%o0], %o1, %o2", "d5f21009", "atomic" },
    { "prefetch [%o0], 0", "c16a0000", "prfm" },
};

/* The same words in the other byte order. */
static const struct example on_ppc64le[] = {
    { "addi 3, 4, 5", "05006438", "alu" },
    { "bl .", "01000048", "call" },
    { "ldarx 3, 4, 5", "a828647c", "atomic" },
    { "lxvd2x 1, 3, 4", "9826237c", "vecld" },
};

static struct isa_code code_of(const char *hex)
{
    struct isa_code code = { .size = strlen(hex) / 2 };
    unsigned byte;

    for (size_t i = 0; i < code.size; i++) {
        sscanf(&hex[2 * i], "%2x", &byte);
        code.bytes[i] = (uint8_t)byte;
    }
    return code;
}

static void check(const char *name, unsigned mode, const struct example *example, size_t n)
{
    const struct isa_target *target = isa_find(name);

    cr_assert(isa_is_known(target), "%s", name);
    for (size_t i = 0; i < n; i++) {
        struct isa_code code = code_of(example[i].hex);
        const char *word = isa_classes(target)[isa_classify(target, mode, &code)].word;

        cr_expect(strcmp(word, example[i].word) == 0, "%s: %s is %s, not %s", name,
                  example[i].text, word, example[i].word);
    }
}

#define EXAMPLES(list) list, G_N_ELEMENTS(list)

Test(classify, x86)
{
    check("x86_64", ISA_64, EXAMPLES(on_x86_64));
    check("i386", 0, EXAMPLES(on_i386));
}

Test(classify, aarch64)
{
    check("aarch64", ISA_64, EXAMPLES(on_aarch64));
}

Test(classify, arm)
{
    check("arm", 0, EXAMPLES(on_arm));
    check("arm", ISA_THUMB, EXAMPLES(on_thumb));
}

Test(classify, riscv)
{
    check("riscv64", ISA_64, EXAMPLES(on_riscv64));
    check("riscv32", 0, EXAMPLES(on_riscv32));
}

Test(classify, ppc)
{
    check("ppc", ISA_BIG, EXAMPLES(on_ppc));
    check("ppc64", ISA_64 | ISA_BIG, EXAMPLES(on_ppc64));
    check("ppc64le", ISA_64, EXAMPLES(on_ppc64le));
}

Test(classify, mips)
{
    check("mips", ISA_BIG, EXAMPLES(on_mips));
    check("mips64el", ISA_64, EXAMPLES(on_mips64el));
    check("mips64el", ISA_64, EXAMPLES(on_mips64r6));
}

Test(classify, s390x)
{
    check("s390x", ISA_64 | ISA_BIG, EXAMPLES(on_s390x));
}

Test(classify, sparc)
{
    check("sparc", ISA_BIG, EXAMPLES(on_sparc));
    check("sparc64", ISA_64 | ISA_BIG, EXAMPLES(on_sparc64));
}

/* QEMU's disassembly tells A32 from T32 where the sizes do not. */
Test(classify, mode_arm)
{
    const struct isa_target *target = isa_find("arm");
    struct isa_code narrow[2] = { code_of("00f000f8"), code_of("7047") };
    struct isa_code wide = code_of("1eff2fe1");

    cr_assert_eq(isa_mode(target, false, narrow, 2), ISA_THUMB);
    wide.text = g_strdup("bx lr");
    cr_assert_eq(isa_mode(target, false, &wide, 1), 0);
    g_free(wide.text);
    wide = code_of("03eb0400");
    wide.text = g_strdup("add.w r0, r3, r4");
    cr_assert_eq(isa_mode(target, false, &wide, 1), ISA_THUMB);
    g_free(wide.text);
}

/* A machine changes its mode; a program does not. */
Test(classify, mode_x86)
{
    const struct isa_target *target = isa_find("x86_64");
    struct isa_code code = code_of("b801000000");

    code.text = g_strdup("movw $1, %ax");
    cr_assert_eq(isa_mode(target, false, &code, 1), ISA_64);
    cr_assert_eq(isa_mode(target, true, &code, 1), ISA_16);
    g_free(code.text);
}

/* QEMU 7.2 adds to the last instruction of a page what it has read behind it. */
Test(classify, thumb_at_the_end_of_a_page)
{
    const struct example two = { "adds r3, #32", "20338b42", "alu" };

    check("arm", ISA_THUMB, &two, 1);
}

Test(classify, unknown)
{
    const struct isa_target *target = isa_find("hexagon");
    struct isa_code code = code_of("00000000");

    cr_assert(!isa_is_known(target));
    cr_assert_eq(isa_classify(target, 0, &code), 0);
    cr_assert_str_eq(isa_classes(target)[0].word, "unclas");
    cr_assert(isa_disassemble(target, 0, &code) == NULL);
}

/* Words are arguments of howvec: they must be unique and differ from its others. */
Test(classify, words)
{
    static const char *const targets[] = { "x86_64", "aarch64", "sparc", "hexagon" };
    static const char *const taken[] = { "inline", "verbose", "count", "limit", "format", "class",
                                         "individual" };

    for (size_t t = 0; t < G_N_ELEMENTS(targets); t++) {
        const struct isa_class *class = isa_classes(isa_find(targets[t]));

        for (size_t i = 0; class[i].name != NULL; i++) {
            for (size_t k = 0; k < i; k++) {
                cr_assert(strcmp(class[i].word, class[k].word) != 0, "%s", class[i].word);
            }
            for (size_t k = 0; k < G_N_ELEMENTS(taken); k++) {
                cr_assert(strcmp(class[i].word, taken[k]) != 0, "%s", class[i].word);
            }
        }
    }
}
