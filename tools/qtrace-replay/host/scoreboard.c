/*
 * scoreboard.c - vCPUs, and arrays with one element for each of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

static struct qemu_plugin_scoreboard boards = { .next = &boards, .prev = &boards };
static size_t room = 16; /* elements of every scoreboard: QEMU starts with as many */

static void grow(struct qemu_plugin_scoreboard *score)
{
    size_t size = score->element_size;

    score->data = g_realloc_n(score->data, room, size);
    memset(score->data + score->n_elements * size, 0, (room - score->n_elements) * size);
    score->n_elements = room;
}

/* A vCPU begins: at its recorded event, or, if that is lost, before its first other trace. */
void host_vcpu_seen(unsigned vcpu)
{
    int *index = g_new(int, 1);

    if (vcpu >= room) {
        while (vcpu >= room) {
            room *= 2;
        }
        for (struct qemu_plugin_scoreboard *s = boards.next; s != &boards; s = s->next) {
            grow(s);
        }
        host_make_all_steps();
    }
    *index = (int)vcpu;
    g_hash_table_add(host.live, index);
    host.n_vcpus = MAX(host.n_vcpus, vcpu + 1);
    host_vcpu_event(HOST_VCPU_INIT, vcpu);
}

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size)
{
    struct qemu_plugin_scoreboard *score = g_new0(struct qemu_plugin_scoreboard, 1);

    score->element_size = element_size;
    grow(score);
    score->next = boards.next;
    score->prev = &boards;
    boards.next->prev = score;
    boards.next = score;
    return score;
}

void qemu_plugin_scoreboard_free(struct qemu_plugin_scoreboard *score)
{
    host_catch_up();
    score->prev->next = score->next;
    score->next->prev = score->prev;
    g_free(score->data);
    g_free(score);
}

static char *element_of(struct qemu_plugin_scoreboard *score, unsigned vcpu_index)
{
    host_catch_up();
    if (vcpu_index >= host.n_vcpus) {
        host_message("a plugin asked for the scoreboard entry of vCPU %u, of which there is no "
                     "trace", vcpu_index);
        abort(); /* as QEMU does */
    }
    return score->data + vcpu_index * score->element_size;
}

/* Who has the place may look again at any time. */
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int vcpu_index)
{
    host.needs |= HOST_NEEDS_AT_ONCE;
    return element_of(score, vcpu_index);
}

static uint64_t *checked_entry(qemu_plugin_u64 entry, unsigned vcpu)
{
    return (uint64_t *)(void *)(element_of(entry.score, vcpu) + entry.offset);
}

void qemu_plugin_u64_add(qemu_plugin_u64 entry, unsigned int vcpu_index, uint64_t added)
{
    *checked_entry(entry, vcpu_index) += added;
}

uint64_t qemu_plugin_u64_get(qemu_plugin_u64 entry, unsigned int vcpu_index)
{
    return *checked_entry(entry, vcpu_index);
}

void qemu_plugin_u64_set(qemu_plugin_u64 entry, unsigned int vcpu_index, uint64_t val)
{
    *checked_entry(entry, vcpu_index) = val;
}

uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry)
{
    uint64_t sum = 0;

    host_catch_up();
    for (unsigned i = 0; i < host.n_vcpus; i++) {
        sum += *host_entry(entry.score, entry.offset, i);
    }
    return sum;
}

int qemu_plugin_num_vcpus(void)
{
    return (int)host.n_vcpus;
}
