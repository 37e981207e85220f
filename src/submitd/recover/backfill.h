#pragma once

/* Backfill: brings in every task that the account has, page by page. */

#include "submitd/api/api.h"
#include "submitd/outbox/outbox.h"
#include "submitd/recover/reconcile.h"

typedef struct Backfill Backfill;

#define BACKFILL_IN_FLIGHT_MAX 64U

typedef struct BackfillOptions {
        Api api;
        OutboxClock clock;
        const Ingest *ingest; /* borrowed */
        unsigned in_flight; /* tasks at the port at once, 1 to BACKFILL_IN_FLIGHT_MAX; 0: as many as usual */
        unsigned page;      /* tasks in a page, 1 to 100; 0: 100 */
        unsigned window;    /* how far a list is walked by its offset before it is asked for anew, from the
                             * time that was reached; 0: 1,000 */
        /* backfill_next() may have changed. NULL: nobody wants to know. */
        void (*on_change)(void *userdata);
        void *userdata;
} BackfillOptions;

/* 0 or -ENOMEM. */
int backfill_new(const BackfillOptions *options, Backfill **ret);

/* What it has under way, at the API and at the port, came to its end before. Takes NULL, returns NULL. */
Backfill *backfill_free(Backfill *backfill);
DEFINE_CLEANUP(Backfill *, backfill_free)

/* Begins one, over the tasks created within these times, both inclusive; TIME_NONE: open. 0; -EBUSY: one is
 * running; -ESHUTDOWN: after backfill_stop(). */
int backfill_start(Backfill *backfill, int64_t since, int64_t until);

/* Does what is due. Called when backfill_next() has come. Not from within on_change(). */
void backfill_run(Backfill *backfill);

/* When that is wanted next, by the monotonic clock: perhaps in the past; UINT64_MAX: not before a change. */
uint64_t backfill_next(const Backfill *backfill);

/* Goes no further; true once nothing is under way. */
void backfill_stop(Backfill *backfill);
bool backfill_is_idle(const Backfill *backfill);

/* What the pages brought. A task that is shown twice, because the list moved meanwhile, is counted twice. */
typedef struct BackfillCounts {
        uint64_t pages;
        uint64_t seen;    /* tasks */
        uint64_t stored;  /* first responses, and tasks that were not known or that ended without a response
                           */
        uint64_t revised; /* other responses than the one that was known */
        uint64_t known;   /* nothing new */
        uint64_t pending; /* of those seen: without a response yet */
        uint64_t invalid; /* break the rules: in the quarantine; or could never be stored, see the log */
        uint64_t retries; /* pages that had to be asked for again */
} BackfillCounts;

typedef struct BackfillReport {
        RecoveryState state;
        int64_t since, until;            /* as asked for */
        int64_t started_at, finished_at; /* TIME_NONE: not yet */
        int64_t reached;                 /* created_at of the oldest task seen; TIME_NONE: none yet */
        bool has_total;
        uint64_t total; /* what the API said there is, at the beginning */
        BackfillCounts counts;
        char error[RECONCILE_ERROR_SIZE]; /* "" where nothing went wrong */
} BackfillReport;

const BackfillReport *backfill_report(const Backfill *backfill);

typedef struct BackfillStats {
        uint64_t runs, failed;
        BackfillCounts counts; /* of all of them, also the running one */
} BackfillStats;
void backfill_get_stats(const Backfill *backfill, BackfillStats *ret);
