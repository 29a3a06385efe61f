/*
 * test-writer.c - a trace has its end, and its counts are right, wherever writing fails
 *
 * What the writer calls of the operating system is defined here: it goes on to the kernel, or fails
 * as the test has planned.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loss.h"
#include "qtrace/reader.h"
#include "qtrace/writer.h"
#include "thread-test.h"

#define STREAMS 3
#define BATCHES 12
#define BLOCKS 20 /* translations */
#define INSNS 3
#define ROWS 40
#define UNLIMITED UINT64_MAX

/* ---- the disk ---- */

static struct {
    uint64_t capacity;   /* bytes of the file that it has room for */
    bool reserves;       /* it can */
    unsigned crowded_at; /* from this call on others take all that is not ours; 0 = never */
    unsigned fails_at;   /* this call fails, */
    bool for_ever;       /* and all behind it */
    int error;
    unsigned calls;
    uint64_t ours; /* bytes, written and reserved */
} disk;

static bool fails(void)
{
    disk.calls++;
    if (disk.calls == disk.crowded_at) {
        disk.capacity = disk.ours;
    }
    if (disk.fails_at == 0 || disk.calls < disk.fails_at ||
        (disk.calls > disk.fails_at && !disk.for_ever)) {
        return false;
    }
    errno = disk.error;
    return true;
}

static void take(uint64_t end)
{
    disk.ours = end > disk.ours ? end : disk.ours;
}

/* (Half of what has room is written first.) */
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    const uint64_t left = (uint64_t)offset < disk.capacity ? disk.capacity - (uint64_t)offset : 0;

    if (fails()) {
        return -1;
    }
    if (left == 0) {
        errno = ENOSPC;
        return -1;
    }
    size = size > left ? (left + 1) / 2 : size;
    take((uint64_t)offset + size);
    return syscall(SYS_pwrite64, fd, data, size, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    (void)fd;
    cr_assert_eq(mode, FALLOC_FL_KEEP_SIZE);
    if (fails()) {
        return -1;
    }
    if (!disk.reserves || (uint64_t)(offset + size) > disk.capacity) {
        errno = disk.reserves ? ENOSPC : EOPNOTSUPP;
        return -1;
    }
    take((uint64_t)(offset + size));
    return 0;
}

/* (What forbids writing for ever does not forbid this.) */
int ftruncate(int fd, off_t size)
{
    return !disk.for_ever && fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

/* ---- a trace ---- */

/* (Tests run at the same time.) */
static const char *path(void)
{
    static char name[64];

    snprintf(name, sizeof(name), "/tmp/qtrace-writer-%ld.qtr", (long)getpid());
    return name;
}

struct counts {
    uint64_t blocks, insns, accesses, events;
};

static struct counts made[STREAMS], ordinal[STREAMS];
static uint64_t seq;

static void define_all(struct qtrace_writer *w)
{
    static const uint8_t bytes[4] = {1, 2, 3, 4};
    struct qtrace_insn insn[INSNS];

    for (uint32_t id = 0; id < BLOCKS; id++) {
        struct qtrace_translation t = {
            .id = id, .vaddr = 0x1000 + 64 * id, .n_insns = INSNS, .insn = insn};

        for (uint32_t i = 0; i < INSNS; i++) {
            insn[i] = (struct qtrace_insn){.vaddr = t.vaddr + 4 * i, .data = bytes,
                                           .data_size = 4, .size = 4, .disas = "some text"};
        }
        (void)!qtrace_writer_define(w, &t, NULL);
    }
}

/* Rows that nobody foresees; a loss before every third batch. */
static void put_batch(struct qtrace_writer *w, uint32_t s, unsigned number)
{
    static uint32_t block[ROWS], end[ROWS];
    static uint16_t started[ROWS], insn[ROWS];
    static uint64_t vaddr[ROWS];
    static uint8_t flags[ROWS];
    static struct qtrace_event event[3];
    const struct counts lost = {5, 9, 2, 1};
    struct counts *next = &ordinal[s];
    uint32_t n = 0, i;

    if (number % 3 == 2) {
        event[n++] = (struct qtrace_event){
            .kind = QTRACE_EVENT_LOST, .seq = ++seq, .n_args = 4,
            .arg = {lost.blocks, lost.insns, lost.accesses, lost.events}};
        next->blocks += lost.blocks;
        next->insns += lost.insns;
        next->accesses += lost.accesses;
        next->events += lost.events;
        made[s] = (struct counts){made[s].blocks + lost.blocks, made[s].insns + lost.insns,
                                  made[s].accesses + lost.accesses, made[s].events + lost.events};
    }
    event[n++] = (struct qtrace_event){.kind = QTRACE_EVENT_SYNC, .seq = ++seq};
    event[n++] = (struct qtrace_event){.kind = QTRACE_EVENT_FLUSH, .seq = ++seq};
    for (i = 0; i < ROWS; i++) {
        block[i] = (uint32_t)rand() % BLOCKS;
        started[i] = INSNS;
        end[i] = i + 1;
        insn[i] = (uint16_t)(rand() % INSNS);
        vaddr[i] = (uint64_t)rand() << 20 ^ (uint64_t)rand();
        flags[i] = 3;
    }
    const struct qtrace_batch b = {
        .struct_size = sizeof(b), .stream = s, .vcpu = s, .first_block = next->blocks,
        .first_insn = next->insns, .first_access = next->accesses, .first_event = next->events,
        .n_blocks = ROWS, .block = block, .started = started, .access_end = end,
        .n_accesses = ROWS, .vaddr = vaddr, .insn = insn, .flags = flags, .n_events = n,
        .event = event, .n_insns = ROWS * INSNS};

    (void)!qtrace_writer_batch(w, &b, NULL);
    *next = (struct counts){next->blocks + ROWS, next->insns + ROWS * INSNS,
                            next->accesses + ROWS, next->events + n};
    made[s] = (struct counts){made[s].blocks + ROWS, made[s].insns + ROWS * INSNS,
                              made[s].accesses + ROWS, made[s].events + 1};
}

/* False: it could not even be begun. */
static bool write_trace(void)
{
    const struct qtrace_writer_options options = {sizeof(options), 0, false, "test"};
    static char host[400];
    const struct qtrace_run run = {.target = "test", .mem = true, .host = host};
    struct qtrace_writer *w;
    struct qtrace_error err = {0};

    memset(host, 'x', sizeof(host) - 1);
    memset(made, 0, sizeof(made));
    memset(ordinal, 0, sizeof(ordinal));
    seq = 0;
    srand(1);
    disk.calls = 0;
    disk.ours = 0;
    unlink(path());
    if (qtrace_writer_open(&w, path(), &options, &err) != QTRACE_OK) {
        cr_assert(err.message[0] != '\0');
        cr_assert(access(path(), F_OK) != 0, "something of it stays");
        return false;
    }
    (void)!qtrace_writer_run(w, &run, NULL);
    define_all(w);
    for (unsigned i = 0; i < BATCHES; i++) {
        put_batch(w, i % STREAMS, i);
    }
    (void)!qtrace_writer_close(&w, "exit", 1, &err);
    return true;
}

/* ---- what a reader says of it ---- */

static void count_events(struct qtrace_reader *r, uint64_t *events)
{
    for (size_t i = 0; i < qtrace_reader_n_frames(r); i++) {
        struct qtrace_batch *b = NULL;
        struct qtrace_error err = {0};

        if (!qtrace_reader_frame(r, i)->of_stream) {
            continue;
        }
        cr_assert_eq(qtrace_reader_read(r, i, &b, &err), 0, "%s", err.message);
        for (uint32_t k = 0; k < b->n_events; k++) {
            events[b->stream] += !qt_is_own_event(b->event[k].kind);
        }
        qtrace_batch_free(&b);
    }
}

/* Returns the recorded blocks. */
static uint64_t check(const char *what, uint64_t n)
{
    struct qtrace_reader *r;
    struct qtrace_error err = {0};
    uint64_t events[STREAMS] = {0}, recorded = 0;

    cr_assert_eq(qtrace_reader_open(&r, path(), &err), 0, "%s %zu: %s", what, (size_t)n,
                 err.message);
    count_events(r, events);
    cr_assert(qtrace_reader_health(r).complete && !qtrace_reader_health(r).damaged,
              "%s %zu: no end, or damaged", what, (size_t)n);
    cr_assert_eq(qtrace_reader_n_streams(r), STREAMS, "%s %zu", what, (size_t)n);
    for (size_t i = 0; i < STREAMS; i++) {
        const struct qtrace_stream_info *s = qtrace_reader_stream(r, i);
        const struct counts *m = &made[s->stream];

        cr_assert(s->blocks + s->lost_blocks == m->blocks &&
                  s->insns + s->lost_insns == m->insns &&
                  s->accesses + s->lost_accesses == m->accesses &&
                  events[s->stream] + s->lost_events == m->events,
                  "%s %zu: stream %zu: %zu + %zu of %zu blocks, %zu + %zu of %zu events", what,
                  (size_t)n, i, (size_t)s->blocks, (size_t)s->lost_blocks, (size_t)m->blocks,
                  (size_t)events[s->stream], (size_t)s->lost_events, (size_t)m->events);
        recorded += s->blocks;
    }
    qtrace_reader_close(&r);
    return recorded;
}

static uint64_t whole_size(void)
{
    disk.capacity = UNLIMITED;
    disk.reserves = true;
    cr_assert(write_trace());
    cr_assert_eq(check("whole", 0), BATCHES * ROWS);

    int fd = open(path(), O_RDONLY);
    uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
    close(fd);
    return size;
}

static void every_capacity(bool reserves)
{
    const uint64_t size = whole_size();
    uint64_t most = 0;
    unsigned refused = 0, ended = 0;

    disk.reserves = reserves;
    for (uint64_t capacity = 0; capacity <= size + 100; capacity += 31) {
        disk.capacity = capacity;
        if (!write_trace()) {
            refused++;
            cr_assert_lt(capacity, reserves ? 6000 : 200);
            continue;
        }
        /* without reservation there may be less than an end needs */
        if (!reserves && capacity < 600) {
            continue;
        }
        uint64_t recorded = check("capacity", capacity);
        most = recorded > most ? recorded : most;
        ended++;
    }
    cr_assert(refused > 0 && ended > 100);
    cr_assert_eq(most, BATCHES * ROWS);
    unlink(path());
}

Test(writer, every_capacity)
{
    every_capacity(true);
}

Test(writer, every_capacity_without_reservation)
{
    every_capacity(false);
}

/* Others take the rest of the disk at any moment: what has been written is kept, as the end has its
 * place. */
Test(writer, crowded)
{
    uint64_t before = 0;
    bool hit = true;

    whole_size();
    for (unsigned n = 6; hit; n++) {
        disk.capacity = UNLIMITED;
        disk.crowded_at = n;
        cr_assert(write_trace());
        hit = disk.calls >= n;
        uint64_t recorded = check("crowded at call", n);
        cr_assert(recorded >= before, "call %u: %zu blocks after %zu", n, (size_t)recorded,
                  (size_t)before);
        before = recorded;
    }
    cr_assert_eq(before, BATCHES * ROWS);
    unlink(path());
}

static void every_call(bool for_ever, int error)
{
    bool hit = true;
    unsigned n;

    whole_size();
    disk.for_ever = for_ever;
    disk.error = error;
    for (n = 1; hit; n++) {
        disk.fails_at = n;
        bool begun = write_trace();
        hit = disk.calls >= n;
        /* (the second message, of the run, is the least that an end can take the place of) */
        if (begun && (!for_ever || n > 4)) {
            check(for_ever ? "from call" : "call", n);
        }
    }
    cr_assert_gt(n, 30);
    unlink(path());
}

Test(writer, every_call)
{
    every_call(false, EIO);
    every_call(false, EINTR);
    every_call(false, ENOSPC);
}

/* What may not be written may still be written over. */
Test(writer, every_call_from_one_on)
{
    every_call(true, EIO);
    every_call(true, EFBIG);
}
