/*
 * sparc.c - classes of SPARC instructions, V8 and V9
 *
 * The classes without blanks before their name are those that QEMU's howvec has for SPARC V8;
 * what it counts as ALU or Load/Store is split up here, and the branches of V9 are with those of
 * V8. (QEMU's howvec reads the words of SPARC in the host's byte order, so that there is nothing
 * to compare with on a little-endian host.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "set.h"

enum {
    CALL, BRANCH_INT, BRANCH_FLOAT, BRANCH_REG, NOP, SETHI, FPU,
    MULTIPLY, DIVIDE, VIS, STATE, MEMBAR, JUMP, JUMP_CALL, RETURN, TRAP, WINDOW, ALU,
    LOAD, STORE, ATOMIC, PREFETCH, LOAD_STORE, UNKNOWN,
};

static const struct isa_class classes[] = {
    [CALL] = { "Call", "call" },
    [BRANCH_INT] = { "Branch ICond", "bcc" },
    [BRANCH_FLOAT] = { "Branch Fcond", "fbcc" },
    [BRANCH_REG] = { "Branch Reg", "br" },
    [NOP] = { "  NOP", "nop" },
    [SETHI] = { "SetHi", "sethi" },
    [FPU] = { "FPU ALU", "fpu" },
    [MULTIPLY] = { "  Multiply", "mul" },
    [DIVIDE] = { "  Divide", "div" },
    [VIS] = { "  VIS", "vis" },
    [STATE] = { "  State Reg", "sreg" },
    [MEMBAR] = { "  Barriers", "barr" },
    [JUMP] = { "  Jump (reg)", "jump" },
    [JUMP_CALL] = { "  Call (reg)", "callr" },
    [RETURN] = { "  Return", "ret" },
    [TRAP] = { "  Trap", "trap" },
    [WINDOW] = { "  Save/Restore", "window" },
    [ALU] = { "ALU", "alu" },
    [LOAD] = { "  Load", "load" },
    [STORE] = { "  Store", "store" },
    [ATOMIC] = { "  Atomic ldst", "atomic" },
    [PREFETCH] = { "  Prefetch", "prfm" },
    [LOAD_STORE] = { "Load/Store", "ldst" },
    [UNKNOWN] = { "Unclassified", "unclas" },
    { NULL },
};

#define OP3(op, op3) 0xc1f80000, (uint32_t)(op) << 30 | (op3) << 19

static const struct isa_rule rules[] = {
    { 0xc0000000, 0x40000000, CALL },
    /* op 0: bits 24 to 22 say which */
    { 0xffffffff, 0x01000000, NOP },
    { 0xc1c00000, 0x01000000, SETHI },
    { 0xc1c00000, 0x00800000, BRANCH_INT },
    { 0xc1c00000, 0x00400000, BRANCH_INT },
    { 0xc1c00000, 0x00c00000, BRANCH_REG },
    { 0xc1c00000, 0x01800000, BRANCH_FLOAT },
    { 0xc1c00000, 0x01400000, BRANCH_FLOAT },
    { 0xc1c00000, 0x00000000, TRAP },
    { 0xc0000000, 0x00000000, UNKNOWN },
    /* op 2 */
    { OP3(2, 0x09), MULTIPLY }, { OP3(2, 0x0a), MULTIPLY }, { OP3(2, 0x0b), MULTIPLY },
    { OP3(2, 0x1a), MULTIPLY }, { OP3(2, 0x1b), MULTIPLY }, { OP3(2, 0x24), MULTIPLY },
    { OP3(2, 0x0d), DIVIDE }, { OP3(2, 0x0e), DIVIDE }, { OP3(2, 0x0f), DIVIDE },
    { OP3(2, 0x1e), DIVIDE }, { OP3(2, 0x1f), DIVIDE }, { OP3(2, 0x2d), DIVIDE },
    { 0xffffc000, 0x8143c000, MEMBAR }, /* the state register that is none */
    { OP3(2, 0x28), STATE }, { OP3(2, 0x29), STATE }, { OP3(2, 0x2a), STATE },
    { OP3(2, 0x30), STATE }, { OP3(2, 0x32), STATE }, { OP3(2, 0x33), STATE },
    { OP3(2, 0x2b), WINDOW }, { OP3(2, 0x31), WINDOW },
    { OP3(2, 0x3c), WINDOW }, { OP3(2, 0x3d), WINDOW },
    { OP3(2, 0x34), FPU }, { OP3(2, 0x35), FPU }, { OP3(2, 0x37), FPU },
    { OP3(2, 0x19), VIS }, { OP3(2, 0x36), VIS },
    { 0xfffff01f, 0x81c7e008 & 0xfffff01f, RETURN }, /* jmp %i7 + 8 or, */
    { 0xfffff01f, 0x81c3e008 & 0xfffff01f, RETURN }, /* in a leaf, %o7 + 8; also + 12 */
    { 0xfff80000, 0x9fc00000, JUMP_CALL },           /* that leaves its address in %o7 */
    { OP3(2, 0x38), JUMP },
    { OP3(2, 0x39), RETURN }, { OP3(2, 0x3e), RETURN },
    { OP3(2, 0x3a), TRAP },
    { OP3(2, 0x3b), MEMBAR }, /* flush */
    { 0xc0000000, 0x80000000, ALU },
    /* op 3 */
    { OP3(3, 0x0d), ATOMIC }, { OP3(3, 0x0f), ATOMIC }, { OP3(3, 0x1d), ATOMIC },
    { OP3(3, 0x1f), ATOMIC }, { OP3(3, 0x3c), ATOMIC }, { OP3(3, 0x3e), ATOMIC },
    { OP3(3, 0x2d), PREFETCH }, { OP3(3, 0x3d), PREFETCH },
    { 0xc1200000, 0xc0000000, LOAD },  /* integer registers */
    { 0xc1600000, 0xc1000000, LOAD },  /* floating-point registers */
    { 0xc0600000, 0xc0200000, STORE }, /* both */
    { OP3(3, 0x0e), STORE }, { OP3(3, 0x1e), STORE }, /* stx */
    { 0xc0000000, 0xc0000000, LOAD_STORE },
    { 0, 0, UNKNOWN },
};

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    return size == 4 ? isa_match(rules, isa_word(mode, bytes)) : UNKNOWN;
}

const struct isa_set isa_sparc = { classes, classify, NO_ARCH };
