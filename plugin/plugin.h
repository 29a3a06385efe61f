/*
 * plugin.h - what the files of the recorder plugin share
 *
 * The plugin is glue: QEMU's callbacks in, libqtrace's recorder out. install.c reads the
 * options and registers; translate.c describes a block, with disas.c, and instruments it;
 * callbacks.c is the hot path; lifecycle.c is everything that happens rarely, with fork.c; say.c
 * is what the user is told at the end; api.c finds what QEMU offers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_PLUGIN_H
#define QT_PLUGIN_H

#define QEMU_PLUGIN_API_ALL
#define QEMU_PLUGIN_API __attribute__((weak))
#include "qtrace/qemu-plugin.h"
#include "recorder.h"

/* vCPU indices from here on are not recorded. User-mode QEMU has one per live thread. */
#define QT_MAX_VCPUS 65536

struct qt_options {
    char *out; /* absolute, with %p and %% */
    bool overwrite, mem, values, phys, disas, drop, follow, verbose;
    bool phys_auto; /* phys is to be what is possible */
    unsigned level, wait_ms, flush_ms;
    size_t ring, rings;
};

/* What the process is, set once by install. */
struct qt_plugin {
    int api; /* what this QEMU speaks: the highest version that it accepts */
    bool system;
    bool null_sections; /* see callbacks.c */
    bool careful; /* blocks can be executed for their memory callbacks alone */
    struct qt_options options;
    struct qt_recorder *recorder;
    struct qtrace_run run;
    bool run_told;
    /* How far a block got: see callbacks.h */
    bool callbacks_per_insn; /* API 1 with several vCPUs, or one_thread */
    bool one_thread;         /* one host thread runs several vCPUs, see lifecycle.c */
    bool own_threads;        /* one of them has told that it has a thread of its own */
    struct qemu_plugin_scoreboard *progress; /* API >= 2 */
    qemu_plugin_vcpu_mem_cb_t on_access, on_access_careful;
    unsigned n_open; /* vCPUs now */
    unsigned max_vcpu;
};

extern struct qt_plugin qt_plugin;

/* Where API 1 adds inline, as long as one vCPU exists. */
extern uint64_t *const qt_plugin_shared_slot;

/* Aligned so that an index is a shift; pages that nobody touches cost nothing. */
union qt_vcpu {
    struct qt_producer producer;
    char size[1024];
};
extern union qt_vcpu qt_vcpus[QT_MAX_VCPUS];

/* Parse argv into options. False: an explanation has been printed. */
bool qt_options_parse(struct qt_options *options, int argc, char **argv);
/* The trace of this process, to be freed; and has its name the process id? */
char *qt_options_path(const struct qt_options *options, bool *has_pid);
const char *const *qt_options_text(const struct qt_options *options, size_t *n);

/* The run's facts that are known at install, and those that are known once the guest runs. */
void qt_facts_install(struct qtrace_run *run, const qemu_info_t *info);
void qt_facts_guest(struct qtrace_run *run);
/* This process was forked from the one whose facts these are. */
void qt_facts_forked(struct qtrace_run *run, const char *parent_trace);

/* The disassembly of an instruction with these bytes, to be freed; empty: none. NULL: the
 * recorder's thread will make it, with qt_disas_later. */
void qt_disas_init(const char *target, bool system);
char *qt_disas(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t size);
void qt_disas_later(const struct qtrace_insn *insn, char *text);

/* Can this instruction leave its block before the end? */
void qt_leave_init(const char *target, bool system);
bool qt_can_leave(const uint8_t *bytes, size_t size);

/* The translation callback in both dialects. */
void qt_translate_v1(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
void qt_translate_v7(struct qemu_plugin_tb *tb, void *userdata);

void qt_lifecycle_register(qemu_plugin_id_t id);
void qt_fork_register(void);

/* On the standard error, without its buffers. */
void qt_say(const char *text);

/* What was lost and why; with verbose=on, what was recorded. */
void qt_say_summary(const struct qt_summary *summary);

/* Before the first block is instrumented: does one host thread run several vCPUs? */
void qt_find_one_thread(void);

#endif
