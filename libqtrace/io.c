/*
 * io.c - reads and writes that finish, with error reports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int qt_io_error(struct qtrace_error *err, int number, uint64_t offset, const char *what)
{
    int code = number == ENOMEM ? QTRACE_E_NOMEM : QTRACE_E_IO;

    return qtrace_error_set(err, code, offset, "%s: %s", what, strerror(number));
}

int qt_io_pread(int fd, void *data, size_t size, uint64_t offset, struct qtrace_error *err)
{
    uint8_t *p = data;
    ssize_t n;

    while (size > 0) {
        n = pread(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return qt_io_error(err, errno, offset, "cannot read");
        }
        if (n == 0) {
            return qtrace_error_set(err, QTRACE_E_TRUNCATED, offset,
                                    "the file ends at offset %" PRIu64, offset);
        }
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return QTRACE_OK;
}

int qt_source_read(const struct qt_source *source, void *data, size_t size, uint64_t offset,
                   struct qtrace_error *err)
{
    uint64_t before = 0;
    int ret = QTRACE_OK;

    if (source->tail < 0 || offset < source->split) {
        before = source->tail >= 0 && size > source->split - offset ? source->split - offset : size;
        ret = qt_io_pread(source->fd, data, (size_t)before, offset, err);
    }
    return ret < 0 || before == size
               ? ret
               : qt_io_pread(source->tail, (uint8_t *)data + before, size - (size_t)before,
                             offset + before, err);
}

int qt_io_pwrite(int fd, const void *data, size_t size, uint64_t offset,
                 struct qtrace_error *err)
{
    const uint8_t *p = data;
    ssize_t n;

    while (size > 0) {
        n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return qt_io_error(err, errno, offset, "cannot write");
        }
        if (n == 0) {
            return qt_io_error(err, ENOSPC, offset, "cannot write");
        }
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return QTRACE_OK;
}

int qt_io_unnamed(struct qtrace_error *err)
{
    const char *dir = getenv("TMPDIR");
    char path[4096];
    int fd;

    if (dir == NULL || *dir == '\0') {
        dir = "/tmp";
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/qtrace-XXXXXX", dir) >= sizeof(path)) {
        qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX, "TMPDIR is too long");
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        qt_io_error(err, errno, UINT64_MAX, "cannot create a temporary file");
        return -1;
    }
    unlink(path);
    return fd;
}

static int copy_all(int from, int to, uint8_t *buffer, size_t size, struct qtrace_error *err)
{
    uint64_t offset = 0;
    ssize_t n;
    int ret;

    for (;;) {
        n = read(from, buffer, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return qt_io_error(err, errno, offset, "cannot read");
        }
        if (n == 0) {
            return QTRACE_OK;
        }
        ret = qt_io_pwrite(to, buffer, (size_t)n, offset, err);
        if (ret < 0) {
            return ret;
        }
        offset += (uint64_t)n;
    }
}

int qt_io_spool(int fd, int *out, struct qtrace_error *err)
{
    const size_t size = 256 * 1024;
    uint8_t *buffer = malloc(size);
    int to, ret;

    *out = -1;
    if (buffer == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    to = qt_io_unnamed(err);
    if (to < 0) {
        free(buffer);
        return QTRACE_E_IO;
    }
    ret = copy_all(fd, to, buffer, size, err);
    free(buffer);
    if (ret < 0) {
        close(to);
        return ret;
    }
    *out = to;
    return QTRACE_OK;
}
