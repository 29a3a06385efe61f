/*
 * disas.c - the disassembly of an instruction, as QEMU prints it
 *
 * QEMU opens its disassembler, the library capstone, anew for each instruction, which takes ten
 * times as long as the disassembling: on programs with much code it is most of what recording
 * costs. In user mode, for targets with one instruction set, we ask the same library (the one
 * that QEMU has loaded) in the same way, through a handle that stays. QEMU is asked as well for
 * the first instructions and for some later ones; after one difference, always.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "plugin.h"

#include <capstone/capstone.h>
#include <string.h>

#pragma weak cs_version
#pragma weak cs_open
#pragma weak cs_option
#pragma weak cs_malloc
#pragma weak cs_disasm_iter

#define TRIAL 200    /* instructions that are compared, */
#define COMPARE 256  /* and then one of so many */

static const struct {
    const char *target;
    cs_arch arch;
    cs_mode mode;
} known[] = {
    {"x86_64", CS_ARCH_X86, CS_MODE_64},
    {"aarch64", CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN},
};

/* In user mode QEMU translates under a lock: no other is needed. */
static struct {
    bool use;
    csh handle;
    cs_insn *insn;
    unsigned long n;
} own;

void qt_disas_init(const char *target, bool system)
{
    if (system || !cs_version || !cs_open || !cs_option || !cs_malloc || !cs_disasm_iter) {
        return;
    }
    int major = 0, minor = 0;
    cs_version(&major, &minor);
    for (size_t i = 0; major == CS_API_MAJOR && i < G_N_ELEMENTS(known); i++) {
        if (strcmp(known[i].target, target) == 0 &&
            cs_open(known[i].arch, known[i].mode, &own.handle) == CS_ERR_OK) {
            cs_option(own.handle, CS_OPT_SKIPDATA, CS_OPT_ON);
            cs_option(own.handle, CS_OPT_SYNTAX,
                      known[i].arch == CS_ARCH_X86 ? CS_OPT_SYNTAX_ATT : CS_OPT_SYNTAX_DEFAULT);
            own.insn = cs_malloc(own.handle);
            own.use = own.insn != NULL;
        }
    }
}

static char *own_disas(const uint8_t *bytes, size_t size, uint64_t vaddr)
{
    return cs_disasm_iter(own.handle, &bytes, &size, &vaddr, own.insn)
               ? g_strdup_printf("%s %s", own.insn->mnemonic, own.insn->op_str)
               : g_strdup("");
}

char *qt_disas(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t size)
{
    if (!own.use) {
        return qemu_plugin_insn_disas(insn);
    }
    char *text = own_disas(bytes, size, qemu_plugin_insn_vaddr(insn));
    if (own.n++ < TRIAL || own.n % COMPARE == 0) {
        char *qemus = qemu_plugin_insn_disas(insn);
        own.use = g_strcmp0(text, qemus) == 0;
        g_free(text);
        text = qemus;
    }
    return text;
}
