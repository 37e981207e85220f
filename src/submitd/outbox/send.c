/*
 * One submission from queued to what came of it. In this order, each step only when the one before is on
 * disk:
 *
 *   1. `sending`, with the time and the API's clock as it was last seen: from here on there may be a task,
 *      and a process that dies leaves word of that;
 *   2. the request;
 *   3. what came of it, as the table in outcome.c has it.
 *
 * Back to queued only goes what is certain not to have made a task. For each there is one Sending from the
 * moment that it is taken out of the queue until the last step is stored, so none is in two hands.
 *
 * How many may be under way counts all of these steps: while the disk takes nothing, nothing new is sent.
 */

#include "submitd/outbox/internal.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/quiet.h"
#include "submitd/outbox/resolve.h"

#define ANSWER_MAX  ((size_t)64 * 1024) /* of a rejection, as it is kept */
#define TROUBLE_MAX 4U /* requests in a row without a word from the API: then, more slowly */

Sending *sending_free(Sending *x)
{
        if (!x)
                return NULL;

        save_done(&x->save);
        free(x->type);
        free(x->body);
        free(x);
        return NULL;
}

void sending_forget(Sending *x)
{
        Outbox *o = x->outbox;

        for (Sending **i = &o->sendings; *i; i = &(*i)->next)
                if (*i == x) {
                        *i = x->next;
                        o->n_sendings--;
                        break;
                }
        sending_free(x);
}

void sending_free_all(Outbox *o)
{
        while (o->sendings)
                sending_forget(o->sendings);
}

unsigned sending_count_starting(const Outbox *o)
{
        unsigned n = 0;

        for (const Sending *x = o->sendings; x; x = x->next)
                n += x->step == SENDING_STARTS;
        return n;
}

/* Step 3: what came of it. */

static void on_ended(Save *s, int result, void *userdata)
{
        Sending *x = userdata;
        Outbox *o = x->outbox;

        if (result == 0 && s->kind == SAVE_ACCEPT && s->outcome == STORE_MOVED_ON)
                o->stats.duplicates++;
        else if (result == 0 && s->kind == SAVE_ACCEPT) {
                o->stats.created++;
                if (s->account->news)
                        outbox_tell_task(o, s->account);
        }

        if (result == 0 && s->outcome == 0 && s->kind == SAVE_MOVE) {
                o->stats.rejected += s->move.to == SUBMISSION_REJECTED;
                o->stats.unknown += s->move.to == SUBMISSION_UNKNOWN;
                o->stats.retried += s->move.to == SUBMISSION_QUEUED;
                o->stats.expired += s->move.to == SUBMISSION_EXPIRED;
                o->stats.canceled += s->move.to == SUBMISSION_CANCELED;
                if (s->move.to == SUBMISSION_UNKNOWN)
                        resolver_add(o->resolver, x);
        }
        sending_forget(x);
}

StoreMove *sending_end(Sending *x, SubmissionState to)
{
        Save *s = &x->save;

        save_done(s);
        save_init(s, x->outbox, x->id, on_ended, x);
        x->step = SENDING_ENDS;
        s->kind = SAVE_MOVE;
        s->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_SENDING),
                .to = to,
                .now = outbox_realtime(x->outbox),
                .next_at = TIME_NONE,
                .sent_at = TIME_NONE,
                .floor_at = TIME_NONE,
                .ended_at = TIME_NONE,
                .grace = TIME_NONE,
                .is_test = x->is_test,
                .expires_at = TIME_NONE,
        };
        return &s->move;
}

/* It is certain that there is no task. */
static void end_without_task(Sending *x, SubmissionState to, unsigned status, uint64_t delay)
{
        StoreMove *m = sending_end(x, to);

        m->status = status;
        m->next_at = outbox_next_try(m->now, delay, x->expires_at);
        if (!x->is_test) {
                x->save.live_by = -1;
                x->save.live_day = x->live_day;
        }
}

/* There may be one. */
static void end_unknown(Sending *x, const ApiAnswer *answer)
{
        StoreMove *m = sending_end(x, SUBMISSION_UNKNOWN);

        m->status = answer->status;
        m->next_at = m->now + x->grace;
        m->sent_at = x->sent_at;
        m->floor_at = x->floor_at;
        m->ended_at = x->ended_at;
        m->grace = x->grace;
}

/* What rejected it, as far as it is text, cut where a character begins. */
static char *copy_answer(const ApiAnswer *answer)
{
        size_t n = MIN(answer->body_size, ANSWER_MAX);
        char *text;

        if (n == 0)
                return NULL;
        if (answer->is_json && n < answer->body_size)
                while (n > 0 && ((unsigned char)answer->body[n] & 0xc0) == 0x80)
                        n--;
        text = malloc(n + 1);
        if (!text)
                return NULL;
        memcpy(text, answer->body, n);
        text[n] = 0;
        for (size_t i = 0; i < n; i++)
                if (text[i] == 0 || (!answer->is_json && (unsigned char)text[i] >= 0x7f))
                        text[i] = '?';
        return text;
}

static void on_done(Sending *x, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        Account *account = NULL;
        TaskClaim claim;

        claim = outcome_claim_task(answer, x->id, &task);
        if (claim == TASK_OURS)
                outbox_note_task(x->outbox, task);
        if (claim == TASK_OURS && account_new(task, outbox_realtime(x->outbox), &account) >= 0) {
                sending_end(x, SUBMISSION_ACCEPTED);
                x->save.kind = SAVE_ACCEPT;
                x->save.account = account;
                return;
        }
        end_unknown(x, answer);
        if (claim == TASK_FOREIGN) {
                /* Should it be the API's way not to hand metadata back, every other try would pay once
                 * more. */
                x->save.hold = true;
                snprintf(x->save.error, sizeof(x->save.error),
                                "the API answered 200 with a task that doesn't carry the submission's id; "
                                "is "
                                "[api] url right?");
        }
}

/* Once more, unless this was a try when its time was over. That it was is said by a clock that may jump, so
 * that nothing is given up for that alone. */
static void try_later(Sending *x, const ApiAnswer *answer, uint64_t delay)
{
        bool tried = x->step == SENDING_ASKS && answer->error != -ECANCELED;
        bool over = tried && x->sent_at >= x->expires_at;

        end_without_task(x, over ? SUBMISSION_EXPIRED : SUBMISSION_QUEUED, answer->status, delay);
}

static void on_not_sent(Sending *x, const ApiAnswer *answer)
{
        try_later(x, answer, backoff_delay(x->attempts, &x->outbox->chance));
}

static void on_busy(Sending *x, const ApiAnswer *answer)
{
        uint64_t delay = backoff_delay(x->attempts, &x->outbox->chance);

        if (answer->retry_after != UINT64_MAX)
                delay = MAX(delay, MIN(answer->retry_after, QUIET_MAX));
        try_later(x, answer, delay);
}

/* Who redirects may have made the task before: a POST, then a 303 to what came of it. */
static void on_account(Sending *x, const ApiAnswer *answer)
{
        if (outcome_is_redirect(answer))
                end_unknown(x, answer);
        else
                end_without_task(x, SUBMISSION_QUEUED, answer->status, 0);
        x->save.hold = true;
}

static void on_rejected(Sending *x, const ApiAnswer *answer)
{
        end_without_task(x, SUBMISSION_REJECTED, answer->status, 0);
        x->save.answer = copy_answer(answer);
}

static void (*const endings[_OUTCOME_MAX])(Sending *x, const ApiAnswer *answer) = {
        [OUTCOME_DONE] = on_done,
        [OUTCOME_NOT_SENT] = on_not_sent,
        [OUTCOME_BUSY] = on_busy,
        [OUTCOME_ACCOUNT] = on_account,
        [OUTCOME_REJECTED] = on_rejected,
        [OUTCOME_UNKNOWN] = end_unknown,
};

/* An API that answers nobody is asked more slowly: that spares the ones that wait behind. */
static void note_trouble(Outbox *o, Outcome outcome)
{
        if (outcome != OUTCOME_NOT_SENT && outcome != OUTCOME_UNKNOWN) {
                o->trouble = 0;
                o->create_at = 0;
        } else if (++o->trouble > TROUBLE_MAX)
                o->create_at = outbox_monotonic(o) +
                               MIN(USEC_PER_SEC << MIN(o->trouble - TROUBLE_MAX - 1, 10U), backoff_step(1));
}

static void end(Sending *x, Outcome outcome, const ApiAnswer *answer)
{
        x->ended_at = (int64_t)outbox_monotonic(x->outbox);
        endings[outcome](x, answer);
        if (x->save.error[0] == 0 && x->save.kind == SAVE_MOVE)
                outcome_describe(answer, x->save.error);
        save_submit(&x->save);
}

static void on_answer(const ApiAnswer *answer, void *userdata)
{
        Sending *x = userdata;
        Outcome outcome = outbox_note_answer(x->outbox, answer);

        note_trouble(x->outbox, outcome);
        end(x, outcome, answer);
}

/* Step 2: the request. */

void sending_ask(Sending *x)
{
        char path[CALLBACK_TYPE_MAX + sizeof("/task/")];
        const ApiRequest request = {
                .method = "POST",
                .path = path,
                .body = x->body,
                .body_size = x->body_size,
        };
        ApiAnswer failure = { .date = TIME_NONE, .retry_after = UINT64_MAX };
        Outbox *o = x->outbox;

        snprintf(path, sizeof(path), "/task/%s", x->type);
        if (o->stopping || o->fatal)
                failure.error = -ECANCELED;
        else if (o->options.api.is_test(o->options.api.userdata) != x->is_test)
                failure.error = -EKEYREJECTED; /* another key was read meanwhile */
        else if (outbox_grace(o) > x->grace)
                failure = (ApiAnswer){
                        /* it might be on its way for longer than was written down */
                        .error = -ESTALE,
                        .message = "other settings were read meanwhile",
                        .date = TIME_NONE,
                        .retry_after = UINT64_MAX,
                };
        else
                failure.error = outbox_ask(o, &request, on_answer, x);

        if (failure.error < 0)
                end(x, OUTCOME_NOT_SENT, &failure);
        else
                x->step = SENDING_ASKS;
}
