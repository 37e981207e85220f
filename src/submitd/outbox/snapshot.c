/*
 * The task of a submission, as the API tells it. What matters is that there is a task with that id: the rest
 * is kept for readers and is not held against the rules, because the task has been made whatever they say.
 * A response that it has is not looked at here: it goes the way that every result takes.
 */

#include "submitd/outbox/snapshot.h"

#include "submitd/api/answer.h"
#include "task/params.h"

#define BODY_MAX ((size_t)64 * 1024 * 1024)

TaskSnapshot *task_snapshot_free(TaskSnapshot *a)
{
        if (!a)
                return NULL;

        metadata_done(&a->metadata);
        json_decref(a->task);
        callback_free(a->callback);
        buffer_done(&a->body);
        free(a);
        return NULL;
}

static int64_t choose_due(const Callback *c, int64_t now)
{
        const char *urgency = json_string_value(json_object_get(c->task, "urgency"));

        return (c->created_at != TIME_NONE ? c->created_at : now) + (int64_t)task_urgency_usec(urgency);
}

int task_snapshot_new(const json_t *task, int64_t now, TaskSnapshot **ret)
{
        _cleanup_(task_snapshot_freep) TaskSnapshot *a = calloc(1, sizeof(TaskSnapshot));
        const Callback *c;
        int r;

        if (!a)
                return -ENOMEM;
        a->body = BUFFER_INIT(BODY_MAX);
        a->task = json_incref((json_t *)(uintptr_t)task);
        r = callback_body_from_task(task, &a->body);
        if (r < 0)
                return r;
        r = callback_parse(a->body.data, a->body.size, &a->callback);
        if (r < 0)
                return r;
        r = metadata_collect(a->task, &a->metadata);
        if (r < 0)
                return r;

        c = a->callback;
        a->has_response = c->response != NULL;
        a->delivery = (StoreDelivery){
                .source = SOURCE_RECONCILE,
                .received_at = now,
                .body = a->body.data,
                .body_size = a->body.size,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = outcome_task_id(task),
                .type = c->type,
                .task_status = c->root && (int)c->status >= 0 ? c->status : TASK_PENDING,
                .is_test = c->is_test,
                .unchecked = c->unchecked,
                .has_document = c->root != NULL,
                .account = true,
                .due_at = choose_due(c, now),
                .created_at = c->created_at,
                .completed_at = TIME_NONE,
                .metadata = a->metadata.values,
                .n_metadata = a->metadata.n,
        };
        *ret = TAKE_PTR(a);
        return 0;
}
