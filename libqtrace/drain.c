/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recorder-inside.h"

/* How often the recorder's thread looks at the rings when nobody waits for it. */
#define POLL_NS 1000000

/* From so many live streams on they take turns with one encoder: each has a frame per visit, and is
 * visited when a quarter of its ring is full. Before that each has a frame that stays open, the
 * smaller the more there are. */
#define MANY_STREAMS 32

int qt_recorder_note(struct qt_recorder *r, int result, const struct qtrace_error *err)
{
    if (result != QTRACE_OK && r->summary.error.code == QTRACE_OK) {
        r->summary.error = *err;
        r->summary.error.code = result;
    }
    return result;
}

static void note_no_memory(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    qtrace_error_set(&err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    qt_recorder_note(r, QTRACE_E_NOMEM, &err);
}

void qt_recorder_write_run(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    qt_recorder_note(r, qtrace_writer_run(r->writer, &r->run, &err), &err);
    r->run_written = true;
}

/* Definitions are written with the next frame; whatever the writer has not written then, it never
 * will. */
static void forget_notes(struct qt_recorder *r)
{
    if (r->live) {
        qt_notes_forget(r->live, r->noted);
    }
}

static int emit(void *sink, const struct qt_builder *builder)
{
    struct qt_recorder *r = sink;
    struct qtrace_error err = {0};
    int result = qt_writer_frame(r->writer, &builder->encoder, &builder->head, &err);
    forget_notes(r);
    return qt_recorder_note(r, result, &err);
}

/* Texts that the vCPU's thread left to us. They live until the next call. */
static void add_texts(struct qt_recorder *r, struct qtrace_translation *t)
{
    struct qtrace_insn *insn = (struct qtrace_insn *)t->insn; /* of one piece with t */
    for (uint32_t i = 0; r->disas && i < t->n_insns; i++) {
        if (!insn[i].disas) {
            r->disas(&insn[i], r->text[i]);
            insn[i].disas = r->text[i];
        }
    }
}

/* Everything that was defined before the words that will be looked at next. */
void qt_recorder_take_definitions(struct qt_recorder *r)
{
    pthread_mutex_lock(&r->lock);
    struct definition *list = r->first;
    r->first = NULL;
    r->last = &r->first;
    bool has_run = r->has_run;
    r->noted = r->live ? qt_notes_head(r->live) : 0;
    pthread_mutex_unlock(&r->lock);
    if (has_run && !r->run_written) { /* (not under the lock: writing may take its time) */
        qt_recorder_write_run(r);
    }
    while (list) {
        struct definition *d = list;
        struct qtrace_error err = {0};
        list = d->next;
        add_texts(r, d->translation);
        int result = qtrace_writer_define(r->writer, d->translation, &err);
        r->summary.translations += qt_recorder_note(r, result, &err) == QTRACE_OK;
        free(d->translation);
        free(d);
    }
}

/* ---- the words of a ring ---- */

static void add_words(struct qt_recorder *r, struct qt_producer *p, const uint64_t *words, size_t n,
                      const struct qt_frame_size *size)
{
    if (qt_writer_failed(r->writer)) {
        qt_builder_skip(p->builder, words, n);
        return;
    }
    qt_builder_borrow(p->builder, &r->spare);
    int result = qt_builder_add(p->builder, qt_writer_lengths(r->writer), words, n, size, emit, r);
    if (result == QTRACE_E_NOMEM) {
        note_no_memory(r);
    }
}

static bool are_many(const struct qt_recorder *r)
{
    return r->n_live >= MANY_STREAMS;
}

/* Words of the chunk behind the consumed ones, from where they have not been taken up to `end`. */
static void take_words(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk, size_t end)
{
    const struct qt_frame_size size =
        qt_frame_size_for(r->n_live, r->more, r->writer_options.level);

    if (end > p->consumed) {
        add_words(r, p, qt_ring_chunk(&p->ring, chunk) + p->consumed, end - p->consumed, &size);
    }
}

static void save(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk)
{
    if (r->live) {
        qt_journal_save(&p->journal, r->live, p->builder, chunk, p->consumed);
    }
}

static void touch(struct qt_recorder *r, struct qt_producer *p)
{
    if (!qt_ring_is_ready(&p->ring)) {
        pthread_mutex_lock(&r->lock);
        qt_ring_touch(&p->ring);
        pthread_mutex_unlock(&r->lock);
    }
}

/* With the lock held: nothing of the thread's own changes before it returns. */
static void rest(struct qt_recorder *r, uint64_t ns)
{
    struct timespec until = qt_deadline(ns);
    r->working = false;
    pthread_cond_broadcast(&r->room);
    if (!r->forks) {
        pthread_cond_timedwait(&r->wanted, &r->lock, &until);
    }
    while (r->forks) {
        pthread_cond_wait(&r->wanted, &r->lock);
    }
    r->working = true;
}

static void let_fork(struct qt_recorder *r)
{
    if (atomic_load_explicit(&r->forks, memory_order_relaxed)) {
        pthread_mutex_lock(&r->lock);
        rest(r, 0);
        pthread_mutex_unlock(&r->lock);
    }
}

/* How many of these words come before the last block? */
static size_t words_before_last_block(const uint64_t *words, size_t n, unsigned more)
{
    size_t last = 0;

    for (size_t i = 0; i < n; i += qt_word_length(words + i, n - i, more)) {
        last = qt_word_is_block(words[i]) ? i : last;
    }
    return last;
}

/* Take words up to `end` and let the frame end with them, but for the last block: how far that gets
 * is not known yet, so it stays in the ring. False: it is the only one there, it cannot stay. */
static bool end_frame(struct qt_recorder *r, struct qt_producer *p, uint64_t chunk, size_t end)
{
    uint64_t *const words = qt_ring_chunk(&p->ring, chunk);
    const size_t last =
        p->consumed + words_before_last_block(words + p->consumed, end - p->consumed, r->more);

    if (!qt_word_is_block(words[last])) {
        return false;
    }
    take_words(r, p, chunk, last);
    p->consumed = last;
    qt_builder_partial(p->builder, qt_word_block_left(words[last]));
    int result = qt_builder_flush(p->builder, emit, r);
    (void)result; /* noted by emit */
    save(r, p, chunk);
    words[last] &= ~((uint64_t)QT_LEFT_MASK << QT_LEFT_SHIFT); /* that is done */
    if (are_many(r)) {
        qt_builder_return(p->builder, &r->spare);
    }
    return true;
}

/* Take the chunks that a producer has handed over up to `head`. Of many streams none has a frame
 * open between two visits, unless all is wanted, or the producer waits for room. */
static bool consume(struct qt_recorder *r, struct qt_producer *p, uint64_t head, bool all)
{
    uint64_t tail = atomic_load_explicit(&p->ring.tail, memory_order_relaxed);
    bool any = tail < head;
    p->seen = head;
    all |= !are_many(r) || atomic_load(&p->waiting);
    for (; tail < head; tail++) {
        let_fork(r);
        touch(r, p);
        if (!all && tail + 1 == head && end_frame(r, p, tail, QT_CHUNK_WORDS)) {
            break;
        }
        take_words(r, p, tail, QT_CHUNK_WORDS);
        qt_ring_forget(&p->ring, qt_ring_chunk(&p->ring, tail));
        p->consumed = 0;
        save(r, p, tail + 1);
        /* in one order with the flag of who waits: one of both sees the other's */
        atomic_store(&p->ring.tail, tail + 1);
        atomic_fetch_add_explicit(&r->taken, 1, memory_order_relaxed);
        if (atomic_load(&p->waiting) && qt_ring_is_low(&p->ring)) {
            pthread_mutex_lock(&r->lock);
            pthread_cond_broadcast(&r->room);
            pthread_mutex_unlock(&r->lock);
        }
    }
    return any;
}

void qt_recorder_write_definitions(struct qt_recorder *r)
{
    struct qtrace_error err = {0};
    qt_recorder_take_definitions(r);
    qt_recorder_note(r, qt_writer_flush(r->writer, &err), &err);
    forget_notes(r);
    atomic_fetch_add_explicit(&r->taken, 1, memory_order_relaxed);
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->room); /* somebody may wait for room to note one more */
    pthread_mutex_unlock(&r->lock);
}

/* ---- all rings ---- */

/* A walk over all producers: for (w = begin_walk(r); w.p; walk_on(r, &w)). The current one may be
 * released. */
struct walk {
    struct qt_producer *p, *next;
    bool closed; /* as it was when the walk came to it */
};

static void walk_on(struct qt_recorder *r, struct walk *w)
{
    w->p = w->next;
    if (w->p) {
        pthread_mutex_lock(&r->lock);
        w->closed = w->p->closed;
        w->next = w->p->link;
        pthread_mutex_unlock(&r->lock);
    }
}

static struct walk begin_walk(struct qt_recorder *r)
{
    struct walk w = {NULL, NULL, false};
    pthread_mutex_lock(&r->lock);
    w.next = r->producers;
    pthread_mutex_unlock(&r->lock);
    walk_on(r, &w);
    return w;
}

/* The end of a stream: the chunk that was being filled, what was lost at the end. */
static void finish_producer(struct qt_recorder *r, struct qt_producer *p)
{
    uint64_t head = atomic_load(&p->ring.head);
    consume(r, p, head, true);
    take_words(r, p, head, p->last_words);
    qt_builder_partial(p->builder, p->last_remaining);
    if (p->losing) {
        qt_builder_lose(p->builder, &p->loss);
    }
    int result = qt_builder_flush(p->builder, emit, r);
    (void)result; /* noted by emit */
    if (are_many(r)) {
        qt_builder_return(p->builder, &r->spare);
    }
    if (p->builder->pending) {
        note_no_memory(r);
        qt_writer_lose(r->writer, p->stream, p->vcpu, &p->builder->lost);
    }
    r->summary.streams++;
}

static void release(struct qt_recorder *r, struct qt_producer *p)
{
    pthread_mutex_lock(&r->lock);
    struct qt_producer **link = &r->producers;
    while (*link != p) {
        link = &(*link)->link;
    }
    *link = p->link;
    r->n_live--;
    if (r->live) {
        qt_journal_drop(&p->journal, r->live);
    }
    if (!r->stopping) {
        /* when all stops, a thread may still be pushing into this memory */
        r->rings_used -= p->ring.map_size;
        qt_ring_finish(&p->ring);
        p->ring.scratch = qt_nowhere;
    }
    qt_builder_finish(p->builder);
    free(p->builder);
    p->builder = NULL;
    p->open = false;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
}

static bool wants_visit(const struct qt_recorder *r, struct qt_producer *p, uint64_t head)
{
    const uint64_t chunks = head - p->seen;

    return atomic_load(&p->waiting) || chunks > (are_many(r) ? p->ring.n_chunks / 4 : 0);
}

/* One look at every ring. Definitions are taken after a ring's head was read and before its
 * words are: so every block in the words is known. */
static bool round_of_rings(struct qt_recorder *r)
{
    bool any = false;
    if (r->live) {
        r->live->thrifty = are_many(r);
    }
    for (struct walk w = begin_walk(r); w.p; walk_on(r, &w)) {
        uint64_t head = atomic_load_explicit(&w.p->ring.head, memory_order_acquire);
        if (w.closed || wants_visit(r, w.p, head)) {
            qt_recorder_take_definitions(r);
            any |= consume(r, w.p, head, w.closed);
            if (w.closed) {
                finish_producer(r, w.p);
                release(r, w.p);
                any = true;
            }
        }
    }
    return any;
}

/* Let what a producer has pushed so far be in frames, but for the block that runs: how far it gets
 * is not known yet. */
static void flush_producer(struct qt_recorder *r, struct qt_producer *p)
{
    const uint64_t head = atomic_load(&p->ring.head);
    uint64_t *const chunk = qt_ring_chunk(&p->ring, head);
    const uint64_t *next = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE);
    const size_t end = next >= chunk && next <= chunk + QT_CHUNK_WORDS ? next - chunk : 0;

    if (atomic_load(&p->ring.head) != head || p->losing) {
        return;
    }
    const bool more = end > (atomic_load(&p->ring.tail) == head ? p->consumed : 0);
    qt_recorder_take_definitions(r);
    consume(r, p, head, more);
    if (more) {
        end_frame(r, p, head, end);
    }
}

/* Everything that is old enough. */
static void flush_all(struct qt_recorder *r)
{
    for (struct walk w = begin_walk(r); w.p; walk_on(r, &w)) {
        if (!w.closed) {
            flush_producer(r, w.p);
        }
    }
    qt_recorder_write_definitions(r);
    r->flushed = qt_recorder_now(r);
}

void qt_recorder_work(struct qt_recorder *r)
{
    for (;;) {
        bool any = round_of_rings(r);
        if (r->flush_ms && qt_recorder_now(r) - r->flushed >= r->flush_ms * UINT64_C(1000000)) {
            flush_all(r);
        } else if (r->live && qt_notes_crowded(r->live)) {
            qt_recorder_write_definitions(r);
        }
        pthread_mutex_lock(&r->lock);
        if (r->stopping && !r->producers) {
            pthread_mutex_unlock(&r->lock);
            return;
        }
        if (!any) {
            rest(r, POLL_NS);
        }
        pthread_mutex_unlock(&r->lock);
    }
}
