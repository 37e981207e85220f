/*
 * The outbox's writing verbs: each is one step of one submission, or of all of a state, within the caller's
 * group. The caller says from which states a step may be taken; a submission that has moved on meanwhile
 * stays as it is. `accepted` is final: it is only reached with a task, and never left.
 *
 * Counters by state are kept like those of tasks: gathered in memory, written before the group commits.
 */

#include "store/sqlite/writer.h"

#include <limits.h>
#include <stdio.h>

#include "task/problem.h"

/* Adding. */

/* 1: another submission has this key. */
static int find_key(Store *s, const StoreSubmission *n, StoreAddition *ret,
                char ret_id[static SUBMISSION_ID_SIZE])
{
        _cleanup_query_ Query q = outbox_query(s, OW_FIND_KEY);
        const void *digest;
        size_t size;
        int r;

        if (!n->idempotency_key)
                return 0;
        query_text(&q, n->idempotency_key);
        r = query_step(&q, "Could not look up an idempotency key in");
        if (r <= 0)
                return r;

        snprintf(ret_id, SUBMISSION_ID_SIZE, "%s", query_column_text(&q, 0));
        digest = query_column_blob(&q, 1, &size);
        *ret = size == CALLBACK_DIGEST_SIZE && memcmp(digest, n->digest, size) == 0 ? STORE_KNOWN
                                                                                    : STORE_CONFLICT;
        return 1;
}

static int add_row(Store *s, const StoreSubmission *n, int64_t type)
{
        Query q = outbox_query(s, OW_ADD);

        query_text(&q, n->id);
        query_int(&q, type);
        query_int(&q, n->created_at);
        query_int(&q, n->expires_at);
        query_time(&q, n->next_at);
        query_text(&q, n->idempotency_key);
        query_blob(&q, n->digest, CALLBACK_DIGEST_SIZE);
        query_text(&q, n->problems);
        return query_run(&q, "Could not add a submission to");
}

static int add_parameters(Store *s, int64_t submission, const void *body, size_t size)
{
        Query q = outbox_query(s, OW_ADD_PARAMETERS);

        query_int(&q, submission);
        query_blob(&q, body, size);
        return query_run(&q, "Could not keep the parameters of a submission in");
}

int store_add_submission(Store *s, const StoreSubmission *n, StoreAddition *ret,
                char ret_id[static SUBMISSION_ID_SIZE])
{
        int64_t type, submission;
        int r;

        assert(s->in_group);
        assert(strlen(n->id) < SUBMISSION_ID_SIZE);

        r = find_key(s, n, ret, ret_id);
        if (r != 0)
                return MIN(r, 0);

        r = store_type_id(s, n->type, &type);
        if (r >= 0)
                r = add_row(s, n, type);
        if (r < 0)
                return r;
        submission = sqlite3_last_insert_rowid(s->connection.db);
        r = add_parameters(s, submission, n->params, n->params_size);
        if (r >= 0)
                r = store_add_attachments(s, submission, n->attachments, n->n_attachments);
        if (r < 0)
                return r;

        s->submissions[SUBMISSION_QUEUED]++;
        snprintf(ret_id, SUBMISSION_ID_SIZE, "%s", n->id);
        *ret = STORE_ADDED;
        return 0;
}

/* Moving. */

/* 0, STORE_MOVED_ON, STORE_UNKNOWN, negative errno. */
static int find_in(Store *s, const char *id, unsigned states, SubmissionRow *ret)
{
        int r;

        assert(s->in_group);
        r = store_find_submission(s, id, ret);
        if (r <= 0)
                return r < 0 ? r : STORE_UNKNOWN;
        return SUBMISSION_IN(ret->state) & states ? 0 : STORE_MOVED_ON;
}

static int write_move(Store *s, const SubmissionRow *row, const StoreMove *m)
{
        bool waits = m->to == SUBMISSION_QUEUED || m->to == SUBMISSION_UNKNOWN;
        Query q = outbox_query(s, OW_MOVE);

        query_int(&q, row->n);
        query_int(&q, m->to);
        query_int(&q, m->now);
        query_time(&q, waits ? m->next_at : TIME_NONE);
        query_time(&q, m->sent_at);
        query_time(&q, m->floor_at);
        query_time(&q, m->ended_at);
        query_time(&q, m->grace);
        query_int(&q, m->is_test);
        query_int(&q, m->attempt);
        query_int(&q, m->status);
        query_text(&q, m->error);
        query_text(&q, m->answer);
        query_int(&q, m->expires_at != TIME_NONE ? m->expires_at : row->expires_at);
        return query_run(&q, "Could not move a submission in");
}

/* There is, or may be, a task whose attachments could fail. */
static bool is_open(const SubmissionRow *row, const StoreMove *m)
{
        bool failed = row->failure != 0 && m->sent_at != TIME_NONE;

        return (m->to == SUBMISSION_SENDING || m->to == SUBMISSION_UNKNOWN) && !failed;
}

static int tell_end(Store *s, const SubmissionRow *row, const StoreMove *m)
{
        StoreNews news = {
                .kind = m->to == SUBMISSION_REJECTED ? EVENT_SUBMISSION_REJECTED : EVENT_SUBMISSION_EXPIRED,
                .time = m->now,
                .type = row->type,
                .status = _TASK_STATUS_INVALID,
                .submission = row->id,
        };

        if (m->to != SUBMISSION_REJECTED && m->to != SUBMISSION_EXPIRED)
                return 0;
        return store_add_event(s, &news);
}

int store_move_submission(Store *s, const char *id, const StoreMove *m)
{
        SubmissionRow row;
        int r;

        assert(m->to != SUBMISSION_ACCEPTED);
        assert(!(m->from & SUBMISSION_IN(SUBMISSION_ACCEPTED)));

        r = find_in(s, id, m->from, &row);
        if (r != 0)
                return r;

        r = write_move(s, &row, m);
        if (r >= 0)
                r = store_open_attachments(s, row.n, is_open(&row, m));
        if (r >= 0)
                r = tell_end(s, &row, m);
        if (r < 0)
                return r;
        s->submissions[row.state]--;
        s->submissions[m->to]++;
        return 0;
}

/* Canceling. */

static int set_cancel(Store *s, int64_t submission, bool wanted, int64_t now)
{
        Query q = outbox_query(s, OW_SET_CANCEL);

        query_int(&q, submission);
        query_int(&q, wanted);
        query_int(&q, now);
        return query_run(&q, "Could not note in a submission that it is to be canceled in");
}

int store_want_cancel(Store *s, const char *id, unsigned from, int64_t now)
{
        SubmissionRow row;
        TaskRow task = { 0 };
        int r;

        r = find_in(s, id, from, &row);
        if (r == 0 && row.task != 0) {
                r = store_find_task_of_number(s, row.task, &task);
                if (r < 0)
                        return r;
                r = task.status == TASK_PENDING ? 0 : STORE_MOVED_ON;
        }
        return r != 0 ? r : set_cancel(s, row.n, true, now);
}

int store_forget_cancel(Store *s, const char *id, int64_t now)
{
        SubmissionRow row;
        int r;

        r = find_in(s, id, UINT_MAX, &row);
        return r != 0 ? r : set_cancel(s, row.n, false, now);
}

/* All of a state. */

int store_flush_submissions(Store *s, int64_t now, uint64_t *ret_n)
{
        static const SubmissionState states[] = { SUBMISSION_QUEUED, SUBMISSION_UNKNOWN };
        uint64_t n = 0;
        int r;

        assert(s->in_group);
        FOREACH_ARRAY(state, states, ELEMENTSOF(states)) {
                Query q = outbox_query(s, OW_FLUSH);

                query_int(&q, now);
                query_int(&q, *state);
                r = query_run(&q, "Could not flush the queue in");
                if (r < 0)
                        return r;
                n += (uint64_t)sqlite3_changes64(s->connection.db);
        }
        *ret_n = n;
        return 0;
}

int store_recover_submissions(Store *s, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n)
{
        Query q = outbox_query(s, OW_RECOVER), unknown = outbox_query(s, OW_RECOVER_UNKNOWN);
        static const char failed[] = "Could not take up the submissions of";
        int64_t n;
        int r;

        assert(s->in_group);
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

int store_doubt_submissions(Store *s, const StoreDoubt *d, uint64_t *ret_n)
{
        static const OutboxWriterStatement steps[] = { OW_DOUBT_ENDED, OW_DOUBT_UNKNOWN, OW_DOUBT_QUEUED };
        static const char failed[] = "Could not doubt the submissions of";
        Query attachments = outbox_query(s, OW_DOUBT_ATTACHMENTS);
        int64_t n = 0;
        int r;

        assert(s->in_group);
        r = query_run(&attachments, failed);
        FOREACH_ARRAY(step, steps, ELEMENTSOF(steps)) {
                Query q = outbox_query(s, *step);

                if (r < 0)
                        return r;
                query_int(&q, d->now);
                query_int(&q, d->at);
                query_int(&q, d->ended_at);
                query_int(&q, d->grace);
                query_int(&q, d->is_test);
                r = query_run(&q, failed);
                n = sqlite3_changes64(s->connection.db); /* of the last step: what was queued */
        }
        /* Whoever turns out to have no task takes this back. */
        if (r >= 0 && n > 0 && !d->is_test)
                r = store_count_live(s, d->at / (int64_t)USEC_PER_DAY, (int)n);
        if (r < 0)
                return r;
        s->submissions[SUBMISSION_QUEUED] -= n;
        s->submissions[SUBMISSION_UNKNOWN] += n;
        *ret_n = (uint64_t)n;
        return 0;
}

/* The queue as a whole. */

static int get_queue(Store *s, QueueHold *ret, int64_t *ret_since)
{
        _cleanup_query_ Query q = outbox_query(s, OW_GET_QUEUE);
        int r;

        r = query_step(&q, "Could not read the state of the queue in");
        if (r < 0)
                return r;
        *ret = r > 0 ? (QueueHold)query_column(&q, 0) : QUEUE_RUNNING;
        *ret_since = r > 0 ? query_column(&q, 1) : 0;
        return 0;
}

static int set_queue(Store *s, QueueHold hold, const char *reason, int64_t since)
{
        Query q = outbox_query(s, OW_SET_QUEUE);
        char text[QUEUE_REASON_MAX + 1];

        reason = reason ?: "";
        snprintf(text, sizeof(text), "%.*s", (int)problem_cut(reason, strlen(reason), QUEUE_REASON_MAX),
                        reason);
        query_int(&q, hold);
        query_text(&q, text);
        query_int(&q, since);
        return query_run(&q, "Could not change the state of the queue in");
}

int store_hold_queue(Store *s, QueueHold hold, const char *reason, int64_t now)
{
        StoreNews news = {
                .kind = hold == QUEUE_RUNNING ? EVENT_QUEUE_RESUMED : EVENT_QUEUE_HELD,
                .time = now,
                .status = _TASK_STATUS_INVALID,
        };
        QueueHold before;
        int64_t since;
        int r;

        assert(s->in_group);
        r = get_queue(s, &before, &since);
        if (r < 0 || (hold == QUEUE_HELD_ACCOUNT && before == QUEUE_HELD))
                return r;
        if (hold == before)
                return hold == QUEUE_RUNNING ? 0 : set_queue(s, hold, reason, since);

        r = set_queue(s, hold, reason, now);
        return r < 0 ? r : store_add_event(s, &news);
}

int store_lift_account_hold(Store *s, int64_t now)
{
        QueueHold hold;
        int64_t since;
        int r;

        assert(s->in_group);
        r = get_queue(s, &hold, &since);
        if (r < 0 || hold != QUEUE_HELD_ACCOUNT)
                return r;
        return store_hold_queue(s, QUEUE_RUNNING, NULL, now);
}

int store_count_live(Store *s, int64_t day, int by)
{
        Query q = outbox_query(s, by > 0 ? OW_COUNT_LIVE : OW_UNCOUNT_LIVE);

        assert(s->in_group);
        query_int(&q, day);
        query_int(&q, by);
        return query_run(&q, "Could not count a live task in");
}

/*
 * Rows.
 *
 * The writer's view of a submission: its row, as far as others have to know it, and the two steps that
 * deliveries make it take: it turns out to have a task, or one of its attachments failed.
 *
 * A submission that has a task never gets another one. Whether it may still be found by the URLs of its
 * attachments follows from here: while there is, or may be, a pending task of which no attachment failed.
 */

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

/*
 * Attachments.
 *
 * URLs of attachments. The API says which URLs it could not fetch, but not for which task; so the open
 * submissions are asked for the oldest that has all of them. Only while a submission is open are its rows in
 * the index that is looked at, so what was done long ago is never walked past. The walk has a limit all the
 * same: many may share one URL and differ in another.
 */

#define CANDIDATES_MAX 1000U

int store_add_attachments(Store *s, int64_t submission, const char *const *urls, size_t n)
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

int store_open_attachments(Store *s, int64_t submission, bool open)
{
        Query q = outbox_query(s, OW_OPEN_ATTACHMENTS);

        query_int(&q, submission);
        query_int(&q, open);
        return query_run(&q, "Could not change the URLs of attachments in");
}

int store_drop_attachments(Store *s, int64_t submission)
{
        Query q = outbox_query(s, OW_DROP_ATTACHMENTS);

        query_int(&q, submission);
        return query_run(&q, "Could not forget the URLs of attachments in");
}

/* 1: the submission has them all. */
static int has_all(Store *s, int64_t submission, const char *const *urls, size_t n)
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

int store_find_attachments(Store *s, const char *const *urls, size_t n, SubmissionRow *ret)
{
        _cleanup_query_ Query q = outbox_query(s, OW_FIND_ATTACHMENT);
        int r;

        if (n == 0 || n > SUBMISSION_ATTACHMENTS_MAX)
                return 0;

        query_int(&q, store_fingerprint(urls[0], strlen(urls[0])));
        query_text(&q, urls[0]);
        query_int(&q, CANDIDATES_MAX);
        while ((r = query_step(&q, "Could not look for an attachment in")) > 0) {
                int64_t submission = query_column(&q, 0);

                r = has_all(s, submission, urls + 1, n - 1);
                if (r < 0)
                        return r;
                if (r > 0)
                        return store_find_submission_of_number(s, submission, ret);
        }
        return r;
}
