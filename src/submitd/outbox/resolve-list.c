/*
 * A listing: the pages of the API's tasks, the newest first, back to before the oldest request that nobody
 * answered. What a page shows is taken at once, and once nobody is left to look for it ends. What none of
 * them shows has no task, but only if every page came, was the one that was asked for, and together they
 * were as many as they said, or reached back far enough.
 *
 * How far that is no clock can say that isn't the one of created_at: ours, that of the Date, and this one
 * may differ by anything. So the list is asked for without a bound, and what it is held against is the
 * created_at of a task that the API had told us of before the request left (or the Date of then, where that
 * was earlier: one task may have been made while the clock was wrong). Beyond that it is read for
 * API_STEP_USEC more, which is how far this clock may go back. Where no such task was known, it is read to
 * its end. One task from the past between others ends nothing: a page's worth of them in a row does.
 *
 * A page that nobody answered is asked for a few times more before the listing is void: of an account with
 * many tasks some page always fails. That proves no less, new tasks only push others to later pages. One
 * that breaks off or can't be read is asked for in halves, as a backfill's is. What is left in the end is a
 * task that nobody can read. It is nobody's whose id isn't among its bytes, and they are few and plain, so
 * that it proves as much as any other; whose id is there stays unknown.
 */

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/answer.h"
#include "submitd/api/quiet.h"
#include "submitd/outbox/resolve-internal.h"

#define PAGE_SIZE  100U
#define PAGES_MAX  50000U                     /* of one listing */
#define TRIES_MAX  6U                         /* of one page: for some seconds */
#define READ_TRIES 3U                         /* of a page of one task that can't be read */
#define TASK_MAX   ((size_t)64 * 1024 * 1024) /* bytes of such a page: they are only searched */

static void end_listing(Resolver *r)
{
        r->listing = r->page_waits = false;
        for (Unknown *u = r->unknown; u; u = u->next)
                u->covered = false;
}

/* It proves nothing. Whose time is over isn't waited for any longer, now that it was tried. */
static void fail_listing(Resolver *r, const ApiAnswer *answer, const char *why)
{
        Outbox *o = r->outbox;
        uint64_t delay = backoff_delay(++r->failures, &o->chance);

        if (answer->retry_after != UINT64_MAX)
                delay = MAX(delay, MIN(answer->retry_after, QUIET_MAX));
        r->list_at = outbox_monotonic(o) + delay;
        log_full(r->failures == 1 ? LOG_WARNING : LOG_DEBUG,
                        "The API's tasks can't be listed, %u submissions stay unknown: %s", r->n, why);
        for (Unknown *u = r->unknown; u; u = u->next)
                if (u->covered && !u->saving && u->expires_at <= outbox_realtime(o))
                        unknown_expire(u, "nobody answered, and the API's tasks could not be listed since");
        end_listing(r);
}

static void complete_listing(Resolver *r)
{
        Unknown *next;

        r->failures = r->doubts ? r->failures + 1 : 0;
        r->list_at = r->doubts ? outbox_monotonic(r->outbox) + backoff_delay(r->failures, &r->outbox->chance)
                               : 0;
        for (Unknown *u = r->unknown; u; u = next) {
                next = u->next;
                if (u->covered && !u->saving)
                        unknown_conclude_absent(u);
        }
        end_listing(r);
}

/* Counts tasks in a row that are older than anything that is looked for. */
static void note_age(Resolver *r, const json_t *task)
{
        int64_t created = outcome_task_created(task);

        r->n_older = created != TIME_NONE && r->floor != TIME_NONE && created < r->floor ? r->n_older + 1
                                                                                         : 0;
}

static bool is_anybody_left(const Resolver *r)
{
        for (const Unknown *u = r->unknown; u; u = u->next)
                if (u->covered && !u->saving)
                        return true;
        return false;
}

/* Takes what one page shows. NULL, or why it can't be used. *ret_more: there are more pages. */
static const char *take_page(Resolver *r, const json_t *page, bool *ret_more)
{
        const json_t *docs = json_object_get(page, "docs"), *more = json_object_get(page, "has_more"),
                     *total = json_object_get(page, "total"), *offset = json_object_get(page, "offset"),
                     *task;
        size_t i;

        if (!json_is_array(docs) || !json_is_boolean(more) || !json_is_integer(total))
                return "a page without docs, total or has_more";
        if (!json_is_integer(offset) || (uint64_t)json_integer_value(offset) != r->offset)
                return "a page that is not the one that was asked for";
        json_array_foreach(docs, i, task) {
                const char *id = outcome_task_submission(task);
                Unknown *u = id ? unknown_find(r, id) : NULL;

                note_age(r, task);
                if (!u || u->saving)
                        continue;
                if (!outcome_task_id(task))
                        return "a task without an id that can be used";
                if (unknown_accept(u, task) < 0)
                        return "a task that can't be kept";
        }

        r->offset += json_array_size(docs);
        *ret_more = json_is_true(more);
        if (*ret_more ? json_array_size(docs) == 0 : r->offset < (uint64_t)json_integer_value(total))
                return "a page that shows less than it says";
        return NULL;
}

/* The next page, or the same once more. */
static void ask_page_in(Resolver *r, uint64_t delay)
{
        r->page_waits = true;
        r->page_at = outbox_monotonic(r->outbox) + delay;
}

/* Nobody answered, or with something that is no list: the page is asked for again, in a moment. Where the
 * first one fails, nothing is lost with the listing. */
static void fail_page(Resolver *r, const ApiAnswer *answer, Outcome outcome, const char *why)
{
        Outbox *o = r->outbox;

        if (r->offset == 0 || outcome == OUTCOME_ACCOUNT || outcome == OUTCOME_REJECTED || o->stopping ||
                        ++r->page_failures >= TRIES_MAX) {
                fail_listing(r, answer, why);
                return;
        }
        log_debug("A page of the API's tasks is asked for again: %s", why);
        ask_page_in(r, backoff_local(r->page_failures));
}

/* Whether a digit of an id may stand there as an escape, which could hide anybody's. Other escapes, as those
 * of accents and of angle brackets, are in every other text and hide nobody's. */
static bool hides_digits(const char *text, size_t size)
{
        static const char escape[] = "\\u00";
        const char *end = text + size, *p = text;

        while ((p = memmem(p, (size_t)(end - p), escape, strlen(escape)))) {
                p += strlen(escape);
                if (end - p >= 2 && ((p[0] == '3' && p[1] >= '0' && p[1] <= '9') ||
                                                    (p[0] == '6' && p[1] >= '1' && p[1] <= '6')))
                        return true;
        }
        return false;
}

/* The listing says nothing of whom this task may belong to. */
static void pass_over(Resolver *r, const ApiAnswer *answer)
{
        const bool escapes = hides_digits(answer->body, answer->body_size);

        log_warning("A task that the API lists can't be read, and is passed over: it is number %" PRIu64
                    " of the list, the newest first.",
                        r->offset + 1);
        for (Unknown *u = r->unknown; u; u = u->next) {
                if (!u->covered ||
                                (!escapes && !memmem(answer->body, answer->body_size, u->id, strlen(u->id))))
                        continue;
                u->covered = false;
                r->doubts = true;
                log_warning("It may be the task of submission %s, which stays unknown.", u->id);
                if (!u->saving && u->expires_at <= outbox_realtime(r->outbox))
                        unknown_expire(u, "nobody answered, and what may be its task can't be read");
        }
        r->offset++;
        r->page_failures = r->n_older = 0; /* nobody knows how old it is */
        r->limit = 2;
        ask_page_in(r, 0);
}

/* A page that didn't come whole, or that can't be read, is asked for in halves. True: it is seen to. */
static bool narrow(Resolver *r, const ApiAnswer *answer, Outcome outcome)
{
        const char *docs;
        size_t size;
        const bool unreadable = outcome == OUTCOME_DONE && answer_find_docs(answer, &docs, &size);

        if (r->outbox->stopping || (!unreadable && (!answer_broke_off(answer) || r->limit == 1)))
                return false;
        if (r->limit > 1) {
                r->limit /= 2;
                ask_page_in(r, 0);
        } else if (++r->page_failures < READ_TRIES)
                ask_page_in(r, backoff_local(r->page_failures));
        else
                pass_over(r, answer);
        return true;
}

static void on_page(const ApiAnswer *answer, void *userdata)
{
        json_auto_t *page = NULL;
        Resolver *r = userdata;
        Outbox *o = r->outbox;
        char text[OUTCOME_TEXT_SIZE];
        const char *why;
        bool more;
        Outcome outcome = outbox_note_answer(o, answer);

        if (outcome == OUTCOME_ACCOUNT)
                outbox_hold(o, outcome_describe(answer, text));
        if (outcome == OUTCOME_DONE)
                page = outcome_read(answer);
        if (!page && narrow(r, answer, outcome))
                return;
        if (!page) {
                fail_page(r, answer, outcome, outcome_describe(answer, text));
                return;
        }
        outbox_note_page(o, page);
        r->page_failures = 0;
        r->limit = MIN(2 * r->limit, PAGE_SIZE);
        why = take_page(r, page, &more);
        if (!why && o->options.api.is_test(o->options.api.userdata) != r->is_test)
                why = "another key was read meanwhile";
        if (!why && more && (r->n_older >= PAGE_SIZE || !is_anybody_left(r)))
                more = false;
        if (!why && more && r->pages >= PAGES_MAX)
                why = "there are too many pages";
        if (why)
                fail_listing(r, answer, why);
        else if (more)
                ask_page_in(r, 0);
        else
                complete_listing(r);
}

static void ask_page(Resolver *r)
{
        char path[64];
        const ApiRequest request = {
                .method = "GET", .path = path, .max_answer = r->limit == 1 ? TASK_MAX : 0
        };
        ApiAnswer failure = { .date = TIME_NONE, .retry_after = UINT64_MAX };
        Outbox *o = r->outbox;

        snprintf(path, sizeof(path), "/tasks?limit=%u&offset=%" PRIu64, r->limit, r->offset);
        failure.error = o->stopping || o->fatal ? -ECANCELED : outbox_ask(o, &request, on_page, r);
        if (failure.error < 0) {
                fail_listing(r, &failure, strerror(-failure.error));
                return;
        }
        r->pages++;
        o->stats.lists++;
}

/* Whom a listing that begins now will tell about. False: nobody. */
static bool cover(Resolver *r, uint64_t now)
{
        bool any = false;

        r->is_test = r->outbox->options.api.is_test(r->outbox->options.api.userdata);
        r->floor = INT64_MAX;
        for (Unknown *u = r->unknown; u; u = u->next) {
                u->covered = !u->saving && u->settled_at <= now && u->is_test == r->is_test;
                if (!u->covered)
                        continue;
                any = true;
                if (u->floor_at == TIME_NONE)
                        r->floor = TIME_NONE;
                else if (r->floor != TIME_NONE)
                        r->floor = MIN(r->floor, u->floor_at - API_STEP_USEC);
        }
        return any;
}

bool listing_begin(Resolver *r, uint64_t now)
{
        if (!cover(r, now))
                return false;
        r->listing = true;
        r->doubts = false;
        r->offset = r->pages = r->page_failures = r->n_older = 0;
        r->limit = PAGE_SIZE;
        ask_page(r);
        return true;
}

void listing_go_on(Resolver *r, uint64_t now)
{
        if (!r->page_waits)
                return;
        if (r->page_at > now)
                outbox_wake_at(r->outbox, r->page_at);
        else if (outbox_may_ask(r->outbox)) {
                r->page_waits = false;
                ask_page(r);
        }
}
