/*
 * The writer's view of a submission: its row, as far as others have to know it, and the two steps that
 * deliveries make it take: it turns out to have a task, or one of its attachments failed.
 *
 * A submission that has a task never gets another one. Whether it may still be found by the URLs of its
 * attachments follows from here: while there is, or may be, a pending task of which no attachment failed.
 */

#include "store/sqlite/internal.h"

#include <stdio.h>

static int find(Store *s, Query *q, SubmissionRow *ret)
{
        int64_t state;
        int r;

        r = query_step(q, "Could not look up a submission in");
        if (r <= 0)
                return r;

        state = query_column(q, 3);
        if (state < 0 || state >= _SUBMISSION_STATE_MAX)
                return connection_refuse(&s->connection, -EUCLEAN, "A submission of %s has no state.",
                                s->connection.path);
        *ret = (SubmissionRow){
                .n = query_column(q, 0),
                .type = query_column(q, 2),
                .state = (SubmissionState)state,
                .task = query_column(q, 4),
                .failure = query_column(q, 5),
                .expires_at = query_column(q, 6),
        };
        snprintf(ret->id, sizeof(ret->id), "%s", query_column_text(q, 1));
        return 1;
}

int store_find_submission(Store *s, const char *id, SubmissionRow *ret)
{
        _cleanup_query_ Query q = outbox_query(s, OW_FIND);

        query_text(&q, id);
        return find(s, &q, ret);
}

int store_find_submission_of_number(Store *s, int64_t n, SubmissionRow *ret)
{
        _cleanup_query_ Query q = outbox_query(s, OW_GET);

        query_int(&q, n);
        return find(s, &q, ret);
}

int store_tidy_submission(Store *s, int64_t n)
{
        Query q = outbox_query(s, OW_END_CANCEL);
        int r;

        r = store_drop_attachments(s, n);
        if (r < 0)
                return r;
        query_int(&q, n);
        return query_run(&q, "Could not tidy up after a submission in");
}

int store_settle_submission(Store *s, SubmissionRow *row, const TaskRow *task, unsigned status, int64_t now)
{
        Query q = outbox_query(s, OW_ACCEPT);
        int r;

        query_int(&q, row->n);
        query_int(&q, now);
        query_int(&q, task->id);
        query_id(&q, status);
        r = query_run(&q, "Could not mark a submission as accepted in");
        if (r < 0)
                return r;
        s->submissions[row->state]--;
        s->submissions[SUBMISSION_ACCEPTED]++;
        row->state = SUBMISSION_ACCEPTED;
        row->task = task->id;

        /* A task that another submission had first stays with that one, whatever becomes of it. */
        if (task->submission != row->n)
                return store_tidy_submission(s, row->n);
        /* What has come to its end was tidied up already: see store_save_task(). */
        return task->status == TASK_PENDING ? store_open_attachments(s, row->n, row->failure == 0) : 0;
}

int store_fail_submission(Store *s, SubmissionRow *row, int64_t failure)
{
        Query q = outbox_query(s, OW_SET_FAILURE);
        int r;

        query_int(&q, row->n);
        query_int(&q, failure);
        r = query_run(&q, "Could not note a failed attachment in");
        if (r < 0)
                return r;
        row->failure = failure;
        return store_open_attachments(s, row->n, false);
}
