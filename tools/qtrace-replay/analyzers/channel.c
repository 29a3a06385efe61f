/*
 * channel.c - the connection between two runs of an analyzer
 *
 * Both are processes of one machine, so numbers are sent in its byte order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "channel.h"

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
    int32_t wanted; /* enum channel_side */
    int32_t first;  /* did it come first? */
    char target[64];
};

struct channel {
    int fd;
    bool first;
    bool broken;
    size_t at, end; /* what is read and not used yet */
    char buffer[2 * CHANNEL_MAX_SIZE];
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

struct channel *channel_of(int fd)
{
    struct channel *channel = g_new0(struct channel, 1);

    channel->fd = fd;
    return channel;
}

struct channel *channel_meet(const char *path)
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
    struct channel *channel = channel_of(fd);
    channel->first = first;
    return channel;
}

void channel_close(struct channel *channel)
{
    if (channel != NULL) {
        close(channel->fd);
        g_free(channel);
    }
}

/* ---- bytes ---- */

static void put(struct channel *channel, struct iovec *iov, size_t n)
{
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };

    while (!channel->broken && message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL);

        if (sent < 0) {
            channel->broken = errno != EINTR;
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
static const void *get(struct channel *channel, size_t size)
{
    if (channel->end - channel->at < size) {
        memmove(channel->buffer, channel->buffer + channel->at, channel->end - channel->at);
        channel->end -= channel->at;
        channel->at = 0;
    }
    while (channel->end - channel->at < size && !channel->broken) {
        ssize_t n = recv(channel->fd, channel->buffer + channel->end,
                         sizeof(channel->buffer) - channel->end, 0);

        if (n > 0) {
            channel->end += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            channel->broken = true;
        }
    }
    if (channel->end - channel->at < size) {
        return NULL;
    }
    channel->at += size;
    return channel->buffer + channel->at - size;
}

/* ---- messages ---- */

static int choose_side(const struct hello *ours, const struct hello *theirs)
{
    if (ours->wanted != CHANNEL_ANY) {
        return ours->wanted;
    }
    if (theirs->wanted != CHANNEL_ANY) {
        return theirs->wanted == CHANNEL_A ? CHANNEL_B : CHANNEL_A;
    }
    return ours->first ? CHANNEL_A : CHANNEL_B;
}

int channel_agree(struct channel *channel, int wanted, const char *target)
{
    struct hello ours = { .magic = HELLO, .wanted = wanted, .first = channel->first }, theirs;
    struct iovec iov = { &ours, sizeof(ours) };

    g_strlcpy(ours.target, target, sizeof(ours.target));
    put(channel, &iov, 1);
    const void *answer = get(channel, sizeof(theirs));
    if (answer == NULL) {
        fprintf(stderr, "lockstep: the other run is gone before it began, or is no such "
                        "lockstep\n");
        return CHANNEL_ANY;
    }
    memcpy(&theirs, answer, sizeof(theirs));
    if (memcmp(theirs.magic, ours.magic, sizeof(ours.magic)) != 0) {
        fprintf(stderr, "lockstep: the other run is no such lockstep\n");
        return CHANNEL_ANY;
    }
    if (memcmp(theirs.target, ours.target, sizeof(ours.target)) != 0) {
        fprintf(stderr, "lockstep: the runs are of different targets\n");
        return CHANNEL_ANY;
    }
    if (wanted != CHANNEL_ANY && theirs.wanted == wanted) {
        fprintf(stderr, "lockstep: both runs want to be %c\n", wanted == CHANNEL_A ? 'a' : 'b');
        return CHANNEL_ANY;
    }
    return choose_side(&ours, &theirs);
}

void channel_send(struct channel *channel, uint32_t kind, uint32_t vcpu, const void *data,
                  size_t size)
{
    struct channel_message head = { kind, vcpu, (uint32_t)size };
    struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)data, size } };

    put(channel, iov, 2);
}

struct channel_message channel_receive(struct channel *channel, const void **data)
{
    struct channel_message head = { .kind = CHANNEL_LOST };
    const void *bytes = get(channel, sizeof(head));

    *data = NULL;
    if (bytes != NULL) {
        memcpy(&head, bytes, sizeof(head));
    }
    if (head.size > CHANNEL_MAX_SIZE || (*data = get(channel, head.size)) == NULL) {
        head.kind = CHANNEL_LOST;
    }
    return head;
}
