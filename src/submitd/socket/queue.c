/*
 * The queue as a whole: how it stands, and the verbs that hold it, let it go on, and have everything looked
 * at now. A hold by an administrator lasts until somebody resumes; one that an answer about the account
 * made ends with a reload or a restart too, when it is tried again.
 */

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "query/list.h"
#include "query/params.h"
#include "query/stats.h"
#include "submitd/socket/context.h"

/* When the outbox means to do something next; TIME_NONE: nothing is planned. */
static int read_next(StoreReader *reader, int64_t *ret)
{
        static const SubmissionState states[] = { SUBMISSION_QUEUED, SUBMISSION_UNKNOWN };
        int64_t next = TIME_NONE, t;
        int r;

        FOREACH_ARRAY(s, states, ELEMENTSOF(states)) {
                r = store_get_next_due(reader, *s, &t);
                if (r < 0)
                        return r;
                if (t != TIME_NONE && (next == TIME_NONE || t < next))
                        next = t;
        }
        *ret = next;
        return 0;
}

int queue_read(SubmitContext *c, StoreQueue *ret_queue, Waiting *ret_waiting)
{
        CommitStats stats;
        int r;

        commit_get_stats(c->base.commit, &stats);
        r = store_get_queue(c->base.reader, now_realtime(), ret_queue);
        return r < 0 ? r : waiting_look(c->outbox, ret_queue, stats.writable, ret_waiting);
}

int queue_waiting_begin(LocalBase *base)
{
        SubmitContext *c = container_of(base, SubmitContext, base);
        StoreQueue queue;

        return queue_read(c, &queue, &c->waiting);
}

json_t *queue_waiting_of(LocalBase *base, const Submission *s)
{
        SubmitContext *c = container_of(base, SubmitContext, base);
        Waiting w;

        return waiting_of_submission(s, &c->waiting, now_realtime(), &w) ? waiting_to_json(&w) : NULL;
}

/* `flushed`: so many were flushed; UINT64_MAX: that was not asked for. */
static int reply_queue(SubmitContext *c, HttpRequest *request, uint64_t flushed)
{
        json_auto_t *o = json_object();
        uint64_t cap = c->settings->submit.live_per_day;
        OutboxStats stats;
        StoreQueue queue;
        Waiting waiting;
        int64_t next;
        int r;

        r = queue_read(c, &queue, &waiting);
        if (r >= 0)
                r = read_next(c->base.reader, &next);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        outbox_get_stats(c->outbox, &stats);

        r = stats_add_queue(o, &queue);
        if (cap < UINT64_MAX)
                r |= json_object_set_new(o, "live_per_day", json_integer((json_int_t)cap));
        r |= json_object_set_new(o, "in_flight", json_integer((json_int_t)stats.in_flight));
        if (waiting.cause != WAITING_NOTHING)
                r |= json_object_set_new(o, "waiting", waiting_to_json(&waiting));
        r |= member_set_time(o, "next_attempt_at",
                        next == TIME_NONE || waiting.until == TIME_NONE ? next : MAX(next, waiting.until));
        if (flushed < UINT64_MAX)
                r |= json_object_set_new(o, "flushed", json_integer((json_int_t)flushed));
        return r < 0 ? -ENOMEM : http_reply_json(request, 200, json_incref(o));
}

int queue_on_get(HttpRequest *request, void *userdata)
{
        return reply_queue(userdata, request, UINT64_MAX);
}

/* The verbs. */

typedef struct QueueCall {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        const char *reason; /* the request's */
        uint64_t flushed;
} QueueCall;

static void on_changed(CommitJob *job, int result)
{
        QueueCall *x = container_of(job, QueueCall, job);
        SubmitContext *c = x->context;
        int r;

        if (result < 0)
                r = submit_reply_unavailable(x->request, result);
        else
                r = reply_queue(c, x->request, x->flushed);
        if (r < 0)
                log_debug_errno(r, "An answer could not be given");
        submit_hurry(c);
}

static int change(SubmitContext *c, HttpRequest *request, const char *reason,
                int (*run)(CommitJob *job, Store *store))
{
        QueueCall *x;
        int r;

        x = calloc(1, sizeof(QueueCall));
        if (!x)
                return -ENOMEM;
        *x = (QueueCall){
                .job = { .run = run, .done = on_changed },
                .context = c,
                .request = request,
                .reason = reason,
                .flushed = UINT64_MAX,
        };
        http_request_set_userdata(request, x, free);

        r = commit_submit(c->port, &x->job);
        return r < 0 ? submit_reply_unavailable(request, r) : 0;
}

static int run_hold(CommitJob *job, Store *store)
{
        return store_hold_queue(
                        store, QUEUE_HELD, container_of(job, QueueCall, job)->reason, now_realtime());
}

static int run_resume(_unused_ CommitJob *job, Store *store)
{
        return store_hold_queue(store, QUEUE_RUNNING, NULL, now_realtime());
}

static int run_flush(CommitJob *job, Store *store)
{
        return store_flush_submissions(store, now_realtime(), &container_of(job, QueueCall, job)->flushed);
}

typedef struct HoldQuery {
        const char *reason;
} HoldQuery;

const Param hold_params[] = {
        { "reason", PARAM_TEXT, offsetof(HoldQuery, reason), 0, QUEUE_REASON_MAX },
        {},
};

int queue_on_hold(HttpRequest *request, void *userdata)
{
        HoldQuery q = {};
        int r;

        r = params_read(request, &q);
        return r != 0 ? MIN(r, 0) : change(userdata, request, q.reason, run_hold);
}

int queue_on_resume(HttpRequest *request, void *userdata)
{
        return change(userdata, request, NULL, run_resume);
}

int queue_on_flush(HttpRequest *request, void *userdata)
{
        return change(userdata, request, NULL, run_flush);
}
