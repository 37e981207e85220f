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
        int r;

        query_int(q, n);
        r = query_step(q, what);
        if (r < 0)
                return r;
        if (r == 0)
                return connection_refuse(q->connection, -EBADMSG,
                                "The parameters of submission %" PRId64 " are missing in %s: it is damaged.",
                                n, q->connection->path);
        s->params = query_column_blob(q, 0, &s->params_size);
        return 0;
}

static int give_submission(
                SqliteReader *reader, const Query *q, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query parameters = reader_outbox_query(reader, OR_PARAMETERS);
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
        int r;

        if (with_params) {
                r = read_parameters(&parameters, query_column(q, 0), &s);
                if (r < 0)
                        return r;
        }
        return fn(&s, userdata);
}

/* All rows that `q` has still to give. 1: there was one, 0: none. */
static int give_submissions(
                SqliteReader *reader, Query *q, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        int r, found = 0;

        while ((r = query_step(q, what)) > 0) {
                r = give_submission(reader, q, with_params, fn, userdata);
                if (r < 0)
                        return r;
                found = 1;
        }
        return r < 0 ? r : found;
}

static int get_by(SqliteReader *reader, OutboxReaderStatement by, const char *name, bool with_params,
                StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, by);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        query_text(&q, name);
        r = give_submissions(reader, &q, with_params, fn, userdata);
        query_done(&q);
        return reader_end(reader, r);
}

int sqlite_read_get_submission(
                StoreReader *base, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        return get_by(reader, OR_SUBMISSION, id, with_params, fn, userdata);
}

/* `all` is the statement for any state, and the one behind it for a single one. */
static int give_list(SqliteReader *reader, OutboxReaderStatement all, SubmissionState state, uint64_t beyond,
                unsigned limit, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, all + ((int)state >= 0));
        int r;

        query_int(&q, (int64_t)MIN(beyond, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        if ((int)state >= 0)
                query_int(&q, state);
        r = give_submissions(reader, &q, with_params, fn, userdata);
        return MIN(r, 0);
}

int sqlite_read_list_submissions(StoreReader *base, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_list(reader, OR_LIST, state, after, limit, false, fn, userdata));
}

int sqlite_read_list_submissions_back(StoreReader *base, SubmissionState state, uint64_t before,
                unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_list(reader, OR_LIST_BACK, state, before > 0 ? before : INT64_MAX,
                                                  limit, true, fn, userdata));
}

static int give_due(SqliteReader *reader, SubmissionState state, int64_t now, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_DUE);
        int r;

        query_int(&q, state);
        query_int(&q, now);
        query_int(&q, limit);
        r = give_submissions(reader, &q, true, fn, userdata);
        return MIN(r, 0);
}

int sqlite_read_list_due(StoreReader *base, SubmissionState state, int64_t now, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_due(reader, state, now, limit, fn, userdata));
}

static int give_cancel_wanted(
                SqliteReader *reader, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_CANCEL_WANTED);
        int r;

        query_int(&q, (int64_t)MIN(after, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        r = give_submissions(reader, &q, false, fn, userdata);
        return MIN(r, 0);
}

int sqlite_read_list_cancel_wanted(
                StoreReader *base, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        return reader_end(reader, give_cancel_wanted(reader, after, limit, fn, userdata));
}

/* The one time that a statement gives for a state; TIME_NONE: no row. */
static int get_time_of_state(
                SqliteReader *reader, OutboxReaderStatement statement, SubmissionState state, int64_t *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, statement);
        int r;

        query_int(&q, state);
        r = query_step(&q, what);
        if (r < 0)
                return r;
        *ret = r > 0 ? query_column_time(&q, 0) : TIME_NONE;
        return 0;
}

int sqlite_read_get_next_due(StoreReader *base, SubmissionState state, int64_t *ret)
{
        SqliteReader *reader = sqlite_reader_of(base);
        int64_t t = TIME_NONE;
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = reader_end(reader, get_time_of_state(reader, OR_NEXT_DUE, state, &t));
        if (r >= 0)
                *ret = t;
        return r;
}

/* The queue. */

static int get_hold(SqliteReader *reader, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_QUEUE);
        int r;

        r = query_step(&q, what);
        if (r <= 0)
                return r;
        ret->hold = (QueueHold)query_column(&q, 0);
        if (ret->hold == QUEUE_RUNNING)
                return 0;
        snprintf(ret->reason, sizeof(ret->reason), "%s", query_column_text(&q, 1));
        ret->held_since = query_column(&q, 2);
        return 0;
}

static int get_counts(SqliteReader *reader, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_TALLY);
        int r;

        while ((r = query_step(&q, what)) > 0) {
                int64_t state = query_column(&q, 0);

                if (state >= 0 && state < _SUBMISSION_STATE_MAX) /* else of a newer program */
                        ret->by_state[state] = (uint64_t)query_column(&q, 1);
        }
        return r;
}

static int get_oldest(SqliteReader *reader, StoreQueue *ret)
{
        for (int state = SUBMISSION_QUEUED; state <= SUBMISSION_UNKNOWN; state++) {
                int64_t t;
                int r;

                r = get_time_of_state(reader, OR_OLDEST, (SubmissionState)state, &t);
                if (r < 0)
                        return r;
                if (t != TIME_NONE && (ret->oldest == TIME_NONE || t < ret->oldest))
                        ret->oldest = t;
        }
        return 0;
}

static int get_live(SqliteReader *reader, int64_t day, StoreQueue *ret)
{
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_LIVE);
        int r;

        query_int(&q, day);
        r = query_step(&q, what);
        if (r > 0)
                ret->live_sent = (uint64_t)query_column(&q, 0);
        return MIN(r, 0);
}

static int get_queue(SqliteReader *reader, int64_t now, StoreQueue *ret)
{
        int r;

        r = get_hold(reader, ret);
        if (r >= 0)
                r = get_counts(reader, ret);
        if (r >= 0)
                r = get_oldest(reader, ret);
        if (r >= 0)
                r = get_live(reader, now / (int64_t)USEC_PER_DAY, ret);
        return r;
}

int sqlite_read_get_queue(StoreReader *base, int64_t now, StoreQueue *ret)
{
        SqliteReader *reader = sqlite_reader_of(base);
        StoreQueue queue = { .held_since = TIME_NONE, .oldest = TIME_NONE };
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        r = reader_end(reader, get_queue(reader, now, &queue));
        if (r >= 0)
                *ret = queue;
        return r;
}

/* Tasks. */

int sqlite_read_find_task_of_submission(
                StoreReader *base, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1])
{
        SqliteReader *reader = sqlite_reader_of(base);
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_FIND_TASK);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        query_text(&q, id);
        r = query_step(&q, what);
        if (r > 0)
                snprintf(ret_task_id, CALLBACK_ID_MAX + 1, "%s", query_column_text(&q, 0));
        query_done(&q);
        return reader_end(reader, r);
}

static int give_pending(Query *q, StorePendingFn fn, void *userdata)
{
        int r;

        while ((r = query_step(q, what)) > 0) {
                PendingTask t = {
                        .task_id = query_column_text(q, 0),
                        .submission = query_column_text(q, 1),
                        .created_at = query_column(q, 2),
                        .due_at = query_column(q, 3),
                        .id = (uint64_t)query_column(q, 4),
                };

                r = fn(&t, userdata);
                if (r < 0)
                        return r;
        }
        return r;
}

int sqlite_read_list_pending_tasks(StoreReader *base, int64_t due_before, int64_t after_due,
                uint64_t after_id, unsigned limit, StorePendingFn fn, void *userdata)
{
        SqliteReader *reader = sqlite_reader_of(base);
        _cleanup_query_ Query q = reader_outbox_query(reader, OR_PENDING);
        int r;

        r = reader_begin(reader);
        if (r < 0)
                return r;
        query_int(&q, due_before);
        query_int(&q, after_due); /* TIME_NONE is before all others */
        query_int(&q, (int64_t)MIN(after_id, (uint64_t)INT64_MAX));
        query_int(&q, limit);
        r = give_pending(&q, fn, userdata);
        query_done(&q);
        return reader_end(reader, r);
}

/* Whatever was committed. */
