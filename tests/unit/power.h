#pragma once

/* What the power cuts are made of: two daemons' work on one database, what they were promised of it, and the
 * disks that a cut may leave. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "daemon/commit.h"
#include "disk.h"
#include "store/outbox.h"
#include "store/sqlite/writer.h"

#define T0     INT64_C(1700000000000000) /* microseconds: some time in 2023 */
#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)

#define ACTS_MAX    1024U
#define PENDING_MAX 512U

typedef struct Power Power;
typedef struct Act Act;

/* power-acts.c: one change of the store, with all that it borrows. */
struct Act {
        CommitJob job;
        Power *power;
        enum { ACT_DELIVERY, ACT_SUBMISSION, ACT_ACCOUNT, ACT_PRUNE, ACT_OTHER } kind;
        unsigned number;
        char task_id[40], id[SUBMISSION_ID_SIZE], url[64], key[32];
        const char *urls[1];
        char *body; /* owned */
        StoreMetadata metadata[2];
        StoreDelivery delivery;
        StoreSubmission submission;
        StoreMove move;
        int64_t time;
        uint64_t target;

        /* What came of it. */
        StoreOutcome outcome;
        bool acknowledged;
        bool may_be_gone; /* a pruning of old deliveries took it */
};

/* Another one, to be run. */
Act *act_new(Power *p);

/* A pruning takes it, or may do so. */
bool act_is_old(const Act *a, const Act *prune);

/* power-check.c: whether a disk after a cut holds what was promised. */

/* Opens what is in p->cut with the store's own code. False: something is wrong, as p->why says. */
bool power_check(Power *p, uint64_t *ret_digest);

/* What the states have met, all together: a test that meets nothing proves nothing. */
typedef struct PowerMet {
        unsigned states, by_cut[_DISK_CUT_MAX];
        unsigned at_sync, at_change, at_promise; /* the moment */
        unsigned before, after;                  /* of a group that was being written: gone, or there */
        unsigned opening, closing, checkpoints, threads, lives, went_on;
        unsigned acts, promises;
} PowerMet;

struct Power {
        uint64_t seed, chance;
        PowerMet *met;
        char top[64], live[80], next[80], cut[80]; /* directories */
        char path[96];                             /* of the live database */
        char why[1024];                            /* something is wrong; empty: nothing */
        bool hasty; /* promises before it commits: the test's own proof that it can fail */

        Store *stores[2]; /* either these, as both daemons would have them, ... */
        Checkpointer *checkpointer;
        Commit *commit; /* ... or a thread */
        CommitPort *port;
        sd_event *loop;
        sqlite3 *observer;

        Act *acts[ACTS_MAX];
        unsigned n_acts, n_group; /* the last n_group are being written */
        unsigned n_done, n_tasks;

        enum { MOMENT_NONE, MOMENT_OPENING, MOMENT_WORKING, MOMENT_CLOSING } moment;
        bool known;                    /* the state is known, as it was last committed */
        uint64_t digest;               /* its */
        uint64_t pending[PENDING_MAX]; /* what has to be the next one's */
        unsigned n_pending;
        bool dead;            /* the power is gone: nobody hears of anything any more */
        uint64_t next_digest; /* what the next life begins with */
};

static inline unsigned pick(Power *p, uint64_t n)
{
        return disk_pick(&p->chance, n);
}

_printf_(2, 3) static inline bool power_broken(Power *p, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (!p->why[0])
                vsnprintf(p->why, sizeof(p->why), format, args);
        va_end(args);
        return false;
}

/* power-look.c: what a cut right now may leave. */

/* Looks at the systematic ones, each with so many chances of 100, and at so many random ones. */
void power_look_around(Power *p, unsigned extremes, unsigned randoms);

/* A DiskWatchFn, with p as userdata; from another thread than the one that called power_init() it looks from
 * the loop. */
void power_on_change(DiskOp op, void *userdata);
void power_look_from(sd_event *loop, Power *p);

void power_init(void);
void power_done(void);
