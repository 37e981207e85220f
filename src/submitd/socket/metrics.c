/* The submitter's metrics. Labels are enumerations: task types that are known, states, status codes. */

#include "submitd/socket/metrics.h"

#include <stdio.h>

#include "basic/parse.h"
#include "query/metric.h"

#define PREFIX "scale_submitd_"

void metrics_count_type(Metrics *counted, const TaskType *type)
{
        for (size_t i = 0; i < TASK_TYPES_N; i++)
                if (task_types[i] == type)
                        counted->accepted[i]++;
}

static const MetricsInputs *inputs_of(const MetricText *text)
{
        return text->source;
}

static int write_types(const Metric *metric, const MetricText *text)
{
        int r;

        for (size_t i = 0; i < TASK_TYPES_N; i++) {
                r = metric_put(metric, text, "type", task_types[i]->name, inputs_of(text)->own.accepted[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_responses(const Metric *metric, const MetricText *text)
{
        const Metrics *own = &inputs_of(text)->own;

        return metric_put_statuses(
                        metric, text, own->responses, ELEMENTSOF(own->responses), metric_number_at);
}

static int write_answers(const Metric *metric, const MetricText *text)
{
        const ApiClientStats *api = &inputs_of(text)->api;

        return metric_put_statuses(metric, text, api->answers, ELEMENTSOF(api->answers), metric_number_at);
}

static int write_reloads(const Metric *metric, const MetricText *text)
{
        int r;

        r = metric_put(metric, text, "result", "done", inputs_of(text)->own.reloads);
        return r < 0 ? r : metric_put(metric, text, "result", "failed", inputs_of(text)->own.reloads_failed);
}

/* Nothing where there is no cap. */
static int write_cap(const Metric *metric, const MetricText *text)
{
        uint64_t cap = inputs_of(text)->live_per_day;

        return cap < UINT64_MAX ? metric_put(metric, text, NULL, NULL, cap) : 0;
}

/* 0 where nothing waits. */
static int write_oldest(const Metric *metric, const MetricText *text)
{
        int64_t oldest = text->stats->queue.oldest;

        return metric_put(
                        metric, text, NULL, NULL, oldest == TIME_NONE || oldest < 0 ? 0 : (uint64_t)oldest);
}

#define INPUT(member)  metric_write_number, offsetof(MetricsInputs, member), 0
#define TIME(member)   metric_write_number, offsetof(MetricsInputs, member), SECONDS
#define OUTBOX(member) INPUT(outbox.member)
#define STATS(member)  metric_write_stats, offsetof(Stats, member), 0
#define SECONDS        (double)USEC_PER_SEC

static const Metric metrics[] = {
        { "start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.",
                        TIME(own.started_at) },
        { "submitted_total", "counter", "Submissions taken into the outbox, by type.", write_types },
        { "replayed_total", "counter", "Submissions that came again with their Idempotency-Key.",
                        INPUT(own.replayed) },
        { "conflicts_total", "counter", "Submissions refused because their Idempotency-Key is another's.",
                        INPUT(own.conflicts) },
        { "invalid_total", "counter", "Submissions refused for their parameters.", INPUT(own.invalid) },
        { "responses_total", "counter", "Answers on the submit socket, by status code.", write_responses },
        { "reloads_total", "counter", "Reloads of the configuration, by result.", write_reloads },
        { "api_answers_total", "counter", "Answers of the API, by status code.", write_answers },
        { "api_failures_total", "counter", "Requests to the API that got no answer.", INPUT(api.failed) },
        { "api_unsent_total", "counter", "Of those, such of which nothing left.", INPUT(api.unsent) },
        { "api_seconds_total", "counter", "Time spent waiting for the API.", TIME(api.usec) },
        { "api_requests", "gauge", "Requests to the API that are under way or wait for their turn.",
                        INPUT(api.in_flight) },
        { "created_total", "counter", "Submissions that the API made a task of at once.", OUTBOX(created) },
        { "rejected_total", "counter", "Submissions that the API rejected.", OUTBOX(rejected) },
        { "unknown_total", "counter", "Requests after which it was unknown whether there is a task.",
                        OUTBOX(unknown) },
        { "found_total", "counter", "Of those, such whose task was found.", OUTBOX(resolved_found) },
        { "absent_total", "counter", "Of those, such that are certain to have none.",
                        OUTBOX(resolved_absent) },
        { "retried_total", "counter", "Requests put off to be tried again.", OUTBOX(retried) },
        { "expired_total", "counter", "Submissions given up after five days.", OUTBOX(expired) },
        { "canceled_total", "counter",
                        "Tasks canceled at the API, and submissions canceled instead of being sent.",
                        OUTBOX(canceled) },
        { "lists_total", "counter", "Pages of the API's list of tasks that were asked for.", OUTBOX(lists) },
        { "reconciliations_total", "counter", "Rounds of questions about pending tasks that came to an end.",
                        INPUT(reconcile.rounds) },
        { "reconciliations_failed_total", "counter", "Of those, such that were given up early.",
                        INPUT(reconcile.rounds_failed) },
        { "reconcile_asked_total", "counter", "Tasks that the API was asked about.",
                        INPUT(reconcile.counts.asked) },
        { "reconcile_recovered_total", "counter", "Results that no callback had brought.",
                        INPUT(reconcile.counts.recovered) },
        { "reconcile_canceled_total", "counter", "Tasks found to be canceled at the API.",
                        INPUT(reconcile.counts.canceled) },
        { "reconcile_invalid_total", "counter", "Tasks of which the API says what breaks the rules.",
                        INPUT(reconcile.counts.invalid) },
        { "reconcile_unknown_total", "counter", "Answers that the API doesn't know a task.",
                        INPUT(reconcile.counts.unknown) },
        { "reconcile_failed_total", "counter",
                        "Tasks about which there was no answer, or none that was kept.",
                        INPUT(reconcile.counts.failed) },
        { "reconcile_put_aside", "gauge", "Tasks that the API is asked about less often.",
                        INPUT(reconcile.put_aside) },
        { "backfills_total", "counter", "Backfills that came to an end.", INPUT(backfill.runs) },
        { "backfills_failed_total", "counter", "Of those, such that were given up.",
                        INPUT(backfill.failed) },
        { "backfill_tasks_total", "counter", "Tasks seen by backfills.", INPUT(backfill.counts.seen) },
        { "backfill_stored_total", "counter", "Of those, such that brought something new.",
                        INPUT(backfill.counts.stored) },
        { "backfill_revised_total", "counter", "Of those, such with another response than was known.",
                        INPUT(backfill.counts.revised) },
        { "sending", "gauge", "Requests of the outbox under way.", OUTBOX(in_flight) },
        { "submissions", "gauge", "Submissions in the outbox, by state.", metric_write_states },
        { "queue_held", "gauge", "1 while the outbox is held, by who holds it, else 0.", metric_write_hold },
        { "live_tasks_today", "gauge", "Tasks sent with a live key today (UTC).", STATS(queue.live_sent) },
        { "live_tasks_allowed", "gauge",
                        "Tasks that may be sent with a live key in a day; none: any number.", write_cap },
        { "oldest_submission_seconds", "gauge",
                        "When the oldest submission came that waits, in seconds since 1970; 0 for none.",
                        write_oldest, 0, SECONDS },
        { "commit_groups_total", "counter", "Transactions committed.", STATS(commit.groups) },
        { "commit_jobs_total", "counter", "Pieces of work committed.", STATS(commit.jobs) },
        { "commit_failures_total", "counter", "Pieces of work that could not be committed.",
                        STATS(commit.failed) },
        { "commit_queue", "gauge", "Pieces of work that wait for the disk.", STATS(commit.queued) },
        { "commit_seconds_total", "counter", "Time spent writing and syncing transactions.",
                        metric_write_stats, offsetof(Stats, commit.commit_usec), SECONDS },
        { "wal_bytes", "gauge", "Bytes of the write-ahead log in use.", STATS(commit.wal_bytes) },
        { "writable", "gauge", "1 while submissions can be stored, else 0.", metric_write_writable },
        { "connections", "gauge", "Open connections on the submit socket.", INPUT(server.connections) },
        { "connections_accepted_total", "counter", "Connections accepted on the submit socket.",
                        INPUT(server.accepted) },
        { "bodies_in_flight_bytes", "gauge", "Bytes held for bodies that are being received or stored.",
                        INPUT(server.body_bytes) },
        { "deadlines_total", "counter", "Connections cut because they took too long.",
                        INPUT(server.deadlines) },
        { "crowded_out_total", "counter",
                        "Connections on which nothing was said, cut because others waited.",
                        INPUT(server.crowded_out) },
        { "malformed_requests_total", "counter", "Requests refused because they could be read in two ways.",
                        INPUT(server.malformed) },
        { "database_bytes", "gauge", "Size of the database file.", STATS(store.database_bytes) },
        { "disk_free_bytes", "gauge", "Free bytes on the database's file system.", STATS(store.free_bytes) },
};

int submit_metrics_render(const MetricsInputs *in, Buffer *out)
{
        const MetricText text = { .prefix = PREFIX, .source = in, .stats = &in->stats, .out = out };

        return metrics_render_table(metrics, ELEMENTSOF(metrics), &text);
}

void submit_metrics_describe(
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata)
{
        metrics_describe_table(metrics, ELEMENTSOF(metrics), PREFIX, fn, userdata);
}
