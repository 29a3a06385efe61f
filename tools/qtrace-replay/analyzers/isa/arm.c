/*
 * arm.c - classes of Arm instructions: A32, and T32 with 16 and 32 bits
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

#include <capstone/capstone.h>

/* Vectors and cryptography, as A32 has them: condition 15, bits 27 to 25 = 1. */
static const struct isa_rule neon[] = {
    { 0xffb30f10, 0xf3b00300, CLASS_CRYPTO }, /* aes* */
    { 0xffbf0fd0, 0xf3b902c0, CLASS_CRYPTO }, /* sha1h */
    { 0xffbf0f90, 0xf3ba0380, CLASS_CRYPTO }, /* sha1su1, sha256su0 */
    { 0xfe800f50, 0xf2000c40, CLASS_CRYPTO }, /* the other sha* */
    { 0xffb00f50, 0xf2a00e00, CLASS_CRYPTO }, /* vmull.p64 */
    { 0, 0, CLASS_VECTOR },
};

/* Condition 15: the instructions that have none. */
static const struct isa_rule unconditional[] = {
    { 0xff300000, 0xf4000000, CLASS_VSTORE },
    { 0xff300000, 0xf4200000, CLASS_VLOAD },
    { 0xfd30f000, 0xf510f000, CLASS_CACHE }, /* pld, pldw */
    { 0xfd70f000, 0xf450f000, CLASS_CACHE }, /* pli */
    { 0xffffffff, 0xf57ff01f, CLASS_ATOMIC }, /* clrex */
    { 0xffffff00, 0xf57ff000, CLASS_FENCE },
    { 0xff000000, 0xf1000000, CLASS_SYSTEM }, /* cps, setend */
    { 0xfe500000, 0xf8100000, CLASS_RET },    /* rfe */
    { 0xfe000000, 0xf8000000, CLASS_SYSTEM }, /* srs */
    { 0xfe000000, 0xfa000000, CLASS_CALL },   /* blx */
    { 0xff000000, 0xff000000, CLASS_UNKNOWN },
    { 0xff000c00, 0xfe000800, CLASS_FP },     /* vsel, vmaxnm, vrint */
    { 0xfc000e00, 0xfc000e00, CLASS_SYSTEM }, /* coprocessors 14, 15 */
    { 0xfc000800, 0xfc000800, CLASS_VECTOR }, /* vcmla, vdot */
    { 0xfc000000, 0xfc000000, CLASS_SYSTEM }, /* other coprocessors */
    { 0, 0, CLASS_UNKNOWN },
};

/* Coprocessors 8 to 11 are the floating-point unit. */
static const struct isa_rule coprocessor[] = {
    { 0x0f000000, 0x0f000000, CLASS_TRAP },
    { 0x0fe00c00, 0x0c400800, CLASS_FP }, /* vmov of two */
    { 0x0e100c00, 0x0c000800, CLASS_STORE },
    { 0x0e100c00, 0x0c100800, CLASS_LOAD },
    { 0x0f900f5f, 0x0e800b10, CLASS_VECTOR }, /* vdup */
    { 0x0f000c00, 0x0e000800, CLASS_FP },
    { 0, 0, CLASS_SYSTEM },
};

static const struct isa_rule a32[] = {
    /* Between data processing: multiplication, synchronization, accesses of odd sizes */
    { 0x0fc000f0, 0x00000090, CLASS_MUL },
    { 0x0ff000f0, 0x00400090, CLASS_MUL }, /* umaal, mls */
    { 0x0ff000f0, 0x00600090, CLASS_MUL },
    { 0x0f8000f0, 0x00800090, CLASS_MUL },
    { 0x0fb000f0, 0x01000090, CLASS_ATOMIC }, /* swp */
    { 0x0f900ff0, 0x01800c90, CLASS_STORE },  /* stl */
    { 0x0f900fff, 0x01900c9f, CLASS_LOAD },   /* lda */
    { 0x0f8000f0, 0x01800090, CLASS_ATOMIC },
    { 0x0e1000f0, 0x000000d0, CLASS_LOAD },   /* ldrd */
    { 0x0e1000f0, 0x000000f0, CLASS_STORE },  /* strd */
    { 0x0e100090, 0x00000090, CLASS_STORE },
    { 0x0e100090, 0x00100090, CLASS_LOAD },
    /* and the miscellaneous: comparisons that set no flags */
    { 0x0fffffff, 0x012fff1e, CLASS_RET },
    { 0x0ffffff0, 0x012fff10, CLASS_JUMP },
    { 0x0ffffff0, 0x012fff20, CLASS_JUMP },
    { 0x0ffffff0, 0x012fff30, CLASS_CALL },
    { 0x0ffffff0, 0x01600060, CLASS_RET },  /* eret */
    { 0x0f9000f0, 0x01000070, CLASS_TRAP }, /* hlt, bkpt, hvc, smc */
    { 0x0f900090, 0x01000080, CLASS_MUL },
    { 0x0fb000f0, 0x01200000, CLASS_SYSTEM }, /* msr */
    { 0x0fb000f0, 0x01000000, CLASS_SYSTEM }, /* mrs */
    { 0x0f900010, 0x01000000, CLASS_ALU },
    { 0x0f900090, 0x01000010, CLASS_ALU },
    { 0x0fffff00, 0x0320f000, CLASS_HINT },
    { 0x0fb0f000, 0x0320f000, CLASS_SYSTEM },
    { 0x0f900000, 0x03000000, CLASS_ALU }, /* movw, movt */
    /* Data processing: comparisons have no destination, others may have the pc */
    { 0x0d900000, 0x01100000, CLASS_ALU },
    { 0x0fefffff, 0x01a0f00e, CLASS_RET }, /* mov pc, lr */
    { 0x0ffff000, 0x025ef000, CLASS_RET }, /* subs pc, lr */
    { 0x0c00f000, 0x0000f000, CLASS_JUMP },
    { 0x0c000000, 0x00000000, CLASS_ALU },
    /* Media */
    { 0x0ff000f0, 0x07f000f0, CLASS_TRAP }, /* udf */
    { 0x0fd000f0, 0x07100010, CLASS_DIV },
    { 0x0f800010, 0x07000010, CLASS_MUL },
    { 0x0e000010, 0x06000010, CLASS_ALU },
    /* Loads and stores: into the pc they are returns if they pop, or jumps */
    { 0x0fffffff, 0x049df004, CLASS_RET },
    { 0x0c10f000, 0x0410f000, CLASS_JUMP },
    { 0x0c100000, 0x04100000, CLASS_LOAD },
    { 0x0c100000, 0x04000000, CLASS_STORE },
    { 0x0e108000, 0x08108000, CLASS_RET },
    { 0x0e100000, 0x08100000, CLASS_LOAD },
    { 0x0e100000, 0x08000000, CLASS_STORE },
    /* Branches */
    { 0xff000000, 0xea000000, CLASS_JUMP },
    { 0x0f000000, 0x0a000000, CLASS_CNDB },
    { 0x0f000000, 0x0b000000, CLASS_CALL },
    { 0, 0, CLASS_UNKNOWN },
};

static const struct isa_rule thumb16[] = {
    { 0xffc0, 0x4340, CLASS_MUL },
    { 0xffff, 0x4770, CLASS_RET }, /* bx lr */
    { 0xffff, 0x46f7, CLASS_RET }, /* mov pc, lr */
    { 0xff80, 0x4700, CLASS_JUMP },
    { 0xff80, 0x4780, CLASS_CALL },
    { 0xff87, 0x4687, CLASS_JUMP }, /* mov pc, add pc */
    { 0xff87, 0x4487, CLASS_JUMP },
    { 0xf800, 0x4800, CLASS_LOAD },
    { 0xfe00, 0x5600, CLASS_LOAD },
    { 0xf800, 0x5800, CLASS_LOAD },
    { 0xf000, 0x5000, CLASS_STORE },
    { 0xc000, 0x0000, CLASS_ALU },
    { 0xf000, 0x4000, CLASS_ALU },
    { 0xf000, 0xa000, CLASS_ALU },
    { 0xff00, 0xb000, CLASS_ALU },
    { 0xf500, 0xb100, CLASS_CNDB }, /* cbz, cbnz */
    { 0xff00, 0xb200, CLASS_ALU },
    { 0xfe00, 0xb400, CLASS_STORE },
    { 0xff00, 0xb600, CLASS_SYSTEM },
    { 0xffc0, 0xba80, CLASS_TRAP },
    { 0xff00, 0xba00, CLASS_ALU },
    { 0xff00, 0xbd00, CLASS_RET },
    { 0xff00, 0xbc00, CLASS_LOAD },
    { 0xff00, 0xbe00, CLASS_TRAP },
    { 0xff0f, 0xbf00, CLASS_HINT },
    { 0xff00, 0xbf00, CLASS_ALU }, /* it */
    { 0xf800, 0xc000, CLASS_STORE },
    { 0xf800, 0xc800, CLASS_LOAD },
    { 0xfe00, 0xde00, CLASS_TRAP },
    { 0xf000, 0xd000, CLASS_CNDB },
    { 0xf800, 0xe000, CLASS_JUMP },
    { 0xe800, 0x6800, CLASS_LOAD }, /* 6xxx to 9xxx: bit 11 */
    { 0xe800, 0x6000, CLASS_STORE },
    { 0xe800, 0x8800, CLASS_LOAD },
    { 0xe800, 0x8000, CLASS_STORE },
    { 0, 0, CLASS_UNKNOWN },
};

static const struct isa_rule thumb32[] = {
    /* Multiple, dual, exclusive, table branches */
    { 0xff508000, 0xe8108000, CLASS_RET }, /* ldm with the pc */
    { 0xff508000, 0xe9108000, CLASS_RET },
    { 0xfe500000, 0xe8100000, CLASS_LOAD },
    { 0xfe500000, 0xe8000000, CLASS_STORE },
    { 0xfff0ffe0, 0xe8d0f000, CLASS_JUMP }, /* tbb, tbh */
    { 0xfff000c0, 0xe8c00080, CLASS_STORE }, /* stl */
    { 0xfff000c0, 0xe8d00080, CLASS_LOAD },  /* lda */
    { 0xffe00000, 0xe8c00000, CLASS_ATOMIC },
    { 0xffe00000, 0xe8400000, CLASS_ATOMIC },
    { 0xfe500000, 0xe8400000, CLASS_STORE },
    { 0xfe500000, 0xe8500000, CLASS_LOAD },
    { 0xfe000000, 0xea000000, CLASS_ALU },
    /* Branches and what shares their space */
    { 0xf800d000, 0xf000d000, CLASS_CALL },
    { 0xf800d001, 0xf000c000, CLASS_CALL },
    { 0xf800d000, 0xf0009000, CLASS_JUMP },
    { 0xfffff700, 0xf3af8000, CLASS_HINT },
    { 0xffffffff, 0xf3bf8f2f, CLASS_ATOMIC }, /* clrex */
    { 0xffffff00, 0xf3bf8f00, CLASS_FENCE },
    { 0xfff0d000, 0xf3c08000, CLASS_JUMP }, /* bxj */
    { 0xfff0d000, 0xf3d08000, CLASS_RET },  /* subs pc, lr; eret */
    { 0xffe0d000, 0xf7e08000, CLASS_TRAP }, /* hvc, smc, udf */
    { 0xfb80d000, 0xf3808000, CLASS_SYSTEM },
    { 0xf800d000, 0xf0008000, CLASS_CNDB },
    { 0xf8008000, 0xf0000000, CLASS_ALU },
    /* Single accesses */
    { 0xff300000, 0xf9000000, CLASS_VSTORE },
    { 0xff300000, 0xf9200000, CLASS_VLOAD },
    { 0xfe100000, 0xf8000000, CLASS_STORE },
    { 0xff50f000, 0xf810f000, CLASS_CACHE }, /* pld, pldw */
    { 0xff70f000, 0xf910f000, CLASS_CACHE }, /* pli */
    { 0xffffffff, 0xf85dfb04, CLASS_RET },   /* pop of the pc */
    { 0xff70f000, 0xf850f000, CLASS_JUMP },
    { 0xfe100000, 0xf8100000, CLASS_LOAD },
    /* Registers */
    { 0xff000000, 0xfa000000, CLASS_ALU },
    { 0xffd000f0, 0xfb9000f0, CLASS_DIV },
    { 0xff000000, 0xfb000000, CLASS_MUL },
    { 0, 0, CLASS_UNKNOWN },
};

static unsigned classify_a32(uint32_t word)
{
    if (word >> 28 == 15) {
        return (word & 0xfe000000) == 0xf2000000 ? isa_match(neon, word)
                                                 : isa_match(unconditional, word);
    }
    return (word & 0x0c000000) == 0x0c000000 ? isa_match(coprocessor, word)
                                             : isa_match(a32, word);
}

/* Coprocessor instructions are those of A32 with condition 14 or 15, and vectors differ from
 * them in the position of one bit. */
static unsigned classify_thumb32(uint32_t word)
{
    if ((word & 0xef000000) == 0xef000000) {
        return isa_match(neon, 0xf2000000 | (word & 0x10000000) >> 4 | (word & 0xffffff));
    }
    if ((word & 0xec000000) == 0xec000000) {
        return classify_a32(word);
    }
    return isa_match(thumb32, word);
}

/* QEMU reads on behind an instruction of 16 bits that ends its page: what it is longer than it
 * says itself does not belong to it. */
static unsigned classify_thumb(const uint8_t *bytes, size_t size)
{
    uint32_t first = isa_half(0, bytes);

    if (first < 0xe800) {
        return isa_match(thumb16, first);
    }
    return size >= 4 ? classify_thumb32(first << 16 | isa_half(0, bytes + 2)) : CLASS_UNKNOWN;
}

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    if (mode & ISA_THUMB && size >= 2) {
        return classify_thumb(bytes, size);
    }
    return size == 4 ? classify_a32(isa_word(0, bytes)) : CLASS_UNKNOWN;
}

const struct isa_set isa_arm = { isa_common_classes, classify, CS_ARCH_ARM };
