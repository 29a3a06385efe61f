/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"
#include "recorder-inside.h"

/* Of the file beside the trace: room for journals, and scratch chunks, besides the rings; and for
 * what there is always. */
#define LIVE_EXTRA ((size_t)64 << 20)
#define LIVE_MIN   ((size_t)8 << 20)

/* Names that are tried where another one will do. */
#define MAX_NAMES 10000

/* ---- its thread ---- */

/* The guest's chroot and umask shall not be ours. A forked child begins with those of the thread that
 * forked; the mask that was ours at first is known. */
static void own_folders(struct qt_recorder *r)
{
    if (unshare(CLONE_FS)) {
        return;
    }
    if (!r->inherited) {
        r->mask = umask(0);
    }
    umask(r->mask);
}

/* A descriptor table of our own: the guest can neither close nor see what we open, and its
 * numbers are what they would be without us. */
static int own_descriptors(struct qtrace_error *err)
{
    if (syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE)) {
        if (unshare(CLONE_FILES)) {
            return qt_io_error(err, errno, UINT64_MAX, "no descriptors of our own");
        }
        long max = sysconf(_SC_OPEN_MAX);
        for (long fd = 0; fd < max; fd++) {
            close(fd);
        }
    }
    for (int fd = 0; fd < 3; fd++) {
        if (open("/dev/null", O_RDWR) != fd) {
            break;
        }
    }
    return QTRACE_OK;
}

/* FILE; if another name will do: FILE.PID, FILE.PID.2, FILE.PID.3, ... */
static char *name_file(const struct qt_recorder *r)
{
    size_t size = strlen(r->file) + 32;
    char *path = malloc(size);
    if (path && r->name == 0) {
        strcpy(path, r->file);
    } else if (path && r->name == 1) {
        snprintf(path, size, "%s.%d", r->file, (int)getpid());
    } else if (path) {
        snprintf(path, size, "%s.%d.%u", r->file, (int)getpid(), r->name);
    }
    return path;
}

static int open_file(struct qt_recorder *r, struct qtrace_error *err)
{
    int result;
    do {
        free(r->path);
        r->path = name_file(r);
        if (!r->path) {
            return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
        }
        result = qtrace_writer_open(&r->writer, r->path, &r->writer_options, err);
    } while (result == QTRACE_E_EXISTS && r->another && r->name++ < MAX_NAMES);
    return result;
}

/* What a forked child has of its parent's writer: a copy of its memory. The file is not the
 * child's; the number of its descriptor is one of the guest's. Afterwards all that is defined is
 * in the child's file. */
static int take_over(struct qt_recorder *r, struct qtrace_error *err)
{
    struct qtrace_writer *from = r->inherited;
    if (!from) {
        return QTRACE_OK;
    }
    r->inherited = NULL;
    from->fd = -1;
    qt_recorder_write_run(r);
    int result = qt_writer_adopt(r->writer, from, err);
    qt_writer_discard(from);
    if (result == QTRACE_OK) {
        qt_recorder_write_definitions(r);
    } else {
        qt_writer_discard(r->writer);
        r->writer = NULL;
    }
    return result;
}

struct opening {
    struct qt_recorder *recorder;
    struct qtrace_error *err;
    int result;
};

/* The table of devices moves into the file. */
static void place_devices(struct qt_recorder *r)
{
    struct qt_devices *devices = qt_live_alloc(r->live, sizeof(*devices));

    if (devices && !qt_live_populate(devices, sizeof(*devices))) {
        qt_live_recycle(r->live, devices, sizeof(*devices));
        devices = NULL;
    }
    if (devices) {
        free(r->devices);
        r->devices = devices;
        r->live->header->devices_address = (uintptr_t)devices;
    }
}

/* Without the file the trace is as good; less is left of it when the process is killed. */
static void open_live(struct qt_recorder *r)
{
    struct qtrace_error err;
    struct qt_live *live;

    if (!r->live_options.slots) {
        return;
    }
    r->live_options.path = r->path;
    r->live_options.nonce = r->writer->nonce;
    live = qt_live_create(&r->live_options, &err);
    if (live && !qt_notes_init(live)) {
        qtrace_error_set(&err, QTRACE_E_IO, UINT64_MAX, "no space");
        qt_live_remove(live, r->path);
        qt_live_leave(live); /* the producers must not lie in a file that nobody looks after */
        qt_live_drop(live);
        live = NULL;
    }
    r->live = live;
    if (!live) {
        r->live_error = err;
    } else if (r->more & QT_MORE_PHYS) {
        place_devices(r);
    }
}

static void end_file(struct qt_recorder *r)
{
    struct qt_summary *sum = &r->summary;
    struct qtrace_error err = {0};
    struct qt_loss written;
    const char *reason = sum->error.code ? sum->error.message : r->reason;
    for (struct qt_tally *t = r->tallies; t; t = t->next) {
        qt_writer_lose(r->writer, t->stream, t->vcpu, &t->loss);
        sum->streams++;
    }
    qt_recorder_note(r, qt_writer_end(r->writer, reason, qt_recorder_now(r), &err), &err);
    qt_writer_sum(r->writer, &written, &sum->lost);
    sum->blocks = written.blocks;
    sum->insns = written.insns;
    sum->accesses = written.accesses;
    sum->events = written.events;
    sum->overrun = r->overrun;
    sum->bytes = qtrace_writer_size(r->writer);
    sum->endless = r->writer->endless;
    qt_writer_discard(r->writer);
    r->writer = NULL;
}

static uint64_t microseconds(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void note_time(struct qt_summary *sum)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) == 0) {
        sum->user_us = microseconds(&usage.ru_utime);
        sum->system_us = microseconds(&usage.ru_stime);
    }
}

static void *thread_main(void *data)
{
    struct opening *opening = data;
    struct qt_recorder *r = opening->recorder;
    own_folders(r);
    int result = own_descriptors(opening->err);
    if (result == QTRACE_OK) {
        result = open_file(r, opening->err);
    }
    if (result == QTRACE_OK) {
        result = take_over(r, opening->err);
    }
    if (result == QTRACE_OK) {
        open_live(r);
    }
    pthread_mutex_lock(&r->lock);
    opening->result = result;
    r->opened = r->working = true;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    if (result != QTRACE_OK) {
        return NULL;
    }
    qt_recorder_work(r);
    qt_recorder_take_definitions(r);
    end_file(r);
    qt_live_remove(r->live, r->path);
    note_time(&r->summary);
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    r->working = false;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

int qt_recorder_start_thread(struct qt_recorder *r, struct qtrace_error *err)
{
    struct opening opening = {r, err, QTRACE_OK};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int result = pthread_create(&r->thread, NULL, thread_main, &opening);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result) {
        return qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX, "cannot start a thread: %s",
                                strerror(result));
    }
    pthread_mutex_lock(&r->lock);
    while (!r->opened) {
        pthread_cond_wait(&r->room, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    if (opening.result != QTRACE_OK) {
        pthread_join(r->thread, NULL);
    }
    return opening.result;
}

void qt_recorder_init_locks(struct qt_recorder *r)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->room, &monotonic);
    pthread_cond_init(&r->wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* ---- the beginning ---- */

int qt_recorder_start(struct qt_recorder **out, const struct qt_recorder_options *options,
                      struct qtrace_error *err)
{
    struct qt_recorder *r = calloc(1, sizeof(*r));
    struct qt_devices *devices = options->more & QT_MORE_PHYS ? calloc(1, sizeof(*devices)) : NULL;
    *out = NULL;
    if (!r || (options->more & QT_MORE_PHYS && !devices)) {
        free(r);
        free(devices);
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    qt_recorder_init_locks(r);
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    r->file = options->path;
    r->another = options->another;
    r->follow = options->follow;
    r->writer_options = options->writer;
    r->ring_bytes = options->ring_bytes;
    r->rings_bytes = options->rings_bytes;
    r->user = options->user;
    r->more = options->more;
    r->devices = devices;
    r->drop = options->drop;
    r->wait_ns = options->wait_ms * 1000000ull;
    r->flush_ms = options->flush_ms;
    r->live_options = (struct qt_live_options){
        .slots = options->slots,
        .slots_size = options->slots_size,
        .slot_size = options->slot_size,
        .arena_size = options->rings_bytes + LIVE_EXTRA,
        .arena_min = options->ring_bytes + LIVE_MIN,
        .user = options->user,
        .more = options->more,
    };
    r->disas = options->disas;
    r->last = &r->first;
    int result = qt_recorder_start_thread(r, err);
    if (result != QTRACE_OK) {
        free(devices);
        free(r);
        return result;
    }
    *out = r;
    return QTRACE_OK;
}

const struct qtrace_error *qt_recorder_live_error(const struct qt_recorder *recorder)
{
    return &recorder->live_error;
}

void qt_recorder_note_run(struct qt_recorder *r)
{
    struct qt_buf message = {0};

    if (r->live && qt_writer_pack_run(&r->run, &message) == QTRACE_OK) {
        qt_notes_run(r->live, message.data, message.len);
    }
    qt_buf_finish(&message);
}

void qt_recorder_run(struct qt_recorder *r, const struct qtrace_run *run)
{
    pthread_mutex_lock(&r->lock);
    if (!r->has_run) {
        r->run = *run;
        r->has_run = true;
        qt_recorder_note_run(r);
    }
    pthread_mutex_unlock(&r->lock);
}

/* ---- the end ---- */

/* A trace without an end is worse than a process that takes its time to end. */
#define END_WAIT_NS 1000000000

/* Wait for the end of the thread as long as it does anything at all. With the lock held. False: it
 * is stuck. */
static bool wait_for_end(struct qt_recorder *r)
{
    uint64_t wait_ns = r->wait_ns > END_WAIT_NS ? r->wait_ns : END_WAIT_NS, done = 0;
    struct patience patience = {0};
    clockid_t clock;
    bool known = pthread_getcpuclockid(r->thread, &clock) == 0;
    while (!r->ended && !qt_patience_is_over(&patience, done, wait_ns)) {
        struct timespec t = {0};
        qt_recorder_wait_a_step(r, &patience, wait_ns);
        done = known && clock_gettime(clock, &t) == 0 ? t.tv_sec * 1000000000ull + t.tv_nsec : 0;
    }
    return r->ended;
}

/* Its thread is stuck somewhere, and will be when the process is gone. */
static void give_up(struct qt_summary *summary)
{
    *summary = (struct qt_summary){0};
    qtrace_error_set(&summary->error, QTRACE_E_IO, UINT64_MAX,
                     "has no end, as the writer is stuck; qtrace-dump --recover gives it one");
}

bool qt_recorder_stop(struct qt_recorder *r, const char *reason, struct qt_summary *summary)
{
    if (atomic_load(&r->abandoned)) {
        return false;
    }
    pthread_mutex_lock(&r->lock);
    bool first = !r->stopping;
    if (first) {
        r->stopping = true;
        r->reason = reason;
        for (struct qt_producer *p = r->producers; p; p = p->link) {
            if (!p->closed) {
                qt_producer_close_locked(p);
            }
        }
        for (struct qt_tally *t = r->tallies; t; t = t->next) {
            if (t->producer) {
                qt_tally_close(r, t);
            }
        }
        pthread_cond_broadcast(&r->wanted);
    } else {
        /* the first caller to return ends the process: wait for the file */
        while (!r->stopped) {
            pthread_cond_wait(&r->room, &r->lock);
        }
    }
    bool ended = first && wait_for_end(r);
    pthread_mutex_unlock(&r->lock);
    if (first) {
        if (ended) {
            pthread_join(r->thread, NULL);
            *summary = r->summary;
        } else {
            give_up(summary);
        }
        pthread_mutex_lock(&r->lock);
        r->stopped = true;
        pthread_cond_broadcast(&r->room);
        pthread_mutex_unlock(&r->lock);
    }
    return first;
}

const char *qt_recorder_path(const struct qt_recorder *r)
{
    return r->path;
}
