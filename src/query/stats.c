/*
 * Stats, for people and scripts as JSON and for Prometheus as text, and whether the daemon can do its work:
 * the same from both, which share the store. What the metrics of a daemon are besides is its own.
 */

#include "query/stats.h"

#include "basic/parse.h"
#include "basic/time-util.h"
#include "query/local.h"
#include "query/params.h"

#define METRICS_TEXT_MAX ((size_t)256 * 1024)

/* 0, or what the reader returned. */
static int stats_read(const LocalBase *base, Stats *ret)
{
        int r;

        r = store_get_stats(base->reader, &ret->store);
        if (r < 0)
                return r;
        r = store_get_queue(base->reader, now_realtime(), &ret->queue);
        if (r < 0)
                return r;
        commit_get_stats(base->commit, &ret->commit);
        return 0;
}

static json_t *count(uint64_t n)
{
        return json_integer((json_int_t)n);
}

/* Adds to a member that may not be there yet. */
static int add(json_t *object, const char *name, uint64_t n)
{
        json_int_t before = json_integer_value(json_object_get(object, name));

        return json_object_set_new(object, name, json_integer(before + (json_int_t)n));
}

/* By type, and within that by status; by status; and how many of them are tests. */
static int add_tasks(json_t *object, const StoreStats *stats)
{
        json_t *by_type = json_object(), *by_status = json_object();
        uint64_t tests = 0;
        int r;

        r = json_object_set_new(object, "tasks", count(stats->tasks));
        r |= json_object_set_new(object, "by_type", by_type);
        r |= json_object_set_new(object, "by_status", by_status);

        FOREACH_ARRAY(kind, stats->by_type, stats->n_by_type) {
                const char *status = task_status_to_string(kind->status);
                json_t *of_type = json_object_get(by_type, kind->type);

                if (!of_type) {
                        of_type = json_object();
                        r |= json_object_set_new(by_type, kind->type, of_type);
                }
                r |= add(of_type, status, kind->n);
                r |= add(by_status, status, kind->n);
                if (kind->is_test)
                        tests += kind->n;
        }
        return r | json_object_set_new(object, "test_tasks", count(tests));
}

static int add_deliveries(json_t *object, const StoreStats *stats)
{
        json_t *by_verdict = json_object();
        int r;

        r = json_object_set_new(object, "by_verdict", by_verdict);
        for (int v = 0; v < (int)_VERDICT_MAX; v++)
                r |= json_object_set_new(
                                by_verdict, verdict_to_string((Verdict)v), count(stats->by_verdict[v]));
        r |= json_object_set_new(object, "last_delivery", count(stats->deliveries));
        return r | json_object_set_new(object, "last_event", count(stats->events));
}

int stats_add_queue(json_t *object, const StoreQueue *queue)
{
        json_t *by_state = json_object();
        int r;

        r = json_object_set_new(object, "hold", json_string(queue_hold_to_string(queue->hold)));
        if (queue->hold != QUEUE_RUNNING && *queue->reason)
                r |= json_object_set_new(object, "reason", json_string(queue->reason));
        if (queue->hold != QUEUE_RUNNING)
                r |= member_set_time(object, "since", queue->held_since);
        r |= json_object_set_new(object, "by_state", by_state);
        for (int i = 0; i < (int)_SUBMISSION_STATE_MAX; i++)
                r |= json_object_set_new(by_state, submission_state_to_string((SubmissionState)i),
                                count(queue->by_state[i]));
        r |= json_object_set_new(object, "live_today", count(queue->live_sent));
        return r | member_set_time(object, "oldest", queue->oldest);
}

static int add_outbox(json_t *stats, const StoreQueue *queue)
{
        json_t *outbox = json_object();
        int r;

        r = json_object_set_new(stats, "outbox", outbox);
        return r | stats_add_queue(outbox, queue);
}

static int add_commit(json_t *stats, const CommitStats *commit)
{
        json_t *queue = json_object();
        int r;

        r = json_object_set_new(stats, "queue", queue);
        r |= json_object_set_new(queue, "waiting", count(commit->queued));
        r |= json_object_set_new(queue, "committed", count(commit->jobs));
        r |= json_object_set_new(queue, "groups", count(commit->groups));
        r |= json_object_set_new(queue, "failed", count(commit->failed));
        return r | json_object_set_new(queue, "writable", json_boolean(commit->state == STORE_WELL));
}

static int add_disk(json_t *object, const StoreStats *stats)
{
        json_t *disk = json_object();
        int r;

        r = json_object_set_new(object, "disk", disk);
        r |= json_object_set_new(disk, "database_bytes", count(stats->database_bytes));
        r |= json_object_set_new(disk, "wal_bytes", count(stats->wal_bytes));
        return r | json_object_set_new(disk, "free_bytes", count(stats->free_bytes));
}

static json_t *stats_to_json(const Stats *stats)
{
        json_auto_t *object = json_object();

        if (add_tasks(object, &stats->store) < 0 || add_deliveries(object, &stats->store) < 0 ||
                        add_outbox(object, &stats->queue) < 0 || add_commit(object, &stats->commit) < 0 ||
                        add_disk(object, &stats->store) < 0)
                return NULL;
        return json_incref(object);
}

/* Of the tasks that bear some metadata: how many there are of each status. Every one of them is walked by,
 * and a reader's time limit bounds that. */

typedef struct StatsQuery {
        ParamMetadata metadata;
} StatsQuery;

const Param stats_params[] = {
        { "metadata", PARAM_METADATA, offsetof(StatsQuery, metadata), 0, 0 },
        {},
};

static int pass_over(_unused_ const TaskDocument *task, _unused_ void *userdata)
{
        return 0;
}

/* 0, or what the reader returned. */
static int count_status(StoreReader *reader, const StatsQuery *query, TaskStatus status, uint64_t *ret)
{
        const TaskFilter filter = {
                .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = status,
                .is_test = -1,
                .metadata = query->metadata.items,
                .n_metadata = query->metadata.n,
                .limit = 1,
        };
        TaskPage page;
        int r;

        r = store_list_tasks(reader, &filter, pass_over, NULL, &page);
        if (r < 0)
                return r;
        *ret = page.total;
        return 0;
}

static int reply_by_metadata(HttpRequest *request, StoreReader *reader, _unused_ void *userdata)
{
        json_auto_t *object = json_object();
        json_t *by_status = json_object();
        StatsQuery query = {};
        uint64_t n, sum = 0;
        int r;

        r = params_read(request, &query);
        if (r != 0) {
                json_decref(by_status);
                return MIN(r, 0);
        }
        r = json_object_set_new(object, "by_status", by_status);
        for (int status = 0; status < (int)_TASK_STATUS_MAX && r >= 0; status++) {
                r = count_status(reader, &query, (TaskStatus)status, &n);
                if (r < 0)
                        return local_reply_failure(reader, request, r);
                sum += n;
                r = json_object_set_new(by_status, task_status_to_string((TaskStatus)status), count(n));
        }
        if (r < 0 || json_object_set_new(object, "tasks", count(sum)) < 0)
                return -ENOMEM;
        return http_reply_json(request, 200, json_incref(object));
}

int stats_on_get(HttpRequest *request, void *userdata)
{
        const LocalBase *base = userdata;
        StatsQuery query = {};
        Stats stats;
        int r;

        r = params_read(request, &query);
        if (r != 0)
                return MIN(r, 0);
        if (query.metadata.n > 0)
                return readers_answer(base->readers, request, READ_LONG, reply_by_metadata, NULL);
        r = stats_read(base, &stats);
        if (r < 0)
                return local_reply_failure(base->reader, request, r);
        return http_reply_json(request, 200, stats_to_json(&stats));
}

int stats_on_metrics(HttpRequest *request, void *userdata)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(METRICS_TEXT_MAX);
        LocalBase *base = userdata;
        Stats stats;
        int r;

        r = stats_read(base, &stats);
        if (r < 0)
                return local_reply_failure(base->reader, request, r);
        r = base->metrics(base, &stats, &text);
        if (r < 0)
                return r;
        return http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.size);
}

int stats_on_healthz(HttpRequest *request, _unused_ void *userdata)
{
        return http_reply_json(request, 200, json_pack("{s:s}", "status", "ok"));
}

int stats_on_readyz(HttpRequest *request, void *userdata)
{
        const LocalBase *base = userdata;
        CommitStats stats;

        commit_get_stats(base->commit, &stats);
        if (stats.state != STORE_WELL)
                return http_reply_error(
                                request, 503, NULL, "Nothing can be stored now: see the daemon's log.");
        return stats_on_healthz(request, userdata);
}
