/*
 * blocks.c - --blocks: every translation and its instructions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

static void print_insn(FILE *out, const struct qtrace_insn *insn)
{
    char hex[2 * QTRACE_MAX_INSN_BYTES + 1] = "";
    unsigned n = MIN(insn->size, insn->data_size);

    for (unsigned i = 0; i < n && i < QTRACE_MAX_INSN_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", insn->data[i]);
    }
    if (insn->disas == NULL) {
        fprintf(out, "    0x%" PRIx64 ": %s\n", insn->vaddr, hex);
    } else {
        g_autofree char *disas = text_safe(insn->disas);
        fprintf(out, "    0x%" PRIx64 ": %-16s  %s\n", insn->vaddr, hex, disas);
    }
}

static void print_translation(FILE *out, const struct qtrace_translation *t)
{
    fprintf(out, "id=%u vaddr=0x%" PRIx64 " insns=%u", t->id, t->vaddr, t->n_insns);
    if (t->n_insns > 0 && t->insn[0].symbol != NULL) {
        g_autofree char *symbol = text_safe(t->insn[0].symbol);
        fprintf(out, " symbol=%s", symbol);
    }
    fputc('\n', out);
    for (uint32_t i = 0; i < t->n_insns; i++) {
        print_insn(out, &t->insn[i]);
    }
}

void dump_blocks(struct dump *dump)
{
    size_t n = qtrace_reader_n_translations(dump->reader);

    for (size_t id = 0; id < n && !ferror(dump->out); id++) {
        const struct qtrace_translation *t =
            qtrace_reader_translation(dump->reader, (uint32_t)id);
        if (t == NULL) {
            dump_message(dump->path, UINT64_MAX, "the definition of block id %zu is missing", id);
            dump_raise(dump, STATUS_DAMAGED);
        } else {
            print_translation(dump->out, t);
        }
    }
}
