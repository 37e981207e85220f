/*
 * The submit socket's routes. Tasks are asked for and answered as by the API itself, so that what talks to
 * the API can talk to the socket: what reads them reads the store. An Authorization header is nobody's
 * business here: who may connect is a matter of the socket's mode.
 */

#include "submitd/socket/context.h"

const HttpRoute submit_routes[] = {
        { "POST", "/v1/task/{type}", accept_on_task, NULL, NULL },
        { "POST", "/v1/task/{id}/cancel", verbs_on_cancel, NULL, NULL },
        { "GET", "/v1/task/{id}/cancel", verbs_on_cancel, NULL, NULL }, /* clients of before June 2017 */
        { "GET", "/v1/tasks", tasks_on_list, NULL, tasks_params },
        { "GET", "/v1/task/{id}", tasks_on_get, NULL, NULL },
        { "GET", "/v1/submissions", submissions_on_list, NULL, submissions_params },
        { "GET", "/v1/submission/{id}", submissions_on_get, NULL, NULL },
        { "POST", "/v1/submission/{id}/retry", verbs_on_retry, NULL, NULL },
        { "POST", "/v1/submission/{id}/drop", verbs_on_drop, NULL, NULL },
        { "GET", "/v1/queue", queue_on_get, NULL, NULL },
        { "POST", "/v1/queue/hold", queue_on_hold, NULL, hold_params },
        { "POST", "/v1/queue/resume", queue_on_resume, NULL, NULL },
        { "POST", "/v1/queue/flush", queue_on_flush, NULL, NULL },
        { "POST", "/v1/reconcile", reconcile_on_post, NULL, reconcile_params },
        { "GET", "/v1/reconcile", reconcile_on_get, NULL, NULL },
        { "POST", "/v1/backfill", backfill_on_post, NULL, backfill_params },
        { "GET", "/v1/backfill", backfill_on_get, NULL, NULL },
        { "GET", "/v1/stats", stats_on_get, NULL, stats_params },
        { "GET", "/v1/settings", local_on_settings, NULL, NULL },
        { "GET", "/metrics", stats_on_metrics, NULL, NULL },
        { "GET", "/healthz", stats_on_healthz, NULL, NULL },
        { "GET", "/readyz", stats_on_readyz, NULL, NULL },
        {},
};
