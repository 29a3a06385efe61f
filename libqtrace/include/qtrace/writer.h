/*
 * qtrace/writer.h - make a trace
 *
 * Works without QEMU. A writer is used by one thread at a time. Translations are defined
 * before the first batch that speaks of them; batches of a stream come in order and without
 * gaps but for counted losses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_WRITER_H
#define QTRACE_WRITER_H

#include "error.h"
#include "event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qtrace_writer;

struct qtrace_writer_options {
    size_t struct_size;   /* sizeof(struct qtrace_writer_options) */
    unsigned level;       /* 0 = rows stored, 1..2 = LZ4, 3..12 = LZ4 HC */
    bool overwrite;       /* replace an existing file instead of refusing it */
    const char *producer; /* NULL = this library */
};

QTRACE_API int qtrace_writer_open(struct qtrace_writer **out, const char *path,
                                  const struct qtrace_writer_options *options,
                                  struct qtrace_error *err) QTRACE_MUST_USE;

/* The facts of the run, once, before the first definition. Copied. */
QTRACE_API int qtrace_writer_run(struct qtrace_writer *writer, const struct qtrace_run *run,
                                 struct qtrace_error *err) QTRACE_MUST_USE;

/* Define the next translation; its id must be the number of those before it. Copied; written
 * with the next batch. */
QTRACE_API int qtrace_writer_define(struct qtrace_writer *writer,
                                    const struct qtrace_translation *translation,
                                    struct qtrace_error *err) QTRACE_MUST_USE;

/* Write a batch as one frame. Ordinals in the batch are the caller's: first_* is what came
 * before in the stream, losses included; a QTRACE_EVENT_LOST is the first event of its batch
 * and its counts lie before the batch's ordinals. After an error of the file or of memory the
 * rows count as lost, and so do those of all later batches: the end of the trace says so. */
QTRACE_API int qtrace_writer_batch(struct qtrace_writer *writer,
                                   const struct qtrace_batch *batch,
                                   struct qtrace_error *err) QTRACE_MUST_USE;

/* Write the trailer and close the file, also after an error. Sets *writer to NULL.
 * reason: "exit", or why recording stopped; time as in struct qtrace_event. */
QTRACE_API int qtrace_writer_close(struct qtrace_writer **writer, const char *reason,
                                   uint64_t time, struct qtrace_error *err) QTRACE_MUST_USE;

/* Bytes written so far. */
QTRACE_API uint64_t qtrace_writer_size(const struct qtrace_writer *writer);

/* Give the trace at path the end that its recorder did not come to write: what is cut off goes,
 * definitions, totals and index follow, after all that the recorder had recorded if its file
 * PATH.live is there, which is removed then. The trace stays incomplete (it ends before its run
 * did), but is whole in itself. QTRACE_END: it has an end, nothing was changed.
 * QTRACE_E_INVALID: its recorder is still at work. */
QTRACE_API int qtrace_recover(const char *path, struct qtrace_error *err) QTRACE_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
