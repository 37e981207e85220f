#pragma once

/* Metrics: counters that any thread may raise, and their text for Prometheus. */

#include <stdatomic.h>

#include "basic/buffer.h"
#include "http/server.h"
#include "query/stats.h"

#define METRICS_KEYS_MAX    16U /* key labels that are counted apart */
#define METRICS_BUCKETS_MAX 12U

typedef struct Metrics {
        atomic_uint_fast64_t verdicts[_VERDICT_MAX]; /* deliveries recorded since the start */
        atomic_uint_fast64_t repeated;               /* of the duplicates, those byte for byte */
        atomic_uint_fast64_t responses[600];         /* answers on the callback port, by status */
        atomic_uint_fast64_t unauthorized;
        atomic_uint_fast64_t body_bytes; /* of authenticated bodies, ever */
        atomic_uint_fast64_t duration[METRICS_BUCKETS_MAX +
                                      1]; /* acknowledged, by time from first line to answer */
        atomic_uint_fast64_t duration_usec;
        atomic_uint_fast64_t reloads, reloads_failed;
        atomic_uint_fast64_t clock_jumps; /* that the clock on the wall was set, by an hour and more */
        struct {
                char label[STORE_LABEL_MAX + 1]; /* written once, before `used` is set */
                atomic_bool used;
                atomic_uint_fast64_t n;
        } keys[METRICS_KEYS_MAX];
        int64_t started_at;
} Metrics;

void metrics_init(Metrics *metrics);

void metrics_count_response(Metrics *metrics, unsigned status);
void metrics_count_key(Metrics *metrics, const char *label); /* from the main thread only */
void metrics_count_duration(Metrics *metrics, uint64_t usec);

/* What is read at the moment of asking. */
typedef struct MetricsInputs {
        const Metrics *metrics;
        Stats stats;
        HttpServerStats callback, query, control;
        uint64_t event_readers; /* following the feed */
} MetricsInputs;

/* Appends the whole text (format 0.0.4). 0, -ENOMEM, -ENOBUFS. */
int receiver_metrics_render(const MetricsInputs *in, Buffer *out);

/* For the manual page and its test: calls fn for every metric. */
void receiver_metrics_describe(
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata);
