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

static int step_look(Step *x);

static void step_forget(Step *x)
{
        free(x->error);
        free(x->answer);
        x->error = x->answer = NULL;
}

static void step_free(void *userdata)
{
        Step *x = userdata;

        step_forget(x);
        free(x);
}

static int copy(const char *text, char **ret)
{
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

/* Remembers what the step is to be taken from. */
static int take_submission(const Submission *s, void *userdata)
{
        Step *x = userdata;
        int64_t now = now_realtime();
        int r;

        step_forget(x);
        r = copy(s->error, &x->error);
        if (r >= 0)
                r = copy(s->answer, &x->answer);
        if (r < 0)
                return r;

        x->state = s->state;
        x->move = (StoreMove){
                .from = SUBMISSION_IN(s->state),
                .now = now,
                .next_at = now,
                .sent_at = s->sent_at,
                .floor_at = s->floor_at,
                .ended_at = s->ended_at,
                .grace = s->grace,
                .is_test = s->is_test,
                .status = s->status,
                .error = x->error,
                .answer = x->answer,
                .expires_at = TIME_NONE,
        };
        return 0;
}

static int refuse(Step *x, const VerbRule *rule)
{
        return http_reply_error(x->request, 409, NULL, "Submission %s is %s: %s.", x->id,
                        submission_state_to_string(x->state), rule->why);
}

static int run_move(CommitJob *job, Store *store)
{
        Step *x = container_of(job, Step, job);
        int r;

        r = store_move_submission(store, x->id, &x->move);
        if (r < 0)
                return r;
        x->outcome = r;
        return 0;
}

static int finish(Step *x, int result)
{
        if (result < 0)
                return submit_reply_unavailable(x->request, result);
        if (x->outcome == STORE_MOVED_ON)
                return step_look(x);
        return submission_reply(&x->context->base, x->request, 200, x->id);
}

static void on_moved(CommitJob *job, int result)
{
        Step *x = container_of(job, Step, job);
        SubmitContext *c = x->context;
        int r;

        r = finish(x, result);
        if (r < 0)
                log_debug_errno(r, "An answer could not be given");
        submit_hurry(c);
}

/* Fills in what becomes of it. */
static void plan(StoreMove *m, const VerbRule *rule)
{
        m->to = rule->to == SUBMISSION_QUEUED && m->sent_at != TIME_NONE ? SUBMISSION_UNKNOWN : rule->to;
        if (m->to != SUBMISSION_QUEUED && m->to != SUBMISSION_UNKNOWN)
                m->next_at = TIME_NONE;
        if (rule->renew) {
                m->expires_at = m->now + SUBMISSION_LIFE_USEC;
                m->status = 0;
                m->error = m->answer = NULL;
        }
}

static int step_look(Step *x)
{
        SubmitContext *c = x->context;
        const VerbRule *rule;
        int r;

        r = store_get_submission(c->base.reader, x->id, false, take_submission, x);
        if (r < 0)
                return local_reply_failure(c->base.reader, x->request, r);
        if (r == 0 && x->hand_on)
                return x->hand_on(c, x->request, x->id);
        if (r == 0)
                return local_reply_not_found(x->request, "Submission not found");

        rule = &x->rules[x->state];
        if (rule->action == VERB_NOTHING)
                return submission_reply(&c->base, x->request, 200, x->id);
        if (rule->action == VERB_HAND_ON)
                return x->hand_on(c, x->request, x->id);
        if (rule->action == VERB_REFUSE || (rule->only_without && x->move.sent_at != TIME_NONE))
                return refuse(x, rule);
        if (++x->tries > TRIES_MAX)
                return submit_reply_unavailable(x->request, -EAGAIN);

        plan(&x->move, rule);
        x->job = (CommitJob){ .run = run_move, .done = on_moved };
        r = commit_submit(c->port, &x->job);
        return r < 0 ? submit_reply_unavailable(x->request, r) : 0;
}

int verb_run(SubmitContext *c, HttpRequest *request, const char *id, const VerbRule *rules,
                VerbHandOn hand_on)
{
        Step *x;

        if (strlen(id) >= SUBMISSION_ID_SIZE)
                return hand_on ? hand_on(c, request, id)
                               : local_reply_not_found(request, "Submission not found");
        x = calloc(1, sizeof(Step));
        if (!x)
                return -ENOMEM;
        x->context = c;
        x->request = request;
        x->rules = rules;
        x->hand_on = hand_on;
        memcpy(x->id, id, strlen(id));
        http_request_set_userdata(request, x, step_free);
        return step_look(x);
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
