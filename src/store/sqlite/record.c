/*
 * What follows from a delivery. This is the one place that decides whether a response is new, known or
 * another one; it compares digests and bytes and never looks into a body.
 *
 * The rules:
 * - The log gets a row for every delivery, except for one that came before byte for byte: that is counted.
 * - A response that its task doesn't have becomes a revision, numbered in the order of arrival. The current
 * one is the one that was completed last, whenever it arrived; at a tie the later arrival. Nothing is
 * overwritten.
 * - The document follows the current response, and a response's absence: only a first response, a newer one,
 * or a failed attachment of a task that has no response yet may replace it.
 * - The status is what the API says at its newest time, whatever brings it: a callback, an answer to a
 * question, the answer to a cancel. The one time that the API gives is that of the completion, so a later
 * one is newer; and of what was completed at one time, or says none, what comes behind being done is newer:
 * a task that is done may be recalled (pending again), and either may be canceled. So a late callback of
 * before turns nothing back, in whatever order they come. The response stays, and where the change is no
 * response of its own, it is a duplicate that has an event. What an answer without a response ends is in
 * account.c.
 * - A failed attachment never touches a response, nor the state of a task that has one. Whose task it is may
 * have to be found; then all is said of it as of one that names its task. What it says is the task's
 * response until there is one.
 * - Every change that others may care for is one event, with a number without gaps.
 * - A delivery that proves that a submission has the task says so to the outbox: see account.c. What
 * an account of a task without response does is there, too.
 *
 * The ordinary delivery, the first response of a task, costs five statements: a look-up and four rows at the
 * ends of their tables.
 */

#include "store/sqlite/internal.h"

#define WEEK (7 * (int64_t)USEC_PER_DAY) /* the longest that an urgency allows */

/* Rows. */

static int add_event(Recording *x, EventKind kind, int status, int64_t revision)
{
        const StoreDelivery *d = x->delivery;
        StoreNews news = {
                .kind = kind,
                .time = d->received_at,
                .type = x->task.id != 0 ? x->task.type : x->type,
                .task = x->task.id,
                .status = status,
                .revision = revision,
                .delivery = x->n,
                .named = x->task.id == 0 ? d->task_id : NULL,
                /* Its task tells the one that it belongs to. */
                .submission = x->task.submission != 0 ? NULL
                              : x->submission.n != 0  ? x->submission.id
                                                      : d->ref,
        };

        if (news.type == 0)
                news.type = x->submission.type;
        return store_add_event(x->store, &news);
}

static int add_revision(Recording *x, int64_t completed_at)
{
        Query q = store_query(x->store, W_ADD_REVISION);

        query_int(&q, x->task.id);
        query_int(&q, x->task.revisions);
        query_int(&q, x->n);
        query_int(&q, completed_at);
        query_blob(&q, x->delivery->digest, CALLBACK_DIGEST_SIZE);
        return query_run(&q, "Could not add a revision to");
}

/* When it should be done: at once, where it is and only the response is missing. */
static int64_t choose_due(const Recording *x)
{
        const StoreDelivery *d = x->delivery;

        if (d->task_status == TASK_COMPLETED)
                return d->received_at;
        return d->due_at != TIME_NONE ? d->due_at : x->task.created_at + WEEK;
}

/* Writes the task with the number of the last event that is to come. */
static int save_task(Recording *x, unsigned events)
{
        if (events > 0)
                x->task.last_event = x->store->event + events;
        if (x->task.status == TASK_PENDING && x->task.due_at == TIME_NONE)
                x->task.due_at = choose_due(x);
        return store_save_task(x->store, x->before.id != 0 ? &x->before : NULL, &x->task, x->delivery);
}

int recording_tell(Recording *x, EventKind kind, int status, int64_t revision)
{
        const StoreDelivery *d = x->delivery;
        bool tells = (int)kind >= 0;
        int r = 0;

        assert(!x->accepts || x->task.id != 0);
        if (x->accepts && x->task.submission == 0)
                x->task.submission = x->submission.n;
        if (x->task.id != 0)
                r = save_task(x, x->accepts + tells);
        if (r >= 0 && x->accepts) {
                r = store_settle_submission(x->store, &x->submission, &x->task, x->answered, d->received_at);
                if (r >= 0)
                        r = add_event(x, EVENT_TASK_SUBMITTED, TASK_PENDING, 0);
        }
        if (r >= 0 && tells)
                r = add_event(x, kind, status, revision);
        return r;
}

/* 1: the task has this response. */
static int find_revision(Recording *x, int64_t *ret_number, int64_t *ret_n)
{
        _cleanup_query_ Query q = store_query(x->store, W_FIND_REVISION);
        int r;

        if (x->task.revisions == 0)
                return 0;
        query_int(&q, x->task.id);
        query_blob(&q, x->delivery->digest, CALLBACK_DIGEST_SIZE);
        r = query_step(&q, "Could not look for a response in");
        if (r > 0) {
                *ret_number = query_column(&q, 0);
                *ret_n = query_column(&q, 1);
        }
        return r;
}

/* Tasks. */

static int64_t came_at(const StoreDelivery *d)
{
        return d->came_at != 0 ? d->came_at : d->received_at;
}

/* A row for a task that was not known: its key is the next. */
void recording_invent_task(Recording *x)
{
        const StoreDelivery *d = x->delivery;

        x->task = (TaskRow){
                .id = x->store->task + 1,
                .type = x->type,
                .status = d->task_status,
                .is_test = d->is_test,
                .created_at = d->created_at != TIME_NONE ? d->created_at : came_at(d),
                .completed_at = TIME_NONE,
                .due_at = TIME_NONE,
        };
        x->store->task++;
}

void recording_take_document(Recording *x, int64_t n)
{
        const StoreDelivery *d = x->delivery;

        if (!d->has_document)
                return;
        x->task.document = n;
        x->task.described = true;
        x->task.is_test = d->is_test;
        if (x->type != 0)
                x->task.type = x->type;
        if (d->created_at != TIME_NONE)
                x->task.created_at = d->created_at;
}

/* The status. */

/* What can come behind what, of a task that has a response. */
static const struct {
        unsigned rank;
        EventKind kind; /* by which it is told */
} status_order[_TASK_STATUS_MAX] = {
        [TASK_COMPLETED] = { 0, EVENT_TASK_COMPLETED },
        [TASK_ERROR] = { 0, EVENT_TASK_COMPLETED }, /* with a response that says so */
        [TASK_PENDING] = { 1, EVENT_TASK_REVISED }, /* recalled */
        [TASK_CANCELED] = { 2, EVENT_TASK_CANCELED },
};

/* Whoever sends a response says that the task is done, even with a task from before; who was asked says how
 * it is. */
static int status_with_response(const StoreDelivery *d)
{
        if (d->task_status < 0 || (d->task_status == TASK_PENDING && !source_is_poll(d->source)))
                return TASK_COMPLETED;
        return (int)d->task_status;
}

static bool is_newer(const TaskRow *t, int status, int64_t completed_at)
{
        if (t->revisions == 0)
                return true;
        if (completed_at != TIME_NONE && completed_at != t->completed_at)
                return completed_at > t->completed_at;
        return status_order[status].rank >= status_order[t->status].rank;
}

/* Takes the status over where it is newer. True: that is to be told. */
static bool take_status(TaskRow *t, int status, int64_t completed_at)
{
        bool changed = t->revisions > 0 && status_order[status].rank != status_order[t->status].rank;

        if (!is_newer(t, status, completed_at))
                return false;
        t->status = status;
        return changed;
}

/* The current response said anew, as completed at a later time: that is the newest time then, of the task
 * and of its revision, and what was said of an earlier one turns nothing back. 1: so it is; 0; negative
 * errno. */
static int take_time(Recording *x, int64_t number)
{
        int64_t completed_at = x->delivery->completed_at;
        Query q;
        int r;

        if (number != x->task.revision || completed_at == TIME_NONE || completed_at <= x->task.completed_at)
                return 0;
        q = store_query(x->store, W_SET_REVISION_TIME);
        query_int(&q, x->task.id);
        query_int(&q, number);
        query_int(&q, completed_at);
        r = query_run(&q, "Could not write to");
        if (r < 0)
                return r;
        x->task.completed_at = completed_at;
        return 1;
}

/* Responses. */

/* 1: it came before, byte for byte, and is counted there. */
static int repeat_response(Recording *x, int64_t number, int64_t first, StoreOutcome *ret)
{
        int64_t n = first, revision = number;
        int r;

        r = recording_is_body_of(x, first);
        if (r > 0) {
                r = recording_count_repeat(x, first);
                r = r < 0 ? r : 1;
        } else if (r == 0)
                r = recording_find_repeat(x, VERDICT_DUPLICATE, &n, &revision);
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
        }
        return r;
}

/* Nobody is told: what was not known of the task is now, but nothing changed. Unless it proves that a
 * submission has the task, or its status is another by now. */
static int record_duplicate(Recording *x, int64_t number, int64_t first, StoreOutcome *ret)
{
        bool poll = source_is_poll(x->delivery->source);
        bool describes = x->task.document == 0 && x->delivery->has_document, changed = false, repeated;
        const int status = status_with_response(x->delivery);
        int r = 0;

        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .revision = (unsigned)number };
        if (!poll)
                r = repeat_response(x, number, first, ret);
        if (r < 0)
                return r;
        repeated = r > 0;
        if (repeated)
                describes = false;
        else {
                if (status_order[status].rank != status_order[x->task.status].rank)
                        changed = take_status(&x->task, status, x->delivery->completed_at);
                r = take_time(x, number);
                if (r < 0)
                        return r;
                describes |= r > 0;
        }
        if (!repeated && (!poll || describes || changed)) {
                r = recording_log(x, VERDICT_DUPLICATE, number, true);
                if (r < 0)
                        return r;
                ret->delivery = (uint64_t)x->n;
        }

        if (describes || changed)
                recording_take_document(x, x->n);
        if (changed)
                return recording_tell(x, status_order[status].kind, status, number);
        return describes || x->accepts ? recording_tell(x, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0) : 0;
}

static int record_revision(Recording *x, StoreOutcome *ret)
{
        const StoreDelivery *d = x->delivery;
        int64_t completed_at = d->completed_at != TIME_NONE ? d->completed_at : came_at(d);
        int64_t n = x->store->delivery + 1;
        bool first = x->task.revisions == 0, changed;
        Verdict verdict = first ? VERDICT_STORED : VERDICT_REVISED;
        EventKind kind;
        int r;

        if (x->task.id == 0)
                recording_invent_task(x);
        changed = take_status(&x->task, status_with_response(d), completed_at);
        x->task.revisions++;
        if (first || completed_at >= x->task.completed_at) {
                x->task.revision = x->task.revisions;
                x->task.response = n;
                x->task.completed_at = completed_at;
                recording_take_document(x, n);
        } else if (x->task.document == 0)
                recording_take_document(x, n);

        kind = !first                            ? EVENT_TASK_REVISED
               : x->task.status == TASK_CANCELED ? EVENT_TASK_CANCELED
                                                 : EVENT_TASK_COMPLETED;

        r = recording_log(x, verdict, x->task.revisions, false);
        if (r >= 0)
                r = add_revision(x, completed_at);
        if (r >= 0)
                r = recording_tell(x, kind, x->task.status, x->task.revisions);
        if (r >= 0 && changed) {
                x->before = x->task;
                x->accepts = false; /* that is done */
                r = recording_tell(x, status_order[x->task.status].kind, x->task.status, x->task.revisions);
        }
        if (r < 0)
                return r;

        *ret = (StoreOutcome){
                .verdict = verdict,
                .delivery = (uint64_t)n,
                .revision = (unsigned)x->task.revisions,
        };
        return 0;
}

static int record_response(Recording *x, StoreOutcome *ret)
{
        int64_t number, n;
        int r;

        assert(x->delivery->task_id);
        r = find_revision(x, &number, &n);
        if (r < 0)
                return r;
        return r > 0 ? record_duplicate(x, number, n, ret) : record_revision(x, ret);
}

/* Attachments. */

/* Whose attachment failed, where the body names no task: by the reference, else by the URLs. From here on it
 * is no other delivery than one that names its task. */
static int find_failed(Recording *x, bool *ret_by_url)
{
        const StoreDelivery *d = x->delivery;
        int r = 0;

        *ret_by_url = false;
        if (x->submission.n == 0 && d->ref)
                r = store_find_task_of_ref(x->store, d->ref, &x->task);
        if (r == 0 && x->submission.n == 0 && x->task.id == 0) {
                r = store_find_attachments(x->store, d->attachments, d->n_attachments, &x->submission);
                *ret_by_url = r > 0;
        }
        if (r >= 0 && x->submission.task != 0)
                r = store_find_task_of_number(x->store, x->submission.task, &x->task);
        x->before = x->task;
        if (x->type == 0)
                x->type = x->task.id != 0 ? x->task.type : x->submission.type;
        return r;
}

/* What it changes. A task that has come to its end, with a response or without, stays as it is. */
static void change_failed(Recording *x, int64_t n)
{
        if (x->task.id == 0)
                return;
        if (x->task.revisions == 0 && x->task.status != TASK_CANCELED) {
                x->task.status = TASK_ERROR;
                x->task.response = n;
        }
        if (x->task.revisions == 0 || x->task.document == 0)
                recording_take_document(x, n);
}

/* 1: the same was said before, of the same task. */
static int repeat_failure(Recording *x, bool by_url, StoreOutcome *ret)
{
        int64_t n, revision;
        int r;

        /* The same words about another submission are another failure. */
        r = by_url ? 0 : recording_find_repeat(x, VERDICT_ATTACHMENT_FAILURE, &n, &revision);
        if (r <= 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .delivery = (uint64_t)n, .repeated = true };
        if (x->accepts && x->task.id != 0)
                r = recording_tell(x, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0);
        return r < 0 ? r : 1;
}

static int add_failure(Recording *x, StoreOutcome *ret)
{
        int r;

        if (x->task.id == 0 && x->delivery->task_id)
                recording_invent_task(x);
        change_failed(x, x->store->delivery + 1);

        r = recording_log(x, VERDICT_ATTACHMENT_FAILURE, 0, true);
        if (r >= 0 && x->task.id == 0 && x->submission.n != 0)
                r = store_fail_submission(x->store, &x->submission, x->n);
        if (r >= 0)
                r = recording_tell(x, EVENT_ATTACHMENT_FAILED,
                                x->task.id != 0 ? x->task.status : _TASK_STATUS_INVALID, 0);
        if (r < 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_ATTACHMENT_FAILURE, .delivery = (uint64_t)x->n };
        return 0;
}

static int record_attachment_failure(Recording *x, StoreOutcome *ret)
{
        bool by_url = false;
        int r = 0;

        if (!x->delivery->task_id)
                r = find_failed(x, &by_url);
        if (r >= 0)
                r = repeat_failure(x, by_url, ret);
        if (r == 0)
                r = add_failure(x, ret);
        return r < 0 || x->delivery->task_id ? MIN(r, 0) : recording_name_task(x, ret);
}

/* The quarantine. */

static int quarantine(Store *s)
{
        Query q = store_query(s, W_QUARANTINE);

        query_int(&q, s->delivery);
        return query_run(&q, "Could not quarantine a delivery in");
}

static int record_invalid(Recording *x, StoreOutcome *ret)
{
        int64_t n, revision;
        int r;

        *ret = (StoreOutcome){ .verdict = VERDICT_INVALID };
        r = recording_find_repeat(x, VERDICT_INVALID, &n, &revision);
        if (r < 0)
                return r;
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
                return 0;
        }

        r = recording_log(x, VERDICT_INVALID, 0, true);
        if (r >= 0)
                r = quarantine(x->store);
        if (r >= 0)
                r = recording_tell(x, EVENT_DELIVERY_INVALID, _TASK_STATUS_INVALID, 0);
        ret->delivery = (uint64_t)x->n;
        return r;
}

/* The verb. */

int store_record_delivery(Store *s, const StoreDelivery *d, StoreOutcome *ret)
{
        Recording x = { .store = s, .delivery = d };
        StoreOutcome outcome;
        int r;

        assert(s->in_group);
        assert(d->retry_of == 0 || d->proposed != VERDICT_INVALID); /* a retry that fails leaves nothing */
        assert(!d->account || d->proposed == VERDICT_STORED);

        r = store_type_id(s, d->type, &x.type);
        if (r >= 0 && d->task_id)
                r = store_find_task(s, d->task_id, &x.task);
        if (r < 0)
                return r;
        x.before = x.task;
        if (d->proposed != VERDICT_INVALID) { /* which proves nothing */
                r = recording_find_submission(&x);
                if (r < 0)
                        return r;
        }

        if (d->proposed == VERDICT_INVALID)
                r = record_invalid(&x, &outcome);
        else if (d->proposed == VERDICT_ATTACHMENT_FAILURE)
                r = record_attachment_failure(&x, &outcome);
        else if (d->account)
                r = recording_add_account(&x, &outcome);
        else
                r = record_response(&x, &outcome);
        if (r >= 0 && d->retry_of != 0)
                r = store_settle(s, d->retry_of, outcome.delivery);
        if (r < 0)
                return r;
        outcome.second_task = x.second_task;
        *ret = outcome;
        return 0;
}
