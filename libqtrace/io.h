/*
 * io.h - reads and writes that finish, with error reports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_IO_H
#define QT_IO_H

#include "qtrace/error.h"

/* Read size bytes at offset. QTRACE_E_TRUNCATED: the file ends before. */
int qt_io_pread(int fd, void *data, size_t size, uint64_t offset, struct qtrace_error *err);

/* Write size bytes at offset. */
int qt_io_pwrite(int fd, const void *data, size_t size, uint64_t offset,
                 struct qtrace_error *err);

/* A file whose end may lie in another one. */
struct qt_source {
    int fd;
    int tail;       /* -1 = none */
    uint64_t split; /* from this offset on it is read from there, at the same offset */
};

/* As qt_io_pread. */
int qt_source_read(const struct qt_source *source, void *data, size_t size, uint64_t offset,
                   struct qtrace_error *err);

/* A new file without a name, in TMPDIR. -1: *err says why. */
int qt_io_unnamed(struct qtrace_error *err);

/* See that so many bytes at offset can be written later: on file systems that can (the size of the
 * file stays), and within the process's limit of file sizes. Fails if they can not. */
int qt_io_reserve(int fd, uint64_t offset, uint64_t size, struct qtrace_error *err);

/* Write over what the file has already, where qt_io_pwrite must not: a limit of file sizes that is
 * smaller than the file forbids that, too. */
int qt_io_overwrite(int fd, const void *data, size_t size, uint64_t offset,
                    struct qtrace_error *err);

/* Cut the file at size, and give back what was reserved behind. */
int qt_io_cut(int fd, uint64_t size, struct qtrace_error *err);

/* Copy what is left of fd into a new unnamed file. *out is the caller's to close. */
int qt_io_spool(int fd, int *out, struct qtrace_error *err);

/* Turn an errno value into a report: "what: strerror". */
int qt_io_error(struct qtrace_error *err, int number, uint64_t offset, const char *what);

#endif
