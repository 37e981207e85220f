/*
 * One question of a round: what became of this task? It is asked up to four times, a second and more apart,
 * where nothing usable comes back. If others were answered meanwhile it is this task that the API can't tell
 * about, and it is put aside, so that it can't keep the round from those behind it; else the API is taken to
 * be out of order, and the round ends. What is about the account ends it at once, since every question would
 * get the same.
 *
 * An answer is believed to be about a task only when it says so itself, and then goes through the door of
 * callbacks. A task that is still pending there leaves no trace here.
 */

#include "submitd/recover/reconcile-internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"
#include "submitd/api/answer.h"
#include "submitd/api/outcome.h"

#define ASK_MAX        4U
#define ASK_PAUSE      USEC_PER_SEC
#define ASK_PAUSE_MOST (8 * USEC_PER_SEC)
#define QUIET_IN_ROUND (60 * USEC_PER_SEC) /* 429 that wants longer ends the round */
#define STORE_PAUSE    (100 * USEC_PER_MSEC)
#define STORE_MAX      600U /* tries while the commit queue is full: a minute */
#define PATH_MAX_SIZE  (sizeof("/task/") + 3 * (size_t)CALLBACK_ID_MAX)

/* Ends. */

static void changed(const Question *q)
{
        if (q->r->options.on_change)
                q->r->options.on_change(q->r->options.userdata);
}

void question_done(Question *q)
{
        json_decref(q->task);
        *q = (Question){ .r = q->r };
}

static bool is_before(const Place *a, const Place *b)
{
        return a->due_at != b->due_at ? a->due_at < b->due_at : a->id < b->id;
}

void question_miss(Question *q)
{
        Reconcile *r = q->r;

        if (!r->has_missed || is_before(&q->pending.place, &r->missed))
                r->missed = q->pending.place;
        r->has_missed = true;
        question_done(q);
}

/* Nothing came of it, and the round ends for that reason. */
static void give_up(Question *q, const char *why)
{
        q->r->report.counts.failed++;
        reconcile_fail(q->r, "%s", why);
        question_miss(q);
}

static void put_aside(Question *q, const char *what)
{
        Reconcile *r = q->r;

        if (shelf_put(r->shelf, q->pending.place.id, reconcile_monotonic(r)) && reconcile_may_tell(r))
                log_warning("%s %s; it is asked about less often from here on.", q->pending.task_id, what);
        question_done(q);
}

/* `spared`: it is not the task's fault, however often. */
static void try_again(Question *q, uint64_t pause, bool spared, const char *why)
{
        q->tries++;
        if (q->tries < ASK_MAX && !q->r->ending) {
                q->state = QUESTION_WAITING;
                q->at = reconcile_monotonic(q->r) + pause;
        } else if (q->tries < ASK_MAX || spared || q->answered_before == q->r->n_answered)
                give_up(q, why);
        else {
                q->r->report.counts.failed++;
                put_aside(q, "is a task about which the API gives no answer that can be used");
        }
}

static void try_again_soon(Question *q, const char *why)
{
        try_again(q, answer_pause(q->tries + 1, ASK_PAUSE, ASK_PAUSE_MOST), false, why);
}

/* Storing. */

static void count_brought_in(Question *q, const Receipt *receipt)
{
        Reconcile *r = q->r;
        bool canceled = q->is_account && q->is_canceled;

        if (canceled)
                r->report.counts.canceled++;
        else
                r->report.counts.recovered++;
        if (reconcile_may_tell(r))
                log_event(LOG_WARNING, MESSAGE_RECOVERED,
                                LOG_FIELDS(LOG_TEXT("TASK_ID", q->pending.task_id),
                                                LOG_NUMBER("DELIVERY", receipt->outcome.delivery)),
                                "Task %s was %s at the API, but no callback said so: recovered as delivery "
                                "%" PRIu64 ".",
                                q->pending.task_id, canceled ? "canceled" : "finished",
                                receipt->outcome.delivery);
}

static void not_stored(Question *q, int error)
{
        char text[RECONCILE_ERROR_SIZE];

        if (intake_failed_alone(error)) {
                log_warning_errno(error, "What the API says of task %s can't be stored", q->pending.task_id);
                q->r->report.counts.failed++;
                put_aside(q, "is a task of which the API says what can't be stored");
                return;
        }
        snprintf(text, sizeof(text), "what the API says could not be stored (%s)", strerror(-error));
        give_up(q, text);
}

static void on_stored(const Receipt *receipt, void *userdata)
{
        Question *q = userdata;
        Reconcile *r = q->r;

        if (receipt->status == 503)
                not_stored(q, receipt->error);
        else if (receipt->outcome.verdict == VERDICT_INVALID) {
                r->report.counts.invalid++;
                if (!receipt->outcome.repeated && reconcile_may_tell(r))
                        intake_tell_invalid(receipt);
                put_aside(q, "is a task of which the API says what breaks the rules: see the quarantine");
        } else {
                if (receipt->outcome.verdict == VERDICT_DUPLICATE)
                        r->report.counts.known++;
                else
                        count_brought_in(q, receipt);
                shelf_take(r->shelf, q->pending.place.id);
                question_done(q);
        }
        changed(q);
}

static void hand_over(Question *q, uint64_t now)
{
        const char *submission = *q->pending.submission ? q->pending.submission : NULL;
        int r;

        r = intake_take(&q->r->options.intake, q->task, SOURCE_RECONCILE, submission, on_stored, q);
        if (r == 0) {
                q->state = QUESTION_STORING;
                return;
        }
        if (r == -EAGAIN && ++q->tries < STORE_MAX)
                q->at = now + STORE_PAUSE;
        else
                not_stored(q, r);
}

/* Answers. */

/* Whatever it is, it is about this task, and the same each time. */
static void keep_unreadable(Question *q, const char *bytes, size_t size)
{
        int r;

        q->r->n_answered++;
        r = intake_take_unreadable(&q->r->options.intake, bytes, size, SOURCE_RECONCILE, on_stored, q);
        if (r < 0)
                not_stored(q, r);
        else
                q->state = QUESTION_STORING;
}

static void take_task(Question *q, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        const json_t *response;
        Reconcile *r = q->r;
        const char *status, *bytes;
        size_t size;
        int k;

        k = answer_read(answer, &task);
        if (k == -EBADMSG && q->tries + 1 >= ASK_MAX && answer_find_task(answer, &bytes, &size)) {
                keep_unreadable(q, bytes, size);
                return;
        }
        status = json_string_value(json_object_get(task, "status"));
        response = json_object_get(task, "response");
        if (!streq_ptr(outcome_task_id(task), q->pending.task_id)) {
                try_again_soon(q, "the API answered with something that is not the task that it was asked "
                                  "about");
                return;
        }

        r->n_answered++;
        q->is_account = !response || json_is_null(response);
        q->is_canceled = streq_ptr(status, "canceled");
        /* A status that isn't known yet is no end. */
        if (q->is_account && (!status || task_status_from_string(status) <= TASK_PENDING)) {
                r->report.counts.pending++;
                shelf_take(r->shelf, q->pending.place.id);
                question_done(q);
                return;
        }

        q->task = TAKE_PTR(task);
        q->state = QUESTION_ANSWERED;
        q->tries = 0;
        q->at = 0;
}

/* 429: nobody asks for a while. */
static void keep_quiet(Question *q, const char *why)
{
        if (reconcile_quiet_until(q->r) > reconcile_monotonic(q->r) + QUIET_IN_ROUND)
                give_up(q, why);
        else
                try_again(q, 0, true, why);
}

static void on_answer(const ApiAnswer *answer, void *userdata)
{
        char why[OUTCOME_TEXT_SIZE];
        Question *q = userdata;
        Reconcile *r = q->r;

        outcome_describe(answer, why);
        if (answer->error == -ECANCELED)
                give_up(q, "the submitter is stopping");
        else if (answer->too_large) {
                r->n_answered++;
                r->report.counts.failed++;
                put_aside(q, "is a task about which the API says more than is taken");
        } else
                switch (answer_classify(answer)) {
                case ANSWER_GOOD:
                        take_task(q, answer);
                        break;
                case ANSWER_ABSENT:
                        r->n_answered++;
                        r->report.counts.unknown++;
                        put_aside(q, "is a task that the API doesn't know");
                        break;
                case ANSWER_LATER:
                        keep_quiet(q, why);
                        break;
                case ANSWER_ACCOUNT:
                        give_up(q, why);
                        break;
                case ANSWER_BROKEN:
                case _ANSWER_KIND_MAX:
                default:
                        try_again_soon(q, why);
                }
        changed(q);
}

/* Asking. */

/* "/task/ID", whatever the id is made of. */
static void format_path(const char *task_id, char buf[static PATH_MAX_SIZE])
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~";
        char *p = stpcpy(buf, "/task/");

        for (const unsigned char *c = (const unsigned char *)task_id; *c; c++)
                if (strchr(plain, *c))
                        *p++ = (char)*c;
                else
                        p += sprintf(p, "%%%02X", *c);
        *p = 0;
}

static void ask(Question *q)
{
        char path[PATH_MAX_SIZE], text[RECONCILE_ERROR_SIZE];
        const Api *api = &q->r->options.api;
        int r;

        format_path(q->pending.task_id, path);
        r = api->request(api->userdata, &(ApiRequest){ .method = "GET", .path = path }, on_answer, q);
        if (r == 0) {
                q->state = QUESTION_ASKED;
                return;
        }
        snprintf(text, sizeof(text), "the API can't be asked (%s)", strerror(-r));
        try_again_soon(q, text);
}

void question_start(Question *q, const Pending *pending)
{
        q->pending = *pending;
        q->state = QUESTION_WAITING;
        q->answered_before = q->r->n_answered;
        q->r->report.counts.asked++;
}

void question_run(Question *q, uint64_t now)
{
        if (question_next(q) > now)
                return;
        if (q->state == QUESTION_WAITING)
                ask(q);
        else
                hand_over(q, now);
}

uint64_t question_next(const Question *q)
{
        if (q->state == QUESTION_WAITING)
                return MAX(q->at, reconcile_quiet_until(q->r));
        return q->state == QUESTION_ANSWERED ? q->at : UINT64_MAX;
}
