/*
 * The outbox's writing verbs: each is one step of one submission, or of all of a state, within the caller's
 * group. The caller says from which states a step may be taken; a submission that has moved on meanwhile
 * stays as it is. `accepted` is final: it is only reached with a task, and never left. Whether a submission
 * may be found by the URLs of its attachments follows from here: while there is, or may be, a pending task
 * of which no attachment failed.
 */

#include <limits.h>
#include <stdio.h>

#include "basic/parse.h"
#include "store/driver.h"
#include "task/problem.h"

/* Adding. */

int store_add_submission(Store *s, const StoreSubmission *submission, StoreAddition *ret,
                char ret_id[static SUBMISSION_ID_SIZE])
{
        uint8_t digest[CALLBACK_DIGEST_SIZE];
        int64_t type = 0;
        int r = 0;

        assert(s->in_group);
        assert(strlen(submission->id) < SUBMISSION_ID_SIZE);

        if (submission->idempotency_key)
                r = s->driver->outbox->find_key(s, submission->idempotency_key, ret_id, digest);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret = memcmp(digest, submission->digest, sizeof(digest)) == 0 ? STORE_KNOWN
                                                                               : STORE_CONFLICT;
                return 0;
        }

        r = s->driver->rows->find_type(s, submission->type, &type);
        if (r >= 0)
                r = s->driver->outbox->add_submission(s, submission, type);
        if (r < 0)
                return r;
        snprintf(ret_id, SUBMISSION_ID_SIZE, "%s", submission->id);
        *ret = STORE_ADDED;
        return 0;
}

/* Moving. */

/* 0, STORE_MOVED_ON, STORE_UNKNOWN, negative errno. */
static int find_in(Store *s, const char *id, unsigned states, SubmissionRow *ret)
{
        int r;

        assert(s->in_group);
        r = s->driver->outbox->find_submission(s, id, ret);
        if (r <= 0)
                return r < 0 ? r : STORE_UNKNOWN;
        return SUBMISSION_IN(ret->state) & states ? 0 : STORE_MOVED_ON;
}

/* There is, or may be, a task whose attachments could fail. */
static bool is_open(const SubmissionRow *row, const StoreMove *move)
{
        bool failed = row->failure != 0 && move->sent_at != TIME_NONE;

        return (move->to == SUBMISSION_SENDING || move->to == SUBMISSION_UNKNOWN) && !failed;
}

static int tell_end(Store *s, const SubmissionRow *row, const StoreMove *move)
{
        EventRow event = {
                .kind = move->to == SUBMISSION_REJECTED ? EVENT_SUBMISSION_REJECTED
                                                        : EVENT_SUBMISSION_EXPIRED,
                .time = move->now,
                .type = row->type,
                .status = _TASK_STATUS_INVALID,
                .submission = row->id,
        };

        if (move->to != SUBMISSION_REJECTED && move->to != SUBMISSION_EXPIRED)
                return 0;
        return store_add_event(s, &event);
}

int store_move_submission(Store *s, const char *id, const StoreMove *move)
{
        SubmissionRow row;
        int r;

        assert(move->to != SUBMISSION_ACCEPTED);
        assert(!(move->from & SUBMISSION_IN(SUBMISSION_ACCEPTED)));

        r = find_in(s, id, move->from, &row);
        if (r != 0)
                return r;

        r = s->driver->outbox->move_submission(s, &row, move);
        if (r >= 0)
                r = s->driver->outbox->open_attachments(s, row.n, is_open(&row, move));
        return r < 0 ? r : tell_end(s, &row, move);
}

/* Canceling. */

int store_want_cancel(Store *s, const char *id, unsigned from, int64_t now)
{
        SubmissionRow row;
        TaskRow task = { 0 };
        int r;

        r = find_in(s, id, from, &row);
        if (r == 0 && row.task != 0) {
                r = s->driver->rows->get_task(s, row.task, &task);
                if (r < 0)
                        return r;
                r = task.status == TASK_PENDING ? 0 : STORE_MOVED_ON;
        }
        return r != 0 ? r : s->driver->outbox->set_cancel(s, row.n, true, now);
}

int store_forget_cancel(Store *s, const char *id, int64_t now)
{
        SubmissionRow row;
        int r;

        r = find_in(s, id, UINT_MAX, &row);
        return r != 0 ? r : s->driver->outbox->set_cancel(s, row.n, false, now);
}

/* All of a state. */

int store_flush_submissions(Store *s, int64_t now, uint64_t *ret_n)
{
        static const SubmissionState states[] = { SUBMISSION_QUEUED, SUBMISSION_UNKNOWN };
        uint64_t sum = 0, n;
        int r;

        assert(s->in_group);
        FOREACH_ARRAY(state, states, ELEMENTSOF(states)) {
                r = s->driver->outbox->flush_submissions(s, *state, now, &n);
                if (r < 0)
                        return r;
                sum += n;
        }
        *ret_n = sum;
        return 0;
}

int store_recover_submissions(Store *s, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n)
{
        assert(s->in_group);
        return s->driver->outbox->recover_submissions(s, now, ended_at, grace, ret_n);
}

int store_doubt_submissions(Store *s, const StoreDoubt *doubt, uint64_t *ret_n)
{
        uint64_t n;
        int r;

        assert(s->in_group);
        r = s->driver->outbox->doubt_submissions(s, doubt, &n);
        /* Whoever turns out to have no task takes this back. */
        if (r >= 0 && n > 0 && !doubt->is_test)
                r = s->driver->outbox->count_live(s, doubt->at / (int64_t)USEC_PER_DAY, (int)n);
        if (r >= 0)
                *ret_n = n;
        return r;
}

int store_take_copied(Store *s, int64_t *ret_at)
{
        assert(s->in_group);
        return s->driver->take_copied(s, ret_at);
}

/* The queue as a whole. */

static int set_queue(Store *s, QueueHold hold, const char *reason, int64_t since)
{
        char text[QUEUE_REASON_MAX + 1];

        reason = reason ?: "";
        snprintf(text, sizeof(text), "%.*s", (int)problem_cut(reason, strlen(reason), QUEUE_REASON_MAX),
                        reason);
        return s->driver->outbox->set_queue(s, hold, text, since);
}

int store_hold_queue(Store *s, QueueHold hold, const char *reason, int64_t now)
{
        EventRow event = {
                .kind = hold == QUEUE_RUNNING ? EVENT_QUEUE_RESUMED : EVENT_QUEUE_HELD,
                .time = now,
                .status = _TASK_STATUS_INVALID,
        };
        QueueHold before = QUEUE_RUNNING;
        int64_t since = 0;
        int r;

        assert(s->in_group);
        r = s->driver->outbox->get_queue(s, &before, &since);
        if (r < 0 || (hold == QUEUE_HELD_ACCOUNT && before == QUEUE_HELD))
                return MIN(r, 0);
        if (hold == before)
                return hold == QUEUE_RUNNING ? 0 : set_queue(s, hold, reason, since);

        r = set_queue(s, hold, reason, now);
        return r < 0 ? r : store_add_event(s, &event);
}

int store_lift_account_hold(Store *s, int64_t now)
{
        QueueHold hold = QUEUE_RUNNING;
        int64_t since;
        int r;

        assert(s->in_group);
        r = s->driver->outbox->get_queue(s, &hold, &since);
        if (r < 0 || hold != QUEUE_HELD_ACCOUNT)
                return MIN(r, 0);
        return store_hold_queue(s, QUEUE_RUNNING, NULL, now);
}

int store_count_live(Store *s, int64_t day, int by)
{
        assert(s->in_group);
        return s->driver->outbox->count_live(s, day, by);
}
