/*
 * Canceling. The id may be a submission's or a task's. What is still in the outbox is canceled there, or as
 * soon as it is known whether there is a task; what the API has is canceled at the API, whose answer is
 * handed on as it is: the task, or its error with its status. A 500 may say that the task can't be canceled,
 * or come when it has been: so the API is asked how the task is. An answer that says nothing about this task
 * (nobody there, too many requests, something about the account) is none: where the submission is known, the
 * wish is remembered and tried again by the outbox, else it is for the client to come again.
 *
 * The outbox goes on all the while: what had changed when the wish was to be written down is looked at
 * again.
 */

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "submitd/api/answer.h"
#include "submitd/socket/verbs.h"
#include "task/callback.h"

#define RETRY_AFTER 30U /* seconds, at least */
#define TRIES_MAX   5U

/* Where the wish can be written down. */
#define FROM_OUTBOX                                                             \
        (SUBMISSION_IN(SUBMISSION_QUEUED) | SUBMISSION_IN(SUBMISSION_SENDING) | \
                        SUBMISSION_IN(SUBMISSION_UNKNOWN))
#define FROM_ACCEPTED SUBMISSION_IN(SUBMISSION_ACCEPTED)

/* One cancel that is no plain move. Owns itself until cancel_end(). */
typedef struct Cancel Cancel;
struct Cancel {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        char submission[SUBMISSION_ID_SIZE]; /* "": none that is known */
        char task_id[CALLBACK_ID_MAX + 1];   /* "": none yet */
        SubmissionState state;               /* of the submission, as it was seen */
        unsigned from;                       /* see store_want_cancel() */
        int outcome;                         /* likewise */
        unsigned tries;
        char why[OUTCOME_TEXT_SIZE]; /* the API could not be asked, or gave no answer; "": it was not asked
                                      */
        unsigned status;             /* of `answer` */
        char *answer;                /* the API's, to be handed on; NULL: none yet */
        size_t answer_size;
        int (*take)(Cancel *x, const ApiAnswer *answer); /* what is asked for */
};

static int look(Cancel *cancel, const char *id);

/* The end: `r` is what answering returned. */
static int cancel_end(Cancel *cancel, int r)
{
        SubmitContext *context = cancel->context;

        if (r < 0)
                http_request_fail(cancel->request, r);
        free(cancel->answer);
        free(cancel);
        submit_kick(context);
        return r;
}

/* Not now, and why; the wish is not written down: there is no submission for it, or it has come to its end
 * here. */
static int reply_later(Cancel *cancel)
{
        Api api = api_client_api(cancel->context->client);
        uint64_t now = now_monotonic(), until = MAX(api.retry_at(api.userdata), now);
        char text[24];
        int r;

        snprintf(text, sizeof(text), "%" PRIu64, MAX((until - now) / USEC_PER_SEC + 1, RETRY_AFTER));
        r = http_reply_header(cancel->request, "Retry-After", text);
        if (r < 0)
                return r;
        return http_reply_error(cancel->request, 503, NULL, "%s %s can't be canceled now: %s.",
                        *cancel->task_id ? "Task" : "Submission",
                        *cancel->task_id ? cancel->task_id : cancel->submission, cancel->why);
}

/* The wish. */

static int run_want(CommitJob *job, Store *store)
{
        Cancel *cancel = container_of(job, Cancel, job);
        int r;

        r = store_want_cancel(store, cancel->submission, cancel->from, now_realtime());
        if (r < 0)
                return r;
        cancel->outcome = r;
        return 0;
}

static void on_wanted(CommitJob *job, int result)
{
        Cancel *cancel = container_of(job, Cancel, job);

        if (result < 0)
                (void)cancel_end(cancel, submit_reply_unavailable(cancel->request, result));
        else if (cancel->outcome != 0 && *cancel->why)
                (void)cancel_end(cancel, reply_later(cancel));
        else if (cancel->outcome != 0)
                (void)look(cancel, cancel->submission);
        else
                (void)cancel_end(cancel, submission_reply(&cancel->context->base, cancel->request, 202,
                                                         cancel->submission));
}

static int want(Cancel *cancel, unsigned from)
{
        int r;

        if (++cancel->tries > TRIES_MAX) {
                snprintf(cancel->why, sizeof(cancel->why), "it changes all the time");
                return cancel_end(cancel, reply_later(cancel));
        }

        cancel->from = from;
        cancel->job = (CommitJob){ .run = run_want, .done = on_wanted };
        r = commit_submit(cancel->context->port, &cancel->job);
        return r < 0 ? cancel_end(cancel, submit_reply_unavailable(cancel->request, r)) : 0;
}

/* The API's answers. */

/* Not now. */
static int put_off(Cancel *cancel, const char *why)
{
        snprintf(cancel->why, sizeof(cancel->why), "%s", why);
        return *cancel->submission ? want(cancel, FROM_ACCEPTED) : cancel_end(cancel, reply_later(cancel));
}

static int set_answer(Cancel *cancel, const ApiAnswer *answer)
{
        char *copy = malloc(answer->body_size + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, answer->body, answer->body_size);
        free(cancel->answer);
        cancel->answer = copy;
        cancel->answer_size = answer->body_size;
        cancel->status = answer->status;
        return 0;
}

static int hand_on(Cancel *cancel)
{
        return cancel_end(cancel, http_reply(cancel->request, cancel->status, "application/json",
                                                  cancel->answer, cancel->answer_size));
}

static void on_kept(const Receipt *receipt, void *userdata)
{
        ingest_log_trouble(receipt);
        (void)hand_on(userdata);
}

/* The task as the API has it now: kept, then the answer is handed on, whether it could be kept or not. */
static int keep_and_hand_on(Cancel *cancel, const json_t *task)
{
        int r;

        r = ingest_task(&cancel->context->ingest, task, SOURCE_RECONCILE, NULL, on_kept, cancel);
        if (r >= 0)
                return 0;
        log_warning_errno(r, "What the API says of task %s could not be stored", cancel->task_id);
        return hand_on(cancel);
}

/* The task that was asked about; NULL: it is not there. A new reference. */
static json_t *read_task(const Cancel *cancel, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;

        if (answer->error == 0 && answer->status == 200)
                task = outcome_read(answer);
        return streq_ptr(outcome_task_id(task), cancel->task_id) ? json_incref(task) : NULL;
}

/* Whether an answer is an error in the API's own words. */
static bool is_error(const ApiAnswer *answer)
{
        json_auto_t *body = outcome_read(answer);

        return json_is_string(json_object_get(body, "error"));
}

static bool is_rejection(const ApiAnswer *answer)
{
        return outcome_of_answer(answer) == OUTCOME_REJECTED && is_error(answer);
}

/* How the task is, after a 500. */
static int take_look(Cancel *cancel, const ApiAnswer *answer)
{
        json_auto_t *task = read_task(cancel, answer);
        TaskStatus status = task_status_from_string(json_string_value(json_object_get(task, "status")));
        char text[OUTCOME_TEXT_SIZE];

        if (task && status <= TASK_PENDING)
                return put_off(cancel, "the API answered 500, and it is pending");
        if (!task && !is_rejection(answer))
                return put_off(cancel, outcome_describe(answer, text));
        /* Where it came to another end, the 500 is the answer. */
        if ((!task || status == TASK_CANCELED) && set_answer(cancel, answer) < 0)
                return cancel_end(cancel, submit_reply_unavailable(cancel->request, -ENOMEM));
        return task ? keep_and_hand_on(cancel, task) : hand_on(cancel);
}

static void on_answer(const ApiAnswer *answer, void *userdata)
{
        Cancel *cancel = userdata;

        (void)cancel->take(cancel, answer);
}

/* Asks, unless the API wants to be left alone; take() gets what came of it. */
static int ask(Cancel *cancel, const char *method, const char *verb,
                int (*take)(Cancel *cancel, const ApiAnswer *answer))
{
        Api api = api_client_api(cancel->context->client);
        char path[CALLBACK_ID_MAX + 32];
        ApiAnswer unsent = {};

        if (api.retry_at(api.userdata) > now_monotonic())
                return put_off(cancel, "the API wants to be left alone for a while");
        cancel->take = take;
        snprintf(path, sizeof(path), "/task/%s%s", cancel->task_id, verb);
        unsent.error = api.request(
                        api.userdata, &(ApiRequest){ .method = method, .path = path }, on_answer, cancel);
        return unsent.error < 0 ? take(cancel, &unsent) : 0;
}

static int take_answer(Cancel *cancel, const ApiAnswer *answer)
{
        json_auto_t *task = read_task(cancel, answer);
        bool is_500 = answer->error == 0 && answer->status == 500 && is_error(answer);
        char text[OUTCOME_TEXT_SIZE];

        if (!task && !is_500 && !is_rejection(answer))
                return put_off(cancel, outcome_describe(answer, text));
        if (set_answer(cancel, answer) < 0)
                return cancel_end(cancel, submit_reply_unavailable(cancel->request, -ENOMEM));
        if (task)
                return keep_and_hand_on(cancel, task);
        return is_500 ? ask(cancel, "GET", "", take_look) : hand_on(cancel);
}

static int cancel_at_api(Cancel *cancel)
{
        return ask(cancel, "POST", "/cancel", take_answer);
}

/* Which submission, which task. */

static int take_submission(const Submission *submission, void *userdata)
{
        Cancel *cancel = userdata;

        cancel->state = submission->state;
        snprintf(cancel->submission, sizeof(cancel->submission), "%s", submission->id);
        snprintf(cancel->task_id, sizeof(cancel->task_id), "%s", submission->task_id ?: "");
        return 0;
}

/* The submission that a stored task says it was made by. */
static int take_task(const TaskDocument *document, void *userdata)
{
        json_auto_t *task = NULL;
        const char *submission;
        Cancel *cancel = userdata;
        int r;

        r = task_document_to_json(document, &task);
        if (r < 0)
                return r;
        submission = outcome_task_submission(task);
        if (submission && strlen(submission) < SUBMISSION_ID_SIZE)
                snprintf(cancel->submission, sizeof(cancel->submission), "%s", submission);
        return 0;
}

static int compare_task(const Submission *submission, void *userdata)
{
        Cancel *cancel = userdata;

        return streq_ptr(submission->task_id, cancel->task_id) ? 0 : -ENOENT;
}

/* Fills in the submission of a task, where the outbox agrees that it is this task's. */
static int find_owner(Cancel *cancel)
{
        StoreReader *reader = cancel->context->base.reader;
        int r;

        r = store_get_task(reader, cancel->task_id, take_task, cancel);
        if (r < 0 || !*cancel->submission)
                return MIN(r, 0);
        r = store_get_submission(reader, cancel->submission, false, compare_task, cancel);
        if (r == 0 || r == -ENOENT) {
                cancel->submission[0] = 0;
                return 0;
        }
        return MIN(r, 0);
}

static int look_submission(Cancel *cancel)
{
        if (cancel->state == SUBMISSION_ACCEPTED)
                return cancel_at_api(cancel);
        if (SUBMISSION_IN(cancel->state) & FROM_OUTBOX)
                return want(cancel, FROM_OUTBOX);
        /* It came to an end without a task while this was going on. */
        return cancel_end(cancel,
                        submission_reply(&cancel->context->base, cancel->request, 200, cancel->submission));
}

static int look(Cancel *cancel, const char *id)
{
        StoreReader *reader = cancel->context->base.reader;
        int r;

        r = store_get_submission(reader, id, false, take_submission, cancel);
        if (r > 0)
                return look_submission(cancel);
        if (r == 0) {
                cancel->submission[0] = 0;
                snprintf(cancel->task_id, sizeof(cancel->task_id), "%s", id);
                r = find_owner(cancel);
        }
        return r < 0 ? cancel_end(cancel, local_reply_failure(reader, cancel->request, r))
                     : cancel_at_api(cancel);
}

static int cancel_start(SubmitContext *context, HttpRequest *request, const char *id)
{
        Cancel *cancel;

        cancel = calloc(1, sizeof(Cancel));
        if (!cancel)
                return -ENOMEM;
        cancel->context = context;
        cancel->request = request;
        return look(cancel, id);
}

/* Ids that need no escape in a path, which those of the API and ours are. */
static bool id_is_plain(const char *id)
{
        size_t n = strnlen(id, CALLBACK_ID_MAX + 1);

        return n <= CALLBACK_ID_MAX &&
               strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_~-") == n;
}

int cancel_on_task(HttpRequest *request, void *userdata)
{
        static const VerbRule rules[_SUBMISSION_STATE_MAX] = {
                [SUBMISSION_QUEUED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_SENDING] = { .action = VERB_HAND_ON },
                [SUBMISSION_UNKNOWN] = { .action = VERB_HAND_ON },
                [SUBMISSION_ACCEPTED] = { .action = VERB_HAND_ON },
                [SUBMISSION_REJECTED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_CANCELED] = { .action = VERB_NOTHING },
                [SUBMISSION_EXPIRED] = { .action = VERB_MOVE,
                                .to = SUBMISSION_CANCELED,
                                .only_without = true,
                                .why = "the API may have a task for it all the same; retry it, which looks "
                                       "for that, and cancel it then" },
        };
        const char *id = http_request_path_arg(request, 0);
        int r;

        if (streq(http_request_method(request), "HEAD")) {
                r = http_reply_header(request, "Allow", "POST, GET");
                return r < 0 ? r : http_reply_error(request, 405, NULL, "This path takes POST and GET.");
        }
        if (!id_is_plain(id))
                return local_reply_not_found(request, "Task not found");
        return verb_run(userdata, request, id, rules, cancel_start);
}
