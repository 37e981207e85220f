/*
 * The queue as a whole: how it stands, and the verbs that hold it, let it go on, and have everything looked
 * at now. A hold by an administrator lasts until somebody resumes; one that an answer about the account
 * made ends with a reload or a restart too, when it is tried again.
 */

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "query/params.h"
#include "query/stats.h"
#include "submitd/socket/context.h"

/* When the outbox means to do something next; TIME_NONE: nothing is planned. */
static int read_next(StoreReader *reader, int64_t *ret)
{
        static const SubmissionState states[] = { SUBMISSION_QUEUED, SUBMISSION_UNKNOWN };
        int64_t next = TIME_NONE, t;
        int r;

        FOREACH_ARRAY(state, states, ELEMENTSOF(states)) {
                r = store_get_next_due(reader, *state, &t);
                if (r < 0)
                        return r;
                if (t != TIME_NONE && (next == TIME_NONE || t < next))
                        next = t;
        }
        *ret = next;
        return 0;
}

int queue_read(SubmitContext *context, StoreQueue *ret_queue, Waiting *ret_waiting)
{
        CommitStats stats;
        int r;

        commit_get_stats(context->base.commit, &stats);
        r = store_get_queue(context->base.reader, now_realtime(), ret_queue);
        return r < 0 ? r : waiting_look(context->outbox, ret_queue, stats.state == STORE_WELL, ret_waiting);
}

int queue_waiting_begin(LocalBase *base)
{
        SubmitContext *context = container_of(base, SubmitContext, base);
        StoreQueue queue;

        return queue_read(context, &queue, &context->waiting);
}

json_t *queue_waiting_of(LocalBase *base, const Submission *submission)
{
        SubmitContext *context = container_of(base, SubmitContext, base);
        Waiting waiting;

        return waiting_of_submission(submission, &context->waiting, now_realtime(), &waiting)
                               ? waiting_to_json(&waiting)
                               : NULL;
}

/* `flushed`: so many were flushed; UINT64_MAX: that was not asked for. */
static int reply_queue(SubmitContext *context, HttpRequest *request, uint64_t flushed)
{
        json_auto_t *object = json_object();
        uint64_t cap = context->settings->submit.live_per_day;
        OutboxStats stats;
        StoreQueue queue;
        Waiting waiting;
        int64_t next;
        int r;

        r = queue_read(context, &queue, &waiting);
        if (r >= 0)
                r = read_next(context->base.reader, &next);
        if (r < 0)
                return local_reply_failure(context->base.reader, request, r);
        outbox_get_stats(context->outbox, &stats);

        r = stats_add_queue(object, &queue);
        if (cap < UINT64_MAX)
                r |= json_object_set_new(object, "live_per_day", json_integer((json_int_t)cap));
        r |= json_object_set_new(object, "in_flight", json_integer((json_int_t)stats.in_flight));
        r |= json_object_set_new(object, "is_test", json_boolean(api_client_is_test(context->client)));
        if (waiting.cause != WAITING_NOTHING)
                r |= json_object_set_new(object, "waiting", waiting_to_json(&waiting));
        r |= member_set_time(object, "next_attempt_at",
                        next == TIME_NONE || waiting.until == TIME_NONE ? next : MAX(next, waiting.until));
        if (flushed < UINT64_MAX)
                r |= json_object_set_new(object, "flushed", json_integer((json_int_t)flushed));
        return r < 0 ? -ENOMEM : http_reply_json(request, 200, json_incref(object));
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
} QueueCall;

static void on_changed(CommitJob *job, int result)
{
        QueueCall *call = container_of(job, QueueCall, job);
        SubmitContext *context = call->context;
        int r;

        if (result < 0)
                r = receipt_reply_unavailable(call->request, result);
        else
                r = reply_queue(context, call->request,
                                job->change.kind == STORE_FLUSH ? job->change.flushed : UINT64_MAX);
        if (r < 0)
                http_request_fail(call->request, r);
        outbox_hurry(context->outbox);
}

static int change(SubmitContext *context, HttpRequest *request, StoreChange what)
{
        QueueCall *call;
        int r;

        call = calloc(1, sizeof(QueueCall));
        if (!call)
                return -ENOMEM;
        *call = (QueueCall){
                .job = { .change = what, .done = on_changed },
                .context = context,
                .request = request,
        };
        call->job.change.now = now_realtime();
        http_request_set_userdata(request, call, free);

        r = commit_submit(context->port, &call->job);
        return r < 0 ? receipt_reply_unavailable(request, r) : 0;
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
        HoldQuery query = {};
        int r;

        r = params_read(request, &query);
        if (r == 0 && query.reason && !text_is_utf8(query.reason, strlen(query.reason)))
                r = params_refuse(request, "reason", "text in UTF-8") ?: 1;
        return r != 0 ? MIN(r, 0)
                      : change(userdata, request,
                                        (StoreChange){ .kind = STORE_HOLD,
                                                        .hold = QUEUE_HELD,
                                                        .reason = query.reason });
}

int queue_on_resume(HttpRequest *request, void *userdata)
{
        return change(userdata, request, (StoreChange){ .kind = STORE_HOLD, .hold = QUEUE_RUNNING });
}

int queue_on_flush(HttpRequest *request, void *userdata)
{
        return change(userdata, request, (StoreChange){ .kind = STORE_FLUSH });
}
