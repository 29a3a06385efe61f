/*
 * inject.c - run QEMU, and let system calls of the recorder's thread fail, wait, or be the place
 * where something happens
 *
 * The thread is the one that begins with a descriptor table of its own: a call of close_range with
 * CLOSE_RANGE_UNSHARE. From that call on its system calls are counted, but for those that cannot
 * fail, or that tell nobody if they do (futex, signal masks, the end of the thread). All other
 * threads run as they would.
 *
 *   inject [OPTION...] COMMAND...
 *     --nth N          the Nth call, from 1
 *     --from           and all behind it
 *     --only NAME      counts only calls of this name: pwrite64, fallocate, ftruncate...; or, if that
 *                      is said again, of these names
 *     --skip NAME      does not count those
 *     --error NUMBER   it fails with this errno
 *     --stop MS        it takes so long
 *     --log FILE       one line: how many calls were counted, and the name of the one that was hit
 *
 * Exit status: the command's, or 126 if this cannot be done here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__

#define CANNOT 126

static struct {
    unsigned long nth;
    bool from;
    long only[4], skip;
    unsigned n_only;
    int error;
    unsigned stop_ms;
    const char *log;
} plan = {.skip = -1};

static pid_t recorder;       /* the thread; 0 = not seen yet */
static bool in_call, hit;    /* it is inside a call, which is the one */
static struct user_regs_struct entry; /* the registers as it began */
static unsigned long counted;
static long hit_number = -1;
static struct timespec stopped_until;
static bool stopped;

static const struct {
    const char *name;
    long number;
} names[] = {
    {"pwrite64", SYS_pwrite64}, {"fallocate", SYS_fallocate}, {"ftruncate", SYS_ftruncate},
    {"openat", SYS_openat}, {"close", SYS_close}, {"mmap", SYS_mmap}, {"munmap", SYS_munmap},
    {"mprotect", SYS_mprotect}, {"madvise", SYS_madvise}, {"brk", SYS_brk},
    {"close_range", SYS_close_range}, {"unshare", SYS_unshare}, {"fstat", SYS_newfstatat},
    {"getrandom", SYS_getrandom}, {"prlimit64", SYS_prlimit64}, {"pread64", SYS_pread64},
    {"unlink", SYS_unlink}, {"process_vm_writev", SYS_process_vm_writev},
    {"mremap", SYS_mremap}, {"sched_getaffinity", SYS_sched_getaffinity},
    {"read", SYS_read}, {"lseek", SYS_lseek},
};

static const char *name_of(long number)
{
    static char text[32];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].number == number) {
            return names[i].name;
        }
    }
    snprintf(text, sizeof(text), "call-%ld", number);
    return text;
}

static long number_of(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, name) == 0) {
            return names[i].number;
        }
    }
    fprintf(stderr, "inject: what is %s?\n", name);
    exit(2);
}

static bool is_wanted(long number)
{
    bool any = plan.n_only == 0;
    for (unsigned i = 0; i < plan.n_only; i++) {
        any |= plan.only[i] == number;
    }
    return any && plan.skip != number;
}

static bool counts(long number)
{
    switch (number) {
    case SYS_futex:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigaction:
    case SYS_rt_sigreturn:
    case SYS_exit:
    case SYS_set_robust_list:
    case SYS_rseq:
    case SYS_sched_yield:
    case SYS_clock_gettime:
    case SYS_clock_nanosleep:
    case SYS_restart_syscall:
    case SYS_gettid:
    case SYS_getpid:
        return false;
    default:
        return is_wanted(number);
    }
}

static void begin_stop(void)
{
    clock_gettime(CLOCK_MONOTONIC, &stopped_until);
    stopped_until.tv_sec += plan.stop_ms / 1000;
    stopped_until.tv_nsec += plan.stop_ms % 1000 * 1000000;
    stopped = true;
}

/* The thread enters a call, or comes back from one. */
static void at_call(pid_t tid)
{
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, tid, NULL, &regs)) {
        return;
    }
    in_call = !in_call;
    if (!in_call) {
        if (hit && plan.error) {
            regs.rdi = entry.rdi;
            regs.rax = entry.orig_rax == SYS_brk ? regs.rax : (uint64_t)-plan.error;
            ptrace(PTRACE_SETREGS, tid, NULL, &regs);
        }
        hit = false;
        return;
    }
    if (!counts((long)regs.orig_rax)) {
        return;
    }
    counted++;
    if (plan.nth && (counted == plan.nth || (plan.from && counted > plan.nth))) {
        hit_number = hit_number < 0 ? (long)regs.orig_rax : hit_number;
        hit = true;
        entry = regs;
        if (plan.error) {
            if (regs.orig_rax == SYS_brk) {
                regs.rdi = 0; /* where it fails it says where the end is, and nothing else */
            } else {
                regs.orig_rax = -1;
            }
            ptrace(PTRACE_SETREGS, tid, NULL, &regs);
        } else {
            begin_stop();
        }
    }
}

/* Until the recorder's thread has shown itself every thread is watched. */
static bool is_recorder(pid_t tid)
{
    struct user_regs_struct regs;
    if (!recorder && ptrace(PTRACE_GETREGS, tid, NULL, &regs) == 0 &&
        regs.orig_rax == SYS_close_range && regs.rdx == CLOSE_RANGE_UNSHARE) {
        recorder = tid;
        in_call = false;
    }
    return tid == recorder;
}

static void go_on(pid_t tid, int signal)
{
    bool watched = !recorder || tid == recorder;
    ptrace(watched ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL, (void *)(intptr_t)signal);
}

static void at_stop(pid_t tid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) {
        if (is_recorder(tid)) {
            at_call(tid);
        }
        if (tid == recorder && stopped) {
            return; /* later */
        }
        go_on(tid, 0);
    } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, tid, NULL, NULL); /* a group stop */
    } else {
        go_on(tid, event ? 0 : signal);
    }
}

static bool time_is_over(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec > stopped_until.tv_sec ||
           (t.tv_sec == stopped_until.tv_sec && t.tv_nsec >= stopped_until.tv_nsec);
}

/* The status of the command. */
static int watch(pid_t child)
{
    int result = CANNOT;
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL | (stopped ? WNOHANG : 0));
        if (stopped && time_is_over()) {
            stopped = false;
            go_on(recorder, 0);
        }
        if (tid == 0) {
            usleep(1000);
        } else if (tid < 0 && errno != EINTR) {
            return result;
        } else if (tid > 0 && WIFSTOPPED(status)) {
            at_stop(tid, status);
        } else if (tid == child && WIFEXITED(status)) {
            result = WEXITSTATUS(status);
        } else if (tid == child && WIFSIGNALED(status)) {
            result = 128 + WTERMSIG(status);
        }
    }
}

static char **parse(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--from") == 0) {
            plan.from = true;
            continue;
        }
        if (!value) {
            break;
        } else if (strcmp(argv[i], "--nth") == 0) {
            plan.nth = strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && plan.n_only < 4) {
            plan.only[plan.n_only++] = number_of(value);
        } else if (strcmp(argv[i], "--skip") == 0) {
            plan.skip = number_of(value);
        } else if (strcmp(argv[i], "--error") == 0) {
            plan.error = atoi(value);
        } else if (strcmp(argv[i], "--stop") == 0) {
            plan.stop_ms = (unsigned)atoi(value);
        } else if (strcmp(argv[i], "--log") == 0) {
            plan.log = value;
        } else {
            break;
        }
        i++;
    }
    if (i >= argc || strncmp(argv[i], "--", 2) == 0) {
        fprintf(stderr, "usage: inject [--nth N] [--from] [--only NAME] [--skip NAME] [--error ERRNO] "
                        "[--stop MS] [--log FILE] COMMAND...\n");
        exit(2);
    }
    return argv + i;
}

static void write_log(void)
{
    FILE *file = plan.log ? fopen(plan.log, "w") : NULL;
    if (file) {
        fprintf(file, "%lu %s\n", counted, hit_number < 0 ? "-" : name_of(hit_number));
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    char **command = parse(argc, argv);
    pid_t child = fork();
    if (child == 0) {
        raise(SIGSTOP); /* until we have hold of it */
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, WUNTRACED) != child ||
        ptrace(PTRACE_SEIZE, child, NULL,
               (void *)(PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))) {
        perror("inject: ptrace");
        kill(child, SIGKILL);
        return CANNOT;
    }
    kill(child, SIGCONT);
    /* at its next stop it begins to be watched */
    if (ptrace(PTRACE_INTERRUPT, child, NULL, NULL)) {
        perror("inject: ptrace");
        return CANNOT;
    }
    int result = watch(child);
    write_log();
    return result;
}

#else

int main(void)
{
    fprintf(stderr, "inject: made for x86_64 only\n");
    return 126;
}

#endif
