/*
 * s390x.c - classes of s390x instructions
 *
 * Packed decimal arithmetic is done in memory and counts as such. EX and EXRL are jumps: the
 * instruction that they execute elsewhere is counted for itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

#include <capstone/capstone.h>

/* An opcode has the first byte above the rest of it (see opcode_of), 0 if there is no rest. */
struct range {
    uint16_t first, last;
    uint8_t class;
};

/* The first that matches decides. */
static const struct range ranges[] = {
    /* RR, RS, RX, SI: one byte */
    { 0x0000, 0x0000, CLASS_TRAP }, /* never legal */
    { 0x0101, 0x0101, CLASS_RET }, { 0x01ff, 0x01ff, CLASS_TRAP }, { 0x0100, 0x01ff, CLASS_SYSTEM },
    { 0x0400, 0x0400, CLASS_ALU }, { 0x0500, 0x0500, CLASS_CALL }, { 0x0600, 0x0700, CLASS_CNDB },
    { 0x0a00, 0x0a00, CLASS_TRAP }, { 0x0b00, 0x0b00, CLASS_JUMP }, { 0x0c00, 0x0d00, CLASS_CALL },
    { 0x0e00, 0x0f00, CLASS_STRING }, { 0x1c00, 0x1c00, CLASS_MUL }, { 0x1d00, 0x1d00, CLASS_DIV },
    { 0x1000, 0x1f00, CLASS_ALU }, { 0x2000, 0x3f00, CLASS_FP },
    { 0x4000, 0x4000, CLASS_STORE }, { 0x4100, 0x4100, CLASS_ALU }, { 0x4200, 0x4200, CLASS_STORE },
    { 0x4300, 0x4300, CLASS_LOAD }, { 0x4400, 0x4400, CLASS_JUMP }, { 0x4500, 0x4500, CLASS_CALL },
    { 0x4600, 0x4700, CLASS_CNDB }, { 0x4800, 0x4800, CLASS_LOAD }, { 0x4c00, 0x4c00, CLASS_MUL },
    { 0x4d00, 0x4d00, CLASS_CALL }, { 0x4900, 0x4f00, CLASS_ALU }, { 0x5000, 0x5000, CLASS_STORE },
    { 0x5800, 0x5800, CLASS_LOAD }, { 0x5c00, 0x5c00, CLASS_MUL }, { 0x5d00, 0x5d00, CLASS_DIV },
    { 0x5100, 0x5f00, CLASS_ALU },
    { 0x6000, 0x6000, CLASS_STORE }, { 0x6800, 0x6800, CLASS_LOAD }, { 0x6700, 0x6f00, CLASS_FP },
    { 0x7000, 0x7000, CLASS_STORE }, { 0x7100, 0x7100, CLASS_MUL }, { 0x7800, 0x7800, CLASS_LOAD },
    { 0x7900, 0x7f00, CLASS_FP },
    { 0x8000, 0x8300, CLASS_SYSTEM }, { 0x8400, 0x8700, CLASS_CNDB }, { 0x8800, 0x8f00, CLASS_ALU },
    { 0x9000, 0x9000, CLASS_STORE }, { 0x9200, 0x9200, CLASS_STORE },
    { 0x9300, 0x9300, CLASS_ATOMIC }, { 0x9100, 0x9700, CLASS_ALU }, { 0x9800, 0x9800, CLASS_LOAD },
    { 0x9900, 0x9900, CLASS_SYSTEM }, { 0x9a00, 0x9a00, CLASS_LOAD },
    { 0x9b00, 0x9b00, CLASS_STORE }, { 0xa800, 0xa900, CLASS_STRING },
    { 0xac00, 0xb100, CLASS_SYSTEM }, { 0xb600, 0xb700, CLASS_SYSTEM },
    { 0xba00, 0xbb00, CLASS_ATOMIC }, { 0xbd00, 0xbd00, CLASS_ALU },
    { 0xbe00, 0xbe00, CLASS_STORE }, { 0xbf00, 0xbf00, CLASS_LOAD },
    { 0xc500, 0xc500, CLASS_HINT }, { 0xc700, 0xc700, CLASS_HINT },
    { 0xee00, 0xee00, CLASS_ATOMIC }, { 0xef00, 0xef00, CLASS_LOAD },
    { 0xd000, 0xe200, CLASS_STRING }, { 0xe800, 0xea00, CLASS_STRING },
    { 0xf000, 0xfd00, CLASS_STRING },
    /* RI, RIL: byte and digit */
    { 0xa500, 0xa50f, CLASS_ALU },
    { 0xa704, 0xa704, CLASS_CNDB }, { 0xa705, 0xa705, CLASS_CALL }, { 0xa706, 0xa707, CLASS_CNDB },
    { 0xa70c, 0xa70d, CLASS_MUL }, { 0xa700, 0xa70f, CLASS_ALU },
    { 0xc004, 0xc004, CLASS_CNDB }, { 0xc005, 0xc005, CLASS_CALL }, { 0xc000, 0xc00f, CLASS_ALU },
    { 0xc200, 0xc201, CLASS_MUL }, { 0xc204, 0xc20f, CLASS_ALU },
    { 0xc407, 0xc407, CLASS_STORE }, { 0xc40b, 0xc40b, CLASS_STORE },
    { 0xc40f, 0xc40f, CLASS_STORE }, { 0xc402, 0xc40e, CLASS_LOAD },
    { 0xc600, 0xc600, CLASS_JUMP }, { 0xc602, 0xc602, CLASS_CACHE }, { 0xc604, 0xc60f, CLASS_ALU },
    { 0xc800, 0xc800, CLASS_STRING }, { 0xc804, 0xc805, CLASS_LOAD },
    { 0xc801, 0xc80f, CLASS_SYSTEM },
    { 0xcc06, 0xcc06, CLASS_CNDB }, { 0xcc08, 0xcc0f, CLASS_ALU },
    /* S, RRE, RRF: two bytes */
    { 0xb222, 0xb222, CLASS_ALU }, { 0xb241, 0xb241, CLASS_STRING },
    { 0xb244, 0xb245, CLASS_FP }, { 0xb24d, 0xb24f, CLASS_ALU }, { 0xb252, 0xb252, CLASS_MUL },
    { 0xb254, 0xb257, CLASS_STRING }, { 0xb25d, 0xb25e, CLASS_STRING },
    { 0xb263, 0xb263, CLASS_STRING }, { 0xb299, 0xb29d, CLASS_FP },
    { 0xb2a5, 0xb2a7, CLASS_STRING }, { 0xb2b8, 0xb2bd, CLASS_FP }, { 0xb2e8, 0xb2e8, CLASS_HINT },
    { 0xb2fa, 0xb2fa, CLASS_HINT },
    { 0xb2ff, 0xb2ff, CLASS_TRAP }, { 0xb200, 0xb2ff, CLASS_SYSTEM },
    { 0xb300, 0xb3ff, CLASS_FP },
    { 0xb905, 0xb905, CLASS_SYSTEM }, { 0xb925, 0xb925, CLASS_SYSTEM },
    { 0xb90c, 0xb90c, CLASS_MUL }, { 0xb91c, 0xb91c, CLASS_MUL }, { 0xb90d, 0xb90d, CLASS_DIV },
    { 0xb91d, 0xb91d, CLASS_DIV }, { 0xb91e, 0xb91e, CLASS_CRYPTO },
    { 0xb928, 0xb92f, CLASS_CRYPTO }, { 0xb938, 0xb939, CLASS_STRING },
    { 0xb93a, 0xb93f, CLASS_CRYPTO }, { 0xb946, 0xb946, CLASS_CNDB },
    { 0xb941, 0xb943, CLASS_FP }, { 0xb949, 0xb95b, CLASS_FP },
    { 0xb960, 0xb961, CLASS_TRAP }, { 0xb972, 0xb973, CLASS_TRAP },
    { 0xb986, 0xb986, CLASS_MUL }, { 0xb996, 0xb996, CLASS_MUL }, { 0xb987, 0xb987, CLASS_DIV },
    { 0xb997, 0xb997, CLASS_DIV }, { 0xb98a, 0xb98f, CLASS_SYSTEM },
    { 0xb990, 0xb993, CLASS_STRING }, { 0xb99a, 0xb9a2, CLASS_SYSTEM },
    { 0xb9aa, 0xb9af, CLASS_SYSTEM }, { 0xb9b0, 0xb9b3, CLASS_STRING },
    { 0xb9bd, 0xb9bf, CLASS_STRING }, { 0xb9ec, 0xb9ed, CLASS_MUL },
    { 0xb9fd, 0xb9fd, CLASS_MUL }, { 0xb900, 0xb9ff, CLASS_ALU },
    { 0xe50a, 0xe50f, CLASS_STRING }, { 0xe544, 0xe54c, CLASS_STORE },
    { 0xe554, 0xe55d, CLASS_ALU }, { 0xe500, 0xe5ff, CLASS_SYSTEM },
    /* RXY, RSY, RIE, RXE, vectors: the first byte and the last one */
    { 0xe302, 0xe302, CLASS_LOAD }, { 0xe303, 0xe303, CLASS_SYSTEM },
    { 0xe313, 0xe313, CLASS_SYSTEM }, { 0xe304, 0xe304, CLASS_LOAD },
    { 0xe30c, 0xe30c, CLASS_MUL }, { 0xe31c, 0xe31c, CLASS_MUL }, { 0xe33c, 0xe33c, CLASS_MUL },
    { 0xe351, 0xe353, CLASS_MUL }, { 0xe35c, 0xe35c, CLASS_MUL }, { 0xe37c, 0xe37c, CLASS_MUL },
    { 0xe383, 0xe384, CLASS_MUL }, { 0xe386, 0xe386, CLASS_MUL }, { 0xe396, 0xe396, CLASS_MUL },
    { 0xe30d, 0xe30d, CLASS_DIV }, { 0xe31d, 0xe31d, CLASS_DIV }, { 0xe387, 0xe387, CLASS_DIV },
    { 0xe397, 0xe397, CLASS_DIV },
    { 0xe30f, 0xe30f, CLASS_LOAD }, { 0xe312, 0xe317, CLASS_LOAD }, { 0xe31e, 0xe31f, CLASS_LOAD },
    { 0xe324, 0xe325, CLASS_STORE }, { 0xe32a, 0xe32a, CLASS_LOAD },
    { 0xe32f, 0xe32f, CLASS_STORE }, { 0xe332, 0xe332, CLASS_LOAD },
    { 0xe336, 0xe336, CLASS_CACHE }, { 0xe33a, 0xe33b, CLASS_LOAD },
    { 0xe33e, 0xe33f, CLASS_STORE }, { 0xe346, 0xe346, CLASS_CNDB },
    { 0xe347, 0xe347, CLASS_JUMP }, { 0xe348, 0xe348, CLASS_LOAD },
    { 0xe349, 0xe349, CLASS_STORE }, { 0xe34c, 0xe34c, CLASS_LOAD },
    { 0xe34d, 0xe34d, CLASS_SYSTEM }, { 0xe350, 0xe350, CLASS_STORE },
    { 0xe358, 0xe358, CLASS_LOAD }, { 0xe370, 0xe370, CLASS_STORE },
    { 0xe372, 0xe372, CLASS_STORE }, { 0xe373, 0xe373, CLASS_LOAD },
    { 0xe376, 0xe378, CLASS_LOAD }, { 0xe385, 0xe385, CLASS_LOAD },
    { 0xe38e, 0xe38e, CLASS_STORE }, { 0xe38f, 0xe395, CLASS_LOAD },
    { 0xe39c, 0xe39f, CLASS_LOAD }, { 0xe3c0, 0xe3c2, CLASS_LOAD },
    { 0xe3c3, 0xe3c3, CLASS_STORE }, { 0xe3c4, 0xe3c6, CLASS_LOAD },
    { 0xe3c7, 0xe3c7, CLASS_STORE }, { 0xe3c8, 0xe3ca, CLASS_LOAD },
    { 0xe3cb, 0xe3cb, CLASS_STORE }, { 0xe3d0, 0xe3d4, CLASS_SYSTEM },
    { 0xe300, 0xe3ff, CLASS_ALU },
    { 0xe609, 0xe60f, CLASS_VSTORE }, { 0xe601, 0xe607, CLASS_VLOAD },
    { 0xe635, 0xe637, CLASS_VLOAD }, { 0xe63d, 0xe63f, CLASS_VSTORE },
    { 0xe600, 0xe6ff, CLASS_VECTOR },
    { 0xe700, 0xe707, CLASS_VLOAD }, { 0xe708, 0xe70e, CLASS_VSTORE },
    { 0xe712, 0xe713, CLASS_VLOAD }, { 0xe71a, 0xe71b, CLASS_VSTORE },
    { 0xe727, 0xe727, CLASS_ALU }, { 0xe736, 0xe737, CLASS_VLOAD },
    { 0xe73e, 0xe73f, CLASS_VSTORE }, { 0xe700, 0xe7ff, CLASS_VECTOR },
    { 0xeb04, 0xeb04, CLASS_LOAD }, { 0xeb0f, 0xeb0f, CLASS_SYSTEM },
    { 0xeb14, 0xeb14, CLASS_ATOMIC }, { 0xeb23, 0xeb23, CLASS_TRAP },
    { 0xeb2b, 0xeb2b, CLASS_TRAP }, { 0xeb25, 0xeb25, CLASS_SYSTEM },
    { 0xeb2f, 0xeb2f, CLASS_SYSTEM }, { 0xeb24, 0xeb26, CLASS_STORE },
    { 0xeb2c, 0xeb2d, CLASS_STORE }, { 0xeb30, 0xeb31, CLASS_ATOMIC },
    { 0xeb3e, 0xeb3e, CLASS_ATOMIC }, { 0xeb44, 0xeb45, CLASS_CNDB },
    { 0xeb52, 0xeb52, CLASS_STORE }, { 0xeb60, 0xeb62, CLASS_SYSTEM },
    { 0xeb71, 0xeb71, CLASS_SYSTEM }, { 0xeb80, 0xeb81, CLASS_LOAD },
    { 0xeb8a, 0xeb8a, CLASS_SYSTEM }, { 0xeb8e, 0xeb8f, CLASS_STRING },
    { 0xeb90, 0xeb90, CLASS_STORE }, { 0xeb96, 0xeb9a, CLASS_LOAD },
    { 0xeb9b, 0xeb9b, CLASS_STORE }, { 0xebe0, 0xebe0, CLASS_LOAD },
    { 0xebe2, 0xebe2, CLASS_LOAD }, { 0xebe1, 0xebe3, CLASS_STORE },
    { 0xebe4, 0xebea, CLASS_ATOMIC }, { 0xebf2, 0xebf2, CLASS_LOAD },
    { 0xebf3, 0xebf3, CLASS_STORE }, { 0xebf4, 0xebfa, CLASS_ATOMIC },
    { 0xeb00, 0xebff, CLASS_ALU },
    { 0xec44, 0xec45, CLASS_CNDB }, { 0xec64, 0xec65, CLASS_CNDB },
    { 0xec70, 0xec73, CLASS_TRAP }, { 0xec76, 0xec7f, CLASS_CNDB },
    { 0xece4, 0xece5, CLASS_CNDB }, { 0xecf6, 0xecff, CLASS_CNDB },
    { 0xec00, 0xecff, CLASS_ALU },
    { 0xed64, 0xed65, CLASS_LOAD }, { 0xed66, 0xed67, CLASS_STORE },
    { 0xed00, 0xedff, CLASS_FP },
};

static unsigned opcode_of(const uint8_t *bytes)
{
    unsigned first = (unsigned)bytes[0] << 8;

    switch (bytes[0]) {
    case 0x01:
    case 0xb2:
    case 0xb3:
    case 0xb9:
    case 0xe5:
        return first | bytes[1];
    case 0xa5:
    case 0xa7:
    case 0xc0:
    case 0xc2:
    case 0xc4:
    case 0xc6:
    case 0xc8:
    case 0xcc:
        return first | (bytes[1] & 15);
    case 0xe3:
    case 0xe6:
    case 0xe7:
    case 0xeb:
    case 0xec:
    case 0xed:
        return first | bytes[5];
    default:
        return first;
    }
}

/* Branches with a mask in the first digit of the second byte: 0 is never, 15 is always. */
static unsigned classify_masked(const uint8_t *bytes, unsigned opcode)
{
    if (opcode == 0x0700 && (bytes[1] & 15) == 0) {
        return bytes[1] >= 0xe0 ? CLASS_FENCE : CLASS_HINT; /* bcr 14 and 15 to nowhere */
    }
    if (opcode == 0x0700 && bytes[1] == 0xfe) {
        return CLASS_RET;
    }
    return bytes[1] >> 4 == 0 ? CLASS_HINT : bytes[1] >> 4 == 15 ? CLASS_JUMP : CLASS_CNDB;
}

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    unsigned opcode;

    (void)mode;
    if (size < 2) {
        return CLASS_UNKNOWN;
    }
    opcode = opcode_of(bytes);
    if (opcode == 0x0700 || opcode == 0x4700 || opcode == 0xa704 || opcode == 0xc004) {
        return classify_masked(bytes, opcode);
    }
    if ((opcode == 0x0500 || opcode == 0x0600 || opcode == 0x0d00) && (bytes[1] & 15) == 0) {
        return CLASS_ALU; /* they count or tell the address, without branching */
    }
    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++) {
        if (opcode >= ranges[i].first && opcode <= ranges[i].last) {
            return ranges[i].class;
        }
    }
    return CLASS_UNKNOWN;
}

const struct isa_set isa_s390x = { isa_common_classes, classify, CS_ARCH_SYSZ };
