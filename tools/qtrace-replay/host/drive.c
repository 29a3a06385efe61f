/*
 * drive.c - read as much of the trace as the plugins need
 *
 * What they need is known bit by bit, as they register on one block after the other. So reading
 * begins with events alone. When more is needed it begins again, and what has been delivered is
 * left out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

/* Threads that read ahead: one for each processor but that of the plugins, whose thread helps when
 * it would have to wait. More than this are ahead of any plugin. */
#define MAX_AHEAD 3

/* Ordinals up to which a stream has been delivered. */
struct delivered {
    uint64_t block, access, event;
    unsigned gaps, gaps_left; /* delivered; of these, still to be left out */
};

static GArray *streams; /* struct delivered */

static struct delivered *delivered_of(uint32_t stream)
{
    return host_by_stream(&streams, sizeof(struct delivered), stream);
}

unsigned host_selection(void)
{
    unsigned select = QTRACE_SELECT_EVENTS | QTRACE_SELECT_CHECK;

    if (host.needs & HOST_NEEDS_ORDER) {
        select |= QTRACE_SELECT_BLOCKS;
        select |= host.needs & HOST_NEEDS_ACCESSES ? QTRACE_SELECT_ACCESSES : 0;
        select |= host.needs & HOST_NEEDS_ADDRESSES ? QTRACE_SELECT_VALUES | QTRACE_SELECT_PHYS : 0;
    }
    return select;
}

/* Leave out of an item what was delivered before. false: nothing is left. */
static bool is_new(struct qtrace_item *item)
{
    struct delivered *d = delivered_of(item->stream);
    const struct qtrace_batch *b = item->batch;

    if (item->kind == QTRACE_ITEM_GAP) {
        if (d->gaps_left > 0) {
            d->gaps_left--;
            return false;
        }
        d->gaps++;
        return true;
    }
    if (item->kind == QTRACE_ITEM_EVENT) {
        uint64_t ordinal = b->first_event + (uint64_t)(item->event - b->event);
        if (ordinal < d->event) {
            return false;
        }
        d->event = ordinal + 1;
        return true;
    }
    if (b->first_block + item->block_begin < d->block) {
        item->block_begin = (uint32_t)MIN(item->block_end, d->block - b->first_block);
    }
    if (b->first_access + item->access_begin < d->access) {
        item->access_begin = (uint32_t)MIN(item->access_end, d->access - b->first_access);
    }
    return item->block_begin < item->block_end || item->access_begin < item->access_end;
}

/* The rows of an item have been delivered. */
static void note_rows(const struct qtrace_item *item)
{
    struct delivered *d = delivered_of(item->stream);
    const struct qtrace_batch *b = item->batch;

    d->block = MAX(d->block, b->first_block + item->block_end);
    d->access = MAX(d->access, b->first_access + item->access_end);
}

static int begin_again(struct qtrace_merge **merge, struct qtrace_error *err)
{
    for (guint i = 0; streams != NULL && i < streams->len; i++) {
        struct delivered *d = &g_array_index(streams, struct delivered, i);
        d->gaps_left = d->gaps;
        host_pending_left(i, &d->block, &d->access);
    }
    qtrace_merge_close(merge);
    host.select = host_selection();
    qtrace_reader_select(host.reader, host.select);
    int code = qtrace_merge_open(merge, host.reader, err);
    if (code == QTRACE_OK && host_needs_rows()) {
        qtrace_merge_read_ahead(*merge, MIN(g_get_num_processors() - 1, MAX_AHEAD));
    }
    return code;
}

int host_drive(void (*progress)(const struct qtrace_item *item), struct qtrace_error *err)
{
    struct qtrace_merge *merge = NULL;
    struct qtrace_item item;
    int code;

    if (qtrace_reader_status(host.reader) != 0) {
        host.needs |= HOST_NEEDS_ALL; /* blocks may run that no event tells of */
    }
    code = begin_again(&merge, err);
    while (code == QTRACE_OK && host_output_failure() == 0) {
        code = qtrace_merge_next(merge, &item, err);
        if (code != QTRACE_OK || !is_new(&item)) {
            continue;
        }
        host_item(&item);
        if (item.kind == QTRACE_ITEM_RUN) {
            note_rows(&item);
        }
        if (progress != NULL) {
            progress(&item);
        }
        if (host.select != host_selection()) {
            host_count_pending(false);
            code = begin_again(&merge, err);
        }
    }
    qtrace_merge_close(&merge);
    host_count_pending(true);
    if (host.failure.code != QTRACE_OK) {
        *err = host.failure;
        return host.failure.code;
    }
    return code == QTRACE_END ? QTRACE_OK : code;
}
