#pragma once

/* The outbox's state: what all that it does shares. Nobody outside of this room includes it. */

#include <sys/queue.h>

#include "basic/parse.h"
#include "submitd/api/answer.h"
#include "submitd/api/backoff.h"
#include "submitd/api/cause.h"
#include "submitd/outbox/outbox.h"
#include "submitd/outbox/snapshot.h"

#define LOOK_USEC (60 * USEC_PER_SEC) /* the clock may have jumped: how often it is looked at */

/* A request that may have made a task: as in Submission. */
typedef struct Attempt {
        char id[SUBMISSION_ID_SIZE]; /* of the submission */
        unsigned n;                  /* with this one */
        unsigned status;
        bool is_test;
        int64_t sent_at, floor_at, ended_at, grace, expires_at; /* ended_at only once it has */
        int64_t live_day;                                       /* on which it is counted */
} Attempt;

/* One change. Embedded in what it is about, and untouched by it from save_submit() to
   finished(). */
typedef struct Save Save;
struct Save {
        CommitJob job;
        Outbox *outbox;
        LIST_ENTRY(Save) entry; /* of those that wait to be tried again */
        /* result: 0 or why it was given up. NULL: nobody cares. */
        void (*finished)(Save *save, int result, void *userdata);
        void *userdata;

        char id[SUBMISSION_ID_SIZE];
        bool once;      /* given up when it fails; others are tried until they are stored */
        StoreMove move; /* of STORE_MOVE */
        char error[OUTCOME_TEXT_SIZE];
        char *answer;           /* owned; NULL: none */
        TaskSnapshot *snapshot; /* owned; of STORE_ACCEPT */
        bool hold;              /* the queue with it, because of `error` */

        unsigned failures;
        uint64_t retry_at;
        int result;
};

/* Over all wishes of the store, in the order of their submissions. */
typedef struct CancelWalk {
        uint64_t after;     /* the last submission that was seen */
        uint64_t begins_at; /* monotonic; 0: at once, or it has begun */
        unsigned n;         /* walks in a row that left some out of hand */
        bool left_some;     /* this one does */
} CancelWalk;

struct Outbox {
        OutboxOptions options;
        char *callback_url; /* owned; options.callback_url */

        bool started, recovered, stopping, fatal;
        Save recover, hold, flush;
        bool flush_busy; /* that is on its way to the disk */
        LIST_HEAD(, Save) waiting;
        unsigned n_saves; /* from save_submit() to finished() */
        unsigned n_holds; /* of these, such that hold the queue, of whatever kind */

        LIST_HEAD(, Sending) sendings;
        unsigned n_sendings, n_starting; /* of these, such that are about to ask */
        struct Resolver *resolver;
        LIST_HEAD(, Cancel) cancels;
        unsigned n_cancels;
        CancelWalk cancel_walk;
        unsigned in_flight; /* requests of any kind */

        /* The API, as far as it is known. */
        int64_t api_date;    /* TIME_NONE: not seen yet */
        int64_t api_created; /* of the task that it told of last; TIME_NONE: of none yet */
        bool probed;         /* an answer came */
        bool probing;
        unsigned probe_failures;
        WaitingCause failing; /* why the last question was of no use, in the words of `failure` */
        char failure[OUTCOME_TEXT_SIZE];
        uint64_t probe_at;

        /* Monotonic times before which nothing is done. */
        uint64_t create_at;  /* it answers nobody: no new task */
        uint64_t next_token; /* the rate's */
        uint64_t disk_at;    /* the disk is full: nothing new is begun */
        unsigned trouble, disk_failures;
        int disk_error; /* the last one */

        uint64_t chance;
        uint64_t wake;
        OutboxStats stats;
};

static inline uint64_t outbox_monotonic(const Outbox *outbox)
{
        return outbox->options.clock.monotonic(outbox->options.clock.userdata);
}

static inline int64_t outbox_realtime(const Outbox *outbox)
{
        return outbox->options.clock.realtime(outbox->options.clock.userdata);
}

/* Whether the key is a test key. */
static inline bool outbox_is_test(const Outbox *outbox)
{
        return outbox->options.api.is_test(outbox->options.api.userdata);
}

/* Monotonic: the API wants no request before. */
static inline uint64_t outbox_retry_at(const Outbox *outbox)
{
        return outbox->options.api.retry_at(outbox->options.api.userdata);
}

/* How long after its end a request that leaves now may still make a task that lists don't show yet. */
static inline int64_t outbox_grace(const Outbox *outbox)
{
        return (int64_t)(outbox->options.timeout + outbox->options.settle);
}

static inline void outbox_wake_at(Outbox *outbox, uint64_t monotonic)
{
        outbox->wake = MIN(outbox->wake, monotonic);
}

void outbox_changed(Outbox *outbox);

/* Monotonic: when a request (see Submission) can't make a task any more. What ended later than now ended
 * before the machine was started anew, so that all of the time since then has passed. */
uint64_t outbox_settles_at(const Outbox *outbox, int64_t ended_at, int64_t grace);

/* When to try again: no later than at the end of its time, where that is still to come. */
int64_t outbox_next_try(int64_t now, uint64_t delay, int64_t expires_at);

/* Whether a request may be made now, of any kind. */
bool outbox_may_ask(const Outbox *outbox);

/* A GET or a POST. 0 or negative errno; see Api. done() begins with outbox_note_answer(). */
int outbox_ask(Outbox *outbox, const ApiRequest *request, ApiDoneFn done, void *userdata);

/* What every answer tells: that the request is over, the time. */
Outcome outbox_note_answer(Outbox *outbox, const ApiAnswer *answer);

/* What every page of a list tells, and every task: when the API makes tasks, by its own clock for that. */
void outbox_note_page(Outbox *outbox, const json_t *page);
void outbox_note_task(Outbox *outbox, const json_t *task);

/* Not later than any request that leaves from here on, by whichever of the API's clocks; TIME_NONE: not
 * known. */
int64_t outbox_floor(const Outbox *outbox);

/* Hands on what accepting a task doesn't keep: see OutboxOptions. */
void outbox_tell_task(Outbox *outbox, const TaskSnapshot *snapshot);
