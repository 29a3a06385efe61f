/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "builder.h"

#include <string.h>

#include "words.h"

/* Most of many threads are short: the first frame of a stream is small. */
static const struct qt_frame_size first_frame = {
    .rows = 1u << 15, .bits = 11, .bits_full = 11, .bytes = 1u << 19};

/* Rows of a frame as long as one stream is live. A row may reach beyond. */
#define FRAME_ROWS (QT_MAX_ROWS - (1u << 18))

/* Bytes of its columns. Whoever reads one frame reads the index too, of which there is the more
 * the smaller the frames are; of a file of a gigabyte both together shall be less than one
 * megabyte. What is compressed becomes small by that. */
#define FRAME_BYTES (768u << 10)
#define FRAME_BYTES_STORED (448u << 10)

/* Events that a frame may have and still wait for the end of its row. */
#define SOFT_EVENTS (QT_MAX_EVENTS / 2)

void qt_builder_init(struct qt_builder *builder, uint32_t stream, uint32_t vcpu, bool user,
                     unsigned more, const struct qt_devices *devices)
{
    memset(builder, 0, sizeof(*builder));
    builder->user = user;
    builder->more = more;
    builder->devices = devices;
    builder->head.stream = stream;
    builder->head.vcpu = vcpu;
}

void qt_builder_finish(struct qt_builder *builder)
{
    qt_encoder_finish(&builder->encoder);
    memset(builder, 0, sizeof(*builder));
}

/* ---- frames ---- */

/* The frames of several live streams are smaller, so that all of them together take no more
 * memory, neither here nor where they are read side by side. */
struct qt_frame_size qt_frame_size_for(uint32_t live_streams, unsigned more, unsigned level)
{
    struct qt_frame_size size = {
        .rows = more ? FRAME_ROWS / 2 : FRAME_ROWS, /* it doubles what a row takes */
        .bits_full = QT_BITS_MAX,
        .bytes = level > 0 ? FRAME_BYTES : FRAME_BYTES_STORED,
    };
    for (uint32_t n = live_streams; n > 1 && size.bits_full > QT_BITS_MIN; n /= 2) {
        size.rows /= 2;
        size.bits_full--;
    }
    size.bits = size.bits_full < QT_BITS_USUAL ? size.bits_full : QT_BITS_USUAL;
    return size;
}

static const struct qt_frame_size *size_now(const struct qt_builder *b,
                                            const struct qt_frame_size *size)
{
    return b->head.first_block == 0 && first_frame.rows < size->rows ? &first_frame : size;
}

/* A program goes on as it has gone so far. What has no place in the tables is never predicted, and
 * its frame has no summary. */
static unsigned table_bits(const struct qt_predictor *last, const struct qt_frame_size *size)
{
    const uint32_t enough = 3u << size->bits >> 2;

    return last->n_entries > enough || last->n_nodes > 2 * enough ? size->bits_full : size->bits;
}

static int open_frame(struct qt_builder *b, const struct qt_frame_size *size)
{
    if (b->open) {
        return QTRACE_OK;
    }
    unsigned bits = table_bits(&b->encoder.predictor, size_now(b, size));
    if (qt_encoder_begin(&b->encoder, bits, b->seq, b->time) < 0 ||
        (b->more & QT_MORE_VALUES && qt_encoder_values(&b->encoder, QT_WORD_VALUE_LOG2) < 0) ||
        (b->more & QT_MORE_PHYS && qt_encoder_phys(&b->encoder) < 0)) {
        return QTRACE_E_NOMEM;
    }
    b->open = true;
    return QTRACE_OK;
}

/* The frame ends, the ordinals go on. An empty one is none. */
static int emit_frame(struct qt_builder *b, qt_builder_sink *emit, void *sink)
{
    const struct qt_rows *rows = &b->encoder.rows;
    struct qtrace_frame_info *head = &b->head;
    if (!b->open || (!rows->n_blocks && !rows->n_accesses && !b->encoder.n_events)) {
        return QTRACE_OK;
    }
    qt_encoder_end(&b->encoder);
    int result = emit(sink, b);
    head->first_block += rows->n_blocks;
    head->first_insn += rows->n_insns;
    head->first_access += rows->n_accesses;
    head->first_event += b->encoder.n_events;
    b->open = false;
    b->n_frames++;
    return result;
}

/* A loss opens a new frame, so that within a frame ordinals have no holes. */
static int place_loss(struct qt_builder *b, const struct qt_frame_size *size,
                      qt_builder_sink *emit, void *sink)
{
    struct qt_loss lost = b->lost;
    int result = emit_frame(b, emit, sink);
    struct qtrace_event event = {
        .kind = QTRACE_EVENT_LOST,
        .seq = b->seq,
        .time = b->time,
        .n_args = 4,
        .arg = {lost.blocks, lost.insns, lost.accesses, lost.events},
    };
    if (open_frame(b, size) < 0 || qt_encoder_event(&b->encoder, &event) < 0) {
        return QTRACE_E_NOMEM;
    }
    memset(&b->lost, 0, sizeof(b->lost));
    b->pending = false;
    qt_loss_add(&b->total_lost, &lost);
    b->head.first_block += lost.blocks;
    b->head.first_insn += lost.insns;
    b->head.first_access += lost.accesses;
    b->head.first_event += lost.events;
    return result;
}

/* ---- rows; those of the encoder have been stored ---- */

static void lose_access(struct qt_builder *b)
{
    b->lost.accesses++;
    b->pending = true;
}

static void lose_event(struct qt_builder *b, uint64_t kind)
{
    b->lost.events += !qt_is_own_event(kind);
    b->pending |= b->lost.events > 0;
}

void qt_builder_lose(struct qt_builder *b, const struct qt_loss *loss)
{
    qt_loss_add(&b->lost, loss);
    b->pending |= qt_loss_any(loss);
    b->after_loss |= loss->blocks > 0;
    b->dropping |= loss->blocks > 0 || loss->accesses > 0;
}

void qt_builder_partial(struct qt_builder *b, uint32_t remaining)
{
    if (b->after_loss) {
        b->lost.insns -= remaining <= b->lost.insns ? remaining : 0;
    } else if (b->open) {
        qt_encoder_left(&b->encoder, remaining);
    }
}

static void add_event(struct qt_builder *b, uint64_t word, const uint64_t *words)
{
    uint32_t n_words = qt_control_words(word);
    uint64_t kind = qt_control_payload(word);
    struct qtrace_event event = {.kind = (enum qtrace_event_kind)kind};
    if (n_words < 2 || n_words > 2 + QTRACE_EVENT_ARGS || kind > QTRACE_EVENT_DISCON ||
        kind == QTRACE_EVENT_LOST || words[0] <= b->seq) {
        lose_event(b, kind);
        return;
    }
    event.block_row = b->encoder.rows.n_blocks;
    event.access_row = b->encoder.rows.n_accesses;
    event.seq = words[0];
    event.time = words[1];
    event.n_args = n_words - 2;
    memcpy(event.arg, words + 2, event.n_args * sizeof(event.arg[0]));
    if (qt_encoder_event(&b->encoder, &event) < 0) {
        lose_event(b, kind);
        return;
    }
    b->seq = event.seq;
    b->time = event.time;
}

static void add_value(struct qt_builder *b, uint32_t node, uint32_t key, uint64_t vaddr,
                      const uint64_t *words)
{
    const uint64_t value[2] = {words[0], qt_word_value_words(qt_word_access_flags(key)) > 1
                                             ? words[1] : 0};
    qt_rows_value(&b->encoder, node, key, vaddr, value);
}

/* What the words behind an access say of it. */
struct more {
    const uint64_t *value;
    struct qt_physical physical; /* with the number of the device */
};

/* False: they say nonsense, or do not end where the access does. */
static bool read_more(const struct qt_builder *b, uint32_t flags, const uint64_t *words, size_t n,
                      struct more *more)
{
    const uint64_t *word = words;
    if (qt_word_more(flags, words, n, b->more) > n) {
        return false;
    }
    more->value = word;
    if (!(b->more & QT_MORE_PHYS)) {
        return true;
    }
    word += b->more & QT_MORE_VALUES ? qt_word_value_words(flags) : 0;
    switch (*word & 3) {
    case QT_WORD_PHYS_NONE:
        more->physical = (struct qt_physical){0, QTRACE_PHYS_NONE};
        return *word == 0;
    case QT_WORD_PHYS_RAM:
        more->physical = (struct qt_physical){*word >> 2, QTRACE_PHYS_RAM};
        return true;
    case QT_WORD_PHYS_LONG:
        more->physical = (struct qt_physical){word[1], (uint32_t)word[2]};
        return word[2] >= QTRACE_PHYS_RAM && word[2] < QTRACE_PHYS_IO + b->n_devices;
    default:
        return false;
    }
}

/* The access has been added with that node. */
static void add_more(struct qt_builder *b, uint32_t node, uint32_t key, uint64_t vaddr,
                     const struct more *more)
{
    struct qtrace_device device = {0};
    if (b->more & QT_MORE_VALUES) {
        add_value(b, node, key, vaddr, more->value);
    }
    if (b->more & QT_MORE_PHYS) {
        if (more->physical.kind >= QTRACE_PHYS_IO) {
            device = qt_devices_get(b->devices, more->physical.kind - QTRACE_PHYS_IO);
        }
        qt_phys_put(&b->encoder.phys, vaddr, &more->physical, &device);
    }
}

/* An access that did not fit into a word. */
static void add_access(struct qt_builder *b, const struct qt_lengths *lengths, uint64_t payload,
                       const uint64_t *words, size_t n_words)
{
    struct qt_rows rows = qt_rows_load(&b->encoder);
    uint32_t insn = payload & 0xffff, flags = payload >> 16 & QT_ACCESS_FLAGS;
    uint32_t key = qt_word_insn(insn) | qt_word_flags(flags);
    struct more more;
    bool good = !b->dropping && insn < QTRACE_MAX_BLOCK_INSNS &&
                read_more(b, flags, words + 2, n_words - 2, &more);
    uint32_t node = QT_NO_NODE;
    if (good && flags & QTRACE_ACCESS_FOREIGN) {
        if (words[1] < UINT32_MAX && insn < qt_length(lengths, words[1])) {
            node = qt_rows_foreign(&rows, &b->encoder, words[1], key, words[0]);
        }
    } else if (good) {
        node = qt_rows_access(&rows, &b->encoder, key, words[0]);
    }
    qt_rows_store(&b->encoder, &rows);
    if (node == QT_NO_NODE) {
        lose_access(b);
    } else if (b->more) {
        add_more(b, node, key, words[0], &more);
    }
}

/* The four counts that a LOST control carries. */
static struct qt_loss loss_of(const uint64_t *words)
{
    return (struct qt_loss){words[2], words[3], words[4], words[5]};
}

static bool has_access_words(const struct qt_builder *b, uint64_t word, const uint64_t *words)
{
    size_t n = qt_control_words(word);
    uint32_t flags = (uint32_t)(qt_control_payload(word) >> 16);
    return n >= 2 && n == 2 + qt_word_more(flags, words + 2, n - 2, b->more);
}

static void add_control(struct qt_builder *b, const struct qt_lengths *lengths, uint64_t word,
                        const uint64_t *words)
{
    if (qt_is_loss(word)) {
        struct qt_loss loss = loss_of(words);
        qt_builder_lose(b, &loss);
        return;
    }
    switch (qt_control_kind(word)) {
    case QT_CONTROL_NOP:
        break;
    case QT_CONTROL_PARTIAL:
        qt_builder_partial(b, qt_control_payload(word));
        break;
    case QT_CONTROL_ACCESS:
        if (has_access_words(b, word, words)) {
            add_access(b, lengths, qt_control_payload(word), words, qt_control_words(word));
        } else {
            lose_access(b);
        }
        break;
    case QT_CONTROL_EVENT:
        add_event(b, word, words);
        break;
    default:
        lose_event(b, 0);
    }
}

/* ---- words ---- */

static int worst(int a, int b)
{
    return a ? a : b;
}

/* Without memory for them: what the words would have been is lost. told: what the first block
 * says of the one before it has been taken. */
static int lose_words(struct qt_builder *b, const uint64_t *words, size_t n_words, bool told)
{
    struct qt_loss loss = {0};
    uint32_t left;
    qt_words_count(words, n_words, b->more, &loss, &left);
    if (!told) {
        qt_builder_partial(b, left);
    }
    qt_builder_lose(b, &loss);
    return QTRACE_E_NOMEM;
}

void qt_builder_skip(struct qt_builder *b, const uint64_t *words, size_t n_words)
{
    (void)lose_words(b, words, n_words, false);
}

/* Devices that the words may name were met before they were written. */
static int reserve_phys(struct qt_builder *b, size_t n_words)
{
    b->n_devices = atomic_load_explicit(&b->devices->n, memory_order_acquire);
    return qt_encoder_reserve_phys(&b->encoder, n_words,
                                   b->n_devices - b->encoder.phys.n_devices);
}

static int make_room(struct qt_builder *b, size_t n_words, const struct qt_frame_size *size)
{
    if (open_frame(b, size) < 0 || qt_encoder_reserve(&b->encoder, n_words) < 0 ||
        (b->more & QT_MORE_VALUES && qt_encoder_reserve_values(&b->encoder, n_words) < 0) ||
        (b->more & QT_MORE_PHYS && reserve_phys(b, n_words) < 0)) {
        return QTRACE_E_NOMEM;
    }
    /* Only a row of more than a million accesses can come to this. */
    if ((size_t)b->encoder.rows.n_blocks + b->encoder.rows.n_accesses + n_words > QT_MAX_ROWS) {
        b->dropping = true;
    }
    return QTRACE_OK;
}

static size_t frame_bytes(const struct qt_builder *b)
{
    size_t n = 0;
    for (unsigned i = 0; i < QT_COLUMNS; i++) {
        n += b->encoder.column[i].len;
    }
    return n;
}

/* So many rows may be in the frame. What else limits it is looked at before each chunk only. */
static uint32_t row_limit(const struct qt_builder *b, const struct qt_frame_size *size)
{
    return b->open && (b->encoder.n_events >= SOFT_EVENTS || frame_bytes(b) >= size->bytes)
               ? 0
               : size_now(b, size)->rows;
}

static inline bool is_large(const struct qt_rows *rows, uint32_t limit)
{
    return rows->n_blocks + rows->n_accesses >= limit;
}

/* What is to be done between two rows, seldom. */
static int between_rows(struct qt_builder *b, uint32_t left, uint32_t limit, size_t n_words,
                        const struct qt_frame_size *size, qt_builder_sink *emit, void *sink)
{
    int result = QTRACE_OK;
    if (left) {
        qt_builder_partial(b, left);
    }
    if (b->pending) {
        result = place_loss(b, size, emit, sink);
    } else if (is_large(&b->encoder.rows, limit)) {
        result = emit_frame(b, emit, sink);
    }
    return worst(result, make_room(b, n_words, size));
}

/* An access in a word of its own, behind which n_words are left. Returns how many of them belong
 * to it. */
QT_INLINE size_t add_access_word(struct qt_builder *b, struct qt_rows *rows,
                                 const uint64_t *words, size_t n_words, bool user, bool has_more)
{
    const uint64_t word = *words, vaddr = qt_word_vaddr(word, user);
    const uint32_t flags = qt_word_access_flags(word);
    uint32_t node = QT_NO_NODE;
    struct more more;

    if (qt_likely(!b->dropping && (!has_more || read_more(b, flags, words + 1, n_words, &more)))) {
        node = qt_rows_access(rows, &b->encoder, (uint16_t)word, vaddr);
    }
    if (qt_unlikely(node == QT_NO_NODE)) {
        lose_access(b);
    } else if (has_more) {
        add_more(b, node, (uint16_t)word, vaddr, &more);
    }
    return has_more ? qt_word_more(flags, words + 1, n_words, b->more) : 0;
}

/* Made twice, with more behind accesses and without: without, nothing shall ask for it. */
QT_INLINE int add_all(struct qt_builder *b, const struct qt_lengths *lengths,
                      const uint64_t *words, size_t n_words, const struct qt_frame_size *size,
                      qt_builder_sink *emit, void *sink, bool more)
{
    struct qt_encoder *e = &b->encoder;
    const bool user = b->user;
    uint32_t limit = row_limit(b, size);
    int result = make_room(b, n_words, size);
    if (result != QTRACE_OK) {
        return lose_words(b, words, n_words, false);
    }
    struct qt_rows rows = qt_rows_load(e);
    for (size_t i = 0; i < n_words; i++) {
        const uint64_t word = words[i];
        if (qt_word_is_access(word)) {
            i += add_access_word(b, &rows, words + i, n_words - i - 1, user, more);
        } else if (qt_word_is_block(word)) {
            uint32_t left = qt_word_block_left(word);
            if (qt_unlikely(left || b->pending || is_large(&rows, limit))) {
                qt_rows_store(e, &rows);
                int ret = between_rows(b, left, limit, n_words - i, size, emit, sink);
                result = worst(result, ret);
                if (!b->open) {
                    return worst(lose_words(b, words + i, n_words - i, true), result);
                }
                rows = qt_rows_load(e);
                limit = row_limit(b, size);
            }
            b->after_loss = b->dropping = false;
            if (qt_unlikely(!qt_rows_block(&rows, e, qt_word_block_id(word), lengths))) {
                struct qt_loss loss = {.blocks = 1, .insns = qt_word_block_insns(word)};
                qt_builder_lose(b, &loss);
            }
        } else if (qt_control_words(word) >= n_words - i) {
            lose_event(b, 0); /* nonsense: it would reach beyond the chunk */
            break;
        } else {
            qt_rows_store(e, &rows);
            add_control(b, lengths, word, words + i + 1);
            rows = qt_rows_load(e);
            i += qt_control_words(word);
        }
    }
    qt_rows_store(e, &rows);
    return result;
}

int qt_builder_add(struct qt_builder *b, const struct qt_lengths *lengths,
                   const uint64_t *words, size_t n_words, const struct qt_frame_size *size,
                   qt_builder_sink *emit, void *sink)
{
    return b->more ? add_all(b, lengths, words, n_words, size, emit, sink, true)
                   : add_all(b, lengths, words, n_words, size, emit, sink, false);
}

void qt_builder_borrow(struct qt_builder *b, struct qt_encoder *spare)
{
    if (b->encoder.predictor.bits == 0) {
        b->encoder = *spare;
        *spare = (struct qt_encoder){0};
    }
}

void qt_builder_return(struct qt_builder *b, struct qt_encoder *spare)
{
    if (!b->open) {
        qt_encoder_finish(spare);
        *spare = b->encoder;
        b->encoder = (struct qt_encoder){0};
    }
}

int qt_builder_flush(struct qt_builder *b, qt_builder_sink *emit, void *sink)
{
    int result = QTRACE_OK;
    if (b->pending) {
        result = place_loss(b, &first_frame, emit, sink);
    }
    return worst(result, emit_frame(b, emit, sink));
}

/* Does this control say something of the block before, or of a loss before? */
static bool count_loss_control(uint64_t word, const uint64_t *words, struct qt_loss *loss,
                               uint32_t *carry)
{
    if (qt_control_kind(word) == QT_CONTROL_PARTIAL) {
        *carry = qt_control_payload(word);
        return true;
    }
    if (!qt_is_loss(word)) {
        return false;
    }
    struct qt_loss before = loss_of(words);
    qt_loss_add(loss, &before);
    return true;
}

void qt_words_count(const uint64_t *words, size_t n_words, unsigned more, struct qt_loss *loss,
                    uint32_t *carry)
{
    bool any_block = false;
    *carry = 0;
    for (size_t i = 0; i < n_words; i++) {
        uint64_t word = words[i];
        if (qt_word_is_access(word)) {
            loss->accesses++;
            i += qt_word_more(qt_word_access_flags(word), words + i + 1, n_words - i - 1, more);
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
                any_block = any_block || (qt_is_loss(word) && words[i + 3] > 0);
            } else {
                loss->accesses += qt_control_kind(word) == QT_CONTROL_ACCESS;
                loss->events += qt_control_kind(word) == QT_CONTROL_EVENT &&
                                !qt_is_own_event(qt_control_payload(word));
            }
            i += qt_control_words(word);
        }
    }
}
