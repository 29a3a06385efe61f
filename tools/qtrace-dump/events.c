/*
 * events.c - --events: one line for everything that happened
 *
 * A line says nothing that depends on other lines: the log of a trace with gaps is the log of
 * the whole trace without some of its lines. That is why accesses whose block is in another
 * batch have no block id here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

/* Where the last piece of a stream ended, so that the next one need not count its
 * instructions from the beginning of the batch. */
struct place {
    const struct qtrace_batch *batch;
    uint32_t row;
    uint64_t insn;
};

/* A piece of a batch. */
struct piece {
    const struct qtrace_batch *batch;
    uint32_t block_begin, block_end;
    uint32_t access_begin, access_end;
    uint32_t foreign; /* first row of batch->foreign that may belong to the piece */
};

struct log {
    struct dump *dump;
    const struct dump_range *range;
    GArray *places; /* struct place, by stream */
};

static const char *const event_names[] = {
    [QTRACE_EVENT_SYNC] = "sync",
    [QTRACE_EVENT_VCPU_INIT] = "vcpu_init",
    [QTRACE_EVENT_VCPU_EXIT] = "vcpu_exit",
    [QTRACE_EVENT_VCPU_IDLE] = "vcpu_idle",
    [QTRACE_EVENT_VCPU_RESUME] = "vcpu_resume",
    [QTRACE_EVENT_SYSCALL] = "syscall",
    [QTRACE_EVENT_SYSCALL_RET] = "syscall_ret",
    [QTRACE_EVENT_TRANSLATION] = "translation",
    [QTRACE_EVENT_FLUSH] = "flush",
    [QTRACE_EVENT_LOST] = "lost",
    [QTRACE_EVENT_DISCON] = "discon",
};

static const char *const event_args[][QTRACE_EVENT_ARGS] = {
    [QTRACE_EVENT_VCPU_INIT] = {"continued"},
    [QTRACE_EVENT_SYSCALL] = {"num", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"},
    [QTRACE_EVENT_SYSCALL_RET] = {"num", "ret"},
    [QTRACE_EVENT_TRANSLATION] = {"id"},
    [QTRACE_EVENT_LOST] = {"blocks", "insns", "accesses", "events"},
    [QTRACE_EVENT_DISCON] = {"type", "from", "to"},
};

static bool in_range(const struct dump_range *range, uint64_t block)
{
    return block >= range->from && block - range->from < range->count;
}

static char *put_field(char *p, const char *name, uint64_t value)
{
    return text_dec(text_str(p, name), value);
}

static void put_line(struct log *log, const char *line, const char *end)
{
    fwrite(line, 1, (size_t)(end - line), log->dump->out);
}

/* " id=7 insn=2 pc=0x1234" */
static char *put_pc(struct log *log, char *p, uint32_t id, uint32_t insn)
{
    const struct qtrace_translation *t = qtrace_reader_translation(log->dump->reader, id);

    p = text_str(p, " pc=");
    if (t == NULL || insn >= t->n_insns) {
        return text_str(p, "?");
    }
    return text_hex(p, t->insn[insn].vaddr);
}

static void put_block(struct log *log, const struct qtrace_batch *batch, uint32_t row,
                      uint64_t insn)
{
    const struct qtrace_translation *t =
        qtrace_reader_translation(log->dump->reader, batch->block[row]);
    char line[256], *p = line;

    p = put_field(p, "s", batch->stream);
    p = put_field(p, " b", batch->first_block + row);
    p = put_field(p, " i", insn);
    p = put_field(p, " id=", batch->block[row]);
    p = put_pc(log, p, batch->block[row], 0);
    p = put_field(p, " started=", batch->started[row]);
    p = text_str(p, "/");
    p = t == NULL ? text_str(p, "?") : text_dec(p, t->n_insns);
    put_line(log, line, text_str(p, "\n"));
}

/* The block that made an access: the one of the row it stands under, or a foreign one. Returns
 * false if it is the last of the batch before this one. */
static bool find_block(struct piece *piece, uint32_t row, int64_t block_row, uint32_t *id)
{
    const struct qtrace_batch *batch = piece->batch;

    if (batch->flags[row] & QTRACE_ACCESS_FOREIGN) {
        while (piece->foreign < batch->n_foreign &&
               batch->foreign[piece->foreign].access_row < row) {
            piece->foreign++;
        }
        if (piece->foreign < batch->n_foreign &&
            batch->foreign[piece->foreign].access_row == row) {
            *id = batch->foreign[piece->foreign].block;
            return true;
        }
        return false;
    }
    if (block_row < 0) {
        return false;
    }
    *id = batch->block[block_row];
    return true;
}

/* "=0x1234", if there is a value */
static char *put_value(char *p, const struct qtrace_batch *batch, uint32_t row)
{
    uint64_t value;
    unsigned word = 0;

    if (!qtrace_batch_value(batch, row, 0, &value)) {
        return p;
    }
    while (qtrace_batch_value(batch, row, word + 1, &value)) {
        word++;
    }
    while (word > 0 && qtrace_batch_value(batch, row, word, &value) && value == 0) {
        word--;
    }
    qtrace_batch_value(batch, row, word, &value);
    p = text_hex(text_str(p, "="), value);
    while (word-- > 0) {
        qtrace_batch_value(batch, row, word, &value);
        p += sprintf(p, "%016" PRIx64, value);
    }
    return p;
}

/* " phys=0x1234" or " io=0x1234 device=0:name", if that was recorded */
static char *put_phys(char *p, const struct qtrace_batch *batch, uint32_t row)
{
    const struct qtrace_device *device;
    const char *c;

    if (batch->phys == NULL) {
        return p;
    }
    if (batch->phys_kind[row] == QTRACE_PHYS_NONE) {
        return text_str(p, " phys=?");
    }
    if (batch->phys_kind[row] == QTRACE_PHYS_RAM) {
        return text_hex(text_str(p, " phys="), batch->phys[row]);
    }
    device = &batch->device[batch->phys_kind[row] - QTRACE_PHYS_IO];
    p = text_hex(text_str(p, " io="), batch->phys[row]);
    p = text_str(put_field(p, " device=", device->number), ":");
    for (c = device->name; *c != '\0'; c++) {
        const bool plain = *c > ' ' && *c <= '~' && *c != '%';
        p += sprintf(p, plain ? "%c" : "%%%02x", (unsigned char)*c);
    }
    return p;
}

static void put_access(struct log *log, struct piece *piece, uint32_t row, int64_t block_row)
{
    const struct qtrace_batch *batch = piece->batch;
    uint8_t flags = batch->flags[row];
    char line[2048], *p = line;
    uint32_t id;

    p = put_field(p, "s", batch->stream);
    p = put_field(p, " a", batch->first_access + row);
    if (batch->first_block == 0 && block_row < 0) {
        p = text_str(p, " b-");
    } else {
        p = put_field(p, " b", batch->first_block + (uint64_t)block_row);
    }
    if (find_block(piece, row, block_row, &id)) {
        p = put_field(p, " id=", id);
        p = put_field(p, " insn=", batch->insn[row]);
        p = put_pc(log, p, id, batch->insn[row]);
    } else {
        p = text_str(p, " id=?");
        p = put_field(p, " insn=", batch->insn[row]);
        p = text_str(p, " pc=?");
    }
    p = put_field(p, flags & QTRACE_ACCESS_STORE ? " store " : " load ",
                  1u << (flags & QTRACE_ACCESS_SIZE));
    p = text_hex(text_str(p, " "), batch->vaddr[row]);
    p = put_value(p, batch, row);
    p = put_phys(p, batch, row);
    p = text_str(p, flags & QTRACE_ACCESS_BE ? " be" : "");
    p = text_str(p, flags & QTRACE_ACCESS_SIGN ? " sign" : "");
    p = text_str(p, flags & QTRACE_ACCESS_FOREIGN ? " foreign" : "");
    put_line(log, line, text_str(p, "\n"));
}

static void put_event(struct log *log, const struct qtrace_batch *batch,
                      const struct qtrace_event *event)
{
    uint64_t before = batch->first_block + event->block_row;
    unsigned kind = event->kind;
    bool known = kind < G_N_ELEMENTS(event_names) && event_names[kind] != NULL;
    char line[1024], *p = line;

    /* An event goes with the block that it follows. */
    if (!in_range(log->range, before > 0 ? before - 1 : 0)) {
        return;
    }
    p = put_field(p, "s", batch->stream);
    p = put_field(p, " e", batch->first_event + (uint64_t)(event - batch->event));
    p = put_field(p, " b", before);
    p = put_field(p, " seq=", event->seq);
    p = put_field(p, " t=", event->time);
    p = text_str(p, " ");
    p = known ? text_str(p, event_names[kind]) : put_field(p, "kind", kind);
    for (uint32_t i = 0; i < event->n_args && i < QTRACE_EVENT_ARGS; i++) {
        const char *name = kind < G_N_ELEMENTS(event_args) ? event_args[kind][i] : NULL;
        p = text_str(p, " ");
        p = name != NULL ? text_str(p, name) : put_field(p, "arg", i);
        p = text_str(p, "=");
        if (kind == QTRACE_EVENT_DISCON && i > 0) {
            p = text_hex(p, event->arg[i]);
        } else {
            p = text_dec(p, event->arg[i]);
        }
    }
    put_line(log, line, text_str(p, "\n"));
}

static void put_accesses(struct log *log, struct piece *piece, uint32_t end, int64_t block_row)
{
    uint64_t block = piece->batch->first_block + (uint64_t)block_row;

    if (block_row < 0 && piece->batch->first_block == 0) {
        block = 0;
    }
    if (in_range(log->range, block)) {
        for (uint32_t row = piece->access_begin; row < end; row++) {
            put_access(log, piece, row, block_row);
        }
    }
    piece->access_begin = MAX(piece->access_begin, end);
}

/* The number of the first instruction of a block row. */
static struct place *find_place(struct log *log, const struct qtrace_batch *batch, uint32_t row)
{
    struct place *place;

    if (log->places->len <= batch->stream) {
        g_array_set_size(log->places, batch->stream + 1);
    }
    place = &g_array_index(log->places, struct place, batch->stream);
    if (place->batch != batch || place->row > row || row == 0) {
        *place = (struct place){.batch = batch, .insn = batch->first_insn};
    }
    for (; place->row < row; place->row++) {
        place->insn += batch->started[place->row];
    }
    return place;
}

static void put_piece(struct log *log, struct piece *piece)
{
    const struct qtrace_batch *batch = piece->batch;
    struct place *place = find_place(log, batch, piece->block_begin);
    uint32_t row = piece->block_begin;

    /* What stands before the first block's own accesses. */
    uint32_t end = row > 0 ? batch->access_end[row - 1] : batch->access_begin;
    put_accesses(log, piece, MIN(end, piece->access_end), (int64_t)row - 1);
    for (; row < piece->block_end; row++) {
        if (in_range(log->range, batch->first_block + row)) {
            put_block(log, batch, row, place->insn);
        }
        put_accesses(log, piece, MIN(batch->access_end[row], piece->access_end), row);
        place->insn += batch->started[row];
        place->row = row + 1;
    }
    put_accesses(log, piece, piece->access_end, (int64_t)row - 1);
}

/* ------------------------------------------------------------------------------------------
 * All streams, in the order of the trace */

static void log_all(struct log *log)
{
    struct dump *dump = log->dump;
    struct qtrace_merge *merge = NULL;
    struct qtrace_error err = {0};
    struct qtrace_item item;
    int code = qtrace_merge_open(&merge, dump->reader, &err);

    while (code == QTRACE_OK && !ferror(dump->out)) {
        code = qtrace_merge_next(merge, &item, &err);
        if (code == QTRACE_OK && item.kind == QTRACE_ITEM_EVENT) {
            put_event(log, item.batch, item.event);
        } else if (code == QTRACE_OK && item.kind == QTRACE_ITEM_RUN) {
            struct piece piece = {item.batch,        item.block_begin,  item.block_end,
                                  item.access_begin, item.access_end, 0};
            put_piece(log, &piece);
        }
    }
    if (code < 0) {
        dump_error(dump, &err);
    }
    qtrace_merge_close(&merge);
}

/* ------------------------------------------------------------------------------------------
 * One stream after the other: only the frames that hold the range are read */

static void log_batch(struct log *log, const struct qtrace_batch *batch)
{
    struct piece piece = {.batch = batch};

    for (uint32_t i = 0; i < batch->n_events; i++) {
        piece.block_end = batch->event[i].block_row;
        piece.access_end = batch->event[i].access_row;
        put_piece(log, &piece);
        piece.block_begin = piece.block_end;
        put_event(log, batch, &batch->event[i]);
    }
    piece.block_end = batch->n_blocks;
    piece.access_end = batch->n_accesses;
    put_piece(log, &piece);
}

/* Returns false when the reading has to end. */
static bool log_frame(struct log *log, size_t i)
{
    struct dump *dump = log->dump;
    struct qtrace_batch *batch = NULL;
    struct qtrace_error err = {0};
    int code = qtrace_reader_read(dump->reader, i, &batch, &err);

    if (code == QTRACE_OK) {
        log_batch(log, batch);
        /* Its memory may be the next batch's. */
        g_array_index(log->places, struct place, batch->stream) = (struct place){0};
        qtrace_batch_free(&batch);
    } else if (code == QTRACE_E_IO || code == QTRACE_E_NOMEM) {
        dump_error(dump, &err);
        return false;
    }
    return !ferror(dump->out);
}

static bool log_stream(struct log *log, uint32_t stream)
{
    const struct dump_range *range = log->range;
    const struct qtrace_reader *reader = log->dump->reader;
    /* The event after the block before the range stands in the frame of that block. */
    uint64_t from = range->from > 0 ? range->from - 1 : 0;
    size_t i;

    if (qtrace_reader_find(reader, stream, QTRACE_BY_BLOCK, from, &i) != QTRACE_OK) {
        return true;
    }
    for (; i < qtrace_reader_n_frames(reader); i++) {
        const struct qtrace_frame_info *frame = qtrace_reader_frame(reader, i);
        if (!frame->of_stream || frame->stream != stream) {
            continue;
        }
        if (frame->first_block > range->from && frame->first_block - range->from > range->count) {
            break;
        }
        if (!log_frame(log, i)) {
            return false;
        }
    }
    return true;
}

static void log_streams(struct log *log)
{
    const struct qtrace_reader *reader = log->dump->reader;
    bool any = false;

    for (size_t i = 0; i < qtrace_reader_n_streams(reader); i++) {
        const struct qtrace_stream_info *stream = qtrace_reader_stream(reader, i);
        if (!log->range->has_vcpu || stream->vcpu == log->range->vcpu) {
            any = true;
            if (!log_stream(log, stream->stream)) {
                break;
            }
        }
    }
    if (!any) {
        dump_message(log->dump->path, UINT64_MAX, "no vCPU %u", log->range->vcpu);
        dump_raise(log->dump, STATUS_FAILURE);
    }
}

void dump_events(struct dump *dump, const struct dump_range *range)
{
    struct log log = {
        .dump = dump,
        .range = range,
        .places = g_array_new(FALSE, TRUE, sizeof(struct place)),
    };

    if (range->has_vcpu || qtrace_reader_n_streams(dump->reader) == 1) {
        log_streams(&log);
    } else {
        log_all(&log);
    }
    g_array_free(log.places, TRUE);
}
