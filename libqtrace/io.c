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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
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

int qt_io_reserve(int fd, uint64_t offset, uint64_t size, struct qtrace_error *err)
{
    struct rlimit limit;
    int ret;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        offset + size > limit.rlim_cur) {
        return qt_io_error(err, EFBIG, offset, "cannot write");
    }
    do {
        ret = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0 && (errno == ENOSPC || errno == EDQUOT)) {
        return qt_io_error(err, errno, offset, "cannot write");
    }
    return QTRACE_OK; /* any other error: it may work nevertheless */
}

/* By way of a mapping, and of the kernel, which returns an error where a plain store to a file that
 * somebody else cuts would kill the process. */
int qt_io_overwrite(int fd, const void *data, size_t size, uint64_t offset,
                    struct qtrace_error *err)
{
    const uint64_t first = offset & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
    const size_t length = (size_t)(offset - first) + size;
    struct stat st;
    ssize_t n = -1;

    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < offset + size) {
        return qt_io_error(err, EFBIG, offset, "cannot write");
    }
    uint8_t *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)first);
    if (map != MAP_FAILED) {
        const struct iovec from = {(void *)data, size}, to = {map + (offset - first), size};
        n = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
        munmap(map, length);
    }
    return n == (ssize_t)size ? QTRACE_OK : qt_io_error(err, errno, offset, "cannot write");
}

int qt_io_cut(int fd, uint64_t size, struct qtrace_error *err)
{
    /* (it costs little to try again, and much if what is behind the end stays) */
    for (int i = 0; i < 3; i++) {
        if (ftruncate(fd, (off_t)size) == 0) {
            return QTRACE_OK;
        }
    }
    return qt_io_error(err, errno, size, "cannot cut");
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
