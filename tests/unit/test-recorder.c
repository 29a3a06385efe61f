/*
 * test-recorder.c - what threads push into a recorder is what a reader reads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qtrace/reader.h"
#include "recorder.h"
#include "scan.h"
#include "thread-test.h"

#define MAX_IDS 65536
#define MAX_STREAMS 512
#define MAX_THREADS 8
#define MAX_SEQ (1u << 24)

/* ---- what was pushed, by stream ---- */

struct block {
    uint32_t id;
    uint16_t started;
    uint64_t access_end;
};

struct access {
    uint64_t vaddr, value[2], phys;
    uint32_t phys_kind; /* with the number of the device */
    uint32_t foreign; /* translation id, if flags say so */
    uint16_t insn;
    uint8_t flags;
};

struct event {
    struct qtrace_event event;
    uint64_t blocks, accesses; /* that stand before it */
};

struct model {
    struct block *block;
    struct access *access;
    struct event *event;
    size_t n_blocks, n_accesses, n_events, max_blocks, max_accesses, max_events;
    uint32_t vcpu;
    bool used;
};

static struct model models[MAX_STREAMS];
static _Atomic uint32_t length_of[MAX_IDS];
static _Atomic uint32_t n_ids;
static struct qt_recorder *recorder; /* it is never freed */

/* Whole pages, for the file beside the trace. */
static union {
    struct qt_producer producer;
    char size[1024];
} slots[MAX_THREADS] __attribute__((aligned(4096)));
static char path[80];

static void *more(void *array, size_t n, size_t *max, size_t element)
{
    if (n < *max) {
        return array;
    }
    *max = *max ? *max * 2 : 1024;
    array = realloc(array, *max * element);
    if (!array) {
        abort();
    }
    return array;
}

#define ADD(m, what)                                                                      \
    ((m)->what = more((m)->what, (m)->n_##what##s, &(m)->max_##what##s,                   \
                      sizeof(*(m)->what)),                                                \
     &(m)->what[(m)->n_##what##s++])
#define n_accesss n_accesses
#define max_accesss max_accesses

/* ---- a thread that pushes ---- */

struct worker {
    pthread_t thread;
    uint64_t state;
    unsigned lives, blocks; /* how many streams, of how many blocks */
    unsigned more; /* QT_MORE_* */
    bool user, foreign, stay; /* stay: push until stopped, leave the stream open */
    struct qt_producer *producer;
    struct model *model;
};

static atomic_bool enough;

static uint64_t any(struct worker *w)
{
    uint64_t z = (w->state += 0x9e3779b97f4a7c15u);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(struct worker *w, uint32_t n)
{
    return (uint32_t)(any(w) % n);
}

static uint64_t address_of(uint32_t n_insns)
{
    return 0x400000 + n_insns * 0x1000ull;
}

/* The model of an event that the recorder makes or is given. */
static void expect(struct model *m, enum qtrace_event_kind kind, unsigned n_args,
                   const uint64_t *args)
{
    struct event *e = ADD(m, event);

    *e = (struct event){.event = {.kind = kind, .n_args = n_args},
                        .blocks = m->n_blocks, .accesses = m->n_accesses};
    if (n_args) {
        memcpy(e->event.arg, args, n_args * sizeof(*args));
    }
}

static void define(struct worker *w)
{
    static const uint8_t bytes[4] = {0x90, 0x90, 0x90, 0xc3};
    struct {
        struct qtrace_translation t;
        struct qtrace_insn insn[];
    } *d;
    uint32_t n = 1 + below(w, below(w, 20) ? 12 : QTRACE_MAX_BLOCK_INSNS), id, i;
    uint64_t arg;

    d = calloc(1, sizeof(*d) + n * sizeof(d->insn[0]));
    d->t = (struct qtrace_translation){.n_insns = n, .vaddr = address_of(n), .insn = d->insn};
    for (i = 0; i < n; i++) {
        d->insn[i] = (struct qtrace_insn){.vaddr = d->t.vaddr + 4 * i, .data = bytes,
                                          .data_size = 4, .size = 4};
    }
    id = qt_recorder_define(recorder, &d->t);
    if (id == UINT32_MAX) {
        return; /* stopped */
    }
    if (id >= MAX_IDS) {
        abort();
    }
    atomic_store(&length_of[id], n);
    atomic_fetch_add(&n_ids, 1);
    arg = id;
    expect(w->model, QTRACE_EVENT_TRANSLATION, 1, &arg);
}

/* A translation of anybody; its length. */
static uint32_t pick(struct worker *w, uint32_t *id)
{
    uint32_t n;

    do {
        *id = below(w, atomic_load(&n_ids));
        n = atomic_load(&length_of[*id]);
    } while (n == 0);
    return n;
}

/* Anything that such an access can have; more than 16 bytes have no value. */
static void choose_value(struct worker *w, struct access *a)
{
    unsigned size = a->flags & QTRACE_ACCESS_SIZE, i;

    for (i = 0; i < 2; i++) {
        a->value[i] = below(w, 3) ? a->vaddr : any(w);
        a->value[i] &= size >= 3 ? UINT64_MAX : (1ull << (8 << size)) - 1;
    }
    if (size != 4) {
        a->value[1] = 0;
    }
    if (size > 4) {
        a->value[0] = 0;
    }
}

/* Where devices have their names. */
static const char device_name[4][2] = {"a", "b", "c", "d"};

static void choose_phys(struct worker *w, struct access *a)
{
    a->phys = below(w, 10) ? (a->vaddr & 0xfff) + 0x1000 * below(w, 100) : any(w);
    a->phys_kind = QTRACE_PHYS_RAM;
    if (below(w, 10) == 0) {
        a->phys_kind = QTRACE_PHYS_IO + qt_recorder_device(recorder, device_name[below(w, 4)]);
    } else if (below(w, 10) == 0) {
        a->phys_kind = QTRACE_PHYS_NONE;
        a->phys = 0;
    }
}

/* The words that follow an access. */
static unsigned put_more(const struct worker *w, const struct access *a, uint64_t *words)
{
    unsigned n = 0;

    if (w->more & QT_MORE_VALUES) {
        n = qt_word_value_words(a->flags);
        memcpy(words, a->value, n * sizeof(*words));
    }
    if (w->more & QT_MORE_PHYS) {
        n += qt_word_put_phys(words + n, a->phys, a->phys_kind);
    }
    return n;
}

static void push_word(struct worker *w, const struct access *a)
{
    uint64_t more[QT_MORE_MAX];
    uint64_t word = qt_word_access(qt_word_insn(a->insn), qt_word_flags(a->flags), a->vaddr,
                                   w->user);

    if (w->more) {
        qt_push_more(w->producer, word, put_more(w, a, more), more);
    } else {
        qt_push(w->producer, word);
    }
}

static void push_access(struct worker *w, uint32_t id, uint32_t n, bool foreign)
{
    static const uint64_t extreme[] = {0, UINT64_MAX, 1ull << 47, (1ull << 47) - 1,
                                       ~0ull << 47, (~0ull << 47) - 1, 1ull << 63};
    struct access *a = ADD(w->model, access);
    uint64_t more[QT_MORE_MAX];

    *a = (struct access){.vaddr = below(w, 4) ? any(w) >> 20 : extreme[below(w, 7)],
                         .flags = below(w, 0x40)};
    if (w->more & QT_MORE_VALUES) {
        choose_value(w, a);
    }
    if (w->more & QT_MORE_PHYS) {
        choose_phys(w, a);
    }
    if (foreign) {
        n = pick(w, &id);
        a->flags |= QTRACE_ACCESS_FOREIGN;
        a->foreign = id;
    }
    a->insn = below(w, n);
    if (!foreign && qt_address_fits(a->vaddr, w->user) && below(w, 30)) {
        push_word(w, a);
    } else {
        qt_producer_access(w->producer, a->insn, a->flags, a->vaddr, id, put_more(w, a, more),
                           more);
    }
}

static void push_event(struct worker *w)
{
    static const enum qtrace_event_kind kind[] = {QTRACE_EVENT_SYSCALL, QTRACE_EVENT_DISCON,
                                                  QTRACE_EVENT_SYSCALL_RET, QTRACE_EVENT_FLUSH,
                                                  QTRACE_EVENT_VCPU_IDLE};
    enum qtrace_event_kind k = kind[below(w, 5)];
    unsigned n = below(w, QTRACE_EVENT_ARGS + 1), i;
    uint64_t args[QTRACE_EVENT_ARGS];

    for (i = 0; i < n; i++) {
        args[i] = any(w) >> below(w, 64);
    }
    expect(w->model, k, n, args);
    qt_event(w->producer, k, n, args);
}

static void push_block(struct worker *w)
{
    struct model *m = w->model;
    struct block *b;
    uint32_t id, n = pick(w, &id), remaining = 0, i;

    if (m->n_blocks) {
        m->block[m->n_blocks - 1].access_end = m->n_accesses;
    }
    b = ADD(m, block);
    qt_push_block(w->producer, qt_word_block(id, n));
    if (below(w, 5) == 0) {
        remaining = below(w, n + 1);
    }
    __atomic_store_n(w->producer->slot, remaining, __ATOMIC_RELEASE);
    *b = (struct block){.id = id, .started = n - remaining};
    for (i = below(w, 3) ? below(w, 5) : below(w, 60); i > 0; i--) {
        push_access(w, id, n, w->foreign && below(w, 50) == 0);
    }
    b->access_end = m->n_accesses;
}

static void live(struct worker *w, uint32_t vcpu, bool last)
{
    unsigned i;

    if (!qt_producer_open(recorder, w->producer, vcpu)) {
        abort();
    }
    w->model = &models[w->producer->stream];
    w->model->used = true;
    w->model->vcpu = vcpu;
    expect(w->model, QTRACE_EVENT_VCPU_INIT, 0, NULL);
    for (i = below(w, 3); i > 0 || atomic_load(&n_ids) == 0; i -= i > 0) {
        define(w);
    }
    for (i = 0; i < w->blocks && !atomic_load(&enough); i++) {
        push_block(w);
        if (below(w, 100) == 0) {
            push_event(w);
        }
        if (below(w, 200) == 0 && atomic_load(&n_ids) < MAX_IDS - 64) {
            define(w);
        }
    }
    if (w->stay && last) {
        return;
    }
    expect(w->model, QTRACE_EVENT_VCPU_EXIT, 0, NULL);
    qt_producer_close(w->producer, true);
}

static void *work(void *data)
{
    struct worker *w = data;
    unsigned i;

    for (i = 0; i < w->lives; i++) {
        live(w, (uint32_t)(w->state % MAX_THREADS), i + 1 == w->lives);
    }
    return NULL;
}

/* ---- a run ---- */

struct plan {
    unsigned threads, lives, blocks;
    size_t ring_bytes;
    unsigned more;
    bool user, drop, foreign, stay, interrupt;
    bool live, killed; /* with the file beside the trace; which alone is left at the end */
};

static void shell(const char *command)
{
    int status = system(command);

    cr_assert_eq(status, 0, "%s", command);
}

/* Copies of the files as a process that was killed now would leave them. The recorder's thread has
 * taken what it could, so it does nothing now. */
static void leave_as_killed(unsigned threads)
{
    char command[512];
    unsigned i;

    for (i = 0; i < threads; i++) {
        struct qt_ring *ring = &slots[i].producer.ring;

        while (atomic_load(&ring->head) != atomic_load(&ring->tail)) {
            usleep(1000);
        }
    }
    usleep(100000);
    snprintf(command, sizeof(command), "cp %s %s.killed && cp --sparse=always %s.live %s.killed.live",
             path, path, path, path);
    shell(command);
    strcat(path, ".killed");
}

/* The thread sanitizer makes all ten times as slow, and finds in a part of it what there is. */
#ifdef __SANITIZE_THREAD__
#define PART 5
#else
#define PART 1
#endif

static struct qt_summary run(const struct plan *plan)
{
    static struct worker workers[MAX_THREADS];
    static const struct qtrace_run facts = {.target = "test", .mem = true};
    struct qt_recorder_options options = {
        .path = path,
        .writer = {sizeof(options.writer), 1, true, "test"},
        .ring_bytes = plan->ring_bytes,
        .rings_bytes = plan->ring_bytes * 64,
        .user = plan->user,
        .more = plan->more,
        .drop = plan->drop,
        .wait_ms = 600000, /* (a stream that must not wait may be only counted) */
        .slots = plan->live ? slots : NULL,
        .slots_size = sizeof(slots),
        .slot_size = sizeof(slots[0]),
    };
    struct qtrace_error err = {0};
    struct qt_summary summary = {0};
    unsigned i;

    snprintf(path, sizeof(path), "/tmp/qtrace-recorder-%ld.qtr", (long)getpid());
    cr_assert_eq(qt_recorder_start(&recorder, &options, &err), 0, "%s", err.message);
    qt_recorder_run(recorder, &facts);
    for (i = 0; i < plan->threads; i++) {
        workers[i] = (struct worker){.state = i, .producer = &slots[i].producer,
                                     .lives = plan->lives,
                                     .blocks = (plan->blocks + PART - 1) / PART,
                                     .user = plan->user, .more = plan->more,
                                     .foreign = plan->foreign, .stay = plan->stay};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    if (plan->interrupt) {
        usleep(200000);
        qt_recorder_stop(recorder, "exit", &summary);
        atomic_store(&enough, true);
    }
    for (i = 0; i < plan->threads; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    if (plan->killed) {
        leave_as_killed(plan->threads);
    } else if (!plan->interrupt) {
        qt_recorder_stop(recorder, "exit", &summary);
    }
    cr_assert_eq(summary.error.code, 0, "%s", summary.error.message);
    return summary;
}

/* ---- what is in the file ---- */

/* By stream: rows that were read, and rows that LOST events name. */
struct tally {
    uint64_t blocks, insns, accesses, events;
    uint64_t lost_blocks, lost_insns, lost_accesses, lost_events;
    uint64_t seq, next_event;
};

static struct tally tallies[MAX_STREAMS];
static uint8_t *seen; /* places in the order of all streams */

/* When all was stopped in the middle, the last block may have been caught between two
 * instructions; and a loss may begin between two accesses of a block. */
static void check_blocks(const struct model *m, const struct qtrace_batch *b,
                         const struct plan *plan)
{
    uint32_t i;

    cr_assert_leq(b->first_block + b->n_blocks, m->n_blocks);
    for (i = 0; i < b->n_blocks; i++) {
        const struct block *want = &m->block[b->first_block + i];
        bool last = i + 1 == b->n_blocks;

        cr_assert_eq(b->block[i], want->id, "stream %u, block %zu", b->stream,
                     (size_t)(b->first_block + i));
        cr_assert(b->started[i] == want->started || (last && plan->interrupt),
                  "stream %u, block %zu: %u not %u", b->stream, (size_t)(b->first_block + i),
                  b->started[i], want->started);
        cr_assert(b->first_access + b->access_end[i] == want->access_end ||
                  (last && (plan->interrupt || plan->drop)), "stream %u, block %zu", b->stream, (size_t)(b->first_block + i));
    }
}

static bool same_value(const struct qtrace_batch *b, uint32_t row, const struct access *want)
{
    uint64_t word[3] = {0};
    unsigned size = want->flags & QTRACE_ACCESS_SIZE, n = size > 4 ? 0 : size > 3 ? 2 : 1, i;

    for (i = 0; i < 3; i++) {
        if (qtrace_batch_value(b, row, i, &word[i]) != (i < n)) {
            return false;
        }
    }
    return word[0] == want->value[0] && word[1] == want->value[1];
}

static bool same_phys(const struct qtrace_batch *b, uint32_t row, const struct access *want)
{
    const uint32_t kind = b->phys_kind[row];
    const struct qtrace_device *device = b->device + kind - QTRACE_PHYS_IO;

    if (b->phys[row] != want->phys || kind < QTRACE_PHYS_IO) {
        return b->phys[row] == want->phys && kind == want->phys_kind;
    }
    return device->number == want->phys_kind - QTRACE_PHYS_IO &&
           strcmp(device->name, (const char *)(uintptr_t)device->address) == 0;
}

static void check_accesses(const struct model *m, const struct qtrace_batch *b,
                           const struct plan *plan)
{
    uint32_t i, foreign = 0;

    cr_assert_leq(b->first_access + b->n_accesses, m->n_accesses);
    for (i = 0; i < b->n_accesses; i++) {
        const struct access *want = &m->access[b->first_access + i];

        cr_assert(b->vaddr[i] == want->vaddr && b->insn[i] == want->insn &&
                  b->flags[i] == want->flags, "stream %u, access %zu", b->stream,
                  (size_t)(b->first_access + i));
        cr_assert(plan->more & QT_MORE_VALUES ? same_value(b, i, want) : b->value == NULL,
                  "stream %u, access %zu: value", b->stream, (size_t)(b->first_access + i));
        cr_assert(plan->more & QT_MORE_PHYS ? same_phys(b, i, want) : b->phys == NULL,
                  "stream %u, access %zu: phys", b->stream, (size_t)(b->first_access + i));
        if (want->flags & QTRACE_ACCESS_FOREIGN) {
            cr_assert_lt(foreign, b->n_foreign);
            cr_assert_eq(b->foreign[foreign].access_row, i);
            cr_assert_eq(b->foreign[foreign++].block, want->foreign);
        }
    }
    cr_assert_eq(foreign, b->n_foreign);
}

static void check_event(const struct model *m, const struct qtrace_batch *b,
                        const struct qtrace_event *e, struct tally *t)
{
    const struct event *want = &m->event[t->next_event++];

    cr_assert_leq(t->next_event, m->n_events);
    cr_assert(e->kind == want->event.kind && e->n_args == want->event.n_args &&
              memcmp(e->arg, want->event.arg, e->n_args * sizeof(e->arg[0])) == 0 &&
              b->first_block + e->block_row == want->blocks &&
              b->first_access + e->access_row == want->accesses,
              "stream %u, event %zu: kind %d, not %d", b->stream, (size_t)t->next_event - 1,
              (int)e->kind, (int)want->event.kind);
}

static void check_events(const struct model *m, const struct qtrace_batch *b, struct tally *t,
                         bool drop)
{
    uint32_t i;

    for (i = 0; i < b->n_events; i++) {
        const struct qtrace_event *e = &b->event[i];

        if (e->kind == QTRACE_EVENT_LOST) {
            t->lost_blocks += e->arg[0];
            t->lost_insns += e->arg[1];
            t->lost_accesses += e->arg[2];
            t->lost_events += e->arg[3];
            continue;
        }
        cr_assert_gt(e->seq, t->seq);
        t->seq = e->seq;
        cr_assert_lt(e->seq, MAX_SEQ);
        cr_assert_eq(seen[e->seq]++, 0, "two events have the place %zu", (size_t)e->seq);
        if (e->kind == QTRACE_EVENT_SYNC) {
            continue;
        }
        t->events++;
        if (!drop) {
            check_event(m, b, e, t);
        }
    }
}

static void check_translations(struct qtrace_reader *r)
{
    uint32_t i, n = atomic_load(&n_ids);

    cr_assert_eq(qtrace_reader_n_translations(r), n);
    for (i = 0; i < n; i++) {
        const struct qtrace_translation *t = qtrace_reader_translation(r, i);

        cr_assert_not_null(t);
        cr_assert_eq(t->n_insns, atomic_load(&length_of[i]));
        cr_assert_eq(t->vaddr, address_of(t->n_insns));
        cr_assert_eq(t->insn[t->n_insns - 1].vaddr, t->vaddr + 4 * (t->n_insns - 1));
    }
}

/* The copy's other half, and the files of the recorder, which is still there. */
static void clean_up(void)
{
    struct qt_summary summary;
    char name[256];

    snprintf(name, sizeof(name), "%s.live", path);
    unlink(name);
    path[strlen(path) - strlen(".killed")] = '\0';
    qt_recorder_stop(recorder, "exit", &summary);
    snprintf(name, sizeof(name), "%s.live", path);
    cr_assert_neq(access(name, F_OK), 0, "the file beside the trace is still there");
    unlink(path);
}

static void read_back(const struct plan *plan, const struct qt_summary *summary)
{
    struct tally sum = {0};
    struct qtrace_reader *r;
    struct qtrace_batch *b;
    struct qtrace_error err = {0};
    size_t i;

    seen = calloc(1, MAX_SEQ);
    cr_assert_eq(qtrace_reader_open(&r, path, &err), 0, "%s", err.message);
    check_translations(r);
    for (i = 0; i < qtrace_reader_n_frames(r); i++) {
        if (!qtrace_reader_frame(r, i)->of_stream) {
            continue;
        }
        cr_assert_eq(qtrace_reader_read(r, i, &b, &err), 0, "%s", err.message);
        cr_assert_lt(b->stream, MAX_STREAMS);
        struct tally *t = &tallies[b->stream];
        const struct model *m = &models[b->stream];
        cr_assert(m->used && m->vcpu == b->vcpu);
        check_events(m, b, t, plan->drop);
        if (!(plan->drop && plan->foreign)) {
            cr_assert_eq(b->first_block, t->blocks + t->lost_blocks);
            cr_assert_eq(b->first_insn, t->insns + t->lost_insns);
            cr_assert_eq(b->first_access, t->accesses + t->lost_accesses);
            check_blocks(m, b, plan);
            check_accesses(m, b, plan);
        }
        t->blocks += b->n_blocks;
        t->insns += b->n_insns;
        t->accesses += b->n_accesses;
        sum.blocks += b->n_blocks;
        sum.insns += b->n_insns;
        sum.accesses += b->n_accesses;
        sum.events += b->n_events;
        qtrace_batch_free(&b);
    }
    if (plan->killed) {
        cr_assert(qtrace_reader_health(r).salvaged);
        cr_assert_eq(qtrace_reader_status(r), 3);
    } else {
        cr_assert(sum.blocks == summary->blocks && sum.insns == summary->insns &&
                  sum.accesses == summary->accesses && sum.events == summary->events);
        cr_assert_eq(qtrace_reader_status(r), summary->lost.blocks + summary->lost.insns +
                     summary->lost.accesses + summary->lost.events ? 5 : 0);
    }
    qtrace_reader_close(&r);
    free(seen);
    unlink(path);
    if (plan->killed) {
        clean_up();
    }
}

static void check_totals(void)
{
    size_t i, k;

    for (i = 0; i < MAX_STREAMS; i++) {
        const struct model *m = &models[i];
        const struct tally *t = &tallies[i];
        uint64_t insns = 0;

        for (k = 0; k < m->n_blocks; k++) {
            insns += m->block[k].started;
        }
        cr_expect_eq(t->blocks + t->lost_blocks, m->n_blocks, "stream %zu: blocks", i);
        cr_expect_eq(t->insns + t->lost_insns, insns, "stream %zu: insns %zu + %zu of %zu", i,
                     (size_t)t->insns, (size_t)t->lost_insns, (size_t)insns);
        cr_expect_eq(t->accesses + t->lost_accesses, m->n_accesses, "stream %zu: accesses", i);
        cr_expect_eq(t->events + t->lost_events, m->n_events, "stream %zu: events %zu + %zu of %zu",
                     i, (size_t)t->events, (size_t)t->lost_events, m->n_events);
    }
}

#ifdef __SANITIZE_THREAD__
#define DAMAGES 2 /* reading is no matter of threads */
#else
#define DAMAGES 100
#endif

/* The file beside the trace is not trusted either. */
static void damage(void)
{
    char name[256];
    struct worker any_worker = {.state = 1};
    struct qtrace_reader *r;
    off_t data = 0, hole;
    unsigned i;
    int fd;

    snprintf(name, sizeof(name), "%s.live", path);
    fd = open(name, O_RDWR);
    cr_assert_geq(fd, 0);
    for (i = 0; i < DAMAGES; i++) {
        uint8_t byte, other;
        off_t at;

        data = lseek(fd, data, SEEK_DATA);
        if (data < 0) { /* from the beginning again */
            data = lseek(fd, 0, SEEK_DATA);
        }
        hole = lseek(fd, data, SEEK_HOLE);
        at = data + (off_t)below(&any_worker, hole - data < 4096 ? (uint32_t)(hole - data) : 4096);
        data = data + (off_t)below(&any_worker, 65536);
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        other = byte ^ (uint8_t)(1u << below(&any_worker, 8));
        cr_assert_eq(pwrite(fd, &other, 1, at), 1);
        if (qtrace_reader_open(&r, path, NULL) == QTRACE_OK) {
            cr_assert_neq(qtrace_reader_status(r), 0);
            qtrace_reader_close(&r);
        }
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static uint64_t total_lost(const struct qt_summary *s)
{
    return s->lost.blocks + s->lost.insns + s->lost.accesses + s->lost.events;
}

#define TINY (QT_RING_MIN_CHUNKS * QT_CHUNK_BYTES)

static struct qt_summary try(const struct plan *plan)
{
    struct qt_summary summary = run(plan);

    if (plan->killed) {
        damage();
    }
    read_back(plan, &summary);
    if (!plan->interrupt) {
        check_totals();
    }
    if (!plan->drop) {
        cr_assert_eq(total_lost(&summary), 0);
    }
    return summary;
}

Test(recorder, tiny_rings_that_block)
{
    try(&(struct plan){.threads = 6, .lives = 1, .blocks = 30000,
                       .ring_bytes = TINY, .foreign = true});
}

Test(recorder, killed_with_words_and_open_frames)
{
    try(&(struct plan){.threads = 4, .lives = 3, .blocks = 8000,
                       .ring_bytes = 32 * QT_CHUNK_BYTES, .foreign = true, .stay = true,
                       .live = true, .killed = true});
}

Test(recorder, killed_with_values)
{
    try(&(struct plan){.threads = 3, .lives = 2, .blocks = 4000, .user = true,
                       .more = QT_MORE_VALUES, .ring_bytes = 8 * QT_CHUNK_BYTES, .stay = true,
                       .live = true, .killed = true});
}

Test(recorder, killed_at_once)
{
    try(&(struct plan){.threads = 2, .lives = 1, .blocks = 3,
                       .ring_bytes = 8 * QT_CHUNK_BYTES, .stay = true, .live = true,
                       .killed = true});
}

Test(recorder, large_rings)
{
    try(&(struct plan){.threads = 4, .lives = 2, .blocks = 30000,
                       .ring_bytes = 1 << 22, .user = true, .foreign = true, .stay = true});
}

Test(recorder, values)
{
    try(&(struct plan){.threads = 4, .lives = 3, .blocks = 20000,
                       .ring_bytes = TINY, .more = QT_MORE_VALUES, .foreign = true});
}

Test(recorder, phys)
{
    try(&(struct plan){.threads = 4, .lives = 3, .blocks = 20000,
                       .ring_bytes = TINY, .more = QT_MORE_PHYS, .foreign = true});
}

Test(recorder, phys_and_values)
{
    try(&(struct plan){.threads = 4, .lives = 3, .blocks = 20000,
                       .ring_bytes = TINY, .more = QT_MORE_PHYS | QT_MORE_VALUES,
                       .foreign = true});
}

Test(recorder, phys_that_is_dropped)
{
    struct qt_summary s = try(&(struct plan){.threads = 4, .lives = 2, .blocks = 50000,
                                             .ring_bytes = TINY, .more = QT_MORE_PHYS,
                                             .drop = true});

    cr_assert_gt(total_lost(&s), 0, "nothing was lost: the test has not tested anything");
}

Test(recorder, values_in_user_mode)
{
    try(&(struct plan){.threads = 3, .lives = 1, .blocks = 20000,
                       .ring_bytes = 1 << 22, .user = true, .more = QT_MORE_VALUES});
}

Test(recorder, values_that_are_dropped)
{
    struct qt_summary s = try(&(struct plan){.threads = 4, .lives = 2, .blocks = 50000,
                                             .ring_bytes = TINY, .more = QT_MORE_VALUES, .drop = true});

    cr_assert_gt(total_lost(&s), 0, "nothing was lost: the test has not tested anything");
}

/* The same memory and the same vCPU index for one stream after another. */
Test(recorder, many_lives)
{
    try(&(struct plan){.threads = MAX_THREADS, .lives = 40, .blocks = 300,
                       .ring_bytes = TINY, .foreign = true});
}

Test(recorder, empty_lives)
{
    try(&(struct plan){.threads = 4, .lives = 50, .blocks = 1,
                       .ring_bytes = TINY});
}

Test(recorder, drop)
{
    struct qt_summary s = try(&(struct plan){.threads = 4, .lives = 2, .blocks = 100000,
                                             .ring_bytes = TINY, .drop = true});

    cr_assert_gt(total_lost(&s), 0, "nothing was lost: the test has not tested anything");
}

/* Rows of other blocks may be recorded while their place is lost: only sums are compared. */
Test(recorder, drop_foreign)
{
    struct qt_summary s =
        try(&(struct plan){.threads = 4, .lives = 2, .blocks = 100000, .ring_bytes = TINY,
                           .drop = true, .foreign = true, .stay = true});

    cr_assert_gt(total_lost(&s), 0, "nothing was lost: the test has not tested anything");
}

/* The end of the process comes while threads still push: a prefix of each stream is there. */
Test(recorder, stop_while_pushing)
{
    try(&(struct plan){.threads = 4, .lives = 1, .blocks = 100000000,
                       .ring_bytes = TINY, .stay = true, .interrupt = true});
}

/* A loss that begins in the middle of a block that goes on for several chunks: what the slot
 * says in the end is about a block that was recorded. */
Test(recorder, long_block_in_a_loss)
{
    const struct plan plan = {.threads = 0, .ring_bytes = TINY, .drop = true};
    struct qt_recorder_options options = {
        .path = "/tmp/qtrace-recorder-long.qtr",
        .writer = {sizeof(options.writer), 1, true, "test"},
        .ring_bytes = plan.ring_bytes, .rings_bytes = plan.ring_bytes * 64, .drop = true};
    static struct worker w = {.producer = &slots[0].producer};
    static struct model model;
    struct qt_summary summary = {0};
    struct qtrace_error err = {0};
    uint64_t blocks = 0, started = 0, accesses = 0;
    unsigned i, k;

    cr_assert_eq(qt_recorder_start(&recorder, &options, &err), 0, "%s", err.message);
    cr_assert(qt_producer_open(recorder, w.producer, 0));
    w.model = &model;
    define(&w);
    for (i = 0; i < 200; i++) {
        qt_push_block(w.producer, qt_word_block(0, atomic_load(&length_of[0])));
        *w.producer->slot = 1;
        blocks++;
        started += atomic_load(&length_of[0]) - 1;
        for (k = 0; k < 30000; k++, accesses++) {
            qt_push(w.producer, qt_word_access(0, qt_word_flags(3), k, false));
        }
    }
    qt_producer_close(w.producer, true);
    qt_recorder_stop(recorder, "exit", &summary);
    unlink(options.path);
    cr_assert_eq(summary.blocks + summary.lost.blocks, blocks);
    cr_assert_eq(summary.insns + summary.lost.insns, started);
    cr_assert_eq(summary.accesses + summary.lost.accesses, accesses);
}

/* Instructions whose text is made late hold the recorder's thread until `text_wanted` is up. */
static sem_t text_asked, text_wanted;

static void slow_text(const struct qtrace_insn *insn, char *text)
{
    (void)insn;
    sem_post(&text_asked);
    sem_wait(&text_wanted);
    strcpy(text, "slow");
}

static void one_insn_block(struct qt_producer *p)
{
    static const uint8_t bytes[4] = {0x90};
    struct {
        struct qtrace_translation t;
        struct qtrace_insn insn;
    } *d = calloc(1, sizeof(*d));
    uint32_t id;

    d->insn = (struct qtrace_insn){.data = bytes, .data_size = 4, .size = 4};
    d->t = (struct qtrace_translation){.n_insns = 1, .insn = &d->insn};
    id = qt_recorder_define(recorder, &d->t);
    cr_assert(id != UINT32_MAX);
    qt_push_block(p, qt_word_block(id, 1));
    *p->slot = 0;
}

static void start(struct qt_recorder_options *options, unsigned wait_ms)
{
    struct qtrace_error err = {0};

    options->writer = (struct qtrace_writer_options){sizeof(options->writer), 1, true, "test"};
    options->ring_bytes = TINY;
    options->rings_bytes = TINY * 64;
    options->wait_ms = wait_ms;
    cr_assert_eq(qt_recorder_start(&recorder, options, &err), 0, "%s", err.message);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct pusher {
    pthread_t thread;
    struct qt_producer producer;
    uint32_t blocks;
};

static void *push_many(void *data)
{
    struct pusher *p = data;

    for (uint32_t i = 0; i < p->blocks; i++) {
        qt_push_block(&p->producer, qt_word_block(0, 1));
        *p->producer.slot = 0;
    }
    return NULL;
}

/* While the recorder's thread is stuck all vCPUs together wait as long as they may, once, and count
 * from then on; when it goes on, so does the recording. */
Test(recorder, stuck)
{
    struct qt_recorder_options options = {
        .path = "/tmp/qtrace-recorder-stuck.qtr", .disas = slow_text};
    static struct pusher p[3];
    struct qt_summary summary = {0};
    double begin;
    unsigned i;

    sem_init(&text_asked, 0, 0);
    sem_init(&text_wanted, 0, 0);
    start(&options, 500);
    for (i = 0; i < 3; i++) {
        cr_assert(qt_producer_open(recorder, &p[i].producer, i));
    }
    one_insn_block(&p[0].producer);
    p[0].blocks = 100 * QT_CHUNK_WORDS;
    p[1].blocks = 200 * QT_CHUNK_WORDS;
    begin = seconds_of(CLOCK_MONOTONIC);
    for (i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&p[i].thread, NULL, push_many, &p[i]), 0);
    }
    for (i = 0; i < 2; i++) {
        pthread_join(p[i].thread, NULL);
    }
    p[2].blocks = 50 * QT_CHUNK_WORDS; /* this one comes late, and has nothing to wait for */
    push_many(&p[2]);
    begin = seconds_of(CLOCK_MONOTONIC) - begin;
    cr_assert(begin > 0.4 && begin < 4, "they waited for %f s", begin);

    sem_post(&text_wanted);
    while (!qt_ring_is_low(&p[2].producer.ring)) {
        usleep(1000);
    }
    push_many(&p[2]);
    for (i = 0; i < 3; i++) {
        qt_producer_close(&p[i].producer, true);
    }
    qt_recorder_stop(recorder, "exit", &summary);
    unlink(options.path);
    cr_assert_eq(summary.blocks + summary.lost.blocks, 1 + 400 * QT_CHUNK_WORDS);
    cr_assert_eq(summary.insns + summary.lost.insns, 1 + 400 * QT_CHUNK_WORDS);
    cr_assert_gt(summary.blocks, 45 * QT_CHUNK_WORDS);
    cr_assert_gt(summary.lost.blocks, 300 * QT_CHUNK_WORDS);
}

/* Lives that begin while the recorder's thread is stuck with the one before: nobody waits for long,
 * all is counted, and the one that sees the thread go on is recorded from there. */
Test(recorder, lives_while_stuck)
{
    struct qt_recorder_options options = {
        .path = "/tmp/qtrace-recorder-lives.qtr", .disas = slow_text};
    static struct pusher p;
    struct qt_summary summary = {0};
    double begin;
    uint64_t blocks = 1;
    unsigned i;

    sem_init(&text_asked, 0, 0);
    sem_init(&text_wanted, 0, 0);
    start(&options, 400);
    cr_assert(qt_producer_open(recorder, &p.producer, 0));
    one_insn_block(&p.producer);
    qt_producer_close(&p.producer, true);
    begin = seconds_of(CLOCK_MONOTONIC);
    for (i = 0; i < 10; i++) {
        cr_assert(qt_producer_open(recorder, &p.producer, 0));
        cr_assert(qt_producer_is_live(&p.producer));
        p.blocks = i * 1000;
        push_many(&p);
        blocks += p.blocks;
        if (i < 9) {
            qt_producer_close(&p.producer, true);
            cr_assert(!qt_producer_is_live(&p.producer));
        }
    }
    begin = seconds_of(CLOCK_MONOTONIC) - begin;
    cr_assert(begin > 0.3 && begin < 3, "they waited for %f s", begin);
    sem_post(&text_wanted);
    while (p.producer.tally) {
        p.blocks = QT_CHUNK_WORDS;
        push_many(&p);
        blocks += p.blocks;
        usleep(1000);
    }
    p.blocks = 20 * QT_CHUNK_WORDS;
    push_many(&p);
    blocks += p.blocks;
    qt_producer_close(&p.producer, true);
    qt_recorder_stop(recorder, "exit", &summary);
    unlink(options.path);
    cr_assert_eq(summary.streams, 11);
    cr_assert_eq(summary.blocks + summary.lost.blocks, blocks);
    cr_assert_eq(summary.insns + summary.lost.insns, blocks);
    cr_assert_gt(summary.blocks, 18 * QT_CHUNK_WORDS);
    cr_assert_eq(summary.lost.events, 9 * 2 + 1 /* beginnings and ends */);
}

/* A vCPU's exit does not wait for its words to be read (QEMU 10.0 frees its callbacks under a
 * thread that stays in one); the next vCPU with its index does. */
Test(recorder, exit_does_not_wait)
{
    struct qt_recorder_options options = {
        .path = "/tmp/qtrace-recorder-exit.qtr", .disas = slow_text};
    static struct qt_producer p;
    struct qt_summary summary = {0};
    struct timespec until;

    sem_init(&text_asked, 0, 0);
    sem_init(&text_wanted, 0, 0);
    start(&options, 600000);
    cr_assert(qt_producer_open(recorder, &p, 0));
    one_insn_block(&p);
    qt_producer_close(&p, true);
    cr_assert(!qt_producer_is_live(&p));
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 100;
    cr_assert_eq(sem_timedwait(&text_asked, &until), 0, "the text was never asked for");
    cr_assert(p.open, "the first stream is finished: the test has not tested anything");

    sem_post(&text_wanted);
    cr_assert(qt_producer_open(recorder, &p, 0));
    cr_assert_eq(p.stream, 1);
    one_insn_block(&p);
    qt_producer_close(&p, true);
    sem_post(&text_wanted);
    qt_recorder_stop(recorder, "exit", &summary);
    unlink(options.path);
    cr_assert_eq(summary.streams, 2);
    cr_assert_eq(summary.blocks, 2);
    cr_assert_eq(summary.insns, 2);
    cr_assert_eq(total_lost(&summary), 0);
}

static struct qtrace_reader *stop_and_read(const struct qt_recorder_options *options)
{
    struct qt_summary summary = {0};
    struct qtrace_reader *reader;
    struct qtrace_error err = {0};

    qt_recorder_stop(recorder, "exit", &summary);
    cr_assert_eq(total_lost(&summary), 0);
    cr_assert_eq(qtrace_reader_open(&reader, options->path, &err), 0, "%s", err.message);
    unlink(options->path);
    return reader;
}

static void push_blocks(struct qt_producer *p, uint32_t n, uint32_t ids)
{
    for (uint32_t i = 0; i < n; i++) {
        qt_push_block(p, qt_word_block(i % ids, 1));
        *p->slot = 0;
    }
}

/* Where the tables of a frame were too small the next one has larger ones: then it has a summary. */
Test(recorder, tables_for_a_large_program)
{
    struct qt_recorder_options options = {.path = "/tmp/qtrace-recorder-large.qtr"};
    static struct qt_producer p;
    const struct qtrace_frame_info *last = NULL;
    struct qtrace_reader *reader;
    uint32_t ids = 20000, i;
    bool usual = false;

    start(&options, 600000);
    cr_assert(qt_producer_open(recorder, &p, 0));
    for (i = 0; i < ids; i++) {
        one_insn_block(&p);
    }
    push_blocks(&p, 5u << 20, ids);
    qt_producer_close(&p, true);
    reader = stop_and_read(&options);
    for (i = 0; i < qtrace_reader_n_frames(reader); i++) {
        if (qtrace_reader_frame(reader, i)->of_stream) {
            last = qtrace_reader_frame(reader, i);
            usual |= reader->frame[i].frame.bits == QT_BITS_USUAL;
            cr_assert(!usual || reader->frame[i].frame.bits >= QT_BITS_USUAL);
        }
    }
    cr_assert(usual);
    i = last->n_columns;
    while (i > 0 && last->column[i - 1].id != QTRACE_COLUMN_SUMMARY) {
        i--;
    }
    cr_assert(i > 0, "the last frame has no summary");
    qtrace_reader_close(&reader);
}

/* The first event of that kind in a stream behind the place `after`, and the blocks before it. */
static uint64_t find_event(struct qtrace_reader *reader, uint32_t stream,
                           enum qtrace_event_kind kind, uint64_t after, uint64_t *blocks)
{
    uint64_t seq = 0;

    for (size_t i = 0; i < qtrace_reader_n_frames(reader) && seq == 0; i++) {
        const struct qtrace_frame_info *f = qtrace_reader_frame(reader, i);
        struct qtrace_batch *batch = NULL;

        if (!f->of_stream || f->stream != stream) {
            continue;
        }
        cr_assert_eq(qtrace_reader_read(reader, i, &batch, NULL), 0);
        for (uint32_t k = 0; k < batch->n_events && seq == 0; k++) {
            if (batch->event[k].kind == kind && batch->event[k].seq > after) {
                seq = batch->event[k].seq;
                *blocks = batch->first_block + batch->event[k].block_row;
            }
        }
        qtrace_batch_free(&batch);
    }
    return seq;
}

/* What a stream does after another has ended is placed behind that end, but for a chunk. */
Test(recorder, order_behind_the_end_of_another)
{
    struct qt_recorder_options options = {.path = "/tmp/qtrace-recorder-order.qtr"};
    static struct qt_producer a, b;
    struct qtrace_reader *reader;
    uint64_t end, blocks = 0;

    start(&options, 600000);
    cr_assert(qt_producer_open(recorder, &a, 0) && qt_producer_open(recorder, &b, 1));
    one_insn_block(&a);
    push_blocks(&b, 10, 1);
    qt_producer_close(&b, true);
    usleep(100000); /* so that the recorder's thread is done with it: then this one is alone */
    push_blocks(&a, 100000, 1);
    qt_producer_close(&a, true);
    reader = stop_and_read(&options);
    end = find_event(reader, 1, QTRACE_EVENT_VCPU_EXIT, 0, &blocks);
    cr_assert_gt(end, 0);
    cr_assert_gt(find_event(reader, 0, QTRACE_EVENT_SYNC, end, &blocks), end);
    cr_assert_leq(blocks, QT_CHUNK_WORDS, "%zu blocks before", (size_t)blocks);
    qtrace_reader_close(&reader);
}
