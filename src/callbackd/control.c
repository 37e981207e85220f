/*
 * The control socket: the calls that change something, for administrators. Everything goes through the
 * commit queue, and is answered once it is on disk.
 */

#include <inttypes.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "callbackd/local.h"
#include "callbackd/prune.h"
#include "daemon/receipt.h"
#include "query/params.h"

/* 503, in words for an administrator, who has nothing to send again. */
static int reply_unavailable(HttpRequest *request, int error)
{
        static const struct {
                int error;
                const char *text;
        } reasons[] = {
                { ENOSPC, "There is no room on the disk, and any change takes some: make room, then try again." },
                { EAGAIN, "Too much is waiting for the disk: try again." },
        };
        const char *text =
                        "The database can't be changed now: see the log of scale-callbackd, then try again.";

        FOREACH_ARRAY(reason, reasons, ELEMENTSOF(reasons))
                if (error == -reason->error)
                        text = reason->text;
        return http_reply_error(request, 503, NULL, "%s", text);
}

/* Trying again. */

typedef struct Retry {
        Local *local;
        HttpRequest *request;
        Verdict verdict; /* of the delivery as it stands */
        void *body;      /* owned */
        size_t body_size;
        int64_t received_at;
        uint64_t n;
        char ref[STORE_REF_MAX + 1];
        bool has_ref;
} Retry;

static void retry_free(void *userdata)
{
        Retry *retry = userdata;

        free(retry->body);
        free(retry);
}

static int take_body(const StoredDelivery *delivery, void *userdata)
{
        Retry *retry = userdata;

        retry->verdict = delivery->verdict;
        retry->received_at = delivery->received_at;
        retry->body_size = delivery->body_size;
        retry->body = malloc(MAX(delivery->body_size, 1U));
        if (!retry->body)
                return -ENOMEM;
        if (delivery->body_size > 0)
                memcpy(retry->body, delivery->body, delivery->body_size);
        if (delivery->ref) {
                strncpy(retry->ref, delivery->ref, STORE_REF_MAX);
                retry->has_ref = true;
        }
        return 0;
}

static int reply_not_quarantined(HttpRequest *request, uint64_t n)
{
        return http_reply_error(request, 409, NULL,
                        "Delivery %" PRIu64
                        " is not in the quarantine: only invalid ones can be retried or discarded.",
                        n);
}

/* Why nothing became of delivery n. */
static int reply_failure(HttpRequest *request, uint64_t n, int error)
{
        if (error == -ENOENT)
                return local_reply_not_found(request, "Delivery not found");
        if (error == -EINVAL)
                return reply_not_quarantined(request, n);
        return reply_unavailable(request, error);
}

static void on_retried(const Receipt *receipt, void *userdata)
{
        Retry *retry = userdata;
        int r;

        if (receipt->status == 200)
                atomic_fetch_add(&retry->local->metrics->verdicts[receipt->outcome.verdict], 1);
        r = receipt->error < 0 ? reply_failure(retry->request, retry->n, receipt->error)
                               : receipt_reply(retry->request, receipt);
        if (r < 0)
                http_request_fail(retry->request, r);
}

static int on_retry(HttpRequest *request, void *userdata)
{
        uint64_t n = local_path_number(request, 0);
        Local *local = userdata;
        IngestInput in;
        Retry *retry;
        int r;

        retry = calloc(1, sizeof(Retry));
        if (!retry)
                return -ENOMEM;
        retry->local = local;
        retry->request = request;
        retry->n = n;
        http_request_set_userdata(request, retry, retry_free);

        r = n > 0 ? store_get_delivery(local->base.reader, n, true, take_body, retry) : 0;
        if (r < 0)
                return local_reply_failure(local->base.reader, request, r);
        if (r == 0)
                return local_reply_not_found(request, "Delivery not found");
        if (retry->verdict != VERDICT_INVALID)
                return reply_not_quarantined(request, n);

        in = (IngestInput){
                .body = retry->body,
                .body_size = retry->body_size,
                .source = SOURCE_RETRY,
                .ref = retry->has_ref ? retry->ref : NULL,
                .started = http_request_started(request),
                .retry_of = n,
                .came_at = retry->received_at,
        };
        r = ingest(&local->ingest, &in, on_retried, retry);
        return r < 0 ? reply_unavailable(request, r) : 0;
}

/* Discarding. */

typedef struct Discard {
        CommitJob job;
        HttpRequest *request;
} Discard;

static int reply_discarded(HttpRequest *request, uint64_t n, int result)
{
        if (result < 0)
                return reply_failure(request, n, result);
        return http_reply_json(request, 200,
                        json_pack("{s:I, s:s}", "delivery", (json_int_t)n, "verdict",
                                        verdict_to_string(VERDICT_DISCARDED)));
}

static void on_discarded(CommitJob *job, int result)
{
        Discard *discard = container_of(job, Discard, job);
        int r;

        r = reply_discarded(discard->request, job->change.number, result);
        if (r < 0)
                http_request_fail(discard->request, r);
}

static int on_discard(HttpRequest *request, void *userdata)
{
        Local *local = userdata;
        Discard *discard;
        int r;

        discard = calloc(1, sizeof(Discard));
        if (!discard)
                return -ENOMEM;
        *discard = (Discard){
                .job = { .change = { .kind = STORE_DISCARD, .number = local_path_number(request, 0) },
                                .done = on_discarded },
                .request = request,
        };
        http_request_set_userdata(request, discard, free);
        if (discard->job.change.number == 0)
                return local_reply_not_found(request, "Delivery not found");

        r = commit_submit(local->port, &discard->job);
        return r < 0 ? reply_unavailable(request, r) : 0;
}

/* Pruning. */

typedef struct PruneCall {
        HttpRequest *request;
        Prune *prune; /* NULL once it came to its end */
} PruneCall;

typedef struct PruneQuery {
        uint64_t older_than; /* seconds */
} PruneQuery;

static const Param prune_params[] = {
        { "older_than", PARAM_NUMBER, offsetof(PruneQuery, older_than), 0, UINT32_MAX },
        {},
};

static void prune_call_free(void *userdata)
{
        PruneCall *call = userdata;

        prune_free(call->prune);
        free(call);
}

static void on_prune_done(const PruneResult *result, void *userdata)
{
        PruneCall *call = userdata;
        int r;

        call->prune = NULL;
        if (result->error < 0)
                r = reply_unavailable(call->request, result->error);
        else
                r = http_reply_json(call->request, 200,
                                json_pack("{s:I, s:I}", "deleted", (json_int_t)result->deleted, "counted",
                                                (json_int_t)(result->counted / USEC_PER_SEC)));
        if (r < 0)
                http_request_fail(call->request, r);
}

static int on_prune(HttpRequest *request, void *userdata)
{
        PruneQuery query = { .older_than = UINT64_MAX };
        Local *local = userdata;
        PruneCall *call;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);
        if (query.older_than == UINT64_MAX)
                return params_refuse(request, "older_than", "an age in seconds");

        call = calloc(1, sizeof(PruneCall));
        if (!call)
                return -ENOMEM;
        call->request = request;
        http_request_set_userdata(request, call, prune_call_free);

        r = prune_start(local->base.loop, local->port, local->metrics, query.older_than * USEC_PER_SEC,
                        on_prune_done, call, &call->prune);
        return r < 0 ? reply_unavailable(request, r) : 0;
}

const HttpRoute control_routes[] = {
        { "POST", "/v1/delivery/{n}/retry", on_retry, NULL, NULL },
        { "POST", "/v1/delivery/{n}/discard", on_discard, NULL, NULL },
        { "POST", "/v1/prune", on_prune, NULL, prune_params },
        { "GET", "/v1/backup", backup_on_get, NULL, NULL },
        {},
};
