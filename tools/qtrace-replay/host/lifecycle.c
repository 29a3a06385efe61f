/*
 * lifecycle.c - plugins that leave or start again, and the end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <string.h>

struct host_plugin *host_plugin_by_id(qemu_plugin_id_t id)
{
    for (guint i = 0; i < host.plugin->len; i++) {
        struct host_plugin *plugin = host.plugin->pdata[i];
        if (plugin->id == id && !plugin->gone) {
            return plugin;
        }
    }
    host_message("a plugin used an id that no plugin has");
    abort(); /* as QEMU does */
}

static void apply(struct host_plugin *plugin);

/* QEMU does this as soon as the vCPU that asks leaves its block or its system call, and with a
 * flush; before there are vCPUs, at once. */
static void request(qemu_plugin_id_t id, void *cb, void *userdata, bool reset)
{
    struct host_plugin *plugin = host_plugin_by_id(id);

    if (plugin->uninstalling || (reset && plugin->resetting)) {
        return;
    }
    plugin->resetting = reset;
    plugin->uninstalling = !reset;
    plugin->after.func = cb;
    plugin->after.userdata = userdata;
    plugin->asked_by = host.stream;
    host.changes_pending = true;
    host.changes_asked++;
    host_catch_up();
    host.needs |= HOST_NEEDS_ALL; /* blocks are announced again when they run */
    if (plugin->installing) {
        apply(plugin);
    }
}

void qemu_plugin_uninstall(qemu_plugin_id_t id, qemu_plugin_plain_event_cb_t cb, void *userdata)
{
    request(id, (void *)cb, userdata, false);
}

void qemu_plugin_reset(qemu_plugin_id_t id, qemu_plugin_plain_event_cb_t cb, void *userdata)
{
    request(id, (void *)cb, userdata, true);
}

static void apply(struct host_plugin *plugin)
{
    struct host_callback after = plugin->after;
    struct host_plugin *outer = host.current;
    bool uninstall = plugin->uninstalling;

    if (uninstall && plugin->installing) {
        host_message("%s: qemu_plugin_uninstall was called by the install function, which has to "
                     "return non-zero instead", plugin->path);
        abort(); /* as QEMU does */
    }
    memset(plugin->event, 0, sizeof(plugin->event));
    plugin->generation++;
    plugin->reset_epoch = ++host.epoch;
    if (after.func != NULL) {
        host.current = plugin;
        if (plugin->version >= 7) {
            ((qemu_plugin_v7_udata_cb_t)after.func)(after.userdata);
        } else {
            ((qemu_plugin_v1_simple_cb_t)after.func)(plugin->id);
        }
        host.current = outer;
    }
    plugin->resetting = false;
    if (uninstall) {
        plugin->gone = true;
        host_unload(plugin);
    }
}

void host_apply_changes(uint32_t stream)
{
    if (!host.changes_pending) {
        return;
    }
    host.changes_pending = false;
    for (guint i = 0; i < host.plugin->len; i++) {
        struct host_plugin *plugin = host.plugin->pdata[i];
        if (plugin->gone || !(plugin->resetting || plugin->uninstalling)) {
            continue;
        }
        if (stream == HOST_ANY_STREAM || stream == plugin->asked_by) {
            apply(plugin);
        } else {
            host.changes_pending = true;
        }
    }
}

void host_run_atexit(void)
{
    GPtrArray *listeners = host_listeners(HOST_ATEXIT);

    host_catch_up();
    for (guint i = 0; i < listeners->len; i++) {
        struct host_plugin *plugin = listeners->pdata[i];
        struct host_callback cb = plugin->event[HOST_ATEXIT];

        if (plugin->atexit_done || plugin->gone || cb.func == NULL) {
            continue;
        }
        plugin->atexit_done = true; /* before the call: it may call exit */
        host.current = plugin;
        if (plugin->version >= 7) {
            ((qemu_plugin_v7_udata_cb_t)cb.func)(cb.userdata);
        } else {
            ((qemu_plugin_v1_udata_cb_t)cb.func)(plugin->id, cb.userdata);
        }
        host.current = NULL;
    }
    g_ptr_array_free(listeners, TRUE);
}
