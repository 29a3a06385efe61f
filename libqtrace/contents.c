/*
 * contents.c - which translation said the same before?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "contents.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "qtrace/error.h"

#define FIRST_SLOTS 1024

void qt_contents_finish(struct qt_contents *contents)
{
    if (contents->checksum != NULL) {
        g_checksum_free(contents->checksum);
    }
    free(contents->slot);
    *contents = (struct qt_contents){0};
}

static void add_text(GChecksum *sum, const char *text)
{
    /* (none and empty differ) */
    if (text != NULL) {
        g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text) + 1);
    }
    g_checksum_update(sum, (const guchar *)"\xff", 1);
}

static void add_insn(GChecksum *sum, const struct qtrace_insn *insn)
{
    uint8_t head[8 + 8 + 2 + 2 + 1], *p = head;

    p = qt_put_le64(p, insn->vaddr);
    p = qt_put_le64(p, insn->has_haddr ? insn->haddr : 0);
    p = qt_put_le16(p, insn->size);
    p = qt_put_le16(p, insn->data_size);
    *p++ = insn->has_haddr;
    g_checksum_update(sum, head, p - head);
    g_checksum_update(sum, insn->data, insn->data_size);
    add_text(sum, insn->disas);
    add_text(sum, insn->symbol);
}

static void digest(struct qt_contents *c, const struct qtrace_translation *t, uint8_t *out)
{
    uint8_t head[8 + 4], all[32];
    gsize size = sizeof(all);
    uint32_t i;

    g_checksum_reset(c->checksum);
    qt_put_le32(qt_put_le64(head, t->vaddr), t->n_insns);
    g_checksum_update(c->checksum, head, sizeof(head));
    for (i = 0; i < t->n_insns; i++) {
        add_insn(c->checksum, &t->insn[i]);
    }
    g_checksum_get_digest(c->checksum, all, &size);
    memcpy(out, all, QT_DIGEST_BYTES);
}

static struct qt_content *find(const struct qt_contents *c, const uint8_t *sum)
{
    size_t i = qt_get_le64(sum) & (c->n_slots - 1);

    while (c->slot[i].used && memcmp(c->slot[i].digest, sum, QT_DIGEST_BYTES) != 0) {
        i = (i + 1) & (c->n_slots - 1);
    }
    return &c->slot[i];
}

static int grow(struct qt_contents *c)
{
    struct qt_contents bigger = {.checksum = c->checksum, .n_used = c->n_used};
    size_t i;

    bigger.n_slots = c->n_slots == 0 ? FIRST_SLOTS : 2 * c->n_slots;
    bigger.slot = calloc(bigger.n_slots, sizeof(*bigger.slot));
    if (bigger.slot == NULL) {
        return QTRACE_E_NOMEM;
    }
    for (i = 0; i < c->n_slots; i++) {
        if (c->slot[i].used) {
            *find(&bigger, c->slot[i].digest) = c->slot[i];
        }
    }
    free(c->slot);
    *c = bigger;
    return QTRACE_OK;
}

int qt_contents_first(struct qt_contents *contents, const struct qtrace_translation *translation,
                      uint32_t *id)
{
    uint8_t sum[QT_DIGEST_BYTES];
    struct qt_content *slot;

    if (contents->checksum == NULL) {
        contents->checksum = g_checksum_new(G_CHECKSUM_SHA256);
    }
    if (2 * contents->n_used >= contents->n_slots && grow(contents) < 0) {
        return QTRACE_E_NOMEM;
    }
    digest(contents, translation, sum);
    slot = find(contents, sum);
    if (!slot->used) {
        memcpy(slot->digest, sum, QT_DIGEST_BYTES);
        slot->used = true;
        slot->id = translation->id;
        contents->n_used++;
    }
    *id = slot->id;
    return QTRACE_OK;
}
