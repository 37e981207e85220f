/*
 * The task of a submission, as the API tells it. What matters is that there is a task with that id: the rest
 * is kept for readers and is not held against the rules, because the task has been made whatever they say.
 * A response that it has is not looked at here: it goes the way that every result takes.
 */

#include "submitd/outbox/snapshot.h"

#include "submitd/api/answer.h"

#define BODY_MAX ((size_t)64 * 1024 * 1024)

TaskSnapshot *task_snapshot_free(TaskSnapshot *snapshot)
{
        if (!snapshot)
                return NULL;

        metadata_done(&snapshot->metadata);
        json_decref(snapshot->task);
        callback_free(snapshot->callback);
        buffer_done(&snapshot->body);
        free(snapshot);
        return NULL;
}

int task_snapshot_new(const json_t *task, int64_t now, TaskSnapshot **ret)
{
        _cleanup_(task_snapshot_freep) TaskSnapshot *snapshot = calloc(1, sizeof(TaskSnapshot));
        const Callback *callback;
        int r;

        if (!snapshot)
                return -ENOMEM;
        snapshot->body = BUFFER_INIT(BODY_MAX);
        snapshot->task = json_incref((json_t *)(uintptr_t)task);
        r = callback_body_from_task(task, &snapshot->body);
        if (r < 0)
                return r;
        r = callback_parse(snapshot->body.data, snapshot->body.size, &snapshot->callback);
        if (r < 0)
                return r;
        r = metadata_collect(snapshot->task, &snapshot->metadata);
        if (r < 0)
                return r;

        callback = snapshot->callback;
        snapshot->has_response = callback->response != NULL;
        snapshot->delivery = (StoreDelivery){
                .source = SOURCE_RECONCILE,
                .received_at = now,
                .body = snapshot->body.data,
                .body_size = snapshot->body.size,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = outcome_task_id(task),
                .type = callback->type,
                .task_status = callback->root && (int)callback->status >= 0 ? callback->status
                                                                            : TASK_PENDING,
                .is_test = callback->is_test,
                .unchecked = callback->unchecked,
                .has_document = callback->root != NULL,
                .is_snapshot = true,
                .due_at = ingest_choose_due(callback, now),
                .created_at = callback->created_at,
                .completed_at = TIME_NONE,
                .metadata = snapshot->metadata.values,
                .n_metadata = snapshot->metadata.n,
        };
        *ret = TAKE_PTR(snapshot);
        return 0;
}
