/*
 * channel.h - the connection between two runs of an analyzer
 *
 * One run is a, the other one b. Messages go one way, from b to a, so neither can wait for the
 * other in a circle: b waits while a is behind, a while there is nothing to read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_CHANNEL_H
#define ANALYZER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_MAX_SIZE 65536

enum channel_side { CHANNEL_ANY = -1, CHANNEL_A, CHANNEL_B };

struct channel_message {
    uint32_t kind; /* the user's, but CHANNEL_LOST */
    uint32_t vcpu;
    uint32_t size; /* of data */
};

enum { CHANNEL_LOST = 0 }; /* the other run is gone, or sent what makes no sense */

struct channel;

/* Meet the other run at the socket path, as QEMU's lockstep does: who comes first makes the
 * socket and waits. The path is removed when both have met. NULL after a message. */
struct channel *channel_meet(const char *path);
/* The same with a socket that is connected already. */
struct channel *channel_of(int fd);

/* Agree on who is who and that the target is the same. CHANNEL_ANY: take what the other one does
 * not want; who came first is a. Returns the side, or CHANNEL_ANY after a message. */
int channel_agree(struct channel *channel, int wanted, const char *target);

/* b only. Once a is gone, nothing is sent any more. */
void channel_send(struct channel *channel, uint32_t kind, uint32_t vcpu, const void *data,
                  size_t size);

/* a only: waits for the next message. *data is valid until the next call. */
struct channel_message channel_receive(struct channel *channel, const void **data);

/* Close the socket and free channel; NULL is accepted. */
void channel_close(struct channel *channel);

#endif
