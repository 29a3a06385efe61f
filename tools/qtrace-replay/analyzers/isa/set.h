/*
 * set.h - what an instruction set is made of, for the files of this folder
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_ISA_SET_H
#define ANALYZER_ISA_SET_H

#include "isa.h"

#include <glib.h>

struct isa_set {
    const struct isa_class *classes;
    /* bytes: ISA_CODE_MAX of them, those behind size are 0 */
    unsigned (*classify)(unsigned mode, const uint8_t *bytes, size_t size);
    int arch; /* capstone's, or NO_ARCH */
};

#define NO_ARCH (-1)

extern const struct isa_set isa_aarch64, isa_arm, isa_mips, isa_ppc, isa_riscv, isa_s390x,
    isa_sparc, isa_x86;

/* The classes that most instruction sets share. A register is neither loaded nor stored: moves
 * between registers belong to the arithmetic of their kind. */
enum isa_common {
    CLASS_ALU,     /* integer arithmetic, logic, shifts, comparisons, moves, constants, addresses */
    CLASS_MUL,
    CLASS_DIV,
    CLASS_CNDB,    /* branches on a condition or a counter */
    CLASS_JUMP,
    CLASS_CALL,
    CLASS_RET,
    CLASS_TRAP,    /* system calls, breakpoints, traps on a condition, what is never legal */
    CLASS_LOAD,    /* into integer and scalar floating-point registers */
    CLASS_STORE,
    CLASS_STRING,  /* from memory to memory */
    CLASS_ATOMIC,  /* also load-linked and store-conditional */
    CLASS_FENCE,
    CLASS_CACHE,   /* prefetch and care of the caches */
    CLASS_FP,      /* scalar floating point */
    CLASS_VECTOR,
    CLASS_VLOAD,
    CLASS_VSTORE,
    CLASS_CRYPTO,
    CLASS_SYSTEM,  /* special registers, privileged instructions */
    CLASS_HINT,    /* also the ways to do nothing */
    CLASS_UNKNOWN,
};
extern const struct isa_class isa_common_classes[];

/* The first rule with (word & mask) == value decides; the last one has mask 0. */
struct isa_rule {
    uint32_t mask, value;
    uint8_t class;
};
unsigned isa_match_n(const struct isa_rule *rule, size_t n, uint32_t word);
#define isa_match(rules, word) isa_match_n(rules, G_N_ELEMENTS(rules), word)

/* The number that 2 or 4 bytes are. */
uint32_t isa_half(unsigned mode, const uint8_t *bytes);
uint32_t isa_word(unsigned mode, const uint8_t *bytes);

#endif
