/*
 * definitions.c - a Definitions message in the making
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "definitions.h"

#include <stdlib.h>

#include "qtrace/error.h"

#define FORM_SLOTS (1u << 15)
#define NAME_SLOTS (1u << 12)

struct qt_form_slot {
    uint32_t number; /* 0 = free */
    uint32_t data, disas; /* places in their columns */
    uint8_t size, extra;
};

struct qt_name_slot {
    uint32_t number; /* 0 = free */
    uint32_t size;
    size_t place; /* in its column */
};

void qt_definitions_finish(struct qt_definitions *definitions)
{
    unsigned i;

    for (i = 0; i < QT_DEF_FIELDS; i++) {
        qt_buf_finish(&definitions->column[i]);
    }
    qt_buf_finish(&definitions->message);
    free(definitions->form);
    free(definitions->name);
    *definitions = (struct qt_definitions){0};
}

int qt_definitions_begin(struct qt_definitions *d, uint64_t first)
{
    unsigned i;

    if (d->form == NULL) {
        d->form = malloc(FORM_SLOTS * sizeof(*d->form));
    }
    if (d->name == NULL) {
        d->name = malloc(NAME_SLOTS * sizeof(*d->name));
    }
    if (d->form == NULL || d->name == NULL) {
        return QTRACE_E_NOMEM;
    }
    memset(d->form, 0, FORM_SLOTS * sizeof(*d->form));
    memset(d->name, 0, NAME_SLOTS * sizeof(*d->name));
    for (i = 0; i < QT_DEF_FIELDS; i++) {
        d->column[i].len = 0;
        d->used[i] = false;
    }
    d->first = first;
    d->n = 0;
    d->n_insns = d->n_forms = d->n_names = 0;
    d->end = d->bias = 0;
    return QTRACE_OK;
}

static size_t total(const struct qt_definitions *d)
{
    size_t sum = 0;
    unsigned i;

    for (i = 0; i < QT_DEF_FIELDS; i++) {
        sum += d->column[i].len;
    }
    return sum;
}

bool qt_definitions_full(const struct qt_definitions *definitions)
{
    return total(definitions) > QT_DEFINITIONS_SPLIT ||
           definitions->n_insns > QT_DEFINITIONS_SPLIT_INSNS;
}

/* The next number of a column. */
static int put(struct qt_definitions *d, unsigned field, uint64_t value)
{
    d->used[field] |= value != 0;
    return qt_buf_varint(&d->column[field], value);
}

static uint32_t hash(uint32_t h, const void *data, size_t n)
{
    const uint8_t *p = data;

    for (; n > 0; n--) {
        h = (h ^ *p++) * 16777619u;
    }
    return h ^ h >> 15;
}

#define HASH_START 2166136261u

static int name_number(struct qt_definitions *d, const char *name, uint32_t *number)
{
    struct qt_buf *names = &d->column[QT_DEF_NAME];
    size_t n = strlen(name);
    struct qt_name_slot *slot = &d->name[hash(HASH_START, name, n) % NAME_SLOTS];

    if (slot->number == 0 || slot->size != n ||
        memcmp(names->data + slot->place, name, n) != 0) {
        /* each name is a field of its own */
        if (qt_buf_field(names, QT_DEF_NAME, n) < 0 || qt_buf_append(names, name, n) < 0) {
            return QTRACE_E_NOMEM;
        }
        d->used[QT_DEF_NAME] = true;
        *slot = (struct qt_name_slot){++d->n_names, (uint32_t)n, names->len - n};
    }
    *number = slot->number;
    return QTRACE_OK;
}

static bool same_form(const struct qt_definitions *d, const struct qt_form_slot *slot,
                      const struct qtrace_insn *insn, const char *disas)
{
    return slot->number != 0 && slot->size == insn->size &&
           slot->extra == insn->data_size - insn->size &&
           (insn->data_size == 0 ||
            memcmp(d->column[QT_DEF_DATA].data + slot->data, insn->data, insn->data_size) == 0) &&
           strcmp((const char *)d->column[QT_DEF_DISAS].data + slot->disas, disas) == 0;
}

static int put_form(struct qt_definitions *d, const struct qtrace_insn *insn)
{
    const char *disas = insn->disas == NULL ? "" : insn->disas;
    uint32_t h = hash(hash(HASH_START, insn->data, insn->data_size), disas, strlen(disas));
    struct qt_form_slot *slot = &d->form[h % FORM_SLOTS];

    if (same_form(d, slot, insn, disas)) {
        return put(d, QT_DEF_FORM, slot->number);
    }
    *slot = (struct qt_form_slot){
        .number = ++d->n_forms,
        .data = (uint32_t)d->column[QT_DEF_DATA].len,
        .disas = (uint32_t)d->column[QT_DEF_DISAS].len,
        .size = (uint8_t)insn->size,
        .extra = (uint8_t)(insn->data_size - insn->size),
    };
    d->used[QT_DEF_SIZE] = d->used[QT_DEF_DATA] = d->used[QT_DEF_DISAS] = true;
    if (put(d, QT_DEF_FORM, 0) < 0 || put(d, QT_DEF_SIZE, slot->size) < 0 ||
        put(d, QT_DEF_EXTRA, slot->extra) < 0 ||
        qt_buf_append(&d->column[QT_DEF_DATA], insn->data, insn->data_size) < 0 ||
        qt_buf_append(&d->column[QT_DEF_DISAS], disas, strlen(disas) + 1) < 0) {
        return QTRACE_E_NOMEM;
    }
    return QTRACE_OK;
}

static int put_insn(struct qt_definitions *d, const struct qtrace_insn *insn, uint64_t expected)
{
    uint32_t symbol = 0;
    uint64_t bias;

    if ((insn->symbol != NULL && name_number(d, insn->symbol, &symbol) < 0) ||
        put(d, QT_DEF_SYMBOL, symbol) < 0 ||
        put(d, QT_DEF_SKIP, qt_zigzag64(insn->vaddr - expected)) < 0 ||
        put(d, QT_DEF_NO_HADDR, !insn->has_haddr) < 0 || put_form(d, insn) < 0) {
        return QTRACE_E_NOMEM;
    }
    d->n_insns++;
    if (!insn->has_haddr) {
        return QTRACE_OK;
    }
    bias = insn->haddr - insn->vaddr - d->bias;
    d->bias += bias;
    return put(d, QT_DEF_HADDR, qt_zigzag64(bias));
}

bool qt_definitions_accept(const struct qtrace_translation *t)
{
    const struct qtrace_insn *insn = t->insn;
    size_t size = QT_DEFINITIONS_SPLIT; /* in the message before it */
    uint32_t i;

    if (t->n_insns == 0 || t->n_insns > QTRACE_MAX_BLOCK_INSNS) {
        return false;
    }
    for (i = 0; i < t->n_insns; i++) {
        if (insn[i].data_size < insn[i].size ||
            insn[i].data_size > QTRACE_MAX_INSN_BYTES) {
            return false;
        }
        size += 4 * QT_VARINT_MAX + insn[i].data_size;
        size += insn[i].disas == NULL ? 1 : strlen(insn[i].disas) + 1;
        size += insn[i].symbol == NULL ? 0 : strlen(insn[i].symbol) + 2 * QT_VARINT_MAX;
        if (size > QT_DEFINITIONS_MAX - 1024) {
            return false;
        }
    }
    return true;
}

static int put_contents(struct qt_definitions *d, const struct qtrace_translation *translation)
{
    uint64_t expected = translation->vaddr;
    uint32_t i;
    int ret = put(d, QT_DEF_INSNS, translation->n_insns);

    if (ret == QTRACE_OK) {
        ret = put(d, QT_DEF_VADDR, qt_zigzag64(translation->vaddr - d->end));
    }
    for (i = 0; ret == QTRACE_OK && i < translation->n_insns; i++) {
        ret = put_insn(d, &translation->insn[i], expected);
        expected = translation->insn[i].vaddr + translation->insn[i].size;
    }
    d->end = expected;
    return ret;
}

int qt_definitions_add(struct qt_definitions *d, const struct qtrace_translation *translation,
                       uint32_t same)
{
    d->n++;
    if (put(d, QT_DEF_SAME, same) < 0) {
        return QTRACE_E_NOMEM;
    }
    if (same == 0) {
        return put_contents(d, translation);
    }
    d->n_insns++; /* counts as one */
    return QTRACE_OK;
}

int qt_definitions_end(struct qt_definitions *d)
{
    struct qt_buf *out = &d->message;
    unsigned i;

    out->len = 0;
    if (d->first != 0 && (qt_buf_varint(out, QT_TAG(QT_DEF_FIRST_ID, QT_WIRE_VARINT)) < 0 ||
                          qt_buf_varint(out, d->first) < 0)) {
        return QTRACE_E_NOMEM;
    }
    for (i = QT_DEF_INSNS; i < QT_DEF_FIELDS; i++) {
        const struct qt_buf *column = &d->column[i];

        /* a column of zeros alone is left out where that cannot be taken for an empty one */
        bool wanted = d->used[i] || i == QT_DEF_FORM || i == QT_DEF_VADDR || i == QT_DEF_HADDR;
        if (column->len == 0 || !wanted) {
            continue;
        }
        if (i != QT_DEF_NAME && qt_buf_field(out, i, column->len) < 0) {
            return QTRACE_E_NOMEM;
        }
        if (qt_buf_append(out, column->data, column->len) < 0) {
            return QTRACE_E_NOMEM;
        }
    }
    return QTRACE_OK;
}
