#pragma once

/* The local side: query and control sockets, on a thread of their own. */

#include <pthread.h>
#include <systemd/sd-event.h>

#include "callbackd/metrics.h"
#include "daemon/ingest.h"
#include "http/server.h"
#include "query/feed.h"
#include "query/local.h"

/* What the handlers share: all of it is the local thread's, but for `ingest.strict`. */
typedef struct Local {
        LocalBase base;
        char *database; /* its path */
        CommitPort *port;
        Ingest ingest; /* what is tried again */
        Metrics *metrics;
        HttpServer *callback, *query, *control; /* any may be NULL */
        Feed feed;
        bool backup; /* one is being made or sent */

        /* The rest is private. */
        sd_event_source *events, *end, *poll, *drain;
        int events_fd, end_fd;
        pthread_t thread;
        bool started;
} Local;

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

/* The routes of the control socket, up to a row without method; and a handler of them. */
extern const HttpRoute control_routes[];
int backup_on_get(HttpRequest *request, void *userdata);
