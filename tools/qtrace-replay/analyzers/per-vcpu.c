/*
 * per-vcpu.c - an element for each vCPU, however many there come to be
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "per-vcpu.h"

/* Chunks never move. Together they have room for as many threads as Linux can have. */
#define CHUNK 64
#define N_CHUNKS 65536

struct per_vcpu {
    size_t size;
    GMutex lock; /* of what grows */
    unsigned n_chunks;
    char *chunk[N_CHUNKS];
};

struct per_vcpu *per_vcpu_new(size_t element_size)
{
    struct per_vcpu *array = g_new0(struct per_vcpu, 1);

    array->size = element_size;
    g_mutex_init(&array->lock);
    return array;
}

static char *add_chunk(struct per_vcpu *array, unsigned i)
{
    g_mutex_lock(&array->lock);
    if (array->chunk[i] == NULL) {
        char *chunk = g_malloc0_n(CHUNK, array->size);
        __atomic_store_n(&array->chunk[i], chunk, __ATOMIC_RELEASE);
        if (i >= array->n_chunks) {
            __atomic_store_n(&array->n_chunks, i + 1, __ATOMIC_RELEASE);
        }
    }
    g_mutex_unlock(&array->lock);
    return array->chunk[i];
}

void *per_vcpu_get(struct per_vcpu *array, unsigned vcpu_index)
{
    unsigned i = vcpu_index / CHUNK % N_CHUNKS;
    char *chunk = __atomic_load_n(&array->chunk[i], __ATOMIC_ACQUIRE);

    if (G_UNLIKELY(chunk == NULL)) {
        chunk = add_chunk(array, i);
    }
    return chunk + vcpu_index % CHUNK * array->size;
}

unsigned per_vcpu_end(const struct per_vcpu *array)
{
    return __atomic_load_n(&array->n_chunks, __ATOMIC_ACQUIRE) * CHUNK;
}
