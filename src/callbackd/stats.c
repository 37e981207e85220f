/* Figures: for people and scripts as JSON, for Prometheus as text; and whether the daemon can do its work.
 */

#include <inttypes.h>

#include "callbackd/local-context.h"

#define TEXT_MAX ((size_t)256 * 1024)

static json_t *count(uint64_t n)
{
        return json_integer((json_int_t)n);
}

/* Adds to a member that may not be there yet. */
static int add(json_t *o, const char *name, uint64_t n)
{
        json_int_t before = json_integer_value(json_object_get(o, name));

        return json_object_set_new(o, name, json_integer(before + (json_int_t)n));
}

/* By type, and within that by status; by status; and how many of them are tests. */
static int add_tasks(json_t *stats, const StoreStats *s)
{
        json_t *by_type = json_object(), *by_status = json_object();
        uint64_t tests = 0;
        int r;

        r = json_object_set_new(stats, "tasks", count(s->tasks));
        r |= json_object_set_new(stats, "by_type", by_type);
        r |= json_object_set_new(stats, "by_status", by_status);

        FOREACH_ARRAY(t, s->by_type, s->n_by_type) {
                const char *status = task_status_to_string(t->status);
                json_t *of_type = json_object_get(by_type, t->type);

                if (!of_type) {
                        of_type = json_object();
                        r |= json_object_set_new(by_type, t->type, of_type);
                }
                r |= add(of_type, status, t->n);
                r |= add(by_status, status, t->n);
                if (t->is_test)
                        tests += t->n;
        }
        return r | json_object_set_new(stats, "test_tasks", count(tests));
}

static int add_deliveries(json_t *stats, const StoreStats *s)
{
        json_t *by_verdict = json_object();
        int r;

        r = json_object_set_new(stats, "by_verdict", by_verdict);
        for (int v = 0; v < (int)_VERDICT_MAX; v++)
                r |= json_object_set_new(by_verdict, verdict_to_string((Verdict)v), count(s->by_verdict[v]));
        r |= json_object_set_new(stats, "last_delivery", count(s->deliveries));
        return r | json_object_set_new(stats, "last_event", count(s->events));
}

static int add_queue(json_t *stats, const CommitStats *c)
{
        json_t *queue = json_object();
        int r;

        r = json_object_set_new(stats, "queue", queue);
        r |= json_object_set_new(queue, "waiting", count(c->queued));
        r |= json_object_set_new(queue, "committed", count(c->jobs));
        r |= json_object_set_new(queue, "groups", count(c->groups));
        r |= json_object_set_new(queue, "failed", count(c->failed));
        return r | json_object_set_new(queue, "writable", json_boolean(c->writable));
}

static int add_disk(json_t *stats, const StoreStats *s)
{
        json_t *disk = json_object();
        int r;

        r = json_object_set_new(stats, "disk", disk);
        r |= json_object_set_new(disk, "database_bytes", count(s->database_bytes));
        r |= json_object_set_new(disk, "wal_bytes", count(s->wal_bytes));
        return r | json_object_set_new(disk, "free_bytes", count(s->free_bytes));
}

int stats_on_get(HttpRequest *request, void *userdata)
{
        json_auto_t *stats = json_object();
        LocalContext *c = userdata;
        CommitStats commit;
        StoreStats store;
        int r;

        r = store_get_stats(c->base.reader, &store);
        if (r < 0)
                return local_reply_failure(c->base.reader, request, r);
        commit_get_stats(c->commit, &commit);

        if (add_tasks(stats, &store) < 0 || add_deliveries(stats, &store) < 0 ||
                        add_queue(stats, &commit) < 0 || add_disk(stats, &store) < 0)
                return -ENOMEM;
        return http_reply_json(request, 200, json_incref(stats));
}

int stats_on_metrics(HttpRequest *request, void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        LocalContext *c = userdata;
        MetricsInputs in = {};
        int r;

        r = store_get_stats(c->base.reader, &in.store);
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
        if (r < 0)
                return r;
        return http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.size);
}

int stats_on_healthz(HttpRequest *request, _unused_ void *userdata)
{
        return local_reply_ok(request);
}

int stats_on_readyz(HttpRequest *request, void *userdata)
{
        LocalContext *c = userdata;
        CommitStats commit;

        commit_get_stats(c->commit, &commit);
        if (!commit.writable)
                return http_reply_error(
                                request, 503, NULL, "Callbacks can't be stored now: see the daemon's log.");
        return stats_on_healthz(request, userdata);
}
