#pragma once

/* Pruning: old deliveries on which nothing stands, deleted a piece at a time. How old they are is what was
 * counted, see store_count_time(), and no clock that can be set has a say in it. */

#include <systemd/sd-event.h>

#include "callbackd/metrics.h"
#include "daemon/commit.h"

typedef struct Prune Prune;

typedef struct PruneResult {
        int error;        /* 0 or negative errno */
        uint64_t deleted; /* also before an error */
        uint64_t counted; /* how old anything can be known to be, in microseconds; valid without an error */
} PruneResult;

/* Counts the time, then deletes what is as old as `age` (microseconds; UINT64_MAX: nothing is), through
 * `port` and with pauses on `loop`. done() is called once unless this returns negative or it is freed
 * before. When done() returns *ret is gone. */
int prune_start(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t age,
                void (*done)(const PruneResult *result, void *userdata), void *userdata, Prune **ret);

/* Gives up what is not done yet. Takes NULL, returns NULL. */
Prune *prune_free(Prune *prune);

/* The same by itself, every few minutes. */
typedef struct Retention Retention;

/* `keep` is how long deliveries are kept, in microseconds; UINT64_MAX: forever. 0 or negative errno. */
int retention_new(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t keep, Retention **ret);
void retention_set(Retention *retention, uint64_t keep);

/* NULL in, NULL out. */
Retention *retention_free(Retention *retention);
