/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * System calls of many kinds, succeeding and failing. Argument: rounds (default 20). Prints only
 * what does not depend on the machine.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned int bad;

static void expect(int line, int true_)
{
    if (!true_) {
        bad++;
        fprintf(stderr, "syscalls.c:%d: unexpected, errno %d\n", line, errno);
    }
}
#define EXPECT(condition) expect(__LINE__, (condition))

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void files(void)
{
    char name[64];
    char buffer[64] = {0};
    struct stat st;
    struct iovec parts[2] = {{"abc", 3}, {"defg", 4}};

    snprintf(name, sizeof(name), "/tmp/syscalls.%d", (int)getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT(fd >= 0);
    EXPECT(write(fd, "0123456789", 10) == 10);
    EXPECT(writev(fd, parts, 2) == 7);
    EXPECT(lseek(fd, 5, SEEK_SET) == 5);
    EXPECT(read(fd, buffer, 20) == 12);
    EXPECT(memcmp(buffer, "56789abcdefg", 12) == 0);
    EXPECT(pread(fd, buffer, 3, 1) == 3);
    EXPECT(pwrite(fd, "zz", 2, 0) == 2);
    EXPECT(fstat(fd, &st) == 0 && st.st_size == 17);
    EXPECT(ftruncate(fd, 8192) == 0);
    EXPECT(stat(name, &st) == 0 && st.st_size == 8192);
    EXPECT(access(name, R_OK) == 0);
    int copy = dup(fd);
    EXPECT(copy >= 0 && fcntl(copy, F_GETFL) >= 0);
    EXPECT(close(copy) == 0);
    char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    EXPECT(map != MAP_FAILED && map[0] == 'z' && map[1] == 'z');
    EXPECT(munmap(map, 8192) == 0);
    EXPECT(close(fd) == 0);
    EXPECT(unlink(name) == 0);
}

static void failures(void)
{
    char buffer[8];
    void *volatile nowhere = (void *)(uintptr_t)16;
    EXPECT(open("/nonexistent/file", O_RDONLY) == -1 && errno == ENOENT);
    EXPECT(close(9999) == -1 && errno == EBADF);
    EXPECT(read(-1, buffer, 8) == -1 && errno == EBADF);
    EXPECT(write(STDOUT_FILENO, nowhere, 8) == -1 && errno == EFAULT);
    EXPECT(kill(0x3fffffff, 0) == -1 && errno == ESRCH);
    EXPECT(chdir("/nonexistent") == -1 && errno == ENOENT);
    EXPECT(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
           errno == EINVAL);
    EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    EXPECT(syscall(9999) == -1 && errno == ENOSYS);
}

static void processes(void)
{
    struct rusage usage;
    struct rlimit limit;
    struct utsname name;
    struct timespec at;
    struct timespec nap = {.tv_nsec = 1000};
    struct timeval tv;
    sigset_t set;
    sigset_t old;

    EXPECT(getpid() > 0 && getppid() >= 0);
    EXPECT(getuid() == geteuid() || 1);
    EXPECT(uname(&name) == 0);
    EXPECT(getrusage(RUSAGE_SELF, &usage) == 0);
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    EXPECT(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    EXPECT(gettimeofday(&tv, NULL) == 0);
    EXPECT(nanosleep(&nap, NULL) == 0);
    EXPECT(sched_yield() == 0);
    EXPECT(umask(022) <= 0777);
    struct sigaction action = {.sa_handler = on_signal};
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    EXPECT(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    int before = signals;
    EXPECT(kill(getpid(), SIGUSR1) == 0);
    EXPECT(signals == before);
    EXPECT(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    EXPECT(signals == before + 1);
}

static void memory(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED);
    memset(p, 1, 4 * page);
    EXPECT(mprotect(p, page, PROT_READ) == 0);
    EXPECT(madvise(p + page, page, MADV_DONTNEED) == 0 && p[page] == 0);
    EXPECT(mprotect(p, page, PROT_READ | PROT_WRITE) == 0); /* one mapping again */
    p = mremap(p, 4 * page, 8 * page, MREMAP_MAYMOVE);
    EXPECT(p != MAP_FAILED && p[3 * page] == 1);
    EXPECT(munmap(p, 8 * page) == 0);
    void *brk = sbrk(0);
    EXPECT(sbrk(65536) == brk);
}

static void pipes(void)
{
    int ends[2];
    char buffer[16];
    EXPECT(pipe(ends) == 0);
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    EXPECT(poll(&wait, 1, 0) == 0);
    EXPECT(write(ends[1], "hello", 5) == 5);
    EXPECT(poll(&wait, 1, 100) == 1 && wait.revents == POLLIN);
    EXPECT(read(ends[0], buffer, 16) == 5);
    close(ends[0]);
    close(ends[1]);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    EXPECT(send(ends[0], "abc", 3, 0) == 3);
    EXPECT(recv(ends[1], buffer, 16, 0) == 3);
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    unsigned int rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 20;
    for (unsigned int i = 0; i < rounds; i++) {
        files();
        failures();
        processes();
        memory();
        pipes();
    }
    printf("syscalls %u, unexpected %u\n", rounds, bad);
    return bad != 0;
}
