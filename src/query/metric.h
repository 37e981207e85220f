#pragma once

/* Metrics: tables of them, and their text for Prometheus (format 0.0.4). */

#include "basic/buffer.h"
#include "basic/macros.h"
#include "query/stats.h"

/* As many digits as a double has for sure: a time since 1970 to 10 us. */
#define METRIC_REAL "%.15g"

typedef struct Metric Metric;

/* One text being written. */
typedef struct MetricText {
        const char *prefix; /* "scale_callbackd_" */
        const void *source; /* what the table's functions look into */
        const Stats *stats;
        Buffer *out;
} MetricText;

struct Metric {
        const char *name, *type, *help;
        int (*write)(const Metric *metric, const MetricText *text);
        size_t offset;  /* of the value in the structure that `write` looks into */
        double divisor; /* 0: as it is */
};

/* A line with at most one label (NULL: none), whose value is plain. 0, -ENOMEM, -ENOBUFS; likewise below. */
int metric_put(const Metric *metric, const MetricText *text, const char *label, const char *value,
                uint64_t v);

/* By status code, those that were counted; counts[i] is read by `at`. */
int metric_put_statuses(const Metric *metric, const MetricText *text, const void *counts, size_t n,
                uint64_t (*at)(const void *structure, size_t offset));

/* Functions for tables: a uint64_t at the offset in the source, and in the stats. */
int metric_write_number(const Metric *metric, const MetricText *text);
int metric_write_stats(const Metric *metric, const MetricText *text);

/* Of the stats: submissions by state; whether and by whom the queue is held; whether anything can be stored.
 */
int metric_write_states(const Metric *metric, const MetricText *text);
int metric_write_hold(const Metric *metric, const MetricText *text);
int metric_write_writable(const Metric *metric, const MetricText *text);

uint64_t metric_number_at(const void *structure, size_t offset);
uint64_t metric_atomic_at(const void *structure, size_t offset);

/* The whole text of a table. */
int metrics_render_table(const Metric *table, size_t n, const MetricText *text);

/* For the manual page and its test: calls fn for every metric. */
void metrics_describe_table(const Metric *table, size_t n, const char *prefix,
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata);
