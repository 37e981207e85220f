#pragma once

/* A task snapshot: a task object of the API, as the store takes it for the task of a submission. */

#include "daemon/ingest.h"
#include "store/outbox.h"

typedef struct TaskSnapshot {
        json_t *task;       /* owned */
        Buffer body;        /* as a callback's */
        Callback *callback; /* owned */
        Metadata metadata;
        StoreDelivery delivery; /* for store_accept_submission(); borrows from what is above */
        bool has_response;      /* there is more to tell than accepting it keeps */
} TaskSnapshot;

/* From a task with an id (see outcome_task_id()). 0, -ENOMEM; -ENOBUFS: larger than anything that is kept.
 */
int task_snapshot_new(const json_t *task, int64_t now, TaskSnapshot **ret);
TaskSnapshot *task_snapshot_free(TaskSnapshot *snapshot);
DEFINE_CLEANUP(TaskSnapshot *, task_snapshot_free)
