/*
 * writer.h - the inside of a writer, and what the recorder asks of it beyond qtrace/writer.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_WRITER_H
#define QT_WRITER_H

#include "contents.h"
#include "definitions.h"
#include "encoder.h"
#include "index.h"
#include "qtrace/writer.h"
#include "tail.h"
#include "trace.pb-c.h"

/* What has been written of a stream. */
struct qt_writer_stream {
    bool used;
    Qtrace__StreamTotals totals;
};

/* A definition frame for the trailer. */
struct qt_kept {
    struct qt_frame frame;
    uint8_t *stored;
    size_t size;
};

struct qtrace_writer {
    int fd;
    unsigned level;
    uint64_t size;  /* of what has been written whole */
    uint64_t nonce;
    uint32_t seq;
    struct qtrace_error error; /* sticky; code 0 = none */
    struct qt_buf header, run; /* messages, for their copies */
    struct qt_buf body, out;   /* scratch */
    struct qt_frame_coder coder;
    struct qt_encoder encoder; /* of batches */
    struct qt_lengths lengths;
    uint64_t n_translations, n_written; /* defined; and in the file */
    struct qt_definitions definitions; /* not yet written */
    struct qt_definitions merged;      /* all of them once more, in few messages */
    struct qt_contents contents;
    struct qt_kept *kept;
    size_t n_kept, cap_kept;
    struct qt_writer_stream *stream;
    size_t n_streams;
    Qtrace__StreamTotals **list; /* scratch for the end */
    size_t cap_list;
    size_t max_streams, n_used;  /* there is memory for so many; and so many there are */
    struct qt_tail tail;
    bool ending;        /* what is written belongs to the trailer */
    bool endless;       /* not even an end could be written */
    struct qt_index index;
    bool unindexed;     /* there was no memory for it */
    uint64_t index_at, run_at; /* of the trailer; 0 = not there */
    uint64_t last_time;        /* of all frames */
    bool salvaged;             /* with all that the recorder had */
    bool recovered;            /* the end is written for a recorder that did not */
};

/* Lengths of the translations defined so far. They live as long as the writer. */
const struct qt_lengths *qt_writer_lengths(const struct qtrace_writer *writer);

/* Write the frame that an encoder has ended. head: stream, vcpu and the first ordinals. What
 * qtrace_writer_batch says of ordinals and errors holds here, too. */
int qt_writer_frame(struct qtrace_writer *writer, const struct qt_encoder *encoder,
                    const struct qtrace_frame_info *head,
                    struct qtrace_error *err) QTRACE_MUST_USE;

/* Write the definitions that wait for the next frame. */
int qt_writer_flush(struct qtrace_writer *writer, struct qtrace_error *err) QTRACE_MUST_USE;

/* The message of a run, appended. QTRACE_E_NOMEM. */
int qt_writer_pack_run(const struct qtrace_run *run, struct qt_buf *message) QTRACE_MUST_USE;

/* Count as lost what could not even be made a frame, at the end of the stream. */
void qt_writer_lose(struct qtrace_writer *writer, uint32_t stream, uint32_t vcpu,
                    const struct qt_loss *lost);

/* Has the writer failed? Then everything that comes is lost. */
static inline bool qt_writer_failed(const struct qtrace_writer *writer)
{
    return writer->error.code != QTRACE_OK;
}

/* qtrace_writer_close in two pieces: between them the totals can be asked for. */
int qt_writer_end(struct qtrace_writer *writer, const char *reason, uint64_t time,
                  struct qtrace_error *err);

/* What has been written of all streams, and what was lost. */
void qt_writer_sum(const struct qtrace_writer *writer, struct qt_loss *written,
                   struct qt_loss *lost);

/* In a forked child: the definitions of its parent's writer, of which the child has a copy, become
 * those of a new one that has its run and nothing else. `from` is left without them. */
int qt_writer_adopt(struct qtrace_writer *writer, struct qtrace_writer *from,
                    struct qtrace_error *err) QTRACE_MUST_USE;

/* For a file that exists (recover.c). */

/* As qtrace_writer_run, of a message. */
int qt_writer_put_run(struct qtrace_writer *writer, const void *message, size_t size,
                      struct qtrace_error *err) QTRACE_MUST_USE;

/* Free it; the file stays as it is. */
void qt_writer_discard(struct qtrace_writer *writer);

/* Note a frame of the file in the index. */
void qt_writer_note(struct qtrace_writer *writer, const struct qt_frame *frame, uint64_t offset,
                    uint64_t size, const struct qt_buf *summary);

/* A definition that is in the file, for the copy in the trailer; ids may be missing between
 * it and the one before. 0 or an error, which is sticky. */
int qt_writer_merge(struct qtrace_writer *writer, const struct qtrace_translation *translation);

/* The totals of a stream that is in the file. NULL: no memory. */
Qtrace__StreamTotals *qt_writer_totals(struct qtrace_writer *writer, uint32_t stream,
                                       uint32_t vcpu);

#endif
