/*
 * aarch64.c - classes of AArch64 instructions, those of QEMU's howvec
 *
 * They match what the architecture defines. QEMU's howvec does so too but for some loads and
 * stores: its pattern of "Load Reg (lit)" lacks bit 29, so that "ldst reg" and the three classes
 * after it, which stand behind it, never match; and its "AdvSimd ldstmult++" has one bit of the
 * register of the offset, so that an immediate offset falls to "Loads & Stores". The sum of
 * these seven classes is the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

enum {
    UDEF, SVE, RESERVED,
    PCREL, ADDSUB_TAGS, ADDSUB, LOGICAL, MOVE_WIDE, BITFIELD, EXTRACT, DP_IMM,
    COND_BRANCH, EXCEPTION, NOP, HINTS, BARRIERS, PSTATE, SYS_INSN, SYS_REG, BRANCH_REG,
    BRANCH_IMM, CMP_BRANCH, TEST_BRANCH, BRANCHES,
    SIMD_MULTIPLE, SIMD_MULTIPLE_POST, SIMD_SINGLE, SIMD_SINGLE_POST, EXCLUSIVE, PREFETCH,
    LITERAL, PAIR_NOALLOC, PAIR, REGISTER, ATOMIC, REG_OFFSET, PAC, REG_IMM, LOAD_STORE,
    DP_REG, SCALAR_FP, UNKNOWN,
};

static const struct isa_class classes[] = {
    [UDEF] = { "  UDEF", "udef" },
    [SVE] = { "  SVE", "sve" },
    [RESERVED] = { "Reserved", "res" },
    [PCREL] = { "  PCrel addr", "pcrel" },
    [ADDSUB_TAGS] = { "  Add/Sub (imm,tags)", "asit" },
    [ADDSUB] = { "  Add/Sub (imm)", "asi" },
    [LOGICAL] = { "  Logical (imm)", "logi" },
    [MOVE_WIDE] = { "  Move Wide (imm)", "movwi" },
    [BITFIELD] = { "  Bitfield", "bitf" },
    [EXTRACT] = { "  Extract", "extr" },
    [DP_IMM] = { "Data Proc Imm", "dpri" },
    [COND_BRANCH] = { "  Cond Branch (imm)", "cndb" },
    [EXCEPTION] = { "  Exception Gen", "excp" },
    [NOP] = { "    NOP", "nop" },
    [HINTS] = { "  Hints", "hint" },
    [BARRIERS] = { "  Barriers", "barr" },
    [PSTATE] = { "  PSTATE", "psta" },
    [SYS_INSN] = { "  System Insn", "sins" },
    [SYS_REG] = { "  System Reg", "sreg" },
    [BRANCH_REG] = { "  Branch (reg)", "breg" },
    [BRANCH_IMM] = { "  Branch (imm)", "bimm" },
    [CMP_BRANCH] = { "  Cmp & Branch", "cmpb" },
    [TEST_BRANCH] = { "  Tst & Branch", "tstb" },
    [BRANCHES] = { "Branches", "branch" },
    [SIMD_MULTIPLE] = { "  AdvSimd ldstmult", "advlsm" },
    [SIMD_MULTIPLE_POST] = { "  AdvSimd ldstmult++", "advlsmp" },
    [SIMD_SINGLE] = { "  AdvSimd ldst", "advlss" },
    [SIMD_SINGLE_POST] = { "  AdvSimd ldst++", "advlssp" },
    [EXCLUSIVE] = { "  ldst excl", "ldstx" },
    [PREFETCH] = { "    Prefetch", "prfm" },
    [LITERAL] = { "  Load Reg (lit)", "ldlit" },
    [PAIR_NOALLOC] = { "  ldst noalloc pair", "ldstnap" },
    [PAIR] = { "  ldst pair", "ldstp" },
    [REGISTER] = { "  ldst reg", "ldstr" },
    [ATOMIC] = { "  Atomic ldst", "atomic" },
    [REG_OFFSET] = { "  ldst reg (reg off)", "ldstro" },
    [PAC] = { "  ldst reg (pac)", "ldstpa" },
    [REG_IMM] = { "  ldst reg (imm)", "ldsti" },
    [LOAD_STORE] = { "Loads & Stores", "ldst" },
    [DP_REG] = { "Data Proc Reg", "dprr" },
    [SCALAR_FP] = { "Scalar FP", "fpsimd" },
    [UNKNOWN] = { "Unclassified", "unclas" },
    { NULL },
};

/* Bits 28 to 25 of an instruction say which group it is of. */
static const struct isa_rule rules[] = {
    { 0xffff0000, 0x00000000, UDEF },
    { 0x1e000000, 0x04000000, SVE },
    { 0x1e000000, 0x00000000, RESERVED },
    /* x00x: data processing, immediate */
    { 0x1f000000, 0x10000000, PCREL },
    { 0x1f800000, 0x11800000, ADDSUB_TAGS },
    { 0x1f000000, 0x11000000, ADDSUB },
    { 0x1f800000, 0x12000000, LOGICAL },
    { 0x1f800000, 0x12800000, MOVE_WIDE },
    { 0x1f800000, 0x13000000, BITFIELD },
    { 0x1f800000, 0x13800000, EXTRACT },
    { 0x1c000000, 0x10000000, DP_IMM },
    /* x01x: branches, exceptions, system */
    { 0xfe000000, 0x54000000, COND_BRANCH },
    { 0xff000000, 0xd4000000, EXCEPTION },
    { 0xffffffff, 0xd503201f, NOP },
    { 0xfffff000, 0xd5032000, HINTS },
    { 0xfffff000, 0xd5033000, BARRIERS },
    { 0xfff8f000, 0xd5004000, PSTATE },
    { 0xffd80000, 0xd5080000, SYS_INSN },
    { 0xffd00000, 0xd5100000, SYS_REG },
    { 0xfe000000, 0xd6000000, BRANCH_REG },
    { 0x7c000000, 0x14000000, BRANCH_IMM },
    { 0x7e000000, 0x34000000, CMP_BRANCH },
    { 0x7e000000, 0x36000000, TEST_BRANCH },
    { 0x1c000000, 0x14000000, BRANCHES },
    /* xx0x with bit 27: loads and stores */
    { 0xbfbf0000, 0x0c000000, SIMD_MULTIPLE },
    { 0xbfa00000, 0x0c800000, SIMD_MULTIPLE_POST },
    { 0xbf9f0000, 0x0d000000, SIMD_SINGLE },
    { 0xbf800000, 0x0d800000, SIMD_SINGLE_POST },
    { 0x3f000000, 0x08000000, EXCLUSIVE },
    { 0xff000000, 0xd8000000, PREFETCH },
    { 0x3b000000, 0x18000000, LITERAL },
    { 0x3b800000, 0x28000000, PAIR_NOALLOC },
    { 0x38000000, 0x28000000, PAIR },
    { 0x3b200000, 0x38000000, REGISTER },
    { 0x3b200c00, 0x38200000, ATOMIC },
    { 0x3b200c00, 0x38200800, REG_OFFSET },
    { 0xff200400, 0xf8200400, PAC },
    { 0x3b000000, 0x39000000, REG_IMM },
    { 0x0a000000, 0x08000000, LOAD_STORE },
    /* x101 and x111: data processing, register; floating point and vectors */
    { 0x0e000000, 0x0a000000, DP_REG },
    { 0x0e000000, 0x0e000000, SCALAR_FP },
    { 0, 0, UNKNOWN },
};

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    (void)mode;
    return size == 4 ? isa_match(rules, isa_word(0, bytes)) : UNKNOWN;
}

const struct isa_set isa_aarch64 = { classes, classify, NO_ARCH };
