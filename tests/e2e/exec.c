/*
 * exec.c - a guest that executes another program. Usage: exec stay|fork THREADS PROGRAM ARGUMENT...
 *
 * While THREADS others are busy, it - or with `fork` its child, which is alone - tries two programs
 * that cannot be executed, and then PROGRAM. The status of a parent is that of its child.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(unsigned n)
{
    volatile unsigned sink = n;
    for (unsigned i = 0; i < n; i++) {
        sink = sink * 5 + i;
    }
}

static void *spin(void *arg)
{
    for (;;) {
        work(1000);
    }
    return arg;
}

static void try(const char *program)
{
    char *argv[] = {(char *)program, NULL};
    work(5000);
    execv(program, argv);
    printf("%s: %d\n", program, errno);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int status;
    if (argc < 4) {
        return 2;
    }
    for (int i = 0; i < atoi(argv[2]); i++) {
        pthread_create(&thread, NULL, spin, NULL);
    }
    work(50000);
    pid_t child = strcmp(argv[1], "fork") == 0 ? fork() : 0;
    if (child == 0) {
        try("/nonexistent/program");
        try("/");
        work(5000);
        execv(argv[3], argv + 3);
        return 99;
    }
    waitpid(child, &status, 0);
    work(5000);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}
