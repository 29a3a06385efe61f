/*
 * lifecycle.c - vCPUs come and go, system calls, flushes, the end
 *
 * Up to API 6 a callback begins with the plugin's id, from API 7 on it ends with userdata; and
 * from 7 on every registration function takes that userdata. Passing the argument to an older
 * QEMU does no harm, its function does not look at it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "callbacks.h"

/* Where API 1 adds inline, as long as one vCPU exists: the slot of the first, so that it lies in the
 * file beside the trace. */
uint64_t *const qt_plugin_shared_slot = &qt_vcpus[0].producer.own_slot;

static struct qt_producer *producer_of(unsigned int vcpu)
{
    return vcpu < QT_MAX_VCPUS ? &qt_vcpus[vcpu].producer : NULL;
}

/* The slots of all vCPUs. QEMU moves scoreboards when it makes room for more vCPUs: no vCPU
 * executes blocks then, and the flush callback follows before they go on. But a thread may be
 * in a callback outside of blocks, so only block callbacks may look into a slot, and a thread
 * that has just found its slot looks whether it was moved meanwhile. */
static unsigned slot_moves;

static void find_slot(struct qt_producer *p, unsigned int vcpu)
{
    unsigned moves;
    do {
        moves = __atomic_load_n(&slot_moves, __ATOMIC_SEQ_CST);
        __atomic_store_n(&p->slot, qemu_plugin_scoreboard_find(qt_plugin.progress, vcpu),
                         __ATOMIC_SEQ_CST);
    } while (moves != __atomic_load_n(&slot_moves, __ATOMIC_SEQ_CST));
}

static void find_slots(void)
{
    __atomic_fetch_add(&slot_moves, 1, __ATOMIC_SEQ_CST);
    bool any = qt_plugin.api >= 2 && !qt_plugin.one_thread;
    for (unsigned i = 0; any && i <= qt_plugin.max_vcpu; i++) {
        struct qt_producer *p = &qt_vcpus[i].producer;
        if (qt_producer_is_live(p)) {
            p->slot = qemu_plugin_scoreboard_find(qt_plugin.progress, i);
        }
    }
}

/* Runs on the only vCPU thread there was, before any block of another; blocks that were
 * translated before never run again. */
static void leave_shared_slot(void)
{
    qt_plugin.callbacks_per_insn = true;
    for (unsigned i = 0; i <= qt_plugin.max_vcpu; i++) {
        struct qt_producer *p = &qt_vcpus[i].producer;
        if (qt_producer_is_live(p) && p->slot == qt_plugin_shared_slot) {
            p->own_slot = *qt_plugin_shared_slot;
            p->slot = &p->own_slot;
        }
    }
}

/* The machine does not run yet when its vCPUs begin. One with a host thread of its own waits there
 * and tells that it is idle, before its first block; a thread that runs all of them tells nothing
 * of that kind (QEMU 7.2 to 11.1). No vCPU has executed anything when this is called. */
void qt_find_one_thread(void)
{
    const struct qtrace_run *run = &qt_plugin.run;
    if (!run->system || run->max_vcpus < 2 ||
        __atomic_load_n(&qt_plugin.own_threads, __ATOMIC_RELAXED)) {
        return;
    }
    qt_plugin.run.one_thread = qt_plugin.one_thread = qt_plugin.callbacks_per_insn = true;
    for (unsigned i = 0; i <= qt_plugin.max_vcpu; i++) {
        struct qt_producer *p = &qt_vcpus[i].producer;
        if (qt_producer_is_live(p)) {
            p->slot = &p->own_slot;
        }
    }
}

static void vcpu_init(unsigned int vcpu)
{
    struct qt_producer *p = producer_of(vcpu);
    if (!p || qt_producer_is_live(p)) {
        return;
    }
    unsigned others = __atomic_fetch_add(&qt_plugin.n_open, 1, __ATOMIC_RELAXED);
    if (qt_plugin.api < 2 && others > 0 && !qt_plugin.callbacks_per_insn) {
        leave_shared_slot();
    }
    bool open = qt_producer_open(qt_plugin.recorder, p, vcpu);
    unsigned max = __atomic_load_n(&qt_plugin.max_vcpu, __ATOMIC_RELAXED);
    while (vcpu > max && !__atomic_compare_exchange_n(&qt_plugin.max_vcpu, &max, vcpu, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    if (!open) {
        return;
    }
    if (qt_plugin.api >= 2) {
        if (!qt_plugin.one_thread) {
            find_slot(p, vcpu);
        }
        qt_producer_adopt(p);
    } else if (!qt_plugin.callbacks_per_insn) {
        p->slot = qt_plugin_shared_slot;
    }
    if (!qt_producer_self()) {
        qt_producer_adopt(p);
    }
}

static void vcpu_exit(unsigned int vcpu)
{
    struct qt_producer *p = producer_of(vcpu);
    if (p && qt_producer_is_live(p)) {
        __atomic_fetch_sub(&qt_plugin.n_open, 1, __ATOMIC_RELAXED);
        if (qt_plugin.api >= 2 && !qt_plugin.system) {
            /* a thread ends with a system call, which ends its block: nothing to look up in a
             * slot that may be moving */
            p->own_slot = 0;
            p->slot = &p->own_slot;
        }
        qt_producer_close(p, true);
    }
}

static void vcpu_event(unsigned int vcpu, enum qtrace_event_kind kind, unsigned n_args,
                       const uint64_t *args)
{
    struct qt_producer *p = producer_of(vcpu);
    if (p && qt_producer_is_live(p)) {
        qt_producer_adopt(p);
        qt_event(p, kind, n_args, args);
    }
}

static void vcpu_idle(unsigned int vcpu)
{
    __atomic_store_n(&qt_plugin.own_threads, true, __ATOMIC_RELAXED);
    vcpu_event(vcpu, QTRACE_EVENT_VCPU_IDLE, 0, NULL);
}

static void vcpu_resume(unsigned int vcpu)
{
    vcpu_event(vcpu, QTRACE_EVENT_VCPU_RESUME, 0, NULL);
}

static void flush(void)
{
    find_slots();
    struct qt_producer *p = qt_producer_self();
    if (p) {
        qt_event(p, QTRACE_EVENT_FLUSH, 0, NULL);
    }
}

static void at_exit(void)
{
    struct qt_summary summary = {0};
    if (qt_recorder_stop(qt_plugin.recorder, "exit", &summary)) {
        qt_say_summary(&summary);
    }
}

/* ---- dialects ------------------------------------------------------------------------- */

#define VCPU_CALLBACK(name)                                    \
    static void name##_v1(qemu_plugin_id_t id, unsigned int v) \
    {                                                          \
        (void)id;                                              \
        name(v);                                               \
    }                                                          \
    static void name##_v7(unsigned int v, void *userdata)      \
    {                                                          \
        (void)userdata;                                        \
        name(v);                                               \
    }

VCPU_CALLBACK(vcpu_init)
VCPU_CALLBACK(vcpu_exit)
VCPU_CALLBACK(vcpu_idle)
VCPU_CALLBACK(vcpu_resume)

static void syscall_v1(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, uint64_t a1,
                       uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8)
{
    (void)id;
    uint64_t args[] = {num, a1, a2, a3, a4, a5, a6, a7, a8};
    vcpu_event(vcpu, QTRACE_EVENT_SYSCALL, 9, args);
}

static void syscall_v7(unsigned int vcpu, int64_t num, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8,
                       void *userdata)
{
    (void)userdata;
    syscall_v1(0, vcpu, num, a1, a2, a3, a4, a5, a6, a7, a8);
}

static void syscall_ret_v1(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, int64_t ret)
{
    (void)id;
    uint64_t args[] = {num, ret};
    vcpu_event(vcpu, QTRACE_EVENT_SYSCALL_RET, 2, args);
}

static void syscall_ret_v7(unsigned int vcpu, int64_t num, int64_t ret, void *userdata)
{
    (void)userdata;
    syscall_ret_v1(0, vcpu, num, ret);
}

static void discon_v6(qemu_plugin_id_t id, unsigned int vcpu, int type, uint64_t from,
                      uint64_t to)
{
    (void)id;
    uint64_t args[] = {type, from, to};
    vcpu_event(vcpu, QTRACE_EVENT_DISCON, 3, args);
}

static void discon_v7(unsigned int vcpu, int type, uint64_t from, uint64_t to, void *userdata)
{
    (void)userdata;
    discon_v6(0, vcpu, type, from, to);
}

static void flush_v1(qemu_plugin_id_t id)
{
    (void)id;
    flush();
}

static void flush_v7(void *userdata)
{
    (void)userdata;
    flush();
}

static void at_exit_v1(qemu_plugin_id_t id, void *userdata)
{
    (void)id;
    (void)userdata;
    at_exit();
}

static void at_exit_v7(void *userdata)
{
    (void)userdata;
    at_exit();
}

/* All registration functions but atexit's have this shape, userdata included. */
typedef void registration(qemu_plugin_id_t id, void *callback, void *userdata);

void qt_lifecycle_register(qemu_plugin_id_t id)
{
    bool v7 = qt_plugin.api >= 7;
    const struct {
        void *registration, *v1, *v7;
    } table[] = {
        {(void *)qemu_plugin_register_vcpu_init_cb, (void *)vcpu_init_v1, (void *)vcpu_init_v7},
        {(void *)qemu_plugin_register_vcpu_exit_cb, (void *)vcpu_exit_v1, (void *)vcpu_exit_v7},
        {(void *)qemu_plugin_register_vcpu_idle_cb, (void *)vcpu_idle_v1, (void *)vcpu_idle_v7},
        {(void *)qemu_plugin_register_vcpu_resume_cb, (void *)vcpu_resume_v1,
         (void *)vcpu_resume_v7},
        {(void *)qemu_plugin_register_vcpu_syscall_cb, (void *)syscall_v1, (void *)syscall_v7},
        {(void *)qemu_plugin_register_vcpu_syscall_ret_cb, (void *)syscall_ret_v1,
         (void *)syscall_ret_v7},
        {(void *)qemu_plugin_register_flush_cb, (void *)flush_v1, (void *)flush_v7},
        {(void *)qemu_plugin_register_vcpu_tb_trans_cb, (void *)qt_translate_v1,
         (void *)qt_translate_v7},
        {(void *)qemu_plugin_register_atexit_cb, (void *)at_exit_v1, (void *)at_exit_v7},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].registration) {
            ((registration *)table[i].registration)(id, v7 ? table[i].v7 : table[i].v1, NULL);
        }
    }
    if (qemu_plugin_register_vcpu_discon_cb) {
        void (*discon)(qemu_plugin_id_t, int, void *, void *) =
            (void *)qemu_plugin_register_vcpu_discon_cb;
        discon(id, 7 /* all types */, v7 ? (void *)discon_v7 : (void *)discon_v6, NULL);
    }
    qt_fork_register();
}
