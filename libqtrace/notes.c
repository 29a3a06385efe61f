/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notes.h"

#include <stdlib.h>

/* A note: its kind and size, then its bytes; it never straddles the end of the circle. */
enum kind { NOTE_PAD, NOTE_TRANSLATION, NOTE_RUN };

struct note {
    uint32_t kind, size; /* of what follows, without the padding to eight bytes */
};

struct noted_insn {
    uint64_t vaddr, haddr;
    uint32_t disas, symbol; /* bytes with the zero; 0 = none */
    uint16_t size, data_size;
    uint8_t has_haddr, rest[3];
};

struct noted_translation {
    uint64_t vaddr;
    uint32_t id, n_insns;
    /* insns; then of each: data, disas, symbol */
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static size_t circle_size(const struct qt_notes_place *place)
{
    return place->n_units * QT_LIVE_UNIT;
}

bool qt_notes_init(struct qt_live *live)
{
    struct qt_notes_place *place = &live->header->notes;
    uint8_t *circle = qt_live_alloc(live, QT_NOTES_SIZE);

    if (circle == NULL || !qt_live_populate(circle, QT_NOTES_SIZE)) {
        return false;
    }
    place->unit = (uint32_t)((size_t)(circle - live->arena) / QT_LIVE_UNIT);
    place->n_units = QT_NOTES_SIZE / QT_LIVE_UNIT;
    return true;
}

/* ---- writing ---- */

/* Room for a note; NULL: there is none now. It counts from qt_put on. */
static uint8_t *begin(struct qt_live *live, size_t size, uint64_t *head)
{
    struct qt_notes_place *place = &live->header->notes;
    uint8_t *circle = qt_live_unit(live, place->unit);
    const size_t all = circle_size(place), need = sizeof(struct note) + padded(size);
    const uint64_t tail = atomic_load_explicit(&place->tail, memory_order_acquire);
    uint64_t at = atomic_load_explicit(&place->head, memory_order_relaxed);
    const size_t left = all - at % all, pad = need > left ? left : 0;

    if (need > all / 2 || at + pad + need - tail > all) {
        return NULL;
    }
    if (pad > 0) {
        const struct note note = {NOTE_PAD, (uint32_t)(pad - sizeof(note))};

        memcpy(circle + at % all, &note, sizeof(note));
        at += pad;
    }
    *head = at + need;
    return circle + at % all;
}

static void commit(struct qt_live *live, uint64_t head)
{
    atomic_store_explicit(&live->header->notes.head, head, memory_order_release);
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static size_t noted_size(const struct qtrace_translation *t)
{
    size_t size = sizeof(struct noted_translation);
    uint32_t i;

    for (i = 0; i < t->n_insns; i++) {
        size += sizeof(struct noted_insn) + t->insn[i].data_size + text_size(t->insn[i].disas) +
                text_size(t->insn[i].symbol);
    }
    return size;
}

static uint8_t *put(uint8_t *p, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(p, data, size);
    }
    return p + size;
}

static uint8_t *put_insn(uint8_t *p, const struct qtrace_insn *insn)
{
    const struct noted_insn n = {
        .vaddr = insn->vaddr,
        .haddr = insn->haddr,
        .disas = (uint32_t)text_size(insn->disas),
        .symbol = (uint32_t)text_size(insn->symbol),
        .size = insn->size,
        .data_size = insn->data_size,
        .has_haddr = insn->has_haddr,
    };

    return put(p, &n, sizeof(n));
}

bool qt_notes_define(struct qt_live *live, const struct qtrace_translation *t)
{
    const struct note note = {NOTE_TRANSLATION, (uint32_t)noted_size(t)};
    const struct noted_translation n = {t->vaddr, t->id, t->n_insns};
    uint64_t head;
    uint8_t *p = begin(live, note.size, &head);
    uint32_t i;

    if (p == NULL) {
        return false;
    }
    p = put(put(p, &note, sizeof(note)), &n, sizeof(n));
    for (i = 0; i < t->n_insns; i++) {
        p = put_insn(p, &t->insn[i]);
    }
    for (i = 0; i < t->n_insns; i++) {
        const struct qtrace_insn *insn = &t->insn[i];

        p = put(p, insn->data, insn->data_size);
        p = put(p, insn->disas, text_size(insn->disas));
        p = put(p, insn->symbol, text_size(insn->symbol));
    }
    commit(live, head);
    return true;
}

bool qt_notes_run(struct qt_live *live, const void *message, size_t size)
{
    const struct note note = {NOTE_RUN, (uint32_t)size};
    uint64_t head;
    uint8_t *p = begin(live, size, &head);

    if (p == NULL) {
        return false;
    }
    put(put(p, &note, sizeof(note)), message, size);
    commit(live, head);
    return true;
}

uint64_t qt_notes_head(const struct qt_live *live)
{
    return atomic_load_explicit(&live->header->notes.head, memory_order_acquire);
}

void qt_notes_forget(struct qt_live *live, uint64_t head)
{
    atomic_store_explicit(&live->header->notes.tail, head, memory_order_release);
}

bool qt_notes_crowded(const struct qt_live *live)
{
    const struct qt_notes_place *place = &live->header->notes;

    return qt_notes_head(live) - atomic_load(&place->tail) > circle_size(place) / 2;
}

/* ---- reading: the file is not trusted ---- */

static bool take(struct qt_cursor *c, void *to, size_t size)
{
    if (size > qt_cursor_left(c)) {
        return false;
    }
    memcpy(to, c->p, size);
    c->p += size;
    return true;
}

static bool take_bytes(struct qt_cursor *c, size_t size, const uint8_t **bytes)
{
    if (size > qt_cursor_left(c)) {
        return false;
    }
    *bytes = c->p;
    c->p += size;
    return true;
}

static bool take_text(struct qt_cursor *c, size_t size, const char **text)
{
    const uint8_t *bytes;

    if (size == 0) {
        *text = NULL;
        return true;
    }
    if (!take_bytes(c, size, &bytes) || memchr(bytes, '\0', size) != bytes + size - 1) {
        return false;
    }
    *text = (const char *)bytes;
    return true;
}

static bool take_insn(struct qt_cursor *c, struct qt_cursor *rest, struct qtrace_insn *insn)
{
    struct noted_insn n;

    if (!take(c, &n, sizeof(n)) || n.size > n.data_size) {
        return false;
    }
    *insn = (struct qtrace_insn){.vaddr = n.vaddr, .haddr = n.haddr, .size = n.size,
                                 .data_size = n.data_size, .has_haddr = n.has_haddr};
    return take_bytes(rest, n.data_size, &insn->data) && take_text(rest, n.disas, &insn->disas) &&
           take_text(rest, n.symbol, &insn->symbol);
}

static int read_translation(struct qt_cursor c, const struct qt_notes_taker *taker)
{
    struct qtrace_insn insn[QTRACE_MAX_BLOCK_INSNS];
    struct noted_translation n;
    struct qt_cursor rest;
    uint32_t i;

    if (!take(&c, &n, sizeof(n)) || n.n_insns == 0 || n.n_insns > QTRACE_MAX_BLOCK_INSNS ||
        n.n_insns * sizeof(struct noted_insn) > qt_cursor_left(&c)) {
        return QTRACE_E_DAMAGED;
    }
    rest = qt_cursor(c.p, qt_cursor_left(&c));
    rest.p += n.n_insns * sizeof(struct noted_insn);
    for (i = 0; i < n.n_insns; i++) {
        if (!take_insn(&c, &rest, &insn[i])) {
            return QTRACE_E_DAMAGED;
        }
    }
    return taker->translation(taker->data, &(struct qtrace_translation){.id = n.id,
                                                                        .n_insns = n.n_insns,
                                                                        .vaddr = n.vaddr,
                                                                        .insn = insn});
}

static int read_note(const struct note *note, const uint8_t *bytes,
                     const struct qt_notes_taker *taker)
{
    switch (note->kind) {
    case NOTE_TRANSLATION:
        return read_translation(qt_cursor(bytes, note->size), taker);
    case NOTE_RUN:
        return taker->run(taker->data, bytes, note->size);
    default:
        return QTRACE_OK;
    }
}

int qt_notes_read(const struct qt_live *live, const struct qt_notes_taker *taker)
{
    const struct qt_notes_place *place = &live->header->notes;
    const uint8_t *circle = qt_live_unit(live, place->unit);
    const size_t all = circle_size(place);
    const uint64_t head = place->head;
    uint64_t at = place->tail;
    int ret = QTRACE_OK;

    if (circle == NULL || all == 0 || head - at > all) {
        return QTRACE_OK;
    }
    while (ret == QTRACE_OK && at < head) {
        struct note note;

        if (head - at < sizeof(note) || all - at % all < sizeof(note)) {
            return QTRACE_E_DAMAGED;
        }
        memcpy(&note, circle + at % all, sizeof(note));
        if (note.size > all - at % all - sizeof(note)) {
            return QTRACE_E_DAMAGED;
        }
        ret = read_note(&note, circle + at % all + sizeof(note), taker);
        at += sizeof(note) + padded(note.size);
    }
    return ret;
}
