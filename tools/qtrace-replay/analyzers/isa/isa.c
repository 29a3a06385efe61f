/*
 * isa.c - the targets, and what does not depend on them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "disas.h"

#include <string.h>

#define MAX_MODES 3

struct isa_target {
    const char *name;
    const struct isa_set *set; /* NULL: nothing is known */
    unsigned n_modes;
    unsigned mode[MAX_MODES]; /* in user mode only the first, but for arm */
};

const struct isa_class isa_common_classes[] = {
    [CLASS_ALU] = { "Integer ALU", "alu" },
    [CLASS_MUL] = { "Multiply", "mul" },
    [CLASS_DIV] = { "Divide", "div" },
    [CLASS_CNDB] = { "Cond Branch", "cndb" },
    [CLASS_JUMP] = { "Jump", "jump" },
    [CLASS_CALL] = { "Call", "call" },
    [CLASS_RET] = { "Return", "ret" },
    [CLASS_TRAP] = { "Trap", "trap" },
    [CLASS_LOAD] = { "Load", "load" },
    [CLASS_STORE] = { "Store", "store" },
    [CLASS_STRING] = { "Block & String", "string" },
    [CLASS_ATOMIC] = { "Atomic", "atomic" },
    [CLASS_FENCE] = { "Fence", "fence" },
    [CLASS_CACHE] = { "Prefetch & Cache", "cache" },
    [CLASS_FP] = { "Scalar FP", "fp" },
    [CLASS_VECTOR] = { "Vector", "vec" },
    [CLASS_VLOAD] = { "Vector Load", "vecld" },
    [CLASS_VSTORE] = { "Vector Store", "vecst" },
    [CLASS_CRYPTO] = { "Crypto", "crypto" },
    [CLASS_SYSTEM] = { "System", "sys" },
    [CLASS_HINT] = { "Hints", "hint" },
    [CLASS_UNKNOWN] = { "Unclassified", "unclas" },
    { NULL },
};

static const struct isa_class no_classes[] = { { "Unclassified", "unclas" }, { NULL } };

static const struct isa_target targets[] = {
    { "x86_64", &isa_x86, 3, { ISA_64, 0, ISA_16 } },
    { "i386", &isa_x86, 2, { 0, ISA_16 } },
    { "aarch64", &isa_aarch64, 1, { ISA_64 } },
    { "aarch64_be", &isa_aarch64, 1, { ISA_64 } }, /* only its data are big-endian */
    { "arm", &isa_arm, 2, { 0, ISA_THUMB } },
    { "riscv32", &isa_riscv, 1, { 0 } },
    { "riscv64", &isa_riscv, 1, { ISA_64 } },
    { "ppc", &isa_ppc, 1, { ISA_BIG } },
    { "ppc64", &isa_ppc, 2, { ISA_64 | ISA_BIG, ISA_64 } },
    { "ppc64le", &isa_ppc, 1, { ISA_64 } },
    { "mips", &isa_mips, 1, { ISA_BIG } },
    { "mipsel", &isa_mips, 1, { 0 } },
    { "mipsn32", &isa_mips, 1, { ISA_64 | ISA_BIG } },
    { "mipsn32el", &isa_mips, 1, { ISA_64 } },
    { "mips64", &isa_mips, 1, { ISA_64 | ISA_BIG } },
    { "mips64el", &isa_mips, 1, { ISA_64 } },
    { "s390x", &isa_s390x, 1, { ISA_64 | ISA_BIG } },
    { "sparc", &isa_sparc, 1, { ISA_BIG } },
    { "sparc32plus", &isa_sparc, 1, { ISA_64 | ISA_BIG } },
    { "sparc64", &isa_sparc, 1, { ISA_64 | ISA_BIG } },
    { NULL },
};

const struct isa_target *isa_find(const char *name)
{
    const struct isa_target *t = targets;

    while (t->name != NULL && strcmp(t->name, name) != 0) {
        t++;
    }
    return t;
}

bool isa_is_known(const struct isa_target *target)
{
    return target->set != NULL;
}

const struct isa_class *isa_classes(const struct isa_target *target)
{
    return target->set != NULL ? target->set->classes : no_classes;
}

/* ---- modes ---- */

bool isa_needs_text(const struct isa_target *target, bool system)
{
    return target->n_modes > 1 && (system || target->set == &isa_arm);
}

char *isa_disassemble(const struct isa_target *target, unsigned mode, const struct isa_code *code)
{
    const cs_insn *insn;

    if (target->set == NULL || target->set->arch == NO_ARCH) {
        return NULL;
    }
    insn = disas_decode(target->set->arch, mode, code->bytes, code->size, code->vaddr, NULL);
    return insn != NULL ? g_strdup_printf("%s %s", insn->mnemonic, insn->op_str) : NULL;
}

/* Of how many instructions does a mode make what QEMU made of them? */
static size_t agreement(const struct isa_target *target, unsigned mode,
                        const struct isa_code *code, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        g_autofree char *text = isa_disassemble(target, mode, &code[i]);
        count += text != NULL && g_strcmp0(text, code[i].text) == 0;
    }
    return count;
}

unsigned isa_mode(const struct isa_target *target, bool system, const struct isa_code *code,
                  size_t n)
{
    unsigned mode = target->mode[0];
    size_t best;

    if (!isa_needs_text(target, system)) {
        return mode;
    }
    for (size_t i = 0; i < n && target->set == &isa_arm; i++) {
        if (code[i].size == 2) { /* the others may read in both ways */
            return ISA_THUMB;
        }
    }
    best = agreement(target, mode, code, n);
    for (unsigned i = 1; i < target->n_modes && best < n; i++) {
        size_t count = agreement(target, target->mode[i], code, n);
        if (count > best) {
            best = count;
            mode = target->mode[i];
        }
    }
    return mode;
}

/* ---- classes ---- */

unsigned isa_classify(const struct isa_target *target, unsigned mode, const struct isa_code *code)
{
    return target->set != NULL ? target->set->classify(mode, code->bytes, code->size) : 0;
}

unsigned isa_match_n(const struct isa_rule *rule, size_t n, uint32_t word)
{
    size_t i = 0;

    while (i < n - 1 && (word & rule[i].mask) != rule[i].value) {
        i++;
    }
    return rule[i].class;
}

uint32_t isa_half(unsigned mode, const uint8_t *bytes)
{
    return mode & ISA_BIG ? (uint32_t)bytes[0] << 8 | bytes[1]
                          : (uint32_t)bytes[1] << 8 | bytes[0];
}

uint32_t isa_word(unsigned mode, const uint8_t *bytes)
{
    uint32_t first = isa_half(mode, bytes), second = isa_half(mode, bytes + 2);

    return mode & ISA_BIG ? first << 16 | second : second << 16 | first;
}
