/*
 * The first piece counts the time, which tells by the way whether the clock on the wall was set.
 *
 * Deleting is done in pieces of some hundred deliveries, each in the writer's queue like any other job and
 * with a pause behind it, so that callbacks never wait for a long transaction.
 *
 * Retention does so every few minutes. Without an age nothing is deleted, but the time is counted all the
 * same: for who sets one later.
 */

#include "callbackd/prune.h"

#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/message.h"

#define PIECE      200U
#define PAUSE_USEC (20 * USEC_PER_MSEC)

/* What is told of the clock on the wall: it is set by minutes every day somewhere, and a service that was
 * off for some days is nothing to be told of. */
#define JUMP_USEC ((int64_t)USEC_PER_HOUR)
#define AWAY_USEC (7 * (int64_t)USEC_PER_DAY)

#define ROUND_USEC (10 * 60 * USEC_PER_SEC) /* what a restart may lose of the count */
#define ROUNDS     24U                      /* in an age that is short */

struct Prune {
        CommitJob job;
        CommitPort *port;
        sd_event_source *timer;
        Metrics *metrics;
        PruneResult result;
        bool in_queue, abandoned;
        void (*done)(const PruneResult *result, void *userdata);
        void *userdata;
};

Prune *prune_free(Prune *prune)
{
        if (!prune)
                return NULL;

        prune->timer = sd_event_source_disable_unref(prune->timer);
        if (prune->in_queue)
                prune->abandoned = true; /* piece_done() frees it */
        else
                free(prune);
        return NULL;
}

static void prune_finish(Prune *prune, int error)
{
        prune->result.error = error;
        prune->done(&prune->result, prune->userdata);
        prune_free(prune);
}

static void tell_of_clock(const Prune *prune, const StoreTime *time)
{
        int64_t jump = time->jump, hours = jump / JUMP_USEC;

        if (jump > -JUMP_USEC && jump < (time->resumed ? AWAY_USEC : JUMP_USEC))
                return;
        atomic_fetch_add(&prune->metrics->clock_jumps, 1);
        log_event(LOG_WARNING, MESSAGE_CLOCK_JUMPED, LOG_FIELDS(LOG_NUMBER("HOURS", hours)),
                        "The clock shows %" PRId64
                        " hours %s than when it was last looked at and what was counted since%s. Deliveries get such times, but are pruned by what was counted.",
                        hours < 0 ? -hours : hours, hours < 0 ? "less" : "more",
                        time->resumed && hours > 0 ? ": it was set, or the service was off for so long"
                                                   : ": it was set");
}

static void piece_done(CommitJob *job, int result)
{
        Prune *prune = container_of(job, Prune, job);
        StorePruning *pruning = &job->change.pruning;
        const StorePruned *pruned = &job->change.pruned;

        prune->in_queue = false;
        if (prune->abandoned) {
                prune_free(prune);
                return;
        }
        if (result >= 0 && pruning->begins) {
                prune->result.counted = pruned->time.counted;
                tell_of_clock(prune, &pruned->time);
        }
        if (result >= 0) {
                prune->result.deleted += pruned->deleted;
                /* The next piece begins where this one left off: what stays is not looked at again and
                 * again. */
                *pruning = (StorePruning){ .after = pruned->next, .upto = pruned->upto, .limit = PIECE };
        }
        if (result < 0 || !pruned->more) {
                prune_finish(prune, result);
                return;
        }
        (void)sd_event_source_set_time_relative(prune->timer, PAUSE_USEC);
        result = sd_event_source_set_enabled(prune->timer, SD_EVENT_ONESHOT);
        if (result < 0)
                prune_finish(prune, result);
}

static int submit(Prune *prune)
{
        int r;

        r = commit_submit(prune->port, &prune->job);
        prune->in_queue = r >= 0;
        return r;
}

static int on_pause(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Prune *prune = userdata;
        int r;

        r = submit(prune);
        if (r < 0)
                prune_finish(prune, r);
        return 0;
}

int prune_start(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t age,
                void (*done)(const PruneResult *result, void *userdata), void *userdata, Prune **ret)
{
        Prune *prune;
        int r;

        prune = calloc(1, sizeof(Prune));
        if (!prune)
                return -ENOMEM;
        *prune = (Prune){
                .job = { .change = { .kind = STORE_PRUNE,
                                         .pruning = { .begins = true, .age = age, .limit = PIECE } },
                                .done = piece_done },
                .port = port,
                .metrics = metrics,
                .done = done,
                .userdata = userdata,
        };

        r = sd_event_add_time_relative(loop, &prune->timer, CLOCK_MONOTONIC, 0, 0, on_pause, prune);
        if (r >= 0)
                r = sd_event_source_set_enabled(prune->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = submit(prune);
        if (r < 0) {
                prune_free(prune);
                return r;
        }
        *ret = prune;
        return 0;
}

/* Retention. */

struct Retention {
        sd_event *loop; /* borrowed */
        CommitPort *port;
        Metrics *metrics;
        sd_event_source *timer;
        Prune *prune; /* NULL: not at it */
        uint64_t keep;
};

static void arm(Retention *retention, uint64_t usec)
{
        int r;

        r = sd_event_source_set_time_relative(retention->timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(retention->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_warning_errno(r, "Old deliveries are kept until the next start");
}

static void arm_next(Retention *retention)
{
        arm(retention, MIN(MAX(retention->keep / ROUNDS, USEC_PER_SEC), ROUND_USEC));
}

static void on_pruned(const PruneResult *result, void *userdata)
{
        Retention *retention = userdata;

        retention->prune = NULL;
        if (result->deleted > 0)
                log_info("Deleted %" PRIu64 " deliveries that were older than [store] keep_deliveries.",
                                result->deleted);
        if (result->error < 0)
                log_warning_errno(result->error,
                                "Old deliveries could not be looked for, it is tried again in minutes");
        arm_next(retention);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Retention *retention = userdata;

        if (retention->prune ||
                        prune_start(retention->loop, retention->port, retention->metrics, retention->keep,
                                        on_pruned, retention, &retention->prune) < 0)
                arm_next(retention);
        return 0;
}

int retention_new(sd_event *loop, CommitPort *port, Metrics *metrics, uint64_t keep, Retention **ret)
{
        Retention *retention;
        int r;

        retention = calloc(1, sizeof(Retention));
        if (!retention)
                return -ENOMEM;
        *retention = (Retention){ .loop = loop, .port = port, .metrics = metrics, .keep = keep };

        r = sd_event_add_time_relative(
                        loop, &retention->timer, CLOCK_MONOTONIC, USEC_PER_SEC, 0, on_timer, retention);
        if (r < 0) {
                free(retention);
                return r;
        }
        *ret = retention;
        return 0;
}

void retention_set(Retention *retention, uint64_t keep)
{
        retention->keep = keep;
        if (!retention->prune)
                arm(retention, USEC_PER_SEC);
}

Retention *retention_free(Retention *retention)
{
        if (!retention)
                return NULL;

        prune_free(retention->prune);
        sd_event_source_disable_unref(retention->timer);
        free(retention);
        return NULL;
}
