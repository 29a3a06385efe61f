/*
 * leave.c - which instructions can end the execution of their block
 *
 * How far a block got must be known when it is left in the middle. In user mode that takes an
 * instruction that faults, traps or asks for a service: arithmetic on registers and direct jumps
 * do not. Only what is surely one of these is known here, by QEMU's own disassembly; anything
 * else is taken for an instruction that can leave. (An instruction that QEMU does not accept
 * ends its block in any case, so nothing behind it can be miscounted.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

/* Sorted. A letter for the size may follow on x86. */
static const char *const x86_names[] = {
    "adc", "add", "and", "bsf", "bsr", "bswap", "bt",  "cmp", "dec", "imul", "inc", "mov",
    "movabs", "neg", "not", "or", "rol", "ror", "sar", "sbb", "shl", "shr", "sub", "test", "xor"};
static const char *const x86_no_operand[] = {"cltd", "cltq", "cqto", "cwtl", "endbr64", "nop"};
static const char *const arm_names[] = {
    "add",   "adds",  "adr",  "adrp",  "and",  "ands",   "asr",   "b",    "bfi",   "bfxil", "bic",
    "bics",  "bl",    "cbnz", "cbz",   "ccmp", "cinc",   "cinv",  "clz",  "cmn",   "cmp",   "cneg",
    "csel",  "cset",  "csetm", "csinc", "csinv", "csneg", "eon",  "eor",  "extr",  "lsl",   "lsr",
    "madd",  "mneg",  "mov",  "movk",  "movn", "movz",   "msub",  "mul",  "mvn",   "neg",   "negs",
    "nop",   "orn",   "orr",  "rbit",  "rev",  "rev16",  "rev32", "ror",  "sbfiz", "sbfx",  "sdiv",
    "smaddl", "smulh", "smull", "sub", "subs", "sxtb",   "sxth",  "sxtw", "tbnz",  "tbz",   "tst",
    "ubfiz", "ubfx",  "udiv", "umaddl", "umulh", "umull", "uxtb", "uxth"};

static int compare(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

static bool is_among(const char *name, const char *const *names, size_t n)
{
    return bsearch(name, names, n, sizeof(*names), compare) != NULL;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A segment, control or debug register: writing it can trap. */
static bool x86_is_special(const char *p, size_t length)
{
    return (length == 3 && strchr("cdefgs", p[1]) && p[2] == 's') || starts(p, "%cr") ||
           starts(p, "%dr") || starts(p, "%db") || starts(p, "%tr");
}

/* Ordinary registers and constants only, no address. */
static bool x86_operands(const char *p)
{
    for (;; p += strspn(p, ", ")) {
        if (*p != '%' && *p != '$') {
            return *p == '\0';
        }
        size_t length = strcspn(p, ",");
        if (memchr(p, '(', length) || memchr(p, ':', length) || x86_is_special(p, length)) {
            return false;
        }
        p += length;
    }
}

static bool x86_is(const char *name, const char *what)
{
    size_t length = strlen(what);
    return starts(name, what) &&
           (name[length] == '\0' || (strchr("bwlq", name[length]) && name[length + 1] == '\0'));
}

static bool x86_stays(char *name, const char *operands)
{
    size_t length = strlen(name);
    if (*operands == '\0') {
        return is_among(name, x86_no_operand, G_N_ELEMENTS(x86_no_operand));
    }
    if (name[0] == 'j' && starts(operands, "0x")) {
        return true;
    }
    if (x86_is(name, "lea") || x86_is(name, "nop")) {
        return true; /* the address is computed and not used */
    }
    if (!x86_operands(operands)) {
        return false;
    }
    if (starts(name, "cmov") || starts(name, "set") || starts(name, "movz") ||
        starts(name, "movs")) {
        return true;
    }
    if (is_among(name, x86_names, G_N_ELEMENTS(x86_names))) {
        return true;
    }
    if (!strchr("bwlq", name[length - 1])) {
        return false;
    }
    name[length - 1] = '\0';
    return is_among(name, x86_names, G_N_ELEMENTS(x86_names));
}

static bool arm_stays(const char *name, const char *operands)
{
    return !strchr(operands, '[') &&
           (starts(name, "b.") || is_among(name, arm_names, G_N_ELEMENTS(arm_names)));
}

static enum { UNKNOWN, X86, ARM } target;

void qt_leave_init(const char *name, bool system)
{
    if (!system) {
        target = strcmp(name, "x86_64") == 0    ? X86
                 : strcmp(name, "aarch64") == 0 ? ARM
                                                : UNKNOWN;
    }
}

bool qt_can_leave(const char *disas)
{
    char name[16];
    size_t length = disas ? strcspn(disas, " \t") : 0;
    if (target == UNKNOWN || length == 0 || length >= sizeof(name)) {
        return true;
    }
    memcpy(name, disas, length);
    name[length] = '\0';
    const char *operands = disas + length + strspn(disas + length, " \t");
    return target == X86 ? !x86_stays(name, operands) : !arm_stays(name, operands);
}
