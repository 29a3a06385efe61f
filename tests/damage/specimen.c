/*
 * specimen.c - a trace to be damaged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "specimen.h"

#include <stdlib.h>

#include "qtrace/writer.h"
#include "random.h"

#define STREAMS 4
#define TRANSLATIONS 4096
#define BLOCKS 400 /* rows of a batch, at most */
#define ACCESSES (4 * BLOCKS)
#define EVENTS 8

struct maker {
    struct qtrace_writer *writer;
    uint64_t seed, state; /* of the random numbers */
    uint32_t n_translations;
    uint16_t length[TRANSLATIONS];
    struct {
        uint64_t block, insn, access, event;
    } next[STREAMS];
    uint64_t seq, time;
    uint64_t walk[64]; /* where instructions have got to in memory */

    /* The batch in the making. */
    struct qtrace_batch batch;
    uint32_t block[BLOCKS], access_end[BLOCKS];
    uint16_t started[BLOCKS], insn[ACCESSES];
    uint64_t vaddr[ACCESSES];
    uint8_t flags[ACCESSES];
    struct qtrace_foreign foreign[ACCESSES];
    uint64_t value[ACCESSES];
    struct qtrace_wide wide[ACCESSES];
    struct qtrace_event event[EVENTS];
};

/* Some say the same as one before them, as after a flush. */
static int define(struct maker *m, struct qtrace_error *err)
{
    static const char *const disas[] = {"nop", "ret", "ldr x0, [x1, #8]", NULL};
    static const char *const symbol[] = {"main", "memcpy", NULL};
    static const uint8_t code[] = "instructions are just bytes here";
    uint32_t id = m->n_translations, n, i;
    uint64_t like = below(&m->state, 4) == 0 ? below(&m->state, id) : id;
    uint64_t state = m->seed ^ like << 32, at = 0x400000 + like * 128;
    struct qtrace_translation t = {.id = id, .vaddr = at};
    struct qtrace_insn insn[6];

    n = 1 + (uint32_t)below(&state, 6);
    for (i = 0; i < n; i++) {
        insn[i] = (struct qtrace_insn){
            .vaddr = at,
            .haddr = at + 0x7f0000000000,
            .has_haddr = below(&state, 8) != 0,
            .data = code + below(&state, 16),
            .size = (uint16_t)(1 + below(&state, 15)),
            .disas = disas[below(&state, 4)],
            .symbol = symbol[below(&state, 3)],
        };
        insn[i].data_size = insn[i].size;
        at += insn[i].size;
    }
    t.n_insns = n;
    t.insn = insn;
    m->length[m->n_translations++] = (uint16_t)n;
    return qtrace_writer_define(m->writer, &t, err);
}

/* Some are what may be expected there, some are not. */
static void add_value(struct maker *m, uint32_t row)
{
    const unsigned size = m->flags[row] & QTRACE_ACCESS_SIZE;
    const uint64_t mask = size >= 3 ? UINT64_MAX : (1ull << (8u << size)) - 1;

    m->value[row] = (below(&m->state, 3) == 0 ? any(&m->state) : m->vaddr[row] / 64) & mask;
    if (size == 4) {
        m->wide[m->batch.n_wide++] = (struct qtrace_wide){row, 1, m->value[row] & 0xff};
    }
}

/* Most walk through memory, some jump. */
static void add_access(struct maker *m, uint32_t id)
{
    struct qtrace_batch *b = &m->batch;
    uint32_t row = b->n_accesses++;

    m->flags[row] = (uint8_t)(id % 5 | (id % 3 == 0 ? QTRACE_ACCESS_STORE : 0));
    if (below(&m->state, 50) == 0) {
        id = (uint32_t)below(&m->state, m->n_translations);
        m->flags[row] |= QTRACE_ACCESS_FOREIGN;
        m->foreign[b->n_foreign++] = (struct qtrace_foreign){row, id};
    }
    m->insn[row] = (uint16_t)below(&m->state, m->length[id]);
    m->vaddr[row] = m->walk[(id + m->insn[row]) % 64] += 8;
    if (below(&m->state, 4) == 0) {
        m->vaddr[row] = any(&m->state) >> below(&m->state, 60);
    }
    add_value(m, row);
}

static void fill_rows(struct maker *m)
{
    struct qtrace_batch *b = &m->batch;
    uint32_t i, k, id = 0;

    b->n_blocks = (uint32_t)below(&m->state, BLOCKS);
    for (i = 0; i < b->n_blocks; i++) {
        id = (id * 7 + 1) % m->n_translations;
        if (below(&m->state, 4) == 0) {
            id = (uint32_t)below(&m->state, m->n_translations);
        }
        m->block[i] = id;
        m->started[i] = (uint16_t)(below(&m->state, 20) != 0
                                       ? m->length[id]
                                       : below(&m->state, m->length[id] + 1u));
        b->n_insns += m->started[i];
        for (k = 0; k < id % 4; k++) {
            add_access(m, id);
        }
        m->access_end[i] = b->n_accesses;
    }
}

static void fill_events(struct maker *m, bool loss)
{
    struct qtrace_batch *b = &m->batch;
    struct qtrace_event *e;
    uint32_t i, k;

    b->n_events = (uint32_t)below(&m->state, EVENTS) + (b->n_blocks == 0 || loss);
    for (i = 0; i < b->n_events; i++) {
        e = &m->event[i];
        *e = (struct qtrace_event){.kind = QTRACE_EVENT_SYSCALL, .n_args = 7};
        e->seq = m->seq += 1 + below(&m->state, 3);
        e->time = m->time += below(&m->state, 100000);
        e->block_row = b->n_blocks * i / EVENTS;
        e->access_row = e->block_row == 0 ? 0 : m->access_end[e->block_row - 1];
        for (k = 0; k < e->n_args; k++) {
            e->arg[k] = any(&m->state) >> below(&m->state, 60);
        }
    }
    if (loss) {
        m->event[0].kind = QTRACE_EVENT_LOST;
        m->event[0].n_args = 4;
        for (k = 0; k < 4; k++) {
            m->event[0].arg[k] = 1 + below(&m->state, 1000);
        }
    }
}

static int add_batch(struct maker *m, bool loss, struct qtrace_error *err)
{
    struct qtrace_batch *b = &m->batch;
    uint32_t stream = (uint32_t)below(&m->state, STREAMS);
    const uint64_t *lost = m->event[0].arg;

    *b = (struct qtrace_batch){
        .struct_size = sizeof(*b), .stream = stream, .vcpu = stream + 3,
        .first_seq = m->seq, .first_time = m->time, .block = m->block,
        .started = m->started, .access_end = m->access_end, .vaddr = m->vaddr,
        .insn = m->insn, .flags = m->flags, .foreign = m->foreign, .event = m->event,
        .value = m->value, .wide = m->wide, .value_max = 16};
    fill_rows(m);
    fill_events(m, loss);
    if (loss) {
        m->next[stream].block += lost[0];
        m->next[stream].insn += lost[1];
        m->next[stream].access += lost[2];
        m->next[stream].event += lost[3];
    }
    b->first_block = m->next[stream].block;
    b->first_insn = m->next[stream].insn;
    b->first_access = m->next[stream].access;
    b->first_event = m->next[stream].event;
    m->next[stream].block += b->n_blocks;
    m->next[stream].insn += b->n_insns;
    m->next[stream].access += b->n_accesses;
    m->next[stream].event += b->n_events;
    return qtrace_writer_batch(m->writer, b, err);
}

/* Definitions come now and then, and more in the beginning, as those of programs do. */
static int fill(struct maker *m, size_t size, struct qtrace_error *err)
{
    static const char *const words[] = {"qemu-x86_64", "-plugin", "libqtrace.so", "./program"};
    const struct qtrace_run run = {.target = "x86_64", .command_line = words,
                                   .n_command_line = 4, .mem = true, .disas = true, .pid = 42};
    int ret = qtrace_writer_run(m->writer, &run, err);
    unsigned i, n, batches = 0;

    while (ret == QTRACE_OK && qtrace_writer_size(m->writer) < size) {
        n = batches == 0 ? 20 : batches % 6 == 0 ? (unsigned)below(&m->state, 12) : 0;
        for (i = 0; ret == QTRACE_OK && i < n && m->n_translations < TRANSLATIONS; i++) {
            ret = define(m, err);
        }
        if (ret == QTRACE_OK) {
            ret = add_batch(m, ++batches % 11 == 0, err);
        }
    }
    return ret;
}

int specimen_write(const char *path, uint64_t seed, size_t size, unsigned level,
                   struct qtrace_error *err)
{
    const struct qtrace_writer_options options = {sizeof(options), level, true, "specimen"};
    struct maker *m = calloc(1, sizeof(*m));
    int ret, end;

    if (m == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    m->seed = m->state = seed;
    ret = qtrace_writer_open(&m->writer, path, &options, err);
    if (ret == QTRACE_OK) {
        ret = fill(m, size, err);
        end = qtrace_writer_close(&m->writer, "exit", m->time, ret == QTRACE_OK ? err : NULL);
        ret = ret == QTRACE_OK ? end : ret;
    }
    free(m);
    return ret;
}
