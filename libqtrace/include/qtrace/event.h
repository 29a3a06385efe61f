/*
 * qtrace/event.h - what a trace holds: translations, executed blocks, accesses, events
 *
 * A *stream* is the life of one vCPU, from its creation to its end; a vCPU index that QEMU
 * uses again is a new stream. Ordinals count from 0 within a stream.
 *
 * A *batch* is a piece of one stream as plain arrays. Reading needs no callbacks: walk the
 * block rows, and for each block row its access rows. All arrays of a batch that comes from
 * a reader are borrowed and live until the batch is released.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_EVENT_H
#define QTRACE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of the format. QEMU ends a block after 512 instructions. */
#define QTRACE_MAX_BLOCK_INSNS 512
#define QTRACE_MAX_INSN_BYTES 64

/* An instruction of a translation. Strings and bytes are borrowed from the translation's
 * owner (the dictionary of a reader keeps them until it is closed). */
struct qtrace_insn {
    uint64_t vaddr;
    uint64_t haddr;      /* qemu_plugin_insn_haddr as a number; valid if has_haddr */
    const uint8_t *data; /* data_size bytes, at least size of them */
    const char *disas;   /* NULL = not recorded */
    const char *symbol;  /* NULL = none */
    uint16_t size;       /* of the instruction, in bytes */
    uint16_t data_size;  /* >= size: API 1 and 2 show what lies behind short instructions */
    bool has_haddr;
};

/* One translation of a block. Ids count from 0 in the order of QEMU's callbacks; a block
 * that is translated again gets a new id. */
struct qtrace_translation {
    uint32_t id;
    uint32_t n_insns; /* 1 .. QTRACE_MAX_BLOCK_INSNS */
    uint64_t vaddr;
    const struct qtrace_insn *insn;
};

/* Flags of an access: log2 of the size in bytes, and bits. */
enum {
    QTRACE_ACCESS_SIZE = 0x07, /* log2 of the size in bytes */
    QTRACE_ACCESS_SIGN = 0x08, /* sign-extended load */
    QTRACE_ACCESS_BE = 0x10,   /* big-endian */
    QTRACE_ACCESS_STORE = 0x20,
    /* The access was not made by the block row it stands under, but by a block of which
     * QEMU reported no execution; see struct qtrace_foreign. */
    QTRACE_ACCESS_FOREIGN = 0x40,
};

/* Rows of things that happen rarely. The numbers are part of the file format. */
enum qtrace_event_kind {
    QTRACE_EVENT_SYNC = 1,        /* nothing but a point in the order of all streams */
    QTRACE_EVENT_VCPU_INIT = 2,   /* the first event of its stream; arg[0] = 1 if the stream
                                     continues a vCPU whose beginning was not seen */
    QTRACE_EVENT_VCPU_EXIT = 3,
    QTRACE_EVENT_VCPU_IDLE = 4,
    QTRACE_EVENT_VCPU_RESUME = 5,
    QTRACE_EVENT_SYSCALL = 6,     /* arg[0] = number, arg[1..8] = a1..a8 */
    QTRACE_EVENT_SYSCALL_RET = 7, /* arg[0] = number, arg[1] = result */
    QTRACE_EVENT_TRANSLATION = 8, /* arg[0] = id */
    QTRACE_EVENT_FLUSH = 9,
    QTRACE_EVENT_LOST = 10,       /* arg[0..3] = blocks, instructions, accesses, events that
                                     are missing here; ordinals count them */
    QTRACE_EVENT_DISCON = 11,     /* arg[0] = type, arg[1] = from pc, arg[2] = to pc */
};

#define QTRACE_EVENT_ARGS 9

/* An event stands after n block rows and m access rows of its batch. Everything in those
 * rows happened before it. */
struct qtrace_event {
    enum qtrace_event_kind kind;
    uint32_t block_row;  /* n */
    uint32_t access_row; /* m */
    uint32_t n_args;
    uint64_t seq;        /* place in the order of all streams; unique in the trace */
    uint64_t time;       /* nanoseconds since the start of the recording */
    uint64_t arg[QTRACE_EVENT_ARGS];
};

/* Which block made the access of a row that has QTRACE_ACCESS_FOREIGN. */
struct qtrace_foreign {
    uint32_t access_row;
    uint32_t block; /* translation id */
};

/* A further word of the value of an access that has more than eight bytes. */
struct qtrace_wide {
    uint32_t access_row;
    uint32_t word; /* 1 = bytes 8 .. 15 of the value, from its lowest on; then 2, 3, ... */
    uint64_t value;
};

/* What memory an access reached, in system mode. */
enum {
    QTRACE_PHYS_NONE = 0, /* QEMU could not tell */
    QTRACE_PHYS_RAM = 1,
    QTRACE_PHYS_IO = 2, /* and above: that of the device with the index kind - QTRACE_PHYS_IO */
};

/* A device, as QEMU names it. */
#define QTRACE_MAX_DEVICES 1024
struct qtrace_device {
    uint32_t number;  /* the same throughout the trace; below QTRACE_MAX_DEVICES */
    uint64_t address; /* of the name in the recorded process, by which plugins know the device */
    const char *name;
};

/* A piece of a stream. Accesses of block row i are the access rows access_end[i - 1] (0 for
 * the first row) up to access_end[i]; rows from access_end[n_blocks - 1] on do not exist.
 * Access rows before access_begin belong to the last block of the batch before this one. */
struct qtrace_batch {
    size_t struct_size; /* sizeof(struct qtrace_batch) of the producer */
    uint32_t stream;
    uint32_t vcpu;
    uint64_t first_block, first_insn, first_access, first_event; /* ordinals */
    uint64_t first_seq; /* the last sync sequence before the first row */
    uint64_t first_time;

    uint32_t n_blocks;
    uint32_t access_begin;
    const uint32_t *block;      /* translation id */
    const uint16_t *started;    /* instructions that started, 0 .. n_insns */
    const uint32_t *access_end;

    uint32_t n_accesses;
    uint32_t n_foreign;
    const uint64_t *vaddr;
    const uint16_t *insn;       /* position of the instruction in its block */
    const uint8_t *flags;       /* QTRACE_ACCESS_* */
    const struct qtrace_foreign *foreign; /* ascending access_row */

    uint32_t n_events;
    const struct qtrace_event *event; /* in order */

    uint64_t n_insns; /* sum of started[] */

    /* What was loaded or stored, as a number whatever the byte order. value is NULL if that is not
     * recorded, or was not selected; and does not exist where struct_size ends before it. */
    const uint64_t *value;          /* the lowest eight bytes; 0 in accesses that have no value */
    const struct qtrace_wide *wide; /* the others, ascending access_row and word */
    uint32_t n_wide;
    uint32_t value_max; /* bytes of the largest accesses that have a value: 1, 2, 4 .. 64 */

    /* Physical addresses and what is there. NULL if they are not recorded, or were not selected;
     * and do not exist where struct_size ends before them. */
    const uint64_t *phys;      /* 0 where there is none */
    const uint16_t *phys_kind; /* QTRACE_PHYS_* */
    const struct qtrace_device *device; /* of these accesses, in order of appearance */
    uint32_t n_devices;
};

/* The facts of the recorded run. Strings may be NULL (unknown). */
struct qtrace_run {
    const char *target;
    bool system;
    uint32_t smp_vcpus, max_vcpus;
    uint32_t api_min, api_cur, api_used;
    const char *qemu_version, *qemu_path, *guest_path;
    bool has_code;
    uint64_t start_code, end_code, entry_code;
    const char *const *command_line; /* n_command_line strings */
    size_t n_command_line;
    const char *const *option;       /* the recorder's options, n_option strings */
    size_t n_option;
    const char *host;
    uint64_t start_time; /* nanoseconds since 1970-01-01 UTC */
    uint64_t pid;
    bool mem, disas, values, phys;
    bool one_thread; /* one host thread ran all vCPUs: the order of all streams is exact. With API 2
                        and later QEMU reports wrong vCPU indices then; they stand as reported. */
    uint64_t parent_pid;      /* of the process that forked this one while it was recorded; 0 = none */
    const char *parent_trace; /* and its trace */
};

#endif
