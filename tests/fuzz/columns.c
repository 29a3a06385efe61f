/*
 * columns.c - fuzz target: the columns of a frame
 *
 * Input: table bits and which columns are selected, rows, whether there are values, then for each
 * column its size and its bytes. What decodes as a whole must encode again, and decode to the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "columns.h"

#include <string.h>

#include "encoder.h"
#include "fuzz.h"

#define N_IDS QT_LENGTH_PAGE

static uint32_t take16(struct qt_cursor *c)
{
    uint32_t v = 0;

    if (qt_cursor_left(c) >= 2) {
        v = qt_get_le16(c->p);
        c->p += 2;
    }
    return v;
}

static struct qt_batch *new_batch(struct qt_cursor *c)
{
    struct qt_batch_size size = {take16(c) % 5000, take16(c) % 5000, take16(c) % 100,
                                 take16(c) % 2, take16(c) % 2};
    struct qt_batch *b = qt_batch_new(&size);

    MUST(b != NULL);
    return b;
}

static void take_columns(struct qt_cursor *c, struct qt_column_bytes *bytes)
{
    unsigned id;

    for (id = 1; id < QT_COLUMNS; id++) {
        size_t size = take16(c);

        bytes->size[id] = size < qt_cursor_left(c) ? size : qt_cursor_left(c);
        bytes->data[id] = c->p;
        c->p += bytes->size[id];
    }
    /* each entry has two bytes at least: that is what the frame's message is checked for */
    bytes->rows[QTRACE_COLUMN_STARTED] = bytes->size[QTRACE_COLUMN_STARTED] / 2;
    bytes->rows[QTRACE_COLUMN_DEVICE] = bytes->size[QTRACE_COLUMN_DEVICE] / 4;
}

static struct qt_lengths some_lengths(void)
{
    static uint16_t length[N_IDS], *page[] = {length};
    uint32_t i;

    for (i = 0; i < N_IDS; i++) {
        length[i] = (uint16_t)(i % 7 == 3 ? 0 : 1 + i % 40);
    }
    return (struct qt_lengths){page, 1};
}

static void compare(const struct qtrace_batch *a, const struct qtrace_batch *b)
{
    size_t blocks = a->n_blocks, accesses = a->n_accesses;

    MUST(a->n_insns == b->n_insns && a->access_begin == b->access_begin);
    MUST(memcmp(a->block, b->block, blocks * 4) == 0);
    MUST(memcmp(a->started, b->started, blocks * 2) == 0);
    MUST(memcmp(a->access_end, b->access_end, blocks * 4) == 0);
    MUST(memcmp(a->vaddr, b->vaddr, accesses * 8) == 0);
    MUST(memcmp(a->insn, b->insn, accesses * 2) == 0);
    MUST(memcmp(a->flags, b->flags, accesses) == 0);
    MUST(a->n_foreign == b->n_foreign);
    MUST(a->n_foreign == 0 || memcmp(a->foreign, b->foreign, a->n_foreign * 8) == 0);
    if (accesses > 0 && a->value != NULL) {
        MUST(a->value_max == b->value_max && a->n_wide == b->n_wide);
        MUST(memcmp(a->value, b->value, accesses * 8) == 0);
        MUST(a->n_wide == 0 || memcmp(a->wide, b->wide, a->n_wide * sizeof(*a->wide)) == 0);
    }
    if (accesses > 0 && a->phys != NULL) {
        MUST(memcmp(a->phys, b->phys, accesses * 8) == 0 && a->n_devices == b->n_devices);
        MUST(memcmp(a->phys_kind, b->phys_kind, accesses * 2) == 0);
        for (uint32_t i = 0; i < a->n_devices; i++) {
            MUST(strcmp(a->device[i].name, b->device[i].name) == 0);
        }
    }
}

/* An event says more than its arguments; a batch from a decoder is all that is compared. */
static void round_trip(const struct qtrace_batch *batch, const struct qt_lengths *lengths)
{
    struct qt_encoder e = {0};
    struct qt_predictor p = {0};
    struct qt_values values = {0};
    struct qt_phys phys = {0};
    struct qt_batch_size size = {batch->n_blocks, batch->n_accesses, batch->n_events,
                                 batch->value != NULL, batch->phys != NULL};
    struct qt_batch *again = qt_batch_new(&size);
    struct qtrace_batch *released;
    struct qt_column_bytes bytes = {0};
    const char *why;
    unsigned id;

    MUST(again != NULL);
    MUST(qt_encoder_batch(&e, batch, lengths, &why) == 0);
    for (id = 1; id < QT_COLUMNS; id++) {
        bytes.data[id] = e.column[id].data;
        bytes.size[id] = e.column[id].len;
        bytes.rows[id] = e.column_rows[id];
    }
    bytes.bits = e.predictor.bits;
    bytes.select = QTRACE_SELECT_ALL;
    MUST(qt_columns_decode(&p, &values, &phys, again, &bytes, lengths, &why) == 0);
    compare(batch, &again->batch);
    released = &again->batch;
    qtrace_batch_free(&released);
    qt_predictor_finish(&p);
    qt_values_finish(&values);
    qt_phys_finish(&phys);
    qt_encoder_finish(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct qt_predictor p;
    static struct qt_values values;
    static struct qt_phys phys;
    struct qt_cursor c = qt_cursor(data, size);
    struct qt_lengths lengths = some_lengths();
    static const unsigned selections[] = {QTRACE_SELECT_ALL, QTRACE_SELECT_ADDRESSES,
                                          QTRACE_SELECT_ACCESSES};
    unsigned how = take16(&c);
    struct qt_column_bytes bytes = {.bits = QT_BITS_MIN + how % 2,
                                    .select = selections[how / 2 % 3]};
    struct qt_batch *b = new_batch(&c);
    struct qtrace_batch *batch = &b->batch;
    const char *why;

    take_columns(&c, &bytes);
    if (qt_columns_decode(&p, &values, &phys, b, &bytes, &lengths, &why) == 0 &&
        bytes.select == QTRACE_SELECT_ALL) {
        round_trip(batch, &lengths);
    }
    qtrace_batch_free(&batch);
    return 0;
}
