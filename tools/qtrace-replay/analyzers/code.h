/*
 * code.h - the instructions of a block that is translated, for isa.h
 *
 * For analyzers, after analyzer.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_CODE_H
#define ANALYZER_CODE_H

#include "isa/isa.h"

/* All of them, to be freed with code_free. with_text: with their disassembly. */
static inline GArray *code_of_block(const struct qemu_plugin_tb *tb, bool with_text)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    GArray *list = g_array_sized_new(FALSE, TRUE, sizeof(struct isa_code), (guint)n);

    g_array_set_size(list, (guint)n);
    for (size_t i = 0; i < n; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        struct isa_code *code = &g_array_index(list, struct isa_code, i);

        code->vaddr = qemu_plugin_insn_vaddr(insn);
        code->size = analyzer_insn_bytes(insn, code->bytes, sizeof(code->bytes));
        code->text = with_text ? qemu_plugin_insn_disas(insn) : NULL;
    }
    return list;
}

static inline void code_free(GArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        g_free(g_array_index(list, struct isa_code, i).text);
    }
    g_array_free(list, TRUE);
}

#endif
