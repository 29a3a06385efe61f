/*
 * predict.h - what encoder and decoder expect of the next row
 *
 * A guest repeats itself: the same blocks follow each other, a block makes the same accesses
 * as last time, an instruction walks through memory with a stride or stays at a distance from
 * what was touched just before. Both sides of a column keep the same tables and write down
 * only where they were wrong. FORMAT.md is normative; nothing here is chosen at run time but
 * the size of the tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_PREDICT_H
#define QT_PREDICT_H

#include "bytes.h"
#include "qtrace/event.h"

/* log2 of the number of entries of the tables; each frame says which it has. */
#define QT_BITS_MIN 8
#define QT_BITS_MAX 16

/* How an address may be predicted. */
enum {
    QT_BY_STRIDE = 0,   /* this node's last address, plus a step */
    QT_BY_RECENT = 1,   /* 1 .. 4: the k-th last address of the stream, plus a step */
    QT_BY_PARTNER = 5,  /* the last address of another node */
    QT_BY_SCALED = 6,   /* the last address of the stream in units of another size, plus a step */
    QT_BY_SEQUEL = 7,   /* what followed the node's last address before; never a favourite */
    QT_PREDICTORS = 8,
};
#define QT_STEPS QT_BY_PARTNER

#define QT_RECENT 8 /* addresses remembered, a power of two above 4 */

/* Instruction and flags of an access as one number, in any layout, below this bit. */
#define QT_KEY_FOREIGN (1u << 16)
#define QT_KEY_NONE 1u /* no access has it */

/* One kind of access: block, instruction and flags. Number 0 stands for all that come when
 * there are too many. A cache line. */
struct qt_node {
    uint64_t last;           /* address */
    uint64_t step[QT_STEPS]; /* as seen when the favourite last failed */
    uint32_t key;
    uint32_t next;           /* node of the access that followed in its row; 0 = none did */
    uint32_t partner;        /* node */
    uint32_t favourite : 4;  /* predictor */
    uint32_t count : 28;     /* accesses; the encoder's */
};

/* A block. Number 0 stands for all that come when there are too many. */
struct qt_entry {
    uint32_t id;        /* UINT32_MAX = none */
    uint32_t length : 10; /* instructions */
    uint32_t count : 22;  /* rows; the encoder's */
    uint32_t first;     /* node of the first access; 0 = none */
    uint32_t successor; /* entry of the block that followed last */
};

struct qt_predictor {
    unsigned bits;           /* of the tables that are there; 0 = none */
    uint32_t undefined;      /* the block that decoding stopped at; UINT32_MAX = none */
    uint32_t n_nodes, n_entries;
    struct qt_node *node;    /* 2 << bits */
    struct qt_entry *entry;  /* 1 << bits */
    uint32_t *next_entry;    /* 1 << bits: what followed, by the history of blocks */
    uint32_t *toucher;       /* 1 << bits: node that touched an address last, by its hash */
    uint64_t *sequel;        /* 1 << bits: address after another, by node and address */
    uint64_t *scaled;        /* 2 << bits: step of QT_BY_SCALED of each node */
    uint32_t *node_block;    /* 2 << bits: block of each node */
    uint32_t *node_place;    /* 4 << bits: nodes by block and key */
    uint32_t *entry_place;   /* 2 << bits: entries by id */
    uint64_t recent[QT_RECENT];
};

/* Empty tables of that size. 0 or QTRACE_E_NOMEM. */
int qt_predictor_begin(struct qt_predictor *p, unsigned bits);
void qt_predictor_finish(struct qt_predictor *p);

/* The entry of a block whose length is known, made if there is none. */
uint32_t qt_predictor_entry(struct qt_predictor *p, uint32_t id, uint32_t length);

/* The node of an access, made if there is none; near: the address to begin with. */
uint32_t qt_predictor_node(struct qt_predictor *p, uint32_t id, uint32_t key, uint64_t near);

/* The order of all blocks so far, the recent ones counting. */
static inline uint32_t qt_history(uint32_t history, uint32_t id)
{
    return history << 4 ^ id * 2654435761u;
}

static inline uint32_t qt_address_hash(uint64_t address, unsigned bits)
{
    return (uint32_t)(address * 0x9e3779b97f4a7c15u >> (64 - bits));
}

/* Does this place hold a lesson? The places of the numbers 0 never do. */
static inline bool qt_can_learn(const struct qt_predictor *p, const uint32_t *next)
{
    return next != &p->node[0].next && next != &p->entry[0].first;
}

/* The k-th last address, k >= 1, when row accesses came before. */
static inline uint64_t qt_recent(const uint64_t *recent, uint32_t row, uint32_t k)
{
    return recent[(row - k) % QT_RECENT];
}

/* The stream's last address, counted in units of its own access, in units of this one: indices
 * of arrays whose elements have different sizes. Sizes are log2. */
static inline uint64_t qt_scaled(uint64_t recent, unsigned size_before, unsigned size)
{
    return recent << size >> size_before;
}

/* Where the sequel of a node's last address is noted. */
static inline uint64_t *qt_sequel(const struct qt_predictor *p, uint32_t node, uint64_t last)
{
    return &p->sequel[qt_address_hash(last + node * 0x9e3779b1ull, p->bits)];
}

/* What predictor k says, which is neither the scaled one nor the sequel. */
static inline uint64_t qt_predict(const struct qt_node *nodes, const struct qt_node *n,
                                  uint32_t k, const uint64_t *recent, uint32_t row)
{
    const uint64_t *base = k == QT_BY_STRIDE    ? &n->last
                           : k == QT_BY_PARTNER ? &nodes[n->partner].last
                                                : &recent[(row - k) % QT_RECENT];
    return *base + (k == QT_BY_PARTNER ? 0 : n->step[k]);
}

/* The distances of an address from what the predictors build on. */
static inline void qt_steps(const struct qt_node *n, const uint64_t *recent, uint32_t row,
                            uint64_t address, uint64_t *step)
{
    step[QT_BY_STRIDE] = address - n->last;
    for (uint32_t k = QT_BY_RECENT; k < QT_STEPS; k++) {
        step[k] = address - qt_recent(recent, row, k);
    }
}

/* When no predictor was right: the node that touched this address last knows more. */
static inline void qt_find_partner(const struct qt_node *nodes, struct qt_node *n,
                                   uint32_t toucher, uint64_t address)
{
    if (toucher != 0 && &nodes[toucher] != n && nodes[toucher].last == address) {
        n->partner = toucher;
    }
}

#endif
