/*
 * disas.c - the disassembly of an instruction, as QEMU prints it
 *
 * QEMU opens its disassembler, the library capstone, anew for each instruction, which takes ten
 * times as long as the disassembling: on programs with much code it is most of what recording
 * costs. In user mode, for targets with one instruction set, we ask the same library (the one
 * that QEMU has loaded) in the same way, through a handle that stays, and on the recorder's
 * thread. QEMU is asked for the first instructions and for some later ones, and what it says is
 * compared; after one difference QEMU is asked always.
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

struct disassembler {
    csh handle;
    cs_insn *insn;
};

static struct {
    bool use;
    unsigned long n;
    /* In user mode QEMU translates under a lock: no other is needed. */
    struct disassembler here;
    struct disassembler recorder; /* its thread's */
} own;

static bool open_one(struct disassembler *d, cs_arch arch, cs_mode mode)
{
    if (cs_open(arch, mode, &d->handle) != CS_ERR_OK) {
        return false;
    }
    cs_option(d->handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    cs_option(d->handle, CS_OPT_SYNTAX,
              arch == CS_ARCH_X86 ? CS_OPT_SYNTAX_ATT : CS_OPT_SYNTAX_DEFAULT);
    d->insn = cs_malloc(d->handle);
    return d->insn != NULL;
}

void qt_disas_init(const char *target, bool system)
{
    if (system || !cs_version || !cs_open || !cs_option || !cs_malloc || !cs_disasm_iter) {
        return;
    }
    int major = 0, minor = 0;
    cs_version(&major, &minor);
    for (size_t i = 0; major == CS_API_MAJOR && i < G_N_ELEMENTS(known); i++) {
        if (strcmp(known[i].target, target) == 0) {
            own.use = open_one(&own.here, known[i].arch, known[i].mode) &&
                      open_one(&own.recorder, known[i].arch, known[i].mode);
        }
    }
}

static void put_text(struct disassembler *d, const uint8_t *bytes, size_t size, uint64_t vaddr,
                     char *text)
{
    text[0] = '\0';
    if (cs_disasm_iter(d->handle, &bytes, &size, &vaddr, d->insn)) {
        g_snprintf(text, QT_TEXT_MAX, "%s %s", d->insn->mnemonic, d->insn->op_str);
    }
}

static char *qemus(const struct qemu_plugin_insn *insn)
{
    char *text = qemu_plugin_insn_disas(insn);
    return text ? text : g_strdup("");
}

char *qt_disas(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t size)
{
    if (!own.use) {
        return qemus(insn);
    }
    if (own.n++ >= TRIAL && own.n % COMPARE != 0) {
        return NULL;
    }
    char expected[QT_TEXT_MAX], *text = qemus(insn);
    put_text(&own.here, bytes, size, qemu_plugin_insn_vaddr(insn), expected);
    own.use = strcmp(text, expected) == 0;
    return text;
}

void qt_disas_later(const struct qtrace_insn *insn, char *text)
{
    put_text(&own.recorder, insn->data, insn->size, insn->vaddr, text);
}
