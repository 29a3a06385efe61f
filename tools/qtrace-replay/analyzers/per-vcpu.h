/*
 * per-vcpu.h - an element for each vCPU, however many there come to be
 *
 * User-mode QEMU makes a vCPU for each thread and does not say how many there will be. Elements
 * begin as zeros and stay where they are for ever. All functions may be called by any thread;
 * what is in an element is for the caller to protect.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_PER_VCPU_H
#define ANALYZER_PER_VCPU_H

#include <glib.h>
#include <stddef.h>

struct per_vcpu;

struct per_vcpu *per_vcpu_new(size_t element_size);
void *per_vcpu_get(struct per_vcpu *array, unsigned vcpu_index);

/* Above every index that was asked for; elements in between may be untouched. */
unsigned per_vcpu_end(const struct per_vcpu *array);

#endif
