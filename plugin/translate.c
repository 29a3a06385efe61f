/*
 * translate.c - describe a new translation, and instrument it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "callbacks.h"

/* Plugins of API 1 and 2 read instruction bytes through a pointer, some of them always four:
 * behind a short instruction they see what an older translation left there. Replay must show
 * them the same, so it is recorded. The buffer behind the pointer has 16 bytes at least. */
#define SEEN_BYTES 4

struct sizes {
    size_t bytes, text;
};

/* Texts of an instruction: QEMU looks them up anew for each question. */
struct texts {
    char *disas; /* to be freed */
    const char *symbol;
};

/* Linux keeps this page for old programs that call the kernel there. QEMU has no bytes of it: 7.2
 * says that the instruction is empty, and 10.0 crashes when it is asked for them. */
#define VSYSCALL_PAGE 0xffffffffff600000u

static bool has_bytes(const struct qemu_plugin_insn *insn)
{
    return qt_plugin.system || qemu_plugin_insn_vaddr(insn) < VSYSCALL_PAGE;
}

static size_t insn_bytes(const struct qemu_plugin_insn *insn)
{
    size_t size = qemu_plugin_insn_size(insn);
    return qt_plugin.api < 3 && size < SEEN_BYTES && has_bytes(insn) ? SEEN_BYTES : size;
}

static void copy_data(const struct qemu_plugin_insn *insn, uint8_t *to, size_t size)
{
    if (!has_bytes(insn)) {
        memset(to, 0, size);
        return;
    }
    uintptr_t result = qemu_plugin_insn_data(insn, to, size);
    if (qt_plugin.api < 3) {
        memcpy(to, (const void *)result, size);
    }
}

static char *disassemble(const struct qemu_plugin_insn *insn)
{
    uint8_t bytes[QTRACE_MAX_INSN_BYTES];
    size_t size = MIN(qemu_plugin_insn_size(insn), sizeof(bytes));
    if (!qt_plugin.options.disas) {
        return NULL;
    }
    if (!has_bytes(insn)) {
        return g_strdup("");
    }
    copy_data(insn, bytes, size);
    return qt_disas(insn, bytes, size);
}

static struct sizes measure(const struct qemu_plugin_tb *tb, size_t n, struct texts *texts)
{
    struct sizes sizes = {0, 0};
    for (size_t i = 0; i < n; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        texts[i] = (struct texts){disassemble(insn), qemu_plugin_insn_symbol(insn)};
        sizes.bytes += insn_bytes(insn);
        sizes.text += texts[i].disas ? strlen(texts[i].disas) + 1 : 0;
        sizes.text += texts[i].symbol ? strlen(texts[i].symbol) + 1 : 0;
    }
    return sizes;
}

static const char *add_text(char **end, const char *text)
{
    if (!text) {
        return NULL;
    }
    char *start = *end;
    *end = stpcpy(start, text) + 1;
    return start;
}

static void describe_insn(struct qtrace_insn *to, const struct qemu_plugin_insn *insn,
                          const struct texts *texts, uint8_t **bytes, char **text)
{
    to->vaddr = qemu_plugin_insn_vaddr(insn);
    to->haddr = (uintptr_t)qemu_plugin_insn_haddr(insn);
    to->has_haddr = true;
    to->size = qemu_plugin_insn_size(insn);
    to->data_size = insn_bytes(insn);
    to->data = *bytes;
    copy_data(insn, *bytes, to->data_size);
    *bytes += to->data_size;
    to->disas = add_text(text, texts->disas);
    to->symbol = add_text(text, texts->symbol);
}

/* One piece of memory with everything; NULL without any. */
static struct qtrace_translation *describe(const struct qemu_plugin_tb *tb, size_t n)
{
    struct texts texts[QTRACE_MAX_BLOCK_INSNS];
    struct sizes sizes = measure(tb, n, texts);
    struct qtrace_translation *t = malloc(sizeof(*t) + n * sizeof(struct qtrace_insn) +
                                          sizes.bytes + sizes.text);
    if (t) {
        struct qtrace_insn *insn = (struct qtrace_insn *)(t + 1);
        uint8_t *bytes = (uint8_t *)(insn + n);
        char *text = (char *)bytes + sizes.bytes;
        t->vaddr = qemu_plugin_tb_vaddr(tb);
        t->n_insns = n;
        t->insn = insn;
        for (size_t i = 0; i < n; i++) {
            describe_insn(&insn[i], qemu_plugin_tb_get_insn(tb, i), &texts[i], &bytes, &text);
        }
    }
    for (size_t i = 0; i < n; i++) {
        g_free(texts[i].disas);
    }
    return t;
}

static void instrument_progress(struct qemu_plugin_insn *insn, uint64_t behind)
{
    if (qt_plugin.api >= 2 && !qt_plugin.callbacks_per_insn) {
        qemu_plugin_u64 entry = {qt_plugin.progress, 0};
        bool store = qt_plugin.api >= 3;
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, store ? QEMU_PLUGIN_INLINE_STORE_U64 : QEMU_PLUGIN_INLINE_ADD_U64, entry,
            store ? behind : (uint64_t)-1);
    } else if (qt_plugin.callbacks_per_insn) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, qt_on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                               (void *)(uintptr_t)behind);
    } else {
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   qt_plugin_shared_slot, (uint64_t)-1);
    }
}

static qemu_plugin_vcpu_udata_cb_t block_callback(void)
{
    if (qt_plugin.one_thread) {
        return qt_on_block_switching;
    }
    if (qt_plugin.api >= 3 || qt_plugin.callbacks_per_insn) {
        return qt_plugin.careful ? qt_on_block_careful : qt_on_block;
    }
    return qt_plugin.careful ? qt_on_block_careful_counting : qt_on_block_counting;
}

#define NO_POINT -1

/* What each instruction is to note of its block's progress: how many are behind it. Only those
 * that can leave the block need to, and the one behind the last of them, where all of the block is
 * as good as done. What counts instead must see every instruction. */
static void choose_points(const struct qtrace_translation *t, int *left)
{
    int n = (int)t->n_insns, next = 0;
    for (int i = 0; i < n; i++) {
        bool point = qt_plugin.api < 3 || qt_can_leave(t->insn[i].data, t->insn[i].size);
        left[i] = point ? n - 1 - i : NO_POINT;
        next = point ? i + 1 : next;
    }
    if (next < n) {
        left[next] = 0;
    }
}

static qemu_plugin_vcpu_mem_cb_t access_callback(bool careful)
{
    if (qt_plugin.one_thread) {
        return qt_on_access_switching;
    }
    return careful ? qt_plugin.on_access_careful : qt_plugin.on_access;
}

static void instrument(struct qemu_plugin_tb *tb, uint32_t id, size_t n, const int *left)
{
    /* Longer blocks are never executed for their memory callbacks alone. But in QEMU 7.2 the memory
     * callbacks of an instruction that ends its block in a helper stay in force: what the machine
     * itself accesses for an interrupt, before or within any other block, is told to them. */
    bool careful = qt_plugin.careful && (n <= 2 || qt_plugin.api < 2 || qt_plugin.one_thread);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, block_callback(), QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)qt_word_block(id, n));
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (left[i] != NO_POINT) {
            instrument_progress(insn, left[i]);
        }
        if (qt_plugin.options.mem) {
            qemu_plugin_register_vcpu_mem_cb(
                insn, access_callback(careful), QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                careful ? qt_insn_name(id, i) : (void *)(uintptr_t)qt_word_insn(i));
        }
    }
}

static void tell_run(void)
{
    if (!__atomic_exchange_n(&qt_plugin.run_told, true, __ATOMIC_RELAXED)) {
        qt_find_one_thread();
        qt_facts_guest(&qt_plugin.run);
        qt_recorder_run(qt_plugin.recorder, &qt_plugin.run);
    }
}

static void translate(struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (n == 0 || n > QTRACE_MAX_BLOCK_INSNS) {
        return;
    }
    tell_run();
    struct qtrace_translation *translation = describe(tb, n);
    if (!translation) {
        return;
    }
    int left[QTRACE_MAX_BLOCK_INSNS];
    choose_points(translation, left);
    uint32_t id = qt_recorder_define(qt_plugin.recorder, translation);
    if (id != UINT32_MAX) {
        instrument(tb, id, n, left);
    }
}

void qt_translate_v1(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    translate(tb);
}

void qt_translate_v7(struct qemu_plugin_tb *tb, void *userdata)
{
    (void)userdata;
    translate(tb);
}
