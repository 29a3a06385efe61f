/*
 * model.h - what an undamaged trace says, and whether a damaged one still says it
 *
 * The model knows a file as a sequence of *pieces*, each an envelope with whatever follows it up
 * to the next, so it need not know what kinds of messages there are. What may be missing from a
 * damaged file is only what stood in the pieces that the damage touched.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MODEL_H
#define MODEL_H

#include "qtrace/reader.h"

struct model_piece {
    size_t offset, size;
    unsigned type; /* of the envelope */
};

struct model {
    struct model_piece *piece;
    size_t n_pieces;
    uint64_t nonce;

    /* The rest is private. */
    struct model_frame *frame; /* by stream and ordinals */
    size_t n_frames, n_definition_frames;
    struct model_definitions *definitions; /* frames of them */
    uint64_t *translation;                 /* hash by id */
    size_t n_translations;
    struct qtrace_stream_info *stream;
    size_t n_streams;
    struct qtrace_gap *lost; /* what the recorder counted */
    size_t n_lost;
    uint64_t run; /* hash */
    int status;
};

/* What can be wrong with a reading of a damaged file. */
enum {
    MODEL_UNDETECTED = 1, /* the status is that of an undamaged file */
    MODEL_WRONG = 2,      /* events, definitions or facts that the trace never had */
    MODEL_LOST = 4,       /* a frame is missing that the damage did not touch */
    MODEL_SILENT = 8,     /* the gaps do not say exactly what is missing */
    MODEL_DEFINITION = 16,/* the same as LOST for definitions and for the facts of the run */
    MODEL_REFUSED = 32,   /* the file does not even open */
    MODEL_FAULTS = 6
};

struct verdict {
    unsigned faults;
    char why[300]; /* of the last fault */
    unsigned frames, definitions; /* that are missing */
};

/* Learn what the undamaged trace says. bytes is the same file. 0 or -1, with a message on
 * standard error. */
int model_init(struct model *model, const char *path, const uint8_t *bytes, size_t size);
void model_finish(struct model *model);

/* Read the file at path, a damaged version of the trace. touched: by piece, was it damaged?
 * changed: is it different from the trace at all? */
void model_judge(const struct model *model, const char *path, const bool *touched, bool changed,
                 struct verdict *verdict);

#endif
