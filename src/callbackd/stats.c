/* Figures: for people and scripts as JSON, for Prometheus as text; and whether the daemon can do its work.
 */

#include "callbackd/local-context.h"
#include "query/stats.h"

#define TEXT_MAX ((size_t)256 * 1024)

int stats_on_get(HttpRequest *request, void *userdata)
{
        LocalContext *c = userdata;
        StoreFigures figures;
        int r;

        r = figures_read(c->base.reader, c->commit, &figures);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        return http_reply_json(request, 200, figures_to_json(&figures));
}

int stats_on_metrics(HttpRequest *request, void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        LocalContext *c = userdata;
        MetricsInputs in = {};
        int r;

        r = store_get_stats(c->base.reader, &in.store);
        if (r >= 0)
                r = store_get_queue(c->base.reader, now_realtime(), &in.queue);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        commit_get_stats(c->commit, &in.commit);
        if (c->callback)
                http_server_get_stats(c->callback, &in.callback);
        if (c->query)
                http_server_get_stats(c->query, &in.query);
        if (c->control)
                http_server_get_stats(c->control, &in.control);

        r = metrics_render(c->metrics, &in, &text);
        return r < 0 ? r : figures_reply_metrics(request, &text);
}

int stats_on_healthz(HttpRequest *request, _unused_ void *userdata)
{
        return local_reply_ok(request);
}

int stats_on_readyz(HttpRequest *request, void *userdata)
{
        LocalContext *c = userdata;

        return figures_reply_ready(request, c->commit);
}
