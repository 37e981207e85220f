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

static int add_time(json_t *o, const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];

        return t == TIME_NONE ? 0 : json_object_set_new(o, name, json_string(time_format(t, text)));
}

static int add_counts(json_t *o, const Count *counts, size_t n, const void *values)
{
        int r = 0;

        FOREACH_ARRAY(c, counts, n) {
                const uint64_t *value = (const void *)((const char *)values + c->offset);

                r |= json_object_set_new(o, c->name, json_integer((json_int_t)*value));
        }
        return r;
}

/* With an error only where there is one: the API's words may not be UTF-8, and are left out then. */
static int add_end(json_t *o, int64_t finished_at, const char *error)
{
        int r = add_time(o, "finished_at", finished_at);

        if (*error)
                r |= json_object_set_new(o, "error",
                                json_string(error) ?: json_string("the API's words are not UTF-8"));
        return r;
}

static json_t *describe_reconciliation(const ReconcileReport *report)
{
        json_auto_t *o = json_object();
        int r = 0;

        r |= json_object_set_new(o, "state", json_string(recovery_state_to_string(report->state)));
        r |= add_time(o, "started_at", report->started_at);
        r |= add_counts(o, reconcile_counts, ELEMENTSOF(reconcile_counts), &report->counts);
        r |= add_end(o, report->finished_at, report->error);
        return r < 0 ? NULL : json_incref(o);
}

static json_t *describe_backfill(const BackfillReport *report)
{
        json_auto_t *o = json_object();
        int r = 0;

        r |= json_object_set_new(o, "state", json_string(recovery_state_to_string(report->state)));
        r |= add_time(o, "since", report->since);
        r |= add_time(o, "until", report->until);
        r |= add_time(o, "started_at", report->started_at);
        if (report->has_total)
                r |= json_object_set_new(o, "total", json_integer((json_int_t)report->total));
        r |= add_counts(o, backfill_counts, ELEMENTSOF(backfill_counts), &report->counts);
        r |= add_time(o, "reached_at", report->reached);
        r |= add_end(o, report->finished_at, report->error);
        return r < 0 ? NULL : json_incref(o);
}

/* Reconciliation. */

typedef struct WaitCall {
        ReconcileWaiter waiter;
        Reconcile *reconcile;
        HttpRequest *request;
} WaitCall;

static void wait_call_free(void *userdata)
{
        WaitCall *x = userdata;

        reconcile_unwait(&x->waiter);
        free(x);
}

static void on_waited(ReconcileWaiter *waiter, bool finished)
{
        WaitCall *x = container_of(waiter, WaitCall, waiter);
        int r;

        r = http_reply_json(x->request, finished ? 200 : 202,
                        describe_reconciliation(reconcile_report(x->reconcile)));
        if (r < 0)
                log_debug_errno(r, "An answer could not be given");
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
        SubmitContext *c = userdata;
        ReconcileQuery q = {};
        WaitCall *x;
        int r;

        r = params_read(request, &q);
        if (r != 0)
                return MIN(r, 0);

        reconcile_start(c->reconcile);
        if (q.wait == 0)
                return http_reply_json(
                                request, 202, describe_reconciliation(reconcile_report(c->reconcile)));

        x = calloc(1, sizeof(WaitCall));
        if (!x)
                return -ENOMEM;
        *x = (WaitCall){
                .waiter = { .done = on_waited, .deadline = now_monotonic() + q.wait * USEC_PER_SEC },
                .reconcile = c->reconcile,
                .request = request,
        };
        http_request_set_userdata(request, x, wait_call_free);
        reconcile_wait(c->reconcile, &x->waiter);
        return 0;
}

int reconcile_on_get(HttpRequest *request, void *userdata)
{
        SubmitContext *c = userdata;

        return http_reply_json(request, 200, describe_reconciliation(reconcile_report(c->reconcile)));
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
        BackfillQuery q = { TIME_NONE, TIME_NONE };
        SubmitContext *c = userdata;
        int r;

        r = params_read(request, &q);
        if (r != 0)
                return MIN(r, 0);
        if (q.until != TIME_NONE && q.since > q.until)
                return params_refuse(request, "until", "a time that is not before `since`");

        r = backfill_start(c->backfill, q.since, q.until);
        if (r == -EBUSY)
                return http_reply_error(request, 409, NULL,
                                "A backfill is running: GET /v1/backfill says how far it is.");
        if (r < 0)
                return submit_reply_unavailable(request, r);
        return http_reply_json(request, 202, describe_backfill(backfill_report(c->backfill)));
}

int backfill_on_get(HttpRequest *request, void *userdata)
{
        SubmitContext *c = userdata;

        return http_reply_json(request, 200, describe_backfill(backfill_report(c->backfill)));
}
