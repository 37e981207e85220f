/*
 * The verbs of a mail queue: retry and drop. What a verb means depends on the state that a submission is in,
 * and the worker moves submissions all the time: the step is taken from the state that was seen and from no
 * other, and where it had moved on meanwhile it is looked at again.
 *
 * As long as there may be a task for it (sent_at is set), a retry asks the API first instead of sending
 * again.
 */

#include "submitd/socket/verbs.h"

#include "basic/log.h"
#include "basic/time-util.h"

#define TRIES_MAX 5U

typedef struct Step {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        const VerbRule *rules;
        VerbHandOn hand_on;
        char id[SUBMISSION_ID_SIZE];
        unsigned tries;
        SubmissionState state; /* as it was seen */
        StoreMove move;
        char *error, *answer; /* owned; of `move` */
        int outcome;
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

static int run_move(CommitJob *job, Store *store)
{
        Step *step = container_of(job, Step, job);
        int r;

        r = store_move_submission(store, step->id, &step->move);
        if (r < 0)
                return r;
        step->outcome = r;
        return 0;
}

static int finish(Step *step, int result)
{
        if (result < 0)
                return submit_reply_unavailable(step->request, result);
        if (step->outcome == STORE_MOVED_ON)
                return step_look(step);
        return submission_reply(&step->context->base, step->request, 200, step->id);
}

static void on_moved(CommitJob *job, int result)
{
        Step *step = container_of(job, Step, job);
        SubmitContext *context = step->context;
        int r;

        r = finish(step, result);
        if (r < 0)
                http_request_fail(step->request, r);
        submit_hurry(context);
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

static int step_look(Step *step)
{
        SubmitContext *context = step->context;
        const VerbRule *rule;
        int r;

        r = store_get_submission(context->base.reader, step->id, false, take_submission, step);
        if (r < 0)
                return local_reply_failure(context->base.reader, step->request, r);
        if (r == 0 && step->hand_on)
                return step->hand_on(context, step->request, step->id);
        if (r == 0)
                return local_reply_not_found(step->request, "Submission not found");

        rule = &step->rules[step->state];
        if (rule->action == VERB_NOTHING)
                return submission_reply(&context->base, step->request, 200, step->id);
        if (rule->action == VERB_HAND_ON)
                return step->hand_on(context, step->request, step->id);
        if (rule->action == VERB_REFUSE || (rule->only_without && step->move.sent_at != TIME_NONE))
                return refuse(step, rule);
        if (++step->tries > TRIES_MAX)
                return submit_reply_unavailable(step->request, -EAGAIN);

        plan(&step->move, rule);
        step->job = (CommitJob){ .run = run_move, .done = on_moved };
        r = commit_submit(context->port, &step->job);
        return r < 0 ? submit_reply_unavailable(step->request, r) : 0;
}

int verb_run(SubmitContext *context, HttpRequest *request, const char *id, const VerbRule *rules,
                VerbHandOn hand_on)
{
        Step *step;

        if (strlen(id) >= SUBMISSION_ID_SIZE)
                return hand_on ? hand_on(context, request, id)
                               : local_reply_not_found(request, "Submission not found");
        step = calloc(1, sizeof(Step));
        if (!step)
                return -ENOMEM;
        step->context = context;
        step->request = request;
        step->rules = rules;
        step->hand_on = hand_on;
        memcpy(step->id, id, strlen(id));
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

        return verb_run(userdata, request, http_request_path_arg(request, 0), rules, NULL);
}

int verbs_on_drop(HttpRequest *request, void *userdata)
{
        static const VerbRule rules[_SUBMISSION_STATE_MAX] = {
                [SUBMISSION_QUEUED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_SENDING] = { .why = "it is under way right now; cancel it, and it will be as "
                                                "soon "
                                                "as it is known what became of it" },
                [SUBMISSION_UNKNOWN] = { .why = "the API may have a task for it; cancel it, and it will be "
                                                "as soon as that is known" },
                [SUBMISSION_ACCEPTED] = { .why = "the API has its task; cancel that" },
                [SUBMISSION_REJECTED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
                [SUBMISSION_CANCELED] = { .action = VERB_NOTHING },
                [SUBMISSION_EXPIRED] = { .action = VERB_MOVE, .to = SUBMISSION_CANCELED },
        };

        return verb_run(userdata, request, http_request_path_arg(request, 0), rules, NULL);
}
