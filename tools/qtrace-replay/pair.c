/*
 * pair.c - two replays that are compared
 *
 * Each trace has a process of its own, as each QEMU would be one, and both have an end of one
 * socket. When either ends, for whatever reason, the other one finds its end closed; when the
 * process that waits for both is killed, they are, too.
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

/* The status that the tool has for how a replay ended. */
static int status_of(pid_t child, const char *trace)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            fail("waitpid");
        }
    }
    if (WIFSIGNALED(status)) {
        host_message("%s: its replay was killed: %s", trace, strsignal(WTERMSIG(status)));
        return EXIT_FAILURE;
    }
    return WEXITSTATUS(status);
}

int pair_fork(const char *spec, char *const trace[2], char **own_spec)
{
    pid_t child[2], parent = getpid();
    int end[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) != 0) {
        fail("socketpair");
    }
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] < 0) {
            fail("fork");
        }
        if (child[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            if (getppid() != parent) {
                exit(EXIT_FAILURE);
            }
            close(end[1 - i]);
            *own_spec = g_strdup_printf("%s,socket=%d,side=%c", spec, end[i], "ab"[i]);
            return i;
        }
    }
    close(end[0]);
    close(end[1]);
    int first = status_of(child[0], trace[0]), second = status_of(child[1], trace[1]);
    exit(MAX(first, second));
}
