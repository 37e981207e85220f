/*
 * Deleting is done in pieces of some hundred deliveries, each in the writer's queue like any other job and
 * with a pause behind it, so that callbacks never wait for a long transaction.
 */

#include "callbackd/prune.h"

#include "basic/parse.h"

#define PIECE      200U
#define PAUSE_USEC (20 * USEC_PER_MSEC)

struct Prune {
        CommitJob job;
        CommitPort *port;
        sd_event_source *timer;
        int64_t before;
        uint64_t deleted, total;
        bool more, in_queue, abandoned;
        void (*done)(uint64_t deleted, int error, void *userdata);
        void *userdata;
};

Prune *prune_free(Prune *p)
{
        if (!p)
                return NULL;

        p->timer = sd_event_source_disable_unref(p->timer);
        if (p->in_queue)
                p->abandoned = true; /* piece_done() frees it */
        else
                free(p);
        return NULL;
}

static void prune_finish(Prune *p, int error)
{
        p->done(p->total, error, p->userdata);
        prune_free(p);
}

static int run(CommitJob *job, Store *store)
{
        Prune *p = container_of(job, Prune, job);

        return store_prune_deliveries(store, p->before, PIECE, &p->deleted, &p->more);
}

static void piece_done(CommitJob *job, int result)
{
        Prune *p = container_of(job, Prune, job);

        p->in_queue = false;
        if (p->abandoned) {
                prune_free(p);
                return;
        }
        if (result >= 0)
                p->total += p->deleted;
        if (result < 0 || !p->more) {
                prune_finish(p, result);
                return;
        }
        (void)sd_event_source_set_time_relative(p->timer, PAUSE_USEC);
        result = sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
        if (result < 0)
                prune_finish(p, result);
}

static int submit(Prune *p)
{
        int r;

        p->job = (CommitJob){ .run = run, .done = piece_done };
        r = commit_submit(p->port, &p->job);
        p->in_queue = r >= 0;
        return r;
}

static int on_pause(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Prune *p = userdata;
        int r;

        r = submit(p);
        if (r < 0)
                prune_finish(p, r);
        return 0;
}

int prune_start(sd_event *loop, CommitPort *port, int64_t before,
                void (*done)(uint64_t deleted, int error, void *userdata), void *userdata, Prune **ret)
{
        Prune *p;
        int r;

        p = calloc(1, sizeof(Prune));
        if (!p)
                return -ENOMEM;
        *p = (Prune){ .port = port, .before = before, .done = done, .userdata = userdata };

        r = sd_event_add_time_relative(loop, &p->timer, CLOCK_MONOTONIC, 0, 0, on_pause, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = submit(p);
        if (r < 0) {
                prune_free(p);
                return r;
        }
        *ret = p;
        return 0;
}
