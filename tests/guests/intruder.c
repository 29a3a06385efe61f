/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Does to its process what a recorder in it might not survive, or might betray itself by. Usage:
 * intruder MODE FOLDER; modes are those of the table. Each works before and after, and then uses
 * files as if alone: their numbers, what is in them, and which are open are printed.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

static void work(unsigned int n)
{
    volatile uint32_t sink = n;
    for (unsigned int i = 0; i < n; i++) {
        sink = sink * 5 + i;
    }
}

static void close_all(void)
{
    for (int fd = 3; fd < 4096; fd++) {
        close(fd);
    }
}

static void dup_over(void)
{
    for (int fd = 3; fd < 256; fd++) {
        dup2(1, fd);
    }
}

static void limit(int what, rlim_t n)
{
    struct rlimit l = {n, n};
    printf("limit %d\n", setrlimit(what, &l));
}

static void no_files(void)
{
    limit(RLIMIT_NOFILE, 0);
}

static void small_files(void)
{
    limit(RLIMIT_FSIZE, 4096);
}

static void empty_files(void)
{
    limit(RLIMIT_FSIZE, 0);
}

static void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    printf("block %d\n", sigprocmask(SIG_SETMASK, &all, NULL));
    raise(SIGTERM);
    raise(SIGXFSZ);
    sigpending(&all);
    printf("pending %d %d\n", sigismember(&all, SIGTERM), sigismember(&all, SIGXFSZ));
}

static void change_folder(void)
{
    printf("chdir %d\n", chdir(folder));
}

static void change_root(void)
{
    printf("chroot %d\n", chroot(folder));
    printf("chdir %d\n", chdir("/"));
}

static void mask_all(void)
{
    umask(0777);
}

static void nothing(void)
{
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
    {"nothing", nothing}, {"close-all", close_all}, {"dup-over", dup_over},
    {"nofile-0", no_files}, {"fsize-4k", small_files}, {"fsize-0", empty_files},
    {"block-signals", block_signals}, {"chdir", change_folder}, {"chroot", change_root},
    {"umask", mask_all},
};

static void list_open(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] != '.' && fd != dirfd(dir)) {
            printf(" %d", fd);
        }
    }
    printf(dir == NULL ? " unknown\n" : "\n");
    if (dir != NULL) {
        closedir(dir);
    }
}

static void use_files(int n)
{
    char text[64];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "file-%d", i);
        int fd = open(text, O_RDWR | O_CREAT | O_TRUNC, 0600);
        printf("open %d %d", fd, fd < 0 ? errno : 0);
        signal(SIGXFSZ, SIG_IGN);
        ssize_t wrote = write(fd, "mine\n", 5);
        work(20000);
        printf(" wrote %d holds %d\n", (int)wrote, (int)pread(fd, text, sizeof(text), 0));
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || chdir(argv[2]) != 0) {
        return 2;
    }
    folder = argv[2];
    setvbuf(stdout, NULL, _IONBF, 0);
    work(50000);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
        }
    }
    work(50000);
    list_open();
    use_files(4);
    list_open();
    return 7;
}
