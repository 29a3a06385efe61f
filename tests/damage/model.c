/*
 * model.c - what an undamaged trace says, and whether a damaged one still says it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"

enum { KINDS = 4 }; /* of rows: blocks, instructions, accesses, events */

/* A stretch of a stream: a frame or a gap. */
struct stretch {
    uint32_t stream;
    bool to_end;
    uint64_t first[KINDS], rows[KINDS];
};

struct model_frame {
    struct stretch stretch;
    uint64_t hash;
    size_t piece;
    uint8_t *uses; /* a bit for each translation */
};

struct model_definitions {
    uint64_t first, n;
    size_t piece;
};

static void *need(void *memory)
{
    if (memory == NULL) {
        fputs("damage: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

/* ---- hashes ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t word;

    hash = mix(hash, size);
    for (; size >= sizeof(word); size -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    if (size > 0) {
        memcpy(&word, p, size);
    }
    return mix(hash, word);
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return text == NULL ? mix(hash, 1) : mix_bytes(hash, text, strlen(text));
}

static uint64_t hash_events(uint64_t h, const struct qtrace_batch *b)
{
    const struct qtrace_event *e;
    uint32_t i;

    for (i = 0; i < b->n_events; i++) {
        e = &b->event[i];
        h = mix(mix(mix(h, e->kind), e->block_row), e->access_row);
        h = mix(mix(mix(h, e->n_args), e->seq), e->time);
        h = mix_bytes(h, e->arg, e->n_args * sizeof(e->arg[0]));
    }
    for (i = 0; i < b->n_foreign; i++) {
        h = mix(mix(h, b->foreign[i].access_row), b->foreign[i].block);
    }
    return mix(h, b->n_events);
}

static uint64_t hash_values(uint64_t h, const struct qtrace_batch *b)
{
    uint32_t i;

    if (b->value == NULL) {
        return mix(h, 1);
    }
    h = mix_bytes(mix(h, b->value_max), b->value, b->n_accesses * sizeof(b->value[0]));
    for (i = 0; i < b->n_wide; i++) {
        h = mix(mix(mix(h, b->wide[i].access_row), b->wide[i].word), b->wide[i].value);
    }
    return h;
}

static uint64_t hash_batch(const struct qtrace_batch *b)
{
    uint64_t h = mix(mix(0, b->stream), b->vcpu);

    h = mix(mix(mix(mix(h, b->first_block), b->first_insn), b->first_access), b->first_event);
    h = mix(mix(mix(mix(h, b->first_seq), b->first_time), b->access_begin), b->n_insns);
    h = mix_bytes(h, b->block, b->n_blocks * sizeof(b->block[0]));
    h = mix_bytes(h, b->started, b->n_blocks * sizeof(b->started[0]));
    h = mix_bytes(h, b->access_end, b->n_blocks * sizeof(b->access_end[0]));
    h = mix_bytes(h, b->vaddr, b->n_accesses * sizeof(b->vaddr[0]));
    h = mix_bytes(h, b->insn, b->n_accesses * sizeof(b->insn[0]));
    h = mix_bytes(h, b->flags, b->n_accesses * sizeof(b->flags[0]));
    h = hash_values(h, b);
    return hash_events(h, b);
}

/* Without the id: translations may repeat others. */
static uint64_t hash_translation(const struct qtrace_translation *t)
{
    uint64_t h = mix(mix(0, t->n_insns), t->vaddr);
    const struct qtrace_insn *insn;
    uint32_t i;

    for (i = 0; i < t->n_insns; i++) {
        insn = &t->insn[i];
        h = mix(mix(h, insn->vaddr), insn->has_haddr ? insn->haddr : 1);
        h = mix(mix(h, insn->size), insn->has_haddr);
        h = mix_bytes(h, insn->data, insn->data_size);
        h = mix_text(mix_text(h, insn->disas), insn->symbol);
    }
    return h;
}

/* The facts of which the file has two copies. */
static uint64_t hash_run(const struct qtrace_reader *r)
{
    const struct qtrace_run *run = qtrace_reader_run(r);
    uint64_t h = mix_text(mix_text(run->pid, run->target), qtrace_reader_producer(r));
    size_t i;

    for (i = 0; i < run->n_command_line; i++) {
        h = mix_text(h, run->command_line[i]);
    }
    return mix_text(mix(h, run->start_time), run->qemu_version);
}

/* ---- stretches ---- */

static int compare_stretches(const void *a, const void *b)
{
    const struct stretch *x = a, *y = b;
    unsigned k;

    if (x->stream != y->stream) {
        return x->stream < y->stream ? -1 : 1;
    }
    for (k = 0; k < KINDS; k++) {
        if (x->first[k] != y->first[k]) {
            return x->first[k] < y->first[k] ? -1 : 1;
        }
    }
    return x->to_end - y->to_end;
}

static struct stretch batch_stretch(const struct qtrace_batch *b)
{
    return (struct stretch){
        b->stream, false,
        {b->first_block, b->first_insn, b->first_access, b->first_event},
        {b->n_blocks, b->n_insns, b->n_accesses, b->n_events}};
}

static struct stretch gap_stretch(const struct qtrace_gap *g)
{
    return (struct stretch){
        g->stream, g->to_end,
        {g->first_block, g->first_insn, g->first_access, g->first_event},
        {g->blocks, g->insns, g->accesses, g->events}};
}

/* ---- learning ---- */

static void learn_pieces(struct model *m, const uint8_t *bytes, size_t size)
{
    struct qt_envelope e;
    size_t at;

    m->piece = need(calloc(size / QT_ENVELOPE_HEAD + 1, sizeof(*m->piece)));
    for (at = 0; at + QT_ENVELOPE_HEAD <= size; at++) {
        if (!qt_envelope_head(&e, bytes + at) || (m->n_pieces > 0 && e.nonce != m->nonce)) {
            continue;
        }
        m->nonce = e.nonce;
        m->piece[m->n_pieces++] = (struct model_piece){at, size - at, e.type};
        if (m->n_pieces > 1) {
            m->piece[m->n_pieces - 2].size = at - m->piece[m->n_pieces - 2].offset;
        }
    }
}

static size_t find_piece(const struct model *m, uint64_t offset)
{
    size_t i = 0;

    while (i < m->n_pieces && m->piece[i].offset != offset) {
        i++;
    }
    return i;
}

static void learn_uses(const struct model *m, struct model_frame *f,
                       const struct qtrace_batch *b)
{
    uint32_t i;

    f->uses = need(calloc(m->n_translations / 8 + 1, 1));
    for (i = 0; i < b->n_blocks; i++) {
        f->uses[b->block[i] / 8] |= (uint8_t)(1u << b->block[i] % 8);
    }
    for (i = 0; i < b->n_foreign; i++) {
        f->uses[b->foreign[i].block / 8] |= (uint8_t)(1u << b->foreign[i].block % 8);
    }
}

static int learn_frames(struct model *m, struct qtrace_reader *r)
{
    size_t n = qtrace_reader_n_frames(r), i;
    const struct qtrace_frame_info *info;
    struct qtrace_batch *b;
    struct model_frame *f;

    m->frame = need(calloc(n + 1, sizeof(*m->frame)));
    m->definitions = need(calloc(n + 1, sizeof(*m->definitions)));
    for (i = 0; i < n; i++) {
        info = qtrace_reader_frame(r, i);
        if (info->definitions) {
            m->definitions[m->n_definition_frames++] = (struct model_definitions){
                info->first_translation, info->translations, find_piece(m, info->offset)};
        }
        if (!info->of_stream) {
            continue;
        }
        if (qtrace_reader_read(r, i, &b, NULL) != QTRACE_OK) {
            return -1;
        }
        f = &m->frame[m->n_frames++];
        *f = (struct model_frame){batch_stretch(b), hash_batch(b), find_piece(m, info->offset),
                                  NULL};
        learn_uses(m, f, b);
        qtrace_batch_free(&b);
    }
    qsort(m->frame, m->n_frames, sizeof(*m->frame), compare_stretches);
    return 0;
}

static int learn_rest(struct model *m, struct qtrace_reader *r)
{
    size_t i, n = qtrace_reader_n_gaps(r);
    const struct qtrace_translation *t;

    m->stream = need(calloc(qtrace_reader_n_streams(r) + 1, sizeof(*m->stream)));
    for (i = 0; i < qtrace_reader_n_streams(r); i++) {
        m->stream[m->n_streams++] = *qtrace_reader_stream(r, i);
    }
    m->lost = need(calloc(n + 1, sizeof(*m->lost)));
    for (i = 0; i < n; i++) {
        m->lost[m->n_lost++] = *qtrace_reader_gap(r, i);
    }
    m->translation = need(calloc(m->n_translations + 1, sizeof(*m->translation)));
    for (i = 0; i < m->n_translations; i++) {
        t = qtrace_reader_translation(r, (uint32_t)i);
        if (t == NULL) {
            return -1;
        }
        m->translation[i] = hash_translation(t);
    }
    m->run = hash_run(r);
    m->status = qtrace_reader_status(r);
    return qtrace_reader_health(r).damaged || !qtrace_reader_health(r).complete ? -1 : 0;
}

int model_init(struct model *model, const char *path, const uint8_t *bytes, size_t size)
{
    struct qtrace_reader *r;
    struct qtrace_error err;
    int ret;

    *model = (struct model){0};
    if (qtrace_reader_open(&r, path, &err) != QTRACE_OK) {
        fprintf(stderr, "damage: %s\n", err.message);
        return -1;
    }
    model->n_translations = qtrace_reader_n_translations(r);
    learn_pieces(model, bytes, size);
    ret = learn_frames(model, r);
    if (ret == 0) {
        ret = learn_rest(model, r);
    }
    qtrace_reader_close(&r);
    if (ret < 0) {
        fputs("damage: the trace is damaged already\n", stderr);
        model_finish(model);
    }
    return ret;
}

void model_finish(struct model *model)
{
    size_t i;

    for (i = 0; i < model->n_frames; i++) {
        free(model->frame[i].uses);
    }
    free(model->frame);
    free(model->piece);
    free(model->definitions);
    free(model->translation);
    free(model->stream);
    free(model->lost);
    *model = (struct model){0};
}

/* ---- judging ---- */

/* A reading of a damaged file. */
struct reading {
    const struct model *model;
    struct qtrace_reader *reader;
    const bool *touched;
    struct verdict *verdict;
    bool *seen;             /* by frame of the model */
    uint8_t *undefined;     /* a bit for each translation that is missing */
    struct stretch *stretch; /* frames and gaps */
    size_t n_stretches;
};

static void blame(struct reading *r, unsigned fault, const char *what, uint64_t number)
{
    r->verdict->faults |= fault;
    snprintf(r->verdict->why, sizeof(r->verdict->why), "%s %" PRIu64, what, number);
}

/* Have all pieces of a kind been touched? Then it may be missing. */
static bool all_touched(const struct reading *r, unsigned type)
{
    bool all = true;
    size_t i;

    for (i = 0; i < r->model->n_pieces; i++) {
        all = all && (r->touched[i] || r->model->piece[i].type != type);
    }
    return all;
}

/* What the reader gives as a frame has to be one of the trace's, once. */
static void judge_batch(struct reading *r, const struct qtrace_batch *b)
{
    const struct model *m = r->model;
    const struct model_frame key = {.stretch = batch_stretch(b)};
    const struct model_frame *f =
        bsearch(&key, m->frame, m->n_frames, sizeof(key), compare_stretches);

    if (f == NULL || f->hash != hash_batch(b)) {
        blame(r, MODEL_WRONG, "a frame that was never written: stream", b->stream);
    } else if (r->seen[f - m->frame]) {
        blame(r, MODEL_WRONG, "a frame comes twice:", (uint64_t)(f - m->frame));
    } else {
        r->seen[f - m->frame] = true;
        r->stretch[r->n_stretches++] = key.stretch;
    }
}

/* A frame that cannot be read adds a gap, but not another one when it is read again. */
static void read_frames(struct reading *r)
{
    size_t n = qtrace_reader_n_frames(r->reader), i;
    struct qtrace_batch *b;
    int ret;

    for (i = 0; i < n; i++) {
        if (!qtrace_reader_frame(r->reader, i)->of_stream) {
            continue;
        }
        ret = qtrace_reader_read(r->reader, i, &b, NULL);
        if (ret == QTRACE_OK) {
            judge_batch(r, b);
            qtrace_batch_free(&b);
        } else if (ret != QTRACE_E_DAMAGED || qtrace_reader_read(r->reader, i, &b, NULL) != ret) {
            blame(r, MODEL_WRONG, "a frame's reading fails in an unexpected way:", i);
        }
    }
}

static bool all_defining_touched(const struct reading *r, size_t id)
{
    const struct model_definitions *d = r->model->definitions;
    size_t i;

    for (i = 0; i < r->model->n_definition_frames; i++) {
        if (id >= d[i].first && id - d[i].first < d[i].n && !r->touched[d[i].piece]) {
            return false;
        }
    }
    return true;
}

/* Have all frames been touched that define it? Where it says the same as one before it, the file
 * may just refer to that: then it goes with the first of them. */
static bool may_lack_definition(const struct reading *r, size_t id)
{
    const uint64_t *hash = r->model->translation;
    size_t first = 0;

    while (hash[first] != hash[id]) {
        first++;
    }
    return all_defining_touched(r, id) || all_defining_touched(r, first);
}

static void judge_definitions(struct reading *r)
{
    const struct model *m = r->model;
    const struct qtrace_translation *t;
    size_t i;

    if (qtrace_reader_n_translations(r->reader) > m->n_translations) {
        blame(r, MODEL_WRONG, "too many translations:", qtrace_reader_n_translations(r->reader));
    }
    for (i = 0; i < m->n_translations; i++) {
        t = qtrace_reader_translation(r->reader, (uint32_t)i);
        if (t != NULL && (t->id != i || hash_translation(t) != m->translation[i])) {
            blame(r, MODEL_WRONG, "another definition: translation", i);
        }
        if (t == NULL) {
            r->verdict->definitions++;
            r->undefined[i / 8] |= (uint8_t)(1u << i % 8);
            if (!may_lack_definition(r, i)) {
                blame(r, MODEL_DEFINITION, "no definition: translation", i);
            }
        }
    }
}

static void judge_facts(struct reading *r)
{
    const struct model *m = r->model;
    const struct qtrace_stream_info *a, *b;
    size_t i;

    if (hash_run(r->reader) != m->run && !all_touched(r, QT_ENVELOPE_RUN) &&
        !all_touched(r, QT_ENVELOPE_FILE_HEADER)) {
        blame(r, MODEL_DEFINITION, "not the facts of the run:", m->run);
    }
    for (i = 0; i < m->n_streams && qtrace_reader_health(r->reader).reason != NULL; i++) {
        a = &m->stream[i];
        b = qtrace_reader_stream(r->reader, i);
        if (b == NULL || a->vcpu != b->vcpu || a->blocks != b->blocks || a->insns != b->insns ||
            a->accesses != b->accesses || a->events != b->events ||
            a->lost_blocks != b->lost_blocks || a->lost_insns != b->lost_insns ||
            a->lost_accesses != b->lost_accesses || a->lost_events != b->lost_events) {
            blame(r, MODEL_SILENT, "not the totals of stream", i);
        }
    }
}

static bool unusable(const struct reading *r, const struct model_frame *f)
{
    bool any = false;
    size_t i;

    for (i = 0; i <= r->model->n_translations / 8; i++) {
        any = any || (f->uses[i] & r->undefined[i]) != 0;
    }
    return any;
}

static void judge_missing(struct reading *r)
{
    const struct model_frame *f = r->model->frame;
    size_t i;

    for (i = 0; i < r->model->n_frames; i++) {
        if (r->seen[i]) {
            continue;
        }
        r->verdict->frames++;
        if (!r->touched[f[i].piece] && !unusable(r, &f[i])) {
            blame(r, MODEL_LOST, "a frame is missing that was not damaged, at offset",
                  r->model->piece[f[i].piece].offset);
        }
    }
}

/* What the reader calls the recorder's loss must be one. */
static void judge_loss(struct reading *r, const struct qtrace_gap *gap)
{
    const struct stretch a = gap_stretch(gap);
    struct stretch b;
    size_t i;

    for (i = 0; i < r->model->n_lost; i++) {
        b = gap_stretch(&r->model->lost[i]);
        if (compare_stretches(&a, &b) == 0 && memcmp(a.rows, b.rows, sizeof(a.rows)) == 0) {
            return;
        }
    }
    blame(r, MODEL_SILENT, "a loss that was none, of stream", gap->stream);
}

static void take_gaps(struct reading *r)
{
    size_t n = qtrace_reader_n_gaps(r->reader), i;
    const struct qtrace_gap *gap;

    r->stretch = need(realloc(r->stretch, (r->n_stretches + n + 1) * sizeof(*r->stretch)));
    for (i = 0; i < n; i++) {
        gap = qtrace_reader_gap(r->reader, i);
        if (gap->stream == UINT32_MAX) {
            continue; /* of no known extent; those are gaps of their own */
        }
        r->stretch[r->n_stretches++] = gap_stretch(gap);
        if (gap->lost) {
            judge_loss(r, gap);
        }
    }
}

static void totals(const struct model *m, uint32_t stream, uint64_t *total)
{
    const struct qtrace_stream_info *s = &m->stream[stream];

    total[0] = s->blocks + s->lost_blocks;
    total[1] = s->insns + s->lost_insns;
    total[2] = s->accesses + s->lost_accesses;
    total[3] = s->events + s->lost_events;
}

/* Frames and gaps of a stream must lie side by side from its beginning to its end. */
static const struct stretch *judge_stream(struct reading *r, const struct stretch *s,
                                          uint32_t stream)
{
    const struct stretch *end = r->stretch + r->n_stretches;
    uint64_t at[KINDS] = {0}, total[KINDS];
    bool open = false, beyond = false;
    unsigned k;

    totals(r->model, stream, total);
    for (; s < end && s->stream == stream; s++) {
        if (open || memcmp(s->first, at, sizeof(at)) != 0) {
            blame(r, MODEL_SILENT, "frames and gaps do not fit together: stream", stream);
        }
        for (k = 0; k < KINDS; k++) {
            at[k] = s->first[k] + s->rows[k];
            beyond |= at[k] > total[k];
        }
        open |= s->to_end;
    }
    /* Where the file's end is missing the reader may not know of a stream at all. */
    open |= qtrace_reader_health(r->reader).reason == NULL && at[0] + at[2] + at[3] == 0;
    if (beyond || (!open && memcmp(at, total, sizeof(at)) != 0)) {
        blame(r, MODEL_SILENT, "frames and gaps are not the whole: stream", stream);
    }
    return s;
}

static void judge_gaps(struct reading *r)
{
    const struct stretch *s;
    uint32_t i;

    take_gaps(r);
    qsort(r->stretch, r->n_stretches, sizeof(*r->stretch), compare_stretches);
    s = r->stretch;
    for (i = 0; i < r->model->n_streams; i++) {
        s = judge_stream(r, s, i);
    }
    if (s != r->stretch + r->n_stretches) {
        blame(r, MODEL_WRONG, "a stream that was never recorded:", s->stream);
    }
}

static void judge_status(struct reading *r, bool changed)
{
    struct qtrace_health health = qtrace_reader_health(r->reader);
    int status = qtrace_reader_status(r->reader);
    bool said = health.damaged || !health.complete;

    /* A trace with losses has a status of its own, which damage does not change. */
    if (changed && (status == 0 || !said)) {
        blame(r, MODEL_UNDETECTED, "status", (uint64_t)status);
    }
    if (!changed && (status != r->model->status || said)) {
        blame(r, MODEL_WRONG, "nothing was changed, but the status is", (uint64_t)status);
    }
}

static void judge_reading(struct reading *r, bool changed)
{
    const struct model *m = r->model;
    size_t n = qtrace_reader_n_frames(r->reader);

    r->seen = need(calloc(m->n_frames + 1, sizeof(*r->seen)));
    r->undefined = need(calloc(m->n_translations / 8 + 1, 1));
    r->stretch = need(calloc(n + 1, sizeof(*r->stretch)));
    read_frames(r);
    judge_definitions(r);
    judge_missing(r);
    judge_facts(r);
    judge_gaps(r);
    judge_status(r, changed);
    free(r->seen);
    free(r->undefined);
    free(r->stretch);
}

void model_judge(const struct model *model, const char *path, const bool *touched, bool changed,
                 struct verdict *verdict)
{
    struct reading r = {.model = model, .touched = touched, .verdict = verdict};
    struct qtrace_error err;
    bool all = true;
    size_t i;

    *verdict = (struct verdict){0};
    if (qtrace_reader_open(&r.reader, path, &err) == QTRACE_OK) {
        judge_reading(&r, changed);
        qtrace_reader_close(&r.reader);
        return;
    }
    /* Only of a file without any whole envelope it may be said that it is no trace. */
    for (i = 0; i < model->n_pieces; i++) {
        all = all && touched[i];
    }
    verdict->frames = (unsigned)model->n_frames;
    verdict->definitions = (unsigned)model->n_translations;
    if (!all || (err.code != QTRACE_E_FORMAT && err.code != QTRACE_E_TRUNCATED)) {
        blame(&r, MODEL_REFUSED, err.message, (uint64_t)-err.code);
    }
}
