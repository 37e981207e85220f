#pragma once

/* The outbox's worker: from what is queued to what the API has, exactly once. */

#include "daemon/commit.h"
#include "store/outbox.h"
#include "submitd/api.h"

typedef struct Outbox Outbox;

/* Time, so that five days pass in a moment when they are tested. */
typedef struct OutboxClock {
        int64_t (*realtime)(void *userdata);   /* may jump */
        uint64_t (*monotonic)(void *userdata); /* never does */
        void *userdata;
} OutboxClock;

/* The writer: commit_submit() in the daemon. */
typedef struct OutboxWriter {
        int (*submit)(void *userdata, CommitJob *job);
        void *userdata;
} OutboxWriter;

typedef struct OutboxOptions {
        Api api;
        OutboxWriter writer;
        OutboxClock clock;
        StoreReader *reader;      /* borrowed */
        const char *callback_url; /* NULL: tasks keep their own; copied */
        unsigned max_in_flight;
        uint64_t rate;         /* requests that create, a second; UINT64_MAX: unlimited */
        uint64_t live_per_day; /* UINT64_MAX: unlimited */
        uint64_t settle;       /* microseconds */
        uint64_t seed;         /* of the jitter */
        /* Something changed that a timer or a status line may care for. NULL: nobody does. */
        void (*on_change)(void *userdata);
        void *userdata;
} OutboxOptions;

int outbox_new(const OutboxOptions *options, Outbox **ret);
/* Requests under way are to have come to their end (see Api) before. NULL in, NULL out. */
Outbox *outbox_free(Outbox *o);
DEFINE_CLEANUP(Outbox *, outbox_free)

/* Takes up what an earlier process left: once, before anything else. done from the writer's loop. */
int outbox_start(Outbox *o);

/* Other limits for what is to come. */
void outbox_set_options(Outbox *o, const OutboxOptions *options);

/* Does what is due: starts requests, looks for unknown ones, cancels. Called when outbox_next() has come,
 * and after anything was added or changed. 0 or negative errno (of reading; it is tried again). */
int outbox_run(Outbox *o);

/* When outbox_run() is wanted next, by the monotonic clock; UINT64_MAX: only when something changes. */
uint64_t outbox_next(const Outbox *o);

/* No new requests from here on; true once none is under way and nothing waits for the disk. */
void outbox_stop(Outbox *o);
bool outbox_is_idle(const Outbox *o);

typedef struct OutboxStats {
        uint64_t created, rejected, unknown, resolved_found, resolved_absent, retried, expired, canceled;
        uint64_t lists; /* pages asked for */
        unsigned in_flight;
} OutboxStats;
void outbox_get_stats(const Outbox *o, OutboxStats *ret);
