/*
 * fork.c - the guest forks
 *
 * QEMU forks with fork(3) whatever the guest's call was, and the child goes on where the guest
 * does, with our memory and without our thread. Either it is left alone, or it records on into a
 * file of its own. See qt_recorder_before_fork.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "plugin.h"

static void before_fork(void)
{
    qt_recorder_before_fork(qt_plugin.recorder);
}

static void after_fork(void)
{
    qt_recorder_after_fork(qt_plugin.recorder);
}

static void follow(void)
{
    const struct qt_options *o = &qt_plugin.options;
    bool has_pid;
    char *file = qt_options_path(o, &has_pid);
    struct qtrace_error err = {0};
    char text[512];
    qt_facts_forked(&qt_plugin.run, qt_recorder_path(qt_plugin.recorder));
    if (qt_recorder_follow(qt_plugin.recorder, file, has_pid, &qt_plugin.run, &err) != QTRACE_OK) {
        snprintf(text, sizeof(text), "qtrace: process %d is not recorded: %s\n", (int)getpid(),
                 err.message);
        qt_say(text);
    }
    qt_plugin.n_open = 1;
}

static void in_child(void)
{
    if (qt_plugin.options.follow) {
        follow();
    } else {
        qt_recorder_abandon(qt_plugin.recorder);
    }
}

void qt_fork_register(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}
