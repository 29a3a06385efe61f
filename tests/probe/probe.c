/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * An independent witness: a QEMU plugin that counts, per vCPU index, what a recorder loaded into
 * the same process should have recorded. It shares no code with qtrace, includes QEMU's own
 * qemu-plugin.h and builds for each version of it. Everything is counted by callback and with
 * atomic additions, so that threads, vCPUs that share an index one after another, and a process
 * that is killed cannot disturb it; the check sums are sums of hashes, so that order plays no
 * role.
 *
 * Arguments (after the file name, separated by commas):
 *   out=FILE   write the text below at QEMU's exit callback; FILE is created then, by the path it
 *              had when the plugin was loaded
 *   shm=FILE   keep the counters in FILE, mapped shared: they survive any way of dying
 *   insn=off   no instruction callbacks (insns and isum stay 0)
 *   mem=off    no memory callbacks
 *   phys=on    ask what memory each access has reached: psum is added to the lines
 *   fork=keep  a forked child counts on into a copy of its parent's counters; default: from zero
 *   fork=shm   a forked child has a file for its counters as its parent has, with ".PID" appended
 *
 * A forked child never touches its parent's shm= file; at its exit it writes out= with ".PID"
 * appended.
 *
 * Text, one line for each vCPU index that saw anything, in ascending order:
 *   vcpu I init=N exit=N blocks=N insns=N loads=N stores=N bytes=N bsum=X isum=X asum=X \
 *       syscalls=N rets=N
 *   translations=N
 * and "dropped=N" at the end if events carried an index beyond 65535. N is decimal, X is 16 hex
 * digits, sums are modulo 2^64, h is splitmix64's output function of the state given:
 *   bsum   sum over executed blocks of h(vaddr * 1024 + number of instructions)
 *   isum   sum over executed instructions of h(vaddr)
 *   asum   sum over accesses of h(vaddr * 8 + size shift * 2 + (1 if store))
 *   psum   sum over accesses of h(h(vaddr) + h(physical address) + WHAT); both 0 if QEMU has no
 *          handle, else WHAT is 1 for RAM, and the FNV-1a hash of the device's name for a device
 *
 * The shm= file, in host byte order: struct header, then N_VCPUS times struct counters. Compiled
 * with -DPROBE_DUMP this file is a program that prints such a file as the text above.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_VCPUS 65536u
#define MAGIC 0x31656e7374776271ull

enum counter {
    INIT,
    EXIT,
    BLOCKS,
    INSNS,
    LOADS,
    STORES,
    BYTES,
    BLOCK_SUM,
    INSN_SUM,
    ACCESS_SUM,
    SYSCALLS,
    RETURNS,
    PHYS_SUM,
    N_COUNTERS = 16, /* two cache lines, so that neighbours do not disturb each other */
};

struct header {
    uint64_t magic;
    uint32_t n_vcpus;
    uint32_t n_counters;
    uint64_t translations;
    uint64_t dropped;
    uint64_t reserved[12];
};

struct counters {
    uint64_t n[N_COUNTERS];
};

struct witness {
    struct header header;
    struct counters vcpu[N_VCPUS];
};

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text += n;
        size -= (size_t)n;
    }
    return true;
}

/* No stdio streams and no allocation: this also runs while other threads do anything. */
static bool print_witness(int fd, struct witness *w)
{
    char line[512];
    int n;

    for (unsigned int i = 0; i < N_VCPUS; i++) {
        uint64_t c[N_COUNTERS];
        uint64_t any = 0;
        for (int k = 0; k < N_COUNTERS; k++) {
            c[k] = __atomic_load_n(&w->vcpu[i].n[k], __ATOMIC_RELAXED);
            any |= c[k];
        }
        if (any == 0) {
            continue;
        }
        n = snprintf(line, sizeof(line),
                     "vcpu %u init=%" PRIu64 " exit=%" PRIu64 " blocks=%" PRIu64 " insns=%" PRIu64
                     " loads=%" PRIu64 " stores=%" PRIu64 " bytes=%" PRIu64 " bsum=%016" PRIx64
                     " isum=%016" PRIx64 " asum=%016" PRIx64 " syscalls=%" PRIu64
                     " rets=%" PRIu64,
                     i, c[INIT], c[EXIT], c[BLOCKS], c[INSNS], c[LOADS], c[STORES], c[BYTES],
                     c[BLOCK_SUM], c[INSN_SUM], c[ACCESS_SUM], c[SYSCALLS], c[RETURNS]);
        if (c[PHYS_SUM] != 0) {
            n += snprintf(line + n, sizeof(line) - n, " psum=%016" PRIx64, c[PHYS_SUM]);
        }
        line[n++] = '\n';
        if (!write_all(fd, line, (size_t)n)) {
            return false;
        }
    }
    n = snprintf(line, sizeof(line), "translations=%" PRIu64 "\n",
                 __atomic_load_n(&w->header.translations, __ATOMIC_RELAXED));
    if (!write_all(fd, line, (size_t)n)) {
        return false;
    }
    uint64_t dropped = __atomic_load_n(&w->header.dropped, __ATOMIC_RELAXED);
    if (dropped != 0) {
        n = snprintf(line, sizeof(line), "dropped=%" PRIu64 "\n", dropped);
        return write_all(fd, line, (size_t)n);
    }
    return true;
}

#ifdef PROBE_DUMP

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || lseek(fd, 0, SEEK_END) != (off_t)sizeof(struct witness)) {
        fprintf(stderr, "%s: not a witness\n", argv[1]);
        return 1;
    }
    struct witness *w = mmap(NULL, sizeof(*w), PROT_READ, MAP_SHARED, fd, 0);
    if (w == MAP_FAILED || w->header.magic != MAGIC || w->header.n_vcpus != N_VCPUS ||
        w->header.n_counters != N_COUNTERS) {
        fprintf(stderr, "%s: not a witness\n", argv[1]);
        return 1;
    }
    return print_witness(STDOUT_FILENO, w) ? 0 : 1;
}

#else /* the plugin */

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Since version 7 callbacks have no plugin id but end with what was given when they were
 * registered. */
#if QEMU_PLUGIN_VERSION >= 7
#define ID
#define USERDATA , void *userdata
#define NO_USERDATA , NULL
#define UNUSED (void)userdata
#else
#define ID qemu_plugin_id_t id,
#define USERDATA
#define NO_USERDATA
#define UNUSED (void)id
#endif

static struct witness *witness;
static char out_path[PATH_MAX];
static char shm_path[PATH_MAX];
static bool with_insns = true;
static bool with_mem = true;
static bool with_phys;
static bool keep_at_fork;
static bool share_at_fork;

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static void add(unsigned int index, enum counter counter, uint64_t n)
{
    if (index < N_VCPUS) {
        __atomic_fetch_add(&witness->vcpu[index].n[counter], n, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_add(&witness->header.dropped, 1, __ATOMIC_RELAXED);
    }
}

static void on_vcpu_init(ID unsigned int index USERDATA)
{
    UNUSED;
    add(index, INIT, 1);
}

static void on_vcpu_exit(ID unsigned int index USERDATA)
{
    UNUSED;
    add(index, EXIT, 1);
}

/* userdata of blocks and instructions is their hash, computed when they are translated. */
static void on_block(unsigned int index, void *userdata)
{
    add(index, BLOCKS, 1);
    add(index, BLOCK_SUM, (uint64_t)(uintptr_t)userdata);
}

static void on_insn(unsigned int index, void *userdata)
{
    add(index, INSNS, 1);
    add(index, INSN_SUM, (uint64_t)(uintptr_t)userdata);
}

static uint64_t name_hash(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull;

    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3ull;
    }
    return hash;
}

static uint64_t phys_hash(qemu_plugin_meminfo_t info, uint64_t vaddr)
{
    const struct qemu_plugin_hwaddr *handle = qemu_plugin_get_hwaddr(info, vaddr);
    uint64_t what = 1;

    if (handle == NULL) {
        return mix(mix(vaddr) + mix(0));
    }
    if (qemu_plugin_hwaddr_is_io(handle)) {
        what = name_hash(qemu_plugin_hwaddr_device_name(handle));
    }
    return mix(mix(vaddr) + mix(qemu_plugin_hwaddr_phys_addr(handle)) + what);
}

static void on_access(unsigned int index, qemu_plugin_meminfo_t info, uint64_t vaddr,
                      void *userdata)
{
    unsigned int shift = qemu_plugin_mem_size_shift(info);
    bool store = qemu_plugin_mem_is_store(info);

    (void)userdata;
    add(index, store ? STORES : LOADS, 1);
    add(index, BYTES, (uint64_t)1 << shift);
    add(index, ACCESS_SUM, mix(vaddr * 8 + shift * 2 + store));
    if (with_phys) {
        add(index, PHYS_SUM, phys_hash(info, vaddr));
    }
}

static void on_syscall(ID unsigned int index, int64_t num, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8 USERDATA)
{
    UNUSED, (void)num;
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    add(index, SYSCALLS, 1);
}

static void on_syscall_ret(ID unsigned int index, int64_t num, int64_t ret USERDATA)
{
    UNUSED, (void)num, (void)ret;
    add(index, RETURNS, 1);
}

static void on_translation(ID struct qemu_plugin_tb *tb USERDATA)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    uint64_t hash = mix(qemu_plugin_tb_vaddr(tb) * 1024 + n);

    UNUSED;
    __atomic_fetch_add(&witness->header.translations, 1, __ATOMIC_RELAXED);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)hash);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        hash = mix(qemu_plugin_insn_vaddr(insn));
        if (with_insns) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)hash);
        }
        if (with_mem) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
        }
    }
}

/* 10.0 can call this on several threads at once, and ends when the first of them returns. */
#if QEMU_PLUGIN_VERSION >= 7
static void on_atexit(void *userdata)
#else
static void on_atexit(qemu_plugin_id_t id, void *userdata)
#endif
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pid_t written_by;

    (void)userdata, UNUSED;
    if (out_path[0] == '\0') {
        return;
    }
    pthread_mutex_lock(&lock);
    if (written_by != getpid()) {
        written_by = getpid();
        int fd = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd >= 0) {
            print_witness(fd, witness);
            close(fd);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* MAP_FAILED: no memory, or no file. */
static struct witness *map_counters(const char *path)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    int fd = -1;

    if (path != NULL) {
        flags = MAP_SHARED;
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || posix_fallocate(fd, 0, sizeof(struct witness)) != 0) {
            return MAP_FAILED;
        }
    }
    struct witness *map = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    return map;
}

static void append_pid(char *path, size_t size)
{
    if (path[0] != '\0') {
        size_t length = strlen(path);
        snprintf(path + length, size - length, ".%d", (int)getpid());
    }
}

/* The child gets counters of its own, at the same address. */
static void on_fork_child(void)
{
    append_pid(out_path, sizeof(out_path));
    append_pid(shm_path, sizeof(shm_path));
    struct witness *copy = map_counters(share_at_fork ? shm_path : NULL);
    if (copy != MAP_FAILED) {
        copy->header = witness->header;
        copy->header.translations = 0;
        copy->header.dropped = 0;
        if (keep_at_fork) {
            memcpy(copy, witness, sizeof(*copy));
        }
        if (mremap(copy, sizeof(*copy), sizeof(*copy), MREMAP_MAYMOVE | MREMAP_FIXED, witness) ==
            MAP_FAILED) {
            munmap(copy, sizeof(*copy));
            copy = MAP_FAILED;
        }
    }
    /* Without memory of its own it must not spoil its parent's: at least be seen. */
    if (copy == MAP_FAILED) {
        static const char text[] = "probe: no memory after fork\n";
        write_all(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(99);
    }
}

static bool resolve(const char *path, char *resolved, size_t size)
{
    char cwd[PATH_MAX];
    int n;

    if (path[0] == '/') {
        n = snprintf(resolved, size, "%s", path);
    } else if (getcwd(cwd, sizeof(cwd)) != NULL) {
        n = snprintf(resolved, size, "%s/%s", cwd, path);
    } else {
        return false;
    }
    /* Room for the ".PID" of forked children. */
    return n > 0 && (size_t)n + 128 < size;
}

static bool map_witness(void)
{
    witness = map_counters(shm_path[0] != '\0' ? shm_path : NULL);
    if (witness == MAP_FAILED) {
        return false;
    }
    witness->header.magic = MAGIC;
    witness->header.n_vcpus = N_VCPUS;
    witness->header.n_counters = N_COUNTERS;
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            if (!resolve(argv[i] + 4, out_path, sizeof(out_path))) {
                fprintf(stderr, "probe: out= is too long\n");
                return -1;
            }
        } else if (strncmp(argv[i], "shm=", 4) == 0) {
            if (!resolve(argv[i] + 4, shm_path, sizeof(shm_path))) {
                fprintf(stderr, "probe: shm= is too long\n");
                return -1;
            }
        } else if (strcmp(argv[i], "insn=off") == 0) {
            with_insns = false;
        } else if (strcmp(argv[i], "mem=off") == 0) {
            with_mem = false;
        } else if (strcmp(argv[i], "phys=on") == 0) {
            with_phys = true;
        } else if (strcmp(argv[i], "fork=keep") == 0) {
            keep_at_fork = true;
        } else if (strcmp(argv[i], "fork=shm") == 0) {
            share_at_fork = true;
        } else {
            fprintf(stderr, "probe: unknown argument %s\n", argv[i]);
            return -1;
        }
    }
    if (!map_witness()) {
        fprintf(stderr, "probe: cannot map the counters: %s\n", strerror(errno));
        return -1;
    }
    if (pthread_atfork(NULL, NULL, on_fork_child) != 0) {
        return -1;
    }

    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init NO_USERDATA);
    qemu_plugin_register_vcpu_exit_cb(id, on_vcpu_exit NO_USERDATA);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation NO_USERDATA);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall NO_USERDATA);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_ret NO_USERDATA);
    qemu_plugin_register_atexit_cb(id, on_atexit, NULL);
    return 0;
}

#endif
