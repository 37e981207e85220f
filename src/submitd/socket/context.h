#pragma once

/* What the handlers of the submit socket share: everything lives on the main loop. */

#include <systemd/sd-event.h>

#include "basic/parse.h"
#include "daemon/receipt.h"
#include "http/server.h"
#include "query/local.h"
#include "query/params.h"
#include "submitd/api/client.h"
#include "submitd/outbox/outbox.h"
#include "submitd/outbox/waiting.h"
#include "submitd/recover/backfill.h"
#include "submitd/recover/reconcile.h"
#include "submitd/socket/metrics.h"

/* How long it is tried to send a submission. */
#define SUBMISSION_LIFE_USEC (5 * (int64_t)USEC_PER_DAY)

typedef struct SubmitContext {
        LocalBase base;
        Waiting waiting; /* of the queue, when a call that tells of it began */
        CommitPort *port;
        Ingest ingest;            /* what the API tells, whatever it was asked */
        const Settings *settings; /* those in force */
        ApiClient *client;
        Outbox *outbox;
        Reconcile *reconcile;
        Backfill *backfill;
        HttpServer *server;
        Metrics metrics;
        sd_event_source *work; /* runs these three, see submit_kick() */
} SubmitContext;

/* The routes, up to a row without method. */
extern const HttpRoute submit_routes[];

/* There may be something to do for the outbox or its neighbours: it is looked at soon, from the loop. */
static inline void submit_kick(SubmitContext *context)
{
        if (context->work)
                (void)sd_event_source_set_enabled(context->work, SD_EVENT_ONESHOT);
}

/* Reads how the queue stands, and what it waits for. 0 or negative errno (of reading). */
int queue_read(SubmitContext *context, StoreQueue *ret_queue, Waiting *ret_waiting);
/* As base.waiting_begin and base.waiting_of have it. */
int queue_waiting_begin(LocalBase *base);
json_t *queue_waiting_of(LocalBase *base, const Submission *submission);

/* What the handlers take in a query, and the handlers, by the file they are in. */
extern const Param hold_params[], reconcile_params[], backfill_params[];
int accept_on_task(HttpRequest *request, void *userdata);
int verbs_on_retry(HttpRequest *request, void *userdata);
int verbs_on_drop(HttpRequest *request, void *userdata);
int verbs_on_cancel(HttpRequest *request, void *userdata);
int queue_on_get(HttpRequest *request, void *userdata);
int queue_on_hold(HttpRequest *request, void *userdata);
int queue_on_resume(HttpRequest *request, void *userdata);
int queue_on_flush(HttpRequest *request, void *userdata);
int reconcile_on_post(HttpRequest *request, void *userdata);
int reconcile_on_get(HttpRequest *request, void *userdata);
int backfill_on_post(HttpRequest *request, void *userdata);
int backfill_on_get(HttpRequest *request, void *userdata);
