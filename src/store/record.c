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
 * response of its own, it is a duplicate that has an event. What an answer without a response ends is said
 * below.
 * - A failed attachment never touches a response, nor the state of a task that has one. Whose task it is may
 * have to be found; then all is said of it as of one that names its task. What it says is the task's
 * response until there is one.
 * - Every change that others may care for is one event, with a number without gaps.
 * - Whoever brings a task may prove that a submission has it: by the reference in the callback's path, or by
 * the submission's id in the task's metadata. If the outbox doesn't know yet, it does from here on, in the
 * same transaction. A submission that has another task keeps it: two were made, which is said to the caller
 * and never repaired by guessing. Neither does a task change hands.
 * - A snapshot, which is a task as the API describes it without a response, makes a task that isn't known,
 * and ends one that is pending. One that was canceled ends any: the API says so when it is asked, and a task
 * that is done can be canceled. It never touches a response, nor otherwise the state of a task that has come
 * to its end; what it repeats leaves no trace.
 * - A delivery waits in the quarantine until somebody discards it, or until another try of it succeeds and
 * takes its place; either happens once. The log's row stays as it is: the decision stands beside it.
 *
 * Rows of the log on which no revision stands keep a fingerprint, by which a repetition is found; the bytes
 * themselves decide. Sources that ask again and again are told the same again and again: that isn't even
 * counted.
 *
 * The ordinary delivery, the first response of a task, costs five statements: a look-up and four rows at the
 * ends of their tables.
 */

#include "basic/parse.h"
#include "store/driver.h"

#define WEEK (7 * (int64_t)USEC_PER_DAY) /* the longest that an urgency allows */

typedef struct DeliveryTransaction {
        Store *store;
        const StoreDelivery *delivery;
        int64_t type;
        TaskRow task; /* id 0: none */
        TaskRow before;
        SubmissionRow submission; /* n 0: none */
        bool accepts;             /* the submission turns out to have this task */
        bool second_task;         /* it has another one */
        unsigned answered;        /* the status of the answer that said so; 0: none did */
        int64_t fingerprint;
        int64_t n; /* the number of its row, or of the one that it repeats; 0: it has none */
} DeliveryTransaction;

/* The log. */

/* Not against an adversary, who could only make us compare more: the bytes decide. Never 0. */
int64_t store_fingerprint(const void *body, size_t size)
{
        const unsigned char *p = body;
        uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ size, word;

        for (; size >= sizeof(word); p += sizeof(word), size -= sizeof(word)) {
                memcpy(&word, p, sizeof(word));
                h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
                h ^= h >> 29;
        }
        word = 0;
        memcpy(&word, p, size);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        return h == 0 ? 1 : (int64_t)h;
}

/* Gives it a row, with the next number. `aside`: no revision stands on it, so its fingerprint is kept. */
static int log_delivery(DeliveryTransaction *transaction, Verdict verdict, int64_t revision, bool aside)
{
        const StoreDelivery *delivery = transaction->delivery;
        Store *s = transaction->store;
        DeliveryRow row = {
                .n = s->delivery + 1,
                .delivery = delivery,
                .verdict = verdict,
                .type = transaction->type,
                .task = transaction->task.id,
                .revision = revision,
        };
        int r;

        if (aside && transaction->fingerprint == 0)
                transaction->fingerprint = store_fingerprint(delivery->body, delivery->body_size);
        if (aside)
                row.fingerprint = transaction->fingerprint;
        r = s->driver->rows->add_delivery(s, &row);
        if (r < 0)
                return r;
        transaction->n = ++s->delivery;
        return 0;
}

/* It came before as delivery n, and is counted there. */
static int count_repeat(DeliveryTransaction *transaction, int64_t n)
{
        Store *s = transaction->store;
        Verdict verdict;
        int r;

        transaction->n = n;
        if (source_is_poll(transaction->delivery->source))
                return 0;
        r = s->driver->rows->get_verdict(s, n, &verdict);
        if (r <= 0)
                return r < 0 ? r : -EUCLEAN; /* what refers to it was just read */
        return s->driver->rows->count_repeat(s, n, verdict, transaction->delivery->received_at);
}

/* 1: it came before, byte for byte and with this verdict, and is counted there. */
static int find_repeat(
                DeliveryTransaction *transaction, Verdict verdict, int64_t *ret_n, int64_t *ret_revision)
{
        const StoreDelivery *delivery = transaction->delivery;
        Store *s = transaction->store;
        int r;

        transaction->fingerprint = store_fingerprint(delivery->body, delivery->body_size);
        r = s->driver->rows->find_delivery(
                        s, transaction->fingerprint, verdict, delivery, ret_n, ret_revision);
        if (r <= 0)
                return r;
        r = count_repeat(transaction, *ret_n);
        return r < 0 ? r : 1;
}

/* Says in the outcome which task the delivery, or the one that it repeats, is about. */
static int name_task(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        Store *s = transaction->store;
        int r;

        r = s->driver->rows->get_names(
                        s, (int64_t)ret->delivery, transaction->task.id, transaction->type, ret);
        return MIN(r, 0);
}

/* 1: its body is that of delivery n. */
static int is_body_of(DeliveryTransaction *transaction, int64_t n)
{
        const StoreDelivery *delivery = transaction->delivery;
        Store *s = transaction->store;

        return s->driver->rows->is_body(s, n, delivery->body, delivery->body_size);
}

/* Events: a row for everything that others may care for. What it need not say is what its task says anyway:
 * the task's id, and the submission that it belongs to. */

int store_add_event(Store *s, const EventRow *event)
{
        int r;

        r = s->driver->rows->add_event(s, event);
        if (r >= 0)
                s->event++;
        return r;
}

static int add_event(DeliveryTransaction *transaction, EventKind kind, int status, int64_t revision)
{
        const StoreDelivery *delivery = transaction->delivery;
        EventRow event = {
                .kind = kind,
                .time = delivery->received_at,
                .type = transaction->task.id != 0 ? transaction->task.type : transaction->type,
                .task = transaction->task.id,
                .status = status,
                .revision = revision,
                .delivery = transaction->n,
                .named = transaction->task.id == 0 ? delivery->task_id : NULL,
                /* Its task tells the one that it belongs to. */
                .submission = transaction->task.submission != 0 ? NULL
                              : transaction->submission.n != 0  ? transaction->submission.id
                                                                : delivery->ref,
        };

        if (event.type == 0)
                event.type = transaction->submission.type;
        return store_add_event(transaction->store, &event);
}

/* Tasks. */

static int add_revision(DeliveryTransaction *transaction, int64_t completed_at)
{
        const TaskRow *task = &transaction->task;
        Store *s = transaction->store;

        return s->driver->rows->add_revision(s, task->id, task->revisions, transaction->n, completed_at,
                        transaction->delivery->digest);
}

/* When it should be done: at once, where it is and only the response is missing. */
static int64_t choose_due(const DeliveryTransaction *transaction)
{
        const StoreDelivery *delivery = transaction->delivery;

        if (delivery->task_status == TASK_COMPLETED)
                return delivery->received_at;
        return delivery->due_at != TIME_NONE ? delivery->due_at : transaction->task.created_at + WEEK;
}

/* What its submission has only as long as its task is pending. */
static int tidy_submission(Store *s, int64_t n)
{
        int r;

        r = s->driver->outbox->drop_attachments(s, n);
        return r < 0 ? r : s->driver->outbox->end_cancel(s, n);
}

/* The same where the task has come to its end, or has a document of its own, by now. */
static int tidy_after(Store *s, const TaskRow *before, const TaskRow *task)
{
        bool is_news = before->submission == 0;
        int r = 0;

        if (task->submission == 0)
                return 0;
        if (task->status != TASK_PENDING && (is_news || before->status == TASK_PENDING))
                r = tidy_submission(s, task->submission);
        if (r >= 0 && task->document != 0 && (is_news || before->document == 0))
                r = s->driver->outbox->drop_snapshot(s, task->submission);
        return r;
}

/* Writes the task with the number of the last event that is to come. */
static int save_task(DeliveryTransaction *transaction, unsigned events)
{
        const TaskRow *before = &transaction->before;
        TaskRow *task = &transaction->task;
        Store *s = transaction->store;
        int r;

        if (events > 0)
                task->last_event = s->event + events;
        if (task->status == TASK_PENDING && task->due_at == TIME_NONE)
                task->due_at = choose_due(transaction);
        r = s->driver->rows->save_task(s, before->id != 0 ? before : NULL, task, transaction->delivery);
        return r < 0 ? r : tidy_after(s, before, task);
}

/* The submission has this task. A task that another one had first stays with that one, whatever becomes of
 * it. */
static int settle_submission(DeliveryTransaction *transaction)
{
        const TaskRow *task = &transaction->task;
        SubmissionRow *row = &transaction->submission;
        Store *s = transaction->store;
        int r;

        r = s->driver->outbox->accept_submission(
                        s, row, task->id, transaction->answered, transaction->delivery->received_at);
        if (r < 0)
                return r;
        row->state = SUBMISSION_ACCEPTED;
        row->task = task->id;
        if (task->submission != row->n)
                return tidy_submission(s, row->n);
        /* What has come to its end was tidied up already: see tidy_after(). */
        return task->status == TASK_PENDING
                               ? s->driver->outbox->open_attachments(s, row->n, row->failure == 0)
                               : 0;
}

/* An attachment of it failed, and its task is not known yet. */
static int fail_submission(DeliveryTransaction *transaction)
{
        SubmissionRow *row = &transaction->submission;
        Store *s = transaction->store;
        int r;

        r = s->driver->outbox->set_failure(s, row->n, transaction->n);
        if (r < 0)
                return r;
        row->failure = transaction->n;
        return s->driver->outbox->open_attachments(s, row->n, false);
}

/* Writes the task back and tells of it: that its submission has it, where that is news, then `kind`, unless
 * that is negative. */
static int tell(DeliveryTransaction *transaction, EventKind kind, int status, int64_t revision)
{
        bool tells = (int)kind >= 0;
        int r = 0;

        assert(!transaction->accepts || transaction->task.id != 0);
        if (transaction->accepts && transaction->task.submission == 0)
                transaction->task.submission = transaction->submission.n;
        if (transaction->task.id != 0)
                r = save_task(transaction, transaction->accepts + tells);
        if (r >= 0 && transaction->accepts) {
                r = settle_submission(transaction);
                if (r >= 0)
                        r = add_event(transaction, EVENT_TASK_SUBMITTED, TASK_PENDING, 0);
        }
        if (r >= 0 && tells)
                r = add_event(transaction, kind, status, revision);
        return r;
}

static int64_t came_at(const StoreDelivery *delivery)
{
        return delivery->came_at != 0 ? delivery->came_at : delivery->received_at;
}

/* A row for a task that was not known: its key is the next. */
static void invent_task(DeliveryTransaction *transaction)
{
        const StoreDelivery *delivery = transaction->delivery;

        transaction->task = (TaskRow){
                .id = transaction->store->task + 1,
                .type = transaction->type,
                .status = delivery->task_status,
                .is_test = delivery->is_test,
                .created_at = delivery->created_at != TIME_NONE ? delivery->created_at : came_at(delivery),
                .completed_at = TIME_NONE,
                .due_at = TIME_NONE,
        };
        transaction->store->task++;
}

static void take_document(DeliveryTransaction *transaction, int64_t n)
{
        const StoreDelivery *delivery = transaction->delivery;

        if (!delivery->has_document)
                return;
        transaction->task.document = n;
        transaction->task.described = true;
        transaction->task.is_test = delivery->is_test;
        if (transaction->type != 0)
                transaction->task.type = transaction->type;
        if (delivery->created_at != TIME_NONE)
                transaction->task.created_at = delivery->created_at;
}

/* Submissions. */

/* 1: the submission that it names, 0: it names none that is known. */
static int find_named(DeliveryTransaction *transaction)
{
        const StoreDelivery *delivery = transaction->delivery;
        const char *names[] = { delivery->ref, delivery->submission };
        int r;

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                if (!*name)
                        continue;
                r = transaction->store->driver->outbox->find_submission(
                                transaction->store, *name, &transaction->submission);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Which submission the delivery says it is about, and whether that is news. */
static int find_submission(DeliveryTransaction *transaction)
{
        int r;

        r = find_named(transaction);
        if (r <= 0)
                return r;
        if (!transaction->delivery->task_id) /* a failed attachment: see find_failed() */
                return 1;

        if (transaction->submission.state == SUBMISSION_ACCEPTED)
                transaction->second_task = transaction->submission.task != transaction->task.id;
        else
                transaction->accepts = transaction->task.submission == 0;
        return 1;
}

/* Snapshots: tasks as the API describes them, without a response. */

/* What a snapshot's status is told as. Who is pending is told by having been submitted. */
static EventKind kind_of_snapshot(int status)
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
static int take_failure(DeliveryTransaction *transaction)
{
        Store *s = transaction->store;
        Verdict verdict;
        int r;

        if (!transaction->accepts || transaction->submission.failure == 0 ||
                        transaction->task.status != TASK_ERROR || transaction->task.response != 0)
                return 0;
        r = s->driver->rows->get_verdict(s, transaction->submission.failure, &verdict);
        if (r > 0)
                transaction->task.response = transaction->submission.failure;
        return MIN(r, 0);
}

/* The status to keep: without its response nothing is completed, and whose attachment failed won't be. */
static int status_of_snapshot(const DeliveryTransaction *transaction)
{
        int status = transaction->delivery->task_status;

        if (status != TASK_CANCELED && status != TASK_ERROR)
                status = transaction->accepts && transaction->submission.failure != 0 ? TASK_ERROR
                                                                                      : TASK_PENDING;
        return status;
}

/* What changes a task that is known. */
static bool snapshot_ends(const DeliveryTransaction *transaction, int status)
{
        if (transaction->task.status == TASK_PENDING)
                return status != TASK_PENDING;
        return status == TASK_CANCELED && transaction->task.status != TASK_CANCELED;
}

/* Makes or ends the task, with a row in the log that its document stands on. */
static int make_or_end(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        bool new = transaction->task.id == 0;
        EventKind kind;
        int r;

        if (new)
                invent_task(transaction);
        transaction->task.status = status_of_snapshot(transaction);
        r = take_failure(transaction);
        if (r < 0)
                return r;
        take_document(transaction, transaction->store->delivery + 1);
        kind = kind_of_snapshot(transaction->task.status);
        if (kind == EVENT_TASK_SUBMITTED && transaction->accepts)
                kind = _EVENT_KIND_ERRNO; /* that is told anyway */

        r = log_delivery(transaction, VERDICT_STORED, 0, true);
        if (r >= 0)
                r = tell(transaction, kind, transaction->task.status, 0);
        if (r < 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_STORED, .delivery = (uint64_t)transaction->n };
        return 0;
}

static int record_snapshot(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        int status = status_of_snapshot(transaction);

        assert(transaction->delivery->task_id);
        if (transaction->task.id == 0 || snapshot_ends(transaction, status))
                return make_or_end(transaction, ret);

        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE,
                .revision = (unsigned)transaction->task.revision };
        return transaction->accepts ? tell(transaction, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0) : 0;
}
/* The outbox's own way to learn of a task: the API's answer, or its list. What is said of the task there has
 * no row in the log: it is kept with the submission. */

/* The outbox's own way to learn of a task: the API's answer, or its list. What is said of the task there has
 * no row in the log: it is kept with the submission. */

static int keep_snapshot(DeliveryTransaction *transaction)
{
        const StoreDelivery *delivery = transaction->delivery;
        Store *s = transaction->store;

        if (!transaction->task.described)
                return 0;
        return s->driver->outbox->keep_snapshot(
                        s, transaction->submission.n, delivery->body, delivery->body_size);
}

static int accept_task(DeliveryTransaction *transaction)
{
        bool is_new = transaction->task.id == 0;
        EventKind kind = _EVENT_KIND_ERRNO;
        int status = status_of_snapshot(transaction), r;

        if (is_new)
                invent_task(transaction);
        if (is_new || snapshot_ends(transaction, status)) {
                transaction->task.status = status;
                kind = kind_of_snapshot(status);
        }
        if (transaction->task.document == 0 && transaction->task.submission == 0)
                take_document(transaction, 0);

        r = take_failure(transaction);
        if (r >= 0)
                r = keep_snapshot(transaction);
        if (r >= 0)
                r = tell(transaction, kind != EVENT_TASK_SUBMITTED ? kind : _EVENT_KIND_ERRNO, status, 0);
        return r;
}

int store_accept_submission(Store *s, const char *id, const StoreDelivery *snapshot)
{
        DeliveryTransaction transaction = { .store = s, .delivery = snapshot, .answered = snapshot->status };
        int r;

        assert(s->in_group);
        assert(snapshot->task_id);
        r = s->driver->outbox->find_submission(s, id, &transaction.submission);
        if (r <= 0)
                return r < 0 ? r : STORE_UNKNOWN;
        r = s->driver->rows->find_task(s, snapshot->task_id, &transaction.task);
        if (r < 0)
                return r;
        transaction.before = transaction.task;
        if (transaction.submission.state == SUBMISSION_ACCEPTED)
                return transaction.task.id == 0 || transaction.task.id != transaction.submission.task
                                       ? STORE_MOVED_ON
                                       : 0;

        if (snapshot->type)
                r = s->driver->rows->find_type(s, snapshot->type, &transaction.type);
        else
                transaction.type = transaction.submission.type;
        if (r < 0)
                return r;
        transaction.accepts = true;
        return accept_task(&transaction);
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
static int status_with_response(const StoreDelivery *delivery)
{
        if (delivery->task_status < 0 ||
                        (delivery->task_status == TASK_PENDING && !source_is_poll(delivery->source)))
                return TASK_COMPLETED;
        return (int)delivery->task_status;
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
static int take_time(DeliveryTransaction *transaction, int64_t number)
{
        int64_t completed_at = transaction->delivery->completed_at;
        Store *s = transaction->store;
        int r;

        if (number != transaction->task.revision || completed_at == TIME_NONE ||
                        completed_at <= transaction->task.completed_at)
                return 0;
        r = s->driver->rows->set_revision_time(s, transaction->task.id, number, completed_at);
        if (r < 0)
                return r;
        transaction->task.completed_at = completed_at;
        return 1;
}

/* Responses. */

/* 1: the task has this response. */
static int find_revision(DeliveryTransaction *transaction, int64_t *ret_number, int64_t *ret_n)
{
        Store *s = transaction->store;

        if (transaction->task.revisions == 0)
                return 0;
        return s->driver->rows->find_revision(
                        s, transaction->task.id, transaction->delivery->digest, ret_number, ret_n);
}

/* 1: it came before, byte for byte, and is counted there. */
static int repeat_response(
                DeliveryTransaction *transaction, int64_t number, int64_t first, StoreOutcome *ret)
{
        int64_t n = first, revision = number;
        int r;

        r = is_body_of(transaction, first);
        if (r > 0) {
                r = count_repeat(transaction, first);
                r = r < 0 ? r : 1;
        } else if (r == 0)
                r = find_repeat(transaction, VERDICT_DUPLICATE, &n, &revision);
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
        }
        return r;
}

/* Nobody is told: what was not known of the task is now, but nothing changed. Unless it proves that a
 * submission has the task, or its status is another by now. */
static int record_duplicate(
                DeliveryTransaction *transaction, int64_t number, int64_t first, StoreOutcome *ret)
{
        bool poll = source_is_poll(transaction->delivery->source);
        bool describes = transaction->task.document == 0 && transaction->delivery->has_document,
             changed = false, repeated;
        const int status = status_with_response(transaction->delivery);
        int r = 0;

        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .revision = (unsigned)number };
        if (!poll)
                r = repeat_response(transaction, number, first, ret);
        if (r < 0)
                return r;
        repeated = r > 0;
        if (repeated)
                describes = false;
        else {
                if (status_order[status].rank != status_order[transaction->task.status].rank)
                        changed = take_status(
                                        &transaction->task, status, transaction->delivery->completed_at);
                r = take_time(transaction, number);
                if (r < 0)
                        return r;
                describes |= r > 0;
        }
        if (!repeated && (!poll || describes || changed)) {
                r = log_delivery(transaction, VERDICT_DUPLICATE, number, true);
                if (r < 0)
                        return r;
                ret->delivery = (uint64_t)transaction->n;
        }

        if (describes || changed)
                take_document(transaction, transaction->n);
        if (changed)
                return tell(transaction, status_order[status].kind, status, number);
        return describes || transaction->accepts
                               ? tell(transaction, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0)
                               : 0;
}

static int record_revision(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        const StoreDelivery *delivery = transaction->delivery;
        int64_t completed_at =
                        delivery->completed_at != TIME_NONE ? delivery->completed_at : came_at(delivery);
        int64_t n = transaction->store->delivery + 1;
        bool first = transaction->task.revisions == 0, changed;
        Verdict verdict = first ? VERDICT_STORED : VERDICT_REVISED;
        EventKind kind;
        int r;

        if (transaction->task.id == 0)
                invent_task(transaction);
        changed = take_status(&transaction->task, status_with_response(delivery), completed_at);
        transaction->task.revisions++;
        if (first || completed_at >= transaction->task.completed_at) {
                transaction->task.revision = transaction->task.revisions;
                transaction->task.response = n;
                transaction->task.completed_at = completed_at;
                take_document(transaction, n);
        } else if (transaction->task.document == 0)
                take_document(transaction, n);

        kind = !first                                      ? EVENT_TASK_REVISED
               : transaction->task.status == TASK_CANCELED ? EVENT_TASK_CANCELED
                                                           : EVENT_TASK_COMPLETED;

        r = log_delivery(transaction, verdict, transaction->task.revisions, false);
        if (r >= 0)
                r = add_revision(transaction, completed_at);
        if (r >= 0)
                r = tell(transaction, kind, transaction->task.status, transaction->task.revisions);
        if (r >= 0 && changed) {
                transaction->before = transaction->task;
                transaction->accepts = false; /* that is done */
                r = tell(transaction, status_order[transaction->task.status].kind, transaction->task.status,
                                transaction->task.revisions);
        }
        if (r < 0)
                return r;

        *ret = (StoreOutcome){
                .verdict = verdict,
                .delivery = (uint64_t)n,
                .revision = (unsigned)transaction->task.revisions,
        };
        return 0;
}

static int record_response(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        int64_t number, n;
        int r;

        assert(transaction->delivery->task_id);
        r = find_revision(transaction, &number, &n);
        if (r < 0)
                return r;
        return r > 0 ? record_duplicate(transaction, number, n, ret) : record_revision(transaction, ret);
}

/* Attachments. */

/* Whose attachment failed, where the body names no task: by the reference, else by the URLs. From here on it
 * is no other delivery than one that names its task. */
static int find_failed(DeliveryTransaction *transaction, bool *ret_by_url)
{
        const StoreDelivery *delivery = transaction->delivery;
        Store *s = transaction->store;
        int r = 0;

        *ret_by_url = false;
        if (transaction->submission.n == 0 && delivery->ref)
                r = s->driver->rows->find_task_of_ref(s, delivery->ref, &transaction->task);
        if (r == 0 && transaction->submission.n == 0 && transaction->task.id == 0 &&
                        delivery->n_attachments > 0 &&
                        delivery->n_attachments <= SUBMISSION_ATTACHMENTS_MAX) {
                r = s->driver->outbox->find_attachments(
                                s, delivery->attachments, delivery->n_attachments, &transaction->submission);
                *ret_by_url = r > 0;
        }
        if (r >= 0 && transaction->submission.task != 0)
                r = s->driver->rows->get_task(s, transaction->submission.task, &transaction->task);
        transaction->before = transaction->task;
        if (transaction->type == 0)
                transaction->type = transaction->task.id != 0 ? transaction->task.type
                                                              : transaction->submission.type;
        return r;
}

/* What it changes. A task that has come to its end, with a response or without, stays as it is. */
static void change_failed(DeliveryTransaction *transaction, int64_t n)
{
        if (transaction->task.id == 0)
                return;
        if (transaction->task.revisions == 0 && transaction->task.status != TASK_CANCELED) {
                transaction->task.status = TASK_ERROR;
                transaction->task.response = n;
        }
        if (transaction->task.revisions == 0 || transaction->task.document == 0)
                take_document(transaction, n);
}

/* 1: the same was said before, of the same task. */
static int repeat_failure(DeliveryTransaction *transaction, bool by_url, StoreOutcome *ret)
{
        int64_t n, revision;
        int r;

        /* The same words about another submission are another failure. */
        r = by_url ? 0 : find_repeat(transaction, VERDICT_ATTACHMENT_FAILURE, &n, &revision);
        if (r <= 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_DUPLICATE, .delivery = (uint64_t)n, .repeated = true };
        if (transaction->accepts && transaction->task.id != 0)
                r = tell(transaction, _EVENT_KIND_ERRNO, _TASK_STATUS_INVALID, 0);
        return r < 0 ? r : 1;
}

static int add_failure(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        int r;

        if (transaction->task.id == 0 && transaction->delivery->task_id)
                invent_task(transaction);
        change_failed(transaction, transaction->store->delivery + 1);

        r = log_delivery(transaction, VERDICT_ATTACHMENT_FAILURE, 0, true);
        if (r >= 0 && transaction->task.id == 0 && transaction->submission.n != 0)
                r = fail_submission(transaction);
        if (r >= 0)
                r = tell(transaction, EVENT_ATTACHMENT_FAILED,
                                transaction->task.id != 0 ? transaction->task.status : _TASK_STATUS_INVALID,
                                0);
        if (r < 0)
                return r;
        *ret = (StoreOutcome){ .verdict = VERDICT_ATTACHMENT_FAILURE, .delivery = (uint64_t)transaction->n };
        return 0;
}

static int record_attachment_failure(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        bool by_url = false;
        int r = 0;

        if (!transaction->delivery->task_id)
                r = find_failed(transaction, &by_url);
        if (r >= 0)
                r = repeat_failure(transaction, by_url, ret);
        if (r == 0)
                r = add_failure(transaction, ret);
        return r < 0 || transaction->delivery->task_id ? MIN(r, 0) : name_task(transaction, ret);
}

/* The quarantine. */

static int record_invalid(DeliveryTransaction *transaction, StoreOutcome *ret)
{
        int64_t n, revision;
        int r;

        *ret = (StoreOutcome){ .verdict = VERDICT_INVALID };
        r = find_repeat(transaction, VERDICT_INVALID, &n, &revision);
        if (r < 0)
                return r;
        if (r > 0) {
                ret->delivery = (uint64_t)n;
                ret->repeated = true;
                return 0;
        }

        r = log_delivery(transaction, VERDICT_INVALID, 0, true);
        if (r >= 0)
                r = transaction->store->driver->rows->add_quarantined(transaction->store, transaction->n);
        if (r >= 0)
                r = tell(transaction, EVENT_DELIVERY_INVALID, _TASK_STATUS_INVALID, 0);
        ret->delivery = (uint64_t)transaction->n;
        return r;
}

/* Takes a delivery out, for good. `superseded_by` is 0 when it is given up. 0, -ENOENT, -EINVAL: see
 * store_discard_delivery(). */
static int settle(Store *s, uint64_t n, uint64_t superseded_by)
{
        bool discarded = false;
        int64_t repeats = 0;
        Verdict verdict;
        int r;

        r = s->driver->rows->get_quarantined(s, n, &discarded, &repeats);
        if (r > 0)
                return discarded ? -EINVAL : s->driver->rows->discard(s, n, superseded_by, repeats);
        if (r == 0)
                r = s->driver->rows->get_verdict(s, (int64_t)n, &verdict);
        return r < 0 ? r : r == 0 ? -ENOENT : -EINVAL;
}

int store_discard_delivery(Store *s, uint64_t n)
{
        assert(s->in_group);
        return settle(s, n, 0);
}

/* The verb. */

int store_record_delivery(Store *s, const StoreDelivery *delivery, StoreOutcome *ret)
{
        DeliveryTransaction transaction = { .store = s, .delivery = delivery };
        StoreOutcome outcome;
        int r = 0;

        assert(s->in_group);
        assert(delivery->retry_of == 0 ||
                        delivery->proposed != VERDICT_INVALID); /* a retry that fails leaves nothing */
        assert(!delivery->is_snapshot || delivery->proposed == VERDICT_STORED);

        if (delivery->type)
                r = s->driver->rows->find_type(s, delivery->type, &transaction.type);
        if (r >= 0 && delivery->task_id)
                r = s->driver->rows->find_task(s, delivery->task_id, &transaction.task);
        if (r < 0)
                return r;
        transaction.before = transaction.task;
        if (delivery->proposed != VERDICT_INVALID) { /* which proves nothing */
                r = find_submission(&transaction);
                if (r < 0)
                        return r;
        }

        if (delivery->proposed == VERDICT_INVALID)
                r = record_invalid(&transaction, &outcome);
        else if (delivery->proposed == VERDICT_ATTACHMENT_FAILURE)
                r = record_attachment_failure(&transaction, &outcome);
        else if (delivery->is_snapshot)
                r = record_snapshot(&transaction, &outcome);
        else
                r = record_response(&transaction, &outcome);
        if (r >= 0 && delivery->retry_of != 0)
                r = settle(s, delivery->retry_of, outcome.delivery);
        if (r < 0)
                return r;
        outcome.second_task = transaction.second_task;
        *ret = outcome;
        return 0;
}
