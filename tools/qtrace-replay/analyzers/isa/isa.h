/*
 * isa.h - what kind of instruction some bytes are
 *
 * An instruction set has a list of classes and a function that finds the class of each of its
 * instructions. On AArch64 and SPARC the classes are those of QEMU's howvec (SPARC: more finely);
 * all others share one list. Sets with instructions of one width are classified by masks, s390x
 * by its opcodes, x86 by what the library capstone says about the instruction.
 *
 * Not for several threads at a time: the disassembler is shared.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_ISA_H
#define ANALYZER_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISA_CODE_MAX 64

/* An instruction as it lies in memory. */
struct isa_code {
    uint64_t vaddr;
    size_t size;
    uint8_t bytes[ISA_CODE_MAX];
    char *text; /* QEMU's disassembly; NULL: not asked for */
};

struct isa_class {
    const char *name; /* begins with blanks if it is a part of a wider class. NULL ends a list */
    const char *word; /* what it is called in arguments */
};

/* How a processor reads its instructions: bits. */
enum isa_mode {
    ISA_BIG = 1, /* the first byte has the highest bits */
    ISA_64 = 2,
    ISA_16 = 4, /* x86: neither 64 nor 32 bits */
    ISA_THUMB = 8,
};

struct isa_target;

/* The target that QEMU calls name; one that knows no instruction if there is none. */
const struct isa_target *isa_find(const char *name);
bool isa_is_known(const struct isa_target *target);
const struct isa_class *isa_classes(const struct isa_target *target);

/* Does isa_mode have to know the disassembly? On targets whose mode is not fixed. */
bool isa_needs_text(const struct isa_target *target, bool system);

/* The mode of a block: that in which its instructions read as QEMU says. */
unsigned isa_mode(const struct isa_target *target, bool system, const struct isa_code *code,
                  size_t n);

/* An index of isa_classes(). */
unsigned isa_classify(const struct isa_target *target, unsigned mode, const struct isa_code *code);

/* The disassembly as QEMU would print it, to be freed; NULL if capstone does not know. */
char *isa_disassemble(const struct isa_target *target, unsigned mode, const struct isa_code *code);

#endif
