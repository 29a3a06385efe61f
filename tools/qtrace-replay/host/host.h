/*
 * host.h - what the files of the plugin host share
 *
 * The host offers QEMU's plugin interface to plugins that were made for QEMU and calls them as
 * QEMU would have, from a trace. There is one host in the process, as there is one QEMU: plugins
 * call functions without a context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HOST_H
#define HOST_H

#include <stdio.h>

#define QEMU_PLUGIN_API_VERSION 7
#define QEMU_PLUGIN_API_ALL
#define QEMU_PLUGIN_API __attribute__((visibility("default")))
#include "qtrace/merge.h"
#include "qtrace/qemu-plugin.h"

#define HOST_API_MIN 0
#define HOST_API_MAX 7

#define HOST_ANY_STREAM UINT32_MAX

/* ---- plugins ---- */

enum host_event {
    HOST_VCPU_INIT,
    HOST_VCPU_EXIT,
    HOST_VCPU_IDLE,
    HOST_VCPU_RESUME,
    HOST_TB_TRANS,
    HOST_SYSCALL,
    HOST_SYSCALL_RET,
    HOST_FLUSH,
    HOST_DISCON,
    HOST_ATEXIT,
    HOST_SYSCALL_FILTER,
    HOST_N_EVENTS,
};

/* What has to be known of the rows of the trace, by what plugins have registered. */
enum host_needs {
    HOST_NEEDS_ORDER = 1,     /* rows one by one, in their places */
    HOST_NEEDS_ACCESSES = 2,  /* accesses, too, if one by one */
    HOST_NEEDS_ADDRESSES = 4, /* and their addresses */
    HOST_NEEDS_AT_ONCE = 8,   /* plugins look at counts without asking */
    /* Blocks may be announced while rows are run, and nobody knows what will be registered. */
    HOST_NEEDS_ALL = HOST_NEEDS_ORDER | HOST_NEEDS_ACCESSES | HOST_NEEDS_ADDRESSES,
};

struct host_callback {
    void *func; /* NULL = not registered */
    void *userdata;
    unsigned order; /* the latest registration is called first */
};

struct host_plugin {
    char *path;
    void *handle;
    qemu_plugin_id_t id;
    int version;
    int argc;
    char **argv;
    struct host_callback event[HOST_N_EVENTS];
    int discon_types;
    unsigned number;     /* in order of loading */
    unsigned generation; /* grows with every reset: older registrations on blocks are void */
    unsigned reset_epoch; /* host.epoch after the last reset */
    bool gone;           /* uninstalled, or its install failed */
    bool atexit_done;
    bool installing;     /* its install function is running */
    bool resetting, uninstalling; /* asked for, done when the vCPU is about to run again */
    uint32_t asked_by;            /* the stream of that vCPU */
    struct host_callback after;   /* to be called when done */
};

/* ---- what happens when blocks are executed ---- */

enum host_op_kind {
    HOST_OP_CALL,      /* func(vcpu, userdata), or with the access for a memory operation */
    HOST_OP_CALL_IF,   /* the same, while score's entry COND imm */
    HOST_OP_ADD,       /* score's entry += imm */
    HOST_OP_STORE,     /* score's entry = imm */
    HOST_OP_ADD_RAW,   /* *(uint64_t *)userdata += imm */
};

struct host_op {
    uint8_t kind; /* enum host_op_kind */
    uint8_t rw;   /* enum qemu_plugin_mem_rw; 0 = no memory operation */
    uint8_t cond; /* enum qemu_plugin_cond */
    int32_t insn; /* -1 = the block */
    struct host_plugin *plugin;
    void *func;
    void *userdata;
    unsigned generation;
    struct qemu_plugin_scoreboard *score;
    size_t offset;
    uint64_t imm;
};

/* What most places have: one callback without a condition, for whatever access. func = NULL:
 * this place has more, or something else, see its operations. */
struct host_call {
    void *func;
    void *userdata;
    struct host_plugin *plugin;
};

/* An instruction that has operations: those from op[begin] to the begin of the next point, on
 * execution first. Two of them fill a cache line. */
struct host_point {
    struct host_call only; /* on execution */
    uint32_t insn, begin;
};

/* The operations on the accesses of an instruction. */
struct host_mem {
    struct host_call only;
    const struct host_op *begin, *end;
};

/* One of the things that happen when a block is executed from its beginning to its end. */
struct host_step {
    uint8_t kind; /* enum host_op_kind, but never HOST_OP_ADD_RAW */
    uint8_t cond; /* enum qemu_plugin_cond */
    uint64_t imm;
    char *place;   /* of vCPU 0: it is added to, stored to or compared with imm */
    size_t stride; /* to that of the next vCPU */
    void *func;
    void *userdata;
    struct host_plugin *plugin;
};

/* What executions look at comes first. */
struct host_block {
    unsigned epoch;  /* host.epoch when the plugins were last told of it */
    uint32_t n_insns;
    struct host_step *step; /* NULL: a whole execution is to be taken apart like any other */
    uint32_t n_steps;
    uint32_t n_block_ops;
    uint32_t n_ops;
    struct host_op *op; /* in order of execution */
    struct host_mem *mem; /* by instruction; NULL = there are none */
    bool only_mem; /* no instruction has operations on execution */
    uint8_t needs; /* HOST_NEEDS_*, of its operations */
    uint16_t calls; /* each access calls host.call[calls], and there is nothing else; 0 = no */
    uint32_t n_points;
    struct host_point *point; /* ascending insn; the last of n_points is followed by their end */
    const struct qtrace_translation *tr;
    GArray *ops;     /* struct host_op in order of registration; NULL = none */
};

struct qemu_plugin_insn {
    const struct qtrace_insn *insn;
    struct host_block *block;
    int32_t index;
};

struct qemu_plugin_tb {
    struct host_block *block;
    size_t n_insns;
    struct qemu_plugin_insn insn[QTRACE_MAX_BLOCK_INSNS];
};

struct qemu_plugin_scoreboard {
    struct qemu_plugin_scoreboard *next, *prev;
    size_t element_size;
    size_t n_elements;
    char *data;
};

/* ---- the host ---- */

struct host {
    struct qtrace_reader *reader;
    const struct qtrace_run *run;

    unsigned needs;  /* HOST_NEEDS_*; grows */
    unsigned select; /* QTRACE_SELECT_* of what the reader gives now */
    struct qtrace_error failure; /* the first of reading in between; code 0 = none */

    GPtrArray *plugin; /* struct host_plugin, in order of loading */
    struct host_plugin *current; /* whose code is running */
    uint32_t stream;             /* of the item that is being executed */
    bool changes_pending;        /* some plugin wants reset or uninstall */
    unsigned changes_asked;      /* how often one did */
    bool counting;               /* rows that happened before any of that are being counted */
    unsigned registrations;

    GPtrArray *block; /* struct host_block by translation id, NULL = not announced */
    GArray *call;     /* struct host_call, all that blocks' calls refer to; the first is none */
    unsigned epoch;   /* grows when a plugin wants to see old blocks again */
    struct qemu_plugin_tb tb; /* the one handle, as QEMU has one per thread */

    const struct qtrace_batch *access; /* the access that plugins are told of; NULL = none */
    uint32_t access_row;

    GHashTable *live; /* int, indexes of vCPUs that were initialised and have not ended; QEMU
                       * has the same table, and plugins see its order */
    unsigned n_vcpus; /* highest index + 1 */
};

extern struct host host;

/* The block as all plugins know it now; NULL: they have to be told of it first. */
static inline struct host_block *host_known_block(uint32_t id)
{
    struct host_block *block = id < host.block->len ? host.block->pdata[id] : NULL;

    return block != NULL && block->epoch == host.epoch ? block : NULL;
}

static inline bool host_needs_rows(void)
{
    return (host.select & QTRACE_SELECT_BLOCKS) != 0;
}

/* output.c: everything that plugins print. Both return 0 or an errno. */
int host_output_open(const char *path);
int host_output_flush(void);
int host_output_failure(void);
void host_output_unbuffered(void);
void host_output_survive(void); /* crashes of plugins */

/* message.c: to stderr. The first form only once for each different format. */
void host_message_once(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void host_message(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* arguments.c: "name,arg=value,..." as QEMU reads it. The results are to be freed. */
char *host_parse_spec(const char *spec, int *argc, char ***argv);

/* load.c: false after a message. */
bool host_load(const char *spec);
void host_list_analyzers(FILE *out);
void host_unload(struct host_plugin *plugin);

/* lifecycle.c */
struct host_plugin *host_plugin_by_id(qemu_plugin_id_t id);
void host_apply_changes(uint32_t stream); /* resets and uninstalls that were asked for there */
void host_run_atexit(void);

/* events.c */
GPtrArray *host_listeners(enum host_event event); /* the plugins, in order of calling */
void host_vcpu_event(enum host_event event, unsigned vcpu);
void host_dispatch(const struct qtrace_event *event, unsigned vcpu);

/* translate.c: tell the plugins of a block; compile what they registered. */
struct host_block *host_announce(uint32_t id);
void host_add_op(struct host_block *block, const struct host_op *op);

/* steps.c: what is compiled becomes steps; all again when scoreboards have moved. */
void host_make_steps(struct host_block *block);
void host_make_all_steps(void);

/* Where the operations on the execution of an instruction end. */
static inline const struct host_op *host_exec_end(const struct host_block *block,
                                                  const struct host_point *p)
{
    const struct host_op *op = block->op + p->begin, *end = block->op + p[1].begin;

    while (op < end && op->rw == 0) {
        op++;
    }
    return op;
}

/* The element of a stream. The array begins as NULL; elements begin as zeros. */
static inline void *host_by_stream(GArray **array, guint element_size, uint32_t stream)
{
    if (*array == NULL) {
        *array = g_array_new(FALSE, TRUE, element_size);
    }
    if (stream >= (*array)->len) {
        g_array_set_size(*array, stream + 1);
    }
    return (*array)->data + (size_t)stream * element_size;
}

/* drive.c: the whole trace. Calls progress, if it is not NULL, for what is done. 0 or an error. */
int host_drive(void (*progress)(const struct qtrace_item *item), struct qtrace_error *err);

unsigned host_selection(void); /* QTRACE_SELECT_* of what is needed now */

/* execute.c: what the items of a merge mean, in order. What a plugin that started again within
 * the item needs, but was not read, is taken off its end. */
void host_item(struct qtrace_item *item);
/* Returns the first row that is left: that of which more is needed than was read, or the end. */
uint32_t host_run_rows(const struct qtrace_item *item);
void host_close_before(const struct qtrace_item *event, const struct qtrace_batch *batch);
void host_stream_skip(uint32_t stream, unsigned vcpu);
bool host_stream_knows_last(uint32_t stream);
void host_stream_resume(uint32_t stream, uint32_t block);

/* pending.c: rows that have happened and are not counted yet. */
void host_pending_rows(const struct qtrace_item *item);
void host_pending_event(const struct qtrace_item *item); /* its callbacks run now; NULL = no more */
void host_count_pending(bool at_end);
/* Forget those of a stream that could not be counted yet; if there are any, set the ordinals of
 * the first. */
void host_pending_left(uint32_t stream, uint64_t *block, uint64_t *access);

/* Count them before somebody looks. */
static inline void host_catch_up(void)
{
    if (!host_needs_rows()) {
        host_count_pending(false);
    }
}

/* The same before plugins are called, which may look without asking. */
static inline void host_before_callbacks(void)
{
    if (host.needs & HOST_NEEDS_AT_ONCE) {
        host_catch_up();
    }
}

/* scoreboard.c */
void host_vcpu_seen(unsigned vcpu);

static inline uint64_t *host_entry(const struct qemu_plugin_scoreboard *score, size_t offset,
                                   unsigned vcpu)
{
    return (uint64_t *)(void *)(score->data + vcpu * score->element_size + offset);
}

#endif
