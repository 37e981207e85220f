#pragma once

/* What the files of the commit queue share. Nobody else includes this. */

#include <pthread.h>
#include <stdatomic.h>

#include "basic/parse.h"
#include "daemon/commit-port.h"
#include "daemon/commit.h"

#define COMMIT_ROUND_USEC \
        USEC_PER_SEC /* free space and files are looked at, and progress shown, this often */

struct Commit {
        char *path;
        unsigned max_jobs;
        void (*on_events)(uint64_t last_event, void *userdata);
        void (*on_fatal)(int error, void *userdata);
        void *userdata;
        atomic_uint_fast64_t min_free;

        pthread_mutex_t lock; /* for what follows, up to the threads' own */
        pthread_cond_t cond;  /* the writer's */
        CommitQueue waiting;
        bool stop;
        bool fatal;
        enum { HELPER_IDLE, HELPER_ASKED, HELPER_FINISHED } helper;
        int helper_result;
        pthread_cond_t helper_cond;
        CommitStats stats;

        pthread_t writer, checkpointer;
        bool writer_started, checkpointer_started;

        /* The writer's own. */
        Store *store;
        uint64_t checked;    /* monotonic, the disk and the files; 0: never */
        uint64_t busy_since; /* monotonic: readers keep the WAL from starting over; 0: they don't */
        uint64_t last_event;
        bool moved; /* the files are others': nothing is written, what there is has to be saved */
        int failure;
        bool failing; /* the last group failed: whether the next one would is to be tried */

        StoreCheckpointer *checkpoint; /* the helper's own */
};

/* commit-health.c: on the writer's thread. */

/* Nothing is written from here on. Once. */
void commit_go_fatal(Commit *c, int error, const char *why);

/* What the end of a group or of a checkpoint means for what comes next. */
void commit_note_result(Commit *c, int result);

/* Looks at the files and at the free space, at most once a round. */
void commit_check_health(Commit *c);

/* The same of the files alone, now. */
void commit_check_files(Commit *c);
