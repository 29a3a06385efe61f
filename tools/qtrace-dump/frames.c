/*
 * frames.c - --frames: where in the file everything is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dump.h"

#include <stdlib.h>
#include <string.h>

static void print_columns(FILE *out, const struct qtrace_frame_info *frame)
{
    for (unsigned i = 0; i < frame->n_columns; i++) {
        const struct qtrace_column_info *c = &frame->column[i];
        fprintf(out,
                "%12" PRIu64 "   column %s rows=%" PRIu64 " encoding=%u codec=%u raw=%" PRIu64
                " stored=%" PRIu64 "\n",
                c->offset, qtrace_column_name(c->id), c->rows, c->encoding, c->codec, c->raw_size,
                c->stored_size);
    }
}

static void print_frame(FILE *out, const struct qtrace_frame_info *f)
{
    fprintf(out, "%12" PRIu64 " Frame size=%" PRIu64, f->offset, f->size);
    if (f->definitions) {
        fprintf(out, " definitions=%" PRIu64 "+%" PRIu64 "%s\n", f->first_translation,
                f->translations, f->copy ? " copy" : "");
    } else if (f->index) {
        fprintf(out, " index of %" PRIu64 " frames\n", f->column[0].rows);
    } else {
        fprintf(out,
                " stream=%u vcpu=%u blocks=%" PRIu64 "+%" PRIu64 " insns=%" PRIu64 "+%" PRIu64
                " accesses=%" PRIu64 "+%" PRIu64 " events=%" PRIu64 "+%" PRIu64 " seq=%" PRIu64
                "..%" PRIu64 " time=%" PRIu64 "..%" PRIu64 "\n",
                f->stream, f->vcpu, f->first_block, f->blocks, f->first_insn, f->insns,
                f->first_access, f->accesses, f->first_event, f->events, f->first_seq,
                f->last_seq, f->first_time, f->last_time);
    }
    print_columns(out, f);
}

/* Between the frames lie other messages. Each is in an LZ4 skippable frame: a magic number, of
 * which the last four bits are free, and the size of what follows. */
enum { SKIPPABLE_HEADER = 8 };

static uint32_t get_le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t skippable_size(FILE *file, uint64_t offset)
{
    unsigned char head[SKIPPABLE_HEADER];

    if (fseeko(file, (off_t)offset, SEEK_SET) != 0 ||
        fread(head, 1, sizeof(head), file) != sizeof(head) ||
        (get_le32(head) & ~15u) != 0x184d2a50u) {
        return 0;
    }
    return SKIPPABLE_HEADER + (uint64_t)get_le32(head + 4);
}

/* Print the messages in begin .. end - 1. */
static void print_messages(struct dump *dump, FILE *file, uint64_t begin, uint64_t end)
{
    while (begin < end) {
        struct qtrace_error err = {0};
        const char *type = NULL;
        void *data = NULL;
        size_t bytes = 0;
        uint64_t size = skippable_size(file, begin);

        if (size == 0 || size > end - begin) {
            fprintf(dump->out, "%12" PRIu64 " ? size=%" PRIu64 "\n", begin, end - begin);
            return;
        }
        if (qtrace_reader_extract(dump->reader, begin, &data, &bytes, &type, &err) ==
            QTRACE_OK) {
            fprintf(dump->out, "%12" PRIu64 " %s size=%" PRIu64 "\n", begin, type, size);
        } else {
            fprintf(dump->out, "%12" PRIu64 " - size=%" PRIu64 "\n", begin, size);
        }
        free(data);
        begin += size;
    }
}

void dump_frames(struct dump *dump)
{
    const struct qtrace_reader *reader = dump->reader;
    FILE *file = strcmp(dump->path, "-") == 0 ? NULL : fopen(dump->path, "rb");
    uint64_t done = 0;

    for (size_t i = 0; i < qtrace_reader_n_frames(reader) && !ferror(dump->out); i++) {
        const struct qtrace_frame_info *frame = qtrace_reader_frame(reader, i);
        if (file != NULL) {
            print_messages(dump, file, done, frame->offset);
        }
        print_frame(dump->out, frame);
        done = frame->offset + frame->size;
    }
    if (file != NULL) {
        print_messages(dump, file, done, qtrace_reader_file_size(reader));
        fclose(file);
    }
}
