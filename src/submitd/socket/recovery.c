/*
 * Reconciliation and backfill on the submit socket: POST begins one, GET says how far it is. Both go on
 * whether somebody waits or not. Who asks for a reconciliation while one is running gets that one; a
 * backfill is between two times, so that another one has to wait: 409.
 */

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "query/params.h"
#include "submitd/socket/context.h"

#define WAIT_MAX_SEC 300U

/* Reports. */

typedef struct Count {
        const char *name;
        size_t offset;
} Count;

#define RECONCILED(member)                                 \
        {                                                  \
#                member, offsetof(ReconcileCounts, member) \
        }
static const Count reconcile_counts[] = {
        RECONCILED(asked),
        RECONCILED(recovered),
        RECONCILED(canceled),
        RECONCILED(pending),
        RECONCILED(known),
        RECONCILED(invalid),
        RECONCILED(unknown),
        RECONCILED(failed),
};
_Static_assert(ELEMENTSOF(reconcile_counts) * sizeof(uint64_t) == sizeof(ReconcileCounts), "all of them");

#define FILLED(member)                                    \
        {                                                 \
#                member, offsetof(BackfillCounts, member) \
        }
static const Count backfill_counts[] = {
        FILLED(pages),
        FILLED(seen),
        FILLED(stored),
        FILLED(revised),
        FILLED(known),
        FILLED(pending),
        FILLED(invalid),
        FILLED(retries),
};
_Static_assert(ELEMENTSOF(backfill_counts) * sizeof(uint64_t) == sizeof(BackfillCounts), "all of them");

static int describe_counts(json_t *object, const Count *counts, size_t n, const void *values)
{
        int r = 0;

        FOREACH_ARRAY(count, counts, n) {
                const uint64_t *value = (const void *)((const char *)values + count->offset);

                r |= json_object_set_new(object, count->name, json_integer((json_int_t)*value));
        }
        return r;
}

/* With an error only where there is one: the API's words may not be UTF-8, and are left out then. */
static int add_end(json_t *object, int64_t finished_at, const char *error)
{
        int r = member_set_time(object, "finished_at", finished_at);

        if (*error)
                r |= json_object_set_new(object, "error",
                                json_string(error) ?: json_string("the API's words are not UTF-8"));
        return r;
}

static json_t *describe_reconciliation(const ReconcileReport *report)
{
        json_auto_t *object = json_object();
        int r = 0;

        r |= json_object_set_new(object, "state", json_string(recovery_state_to_string(report->state)));
        r |= member_set_time(object, "started_at", report->started_at);
        r |= describe_counts(object, reconcile_counts, ELEMENTSOF(reconcile_counts), &report->counts);
        r |= add_end(object, report->finished_at, report->error);
        return r < 0 ? NULL : json_incref(object);
}

static json_t *describe_backfill(const BackfillReport *report)
{
        json_auto_t *object = json_object();
        int r = 0;

        r |= json_object_set_new(object, "state", json_string(recovery_state_to_string(report->state)));
        r |= member_set_time(object, "since", report->since);
        r |= member_set_time(object, "until", report->until);
        r |= member_set_time(object, "started_at", report->started_at);
        if (report->has_total)
                r |= json_object_set_new(object, "total", json_integer((json_int_t)report->total));
        r |= describe_counts(object, backfill_counts, ELEMENTSOF(backfill_counts), &report->counts);
        r |= member_set_time(object, "reached_at", report->reached);
        r |= add_end(object, report->finished_at, report->error);
        return r < 0 ? NULL : json_incref(object);
}

/* Reconciliation. */

typedef struct WaitCall {
        ReconcileWaiter waiter;
        Reconcile *reconcile;
        HttpRequest *request;
} WaitCall;

static void wait_call_free(void *userdata)
{
        WaitCall *call = userdata;

        reconcile_unwait(&call->waiter);
        free(call);
}

static void on_waited(ReconcileWaiter *waiter, bool finished)
{
        WaitCall *call = container_of(waiter, WaitCall, waiter);
        int r;

        r = http_reply_json(call->request, finished ? 200 : 202,
                        describe_reconciliation(reconcile_report(call->reconcile)));
        if (r < 0)
                http_request_fail(call->request, r);
}

typedef struct ReconcileQuery {
        uint64_t wait; /* seconds */
} ReconcileQuery;

const Param reconcile_params[] = {
        { "wait", PARAM_NUMBER, offsetof(ReconcileQuery, wait), 0, WAIT_MAX_SEC },
        {},
};

int reconcile_on_post(HttpRequest *request, void *userdata)
{
        SubmitContext *context = userdata;
        ReconcileQuery query = {};
        WaitCall *call;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);

        reconcile_start(context->reconcile);
        if (query.wait == 0)
                return http_reply_json(
                                request, 202, describe_reconciliation(reconcile_report(context->reconcile)));

        call = calloc(1, sizeof(WaitCall));
        if (!call)
                return -ENOMEM;
        *call = (WaitCall){
                .waiter = { .done = on_waited, .deadline = now_monotonic() + query.wait * USEC_PER_SEC },
                .reconcile = context->reconcile,
                .request = request,
        };
        http_request_set_userdata(request, call, wait_call_free);
        reconcile_wait(context->reconcile, &call->waiter);
        return 0;
}

int reconcile_on_get(HttpRequest *request, void *userdata)
{
        SubmitContext *context = userdata;

        return http_reply_json(request, 200, describe_reconciliation(reconcile_report(context->reconcile)));
}

/* Backfill. */

typedef struct BackfillQuery {
        int64_t since, until;
} BackfillQuery;

const Param backfill_params[] = {
        { "since", PARAM_TIME, offsetof(BackfillQuery, since), 0, 0 },
        { "until", PARAM_TIME, offsetof(BackfillQuery, until), 0, 0 },
        {},
};

int backfill_on_post(HttpRequest *request, void *userdata)
{
        BackfillQuery query = { TIME_NONE, TIME_NONE };
        SubmitContext *context = userdata;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);
        if (query.until != TIME_NONE && query.since > query.until)
                return params_refuse(request, "until", "a time that is not before `since`");

        r = backfill_start(context->backfill, query.since, query.until);
        if (r == -EBUSY)
                return http_reply_error(request, 409, NULL,
                                "A backfill is running: GET /v1/backfill says how far it is.");
        if (r < 0)
                return receipt_reply_unavailable(request, r);
        return http_reply_json(request, 202, describe_backfill(backfill_report(context->backfill)));
}

int backfill_on_get(HttpRequest *request, void *userdata)
{
        SubmitContext *context = userdata;

        return http_reply_json(request, 200, describe_backfill(backfill_report(context->backfill)));
}
