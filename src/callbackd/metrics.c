/*
 * The receiver's metrics. Labels are enumerations, the labels of keys, and at most STORE_STATS_TYPES_MAX
 * task types.
 */

#include "callbackd/metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "query/metric.h"

#define PREFIX "scale_callbackd_"

static const double buckets[METRICS_BUCKETS_MAX] = {
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        10,
};

static const MetricsInputs *inputs_of(const MetricText *text)
{
        return text->source;
}

void metrics_init(Metrics *metrics)
{
        memset(metrics, 0, sizeof(*metrics));
        metrics->started_at = now_realtime();
}

void metrics_count_response(Metrics *metrics, unsigned status)
{
        if (status < ELEMENTSOF(metrics->responses))
                atomic_fetch_add(&metrics->responses[status], 1);
}

void metrics_count_key(Metrics *metrics, const char *label)
{
        FOREACH_ARRAY(key, metrics->keys, METRICS_KEYS_MAX) {
                if (!atomic_load(&key->used)) {
                        strncpy(key->label, label, sizeof(key->label) - 1);
                        atomic_store(&key->used, true);
                }
                if (streq(key->label, label)) {
                        atomic_fetch_add(&key->n, 1);
                        return;
                }
        }
}

void metrics_count_duration(Metrics *metrics, uint64_t usec)
{
        double seconds = (double)usec / (double)USEC_PER_SEC;
        size_t i = 0;

        while (i < METRICS_BUCKETS_MAX && seconds > buckets[i])
                i++;
        atomic_fetch_add(&metrics->duration[i], 1);
        atomic_fetch_add(&metrics->duration_usec, usec);
}

static int write_own(const Metric *metric, const MetricText *text)
{
        return metric_put(metric, text, NULL, NULL,
                        metric_atomic_at(inputs_of(text)->metrics, metric->offset));
}

static int write_start(const Metric *metric, const MetricText *text)
{
        return metric_put(metric, text, NULL, NULL, (uint64_t)inputs_of(text)->metrics->started_at);
}

static int write_servers(const Metric *metric, const MetricText *text)
{
        const struct {
                const char *name;
                const HttpServerStats *stats;
        } servers[] = {
                { "callback", &inputs_of(text)->callback },
                { "query", &inputs_of(text)->query },
                { "control", &inputs_of(text)->control },
        };
        int r;

        FOREACH_ARRAY(server, servers, ELEMENTSOF(servers)) {
                r = metric_put(metric, text, "server", server->name,
                                metric_number_at(server->stats, metric->offset));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_verdicts(const Metric *metric, const MetricText *text)
{
        int r;

        for (int v = 0; v < (int)_VERDICT_MAX; v++) {
                r = metric_put(metric, text, "verdict", verdict_to_string((Verdict)v),
                                atomic_load(&inputs_of(text)->metrics->verdicts[v]));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_stored_verdicts(const Metric *metric, const MetricText *text)
{
        int r;

        for (int v = 0; v < (int)_VERDICT_MAX; v++) {
                r = metric_put(metric, text, "verdict", verdict_to_string((Verdict)v),
                                text->stats->store.by_verdict[v]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_responses(const Metric *metric, const MetricText *text)
{
        const Metrics *metrics = inputs_of(text)->metrics;

        return metric_put_statuses(
                        metric, text, metrics->responses, ELEMENTSOF(metrics->responses), metric_atomic_at);
}

static int write_keys(const Metric *metric, const MetricText *text)
{
        int r;

        FOREACH_ARRAY(key, inputs_of(text)->metrics->keys, METRICS_KEYS_MAX) {
                if (!atomic_load(&key->used))
                        break;
                r = metric_put(metric, text, "key", key->label, atomic_load(&key->n));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_reloads(const Metric *metric, const MetricText *text)
{
        int r;

        r = metric_put(metric, text, "result", "done", atomic_load(&inputs_of(text)->metrics->reloads));
        return r < 0 ? r
                     : metric_put(metric, text, "result", "failed",
                                       atomic_load(&inputs_of(text)->metrics->reloads_failed));
}

static int write_duration(const Metric *metric, const MetricText *text)
{
        uint64_t n = 0;
        int r;

        for (size_t i = 0; i < METRICS_BUCKETS_MAX; i++) {
                n += atomic_load(&inputs_of(text)->metrics->duration[i]);
                r = buffer_append_f(text->out, PREFIX "%s_bucket{le=\"%g\"} %" PRIu64 "\n", metric->name,
                                buckets[i], n);
                if (r < 0)
                        return r;
        }
        n += atomic_load(&inputs_of(text)->metrics->duration[METRICS_BUCKETS_MAX]);
        return buffer_append_f(text->out,
                        PREFIX "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n" PREFIX "%s_sum " METRIC_REAL
                               "\n" PREFIX "%s_count %" PRIu64 "\n",
                        metric->name, n, metric->name,
                        (double)atomic_load(&inputs_of(text)->metrics->duration_usec) / (double)USEC_PER_SEC,
                        metric->name, n);
}

/* A type's name comes from outside. */
static int put_type(Buffer *out, const char *type)
{
        int r = 0;

        for (const char *p = type; *p && r >= 0; p++) {
                char c = (unsigned char)*p < 0x20 ? '?' : *p;

                if (c == '"' || c == '\\')
                        r = buffer_append(out, "\\", 1);
                if (r >= 0)
                        r = buffer_append(out, &c, 1);
        }
        return r;
}

static int write_tasks(const Metric *metric, const MetricText *text)
{
        const StoreStats *stats = &text->stats->store;
        int r;

        FOREACH_ARRAY(count, stats->by_type, stats->n_by_type) {
                r = buffer_append_f(text->out, PREFIX "%s{type=\"", metric->name);
                if (r >= 0)
                        r = put_type(text->out, count->type);
                if (r >= 0)
                        r = buffer_append_f(text->out, "\",status=\"%s\",is_test=\"%s\"} %" PRIu64 "\n",
                                        strna(task_status_to_string(count->status)),
                                        count->is_test ? "true" : "false", count->n);
                if (r < 0)
                        return r;
        }
        return 0;
}

#define OWN(member)    write_own, offsetof(Metrics, member), 0
#define INPUT(member)  metric_write_number, offsetof(MetricsInputs, member), 0
#define STATS(member)  metric_write_stats, offsetof(Stats, member), 0
#define SERVER(member) write_servers, offsetof(HttpServerStats, member), 0

static const Metric rows[] = {
        { "start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.", write_start, 0,
                        (double)USEC_PER_SEC },
        { "deliveries_total", "counter", "Deliveries recorded since the start, by verdict.",
                        write_verdicts },
        { "repeated_deliveries_total", "counter",
                        "Deliveries that were, byte for byte, one already recorded.", OWN(repeated) },
        { "responses_total", "counter", "Answers on the callback listeners, by status code.",
                        write_responses },
        { "unauthorized_total", "counter", "Requests refused for want of a valid key.", OWN(unauthorized) },
        { "keys_used_total", "counter", "Authenticated requests, by the label of the key.", write_keys },
        { "body_bytes_total", "counter", "Bytes of authenticated bodies.", OWN(body_bytes) },
        { "request_duration_seconds", "histogram",
                        "From the first line of a callback to its answer, recorded ones only.",
                        write_duration },
        { "reloads_total", "counter", "Reloads of the configuration, by result.", write_reloads },
        { "clock_jumps_total", "counter",
                        "Times that the clock was found to be set by more than an hour, or a week at the start.",
                        OWN(clock_jumps) },
        { "event_readers", "gauge", "Connections that follow the event feed.", INPUT(event_readers) },
        { "commit_groups_total", "counter", "Transactions committed.", STATS(commit.groups) },
        { "commit_jobs_total", "counter", "Pieces of work committed: deliveries and administrators' calls.",
                        STATS(commit.jobs) },
        { "commit_failures_total", "counter", "Pieces of work that could not be committed.",
                        STATS(commit.failed) },
        { "commit_queue", "gauge", "Pieces of work that wait for the disk.", STATS(commit.queued) },
        { "commit_seconds_total", "counter", "Time spent writing and syncing transactions.",
                        metric_write_stats, offsetof(Stats, commit.commit_usec), (double)USEC_PER_SEC },
        { "checkpoints_total", "counter", "Checkpoints that let the write-ahead log start over.",
                        STATS(commit.checkpoints) },
        { "wal_bytes", "gauge", "Bytes of the write-ahead log in use.", STATS(commit.wal_bytes) },
        { "writable", "gauge", "1 while callbacks can be stored, else 0.", metric_write_writable },
        { "connections", "gauge", "Open connections, by server.", SERVER(connections) },
        { "connections_accepted_total", "counter", "Connections accepted, by server.", SERVER(accepted) },
        { "bodies_in_flight_bytes", "gauge",
                        "Bytes held for bodies that are being received or stored, by server.",
                        SERVER(body_bytes) },
        { "deadlines_total", "counter", "Connections cut because they took too long, by server.",
                        SERVER(deadlines) },
        { "crowded_out_total", "counter",
                        "Connections on which nothing was said, cut because others waited, by server.",
                        SERVER(crowded_out) },
        { "malformed_requests_total", "counter",
                        "Requests refused because they could be read in two ways, by server.",
                        SERVER(malformed) },
        { "tasks", "gauge", "Tasks in the store, by type, status and whether they are tests.", write_tasks },
        { "stored_deliveries", "gauge", "Deliveries in the store, by verdict.", write_stored_verdicts },
        { "submissions", "gauge", "Submissions in the outbox, by state.", metric_write_states },
        { "queue_held", "gauge", "1 while the outbox is held, by who holds it, else 0.", metric_write_hold },
        { "live_tasks_today", "gauge", "Tasks sent with a live key today (UTC).", STATS(queue.live_sent) },
        { "last_delivery", "gauge", "The number of the newest delivery.", STATS(store.deliveries) },
        { "last_event", "gauge", "The number of the newest event.", STATS(store.events) },
        { "database_bytes", "gauge", "Size of the database file.", STATS(store.database_bytes) },
        { "disk_free_bytes", "gauge", "Free bytes on the database's file system.", STATS(store.free_bytes) },
};

int receiver_metrics_render(const MetricsInputs *in, Buffer *out)
{
        const MetricText text = { .prefix = PREFIX, .source = in, .stats = &in->stats, .out = out };

        return metrics_render_table(rows, ELEMENTSOF(rows), &text);
}

void receiver_metrics_describe(
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata)
{
        metrics_describe_table(rows, ELEMENTSOF(rows), PREFIX, fn, userdata);
}
