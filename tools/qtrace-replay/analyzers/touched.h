/*
 * touched.h - which memory an instruction or an access touches
 *
 * Include it after analyzer.h. A machine has the same memory at several virtual addresses, so
 * there the physical address counts, and accesses to devices touch no memory. QEMU names the
 * physical place of an instruction by a host address, which serves as well, but is no
 * physical address: in a machine an instruction that is read as data is another place.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_TOUCHED_H
#define ANALYZER_TOUCHED_H

static bool touched_system; /* to be set from the argument of qemu_plugin_install */

static inline uint64_t touched_by_fetch(const struct qemu_plugin_insn *insn)
{
    uint64_t host = touched_system ? (uintptr_t)qemu_plugin_insn_haddr(insn) : 0;

    return host != 0 ? host : qemu_plugin_insn_vaddr(insn);
}

/* false: a device. */
static inline bool touched_by_access(qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *addr)
{
    *addr = vaddr;
    if (!touched_system) {
        return true;
    }
    struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
    if (where == NULL) {
        return true;
    }
    *addr = qemu_plugin_hwaddr_phys_addr(where);
    return !qemu_plugin_hwaddr_is_io(where);
}

#endif
