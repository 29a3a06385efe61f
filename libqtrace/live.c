/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io.h"
#include "recorder.h"

static const char magic[8] = "QTRlive";

/* Header and what lies behind it begin at multiples of this. */
#define HEADER_SIZE QT_LIVE_UNIT

/* The file may take one of so many parts of the space that is free: the trace needs it more. */
#define PARTS 4

/* Changes with the version, the structs and the kind of machine. */
static void describe_build(char *build, size_t size)
{
    const uint32_t order = 0x01020304;
    uint8_t first;

    memcpy(&first, &order, 1);
    snprintf(build, size, "%s %zu.%zu.%zu.%u", QTRACE_VERSION, sizeof(struct qt_producer),
             sizeof(struct qt_checkpoint), sizeof(void *), first);
}

static bool name_of(const char *path, char *name, size_t size)
{
    return (size_t)snprintf(name, size, "%s" QT_LIVE_SUFFIX, path) < size;
}

/* ---- making it ---- */

/* Has a killed recorder left this? Then it begins with the mark, or with nothing if the recorder
 * was killed at once. */
static bool is_stale(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    static const char nothing[sizeof(magic)];
    char start[sizeof(magic)] = {0};
    struct stat st;
    bool stale;

    if (fd < 0) {
        return false;
    }
    stale = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, start, sizeof(start), 0) >= 0 &&
            (memcmp(start, magic, sizeof(magic)) == 0 ||
             memcmp(start, nothing, sizeof(nothing)) == 0) &&
            flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
    return stale;
}

static int create_file(const char *name)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(name, flags, 0666);

    if (fd < 0 && errno == EEXIST && is_stale(name) && unlink(name) == 0) {
        fd = open(name, flags, 0666);
    }
    return fd;
}

/* Units that the arena may have; 0: too few. */
static size_t choose_units(int fd, const struct qt_live_options *o)
{
    struct statvfs fs;
    uint64_t part;

    if (fstatvfs(fd, &fs) < 0) {
        return 0;
    }
    part = fs.f_bavail * (uint64_t)fs.f_frsize / PARTS;
    errno = ENOSPC;
    return part < o->arena_min ? 0 : (part < o->arena_size ? part : o->arena_size) / QT_LIVE_UNIT;
}

static bool map_file(struct qt_live *live, const struct qt_live_options *o)
{
    void *map;

    live->n_units = choose_units(live->fd, o);
    live->size = HEADER_SIZE + live->n_units * QT_LIVE_UNIT;
    live->used = live->n_units == 0 ? NULL : calloc(live->n_units, 1);
    if (live->used == NULL || flock(live->fd, LOCK_EX | LOCK_NB) < 0 ||
        ftruncate(live->fd, (off_t)(live->size + o->slots_size)) < 0) {
        return false;
    }
    map = mmap(NULL, live->size, PROT_READ | PROT_WRITE, MAP_SHARED, live->fd, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    live->header = map;
    live->arena = (uint8_t *)map + HEADER_SIZE;
    if (!qt_live_populate(map, HEADER_SIZE)) {
        errno = ENOSPC;
        return false;
    }
    if (mmap(o->slots, o->slots_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, live->fd,
             (off_t)live->size) == MAP_FAILED) {
        return false;
    }
    live->slots = o->slots;
    return true;
}

static void fill_header(struct qt_live *live, const struct qt_live_options *o)
{
    struct qt_live_header *h = live->header;

    describe_build(h->build, sizeof(h->build));
    h->nonce = o->nonce;
    h->arena = HEADER_SIZE;
    h->arena_address = (uintptr_t)live->arena;
    h->n_units = live->n_units;
    h->slots = live->size;
    h->slots_address = (uintptr_t)o->slots;
    h->slots_size = o->slots_size;
    h->slot_size = o->slot_size;
    h->user = o->user;
    h->more = o->more;
    memcpy(h->magic, magic, sizeof(magic));
}

static void destroy(struct qt_live *live)
{
    if (live->header != NULL) {
        munmap(live->header, live->size);
    }
    if (live->fd >= 0) {
        close(live->fd);
    }
    free(live->used);
    free(live);
}

struct qt_live *qt_live_create(const struct qt_live_options *o, struct qtrace_error *err)
{
    struct qt_live *live = calloc(1, sizeof(*live));
    char name[PATH_MAX];

    if (live == NULL || !name_of(o->path, name, sizeof(name))) {
        free(live);
        qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&live->lock, NULL);
    live->fd = create_file(name);
    if (live->fd < 0) {
        qt_io_error(err, errno, UINT64_MAX, name);
        destroy(live);
        return NULL;
    }
    if (!map_file(live, o)) {
        qt_io_error(err, errno, UINT64_MAX, name);
        unlink(name);
        destroy(live);
        return NULL;
    }
    fill_header(live, o);
    return live;
}

void qt_live_remove(struct qt_live *live, const char *path)
{
    char name[PATH_MAX];

    if (live != NULL && name_of(path, name, sizeof(name))) {
        unlink(name);
        close(live->fd);
        live->fd = -1;
    }
}

/* ---- a child of fork ---- */

/* Put memory of our own in the place of the file's; contents that matter are copied. */
static void replace(void *place, size_t size, size_t copied)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *own = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (own == MAP_FAILED) {
        mmap(place, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0);
        return;
    }
    memcpy(own, place, copied);
    mremap(own, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
}

void qt_live_leave(struct qt_live *live)
{
    const struct qt_live_header *h = live->header;

    replace(live->slots, h->slots_size, h->n_slots * h->slot_size);
    replace(live->header, live->size, sizeof(*h));
}

void qt_live_drop(struct qt_live *live)
{
    if (live != NULL) {
        live->fd = -1; /* the parent's, by number one of the guest's */
        destroy(live);
    }
}

/* ---- memory ---- */

bool qt_live_populate(void *memory, size_t size)
{
    return madvise(memory, size, MADV_POPULATE_WRITE) == 0;
}

void qt_live_populate_slot(struct qt_live *live, void *slot)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start = (void *)((uintptr_t)slot & ~(page - 1));
    const uint32_t n =
        (uint32_t)(((uintptr_t)slot - (uintptr_t)live->slots) / live->header->slot_size) + 1;
    uint32_t most = live->header->n_slots;

    if (!qt_live_populate(start, page)) {
        mmap(start, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    while (most < n && !atomic_compare_exchange_weak(&live->header->n_slots, &most, n)) {
    }
}

static size_t units(size_t size)
{
    return (size + QT_LIVE_UNIT - 1) / QT_LIVE_UNIT;
}

void *qt_live_alloc(struct qt_live *live, size_t size)
{
    const size_t n = units(size);
    size_t run = 0, i;
    void *memory = NULL;

    pthread_mutex_lock(&live->lock);
    for (i = 0; i < live->n_units && run < n; i++) {
        run = live->used[i] ? 0 : run + 1;
    }
    if (run == n) {
        memset(live->used + i - n, 1, n);
        memory = live->arena + (i - n) * QT_LIVE_UNIT;
    }
    pthread_mutex_unlock(&live->lock);
    return memory;
}

static void give_back(struct qt_live *live, void *memory, size_t size)
{
    const size_t first = (size_t)((uint8_t *)memory - live->arena) / QT_LIVE_UNIT;

    pthread_mutex_lock(&live->lock);
    memset(live->used + first, 0, units(size));
    pthread_mutex_unlock(&live->lock);
}

void qt_live_recycle(struct qt_live *live, void *memory, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), all = units(size) * QT_LIVE_UNIT;

    if (live->thrifty && page < all) {
        madvise((uint8_t *)memory + page, all - page, MADV_REMOVE);
    }
    give_back(live, memory, size);
}

void qt_live_free(struct qt_live *live, void *memory, size_t size)
{
    madvise(memory, units(size) * QT_LIVE_UNIT, MADV_REMOVE);
    give_back(live, memory, size);
}

/* ---- reading ---- */

/* Does the file have all that its header says? */
static bool is_sound(const struct qt_live_header *h, uint64_t size)
{
    return h->arena == HEADER_SIZE && h->n_units <= size / QT_LIVE_UNIT - 1 &&
           h->slots == HEADER_SIZE + h->n_units * QT_LIVE_UNIT &&
           h->slots_size <= size - h->slots && h->slot_size >= sizeof(struct qt_producer) &&
           h->notes.n_units <= h->n_units && h->notes.unit <= h->n_units - h->notes.n_units;
}

static int check_header(const struct qt_live_header *h, uint64_t size, uint64_t nonce,
                        const char *name, struct qtrace_error *err)
{
    char build[sizeof(h->build)];

    if (memcmp(h->magic, magic, sizeof(magic)) != 0 || h->nonce != nonce) {
        return QTRACE_END;
    }
    describe_build(build, sizeof(build));
    if (strncmp(h->build, build, sizeof(build)) != 0) {
        return qtrace_error_set(err, QTRACE_E_REFUSED, UINT64_MAX,
                                "%s has the last events, but another build of qtrace (%.*s) wrote "
                                "it: run that one's qtrace-dump --recover, or remove the file",
                                name, (int)sizeof(h->build), h->build);
    }
    return is_sound(h, size) ? QTRACE_OK : QTRACE_END;
}

static int map_for_reading(struct qt_live *live, uint64_t nonce, const char *name,
                           struct qtrace_error *err)
{
    struct stat st;
    void *map;
    int ret;

    if (fstat(live->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)HEADER_SIZE ||
        flock(live->fd, LOCK_SH | LOCK_NB) < 0) {
        return QTRACE_END;
    }
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, live->fd, 0);
    if (map == MAP_FAILED) {
        return qt_io_error(err, errno, UINT64_MAX, name);
    }
    live->header = map;
    live->size = (size_t)st.st_size;
    ret = check_header(live->header, live->size, nonce, name, err);
    if (ret == QTRACE_OK) {
        live->arena = (uint8_t *)map + live->header->arena;
        live->n_units = live->header->n_units;
        live->slots = (uint8_t *)map + live->header->slots;
    }
    return ret;
}

int qt_live_open(struct qt_live **out, const char *path, uint64_t nonce, struct qtrace_error *err)
{
    struct qt_live *live = calloc(1, sizeof(*live));
    char name[PATH_MAX];
    int ret;

    *out = NULL;
    if (live == NULL) {
        return qtrace_error_set(err, QTRACE_E_NOMEM, UINT64_MAX, "out of memory");
    }
    live->fd =
        name_of(path, name, sizeof(name)) ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    ret = live->fd < 0 ? QTRACE_END : map_for_reading(live, nonce, name, err);
    if (ret != QTRACE_OK) {
        destroy(live);
        return ret;
    }
    *out = live;
    return QTRACE_OK;
}

/* (Where files cannot be locked it tells nothing.) */
static bool is_locked(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

    if (fd >= 0) {
        close(fd);
    }
    return locked;
}

/* There need not be a file beside the trace. At the end the trace is closed before that goes. */
bool qt_live_is_busy(const char *path)
{
    char name[PATH_MAX];

    return is_locked(path) || (name_of(path, name, sizeof(name)) && is_locked(name));
}

void qt_live_discard(const char *path)
{
    char name[PATH_MAX];

    if (name_of(path, name, sizeof(name)) && is_stale(name)) {
        unlink(name);
    }
}

void qt_live_close(struct qt_live *live)
{
    if (live != NULL) {
        destroy(live);
    }
}

void *qt_live_find(const struct qt_live *live, uint64_t address, size_t size)
{
    const uint64_t at = address - live->header->arena_address;
    const uint64_t end = live->n_units * QT_LIVE_UNIT;

    return at <= end && size <= end - at ? live->arena + at : NULL;
}
