#pragma once

/* The submitter's metrics. All of it lives on the main loop. */

#include "basic/buffer.h"
#include "http/server.h"
#include "query/stats.h"
#include "submitd/api/client.h"
#include "submitd/outbox/outbox.h"
#include "submitd/recover/backfill.h"
#include "submitd/recover/reconcile.h"
#include "task/type.h"

typedef struct Metrics {
        uint64_t accepted[TASK_TYPES_N]; /* submissions since the start, in the order of task_types */
        uint64_t replayed, conflicts, invalid;
        uint64_t responses[600]; /* answers on the submit socket, by status */
        uint64_t reloads, reloads_failed;
        uint64_t started_at;
} Metrics;

void metrics_count_type(Metrics *counted, const TaskType *type);

static inline void metrics_count_response(Metrics *counted, unsigned status)
{
        if (status < ELEMENTSOF(counted->responses))
                counted->responses[status]++;
}

/* What is read at the moment of asking. */
typedef struct MetricsInputs {
        Metrics own;
        ApiClientStats api;
        OutboxStats outbox;
        ReconcileStats reconcile;
        BackfillStats backfill;
        HttpServerStats server;
        Stats stats;
        uint64_t live_per_day; /* UINT64_MAX: unlimited */
} MetricsInputs;

/* Appends the whole text (format 0.0.4). 0, -ENOMEM, -ENOBUFS. */
int submit_metrics_render(const MetricsInputs *in, Buffer *out);

void submit_metrics_describe(
                void (*fn)(const char *name, const char *type, const char *help, void *userdata),
                void *userdata);
