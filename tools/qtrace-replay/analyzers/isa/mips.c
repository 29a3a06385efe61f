/*
 * mips.c - classes of MIPS instructions of 32 bits
 *
 * Release 6 gave some opcodes a new meaning, and nothing tells a plugin which release a
 * processor is of. Here 08 and 18 (hexadecimal) are the additions and 1d is jalx of the releases
 * before, and 32, 36, 3a and 3e are branches of release 6: before it they were loads and stores
 * of a coprocessor that user programs do not have. The compressed sets (MIPS16, microMIPS) are
 * not known; a program that switches to them has its instructions of 32 bits misread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

#define OP(op) 0xfc000000, (uint32_t)(op) << 26
#define SPECIAL(funct) 0xfc00003f, (uint32_t)(funct)
#define SPECIAL2(funct) 0xfc00003f, 0x70000000 | (funct)
#define SPECIAL3(funct) 0xfc00003f, 0x7c000000 | (funct)
#define REGIMM(rt) 0xfc1f0000, 0x04000000 | (rt) << 16
#define COP1(rs) 0xffe00000, 0x44000000 | (rs) << 21
#define COP1X(funct) 0xfc00003f, 0x4c000000 | (funct)

static const struct isa_rule special[] = {
    { 0xfffff83f, 0x00000000, CLASS_HINT }, /* nop, ssnop, ehb, pause */
    { 0xfffff83f, 0x03e00008, CLASS_RET }, /* jr $ra, as jalr in release 6 */
    { 0xfffff83f, 0x03e00009, CLASS_RET },
    { SPECIAL(0x08), CLASS_JUMP },
    { 0xfc00f83f, 0x00000009, CLASS_JUMP },
    { SPECIAL(0x09), CLASS_CALL },
    { SPECIAL(0x0c), CLASS_TRAP }, { SPECIAL(0x0d), CLASS_TRAP },
    { SPECIAL(0x0e), CLASS_TRAP }, /* sdbbp of release 6 */
    { SPECIAL(0x0f), CLASS_FENCE },
    { 0xfc00003e, 0x00000018, CLASS_MUL }, { 0xfc00003e, 0x0000001c, CLASS_MUL },
    { 0xfc00003e, 0x0000001a, CLASS_DIV }, { 0xfc00003e, 0x0000001e, CLASS_DIV },
    { 0xfc00003c, 0x00000030, CLASS_TRAP },
    { SPECIAL(0x34), CLASS_TRAP }, { SPECIAL(0x36), CLASS_TRAP },
    { 0, 0, CLASS_ALU },
};

static const struct isa_rule regimm[] = {
    { 0xfc1c0000, 0x04000000, CLASS_CNDB }, { 0xfc1c0000, 0x04100000, CLASS_CALL },
    { REGIMM(0x1c), CLASS_CNDB }, /* bposge32 */
    { REGIMM(0x06), CLASS_ALU }, { REGIMM(0x1e), CLASS_ALU }, /* dahi, dati */
    { 0xfc180000, 0x04080000, CLASS_TRAP }, { REGIMM(0x17), CLASS_TRAP },
    { REGIMM(0x1f), CLASS_FENCE }, /* synci */
    { 0, 0, CLASS_UNKNOWN },
};

static const struct isa_rule special2[] = {
    { SPECIAL2(0x00), CLASS_MUL }, { SPECIAL2(0x01), CLASS_MUL }, { SPECIAL2(0x02), CLASS_MUL },
    { SPECIAL2(0x04), CLASS_MUL }, { SPECIAL2(0x05), CLASS_MUL },
    { SPECIAL2(0x3f), CLASS_TRAP },
    { 0, 0, CLASS_ALU },
};

static const struct isa_rule special3[] = {
    { SPECIAL3(0x26), CLASS_ATOMIC }, { SPECIAL3(0x27), CLASS_ATOMIC },
    { SPECIAL3(0x36), CLASS_ATOMIC }, { SPECIAL3(0x37), CLASS_ATOMIC },
    { SPECIAL3(0x1e), CLASS_ATOMIC }, { SPECIAL3(0x2e), CLASS_ATOMIC }, /* sce, lle */
    { SPECIAL3(0x25), CLASS_CACHE }, { SPECIAL3(0x35), CLASS_CACHE },
    { SPECIAL3(0x1b), CLASS_CACHE }, { SPECIAL3(0x23), CLASS_CACHE },
    { SPECIAL3(0x19), CLASS_LOAD }, { SPECIAL3(0x1a), CLASS_LOAD }, /* lwle, lwre */
    { SPECIAL3(0x0a), CLASS_LOAD }, /* lwx */
    { 0xfc000038, 0x7c000028, CLASS_LOAD },
    { SPECIAL3(0x1c), CLASS_STORE }, { SPECIAL3(0x1d), CLASS_STORE },
    { SPECIAL3(0x1f), CLASS_STORE }, { SPECIAL3(0x21), CLASS_STORE },
    { SPECIAL3(0x22), CLASS_STORE },
    { SPECIAL3(0x3b), CLASS_SYSTEM }, { SPECIAL3(0x3d), CLASS_SYSTEM }, /* rdhwr, ginv* */
    { 0, 0, CLASS_ALU },
};

static const struct isa_rule cop1[] = {
    { COP1(0x08), CLASS_CNDB }, { COP1(0x09), CLASS_CNDB }, { COP1(0x0a), CLASS_CNDB },
    { COP1(0x0b), CLASS_CNDB }, { COP1(0x0d), CLASS_CNDB }, { COP1(0x0f), CLASS_CNDB },
    { 0xff000000, 0x47000000, CLASS_CNDB }, /* on vectors */
    { COP1X(0x00), CLASS_LOAD }, { COP1X(0x01), CLASS_LOAD }, { COP1X(0x05), CLASS_LOAD },
    { COP1X(0x08), CLASS_STORE }, { COP1X(0x09), CLASS_STORE }, { COP1X(0x0d), CLASS_STORE },
    { COP1X(0x0f), CLASS_CACHE },
    { 0, 0, CLASS_FP },
};

/* All others: by their opcode. */
static const struct isa_rule others[] = {
    { OP(0x02), CLASS_JUMP }, { OP(0x03), CLASS_CALL }, { OP(0x1d), CLASS_CALL },
    { 0xffff0000, 0x10000000, CLASS_JUMP }, /* beq $0, $0 */
    { 0xf0000000, 0x10000000, CLASS_CNDB }, { 0xf0000000, 0x50000000, CLASS_CNDB },
    { 0xe0000000, 0x20000000, CLASS_ALU }, { 0xf8000000, 0x60000000, CLASS_ALU },
    { 0xf8000000, 0x68000000, CLASS_LOAD }, /* ldl, ldr */
    { 0xfc00003c, 0x78000020, CLASS_VLOAD }, { 0xfc00003c, 0x78000024, CLASS_VSTORE },
    { OP(0x1e), CLASS_VECTOR },
    { 0xfe00003f, 0x42000018, CLASS_RET }, /* eret */
    { OP(0x10), CLASS_SYSTEM },
    { 0xe0000000, 0x80000000, CLASS_LOAD },
    { OP(0x2f), CLASS_CACHE }, { OP(0x33), CLASS_CACHE },
    { 0xe0000000, 0xa0000000, CLASS_STORE },
    { OP(0x30), CLASS_ATOMIC }, { OP(0x34), CLASS_ATOMIC },
    { OP(0x38), CLASS_ATOMIC }, { OP(0x3c), CLASS_ATOMIC },
    { OP(0x32), CLASS_JUMP }, { OP(0x3a), CLASS_CALL },
    { 0xffffffff, 0xd81f0000, CLASS_RET }, /* jic $ra, 0 */
    { 0xffe00000, 0xd8000000, CLASS_JUMP }, { 0xffe00000, 0xf8000000, CLASS_CALL },
    { OP(0x36), CLASS_CNDB }, { OP(0x3e), CLASS_CNDB },
    { OP(0x3b), CLASS_ALU }, /* addresses relative to the pc */
    { OP(0x31), CLASS_LOAD }, { OP(0x35), CLASS_LOAD }, { OP(0x37), CLASS_LOAD },
    { OP(0x39), CLASS_STORE }, { OP(0x3d), CLASS_STORE }, { OP(0x3f), CLASS_STORE },
    { 0, 0, CLASS_UNKNOWN },
};

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    uint32_t word;

    if (size != 4) {
        return CLASS_UNKNOWN;
    }
    word = isa_word(mode, bytes);
    switch (word >> 26) {
    case 0x00:
        return isa_match(special, word);
    case 0x01:
        return isa_match(regimm, word);
    case 0x11:
    case 0x13:
        return isa_match(cop1, word);
    case 0x1c:
        return isa_match(special2, word);
    case 0x1f:
        return isa_match(special3, word);
    default:
        return isa_match(others, word);
    }
}

const struct isa_set isa_mips = { isa_common_classes, classify, NO_ARCH };
