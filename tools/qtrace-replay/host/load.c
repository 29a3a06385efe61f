/*
 * load.c - find a plugin, load it, install it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "host.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- where ---- */

/* Folders that hold analyzers: of the build tree, of an installation that may have been moved,
 * of the installation that was configured. */
static char **analyzer_folders(void)
{
    char *exe = g_file_read_link("/proc/self/exe", NULL);
    char *here = g_path_get_dirname(exe != NULL ? exe : ".");
    char **folders = g_new0(char *, 4);

    folders[0] = g_build_filename(here, "analyzers", NULL);
    folders[1] = g_build_filename(here, QTRACE_ANALYZERS_FROM_BIN, NULL);
    folders[2] = g_strdup(QTRACE_ANALYZERS);
    g_free(here);
    g_free(exe);
    return folders;
}

/* The file of an analyzer's name, or NULL. */
static char *find_analyzer(const char *name)
{
    char **folders = analyzer_folders();
    char *file = g_str_has_suffix(name, ".so") ? g_strdup(name)
                                               : g_strconcat("lib", name, ".so", NULL);
    char *path = NULL;

    for (size_t i = 0; folders[i] != NULL && path == NULL; i++) {
        path = g_build_filename(folders[i], file, NULL);
        if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
            g_clear_pointer(&path, g_free);
        }
    }
    g_free(file);
    g_strfreev(folders);
    return path;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void collect_names(const char *folder, GPtrArray *names)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *entry;

    while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL) {
        if (g_str_has_prefix(entry, "lib") && g_str_has_suffix(entry, ".so")) {
            char *name = g_strndup(entry + 3, strlen(entry) - 6);
            if (g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
                g_free(name);
            } else {
                g_ptr_array_add(names, name);
            }
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
}

/* Names are padded to this, where a summary follows. */
#define NAME_WIDTH 11

static void list_analyzer(FILE *out, const char *name)
{
    char *path = find_analyzer(name);
    void *handle = path != NULL ? dlopen(path, RTLD_LAZY | RTLD_LOCAL) : NULL;
    const char *summary = handle != NULL ? dlsym(handle, "qtrace_analyzer_summary") : NULL;

    if (summary != NULL) {
        fprintf(out, "%-*s  %s\n", NAME_WIDTH, name, summary);
    } else {
        fprintf(out, "%s\n", name);
    }
    if (handle != NULL) {
        dlclose(handle);
    }
    g_free(path);
}

void host_list_analyzers(FILE *out)
{
    char **folders = analyzer_folders();
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; folders[i] != NULL; i++) {
        collect_names(folders[i], names);
    }
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        list_analyzer(out, names->pdata[i]);
    }
    g_ptr_array_free(names, TRUE);
    g_strfreev(folders);
}

/* ---- how ---- */

/* A copy of a file in memory, under a name that the dynamic linker has not seen. The descriptor
 * stays open: the name must not be used again. */
static char *private_copy(const char *path)
{
    char *data = NULL;
    gsize size = 0, done = 0;
    int fd = memfd_create("qtrace-analyzer", MFD_CLOEXEC);

    if (fd < 0 || !g_file_get_contents(path, &data, &size, NULL)) {
        return NULL;
    }
    while (done < size) {
        ssize_t n = write(fd, data + done, size - done);
        if (n <= 0) {
            break;
        }
        done += (gsize)n;
    }
    g_free(data);
    return done == size ? g_strdup_printf("/proc/self/fd/%d", fd) : NULL;
}

/* Every use of a plugin has its own variables: when the linker hands out a library that another
 * plugin of ours is using, load a copy. */
static void *open_fresh(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    for (guint i = 0; handle != NULL && i < host.plugin->len; i++) {
        struct host_plugin *other = host.plugin->pdata[i];
        if (!other->gone && other->handle == handle) {
            char *copy = private_copy(path);
            dlclose(handle);
            handle = copy != NULL ? dlopen(copy, RTLD_NOW | RTLD_LOCAL) : NULL;
            g_free(copy);
        }
    }
    return handle;
}

/* The checks and words are QEMU's: scripts look for them. */
static bool check_version(struct host_plugin *plugin)
{
    const int *version = dlsym(plugin->handle, "qemu_plugin_version");

    if (version == NULL) {
        host_message("Could not load plugin %s: plugin does not declare API version %s",
                     plugin->path, dlerror());
        return false;
    }
    plugin->version = *version;
    if (*version < HOST_API_MIN) {
        host_message("Could not load plugin %s: plugin requires API version %d, but "
                     "this QEMU supports only a minimum version of %d",
                     plugin->path, *version, HOST_API_MIN);
        return false;
    }
    if (*version > HOST_API_MAX) {
        host_message("Could not load plugin %s: plugin requires API version %d, but "
                     "this QEMU supports only up to version %d",
                     plugin->path, *version, HOST_API_MAX);
        return false;
    }
    return true;
}

static int install(struct host_plugin *plugin)
{
    int (*entry)(qemu_plugin_id_t, const qemu_info_t *, int, char **);
    const struct qtrace_run *run = host.run;
    qemu_info_t info = {
        .target_name = run->target != NULL ? run->target : "unknown",
        .version.min = MIN((int)run->api_min, plugin->version),
        .version.cur = MAX((int)run->api_cur, plugin->version),
        .system_emulation = run->system,
    };

    if (run->system) {
        info.system.smp_vcpus = (int)run->smp_vcpus;
        info.system.max_vcpus = (int)run->max_vcpus;
    }
    *(void **)(&entry) = dlsym(plugin->handle, "qemu_plugin_install");
    host.current = plugin;
    plugin->installing = true;
    int rc = entry(plugin->id, &info, plugin->argc, plugin->argv);
    plugin->installing = false;
    host.current = NULL;
    return rc;
}

static bool open_plugin(struct host_plugin *plugin)
{
    plugin->handle = open_fresh(plugin->path);
    if (plugin->handle == NULL) {
        host_message("Could not load plugin %s: %s", plugin->path, dlerror());
        return false;
    }
    if (dlsym(plugin->handle, "qemu_plugin_install") == NULL) {
        host_message("Could not load plugin %s: %s", plugin->path, dlerror());
        return false;
    }
    return check_version(plugin);
}

bool host_load(const char *spec)
{
    struct host_plugin *plugin = g_new0(struct host_plugin, 1);
    char *name = host_parse_spec(spec, &plugin->argc, &plugin->argv);
    int rc;

    plugin->path = strchr(name, '/') != NULL ? g_strdup(name) : find_analyzer(name);
    plugin->number = host.plugin->len;
    plugin->id = UINT64_C(0x9e3779b97f4a7c15) * (plugin->number + 1);
    if (plugin->path == NULL) {
        host_message("there is no analyzer '%s' (--list shows what there is; a path needs a '/')",
                     name);
    }
    g_free(name);
    if (plugin->path == NULL || !open_plugin(plugin)) {
        return false;
    }
    g_ptr_array_add(host.plugin, plugin);
    rc = install(plugin);
    if (rc != 0) {
        plugin->gone = true;
        host_message("Could not load plugin %s: qemu_plugin_install returned error code %d",
                     plugin->path, rc);
    }
    return rc == 0;
}

void host_unload(struct host_plugin *plugin)
{
    if (plugin->handle != NULL && dlclose(plugin->handle) != 0) {
        host_message("%s: %s", plugin->path, dlerror());
    }
    plugin->handle = NULL;
}
