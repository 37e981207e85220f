/*
 * What ties tasks to submissions, and the tasks that the API describes without a response.
 *
 * Whoever brings a task may prove that a submission has it: by the reference in the callback's path, or by
 * the submission's id in the task's metadata. If the outbox doesn't know yet, it does from here on, in the
 * same transaction. A submission that has another task keeps it: two were made, which is said to the caller
 * and never repaired by guessing. Neither does a task change hands.
 *
 * An account makes a task that isn't known, and ends one that is pending. One that was canceled ends any:
 * the API says so when it is asked, and a task that is done can be canceled. It never touches a response,
 * nor otherwise the state of a task that has come to its end; what it repeats leaves no trace.
 */

#include "store/sqlite/internal.h"

/* 1: the submission that it names, 0: it names none that is known. */
static int find_named(Recording *x)
{
        const StoreDelivery *d = x->delivery;
        const char *names[] = { d->ref, d->submission };
        int r;

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                if (!*name)
                        continue;
                r = store_find_submission(x->store, *name, &x->submission);
                if (r != 0)
                        return r;
        }
        return 0;
}

int recording_find_submission(Recording *x)
{
        int r;

        r = find_named(x);
        if (r <= 0)
                return r;
        if (!x->delivery->task_id) /* a failed attachment: see record.c */
                return 1;

        if (x->submission.state == SUBMISSION_ACCEPTED)
                x->second_task = x->submission.task != x->task.id;
        else
                x->accepts = x->task.submission == 0;
        return 1;
}

/* Accounts. */

/* What an account's status is told as. Who is pending is told by having been submitted. */
static EventKind choose_kind(int status)
{
        static const EventKind kinds[_TASK_STATUS_MAX] = {
                [TASK_PENDING] = EVENT_TASK_SUBMITTED,
                [TASK_COMPLETED] = EVENT_TASK_SUBMITTED,
                [TASK_CANCELED] = EVENT_TASK_CANCELED,
                [TASK_ERROR] = EVENT_ATTACHMENT_FAILED,
        };

        return kinds[status];
}

/* What its submission was told before it had the task. The delivery may have been pruned by a program of
 * before. */
static int take_failure(Recording *x)
{
        _cleanup_query_ Query q = store_query(x->store, W_GET_VERDICT);
        int r;

        if (!x->accepts || x->submission.failure == 0 || x->task.status != TASK_ERROR ||
                        x->task.response != 0)
                return 0;
        query_int(&q, x->submission.failure);
        r = query_step(&q, "Could not look for a failed attachment in");
        if (r > 0)
                x->task.response = x->submission.failure;
        return MIN(r, 0);
}

/* The status to keep: without its response nothing is completed, and whose attachment failed won't be. */
static int choose_status(const Recording *x)
{
        int status = x->delivery->task_status;

        if (status != TASK_CANCELED && status != TASK_ERROR)
                status = x->accepts && x->submission.failure != 0 ? TASK_ERROR : TASK_PENDING;
        return status;
}

/* What changes a task that is known. */
static bool ends(const Recording *x, int status)
{
        if (x->task.status == TASK_PENDING)
                return status != TASK_PENDING;
        return status == TASK_CANCELED && x->task.status != TASK_CANCELED;
}

/* Makes or ends the task, with a row in the log that its document stands on. */
static int add(Recording *x, StoreOutcome *ret)
{
        bool new = x->task.id == 0;
        EventKind kind;
        int r;

        if (new)
                recording_invent_task(x);
        x->task.status = choose_status(x);
        r = take_failure(x);
        if (r < 0)
                return r;
        recording_take_document(x, x->store->delivery + 1);
        kind = choose_kind(x->task.status);
        if (kind == EVENT_TASK_SUBMITTED && x->accepts)
                kind = _EVENT_KIND_ERRNO; /* that is told anyway */

        r = recording_log(x, VERDICT_STORED, 0, true);
        if (r >= 0)
                r = recording_tell(x, kind, x->task.status, 0);
        if (r < 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_STORED, .delivery = (uint64_t)x->n };
        return 0;
}

int recording_add_account(Recording *x, StoreOutcome *ret)
{
        int status = choose_status(x);

        assert(x->delivery->task_id);
        if (x->task.id == 0 || ends(x, status))
                return add(x, ret);

        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .revision = (unsigned)x->task.revision };
        return x->accepts ? recording_tell(x, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0) : 0;
}
/* The outbox's own way to learn of a task: the API's answer, or its list. What is said of the task there has
 * no row in the log: it is kept with the submission. */

static int keep_account(Recording *x)
{
        Query q = outbox_query(x->store, OW_ADD_ACCOUNT);

        if (!x->task.described)
                return 0;
        query_int(&q, x->submission.n);
        query_blob(&q, x->delivery->body, x->delivery->body_size);
        return query_run(&q, "Could not keep what is known of a task in");
}

static int accept_task(Recording *x)
{
        bool is_new = x->task.id == 0;
        EventKind kind = _EVENT_KIND_ERRNO;
        int status = choose_status(x), r;

        if (is_new)
                recording_invent_task(x);
        if (is_new || ends(x, status)) {
                x->task.status = status;
                kind = choose_kind(status);
        }
        if (x->task.document == 0 && x->task.submission == 0)
                recording_take_document(x, 0);

        r = take_failure(x);
        if (r >= 0)
                r = keep_account(x);
        if (r >= 0)
                r = recording_tell(x, kind != EVENT_TASK_SUBMITTED ? kind : _EVENT_KIND_ERRNO, status, 0);
        return r;
}

int store_accept_submission(Store *s, const char *id, const StoreDelivery *account)
{
        Recording x = { .store = s, .delivery = account, .answered = account->status };
        int r;

        assert(s->in_group);
        assert(account->task_id);
        r = store_find_submission(s, id, &x.submission);
        if (r <= 0)
                return r < 0 ? r : STORE_UNKNOWN;
        r = store_find_task(s, account->task_id, &x.task);
        if (r < 0)
                return r;
        x.before = x.task;
        if (x.submission.state == SUBMISSION_ACCEPTED)
                return x.task.id == 0 || x.task.id != x.submission.task ? STORE_MOVED_ON : 0;

        if (account->type)
                r = store_type_id(s, account->type, &x.type);
        else
                x.type = x.submission.type;
        if (r < 0)
                return r;
        x.accepts = true;
        return accept_task(&x);
}
