/*
 * scan.c - the inside of a reader: what a walk over the file's envelopes finds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io.h"

#define SEARCH_WINDOW (1u << 20)
#define FIRST_READ 4096 /* enough for most envelopes */
#define KEPT (4u << 20)  /* of definitions, while nobody has asked for any */

static int no_memory(struct qtrace_error *err)
{
    return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
}

/* ---- gaps ---- */

static int add_gap(struct qtrace_reader *r, const struct qtrace_gap *gap)
{
    if (qt_grow((void **)&r->gap, &r->cap_gaps, r->n_gaps + 1, sizeof(*r->gap)) < 0) {
        return QTRACE_E_NOMEM;
    }
    r->gap[r->n_gaps++] = *gap;
    r->lost |= gap->lost;
    r->damaged |= !gap->lost && !gap->to_end;
    return QTRACE_OK;
}

int qt_scan_damage(struct qtrace_reader *reader, uint64_t offset, const struct qt_frame *frame,
                   const char *message)
{
    struct qtrace_gap gap = {.offset = offset, .stream = UINT32_MAX};

    if (frame != NULL && frame->info.of_stream) {
        gap.stream = frame->info.stream;
        gap.first_block = frame->info.first_block;
        gap.first_insn = frame->info.first_insn;
        gap.first_access = frame->info.first_access;
        gap.first_event = frame->info.first_event;
        gap.blocks = frame->info.blocks;
        gap.insns = frame->info.insns;
        gap.accesses = frame->info.accesses;
        gap.events = frame->info.events;
    }
    snprintf(gap.message, sizeof(gap.message), "%.*s", (int)sizeof(gap.message) - 1, message);
    return add_gap(reader, &gap);
}

/* Damage of no known extent in rows; the streams' ordinals tell what is missing. */
static int note(struct qtrace_reader *r, uint64_t offset, const char *message)
{
    r->trouble = offset;
    return qt_scan_damage(r, offset, NULL, message);
}

static int add_stretch(struct qtrace_reader *r, const struct qt_reader_stream *s,
                       const struct qt_ordinals *from, const struct qt_ordinals *to,
                       uint64_t offset, bool lost, const char *message)
{
    struct qtrace_gap gap = {
        .offset = offset,
        .stream = s->info.stream,
        .lost = lost,
        .first_block = from->block,
        .blocks = to->block - from->block,
        .first_insn = from->insn,
        .insns = to->insn - from->insn,
        .first_access = from->access,
        .accesses = to->access - from->access,
        .first_event = from->event,
        .events = to->event - from->event,
    };

    snprintf(gap.message, sizeof(gap.message), "%.*s", (int)sizeof(gap.message) - 1, message);
    return add_gap(r, &gap);
}

/* ---- envelopes ---- */

static int window(struct qtrace_reader *r, uint64_t offset, size_t size,
                  struct qtrace_error *err)
{
    size_t have = r->window.len;
    int ret;

    if (size <= have) {
        return QTRACE_OK;
    }
    if (qt_buf_reserve(&r->window, size - have) < 0) {
        return no_memory(err);
    }
    ret = qt_source_read(&r->file, r->window.data + have, size - have, offset + have, err);
    if (ret == QTRACE_OK) {
        r->window.len = size;
    }
    return ret;
}

int qt_scan_envelope(struct qtrace_reader *reader, uint64_t offset, bool any_nonce,
                     struct qt_envelope *envelope, struct qtrace_error *err)
{
    uint64_t left = reader->size - offset;
    size_t size;
    int ret;

    reader->window.len = 0;
    ret = window(reader, offset, left < FIRST_READ ? (size_t)left : FIRST_READ, err);
    if (ret < 0) {
        return ret;
    }
    if (left < QT_ENVELOPE_HEAD) {
        return qt_envelope_prefix(reader->window.data, (size_t)left, reader->nonce)
                   ? QTRACE_E_TRUNCATED
                   : QTRACE_E_DAMAGED;
    }
    if (!qt_envelope_head(envelope, reader->window.data) ||
        (!any_nonce && envelope->nonce != reader->nonce)) {
        return QTRACE_E_DAMAGED;
    }
    size = QT_ENVELOPE_HEAD + (size_t)envelope->body_size;
    if (size > left) {
        return QTRACE_E_TRUNCATED;
    }
    ret = window(reader, offset, size, err);
    if (ret < 0) {
        return ret;
    }
    return qt_envelope_check(envelope, reader->window.data,
                             reader->window.data + QT_ENVELOPE_HEAD)
               ? QTRACE_OK
               : QTRACE_E_DAMAGED;
}

/* ---- sequence numbers ---- */

static void spend(struct qtrace_reader *r, uint64_t bytes)
{
    r->budget = r->budget < bytes ? 0 : r->budget - bytes;
}

/* The hole that a number is in. NULL: it is in none, or finding it would take too long. */
static struct qt_hole *find_hole(struct qtrace_reader *r, uint64_t seq)
{
    size_t i = r->n_holes;

    for (; i > 0 && r->hole[i - 1].first > seq && r->budget > 0; i--) {
        r->budget--;
    }
    return i > 0 && r->hole[i - 1].first <= seq && seq < r->hole[i - 1].end ? &r->hole[i - 1]
                                                                           : NULL;
}

/* Has no good envelope had this number yet? */
static bool is_fresh(struct qtrace_reader *r, uint32_t seq)
{
    return seq >= r->next_seq || find_hole(r, seq) != NULL;
}

static int add_hole(struct qtrace_reader *r, size_t place, uint64_t first, uint64_t end)
{
    size_t behind = (r->n_holes - place) * sizeof(*r->hole);

    if (qt_grow((void **)&r->hole, &r->cap_holes, r->n_holes + 1, sizeof(*r->hole)) < 0) {
        return QTRACE_E_NOMEM;
    }
    spend(r, behind);
    memmove(&r->hole[place + 1], &r->hole[place], behind);
    r->hole[place] = (struct qt_hole){first, end};
    r->n_holes++;
    return QTRACE_OK;
}

/* A good envelope has this number, which is fresh. */
static int use_seq(struct qtrace_reader *r, uint32_t seq)
{
    uint64_t next = r->next_seq, end;
    struct qt_hole *hole;

    r->expected_seq = seq + 1ull;
    if (seq >= next) {
        r->next_seq = seq + 1ull;
        return seq == next ? QTRACE_OK : add_hole(r, r->n_holes, next, seq);
    }
    r->disorder = true;
    hole = find_hole(r, seq);
    if (hole == NULL) {
        return QTRACE_OK; /* the search has become too expensive just now */
    }
    if (hole->first == seq) {
        hole->first++;
        return QTRACE_OK;
    }
    end = hole->end;
    hole->end = seq;
    return add_hole(r, (size_t)(hole - r->hole) + 1, seq + 1ull, end);
}

/* It was not good after all. */
static int reopen_seq(struct qtrace_reader *r, uint32_t seq)
{
    size_t i = r->n_holes;

    while (i > 0 && r->hole[i - 1].first > seq) {
        i--;
    }
    spend(r, r->n_holes - i);
    return add_hole(r, i, seq, seq + 1ull);
}

/* ---- searching ---- */

/* Is there an envelope to go on with at offset? 0 = yes, QTRACE_END = no. */
static int candidate(struct qtrace_reader *r, uint64_t offset, bool any_nonce,
                     struct qtrace_error *err)
{
    struct qt_envelope e = {0};
    int ret = qt_scan_envelope(r, offset, any_nonce, &e, err);

    if (ret == QTRACE_OK && (any_nonce || is_fresh(r, e.seq))) {
        return QTRACE_OK;
    }
    if (ret == QTRACE_E_IO || ret == QTRACE_E_NOMEM) {
        return ret;
    }
    /* A file made to waste time has a great many of these. */
    spend(r, r->window.len + 64);
    return QTRACE_END;
}

/* Find the next envelope at or after from. QTRACE_END: none. */
static int resync(struct qtrace_reader *r, uint64_t from, bool any_nonce, uint64_t *found,
                  struct qtrace_error *err)
{
    uint8_t want[16], *p, *end;
    size_t want_size = any_nonce ? 8 : 16, n;
    uint64_t at = from + 8; /* where a mark may stand */
    int ret;

    memcpy(want, QT_ENVELOPE_MARK, 8);
    qt_put_le64(want + 8, r->nonce);
    r->search.len = 0;
    n = r->size < SEARCH_WINDOW ? (size_t)r->size : SEARCH_WINDOW;
    if (qt_buf_reserve(&r->search, n) < 0) {
        return no_memory(err);
    }
    while (at < r->size && r->size - at >= want_size && r->budget > 0) {
        n = r->size - at < SEARCH_WINDOW ? (size_t)(r->size - at) : SEARCH_WINDOW;
        ret = qt_source_read(&r->file, r->search.data, n, at, err);
        if (ret < 0) {
            return ret;
        }
        end = r->search.data + n;
        for (p = r->search.data; r->budget > 0; p++) {
            p = memmem(p, (size_t)(end - p), want, want_size);
            if (p == NULL) {
                break;
            }
            *found = at + (uint64_t)(p - r->search.data) - 8;
            ret = candidate(r, *found, any_nonce, err);
            if (ret != QTRACE_END) {
                return ret;
            }
        }
        at += n - want_size + 1;
    }
    return QTRACE_END;
}

/* ---- columns ---- */

int qt_scan_stored_sum(const struct qt_frame *frame, unsigned i, const uint8_t *stored,
                       struct qtrace_error *err)
{
    const struct qtrace_column_info *c = &frame->info.column[i];

    if (qt_crc32c(0, stored, c->stored_size) == frame->crc[i]) {
        return QTRACE_OK;
    }
    return qtrace_error_set(err, QTRACE_E_DAMAGED, c->offset,
                            "column %s at offset %" PRIu64 " does not match its checksum",
                            qtrace_column_name(c->id), c->offset);
}

int qt_scan_stored(struct qtrace_reader *r, const struct qt_frame *frame, unsigned i,
                   struct qtrace_error *err)
{
    const struct qtrace_column_info *c = &frame->info.column[i];
    int ret;

    r->stored.len = 0;
    if (qt_buf_reserve(&r->stored, c->stored_size) < 0) {
        return no_memory(err);
    }
    ret = qt_source_read(&r->file, r->stored.data, c->stored_size, c->offset, err);
    return ret == QTRACE_OK ? qt_scan_stored_sum(frame, i, r->stored.data, err) : ret;
}

int qt_scan_column(struct qtrace_reader *reader, const struct qt_frame *frame, unsigned i,
                   struct qtrace_error *err)
{
    const struct qtrace_column_info *c = &frame->info.column[i];
    int ret = qt_scan_stored(reader, frame, i, err);

    if (ret < 0) {
        return ret;
    }
    reader->raw.len = 0;
    if (qt_buf_reserve(&reader->raw, c->raw_size) < 0) {
        return no_memory(err);
    }
    ret = qt_codec_decode(&reader->coder.codec, c->codec, reader->stored.data, c->stored_size,
                          reader->raw.data, c->raw_size);
    if (ret < 0) {
        return qtrace_error_set(err, ret, c->offset, "column %s at offset %" PRIu64 ": %s",
                                qtrace_column_name(c->id), c->offset, qtrace_strerror(ret));
    }
    reader->raw.len = c->raw_size;
    return QTRACE_OK;
}

/* ---- definitions ---- */

int qt_scan_definitions(struct qtrace_reader *r, const struct qt_frame *frame,
                        struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->info;
    uint32_t first = (uint32_t)f->first_translation;
    int ret;

    if (f->column[0].raw_size > QT_DEFINITIONS_MAX ||
        f->translations > f->column[0].raw_size) {
        return qtrace_error_set(err, QTRACE_E_DAMAGED, f->offset,
                                "definitions at offset %" PRIu64 " have an impossible size",
                                f->offset);
    }
    if (f->column[0].encoding != QT_ENCODING || f->column[0].codec > QT_CODEC_LZ4) {
        return qtrace_error_set(err, QTRACE_E_REFUSED, f->offset,
                                "definitions at offset %" PRIu64 " have an unknown encoding",
                                f->offset);
    }
    ret = qt_scan_column(r, frame, 0, err);
    if (ret < 0) {
        return ret;
    }
    ret = qt_dictionary_load(&r->dictionary, r->raw.data, r->raw.len, first, f->translations);
    if (ret < 0) {
        return qtrace_error_set(err, ret, f->offset, "definitions at offset %" PRIu64 ": %s",
                                f->offset, qtrace_strerror(ret));
    }
    return QTRACE_OK;
}

/* Have all of these been defined? */
static bool are_defined(const struct qtrace_reader *r, uint64_t first, uint64_t n)
{
    uint64_t i;

    for (i = 0; i < n && qt_length(&r->dictionary.lengths, (uint32_t)(first + i)) != 0; i++) {
    }
    return i == n;
}

/* Of definitions that are known already, the checksum has to be right. What many of them say is
 * not kept: it is read again when it is asked for. */
static int take_definitions(struct qtrace_reader *r, const struct qt_frame *frame,
                            struct qtrace_error *err)
{
    struct qtrace_error local;
    uint64_t n = frame->info.translations, end = frame->info.first_translation + n;
    int ret = are_defined(r, frame->info.first_translation, n)
                  ? qt_scan_stored(r, frame, 0, &local)
                  : qt_scan_definitions(r, frame, &local);

    if (r->dictionary.used > KEPT) {
        qt_dictionary_forget(&r->dictionary);
    }
    if (ret == QTRACE_E_IO || ret == QTRACE_E_NOMEM) {
        if (err != NULL) {
            *err = local;
        }
        return ret;
    }
    if (ret < 0) {
        return note(r, frame->info.offset, local.message) < 0 ? no_memory(err) : QTRACE_OK;
    }
    r->n_translations = end > r->n_translations ? end : r->n_translations;
    return QTRACE_OK;
}

/* ---- the index ---- */

bool qt_scan_same(struct qtrace_reader *reader, const struct qt_frame *a,
                  const struct qt_frame *b)
{
    struct qt_buf *x = &reader->packed[0], *y = &reader->packed[1];

    return a->info.offset == b->info.offset && a->info.size == b->info.size &&
           qt_frame_pack(a, true, x) == QTRACE_OK && qt_frame_pack(b, true, y) == QTRACE_OK &&
           x->len == y->len && memcmp(x->data, y->data, x->len) == 0;
}

static bool same_lengths(struct qtrace_reader *r, struct qt_index_segment *s,
                         const struct qtrace_frame_info *f)
{
    uint64_t i, n = qt_index_n_lengths(f);

    for (i = 0; i < n; i++) {
        if (qt_index_length(s) !=
            qt_length(&r->dictionary.lengths, (uint32_t)(f->first_translation + i))) {
            return false;
        }
    }
    return true;
}

/* Does the segment in the file say of the frames before it what the walk has found? */
static bool segment_is_right(struct qtrace_reader *r, struct qt_index_segment *s, size_t n)
{
    size_t i;

    if (s->previous != r->last_index_offset || s->first != r->last_index || s->n == 0 ||
        s->n != n - r->last_index) {
        return false;
    }
    for (i = 0; i < s->n; i++) {
        if (!qt_scan_same(r, &s->frame[i], &r->frame[s->first + i].frame) ||
            !same_lengths(r, s, &s->frame[i].info)) {
            return false;
        }
    }
    return s->lengths.p == s->lengths.end;
}

int qt_scan_segment(struct qtrace_reader *reader, const struct qt_frame *frame,
                    struct qtrace_error *err)
{
    const struct qtrace_column_info *c = &frame->info.column[0];
    int ret;

    if (reader->segment == NULL) {
        reader->segment = malloc(sizeof(*reader->segment));
    }
    if (reader->segment == NULL) {
        return no_memory(err);
    }
    if (c->id != QTRACE_COLUMN_INDEX || c->encoding != QT_ENCODING || c->codec > QT_CODEC_LZ4 ||
        c->raw_size > QT_INDEX_MAX) {
        return QTRACE_E_DAMAGED;
    }
    ret = qt_scan_column(reader, frame, 0, err);
    return ret < 0 ? ret
                   : qt_index_unpack(reader->segment, reader->raw.data, reader->raw.len,
                                     frame->info.offset);
}

/* The walk needs no index, but a wrong one is damage; so is a wrong sum of a column. n: frames
 * before this one. */
static int take_index(struct qtrace_reader *r, const struct qt_frame *frame, size_t n,
                      struct qtrace_error *err)
{
    bool whole = !r->damaged;
    unsigned i;
    int ret = qt_scan_segment(r, frame, err);

    for (i = 1; ret == QTRACE_OK && i < frame->info.n_columns; i++) {
        ret = qt_scan_stored(r, frame, i, err);
    }
    if (ret == QTRACE_E_IO || ret == QTRACE_E_NOMEM) {
        return ret;
    }
    if (ret < 0 || (whole && !segment_is_right(r, r->segment, n))) {
        ret = note(r, frame->info.offset, "a segment of the index is wrong");
    }
    r->last_index = n;
    r->last_index_offset = frame->info.offset;
    return ret == QTRACE_E_NOMEM ? no_memory(err) : QTRACE_OK;
}

/* ---- streams ---- */

static int get_stream(struct qtrace_reader *r, uint32_t number, uint32_t vcpu,
                      struct qt_reader_stream **out)
{
    struct qt_reader_stream *s;

    if (qt_grow((void **)&r->stream, &r->cap_streams, number + 1ull, sizeof(*s)) < 0) {
        return QTRACE_E_NOMEM;
    }
    for (; r->n_streams <= number; r->n_streams++) {
        r->stream[r->n_streams].info.stream = (uint32_t)r->n_streams;
    }
    s = &r->stream[number];
    if (!s->vcpu_known) {
        s->info.vcpu = vcpu;
        s->vcpu_known = true;
    }
    *out = s;
    return QTRACE_OK;
}

static struct qt_ordinals first_of(const struct qtrace_frame_info *f)
{
    return (struct qt_ordinals){f->first_block, f->first_insn, f->first_access,
                                f->first_event};
}

static bool any_below(const struct qt_ordinals *a, const struct qt_ordinals *b)
{
    return a->block < b->block || a->insn < b->insn || a->access < b->access ||
           a->event < b->event;
}

/* Rows are missing between the stream's last frame and this one. */
static int explain_jump(struct qtrace_reader *r, struct qt_reader_stream *s,
                        const struct qt_reader_frame *frame, struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->frame.info;
    const struct qt_ordinals loss = {f->lost_blocks, f->lost_insns, f->lost_accesses,
                                     f->lost_events};
    struct qt_ordinals first = first_of(f), split = first;
    uint64_t offset = f->offset;
    char message[160];
    int ret = QTRACE_OK;

    if (loss.block <= first.block - s->next.block && loss.insn <= first.insn - s->next.insn &&
        loss.access <= first.access - s->next.access &&
        loss.event <= first.event - s->next.event) {
        split = (struct qt_ordinals){first.block - loss.block, first.insn - loss.insn,
                                     first.access - loss.access, first.event - loss.event};
    }
    if (any_below(&s->next, &split)) {
        if (frame->trouble != UINT64_MAX && frame->trouble >= s->last_offset) {
            offset = frame->trouble;
        }
        snprintf(message, sizeof(message),
                 "stream %" PRIu32 " lacks rows before its frame at offset %" PRIu64,
                 s->info.stream, f->offset);
        ret = add_stretch(r, s, &s->next, &split, offset, false, message);
        if (ret < 0) {
            return no_memory(err);
        }
    }
    if (any_below(&split, &first)) {
        s->info.lost_blocks += loss.block;
        s->info.lost_insns += loss.insn;
        s->info.lost_accesses += loss.access;
        s->info.lost_events += loss.event;
        ret = add_stretch(r, s, &split, &first, f->offset, true,
                          "the recorder counted a loss");
    }
    return ret == QTRACE_E_NOMEM ? no_memory(err) : QTRACE_OK;
}

static int add_frame(struct qtrace_reader *r, const struct qt_frame *frame, uint32_t seq)
{
    if (qt_grow((void **)&r->frame, &r->cap_frames, r->n_frames + 1, sizeof(*r->frame)) < 0) {
        return QTRACE_E_NOMEM;
    }
    r->frame[r->n_frames++] =
        (struct qt_reader_frame){.frame = *frame, .seq = seq, .trouble = r->trouble};
    return QTRACE_OK;
}

static void count_frame(struct qt_reader_stream *s, const struct qtrace_frame_info *f)
{
    s->next = (struct qt_ordinals){f->first_block + f->blocks, f->first_insn + f->insns,
                                   f->first_access + f->accesses, f->first_event + f->events};
    s->last_offset = f->offset;
    s->info.blocks += f->blocks;
    s->info.insns += f->insns;
    s->info.accesses += f->accesses;
    s->info.events += f->events;
    s->info.syscalls += f->syscalls;
}

/* Put the frame at the end of its stream. QTRACE_END: it does not belong there. */
static int join_stream(struct qtrace_reader *r, const struct qt_reader_frame *frame,
                       size_t index, struct qtrace_error *err)
{
    const struct qtrace_frame_info *f = &frame->frame.info;
    struct qt_ordinals first = first_of(f);
    struct qt_reader_stream *s;
    int ret = QTRACE_OK;

    if (get_stream(r, f->stream, f->vcpu, &s) < 0) {
        return no_memory(err);
    }
    if (any_below(&first, &s->next)) {
        return note(r, f->offset, "a frame repeats rows of its stream") < 0 ? no_memory(err)
                                                                            : QTRACE_END;
    }
    if (any_below(&s->next, &first)) {
        ret = explain_jump(r, s, frame, err);
    }
    if (ret == QTRACE_OK && qt_grow((void **)&s->frame, &s->cap_frames, s->n_frames + 1,
                                    sizeof(*s->frame)) < 0) {
        ret = no_memory(err);
    }
    if (ret == QTRACE_OK) {
        s->frame[s->n_frames++] = index;
        count_frame(s, f);
    }
    return ret;
}

static int compare_seqs(const void *a, const void *b)
{
    const struct qt_reader_frame *x = a, *y = b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* QTRACE_END: it is to be left out. */
static int join(struct qtrace_reader *r, const struct qt_reader_frame *frame, size_t index,
                struct qtrace_error *err)
{
    if (frame->frame.info.of_stream) {
        return join_stream(r, frame, index, err);
    }
    if (frame->frame.info.index && !r->indexed) {
        return take_index(r, &frame->frame, index, err);
    }
    return frame->frame.info.definitions && !r->indexed
               ? take_definitions(r, &frame->frame, err)
               : QTRACE_OK;
}

/* Definitions may refer to earlier ones, and streams are made of what follows. */
int qt_scan_join(struct qtrace_reader *reader, struct qtrace_error *err)
{
    struct qt_reader_frame *frame = reader->frame;
    size_t i, n = 0;
    int ret = QTRACE_OK;

    if (reader->disorder && reader->n_frames > 0) {
        qsort(frame, reader->n_frames, sizeof(*frame), compare_seqs);
    }
    for (i = 0; ret >= 0 && i < reader->n_frames; i++) {
        ret = join(reader, &frame[i], n, err);
        if (ret == QTRACE_OK && n++ != i) {
            frame[n - 1] = frame[i];
        }
    }
    reader->n_frames = n;
    return ret < 0 ? ret : QTRACE_OK;
}

int qt_scan_frame(struct qtrace_reader *reader, const struct qt_frame *frame,
                  struct qtrace_error *err)
{
    return add_frame(reader, frame, (uint32_t)reader->n_frames) < 0 ? no_memory(err) : QTRACE_OK;
}

/* ---- the messages ---- */

static int take_header(struct qtrace_reader *r, const struct qt_envelope *e,
                       struct qtrace_error *err)
{
    Qtrace__FileHeader *m;

    m = qtrace__file_header__unpack(NULL, e->body_size, r->window.data + QT_ENVELOPE_HEAD);
    if (m == NULL) {
        return QTRACE_E_DAMAGED;
    }
    if (r->header != NULL) {
        qtrace__file_header__free_unpacked(m, NULL);
        return QTRACE_OK;
    }
    r->header = m;
    if (m->version != 0) {
        return qtrace_error_set(err, QTRACE_E_REFUSED, 0,
                                "format version %" PRIu32 " is not known; this reader reads 0",
                                m->version);
    }
    if (m->incompatible != 0) {
        return qtrace_error_set(err, QTRACE_E_REFUSED, 0,
                                "the trace needs features 0x%" PRIx64
                                " that this reader does not know", m->incompatible);
    }
    return QTRACE_OK;
}

static int take_run(struct qtrace_reader *r, const struct qt_envelope *e)
{
    Qtrace__Run *m;

    if (r->run_message != NULL) {
        return QTRACE_OK;
    }
    m = qtrace__run__unpack(NULL, e->body_size, r->window.data + QT_ENVELOPE_HEAD);
    r->run_message = m;
    return m == NULL ? QTRACE_E_DAMAGED : QTRACE_OK;
}

static int take_end(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset)
{
    Qtrace__End *m;

    m = qtrace__end__unpack(NULL, e->body_size, r->window.data + QT_ENVELOPE_HEAD);
    if (m == NULL || m->translations > UINT32_MAX) {
        if (m != NULL) {
            qtrace__end__free_unpacked(m, NULL);
        }
        return QTRACE_E_DAMAGED;
    }
    if (r->end != NULL) {
        qtrace__end__free_unpacked(r->end, NULL);
    }
    r->end = m;
    r->end_offset = offset;
    return QTRACE_OK;
}

static int take_mark(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset)
{
    const uint8_t *body = r->window.data + QT_ENVELOPE_HEAD;

    r->mark = true;
    if (e->body_size != 16 || (r->end != NULL && qt_get_le64(body) != r->end_offset) ||
        qt_get_le64(body + 8) != offset + QT_END_MARK_SIZE) {
        return QTRACE_E_DAMAGED;
    }
    return QTRACE_OK;
}

bool qt_scan_place(const struct qtrace_reader *r, struct qt_frame *frame, uint64_t offset,
                   uint64_t *next)
{
    uint64_t at = *next;
    unsigned i;

    for (i = 0; i < frame->info.n_columns; i++) {
        if (frame->info.column[i].stored_size > r->size - at) {
            return false;
        }
        frame->info.column[i].offset = at;
        at += frame->info.column[i].stored_size;
    }
    frame->info.offset = offset;
    frame->info.size = at - offset;
    *next = at;
    return true;
}

static int take_frame(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset,
                      uint64_t *next, struct qtrace_error *err)
{
    struct qt_reader_stream *s;
    struct qt_frame frame;
    int ret;

    ret = qt_frame_unpack(&frame, r->window.data + QT_ENVELOPE_HEAD, e->body_size, err);
    if (ret < 0) {
        return ret;
    }
    if (frame.info.of_stream && frame.info.stream >= QT_MAX_STREAMS) {
        return QTRACE_E_DAMAGED;
    }
    if (!qt_scan_place(r, &frame, offset, next)) {
        if (frame.info.of_stream &&
            get_stream(r, frame.info.stream, frame.info.vcpu, &s) < 0) {
            return no_memory(err);
        }
        return QTRACE_E_TRUNCATED;
    }
    return add_frame(r, &frame, e->seq) < 0 ? no_memory(err) : QTRACE_OK;
}

int qt_scan_message(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset,
                    struct qtrace_error *err)
{
    switch (e->type) {
    case QT_ENVELOPE_FILE_HEADER:
        return take_header(r, e, err);
    case QT_ENVELOPE_RUN:
        return take_run(r, e);
    case QT_ENVELOPE_END:
        return take_end(r, e, offset);
    case QT_ENVELOPE_END_MARK:
        return take_mark(r, e, offset);
    default:
        if (e->flags & QT_ENVELOPE_MANDATORY) {
            return qtrace_error_set(err, QTRACE_E_REFUSED, offset,
                                    "messages of type %u are not known to this reader",
                                    e->type);
        }
        return QTRACE_OK;
    }
}

/* QTRACE_E_DAMAGED: the message is nonsense; QTRACE_E_TRUNCATED: its columns are cut off. */
static int take(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset,
                uint64_t *next, struct qtrace_error *err)
{
    return e->type == QT_ENVELOPE_FRAME ? take_frame(r, e, offset, next, err)
                                        : qt_scan_message(r, e, offset, err);
}

/* ---- the walk ---- */

/* Do the columns match their checksums? */
static int check_columns(struct qtrace_reader *r, const struct qt_frame *frame,
                         struct qtrace_error *err)
{
    unsigned i;
    int ret = QTRACE_OK;

    for (i = 0; ret == QTRACE_OK && i < frame->info.n_columns; i++) {
        ret = qt_scan_stored(r, frame, i, err);
        spend(r, frame->info.column[i].stored_size);
    }
    return ret;
}

/* The same for a frame whose envelope has just been read. What else may be wrong with it is for
 * take_frame to say. */
static int check_frame(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset,
                       struct qtrace_error *err)
{
    uint64_t next = offset + QT_ENVELOPE_HEAD + e->body_size;
    struct qt_frame frame;
    int ret = qt_frame_unpack(&frame, r->window.data + QT_ENVELOPE_HEAD, e->body_size, err);

    if (ret < 0) {
        return ret == QTRACE_E_DAMAGED ? QTRACE_OK : ret;
    }
    if (!qt_scan_place(r, &frame, offset, &next)) {
        return QTRACE_E_TRUNCATED;
    }
    return check_columns(r, &frame, err);
}

/* Something else follows the last frame than the next message. If it is not whole either, it may
 * be the beginning of one that stands elsewhere, or hide what follows it, so it is forgotten. (The
 * ordinals tell that its rows are missing.) */
static int revoke(struct qtrace_reader *r, struct qtrace_error *err)
{
    const struct qt_reader_frame *f;
    int ret;

    if (r->after_damage || r->n_frames == 0) {
        return QTRACE_OK;
    }
    f = &r->frame[r->n_frames - 1];
    if (f->seq + 1ull != r->expected_seq) {
        return QTRACE_OK; /* the last message was none */
    }
    ret = check_columns(r, &f->frame, err);
    if (ret != QTRACE_E_DAMAGED && ret != QTRACE_E_TRUNCATED) {
        return ret;
    }
    r->n_frames--;
    if (reopen_seq(r, f->seq) < 0 ||
        note(r, f->frame.info.offset, "a frame's columns are damaged, or it is torn") < 0) {
        return no_memory(err);
    }
    return QTRACE_OK;
}

/* Go on behind what is wrong at offset. */
static int recover(struct qtrace_reader *r, uint64_t offset, bool truncated, uint64_t *next,
                   struct qtrace_error *err)
{
    char message[160];
    int ret = revoke(r, err);

    if (ret == QTRACE_OK) {
        ret = resync(r, r->resume, false, next, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (ret == QTRACE_END && truncated && !r->mark) {
        r->cut = true;
        *next = r->size;
        return QTRACE_OK;
    }
    if (ret == QTRACE_END) {
        *next = r->size;
    }
    if (*next > offset) {
        snprintf(message, sizeof(message),
                 "%" PRIu64 " bytes from offset %" PRIu64 " on are damaged", *next - offset,
                 offset);
    } else {
        offset = *next;
        snprintf(message, sizeof(message), "bytes are missing before offset %" PRIu64, offset);
    }
    r->after_damage = true;
    return note(r, offset, message) < 0 ? no_memory(err) : QTRACE_OK;
}

static int check_seq(struct qtrace_reader *r, const struct qt_envelope *e, uint64_t offset)
{
    char message[160];
    bool jump = e->seq != r->expected_seq && !r->after_damage;
    uint64_t missing = e->seq - r->next_seq;

    r->after_damage = false;
    if (!jump) {
        return QTRACE_OK;
    }
    if (e->seq > r->next_seq) {
        snprintf(message, sizeof(message),
                 "%" PRIu64 " messages are missing before offset %" PRIu64, missing, offset);
    } else {
        snprintf(message, sizeof(message), "the message at offset %" PRIu64 " is out of order",
                 offset);
    }
    return note(r, offset, message);
}

/* Is there a good envelope at offset? One that is not where it should be may be the beginning of
 * a frame that stands elsewhere: it must be whole to be believed. */
static int look(struct qtrace_reader *r, uint64_t offset, struct qt_envelope *e,
                struct qtrace_error *err)
{
    size_t n_frames = r->n_frames;
    int ret = qt_scan_envelope(r, offset, false, e, err);

    if (ret != QTRACE_OK) {
        return ret;
    }
    if (!is_fresh(r, e->seq)) {
        return QTRACE_E_DAMAGED;
    }
    if (e->seq != r->expected_seq) {
        ret = revoke(r, err);
    }
    if (r->n_frames < n_frames) {
        return QTRACE_E_DAMAGED;
    }
    if (ret == QTRACE_OK && e->type == QT_ENVELOPE_FRAME &&
        (r->after_damage || e->seq != r->expected_seq)) {
        ret = check_frame(r, e, offset, err);
    }
    return ret;
}

static int step(struct qtrace_reader *r, uint64_t *offset, struct qtrace_error *err)
{
    struct qt_envelope e = {0};
    uint64_t at = *offset;
    int ret = look(r, at, &e, err);

    if (ret == QTRACE_E_DAMAGED || ret == QTRACE_E_TRUNCATED) {
        r->resume = r->after_damage ? at + 1 : r->resume;
        return recover(r, at, ret == QTRACE_E_TRUNCATED, offset, err);
    }
    if (ret < 0) {
        return ret;
    }
    if (check_seq(r, &e, at) < 0) {
        return no_memory(err);
    }
    *offset = r->resume = at + QT_ENVELOPE_HEAD + e.body_size;
    ret = take(r, &e, at, offset, err);
    if (ret == QTRACE_E_DAMAGED || ret == QTRACE_E_TRUNCATED) {
        return recover(r, at, ret == QTRACE_E_TRUNCATED, offset, err);
    }
    if (ret == QTRACE_OK && use_seq(r, e.seq) < 0) {
        return no_memory(err);
    }
    r->good_end = ret == QTRACE_OK ? *offset : r->good_end;
    return ret;
}

static int walk(struct qtrace_reader *r, struct qtrace_error *err)
{
    uint64_t offset = 0;
    int ret = QTRACE_OK;

    while (ret == QTRACE_OK && offset < r->size) {
        ret = step(r, &offset, err);
    }
    return ret;
}

/* 0 or QTRACE_END: no good envelope is at offset. */
static int read_nonce(struct qtrace_reader *r, uint64_t offset, uint64_t *nonce,
                      struct qtrace_error *err)
{
    int ret = candidate(r, offset, true, err);

    if (ret == QTRACE_OK) {
        *nonce = qt_get_le64(r->window.data + 16);
    }
    return ret;
}

/* The nonce is in the first envelope and in the end mark. If one of them is damaged, it is the
 * other's; if both are or one is of another trace, any other envelope's. */
static int find_nonce(struct qtrace_reader *r, struct qtrace_error *err)
{
    uint64_t at = 0, end_nonce = 0;
    int ret = read_nonce(r, 0, &r->nonce, err), end = QTRACE_END;

    if (ret >= 0 && r->size >= QT_END_MARK_SIZE) {
        end = read_nonce(r, r->size - QT_END_MARK_SIZE, &end_nonce, err);
    }
    if (ret < 0 || end < 0) {
        return ret < 0 ? ret : end;
    }
    if (ret == QTRACE_OK && (end == QTRACE_END || end_nonce == r->nonce)) {
        return QTRACE_OK;
    }
    if (ret == QTRACE_END && end == QTRACE_OK) {
        r->nonce = end_nonce;
        return QTRACE_OK;
    }
    ret = resync(r, ret == QTRACE_OK ? r->size / 2 : 0, true, &at, err);
    if (ret == QTRACE_OK) {
        r->nonce = qt_get_le64(r->window.data + 16);
    }
    return ret;
}

static int no_trace(struct qtrace_reader *r, struct qtrace_error *err)
{
    uint8_t magic[4] = {0};

    if (r->size < QT_ENVELOPE_HEAD + 64 &&
        qt_source_read(&r->file, magic, r->size < 4 ? (size_t)r->size : 4, 0, NULL) == 0 &&
        qt_envelope_prefix(magic, r->size < 4 ? (size_t)r->size : 4, 0)) {
        return qtrace_error_set(err, QTRACE_E_TRUNCATED, r->size,
                                "the file ends before its header does");
    }
    return qtrace_error_set(err, QTRACE_E_FORMAT, 0, "not a qtrace file");
}

/* ---- after the walk ---- */

static int compare_totals(struct qtrace_reader *r, const Qtrace__StreamTotals *t)
{
    const struct qt_ordinals end = {
        t->blocks + t->lost_blocks, t->insns + t->lost_insns, t->accesses + t->lost_accesses,
        t->events + t->lost_events};
    const struct qt_ordinals written = {
        end.block - t->unwritten_blocks, end.insn - t->unwritten_insns,
        end.access - t->unwritten_accesses, end.event - t->unwritten_events};
    struct qt_reader_stream *s;
    int ret = QTRACE_OK;

    if (t->stream >= QT_MAX_STREAMS || get_stream(r, t->stream, t->vcpu, &s) < 0) {
        return t->stream >= QT_MAX_STREAMS ? QTRACE_OK : QTRACE_E_NOMEM;
    }
    if (s->ended) {
        return note(r, r->end_offset, "a stream has two totals");
    }
    s->ended = true;
    s->info.blocks = t->blocks;
    s->info.insns = t->insns;
    s->info.accesses = t->accesses;
    s->info.events = t->events;
    s->info.lost_blocks = t->lost_blocks;
    s->info.lost_insns = t->lost_insns;
    s->info.lost_accesses = t->lost_accesses;
    s->info.lost_events = t->lost_events;
    r->lost |= (t->lost_blocks | t->lost_insns | t->lost_accesses | t->lost_events) != 0;
    if (any_below(&written, &s->next) || any_below(&end, &written)) {
        return note(r, r->end_offset, "a stream is longer than its total");
    }
    if (any_below(&s->next, &written)) {
        ret = add_stretch(r, s, &s->next, &written,
                          r->trouble != UINT64_MAX ? r->trouble : r->end_offset, false,
                          "the last rows of a stream are missing");
    }
    if (ret == QTRACE_OK && any_below(&written, &end)) {
        ret = add_stretch(r, s, &written, &end, r->end_offset, true,
                          "the recorder could not write the rest");
    }
    return ret;
}

static int open_end(struct qtrace_reader *r, const struct qt_reader_stream *s)
{
    struct qtrace_gap gap = {
        .offset = r->size,
        .stream = s->info.stream,
        .to_end = true,
        .first_block = s->next.block,
        .first_insn = s->next.insn,
        .first_access = s->next.access,
        .first_event = s->next.event,
        .message = "the trace has no end",
    };

    return add_gap(r, &gap);
}

/* Does the end lead to the index that the walk has found? */
static int check_end(struct qtrace_reader *r)
{
    const Qtrace__End *end = r->end;

    if (r->indexed || r->damaged || end->index == 0 ||
        (end->index == r->last_index_offset && end->frames == r->last_index)) {
        return QTRACE_OK;
    }
    return note(r, r->end_offset, "the end tells of another index");
}

/* Had the recorder recorded more? */
static bool may_have_gone_on(const Qtrace__End *end)
{
    return end->recovered && !end->salvaged;
}

int qt_scan_finish(struct qtrace_reader *r)
{
    size_t i;
    int ret = QTRACE_OK;

    if (r->end == NULL) {
        for (i = 0; ret == QTRACE_OK && i < r->n_streams; i++) {
            ret = open_end(r, &r->stream[i]);
        }
        return ret;
    }
    ret = check_end(r);
    for (i = 0; ret == QTRACE_OK && i < r->end->n_stream; i++) {
        ret = compare_totals(r, r->end->stream[i]);
    }
    for (i = 0; ret == QTRACE_OK && may_have_gone_on(r->end) && i < r->n_streams; i++) {
        ret = open_end(r, &r->stream[i]);
    }
    if (ret == QTRACE_OK && !r->indexed &&
        !are_defined(r, 0, r->end->translations)) {
        ret = note(r, r->end_offset, "definitions are missing");
    }
    if (r->end->translations > r->n_translations) {
        r->n_translations = r->end->translations;
    }
    return ret;
}

int qt_scan(struct qtrace_reader *reader, struct qtrace_error *err)
{
    int ret;

    reader->trouble = UINT64_MAX;
    reader->budget = reader->size > UINT64_MAX / 64 ? UINT64_MAX
                                                    : reader->size * 16 + (1ull << 30);
    ret = find_nonce(reader, err);
    if (ret == QTRACE_END) {
        ret = no_trace(reader, err);
    }
    if (ret == QTRACE_OK) {
        ret = walk(reader, err);
    }
    if (ret == QTRACE_OK) {
        ret = qt_scan_join(reader, err);
    }
    if (ret == QTRACE_OK && qt_scan_finish(reader) < 0) {
        ret = no_memory(err);
    }
    return ret;
}
