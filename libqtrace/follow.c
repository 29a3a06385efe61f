/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "recorder-inside.h"

/* What the child gets must be whole: nobody is within the lock; and if the child shall go on, the
 * thread is between two steps. It may be stuck in one, then this child cannot. Producers lie in
 * memory that the child shares with its parent at first: what the child needs to know is noted. */
void qt_recorder_before_fork(struct qt_recorder *r)
{
    struct timespec until = qt_deadline(r->wait_ns);
    int result = 0;
    pthread_mutex_lock(&r->lock);
    r->forks++;
    while (r->follow && r->working && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&r->room, &r->lock, &until);
    }
    struct qt_producer *self = qt_producer_self();
    bool live = self && qt_producer_is_live(self);
    r->forking = (struct forking){
        .producer = live && r->writer && !r->working ? self : NULL,
        .vcpu = live ? self->vcpu : 0,
        .slot = live && self->slot != &self->own_slot ? self->slot : NULL,
    };
}

void qt_recorder_after_fork(struct qt_recorder *r)
{
    r->forks--;
    pthread_cond_broadcast(&r->wanted);
    pthread_mutex_unlock(&r->lock);
}

/* Of the others there is nothing in the child: neither threads nor vCPUs. (The memory of their
 * builders stays; the parent may have changed what points to it.) */
static void forget_producers(struct qt_recorder *r)
{
    if (r->live) {
        char *slot = r->live->slots;
        for (uint32_t i = r->live->header->n_slots; i > 0; i--, slot += r->live_options.slot_size) {
            memset(slot, 0, sizeof(struct qt_producer));
            qt_producer_park(r, (struct qt_producer *)slot);
        }
    }
    for (struct qt_producer *p = r->live ? NULL : r->producers; p; p = p->link) {
        p->open = false;
        qt_producer_park(r, p);
    }
    qt_live_drop(r->live);
    r->live = NULL;
    r->producers = NULL;
    r->tallies = NULL;
    r->n_live = r->n_streams = 0;
    r->rings_used = 0;
}

void qt_recorder_abandon(struct qt_recorder *r)
{
    if (r->live) {
        qt_live_leave(r->live); /* before anything is written to memory that lies there */
    }
    atomic_store(&r->abandoned, true);
    r->working = false;
    qt_recorder_init_locks(r);
    forget_producers(r);
    qt_producer_forget_waiting();
}

/* As qt_recorder_start, but for what was said there and what has been defined. */
static void renew(struct qt_recorder *r, const char *file, bool has_pid)
{
    clock_gettime(CLOCK_MONOTONIC, &r->start);
    r->seq = 0;
    r->forks = 0;
    r->patience = (struct patience){0};
    r->opened = r->stopping = r->ended = r->stopped = r->run_written = false;
    r->summary = (struct qt_summary){0};
    r->overrun = (struct qt_loss){0};
    r->noted = r->flushed = 0;
    r->reason = NULL;
    r->file = file;
    r->name = has_pid ? 0 : 1;
    r->another = true;
    r->path = NULL; /* the parent's name is the run's now */
    r->inherited = r->writer;
    r->writer = NULL;
}

/* The vCPU of this thread goes on in a stream of its own. */
static void continue_stream(struct qt_recorder *r, const struct forking *forking)
{
    struct qt_producer *p = forking->producer;
    qt_producer_open_stream(r, p, forking->vcpu, true);
    if (forking->slot) {
        p->slot = forking->slot;
        *p->slot = 0; /* what ran before is not in this trace */
    }
    qt_producer_turn_if_full(p);
    for (uint64_t id = 0; id < r->n_translations; id++) {
        qt_event(p, QTRACE_EVENT_TRANSLATION, 1, &id);
    }
}

int qt_recorder_follow(struct qt_recorder *r, const char *file, bool has_pid,
                       const struct qtrace_run *run, struct qtrace_error *err)
{
    qt_recorder_abandon(r);
    if (!r->forking.producer) {
        return qtrace_error_set(err, QTRACE_E_IO, UINT64_MAX,
                                "the parent's recorder was ending, or busy for too long");
    }
    renew(r, file, has_pid);
    r->run = *run;
    int result = qt_recorder_start_thread(r, err);
    if (result == QTRACE_OK) {
        qt_recorder_note_run(r);
        atomic_store(&r->abandoned, false);
        continue_stream(r, &r->forking);
    }
    return result;
}
