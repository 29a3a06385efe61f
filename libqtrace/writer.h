/*
 * writer.h - what the recorder asks of a writer beyond qtrace/writer.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_WRITER_H
#define QT_WRITER_H

#include "encoder.h"
#include "qtrace/writer.h"

/* Lengths of the translations defined so far. They live as long as the writer. */
const struct qt_lengths *qt_writer_lengths(const struct qtrace_writer *writer);

/* Write the frame that an encoder has ended. head: stream, vcpu and the first ordinals. What
 * qtrace_writer_batch says of ordinals and errors holds here, too. */
int qt_writer_frame(struct qtrace_writer *writer, const struct qt_encoder *encoder,
                    const struct qtrace_frame_info *head,
                    struct qtrace_error *err) QTRACE_MUST_USE;

#endif
