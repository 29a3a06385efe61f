/*
 * damage.c - whatever is done to a trace, a reader notices and gives the rest
 *
 *   damage make SEED SIZE LEVEL FILE      write a trace
 *   damage [--seed N] [--count N] [--out FILE] MODE TRACE [OTHER]
 *
 * MODE is a family of damages, which are numbered: --seed is the first of them (0) and --count
 * how many (all; 1000 of those that are random). A failure names its number, so that it can be
 * had again alone; the last damaged trace is left in FILE. See model.h for what is checked.
 *
 *   bits       a bit is flipped
 *   bytes      the same, one random bit of every byte
 *   cuts       the file ends early
 *   random     one to four places get a wrong bit, byte or run of bytes, or a run of bytes is
 *              lost, inserted or copied from elsewhere, or the file ends early
 *   dropped    an envelope with its columns is missing
 *   swapped    two have changed places
 *   repeated   one is there once more, anywhere
 *   spliced    one of OTHER, another trace, has come in between two
 *   replaced   one of OTHER is in the place of one
 *   resealed   one of OTHER has come in that has this trace's nonce and the sequence number of
 *              the one before it (that needs intent; the sequence number betrays it)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "envelope.h"
#include "model.h"
#include "random.h"
#include "specimen.h"

#define EDITS 4
#define RUN 4096        /* bytes of a run, at most */
#define SHOWN 10        /* failures that are described */
#define PATIENCE 60     /* seconds for one damage */

/* Instead of the cut bytes from at on there are the put bytes of data. */
struct edit {
    size_t at, cut, put;
    const uint8_t *data;
};

struct damage {
    struct edit edit[EDITS]; /* ascending, apart */
    unsigned n;
    uint8_t bytes[EDITS][RUN]; /* new ones */
    struct qt_buf sealed;
};

struct trace {
    uint8_t *bytes;
    size_t size;
};

/* What it is all about, once in the process. */
static struct trace whole, other;
static struct model model, other_model;
static int fd = -1; /* of the file to damage */
static char path[64];
static uint8_t *image;
static size_t image_size, image_cap;
static const char *mode_name = "?";
static uint64_t number; /* of the damage */

static void die(const char *what)
{
    fprintf(stderr, "damage: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- the damaged file ---- */

static void put_bytes(const uint8_t *data, size_t size, size_t at)
{
    if (size > 0 && pwrite(fd, data, size, (off_t)at) != (ssize_t)size) {
        die("cannot write");
    }
}

static size_t new_size(const struct damage *d)
{
    size_t size = whole.size;
    unsigned i;

    for (i = 0; i < d->n; i++) {
        size += d->edit[i].put - d->edit[i].cut;
    }
    return size;
}

/* The trace with its damages, in memory. */
static void make_image(const struct damage *d, size_t size)
{
    const struct edit *e;
    size_t from = 0, to = 0;

    image_size = size;
    if (size >= image_cap) {
        image_cap = size + 1;
        image = realloc(image, image_cap);
        if (image == NULL) {
            die("image");
        }
    }
    for (e = d->edit; e < d->edit + d->n; e++) {
        memcpy(image + to, whole.bytes + from, e->at - from);
        to += e->at - from;
        from = e->at + e->cut;
        if (e->put > 0) {
            memcpy(image + to, e->data, e->put);
        }
        to += e->put;
    }
    memcpy(image + to, whole.bytes + from, whole.size - from);
}

static void write_edits(const struct damage *d, const uint8_t *from)
{
    const struct edit *e;

    for (e = d->edit; e < d->edit + d->n; e++) {
        put_bytes(from + e->at, e->put, e->at);
    }
}

/* Damage the file; only what changes is written. */
static void inflict(const struct damage *d, size_t size)
{
    bool in_place = true;
    unsigned i;

    make_image(d, size);
    for (i = 0; i < d->n; i++) {
        in_place = in_place && d->edit[i].cut == d->edit[i].put;
    }
    if (in_place) {
        write_edits(d, image);
    } else {
        if (size < whole.size && ftruncate(fd, (off_t)size) < 0) {
            die("cannot cut");
        }
        put_bytes(image + d->edit[0].at, size - d->edit[0].at, d->edit[0].at);
    }
}

static void heal(const struct damage *d, size_t size)
{
    if (size > whole.size && ftruncate(fd, (off_t)whole.size) < 0) {
        die("cannot cut");
    }
    if (size == whole.size) {
        size_t end = d->edit[d->n - 1].at + d->edit[d->n - 1].cut;

        put_bytes(whole.bytes + d->edit[0].at, end - d->edit[0].at, d->edit[0].at);
    } else if (d->n > 0) {
        put_bytes(whole.bytes + d->edit[0].at, whole.size - d->edit[0].at, d->edit[0].at);
    }
}

/* Bytes that stay what they were are not damaged: they are taken off the edit. */
static void trim(struct edit *e)
{
    while (e->cut > 0 && e->cut == e->put && whole.bytes[e->at] == e->data[0]) {
        e->at++;
        e->data++;
        e->cut = --e->put;
    }
    while (e->cut > 0 && e->cut == e->put &&
           whole.bytes[e->at + e->cut - 1] == e->data[e->put - 1]) {
        e->cut = --e->put;
    }
}

/* The pieces that an edit touches: those of which it takes bytes, and the one that it splits. */
static void touch(const struct edit *e, bool *touched)
{
    const struct model_piece *p;
    size_t i;

    for (i = 0; i < model.n_pieces; i++) {
        p = &model.piece[i];
        if (e->cut > 0) {
            touched[i] |= e->at < p->offset + p->size && e->at + e->cut > p->offset;
        } else if (e->put > 0) {
            touched[i] |= e->at < p->offset + p->size && e->at > p->offset;
        }
    }
}

/* ---- results ---- */

static const char *const fault_name[MODEL_FAULTS] = {
    "undetected", "wrong events", "more lost than damaged", "lost silently", "definitions lost",
    "refused"};

struct results {
    uint64_t damages, unchanged, failed, faults[MODEL_FAULTS];
    uint64_t frames, most_frames, definitions;
};

/* The piece that holds the byte at, or the last one. */
static const struct model_piece *piece_at(size_t at)
{
    size_t i = model.n_pieces - 1;

    while (i > 0 && model.piece[i].offset > at) {
        i--;
    }
    return &model.piece[i];
}

static void describe(const struct damage *d)
{
    const struct edit *e;
    const struct model_piece *p;

    for (e = d->edit; e < d->edit + d->n; e++) {
        p = piece_at(e->at);
        fprintf(stderr,
                "#   at %zu, in piece %td (type %u, at %zu): %zu bytes less, %zu new ones\n",
                e->at, p - model.piece, p->type, p->offset, e->cut, e->put);
    }
}

static void count(struct results *results, const struct damage *d, const struct verdict *v)
{
    unsigned i;

    results->frames += v->frames;
    results->most_frames = v->frames > results->most_frames ? v->frames : results->most_frames;
    results->definitions += v->definitions > 0;
    for (i = 0; i < MODEL_FAULTS; i++) {
        results->faults[i] += v->faults >> i & 1;
    }
    if (v->faults != 0 && results->failed++ < SHOWN) {
        fprintf(stderr, "# %s --seed %" PRIu64 " --count 1: %s\n", mode_name, number, v->why);
        describe(d);
    }
}

static void try_damage(struct damage *d, struct results *results)
{
    bool touched[model.n_pieces + 1];
    size_t size;
    struct verdict v;
    bool changed;
    unsigned i;

    memset(touched, 0, sizeof(touched));
    for (i = 0; i < d->n; i++) {
        trim(&d->edit[i]);
        touch(&d->edit[i], touched);
    }
    size = new_size(d);
    inflict(d, size);
    changed = size != whole.size || memcmp(image, whole.bytes, size) != 0;
    alarm(PATIENCE);
    model_judge(&model, path, touched, changed, &v);
    alarm(0);
    heal(d, size);
    results->damages++;
    results->unchanged += !changed;
    count(results, d, &v);
}

/* A crash is the end of this program, but not before it has said of what. */
static void on_crash(int signal_number)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "# %s --seed %" PRIu64 " --count 1: signal %d\n",
                     mode_name, number, signal_number);

    if (write(STDERR_FILENO, text, (size_t)n) < 0) {
        _exit(3);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void watch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    unsigned i;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        signal(signals[i], on_crash);
    }
}

/* ---- damages by number ---- */

static void set_edit(struct damage *d, size_t at, size_t cut, const uint8_t *data, size_t put)
{
    d->edit[d->n++] = (struct edit){at, cut, put, data};
}

static void flip(struct damage *d, size_t at, unsigned bit)
{
    uint8_t *new = d->bytes[d->n];

    *new = whole.bytes[at] ^ (uint8_t)(1u << bit);
    set_edit(d, at, 1, new, 1);
}

static void flip_bit(struct damage *d, uint64_t n)
{
    flip(d, n / 8, n % 8);
}

static void flip_byte(struct damage *d, uint64_t n)
{
    uint64_t state = n;

    flip(d, n, (unsigned)below(&state, 8));
}

static void cut(struct damage *d, uint64_t n)
{
    set_edit(d, n, whole.size - n, NULL, 0);
}

static void random_bytes(uint8_t *bytes, size_t size, uint64_t *state)
{
    size_t i;

    for (i = 0; i < size; i++) {
        bytes[i] = (uint8_t)any(state);
    }
}

enum { FLIP, BYTE, SCRIBBLE, ZERO, REMOVE, INSERT, COPY, TRUNCATE, PLACES };

/* A place of some kind; at most to limit. */
static void damage_place(struct damage *d, size_t at, size_t limit, uint64_t *state)
{
    unsigned kind = (unsigned)below(state, PLACES);
    /* Short runs are as likely as long ones. */
    size_t size = 1 + below(state, (size_t)RUN >> below(state, 12));
    size_t room = size < limit - at ? size : limit - at;
    uint8_t *new = d->bytes[d->n];

    random_bytes(new, kind == SCRIBBLE || kind == INSERT ? size : 1, state);
    if (kind == FLIP) {
        flip(d, at, *new % 8);
    } else if (kind == BYTE) {
        set_edit(d, at, 1, new, 1);
    } else if (kind == SCRIBBLE) {
        set_edit(d, at, room, new, room);
    } else if (kind == ZERO) {
        memset(new, 0, room);
        set_edit(d, at, room, new, room);
    } else if (kind == REMOVE) {
        set_edit(d, at, room, NULL, 0);
    } else if (kind == INSERT) {
        set_edit(d, at, 0, new, size);
    } else if (kind == COPY) {
        set_edit(d, at, room, whole.bytes + below(state, whole.size - room + 1), room);
    } else {
        set_edit(d, at, limit - at, NULL, 0);
    }
}

/* Each place has a part of the file of its own. */
static void damage_randomly(struct damage *d, uint64_t n)
{
    uint64_t state = n * UINT64_C(0x2545f4914f6cdd1d);
    unsigned places = below(&state, 4) != 0 ? 1 : 2 + (unsigned)below(&state, 3), i;
    size_t bound[EDITS + 1] = {0}, at;

    for (i = 1; i <= places; i++) {
        at = i < places ? below(&state, whole.size) : whole.size;
        bound[i] = at > bound[i - 1] ? at : bound[i - 1];
    }
    for (i = 0; i < places; i++) {
        if (bound[i] + 1 < bound[i + 1]) { /* not next to each other */
            at = bound[i] + 1 + below(&state, bound[i + 1] - bound[i] - 1);
            damage_place(d, places == 1 ? below(&state, whole.size) : at, bound[i + 1], &state);
        }
    }
}

static void drop(struct damage *d, uint64_t n)
{
    set_edit(d, model.piece[n].offset, model.piece[n].size, NULL, 0);
}

static void swap(struct damage *d, uint64_t n)
{
    const struct model_piece *a = &model.piece[n / model.n_pieces];
    const struct model_piece *b = &model.piece[n % model.n_pieces];

    if (a < b) { /* else nothing is to be done: the pair has another number, or is none */
        set_edit(d, a->offset, a->size, whole.bytes + b->offset, b->size);
        set_edit(d, b->offset, b->size, whole.bytes + a->offset, a->size);
    }
}

/* Where piece i begins, or the end of the file. */
static size_t boundary(size_t i)
{
    return i < model.n_pieces ? model.piece[i].offset : whole.size;
}

static void repeat(struct damage *d, uint64_t n)
{
    const struct model_piece *p = &model.piece[n / (model.n_pieces + 1)];

    set_edit(d, boundary(n % (model.n_pieces + 1)), 0, whole.bytes + p->offset, p->size);
}

static void splice_in(struct damage *d, uint64_t n)
{
    const struct model_piece *p = &other_model.piece[n / (model.n_pieces + 1)];

    set_edit(d, boundary(n % (model.n_pieces + 1)), 0, other.bytes + p->offset, p->size);
}

static void replace(struct damage *d, uint64_t n)
{
    const struct model_piece *p = &other_model.piece[n / model.n_pieces];
    const struct model_piece *victim = &model.piece[n % model.n_pieces];

    set_edit(d, victim->offset, victim->size, other.bytes + p->offset, p->size);
}

static void splice_resealed(struct damage *d, uint64_t n)
{
    const struct model_piece *p = &other_model.piece[n / model.n_pieces];
    const uint8_t *from = other.bytes + p->offset;
    size_t before = n % model.n_pieces, head;
    struct qt_envelope e, prior;

    if (!qt_envelope_head(&e, from) ||
        !qt_envelope_head(&prior, whole.bytes + model.piece[before].offset)) {
        die("resealed");
    }
    e.nonce = prior.nonce;
    e.seq = prior.seq;
    head = QT_ENVELOPE_HEAD + e.body_size;
    d->sealed.len = 0;
    if (qt_envelope_put(&d->sealed, &e, from + QT_ENVELOPE_HEAD, e.body_size) < 0 ||
        qt_buf_reserve(&d->sealed, p->size) < 0) {
        die("resealed");
    }
    qt_buf_append(&d->sealed, from + head, p->size - head);
    set_edit(d, boundary(before + 1), 0, d->sealed.data, d->sealed.len);
}

/* ---- modes ---- */

struct mode {
    const char *name, *what; /* what: of so many damages */
    void (*make)(struct damage *d, uint64_t n);
    bool other;
};

static const struct mode modes[] = {
    {"bits", "bits flipped", flip_bit, false},
    {"bytes", "bytes with a bit flipped", flip_byte, false},
    {"cuts", "cuts", cut, false},
    {"random", "random damages", damage_randomly, false},
    {"dropped", "messages dropped", drop, false},
    {"swapped", "pairs of messages swapped", swap, false},
    {"repeated", "messages repeated", repeat, false},
    {"spliced", "messages of another trace spliced in", splice_in, true},
    {"replaced", "messages replaced by others of another trace", replace, true},
    {"resealed", "resealed messages of another trace spliced in", splice_resealed, true},
};

static const struct mode *find_mode(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].name, name) == 0) {
            return &modes[i];
        }
    }
    return NULL;
}

/* How many damages a mode has; UINT64_MAX = no end. */
static uint64_t total(const struct mode *mode)
{
    const uint64_t n = model.n_pieces, others = other_model.n_pieces;

    return mode->make == flip_bit                            ? whole.size * 8
         : mode->make == flip_byte || mode->make == cut      ? whole.size
         : mode->make == drop                                ? n
         : mode->make == swap                                ? n * n
         : mode->make == repeat                              ? n * (n + 1)
         : mode->make == splice_in                            ? others * (n + 1)
         : mode->make == replace || mode->make == splice_resealed ? others * n
                                                             : UINT64_MAX;
}

static void print_results(const struct mode *mode, const struct results *r, double seconds)
{
    unsigned i;

    printf("%" PRIu64 " %s: 0 crashes", r->damages - r->unchanged, mode->what);
    for (i = 0; i < MODEL_FAULTS; i++) {
        printf(", %" PRIu64 " %s", r->faults[i], fault_name[i]);
    }
    printf("; %.3f frames lost on average, %" PRIu64 " at most; %.0f s\n",
           (double)r->frames / (double)(r->damages + !r->damages), r->most_frames, seconds);
}

static int run(const struct mode *mode, uint64_t first, uint64_t n)
{
    static struct damage d;
    struct results results = {0};
    clock_t begin = clock();

    mode_name = mode->name;
    if (n == 0) {
        n = total(mode) == UINT64_MAX ? 1000 : total(mode);
    }
    for (number = first; number - first < n && number < total(mode); number++) {
        d.n = 0;
        mode->make(&d, number);
        if (d.n > 0) {
            try_damage(&d, &results);
        }
    }
    qt_buf_finish(&d.sealed);
    print_results(mode, &results, (double)(clock() - begin) / CLOCKS_PER_SEC);
    return results.failed > 0 ? 1 : 0;
}

/* ---- the program ---- */

static void load(struct trace *trace, const char *name)
{
    int in = open(name, O_RDONLY | O_CLOEXEC);
    off_t size = in < 0 ? -1 : lseek(in, 0, SEEK_END);

    if (size <= 0) {
        die(name);
    }
    trace->size = (size_t)size;
    trace->bytes = malloc(trace->size);
    if (trace->bytes == NULL || pread(in, trace->bytes, trace->size, 0) != (ssize_t)size) {
        die(name);
    }
    close(in);
}

static int prepare(const char *name, const char *other_name)
{
    load(&whole, name);
    fd = memfd_create("damage", MFD_CLOEXEC);
    if (fd < 0) {
        die("memfd_create");
    }
    put_bytes(whole.bytes, whole.size, 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (model_init(&model, path, whole.bytes, whole.size) < 0) {
        return -1;
    }
    if (other_name == NULL) {
        return 0;
    }
    load(&other, other_name);
    return model_init(&other_model, other_name, other.bytes, other.size);
}

/* Leave the last damaged trace for others to read. */
static void keep_image(const char *name)
{
    FILE *out = fopen(name, "wb");

    if (out == NULL || fwrite(image, 1, image_size, out) != image_size || fclose(out) != 0) {
        die(name);
    }
}

static void release(void)
{
    model_finish(&model);
    model_finish(&other_model);
    free(whole.bytes);
    free(other.bytes);
    free(image);
    close(fd);
}

static int make_specimen(char **argument)
{
    struct qtrace_error err;

    if (specimen_write(argument[3], strtoull(argument[0], NULL, 0),
                       strtoull(argument[1], NULL, 0),
                       (unsigned)strtoul(argument[2], NULL, 0), &err) != QTRACE_OK) {
        fprintf(stderr, "damage: %s: %s\n", argument[3], err.message);
        return 1;
    }
    return 0;
}

static int usage(void)
{
    fputs("usage: damage make SEED SIZE LEVEL FILE\n"
          "       damage [--seed N] [--count N] [--out FILE] MODE TRACE [OTHER]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t first = 0, n = 0;
    const char *out = NULL;
    const struct mode *mode;
    int i, ret;

    if (argc == 6 && strcmp(argv[1], "make") == 0) {
        return make_specimen(argv + 2);
    }
    for (i = 1; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            first = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--count") == 0) {
            n = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--out") == 0) {
            out = argv[i + 1];
        } else {
            return usage();
        }
    }
    mode = i < argc ? find_mode(argv[i]) : NULL;
    if (mode == NULL || argc - i != 2 + mode->other) {
        return usage();
    }
    if (prepare(argv[i + 1], mode->other ? argv[i + 2] : NULL) < 0) {
        return 2;
    }
    watch_crashes();
    ret = run(mode, first, n);
    if (out != NULL) {
        keep_image(out);
    }
    release();
    return ret;
}
