/*
 * callbacks.h - the hot path
 *
 * How far a block got when it did not reach its end: the block callback puts the number of the
 * block's instructions into the vCPU's slot, and each instruction, when it starts, lowers it
 * to the number of those behind it. The next callback finds 0 after a whole execution. The
 * lowering is an inline store per vCPU (API >= 3), an inline addition of -1 (API 1 and 2), or,
 * on API 1 with several vCPUs, where inline operations share one word, a callback.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_CALLBACKS_H
#define QT_CALLBACKS_H

#include "plugin.h"

/* userdata: the block word */
void qt_on_block(unsigned int vcpu, void *userdata);
/* The same, for whoever uses qt_on_access_careful. */
void qt_on_block_careful(unsigned int vcpu, void *userdata);

/* The memory callback for this QEMU; userdata: qt_word_insn() */
qemu_plugin_vcpu_mem_cb_t qt_choose_access(void);
/* For blocks that may be executed without a block callback. userdata: qt_insn_name() */
void qt_on_access_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata);

/* userdata: instructions of the block behind this one */
void qt_on_insn(unsigned int vcpu, void *userdata);

static inline void *qt_insn_name(uint32_t block, uint32_t position)
{
    return (void *)(uintptr_t)((uint64_t)block << 16 | position);
}

#endif
