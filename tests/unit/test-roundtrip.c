/*
 * test-roundtrip.c - what a writer wrote is what a reader reads, or a gap that it names
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "bytes.h"
#include "encoder.h"
#include "frame.h"
#include "qtrace/reader.h"
#include "qtrace/writer.h"
#include "thread-test.h"

/* Criterion sends word of every assertion that holds, which is too slow for millions of them. */
#define CHECK(condition, ...)                                            \
    do {                                                                 \
        if (!(condition)) {                                              \
            cr_assert_fail("" __VA_ARGS__);                              \
        }                                                                \
    } while (0)


/* ---- random traces ---- */

static uint64_t state;

static uint64_t any(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)(any() % n);
}

/* How a random trace looks. */
struct shape {
    uint32_t translations, batches, streams;
    uint32_t max_blocks, max_accesses, max_events;
    uint32_t max_insns; /* of most translations; 0 = 6 */
    unsigned level;
    bool losses;
    bool tidy; /* every access has its block row */
    uint32_t value_max; /* bytes of the largest accesses that have a value; 0 = none have */
    bool phys;
};

#define MAX_TRANSLATIONS 4096
#define MAX_BATCHES 2500
#define MAX_STREAMS 4

/* A trace as it was given to the writer. */
struct original {
    uint32_t n_insns[MAX_TRANSLATIONS];
    struct qtrace_translation translation[MAX_TRANSLATIONS];
    struct qtrace_insn *insn[MAX_TRANSLATIONS];
    uint32_t n_translations;
    struct qt_batch *batch[MAX_BATCHES];
    uint32_t n_batches, n_streams;
};

struct next {
    uint64_t block, insn, access, event;
};

/* Texts, bytes and names of which some come again and some do not. */
static const char *some_text(void)
{
    static const char *const texts[] = {"mov eax, 1", "?", "ret", "movaps %xmm0, (%rdi)",
                                        "ldr x0, [x1, #8]", "b 0x1000", "syscall", "nop"};

    return below(4) == 0 ? NULL : texts[below(8)];
}

static const char *some_symbol(void)
{
    static char names[64][12];
    uint32_t i = below(64);

    snprintf(names[i], sizeof(names[i]), "f%x", i * 0x1111);
    return below(3) == 0 ? NULL : names[i];
}

static const uint8_t *some_bytes(void)
{
    static uint8_t bytes[1024];
    uint32_t i;

    for (i = 0; bytes[1] == 0 && i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 167 + 13 + i / 256);
    }
    return bytes + below(sizeof(bytes) - QTRACE_MAX_INSN_BYTES);
}

static void make_insns(struct qtrace_insn *insn, uint32_t n, uint64_t at)
{
    uint32_t i;

    for (i = 0; i < n; i++) {
        at += below(8) == 0 ? any() : 0;
        insn[i] = (struct qtrace_insn){.vaddr = at, .data = some_bytes(), .size = below(16)};
        insn[i].data_size = insn[i].size + below(3);
        insn[i].has_haddr = below(2);
        insn[i].haddr = insn[i].has_haddr ? any() : 0;
        insn[i].disas = some_text();
        insn[i].symbol = some_symbol();
        at += insn[i].size;
    }
}

/* A difference that may easily be overlooked, or none. */
static void differ(struct qtrace_insn *insn)
{
    switch (below(12)) {
    case 0:
        insn->vaddr += 1;
        break;
    case 1:
        insn->has_haddr = !insn->has_haddr;
        insn->haddr = 0;
        break;
    case 2:
        insn->haddr ^= insn->has_haddr;
        break;
    case 3:
        insn->disas = some_text();
        break;
    case 4:
        insn->symbol = some_symbol();
        break;
    case 5:
        insn->data = some_bytes();
        break;
    case 6:
        insn->data_size = insn->size;
        break;
    }
}

/* Anything, or what was defined before with at most a small difference. */
static void define(struct qtrace_writer *w, struct original *o, uint32_t max_insns)
{
    uint32_t id = o->n_translations++, like = id > 0 && below(3) == 0 ? below(id) : id;
    uint32_t n = like < id ? o->translation[like].n_insns : 1 + below(max_insns);
    struct qtrace_insn *insn = calloc(n, sizeof(*insn));
    uint64_t at = like < id ? o->translation[like].vaddr : any();

    CHECK(insn != NULL);
    if (like < id) {
        memcpy(insn, o->insn[like], n * sizeof(*insn));
        differ(&insn[below(n)]);
    } else {
        make_insns(insn, n, at);
    }
    o->translation[id] =
        (struct qtrace_translation){.id = id, .n_insns = n, .vaddr = at, .insn = insn};
    o->insn[id] = insn;
    o->n_insns[id] = n;
    CHECK(qtrace_writer_define(w, &o->translation[id], NULL) == 0);
}

/* Either anything that the format allows, or what programs do: blocks in habitual order, which
 * make the same accesses each time, at addresses with a pattern. */
static void fill_blocks(struct qt_batch *b, const struct original *o, bool habits)
{
    uint32_t i, id = 0;

    b->batch.n_insns = 0;
    for (i = 0; i < b->batch.n_blocks; i++) {
        if (habits && below(20) != 0) {
            id = (id * 7 + i % 2) % o->n_translations;
        } else {
            id = below(3) == 0 ? below(o->n_translations) : id;
        }
        b->block[i] = id;
        b->started[i] =
            (uint16_t)(below(habits ? 50 : 5) ? o->n_insns[id] : below(o->n_insns[id] + 1));
        b->batch.n_insns += b->started[i];
    }
}

static uint64_t some_address(void)
{
    static const uint64_t extreme[] = {0, 1, UINT64_MAX, INT64_MAX, 1ull << 63, 0x7fff00001000};

    return below(3) == 0 ? extreme[below(6)] : any() >> below(64);
}

/* As instruction insn of block id goes through memory. */
static uint64_t habitual_address(const struct qt_batch *b, uint32_t row, uint32_t id,
                                 uint32_t insn)
{
    static uint64_t walk[64];
    uint32_t kind = (id * 5 + insn) % 8, place = (id * 11 + insn) % 64;

    if (below(30) == 0) {
        return some_address();
    }
    if (kind >= 1 && kind <= 4 && row >= kind) {
        return b->vaddr[row - kind] + 8 * insn;
    }
    if (kind == 5) {
        return walk[(id * 11 + insn + 1) % 64]; /* where another one has been */
    }
    if (kind == 6 && row >= 1) { /* the same index in an array of larger elements */
        return (b->vaddr[row - 1] << (b->flags[row] & 7) >> (b->flags[row - 1] & 7)) + 64;
    }
    if (kind == 7) { /* round and round */
        return (walk[place] = walk[place] * 5 % 31 + 1);
    }
    return walk[place] += 1 + id * 16;
}

static void fill_access(struct qt_batch *b, const struct original *o, uint32_t row, uint32_t id,
                        uint32_t n)
{
    b->flags[row] = (uint8_t)below(0x40);
    b->vaddr[row] = some_address();
    if (b->batch.n_foreign < below(20)) {
        id = below(o->n_translations);
        b->flags[row] |= QTRACE_ACCESS_FOREIGN;
        b->foreign[b->batch.n_foreign++] = (struct qtrace_foreign){row, id};
        n = o->n_insns[id];
    }
    b->insn[row] = (uint16_t)below(n);
    if (row > 0 && below(3) == 0 &&
        !((b->flags[row] | b->flags[row - 1]) & QTRACE_ACCESS_FOREIGN)) {
        b->insn[row] = (uint16_t)(b->insn[row - 1] % n); /* often the same once more */
        b->flags[row] = b->flags[row - 1];
    }
}

/* The i-th access of a block that has its habits. */
static void fill_habitual(struct qt_batch *b, const struct original *o, uint32_t row, uint32_t id,
                          uint32_t i)
{
    uint32_t owner = id;

    if (below(40) == 0) {
        fill_access(b, o, row, id, o->n_insns[id]);
        return;
    }
    b->flags[row] = (uint8_t)((id + (id % 3 == 0 ? i / 2 : i)) % 0x40);
    if (id % 16 == 3 && i == 1) {
        owner = id / 2;
        b->flags[row] |= QTRACE_ACCESS_FOREIGN;
        b->foreign[b->batch.n_foreign++] = (struct qtrace_foreign){row, owner};
    }
    b->insn[row] = (uint16_t)((id % 3 == 0 ? i / 2 : i) % o->n_insns[owner]);
    b->vaddr[row] = habitual_address(b, row, owner, b->insn[row]);
}

static void fill_row(struct qt_batch *b, const struct original *o, uint32_t begin, uint32_t i,
                     bool habits)
{
    uint32_t id = b->block[i], row;

    for (row = begin; row < b->access_end[i]; row++) {
        if (habits) {
            fill_habitual(b, o, row, id, row - begin);
        } else {
            fill_access(b, o, row, id, o->n_insns[id]);
        }
    }
}

static void fill_accesses(struct qt_batch *b, const struct original *o, bool habits, bool tidy)
{
    uint32_t blocks = b->batch.n_blocks, n = b->batch.n_accesses, row = 0, i, more;

    b->batch.n_foreign = 0;
    b->batch.access_begin = blocks == 0 ? n : !tidy && below(4) == 0 ? below(n + 1) : 0;
    for (; row < b->batch.access_begin; row++) {
        fill_access(b, o, row, 0, QTRACE_MAX_BLOCK_INSNS);
    }
    for (i = 0; i < blocks; i++) {
        more = habits ? b->block[i] % 5 : below((n - row) / (1 + blocks / 4) + 1);
        b->access_end[i] = i + 1 == blocks ? n : row + (more < n - row ? more : n - row);
        fill_row(b, o, row, i, habits);
        row = b->access_end[i];
    }
}

/* Memory, as far as random accesses go: what was stored is often loaded again. */
static uint64_t some_value(const struct qt_batch *b, uint32_t row, uint32_t word)
{
    switch (below(6)) {
    case 0:
        return any() >> below(64);
    case 1:
        return row > 0 ? b->value[below(row)] : 0;
    case 2:
        return row > 4 ? b->value[row - 1 - below(4)] : 0;
    case 3:
        return b->insn[row] + 3ull * row;
    default:
        return b->vaddr[row] / 16 * 0x0123456789abcdefu + word;
    }
}

static void fill_values(struct qt_batch *b, uint32_t max)
{
    uint32_t row, words, i;

    b->batch.value_max = max;
    b->batch.n_wide = 0;
    b->batch.wide = b->wide = calloc(b->batch.n_accesses * 7 + 1, sizeof(*b->wide));
    CHECK(b->wide != NULL);
    for (row = 0; row < b->batch.n_accesses; row++) {
        uint32_t size = 1u << (b->flags[row] & QTRACE_ACCESS_SIZE);

        words = size > max ? 0 : size < 8 ? 1 : size / 8;
        b->value[row] = words == 0 ? 0 : some_value(b, row, 0);
        b->value[row] &= size < 8 ? (1ull << 8 * size) - 1 : UINT64_MAX;
        for (i = 1; i < words; i++) {
            b->wide[b->batch.n_wide++] = (struct qtrace_wide){row, i, some_value(b, row, i)};
        }
    }
}

/* The index of a device in the batch, which has it from now on. */
static uint32_t some_device(struct qt_batch *b)
{
    static const char *const name[] = {"serial", "riscv.aclint.mtimer", "", "serial", "gpex"};
    const uint32_t number = below(5);
    uint32_t i = 0;

    while (i < b->batch.n_devices && b->device[i].number != 200 * number) {
        i++;
    }
    if (i == b->batch.n_devices) {
        b->device[b->batch.n_devices++] = (struct qtrace_device){
            200 * number, 0x7f0000001000 + 99 * number, name[number]};
    }
    return i;
}

/* Pages in a few address spaces, between which the system switches: some at a distance that all
 * have, some anywhere; some of them are devices. */
static void fill_phys(struct qt_batch *b)
{
    uint64_t space = 0, page;
    uint32_t row;

    b->batch.device = b->device = calloc(5, sizeof(*b->device));
    CHECK(b->device != NULL);
    for (row = 0; row < b->batch.n_accesses; row++) {
        space = below(20) == 0 ? below(3) : space;
        page = b->vaddr[row] >> 12;
        page = page & 1 ? page + 0x1234 * space : page * (space + 1) * 7 & 0xfffff;
        b->phys[row] = page << 12 | (b->vaddr[row] & 0xfff);
        b->phys_kind[row] = QTRACE_PHYS_RAM;
        switch (below(40)) {
        case 0:
            b->phys[row] = 0;
            b->phys_kind[row] = QTRACE_PHYS_NONE;
            break;
        case 1:
            b->phys[row] = any() >> below(64);
            break;
        case 2:
            b->phys[row] += below(2) ? below(4096) : 0;
            b->phys_kind[row] = (uint16_t)(QTRACE_PHYS_IO + some_device(b));
            break;
        }
    }
}

static void fill_events(struct qt_batch *b, uint64_t *seq, uint64_t *time)
{
    uint32_t i, k, block = 0, access = 0;
    struct qtrace_event *e;

    for (i = 0; i < b->batch.n_events; i++) {
        e = &b->event[i];
        *seq += 1 + below(5);
        *time += any() >> 40;
        block += below(b->batch.n_blocks - block + 1);
        access += below(b->batch.n_accesses - access + 1);
        *e = (struct qtrace_event){.block_row = block, .access_row = access, .seq = *seq,
                                   .time = *time, .n_args = below(QTRACE_EVENT_ARGS + 1)};
        do {
            e->kind = (enum qtrace_event_kind)(1 + below(QTRACE_EVENT_DISCON));
        } while (e->kind == QTRACE_EVENT_LOST);
        for (k = 0; k < e->n_args; k++) {
            e->arg[k] = some_address();
        }
    }
}

static void lose(struct qt_batch *b, struct next *next)
{
    struct qtrace_event *e = b->event;
    unsigned k;

    if (b->batch.n_events == 0) {
        return;
    }
    e->kind = QTRACE_EVENT_LOST;
    e->n_args = 4;
    e->block_row = e->access_row = 0;
    for (k = 0; k < 4; k++) {
        e->arg[k] = 1 + below(1000);
    }
    next->block += e->arg[0];
    next->insn += e->arg[1];
    next->access += e->arg[2];
    next->event += e->arg[3];
}

static struct qt_batch *make_batch(const struct shape *shape, const struct original *o,
                                   struct next *next, uint64_t *seq, uint64_t *time)
{
    struct qt_batch_size size = {below(shape->max_blocks + 1), below(shape->max_accesses + 1),
                                 below(shape->max_events + 1), shape->value_max > 0,
                                 shape->phys};
    struct qt_batch *b = qt_batch_new(&size);
    bool habits = below(2);

    if (shape->tidy && size.blocks == 0 && b != NULL) {
        b->batch.n_accesses = size.accesses = 0;
    }
    CHECK(b != NULL);
    b->batch.foreign = b->foreign = malloc((size.accesses + 1) * sizeof(*b->foreign));
    CHECK(b->foreign != NULL);
    b->batch.first_seq = *seq;
    b->batch.first_time = *time;
    fill_blocks(b, o, habits);
    fill_accesses(b, o, habits, shape->tidy);
    if (shape->value_max > 0) {
        fill_values(b, shape->value_max);
    }
    if (shape->phys) {
        fill_phys(b);
    }
    fill_events(b, seq, time);
    if (shape->losses && below(3) == 0) {
        lose(b, next);
    }
    b->batch.first_block = next->block;
    b->batch.first_insn = next->insn;
    b->batch.first_access = next->access;
    b->batch.first_event = next->event;
    next->block += b->batch.n_blocks;
    next->insn += b->batch.n_insns;
    next->access += b->batch.n_accesses;
    next->event += b->batch.n_events;
    return b;
}

static void give_run(struct qtrace_writer *w)
{
    static const char *const args[] = {"qemu-x86_64", "-plugin", "x"};
    const struct qtrace_run run = {.target = "x86_64", .command_line = args,
                                   .n_command_line = 3, .mem = true, .pid = 42};

    CHECK(qtrace_writer_run(w, &run, NULL) == 0);
}

static void write_trace(const char *path, const struct shape *shape, struct original *o)
{
    const struct qtrace_writer_options options = {sizeof(options), shape->level, true, "test"};
    struct next next[MAX_STREAMS] = {0};
    uint64_t seq = 0, time = 0;
    struct qtrace_writer *w;
    struct qtrace_error err = {0};
    uint32_t i, s, max_insns = shape->max_insns > 0 ? shape->max_insns : 6;

    *o = (struct original){.n_streams = shape->streams};
    CHECK(qtrace_writer_open(&w, path, &options, &err) == 0, "%s", err.message);
    give_run(w);
    for (i = 0; i < shape->batches; i++) {
        do {
            define(w, o, below(4) == 0 ? QTRACE_MAX_BLOCK_INSNS / 16 : max_insns);
        } while (o->n_translations < shape->translations * (i + 1) / shape->batches);
        s = below(shape->streams);
        o->batch[i] = make_batch(shape, o, &next[s], &seq, &time);
        o->batch[i]->batch.stream = s;
        o->batch[i]->batch.vcpu = s + 7;
        CHECK(qtrace_writer_batch(w, &o->batch[i]->batch, &err) == 0, "%s", err.message);
        o->n_batches++;
    }
    CHECK(qtrace_writer_close(&w, "exit", time, &err) == 0, "%s", err.message);
}

static void free_original(struct original *o)
{
    uint32_t i;

    for (i = 0; i < o->n_batches; i++) {
        free(o->batch[i]->foreign);
        free(o->batch[i]->wide);
        free(o->batch[i]->device);
        free(o->batch[i]);
    }
    for (i = 0; i < o->n_translations; i++) {
        free(o->insn[i]);
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_translation(const struct qtrace_translation *a,
                             const struct qtrace_translation *b)
{
    const struct qtrace_insn *x, *y;
    uint32_t i;

    if (a->id != b->id || a->n_insns != b->n_insns || a->vaddr != b->vaddr) {
        return false;
    }
    for (i = 0; i < a->n_insns; i++) {
        x = &a->insn[i];
        y = &b->insn[i];
        if (x->vaddr != y->vaddr || x->size != y->size || x->data_size != y->data_size ||
            memcmp(x->data, y->data, x->data_size) != 0 || x->has_haddr != y->has_haddr ||
            x->haddr != y->haddr || !same_text(x->disas, y->disas) ||
            !same_text(x->symbol, y->symbol)) {
            return false;
        }
    }
    return true;
}

static bool same_events(const struct qtrace_batch *a, const struct qtrace_batch *b)
{
    const struct qtrace_event *x, *y;
    uint32_t i;

    for (i = 0; i < a->n_events; i++) {
        x = &a->event[i];
        y = &b->event[i];
        if (x->kind != y->kind || x->block_row != y->block_row ||
            x->access_row != y->access_row || x->n_args != y->n_args || x->seq != y->seq ||
            x->time != y->time || memcmp(x->arg, y->arg, x->n_args * sizeof(x->arg[0]))) {
            return false;
        }
    }
    return true;
}

/* NULL: without values, which is what a batch without accesses is, too. */
static bool same_values(const struct qtrace_batch *a, const struct qtrace_batch *b)
{
    uint32_t i;

    if (a->value == NULL || a->n_accesses == 0) {
        return a->n_wide == 0;
    }
    if (b->value == NULL || a->value_max != b->value_max || a->n_wide != b->n_wide ||
        memcmp(a->value, b->value, a->n_accesses * sizeof(*a->value)) != 0) {
        return false;
    }
    for (i = 0; i < a->n_wide; i++) {
        if (a->wide[i].access_row != b->wide[i].access_row || a->wide[i].word != b->wide[i].word ||
            a->wide[i].value != b->wide[i].value) {
            return false;
        }
    }
    return true;
}

static bool same_phys(const struct qtrace_batch *a, const struct qtrace_batch *b)
{
    uint32_t i;

    if (a->phys == NULL || a->n_accesses == 0) {
        return a->n_devices == 0;
    }
    if (b->phys == NULL || a->n_devices != b->n_devices ||
        memcmp(a->phys, b->phys, a->n_accesses * sizeof(*a->phys)) != 0 ||
        memcmp(a->phys_kind, b->phys_kind, a->n_accesses * sizeof(*a->phys_kind)) != 0) {
        return false;
    }
    for (i = 0; i < a->n_devices; i++) {
        if (a->device[i].number != b->device[i].number ||
            a->device[i].address != b->device[i].address ||
            strcmp(a->device[i].name, b->device[i].name) != 0) {
            return false;
        }
    }
    return true;
}

static bool same_batch(const struct qtrace_batch *a, const struct qtrace_batch *b)
{
    size_t blocks = a->n_blocks, accesses = a->n_accesses;

    return a->stream == b->stream && a->vcpu == b->vcpu && a->first_block == b->first_block &&
           a->first_insn == b->first_insn && a->first_access == b->first_access &&
           a->first_event == b->first_event && a->first_seq == b->first_seq &&
           a->first_time == b->first_time && a->n_blocks == b->n_blocks &&
           a->access_begin == b->access_begin && a->n_accesses == b->n_accesses &&
           a->n_foreign == b->n_foreign && a->n_events == b->n_events &&
           a->n_insns == b->n_insns && memcmp(a->block, b->block, blocks * 4) == 0 &&
           memcmp(a->started, b->started, blocks * 2) == 0 &&
           memcmp(a->access_end, b->access_end, blocks * 4) == 0 &&
           (a->vaddr == NULL || memcmp(a->vaddr, b->vaddr, accesses * 8) == 0) &&
           memcmp(a->insn, b->insn, accesses * 2) == 0 &&
           memcmp(a->flags, b->flags, accesses) == 0 &&
           (a->n_foreign == 0 || memcmp(a->foreign, b->foreign, a->n_foreign * sizeof(*a->foreign)) == 0) &&
           same_values(a, b) && same_phys(a, b) && same_events(a, b);
}

static char *temporary(void)
{
    static char path[64];

    /* some tests close thousands of files, which is no test of the disk */
    snprintf(path, sizeof(path), "%s/qtrace-test-%ld.qtr",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    return path;
}

/* ---- whole traces ---- */

/* The index, read from the file, tells what a scan finds. */
static void compare_frames(const struct qtrace_reader *a, const struct qtrace_reader *b)
{
    const struct qtrace_frame_info *x, *y;
    size_t i;
    unsigned k;

    CHECK(qtrace_reader_n_frames(a) == qtrace_reader_n_frames(b));
    for (i = 0; i < qtrace_reader_n_frames(a); i++) {
        x = qtrace_reader_frame(a, i);
        y = qtrace_reader_frame(b, i);
#define SAME(field) CHECK(x->field == y->field, "frame %zu: " #field, i)
        SAME(offset); SAME(size); SAME(of_stream); SAME(definitions); SAME(index); SAME(copy);
        SAME(stream); SAME(vcpu); SAME(first_block); SAME(blocks); SAME(first_insn); SAME(insns);
        SAME(first_access); SAME(accesses); SAME(first_event); SAME(events); SAME(syscalls);
        SAME(lost_blocks); SAME(lost_insns); SAME(lost_accesses); SAME(lost_events);
        SAME(first_seq); SAME(last_seq); SAME(first_time); SAME(last_time);
        SAME(first_translation); SAME(translations); SAME(n_columns);
        for (k = 0; k < x->n_columns; k++) {
            SAME(column[k].id); SAME(column[k].rows); SAME(column[k].offset);
            SAME(column[k].raw_size); SAME(column[k].stored_size);
        }
#undef SAME
    }
    CHECK(qtrace_reader_n_gaps(a) == qtrace_reader_n_gaps(b));
    for (i = 0; i < qtrace_reader_n_gaps(a); i++) {
        CHECK(qtrace_reader_gap(a, i)->offset == qtrace_reader_gap(b, i)->offset);
        CHECK(qtrace_reader_gap(a, i)->blocks == qtrace_reader_gap(b, i)->blocks);
    }
    CHECK(qtrace_reader_n_streams(a) == qtrace_reader_n_streams(b));
}

/* Both find the same frame, and it is the first one that reaches the ordinal. */
static void compare_finding(const struct qtrace_reader *a, const struct qtrace_reader *b)
{
    const enum qtrace_ordinal by = (enum qtrace_ordinal)below(4);
    const uint64_t ordinal = by == QTRACE_BY_TIME ? any() >> (24 + below(40)) : below(5000);
    const uint32_t stream = below(MAX_STREAMS);
    const struct qtrace_frame_info *f;
    uint64_t end;
    size_t i, x = 0, y = 0;
    int ret = qtrace_reader_find(a, stream, by, ordinal, &x);

    CHECK(qtrace_reader_find(b, stream, by, ordinal, &y) == ret && x == y);
    for (i = 0; i < qtrace_reader_n_frames(a); i++) {
        f = qtrace_reader_frame(a, i);
        if (!f->of_stream || f->stream != stream) {
            continue;
        }
        end = by == QTRACE_BY_BLOCK    ? f->first_block + f->blocks
              : by == QTRACE_BY_INSN   ? f->first_insn + f->insns
              : by == QTRACE_BY_ACCESS ? f->first_access + f->accesses
                                       : f->last_time + 1;
        if (end > ordinal) {
            break;
        }
    }
    CHECK(ret == (i < qtrace_reader_n_frames(a) ? QTRACE_OK : QTRACE_END) &&
          (ret == QTRACE_END || i == x));
}

/* Each selection gives the rows that reading everything gives, and no others. */
static void compare_selected(struct qtrace_reader *r, size_t i, const struct qtrace_batch *all)
{
    static const unsigned select[] = {QTRACE_SELECT_BLOCKS, QTRACE_SELECT_ACCESSES,
                                      QTRACE_SELECT_ADDRESSES, QTRACE_SELECT_EVENTS,
                                      QTRACE_SELECT_BLOCKS | QTRACE_SELECT_EVENTS,
                                      QTRACE_SELECT_VALUES, QTRACE_SELECT_PHYS};
    const unsigned s = select[below(7)];
    struct qtrace_batch want = *all, *b;

    if (!(s & QTRACE_SELECT_BLOCKS)) {
        want.n_blocks = 0;
        want.n_insns = 0;
    }
    if ((s & QTRACE_SELECT_ACCESSES) != QTRACE_SELECT_ACCESSES) {
        want.n_accesses = want.n_foreign = want.access_begin = 0;
    }
    want.n_events = s & QTRACE_SELECT_EVENTS ? all->n_events : 0;
    qtrace_reader_select(r, s);
    CHECK(qtrace_reader_read(r, i, &b, NULL) == 0);
    qtrace_reader_select(r, QTRACE_SELECT_ALL);
    CHECK((b->vaddr == NULL) == ((s & QTRACE_SELECT_ADDRESSES) != QTRACE_SELECT_ADDRESSES));
    want.vaddr = b->vaddr == NULL ? NULL : want.vaddr;
    if (s != QTRACE_SELECT_VALUES) {
        CHECK(b->value == NULL);
    } else {
        CHECK((b->value == NULL) == (all->value == NULL));
    }
    if (s != QTRACE_SELECT_PHYS) {
        CHECK(b->phys == NULL && b->phys_kind == NULL);
    } else {
        CHECK((b->phys == NULL) == (all->phys == NULL));
    }
    if ((s & QTRACE_SELECT_ACCESSES) != QTRACE_SELECT_ACCESSES) {
        want.access_end = b->access_end; /* without a meaning */
    }
    CHECK(same_batch(b, &want), "frame %zu, selection %u", i, s);
    qtrace_batch_free(&b);
}

/* The summaries count what the rows count: of each frame, and of all. */
static void compare_counts(struct qtrace_reader *r, struct qtrace_counts *rows)
{
    struct qtrace_counts *all = qtrace_counts_new();

    CHECK(qtrace_reader_count(r, 0, qtrace_reader_n_frames(r), all, NULL) == 0);
    CHECK(qtrace_counts_equal(rows, all));
    qtrace_counts_free(&all);
}

static void compare_frame_counts(struct qtrace_reader *r, size_t i,
                                 const struct qtrace_batch *b, struct qtrace_counts *total)
{
    struct qtrace_counts *rows = qtrace_counts_new(), *summary = qtrace_counts_new();

    CHECK(qtrace_counts_add(rows, b, r) == 0 && qtrace_counts_add(total, b, r) == 0);
    CHECK(qtrace_reader_count(r, i, 1, summary, NULL) == 0);
    CHECK(qtrace_counts_equal(rows, summary), "frame %zu", i);
    qtrace_counts_free(&rows);
    qtrace_counts_free(&summary);
}

static void compare_batches(struct qtrace_reader *r, const struct original *o)
{
    struct qtrace_counts *total = qtrace_counts_new();
    struct qtrace_error err = {0};
    struct qtrace_batch *b;
    uint32_t n = 0;
    size_t i;

    for (i = 0; i < qtrace_reader_n_frames(r); i++) {
        if (!qtrace_reader_frame(r, i)->of_stream) {
            continue;
        }
        CHECK(qtrace_reader_read(r, i, &b, &err) == 0, "%s", err.message);
        CHECK(n < o->n_batches);
        CHECK(same_batch(b, &o->batch[n]->batch), "batch %u differs", n);
        CHECK(b->n_accesses == 0 || (b->value == NULL) == (o->batch[n]->value == NULL));
        compare_selected(r, i, b);
        compare_frame_counts(r, i, b, total);
        n++;
        qtrace_batch_free(&b);
    }
    CHECK(n == o->n_batches);
    compare_counts(r, total);
    qtrace_counts_free(&total);
}

/* One frame in the middle is read, its definitions with it; then everything. */
static void compare_indexed(struct qtrace_reader *scanned, const char *path,
                            const struct original *o)
{
    struct qtrace_batch *b;
    struct qtrace_reader *r;
    uint32_t n = 0, middle = o->n_batches / 2;
    size_t i;

    CHECK(qtrace_reader_open_indexed(&r, path, NULL) == 0);
    CHECK(qtrace_reader_is_indexed(r) == (qtrace_reader_n_frames(scanned) > 0));
    CHECK(!qtrace_reader_is_indexed(scanned));
    compare_frames(scanned, r);
    for (i = 0; i < 50; i++) {
        compare_finding(scanned, r);
    }
    for (i = 0; i < qtrace_reader_n_frames(r); i++) {
        if (qtrace_reader_frame(r, i)->of_stream && n++ == middle) {
            CHECK(qtrace_reader_read(r, i, &b, NULL) == 0);
            CHECK(same_batch(b, &o->batch[middle]->batch));
            qtrace_batch_free(&b);
        }
    }
    compare_batches(r, o);
    CHECK(qtrace_reader_n_translations(r) == o->n_translations);
    for (i = o->n_translations; i > 0; i--) {
        CHECK(qtrace_reader_translation(r, (uint32_t)i - 1) != NULL);
        CHECK(same_translation(qtrace_reader_translation(r, (uint32_t)i - 1),
                               &o->translation[i - 1]));
    }
    CHECK(qtrace_reader_status(r) == qtrace_reader_status(scanned));
    qtrace_reader_close(&r);
}

static void compare_whole(const char *path, const struct original *o, int status)
{
    struct qtrace_reader *r;
    struct qtrace_error err = {0};
    size_t i;

    CHECK(qtrace_reader_open(&r, path, &err) == 0, "%s", err.message);
    CHECK(qtrace_reader_n_translations(r) == o->n_translations);
    for (i = 0; i < o->n_translations; i++) {
        CHECK(qtrace_reader_translation(r, (uint32_t)i) != NULL);
        CHECK(same_translation(qtrace_reader_translation(r, (uint32_t)i), &o->translation[i]),
              "translation %zu differs", i);
    }
    compare_batches(r, o);
    CHECK(qtrace_reader_status(r) == status, "status %d: %s", qtrace_reader_status(r),
          qtrace_reader_n_gaps(r) > 0 ? qtrace_reader_gap(r, 0)->message : "no gap");
    compare_indexed(r, path, o);
    cr_assert_str_eq(qtrace_reader_health(r).reason, "exit");
    cr_assert_str_eq(qtrace_reader_run(r)->target, "x86_64");
    cr_assert_str_eq(qtrace_reader_producer(r), "test");
    if (status == 0) {
        CHECK(qtrace_reader_n_gaps(r) == 0);
    }
    qtrace_reader_close(&r);
}

Test(roundtrip, random_shapes)
{
    char *path = temporary();
    static struct original o;
    unsigned seed;

    for (seed = 0; seed < 400; seed++) {
        state = seed;
        struct shape shape = {
            .translations = 1 + below(32),
            .batches = below(16),
            .streams = 1 + below(MAX_STREAMS),
            .max_blocks = below(4) ? below(2000) : below(3),
            .max_accesses = below(4) ? below(3000) : 0,
            .max_events = below(3) ? below(20) : 0,
            .level = seed % 13,
            .value_max = below(2) ? 1u << below(7) : 0,
            .phys = below(2),
        };
        write_trace(path, &shape, &o);
        compare_whole(path, &o, 0);
        free_original(&o);
    }
    unlink(path);
}

/* So many frames that the index has several segments, and counts come from them. */
Test(roundtrip, segments_of_the_index)
{
    char *path = temporary();
    static struct original o;
    struct shape shape = {.translations = 40, .batches = MAX_BATCHES, .streams = 3,
                          .max_blocks = 20, .max_accesses = 30, .max_events = 3, .level = 1,
                          .tidy = true};
    struct qtrace_reader *r;
    size_t i, n = 0;

    state = 1;
    write_trace(path, &shape, &o);
    compare_whole(path, &o, 0);
    CHECK(qtrace_reader_open_indexed(&r, path, NULL) == 0);
    for (i = 0; i < qtrace_reader_n_frames(r); i++) {
        if (qtrace_reader_frame(r, i)->index) {
            CHECK(qtrace_reader_frame(r, i)->n_columns == 2, "a segment is not counted");
            n++;
        }
    }
    CHECK(n >= 3 && qtrace_reader_is_indexed(r));
    qtrace_reader_close(&r);
    free_original(&o);
    unlink(path);
}

/* A segment becomes full within the trailer, by the second copies of definitions. */
Test(roundtrip, segment_full_in_the_trailer)
{
    char *path = temporary();
    static struct original o;
    struct shape shape = {.translations = 4000, .streams = 3, .max_blocks = 4, .max_insns = 16,
                          .max_accesses = 5, .level = 1, .tidy = true};
    struct qtrace_reader *r;
    size_t n, most = 0;

    for (shape.batches = 500; shape.batches < 513; shape.batches++) {
        state = shape.batches;
        write_trace(path, &shape, &o);
        compare_whole(path, &o, 0);
        CHECK(qtrace_reader_open_indexed(&r, path, NULL) == 0);
        n = qtrace_reader_n_frames(r);
        most = n > most ? n : most;
        qtrace_reader_close(&r);
        free_original(&o);
    }
    CHECK(most > 1026, "%zu frames are too few", most);
    unlink(path);
}

/* Definitions that take more memory than the reader keeps, asked for in every order. */
Test(roundtrip, forgotten_translations)
{
    static const size_t keep[] = {0, 1, 100000};
    char *path = temporary();
    static struct original o;
    struct shape shape = {.translations = MAX_TRANSLATIONS - 10, .batches = 9, .streams = 1,
                          .max_blocks = 2000, .max_accesses = 2000, .level = 1, .tidy = true,
                          .max_insns = 100};
    struct qtrace_reader *r;
    size_t i, k;

    state = 7;
    write_trace(path, &shape, &o);
    for (k = 0; k < sizeof(keep) / sizeof(keep[0]); k++) {
        CHECK((k & 1 ? qtrace_reader_open_indexed : qtrace_reader_open)(&r, path, NULL) == 0);
        qtrace_reader_keep(r, keep[k]);
        compare_batches(r, &o);
        for (i = 0; i < 2000; i++) {
            uint32_t id = i < 500 ? o.n_translations - 1 - (uint32_t)i : below(o.n_translations);
            CHECK(qtrace_reader_translation(r, id) != NULL, "%u is lost", id);
            CHECK(same_translation(qtrace_reader_translation(r, id), &o.translation[id]));
        }
        CHECK(qtrace_reader_translation(r, o.n_translations) == NULL);
        CHECK(qtrace_reader_failure(r, NULL) == QTRACE_OK && qtrace_reader_status(r) == 0);
        qtrace_reader_close(&r);
    }
    free_original(&o);
    unlink(path);
}

/* Translations come back as they were given. */
Test(roundtrip, translation)
{
    static const uint8_t bytes[4] = {0xb8, 1, 0, 0};
    const struct qtrace_insn insn[2] = {
        {.vaddr = 0x1000, .data = bytes, .data_size = 4, .size = 2, .disas = "mov",
         .symbol = "start", .has_haddr = true, .haddr = UINT64_MAX},
        {.vaddr = 0x0ff0, .data = bytes + 1, .data_size = 1, .size = 1},
    };
    const struct qtrace_translation t = {.id = 0, .n_insns = 2, .vaddr = 0x1000, .insn = insn};
    const struct qtrace_writer_options options = {sizeof(options), 1, true, NULL};
    const struct qtrace_translation *got;
    char *path = temporary();
    struct qtrace_writer *w;
    struct qtrace_reader *r;

    CHECK(qtrace_writer_open(&w, path, &options, NULL) == 0);
    CHECK(qtrace_writer_define(w, &t, NULL) == 0);
    CHECK(qtrace_writer_close(&w, "exit", 1, NULL) == 0);
    CHECK(qtrace_reader_open(&r, path, NULL) == 0);
    CHECK(qtrace_reader_status(r) == 0);
    got = qtrace_reader_translation(r, 0);
    CHECK(got != NULL && got->n_insns == 2 && got->vaddr == 0x1000);
    CHECK(got->insn[0].vaddr == 0x1000 && got->insn[1].vaddr == 0x0ff0);
    CHECK(got->insn[0].has_haddr && got->insn[0].haddr == UINT64_MAX);
    cr_assert_str_eq(got->insn[0].disas, "mov");
    cr_assert_str_eq(got->insn[0].symbol, "start");
    CHECK(got->insn[1].disas == NULL && got->insn[1].symbol == NULL);
    CHECK(got->insn[0].data_size == 4 && memcmp(got->insn[0].data, bytes, 4) == 0);
    qtrace_reader_close(&r);
    unlink(path);
}

Test(roundtrip, losses)
{
    char *path = temporary();
    static struct original o;
    struct qtrace_reader *r;
    uint64_t lost, gaps;
    unsigned seed;
    size_t i;

    for (seed = 0; seed < 50; seed++) {
        state = seed + 1000;
        struct shape shape = {8, 12, 2, 50, 50, 4, 0, seed % 3, true, false, seed % 2 * 16};
        write_trace(path, &shape, &o);
        CHECK(qtrace_reader_open(&r, path, NULL) == 0);
        lost = gaps = 0;
        for (i = 0; i < qtrace_reader_n_streams(r); i++) {
            lost += qtrace_reader_stream(r, i)->lost_insns;
        }
        for (i = 0; i < qtrace_reader_n_gaps(r); i++) {
            CHECK(qtrace_reader_gap(r, i)->lost);
            gaps += qtrace_reader_gap(r, i)->insns;
        }
        CHECK(lost == gaps);
        qtrace_reader_close(&r);
        compare_whole(path, &o, lost > 0 ? 5 : 0);
        free_original(&o);
    }
    unlink(path);
}

Test(roundtrip, existing_file_is_kept)
{
    struct qtrace_writer_options options = {sizeof(options), 1, true, NULL};
    char *path = temporary();
    struct qtrace_writer *w;
    struct qtrace_error err;

    CHECK(qtrace_writer_open(&w, path, &options, NULL) == 0);
    CHECK(qtrace_writer_close(&w, "exit", 0, NULL) == 0);
    options.overwrite = false;
    CHECK(qtrace_writer_open(&w, path, &options, &err) == QTRACE_E_EXISTS);
    CHECK(strstr(err.message, "overwrite=on") != NULL);
    CHECK(w == NULL);
    unlink(path);
    options.overwrite = true;
    CHECK(qtrace_writer_open(&w, "/dev/null", &options, &err) == QTRACE_E_IO);
}

/* ---- broken traces ---- */

/* A small trace in memory, and a file to put broken versions of it into. */
struct victim {
    struct original original;
    uint8_t *bytes;
    size_t size;
    int fd;
    const char *path;
};

static void begin_victim(struct victim *v, unsigned seed, unsigned level)
{
    struct shape shape = {6, 6, 2, 30, 40, 4, 0, level, false, false, 16};
    ssize_t n;

    state = seed;
    v->path = temporary();
    write_trace(v->path, &shape, &v->original);
    v->fd = open(v->path, O_RDWR);
    CHECK(v->fd >= 0);
    v->size = (size_t)lseek(v->fd, 0, SEEK_END);
    v->bytes = malloc(v->size);
    n = pread(v->fd, v->bytes, v->size, 0);
    CHECK((size_t)n == v->size);
}

static void end_victim(struct victim *v)
{
    close(v->fd);
    unlink(v->path);
    free(v->bytes);
    free_original(&v->original);
}

/* Rows per stream that a reader gave or declared missing. */
struct tally {
    uint64_t block, insn, access, event;
    bool to_end;
};

static void read_frames(struct qtrace_reader *r, const struct victim *v, struct tally *tally)
{
    struct qtrace_batch *b, *again;
    struct tally *t;
    uint32_t k;
    size_t i, gaps;
    int ret;

    for (i = 0; i < qtrace_reader_n_frames(r); i++) {
        if (!qtrace_reader_frame(r, i)->of_stream) {
            continue;
        }
        ret = qtrace_reader_read(r, i, &b, NULL);
        if (ret < 0) {
            gaps = qtrace_reader_n_gaps(r);
            CHECK(ret == QTRACE_E_DAMAGED);
            CHECK(qtrace_reader_read(r, i, &again, NULL) == ret);
            CHECK(qtrace_reader_n_gaps(r) == gaps);
            continue;
        }
        for (k = 0; k < v->original.n_batches; k++) {
            if (same_batch(b, &v->original.batch[k]->batch)) {
                break;
            }
        }
        CHECK(k < v->original.n_batches, "frame %zu was never written", i);
        t = &tally[b->stream];
        t->block += b->n_blocks;
        t->insn += b->n_insns;
        t->access += b->n_accesses;
        t->event += b->n_events;
        qtrace_batch_free(&b);
    }
}

static void add_gaps(struct qtrace_reader *r, struct tally *tally)
{
    const struct qtrace_gap *g;
    struct tally *t;
    size_t i;

    for (i = 0; i < qtrace_reader_n_gaps(r); i++) {
        g = qtrace_reader_gap(r, i);
        CHECK(!(g->lost));
        if (g->stream == UINT32_MAX) {
            CHECK(g->blocks + g->insns + g->accesses + g->events == 0);
            continue;
        }
        t = &tally[g->stream];
        t->block += g->blocks;
        t->insn += g->insns;
        t->access += g->accesses;
        t->event += g->events;
        t->to_end |= g->to_end;
    }
}

static void compare_tally(const struct victim *v, const struct tally *tally, bool complete,
                          const char *what, size_t where)
{
    struct tally want[MAX_STREAMS] = {0};
    const struct qtrace_batch *b;
    uint32_t i;

    for (i = 0; i < v->original.n_batches; i++) {
        b = &v->original.batch[i]->batch;
        want[b->stream].block += b->n_blocks;
        want[b->stream].insn += b->n_insns;
        want[b->stream].access += b->n_accesses;
        want[b->stream].event += b->n_events;
    }
    for (i = 0; i < MAX_STREAMS; i++) {
        if (tally[i].to_end || !complete) {
            CHECK(tally[i].block <= want[i].block && tally[i].event <= want[i].event);
        } else {
            CHECK(tally[i].block == want[i].block && tally[i].insn == want[i].insn &&
                      tally[i].access == want[i].access && tally[i].event == want[i].event, "%s at %zu: stream %u: rows unaccounted for", what, where, i);
        }
    }
}

static void examine(const struct victim *v, const char *what, size_t where)
{
    struct tally tally[MAX_STREAMS] = {0};
    struct qtrace_reader *r;
    struct qtrace_error err = {0};
    int ret = qtrace_reader_open(&r, v->path, &err), status;

    if (ret < 0) {
        CHECK(strcmp(what, "flip") != 0 &&
                  (ret == QTRACE_E_TRUNCATED || ret == QTRACE_E_FORMAT), "%s at %zu: %d %s", what, where, ret, err.message);
        return;
    }
    read_frames(r, v, tally);
    add_gaps(r, tally);
    status = qtrace_reader_status(r);
    CHECK(status == 3 || status == 4, "%s at %zu: status %d", what, where, status);
    if (strcmp(what, "cut") == 0) {
        CHECK(status == 3, "cut at %zu: status %d", where, status);
    }
    compare_tally(v, tally, qtrace_reader_health(r).reason != NULL, what, where);
    qtrace_reader_close(&r);
}

/* A sanitized build is slow: it takes one bit of every byte, the ordinary one takes all. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void flip_all(unsigned seed, unsigned level)
{
    struct victim v;
    uint8_t byte;
    size_t i;
    unsigned bit;

    begin_victim(&v, seed, level);
    for (i = 0; i < v.size; i++) {
        for (bit = 0; bit < 8; bit++) {
            if (SANITIZED && bit != i % 8) {
                continue;
            }
            byte = v.bytes[i] ^ (uint8_t)(1u << bit);
            CHECK(pwrite(v.fd, &byte, 1, (off_t)i) == 1);
            examine(&v, "flip", i * 8 + bit);
        }
        CHECK(pwrite(v.fd, &v.bytes[i], 1, (off_t)i) == 1);
    }
    end_victim(&v);
}

Test(broken, flip_every_bit)
{
    flip_all(11, 1);
}

Test(broken, flip_every_bit_of_a_stored_trace)
{
    flip_all(12, 0);
}

Test(broken, cut_at_every_byte)
{
    struct victim v;
    size_t i;

    begin_victim(&v, 13, 1);
    for (i = v.size - 1; i < v.size; i--) {
        CHECK(ftruncate(v.fd, (off_t)i) == 0);
        examine(&v, "cut", i);
    }
    end_victim(&v);
}

/* All rows that can be read, and nothing else. */
static void count_readable(const struct victim *v, struct tally *tally, bool indexed)
{
    struct qtrace_reader *r;

    memset(tally, 0, MAX_STREAMS * sizeof(*tally));
    CHECK((indexed ? qtrace_reader_open_indexed : qtrace_reader_open)(&r, v->path, NULL) == 0);
    CHECK(!indexed || qtrace_reader_n_frames(r) == 0 || qtrace_reader_is_indexed(r));
    read_frames(r, v, tally);
    CHECK(qtrace_reader_status(r) == 3);
    qtrace_reader_close(&r);
}

/* Wherever the recorder was killed: recovery loses no row, tells that something is missing, gives
 * an index, and finds nothing to do the second time. */
Test(broken, recover_at_every_cut)
{
    struct tally before[MAX_STREAMS], after[MAX_STREAMS], indexed[MAX_STREAMS];
    struct victim v;
    struct stat first, second;
    size_t i;
    int ret;

    begin_victim(&v, 13, 1);
    for (i = v.size - 1; i < v.size; i -= SANITIZED ? 7 : 1) {
        CHECK(ftruncate(v.fd, 0) == 0 && pwrite(v.fd, v.bytes, i, 0) == (ssize_t)i);
        ret = qtrace_recover(v.path, NULL);
        if (ret < 0) {
            CHECK(ret == QTRACE_E_TRUNCATED || ret == QTRACE_E_FORMAT);
            continue;
        }
        CHECK(ret == QTRACE_OK && fstat(v.fd, &first) == 0);
        count_readable(&v, after, false);
        count_readable(&v, indexed, true);
        CHECK(qtrace_recover(v.path, NULL) == QTRACE_END && fstat(v.fd, &second) == 0);
        CHECK(first.st_size == second.st_size);
        CHECK(ftruncate(v.fd, 0) == 0 && pwrite(v.fd, v.bytes, i, 0) == (ssize_t)i);
        count_readable(&v, before, false);
        CHECK(memcmp(before, after, sizeof(before)) == 0, "cut at %zu", i);
        CHECK(memcmp(before, indexed, sizeof(before)) == 0, "cut at %zu", i);
    }
    end_victim(&v);
}

Test(broken, bytes_after_the_end)
{
    struct victim v;

    begin_victim(&v, 14, 1);
    CHECK(pwrite(v.fd, "x", 1, (off_t)v.size) == 1);
    examine(&v, "tail", v.size);
    end_victim(&v);
}

/* Cutting any stretch out of the middle leaves a gap and nothing invented. */
Test(broken, missing_middle)
{
    struct victim v;
    size_t from, size;
    unsigned i;

    begin_victim(&v, 15, 1);
    for (i = 0; i < 2000; i++) {
        from = below((uint32_t)v.size - 1);
        size = 1 + below((uint32_t)(v.size - from - 1));
        CHECK(pwrite(v.fd, v.bytes, from, 0) == (ssize_t)from);
        CHECK(pwrite(v.fd, v.bytes + from + size, v.size - from - size, (off_t)from) == (ssize_t)(v.size - from - size));
        CHECK(ftruncate(v.fd, (off_t)(v.size - size)) == 0);
        examine(&v, "middle", from);
    }
    end_victim(&v);
}

/* ---- checksums ---- */

/* ---- the vectors of FORMAT.md ---- */

static void fill_vector(struct qt_batch *b)
{
    static const uint64_t address[] = {
        0x1000, 0x7f0000, 0x5000,   0x1010, 0x7f0020, 0x2d000,  0x1020, 0x7f0040, 0x7f0044,
        0x1030, 0x7f0060, 0x7f0064, 0x1040, 0x7f0080, 0x7f0084, 0x1050, 0x7f00a0, 0x7f00a4};
    uint32_t i;

    for (i = 0; i < 12; i++) {
        b->block[i] = 7 + i % 2;
        b->started[i] = i == 11 ? 1 : i % 2 ? 3 : 5;
        b->access_end[i] = i / 2 * 3 + 2 + i % 2;
    }
    for (i = 0; i < 18; i++) {
        b->vaddr[i] = address[i];
        b->insn[i] = (uint16_t)(uint8_t[]){1, 4, 2}[i % 3];
        b->flags[i] = (uint8_t[]){3, 0x23, 2}[i % 3];
    }
}

static void compare_column(const struct qt_encoder *e, unsigned id, const char *hex)
{
    char *text = malloc(3 * e->column[id].len + 1), *p = text;
    size_t i;

    CHECK(text != NULL);
    *text = 0;
    for (i = 0; i < e->column[id].len; i++) {
        p += sprintf(p, i == 0 ? "%02x" : " %02x", e->column[id].data[i]);
    }
    CHECK(strcmp(text, hex) == 0, "%s: %s instead of %s", qtrace_column_name(id), text, hex);
    free(text);
}

static void compare_summary(const struct qt_encoder *e, const char *hex)
{
    struct qtrace_counts *counts = qtrace_counts_new();
    struct qt_buf packed = {0};
    char text[200] = "";
    uint64_t rows;
    size_t i;

    CHECK(qt_encoder_count(e, counts) == 0 && qt_counts_pack(counts, &packed, &rows) == 0);
    for (i = 0; i < packed.len; i++) {
        sprintf(text + 3 * i, "%02x ", packed.data[i]);
    }
    CHECK(strncmp(text, hex, strlen(hex)) == 0 && packed.len * 3 == strlen(hex) + 1, "%s", text);
    qt_buf_finish(&packed);
    qtrace_counts_free(&counts);
}

Test(format, vector)
{
    const struct qt_batch_size size = {12, 18, 0};
    struct qt_batch *b = qt_batch_new(&size);
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5, [8] = 3}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(b != NULL);
    fill_vector(b);
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    CHECK(e.predictor.bits == 8);
    compare_column(&e, QTRACE_COLUMN_BLOCK,
                   "d2 0e a8 d2 01");
    compare_column(&e, QTRACE_COLUMN_STARTED, "0b 01");
    compare_column(&e, QTRACE_COLUMN_ACCESS_SHAPE, "56 01 03 55 04 23 56 02 02");
    compare_column(&e, QTRACE_COLUMN_ACCESS_ADDRESS,
                   "00 00 00 00 00 00 1b 4d");
    compare_column(&e, QTRACE_COLUMN_ACCESS_LITERAL,
                   "80 40 80 c0 f7 07 ff bf f5 07 20 40 80 80 14 08");
    compare_summary(&e, "00 07 0c 02 03 07 00 0d 01 01 01 01 06");
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Ways that part, with surprises of every kind. */
Test(format, path_vector)
{
    static const char path[] = "abcabdabeabfabgabcabeabcabcabf";
    const struct qt_batch_size size = {sizeof(path) - 1, 0, 0};
    struct qt_batch *b = qt_batch_new(&size);
    uint16_t length[QT_LENGTH_PAGE] = {1, 1, 1, 1, 1, 1, 1}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;
    uint32_t i;

    CHECK(b != NULL);
    for (i = 0; i < size.blocks; i++) {
        b->block[i] = (uint32_t)(path[i] - 'a');
        b->started[i] = 1;
        b->access_end[i] = 0;
    }
    CHECK(qt_encoder_batch(&e, batch, &lengths, &why) == 0, "%s", why);
    compare_column(&e, QTRACE_COLUMN_BLOCK,
                   "d2 00 a8 a8 d2 03 d3 06 d2 05 d3 08 d2 07 d3 0a d2 09 d3 0c d2 0b d3 04 80 2c "
                   "02 56");
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* What follows a foreign access in one row says nothing about another. */
Test(format, foreign_vector)
{
    const struct qt_batch_size size = {4, 8, 0};
    struct qt_batch *b = qt_batch_new(&size);
    struct qtrace_foreign foreign[4];
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5, [8] = 3, [9] = 1}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;
    uint32_t i;

    CHECK(b != NULL);
    for (i = 0; i < 8; i++) {
        b->block[i / 2] = 7 + i / 2 % 2;
        b->started[i / 2] = i / 2 % 2 ? 3 : 5;
        b->access_end[i / 2] = i / 2 * 2 + 2;
        b->vaddr[i] = 0x1000 + 8 * i;
        b->insn[i] = (uint16_t)(i % 2);
        b->flags[i] = (uint8_t)(i % 2 ? 3 : 3 | QTRACE_ACCESS_FOREIGN);
        foreign[i / 2] = (struct qtrace_foreign){i / 2 * 2, 9};
    }
    b->batch.foreign = foreign;
    b->batch.n_foreign = 4;
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    compare_column(&e, QTRACE_COLUMN_BLOCK, "d2 0e a8 d2 01");
    compare_column(&e, QTRACE_COLUMN_ACCESS_SHAPE,
                   "ab 09 00 03 55 01 03 ab 09 00 03 55 01 03 57 01 03 57 01 03");
    compare_column(&e, QTRACE_COLUMN_ACCESS_ADDRESS, "00 00 00 00 4c 4c");
    compare_column(&e, QTRACE_COLUMN_ACCESS_LITERAL, "80 40 10 20 10");
    compare_summary(&e, "00 07 04 01 03 00 04 01 03 00 00 01 02 04 00");
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Rows of one block whose instructions make several accesses each. */
static struct qt_batch *repeating(uint32_t blocks, uint32_t each, uint32_t insns)
{
    const struct qt_batch_size size = {blocks, blocks * insns * each, 0};
    struct qt_batch *b = qt_batch_new(&size);
    uint32_t i;

    CHECK(b != NULL);
    for (i = 0; i < blocks; i++) {
        b->block[i] = 7;
        b->started[i] = 5;
        b->access_end[i] = (i + 1) * insns * each;
    }
    for (i = 0; i < size.accesses; i++) {
        b->insn[i] = (uint16_t)(1 + i / each % insns);
        b->flags[i] = 3;
        b->vaddr[i] = 0x1000 + 8 * i + 0x1000 * (b->insn[i] - 1);
    }
    return b;
}

/* The columns come back as the rows of b. */
static void check_decoded(const struct qt_encoder *e, const struct qt_batch *b,
                          const struct qt_lengths *lengths)
{
    const struct qt_batch_size size = {b->batch.n_blocks, b->batch.n_accesses, 0};
    struct qt_column_bytes bytes = {.bits = e->predictor.bits, .select = QTRACE_SELECT_ADDRESSES};
    struct qt_batch *again = qt_batch_new(&size);
    struct qtrace_batch *batch = &again->batch;
    struct qt_predictor p = {0};
    struct qt_values values = {0};
    struct qt_phys phys = {0};
    const char *why;
    unsigned i;

    CHECK(again != NULL);
    for (i = 0; i < QT_COLUMNS; i++) {
        bytes.data[i] = e->column[i].data;
        bytes.size[i] = e->column[i].len;
        bytes.rows[i] = e->column_rows[i];
    }
    CHECK(qt_columns_decode(&p, &values, &phys, again, &bytes, lengths, &why) == QTRACE_OK,
          "%s", why);
    CHECK(memcmp(again->vaddr, b->vaddr, size.accesses * sizeof(*b->vaddr)) == 0);
    CHECK(memcmp(again->insn, b->insn, size.accesses * sizeof(*b->insn)) == 0);
    CHECK(memcmp(again->flags, b->flags, size.accesses * sizeof(*b->flags)) == 0);
    qtrace_batch_free(&batch);
    qt_predictor_finish(&p);
    qt_values_finish(&values);
    qt_phys_finish(&phys);
}

Test(format, repeat_vector)
{
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qt_batch *b = repeating(3, 2, 2);
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(qt_encoder_batch(&e, batch, &lengths, &why) == 0, "%s", why);
    compare_column(&e, QTRACE_COLUMN_BLOCK, "d2 0e d2 00");
    compare_column(&e, QTRACE_COLUMN_ACCESS_SHAPE, "56 01 03 55 01 03 55 02 03 55 02 03");
    compare_column(&e, QTRACE_COLUMN_ACCESS_ADDRESS, "00 00 00 00 00 4b 4b 4b");
    compare_column(&e, QTRACE_COLUMN_ACCESS_LITERAL, "80 40 10 90 40 10 40");
    compare_summary(&e, "00 07 06 02 05 06 00 02 06 00");
    check_decoded(&e, b, &lengths);
    qtrace_batch_free(&batch);

    /* there are no more than 256 nodes of one instruction with the same flags */
    b = repeating(1, 300, 1);
    batch = &b->batch;
    CHECK(qt_encoder_batch(&e, batch, &lengths, &why) == 0, "%s", why);
    CHECK(e.predictor.n_nodes == 1 + 256);
    CHECK(e.column[QTRACE_COLUMN_ACCESS_SHAPE].len == 3 * 257 + 1);
    CHECK(memcmp(e.column[QTRACE_COLUMN_ACCESS_SHAPE].data + 3 * 256, "\x55\x01\x03\x2b", 4) == 0);
    check_decoded(&e, b, &lengths);
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Values of all sizes, of both byte orders: see FORMAT.md. */
static void fill_value_vector(struct qt_batch *b, struct qtrace_wide *wide)
{
    uint32_t i, k;

    for (i = 0; i < 4; i++) {
        const uint64_t loaded = 0x1122334455667788 + 3 * i;
        const uint64_t vaddr[] = {0x1000 + 8 * i, 0x2002 + 4 * i, 0x2002 + 4 * i, 0x3000};
        const uint64_t value[] = {loaded, loaded & 0xffffffff,
                                  (loaded & 0xff) << 8 | (loaded >> 8 & 0xff), 0x10 + i};

        b->block[i] = 7;
        b->started[i] = 5;
        b->access_end[i] = 4 * i + 4;
        for (k = 0; k < 4; k++) {
            b->vaddr[4 * i + k] = vaddr[k];
            b->insn[4 * i + k] = (uint16_t)k;
            b->flags[4 * i + k] = (uint8_t[]){3, 0x22, 0x11, 0x24}[k];
            b->value[4 * i + k] = value[k];
        }
        wide[i] = (struct qtrace_wide){4 * i + 3, 1, UINT64_MAX};
    }
    b->batch.wide = wide;
    b->batch.n_wide = 4;
    b->batch.value_max = 16;
}

Test(format, value_vector)
{
    const struct qt_batch_size size = {4, 16, 0, true};
    struct qt_batch *b = qt_batch_new(&size);
    struct qtrace_wide wide[4];
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(b != NULL);
    fill_value_vector(b, wide);
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    compare_column(&e, QTRACE_COLUMN_VALUE, "04 00 80 21 20 20 22 61 62");
    compare_column(&e, QTRACE_COLUMN_VALUE_LITERAL,
                   "88 77 66 55 44 33 22 11 20 01 06 02");
    CHECK(e.column_rows[QTRACE_COLUMN_VALUE] == 16);
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Two address spaces, a device, an access without a handle: see FORMAT.md. */
static void fill_phys_vector(struct qt_batch *b)
{
    static const struct {
        uint32_t vaddr;
        uint64_t phys;
        uint16_t kind;
    } access[] = {
        {0x40001000, 0x80005000, QTRACE_PHYS_RAM}, {0x40001008, 0x80005008, QTRACE_PHYS_RAM},
        {0x40002000, 0x80006000, QTRACE_PHYS_RAM}, {0x10000005, 0x10000005, QTRACE_PHYS_IO},
        {0x40001010, 0x80009010, QTRACE_PHYS_RAM}, {0x10000000, 0x10000000, QTRACE_PHYS_IO},
        {0x40001018, 0x80005018, QTRACE_PHYS_RAM}, {0x40002008, 0, QTRACE_PHYS_NONE},
        {0x40001020, 0x80005020, QTRACE_PHYS_RAM}, {0x02004000, 0x02004004, QTRACE_PHYS_IO + 1},
    };
    uint32_t i;

    b->block[0] = 7;
    b->started[0] = 5;
    b->access_end[0] = 10;
    for (i = 0; i < 10; i++) {
        b->insn[i] = 0;
        b->flags[i] = 3;
        b->vaddr[i] = access[i].vaddr;
        b->phys[i] = access[i].phys;
        b->phys_kind[i] = access[i].kind;
    }
    b->batch.device = b->device = calloc(2, sizeof(*b->device));
    CHECK(b->device != NULL);
    b->device[0] = (struct qtrace_device){0, 0x1234, "serial"};
    b->device[1] = (struct qtrace_device){5, 0x5678, "mtimer"};
    b->batch.n_devices = 2;
}

Test(format, phys_vector)
{
    const struct qt_batch_size size = {1, 10, 0, false, true};
    struct qt_batch *b = qt_batch_new(&size);
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(b != NULL);
    fill_phys_vector(b);
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    compare_column(&e, QTRACE_COLUMN_PHYS,
                   "40 8a 80 40 82 00 89 80 38 40 92 80 38 01 c0 81 01 f6 ff c0 ff ff ff ff 3f");
    compare_column(&e, QTRACE_COLUMN_DEVICE,
                   "00 b4 24 06 73 65 72 69 61 6c 05 f8 ac 01 06 6d 74 69 6d 65 72");
    CHECK(e.column_rows[QTRACE_COLUMN_PHYS] == 10 && e.column_rows[QTRACE_COLUMN_DEVICE] == 2);

#define REFUSED(change, undo)                                                              \
    change;                                                                                \
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == QTRACE_E_INVALID, #change);   \
    undo;                                                                                  \
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "after " #change)
    REFUSED(b->phys[7] = 1, b->phys[7] = 0);
    REFUSED(b->phys_kind[9] = QTRACE_PHYS_IO + 2, b->phys_kind[9] = QTRACE_PHYS_IO + 1);
    REFUSED(b->device[1].number = 0, b->device[1].number = 5);
    REFUSED(b->device[1].number = QTRACE_MAX_DEVICES, b->device[1].number = 5);
#undef REFUSED
    b->batch.struct_size = offsetof(struct qtrace_batch, phys);
    b->phys[7] = 1;
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    CHECK(e.column[QTRACE_COLUMN_PHYS].len == 0 && e.column[QTRACE_COLUMN_DEVICE].len == 0);
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Values that their accesses cannot have are refused; where the batch's maker knew of none, none
 * are looked for. */
Test(format, impossible_values)
{
    const struct qt_batch_size size = {4, 16, 0, true};
    struct qt_batch *b = qt_batch_new(&size);
    struct qtrace_wide wide[5] = {{0}};
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(b != NULL);
#define REFUSED(change, undo)                                                              \
    change;                                                                                \
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == QTRACE_E_INVALID, #change);   \
    undo;                                                                                  \
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "after " #change)
    fill_value_vector(b, wide);
    REFUSED(b->value[1] |= 1ull << 32, b->value[1] &= UINT32_MAX);
    REFUSED(wide[2].word = 2, wide[2].word = 1);
    REFUSED(wide[2].access_row = 10, wide[2].access_row = 11);
    REFUSED(b->batch.n_wide = 5, b->batch.n_wide = 4);
    REFUSED(b->batch.n_wide = 3, b->batch.n_wide = 4);
    REFUSED(b->batch.value_max = 128, b->batch.value_max = 16);
    REFUSED(b->batch.value_max = 3, b->batch.value_max = 16);
    REFUSED(b->batch.value_max = 8, b->batch.value_max = 16);
#undef REFUSED
    b->batch.struct_size = offsetof(struct qtrace_batch, value);
    b->batch.value_max = 3;
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == 0, "%s", why);
    CHECK(e.column[QTRACE_COLUMN_VALUE].len == 0);
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* An id that cannot be is refused, also where an empty table expects just that. */
Test(format, impossible_id)
{
    const struct qt_batch_size size = {1, 0, 0};
    struct qt_batch *b = qt_batch_new(&size);
    uint16_t length[QT_LENGTH_PAGE] = {5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qtrace_batch *batch = &b->batch;
    struct qt_encoder e = {0};
    const char *why;

    CHECK(b != NULL);
    b->block[0] = UINT32_MAX;
    b->started[0] = 0;
    b->access_end[0] = 0;
    CHECK(qt_encoder_batch(&e, &b->batch, &lengths, &why) == QTRACE_E_INVALID);
    qt_encoder_finish(&e);
    qtrace_batch_free(&batch);
}

/* Decode one access before the first row, of a foreign block. */
static int decode_foreign(const uint8_t *shape, size_t shape_size)
{
    const struct qt_batch_size size = {0, 1, 0};
    struct qt_batch *b = qt_batch_new(&size);
    struct qtrace_batch *batch = &b->batch;
    uint16_t length[QT_LENGTH_PAGE] = {[7] = 5}, *page[] = {length};
    const struct qt_lengths lengths = {page, 1};
    struct qt_column_bytes bytes = {.bits = 8, .select = QTRACE_SELECT_ACCESSES};
    struct qt_predictor p = {0};
    struct qt_values values = {0};
    struct qt_phys phys = {0};
    const char *why;
    int ret;

    bytes.data[QTRACE_COLUMN_ACCESS_SHAPE] = shape;
    bytes.size[QTRACE_COLUMN_ACCESS_SHAPE] = shape_size;
    bytes.rows[QTRACE_COLUMN_ACCESS_SHAPE] = 1;
    ret = qt_columns_decode(&p, &values, &phys, b, &bytes, &lengths, &why);
    qtrace_batch_free(&batch);
    qt_predictor_finish(&p);
    qt_values_finish(&values);
    qt_phys_finish(&phys);
    return ret;
}

Test(format, foreign_blocks_that_nobody_defined)
{
    static const uint8_t good[] = {0xaa, 7, 4, 0}, past_its_end[] = {0xaa, 7, 5, 0},
                         undefined[] = {0xaa, 8, 0, 0},
                         largest[] = {0xaa, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0};

    CHECK(decode_foreign(good, sizeof(good)) == QTRACE_OK);
    CHECK(decode_foreign(past_its_end, sizeof(past_its_end)) == QTRACE_E_DAMAGED);
    CHECK(decode_foreign(undefined, sizeof(undefined)) == QTRACE_E_DAMAGED);
    CHECK(decode_foreign(largest, sizeof(largest)) == QTRACE_E_DAMAGED);
}

/* A column that rows are made of may not be left out as if it were optional. */
Test(format, unknown_encoding)
{
    static struct qt_frame_coder coder;
    const struct qt_lengths lengths = {0};
    struct qtrace_batch *batch;
    struct qtrace_error err;

    for (unsigned id = QTRACE_COLUMN_BLOCK; id <= QTRACE_COLUMN_SUMMARY; id++) {
        struct qt_frame frame = {
            .info = {.of_stream = true, .n_columns = 1, .column = {{.id = id, .encoding = 9}}},
            .bits = QT_BITS_MIN,
        };
        int ret = qt_frame_decode(&coder, &frame, QTRACE_SELECT_ALL, NULL, &lengths, &batch, &err);
        CHECK((ret == QTRACE_E_REFUSED) == (id != QTRACE_COLUMN_SUMMARY), "column %u", id);
        qtrace_batch_free(&batch);
    }
    qt_frame_coder_finish(&coder);
}

Test(bytes, crc32c)
{
    CHECK(qt_crc32c(0, "123456789", 9) == 0xe3069283u);
    CHECK(qt_crc32c(qt_crc32c(0, "1234", 4), "56789", 5) == 0xe3069283u);
}
