/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "callbacks.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "userdata carries a word");

_Static_assert(sizeof(union qt_vcpu) == 1024, "an index is a shift");

/* Whole pages, which lie in the file beside the trace. */
union qt_vcpu qt_vcpus[QT_MAX_VCPUS] __attribute__((aligned(4096)));

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline struct qt_producer *producer_of(unsigned int vcpu)
{
    return &qt_vcpus[vcpu % QT_MAX_VCPUS].producer;
}

/* The first vCPU, often the only one, is at an address that is known. */
static struct qt_producer *const first = &qt_vcpus[0].producer;

void qt_on_block(unsigned int vcpu, void *userdata)
{
    if (LIKELY(vcpu == 0)) {
        qt_push_block(first, (uintptr_t)userdata);
    } else {
        qt_push_block(producer_of(vcpu), (uintptr_t)userdata);
    }
}

static inline void start_counting(struct qt_producer *p, uint64_t word)
{
    uint64_t *slot = p->slot;
    uint64_t left = *slot & QT_LEFT_MASK;
    qt_push(p, word | left << QT_LEFT_SHIFT);
    *slot = qt_word_block_insns(word);
}

void qt_on_block_counting(unsigned int vcpu, void *userdata)
{
    if (LIKELY(vcpu == 0)) {
        start_counting(first, (uintptr_t)userdata);
    } else {
        start_counting(producer_of(vcpu), (uintptr_t)userdata);
    }
}

void qt_on_block_careful(unsigned int vcpu, void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    p->block = (uintptr_t)userdata;
    qt_push_block(p, p->block);
}

void qt_on_block_careful_counting(unsigned int vcpu, void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    p->block = (uintptr_t)userdata;
    start_counting(p, p->block);
}

/* What QEMU says of an access is a function of its opaque 32-bit handle. */
static uint32_t ask_flags(qemu_plugin_meminfo_t info)
{
    uint32_t flags = qemu_plugin_mem_size_shift(info) & QTRACE_ACCESS_SIZE;
    flags |= qemu_plugin_mem_is_sign_extended(info) ? QTRACE_ACCESS_SIGN : 0;
    flags |= qemu_plugin_mem_is_big_endian(info) ? QTRACE_ACCESS_BE : 0;
    flags |= qemu_plugin_mem_is_store(info) ? QTRACE_ACCESS_STORE : 0;
    return flags;
}

/* In the QEMUs that are known the handle holds the same bits as a word does, five in a row and
 * the store bit, three places higher. Whether this QEMU's does is tried out before it is used. */
static inline uint64_t bits_of(qemu_plugin_meminfo_t info)
{
    return info >> 3 & 0x403e;
}

static bool bits_are_known(void)
{
    for (uint32_t i = 0; i < 1u << 17; i++) {
        qemu_plugin_meminfo_t info = (i & 0xffff) | (i & 0x10000 ? 2u << 16 : 1u << 16);
        if (qt_word_flags(ask_flags(info)) != bits_of(info)) {
            return false;
        }
    }
    return true;
}

/* Rare and called last, with the callback's own arguments: then that needs no stack. */
static __attribute__((noinline)) void wide_access(unsigned int vcpu, qemu_plugin_meminfo_t info,
                                                  uint64_t vaddr, void *userdata)
{
    uint32_t position = qt_word_access_insn((uintptr_t)userdata);
    qt_producer_access(producer_of(vcpu), position, ask_flags(info), vaddr, 0, 0, NULL);
}

static inline void push_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t flags,
                               uint64_t vaddr, void *userdata, bool user)
{
    uint64_t word = qt_word_access((uintptr_t)userdata, flags, vaddr, user);
    if (UNLIKELY(!qt_address_fits(vaddr, user))) {
        wide_access(vcpu, info, vaddr, userdata);
    } else if (LIKELY(vcpu == 0)) {
        qt_push(first, word);
    } else {
        qt_push(producer_of(vcpu), word);
    }
}

static void access_user(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                        void *userdata)
{
    push_access(vcpu, info, bits_of(info), vaddr, userdata, true);
}

static void access_system(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata)
{
    push_access(vcpu, info, bits_of(info), vaddr, userdata, false);
}

static void access_ask(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                       void *userdata)
{
    push_access(vcpu, info, qt_word_flags(ask_flags(info)), vaddr, userdata, !qt_plugin.system);
}

void qt_on_access_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                          void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    uint32_t block = (uint64_t)(uintptr_t)userdata >> 16;
    uint32_t position = (uintptr_t)userdata & 0xffff;
    if (LIKELY(qt_word_block_id(p->block) == block && p->block)) {
        access_ask(vcpu, info, vaddr, (void *)(uintptr_t)qt_word_insn(position));
    } else {
        qt_producer_access(p, position, ask_flags(info) | QTRACE_ACCESS_FOREIGN, vaddr, block, 0,
                           NULL);
    }
}

/* ---- with values, with physical addresses ---- */

/* QEMU knows of 16 bytes at most, and aborts when it is asked for more. */
static void ask_value(qemu_plugin_meminfo_t info, uint32_t flags, uint64_t *word)
{
    word[0] = word[1] = 0;
    if ((flags & QTRACE_ACCESS_SIZE) > QT_WORD_VALUE_LOG2) {
        return;
    }
    qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);
    switch (value.type) {
    case QEMU_PLUGIN_MEM_VALUE_U8:
        word[0] = value.data.u8;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U16:
        word[0] = value.data.u16;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U32:
        word[0] = value.data.u32;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U64:
        word[0] = value.data.u64;
        break;
    case QEMU_PLUGIN_MEM_VALUE_U128:
        word[0] = value.data.u128.low;
        word[1] = value.data.u128.high;
        break;
    }
}

/* In QEMUs before 8.2 an access whose TLB entry is gone is described as the vCPU's last store to a
 * device, and if there was none by a null pointer, which these QEMUs would follow. */
struct old_handle {
    bool is_io, is_store;
    void *section;
};

static bool has_null_section(const struct qemu_plugin_hwaddr *handle)
{
    const struct old_handle *old = (const void *)handle;
    return qt_plugin.null_sections && old->is_io && !old->section;
}

/* A handle is good for nothing after the callback. Returns how many words there are. */
static unsigned ask_phys(qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t *words)
{
    const struct qemu_plugin_hwaddr *handle = qemu_plugin_get_hwaddr(info, vaddr);
    if (!handle || has_null_section(handle)) {
        return qt_word_put_phys(words, 0, QTRACE_PHYS_NONE);
    }
    uint32_t kind = QTRACE_PHYS_RAM;
    if (qemu_plugin_hwaddr_is_io(handle)) {
        const char *name = qemu_plugin_hwaddr_device_name(handle);
        kind = QTRACE_PHYS_IO + qt_recorder_device(qt_plugin.recorder, name);
    }
    return qt_word_put_phys(words, qemu_plugin_hwaddr_phys_addr(handle), kind);
}

static unsigned ask_more(qemu_plugin_meminfo_t info, uint32_t flags, uint64_t vaddr,
                         uint64_t *words)
{
    unsigned n = 0;
    if (qt_plugin.options.values) {
        ask_value(info, flags, words);
        n = qt_word_value_words(flags);
    }
    return n + (qt_plugin.options.phys ? ask_phys(info, vaddr, words + n) : 0);
}

/* insn and flags in their places of a word. */
static inline void push_more(struct qt_producer *p, qemu_plugin_meminfo_t info, uint64_t vaddr,
                             uint64_t insn, uint64_t flags)
{
    const bool user = !qt_plugin.system;
    uint64_t more[QT_MORE_MAX];
    unsigned n = ask_more(info, qt_word_access_flags(flags), vaddr, more);
    if (LIKELY(qt_address_fits(vaddr, user))) {
        qt_push_more(p, qt_word_access(insn, flags, vaddr, user), n, more);
    } else {
        qt_producer_access(p, qt_word_access_insn(insn), qt_word_access_flags(flags), vaddr, 0, n,
                           more);
    }
}

static void access_more(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                        void *userdata)
{
    push_more(producer_of(vcpu), info, vaddr, (uintptr_t)userdata, bits_of(info));
}

static void access_more_ask(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                            void *userdata)
{
    push_more(producer_of(vcpu), info, vaddr, (uintptr_t)userdata,
              qt_word_flags(ask_flags(info)));
}

void qt_on_access_more_careful(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                               void *userdata)
{
    struct qt_producer *p = producer_of(vcpu);
    uint32_t block = (uint64_t)(uintptr_t)userdata >> 16;
    uint32_t position = (uintptr_t)userdata & 0xffff;
    if (LIKELY(qt_word_block_id(p->block) == block && p->block)) {
        push_more(p, info, vaddr, qt_word_insn(position), qt_word_flags(ask_flags(info)));
        return;
    }
    uint32_t flags = ask_flags(info);
    uint64_t more[QT_MORE_MAX];
    unsigned n = ask_more(info, flags, vaddr, more);
    qt_producer_access(p, position, flags | QTRACE_ACCESS_FOREIGN, vaddr, block, n, more);
}

qemu_plugin_vcpu_mem_cb_t qt_choose_access(bool more)
{
    bool known = bits_are_known();
    if (more) {
        return known ? access_more : access_more_ask;
    }
    return !known ? access_ask : qt_plugin.system ? access_system : access_user;
}

/* ---- several vCPUs on one host thread ---- */

/* The stream of this index goes on. NULL: QEMU has never announced such a vCPU. */
static struct qt_producer *switch_to(unsigned int vcpu)
{
    struct qt_producer *p = producer_of(vcpu);
    if (UNLIKELY(vcpu >= QT_MAX_VCPUS || !p->recorder)) {
        return NULL;
    }
    if (qt_producer_self() != p && qt_producer_is_live(p)) {
        qt_producer_adopt(p);
        qt_event(p, QTRACE_EVENT_SYNC, 0, NULL);
    }
    return p;
}

/* What has no stream is missing where it happened. */
static void lose(uint64_t blocks, uint64_t insns, uint64_t accesses)
{
    const uint64_t args[] = {blocks, insns, accesses, 0};
    struct qt_producer *p = qt_producer_self();
    if (p && qt_producer_is_live(p)) {
        qt_event(p, QTRACE_EVENT_LOST, 4, args);
    }
}

void qt_on_block_switching(unsigned int vcpu, void *userdata)
{
    if (LIKELY(switch_to(vcpu))) {
        qt_on_block_careful(vcpu, userdata);
    } else {
        lose(1, qt_word_block_insns((uintptr_t)userdata), 0);
    }
}

void qt_on_access_switching(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                            void *userdata)
{
    if (LIKELY(switch_to(vcpu))) {
        qt_plugin.on_access_careful(vcpu, info, vaddr, userdata);
    } else {
        lose(0, 0, 1);
    }
}

void qt_on_insn(unsigned int vcpu, void *userdata)
{
    producer_of(vcpu)->own_slot = (uintptr_t)userdata;
}
