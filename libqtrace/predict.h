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
/* What is enough for most programs: with four times as many entries traces are 2 % smaller, but
 * encoder and decoder 5 to 10 % slower: the tables do not stay in a CPU's own cache then. */
#define QT_BITS_USUAL 14

/* How an address may be predicted. */
enum {
    QT_BY_STRIDE = 0,   /* this node's last address, plus a step */
    QT_BY_RECENT = 1,   /* 1 .. 4: the k-th last address of the stream, plus a step */
    QT_BY_PARTNER = 5,  /* the last address of another node */
    QT_BY_SCALED = 6,   /* the last address of the stream in units of another size, plus a step */
    QT_BY_SEQUEL = 7,   /* what followed the node's last address before; never a favourite */
    QT_PREDICTORS = 8,
};
#define QT_STEPS QT_BY_SEQUEL /* have one */

#define QT_RECENT 8 /* addresses remembered, a power of two above 4 */

/* The key of an access is its instruction and flags as one number. Encoder and decoder each have
 * a layout of their own. */
#define QT_KEY_NONE UINT32_MAX /* no access has it */

/* How many accesses of the same key directly before it an access knows of: an instruction that
 * makes several (a pair, a vector, a list of registers) has a node for each. */
#define QT_REPEAT_MAX 255

/* One kind of access: block, instruction, flags and repeat. Number 0 stands for all that come
 * when there are too many. What every access looks at; two fill a cache line. */
struct qt_node {
    uint64_t last;           /* address */
    uint64_t step;           /* of the favourite */
    uint32_t key;
    uint32_t next;           /* node of the access that followed in its row; 0 = none did */
    uint32_t count;          /* accesses; the encoder's */
    uint32_t habit;          /* qt_habit */
};

/* A node's favourite predictor, and the node on whose last address it builds, if on any. (One
 * number, not two fields: they are written together and read again at once.) */
static inline uint32_t qt_habit(uint32_t favourite, uint32_t base)
{
    return favourite << 24 | base;
}

static inline uint32_t qt_favourite(const struct qt_node *n)
{
    return n->habit >> 24;
}

static inline uint32_t qt_favourite_base(const struct qt_node *n)
{
    return n->habit & 0xffffff;
}

/* And what only surprises look at. */
struct qt_lessons {
    uint64_t step[QT_STEPS]; /* as seen at the last surprise; the partner's is 0 */
    uint32_t partner;        /* node */
    uint32_t block;
};

/* A block. Number 0 stands for all that come when there are too many. */
struct qt_entry {
    uint32_t id;        /* UINT32_MAX = none */
    uint32_t length : 10; /* instructions */
    uint32_t count : 22;  /* rows; the encoder's */
    uint32_t first;     /* node of the first access; 0 = none */
};

/* Where paths part: what came behind a block, or when it came, unforeseen. */
#define QT_RANKS 4
struct qt_junction {
    uint32_t successor[QT_RANKS]; /* entries, the last one first; 0 = none */
    uint32_t row;                 /* behind the block; 0 = none */
};

/* A block row that is not as foreseen. */
struct qt_turn {
    uint32_t row;      /* its number */
    uint32_t source;   /* the row that it should have repeated; 0 = none */
    uint32_t previous; /* entry of the row before */
    uint32_t history;  /* before it */
};

struct qt_predictor {
    unsigned bits;           /* of the tables that are there; 0 = none */
    uint32_t undefined;      /* the block that decoding stopped at; UINT32_MAX = none */
    uint32_t n_nodes, n_entries;
    struct qt_node *node;    /* 2 << bits */
    struct qt_lessons *lessons; /* 2 << bits: of the nodes */
    struct qt_entry *entry;  /* 1 << bits */
    struct qt_junction *junction; /* 1 << bits: of the entries */
    uint32_t *path;          /* 1 << bits: row behind a history of blocks; 0 = none */
    uint32_t *row;           /* entries of the block rows, whose numbers begin with 1; [0] = 0 */
    size_t cap_rows;
    uint32_t *toucher;       /* 1 << bits: node that touched an address last, by its hash */
    uint64_t *sequel;        /* 1 << bits: address after another, by node and address */
    uint32_t *node_place;    /* 4 << bits: nodes by block and key */
    uint32_t *entry_place;   /* 2 << bits: entries by id */
    uint64_t recent[QT_RECENT];
};

/* Empty tables of that size. 0 or QTRACE_E_NOMEM. */
int qt_predictor_begin(struct qt_predictor *p, unsigned bits);
void qt_predictor_finish(struct qt_predictor *p);

/* Room for the block rows 1 .. n. 0 or QTRACE_E_NOMEM. */
int qt_predictor_reserve(struct qt_predictor *p, size_t n);

/* The entry of a block whose length is known, made if there is none. */
uint32_t qt_predictor_entry(struct qt_predictor *p, uint32_t id, uint32_t length);

/* The candidates for a turn, from rank 0 on: what followed the block before in such a place, but for
 * what was foreseen this time. The rank of a block, QT_RANKS if it has none; and the entry with a
 * rank, 0 if there is none. */
unsigned qt_predictor_rank(const struct qt_predictor *p, const struct qt_turn *turn, uint32_t id);
uint32_t qt_predictor_ranked(const struct qt_predictor *p, const struct qt_turn *turn,
                             unsigned rank);

/* Learn that a turn led to this block. Returns the row that the next one should repeat, or 0. */
uint32_t qt_predictor_turn(struct qt_predictor *p, const struct qt_turn *turn, uint32_t entry,
                           uint32_t id);

/* The node of an access, made if there is none; near: the address to begin with. */
uint32_t qt_predictor_node(struct qt_predictor *p, uint32_t id, uint32_t key, uint64_t near);

/* The order of all blocks so far, of which the last QT_HISTORY_ROWS count. */
#define QT_HISTORY_ROWS 11
static inline uint32_t qt_history(uint32_t history, uint32_t id)
{
    return history << 3 ^ id * 2654435761u;
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

/* The node whose successor this place holds; 0: it holds the first of a row, or nothing. */
static inline uint32_t qt_node_before(const struct qt_predictor *p, const uint32_t *next)
{
    const uintptr_t distance = (uintptr_t)next - (uintptr_t)p->node;

    return distance < p->n_nodes * sizeof(*p->node) ? (uint32_t)(distance / sizeof(*p->node)) : 0;
}

/* The key with the repeat that it has if *next is the place of its node. The repeat stands above
 * the other bits of a key, from bit `shift` on. */
static inline uint32_t qt_repeated(const struct qt_predictor *p, const uint32_t *next, uint32_t key,
                                   unsigned shift)
{
    const uint32_t before = qt_node_before(p, next), last = p->node[before].key;
    const uint32_t n = last >> shift;

    if (before == 0 || (last ^ key) << (32 - shift) != 0) {
        return key;
    }
    return key | (n < QT_REPEAT_MAX ? n + 1 : n) << shift;
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

/* What the favourite says, without a branch on which it is, but for the scaled one, which few
 * have. size_before and size: as for that one. */
static inline uint64_t qt_guess(const struct qt_node *nodes, const struct qt_node *n,
                                const uint64_t *recent, uint32_t row, unsigned size_before,
                                unsigned size)
{
    const uint32_t k = qt_favourite(n);
    const uint64_t *own = &nodes[qt_favourite_base(n)].last;
    const uint64_t *other = &recent[(row - k) % QT_RECENT];
    const uint64_t *base = k - QT_BY_RECENT < QT_BY_PARTNER - QT_BY_RECENT ? other : own;

    if (qt_unlikely(k == QT_BY_SCALED)) {
        return qt_scaled(qt_recent(recent, row, 1), size_before, size) + n->step;
    }
    return *base + n->step;
}

/* What each predictor builds on, but for the sequel. */
static inline void qt_bases(const struct qt_predictor *p, uint32_t node, uint32_t row,
                            unsigned size_before, unsigned size, uint64_t *base)
{
    const uint64_t last = p->node[node].last;
    uint32_t k;

    base[QT_BY_STRIDE] = last;
#pragma GCC unroll 4
    for (k = QT_BY_RECENT; k < QT_BY_PARTNER; k++) {
        base[k] = qt_recent(p->recent, row, k);
    }
    base[QT_BY_PARTNER] = p->node[p->lessons[node].partner].last;
    base[QT_BY_SCALED] = qt_scaled(base[QT_BY_RECENT], size_before, size);
}

/* If no predictor was right, which is when the address is literal: the node that touched it last
 * knows more. (Not a branch: it would go either way.) */
static inline void qt_find_partner(struct qt_predictor *p, uint32_t node, uint64_t address,
                                   bool literal)
{
    const uint32_t toucher = p->toucher[qt_address_hash(address, p->bits)];
    uint32_t *partner = &p->lessons[node].partner;
    bool found = (toucher != 0) & (toucher != node) & (p->node[toucher].last == address);

    *partner = (literal & found) ? toucher : *partner;
}

/* A surprise: each predictor with a step learns its distance from what it builds on, the sequel
 * the address, and the favourite is another one or learns as well. */
static inline void qt_learn(struct qt_predictor *p, uint32_t node, uint32_t favourite,
                            const uint64_t *base, uint64_t *sequel, uint64_t address)
{
    struct qt_node *n = &p->node[node];
    struct qt_lessons *l = &p->lessons[node];
    uint32_t k;

#pragma GCC unroll 7
    for (k = 0; k < QT_STEPS; k++) {
        l->step[k] = address - base[k];
    }
    l->step[QT_BY_PARTNER] = 0;
    *sequel = address;
    n->habit = qt_habit(favourite, favourite == QT_BY_PARTNER ? l->partner : node);
    n->step = l->step[favourite];
}

#endif
