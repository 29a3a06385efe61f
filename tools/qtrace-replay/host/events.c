/*
 * events.c - callbacks of events: registration, and calling them in the plugin's dialect
 *
 * From version 7 on, callbacks have no leading plugin id and a trailing userdata pointer, and
 * registration functions take that pointer as their last argument. Older callers pass nothing
 * there: what arrives is not looked at.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

/* ---- registration ---- */

static void enlist(qemu_plugin_id_t id, enum host_event event, void *func, void *userdata)
{
    struct host_plugin *plugin = host_plugin_by_id(id);
    struct host_callback *cb = &plugin->event[event];

    if (plugin->uninstalling) {
        return;
    }
    if (cb->func == NULL) {
        cb->order = ++host.registrations;
    }
    cb->func = func;
    cb->userdata = plugin->version >= 7 || event == HOST_ATEXIT ? userdata : NULL;
}

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_event_cb_t cb,
                                       void *userdata)
{
    enlist(id, HOST_VCPU_INIT, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_event_cb_t cb,
                                       void *userdata)
{
    enlist(id, HOST_VCPU_EXIT, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_event_cb_t cb,
                                       void *userdata)
{
    enlist(id, HOST_VCPU_IDLE, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_event_cb_t cb,
                                         void *userdata)
{
    enlist(id, HOST_VCPU_RESUME, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           qemu_plugin_vcpu_tb_trans_cb_t cb, void *userdata)
{
    enlist(id, HOST_TB_TRANS, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_syscall_cb_t cb,
                                          void *userdata)
{
    enlist(id, HOST_SYSCALL, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id,
                                              qemu_plugin_vcpu_syscall_ret_cb_t cb,
                                              void *userdata)
{
    enlist(id, HOST_SYSCALL_RET, (void *)cb, userdata);
}

void qemu_plugin_register_flush_cb(qemu_plugin_id_t id, qemu_plugin_plain_event_cb_t cb,
                                   void *userdata)
{
    enlist(id, HOST_FLUSH, (void *)cb, userdata);
}

void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb,
                                    void *userdata)
{
    enlist(id, HOST_ATEXIT, (void *)cb, userdata);
}

void qemu_plugin_register_vcpu_discon_cb(qemu_plugin_id_t id, enum qemu_plugin_discon_type type,
                                         qemu_plugin_vcpu_discon_cb_t cb, void *userdata)
{
    host_plugin_by_id(id)->discon_types = (int)type;
    enlist(id, HOST_DISCON, (void *)cb, userdata);
}

/* The calls of the recorded run cannot be prevented any more, so nobody is asked. */
void qemu_plugin_register_vcpu_syscall_filter_cb(qemu_plugin_id_t id,
                                                 qemu_plugin_vcpu_syscall_filter_cb_t cb,
                                                 void *userdata)
{
    host_message_once("a plugin filters system calls: a trace cannot be changed, "
                      "the filter is not called");
    enlist(id, HOST_SYSCALL_FILTER, (void *)cb, userdata);
}

void qemu_plugin_vcpu_for_each(qemu_plugin_id_t id, qemu_plugin_vcpu_event_cb_t cb,
                               void *userdata)
{
    struct host_plugin *plugin = host_plugin_by_id(id);
    GHashTableIter iter;
    gpointer index;

    if (cb == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, host.live);
    while (g_hash_table_iter_next(&iter, &index, NULL)) {
        unsigned vcpu = (unsigned)*(int *)index;
        if (plugin->version >= 7) {
            cb(vcpu, userdata);
        } else {
            ((qemu_plugin_v1_vcpu_simple_cb_t)(void *)cb)(id, vcpu);
        }
    }
}

/* ---- calling ---- */

static gint compare_order(gconstpointer a, gconstpointer b, gpointer event)
{
    const struct host_plugin *pa = *(struct host_plugin *const *)a;
    const struct host_plugin *pb = *(struct host_plugin *const *)b;
    int e = GPOINTER_TO_INT(event);

    return pa->event[e].order > pb->event[e].order ? -1 : 1;
}

GPtrArray *host_listeners(enum host_event event)
{
    GPtrArray *list = g_ptr_array_new();

    for (guint i = 0; i < host.plugin->len; i++) {
        struct host_plugin *plugin = host.plugin->pdata[i];
        if (!plugin->gone && plugin->event[event].func != NULL) {
            g_ptr_array_add(list, plugin);
        }
    }
    g_ptr_array_sort_with_data(list, compare_order, GINT_TO_POINTER(event));
    return list;
}

static void call_vcpu(const struct host_plugin *p, enum host_event event, unsigned vcpu)
{
    const struct host_callback *cb = &p->event[event];

    if (p->version >= 7) {
        ((qemu_plugin_v7_vcpu_udata_cb_t)cb->func)(vcpu, cb->userdata);
    } else {
        ((qemu_plugin_v1_vcpu_simple_cb_t)cb->func)(p->id, vcpu);
    }
}

void host_vcpu_event(enum host_event event, unsigned vcpu)
{
    GPtrArray *list = host_listeners(event);

    host_before_callbacks();
    for (guint i = 0; i < list->len; i++) {
        host.current = list->pdata[i];
        call_vcpu(host.current, event, vcpu);
    }
    host.current = NULL;
    g_ptr_array_free(list, TRUE);
}

static void call_syscall(const struct host_plugin *p, unsigned vcpu, const uint64_t *a)
{
    const struct host_callback *cb = &p->event[HOST_SYSCALL];

    if (p->version >= 7) {
        ((qemu_plugin_v7_vcpu_syscall_cb_t)cb->func)(vcpu, (int64_t)a[0], a[1], a[2], a[3], a[4],
                                                     a[5], a[6], a[7], a[8], cb->userdata);
    } else {
        ((qemu_plugin_v1_vcpu_syscall_cb_t)cb->func)(p->id, vcpu, (int64_t)a[0], a[1], a[2],
                                                     a[3], a[4], a[5], a[6], a[7], a[8]);
    }
}

static void call_syscall_ret(const struct host_plugin *p, unsigned vcpu, const uint64_t *a)
{
    const struct host_callback *cb = &p->event[HOST_SYSCALL_RET];

    if (p->version >= 7) {
        ((qemu_plugin_v7_vcpu_syscall_ret_cb_t)cb->func)(vcpu, (int64_t)a[0], (int64_t)a[1],
                                                         cb->userdata);
    } else {
        ((qemu_plugin_v1_vcpu_syscall_ret_cb_t)cb->func)(p->id, vcpu, (int64_t)a[0],
                                                         (int64_t)a[1]);
    }
}

static void call_flush(const struct host_plugin *p)
{
    const struct host_callback *cb = &p->event[HOST_FLUSH];

    if (p->version >= 7) {
        ((qemu_plugin_v7_udata_cb_t)cb->func)(cb->userdata);
    } else {
        ((qemu_plugin_v1_simple_cb_t)cb->func)(p->id);
    }
}

static void call_discon(const struct host_plugin *p, unsigned vcpu, const uint64_t *a)
{
    const struct host_callback *cb = &p->event[HOST_DISCON];
    enum qemu_plugin_discon_type type = (enum qemu_plugin_discon_type)(int)a[0];

    if ((p->discon_types & (int)type) == 0) {
        return;
    }
    if (p->version >= 7) {
        ((qemu_plugin_v7_vcpu_discon_cb_t)cb->func)(vcpu, type, a[1], a[2], cb->userdata);
    } else {
        ((qemu_plugin_v6_vcpu_discon_cb_t)cb->func)(p->id, vcpu, type, a[1], a[2]);
    }
}

static void call_event(enum host_event event, unsigned vcpu, const uint64_t *arg)
{
    GPtrArray *list = host_listeners(event);

    if (list->len > 0) {
        host_before_callbacks();
    }
    for (guint i = 0; i < list->len; i++) {
        struct host_plugin *p = host.current = list->pdata[i];
        if (event == HOST_SYSCALL) {
            call_syscall(p, vcpu, arg);
        } else if (event == HOST_SYSCALL_RET) {
            call_syscall_ret(p, vcpu, arg);
        } else if (event == HOST_FLUSH) {
            call_flush(p);
        } else if (event == HOST_DISCON) {
            call_discon(p, vcpu, arg);
        } else {
            call_vcpu(p, event, vcpu);
        }
    }
    host.current = NULL;
    g_ptr_array_free(list, TRUE);
}

void host_dispatch(const struct qtrace_event *event, unsigned vcpu)
{
    switch (event->kind) {
    case QTRACE_EVENT_VCPU_INIT:
        host_vcpu_seen(vcpu);
        break;
    case QTRACE_EVENT_VCPU_EXIT:
        call_event(HOST_VCPU_EXIT, vcpu, event->arg);
        g_hash_table_remove(host.live, &vcpu);
        break;
    case QTRACE_EVENT_VCPU_IDLE:
        call_event(HOST_VCPU_IDLE, vcpu, event->arg);
        break;
    case QTRACE_EVENT_VCPU_RESUME:
        call_event(HOST_VCPU_RESUME, vcpu, event->arg);
        break;
    case QTRACE_EVENT_SYSCALL:
        call_event(HOST_SYSCALL, vcpu, event->arg);
        break;
    case QTRACE_EVENT_SYSCALL_RET:
        call_event(HOST_SYSCALL_RET, vcpu, event->arg);
        break;
    case QTRACE_EVENT_FLUSH:
        call_event(HOST_FLUSH, vcpu, event->arg);
        host_apply_changes(HOST_ANY_STREAM); /* this flush may be theirs */
        break;
    case QTRACE_EVENT_DISCON:
        call_event(HOST_DISCON, vcpu, event->arg);
        break;
    case QTRACE_EVENT_TRANSLATION:
        host_apply_changes(host.stream);
        host_announce((uint32_t)event->arg[0]);
        break;
    case QTRACE_EVENT_SYNC:
    case QTRACE_EVENT_LOST:
        break;
    }
}
