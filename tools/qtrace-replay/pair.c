/*
 * pair.c - two replays that are compared
 *
 * Each trace has a process of its own, as each QEMU would be one, and both have an end of one
 * socket. When either ends, for whatever reason, the other one finds its end closed; when the
 * process that waits for both ends, so do they.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host/host.h"
#include "pair.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

bool pair_is_meant(const char *spec)
{
    int argc;
    char **argv;
    char *name = host_parse_spec(spec, &argc, &argv);
    bool meant = strcmp(name, "lockstep") == 0;

    g_strfreev(argv);
    g_free(name);
    return meant;
}

static void G_GNUC_NORETURN fail(const char *what)
{
    host_message("%s: %s", what, g_strerror(errno));
    exit(EXIT_FAILURE);
}

/* SIGCHLD, and what ends a process unless it is ignored. */
static void fill_set(sigset_t *set)
{
    static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    struct sigaction action;

    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(set, ends[i]);
        }
    }
}

/* What a replay's end means for the status of the tool. */
static int status_of(int status, const char *trace)
{
    if (WIFSIGNALED(status)) {
        host_message("%s: its replay was killed: %s", trace, strsignal(WTERMSIG(status)));
        return EXIT_FAILURE;
    }
    return WEXITSTATUS(status);
}

/* The tool was told to end: so are both replays. */
static void G_GNUC_NORETURN stop(const pid_t child[2], int sig, const sigset_t *before)
{
    for (int i = 0; i < 2; i++) {
        if (child[i] > 0) {
            kill(child[i], SIGKILL);
            waitpid(child[i], NULL, 0);
        }
    }
    raise(sig);
    sigprocmask(SIG_SETMASK, before, NULL);
    exit(EXIT_FAILURE);
}

/* The signals of set are blocked. */
static int wait_for(pid_t child[2], char *const trace[2], const sigset_t *set,
                    const sigset_t *before)
{
    int result = 0, status;

    while (child[0] > 0 || child[1] > 0) {
        int sig = sigwaitinfo(set, NULL);

        if (sig > 0 && sig != SIGCHLD) {
            stop(child, sig, before);
        }
        for (int i = 0; i < 2; i++) {
            if (child[i] > 0 && waitpid(child[i], &status, WNOHANG) == child[i]) {
                child[i] = 0;
                status = status_of(status, trace[i]);
                result = MAX(result, status);
            }
        }
    }
    return result;
}

static void begin_child(pid_t parent, const sigset_t *before)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* the parent may be killed without being asked */
    if (getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    sigprocmask(SIG_SETMASK, before, NULL);
}

int pair_fork(const char *spec, char *const trace[2], char **own_spec)
{
    pid_t child[2], parent = getpid();
    sigset_t set, before;
    int end[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) != 0) {
        fail("socketpair");
    }
    signal(SIGCHLD, SIG_DFL);
    fill_set(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] < 0) {
            fail("fork");
        }
        if (child[i] == 0) {
            begin_child(parent, &before);
            close(end[1 - i]);
            *own_spec = g_strdup_printf("%s,socket=%d,side=%c", spec, end[i], "ab"[i]);
            return i;
        }
    }
    close(end[0]);
    close(end[1]);
    exit(wait_for(child, trace, &set, &before));
}
