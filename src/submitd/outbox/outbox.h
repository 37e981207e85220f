#pragma once

/* The outbox's worker: from what is queued to what the API has, exactly once. */

#include <sys/queue.h>

#include "daemon/commit.h"
#include "store/outbox.h"
#include "submitd/api/api.h"

typedef struct Outbox Outbox;

/* Time, so that five days pass in a moment when they are tested. */
typedef struct OutboxClock {
        int64_t (*realtime)(void *userdata);   /* may jump */
        uint64_t (*monotonic)(void *userdata); /* never does: since the machine's start */
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
        uint64_t timeout;      /* microseconds: of a request, from its start to the end of its answer */
        uint64_t settle;       /* microseconds: until what was made is shown by lists */
        uint64_t seed;         /* of the jitter; taken once */
        /* Something changed: outbox_run() is wanted soon, from the loop and not from within this. NULL:
         * nobody cares. */
        void (*on_change)(void *userdata);
        /* The API told of a task what accepting it doesn't keep: that it was canceled, completed... `body`
         * is as a callback's, with or without a response; borrowed until this returns. It is for
         * daemon/receive, as a reconciliation. What is lost here is found by the next one. NULL: nobody
         * cares. */
        void (*on_task)(const void *body, size_t size, void *userdata);
        void *userdata;
} OutboxOptions;

int outbox_new(const OutboxOptions *options, Outbox **ret);
/* Requests under way and jobs with the writer are to have come to their end before, or never will: neither
 * may call back afterwards. NULL in, NULL out. */
Outbox *outbox_free(Outbox *outbox);
DEFINE_CLEANUP(Outbox *, outbox_free)

/* Takes up what an earlier process left, and lifts a hold by an answer about the account: once, before
 * anything else. Nothing is sent until that is on disk. */
void outbox_start(Outbox *outbox);

/* Other limits for what is to come. 0; -ENOMEM: they stay as they were. */
int outbox_set_options(Outbox *outbox, const OutboxOptions *options);

/* Does what is due: starts requests, looks for unknown ones, cancels. Called when outbox_next() has come,
 * and after anything was added or changed. 0 or negative errno (of reading; it is tried again in a moment);
 * -ENOTRECOVERABLE: the writer failed for good, and nothing is sent any more. */
int outbox_run(Outbox *outbox);

/* Somebody asked for it (retry, flush, resume, a new key): forgets that things went wrong lately. What the
 * API asked for with Retry-After still holds. */
void outbox_hurry(Outbox *outbox);

/* Cancels a task at the API, now. Where the wish to is stored with a `submission`, it is tried again until
 * it is done or can't be; "": there is no wish, and this is the only try. done() is called once, perhaps
 * from within, with the API's own words: the task, or why it can't be canceled (status and body alone), when
 * what they tell of the task was stored, if it could be. An error: not now, and `message` says why. The
 * waiter is the caller's memory. */
typedef struct CancelWaiter CancelWaiter;
struct CancelWaiter {
        void (*done)(CancelWaiter *waiter, const ApiAnswer *answer);
        LIST_ENTRY(CancelWaiter) entry; /* its own */
};
void outbox_cancel(Outbox *outbox, const char *submission, const char *task_id, CancelWaiter *waiter);

/* When outbox_run() is wanted next, by the monotonic clock; UINT64_MAX: only when something changes. */
uint64_t outbox_next(const Outbox *outbox);

/* No new requests from here on; idle is true once none is under way and nothing waits for the disk. Until
 * then outbox_run() is still wanted. */
void outbox_stop(Outbox *outbox);
bool outbox_is_idle(const Outbox *outbox);

typedef struct OutboxStats {
        uint64_t created, rejected, unknown, resolved_found, resolved_absent, retried, expired, canceled;
        uint64_t lists;      /* pages asked for */
        uint64_t duplicates; /* submissions found to have two tasks; never, as long as the API keeps to
                                [api] settle */
        uint64_t in_flight;
} OutboxStats;
void outbox_get_stats(const Outbox *outbox, OutboxStats *ret);
