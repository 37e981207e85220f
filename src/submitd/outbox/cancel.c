/*
 * Wishes to cancel what the API has a task for. The API is asked to; what it then says of the task goes into
 * the store, and with the end of the task the wish is gone, also where the store can't take what the API
 * says: a response that breaks the rules ends no task here. When it won't (a task that is completed can't be
 * canceled, says a 500), it is asked how the task is: that it was completed is then known as well. A task
 * that the API doesn't know, in its own words and not a proxy's, can't be canceled.
 *
 * Canceling twice is harmless, so nothing of this is kept but the wish itself.
 *
 * So many are in hand at once. Where there are more, one that failed makes room for those behind it: wishes
 * that come to nothing must not keep others from their turn. Its own comes again with the next walk over all
 * of them, and as long as some are left out of hand, walks begin ever more rarely.
 */

#include "submitd/outbox/internal.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/answer.h"

#define CANCELS_MAX 64U
#define WALKS_MAX   5U /* failures, as backoff.h counts them: an hour */

struct Cancel {
        Outbox *outbox;
        Cancel *next;
        Save save; /* that it can't be canceled */
        char id[SUBMISSION_ID_SIZE], task_id[CALLBACK_ID_MAX + 1];
        enum { CANCEL_WAITS, CANCEL_ASKS, CANCEL_LOOKS, CANCEL_ENDS } step;
        unsigned failures;
        uint64_t at; /* when it is tried again */
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
        TaskSnapshot *snapshot;
        TaskStatus status;

        task = outcome_read(answer);
        if (!streq_ptr(outcome_task_id(task), c->task_id) ||
                        task_snapshot_new(task, outbox_realtime(c->outbox), &snapshot) < 0)
                return TASK_PENDING;
        status = MAX(task_status_from_string(json_string_value(json_object_get(task, "status"))),
                        TASK_PENDING);
        if (snapshot->has_response || status != TASK_PENDING)
                outbox_tell_task(c->outbox, snapshot);
        task_snapshot_free(snapshot);
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

/* Wishes out of the store. */

/* The one that would wait longest. False: none waits. */
static bool make_room(Outbox *o)
{
        uint64_t now = outbox_monotonic(o);
        Cancel *last = NULL;

        for (Cancel *c = o->cancels; c; c = c->next)
                if (c->step == CANCEL_WAITS && c->at > now && (!last || c->at > last->at))
                        last = c;
        if (!last)
                return false;
        forget(last);
        o->cancel_walk.left_some = true;
        return true;
}

typedef struct Page {
        Outbox *outbox;
        unsigned n;
        bool full; /* there was no room for all of it */
} Page;

static int take_wish(const Submission *s, void *userdata)
{
        Page *page = userdata;
        Outbox *o = page->outbox;
        bool known = find(o, s->id) || !s->task_id;
        Cancel *c;

        if (!known && o->n_cancels == CANCELS_MAX && !make_room(o))
                page->full = true;
        if (page->full)
                return 0;
        page->n++;
        o->cancel_walk.after = s->n;
        if (known)
                return 0;

        c = calloc(1, sizeof(Cancel));
        if (!c)
                return -ENOMEM;
        c->outbox = o;
        c->failures = o->cancel_walk.n; /* it may have been in hand in each of these walks */
        snprintf(c->id, sizeof(c->id), "%s", s->id);
        snprintf(c->task_id, sizeof(c->task_id), "%s", s->task_id);
        c->next = o->cancels;
        o->cancels = c;
        o->n_cancels++;
        return 0;
}

static void end_walk(Outbox *o, uint64_t now)
{
        CancelWalk *w = &o->cancel_walk;
        unsigned n = w->left_some ? MIN(w->n + 1, WALKS_MAX) : 0;

        *w = (CancelWalk){ .n = n, .begins_at = n > 0 ? now + backoff_delay(n, &o->chance) : 0 };
}

/* Goes on with the walk, by a page. */
static int take_wishes(Outbox *o, uint64_t now)
{
        Page page = { .outbox = o };
        int r;

        if (o->cancel_walk.begins_at > now) {
                outbox_wake_at(o, o->cancel_walk.begins_at);
                return 0;
        }
        r = store_list_cancel_wanted(o->options.reader, o->cancel_walk.after, CANCELS_MAX, take_wish, &page);
        if (r < 0)
                return r;
        if (page.n == CANCELS_MAX)
                outbox_wake_at(o, now);
        else if (!page.full)
                end_walk(o, now);
        return 0;
}

static int take_wanted(const Submission *s, void *userdata)
{
        *(bool *)userdata = s->state == SUBMISSION_ACCEPTED && s->cancel_wanted;
        return 0;
}

/* One whose time has come: asks, unless it isn't wanted any more. */
static int go_on(Cancel *c)
{
        bool wanted = false;
        int r;

        r = store_get_submission(c->outbox->options.reader, c->id, false, take_wanted, &wanted);
        if (r < 0)
                return r;
        if (wanted)
                ask(c, false);
        else
                forget(c);
        return 0;
}

int cancel_run(Outbox *o)
{
        uint64_t now = outbox_monotonic(o);
        Cancel *next;
        int r;

        r = take_wishes(o, now);
        for (Cancel *c = o->cancels; c && r >= 0; c = next) {
                next = c->next;
                if (c->step != CANCEL_WAITS)
                        continue;
                if (c->at > now)
                        outbox_wake_at(o, c->at);
                else if (outbox_may_ask(o))
                        r = go_on(c);
        }
        return r;
}

void cancel_hurry(Outbox *o)
{
        for (Cancel *c = o->cancels; c; c = c->next)
                c->at = 0;
        o->cancel_walk.begins_at = 0;
        o->cancel_walk.n = 0;
}
