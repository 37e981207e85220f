#pragma once

/* Metrics: tables of them, and their text for Prometheus (format 0.0.4). */

#include "basic/buffer.h"
#include "basic/macros.h"
#include "store/outbox.h"

/* As many digits as a double has for sure: a time since 1970 to 10 us. */
#define METRIC_REAL "%.15g"

typedef struct Metric Metric;

/* One text being written. */
typedef struct MetricText {
        const char *prefix; /* "scale_callbackd_" */
        const void *source; /* what the table's functions look into */
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

/* A number alone, for lines that the caller began: whole ones without a point. */
int metric_put_value(const Metric *metric, const MetricText *text, uint64_t v);

/* Functions for tables: a uint64_t, or an atomic one, at the offset in the source. */
int metric_write_number(const Metric *metric, const MetricText *text);
int metric_write_atomic(const Metric *metric, const MetricText *text);

/* Submissions by state; whether and why the queue is held. */
int metric_put_states(const Metric *metric, const MetricText *text, const StoreQueue *queue);
int metric_put_hold(const Metric *metric, const MetricText *text, const StoreQueue *queue);

uint64_t metric_number_at(const void *structure, size_t offset);
uint64_t metric_atomic_at(const void *structure, size_t offset);

/* The whole text of a table. */
int metrics_render_table(const Metric *table, size_t n, const MetricText *text);

/* For the manual page and its test: calls fn for every metric. */
void metrics_describe_table(const Metric *table, size_t n, const char *prefix,
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata);
