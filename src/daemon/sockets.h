#pragma once

/* Listening sockets: those that the service manager passed by name, or our own. */

#include <sys/types.h>

#include "basic/macros.h"

/* Where passed sockets of a name belong. */
typedef struct SocketPlace {
        const char *name;
        int *fds; /* room for `max`; owned by the caller once they are there */
        size_t *n, max;
} SocketPlace;

/* Takes what the service manager passed. 0, or a status of sysexits.h; what was wrong is in the log: a
 * socket that has no place is a mistake in a unit. */
int sockets_take_passed(const SocketPlace *places, size_t n_places);

/* Warns where none of the passed sockets listens where the setting says; `unit` is what passes them. */
void sockets_warn_unused(
                const int *fds, size_t n, const char *address, const char *setting, const char *unit);

/* Opens one (see http_listen()); `setting` names for people where the address stands. 0, or a status. */
int sockets_open(const char *address, mode_t mode, const char *setting, int *ret);

/* Says in the log where it listens, with the port that it got. */
void sockets_announce(int fd, const char *what);
