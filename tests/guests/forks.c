/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Children, one after the other, while other threads are busy.
 * Usage: forks MODE N THREADS [PROGRAM ARGUMENT...]; MODE is
 *   fork   the child works and exits with 7
 *   tree   the same, and before it exits it forks a child that does the same
 *   vfork  the child executes PROGRAM
 *   spawn  the same by posix_spawn
 * Prints how many children ended as they should.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile int stop;
static char **program;

static void work(unsigned int n)
{
    volatile uint32_t sink = n;
    for (unsigned int i = 0; i < n; i++) {
        sink = sink * 5 + i;
    }
}

/* Much of what makes a recorder busy: blocks, system calls, and threads that come and go. */
static void *finish(void *arg)
{
    work((unsigned int)(uintptr_t)arg);
    return NULL;
}

static void *spin(void *arg)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    for (uintptr_t i = (uintptr_t)arg; !stop; i++) {
        pthread_t thread;
        work(300);
        syscall(SYS_gettid);
        if (i % 64 == 0 && pthread_create(&thread, &attr, finish, (void *)100) == 0) {
            pthread_join(thread, NULL);
        }
    }
    return NULL;
}

/* (No threads here: QEMU itself fails when the child of several threads starts one.) */
static void child(int depth)
{
    int status = 0;

    work(200);
    if (depth > 0) {
        pid_t pid = fork();
        if (pid == 0) {
            child(depth - 1);
        }
        waitpid(pid, &status, 0);
    }
    work(200);
    syscall(SYS_exit_group, depth > 0 && status != 7 << 8 ? 8 : 7);
}

static pid_t start(const char *mode)
{
    pid_t pid = -1;

    if (strcmp(mode, "spawn") == 0) {
        return posix_spawn(&pid, program[0], NULL, NULL, program, environ) == 0 ? pid : -1;
    }
    if (strcmp(mode, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            execv(program[0], program);
            _exit(99);
        }
        return pid;
    }
    pid = fork();
    if (pid == 0) {
        child(strcmp(mode, "tree") == 0);
    }
    return pid;
}

int main(int argc, char **argv)
{
    pthread_t thread[64];
    unsigned int good = 0;

    if (argc < 4) {
        return 2;
    }
    unsigned int n = (unsigned int)atoi(argv[2]), threads = (unsigned int)atoi(argv[3]);
    program = argv + 4;
    for (unsigned int i = 0; i < threads && i < 64; i++) {
        pthread_create(&thread[i], NULL, spin, (void *)(uintptr_t)(i * 16));
    }
    for (unsigned int i = 0; i < n; i++) {
        int status = 0;
        pid_t pid = start(argv[1]);
        good += pid > 0 && waitpid(pid, &status, 0) == pid && status == 7 << 8;
    }
    stop = 1;
    for (unsigned int i = 0; i < threads && i < 64; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("%s: %u of %u children as they should\n", argv[1], good, n);
    return good == n ? 0 : 1;
}
