/*
 * output.c - what plugins print goes to one place, unchanged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
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
