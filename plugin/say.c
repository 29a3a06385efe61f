/*
 * say.c - what the user is told when QEMU ends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

/* On a thread of the guest's: a closed pipe, or a file that must not grow, is no reason to end with
 * a signal. */
void qt_say(const char *text)
{
    sigset_t signals, before, pending;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    sigaddset(&signals, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    if (write(STDERR_FILENO, text, strlen(text)) < 0 && (errno == EPIPE || errno == EFBIG) &&
        !sigismember(&pending, errno == EPIPE ? SIGPIPE : SIGXFSZ)) {
        sigtimedwait(&signals, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void print_loss(const struct qt_loss *loss, const char *why)
{
    char text[PATH_MAX + 512];
    if (qt_loss_any(loss)) {
        snprintf(text, sizeof(text),
                 "qtrace: %s: lost %" PRIu64 " blocks, %" PRIu64 " instructions, %" PRIu64
                 " accesses, %" PRIu64 " events: %s\n",
                 qt_recorder_path(qt_plugin.recorder), loss->blocks, loss->insns, loss->accesses,
                 loss->events, why);
        qt_say(text);
    }
}

static void print_losses(const struct qt_summary *s)
{
    const struct qt_loss rest = {
        s->lost.blocks - s->overrun.blocks, s->lost.insns - s->overrun.insns,
        s->lost.accesses - s->overrun.accesses, s->lost.events - s->overrun.events};
    char stuck[64];
    snprintf(stuck, sizeof(stuck), "the writer was stuck for longer than wait=%ums",
             qt_plugin.options.wait_ms);
    print_loss(&s->overrun, qt_plugin.options.drop ? "the rings were full (loss=drop)" : stuck);
    print_loss(&rest, s->error.code ? s->error.message : "they made no sense");
}

void qt_say_summary(const struct qt_summary *s)
{
    const char *path = qt_recorder_path(qt_plugin.recorder);
    char text[PATH_MAX + 512];
    if (s->error.code != QTRACE_OK) {
        snprintf(text, sizeof(text), "qtrace: %s: %s\n", path, s->error.message);
        qt_say(text);
    }
    print_losses(s);
    if (s->endless) {
        snprintf(text, sizeof(text), "qtrace: %s: has no end; qtrace-dump --recover writes one\n",
                 path);
        qt_say(text);
    }
    if (qt_plugin.options.verbose) {
        snprintf(text, sizeof(text),
                 "qtrace: %s: %" PRIu64 " blocks, %" PRIu64 " instructions, %" PRIu64
                 " accesses, %" PRIu64 " events in %" PRIu64 " streams, %" PRIu64
                 " translations, %" PRIu64 " bytes; the recorder's thread took %.6f s user, %.6f s"
                 " system\n",
                 path, s->blocks, s->insns, s->accesses, s->events, s->streams,
                 s->translations, s->bytes, s->user_us / 1e6, s->system_us / 1e6);
        qt_say(text);
    }
}
