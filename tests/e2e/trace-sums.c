/*
 * trace-sums.c - the sums that the witness plugin prints, from a trace
 *
 * tests/probe/probe.c counts live, next to the recorder; this program counts what the trace
 * says, and prints it in the same form (see there for the meaning of each field). Equal texts
 * mean that every block, instruction and access was recorded, with its address. With --last it
 * prints the sums once more without each vCPU's last block and last access, as a witness that was
 * killed in between may not have added those.
 *
 * --with-lost adds what the recorder lost, of which only counts are known: a line for each vCPU,
 * and the number of all events that are the guest's or QEMU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#include "qtrace/qtrace.h"

#define N_VCPUS 65536

struct sums {
    uint64_t last_block, last_access, last_phys; /* what they have added to their sums */
    uint64_t init, exit, blocks, insns, loads, stores, bytes, bsum, isum, asum, psum;
    uint64_t syscalls, rets;
    uint64_t events;
};

static struct sums sums[N_VCPUS];

static uint64_t hash(uint64_t state)
{
    uint64_t z = state + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void add_block(struct sums *s, const struct qtrace_translation *t, unsigned started)
{
    s->blocks++;
    s->last_block = hash(t->vaddr * 1024 + t->n_insns);
    s->bsum += s->last_block;
    s->insns += started;
    for (unsigned i = 0; i < started; i++) {
        s->isum += hash(t->insn[i].vaddr);
    }
}

static void add_access(struct sums *s, uint64_t vaddr, unsigned flags)
{
    unsigned shift = flags & QTRACE_ACCESS_SIZE;
    unsigned store = (flags & QTRACE_ACCESS_STORE) != 0;
    s->loads += !store;
    s->stores += store;
    s->bytes += UINT64_C(1) << shift;
    s->last_access = hash(vaddr * 8 + shift * 2 + store);
    s->asum += s->last_access;
}

static uint64_t name_hash(const char *name)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) {
        sum = (sum ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static uint64_t phys_hash(const struct qtrace_batch *b, uint32_t row)
{
    uint64_t what = b->phys_kind[row];
    if (what >= QTRACE_PHYS_IO) {
        what = name_hash(b->device[what - QTRACE_PHYS_IO].name);
    }
    return hash(hash(b->vaddr[row]) + hash(b->phys[row]) + what);
}

static void add_event(struct sums *s, const struct qtrace_event *e)
{
    const enum qtrace_event_kind kind = e->kind;
    s->init += kind == QTRACE_EVENT_VCPU_INIT && !e->arg[0];
    s->exit += kind == QTRACE_EVENT_VCPU_EXIT;
    s->syscalls += kind == QTRACE_EVENT_SYSCALL;
    s->rets += kind == QTRACE_EVENT_SYSCALL_RET;
    s->events += kind != QTRACE_EVENT_SYNC && kind != QTRACE_EVENT_LOST;
}

/* The trace of a forked child begins with the translations that its parent had made. */
static bool inherits;

static bool is_new_translation(const struct qtrace_event *e)
{
    inherits = (e->kind == QTRACE_EVENT_VCPU_INIT && e->arg[0]) ||
               (e->kind == QTRACE_EVENT_TRANSLATION && inherits);
    return e->kind == QTRACE_EVENT_TRANSLATION && !inherits;
}

/* Accesses of blocks that QEMU ran for them alone, to devices, and to nobody knows what. */
static uint64_t foreign, io, unknown;

static uint64_t add_item(struct qtrace_reader *reader, const struct qtrace_item *item)
{
    struct sums *s = &sums[item->vcpu % N_VCPUS];
    const struct qtrace_batch *batch = item->batch;
    if (item->kind == QTRACE_ITEM_EVENT) {
        add_event(s, item->event);
        return is_new_translation(item->event);
    }
    if (item->kind == QTRACE_ITEM_RUN) {
        for (uint32_t i = item->block_begin; i < item->block_end; i++) {
            add_block(s, qtrace_reader_translation(reader, batch->block[i]), batch->started[i]);
        }
        for (uint32_t i = item->access_begin; i < item->access_end; i++) {
            add_access(s, batch->vaddr[i], batch->flags[i]);
            foreign += (batch->flags[i] & QTRACE_ACCESS_FOREIGN) != 0;
            if (batch->phys) {
                s->last_phys = phys_hash(batch, i);
                s->psum += s->last_phys;
                io += batch->phys_kind[i] >= QTRACE_PHYS_IO;
                unknown += batch->phys_kind[i] == QTRACE_PHYS_NONE;
            }
        }
    }
    return 0;
}

static void print_sums(bool phys)
{
    for (unsigned i = 0; i < N_VCPUS; i++) {
        const struct sums *s = &sums[i];
        if (s->init || s->blocks || s->loads || s->stores) {
            printf("vcpu %u init=%" PRIu64 " exit=%" PRIu64 " blocks=%" PRIu64 " insns=%" PRIu64
                   " loads=%" PRIu64 " stores=%" PRIu64 " bytes=%" PRIu64 " bsum=%016" PRIx64
                   " isum=%016" PRIx64 " asum=%016" PRIx64 " syscalls=%" PRIu64
                   " rets=%" PRIu64,
                   i, s->init, s->exit, s->blocks, s->insns, s->loads, s->stores, s->bytes,
                   s->bsum, s->isum, s->asum, s->syscalls, s->rets);
            if (phys && s->psum) {
                printf(" psum=%016" PRIx64, s->psum);
            }
            putchar('\n');
        }
    }
}

static void print_last(void)
{
    for (unsigned i = 0; i < N_VCPUS; i++) {
        const struct sums *s = &sums[i];
        if (s->init) {
            printf("before %u bsum=%016" PRIx64 " asum=%016" PRIx64 " psum=%016" PRIx64 "\n", i,
                   s->bsum - s->last_block, s->asum - s->last_access, s->psum - s->last_phys);
        }
    }
}

static void print_with_lost(const struct qtrace_reader *reader)
{
    uint64_t events = 0;
    for (size_t i = 0; i < qtrace_reader_n_streams(reader); i++) {
        const struct qtrace_stream_info *t = qtrace_reader_stream(reader, i);
        struct sums *s = &sums[t->vcpu % N_VCPUS];
        s->init = 1;
        s->blocks += t->lost_blocks;
        s->insns += t->lost_insns;
        s->loads += t->lost_accesses;
        s->events += t->lost_events;
    }
    for (unsigned i = 0; i < N_VCPUS; i++) {
        const struct sums *s = &sums[i];
        events += s->events;
        if (s->init) {
            printf("vcpu %u blocks=%" PRIu64 " insns=%" PRIu64 " accesses=%" PRIu64 "\n", i,
                   s->blocks, s->insns, s->loads + s->stores);
        }
    }
    printf("events=%" PRIu64 "\n", events);
}

int main(int argc, char **argv)
{
    struct qtrace_reader *reader;
    struct qtrace_merge *merge;
    struct qtrace_item item;
    struct qtrace_error err;
    uint64_t translations = 0;
    bool only_foreign = argc == 3 && strcmp(argv[1], "--foreign") == 0;
    bool with_lost = argc == 3 && strcmp(argv[1], "--with-lost") == 0;
    bool last = argc == 3 && strcmp(argv[1], "--last") == 0;
    bool phys = argc == 3 && strcmp(argv[1], "--phys") == 0;
    bool reached = argc == 3 && strcmp(argv[1], "--reached") == 0;
    if (argc != 2 && !only_foreign && !with_lost && !last && !phys && !reached) {
        fprintf(stderr, "usage: trace-sums [--foreign | --with-lost | --last | --phys | --reached] "
                        "TRACE\n");
        return 2;
    }
    int result = qtrace_reader_open(&reader, argv[argc - 1], &err);
    if (result != QTRACE_OK || (result = qtrace_merge_open(&merge, reader, &err)) != QTRACE_OK) {
        fprintf(stderr, "trace-sums: %s: %s\n", argv[argc - 1], err.message);
        return 1;
    }
    while ((result = qtrace_merge_next(merge, &item, &err)) == QTRACE_OK) {
        translations += add_item(reader, &item);
    }
    if (only_foreign) {
        printf("%" PRIu64 "\n", foreign);
    } else if (with_lost) {
        print_with_lost(reader);
    } else if (reached) {
        printf("%" PRIu64 " to devices, %" PRIu64 " to nobody knows what\n", io, unknown);
    } else {
        print_sums(phys || last);
        printf("translations=%" PRIu64 "\n", translations);
    }
    if (last) {
        print_last();
    }
    int status = qtrace_reader_status(reader);
    qtrace_merge_close(&merge);
    qtrace_reader_close(&reader);
    return result == QTRACE_END ? status : 1;
}
