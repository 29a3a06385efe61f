/*
 * places.c - a guest that goes elsewhere before it forks. Usage: places umask|chdir|chroot FOLDER; its
 * status is 10 plus that of its child, 7
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    volatile unsigned sink = 0;
    int status, failed = 0;
    if (argc != 3) {
        return 2;
    }
    if (strcmp(argv[1], "umask") == 0) {
        umask(0777);
    } else if (strcmp(argv[1], "chdir") == 0) {
        failed = chdir(argv[2]);
    } else {
        failed = chroot(argv[2]);
    }
    pid_t child = failed ? -1 : fork();
    for (unsigned i = 0; i < 50000; i++) {
        sink = sink * 5 + i;
    }
    if (child == 0) {
        _exit(7);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
               ? 10 + WEXITSTATUS(status) : 1;
}
