/*
 * scan.h - the inside of a reader: what a walk over the file's envelopes finds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QT_SCAN_H
#define QT_SCAN_H

#include "dictionary.h"
#include "envelope.h"
#include "index.h"
#include "io.h"
#include "trace.pb-c.h"

/* Ordinals, or numbers of rows, of the four kinds. */
struct qt_ordinals {
    uint64_t block, insn, access, event;
};

struct qt_reader_frame {
    struct qt_frame frame;
    uint32_t seq;     /* of its envelope */
    bool bad;         /* its gap has been added */
    bool indexed;     /* known from the index alone: without the sums of its columns */
    uint64_t trouble; /* as in struct qtrace_reader, when it was found */
};

/* Sequence numbers that no good envelope has had. */
struct qt_hole {
    uint64_t first, end;
};

struct qt_reader_stream {
    struct qtrace_stream_info info;
    struct qt_ordinals next; /* that the next frame should begin with */
    uint64_t last_offset;    /* of the last frame */
    bool vcpu_known;
    bool ended; /* its totals have been seen */
    size_t *frame; /* indices of its frames, in order */
    size_t n_frames, cap_frames;
};

struct qtrace_reader {
    struct qt_source file;
    uint64_t size;
    uint64_t nonce;
    uint64_t budget; /* bytes that may still be read in vain */

    /* State of the walk. */
    uint64_t next_seq;     /* above those of all good envelopes */
    uint64_t expected_seq; /* above that of the last one */
    struct qt_hole *hole;  /* ascending */
    size_t n_holes, cap_holes;
    uint64_t good_end; /* of the last message, with its columns, that was right */
    uint64_t resume;   /* where to search: behind the last good message */
    uint64_t trouble;  /* offset of the last damaged region; UINT64_MAX = none */
    bool after_damage; /* the walk has just resumed: a jump of the sequence says nothing */
    bool disorder;     /* messages are not in order */
    bool cut;          /* the file ends within an envelope or its columns */
    bool mark;         /* the end mark has been seen */
    bool indexed;      /* opened by the index: definitions are loaded when they are needed */
    size_t last_index; /* frames before this one are in earlier segments of the index */
    uint64_t last_index_offset;
    bool damaged, lost;

    Qtrace__FileHeader *header; /* NULL = not found, as the two below */
    Qtrace__Run *run_message;
    Qtrace__End *end;
    uint64_t end_offset;
    struct qtrace_run run;

    struct qt_reader_frame *frame;
    size_t n_frames, cap_frames;
    struct qt_reader_stream *stream;
    size_t n_streams, cap_streams;
    struct qtrace_gap *gap;
    size_t n_gaps, cap_gaps;
    struct qt_dictionary dictionary;
    uint64_t n_translations;
    size_t keep; /* bytes of translations; 0 = all that were asked for */
    struct qtrace_error failure; /* the first that a question could not return */

    unsigned select; /* QTRACE_SELECT_* */
    struct qt_frame_coder coder;
    struct qt_buf window;   /* envelope being looked at */
    struct qt_buf search;   /* piece of the file being searched */
    struct qt_buf stored;   /* columns as stored */
    struct qt_buf raw;      /* one column */
    struct qt_buf packed[2]; /* frames being compared */
    struct qt_index_segment *segment;
};

/* Take in what the index says (indexed.c). QTRACE_END: there is no good one; the reader is left
 * in disorder. Other errors are final. */
int qt_open_indexed(struct qtrace_reader *reader, struct qtrace_error *err);

/* Read the header of a frame that only the index has told of. */
int qt_indexed_frame(struct qtrace_reader *reader, struct qt_reader_frame *frame,
                     struct qtrace_error *err);

/* See that a translation is defined, if any of the file's definitions can be read that does.
 * Fails only for want of memory or on I/O errors. */
int qt_indexed_define(struct qtrace_reader *reader, uint32_t id, struct qtrace_error *err);

/* Walk over the whole file. Fails if it is no trace or must be refused. */
int qt_scan(struct qtrace_reader *reader, struct qtrace_error *err);

/* Read and check the envelope at offset; its body is at QT_ENVELOPE_HEAD of reader->window.
 * QTRACE_E_DAMAGED: there is none; QTRACE_E_TRUNCATED: the file ends within it. */
int qt_scan_envelope(struct qtrace_reader *reader, uint64_t offset, bool any_nonce,
                     struct qt_envelope *envelope, struct qtrace_error *err);

/* Take in the message of the envelope in reader->window, which is no frame. QTRACE_E_DAMAGED:
 * it is nonsense. */
int qt_scan_message(struct qtrace_reader *reader, const struct qt_envelope *envelope,
                    uint64_t offset, struct qtrace_error *err);

/* Give a frame at offset and its columns, which begin at *next, their places; *next is then behind
 * them. false: the file ends before they do. */
bool qt_scan_place(const struct qtrace_reader *reader, struct qt_frame *frame, uint64_t offset,
                   uint64_t *next);

/* Take in a frame, for qt_scan_join. */
int qt_scan_frame(struct qtrace_reader *reader, const struct qt_frame *frame,
                  struct qtrace_error *err);

/* After the last frame: put the frames into the order in which they were written and make streams
 * of them; without an index load the definitions. */
int qt_scan_join(struct qtrace_reader *reader, struct qtrace_error *err);

/* After that: compare with the end. 0 or QTRACE_E_NOMEM. */
int qt_scan_finish(struct qtrace_reader *reader);

/* Load the definitions of a frame. */
int qt_scan_definitions(struct qtrace_reader *reader, const struct qt_frame *frame,
                        struct qtrace_error *err);

/* Read the segment of the index that a frame holds into reader->segment. */
int qt_scan_segment(struct qtrace_reader *reader, const struct qt_frame *frame,
                    struct qtrace_error *err);

/* Do two frames say the same in the index? */
bool qt_scan_same(struct qtrace_reader *reader, const struct qt_frame *a,
                  const struct qt_frame *b);

/* Is the checksum of a column that of its bytes as they are stored? */
int qt_scan_stored_sum(const struct qt_frame *frame, unsigned i, const uint8_t *stored,
                       struct qtrace_error *err);

/* Read a column as it is stored into reader->stored, and check its sum. */
int qt_scan_stored(struct qtrace_reader *reader, const struct qt_frame *frame, unsigned i,
                   struct qtrace_error *err);

/* Read a column into reader->raw. */
int qt_scan_column(struct qtrace_reader *reader, const struct qt_frame *frame, unsigned i,
                   struct qtrace_error *err);

/* Read a frame's rows (reader.c). Uses the file, the lengths and the selection of the reader, its
 * coder and reader->stored. */
int qt_reader_decode(struct qtrace_reader *reader, const struct qt_frame *frame,
                     struct qtrace_batch **batch, struct qtrace_error *err);

/* Add a gap of a frame, or without a frame (NULL) one of unknown extent. 0 or
 * QTRACE_E_NOMEM. */
int qt_scan_damage(struct qtrace_reader *reader, uint64_t offset, const struct qt_frame *frame,
                   const char *message);

#endif
