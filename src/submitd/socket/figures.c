/* Figures of the submitter: as JSON, for Prometheus, and whether it can do its work. */

#include "query/stats.h"

#include "submitd/socket/context.h"

#define TEXT_MAX ((size_t)256 * 1024)

int figures_on_stats(HttpRequest *request, void *userdata)
{
        SubmitContext *c = userdata;
        StoreFigures figures;
        int r;

        r = figures_read(c->base.reader, c->commit, &figures);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        return http_reply_json(request, 200, figures_to_json(&figures));
}

int figures_on_metrics(HttpRequest *request, void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        SubmitContext *c = userdata;
        MetricsInputs in = {
                .metrics = &c->metrics,
                .api = api_client_stats(c->client),
                .live_per_day = c->settings->submit.live_per_day,
        };
        int r;

        r = figures_read(c->base.reader, c->commit, &in.figures);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        outbox_get_stats(c->outbox, &in.outbox);
        reconcile_get_stats(c->reconcile, &in.reconcile);
        backfill_get_stats(c->backfill, &in.backfill);
        http_server_get_stats(c->server, &in.server);

        r = metrics_render(&in, &text);
        return r < 0 ? r : figures_reply_metrics(request, &text);
}

int figures_on_healthz(HttpRequest *request, _unused_ void *userdata)
{
        return local_reply_ok(request);
}

int figures_on_readyz(HttpRequest *request, void *userdata)
{
        SubmitContext *c = userdata;

        return figures_reply_ready(request, c->commit);
}
