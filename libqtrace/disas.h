/*
 * disas.h - the disassembly of an instruction as QEMU prints it, made by the same library
 *
 * For targets with one instruction set, in user mode. The library is capstone, if the process has
 * it: a plugin finds the one that QEMU has loaded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_DISAS_H
#define QT_DISAS_H

#include <stdbool.h>

#include "qtrace/event.h"

#define QT_TEXT_MAX 256 /* bytes of a disassembly that is made here */

/* Zero it to begin with. For one thread at a time. */
struct qt_disassembler {
    const struct qt_capstone *library;
    size_t handle;
    void *insn;
};

/* load: if the process has no such library, load it. False: not for this target, or there is no
 * library of the version that this was built for. */
bool qt_disassembler_open(struct qt_disassembler *d, const char *target, bool system, bool load);
void qt_disassembler_close(struct qt_disassembler *d);

/* text has room for QT_TEXT_MAX bytes; it is empty when there is none. */
void qt_disassemble(struct qt_disassembler *d, const struct qtrace_insn *insn, char *text);

#endif
