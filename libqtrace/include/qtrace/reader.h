/*
 * qtrace/reader.h - open a trace, look at it, read its frames
 *
 * A reader reads what is there: a trace that is incomplete or damaged opens, and what is
 * missing is listed as gaps. Only a file that is no trace at all, or one that needs what
 * this reader does not know, is refused. A reader may be used by one thread at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_READER_H
#define QTRACE_READER_H

#include "counts.h"
#include "error.h"
#include "event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qtrace_reader;

/* Columns of an event frame; see FORMAT.md. */
enum qtrace_column_id {
    QTRACE_COLUMN_BLOCK = 1,
    QTRACE_COLUMN_STARTED = 2,
    QTRACE_COLUMN_ACCESS_SHAPE = 3,
    QTRACE_COLUMN_ACCESS_ADDRESS = 4,
    QTRACE_COLUMN_ACCESS_LITERAL = 5,
    QTRACE_COLUMN_EVENT = 6,
    QTRACE_COLUMN_SUMMARY = 7,
    QTRACE_COLUMN_VALUE = 8,
    QTRACE_COLUMN_VALUE_LITERAL = 9,
    QTRACE_COLUMN_PHYS = 10,
    QTRACE_COLUMN_DEVICE = 11,
    QTRACE_COLUMN_DEFINITIONS = 16,
    QTRACE_COLUMN_INDEX = 17,
};

/* "block", "started", ...; "?" for an unknown id. */
QTRACE_API const char *qtrace_column_name(unsigned id);

/* A stretch of a stream that the file does not have. */
struct qtrace_gap {
    uint64_t offset; /* where in the file the trouble is */
    uint32_t stream; /* UINT32_MAX = unknown */
    bool lost;       /* true: the recorder counted a loss; false: the file is damaged or cut */
    bool to_end;     /* the stream's true end is unknown; the counts are 0 */
    uint64_t first_block, blocks;
    uint64_t first_insn, insns;
    uint64_t first_access, accesses;
    uint64_t first_event, events;
    char message[160]; /* what is wrong, one line */
};

struct qtrace_column_info {
    unsigned id, encoding, codec;
    uint64_t rows, raw_size, stored_size;
    uint64_t offset; /* of the stored bytes */
};

#define QTRACE_FRAME_COLUMNS 16

struct qtrace_frame_info {
    uint64_t offset; /* of the frame's header in the file */
    uint64_t size;   /* header and columns */
    bool of_stream;         /* it has rows of a stream; else one of the next two */
    bool definitions, index;
    bool copy;              /* of definitions, in the trailer */
    uint32_t stream, vcpu;
    uint64_t first_block, blocks, first_insn, insns, first_access, accesses;
    uint64_t first_event, events, syscalls;
    uint64_t lost_blocks, lost_insns, lost_accesses, lost_events; /* just before it */
    uint64_t first_seq, last_seq, first_time, last_time;
    uint64_t first_translation, translations;
    unsigned n_columns;
    struct qtrace_column_info column[QTRACE_FRAME_COLUMNS];
};

struct qtrace_stream_info {
    uint32_t stream, vcpu;
    uint64_t blocks, insns, accesses, events, syscalls; /* recorded; the lost ones excluded */
    uint64_t lost_blocks, lost_insns, lost_accesses, lost_events; /* counted by the recorder */
};

/* State of the file as far as it has been read. */
struct qtrace_health {
    bool complete;      /* it has an end: the recorder closed it */
    bool damaged;       /* bytes do not match their checksums, or frames are missing */
    bool lost;          /* the recorder counted a loss */
    const char *reason; /* of the end; NULL without one */
    uint64_t end_time;  /* nanoseconds since the start of the recording */
    bool salvaged;      /* not complete, but all that a killed recorder had recorded is there */
};

/* Open the trace at path ("-" = standard input, which is read to its end first) and scan its
 * frame headers. If a recorder that was killed has left the file PATH.live, what that has more than
 * the trace is read as well, as qtrace_recover would write it. On success *out is the caller's to close; on failure it is NULL. */
QTRACE_API int qtrace_reader_open(struct qtrace_reader **out, const char *path,
                                  struct qtrace_error *err) QTRACE_MUST_USE;
/* The same through the index in the file: what is not looked at is not read. Damage shows only
 * where it is met. A trace without a good index is scanned. */
QTRACE_API int qtrace_reader_open_indexed(struct qtrace_reader **out, const char *path,
                                          struct qtrace_error *err) QTRACE_MUST_USE;
/* Was it opened through the index? */
QTRACE_API bool qtrace_reader_is_indexed(const struct qtrace_reader *reader);
/* Sets *reader to NULL; NULL and pointer to NULL are accepted. */
QTRACE_API void qtrace_reader_close(struct qtrace_reader **reader);

/* All of these are borrowed and live until the reader is closed. */
QTRACE_API const struct qtrace_run *qtrace_reader_run(const struct qtrace_reader *reader);
QTRACE_API const char *qtrace_reader_producer(const struct qtrace_reader *reader);
QTRACE_API unsigned qtrace_reader_version(const struct qtrace_reader *reader);
QTRACE_API uint64_t qtrace_reader_file_size(const struct qtrace_reader *reader);
QTRACE_API struct qtrace_health qtrace_reader_health(const struct qtrace_reader *reader);

/* Exit status of the tools for what is known so far: 0 whole, 3 incomplete, 4 damaged,
 * 5 events lost; the largest applies. */
QTRACE_API int qtrace_reader_status(const struct qtrace_reader *reader);

/* Gaps found so far; reading may add some. A pointer lives until the next read. */
QTRACE_API size_t qtrace_reader_n_gaps(const struct qtrace_reader *reader);
QTRACE_API const struct qtrace_gap *qtrace_reader_gap(const struct qtrace_reader *reader,
                                                      size_t i);

/* Streams are numbered from 0 in the order in which they began. */
QTRACE_API size_t qtrace_reader_n_streams(const struct qtrace_reader *reader);
QTRACE_API const struct qtrace_stream_info *
qtrace_reader_stream(const struct qtrace_reader *reader, size_t i);

QTRACE_API size_t qtrace_reader_n_frames(const struct qtrace_reader *reader);
QTRACE_API const struct qtrace_frame_info *
qtrace_reader_frame(const struct qtrace_reader *reader, size_t i);

/* Ids are 0 .. n - 1. NULL = its definition is lost, or it could not be read now: see
 * qtrace_reader_failure. Translations live until the reader is closed, unless
 * qtrace_reader_keep says otherwise. */
QTRACE_API size_t qtrace_reader_n_translations(const struct qtrace_reader *reader);
QTRACE_API const struct qtrace_translation *
qtrace_reader_translation(struct qtrace_reader *reader, uint32_t id);

/* Keep about so many bytes of translations in memory, and read the others again when they are
 * asked for. A translation then lives until the next call of qtrace_reader_translation only. */
QTRACE_API void qtrace_reader_keep(struct qtrace_reader *reader, size_t bytes);

/* 0, or the first error (memory, I/O) for which a translation could not be had. */
QTRACE_API int qtrace_reader_failure(const struct qtrace_reader *reader,
                                     struct qtrace_error *err);

/* Ordinals that qtrace_reader_find understands. */
enum qtrace_ordinal { QTRACE_BY_BLOCK, QTRACE_BY_INSN, QTRACE_BY_ACCESS, QTRACE_BY_TIME };

/* The frame of a stream that holds an ordinal, or, if that is missing, the next one that
 * exists. QTRACE_END: there is none. */
QTRACE_API int qtrace_reader_find(const struct qtrace_reader *reader, uint32_t stream,
                                  enum qtrace_ordinal by, uint64_t ordinal, size_t *frame);

/* What qtrace_reader_read reads of a frame: only the columns that are needed for it are read
 * and decompressed. The rows of a batch that were not selected are not there: their counts are
 * 0, vaddr is NULL without addresses, and so are value and phys unless they are selected.
 * Everything, unless told otherwise. */
enum qtrace_select {
    QTRACE_SELECT_BLOCKS = 1,
    QTRACE_SELECT_ACCESSES = 2 | QTRACE_SELECT_BLOCKS, /* instruction and flags */
    QTRACE_SELECT_ADDRESSES = 4 | QTRACE_SELECT_ACCESSES,
    QTRACE_SELECT_EVENTS = 8,
    QTRACE_SELECT_VALUES = 16 | QTRACE_SELECT_ADDRESSES, /* as far as they were recorded */
    QTRACE_SELECT_PHYS = 32 | QTRACE_SELECT_ADDRESSES,   /* likewise */
    QTRACE_SELECT_ALL = 63,
    /* Check the sums of the other columns all the same: then the frames that can be read do not
     * depend on what is selected. */
    QTRACE_SELECT_CHECK = 0x80,
};
QTRACE_API void qtrace_reader_select(struct qtrace_reader *reader, unsigned select);

/* Read and check frame i, which must be one of events. *batch is the caller's, to be
 * released with qtrace_batch_free. On QTRACE_E_DAMAGED a gap has been added. */
QTRACE_API int qtrace_reader_read(struct qtrace_reader *reader, size_t i,
                                  struct qtrace_batch **batch,
                                  struct qtrace_error *err) QTRACE_MUST_USE;
QTRACE_API void qtrace_batch_free(struct qtrace_batch **batch);

/* Word 0, 1, ... of the value of an access row: its bytes 0 .. 7, 8 .. 15, ... from the lowest on.
 * false: there is no such word, or the batch has no values. */
QTRACE_API bool qtrace_batch_value(const struct qtrace_batch *batch, uint32_t row,
                                   unsigned word, uint64_t *value);

/* Add to counts those of the frames first .. first + n - 1 (frames without events count
 * nothing). Their summaries are read, as far as the trace has them, and not their rows. On
 * QTRACE_E_DAMAGED a gap has been added, and the counts are incomplete. */
QTRACE_API int qtrace_reader_count(struct qtrace_reader *reader, size_t first, size_t n,
                                   struct qtrace_counts *counts,
                                   struct qtrace_error *err) QTRACE_MUST_USE;

/* Read the message whose envelope is at offset (or the uncompressed column whose stored bytes
 * are at offset) into *data, to be freed with free(); *type names it: "FileHeader", "Run",
 * "Frame", "End", or for columns "Definitions" or the name of the column. */
QTRACE_API int qtrace_reader_extract(struct qtrace_reader *reader, uint64_t offset,
                                     void **data, size_t *size, const char **type,
                                     struct qtrace_error *err) QTRACE_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
