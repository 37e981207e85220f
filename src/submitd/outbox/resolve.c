/*
 * Whether there is a task for a submission that nobody answered.
 *
 * What proves that there is one: the store has met it (a callback came), or a list of the API's tasks shows
 * it; that is taken at once, from whatever page. What proves that there is none is only this: a listing
 * that began when the request could not make one any more, that reached back to before the request, and of
 * which every page came and was whole. A listing with a failed page proves nothing and is begun anew, later.
 *
 * A request may leave until the last moment at which somebody waits for it, and the API may work on it for
 * as long as we would have waited then; that its connection broke, or that we died, doesn't stop it, and an
 * error may come from a proxy that has given up earlier. So it can't make a task any more when [api]
 * timeout, as it was when the request left, has passed since it came to its end on our side, and lists show
 * what it made when `settle` has passed after that. The end of one whose process died is when the next
 * process found it. Both are kept with the submission, by the clock that counts from the machine's start:
 * time of day may jump, and a process that is started again and again must not wait anew each time.
 *
 * New tasks come in front, so that while pages are turned they push others to later pages: some are shown
 * twice, none is left out.
 *
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

#include "submitd/outbox/resolve.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/answer.h"
#include "submitd/api/backoff.h"
#include "submitd/outbox/save.h"

/* How far the clock of created_at may go back. */
#define API_STEP_USEC     (7 * (int64_t)USEC_PER_DAY)
#define UNKNOWN_MAX       1024U /* in memory at once; while there are so many, nothing new is sent */
#define UNKNOWN_RESERVED  256U  /* of these, for what is being sent right now */
#define SCAN_USEC         USEC_PER_SEC
#define PAGE_SIZE         100U
#define LISTING_PAGES_MAX 50000U                     /* of one listing */
#define LISTING_TRIES_MAX 6U                         /* of one page: for some seconds */
#define READ_TRIES        3U                         /* of a page of one task that can't be read */
#define TASK_MAX          ((size_t)64 * 1024 * 1024) /* bytes of such a page: they are only searched */

typedef struct Unknown Unknown;
struct Unknown {
        Resolver *resolver;
        LIST_ENTRY(Unknown) entry;
        Save save;
        bool saving;
        bool covered; /* by the listing under way: if that doesn't show it, there is no task */
        Attempt attempt;
        uint64_t settled_at; /* monotonic */
};

struct Resolver {
        Outbox *outbox;
        LIST_HEAD(, Unknown) unknown;
        unsigned n;

        bool listing;
        bool is_test;     /* of the key that lists */
        int64_t floor;    /* what was made before isn't looked for; TIME_NONE: to the end */
        unsigned n_older; /* tasks in a row that were */
        uint64_t offset;
        unsigned limit; /* of the next page */
        unsigned pages;
        bool page_waits; /* for page_at, to be asked for once more */
        unsigned page_failures;
        bool doubts; /* a page that can't be read may show somebody whom the listing covered */
        uint64_t page_at;

        unsigned failures;
        uint64_t list_at; /* not before */
        uint64_t scan_at;
};

int resolver_new(Outbox *outbox, Resolver **ret)
{
        Resolver *resolver = calloc(1, sizeof(Resolver));

        if (!resolver)
                return -ENOMEM;
        resolver->outbox = outbox;
        *ret = resolver;
        return 0;
}

static void unknown_forget(Unknown *unknown)
{
        Resolver *resolver = unknown->resolver;

        LIST_REMOVE(unknown, entry);
        resolver->n--;
        save_done(&unknown->save);
        free(unknown);
}

Resolver *resolver_free(Resolver *resolver)
{
        if (!resolver)
                return NULL;

        while (!LIST_EMPTY(&resolver->unknown))
                unknown_forget(LIST_FIRST(&resolver->unknown));
        free(resolver);
        return NULL;
}

bool resolver_has_room(const Resolver *resolver)
{
        const Outbox *outbox = resolver->outbox;

        return resolver->n + outbox->n_sendings + outbox->options.max_in_flight <= UNKNOWN_MAX;
}

void resolver_hurry(Resolver *resolver)
{
        resolver->failures = 0;
        resolver->list_at = 0;
}

static Unknown *unknown_find(const Resolver *resolver, const char *id)
{
        Unknown *unknown;

        LIST_FOREACH(unknown, &resolver->unknown, entry)
                if (streq(unknown->attempt.id, id))
                        return unknown;
        return NULL;
}

static Unknown *unknown_add(Resolver *resolver, const Attempt *attempt)
{
        Unknown *unknown = calloc(1, sizeof(Unknown));

        if (!unknown)
                return NULL; /* the row is unknown: it is found again by a scan */
        unknown->resolver = resolver;
        unknown->attempt = *attempt;
        unknown->settled_at = outbox_settles_at(resolver->outbox, attempt->ended_at, attempt->grace);
        LIST_INSERT_HEAD(&resolver->unknown, unknown, entry);
        resolver->n++;
        return unknown;
}

void resolver_add(Resolver *resolver, const Attempt *attempt)
{
        Unknown *unknown = unknown_find(resolver, attempt->id) ?: unknown_add(resolver, attempt);

        if (unknown)
                unknown->attempt = *attempt;
}

/* Those that are unknown and not in memory. */

static int take_row(const Submission *submission, void *userdata)
{
        Resolver *resolver = userdata;
        Attempt attempt = {
                .n = submission->attempts,
                .status = submission->status,
                .is_test = submission->is_test,
                .sent_at = submission->sent_at,
                .floor_at = submission->floor_at,
                .ended_at = submission->ended_at,
                .grace = submission->grace,
                .expires_at = submission->expires_at,
                .live_day = submission->sent_at == TIME_NONE ? 0
                                                             : submission->sent_at / (int64_t)USEC_PER_DAY,
        };

        if (unknown_find(resolver, submission->id) || resolver->n >= UNKNOWN_MAX - UNKNOWN_RESERVED)
                return 0;
        snprintf(attempt.id, sizeof(attempt.id), "%s", submission->id);
        return unknown_add(resolver, &attempt) ? 0 : -ENOMEM;
}

static int scan(Resolver *resolver, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(resolver->outbox);

        if (queue->by_state[SUBMISSION_UNKNOWN] == resolver->n)
                return 0;
        if (resolver->scan_at > now) {
                outbox_wake_at(resolver->outbox, resolver->scan_at);
                return 0;
        }
        resolver->scan_at = now + SCAN_USEC;
        return store_list_submissions(resolver->outbox->options.reader, SUBMISSION_UNKNOWN, 0, UNKNOWN_MAX,
                        take_row, resolver);
}

/* What is found out. */

static void on_saved(Save *save, int result, void *userdata)
{
        Unknown *unknown = userdata;
        Outbox *outbox = save->outbox;
        bool accepts = save->job.change.kind == STORE_ACCEPT;

        if (result == 0 && accepts && save->job.change.moved == STORE_MOVED_ON)
                outbox->stats.duplicates++;
        else if (result == 0 && save->job.change.moved == 0) {
                outbox->stats.resolved_found += accepts;
                outbox->stats.resolved_absent += !accepts && save->move.sent_at == TIME_NONE;
                outbox->stats.canceled += !accepts && save->move.to == SUBMISSION_CANCELED;
                outbox->stats.expired += !accepts && save->move.to == SUBMISSION_EXPIRED;
                if (accepts && save->snapshot->has_response)
                        outbox_tell_task(outbox, save->snapshot);
        }
        unknown_forget(unknown);
}

static Save *begin_save(Unknown *unknown, StoreChangeKind kind)
{
        save_done(&unknown->save);
        save_init(&unknown->save, unknown->resolver->outbox, kind, unknown->attempt.id, on_saved, unknown);
        unknown->saving = true;
        return &unknown->save;
}

static int unknown_accept(Unknown *unknown, const json_t *task)
{
        TaskSnapshot *snapshot;
        Save *save;
        int r;

        r = task_snapshot_new(task, outbox_realtime(unknown->resolver->outbox), &snapshot);
        if (r < 0)
                return r;
        save = begin_save(unknown, STORE_ACCEPT);
        save->snapshot = snapshot;
        save_submit(save);
        return 0;
}

/* `maybe`: there may be a task for it. */
static void leave_unknown(Unknown *unknown, SubmissionState to, bool maybe, const char *why)
{
        Save *save = begin_save(unknown, STORE_MOVE);
        Outbox *outbox = save->outbox;

        save->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_UNKNOWN),
                .to = to,
                .now = outbox_realtime(outbox),
                .sent_at = maybe ? unknown->attempt.sent_at : TIME_NONE,
                .floor_at = maybe ? unknown->attempt.floor_at : TIME_NONE,
                .ended_at = maybe ? unknown->attempt.ended_at : TIME_NONE,
                .grace = maybe ? unknown->attempt.grace : TIME_NONE,
                .is_test = unknown->attempt.is_test,
                .status = unknown->attempt.status,
                .expires_at = TIME_NONE,
        };
        save->move.next_at = outbox_next_try(save->move.now,
                        backoff_delay(unknown->attempt.n, &outbox->chance), unknown->attempt.expires_at);
        snprintf(save->error, sizeof(save->error), "%s", why);
        if (!maybe && !unknown->attempt.is_test) {
                save->move.live_by = -1;
                save->move.live_day = unknown->attempt.live_day;
        }
        save_submit(save);
}

static int take_cancel_wanted(const Submission *submission, void *userdata)
{
        *(bool *)userdata = submission->cancel_wanted;
        return 0;
}

static void unknown_conclude_absent(Unknown *unknown)
{
        Outbox *outbox = unknown->resolver->outbox;
        bool cancel = false;

        /* A wish that comes after this is seen when it is taken out of the queue. */
        (void)store_get_submission(
                        outbox->options.reader, unknown->attempt.id, false, take_cancel_wanted, &cancel);
        if (cancel)
                leave_unknown(unknown, SUBMISSION_CANCELED, false, "canceled: there is no task for it");
        else /* as what was not sent: nothing is given up before a try when its time is over */
                leave_unknown(unknown,
                                unknown->attempt.sent_at >= unknown->attempt.expires_at ? SUBMISSION_EXPIRED
                                                                                        : SUBMISSION_QUEUED,
                                false, "nobody answered, and the API's list shows that there is no task");
}

static void unknown_expire(Unknown *unknown, const char *why)
{
        leave_unknown(unknown, SUBMISSION_EXPIRED, true, why);
}

/* A listing. */

static void end_listing(Resolver *resolver)
{
        Unknown *unknown;
        resolver->listing = resolver->page_waits = false;
        LIST_FOREACH(unknown, &resolver->unknown, entry)
                unknown->covered = false;
}

/* It proves nothing. Whose time is over isn't waited for any longer, now that it was tried. */
static void fail_listing(Resolver *resolver, const ApiAnswer *answer, const char *why)
{
        Unknown *unknown;
        Outbox *outbox = resolver->outbox;
        uint64_t delay = backoff_delay(++resolver->failures, &outbox->chance);

        if (answer->retry_after != UINT64_MAX)
                delay = MAX(delay, MIN(answer->retry_after, RETRY_AFTER_MAX));
        resolver->list_at = outbox_monotonic(outbox) + delay;
        log_full(resolver->failures == 1 ? LOG_WARNING : LOG_DEBUG,
                        "The API's tasks can't be listed, %u submissions stay unknown: %s", resolver->n,
                        why);
        LIST_FOREACH(unknown, &resolver->unknown, entry)
                if (unknown->covered && !unknown->saving &&
                                unknown->attempt.expires_at <= outbox_realtime(outbox))
                        unknown_expire(unknown,
                                        "nobody answered, and the API's tasks could not be listed since");
        end_listing(resolver);
}

static void complete_listing(Resolver *resolver)
{
        Unknown *next;

        resolver->failures = resolver->doubts ? resolver->failures + 1 : 0;
        resolver->list_at = resolver->doubts ? outbox_monotonic(resolver->outbox) +
                                                               backoff_delay(resolver->failures,
                                                                               &resolver->outbox->chance)
                                             : 0;
        for (Unknown *unknown = LIST_FIRST(&resolver->unknown); unknown; unknown = next) {
                next = LIST_NEXT(unknown, entry);
                if (unknown->covered && !unknown->saving)
                        unknown_conclude_absent(unknown);
        }
        end_listing(resolver);
}

/* Counts tasks in a row that are older than anything that is looked for. */
static void note_age(Resolver *resolver, const json_t *task)
{
        int64_t created = outcome_task_created(task);

        resolver->n_older = created != TIME_NONE && resolver->floor != TIME_NONE && created < resolver->floor
                                            ? resolver->n_older + 1
                                            : 0;
}

static bool is_anybody_left(const Resolver *resolver)
{
        const Unknown *unknown;

        LIST_FOREACH(unknown, &resolver->unknown, entry)
                if (unknown->covered && !unknown->saving)
                        return true;
        return false;
}

/* Takes what one page shows. NULL, or why it can't be used. *ret_more: there are more pages. */
static const char *take_page(Resolver *resolver, const json_t *page, bool *ret_more)
{
        const json_t *docs = json_object_get(page, "docs"), *more = json_object_get(page, "has_more"),
                     *total = json_object_get(page, "total"), *offset = json_object_get(page, "offset"),
                     *task;
        size_t i;

        if (!json_is_array(docs) || !json_is_boolean(more) || !json_is_integer(total))
                return "a page without docs, total or has_more";
        if (!json_is_integer(offset) || (uint64_t)json_integer_value(offset) != resolver->offset)
                return "a page that is not the one that was asked for";
        json_array_foreach(docs, i, task) {
                const char *id = outcome_task_submission(task);
                Unknown *unknown = id ? unknown_find(resolver, id) : NULL;

                note_age(resolver, task);
                if (!unknown || unknown->saving)
                        continue;
                if (!outcome_task_id(task))
                        return "a task without an id that can be used";
                if (unknown_accept(unknown, task) < 0)
                        return "a task that can't be kept";
        }

        resolver->offset += json_array_size(docs);
        *ret_more = json_is_true(more);
        if (*ret_more ? json_array_size(docs) == 0 : resolver->offset < (uint64_t)json_integer_value(total))
                return "a page that shows less than it says";
        return NULL;
}

/* The next page, or the same once more. */
static void ask_page_in(Resolver *resolver, uint64_t delay)
{
        resolver->page_waits = true;
        resolver->page_at = outbox_monotonic(resolver->outbox) + delay;
}

/* Nobody answered, or with something that is no list: the page is asked for again, in a moment. Where the
 * first one fails, nothing is lost with the listing. */
static void fail_page(Resolver *resolver, const ApiAnswer *answer, Outcome outcome, const char *why)
{
        Outbox *outbox = resolver->outbox;

        if (resolver->offset == 0 || outcome == OUTCOME_ACCOUNT || outcome == OUTCOME_REJECTED ||
                        outbox->stopping || ++resolver->page_failures >= LISTING_TRIES_MAX) {
                fail_listing(resolver, answer, why);
                return;
        }
        log_debug("A page of the API's tasks is asked for again: %s", why);
        ask_page_in(resolver, backoff_local(resolver->page_failures));
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
static void pass_over(Resolver *resolver, const ApiAnswer *answer)
{
        Unknown *unknown;
        const bool escapes = hides_digits(answer->body, answer->body_size);

        log_warning("A task that the API lists can't be read, and is passed over: it is number %" PRIu64
                    " of the list, the newest first.",
                        resolver->offset + 1);
        LIST_FOREACH(unknown, &resolver->unknown, entry) {
                if (!unknown->covered ||
                                (!escapes && !memmem(answer->body, answer->body_size, unknown->attempt.id,
                                                             strlen(unknown->attempt.id))))
                        continue;
                unknown->covered = false;
                resolver->doubts = true;
                log_warning("It may be the task of submission %s, which stays unknown.",
                                unknown->attempt.id);
                if (!unknown->saving && unknown->attempt.expires_at <= outbox_realtime(resolver->outbox))
                        unknown_expire(unknown, "nobody answered, and what may be its task can't be read");
        }
        resolver->offset++;
        resolver->page_failures = resolver->n_older = 0; /* nobody knows how old it is */
        resolver->limit = 2;
        ask_page_in(resolver, 0);
}

/* A page that didn't come whole, or that can't be read, is asked for in halves. True: it is seen to. */
static bool narrow(Resolver *resolver, const ApiAnswer *answer, Outcome outcome)
{
        const char *docs;
        size_t size;
        const bool unreadable = outcome == OUTCOME_DONE && answer_find_docs(answer, &docs, &size);

        if (resolver->outbox->stopping ||
                        (!unreadable && (!answer_broke_off(answer) || resolver->limit == 1)))
                return false;
        if (resolver->limit > 1) {
                resolver->limit /= 2;
                ask_page_in(resolver, 0);
        } else if (++resolver->page_failures < READ_TRIES)
                ask_page_in(resolver, backoff_local(resolver->page_failures));
        else
                pass_over(resolver, answer);
        return true;
}

static void on_page(const ApiAnswer *answer, void *userdata)
{
        json_auto_t *page = NULL;
        Resolver *resolver = userdata;
        Outbox *outbox = resolver->outbox;
        char text[OUTCOME_TEXT_SIZE];
        const char *why;
        bool more;
        Outcome outcome = outbox_note_answer(outbox, answer);

        if (outcome == OUTCOME_ACCOUNT)
                save_hold(outbox, outcome_describe(answer, text));
        if (outcome == OUTCOME_DONE)
                page = outcome_read(answer);
        if (!page && narrow(resolver, answer, outcome))
                return;
        if (!page) {
                fail_page(resolver, answer, outcome, outcome_describe(answer, text));
                return;
        }
        outbox_note_page(outbox, page);
        resolver->page_failures = 0;
        resolver->limit = MIN(2 * resolver->limit, PAGE_SIZE);
        why = take_page(resolver, page, &more);
        if (!why && outbox_is_test(outbox) != resolver->is_test)
                why = "another key was read meanwhile";
        if (!why && more && (resolver->n_older >= PAGE_SIZE || !is_anybody_left(resolver)))
                more = false;
        if (!why && more && resolver->pages >= LISTING_PAGES_MAX)
                why = "there are too many pages";
        if (why)
                fail_listing(resolver, answer, why);
        else if (more)
                ask_page_in(resolver, 0);
        else
                complete_listing(resolver);
}

static void ask_page(Resolver *resolver)
{
        char path[64];
        const ApiRequest request = {
                .method = "GET", .path = path, .max_answer = resolver->limit == 1 ? TASK_MAX : 0
        };
        ApiAnswer failure = { .date = TIME_NONE, .retry_after = UINT64_MAX };
        Outbox *outbox = resolver->outbox;

        snprintf(path, sizeof(path), "/tasks?limit=%u&offset=%" PRIu64, resolver->limit, resolver->offset);
        failure.error = outbox->stopping || outbox->fatal ? -ECANCELED
                                                          : outbox_ask(outbox, &request, on_page, resolver);
        if (failure.error < 0) {
                fail_listing(resolver, &failure, strerror(-failure.error));
                return;
        }
        resolver->pages++;
        outbox->stats.lists++;
}

/* Whom a listing that begins now will tell about. False: nobody. */
static bool cover(Resolver *resolver, uint64_t now)
{
        Unknown *unknown;
        bool any = false;

        resolver->is_test = outbox_is_test(resolver->outbox);
        resolver->floor = INT64_MAX;
        LIST_FOREACH(unknown, &resolver->unknown, entry) {
                unknown->covered = !unknown->saving && unknown->settled_at <= now &&
                                   unknown->attempt.is_test == resolver->is_test;
                if (!unknown->covered)
                        continue;
                any = true;
                if (unknown->attempt.floor_at == TIME_NONE)
                        resolver->floor = TIME_NONE;
                else if (resolver->floor != TIME_NONE)
                        resolver->floor = MIN(resolver->floor, unknown->attempt.floor_at - API_STEP_USEC);
        }
        return any;
}

static bool listing_begin(Resolver *resolver, uint64_t now)
{
        if (!cover(resolver, now))
                return false;
        resolver->listing = true;
        resolver->doubts = false;
        resolver->offset = resolver->pages = resolver->page_failures = resolver->n_older = 0;
        resolver->limit = PAGE_SIZE;
        ask_page(resolver);
        return true;
}

static void listing_go_on(Resolver *resolver, uint64_t now)
{
        if (!resolver->page_waits)
                return;
        if (resolver->page_at > now)
                outbox_wake_at(resolver->outbox, resolver->page_at);
        else if (outbox_may_ask(resolver->outbox)) {
                resolver->page_waits = false;
                ask_page(resolver);
        }
}

/* What the store knows. */

typedef struct Known {
        bool unknown; /* its state still is */
        json_t *task;
} Known;

static int take_state(const Submission *submission, void *userdata)
{
        Known *known = userdata;

        known->unknown = submission->state == SUBMISSION_UNKNOWN;
        return 0;
}

static int take_known_task(const TaskDocument *document, void *userdata)
{
        Known *known = userdata;

        return task_document_to_json(document, &known->task);
}

/* Takes what the store has learned meanwhile. 0 or negative errno. */
static int look_into_store(Unknown *unknown)
{
        StoreReader *reader = unknown->resolver->outbox->options.reader;
        char task_id[CALLBACK_ID_MAX + 1];
        Known known = { 0 };
        int r;

        r = store_get_submission(reader, unknown->attempt.id, false, take_state, &known);
        if (r < 0)
                return r;
        if (r == 0 || !known.unknown) {
                unknown_forget(unknown); /* somebody else's: a callback accepted it */
                return 0;
        }
        r = store_find_task_of_submission(reader, unknown->attempt.id, task_id);
        if (r > 0)
                r = store_get_task(reader, task_id, take_known_task, &known);
        if (r > 0)
                r = unknown_accept(unknown, known.task);
        json_decref(known.task);
        return MIN(r, 0);
}

static int look_into_store_for_all(Resolver *resolver, uint64_t now)
{
        Unknown *next;
        int r;

        for (Unknown *unknown = LIST_FIRST(&resolver->unknown); unknown; unknown = next) {
                next = LIST_NEXT(unknown, entry);
                if (unknown->saving || unknown->settled_at > now)
                        continue;
                r = look_into_store(unknown);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* When the next one settles; UINT64_MAX: never. */
static uint64_t next_settled(const Resolver *resolver)
{
        const Unknown *unknown;
        uint64_t at = UINT64_MAX;

        LIST_FOREACH(unknown, &resolver->unknown, entry)
                if (!unknown->saving)
                        at = MIN(at, unknown->settled_at);
        return at;
}

/* Whom no listing can tell about, because it was sent with the other kind of key, has a last day too. */
static void expire_uncovered(Resolver *resolver)
{
        Unknown *unknown;

        LIST_FOREACH(unknown, &resolver->unknown, entry)
                if (!unknown->saving && unknown->attempt.is_test != resolver->is_test &&
                                unknown->attempt.expires_at <= outbox_realtime(resolver->outbox))
                        unknown_expire(unknown,
                                        "nobody answered, and the key that it was sent with is gone");
}

int resolver_run(Resolver *resolver, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(resolver->outbox), at;
        int r;

        r = scan(resolver, queue);
        if (r >= 0 && resolver->listing)
                listing_go_on(resolver, now);
        if (r < 0 || resolver->listing)
                return r;

        at = MAX(next_settled(resolver), resolver->list_at);
        if (at > now || !outbox_may_ask(resolver->outbox)) {
                if (at > now && at != UINT64_MAX)
                        outbox_wake_at(resolver->outbox, at);
                return 0;
        }
        r = look_into_store_for_all(resolver, now);
        if (r < 0)
                return r;
        if (!listing_begin(resolver, now) && resolver->n > 0)
                outbox_wake_at(resolver->outbox, now + LOOK_USEC);
        expire_uncovered(resolver);
        return 0;
}
