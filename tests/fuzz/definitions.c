/*
 * definitions.c - fuzz target: a Definitions message
 *
 * Input: how many translations there are to be, and the message. What loads is within the limits,
 * and can be packed and loaded again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "definitions.h"

#include <string.h>

#include "fuzz.h"

static void check_insn(const struct qtrace_insn *insn)
{
    MUST(insn->size >= 1 && insn->size <= insn->data_size);
    MUST(insn->data_size <= QTRACE_MAX_INSN_BYTES);
    MUST(insn->disas == NULL || strlen(insn->disas) > 0);
    MUST(insn->symbol == NULL || strlen(insn->symbol) < (1u << 24));
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void compare(const struct qtrace_translation *a, const struct qtrace_translation *b)
{
    uint32_t i;

    MUST(b != NULL && a->vaddr == b->vaddr && a->n_insns == b->n_insns);
    for (i = 0; i < a->n_insns; i++) {
        const struct qtrace_insn *x = &a->insn[i], *y = &b->insn[i];

        MUST(x->vaddr == y->vaddr && x->size == y->size && x->data_size == y->data_size);
        MUST(x->has_haddr == y->has_haddr && x->haddr == y->haddr);
        MUST(memcmp(x->data, y->data, x->data_size) == 0);
        MUST(same_text(x->disas, y->disas) && same_text(x->symbol, y->symbol));
    }
}

static void round_trip(const struct qt_dictionary *d, uint64_t n)
{
    struct qt_definitions pack = {0};
    struct qt_dictionary again = {0};
    uint32_t id;

    MUST(qt_definitions_begin(&pack, 0) == 0);
    for (id = 0; id < n; id++) {
        MUST(qt_definitions_add(&pack, qt_dictionary_get(d, id), 0) == 0);
    }
    MUST(qt_definitions_end(&pack) == 0);
    MUST(qt_dictionary_load(&again, pack.message.data, pack.message.len, 0, n) == 0);
    for (id = 0; id < n; id++) {
        compare(qt_dictionary_get(d, id), qt_dictionary_get(&again, id));
    }
    qt_definitions_finish(&pack);
    qt_dictionary_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qt_dictionary d = {0};
    uint64_t n = size > 0 ? data[0] % 8 : 0;
    uint32_t id, i;

    if (size > 0 && qt_dictionary_load(&d, data + 1, size - 1, 0, n) == 0) {
        for (id = 0; id < n; id++) {
            const struct qtrace_translation *t = qt_dictionary_get(&d, id);

            MUST(t != NULL && t->n_insns >= 1 && t->n_insns <= QTRACE_MAX_BLOCK_INSNS);
            for (i = 0; i < t->n_insns; i++) {
                check_insn(&t->insn[i]);
            }
        }
        round_trip(&d, n);
    }
    qt_dictionary_finish(&d);
    return 0;
}
