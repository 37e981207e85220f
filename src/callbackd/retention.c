/*
 * Retention is off unless asked for. Then what is older than the given age is pruned once an hour.
 */

#include "callbackd/retention.h"

#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "callbackd/prune.h"

#define INTERVAL_USEC USEC_PER_HOUR

struct Retention {
        sd_event *loop; /* borrowed */
        CommitPort *port;
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

static void on_pruned(uint64_t deleted, int error, void *userdata)
{
        Retention *r = userdata;

        r->prune = NULL;
        if (deleted > 0)
                log_info("Deleted %" PRIu64 " deliveries that were older than [store] keep_deliveries.",
                                deleted);
        if (error < 0)
                log_warning_errno(error, "Old deliveries could not be deleted, next try in an hour");
        arm(r, INTERVAL_USEC);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Retention *r = userdata;
        int64_t now = now_realtime();

        if (r->prune || r->keep >= (uint64_t)now ||
                        prune_start(r->loop, r->port, now - (int64_t)r->keep, on_pruned, r, &r->prune) < 0)
                arm(r, INTERVAL_USEC);
        return 0;
}

int retention_new(sd_event *loop, CommitPort *port, uint64_t keep, Retention **ret)
{
        Retention *r;
        int k;

        r = calloc(1, sizeof(Retention));
        if (!r)
                return -ENOMEM;
        *r = (Retention){ .loop = loop, .port = port, .keep = keep };

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
