/*
 * callbacks.h - the hot path
 *
 * How far a block got when it did not reach its end: each instruction, when it starts, leaves
 * the number of those behind it in the vCPU's slot, and the next block's callback puts that
 * number into its word. It is left there by an inline store per vCPU (API >= 3). Where inline
 * operations only add (API 1 and 2), the block callback counts the block's instructions into
 * the slot and each of them adds -1; on API 1 with several vCPUs, where inline operations share
 * one word, it takes a callback per instruction.
 *
 * Where one host thread runs several vCPUs, the order of all that they do is exact, so each time
 * another one goes on there is a sync event in its stream. That takes callbacks of their own
 * (qt_on_..._switching). QEMU 10 and later then compile the index of the vCPU that translated a
 * block into it: callbacks report that one, and the places of inline operations per vCPU are wrong
 * even outside of their scoreboard. So there is a callback per instruction, no index is trusted,
 * and each access names its block, because helpers report the right index and blocks do not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_CALLBACKS_H
#define QT_CALLBACKS_H

#include "plugin.h"

/* userdata: the block word. Careful: for blocks with qt_on_access_careful. Counting: for inline
 * operations that only add. */
void qt_on_block(unsigned int vcpu, void *userdata);
void qt_on_block_counting(unsigned int vcpu, void *userdata);
void qt_on_block_careful(unsigned int vcpu, void *userdata);
void qt_on_block_careful_counting(unsigned int vcpu, void *userdata);

/* The memory callback for this QEMU; more: where values or physical addresses are recorded.
 * userdata: qt_word_insn() */
qemu_plugin_vcpu_mem_cb_t qt_choose_access(bool more);
/* For blocks that may be executed without a block callback. userdata: qt_insn_name() */
void qt_on_access_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata);

/* The same where values or physical addresses are recorded. */
void qt_on_access_more_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                               void *userdata);

/* Where one host thread runs several vCPUs: as the careful ones, with or without values. */
void qt_on_block_switching(unsigned int vcpu, void *userdata);
void qt_on_access_switching(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                            void *userdata);

/* userdata: instructions of the block behind this one */
void qt_on_insn(unsigned int vcpu, void *userdata);

static inline void *qt_insn_name(uint32_t block, uint32_t position)
{
    return (void *)(uintptr_t)((uint64_t)block << 16 | position);
}

#endif
