/*
 * ppc.c - classes of Power instructions, 32 and 64 bits, both byte orders
 *
 * Decimal floating point counts as scalar, SPE as vectors. Moves to and from the link, count and
 * exception registers are arithmetic: on other machines these are ordinary registers or flags.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

#include <capstone/capstone.h>

#define OP(op) 0xfc000000, (uint32_t)(op) << 26
/* Opcode 31: extended opcodes of 10 bits; of 9 bits where the tenth asks for overflow. */
#define X(xo) 0xfc0007fe, 0x7c000000 | (xo) << 1
#define XO(xo) 0xfc0003fe, 0x7c000000 | (xo) << 1
#define XL(xo) 0xfc0007fe, 0x4c000000 | (xo) << 1
#define SPR(n) ((uint32_t)((n) & 31) << 16 | (uint32_t)((n) >> 5) << 11)

static const struct isa_rule branches[] = {
    { 0xfc000001, 0x40000001, CLASS_CALL },
    { 0xfe800000, 0x42800000, CLASS_JUMP }, /* bc always */
    { OP(16), CLASS_CNDB },
    { 0xfc000001, 0x48000001, CLASS_CALL }, { OP(18), CLASS_JUMP },
    { 0xfc0007ff, 0x4c000021, CLASS_CALL }, { XL(16), CLASS_RET },  /* bclr */
    { 0xfc0007ff, 0x4c000421, CLASS_CALL }, { XL(528), CLASS_JUMP }, /* bcctr */
    { 0xfc0007ff, 0x4c000461, CLASS_CALL }, { XL(560), CLASS_JUMP }, /* bctar */
    { XL(150), CLASS_FENCE },
    { XL(18), CLASS_RET }, { XL(50), CLASS_RET }, { XL(51), CLASS_RET }, { XL(38), CLASS_RET },
    { XL(39), CLASS_RET }, { XL(82), CLASS_RET }, { XL(146), CLASS_RET }, { XL(274), CLASS_RET },
    { XL(370), CLASS_SYSTEM }, { XL(402), CLASS_SYSTEM }, { XL(434), CLASS_SYSTEM },
    { XL(466), CLASS_SYSTEM }, { XL(498), CLASS_SYSTEM },
    { OP(19), CLASS_ALU }, /* condition registers, addpcis */
    { 0, 0, CLASS_UNKNOWN },
};

static const struct isa_rule extended[] = {
    { 0xfc1fffff, 0x7c0002a6 | SPR(8), CLASS_ALU }, { 0xfc1fffff, 0x7c0002a6 | SPR(9), CLASS_ALU },
    { 0xfc1fffff, 0x7c0002a6 | SPR(1), CLASS_ALU }, { 0xfc1fffff, 0x7c0003a6 | SPR(8), CLASS_ALU },
    { 0xfc1fffff, 0x7c0003a6 | SPR(9), CLASS_ALU }, { 0xfc1fffff, 0x7c0003a6 | SPR(1), CLASS_ALU },
    { X(339), CLASS_SYSTEM }, { X(467), CLASS_SYSTEM }, { X(371), CLASS_SYSTEM },
    { X(4), CLASS_TRAP }, { X(68), CLASS_TRAP },
    /* Reservations and atomic memory operations */
    { X(52), CLASS_ATOMIC }, { X(116), CLASS_ATOMIC }, { X(20), CLASS_ATOMIC },
    { X(84), CLASS_ATOMIC }, { X(276), CLASS_ATOMIC }, { X(694), CLASS_ATOMIC },
    { X(726), CLASS_ATOMIC }, { X(150), CLASS_ATOMIC }, { X(214), CLASS_ATOMIC },
    { X(182), CLASS_ATOMIC }, { X(582), CLASS_ATOMIC }, { X(614), CLASS_ATOMIC },
    { X(710), CLASS_ATOMIC }, { X(742), CLASS_ATOMIC },
    { X(598), CLASS_FENCE }, { X(854), CLASS_FENCE },
    { X(86), CLASS_CACHE }, { X(54), CLASS_CACHE }, { X(246), CLASS_CACHE },
    { X(278), CLASS_CACHE }, { X(470), CLASS_CACHE }, { X(758), CLASS_CACHE },
    { X(1014), CLASS_CACHE }, { X(982), CLASS_CACHE }, { X(22), CLASS_CACHE },
    { X(342), CLASS_CACHE }, { X(374), CLASS_CACHE }, { X(822), CLASS_CACHE },
    /* Integer loads and stores, floating point, scalars into vector registers */
    { X(23), CLASS_LOAD }, { X(55), CLASS_LOAD }, { X(87), CLASS_LOAD }, { X(119), CLASS_LOAD },
    { X(279), CLASS_LOAD }, { X(311), CLASS_LOAD }, { X(343), CLASS_LOAD }, { X(375), CLASS_LOAD },
    { X(341), CLASS_LOAD }, { X(373), CLASS_LOAD }, { X(21), CLASS_LOAD }, { X(53), CLASS_LOAD },
    { X(790), CLASS_LOAD }, { X(534), CLASS_LOAD }, { X(532), CLASS_LOAD }, { X(533), CLASS_LOAD },
    { X(597), CLASS_LOAD }, { X(535), CLASS_LOAD }, { X(567), CLASS_LOAD }, { X(599), CLASS_LOAD },
    { X(631), CLASS_LOAD }, { X(791), CLASS_LOAD }, { X(855), CLASS_LOAD }, { X(887), CLASS_LOAD },
    { X(588), CLASS_LOAD }, { X(524), CLASS_LOAD }, { X(76), CLASS_LOAD }, { X(12), CLASS_LOAD },
    { X(781), CLASS_LOAD }, { X(813), CLASS_LOAD }, { X(853), CLASS_LOAD }, { X(821), CLASS_LOAD },
    { X(789), CLASS_LOAD }, { X(885), CLASS_LOAD }, { X(754), CLASS_LOAD }, { X(690), CLASS_LOAD },
    { X(151), CLASS_STORE }, { X(183), CLASS_STORE }, { X(215), CLASS_STORE },
    { X(247), CLASS_STORE }, { X(407), CLASS_STORE }, { X(439), CLASS_STORE },
    { X(149), CLASS_STORE }, { X(181), CLASS_STORE }, { X(918), CLASS_STORE },
    { X(662), CLASS_STORE }, { X(660), CLASS_STORE }, { X(661), CLASS_STORE },
    { X(725), CLASS_STORE }, { X(663), CLASS_STORE }, { X(695), CLASS_STORE },
    { X(727), CLASS_STORE }, { X(759), CLASS_STORE }, { X(919), CLASS_STORE },
    { X(983), CLASS_STORE }, { X(716), CLASS_STORE }, { X(652), CLASS_STORE },
    { X(140), CLASS_STORE }, { X(909), CLASS_STORE }, { X(941), CLASS_STORE },
    { X(981), CLASS_STORE }, { X(949), CLASS_STORE }, { X(917), CLASS_STORE },
    { X(1013), CLASS_STORE }, { X(722), CLASS_STORE }, { X(658), CLASS_STORE },
    /* Vectors */
    { X(7), CLASS_VLOAD }, { X(39), CLASS_VLOAD }, { X(71), CLASS_VLOAD }, { X(103), CLASS_VLOAD },
    { X(359), CLASS_VLOAD }, { X(844), CLASS_VLOAD }, { X(780), CLASS_VLOAD },
    { X(332), CLASS_VLOAD }, { X(364), CLASS_VLOAD }, { X(812), CLASS_VLOAD },
    { X(876), CLASS_VLOAD }, { X(269), CLASS_VLOAD }, { X(301), CLASS_VLOAD },
    { X(268), CLASS_VLOAD }, { X(300), CLASS_VLOAD }, { X(333), CLASS_VLOAD },
    { X(13), CLASS_VLOAD }, { X(45), CLASS_VLOAD }, { X(77), CLASS_VLOAD }, { X(109), CLASS_VLOAD },
    { X(135), CLASS_VSTORE }, { X(167), CLASS_VSTORE }, { X(199), CLASS_VSTORE },
    { X(231), CLASS_VSTORE }, { X(487), CLASS_VSTORE }, { X(972), CLASS_VSTORE },
    { X(908), CLASS_VSTORE }, { X(396), CLASS_VSTORE }, { X(428), CLASS_VSTORE },
    { X(940), CLASS_VSTORE }, { X(1004), CLASS_VSTORE }, { X(397), CLASS_VSTORE },
    { X(429), CLASS_VSTORE }, { X(461), CLASS_VSTORE }, { X(141), CLASS_VSTORE },
    { X(173), CLASS_VSTORE }, { X(205), CLASS_VSTORE }, { X(237), CLASS_VSTORE },
    { X(6), CLASS_VECTOR }, { X(38), CLASS_VECTOR }, /* lvsl, lvsr */
    { X(435), CLASS_VECTOR }, { X(403), CLASS_VECTOR }, { X(307), CLASS_VECTOR },
    { X(51), CLASS_FP }, { X(115), CLASS_FP }, { X(179), CLASS_FP }, { X(211), CLASS_FP },
    { X(243), CLASS_FP },
    /* Privileged, transactions */
    { X(83), CLASS_SYSTEM }, { X(146), CLASS_SYSTEM }, { X(178), CLASS_SYSTEM },
    { X(595), CLASS_SYSTEM }, { X(659), CLASS_SYSTEM }, { X(210), CLASS_SYSTEM },
    { X(242), CLASS_SYSTEM }, { X(306), CLASS_SYSTEM }, { X(274), CLASS_SYSTEM },
    { X(566), CLASS_SYSTEM }, { X(434), CLASS_SYSTEM }, { X(466), CLASS_SYSTEM },
    { X(498), CLASS_SYSTEM }, { X(402), CLASS_SYSTEM }, { X(915), CLASS_SYSTEM },
    { X(851), CLASS_SYSTEM }, { X(979), CLASS_SYSTEM }, { X(206), CLASS_SYSTEM },
    { X(238), CLASS_SYSTEM }, { X(142), CLASS_SYSTEM }, { X(174), CLASS_SYSTEM },
    { X(30), CLASS_SYSTEM }, { X(131), CLASS_SYSTEM }, { X(163), CLASS_SYSTEM },
    { X(654), CLASS_SYSTEM }, { X(686), CLASS_SYSTEM }, { X(718), CLASS_SYSTEM },
    { X(750), CLASS_SYSTEM }, { X(910), CLASS_SYSTEM }, { X(942), CLASS_SYSTEM },
    { X(1006), CLASS_SYSTEM }, { X(782), CLASS_SYSTEM }, { X(814), CLASS_SYSTEM },
    { X(846), CLASS_SYSTEM }, { X(878), CLASS_SYSTEM }, { X(323), CLASS_SYSTEM },
    { X(451), CLASS_SYSTEM }, { X(334), CLASS_SYSTEM }, { X(462), CLASS_SYSTEM },
    { X(302), CLASS_SYSTEM }, { X(430), CLASS_SYSTEM }, { X(946), CLASS_SYSTEM },
    { X(978), CLASS_SYSTEM }, { X(914), CLASS_SYSTEM }, { X(786), CLASS_SYSTEM },
    /* Arithmetic */
    { XO(235), CLASS_MUL }, { XO(233), CLASS_MUL }, { XO(75), CLASS_MUL }, { XO(11), CLASS_MUL },
    { XO(73), CLASS_MUL }, { XO(9), CLASS_MUL },
    { XO(491), CLASS_DIV }, { XO(459), CLASS_DIV }, { XO(489), CLASS_DIV }, { XO(457), CLASS_DIV },
    { XO(427), CLASS_DIV }, { XO(395), CLASS_DIV }, { XO(425), CLASS_DIV }, { XO(393), CLASS_DIV },
    { X(779), CLASS_DIV }, { X(267), CLASS_DIV }, { X(777), CLASS_DIV }, { X(265), CLASS_DIV },
    { 0, 0, CLASS_ALU },
};

/* Opcode 4: 6 bits tell the integer multiplications, 11 the rest. */
static const struct isa_rule vectors[] = {
    { 0xfc00003e, 0x10000030, CLASS_MUL }, { 0xfc00003f, 0x10000033, CLASS_MUL },
    { 0xfc0007be, 0x10000508, CLASS_CRYPTO }, /* v[n]cipher[last]: 508, 509, 548, 549 */
    { 0xfc0007ff, 0x100005c8, CLASS_CRYPTO }, /* vsbox */
    { 0xfc0007bf, 0x10000682, CLASS_CRYPTO }, /* vshasigma* */
    { 0xfc00073f, 0x10000408, CLASS_CRYPTO }, /* vpmsum* */
    { 0, 0, CLASS_VECTOR },
};

/* Opcode 60: what works on a whole register and what on a scalar in it. */
static const struct isa_rule vsx[] = {
    { 0xfc000030, 0xf0000030, CLASS_VECTOR }, /* xxsel */
    { 0xfc000038, 0xf0000010, CLASS_VECTOR }, /* logic, permutations */
    { 0xfc1807fe, 0xf00002d0, CLASS_VECTOR }, /* xxspltib */
    { 0xfc000200, 0xf0000200, CLASS_VECTOR },
    { 0, 0, CLASS_FP },
};

static const struct isa_rule others[] = {
    { 0xffffffff, 0x60000000, CLASS_HINT }, /* nop */
    { 0xffffffff, 0x00000000, CLASS_TRAP }, /* never legal */
    { OP(2), CLASS_TRAP }, { OP(3), CLASS_TRAP }, { OP(17), CLASS_TRAP },
    { OP(7), CLASS_MUL },
    { 0xfc00000f, 0x18000000, CLASS_VLOAD }, { 0xfc00000f, 0x18000001, CLASS_VSTORE },
    { 0xe0000000, 0x00000000, CLASS_UNKNOWN }, /* 0 to 7 */
    { 0xe0000000, 0x20000000, CLASS_ALU },     /* 8 to 15 */
    { 0xf0000000, 0x50000000, CLASS_ALU },     /* 20 to 23 */
    { 0xf0000000, 0x60000000, CLASS_ALU },
    { 0xf8000000, 0x70000000, CLASS_ALU }, { OP(30), CLASS_ALU },
    { 0xf0000000, 0x80000000, CLASS_LOAD }, { 0xf0000000, 0xa0000000, CLASS_LOAD },
    { 0xf0000000, 0x90000000, CLASS_STORE }, { 0xf8000000, 0xb0000000, CLASS_STORE },
    { OP(46), CLASS_LOAD }, { OP(47), CLASS_STORE },
    { 0xf0000000, 0xc0000000, CLASS_LOAD }, { 0xf0000000, 0xd0000000, CLASS_STORE },
    { OP(56), CLASS_LOAD }, { OP(57), CLASS_LOAD }, { OP(58), CLASS_LOAD },
    { 0xfc000007, 0xf4000001, CLASS_VLOAD }, { 0xfc000007, 0xf4000005, CLASS_VSTORE },
    { OP(61), CLASS_STORE }, { OP(62), CLASS_STORE },
    { 0xfc0007fe, 0xec00069c, CLASS_FP }, { 0xfc0007fe, 0xec00079c, CLASS_FP }, /* fcfid[u]s */
    { 0xfc000030, 0xec000010, CLASS_VECTOR }, /* products of matrices */
    { OP(59), CLASS_FP }, { OP(63), CLASS_FP },
    { 0, 0, CLASS_UNKNOWN },
};

/* The second word of accesses that have a prefix. */
static const struct isa_rule long_accesses[] = {
    { OP(41), CLASS_LOAD }, { OP(42), CLASS_LOAD }, { OP(43), CLASS_LOAD },
    { OP(56), CLASS_LOAD }, { OP(57), CLASS_LOAD },
    { OP(46), CLASS_STORE }, { OP(47), CLASS_STORE }, { OP(60), CLASS_STORE },
    { OP(61), CLASS_STORE },
    { OP(50), CLASS_VLOAD }, { OP(51), CLASS_VLOAD }, { OP(58), CLASS_VLOAD },
    { OP(54), CLASS_VSTORE }, { OP(55), CLASS_VSTORE }, { OP(62), CLASS_VSTORE },
    { 0, 0, CLASS_UNKNOWN },
};

static unsigned classify_word(uint32_t word)
{
    switch (word >> 26) {
    case 4:
        return isa_match(vectors, word);
    case 16:
    case 18:
    case 19:
        return isa_match(branches, word);
    case 31:
        return isa_match(extended, word);
    case 60:
        return isa_match(vsx, word);
    default:
        return isa_match(others, word);
    }
}

/* Prefixed instructions: bits 25 and 24 of the prefix tell their kind. */
static unsigned classify_prefixed(uint32_t prefix, uint32_t suffix)
{
    switch (prefix & 0xff000000) {
    case 0x04000000:
        return isa_match(long_accesses, suffix);
    case 0x06000000: /* as without prefix, only with more immediate bits */
        return classify_word(suffix);
    case 0x05000000:
        return CLASS_VECTOR;
    default:
        return (prefix & 0xfff00000) == 0x07000000 ? CLASS_HINT : CLASS_VECTOR;
    }
}

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    if (size == 8 && isa_word(mode, bytes) >> 26 == 1) {
        return classify_prefixed(isa_word(mode, bytes), isa_word(mode, bytes + 4));
    }
    return size == 4 ? classify_word(isa_word(mode, bytes)) : CLASS_UNKNOWN;
}

const struct isa_set isa_ppc = { isa_common_classes, classify, CS_ARCH_PPC };
