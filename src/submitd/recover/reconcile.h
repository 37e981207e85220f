#pragma once

/* Reconciliation: asks the API what became of tasks whose callback should have come by now. */

#include <sys/queue.h>

#include "daemon/ingest.h"
#include "submitd/api/api.h"
#include "submitd/outbox/outbox.h"

typedef struct Reconcile Reconcile;

#define RECONCILE_IN_FLIGHT_MAX 16U
#define RECONCILE_ERROR_SIZE    320U

typedef struct ReconcileOptions {
        Api api;
        OutboxClock clock;
        const Ingest *ingest; /* borrowed; its reader also lists what is pending */
        uint64_t interval;    /* microseconds from the end of a round to the next; 0: only when asked to */
        unsigned in_flight;   /* polls at once, 1 to RECONCILE_IN_FLIGHT_MAX; 0: a few */
        unsigned per_round;   /* tasks asked about in a round of the interval's; 0: 5,000 */
        /* reconcile_next() may have changed. NULL: nobody wants to know. */
        void (*on_change)(void *userdata);
        void *userdata;
} ReconcileOptions;

/* Nothing happens before reconcile_run(). The first round is due after a minute, or after the interval where
 * that is shorter: who restarts often must not put it off for good. 0 or -ENOMEM. */
int reconcile_new(const ReconcileOptions *options, Reconcile **ret);

/* What it has under way, at the API and at the port, came to its end before. Takes NULL, returns NULL. */
Reconcile *reconcile_free(Reconcile *reconcile);
DEFINE_CLEANUP(Reconcile *, reconcile_free)

/* Another interval, from the last round on. */
void reconcile_set_interval(Reconcile *reconcile, uint64_t interval);

/* Does what is due. Called when reconcile_next() has come. Not from within on_change(). */
void reconcile_run(Reconcile *reconcile);

/* When that is wanted next, by the monotonic clock: perhaps in the past; UINT64_MAX: not before a change. */
uint64_t reconcile_next(const Reconcile *reconcile);

/* A round over all pending tasks, whatever their urgency, now; behind one of the interval's, if that is
 * running. Where such a round is running or wanted already, that one is it. */
void reconcile_start(Reconcile *reconcile);

/* Waits for the end of the round that reconcile_start() is about, at most until `deadline` (monotonic).
 * done() is called once, from reconcile_run() or reconcile_stop(), unless the wait is taken back before. The
 * waiter is the caller's memory. */
typedef struct ReconcileWaiter ReconcileWaiter;
struct ReconcileWaiter {
        void (*done)(ReconcileWaiter *waiter, bool finished);
        uint64_t deadline;
        bool is_waiting; /* the rest is its own */
        LIST_ENTRY(ReconcileWaiter) entry;
};
void reconcile_wait(Reconcile *reconcile, ReconcileWaiter *waiter);
void reconcile_unwait(ReconcileWaiter *waiter);

/* No new polls from here on, and nobody waits any longer; true once nothing is under way. */
void reconcile_stop(Reconcile *reconcile);
bool reconcile_is_idle(const Reconcile *reconcile);

typedef enum RecoveryState {
        RECOVERY_NONE, /* there was none since the start */
        RECOVERY_RUNNING,
        RECOVERY_DONE,
        RECOVERY_FAILED, /* given up, see `error`; what was brought in until then stays */
        _RECOVERY_STATE_MAX,
} RecoveryState;

const char *recovery_state_to_string(RecoveryState v); /* "none", "running", ... */

/* Counts of a kind, which are uint64_t alone. */
static inline void recovery_add_counts(uint64_t *to, const uint64_t *counts, size_t size)
{
        for (size_t i = 0; i < size / sizeof(uint64_t); i++)
                to[i] += counts[i];
}

/* What came of asking, each task counted once. */
typedef struct ReconcileCounts {
        uint64_t asked;
        uint64_t recovered; /* results (or failures) whose callback never came */
        uint64_t canceled;  /* at the API, which tells nobody */
        uint64_t pending;   /* there as here */
        uint64_t known;     /* a callback was faster than the answer */
        uint64_t invalid;   /* what the API says breaks the rules: in the quarantine */
        uint64_t unknown;   /* the API says that there is no such task */
        uint64_t failed;    /* no answer that can be used, or it could not be stored */
} ReconcileCounts;

typedef struct ReconcileReport {
        RecoveryState state;
        bool all;                        /* whatever the urgency */
        int64_t started_at, finished_at; /* TIME_NONE: not yet */
        ReconcileCounts counts;
        char error[RECONCILE_ERROR_SIZE]; /* "" where nothing went wrong */
} ReconcileReport;

/* The round that is running, or the last one. */
const ReconcileReport *reconcile_report(const Reconcile *reconcile);

typedef struct ReconcileStats {
        uint64_t rounds, rounds_failed; /* that came to an end */
        ReconcileCounts counts;         /* of all rounds, also the running one */
        uint64_t put_aside;             /* tasks that are not asked about for a while, now */
} ReconcileStats;
void reconcile_get_stats(const Reconcile *reconcile, ReconcileStats *ret);
