/*
 * x86.c - classes of x86 instructions
 *
 * The library capstone decodes them; its groups and the names of its instructions decide.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "disas.h"

#include <string.h>

/* Names, or beginnings of names that end with '*', in Intel's syntax. */
struct name_class {
    const char *name;
    uint8_t class;
};

static const struct name_class named[] = {
    { "nop", CLASS_HINT }, { "fnop", CLASS_HINT }, { "pause", CLASS_HINT },
    { "endbr*", CLASS_HINT },
    { "mfence", CLASS_FENCE }, { "lfence", CLASS_FENCE }, { "sfence", CLASS_FENCE },
    { "prefetch*", CLASS_CACHE }, { "clflush*", CLASS_CACHE }, { "clwb", CLASS_CACHE },
    { "invd", CLASS_CACHE }, { "wbinvd", CLASS_CACHE },
    { "syscall", CLASS_TRAP }, { "sysenter", CLASS_TRAP }, { "ud2*", CLASS_TRAP },
    { "ud0", CLASS_TRAP }, { "bound", CLASS_TRAP }, { "sysret", CLASS_RET },
    { "sysexit", CLASS_RET }, { "iret*", CLASS_RET }, { "int*", CLASS_TRAP },
    { "jmp", CLASS_JUMP }, { "ljmp", CLASS_JUMP }, { "loop*", CLASS_CNDB },
    { "lcall", CLASS_CALL },
    { "cmpxchg*", CLASS_ATOMIC }, { "xadd", CLASS_ATOMIC },
    { "mul", CLASS_MUL }, { "imul", CLASS_MUL }, { "mulx", CLASS_MUL },
    { "div", CLASS_DIV }, { "idiv", CLASS_DIV },
    { "push*", CLASS_STORE }, { "enter", CLASS_STORE },
    { "popcnt", CLASS_ALU }, { "pop*", CLASS_LOAD }, { "leave", CLASS_LOAD },
    { "xlatb", CLASS_LOAD },
    { "crc32", CLASS_ALU }, { "movnti", CLASS_STORE },
    { "ldmxcsr", CLASS_FP }, { "stmxcsr", CLASS_FP }, { "vldmxcsr", CLASS_FP },
    { "vstmxcsr", CLASS_FP },
    { "cpuid", CLASS_SYSTEM }, { "rdtsc*", CLASS_SYSTEM }, { "rdpmc", CLASS_SYSTEM },
    { "rdmsr", CLASS_SYSTEM }, { "wrmsr", CLASS_SYSTEM }, { "rdrand", CLASS_SYSTEM },
    { "rdseed", CLASS_SYSTEM }, { "rdfsbase", CLASS_SYSTEM }, { "rdgsbase", CLASS_SYSTEM },
    { "wrfsbase", CLASS_SYSTEM }, { "wrgsbase", CLASS_SYSTEM }, { "xgetbv", CLASS_SYSTEM },
    { "xsetbv", CLASS_SYSTEM }, { "xsave*", CLASS_SYSTEM }, { "xrstor*", CLASS_SYSTEM },
    { "fxsave*", CLASS_SYSTEM }, { "fxrstor*", CLASS_SYSTEM }, { "in", CLASS_SYSTEM },
    { "out", CLASS_SYSTEM }, { "insb", CLASS_SYSTEM }, { "insw", CLASS_SYSTEM },
    { "insd", CLASS_SYSTEM }, { "outsb", CLASS_SYSTEM }, { "outsw", CLASS_SYSTEM },
    { "outsd", CLASS_SYSTEM }, { "cli", CLASS_SYSTEM }, { "sti", CLASS_SYSTEM },
    { "hlt", CLASS_SYSTEM }, { "clts", CLASS_SYSTEM }, { "lgdt", CLASS_SYSTEM },
    { "sgdt", CLASS_SYSTEM }, { "lidt", CLASS_SYSTEM }, { "sidt", CLASS_SYSTEM },
    { "lldt", CLASS_SYSTEM }, { "sldt", CLASS_SYSTEM }, { "ltr", CLASS_SYSTEM },
    { "str", CLASS_SYSTEM }, { "lmsw", CLASS_SYSTEM }, { "smsw", CLASS_SYSTEM },
    { "lar", CLASS_SYSTEM }, { "lsl", CLASS_SYSTEM }, { "verr", CLASS_SYSTEM },
    { "verw", CLASS_SYSTEM }, { "invlpg*", CLASS_SYSTEM }, { "invpcid", CLASS_SYSTEM },
    { "swapgs", CLASS_SYSTEM }, { "monitor", CLASS_SYSTEM }, { "mwait", CLASS_SYSTEM },
    { "rsm", CLASS_SYSTEM }, { "stac", CLASS_SYSTEM }, { "clac", CLASS_SYSTEM },
    { "xbegin", CLASS_SYSTEM }, { "xend", CLASS_SYSTEM }, { "xabort", CLASS_SYSTEM },
    { "xtest", CLASS_SYSTEM },
};

/* Those that touch memory or not, as their operands say. */
static const char *const moves[] = { "mov", "movabs", "movzx", "movsx", "movsxd", "movbe",
                                     "lds", "les", "lfs", "lgs", "lss", NULL };

static const char *const strings[] = { "movsb", "movsw", "movsd", "movsq", "cmpsb", "cmpsw",
                                       "cmpsd", "cmpsq", "scasb", "scasw", "scasd", "scasq",
                                       "stosb", "stosw", "stosd", "stosq", "lodsb", "lodsw",
                                       "lodsd", "lodsq", NULL };

static const uint8_t vector_groups[] = {
    X86_GRP_MMX, X86_GRP_SSE1, X86_GRP_SSE2, X86_GRP_SSE3, X86_GRP_SSSE3, X86_GRP_SSE41,
    X86_GRP_SSE42, X86_GRP_SSE4A, X86_GRP_AVX, X86_GRP_AVX2, X86_GRP_AVX512, X86_GRP_CDI,
    X86_GRP_ERI, X86_GRP_PFI, X86_GRP_VLX, X86_GRP_DQI, X86_GRP_BWI, X86_GRP_NOVLX, X86_GRP_FMA,
    X86_GRP_FMA4, X86_GRP_XOP, X86_GRP_F16C, X86_GRP_3DNOW,
};

static bool matches(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);

    return pattern[n - 1] == '*' ? strncmp(pattern, name, n - 1) == 0 : strcmp(pattern, name) == 0;
}

static bool has_group(const cs_insn *insn, uint8_t group)
{
    return memchr(insn->detail->groups, group, insn->detail->groups_count) != NULL;
}

static bool is_vector(const cs_insn *insn)
{
    for (size_t i = 0; i < G_N_ELEMENTS(vector_groups); i++) {
        if (has_group(insn, vector_groups[i])) {
            return true;
        }
    }
    return false;
}

/* Which operand is in memory: 0 the destination, later ones sources; -1 if none. In AT&T's
 * syntax, in which the disassembler works, the destination is the last one. */
static int memory_operand(const cs_x86 *x86)
{
    for (int i = 0; i < x86->op_count; i++) {
        if (x86->operands[i].type == X86_OP_MEM) {
            return x86->op_count - 1 - i;
        }
    }
    return -1;
}

static unsigned move(const cs_x86 *x86, unsigned load, unsigned store, unsigned otherwise)
{
    int where = memory_operand(x86);

    return where < 0 ? otherwise : where == 0 ? store : load;
}

/* The x87: one operand at most. */
static unsigned classify_fpu(const cs_x86 *x86, const char *name)
{
    if (memory_operand(x86) < 0) {
        return CLASS_FP;
    }
    if (strcmp(name, "fld") == 0 || strcmp(name, "fild") == 0 || strcmp(name, "fbld") == 0) {
        return CLASS_LOAD;
    }
    return g_str_has_prefix(name, "fst") || g_str_has_prefix(name, "fist") ||
                   strcmp(name, "fbstp") == 0
               ? (strstr(name, "cw") || strstr(name, "sw") || strstr(name, "env") ? CLASS_FP
                                                                                  : CLASS_STORE)
               : CLASS_FP;
}

/* One element of a vector register: names end with the type, conversions name both. */
static bool is_scalar(const char *name)
{
    if (g_str_has_prefix(name, "cvt")) {
        return strchr(name, 'p') == NULL;
    }
    return (g_str_has_suffix(name, "ss") || g_str_has_suffix(name, "sd")) &&
           strstr(name, "broadcast") == NULL;
}

static bool is_vector_move(const char *name)
{
    return g_str_has_prefix(name, "mov") || g_str_has_prefix(name, "broadcast") ||
           g_str_has_prefix(name, "pbroadcast") || g_str_has_prefix(name, "maskmov") ||
           g_str_has_prefix(name, "pmaskmov") || g_str_has_prefix(name, "gather") ||
           g_str_has_prefix(name, "pgather") || g_str_has_prefix(name, "scatter") ||
           strcmp(name, "lddqu") == 0;
}

static unsigned classify_vector(const cs_x86 *x86, const char *name)
{
    name += name[0] == 'v';
    if (!is_vector_move(name)) {
        return is_scalar(name) ? CLASS_FP : CLASS_VECTOR;
    }
    if (is_scalar(name)) {
        return move(x86, CLASS_LOAD, CLASS_STORE, CLASS_FP);
    }
    if (strcmp(name, "movd") == 0 || strcmp(name, "movq") == 0) {
        return move(x86, CLASS_LOAD, CLASS_STORE, CLASS_VECTOR);
    }
    return move(x86, CLASS_VLOAD, CLASS_VSTORE, CLASS_VECTOR);
}

static unsigned classify_integer(const cs_insn *insn, const char *name)
{
    const cs_x86 *x86 = &insn->detail->x86;

    if (g_strv_contains(strings, name)) {
        return CLASS_STRING;
    }
    if (has_group(insn, X86_GRP_PRIVILEGE) || has_group(insn, X86_GRP_VM)) {
        return CLASS_SYSTEM; /* moves from and to control registers among them */
    }
    if (g_strv_contains(moves, name)) {
        return move(x86, CLASS_LOAD, CLASS_STORE, CLASS_ALU);
    }
    if (strcmp(name, "xchg") == 0 && memory_operand(x86) >= 0) {
        return CLASS_ATOMIC;
    }
    return CLASS_ALU;
}

static unsigned classify_decoded(const cs_insn *insn, const char *name)
{
    const cs_x86 *x86 = &insn->detail->x86;

    if (x86->prefix[0] == X86_PREFIX_LOCK) {
        return CLASS_ATOMIC;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        if (matches(named[i].name, name)) {
            return named[i].class;
        }
    }
    if (has_group(insn, X86_GRP_CALL)) {
        return CLASS_CALL;
    }
    if (has_group(insn, X86_GRP_RET)) {
        return CLASS_RET;
    }
    if (has_group(insn, X86_GRP_JUMP)) {
        return CLASS_CNDB;
    }
    if (has_group(insn, X86_GRP_AES) || has_group(insn, X86_GRP_SHA) ||
        has_group(insn, X86_GRP_PCLMUL)) {
        return CLASS_CRYPTO;
    }
    if (has_group(insn, X86_GRP_FPU) || name[0] == 'f') {
        return classify_fpu(x86, name);
    }
    return is_vector(insn) ? classify_vector(x86, name) : classify_integer(insn, name);
}

/* What capstone 4 does not know: AVX-512 in part, and hints that other processors understand. */
static unsigned classify_bytes(unsigned mode, const uint8_t *bytes, size_t size)
{
    size_t i = 0;

    while (i < size && (bytes[i] == 0x66 || bytes[i] == 0xf2 || bytes[i] == 0xf3 ||
                        (mode & ISA_64 && bytes[i] >> 4 == 4))) {
        i++;
    }
    if (i + 1 < size && (bytes[i] == 0x62 || bytes[i] == 0xc4 || bytes[i] == 0xc5)) {
        return CLASS_VECTOR;
    }
    return i + 1 < size && bytes[i] == 0x0f && bytes[i + 1] == 0x1e ? CLASS_HINT : CLASS_UNKNOWN;
}

static unsigned classify(unsigned mode, const uint8_t *bytes, size_t size)
{
    csh handle;
    const cs_insn *insn = disas_decode(CS_ARCH_X86, mode, bytes, size, 0, &handle);

    return insn != NULL ? classify_decoded(insn, cs_insn_name(handle, insn->id))
                        : classify_bytes(mode, bytes, size);
}

const struct isa_set isa_x86 = { isa_common_classes, classify, CS_ARCH_X86 };
