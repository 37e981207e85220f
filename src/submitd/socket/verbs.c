/*
 * The verbs of a mail queue: retry, drop, cancel. What a verb means depends on the state that a submission
 * is in, and the worker moves submissions all the time: the step is taken from the state that was seen and
 * from no other, and where it had moved on meanwhile it is looked at again.
 *
 * As long as there may be a task for it (sent_at is set), a retry asks the API first instead of sending
 * again.
 *
 * The id of what is to be canceled may be a submission's or a task's. What was not sent yet is canceled
 * here. For what may be at the API the wish is stored, and the outbox sees to it (outbox/cancel.c): as soon
 * as it is known whether there is a task, or at once, and then its answer is waited for and handed on. Where
 * no wish can be stored, because no submission is known to have that task, because its task has come to an
 * end here, or for want of room, the API is asked all the same; then it is for the client to come again.
 */

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "submitd/api/answer.h"
#include "submitd/socket/context.h"
#include "task/callback.h"

#define VERB_TRIES_MAX 5U
#define RETRY_AFTER    30U /* seconds, at least */

/* Where the wish to cancel is for later. */
#define FROM_OUTBOX                                                             \
        (SUBMISSION_IN(SUBMISSION_QUEUED) | SUBMISSION_IN(SUBMISSION_SENDING) | \
                        SUBMISSION_IN(SUBMISSION_UNKNOWN))
#define FROM_ACCEPTED SUBMISSION_IN(SUBMISSION_ACCEPTED)

/* What a verb does with a submission in a state. */
typedef struct VerbRule {
        enum {
                VERB_REFUSE,  /* 409 with `why` */
                VERB_NOTHING, /* it is so already: 200 */
                VERB_MOVE,
                VERB_CANCEL, /* it is wished for */
        } action;
        SubmissionState to;
        bool renew;        /* as if it were new: another five days, nothing of what was answered */
        bool only_without; /* refused with `why` where there may be a task */
        const char *why;   /* half a sentence: what it is, and what can be done */
} VerbRule;

typedef struct Step {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        const VerbRule *rules; /* one for each state */
        char id[CALLBACK_ID_MAX + 1];
        unsigned tries;
        SubmissionState state; /* as it was seen */
        StoreMove move;
        char *error, *answer; /* owned; of `move` */

        /* Of a cancel. */
        bool may_be_task;                                                  /* the id */
        bool wished;                                                       /* the wish is stored */
        char submission[SUBMISSION_ID_SIZE], task_id[CALLBACK_ID_MAX + 1]; /* "": none that is known */
        CancelWaiter waiter;
} Step;

static int step_look(Step *step);

static void step_forget(Step *step)
{
        free(step->error);
        free(step->answer);
        step->error = step->answer = NULL;
}

static void step_free(void *userdata)
{
        Step *step = userdata;

        step_forget(step);
        free(step);
}

static int copy(const char *text, char **ret)
{
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* Remembers what the step is to be taken from. */
static int take_submission(const Submission *submission, void *userdata)
{
        Step *step = userdata;
        int64_t now = now_realtime();
        int r;

        step_forget(step);
        r = copy(submission->error, &step->error);
        if (r >= 0)
                r = copy(submission->answer, &step->answer);
        if (r < 0)
                return r;

        step->state = submission->state;
        snprintf(step->submission, sizeof(step->submission), "%s", submission->id);
        snprintf(step->task_id, sizeof(step->task_id), "%s", submission->task_id ?: "");
        step->move = (StoreMove){
                .from = SUBMISSION_IN(submission->state),
                .now = now,
                .next_at = now,
                .sent_at = submission->sent_at,
                .floor_at = submission->floor_at,
                .ended_at = submission->ended_at,
                .grace = submission->grace,
                .is_test = submission->is_test,
                .status = submission->status,
                .error = step->error,
                .answer = step->answer,
                .expires_at = TIME_NONE,
        };
        return 0;
}

static int refuse(Step *step, const VerbRule *rule)
{
        return http_reply_error(step->request, 409, NULL, "Submission %s is %s: %s.", step->id,
                        submission_state_to_string(step->state), rule->why);
}

static int step_finish(Step *step, int result)
{
        if (result < 0)
                return receipt_reply_unavailable(step->request, result);
        if (step->job.change.moved == STORE_MOVED_ON)
                return step_look(step);
        return submission_reply(&step->context->base, step->request, 200, step->id);
}

static void on_moved(CommitJob *job, int result)
{
        Step *step = container_of(job, Step, job);
        SubmitContext *context = step->context;
        int r;

        r = step_finish(step, result);
        if (r < 0)
                http_request_fail(step->request, r);
        outbox_hurry(context->outbox);
}

/* Fills in what becomes of it. */
static void plan(StoreMove *move, const VerbRule *rule)
{
        move->to = rule->to == SUBMISSION_QUEUED && move->sent_at != TIME_NONE ? SUBMISSION_UNKNOWN
                                                                               : rule->to;
        if (move->to != SUBMISSION_QUEUED && move->to != SUBMISSION_UNKNOWN)
                move->next_at = TIME_NONE;
        if (rule->renew) {
                move->expires_at = move->now + SUBMISSION_LIFE_USEC;
                move->status = 0;
                move->error = move->answer = NULL;
        }
}

/* Canceling. */

/* Not now, and why; there is no wish. */
static int reply_later(Step *step, const char *why)
{
        Api api = api_client_api(step->context->client);
        uint64_t now = now_monotonic(), until = MAX(api.retry_at(api.userdata), now);
        char text[24];
        int r;

        snprintf(text, sizeof(text), "%" PRIu64, MAX((until - now) / USEC_PER_SEC + 1, RETRY_AFTER));
        r = http_reply_header(step->request, "Retry-After", text);
        if (r < 0)
                return r;
        return http_reply_error(
                        step->request, 503, NULL, "Task %s can't be canceled now: %s.", step->task_id, why);
}

static void on_canceled(CancelWaiter *waiter, const ApiAnswer *answer)
{
        Step *step = container_of(waiter, Step, waiter);
        int r;

        if (answer->error == 0)
                r = http_reply(step->request, answer->status, "application/json", answer->body,
                                answer->body_size);
        else if (step->wished)
                r = submission_reply(&step->context->base, step->request, 202, step->submission);
        else
                r = reply_later(step, answer->message);
        if (r < 0)
                http_request_fail(step->request, r);
}

static int step_take_wish(Step *step, int result)
{
        step->wished = result == 0 && step->job.change.moved == 0;
        if (step->job.change.from == FROM_ACCEPTED) {
                outbox_cancel(step->context->outbox, step->wished ? step->submission : "", step->task_id,
                                &step->waiter);
                return 0;
        }
        if (result < 0)
                return receipt_reply_unavailable(step->request, result);
        return step->wished ? submission_reply(&step->context->base, step->request, 202, step->submission)
                            : step_look(step);
}

static void on_wanted(CommitJob *job, int result)
{
        Step *step = container_of(job, Step, job);
        SubmitContext *context = step->context;
        int r;

        r = step_take_wish(step, result);
        if (r < 0)
                http_request_fail(step->request, r);
        submit_kick(context);
}

static int want_cancel(Step *step, unsigned from)
{
        int r;

        if (++step->tries > VERB_TRIES_MAX)
                return receipt_reply_unavailable(step->request, -EAGAIN);
        step->waiter.done = on_canceled;
        step->job = (CommitJob){ .change = { .kind = STORE_WANT_CANCEL,
                                                 .id = step->submission,
                                                 .from = from,
                                                 .now = now_realtime() },
                .done = on_wanted };
        r = commit_submit(step->context->port, &step->job);
        return r < 0 ? step_take_wish(step, r) : 0;
}

/* The submission that a stored task says it was made by. */
static int take_owner(const TaskDocument *document, void *userdata)
{
        json_auto_t *task = NULL;
        const char *submission;
        Step *step = userdata;
        int r;

        r = task_document_to_json(document, &task);
        if (r < 0)
                return r;
        submission = outcome_task_submission(task);
        if (submission_id_is_valid(submission))
                snprintf(step->submission, sizeof(step->submission), "%s", submission);
        return 0;
}

static int compare_task(const Submission *submission, void *userdata)
{
        Step *step = userdata;

        return streq_ptr(submission->task_id, step->task_id) ? 0 : -ENOENT;
}

/* Fills in the submission of a task, where the outbox agrees that it is this task's. */
static int find_owner(Step *step)
{
        StoreReader *reader = step->context->base.reader;
        int r;

        r = store_get_task(reader, step->task_id, take_owner, step);
        if (r < 0 || !*step->submission)
                return MIN(r, 0);
        r = store_get_submission(reader, step->submission, false, compare_task, step);
        if (r == 0 || r == -ENOENT) {
                step->submission[0] = 0;
                return 0;
        }
        return MIN(r, 0);
}

/* The id is no submission's. */
static int cancel_task(Step *step)
{
        int r;

        snprintf(step->task_id, sizeof(step->task_id), "%s", step->id);
        r = find_owner(step);
        if (r < 0)
                return local_reply_failure(step->context->base.reader, step->request, r);
        if (*step->submission)
                return want_cancel(step, FROM_ACCEPTED);
        step->waiter.done = on_canceled;
        outbox_cancel(step->context->outbox, "", step->task_id, &step->waiter);
        return 0;
}

/* Whatever the verb. */

static int step_look(Step *step)
{
        SubmitContext *context = step->context;
        const VerbRule *rule;
        int r;

        r = store_get_submission(context->base.reader, step->id, false, take_submission, step);
        if (r < 0)
                return local_reply_failure(context->base.reader, step->request, r);
        if (r == 0 && step->may_be_task)
                return cancel_task(step);
        if (r == 0)
                return local_reply_not_found(step->request, "Submission not found");

        rule = &step->rules[step->state];
        if (rule->action == VERB_NOTHING)
                return submission_reply(&context->base, step->request, 200, step->id);
        if (rule->action == VERB_CANCEL)
                return want_cancel(step, step->state == SUBMISSION_ACCEPTED ? FROM_ACCEPTED : FROM_OUTBOX);
        if (rule->action == VERB_REFUSE || (rule->only_without && step->move.sent_at != TIME_NONE))
                return refuse(step, rule);
        if (++step->tries > VERB_TRIES_MAX)
                return receipt_reply_unavailable(step->request, -EAGAIN);

        plan(&step->move, rule);
        step->job = (CommitJob){ .change = { .kind = STORE_MOVE, .id = step->id, .move = &step->move },
                .done = on_moved };
        r = commit_submit(context->port, &step->job);
        return r < 0 ? receipt_reply_unavailable(step->request, r) : 0;
}

/* Answers 200 with the submission as it is afterwards, or as the rule of its state has it; 404, 409, 503. */
static int run_verb(SubmitContext *context, HttpRequest *request, const VerbRule *rules, bool may_be_task)
{
        const char *id = http_request_path_arg(request, 0);
        Step *step;

        if (strlen(id) >= sizeof(step->id))
                return local_reply_not_found(request, "Submission not found");
        step = calloc(1, sizeof(Step));
        if (!step)
                return -ENOMEM;
        step->context = context;
        step->request = request;
        step->rules = rules;
        step->may_be_task = may_be_task;
        snprintf(step->id, sizeof(step->id), "%s", id);
        http_request_set_userdata(request, step, step_free);
        return step_look(step);
}

#define SEND_AGAIN .action = VERB_MOVE, .to = SUBMISSION_QUEUED

int verbs_on_retry(HttpRequest *request, void *userdata)
{
        static const VerbRule rules[_SUBMISSION_STATE_MAX] = {
                [SUBMISSION_QUEUED] = { SEND_AGAIN },
                [SUBMISSION_SENDING] = { .why = "it is under way right now" },
                [SUBMISSION_UNKNOWN] = { .action = VERB_MOVE, .to = SUBMISSION_UNKNOWN },
                [SUBMISSION_ACCEPTED] = { .why = "the API has its task, and will not get another" },
                [SUBMISSION_REJECTED] = { SEND_AGAIN, .renew = true },
                [SUBMISSION_CANCELED] = { SEND_AGAIN, .renew = true },
                [SUBMISSION_EXPIRED] = { SEND_AGAIN, .renew = true },
        };

        return run_verb(userdata, request, rules, false);
}

int verbs_on_drop(HttpRequest *request, void *userdata)
{
        static const VerbRule rules[_SUBMISSION_STATE_MAX] = {
                [SUBMISSION_QUEUED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_SENDING] = { .why = "it is under way right now; cancel it, and it will be as soon as it is known what became of it" },
                [SUBMISSION_UNKNOWN] = { .why = "the API may have a task for it; cancel it, and it will be as soon as that is known" },
                [SUBMISSION_ACCEPTED] = { .why = "the API has its task; cancel that" },
                [SUBMISSION_REJECTED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_CANCELED] = { .action = VERB_NOTHING },
                [SUBMISSION_EXPIRED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
        };

        return run_verb(userdata, request, rules, false);
}

/* Ids that need no escape in a path, which those of the API and ours are. */
static bool id_is_plain(const char *id)
{
        size_t n = strnlen(id, CALLBACK_ID_MAX + 1);

        return n <= CALLBACK_ID_MAX &&
               strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_~-") == n;
}

int verbs_on_cancel(HttpRequest *request, void *userdata)
{
        static const VerbRule rules[_SUBMISSION_STATE_MAX] = {
                [SUBMISSION_QUEUED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_SENDING] = { .action = VERB_CANCEL },
                [SUBMISSION_UNKNOWN] = { .action = VERB_CANCEL },
                [SUBMISSION_ACCEPTED] = { .action = VERB_CANCEL },
                [SUBMISSION_REJECTED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_CANCELED] = { .action = VERB_NOTHING },
                [SUBMISSION_EXPIRED] = { .action = VERB_MOVE,
                                .to = SUBMISSION_CANCELED,
                                .only_without = true,
                                .why = "the API may have a task for it all the same; retry it, which looks for that, and cancel it then" },
        };
        const char *id = http_request_path_arg(request, 0);
        int r;

        if (streq(http_request_method(request), "HEAD")) {
                r = http_reply_header(request, "Allow", "POST, GET");
                return r < 0 ? r : http_reply_error(request, 405, NULL, "This path takes POST and GET.");
        }
        if (!id_is_plain(id))
                return local_reply_not_found(request, "Task not found");
        return run_verb(userdata, request, rules, true);
}
