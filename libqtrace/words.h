/*
 * words.h - what a callback leaves in a ring: one or more 64-bit words
 *
 * Words live between a vCPU thread and the encoder thread of one process, never in a file.
 *
 *   access   0 | insn position:9 | flags:6 | address:48     address + 2^47
 *   block    1 0 | instructions:10 | 0:20 | translation id:32
 *   control  1 1 | kind:6 | words that follow:8 | payload:48
 *
 * A control word and the words that follow it never straddle a chunk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_WORDS_H
#define QT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "qtrace/event.h"

#define QT_WORD_NOT_ACCESS (1ULL << 63)
#define QT_WORD_CONTROL (3ULL << 62)
#define QT_ADDRESS_BITS 48
#define QT_ADDRESS_MASK ((1ULL << QT_ADDRESS_BITS) - 1)
#define QT_INSN_SHIFT 54
#define QT_FLAGS_SHIFT 48

enum qt_control {
    QT_CONTROL_NOP = 0,
    QT_CONTROL_PARTIAL = 1, /* payload: instructions of the last block that did not start */
    QT_CONTROL_ACCESS = 2,  /* payload: insn | flags << 16; words: address, translation id */
    QT_CONTROL_EVENT = 3,   /* payload: enum qtrace_event_kind; words: seq, time, args */
};

#define QT_MAX_CONTROL_WORDS (3 + QTRACE_EVENT_ARGS)

static inline uint64_t qt_word_block(uint32_t id, uint32_t n_insns)
{
    return QT_WORD_NOT_ACCESS | (uint64_t)n_insns << 52 | id;
}

static inline uint32_t qt_word_block_insns(uint64_t word)
{
    return word >> 52 & 0x3ff;
}

/* The constant part of the accesses of an instruction. */
static inline uint64_t qt_word_insn(uint32_t position)
{
    return (uint64_t)position << QT_INSN_SHIFT;
}

/* Addresses that are 48 bits sign-extended become 48 bits unsigned by this. */
#define QT_ADDRESS_BIAS (1ULL << (QT_ADDRESS_BITS - 1))

static inline bool qt_address_fits(uint64_t biased)
{
    return biased >> QT_ADDRESS_BITS == 0;
}

static inline uint64_t qt_word_access(uint64_t insn, uint64_t flags, uint64_t biased)
{
    return insn | flags << QT_FLAGS_SHIFT | biased;
}

static inline uint64_t qt_word_vaddr(uint64_t word)
{
    return (word & QT_ADDRESS_MASK) - QT_ADDRESS_BIAS;
}

static inline uint64_t qt_word_control(enum qt_control kind, uint32_t n_words, uint64_t payload)
{
    return QT_WORD_CONTROL | (uint64_t)kind << 56 | (uint64_t)n_words << 48 | payload;
}

static inline enum qt_control qt_control_kind(uint64_t word)
{
    return (enum qt_control)(word >> 56 & 0x3f);
}

static inline uint32_t qt_control_words(uint64_t word)
{
    return word >> 48 & 0xff;
}

static inline uint64_t qt_control_payload(uint64_t word)
{
    return word & QT_ADDRESS_MASK;
}

#endif
