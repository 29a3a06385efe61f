/*
 * words.h - what a callback leaves in a ring: one or more 64-bit words
 *
 * Words live between a vCPU thread and the encoder thread of one process, never in a file.
 * From the highest bit down:
 *
 *   access   address:48 | insn bit 8 | store | insn bits 7-0 | BE, sign, size: 5 | 0
 *   block    translation id:32 | 0:10 | left:10 | instructions:10 | 01
 *   control  payload:48 | words that follow:8 | kind:6 | 11
 *
 * Where values are recorded, an access is followed by the words of its value; where physical
 * addresses are, by these words then:
 *
 *   no handle  0
 *   RAM        physical address:62 | 01
 *   long       0:62 | 10, physical address, kind: QTRACE_PHYS_*, with the number of the device
 *
 * The five bits and the store bit stand as far apart as in QEMU's description of an access, so
 * that one mask and one shift bring them here. The 48 bits are zero-extended in user mode and
 * sign-extended otherwise; what does not fit takes a control. `left` belongs to
 * the block before: so many of its instructions did not start. A word and those that follow it
 * never straddle a chunk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_WORDS_H
#define QT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "qtrace/event.h"

#define QT_WORD_NOT_ACCESS 1u
#define QT_WORD_CONTROL 3u
#define QT_ADDRESS_SHIFT 16
#define QT_STORE_SHIFT 14
#define QT_LEFT_SHIFT 12
#define QT_LEFT_MASK 0x3ffu

enum qt_control {
    QT_CONTROL_NOP = 0,
    QT_CONTROL_PARTIAL = 1, /* payload: instructions of the last block that did not start */
    QT_CONTROL_ACCESS = 2,  /* payload: insn | flags << 16; words: address, translation id, more */
    QT_CONTROL_EVENT = 3,   /* payload: enum qtrace_event_kind; words: seq, time, args */
};

static inline bool qt_word_is_access(uint64_t word)
{
    return !(word & QT_WORD_NOT_ACCESS);
}

static inline bool qt_word_is_block(uint64_t word)
{
    return (word & QT_WORD_CONTROL) == QT_WORD_NOT_ACCESS;
}

static inline uint64_t qt_word_block(uint32_t id, uint32_t n_insns)
{
    return (uint64_t)id << 32 | n_insns << 2 | QT_WORD_NOT_ACCESS;
}

static inline uint32_t qt_word_block_id(uint64_t word)
{
    return word >> 32;
}

static inline uint32_t qt_word_block_insns(uint64_t word)
{
    return word >> 2 & 0x3ff;
}

static inline uint32_t qt_word_block_left(uint64_t word)
{
    return word >> QT_LEFT_SHIFT & QT_LEFT_MASK;
}

/* The constant part of the accesses of an instruction. */
static inline uint64_t qt_word_insn(uint32_t position)
{
    return (position & 0xff) << 6 | (position & 0x100) << 7;
}

static inline uint32_t qt_word_access_insn(uint64_t word)
{
    return (word >> 6 & 0xff) | (word >> 7 & 0x100);
}

/* The flags of an access in their places. */
static inline uint64_t qt_word_flags(uint32_t flags)
{
    uint64_t store = flags & QTRACE_ACCESS_STORE ? 1 : 0;
    return (flags & (QTRACE_ACCESS_SIZE | QTRACE_ACCESS_SIGN | QTRACE_ACCESS_BE)) << 1 |
           store << QT_STORE_SHIFT;
}

static inline uint32_t qt_word_access_flags(uint64_t word)
{
    return (word >> 1 & (QTRACE_ACCESS_SIZE | QTRACE_ACCESS_SIGN | QTRACE_ACCESS_BE)) |
           (word >> QT_STORE_SHIFT & 1 ? QTRACE_ACCESS_STORE : 0);
}

static inline uint64_t qt_word_vaddr(uint64_t word, bool user)
{
    return user ? word >> QT_ADDRESS_SHIFT : (uint64_t)((int64_t)word >> QT_ADDRESS_SHIFT);
}

/* The address in its place. In user mode what does not fit comes back below. */
static inline uint64_t qt_word_address(uint64_t vaddr, bool user)
{
    return vaddr << QT_ADDRESS_SHIFT | (user ? vaddr >> (64 - QT_ADDRESS_SHIFT) : 0);
}

static inline bool qt_address_fits(uint64_t vaddr, bool user)
{
    uint64_t word = qt_word_address(vaddr, user);
    return user ? !(word & ((1u << QT_ADDRESS_SHIFT) - 1)) : qt_word_vaddr(word, user) == vaddr;
}

static inline uint64_t qt_word_access(uint64_t insn, uint64_t flags, uint64_t vaddr, bool user)
{
    return insn | flags | qt_word_address(vaddr, user);
}

/* Words of a value: what QEMU tells has 16 bytes at most. */
#define QT_WORD_VALUE_LOG2 4

static inline uint32_t qt_word_value_words(uint32_t flags)
{
    return (flags & QTRACE_ACCESS_SIZE) > 3 ? 2 : 1;
}

/* What else follows accesses. */
#define QT_MORE_VALUES 1u
#define QT_MORE_PHYS 2u
#define QT_MORE_MAX 5 /* words */

enum { QT_WORD_PHYS_NONE, QT_WORD_PHYS_RAM, QT_WORD_PHYS_LONG };

/* Leaves the words at `to`, returns how many. */
static inline uint32_t qt_word_put_phys(uint64_t *to, uint64_t address, uint32_t kind)
{
    if (kind == QTRACE_PHYS_RAM && address >> 62 == 0) {
        to[0] = address << 2 | QT_WORD_PHYS_RAM;
        return 1;
    }
    to[0] = kind == QTRACE_PHYS_NONE ? QT_WORD_PHYS_NONE : QT_WORD_PHYS_LONG;
    to[1] = address;
    to[2] = kind;
    return kind == QTRACE_PHYS_NONE ? 1 : 3;
}

/* How many words follow an access with these flags; the first n of them are there to be looked
 * at. */
static inline size_t qt_word_more(uint32_t flags, const uint64_t *words, size_t n, unsigned more)
{
    const size_t values = more & QT_MORE_VALUES ? qt_word_value_words(flags) : 0;

    if (!(more & QT_MORE_PHYS)) {
        return values;
    }
    return values + (values < n && (words[values] & 3) == QT_WORD_PHYS_LONG ? 3 : 1);
}

static inline uint64_t qt_word_control(enum qt_control kind, uint32_t n_words, uint64_t payload)
{
    return payload << 16 | (uint64_t)n_words << 8 | (uint64_t)kind << 2 | QT_WORD_CONTROL;
}

static inline enum qt_control qt_control_kind(uint64_t word)
{
    return (enum qt_control)(word >> 2 & 0x3f);
}

/* (Words are not trusted: those that have none skip none, whatever they say.) */
static inline uint32_t qt_control_words(uint64_t word)
{
    enum qt_control kind = qt_control_kind(word);
    return kind == QT_CONTROL_NOP || kind == QT_CONTROL_PARTIAL ? 0 : word >> 8 & 0xff;
}

/* The first of n words and those that follow it. more: what follows accesses. */
static inline size_t qt_word_length(const uint64_t *words, size_t n, unsigned more)
{
    if (qt_word_is_access(*words)) {
        return 1 + qt_word_more(qt_word_access_flags(*words), words + 1, n - 1, more);
    }
    return 1 + (qt_word_is_block(*words) ? 0 : qt_control_words(*words));
}

static inline uint64_t qt_control_payload(uint64_t word)
{
    return word >> 16;
}

/* A LOST event: its words are seq, time, and four counts, of blocks first. */
static inline bool qt_is_loss(uint64_t word)
{
    return !qt_word_is_access(word) && !qt_word_is_block(word) &&
           qt_control_kind(word) == QT_CONTROL_EVENT &&
           qt_control_payload(word) == QTRACE_EVENT_LOST && qt_control_words(word) == 6;
}

#endif
