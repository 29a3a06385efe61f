/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "builder.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "words.h"

void qt_builder_init(struct qt_builder *builder, uint32_t stream, uint32_t vcpu, bool user)
{
    memset(builder, 0, sizeof(*builder));
    builder->user = user;
    builder->batch.struct_size = sizeof(builder->batch);
    builder->batch.stream = stream;
    builder->batch.vcpu = vcpu;
}

void qt_builder_finish(struct qt_builder *builder)
{
    free(builder->block);
    free(builder->started);
    free(builder->access_end);
    free(builder->vaddr);
    free(builder->insn);
    free(builder->flags);
    free(builder->foreign);
    free(builder->event);
    memset(builder, 0, sizeof(*builder));
}

/* Three arrays of one size. */
static bool grow(size_t *size, size_t need, void **const array[3], const size_t element[3])
{
    size_t n = *size;
    for (unsigned i = 0; i < 3; i++) {
        n = *size;
        if (qt_grow(array[i], &n, need, element[i]) < 0) {
            return false;
        }
    }
    *size = n;
    return true;
}

/* Room for n more block and n more access rows. */
static bool make_room(struct qt_builder *b, size_t n)
{
    void **const blocks[3] = {(void **)&b->block, (void **)&b->started, (void **)&b->access_end};
    void **const accesses[3] = {(void **)&b->vaddr, (void **)&b->insn, (void **)&b->flags};
    return grow(&b->block_size, b->batch.n_blocks + n, blocks,
                (const size_t[3]){sizeof(*b->block), sizeof(*b->started),
                                  sizeof(*b->access_end)}) &&
           grow(&b->access_size, b->batch.n_accesses + n, accesses,
                (const size_t[3]){sizeof(*b->vaddr), sizeof(*b->insn), sizeof(*b->flags)});
}

static void close_row(struct qt_builder *b)
{
    if (b->batch.n_blocks) {
        b->access_end[b->batch.n_blocks - 1] = b->batch.n_accesses;
    } else {
        b->batch.access_begin = b->batch.n_accesses;
    }
}

static bool is_empty(const struct qt_builder *b)
{
    return !b->batch.n_blocks && !b->batch.n_accesses && !b->batch.n_events;
}

/* The ordinals of the next batch; its arrays are used again. */
static void next_batch(struct qt_builder *b)
{
    struct qtrace_batch *batch = &b->batch;
    batch->first_block += batch->n_blocks;
    batch->first_insn += batch->n_insns;
    batch->first_access += batch->n_accesses;
    batch->first_event += batch->n_events;
    batch->first_seq = b->seq;
    batch->first_time = b->time;
    batch->n_blocks = batch->n_accesses = batch->n_foreign = batch->n_events = 0;
    batch->access_begin = 0;
    batch->n_insns = 0;
}

static int emit_batch(struct qt_builder *b, qt_builder_sink *emit, void *sink)
{
    if (is_empty(b)) {
        return QTRACE_OK;
    }
    struct qtrace_batch *batch = &b->batch;
    close_row(b);
    batch->block = b->block;
    batch->started = b->started;
    batch->access_end = b->access_end;
    batch->vaddr = b->vaddr;
    batch->insn = b->insn;
    batch->flags = b->flags;
    batch->foreign = b->foreign;
    batch->event = b->event;
    batch->n_insns = 0;
    for (uint32_t i = 0; i < batch->n_blocks; i++) {
        batch->n_insns += b->started[i];
    }
    int result = emit(sink, batch);
    next_batch(b);
    return result;
}

/* A loss opens a new batch, so that within a batch ordinals have no holes. */
static int place_loss(struct qt_builder *b, qt_builder_sink *emit, void *sink)
{
    struct qt_loss lost = b->lost;
    int result = emit_batch(b, emit, sink);
    if (qt_grow((void **)&b->event, &b->event_size, 1, sizeof(*b->event)) < 0) {
        return QTRACE_E_NOMEM;
    }
    memset(&b->lost, 0, sizeof(b->lost));
    qt_loss_add(&b->total_lost, &lost);
    b->batch.first_block += lost.blocks;
    b->batch.first_insn += lost.insns;
    b->batch.first_access += lost.accesses;
    b->batch.first_event += lost.events;
    b->event[b->batch.n_events++] = (struct qtrace_event){
        .kind = QTRACE_EVENT_LOST,
        .seq = b->seq,
        .time = b->time,
        .n_args = 4,
        .arg = {lost.blocks, lost.insns, lost.accesses, lost.events},
    };
    return result;
}

static int add_event(struct qt_builder *b, uint64_t word, const uint64_t *words)
{
    uint32_t n_words = qt_control_words(word);
    if (qt_grow((void **)&b->event, &b->event_size, b->batch.n_events + 1ull,
                sizeof(*b->event)) < 0) {
        b->lost.events++;
        return QTRACE_E_NOMEM;
    }
    struct qtrace_event *event = &b->event[b->batch.n_events++];
    memset(event, 0, sizeof(*event));
    event->kind = (enum qtrace_event_kind)qt_control_payload(word);
    event->block_row = b->batch.n_blocks;
    event->access_row = b->batch.n_accesses;
    event->seq = words[0];
    event->time = words[1];
    event->n_args = n_words - 2;
    memcpy(event->arg, words + 2, event->n_args * sizeof(event->arg[0]));
    b->seq = event->seq;
    b->time = event->time;
    return QTRACE_OK;
}

static void add_access(struct qt_builder *b, uint16_t insn, uint8_t flags, uint64_t vaddr)
{
    uint32_t row = b->batch.n_accesses++;
    b->insn[row] = insn;
    b->flags[row] = flags;
    b->vaddr[row] = vaddr;
}

static int add_foreign(struct qt_builder *b, uint16_t insn, uint8_t flags, uint64_t vaddr,
                       uint32_t block)
{
    if (qt_grow((void **)&b->foreign, &b->foreign_size, b->batch.n_foreign + 1ull,
                sizeof(*b->foreign)) < 0) {
        b->lost.accesses++;
        return QTRACE_E_NOMEM;
    }
    b->foreign[b->batch.n_foreign++] = (struct qtrace_foreign){b->batch.n_accesses, block};
    add_access(b, insn, flags, vaddr);
    return QTRACE_OK;
}

/* The words up to the next that is no access; returns its index. The hottest loop of the
 * recorder's thread: everything in local variables. */
static size_t take_accesses(struct qt_builder *b, const uint64_t *words, size_t i, size_t n)
{
    uint64_t *vaddr = b->vaddr;
    uint16_t *insns = b->insn;
    uint8_t *flags = b->flags;
    uint32_t row = b->batch.n_accesses, limit = b->limit;
    bool user = b->user;
    for (; i < n && qt_word_is_access(words[i]); i++) {
        uint32_t insn = qt_word_access_insn(words[i]);
        vaddr[row] = qt_word_vaddr(words[i], user);
        insns[row] = insn;
        flags[row] = qt_word_access_flags(words[i]);
        row += insn < limit;
        b->lost.accesses += insn >= limit;
    }
    b->batch.n_accesses = row;
    return i;
}

static int add_control(struct qt_builder *b, const struct qt_block_sizes *sizes, uint64_t word,
                       const uint64_t *words)
{
    uint64_t payload = qt_control_payload(word);
    uint32_t n_words = qt_control_words(word);
    switch (qt_control_kind(word)) {
    case QT_CONTROL_NOP:
        return QTRACE_OK;
    case QT_CONTROL_PARTIAL:
        qt_builder_partial(b, payload);
        return QTRACE_OK;
    case QT_CONTROL_ACCESS:
        if (n_words == 2) {
            uint8_t flags = payload >> 16;
            uint16_t insn = payload;
            bool foreign = flags & QTRACE_ACCESS_FOREIGN;
            if (foreign && words[1] < sizes->n && insn < sizes->insns[words[1]]) {
                return add_foreign(b, insn, flags, words[0], words[1]);
            }
            if (!foreign && insn < b->limit) {
                add_access(b, insn, flags, words[0]);
                return QTRACE_OK;
            }
        }
        b->lost.accesses++;
        return QTRACE_OK;
    case QT_CONTROL_EVENT:
        if (n_words >= 2 && n_words <= 2 + QTRACE_EVENT_ARGS && words[0] > b->seq &&
            payload >= QTRACE_EVENT_SYNC && payload <= QTRACE_EVENT_DISCON &&
            payload != QTRACE_EVENT_LOST) {
            return add_event(b, word, words);
        }
        /* fall through */
    default:
        b->lost.events++;
        return QTRACE_OK;
    }
}

static void add_block(struct qt_builder *b, const struct qt_block_sizes *sizes, uint64_t word)
{
    uint32_t id = qt_word_block_id(word);
    if (id >= sizes->n) {
        struct qt_loss loss = {.blocks = 1, .insns = qt_word_block_insns(word)};
        qt_builder_lose(b, &loss);
        return;
    }
    close_row(b);
    b->block[b->batch.n_blocks] = id;
    b->started[b->batch.n_blocks++] = b->limit = sizes->insns[id];
    b->after_loss = false;
}

void qt_builder_partial(struct qt_builder *b, uint32_t remaining)
{
    if (b->after_loss) {
        b->lost.insns -= remaining <= b->lost.insns ? remaining : 0;
    } else if (b->batch.n_blocks) {
        uint16_t *started = &b->started[b->batch.n_blocks - 1];
        *started -= remaining <= *started ? remaining : 0;
    }
}

void qt_builder_lose(struct qt_builder *b, const struct qt_loss *loss)
{
    qt_loss_add(&b->lost, loss);
    if (loss->blocks) {
        b->after_loss = true;
        b->limit = 0;
    }
}

/* The four counts that a LOST control carries. */
static struct qt_loss loss_of(const uint64_t *words)
{
    return (struct qt_loss){words[2], words[3], words[4], words[5]};
}

static bool is_loss(uint64_t word)
{
    return qt_control_kind(word) == QT_CONTROL_EVENT &&
           qt_control_payload(word) == QTRACE_EVENT_LOST && qt_control_words(word) == 6;
}

static int worst(int a, int b)
{
    return a ? a : b;
}

/* Without memory for them: what the words would have been is lost. */
static int lose_words(struct qt_builder *b, const uint64_t *words, size_t n_words)
{
    struct qt_loss loss = {0};
    uint32_t left;
    qt_words_count(words, n_words, &loss, &left);
    qt_builder_partial(b, left);
    qt_builder_lose(b, &loss);
    return QTRACE_E_NOMEM;
}

int qt_builder_add(struct qt_builder *b, const struct qt_block_sizes *sizes,
                   const uint64_t *words, size_t n_words, size_t max_rows,
                   qt_builder_sink *emit, void *sink)
{
    int result = QTRACE_OK;
    if (!make_room(b, n_words)) {
        return lose_words(b, words, n_words);
    }
    for (size_t i = 0; (i = take_accesses(b, words, i, n_words)) < n_words; i++) {
        uint64_t word = words[i];
        if (qt_word_is_block(word)) {
            uint32_t left = qt_word_block_left(word);
            if (left) {
                qt_builder_partial(b, left);
            }
            if (qt_loss_any(&b->lost)) {
                result = worst(result, place_loss(b, emit, sink));
            } else if ((size_t)b->batch.n_blocks + b->batch.n_accesses >= max_rows) {
                result = worst(result, emit_batch(b, emit, sink));
            }
            add_block(b, sizes, word);
        } else if (qt_control_words(word) >= n_words - i) {
            b->lost.events++; /* nonsense: it would reach beyond the chunk */
            break;
        } else {
            if (is_loss(word)) {
                struct qt_loss loss = loss_of(words + i + 1);
                qt_builder_lose(b, &loss);
            } else {
                result = worst(result, add_control(b, sizes, word, words + i + 1));
            }
            i += qt_control_words(word);
        }
    }
    return result;
}

int qt_builder_flush(struct qt_builder *b, qt_builder_sink *emit, void *sink)
{
    int result = QTRACE_OK;
    if (qt_loss_any(&b->lost)) {
        result = place_loss(b, emit, sink);
    }
    return worst(result, emit_batch(b, emit, sink));
}

/* Does this control say something of the block before, or of a loss before? */
static bool count_loss_control(uint64_t word, const uint64_t *words, struct qt_loss *loss,
                               uint32_t *carry)
{
    if (qt_control_kind(word) == QT_CONTROL_PARTIAL) {
        *carry = qt_control_payload(word);
        return true;
    }
    if (!is_loss(word)) {
        return false;
    }
    struct qt_loss before = loss_of(words);
    qt_loss_add(loss, &before);
    return true;
}

void qt_words_count(const uint64_t *words, size_t n_words, struct qt_loss *loss,
                    uint32_t *carry)
{
    bool any_block = false;
    *carry = 0;
    for (size_t i = 0; i < n_words; i++) {
        uint64_t word = words[i];
        if (qt_word_is_access(word)) {
            loss->accesses++;
        } else if (qt_word_is_block(word)) {
            if (any_block) {
                loss->insns -= qt_word_block_left(word);
            } else {
                *carry = qt_word_block_left(word);
            }
            loss->blocks++;
            loss->insns += qt_word_block_insns(word);
            any_block = true;
        } else if (qt_control_words(word) >= n_words - i) {
            return; /* nonsense: it would reach beyond the chunk */
        } else {
            if (count_loss_control(word, words + i + 1, loss, carry)) {
                any_block = any_block || (is_loss(word) && words[i + 3] > 0);
            } else {
                loss->accesses += qt_control_kind(word) == QT_CONTROL_ACCESS;
                loss->events += qt_control_kind(word) == QT_CONTROL_EVENT;
            }
            i += qt_control_words(word);
        }
    }
}
