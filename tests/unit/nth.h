#pragma once

/* What the nth failure is tried on: the store's work in steps, each done or refused as a whole. */

#include "disk.h"
#include "store/sqlite/writer.h"
#include "test-store-outbox.h"

#define STEPS_MAX 12U

/* One process: what it has open. */
typedef struct Session {
        char path[128], copy[128];
        Store *store;
        StoreReader *reader;
        Checkpointer *checkpointer;
        uint64_t seen;    /* by the last step that read */
        bool copied;      /* a backup was said to be done */
        char error[1100]; /* of the last step that failed */
} Session;

void session_close(Session *s);

typedef struct Step {
        const char *name;
        int (*run)(Session *s); /* 0 or negative errno; may be tried again */
} Step;

typedef struct Scenario {
        const char *name;
        enum { BEGIN_EMPTY, BEGIN_OLD, BEGIN_CLEAN, BEGIN_KILLED } begin;
        Step steps[STEPS_MAX]; /* up to one without a name */
        bool afresh;           /* each step by a process of its own, that has nothing in its cache */
} Scenario;

extern const Scenario scenarios[];
extern const size_t n_scenarios;

/* Something of everything, into a database that is open. */
int session_fill(Session *s);

/* nth-queue.c: one run of the commit queue, with a new database in `live`. The fault comes after it was
 * opened. Whether it was met; *ret_lost: a task that was promised and isn't there (owned by the caller). */
bool nth_queue_run(const char *live, const char *cut, const DiskFault *fault, uint64_t *chance,
                char **ret_lost);
