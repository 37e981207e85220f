/* The query socket's routes, and what their handlers share. It only ever reads. */

#include "basic/log.h"
#include "basic/parse.h"
#include "callbackd/local-context.h"

const HttpRoute query_routes[] = {
        { "GET", "/v1/tasks", tasks_on_list, NULL },
        { "GET", "/v1/task/{id}", tasks_on_get, NULL },
        { "GET", "/v1/task/{id}/revisions", tasks_on_revisions, NULL },
        { "GET", "/v1/task/{id}/deliveries", deliveries_on_task, NULL },
        { "GET", "/v1/deliveries", deliveries_on_list, NULL },
        { "GET", "/v1/delivery/{n}", deliveries_on_get, NULL },
        { "GET", "/v1/delivery/{n}/body", deliveries_on_body, NULL },
        { "GET", "/v1/events", feed_on_events, NULL },
        { "GET", "/v1/export", export_on_get, NULL },
        { "GET", "/v1/stats", stats_on_get, NULL },
        { "GET", "/metrics", stats_on_metrics, NULL },
        { "GET", "/healthz", stats_on_healthz, NULL },
        { "GET", "/readyz", stats_on_readyz, NULL },
        {},
};

int local_reply_failure(LocalContext *c, HttpRequest *request, int error)
{
        int r;

        if (error == -ETIME) {
                r = http_reply_header(request, "Retry-After", "60");
                if (r < 0)
                        return r;
                return http_reply_error(request, 503, NULL,
                                "The query took longer than %u seconds and was given up: ask for less at "
                                "once.",
                                QUERY_TIME_LIMIT_SEC);
        }
        log_error_errno(error, "A query failed: %s", store_reader_error(c->reader));
        return http_reply_error(request, 500, NULL, "The database could not be read: see the daemon's log.");
}

int local_reply_text(HttpRequest *request, Buffer *text)
{
        return http_reply(request, 200, "application/json", text->data, text->size);
}

int local_reply_not_found(HttpRequest *request, const char *what)
{
        return http_reply_error(request, 404, NULL, "%s", what);
}

uint64_t local_path_number(const HttpRequest *request, unsigned i)
{
        uint64_t n;

        return parse_u64(http_request_path_arg(request, i), 1, INT64_MAX, &n) < 0 ? 0 : n;
}
