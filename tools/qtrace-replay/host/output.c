/*
 * output.c - what plugins print goes to one place, unchanged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static char buffer[256 * 1024];
static size_t fill;
static int fd = STDOUT_FILENO;
static int failure; /* errno of the first error; nothing is written after it */
static bool unbuffered;

int host_output_open(const char *path)
{
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return fd < 0 ? errno : 0;
}

static void put(const char *data, size_t size)
{
    while (size > 0 && failure == 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            failure = errno;
        } else if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
}

int host_output_flush(void)
{
    put(buffer, fill);
    fill = 0;
    return failure;
}

int host_output_failure(void)
{
    return failure;
}

static void on_crash(int signal)
{
    host_output_flush();
    raise(signal); /* its action is the default one again */
}

/* QEMU writes each text at once: nothing that a plugin printed before it crashed must be lost. */
void host_output_survive(void)
{
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };

    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

/* For text that comes after the last flush, from destructors. */
void host_output_unbuffered(void)
{
    unbuffered = true;
}

void qemu_plugin_outs(const char *string)
{
    const char *text = string != NULL ? string : "(null)";
    size_t size = strlen(text);

    if (size > sizeof(buffer) - fill) {
        host_output_flush();
    }
    if (size > sizeof(buffer)) {
        put(text, size);
        return;
    }
    memcpy(buffer + fill, text, size);
    fill += size;
    if (unbuffered) {
        host_output_flush();
    }
}
