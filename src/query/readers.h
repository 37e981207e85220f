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

/* Opens its connections, each with that limit of time for a query, and starts its threads. 0 or negative
 * errno; *ret_error (owned by the caller) for people. */
int readers_new(sd_event *loop, const char *database, uint64_t time_limit, Readers **ret, char **ret_error);

/* Interrupts what is being read, calls done() for all that is outstanding, joins. On the loop's thread, or
 * when the loop has ended. NULL in, NULL out. */
Readers *readers_free(Readers *readers);
DEFINE_CLEANUP(Readers *, readers_free)

/* A handler whose work is done by a reader's thread: there it asks the request and replies, as a handler
 * does. `userdata` outlives the request. Returns what the handler is to return. */
typedef int (*ReadHandler)(HttpRequest *request, StoreReader *reader, void *userdata);
int readers_answer(
                Readers *readers, HttpRequest *request, ReadLane lane, ReadHandler handler, void *userdata);

/* A reply that is read piece by piece as its client takes it. */
typedef struct ReadStream ReadStream;

enum {
        READ_END = 0,
        READ_MORE = 1,
        READ_WAIT = 2, /* there is nothing now, and there may be something later */
};

typedef struct ReadSource {
        ReadLane lane; /* READ_QUICK: only as long as its pieces are small */
        /* On a reader's thread: appends the next piece. Negative errno: the connection is cut, so that the
         * client knows that it isn't whole. */
        int (*fill)(void *userdata, StoreReader *reader, Buffer *out);
        /* On the loop: the client has it all, or is gone. May be NULL. */
        void (*end)(void *userdata);
        void (*free)(void *userdata);
} ReadSource;

/* `userdata` is owned from the call on. From a handler of readers_answer(), too. *ret (NULL: not wanted)
 * lives until end(). */
int readers_stream(Readers *readers, HttpRequest *request, const char *content_type,
                const ReadSource *source, void *userdata, ReadStream **ret);

/* On the loop, of one that may wait: there may be something now. */
void read_stream_wake(ReadStream *stream);

/* There will be nothing any more. */
void read_stream_end(ReadStream *stream);

/* Gives this to a client that waits, and to no other: a sign of life. */
void read_stream_say(ReadStream *stream, const char *text);
