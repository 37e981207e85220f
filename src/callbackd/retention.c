/*
 * Every few minutes the time is counted, by which deliveries get old, and what is older than the given age
 * is pruned. Without an age nothing is, but the time is counted all the same: for who sets one later.
 */

#include "callbackd/retention.h"

#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "callbackd/prune.h"

#define ROUND_USEC (10 * 60 * USEC_PER_SEC) /* what a restart may lose of the count */
#define PARTS      24U                      /* rounds in an age that is short */

struct Retention {
        sd_event *loop; /* borrowed */
        CommitPort *port;
        Metrics *metrics;
        sd_event_source *timer;
        Prune *prune; /* NULL: not at it */
        uint64_t keep;
};

static void arm(Retention *r, uint64_t usec)
{
        int k;

        k = sd_event_source_set_time_relative(r->timer, usec);
        if (k >= 0)
                k = sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
        if (k < 0)
                log_warning_errno(k, "Old deliveries are kept until the next start");
}

static void arm_next(Retention *r)
{
        arm(r, MIN(MAX(r->keep / PARTS, USEC_PER_SEC), ROUND_USEC));
}

static void on_pruned(const PruneResult *result, void *userdata)
{
        Retention *r = userdata;

        r->prune = NULL;
        if (result->deleted > 0)
                log_info("Deleted %" PRIu64 " deliveries that were older than [store] keep_deliveries.",
                                result->deleted);
        if (result->error < 0)
                log_warning_errno(result->error,
                                "Old deliveries could not be looked for, it is tried again in minutes");
        arm_next(r);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Retention *r = userdata;

        if (r->prune || prune_start(r->loop, r->port, r->metrics, r->keep, on_pruned, r, &r->prune) < 0)
                arm_next(r);
        return 0;
}

int retention_new(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t keep, Retention **ret)
{
        Retention *r;
        int k;

        r = calloc(1, sizeof(Retention));
        if (!r)
                return -ENOMEM;
        *r = (Retention){ .loop = loop, .port = port, .metrics = metrics, .keep = keep };

        k = sd_event_add_time_relative(loop, &r->timer, CLOCK_MONOTONIC, USEC_PER_SEC, 0, on_timer, r);
        if (k < 0) {
                free(r);
                return k;
        }
        *ret = r;
        return 0;
}

void retention_set(Retention *r, uint64_t keep)
{
        r->keep = keep;
        if (!r->prune)
                arm(r, USEC_PER_SEC);
}

Retention *retention_free(Retention *r)
{
        if (!r)
                return NULL;

        prune_free(r->prune);
        sd_event_source_disable_unref(r->timer);
        free(r);
        return NULL;
}
