/*
 * A metric is a row of a daemon's table. From the table follow the text for Prometheus, the list for the
 * manual page, and the order of both. Names are constants and labels are bounded; ids are never labels. Base
 * units: seconds, bytes.
 */

#include "query/metric.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static int put_value(const Metric *metric, const MetricText *text, uint64_t v)
{
        if (metric->divisor > 0)
                return buffer_append_f(text->out, METRIC_REAL "\n", (double)v / metric->divisor);
        return buffer_append_f(text->out, "%" PRIu64 "\n", v);
}

int metric_put(const Metric *metric, const MetricText *text, const char *label, const char *value,
                uint64_t v)
{
        int r;

        if (label)
                r = buffer_append_f(text->out, "%s%s{%s=\"%s\"} ", text->prefix, metric->name, label, value);
        else
                r = buffer_append_f(text->out, "%s%s ", text->prefix, metric->name);
        return r < 0 ? r : put_value(metric, text, v);
}

uint64_t metric_number_at(const void *structure, size_t offset)
{
        uint64_t v;

        memcpy(&v, (const char *)structure + offset, sizeof(v));
        return v;
}

uint64_t metric_atomic_at(const void *structure, size_t offset)
{
        static_assert(sizeof(atomic_uint_fast64_t) == sizeof(uint64_t), "rows of counts are read as either");

        return atomic_load((const atomic_uint_fast64_t *)(const void *)((const char *)structure + offset));
}

int metric_write_number(const Metric *metric, const MetricText *text)
{
        return metric_put(metric, text, NULL, NULL, metric_number_at(text->source, metric->offset));
}

int metric_write_stats(const Metric *metric, const MetricText *text)
{
        return metric_put(metric, text, NULL, NULL, metric_number_at(text->stats, metric->offset));
}

int metric_put_statuses(const Metric *metric, const MetricText *text, const void *counts, size_t n,
                uint64_t (*at)(const void *structure, size_t offset))
{
        char status[24];
        int r;

        for (size_t i = 0; i < n; i++) {
                uint64_t count = at(counts, i * sizeof(uint64_t));

                if (count == 0)
                        continue;
                snprintf(status, sizeof(status), "%zu", i);
                r = metric_put(metric, text, "status_code", status, count);
                if (r < 0)
                        return r;
        }
        return 0;
}

int metric_write_states(const Metric *metric, const MetricText *text)
{
        int r;

        for (int i = 0; i < (int)_SUBMISSION_STATE_MAX; i++) {
                r = metric_put(metric, text, "state", submission_state_to_string((SubmissionState)i),
                                text->stats->queue.by_state[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int metric_write_hold(const Metric *metric, const MetricText *text)
{
        QueueHold hold = text->stats->queue.hold;
        int r;

        r = metric_put(metric, text, "by", "administrator", hold == QUEUE_HELD);
        return r < 0 ? r : metric_put(metric, text, "by", "account", hold == QUEUE_HELD_ACCOUNT);
}

int metric_write_writable(const Metric *metric, const MetricText *text)
{
        return metric_put(metric, text, NULL, NULL, text->stats->commit.state == STORE_WELL);
}

int metrics_render_table(const Metric *table, size_t n, const MetricText *text)
{
        int r;

        FOREACH_ARRAY(row, table, n) {
                r = buffer_append_f(text->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", text->prefix, row->name,
                                row->help, text->prefix, row->name, row->type);
                if (r >= 0)
                        r = row->write(row, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

void metrics_describe_table(const Metric *table, size_t n, const char *prefix,
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata)
{
        char name[128];

        FOREACH_ARRAY(row, table, n) {
                snprintf(name, sizeof(name), "%s%s", prefix, row->name);
                fn(name, row->type, row->help, userdata);
        }
}
