/*
 * phys.h - the physical addresses of accesses: columns phys and device
 *
 * A virtual page is mapped to the same physical one, or to the same device, until the guest's
 * system changes its mind. Both sides keep the mappings of the pages that were touched, two to a
 * place: those of two pages that share it, or of one page in two address spaces. FORMAT.md is
 * normative.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_PHYS_H
#define QT_PHYS_H

#include "bytes.h"
#include "qtrace/event.h"
#include "tokens.h"

enum {
    QT_PHYS_SECOND, /* the second mapping of the page, which has two */
    QT_PHYS_RAM,    /* literal: the physical page */
    QT_PHYS_IO,     /* device and literal */
    QT_PHYS_NONE,   /* there is no physical address */
    QT_PHYS_KINDS,
};

#define QT_DEVICE_NAME_MAX 247 /* bytes, without the zero */

/* What memory an access reached. kind: QTRACE_PHYS_*; for an I/O access with the number of its
 * device, or, when decoding, with its index in the batch. */
struct qt_physical {
    uint64_t address; /* 0 if there is none */
    uint32_t kind;
};

struct qt_mapping {
    uint64_t offset; /* of physical from virtual addresses */
    uint32_t kind;
};

/* Two pages and what is known of them; the first match counts. */
struct qt_page_pair {
    struct qt_page {
        uint64_t number; /* virtual; UINT64_MAX = none */
        struct qt_mapping mapping;
    } page[2];
};

struct qt_phys {
    unsigned bits;             /* of the predictor's tables; 0 = there is none yet */
    struct qt_page_pair *pair; /* 1 << (bits - 2) */
    struct qt_mapping recent;  /* of the access before */
    uint64_t place;            /* the last literal */
};

/* An empty table for that size. 0 or QTRACE_E_NOMEM. */
int qt_phys_begin(struct qt_phys *phys, unsigned bits);
void qt_phys_finish(struct qt_phys *phys);

/* What the encoder writes. */
struct qt_phys_encoder {
    struct qt_phys phys;
    bool on;      /* this frame has physical addresses */
    uint32_t run; /* predicted accesses, not yet written */
    uint32_t n_devices;
    uint16_t index[QTRACE_MAX_DEVICES]; /* in column device, plus 1; by number */
    struct qt_buf *column, *device;     /* with room for each access, and for each new device */
};

/* The most that an access adds to column phys, and a device to column device. */
#define QT_PHYS_BYTES_MAX (QT_TOKEN_MAX + 2 + QT_VARINT_MAX)
#define QT_DEVICE_BYTES_MAX (2 + QT_VARINT_MAX + 2 + QT_DEVICE_NAME_MAX)

/* Add an access. device: of an I/O access; its number and name are within the limits. */
void qt_phys_put(struct qt_phys_encoder *encoder, uint64_t vaddr,
                 const struct qt_physical *physical, const struct qtrace_device *device);

struct qt_phys_decoder {
    struct qt_phys *phys;
    struct qt_tokens tokens;
    uint32_t n_devices; /* in column device */
    uint32_t n_seen;    /* of them */
};

/* From the first byte of the column to behind the last; false: malformed. */
bool qt_phys_open(struct qt_phys_decoder *decoder, struct qt_cursor column, uint32_t n_devices);
bool qt_phys_get(struct qt_phys_decoder *decoder, uint64_t vaddr, struct qt_physical *physical);
bool qt_phys_at_end(const struct qt_phys_decoder *decoder);

/* The next device of column device; its name, of *length bytes, has no zero behind it. false:
 * malformed. */
bool qt_device_get(struct qt_cursor *column, struct qtrace_device *device, size_t *length);

#endif
