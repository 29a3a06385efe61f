/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "callbacks.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "userdata carries a word");

union qt_vcpu qt_vcpus[QT_MAX_VCPUS] __attribute__((aligned(sizeof(union qt_vcpu))));

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What QEMU says of an access is a function of its opaque 32-bit handle, of which a run has a
 * few dozen: entries are handle << 32 | flags. 0 is no handle, as a direction is always set. */
static _Atomic uint64_t known_flags[256];

static __attribute__((noinline)) uint32_t ask_flags(_Atomic uint64_t *entry,
                                                    qemu_plugin_meminfo_t info)
{
    uint32_t flags = qemu_plugin_mem_size_shift(info) & QTRACE_ACCESS_SIZE;
    flags |= qemu_plugin_mem_is_sign_extended(info) ? QTRACE_ACCESS_SIGN : 0;
    flags |= qemu_plugin_mem_is_big_endian(info) ? QTRACE_ACCESS_BE : 0;
    flags |= qemu_plugin_mem_is_store(info) ? QTRACE_ACCESS_STORE : 0;
    atomic_store_explicit(entry, (uint64_t)info << 32 | flags, memory_order_relaxed);
    return flags;
}

static inline uint32_t access_flags(qemu_plugin_meminfo_t info)
{
    _Atomic uint64_t *entry = &known_flags[(uint32_t)(info * 0x9e3779b1u) >> 24];
    uint64_t known = atomic_load_explicit(entry, memory_order_relaxed);
    if (LIKELY(known >> 32 == info)) {
        return (uint32_t)known;
    }
    return ask_flags(entry, info);
}

static inline struct qt_producer *producer_of(unsigned int vcpu)
{
    return &qt_vcpus[vcpu % QT_MAX_VCPUS].producer;
}

static inline void start_block(struct qt_producer *p, uint64_t word)
{
    uint64_t *slot = p->slot;
    uint64_t remaining = *slot;
    if (UNLIKELY(remaining)) {
        qt_producer_partial(p, remaining);
    }
    *slot = qt_word_block_insns(word);
    qt_push(p, word);
}

void qt_on_block(unsigned int vcpu, void *userdata)
{
    start_block(producer_of(vcpu), (uintptr_t)userdata);
}

void qt_on_block_careful(unsigned int vcpu, void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    p->block = (uintptr_t)userdata;
    start_block(p, p->block);
}

static inline void push_access(struct qt_producer *p, uint64_t insn, uint32_t flags,
                               uint64_t vaddr)
{
    if (LIKELY(qt_address_fits(vaddr))) {
        qt_push(p, qt_word_access(insn, flags, vaddr));
    } else {
        qt_producer_access(p, insn >> QT_INSN_SHIFT, flags, vaddr, 0);
    }
}

void qt_on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
    push_access(producer_of(vcpu), (uintptr_t)userdata, access_flags(info), vaddr);
}

void qt_on_access_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    uint32_t block = (uint64_t)(uintptr_t)userdata >> 16;
    uint32_t position = (uintptr_t)userdata & 0xffff;
    if (LIKELY((uint32_t)p->block == block && p->block)) {
        push_access(p, qt_word_insn(position), access_flags(info), vaddr);
    } else {
        qt_producer_access(p, position, access_flags(info) | QTRACE_ACCESS_FOREIGN, vaddr, block);
    }
}

void qt_on_insn(unsigned int vcpu, void *userdata)
{
    producer_of(vcpu)->own_slot = (uintptr_t)userdata;
}
