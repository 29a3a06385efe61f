/*
 * link.h - the connection between two runs of an analyzer
 *
 * One run is a, the other one b. Messages go one way, from b to a, so neither can wait for the
 * other in a circle: b waits while a is behind, a while there is nothing to read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ANALYZER_LINK_H
#define ANALYZER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_MAX_SIZE 65536

enum link_side { LINK_ANY = -1, LINK_A, LINK_B };

struct link_message {
    uint32_t kind; /* the user's, but LINK_LOST */
    uint32_t vcpu;
    uint32_t size; /* of data */
};

enum { LINK_LOST = 0 }; /* the other run is gone, or sent what makes no sense */

struct link;

/* Meet the other run at the socket path, as QEMU's lockstep does: who comes first makes the
 * socket and waits. The path is removed when both have met. NULL after a message. */
struct link *link_meet(const char *path);
/* The same with a socket that is connected already. */
struct link *link_of(int fd);

/* Agree on who is who and that the target is the same. LINK_ANY: take what the other one does
 * not want; who came first is a. Returns the side, or LINK_ANY after a message. */
int link_agree(struct link *link, int wanted, const char *target);

/* b only. Once a is gone, nothing is sent any more. */
void link_send(struct link *link, uint32_t kind, uint32_t vcpu, const void *data, size_t size);

/* a only: waits for the next message. *data is valid until the next call. */
struct link_message link_receive(struct link *link, const void **data);

/* Close the socket and free link; NULL is accepted. */
void link_close(struct link *link);

#endif
