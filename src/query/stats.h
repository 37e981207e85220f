#pragma once

/* Stats: what is in the store, on its way there, and in the outbox. */

#include <jansson.h>

#include "daemon/commit.h"
#include "store/outbox.h"
#include "store/store.h"

/* Read at the moment of asking. */
typedef struct Stats {
        StoreStats store;
        StoreQueue queue;
        CommitStats commit;
} Stats;

/* Puts what is known of the outbox into `object`: hold, reason, since, by_state, live_today, oldest. 0 or
 * negative. */
int stats_add_queue(json_t *object, const StoreQueue *queue);
