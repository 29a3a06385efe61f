/*
 * leaver.c - a plugin that leaves QEMU, or ends it, in the middle of a run
 *
 * Arguments: after=N, a block callback of any vCPU; do=WHAT, what the plugin does there:
 *   uninstall  it goes; says so from QEMU's callback, with the number of its block callbacks
 *   reset      the same, but it registers for blocks again, and says how many came after, at the end
 *   exit, _exit, abort
 *              it ends the process, with status 9
 * It looks at accesses, too, so that what QEMU compiles is not the same with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <qemu-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static qemu_plugin_id_t self;
static const char *what = "uninstall";
static uint64_t after = 1000, blocks, accesses, before;

static void say(const char *text, uint64_t n)
{
    char line[100];
    int size = snprintf(line, sizeof(line), "leaver: %s %" PRIu64 "\n", text, n);
    if (write(STDERR_FILENO, line, (size_t)size) < 0) {
        abort();
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

static void at_end(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    say("at the end", blocks - before);
}

static void on_leave(qemu_plugin_id_t id)
{
    before = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    say(what, before);
    if (strcmp(what, "reset") == 0) {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        qemu_plugin_register_atexit_cb(id, at_end, NULL);
    }
}

static void leave(void)
{
    if (strcmp(what, "uninstall") == 0) {
        qemu_plugin_uninstall(self, on_leave);
    } else if (strcmp(what, "reset") == 0) {
        qemu_plugin_reset(self, on_leave);
    } else if (strcmp(what, "exit") == 0) {
        say(what, after);
        exit(9);
    } else if (strcmp(what, "_exit") == 0) {
        say(what, after);
        _exit(9);
    } else {
        say(what, after);
        abort();
    }
}

static void on_block(unsigned int vcpu, void *userdata)
{
    (void)vcpu, (void)userdata;
    if (__atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED) == after) {
        leave();
    }
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    (void)vcpu, (void)info, (void)vaddr, (void)userdata;
    __atomic_add_fetch(&accesses, 1, __ATOMIC_RELAXED);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    self = id;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "after=", 6) == 0) {
            after = strtoull(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "do=", 3) == 0) {
            what = strdup(argv[i] + 3);
        } else {
            fprintf(stderr, "leaver: unknown argument %s\n", argv[i]);
            return 1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
