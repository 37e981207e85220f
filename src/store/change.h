#pragma once

/* What is to become of the store, as data, and what became of it. */

#include "store/outbox.h"

/* What is known of time without trust in the clock on the wall. */
typedef struct StoreTime {
        uint64_t counted; /* microseconds for which this database was served so far, at least */
        int64_t jump;     /* by how much more (less, if negative) the clock on the wall went meanwhile */
        bool resumed; /* this is the process's first: `jump` has the time in which there was none in it */
} StoreTime;

/* What takes old deliveries out of the log, piece by piece. */
typedef struct StorePruning {
        /* The first piece counts the time (see StoreTime) and finds `upto` by `age`; later ones go on. */
        bool begins;
        uint64_t age;   /* microseconds */
        uint64_t after; /* where this piece begins: 0, then what the last one gave as `next` */
        uint64_t upto;  /* the newest delivery that is old enough */
        unsigned limit; /* deliveries that are looked at, at most */
} StorePruning;

typedef struct StorePruned {
        StoreTime time; /* of the first piece */
        uint64_t upto, next, deleted;
        bool more; /* there may be */
} StorePruned;

/* What an earlier process left is taken up: see store_recover_submissions() and store_doubt_submissions().
 */
typedef struct StoreRecovery {
        int64_t ended_at, grace;
        bool is_test;
} StoreRecovery;

typedef struct StoreRecovered {
        int64_t copied_at;  /* the database was turned back to then; TIME_NONE: it wasn't */
        uint64_t n_doubted; /* of what was queued then */
} StoreRecovered;

typedef struct StoreAdded {
        StoreAddition addition;
        char id[SUBMISSION_ID_SIZE]; /* of the submission that it is, or that the key belongs to */
} StoreAdded;

typedef enum StoreChangeKind {
        STORE_NOTHING,  /* waits for its group, and changes nothing */
        STORE_DELIVERY, /* keeps `delivery` and what follows from it; takes what it is a retry of out of the
                         * quarantine */
        STORE_DISCARD,  /* takes delivery `number` out of the quarantine. -ENOENT: there is none, -EINVAL: it
                         * is not there */
        STORE_PRUNE,    /* deletes old deliveries: `pruning` */
        STORE_SUBMISSION,    /* adds `submission` to the outbox */
        STORE_MOVE,          /* takes submission `id` from one state to another: `move` */
        STORE_ACCEPT,        /* the API has a task for submission `id`: `delivery` is its snapshot */
        STORE_WANT_CANCEL,   /* submission `id` is to be canceled, if it is in one of the states `from` */
        STORE_FORGET_CANCEL, /* no longer */
        STORE_FLUSH,         /* all that wait are to be looked at now */
        STORE_HOLD,          /* the queue: `hold`, because of `reason` */
        STORE_LIFT_HOLD,     /* resumes the queue where an answer about the account held it */
        STORE_RECOVER,       /* when the submitter starts: `recovery` */
        _STORE_CHANGE_KIND_MAX,
} StoreChangeKind;

/* One change. What it points to is borrowed until store_write() returns. Outcomes are valid where `result`
 * is 0. */
typedef struct StoreChange {
        StoreChangeKind kind;
        const char *id;
        int64_t now;        /* of all but deliveries and additions, which say it themselves */
        const char *reason; /* of a hold, by an answer about the account with STORE_MOVE and STORE_ACCEPT;
                             * NULL: none */
        union {
                const StoreDelivery *delivery;
                const StoreSubmission *submission;
                const StoreMove *move;
                uint64_t number;
                StorePruning pruning;
                StoreRecovery recovery;
                unsigned from; /* SUBMISSION_IN()s */
                QueueHold hold;
        };

        /* 0: it is on disk. -EINPROGRESS: nobody knows whether it is. Any other negative errno: it is not;
         * of this change alone, or of all of its group. */
        int result;
        union {
                StoreOutcome outcome;     /* STORE_DELIVERY */
                StorePruned pruned;       /* STORE_PRUNE */
                StoreAdded added;         /* STORE_SUBMISSION */
                int moved;                /* verbs for one submission: 0, STORE_MOVED_ON, STORE_UNKNOWN */
                uint64_t flushed;         /* STORE_FLUSH */
                StoreRecovered recovered; /* STORE_RECOVER */
        };
} StoreChange;

/* Writes a group. A change that fails by itself takes nobody with it: its result says so, and the others are
 * kept. 0: they are on disk; negative errno: of all that have not failed by themselves. A group of which
 * everything failed is no failure. */
int store_write(Store *s, StoreChange *const *changes, size_t n);
