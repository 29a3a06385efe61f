/*
 * qtrace/analyzer.h - one plugin binary for every QEMU and for qtrace-replay
 *
 * QEMU reads qemu_plugin_version after it has loaded a plugin and accepts only its own range. So
 * a constructor looks at which calls the process offers and declares the version to which they
 * belong. All calls are weak: one that the process lacks is NULL. The interface is compiled in
 * the dialect of version 7; older ones get other callback functions, which is all that differs
 * for what is used here.
 *
 * Include it once, define analyzer_translate and analyzer_exit, and call analyzer_register. Who
 * defines ANALYZER_VCPU_INIT before gets the beginning of vCPUs too, in analyzer_vcpu_init.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_ANALYZER_H
#define QTRACE_ANALYZER_H

#include <string.h>

#define QEMU_PLUGIN_API_VERSION 7
#define QEMU_PLUGIN_API_ALL
#define QEMU_PLUGIN_API __attribute__((weak))
#include "qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version;

/* What it is good for, in a few words, for `qtrace-replay --list`. At file scope, without a
 * semicolon. */
#define ANALYZER_SUMMARY(text) QEMU_PLUGIN_EXPORT const char qtrace_analyzer_summary[] = text;

/* What the analyzer does with a block that is translated, and at the end, which comes once. */
static void analyzer_translate(struct qemu_plugin_tb *tb);
static void analyzer_exit(void);
#ifdef ANALYZER_VCPU_INIT
static void analyzer_vcpu_init(unsigned int vcpu_index);
#endif

/* QEMU 10.2 offers discontinuities and is 5: they say nothing. Nothing tells 7 from 6, and no
 * release stopped at 6. */
__attribute__((constructor)) static void analyzer_choose_version(void)
{
    if (qemu_plugin_set_pc != NULL) {
        qemu_plugin_version = 7;
    } else if (qemu_plugin_translate_vaddr != NULL) {
        qemu_plugin_version = 5;
    } else if (qemu_plugin_read_memory_vaddr != NULL) {
        qemu_plugin_version = 4;
    } else if (qemu_plugin_scoreboard_new != NULL) {
        qemu_plugin_version = 2;
    } else {
        qemu_plugin_version = 1;
    }
}

/* Copy the first bytes of an instruction, at most max. Returns how many. */
static inline size_t analyzer_insn_bytes(const struct qemu_plugin_insn *insn, uint8_t *bytes,
                                         size_t max)
{
    size_t size = MIN(qemu_plugin_insn_size(insn), max);

    if (qemu_plugin_version >= 3) {
        return qemu_plugin_insn_data(insn, bytes, size);
    }
    memcpy(bytes, (const void *)qemu_plugin_insn_data(insn, NULL, 0), size);
    return size;
}

static void analyzer_translate_v1(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    analyzer_translate(tb);
}

static void analyzer_translate_v7(struct qemu_plugin_tb *tb, void *userdata)
{
    (void)userdata;
    analyzer_translate(tb);
}

/* Threads that end the guest at the same time call at the same time, and the first that returns
 * ends the process: the others wait until everything is printed. */
static void analyzer_exit_v7(void *userdata)
{
    static GMutex lock;
    static bool done;

    (void)userdata;
    g_mutex_lock(&lock);
    if (!done) {
        analyzer_exit();
    }
    done = true;
    g_mutex_unlock(&lock);
}

static void analyzer_exit_v1(qemu_plugin_id_t id, void *userdata)
{
    (void)id;
    analyzer_exit_v7(userdata);
}

#ifdef ANALYZER_VCPU_INIT
static void analyzer_vcpu_init_v1(qemu_plugin_id_t id, unsigned int vcpu_index)
{
    (void)id;
    analyzer_vcpu_init(vcpu_index);
}

static void analyzer_vcpu_init_v7(unsigned int vcpu_index, void *userdata)
{
    (void)userdata;
    analyzer_vcpu_init(vcpu_index);
}

static void analyzer_register_vcpu_init(qemu_plugin_id_t id)
{
    if (qemu_plugin_version >= 7) {
        qemu_plugin_register_vcpu_init_cb(id, analyzer_vcpu_init_v7, NULL);
    } else {
        void (*init)(void) = (void (*)(void))analyzer_vcpu_init_v1;

        qemu_plugin_register_vcpu_init_cb(id, (qemu_plugin_vcpu_event_cb_t)init, NULL);
    }
}
#endif

static void analyzer_register(qemu_plugin_id_t id)
{
    if (qemu_plugin_version >= 7) {
        qemu_plugin_register_vcpu_tb_trans_cb(id, analyzer_translate_v7, NULL);
        qemu_plugin_register_atexit_cb(id, analyzer_exit_v7, NULL);
    } else {
        /* through void (*)(void), which can hold any function */
        void (*translate)(void) = (void (*)(void))analyzer_translate_v1;
        void (*end)(void) = (void (*)(void))analyzer_exit_v1;

        qemu_plugin_register_vcpu_tb_trans_cb(id, (qemu_plugin_vcpu_tb_trans_cb_t)translate,
                                              NULL);
        qemu_plugin_register_atexit_cb(id, (qemu_plugin_udata_cb_t)end, NULL);
    }
#ifdef ANALYZER_VCPU_INIT
    analyzer_register_vcpu_init(id);
#endif
}

#endif
