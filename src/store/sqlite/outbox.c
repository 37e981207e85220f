/*
 * The rows of the outbox, as the rules ask for them. Counters by state are gathered in memory during a
 * group, and written before it commits.
 */

#include <stdio.h>

#include "store/sqlite/writer.h"

/* Submissions. */

static int find(SqliteStore *s, Query *q, SubmissionRow *ret)
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

static int sqlite_find_submission(Store *store, const char *id, SubmissionRow *ret)
{
        SqliteStore *s = sqlite_of(store);
        _cleanup_query_ Query q = outbox_query(s, OW_FIND);

        query_text(&q, id);
        return find(s, &q, ret);
}

static int sqlite_get_submission(Store *store, int64_t n, SubmissionRow *ret)
{
        SqliteStore *s = sqlite_of(store);
        _cleanup_query_ Query q = outbox_query(s, OW_GET);

        query_int(&q, n);
        return find(s, &q, ret);
}

static int sqlite_find_key(Store *store, const char *key, char ret_id[static SUBMISSION_ID_SIZE],
                uint8_t ret_digest[static CALLBACK_DIGEST_SIZE])
{
        _cleanup_query_ Query q = outbox_query(sqlite_of(store), OW_FIND_KEY);
        const void *digest;
        size_t size;
        int r;

        query_text(&q, key);
        r = query_step(&q, "Could not look up an idempotency key in");
        if (r <= 0)
                return r;
        snprintf(ret_id, SUBMISSION_ID_SIZE, "%s", query_column_text(&q, 0));
        digest = query_column_blob(&q, 1, &size);
        memset(ret_digest, 0, CALLBACK_DIGEST_SIZE); /* nobody's, where it is damaged */
        if (digest && size == CALLBACK_DIGEST_SIZE)
                memcpy(ret_digest, digest, size);
        return 1;
}

static int add_row(SqliteStore *s, const StoreSubmission *submission, int64_t type)
{
        Query q = outbox_query(s, OW_ADD);

        query_text(&q, submission->id);
        query_int(&q, type);
        query_int(&q, submission->created_at);
        query_int(&q, submission->expires_at);
        query_time(&q, submission->next_at);
        query_text(&q, submission->idempotency_key);
        query_blob(&q, submission->digest, CALLBACK_DIGEST_SIZE);
        query_text(&q, submission->problems);
        return query_run(&q, "Could not add a submission to");
}

static int add_parameters(SqliteStore *s, int64_t n, const void *body, size_t size)
{
        Query q = outbox_query(s, OW_ADD_PARAMETERS);

        query_int(&q, n);
        query_blob(&q, body, size);
        return query_run(&q, "Could not keep the parameters of a submission in");
}

static int add_attachments(SqliteStore *s, int64_t submission, const char *const *urls, size_t n)
{
        int r;

        FOREACH_ARRAY(url, urls, MIN(n, SUBMISSION_ATTACHMENTS_MAX)) {
                Query q = outbox_query(s, OW_ADD_ATTACHMENT);

                query_int(&q, submission);
                query_int(&q, store_fingerprint(*url, strlen(*url)));
                query_text(&q, *url);
                r = query_run(&q, "Could not keep the URL of an attachment in");
                if (r < 0)
                        return r;
        }
        return 0;
}

static int sqlite_add_submission(Store *store, const StoreSubmission *submission, int64_t type)
{
        SqliteStore *s = sqlite_of(store);
        int64_t n;
        int r;

        r = add_row(s, submission, type);
        if (r < 0)
                return r;
        n = sqlite3_last_insert_rowid(s->connection.db);
        r = add_parameters(s, n, submission->params, submission->params_size);
        if (r >= 0)
                r = add_attachments(s, n, submission->attachments, submission->n_attachments);
        if (r >= 0)
                s->submissions[SUBMISSION_QUEUED]++;
        return r;
}

static int sqlite_move_submission(Store *store, const SubmissionRow *row, const StoreMove *move)
{
        bool waits = move->to == SUBMISSION_QUEUED || move->to == SUBMISSION_UNKNOWN;
        SqliteStore *s = sqlite_of(store);
        Query q = outbox_query(s, OW_MOVE);
        int r;

        query_int(&q, row->n);
        query_int(&q, move->to);
        query_int(&q, move->now);
        query_time(&q, waits ? move->next_at : TIME_NONE);
        query_time(&q, move->sent_at);
        query_time(&q, move->floor_at);
        query_time(&q, move->ended_at);
        query_time(&q, move->grace);
        query_int(&q, move->is_test);
        query_int(&q, move->attempt);
        query_int(&q, move->status);
        query_text(&q, move->error);
        query_text(&q, move->answer);
        query_int(&q, move->expires_at != TIME_NONE ? move->expires_at : row->expires_at);
        r = query_run(&q, "Could not move a submission in");
        if (r < 0)
                return r;
        s->submissions[row->state]--;
        s->submissions[move->to]++;
        return 0;
}

static int sqlite_accept_submission(
                Store *store, const SubmissionRow *row, int64_t task, unsigned status, int64_t now)
{
        SqliteStore *s = sqlite_of(store);
        Query q = outbox_query(s, OW_ACCEPT);
        int r;

        query_int(&q, row->n);
        query_int(&q, now);
        query_int(&q, task);
        query_id(&q, status);
        r = query_run(&q, "Could not mark a submission as accepted in");
        if (r < 0)
                return r;
        s->submissions[row->state]--;
        s->submissions[SUBMISSION_ACCEPTED]++;
        return 0;
}

static int sqlite_set_failure(Store *store, int64_t n, int64_t failure)
{
        Query q = outbox_query(sqlite_of(store), OW_SET_FAILURE);

        query_int(&q, n);
        query_int(&q, failure);
        return query_run(&q, "Could not note a failed attachment in");
}

static int sqlite_set_cancel(Store *store, int64_t n, bool wanted, int64_t now)
{
        Query q = outbox_query(sqlite_of(store), OW_SET_CANCEL);

        query_int(&q, n);
        query_int(&q, wanted);
        query_int(&q, now);
        return query_run(&q, "Could not note in a submission that it is to be canceled in");
}

static int sqlite_end_cancel(Store *store, int64_t n)
{
        Query q = outbox_query(sqlite_of(store), OW_END_CANCEL);

        query_int(&q, n);
        return query_run(&q, "Could not tidy up after a submission in");
}

/* All of a state. */

static int sqlite_flush_submissions(Store *store, SubmissionState state, int64_t now, uint64_t *ret_n)
{
        SqliteStore *s = sqlite_of(store);
        Query q = outbox_query(s, OW_FLUSH);
        int r;

        query_int(&q, now);
        query_int(&q, state);
        r = query_run(&q, "Could not flush the queue in");
        if (r >= 0)
                *ret_n = (uint64_t)sqlite3_changes64(s->connection.db);
        return r;
}

static int sqlite_recover_submissions(
                Store *store, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n)
{
        static const char failed[] = "Could not take up the submissions of";
        SqliteStore *s = sqlite_of(store);
        Query q = outbox_query(s, OW_RECOVER), unknown = outbox_query(s, OW_RECOVER_UNKNOWN);
        int64_t n;
        int r;

        query_int(&q, now);
        query_int(&q, ended_at);
        query_int(&q, grace);
        r = query_run(&q, failed);
        if (r < 0)
                return r;
        n = sqlite3_changes64(s->connection.db);

        query_int(&unknown, ended_at);
        query_int(&unknown, grace);
        r = query_run(&unknown, failed);
        if (r < 0)
                return r;

        s->submissions[SUBMISSION_SENDING] -= n;
        s->submissions[SUBMISSION_UNKNOWN] += n;
        *ret_n = (uint64_t)n;
        return 0;
}

static int sqlite_doubt_submissions(Store *store, const StoreDoubt *doubt, uint64_t *ret_n)
{
        static const OutboxWriterStatement steps[] = { OW_DOUBT_ENDED, OW_DOUBT_UNKNOWN, OW_DOUBT_QUEUED };
        static const char failed[] = "Could not doubt the submissions of";
        SqliteStore *s = sqlite_of(store);
        Query attachments = outbox_query(s, OW_DOUBT_ATTACHMENTS);
        int64_t n = 0;
        int r;

        r = query_run(&attachments, failed);
        FOREACH_ARRAY(step, steps, ELEMENTSOF(steps)) {
                Query q = outbox_query(s, *step);

                if (r < 0)
                        return r;
                query_int(&q, doubt->now);
                query_int(&q, doubt->at);
                query_int(&q, doubt->ended_at);
                query_int(&q, doubt->grace);
                query_int(&q, doubt->is_test);
                r = query_run(&q, failed);
                n = sqlite3_changes64(s->connection.db); /* of the last step: what was queued */
        }
        if (r < 0)
                return r;
        s->submissions[SUBMISSION_QUEUED] -= n;
        s->submissions[SUBMISSION_UNKNOWN] += n;
        *ret_n = (uint64_t)n;
        return 0;
}

/*
 * URLs of attachments. The API says which URLs it could not fetch, but not for which task; so the open
 * submissions are asked for the oldest that has all of them. Only while a submission is open are its rows in
 * the index that is looked at, so what was done long ago is never walked past. The walk has a limit all the
 * same: many may share one URL and differ in another.
 */

#define CANDIDATES_MAX 1000U

static int sqlite_open_attachments(Store *store, int64_t submission, bool open)
{
        Query q = outbox_query(sqlite_of(store), OW_OPEN_ATTACHMENTS);

        query_int(&q, submission);
        query_int(&q, open);
        return query_run(&q, "Could not change the URLs of attachments in");
}

static int sqlite_drop_attachments(Store *store, int64_t submission)
{
        Query q = outbox_query(sqlite_of(store), OW_DROP_ATTACHMENTS);

        query_int(&q, submission);
        return query_run(&q, "Could not forget the URLs of attachments in");
}

/* 1: the submission has them all. */
static int has_all(SqliteStore *s, int64_t submission, const char *const *urls, size_t n)
{
        FOREACH_ARRAY(url, urls, n) {
                _cleanup_query_ Query q = outbox_query(s, OW_HAS_ATTACHMENT);
                int r;

                query_int(&q, submission);
                query_int(&q, store_fingerprint(*url, strlen(*url)));
                query_text(&q, *url);
                r = query_step(&q, "Could not look for an attachment in");
                if (r <= 0)
                        return r;
        }
        return 1;
}

static int sqlite_find_attachments(Store *store, const char *const *urls, size_t n, SubmissionRow *ret)
{
        SqliteStore *s = sqlite_of(store);
        _cleanup_query_ Query q = outbox_query(s, OW_FIND_ATTACHMENT);
        int r;

        query_int(&q, store_fingerprint(urls[0], strlen(urls[0])));
        query_text(&q, urls[0]);
        query_int(&q, CANDIDATES_MAX);
        while ((r = query_step(&q, "Could not look for an attachment in")) > 0) {
                int64_t submission = query_column(&q, 0);

                r = has_all(s, submission, urls + 1, n - 1);
                if (r < 0)
                        return r;
                if (r > 0)
                        return sqlite_get_submission(store, submission, ret);
        }
        return r;
}

/* What the API said of a task. */

static int sqlite_keep_snapshot(Store *store, int64_t submission, const void *body, size_t size)
{
        Query q = outbox_query(sqlite_of(store), OW_ADD_ACCOUNT);

        query_int(&q, submission);
        query_blob(&q, body, size);
        return query_run(&q, "Could not keep what is known of a task in");
}

static int sqlite_drop_snapshot(Store *store, int64_t submission)
{
        Query q = outbox_query(sqlite_of(store), OW_DROP_ACCOUNT);

        query_int(&q, submission);
        return query_run(&q, "Could not forget what was said of a task in");
}

/* The queue as a whole. */

static int sqlite_get_queue(Store *store, QueueHold *ret, int64_t *ret_since)
{
        _cleanup_query_ Query q = outbox_query(sqlite_of(store), OW_GET_QUEUE);
        int r;

        r = query_step(&q, "Could not read the state of the queue in");
        if (r > 0) {
                *ret = (QueueHold)query_column(&q, 0);
                *ret_since = query_column(&q, 1);
        }
        return r;
}

static int sqlite_set_queue(Store *store, QueueHold hold, const char *reason, int64_t since)
{
        Query q = outbox_query(sqlite_of(store), OW_SET_QUEUE);

        query_int(&q, hold);
        query_text(&q, reason);
        query_int(&q, since);
        return query_run(&q, "Could not change the state of the queue in");
}

static int sqlite_count_live(Store *store, int64_t day, int by)
{
        Query q = outbox_query(sqlite_of(store), by > 0 ? OW_COUNT_LIVE : OW_UNCOUNT_LIVE);

        query_int(&q, day);
        query_int(&q, by);
        return query_run(&q, "Could not count a live task in");
}

const StoreOutboxRows sqlite_outbox_rows = {
        .find_submission = sqlite_find_submission,
        .get_submission = sqlite_get_submission,
        .find_key = sqlite_find_key,
        .add_submission = sqlite_add_submission,
        .move_submission = sqlite_move_submission,
        .accept_submission = sqlite_accept_submission,
        .set_failure = sqlite_set_failure,
        .set_cancel = sqlite_set_cancel,
        .end_cancel = sqlite_end_cancel,
        .flush_submissions = sqlite_flush_submissions,
        .recover_submissions = sqlite_recover_submissions,
        .doubt_submissions = sqlite_doubt_submissions,
        .open_attachments = sqlite_open_attachments,
        .drop_attachments = sqlite_drop_attachments,
        .find_attachments = sqlite_find_attachments,
        .keep_snapshot = sqlite_keep_snapshot,
        .drop_snapshot = sqlite_drop_snapshot,
        .get_queue = sqlite_get_queue,
        .set_queue = sqlite_set_queue,
        .count_live = sqlite_count_live,
};
