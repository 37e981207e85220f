#pragma once

/* Readers: threads that read the database for the local sockets, so that the loop never waits for a query.
 */

#include <systemd/sd-event.h>

#include "http/server.h"
#include "store/store.h"

typedef struct Readers Readers;

/* Who waits for whom. */
typedef enum ReadLane {
        READ_QUICK, /* costs what it returns, a page at most */
        READ_LONG,  /* may take as long as a query may */
        _READ_LANE_MAX,
} ReadLane;

/* One reading. work() runs on a reader's thread, then done() on the loop's; the job is the caller's and
 * stays until done(). */
typedef struct ReadJob ReadJob;
struct ReadJob {
        int (*work)(ReadJob *job, StoreReader *reader);
        void (*done)(ReadJob *job, int result); /* what work() returned; -ECANCELED: it did not run */
        ReadLane lane;

        /* Private. */
        ReadJob *next;
        int result;
};

/* Opens its connections, each with that limit of time for a query, and starts its threads. 0 or negative
 * errno; *ret_error (owned by the caller) for people. */
int readers_new(sd_event *loop, const char *database, uint64_t time_limit, Readers **ret, char **ret_error);

/* Interrupts what is being read, calls done() for all that is outstanding, joins. On the loop's thread, or
 * when the loop has ended. NULL in, NULL out. */
Readers *readers_free(Readers *r);
DEFINE_CLEANUP(Readers *, readers_free)

/* Never fails. As many jobs may wait as there are requests. */
void readers_submit(Readers *r, ReadJob *job);

/* A handler whose work is done by a reader's thread: there it asks the request and replies, as a handler
 * does. `userdata` outlives the request. Returns what the handler is to return. */
typedef int (*ReadHandler)(HttpRequest *request, StoreReader *reader, void *userdata);
int readers_answer(Readers *r, HttpRequest *request, ReadLane lane, ReadHandler handler, void *userdata);

/* A reply that is read piece by piece as its client takes it. fill() runs on a reader's thread and appends
 * the next piece: 1, or 0 when that was the last; negative errno: the connection is cut, so that the client
 * knows that it isn't whole. `userdata` is owned from the call on. From a handler of readers_answer(), too.
 */
typedef struct ReadSource {
        int (*fill)(void *userdata, StoreReader *reader, Buffer *out);
        void (*free)(void *userdata);
} ReadSource;

int readers_stream(Readers *r, HttpRequest *request, const char *content_type, const ReadSource *source,
                void *userdata);
