/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Ways to end. Usage: exits MODE [WORK]; without a mode it lists them. Each prints a line and
 * does WORK rounds (default 1000) of work before it ends.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *program;
static unsigned int amount = 1000;
static volatile uint32_t sink;
static pthread_barrier_t barrier;

static void work(unsigned int n)
{
    for (unsigned int i = 0; i < n; i++) {
        sink = sink * 5 + i;
    }
}

static void *exit_group_at_barrier(void *arg)
{
    work(amount);
    pthread_barrier_wait(&barrier);
    syscall(SYS_exit_group, (int)(intptr_t)arg);
    return NULL;
}

static void *spin(void *arg)
{
    (void)arg;
    for (;;) {
        work(1000);
    }
    return NULL;
}

static void *finish(void *arg)
{
    (void)arg;
    work(amount);
    return NULL;
}

static pthread_t start(void *(*run)(void *), intptr_t arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, (void *)arg) != 0) {
        perror("pthread_create");
        _exit(99);
    }
    return thread;
}

static int mode_return(void)
{
    return 3;
}

static int mode_exit(void)
{
    exit(4);
}

static int mode__exit(void)
{
    _exit(5);
}

/* The main thread waits while another ends the process. */
static int mode_thread(void)
{
    pthread_barrier_init(&barrier, NULL, 1);
    pthread_join(start(exit_group_at_barrier, 6), NULL);
    return 99;
}

static int mode_concurrent(void)
{
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++) {
        start(exit_group_at_barrier, 7);
    }
    exit_group_at_barrier((void *)7);
    return 99;
}

/* Ends while other threads run. */
static int mode_busy(void)
{
    for (int i = 0; i < 3; i++) {
        start(spin, 0);
    }
    work(amount);
    return 8;
}

/* The main thread ends first, the process with the last thread. */
static int mode_main_first(void)
{
    start(finish, 0);
    pthread_exit(NULL);
}

static int mode_abort(void)
{
    abort();
}

static int mode_segv(void)
{
    volatile uintptr_t nowhere = 8;
    *(volatile int *)nowhere = 1;
    return 99;
}

static int mode_kill(void)
{
    kill(getpid(), SIGKILL);
    return 99;
}

static int mode_term(void)
{
    kill(getpid(), SIGTERM);
    return 99;
}

static int mode_fork(void)
{
    pid_t child = fork();
    if (child == 0) {
        work(amount);
        printf("child\n");
        fflush(stdout);
        _exit(9);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("child's status %d\n", WEXITSTATUS(status));
    work(amount);
    return 10;
}

/* A thread exists when the process forks. */
static int mode_fork_threads(void)
{
    pthread_t thread = start(finish, 0);
    int r = mode_fork();
    pthread_join(thread, NULL);
    return r;
}

/* The child outlives its parent. */
static int mode_fork_orphan(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0) {
        return 99;
    }
    if (fork() == 0) {
        close(ends[1]);
        work(amount);
        while (read(ends[0], &byte, 1) > 0) {
        }
        _exit(11);
    }
    return 11;
}

/* Needs a kernel that can run this program, or QEMU by binfmt_misc, for the second part. */
static int mode_exec(void)
{
    execl(program, program, "return", (char *)NULL);
    perror("execl");
    return 99;
}

/* Closes what is not its own and expects to be able to use the numbers. */
static int mode_close(void)
{
    char name[64];
    char text[64];
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    snprintf(name, sizeof(name), "/tmp/exits-close.%d", (int)getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        perror("open");
        return 99;
    }
    work(amount);
    ssize_t n = write(fd, "guest's own\n", 12);
    ssize_t m = pread(fd, text, sizeof(text), 0);
    unlink(name);
    printf("fd %d wrote %d read %d %s\n", fd, (int)n, (int)m,
           m == 12 && memcmp(text, "guest's own\n", 12) == 0 ? "same" : "DIFFERENT");
    return 12;
}

static const struct {
    const char *name;
    int (*run)(void);
    const char *what;
} modes[] = {
    {"return", mode_return, "return from main (3)"},
    {"exit", mode_exit, "exit (4)"},
    {"_exit", mode__exit, "_exit (5)"},
    {"thread", mode_thread, "exit_group from a second thread (6)"},
    {"concurrent", mode_concurrent, "exit_group from four threads at once (7)"},
    {"busy", mode_busy, "return from main while three threads run (8)"},
    {"main-first", mode_main_first, "the main thread ends before another (0)"},
    {"abort", mode_abort, "abort (SIGABRT)"},
    {"segv", mode_segv, "a wild store (SIGSEGV)"},
    {"kill", mode_kill, "SIGKILL to itself"},
    {"term", mode_term, "SIGTERM to itself"},
    {"fork", mode_fork, "a child that exits first (10)"},
    {"fork-threads", mode_fork_threads, "the same with a second thread (10)"},
    {"fork-orphan", mode_fork_orphan, "a child that exits last (11)"},
    {"exec", mode_exec, "executes itself with mode return (3)"},
    {"close", mode_close, "closes descriptors 3..1023, then uses a file (12)"},
};

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 2) {
        amount = (unsigned int)atoi(argv[2]);
    }
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            printf("exits %s\n", modes[i].name);
            fflush(stdout);
            work(amount);
            return modes[i].run();
        }
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        printf("%-12s %s\n", modes[i].name, modes[i].what);
    }
    return 2;
}
