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

#define SCAN_USEC  USEC_PER_SEC
#define PAGE_SIZE  100U
#define PAGES_MAX  50000U                     /* of one listing */
#define TRIES_MAX  6U                         /* of one page: for some seconds */
#define READ_TRIES 3U                         /* of a page of one task that can't be read */
#define TASK_MAX   ((size_t)64 * 1024 * 1024) /* bytes of such a page: they are only searched */

typedef struct Unknown Unknown;
struct Unknown {
        Resolver *resolver;
        Unknown *next;
        Save save;
        bool saving;
        bool covered; /* by the listing under way: if that doesn't show it, there is no task */
        bool is_test;
        char id[SUBMISSION_ID_SIZE];
        unsigned attempts, status;
        int64_t sent_at, floor_at, ended_at, grace, expires_at, live_day;
        uint64_t settled_at; /* monotonic */
};

struct Resolver {
        Outbox *outbox;
        Unknown *unknown;
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

int resolver_new(Outbox *o, Resolver **ret)
{
        Resolver *r = calloc(1, sizeof(Resolver));

        if (!r)
                return -ENOMEM;
        r->outbox = o;
        *ret = r;
        return 0;
}

static void unknown_forget(Unknown *u)
{
        Resolver *r = u->resolver;

        for (Unknown **i = &r->unknown; *i; i = &(*i)->next)
                if (*i == u) {
                        *i = u->next;
                        r->n--;
                        break;
                }
        save_done(&u->save);
        free(u);
}

Resolver *resolver_free(Resolver *r)
{
        if (!r)
                return NULL;

        while (r->unknown)
                unknown_forget(r->unknown);
        free(r);
        return NULL;
}

unsigned resolver_count(const Resolver *r)
{
        return r->n;
}

void resolver_hurry(Resolver *r)
{
        r->failures = 0;
        r->list_at = 0;
}

static Unknown *unknown_find(const Resolver *r, const char *id)
{
        for (Unknown *u = r->unknown; u; u = u->next)
                if (streq(u->id, id))
                        return u;
        return NULL;
}

static Unknown *add(Resolver *r, const char *id, int64_t ended_at, int64_t grace)
{
        Unknown *u = calloc(1, sizeof(Unknown));

        if (!u)
                return NULL; /* the row is unknown: it is found again by a scan */
        u->resolver = r;
        snprintf(u->id, sizeof(u->id), "%s", id);
        u->ended_at = ended_at;
        u->grace = grace;
        u->settled_at = outbox_settles_at(r->outbox, ended_at, grace);
        u->next = r->unknown;
        r->unknown = u;
        r->n++;
        return u;
}

void resolver_add(Resolver *r, const Sending *x)
{
        Unknown *u = unknown_find(r, x->id) ?: add(r, x->id, x->ended_at, x->grace);

        if (!u)
                return;
        u->attempts = x->attempts;
        u->status = x->save.move.status;
        u->is_test = x->is_test;
        u->sent_at = x->sent_at;
        u->floor_at = x->floor_at;
        u->expires_at = x->expires_at;
        u->live_day = x->live_day;
}

/* Those that are unknown and not in memory. */

static int take_row(const Submission *s, void *userdata)
{
        Resolver *r = userdata;
        Unknown *u;

        if (unknown_find(r, s->id) || r->n >= UNKNOWN_MAX - UNKNOWN_RESERVED)
                return 0;
        u = add(r, s->id, s->ended_at, s->grace);
        if (!u)
                return -ENOMEM;
        u->attempts = s->attempts;
        u->status = s->status;
        u->is_test = s->is_test;
        u->sent_at = s->sent_at;
        u->floor_at = s->floor_at;
        u->expires_at = s->expires_at;
        u->live_day = s->sent_at == TIME_NONE ? 0 : s->sent_at / (int64_t)USEC_PER_DAY;
        return 0;
}

static int scan(Resolver *r, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(r->outbox);

        if (queue->by_state[SUBMISSION_UNKNOWN] == r->n)
                return 0;
        if (r->scan_at > now) {
                outbox_wake_at(r->outbox, r->scan_at);
                return 0;
        }
        r->scan_at = now + SCAN_USEC;
        return store_list_submissions(
                        r->outbox->options.reader, SUBMISSION_UNKNOWN, 0, UNKNOWN_MAX, take_row, r);
}

/* What is found out. */

static void on_saved(Save *s, int result, void *userdata)
{
        Unknown *u = userdata;
        Outbox *o = s->outbox;
        bool accepts = s->kind == SAVE_ACCEPT;

        if (result == 0 && accepts && s->outcome == STORE_MOVED_ON)
                o->stats.duplicates++;
        else if (result == 0 && s->outcome == 0) {
                o->stats.resolved_found += accepts;
                o->stats.resolved_absent += !accepts && s->move.sent_at == TIME_NONE;
                o->stats.canceled += !accepts && s->move.to == SUBMISSION_CANCELED;
                o->stats.expired += !accepts && s->move.to == SUBMISSION_EXPIRED;
                if (accepts && s->snapshot->has_response)
                        outbox_tell_task(o, s->snapshot);
        }
        unknown_forget(u);
}

static Save *begin_save(Unknown *u)
{
        save_done(&u->save);
        save_init(&u->save, u->resolver->outbox, u->id, on_saved, u);
        u->saving = true;
        return &u->save;
}

static int unknown_accept(Unknown *u, const json_t *task)
{
        TaskSnapshot *snapshot;
        Save *s;
        int r;

        r = task_snapshot_new(task, outbox_realtime(u->resolver->outbox), &snapshot);
        if (r < 0)
                return r;
        s = begin_save(u);
        s->kind = SAVE_ACCEPT;
        s->snapshot = snapshot;
        save_submit(s);
        return 0;
}

/* `maybe`: there may be a task for it. */
static void leave_unknown(Unknown *u, SubmissionState to, bool maybe, const char *why)
{
        Save *s = begin_save(u);
        Outbox *o = s->outbox;

        s->kind = SAVE_MOVE;
        s->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_UNKNOWN),
                .to = to,
                .now = outbox_realtime(o),
                .sent_at = maybe ? u->sent_at : TIME_NONE,
                .floor_at = maybe ? u->floor_at : TIME_NONE,
                .ended_at = maybe ? u->ended_at : TIME_NONE,
                .grace = maybe ? u->grace : TIME_NONE,
                .is_test = u->is_test,
                .status = u->status,
                .expires_at = TIME_NONE,
        };
        s->move.next_at =
                        outbox_next_try(s->move.now, backoff_delay(u->attempts, &o->chance), u->expires_at);
        snprintf(s->error, sizeof(s->error), "%s", why);
        if (!maybe && !u->is_test) {
                s->live_by = -1;
                s->live_day = u->live_day;
        }
        save_submit(s);
}

static int take_wish(const Submission *s, void *userdata)
{
        *(bool *)userdata = s->cancel_wanted;
        return 0;
}

static void unknown_conclude_absent(Unknown *u)
{
        Outbox *o = u->resolver->outbox;
        bool cancel = false;

        /* A wish that comes after this is seen when it is taken out of the queue. */
        (void)store_get_submission(o->options.reader, u->id, false, take_wish, &cancel);
        if (cancel)
                leave_unknown(u, SUBMISSION_CANCELED, false, "canceled: there is no task for it");
        else /* as what was not sent: nothing is given up before a try when its time is over */
                leave_unknown(u, u->sent_at >= u->expires_at ? SUBMISSION_EXPIRED : SUBMISSION_QUEUED, false,
                                "nobody answered, and the API's list shows that there is no task");
}

static void unknown_expire(Unknown *u, const char *why)
{
        leave_unknown(u, SUBMISSION_EXPIRED, true, why);
}

/* A listing. */

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
                delay = MAX(delay, MIN(answer->retry_after, RETRY_AFTER_MAX));
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

static bool listing_begin(Resolver *r, uint64_t now)
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

static void listing_go_on(Resolver *r, uint64_t now)
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

/* What the store knows. */

typedef struct Known {
        bool unknown; /* its state still is */
        json_t *task;
} Known;

static int take_state(const Submission *s, void *userdata)
{
        Known *k = userdata;

        k->unknown = s->state == SUBMISSION_UNKNOWN;
        return 0;
}

static int take_task(const TaskDocument *d, void *userdata)
{
        Known *k = userdata;

        return task_document_to_json(d, &k->task);
}

/* 0; negative errno. Afterwards the submission may be in good hands. */
static int look_into_store(Unknown *u)
{
        StoreReader *reader = u->resolver->outbox->options.reader;
        char task_id[CALLBACK_ID_MAX + 1];
        Known k = { 0 };
        int r;

        r = store_get_submission(reader, u->id, false, take_state, &k);
        if (r < 0)
                return r;
        if (r == 0 || !k.unknown) {
                unknown_forget(u); /* somebody else's: a callback accepted it */
                return 0;
        }
        r = store_find_task_of_submission(reader, u->id, task_id);
        if (r > 0)
                r = store_get_task(reader, task_id, take_task, &k);
        if (r > 0)
                r = unknown_accept(u, k.task);
        json_decref(k.task);
        return MIN(r, 0);
}

static int look_into_store_for_all(Resolver *r, uint64_t now)
{
        Unknown *next;
        int q;

        for (Unknown *u = r->unknown; u; u = next) {
                next = u->next;
                if (u->saving || u->settled_at > now)
                        continue;
                q = look_into_store(u);
                if (q < 0)
                        return q;
        }
        return 0;
}

/* When the next one settles; UINT64_MAX: never. */
static uint64_t next_settled(const Resolver *r)
{
        uint64_t at = UINT64_MAX;

        for (const Unknown *u = r->unknown; u; u = u->next)
                if (!u->saving)
                        at = MIN(at, u->settled_at);
        return at;
}

/* Whom no listing can tell about, because it was sent with the other kind of key, has a last day too. */
static void expire_uncovered(Resolver *r)
{
        for (Unknown *u = r->unknown; u; u = u->next)
                if (!u->saving && u->is_test != r->is_test && u->expires_at <= outbox_realtime(r->outbox))
                        unknown_expire(u, "nobody answered, and the key that it was sent with is gone");
}

int resolver_run(Resolver *r, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(r->outbox), at;
        int q;

        q = scan(r, queue);
        if (q >= 0 && r->listing)
                listing_go_on(r, now);
        if (q < 0 || r->listing)
                return q;

        at = MAX(next_settled(r), r->list_at);
        if (at > now || !outbox_may_ask(r->outbox)) {
                if (at > now && at != UINT64_MAX)
                        outbox_wake_at(r->outbox, at);
                return 0;
        }
        q = look_into_store_for_all(r, now);
        if (q < 0)
                return q;
        if (!listing_begin(r, now) && r->n > 0)
                outbox_wake_at(r->outbox, now + LOOK_USEC);
        expire_uncovered(r);
        return 0;
}
