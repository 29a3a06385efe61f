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

#include <string.h>

#include "disas.h"

#define TRIAL 200    /* instructions that are compared, */
#define COMPARE 256  /* and then one of so many */

static struct {
    bool use;
    unsigned long n;
    /* In user mode QEMU translates under a lock: no other is needed. */
    struct qt_disassembler here;
    struct qt_disassembler recorder; /* its thread's */
} own;

void qt_disas_init(const char *target, bool system)
{
    own.use = qt_disassembler_open(&own.here, target, system, false) &&
              qt_disassembler_open(&own.recorder, target, system, false);
}

static char *qemus(const struct qemu_plugin_insn *insn)
{
    char *text = qemu_plugin_insn_disas(insn);
    return text ? text : g_strdup("");
}

char *qt_disas(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t size)
{
    const struct qtrace_insn same = {
        .vaddr = qemu_plugin_insn_vaddr(insn), .data = bytes, .size = size};
    if (!own.use) {
        return qemus(insn);
    }
    if (own.n++ >= TRIAL && own.n % COMPARE != 0) {
        return NULL;
    }
    char expected[QT_TEXT_MAX], *text = qemus(insn);
    qt_disassemble(&own.here, &same, expected);
    own.use = strcmp(text, expected) == 0;
    return text;
}

void qt_disas_later(const struct qtrace_insn *insn, char *text)
{
    qt_disassemble(&own.recorder, insn, text);
}
