#pragma once

/* Figures: what is in the store, on its way there, and in the outbox, for people and scripts. */

#include <jansson.h>

#include "daemon/commit.h"
#include "http/server.h"
#include "store/outbox.h"
#include "store/store.h"

typedef struct StoreFigures {
        StoreStats store;
        StoreQueue queue;
        CommitStats commit;
} StoreFigures;

/* 0, or what the reader returned. */
int figures_read(StoreReader *reader, Commit *commit, StoreFigures *ret);

/* A new reference: the object that GET /v1/stats answers. NULL when out of memory. */
json_t *figures_to_json(const StoreFigures *f);

/* Puts what is known of the outbox into `o`: hold, reason, since, by_state, live_today, oldest. 0 or
 * negative. */
int figures_add_queue(json_t *o, const StoreQueue *q);

/* The text of metrics as the answer. */
int figures_reply_metrics(HttpRequest *request, const Buffer *text);

/* Whether it can be stored: 200, or 503. */
int figures_reply_ready(HttpRequest *request, Commit *commit);
