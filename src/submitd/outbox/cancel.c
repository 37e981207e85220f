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
        LIST_ENTRY(Cancel) entry;
        Save save; /* that it can't be canceled */
        char id[SUBMISSION_ID_SIZE], task_id[CALLBACK_ID_MAX + 1];
        enum { CANCEL_WAITS, CANCEL_ASKS, CANCEL_LOOKS, CANCEL_ENDS } step;
        unsigned failures;
        uint64_t at; /* when it is tried again */
};

static void forget(Cancel *cancel)
{
        Outbox *outbox = cancel->outbox;

        LIST_REMOVE(cancel, entry);
        outbox->n_cancels--;
        save_done(&cancel->save);
        free(cancel);
}

void cancel_free_all(Outbox *outbox)
{
        while (!LIST_EMPTY(&outbox->cancels))
                forget(LIST_FIRST(&outbox->cancels));
}

static void try_later(Cancel *cancel)
{
        cancel->step = CANCEL_WAITS;
        cancel->at = outbox_monotonic(cancel->outbox) +
                     backoff_delay(++cancel->failures, &cancel->outbox->chance);
}

/* Hands the task of an answer on. How it is, in the API's words; TASK_PENDING where it says nothing that can
 * be used. */
static TaskStatus tell(Cancel *cancel, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        TaskSnapshot *snapshot;
        TaskStatus status;

        task = outcome_read(answer);
        if (!streq_ptr(outcome_task_id(task), cancel->task_id) ||
                        task_snapshot_new(task, outbox_realtime(cancel->outbox), &snapshot) < 0)
                return TASK_PENDING;
        status = MAX(task_status_from_string(json_string_value(json_object_get(task, "status"))),
                        TASK_PENDING);
        if (snapshot->has_response || status != TASK_PENDING)
                outbox_tell_task(cancel->outbox, snapshot);
        task_snapshot_free(snapshot);
        return status;
}

static void on_forgotten(_unused_ Save *save, _unused_ int result, void *userdata)
{
        forget(userdata);
}

/* It was canceled, or never will be. */
static void end(Cancel *cancel)
{
        cancel->step = CANCEL_ENDS;
        save_init(&cancel->save, cancel->outbox, cancel->id, on_forgotten, cancel);
        cancel->save.kind = SAVE_FORGET_CANCEL;
        cancel->save.move.now = outbox_realtime(cancel->outbox);
        save_submit(&cancel->save);
}

static void ask(Cancel *cancel, bool look);

/* What it is and what is asked is the same for both requests, but for what follows. */
static void on_answer(const ApiAnswer *answer, void *userdata)
{
        Cancel *cancel = userdata;
        Outbox *outbox = cancel->outbox;
        Outcome outcome = outbox_note_answer(outbox, answer);
        char text[OUTCOME_TEXT_SIZE];
        bool looked = cancel->step == CANCEL_LOOKS;
        TaskStatus status = outcome == OUTCOME_DONE ? tell(cancel, answer) : TASK_PENDING;

        cancel->step = CANCEL_WAITS;
        if (outcome == OUTCOME_ACCOUNT)
                outbox_hold(outbox, outcome_describe(answer, text));
        if (status != TASK_PENDING) {
                outbox->stats.canceled += status == TASK_CANCELED;
                end(cancel);
        } else if (!looked && (outcome == OUTCOME_UNKNOWN || outcome == OUTCOME_REJECTED) &&
                        outbox_may_ask(outbox))
                ask(cancel, true);
        else if (looked && answer_classify(answer) == ANSWER_ABSENT) {
                log_warning("Submission %s can't be canceled: the API doesn't know its task %s", cancel->id,
                                cancel->task_id);
                end(cancel);
        } else
                try_later(cancel);
}

static void ask(Cancel *cancel, bool look)
{
        char path[CALLBACK_ID_MAX + sizeof("/task//cancel")];
        const ApiRequest request = { .method = look ? "GET" : "POST", .path = path };

        snprintf(path, sizeof(path), "/task/%s%s", cancel->task_id, look ? "" : "/cancel");
        if (outbox_ask(cancel->outbox, &request, on_answer, cancel) < 0)
                try_later(cancel);
        else
                cancel->step = look ? CANCEL_LOOKS : CANCEL_ASKS;
}

static Cancel *find(const Outbox *outbox, const char *id)
{
        Cancel *cancel;

        LIST_FOREACH(cancel, &outbox->cancels, entry)
                if (streq(cancel->id, id))
                        return cancel;
        return NULL;
}

/* Wishes out of the store. */

/* The one that would wait longest. False: none waits. */
static bool make_room(Outbox *outbox)
{
        Cancel *cancel;
        uint64_t now = outbox_monotonic(outbox);
        Cancel *last = NULL;

        LIST_FOREACH(cancel, &outbox->cancels, entry)
                if (cancel->step == CANCEL_WAITS && cancel->at > now && (!last || cancel->at > last->at))
                        last = cancel;
        if (!last)
                return false;
        forget(last);
        outbox->cancel_walk.left_some = true;
        return true;
}

typedef struct Page {
        Outbox *outbox;
        unsigned n;
        bool full; /* there was no room for all of it */
} Page;

static int take_wish(const Submission *submission, void *userdata)
{
        Page *page = userdata;
        Outbox *outbox = page->outbox;
        bool known = find(outbox, submission->id) || !submission->task_id;
        Cancel *cancel;

        if (!known && outbox->n_cancels == CANCELS_MAX && !make_room(outbox))
                page->full = true;
        if (page->full)
                return 0;
        page->n++;
        outbox->cancel_walk.after = submission->n;
        if (known)
                return 0;

        cancel = calloc(1, sizeof(Cancel));
        if (!cancel)
                return -ENOMEM;
        cancel->outbox = outbox;
        cancel->failures = outbox->cancel_walk.n; /* it may have been in hand in each of these walks */
        snprintf(cancel->id, sizeof(cancel->id), "%s", submission->id);
        snprintf(cancel->task_id, sizeof(cancel->task_id), "%s", submission->task_id);
        LIST_INSERT_HEAD(&outbox->cancels, cancel, entry);
        outbox->n_cancels++;
        return 0;
}

static void end_walk(Outbox *outbox, uint64_t now)
{
        CancelWalk *walk = &outbox->cancel_walk;
        unsigned n = walk->left_some ? MIN(walk->n + 1, WALKS_MAX) : 0;

        *walk = (CancelWalk){ .n = n, .begins_at = n > 0 ? now + backoff_delay(n, &outbox->chance) : 0 };
}

/* Goes on with the walk, by a page. */
static int take_wishes(Outbox *outbox, uint64_t now)
{
        Page page = { .outbox = outbox };
        int r;

        if (outbox->cancel_walk.begins_at > now) {
                outbox_wake_at(outbox, outbox->cancel_walk.begins_at);
                return 0;
        }
        r = store_list_cancel_wanted(
                        outbox->options.reader, outbox->cancel_walk.after, CANCELS_MAX, take_wish, &page);
        if (r < 0)
                return r;
        if (page.n == CANCELS_MAX)
                outbox_wake_at(outbox, now);
        else if (!page.full)
                end_walk(outbox, now);
        return 0;
}

static int take_wanted(const Submission *submission, void *userdata)
{
        *(bool *)userdata = submission->state == SUBMISSION_ACCEPTED && submission->cancel_wanted;
        return 0;
}

/* One whose time has come: asks, unless it isn't wanted any more. */
static int go_on(Cancel *cancel)
{
        bool wanted = false;
        int r;

        r = store_get_submission(cancel->outbox->options.reader, cancel->id, false, take_wanted, &wanted);
        if (r < 0)
                return r;
        if (wanted)
                ask(cancel, false);
        else
                forget(cancel);
        return 0;
}

int cancel_run(Outbox *outbox)
{
        uint64_t now = outbox_monotonic(outbox);
        Cancel *next;
        int r;

        r = take_wishes(outbox, now);
        for (Cancel *cancel = LIST_FIRST(&outbox->cancels); cancel && r >= 0; cancel = next) {
                next = LIST_NEXT(cancel, entry);
                if (cancel->step != CANCEL_WAITS)
                        continue;
                if (cancel->at > now)
                        outbox_wake_at(outbox, cancel->at);
                else if (outbox_may_ask(outbox))
                        r = go_on(cancel);
        }
        return r;
}

void cancel_hurry(Outbox *outbox)
{
        Cancel *cancel;

        LIST_FOREACH(cancel, &outbox->cancels, entry)
                cancel->at = 0;
        outbox->cancel_walk.begins_at = 0;
        outbox->cancel_walk.n = 0;
}
