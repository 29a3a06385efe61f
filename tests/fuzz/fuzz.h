/*
 * fuzz.h - what a fuzz target is
 *
 * Each target is one function on any bytes. It aborts when something is wrong. Linked with
 * libFuzzer (scripts/fuzz) it is searched for such bytes; linked with replay.c it runs on given
 * files or on random bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                         \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                            \
        }                                                                                       \
    } while (0)

#endif
