/*
 * install.c - QEMU loads us
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "callbacks.h"
#include "guest-path.h"

struct qt_plugin qt_plugin;

/* A program that the guest executes may be run by a QEMU with its own QEMU_PLUGIN, and so by a
 * recorder with the same options. It shall neither fail nor harm the trace that is there. */
static bool is_inherited(void)
{
    Dl_info self;
    if (qt_plugin.system || !dladdr(&qt_plugin, &self)) {
        return false;
    }
    const char *slash = strrchr(self.dli_fname, '/');
    return !qt_command_has_plugin(qt_plugin.run.command_line, qt_plugin.run.n_command_line,
                                  slash ? slash + 1 : self.dli_fname);
}

static bool start(const struct qt_options *options)
{
    bool has_pid;
    struct qt_recorder_options recorder = {
        .path = qt_options_path(options, &has_pid),
        .another = is_inherited(),
        .follow = options->follow,
        .writer = {.struct_size = sizeof(recorder.writer),
                   .level = options->level,
                   .overwrite = options->overwrite,
                   .producer = "qtrace " QTRACE_VERSION},
        .ring_bytes = options->ring,
        .rings_bytes = options->rings,
        .user = !qt_plugin.system,
        .more = (options->values ? QT_MORE_VALUES : 0) | (options->phys ? QT_MORE_PHYS : 0),
        .drop = options->drop,
        .wait_ms = options->wait_ms,
        .flush_ms = options->flush_ms,
        .slots = qt_vcpus,
        .slots_size = sizeof(qt_vcpus),
        .slot_size = sizeof(qt_vcpus[0]),
        .disas = qt_plugin.options.disas ? qt_disas_later : NULL,
    };
    struct qtrace_error err = {0};
    if (qt_recorder_start(&qt_plugin.recorder, &recorder, &err) != QTRACE_OK) {
        fprintf(stderr, "qtrace: %s: %s\n", recorder.path, err.message);
        return false;
    }
    const struct qtrace_error *live = qt_recorder_live_error(qt_plugin.recorder);
    if (options->verbose && live->code != QTRACE_OK) {
        fprintf(stderr, "qtrace: %s; if QEMU is killed, the trace has what was written by then\n",
                live->message);
    }
    return true;
}

static bool values_are_possible(const struct qt_options *options)
{
    if (options->values && !options->mem) {
        fprintf(stderr, "qtrace: values=on needs mem=on\n");
        return false;
    }
    if (options->values && !qemu_plugin_mem_get_value) {
        fprintf(stderr, "qtrace: values=on needs a QEMU that tells plugins the values of accesses: "
                        "9.2 or later (plugin API 4); this one speaks %d\n", qt_plugin.api);
        return false;
    }
    return true;
}

static bool settle_phys(struct qt_options *options)
{
    if (options->phys_auto) {
        options->phys = qt_plugin.system && options->mem;
    }
    if (options->phys && !qt_plugin.system) {
        fprintf(stderr, "qtrace: phys=on needs a whole machine (qemu-system-...): a program in "
                        "user mode has no physical addresses\n");
        return false;
    }
    if (options->phys && !options->mem) {
        fprintf(stderr, "qtrace: phys=on needs mem=on\n");
        return false;
    }
    return true;
}

static bool following_is_possible(const struct qt_options *options)
{
    if (options->follow && qt_plugin.system) {
        fprintf(stderr, "qtrace: follow=fork is for user mode; a machine does not fork\n");
        return false;
    }
    return true;
}

static bool is_before_8_2(const char *version)
{
    int major, minor;
    return version && sscanf(version, "%d.%d", &major, &minor) == 2 &&
           (major < 8 || (major == 8 && minor < 2));
}

static void choose_callbacks(void)
{
    const bool more = qt_plugin.options.values || qt_plugin.options.phys;
    qt_plugin.on_access = qt_choose_access(more);
    qt_plugin.on_access_careful = more ? qt_on_access_more_careful : qt_on_access_careful;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (qt_plugin.recorder) {
        fprintf(stderr, "qtrace: loaded twice; one recorder in a process is enough\n");
        return 1;
    }
    if (!qt_options_parse(&qt_plugin.options, argc, argv)) {
        return 1;
    }
    qt_plugin.api = info->version.cur;
    qt_plugin.system = info->system_emulation;
    qt_plugin.careful = info->system_emulation;
    qt_plugin.callbacks_per_insn =
        qt_plugin.api < 2 && info->system_emulation && info->system.max_vcpus > 1;
    if (!values_are_possible(&qt_plugin.options) || !settle_phys(&qt_plugin.options) ||
        !following_is_possible(&qt_plugin.options)) {
        return 1;
    }
    choose_callbacks();
    qt_facts_install(&qt_plugin.run, info);
    qt_plugin.null_sections = qt_plugin.options.phys && is_before_8_2(qt_plugin.run.qemu_version);
    qt_leave_init(info->target_name, qt_plugin.system);
    if (qt_plugin.options.disas) {
        qt_disas_init(info->target_name, qt_plugin.system);
    }
    if (!start(&qt_plugin.options)) {
        return 1;
    }
    if (qt_plugin.api >= 2) {
        /* a cache line for each vCPU */
        qt_plugin.progress = qemu_plugin_scoreboard_new(64);
    }
    qt_lifecycle_register(id);
    return 0;
}
