/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "salvage.h"

#include <stdlib.h>

#include "notes.h"
#include "recorder.h"

struct salvage {
    struct qtrace_writer *writer;
    const struct qtrace_reader *reader;
    const struct qt_live *live;
    struct qtrace_error *err;
    struct qt_devices *devices; /* NULL = there are none */
    bool nonsense; /* something had to be left out */
    bool disas;
    struct qt_disassembler disassembler;
};

/* ---- definitions ---- */

static int take_run(void *data, const void *message, size_t size)
{
    struct salvage *s = data;

    return s->writer->run.len > 0 || s->writer->n_translations > 0
               ? QTRACE_OK
               : qt_writer_put_run(s->writer, message, size, s->err);
}

/* Does the recorded run want texts that the recorder had not made yet? */
static void open_disassembler(struct salvage *s)
{
    Qtrace__Run *run = qtrace__run__unpack(NULL, s->writer->run.len, s->writer->run.data);

    if (run != NULL) {
        s->disas = run->disas &&
                   qt_disassembler_open(&s->disassembler, run->target, run->system, true);
        qtrace__run__free_unpacked(run, NULL);
    }
}

static int define(struct salvage *s, const struct qtrace_translation *t)
{
    struct qtrace_translation whole = *t;
    struct qtrace_insn insn[QTRACE_MAX_BLOCK_INSNS];
    char (*text)[QT_TEXT_MAX] = s->disas ? calloc(t->n_insns, sizeof(*text)) : NULL;
    int ret;

    if (text != NULL) {
        memcpy(insn, t->insn, t->n_insns * sizeof(*insn));
        for (uint32_t i = 0; i < t->n_insns; i++) {
            if (insn[i].disas == NULL) {
                qt_disassemble(&s->disassembler, &insn[i], text[i]);
                insn[i].disas = text[i];
            }
        }
        whole.insn = insn;
    }
    ret = qtrace_writer_define(s->writer, &whole, s->err);
    free(text);
    return ret;
}

static int take_translation(void *data, const struct qtrace_translation *t)
{
    struct salvage *s = data;

    if (t->id < s->writer->n_translations) {
        return QTRACE_OK; /* written already */
    }
    if (t->id > s->writer->n_translations) {
        return QTRACE_E_DAMAGED;
    }
    if (!s->disas) {
        open_disassembler(s);
    }
    return define(s, t);
}

static int take_notes(struct salvage *s)
{
    const struct qt_notes_taker taker = {take_translation, take_run, s};
    int ret = qt_notes_read(s->live, &taker);

    qt_disassembler_close(&s->disassembler);
    s->nonsense |= ret < 0;
    return ret == QTRACE_E_NOMEM || s->writer->error.code < 0 ? ret : QTRACE_OK;
}

/* ---- the words of a ring ---- */

/* Where a producer stood. */
struct place {
    const struct qt_producer *p;
    uint64_t chunk, word; /* next */
    uint64_t last_chunk, last_word; /* behind the last */
};

static const uint64_t *chunk_of(const struct salvage *s, const struct qt_producer *p, uint64_t n)
{
    const uint64_t address = (uintptr_t)p->ring.chunks;

    return qt_live_find(s->live, address + n % p->ring.n_chunks * QT_CHUNK_BYTES, QT_CHUNK_BYTES);
}

/* Words between two addresses of the dead process, if they make sense. */
static uint64_t words_between(const void *begin, const void *end)
{
    const uint64_t n = ((uintptr_t)end - (uintptr_t)begin) / sizeof(uint64_t);

    return n <= QT_CHUNK_WORDS ? n : 0;
}

static void find_end(struct place *at)
{
    const struct qt_producer *p = at->p;
    const uint64_t *chunk = p->ring.chunks + p->ring.head % p->ring.n_chunks * QT_CHUNK_WORDS;

    at->last_chunk = p->ring.head;
    at->last_word = p->closed ? p->last_words
                    : p->losing ? 0 : words_between(chunk, p->next);
}

/* The words up to the end of their chunk, or of all; NULL: there are no more. */
static const uint64_t *piece(const struct salvage *s, const struct place *at, size_t *n)
{
    const uint64_t *chunk = chunk_of(s, at->p, at->chunk);
    const uint64_t end = at->chunk < at->last_chunk ? QT_CHUNK_WORDS : at->last_word;

    *n = end > at->word ? end - at->word : 0;
    return chunk == NULL || at->chunk > at->last_chunk || end > QT_CHUNK_WORDS || *n == 0
               ? NULL
               : chunk + at->word;
}

static bool next_piece(struct place *at, size_t n)
{
    at->word += n;
    if (at->word == QT_CHUNK_WORDS) {
        at->word = 0;
        at->chunk++;
    }
    return n > 0;
}

/* ---- one stream ---- */

struct stream {
    struct salvage *s;
    struct place at;
    struct qt_builder builder;
    struct qt_frame_size size;
    /* The last block, as far as it is known to have got. */
    uint32_t length, started;
};

static int emit(void *sink, const struct qt_builder *builder)
{
    struct salvage *s = sink;

    return qt_writer_frame(s->writer, &builder->encoder, &builder->head, s->err);
}

/* A system call ends its block. */
static bool ends_block(uint64_t kind)
{
    return kind == QTRACE_EVENT_SYSCALL || kind == QTRACE_EVENT_SYSCALL_RET ||
           kind == QTRACE_EVENT_VCPU_EXIT || kind == QTRACE_EVENT_VCPU_IDLE;
}

static void reach(struct stream *t, uint32_t insns)
{
    t->started = insns > t->started && insns <= t->length ? insns : t->started;
}

static void watch_control(struct stream *t, uint64_t word)
{
    const uint64_t payload = qt_control_payload(word);

    if (qt_control_kind(word) == QT_CONTROL_EVENT && ends_block(payload)) {
        t->started = t->length;
    } else if (qt_control_kind(word) == QT_CONTROL_ACCESS &&
               !(payload >> 16 & QTRACE_ACCESS_FOREIGN)) {
        reach(t, (payload & 0xffff) + 1);
    }
}

static void watch(struct stream *t, const uint64_t *words, size_t n)
{
    const unsigned more = t->builder.more;

    for (size_t i = 0; i < n; i += qt_word_length(words + i, n - i, more)) {
        if (qt_word_is_block(words[i])) {
            t->length = qt_word_block_insns(words[i]);
            t->started = t->length > 0;
        } else if (qt_word_is_access(words[i])) {
            reach(t, qt_word_access_insn(words[i]) + 1);
        } else {
            watch_control(t, words[i]);
        }
    }
}

/* The same of rows that were read before. */
static void watch_batch(struct stream *t, const struct qtrace_batch *b,
                        const struct qt_lengths *lengths)
{
    if (b->n_blocks == 0) {
        return;
    }
    t->length = qt_length(lengths, b->block[b->n_blocks - 1]);
    t->started = t->length > 0;
    for (uint32_t i = b->n_blocks > 1 ? b->access_end[b->n_blocks - 2] : b->access_begin;
         i < b->n_accesses; i++) {
        reach(t, b->flags[i] & QTRACE_ACCESS_FOREIGN ? 0 : b->insn[i] + 1u);
    }
    for (uint32_t i = 0; i < b->n_events; i++) {
        if (b->event[i].block_row == b->n_blocks && ends_block(b->event[i].kind)) {
            t->started = t->length;
        }
    }
}

static int add(struct stream *t, const uint64_t *words, size_t n)
{
    watch(t, words, n);
    return qt_builder_add(&t->builder, qt_writer_lengths(t->s->writer), words, n, &t->size, emit,
                          t->s);
}

static int add_all(struct stream *t)
{
    const uint64_t *words;
    size_t n;
    int ret = QTRACE_OK;

    while (ret == QTRACE_OK && (words = piece(t->s, &t->at, &n)) != NULL) {
        ret = add(t, words, n);
        next_piece(&t->at, n);
    }
    return ret;
}

/* ---- where to go on ---- */

static void describe_bytes(struct qt_column_bytes *bytes, const struct qt_checkpoint *state,
                           const struct qt_buf *column)
{
    *bytes = (struct qt_column_bytes){.bits = state->bits, .select = QTRACE_SELECT_ALL};
    for (unsigned i = 0; i < QT_COLUMNS; i++) {
        bytes->data[i] = column[i].data;
        bytes->size[i] = column[i].len;
        bytes->rows[i] = state->rows[i];
    }
}

static bool is_possible(const struct qt_checkpoint *s)
{
    return s->bits >= QT_BITS_MIN && s->bits <= QT_BITS_MAX &&
           (uint64_t)s->n_blocks + s->n_accesses <= QT_MAX_ROWS && s->n_events <= QT_MAX_EVENTS &&
           s->rows[QTRACE_COLUMN_STARTED] <= s->n_blocks &&
           s->rows[QTRACE_COLUMN_DEVICE] <= QTRACE_MAX_DEVICES;
}

/* The rows of the frame that was being made. NULL: they cannot be read. */
static struct qt_batch *decode(const struct salvage *s, const struct qt_checkpoint *state,
                               const struct qt_buf *column)
{
    const struct qt_batch_size size = {state->n_blocks, state->n_accesses, state->n_events,
                                       column[QTRACE_COLUMN_VALUE].len > 0,
                                       column[QTRACE_COLUMN_PHYS].len > 0};
    struct qt_predictor predictor = {0};
    struct qt_values values = {0};
    struct qt_phys phys = {0};
    struct qt_column_bytes bytes;
    struct qt_batch *b = is_possible(state) ? qt_batch_new(&size) : NULL;
    const char *why;

    if (b == NULL) {
        return NULL;
    }
    b->batch.n_blocks = state->n_blocks;
    b->batch.n_accesses = state->n_accesses;
    b->batch.n_events = state->n_events;
    b->batch.first_seq = state->first_seq;
    b->batch.first_time = state->first_time;
    describe_bytes(&bytes, state, column);
    if (qt_columns_decode(&predictor, &values, &phys, b, &bytes, qt_writer_lengths(s->writer),
                          &why) < 0) {
        struct qtrace_batch *batch = &b->batch;

        qtrace_batch_free(&batch);
        b = NULL;
    }
    qt_predictor_finish(&predictor);
    qt_values_finish(&values);
    qt_phys_finish(&phys);
    return b;
}

/* The builder as it was. */
static int restore(struct stream *t, const struct qt_checkpoint *state, const struct qt_buf *column)
{
    struct qt_builder *b = &t->builder;
    struct qtrace_batch *batch;
    const char *why;
    int ret;

    b->seq = state->seq;
    b->time = state->time;
    b->lost = state->lost;
    b->after_loss = state->after_loss;
    b->dropping = state->dropping;
    b->pending = state->pending;
    if (!state->open) {
        return QTRACE_OK;
    }
    batch = (struct qtrace_batch *)decode(t->s, state, column);
    if (batch == NULL) {
        return QTRACE_E_DAMAGED;
    }
    ret = qt_encoder_begin(&b->encoder, state->bits, state->first_seq, state->first_time);
    if (ret == QTRACE_OK && state->values) {
        ret = qt_encoder_values(&b->encoder, QT_WORD_VALUE_LOG2);
    }
    if (ret == QTRACE_OK && state->phys) {
        ret = qt_encoder_phys(&b->encoder);
    }
    b->open = ret == QTRACE_OK;
    if (ret == QTRACE_OK) {
        ret = qt_encoder_add_batch(&b->encoder, batch, qt_writer_lengths(t->s->writer), &why);
    }
    watch_batch(t, batch, qt_writer_lengths(t->s->writer));
    qtrace_batch_free(&batch);
    return ret;
}

/* The frame of the journal is in the trace, and perhaps later ones: go to the first word whose row
 * is not. `block`: number of the next block word's row. */
static void skip(struct stream *t, uint64_t block, uint64_t wanted)
{
    const unsigned more = t->builder.more;
    const uint64_t *words;
    size_t n, i;

    while ((words = piece(t->s, &t->at, &n)) != NULL) {
        for (i = 0; i < n; i += qt_word_length(words + i, n - i, more)) {
            const bool loss = qt_is_loss(words[i]);

            if (block >= wanted && (loss || qt_word_is_block(words[i]))) {
                next_piece(&t->at, i);
                return;
            }
            block += qt_word_is_block(words[i]) ? 1 : 0;
            block += loss && i + 3 < n ? words[i + 3] : 0;
        }
        watch(t, words, n);
        next_piece(&t->at, n);
    }
}

/* What the trace has of the stream. */
struct written {
    struct qt_loss next; /* ordinals */
    uint64_t seq, time;
};

static struct written find_written(const struct salvage *s, const struct qt_producer *p)
{
    struct written w = {{0}, 0, 0};

    for (size_t i = 0; i < s->reader->n_streams; i++) {
        const struct qt_reader_stream *r = &s->reader->stream[i];

        if (r->info.stream == p->stream && r->n_frames > 0) {
            const struct qt_frame *f = &s->reader->frame[r->frame[r->n_frames - 1]].frame;

            w = (struct written){{r->next.block, r->next.insn, r->next.access, r->next.event},
                                 f->info.last_seq, f->info.last_time};
        }
    }
    return w;
}

/* Bring builder and place to where trace and journal end. */
static int resume(struct stream *t, const struct qt_checkpoint *state, const struct qt_buf *column)
{
    const struct written w = find_written(t->s, t->at.p);
    struct qtrace_frame_info *head = &t->builder.head;

    if (t->at.last_chunk - state->chunk > t->at.p->ring.n_chunks ||
        state->words > QT_CHUNK_WORDS) {
        return QTRACE_E_DAMAGED;
    }
    t->at.chunk = state->chunk;
    t->at.word = state->words;
    head->first_block = state->first_block;
    head->first_insn = state->first_insn;
    head->first_access = state->first_access;
    head->first_event = state->first_event;
    if (w.next.blocks > state->first_block || w.next.events > state->first_event) {
        head->first_block = w.next.blocks;
        head->first_insn = w.next.insns;
        head->first_access = w.next.accesses;
        head->first_event = w.next.events;
        t->builder.seq = w.seq;
        t->builder.time = w.time;
        skip(t, state->first_block + state->n_blocks + state->lost.blocks, w.next.blocks);
        return QTRACE_OK;
    }
    if (w.next.blocks < state->first_block) {
        return QTRACE_E_DAMAGED; /* frames are missing that were lost with a full disk */
    }
    return restore(t, state, column);
}

/* How many instructions of the last block did not start? The vCPU's slot says it, if it is in the
 * file. Else those count that must have started: up to the last access, or all if a system call
 * came after them. */
static uint32_t remaining(const struct stream *t)
{
    const struct qt_producer *p = t->at.p;
    const struct qt_live_header *h = t->s->live->header;
    const uint64_t at = (uintptr_t)p->slot - h->slots_address;

    if (p->closed) {
        return p->last_remaining;
    }
    if (at % sizeof(uint64_t) == 0 && at < h->n_slots * h->slot_size) {
        uint64_t left;

        memcpy(&left, (const uint8_t *)t->s->live->slots + at, sizeof(left));
        return (uint32_t)left;
    }
    return t->length - t->started;
}

/* Words in the scratch chunk were lost, and those before them; what the first block there says of
 * the one before it is of the last one that was recorded. */
static void add_end(struct stream *t)
{
    const struct qt_producer *p = t->at.p;
    const uint64_t *scratch = qt_live_find(t->s->live, (uintptr_t)p->ring.scratch, QT_CHUNK_BYTES);
    struct qt_loss loss = p->loss;
    uint32_t carry = 0;

    if (!p->losing) {
        qt_builder_partial(&t->builder, remaining(t));
        return;
    }
    if (scratch != NULL && !p->closed) {
        qt_words_count(scratch, words_between(p->ring.scratch, p->next), t->builder.more, &loss,
                       &carry);
    }
    qt_builder_partial(&t->builder, p->loss.blocks > 0 ? p->carry
                                    : loss.blocks > 0 ? carry : remaining(t));
    qt_builder_lose(&t->builder, &loss);
}

static int finish_stream(struct salvage *s, const struct qt_producer *p)
{
    struct stream t = {.s = s, .at = {.p = p}};
    struct qt_checkpoint state = {.words = QT_FIRST_WORD};
    struct qt_buf column[QT_COLUMNS] = {{0}};
    int ret = qt_journal_load(s->live, p->journal.commit, &state, column);

    qt_builder_init(&t.builder, p->stream, p->vcpu, s->live->header->user, s->live->header->more,
                    s->devices);
    t.size = qt_frame_size_for(1, t.builder.more, s->writer->level);
    find_end(&t.at);
    ret = ret == QTRACE_OK || ret == QTRACE_END ? resume(&t, &state, column) : ret;
    if (ret == QTRACE_OK) {
        ret = add_all(&t);
        add_end(&t);
        if (ret == QTRACE_OK) {
            ret = qt_builder_flush(&t.builder, emit, s);
        }
    }
    for (unsigned i = 0; i < QT_COLUMNS; i++) {
        qt_buf_finish(&column[i]);
    }
    qt_builder_finish(&t.builder);
    s->nonsense |= ret < 0;
    return ret == QTRACE_E_NOMEM || s->writer->error.code < 0 ? ret : QTRACE_OK;
}

/* ---- all ---- */

/* A copy of the table, made safe. false: no memory. */
static bool take_devices(struct salvage *s)
{
    const struct qt_live_header *h = s->live->header;
    const struct qt_devices *devices =
        qt_live_find(s->live, h->devices_address, sizeof(*devices));

    s->devices = calloc(1, sizeof(*s->devices));
    if (s->devices == NULL) {
        return false;
    }
    if (h->devices_address != 0 && devices != NULL) {
        memcpy(s->devices, devices, sizeof(*devices));
    }
    if (s->devices->n > QTRACE_MAX_DEVICES) {
        s->devices->n = 0;
    }
    for (uint32_t i = 0; i < QTRACE_MAX_DEVICES; i++) {
        s->devices->device[i].name[QT_DEVICE_NAME_MAX] = '\0';
    }
    return true;
}

static bool is_plausible(const struct qt_producer *p)
{
    return p->open && p->ring.n_chunks > 0 && p->ring.n_chunks < UINT32_MAX / QT_CHUNK_BYTES &&
           p->stream < QT_MAX_STREAMS;
}

int qt_salvage(struct qtrace_writer *writer, const struct qtrace_reader *reader,
               const struct qt_live *live, struct qtrace_error *err)
{
    const struct qt_live_header *h = live->header;
    struct salvage s = {.writer = writer, .reader = reader, .live = live, .err = err};
    int ret = take_devices(&s) ? take_notes(&s) : QTRACE_E_NOMEM;

    for (size_t i = 0; ret == QTRACE_OK && i < h->n_slots && i < h->slots_size / h->slot_size;
         i++) {
        struct qt_producer p;

        memcpy(&p, (const uint8_t *)live->slots + i * h->slot_size, sizeof(p));
        if (is_plausible(&p)) {
            ret = finish_stream(&s, &p);
        }
        s.nonsense |= p.open && !is_plausible(&p);
    }
    free(s.devices);
    writer->salvaged = ret == QTRACE_OK && !s.nonsense;
    return ret;
}
