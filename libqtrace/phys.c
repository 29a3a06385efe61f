/*
 * phys.c - the physical addresses of accesses: columns phys and device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "phys.h"

#include <stdlib.h>

#include "predict.h"
#include "qtrace/error.h"

#define PAGE_BITS 12
#define NOTHING UINT32_MAX /* the kind of a mapping that no access has */

/* ---- the table ---- */

void qt_phys_finish(struct qt_phys *p)
{
    free(p->pair);
    *p = (struct qt_phys){0};
}

int qt_phys_begin(struct qt_phys *p, unsigned bits)
{
    const size_t n = (size_t)1 << (bits - 2);

    if (p->bits != bits) {
        qt_phys_finish(p);
        p->pair = malloc(n * sizeof(*p->pair));
        if (p->pair == NULL) {
            return QTRACE_E_NOMEM;
        }
        p->bits = bits;
    }
    memset(p->pair, 0xff, n * sizeof(*p->pair));
    p->recent = (struct qt_mapping){0, NOTHING};
    p->place = 0;
    return QTRACE_OK;
}

static inline struct qt_page_pair *pair_of(const struct qt_phys *p, uint64_t vaddr)
{
    return &p->pair[qt_address_hash(vaddr >> PAGE_BITS, p->bits - 2)];
}

/* What is expected of an access to the page: what its last one was, or the access before. */
static inline const struct qt_mapping *expect(const struct qt_phys *p,
                                              const struct qt_page_pair *pair, uint64_t vaddr)
{
    const struct qt_page *page = pair->page;

    if (qt_likely(page[0].number == vaddr >> PAGE_BITS)) {
        return &page[0].mapping;
    }
    return page[1].number == vaddr >> PAGE_BITS ? &page[1].mapping : &p->recent;
}

/* Do both belong to the page? Only then is the second never expected. */
static inline bool has_second(const struct qt_page_pair *pair, uint64_t vaddr)
{
    return pair->page[0].number == vaddr >> PAGE_BITS &&
           pair->page[1].number == vaddr >> PAGE_BITS;
}

static void swap(struct qt_page_pair *pair)
{
    const struct qt_page first = pair->page[0];

    pair->page[0] = pair->page[1];
    pair->page[1] = first;
}

static void insert(struct qt_page_pair *pair, uint64_t vaddr, const struct qt_mapping *mapping)
{
    pair->page[1] = pair->page[0];
    pair->page[0] = (struct qt_page){vaddr >> PAGE_BITS, *mapping};
}

static inline bool same(const struct qt_mapping *a, const struct qt_mapping *b)
{
    return a->offset == b->offset && a->kind == b->kind;
}

static inline uint64_t in_page(uint64_t vaddr)
{
    return vaddr & ((1u << PAGE_BITS) - 1);
}

/* A physical page as a literal: a small number when it begins where pages do. */
static inline uint64_t place_of(uint64_t vaddr, uint64_t address)
{
    const uint64_t begin = address - in_page(vaddr);

    return begin >> PAGE_BITS | begin << (64 - PAGE_BITS);
}

static inline uint64_t address_of(uint64_t vaddr, uint64_t place)
{
    return (place << PAGE_BITS | place >> (64 - PAGE_BITS)) + in_page(vaddr);
}

/* ---- encoding ---- */

/* There is room. */
static void put(struct qt_buf *buf, uint64_t v)
{
    buf->len = (size_t)(qt_put_varint(buf->data + buf->len, v) - buf->data);
}

/* The index of a device, which is described when it is new. */
static uint32_t put_device(struct qt_phys_encoder *e, const struct qtrace_device *device)
{
    const size_t length = strlen(device->name);
    uint16_t *index = &e->index[device->number];

    if (*index == 0) {
        *index = (uint16_t)++e->n_devices;
        put(e->device, device->number);
        put(e->device, device->address);
        put(e->device, length);
        memcpy(e->device->data + e->device->len, device->name, length);
        e->device->len += length;
    }
    return *index - 1u;
}

static void put_token(struct qt_phys_encoder *e, unsigned kind)
{
    uint8_t *end = e->column->data + e->column->len;

    e->column->len = (size_t)(qt_put_token(end, QT_PHYS_KINDS, kind, e->run) - e->column->data);
    e->run = 0;
}

static void put_literal(struct qt_phys_encoder *e, uint64_t vaddr,
                        const struct qt_physical *physical, const struct qtrace_device *device)
{
    const uint64_t place = place_of(vaddr, physical->address);

    if (physical->kind == QTRACE_PHYS_NONE) {
        put_token(e, QT_PHYS_NONE);
        return;
    }
    put_token(e, physical->kind == QTRACE_PHYS_RAM ? QT_PHYS_RAM : QT_PHYS_IO);
    if (physical->kind != QTRACE_PHYS_RAM) {
        put(e->column, put_device(e, device));
    }
    put(e->column, qt_zigzag64(place - e->phys.place));
    e->phys.place = place;
}

void qt_phys_put(struct qt_phys_encoder *e, uint64_t vaddr, const struct qt_physical *physical,
                 const struct qtrace_device *device)
{
    struct qt_page_pair *pair = pair_of(&e->phys, vaddr);
    const struct qt_mapping *expected = expect(&e->phys, pair, vaddr);
    const struct qt_mapping mapping = {
        physical->kind == QTRACE_PHYS_NONE ? 0 : physical->address - vaddr, physical->kind};

    if (qt_likely(same(expected, &mapping))) {
        e->run++;
        if (qt_unlikely(expected == &e->phys.recent)) {
            insert(pair, vaddr, &mapping);
        }
    } else if (has_second(pair, vaddr) && same(&pair->page[1].mapping, &mapping)) {
        put_token(e, QT_PHYS_SECOND);
        swap(pair);
    } else {
        put_literal(e, vaddr, physical, device);
        insert(pair, vaddr, &mapping);
    }
    e->phys.recent = mapping;
}

/* ---- decoding ---- */

bool qt_phys_open(struct qt_phys_decoder *d, struct qt_cursor column, uint32_t n_devices)
{
    d->n_devices = n_devices;
    d->n_seen = 0;
    return qt_first_token(&d->tokens, column, QT_PHYS_KINDS);
}

/* A device: one that was seen already, or the next. */
static bool get_device(struct qt_phys_decoder *d, uint32_t *kind)
{
    uint64_t index;

    if (!qt_cursor_max(&d->tokens.c, &index, d->n_seen) || index >= d->n_devices) {
        return false;
    }
    d->n_seen += index == d->n_seen;
    *kind = QTRACE_PHYS_IO + (uint32_t)index;
    return true;
}

static bool get_literal(struct qt_phys_decoder *d, uint64_t vaddr, struct qt_mapping *mapping)
{
    uint64_t distance;

    *mapping = (struct qt_mapping){0, QTRACE_PHYS_NONE};
    if (d->tokens.kind == QT_PHYS_NONE) {
        return true;
    }
    mapping->kind = QTRACE_PHYS_RAM;
    if (d->tokens.kind == QT_PHYS_IO && !get_device(d, &mapping->kind)) {
        return false;
    }
    if (!qt_cursor_varint(&d->tokens.c, &distance)) {
        return false;
    }
    d->phys->place += qt_unzigzag64(distance);
    mapping->offset = address_of(vaddr, d->phys->place) - vaddr;
    return true;
}

static bool get_surprise(struct qt_phys_decoder *d, struct qt_page_pair *pair, uint64_t vaddr,
                         struct qt_mapping *mapping)
{
    if (d->tokens.kind == QT_PHYS_SECOND) {
        if (!has_second(pair, vaddr)) {
            return false;
        }
        swap(pair);
        *mapping = pair->page[0].mapping;
    } else {
        if (!get_literal(d, vaddr, mapping)) {
            return false;
        }
        insert(pair, vaddr, mapping);
    }
    return qt_next_token(&d->tokens, QT_PHYS_KINDS);
}

bool qt_phys_get(struct qt_phys_decoder *d, uint64_t vaddr, struct qt_physical *physical)
{
    struct qt_phys *p = d->phys;
    struct qt_page_pair *pair = pair_of(p, vaddr);
    struct qt_mapping mapping;

    if (qt_likely(qt_is_predicted(&d->tokens))) {
        const struct qt_mapping *expected = expect(p, pair, vaddr);

        mapping = *expected;
        if (qt_unlikely(mapping.kind == NOTHING)) {
            return false;
        }
        if (qt_unlikely(expected == &p->recent)) {
            insert(pair, vaddr, &mapping);
        }
    } else if (!get_surprise(d, pair, vaddr, &mapping)) {
        return false;
    }
    p->recent = mapping;
    *physical = (struct qt_physical){
        mapping.kind == QTRACE_PHYS_NONE ? 0 : vaddr + mapping.offset, mapping.kind};
    return true;
}

bool qt_phys_at_end(const struct qt_phys_decoder *d)
{
    return d->tokens.last && d->n_seen == d->n_devices;
}

bool qt_device_get(struct qt_cursor *c, struct qtrace_device *device, size_t *length)
{
    uint64_t number, n;

    if (!qt_cursor_max(c, &number, QTRACE_MAX_DEVICES - 1) ||
        !qt_cursor_varint(c, &device->address) || !qt_cursor_max(c, &n, QT_DEVICE_NAME_MAX) ||
        n > qt_cursor_left(c) || memchr(c->p, 0, (size_t)n) != NULL) {
        return false;
    }
    device->number = (uint32_t)number;
    device->name = (const char *)c->p;
    *length = (size_t)n;
    c->p += n;
    return true;
}
