/*
 * disas.h - the library capstone, with a handle for each mode that was needed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_ISA_DISAS_H
#define ANALYZER_ISA_DISAS_H

#include "set.h"

#include <capstone/capstone.h>

/* The instruction at the beginning of some bytes, with details, valid until the next call; NULL
 * if capstone does not know it. handle may be NULL. */
const cs_insn *disas_decode(int arch, unsigned mode, const uint8_t *bytes, size_t size,
                            uint64_t vaddr, csh *handle);

#endif
