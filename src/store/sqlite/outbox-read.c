/*
 * The outbox as readers see it: submissions, what is due, the queue as a whole, and the tasks that the API
 * should be asked about. As everywhere a call is one snapshot, rows are handed over one by one, and counts
 * come from counters. Parameters are only read where they are asked for.
 */

#include "store/sqlite/read.h"

#include <inttypes.h>
#include <stdio.h>

static const char what[] = "Could not read";

/* Submissions. */

static int read_parameters(Query *q, int64_t n, Submission *s)
{
        int k;

        query_int(q, n);
        k = query_step(q, what);
        if (k < 0)
                return k;
        if (k == 0)
                return connection_refuse(q->connection, -EBADMSG,
                                "The parameters of submission %" PRId64 " are missing in %s: it is damaged.",
                                n, q->connection->path);
        s->params = query_column_blob(q, 0, &s->params_size);
        return 0;
}

static int give_submission(
                StoreReader *r, const Query *q, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query parameters = reader_outbox_query(r, OR_PARAMETERS);
        Submission s = {
                .n = (uint64_t)query_column(q, 0),
                .id = query_column_text(q, 1),
                .type = query_column_text(q, 2),
                .state = (SubmissionState)query_column(q, 3),
                .is_test = query_column(q, 4) != 0,
                .cancel_wanted = query_column(q, 5) != 0,
                .created_at = query_column(q, 6),
                .changed_at = query_column(q, 7),
                .expires_at = query_column(q, 8),
                .next_at = query_column_time(q, 9),
                .attempts = (unsigned)query_column(q, 10),
                .sent_at = query_column_time(q, 11),
                .floor_at = query_column_time(q, 12),
                .ended_at = query_column_time(q, 13),
                .grace = query_column_time(q, 14),
                .idempotency_key = query_column_text(q, 15),
                .task_id = query_column_text(q, 16),
                .status = (unsigned)query_column(q, 17),
                .error = query_column_text(q, 18),
                .answer = query_column_text(q, 19),
                .problems = query_column_text(q, 20),
        };
        int k;

        if (with_params) {
                k = read_parameters(&parameters, query_column(q, 0), &s);
                if (k < 0)
                        return k;
        }
        return fn(&s, userdata);
}

/* All rows that `q` has still to give. 1: there was one, 0: none. */
static int give_submissions(StoreReader *r, Query *q, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        int k, found = 0;

        while ((k = query_step(q, what)) > 0) {
                k = give_submission(r, q, with_params, fn, userdata);
                if (k < 0)
                        return k;
                found = 1;
        }
        return k < 0 ? k : found;
}

static int get_by(StoreReader *r, OutboxReaderStatement by, const char *name, bool with_params,
                StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(r, by);
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        query_text(&q, name);
        k = give_submissions(r, &q, with_params, fn, userdata);
        query_done(&q);
        return reader_end(r, k);
}

int store_get_submission(
                StoreReader *r, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        return get_by(r, OR_SUBMISSION, id, with_params, fn, userdata);
}

static int give_list(StoreReader *r, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(r, (int)state < 0 ? OR_LIST : OR_LIST_OF_STATE);
        int k;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        if ((int)state >= 0)
                query_int(&q, state);
        k = give_submissions(r, &q, false, fn, userdata);
        return MIN(k, 0);
}

int store_list_submissions(StoreReader *r, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_list(r, state, after, limit, fn, userdata));
}

static int give_due(StoreReader *r, SubmissionState state, int64_t now, unsigned limit, StoreSubmissionFn fn,
                void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_DUE);
        int k;

        query_int(&q, state);
        query_int(&q, now);
        query_int(&q, limit);
        k = give_submissions(r, &q, true, fn, userdata);
        return MIN(k, 0);
}

int store_list_due(StoreReader *r, SubmissionState state, int64_t now, unsigned limit, StoreSubmissionFn fn,
                void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_due(r, state, now, limit, fn, userdata));
}

static int give_cancel_wanted(
                StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_CANCEL_WANTED);
        int k;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        k = give_submissions(r, &q, false, fn, userdata);
        return MIN(k, 0);
}

int store_list_cancel_wanted(
                StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        return reader_end(r, give_cancel_wanted(r, after, limit, fn, userdata));
}

/* The one time that a statement gives for a state; TIME_NONE: no row. */
static int get_time_of_state(
                StoreReader *r, OutboxReaderStatement statement, SubmissionState state, int64_t *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(r, statement);
        int k;

        query_int(&q, state);
        k = query_step(&q, what);
        if (k < 0)
                return k;
        *ret = k > 0 ? query_column_time(&q, 0) : TIME_NONE;
        return 0;
}

int store_get_next_due(StoreReader *r, SubmissionState state, int64_t *ret)
{
        int64_t t = TIME_NONE;
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        k = reader_end(r, get_time_of_state(r, OR_NEXT_DUE, state, &t));
        if (k >= 0)
                *ret = t;
        return k;
}

/* The queue. */

static int get_hold(StoreReader *r, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_QUEUE);
        int k;

        k = query_step(&q, what);
        if (k <= 0)
                return k;
        ret->hold = (QueueHold)query_column(&q, 0);
        if (ret->hold == QUEUE_RUNNING)
                return 0;
        snprintf(ret->reason, sizeof(ret->reason), "%s", query_column_text(&q, 1));
        ret->held_since = query_column(&q, 2);
        return 0;
}

static int get_counts(StoreReader *r, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_TALLY);
        int k;

        while ((k = query_step(&q, what)) > 0) {
                int64_t state = query_column(&q, 0);

                if (state >= 0 && state < _SUBMISSION_STATE_MAX) /* else of a newer program */
                        ret->by_state[state] = (uint64_t)query_column(&q, 1);
        }
        return k;
}

static int get_oldest(StoreReader *r, StoreQueue *ret)
{
        for (int state = SUBMISSION_QUEUED; state <= SUBMISSION_UNKNOWN; state++) {
                int64_t t;
                int k;

                k = get_time_of_state(r, OR_OLDEST, (SubmissionState)state, &t);
                if (k < 0)
                        return k;
                if (t != TIME_NONE && (ret->oldest == TIME_NONE || t < ret->oldest))
                        ret->oldest = t;
        }
        return 0;
}

static int get_live(StoreReader *r, int64_t day, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_LIVE);
        int k;

        query_int(&q, day);
        k = query_step(&q, what);
        if (k > 0)
                ret->live_sent = (uint64_t)query_column(&q, 0);
        return MIN(k, 0);
}

static int get_queue(StoreReader *r, int64_t now, StoreQueue *ret)
{
        int k;

        k = get_hold(r, ret);
        if (k >= 0)
                k = get_counts(r, ret);
        if (k >= 0)
                k = get_oldest(r, ret);
        if (k >= 0)
                k = get_live(r, now / (int64_t)USEC_PER_DAY, ret);
        return k;
}

int store_get_queue(StoreReader *r, int64_t now, StoreQueue *ret)
{
        StoreQueue queue = { .held_since = TIME_NONE, .oldest = TIME_NONE };
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        k = reader_end(r, get_queue(r, now, &queue));
        if (k >= 0)
                *ret = queue;
        return k;
}

/* Tasks. */

int store_find_task_of_submission(
                StoreReader *r, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1])
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_FIND_TASK);
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        query_text(&q, id);
        k = query_step(&q, what);
        if (k > 0)
                snprintf(ret_task_id, CALLBACK_ID_MAX + 1, "%s", query_column_text(&q, 0));
        query_done(&q);
        return reader_end(r, k);
}

static int give_pending(Query *q, StorePendingFn fn, void *userdata)
{
        int k;

        while ((k = query_step(q, what)) > 0) {
                PendingTask t = {
                        .task_id = query_column_text(q, 0),
                        .submission = query_column_text(q, 1),
                        .created_at = query_column(q, 2),
                        .due_at = query_column(q, 3),
                        .id = (uint64_t)query_column(q, 4),
                };

                k = fn(&t, userdata);
                if (k < 0)
                        return k;
        }
        return k;
}

int store_list_pending_tasks(StoreReader *r, int64_t due_before, int64_t after_due, uint64_t after_id,
                unsigned limit, StorePendingFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_PENDING);
        int k;

        k = reader_begin(r);
        if (k < 0)
                return k;
        query_int(&q, due_before);
        query_int(&q, after_due); /* TIME_NONE is before all others */
        query_int(&q, (int64_t)MIN(after_id, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        k = give_pending(&q, fn, userdata);
        query_done(&q);
        return reader_end(r, k);
}

/* Whatever was committed. */

int store_reader_changed(StoreReader *r)
{
        _cleanup_query_ Query q = reader_outbox_query(r, OR_DATA_VERSION);
        int64_t before = r->data_version;
        int k;

        k = query_step(&q, what);
        if (k < 0)
                return k;
        r->data_version = query_column(&q, 0);
        return r->data_version != before;
}
