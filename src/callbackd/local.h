#pragma once

/* The local side: query and control sockets, on a thread of their own. */

#include "callbackd/metrics.h"
#include "daemon/commit.h"
#include "daemon/in-force.h"
#include "http/server.h"

typedef struct Local Local;

typedef struct LocalOptions {
        const char *database;     /* path; copied */
        int query_fd, control_fd; /* listening Unix sockets; owned by local_new() from the call on, also on
                                   * failure; -EBADF: not served */
        Commit *commit;           /* borrowed */
        InForce *in_force;        /* borrowed */
        Metrics *metrics;         /* borrowed */
        HttpServer *callback;     /* borrowed, for its stats only; may be NULL */
        bool strict;              /* rules for retried deliveries */
} LocalOptions;

/* Starts the thread. 0 or negative errno; *ret_error (owned by the caller) for people. */
int local_new(const LocalOptions *options, Local **ret, char **ret_error);

/* From any thread: there are new events; who waits for them is woken. */
void local_notify_events(Local *local);

/* From any thread: after a reload. */
void local_set_strict(Local *local, bool strict);

/* Ends the feed's followers, answers what is in flight (for some seconds at most), joins. NULL in, NULL out.
 */
Local *local_free(Local *local);
DEFINE_CLEANUP(Local *, local_free)
