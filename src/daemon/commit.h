#pragma once

/* The commit queue: between the loops and the one thread that writes. */

#include <systemd/sd-event.h>

#include "basic/macros.h"
#include "store/change.h"

/* A loop's end of the queue: jobs finished for that loop come back through it. One per thread. */
typedef struct CommitPort CommitPort;
typedef struct Commit Commit;
typedef struct CommitJob CommitJob;

/* One change for the writer, embedded in what the caller keeps about it. */
struct CommitJob {
        StoreChange change;
        /* On the port's thread, once the change is on disk or has failed: `result` is the change's. */
        void (*done)(CommitJob *job, int result);

        CommitPort *port; /* the rest is the queue's own */
        CommitJob *next;
};

typedef struct CommitOptions {
        const char *location; /* of the database: see store_open() */
        StoreRole role;
        unsigned max_jobs; /* waiting at once */
        uint64_t min_free; /* see store_set_min_free() */
        /* On the commit thread, after each group that made events: the newest one's number. */
        void (*on_events)(uint64_t last_event, void *userdata);
        /* On the commit thread, once: a failure after which nothing may be written again. */
        void (*on_fatal)(int error, void *userdata);
        void *userdata;
} CommitOptions;

typedef struct CommitStats {
        uint64_t groups, jobs;  /* committed, ever */
        uint64_t failed;        /* jobs that were not, ever */
        uint64_t queued;        /* now */
        uint64_t commit_usec;   /* time spent in commits, ever */
        uint64_t wal_bytes;     /* yet to be checkpointed */
        uint64_t checkpoints;   /* ever */
        uint64_t last_progress; /* monotonic: when the thread was last seen going round */
        StoreState state;
} CommitStats;

/* Opens the database (see store_open()) and starts the threads. */
int commit_new(const CommitOptions *options, Commit **ret, char **ret_error);

/* Commits what waits, checkpoints, joins. Its ports are freed before. Takes NULL, returns NULL. */
Commit *commit_free(Commit *c);
DEFINE_CLEANUP(Commit *, commit_free)

int commit_port_new(Commit *c, sd_event *loop, CommitPort **ret);

/* Waits for what is outstanding and calls done() for it; before commit_free(). */
CommitPort *commit_port_free(CommitPort *p);
DEFINE_CLEANUP(CommitPort *, commit_port_free)

/* Hands a job over; done() is called later from the port's loop, never from within. 0; -EAGAIN: the queue is
 * full; -ENOTRECOVERABLE: after a fatal failure. From the port's thread. */
int commit_submit(CommitPort *p, CommitJob *job);

void commit_get_stats(Commit *c, CommitStats *ret);
void commit_set_min_free(Commit *c, uint64_t min_free);
uint64_t commit_min_free(const Commit *c);
