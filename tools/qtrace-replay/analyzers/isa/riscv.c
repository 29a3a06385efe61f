/*
 * riscv.c - classes of RISC-V instructions, of 32 bits and compressed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

static const struct isa_rule wide[] = {
    /* Nothing to do; pause is a fence of nothing */
    { 0xffffffff, 0x00000013, CLASS_HINT },
    { 0xffffffff, 0x0100000f, CLASS_HINT },
    /* Loads and stores: the width says whether of a vector register */
    { 0x0000007f, 0x00000003, CLASS_LOAD },
    { 0x0000007f, 0x00000023, CLASS_STORE },
    { 0x0000707f, 0x00000007, CLASS_VLOAD },
    { 0x0000707f, 0x00005007, CLASS_VLOAD },
    { 0x0000607f, 0x00006007, CLASS_VLOAD },
    { 0x0000007f, 0x00000007, CLASS_LOAD },
    { 0x0000707f, 0x00000027, CLASS_VSTORE },
    { 0x0000707f, 0x00005027, CLASS_VSTORE },
    { 0x0000607f, 0x00006027, CLASS_VSTORE },
    { 0x0000007f, 0x00000027, CLASS_STORE },
    { 0x0000007f, 0x0000002f, CLASS_ATOMIC },
    { 0x0000707f, 0x0000200f, CLASS_CACHE }, /* cbo.* */
    { 0x00007fff, 0x00006013, CLASS_CACHE }, /* ori x0: prefetch.* */
    { 0x0000007f, 0x0000000f, CLASS_FENCE },
    /* Branches: x1 and x5 hold return addresses */
    { 0x0000007f, 0x00000063, CLASS_CNDB },
    { 0x00000fff, 0x000000ef, CLASS_CALL },
    { 0x00000fff, 0x000002ef, CLASS_CALL },
    { 0x0000007f, 0x0000006f, CLASS_JUMP },
    /* Scalar cryptography */
    { 0xfe00707f, 0x10001013, CLASS_CRYPTO }, /* sha256*, sha512*, sm3* */
    { 0xfe00707f, 0x30001013, CLASS_CRYPTO }, /* aes64im, aes64ks1i */
    { 0xfe00707f, 0x32000033, CLASS_CRYPTO }, /* aes64* */
    { 0xfe00707f, 0x36000033, CLASS_CRYPTO },
    { 0xfe00707f, 0x3a000033, CLASS_CRYPTO },
    { 0xfe00707f, 0x3e000033, CLASS_CRYPTO },
    { 0xfe00707f, 0x7e000033, CLASS_CRYPTO },
    { 0x3200707f, 0x22000033, CLASS_CRYPTO }, /* aes32* */
    { 0x3a00707f, 0x30000033, CLASS_CRYPTO }, /* sm4* */
    { 0xf000707f, 0x50000033, CLASS_CRYPTO }, /* sha512*, of 32 bits */
    { 0xfe00407f, 0x0a000033, CLASS_CRYPTO }, /* clmul* */
    /* Arithmetic */
    { 0xfe00407f, 0x02000033, CLASS_MUL },
    { 0xfe00407f, 0x02004033, CLASS_DIV },
    { 0xfe00407f, 0x0200003b, CLASS_MUL },
    { 0xfe00407f, 0x0200403b, CLASS_DIV },
    { 0x0000005f, 0x00000013, CLASS_ALU }, /* OP-IMM, OP */
    { 0x0000005f, 0x0000001b, CLASS_ALU }, /* of 32 bits */
    { 0x0000005f, 0x00000017, CLASS_ALU }, /* auipc, lui */
    { 0x00000073, 0x00000043, CLASS_FP },  /* multiply and add */
    { 0x0000007f, 0x00000053, CLASS_FP },
    { 0x0000007f, 0x00000057, CLASS_VECTOR },
    { 0x0000007f, 0x00000077, CLASS_CRYPTO }, /* on vectors */
    /* System */
    { 0xffffffff, 0xc0001073, CLASS_TRAP }, /* unimp: never legal */
    { 0xffefffff, 0x00000073, CLASS_TRAP }, /* ecall, ebreak */
    { 0xdfffffff, 0x10200073, CLASS_RET },  /* sret, mret */
    { 0x0000007f, 0x00000073, CLASS_SYSTEM },
    { 0, 0, CLASS_UNKNOWN },
};

/* Register jumps: rd tells calls, rs1 tells returns. */
static const struct isa_rule register_jumps[] = {
    { 0x00000fff, 0x000000e7, CLASS_CALL },
    { 0x00000fff, 0x000002e7, CLASS_CALL },
    { 0x000f8fff, 0x00008067, CLASS_RET },
    { 0x000f8fff, 0x00028067, CLASS_RET },
    { 0, 0, CLASS_JUMP },
};

static const struct isa_rule narrow[] = {
    { 0xffff, 0x0000, CLASS_TRAP }, /* never legal */
    { 0xef83, 0x0001, CLASS_HINT }, /* c.nop */
    { 0xe003, 0x0000, CLASS_ALU },  /* c.addi4spn */
    { 0xf803, 0x8000, CLASS_LOAD }, /* c.lbu, c.lhu, c.lh */
    { 0xf803, 0x8800, CLASS_STORE },
    { 0x8003, 0x0000, CLASS_LOAD },
    { 0xe003, 0x8000, CLASS_UNKNOWN },
    { 0x8003, 0x8000, CLASS_STORE },
    { 0xe003, 0xa001, CLASS_JUMP },
    { 0xc003, 0xc001, CLASS_CNDB },
    { 0xfc63, 0x9c41, CLASS_MUL },
    { 0x0003, 0x0001, CLASS_ALU },
    { 0xe003, 0x0002, CLASS_ALU }, /* c.slli */
    { 0xffff, 0x8082, CLASS_RET }, /* c.jr ra, c.jr t0 */
    { 0xffff, 0x8282, CLASS_RET },
    { 0xffff, 0x9002, CLASS_TRAP },
    { 0xf07f, 0x8002, CLASS_JUMP },
    { 0xf07f, 0x9002, CLASS_CALL },
    { 0xe003, 0x8002, CLASS_ALU }, /* c.mv, c.add */
    { 0x8003, 0x0002, CLASS_LOAD },
    { 0x8003, 0x8002, CLASS_STORE },
    { 0, 0, CLASS_UNKNOWN },
};

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    uint32_t word;

    if (size == 2) {
        word = isa_half(0, bytes);
        if (!(mode & ISA_64) && (word & 0xe003) == 0x2001) {
            return CLASS_CALL; /* c.jal; in 64 bits c.addiw */
        }
        return isa_match(narrow, word);
    }
    word = size == 4 ? isa_word(0, bytes) : 0;
    return (word & 0x707f) == 0x67 ? isa_match(register_jumps, word) : isa_match(wide, word);
}

const struct isa_set isa_riscv = { isa_common_classes, classify, NO_ARCH };
