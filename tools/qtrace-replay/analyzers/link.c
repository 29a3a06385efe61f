/*
 * link.c - the connection between two runs of an analyzer
 *
 * Both are processes of one machine, so numbers are sent in its byte order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "link.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HELLO "qtrace lockstep 0"

struct hello {
    char magic[24];
    int32_t wanted; /* enum link_side */
    int32_t first;  /* did it come first? */
    char target[64];
};

struct link {
    int fd;
    bool first;
    bool broken;
    size_t at, end; /* what is read and not used yet */
    char buffer[2 * LINK_MAX_SIZE];
};

static void complain(const char *what, const char *path)
{
    fprintf(stderr, "lockstep: %s %s: %s\n", what, path, g_strerror(errno));
}

/* ---- meeting ---- */

/* Wait for a connection, then remove the socket's file. A signal that ends the process must not
 * leave it there, so such signals are held back meanwhile. */
static int accept_one(int listener, const char *path)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    struct pollfd wait[2] = { { listener, POLLIN, 0 }, { -1, POLLIN, 0 } };
    sigset_t set, before;
    int fd = -1;

    sigemptyset(&set);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaddset(&set, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &set, &before);
    wait[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (listen(listener, 1) == 0) {
        while (poll(wait, 2, -1) < 0 && errno == EINTR) {
        }
        fd = wait[0].revents != 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        errno = wait[0].revents != 0 ? errno : EINTR;
    }
    int error = errno;
    unlink(path);
    close(wait[1].fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return fd;
}

/* A socket's file without a process that listens: left over by one that was killed, unless it is
 * about to listen. Waits for that a moment. false: the path is something else. */
static bool clear_path(const char *path, unsigned tries)
{
    struct stat st;

    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    if (tries < 100) {
        g_usleep(10000);
    } else {
        unlink(path);
    }
    return true;
}

/* Connect, or be the first. -1: errno tells why. */
static int meet(const struct sockaddr_un *address, bool *first)
{
    for (unsigned tries = 0;; tries++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct sockaddr *sa = (const struct sockaddr *)(const void *)address;

        *first = false;
        if (fd < 0 || connect(fd, sa, sizeof(*address)) == 0) {
            return fd;
        }
        if (errno == ENOENT && bind(fd, sa, sizeof(*address)) == 0) {
            int peer = accept_one(fd, address->sun_path);
            *first = true;
            close(fd);
            return peer;
        }
        close(fd);
        if ((errno != ECONNREFUSED && errno != EADDRINUSE) ||
            !clear_path(address->sun_path, tries)) {
            return -1;
        }
    }
}

struct link *link_of(int fd)
{
    struct link *link = g_new0(struct link, 1);

    link->fd = fd;
    return link;
}

struct link *link_meet(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    bool first;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        complain("cannot use the socket", path);
        return NULL;
    }
    int fd = meet(&address, &first);
    if (fd < 0) {
        complain("cannot meet the other run at", path);
        return NULL;
    }
    struct link *link = link_of(fd);
    link->first = first;
    return link;
}

void link_close(struct link *link)
{
    if (link != NULL) {
        close(link->fd);
        g_free(link);
    }
}

/* ---- bytes ---- */

static void put(struct link *link, struct iovec *iov, size_t n)
{
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };

    while (!link->broken && message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(link->fd, &message, MSG_NOSIGNAL);

        if (sent < 0) {
            link->broken = errno != EINTR;
            continue;
        }
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
}

/* The next size bytes, NULL if they do not come. */
static const void *get(struct link *link, size_t size)
{
    if (link->end - link->at < size) {
        memmove(link->buffer, link->buffer + link->at, link->end - link->at);
        link->end -= link->at;
        link->at = 0;
    }
    while (link->end - link->at < size && !link->broken) {
        ssize_t n = recv(link->fd, link->buffer + link->end, sizeof(link->buffer) - link->end, 0);

        if (n > 0) {
            link->end += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            link->broken = true;
        }
    }
    if (link->end - link->at < size) {
        return NULL;
    }
    link->at += size;
    return link->buffer + link->at - size;
}

/* ---- messages ---- */

static int choose_side(const struct hello *ours, const struct hello *theirs)
{
    if (ours->wanted != LINK_ANY) {
        return ours->wanted;
    }
    if (theirs->wanted != LINK_ANY) {
        return theirs->wanted == LINK_A ? LINK_B : LINK_A;
    }
    return ours->first ? LINK_A : LINK_B;
}

int link_agree(struct link *link, int wanted, const char *target)
{
    struct hello ours = { .magic = HELLO, .wanted = wanted, .first = link->first }, theirs;
    struct iovec iov = { &ours, sizeof(ours) };

    g_strlcpy(ours.target, target, sizeof(ours.target));
    put(link, &iov, 1);
    const void *answer = get(link, sizeof(theirs));
    if (answer == NULL) {
        fprintf(stderr, "lockstep: the other run is gone before it began, or is no such "
                        "lockstep\n");
        return LINK_ANY;
    }
    memcpy(&theirs, answer, sizeof(theirs));
    if (memcmp(theirs.magic, ours.magic, sizeof(ours.magic)) != 0) {
        fprintf(stderr, "lockstep: the other run is no such lockstep\n");
        return LINK_ANY;
    }
    if (memcmp(theirs.target, ours.target, sizeof(ours.target)) != 0) {
        fprintf(stderr, "lockstep: the runs are of different targets\n");
        return LINK_ANY;
    }
    if (wanted != LINK_ANY && theirs.wanted == wanted) {
        fprintf(stderr, "lockstep: both runs want to be %c\n", wanted == LINK_A ? 'a' : 'b');
        return LINK_ANY;
    }
    return choose_side(&ours, &theirs);
}

void link_send(struct link *link, uint32_t kind, uint32_t vcpu, const void *data, size_t size)
{
    struct link_message head = { kind, vcpu, (uint32_t)size };
    struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)data, size } };

    put(link, iov, 2);
}

struct link_message link_receive(struct link *link, const void **data)
{
    struct link_message head = { .kind = LINK_LOST };
    const void *bytes = get(link, sizeof(head));

    *data = NULL;
    if (bytes != NULL) {
        memcpy(&head, bytes, sizeof(head));
    }
    if (head.size > LINK_MAX_SIZE || (*data = get(link, head.size)) == NULL) {
        head.kind = LINK_LOST;
    }
    return head;
}
