/*
 * Wishes to cancel what the API has a task for. The API is asked to; what it then says of the task goes into
 * the store, and with the end of the task the wish is gone, also where the store can't take what the API
 * says: a response that breaks the rules ends no task here. When it won't (a task that is completed can't be
 * canceled, says a 500), it is asked how the task is: that it was completed is then known as well. A task
 * that the API doesn't know, in its own words and not a proxy's, can't be canceled.
 *
 * Canceling twice is harmless, so nothing of this is kept but the wish itself.
 */

#include "submitd/outbox-internal.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/answer.h"

#define CANCELS_MAX 64U

struct Cancel {
        Outbox *outbox;
        Cancel *next;
        Save save; /* that it can't be canceled */
        char id[SUBMISSION_ID_SIZE], task_id[CALLBACK_ID_MAX + 1];
        enum { CANCEL_WAITS, CANCEL_ASKS, CANCEL_LOOKS, CANCEL_ENDS } step;
        unsigned failures;
        uint64_t at; /* when it is tried again */
        bool wanted; /* seen in the store this time */
};

static void forget(Cancel *c)
{
        Outbox *o = c->outbox;

        for (Cancel **i = &o->cancels; *i; i = &(*i)->next)
                if (*i == c) {
                        *i = c->next;
                        o->n_cancels--;
                        break;
                }
        save_done(&c->save);
        free(c);
}

void cancel_free_all(Outbox *o)
{
        while (o->cancels)
                forget(o->cancels);
}

static void try_later(Cancel *c)
{
        c->step = CANCEL_WAITS;
        c->at = outbox_monotonic(c->outbox) + backoff_delay(++c->failures, &c->outbox->chance);
}

/* Hands the task of an answer on. How it is, in the API's words; TASK_PENDING where it says nothing that can
 * be used. */
static TaskStatus tell(Cancel *c, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        Account *account;
        TaskStatus status;

        task = outcome_read(answer);
        if (!streq_ptr(outcome_task_id(task), c->task_id) ||
                        account_new(task, outbox_realtime(c->outbox), &account) < 0)
                return TASK_PENDING;
        status = MAX(task_status_from_string(json_string_value(json_object_get(task, "status"))),
                        TASK_PENDING);
        if (account->news || status != TASK_PENDING)
                outbox_tell_task(c->outbox, account);
        account_free(account);
        return status;
}

static void on_forgotten(_unused_ Save *s, _unused_ int result, void *userdata)
{
        forget(userdata);
}

/* It was canceled, or never will be. */
static void end(Cancel *c)
{
        c->step = CANCEL_ENDS;
        save_init(&c->save, c->outbox, c->id, on_forgotten, c);
        c->save.kind = SAVE_FORGET_CANCEL;
        c->save.move.now = outbox_realtime(c->outbox);
        save_submit(&c->save);
}

static void ask(Cancel *c, bool look);

/* What it is and what is asked is the same for both requests, but for what follows. */
static void on_answer(const ApiAnswer *answer, void *userdata)
{
        Cancel *c = userdata;
        Outbox *o = c->outbox;
        Outcome outcome = outbox_note_answer(o, answer);
        char text[OUTCOME_TEXT_SIZE];
        bool looked = c->step == CANCEL_LOOKS;
        TaskStatus status = outcome == OUTCOME_DONE ? tell(c, answer) : TASK_PENDING;

        c->step = CANCEL_WAITS;
        if (outcome == OUTCOME_ACCOUNT)
                outbox_hold(o, outcome_describe(answer, text));
        if (status != TASK_PENDING) {
                o->stats.canceled += status == TASK_CANCELED;
                end(c);
        } else if (!looked && (outcome == OUTCOME_UNKNOWN || outcome == OUTCOME_REJECTED) &&
                        outbox_may_ask(o))
                ask(c, true);
        else if (looked && answer_classify(answer) == ANSWER_ABSENT) {
                log_warning("Submission %s can't be canceled: the API doesn't know its task %s", c->id,
                                c->task_id);
                end(c);
        } else
                try_later(c);
}

static void ask(Cancel *c, bool look)
{
        char path[CALLBACK_ID_MAX + sizeof("/task//cancel")];
        const ApiRequest request = { .method = look ? "GET" : "POST", .path = path };

        snprintf(path, sizeof(path), "/task/%s%s", c->task_id, look ? "" : "/cancel");
        if (outbox_ask(c->outbox, &request, on_answer, c) < 0)
                try_later(c);
        else
                c->step = look ? CANCEL_LOOKS : CANCEL_ASKS;
}

static Cancel *find(const Outbox *o, const char *id)
{
        for (Cancel *c = o->cancels; c; c = c->next)
                if (streq(c->id, id))
                        return c;
        return NULL;
}

static int take_wish(const Submission *s, void *userdata)
{
        Outbox *o = userdata;
        Cancel *c = find(o, s->id);

        if (!c && o->n_cancels < CANCELS_MAX && s->task_id) {
                c = calloc(1, sizeof(Cancel));
                if (!c)
                        return -ENOMEM;
                c->outbox = o;
                snprintf(c->id, sizeof(c->id), "%s", s->id);
                snprintf(c->task_id, sizeof(c->task_id), "%s", s->task_id);
                c->next = o->cancels;
                o->cancels = c;
                o->n_cancels++;
        }
        if (c)
                c->wanted = true;
        return 0;
}

int cancel_run(Outbox *o)
{
        uint64_t now = outbox_monotonic(o);
        Cancel *next;
        int r;

        for (Cancel *c = o->cancels; c; c = c->next)
                c->wanted = false;
        r = store_list_cancel_wanted(o->options.reader, CANCELS_MAX, take_wish, o);
        if (r < 0)
                return r;

        for (Cancel *c = o->cancels; c; c = next) {
                next = c->next;
                if (c->step != CANCEL_WAITS)
                        continue;
                if (!c->wanted)
                        forget(c);
                else if (c->at > now)
                        outbox_wake_at(o, c->at);
                else if (outbox_may_ask(o))
                        ask(c, false);
        }
        return 0;
}
