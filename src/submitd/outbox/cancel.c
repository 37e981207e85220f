/*
 * Canceling what the API has a task for. The wish to is stored first; the API is asked to; what it then says
 * of the task goes into the store, and with the end of the task the wish is gone, also where the store can't
 * take what the API says: a response that breaks the rules ends no task here. When it won't (a task that is
 * completed can't be canceled, says a 500), it is asked how the task is: that it was completed is then known
 * as well. A task that the API doesn't know, in its own words and not a proxy's, can't be canceled.
 *
 * Whoever waits for it gets the API's own words, the task or why it can't be canceled, and then there is no
 * wish any more. An answer that says nothing about this task (nobody there, too many requests, something
 * about the account) is none: the wish stays, and nobody waits any longer. A task that the outbox knows no
 * submission of has no wish, and is asked about once.
 *
 * Canceling twice is harmless, so nothing of this is kept but the wish itself.
 *
 * So many are in hand at once. Where there are more, one that failed makes room for those behind it: wishes
 * that come to nothing must not keep others from their turn. Its own comes again with the next walk over all
 * of them, and as long as some are left out of hand, walks begin ever more rarely.
 */

#include "submitd/outbox/cancel.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/answer.h"
#include "submitd/outbox/save.h"

#define CANCELS_MAX 64U
#define WALKS_MAX   5U /* failures, as backoff.h counts them: an hour */

typedef struct Cancel {
        Outbox *outbox;
        LIST_ENTRY(Cancel) entry;
        Save save;                   /* that there is no wish any more */
        char id[SUBMISSION_ID_SIZE]; /* "": of no submission, so that there is no wish */
        char task_id[CALLBACK_ID_MAX + 1];
        enum { CANCEL_WAITS, CANCEL_ASKS, CANCEL_LOOKS, CANCEL_ENDS } step;
        unsigned failures;
        uint64_t at; /* when it is tried again */

        LIST_HEAD(, CancelWaiter) waiters;
        unsigned status; /* what they are told: the API's own words */
        char *answer;    /* owned; NULL: nothing yet */
        size_t answer_size;
} Cancel;

static Cancel *cancel_find(const Outbox *outbox, const char *id, const char *task_id)
{
        Cancel *cancel;

        LIST_FOREACH(cancel, &outbox->cancels, entry)
                if (streq(cancel->id, id) && (*id || streq(cancel->task_id, task_id)))
                        return cancel;
        return NULL;
}

static Cancel *cancel_add(Outbox *outbox, const char *id, const char *task_id)
{
        Cancel *cancel = calloc(1, sizeof(Cancel));

        if (!cancel)
                return NULL;
        cancel->outbox = outbox;
        /* It may have been in hand in each of these walks. */
        cancel->failures = *id ? outbox->cancel_walk.n : 0;
        snprintf(cancel->id, sizeof(cancel->id), "%s", id);
        snprintf(cancel->task_id, sizeof(cancel->task_id), "%s", task_id);
        LIST_INSERT_HEAD(&outbox->cancels, cancel, entry);
        outbox->n_cancels++;
        return cancel;
}

static void answer_waiters(Cancel *cancel, const ApiAnswer *answer)
{
        CancelWaiter *waiter;

        while ((waiter = LIST_FIRST(&cancel->waiters))) {
                LIST_REMOVE(waiter, entry);
                waiter->done(waiter, answer);
        }
}

static void cancel_forget(Cancel *cancel)
{
        answer_waiters(cancel, &(ApiAnswer){ .error = -ECANCELED, .message = "the submitter is stopping" });
        LIST_REMOVE(cancel, entry);
        cancel->outbox->n_cancels--;
        save_done(&cancel->save);
        free(cancel->answer);
        free(cancel);
}

void cancel_free_all(Outbox *outbox)
{
        while (!LIST_EMPTY(&outbox->cancels))
                cancel_forget(LIST_FIRST(&outbox->cancels));
}

/* Nobody waits for it any longer. Where there is no wish, nothing is left of it. */
static void answer_later(Cancel *cancel, const char *why)
{
        cancel->step = CANCEL_WAITS;
        answer_waiters(cancel, &(ApiAnswer){ .error = -EAGAIN, .message = why });
        if (!*cancel->id)
                cancel_forget(cancel);
}

static void cancel_later(Cancel *cancel, const char *why)
{
        cancel->at = outbox_monotonic(cancel->outbox) +
                     backoff_delay(++cancel->failures, &cancel->outbox->chance);
        answer_later(cancel, why);
}

/* The task that was asked about; NULL: the answer doesn't show it. A new reference. */
static json_t *read_task(const Cancel *cancel, const ApiAnswer *answer, Outcome outcome)
{
        json_auto_t *task = outcome == OUTCOME_DONE ? outcome_read(answer) : NULL;

        return streq_ptr(outcome_task_id(task), cancel->task_id) ? json_incref(task) : NULL;
}

/* Hands the task on. How it is, in the API's words; TASK_PENDING where they are none that can be used. */
static TaskStatus cancel_tell(Cancel *cancel, const json_t *task)
{
        _cleanup_(task_snapshot_freep) TaskSnapshot *snapshot = NULL;
        TaskStatus status = task_status_from_string(json_string_value(json_object_get(task, "status")));

        if (!task || task_snapshot_new(task, outbox_realtime(cancel->outbox), &snapshot) < 0)
                return TASK_PENDING;
        status = MAX(status, TASK_PENDING);
        if (snapshot->has_response || status != TASK_PENDING)
                outbox_tell_task(cancel->outbox, snapshot);
        return status;
}

/* Whoever waits is told this. */
static void keep_answer(Cancel *cancel, const ApiAnswer *answer)
{
        char *copy = malloc(answer->body_size + 1);

        if (!copy)
                return;
        memcpy(copy, answer->body, answer->body_size);
        free(cancel->answer);
        cancel->answer = copy;
        cancel->answer_size = answer->body_size;
        cancel->status = answer->status;
}

static void on_cancel_ended(_unused_ Save *save, int result, void *userdata)
{
        Cancel *cancel = userdata;
        const ApiAnswer answer = {
                .error = cancel->answer ? 0 : -ENOMEM,
                .status = cancel->status,
                .body = cancel->answer,
                .body_size = cancel->answer_size,
                .message = strerror(ENOMEM),
        };

        answer_waiters(cancel, &answer);
        if (result < 0 && *cancel->id && !cancel->outbox->stopping)
                cancel_later(cancel,
                                "it could not be stored"); /* the wish stands: it is asked for once more */
        else
                cancel_forget(cancel);
}

/* It was canceled, or never will be. Behind what was told of the task. Who waits doesn't wait for room on a
 * disk. */
static void cancel_end(Cancel *cancel)
{
        cancel->step = CANCEL_ENDS;
        save_init(&cancel->save, cancel->outbox, STORE_FORGET_CANCEL, cancel->id, on_cancel_ended, cancel);
        cancel->save.once = !LIST_EMPTY(&cancel->waiters);
        save_submit(&cancel->save);
}

static void cancel_ask(Cancel *cancel, bool look);

/* Whether an answer is an error in the API's own words. */
static bool is_error(const ApiAnswer *answer)
{
        json_auto_t *body = answer->error == 0 && answer->is_json ? outcome_read(answer) : NULL;

        return json_is_string(json_object_get(body, "error"));
}

/* The task is as it was before. */
static void take_refusal(Cancel *cancel, const ApiAnswer *answer, Outcome outcome, bool in_words)
{
        Outbox *outbox = cancel->outbox;
        bool awaited = !LIST_EMPTY(&cancel->waiters), is_500 = in_words && answer->status == 500;
        char text[OUTCOME_TEXT_SIZE];

        outcome_describe(answer, text);
        if (awaited ? is_500 && outbox_retry_at(outbox) <= outbox_monotonic(outbox)
                    : (outcome == OUTCOME_UNKNOWN || outcome == OUTCOME_REJECTED) && outbox_may_ask(outbox))
                cancel_ask(cancel, true);
        else if (awaited && outcome == OUTCOME_REJECTED && in_words)
                cancel_end(cancel);
        else
                cancel_later(cancel, text);
}

static void take_look(
                Cancel *cancel, const ApiAnswer *answer, Outcome outcome, bool in_words, bool is_pending)
{
        bool awaited = !LIST_EMPTY(&cancel->waiters);
        char text[OUTCOME_TEXT_SIZE];

        if (answer_classify(answer) == ANSWER_ABSENT ||
                        (awaited && outcome == OUTCOME_REJECTED && in_words)) {
                if (*cancel->id)
                        log_warning("Submission %s can't be canceled: the API doesn't know its task %s",
                                        cancel->id, cancel->task_id);
                keep_answer(cancel, answer);
                cancel_end(cancel);
        } else if (is_pending)
                cancel_later(cancel, "the API answered 500, and it is pending");
        else
                cancel_later(cancel, outcome_describe(answer, text));
}

/* What it is and what is asked is the same for both requests, but for what follows. */
static void on_cancel_answer(const ApiAnswer *answer, void *userdata)
{
        Cancel *cancel = userdata;
        Outbox *outbox = cancel->outbox;
        Outcome outcome = outbox_note_answer(outbox, answer);
        json_auto_t *task = read_task(cancel, answer, outcome);
        bool looked = cancel->step == CANCEL_LOOKS, in_words = is_error(answer);
        TaskStatus status = cancel_tell(cancel, task);
        char text[OUTCOME_TEXT_SIZE];

        cancel->step = CANCEL_WAITS;
        if (outcome == OUTCOME_ACCOUNT)
                save_hold(outbox, outcome_describe(answer, text));
        /* Where it came to another end, the first answer is the one. */
        if ((task && (!looked || status == TASK_CANCELED || !cancel->answer)) || (in_words && !looked))
                keep_answer(cancel, answer);
        outbox->stats.canceled += status == TASK_CANCELED;
        if (status != TASK_PENDING || (task && !looked && !LIST_EMPTY(&cancel->waiters)))
                cancel_end(cancel);
        else if (looked)
                take_look(cancel, answer, outcome, in_words, task != NULL);
        else
                take_refusal(cancel, answer, outcome, in_words);
}

static void cancel_ask(Cancel *cancel, bool look)
{
        char path[CALLBACK_ID_MAX + sizeof("/task//cancel")], text[OUTCOME_TEXT_SIZE];
        const ApiRequest request = { .method = look ? "GET" : "POST", .path = path };
        ApiAnswer failure = {};

        if (!look) {
                free(cancel->answer);
                cancel->answer = NULL;
        }
        snprintf(path, sizeof(path), "/task/%s%s", cancel->task_id, look ? "" : "/cancel");
        failure.error = outbox_ask(cancel->outbox, &request, on_cancel_answer, cancel);
        if (failure.error < 0)
                cancel_later(cancel, outcome_describe(&failure, text));
        else
                cancel->step = look ? CANCEL_LOOKS : CANCEL_ASKS;
}

void outbox_cancel(Outbox *outbox, const char *submission, const char *task_id, CancelWaiter *waiter)
{
        Cancel *cancel = cancel_find(outbox, submission, task_id) ?: cancel_add(outbox, submission, task_id);

        if (!cancel) {
                waiter->done(waiter, &(ApiAnswer){ .error = -ENOMEM, .message = strerror(ENOMEM) });
                return;
        }
        LIST_INSERT_HEAD(&cancel->waiters, waiter, entry);
        if (cancel->step == CANCEL_ENDS)
                cancel->save.once = true;
        if (cancel->step != CANCEL_WAITS)
                return;
        if (outbox_retry_at(outbox) > outbox_monotonic(outbox))
                answer_later(cancel, "the API wants to be left alone for a while");
        else
                cancel_ask(cancel, false);
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
        cancel_forget(last);
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
        bool known = !submission->task_id || cancel_find(outbox, submission->id, "");

        if (!known && outbox->n_cancels >= CANCELS_MAX && !make_room(outbox))
                page->full = true;
        if (page->full)
                return 0;
        page->n++;
        outbox->cancel_walk.after = submission->n;
        if (known)
                return 0;

        return cancel_add(outbox, submission->id, submission->task_id) ? 0 : -ENOMEM;
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
static int cancel_go_on(Cancel *cancel)
{
        bool wanted = false;
        int r;

        r = store_get_submission(cancel->outbox->options.reader, cancel->id, false, take_wanted, &wanted);
        if (r < 0)
                return r;
        if (wanted)
                cancel_ask(cancel, false);
        else
                cancel_forget(cancel);
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
                        r = cancel_go_on(cancel);
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
