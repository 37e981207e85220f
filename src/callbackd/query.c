/* The query socket's routes. It only ever reads. */

#include "callbackd/local-context.h"

const HttpRoute query_routes[] = {
        { "GET", "/v1/tasks", tasks_on_list, NULL, tasks_params },
        { "GET", "/v1/task/{id}", tasks_on_get, NULL, NULL },
        { "GET", "/v1/task/{id}/revisions", tasks_on_revisions, NULL, revisions_params },
        { "GET", "/v1/task/{id}/deliveries", deliveries_on_task, NULL, deliveries_params },
        { "GET", "/v1/deliveries", deliveries_on_list, NULL, deliveries_params },
        { "GET", "/v1/delivery/{n}", deliveries_on_get, NULL, NULL },
        { "GET", "/v1/delivery/{n}/body", deliveries_on_body, NULL, NULL },
        { "GET", "/v1/submissions", submissions_on_list, NULL, submissions_params },
        { "GET", "/v1/submission/{id}", submissions_on_get, NULL, NULL },
        { "GET", "/v1/events", feed_on_events, NULL, feed_params },
        { "GET", "/v1/export", export_on_get, NULL, export_params },
        { "GET", "/v1/stats", stats_on_get, NULL, NULL },
        { "GET", "/v1/settings", local_on_settings, NULL, NULL },
        { "GET", "/metrics", stats_on_metrics, NULL, NULL },
        { "GET", "/healthz", stats_on_healthz, NULL, NULL },
        { "GET", "/readyz", stats_on_readyz, NULL, NULL },
        {},
};
