/*
 * Everything that the account has comes in by one walk over the API's list, newest first, through the door
 * of callbacks: what is known leaves no trace, so that a backfill can be run again and again, and one that
 * was interrupted is simply run once more.
 *
 * One page is at hand at a time. The next one is asked for when all of it is on disk, so that memory is
 * bounded by a page, and the disk decides how fast it goes.
 *
 * The list is newest first and moves while it is read: new tasks push the others towards its end, so
 * that some are shown twice and none is missed. An offset that grows without end would make every page
 * dearer than the one before, at the API as well; so after some pages the walk begins anew at the time that
 * it has reached, as the latest time wanted.
 *
 * That time is taken a second later than what the last task shows: an API that rounds what it shows, or that
 * knows its tasks' times more precisely, would else hide some of the same moment. Tasks that are seen again
 * are known. Where all that was walked over lies within one second there is no later place to begin at, and
 * the offset goes on growing.
 *
 * A page that breaks off, or that can't be read, is asked for in halves: tasks can be large, and a hundred
 * of them too large, and one can be what nobody can read. Behind one that came whole they are doubled again:
 * it may have been the network, and the next tasks may be small. A single task that can't be read, however
 * often it is asked for, is put into the quarantine as it came, where it came, and passed over.
 */

#include "submitd/recover/backfill.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "submitd/api/answer.h"
#include "submitd/api/backoff.h"

#define IN_FLIGHT_USUAL 32U
#define PAGE_USUAL      100U
#define WINDOW_USUAL    1000U
#define PAGES_MAX       1000000U
#define TRIES_MAX       10U /* of one page: some ten minutes */
#define READ_TRIES      3U  /* of a page of one task that can't be read */
#define PASS_OVER_MAX   16U /* such pages in a row: there is no list behind them */
#define PAUSE_FIRST     USEC_PER_SEC
#define PAUSE_MOST      (2 * 60 * USEC_PER_SEC)
#define DOCS_MAX        1000U /* on a page, whatever was asked for */
#define STORE_PAUSE     (100 * USEC_PER_MSEC)
#define STORE_MAX       600U /* tries while the commit queue is full: a minute */
#define PATH_MAX_SIZE   192U
#define SECOND          ((int64_t)USEC_PER_SEC)

/* One task of a page, at the port. */
typedef struct Handed {
        Backfill *b;
        bool busy;
        bool is_pending;
} Handed;

struct Backfill {
        BackfillOptions options;
        BackfillReport report;
        BackfillStats stats; /* of what came to its end before this one */
        bool stopped;
        bool ending; /* no further */

        /* Where the walk is. */
        int64_t end_time;    /* TIME_NONE: open */
        uint64_t offset;     /* from there */
        unsigned limit;      /* of the next page */
        bool is_last;        /* the page at hand has none behind it */
        bool asked;          /* for the next page */
        unsigned tries;      /* of that page, or of handing over a task */
        unsigned unreadable; /* pages of one task, in a row */
        uint64_t at;         /* not to be tried before; also while storing */

        /* The page at hand. */
        json_t *docs; /* owned; NULL: none */
        size_t next_doc;
        int64_t oldest; /* created_at of the last task on it; TIME_NONE: see find_oldest() */
        Handed handed[BACKFILL_IN_FLIGHT_MAX];
        unsigned n_handed;
};

static uint64_t monotonic(const Backfill *b)
{
        return b->options.clock.monotonic(b->options.clock.userdata);
}

static int64_t realtime(const Backfill *b)
{
        return b->options.clock.realtime(b->options.clock.userdata);
}

static bool is_running(const Backfill *b)
{
        return b->report.state == RECOVERY_RUNNING;
}

static void changed(const Backfill *b)
{
        if (b->options.on_change)
                b->options.on_change(b->options.userdata);
}

_printf_(2, 3) static void fail(Backfill *b, const char *format, ...)
{
        va_list ap;

        b->ending = true;
        if (*b->report.error)
                return;
        va_start(ap, format);
        vsnprintf(b->report.error, sizeof(b->report.error), format, ap);
        va_end(ap);
}

/* Tasks. */

static void count(Backfill *b, const Receipt *receipt)
{
        BackfillCounts *c = &b->report.counts;

        switch (receipt->outcome.verdict) {
        case VERDICT_DUPLICATE:
                c->known++;
                break;
        case VERDICT_REVISED:
                c->revised++;
                break;
        case VERDICT_INVALID:
                if (receipt->outcome.repeated)
                        c->known++;
                else {
                        c->invalid++;
                        intake_tell_invalid(receipt);
                }
                break;
        case VERDICT_STORED:
        case VERDICT_ATTACHMENT_FAILURE:
        case VERDICT_DISCARDED:
        case _VERDICT_MAX:
        case _VERDICT_ERRNO:
        default:
                c->stored++;
        }
}

static void not_stored(Backfill *b, const char *task_id, int error)
{
        if (!intake_failed_alone(error)) {
                fail(b, "a task could not be stored (%s)", strerror(-error));
                return;
        }
        log_error_errno(error, "Task %s can't be stored, and is left out", strna(task_id));
        b->report.counts.invalid++;
}

static void on_stored(const Receipt *receipt, void *userdata)
{
        Handed *h = userdata;
        Backfill *b = h->b;

        h->busy = false;
        b->n_handed--;
        if (receipt->status == 503)
                not_stored(b, receipt->task_id, receipt->error);
        else
                count(b, receipt);
        changed(b);
}

static Handed *find_room(Backfill *b)
{
        FOREACH_ARRAY(h, b->handed, b->options.in_flight)
                if (!h->busy)
                        return h;
        return NULL;
}

/* 0: it is on its way, or never will be. */
static int hand_over(Backfill *b, Handed *h, uint64_t now)
{
        const json_t *task = json_array_get(b->docs, b->next_doc);
        int r;

        r = intake_take(&b->options.intake, task, SOURCE_BACKFILL, NULL, on_stored, h);
        if (r == -EAGAIN && ++b->tries < STORE_MAX) {
                b->at = now + STORE_PAUSE;
                return r;
        }
        if (r < 0) {
                not_stored(b, outcome_task_id(task), r);
                if (b->ending)
                        return r;
        } else {
                h->busy = true;
                b->n_handed++;
        }
        b->tries = 0;
        b->next_doc++;
        b->report.counts.seen++;
        b->report.counts.pending += streq_ptr(json_string_value(json_object_get(task, "status")), "pending");
        return 0;
}

static void page_store(Backfill *b, uint64_t now)
{
        while (now >= b->at && b->next_doc < json_array_size(b->docs)) {
                Handed *h = find_room(b);

                if (!h || hand_over(b, h, now) < 0)
                        return;
        }
}

/* Pages. */

static void page_advance(Backfill *b)
{
        int64_t next = b->oldest == TIME_NONE ? TIME_NONE : b->oldest + SECOND;

        b->offset += json_array_size(b->docs);
        json_decref(b->docs);
        b->docs = NULL;
        if (b->oldest != TIME_NONE && (b->report.reached == TIME_NONE || b->oldest < b->report.reached))
                b->report.reached = b->oldest;

        if (b->offset >= b->options.window && next != TIME_NONE &&
                        (b->end_time == TIME_NONE || next < b->end_time)) {
                b->end_time = next;
                b->offset = 0;
        }
}

static void try_again(Backfill *b, uint64_t pause, const char *why)
{
        b->tries++;
        b->report.counts.retries++;
        b->at = monotonic(b) + pause;
        if (b->tries >= TRIES_MAX)
                fail(b, "%s, %u times", why, b->tries);
}

static void try_again_soon(Backfill *b, const char *why)
{
        try_again(b, backoff_doubled(b->tries + 1, PAUSE_FIRST, PAUSE_MOST), why);
}

static void ask_for_less(Backfill *b, const char *why)
{
        if (b->limit == 1) {
                try_again_soon(b, why);
                return;
        }
        b->limit /= 2;
        b->report.counts.retries++;
}

/* Goes on behind a task that nobody can read. `r`: what came of keeping it. */
static void pass_over(Backfill *b, int r, const char *why)
{
        if (r == -EAGAIN) {
                try_again_soon(b, "the queue is full");
                return;
        }
        log_full(r < 0 && !intake_failed_alone(r) ? LOG_ERR : LOG_WARNING,
                        "A task that the API lists can't be read, and is passed over: it is number %" PRIu64
                        " of those that were created before %s. %s.",
                        b->offset + 1, b->end_time == TIME_NONE ? "now" : "the time reached", why);
        if (r < 0 && !intake_failed_alone(r)) {
                fail(b, "a task could not be stored (%s)", strerror(-r));
                return;
        }
        b->report.counts.pages++;
        b->report.counts.seen++;
        b->offset++;
        b->tries = 0;
        b->at = 0;
        b->limit = MIN(2U, b->options.page);
}

/* All that there is of the task are bytes. */
static void keep_unreadable(Backfill *b, const char *bytes, size_t size)
{
        Handed *h = find_room(b);
        int r;

        assert(h); /* nothing is handed over while a page is asked for */
        r = intake_take_unreadable(&b->options.intake, bytes, size, SOURCE_BACKFILL, on_stored, h);
        if (r == 0) {
                h->busy = true;
                b->n_handed++;
        } else if (r != -EAGAIN)
                b->report.counts.invalid++;
        pass_over(b, r, "It is in the quarantine as it came");
}

/* A page that came and can't be read. */
static void narrow(Backfill *b, const ApiAnswer *answer)
{
        const char *why = "the API answered with something that is no page of its list", *bytes;
        size_t size;

        if (!answer_find_docs(answer, &bytes, &size))
                try_again_soon(b, why);
        else if (b->limit > 1)
                ask_for_less(b, why);
        else if (b->tries + 1 < READ_TRIES)
                try_again_soon(b, why);
        else if (++b->unreadable > PASS_OVER_MAX)
                fail(b, "%s, %u times in a row", why, b->unreadable);
        else
                keep_unreadable(b, bytes, size);
}

/* One that didn't come whole. */
static void shorten(Backfill *b, const ApiAnswer *answer, const char *why)
{
        if (b->limit > 1 || !answer->too_large)
                ask_for_less(b, why);
        else if (++b->unreadable > PASS_OVER_MAX)
                fail(b, "%s, %u times in a row", why, b->unreadable);
        else {
                b->report.counts.invalid++;
                pass_over(b, 0, "It is larger than what is taken");
        }
}

static int64_t time_of(const json_t *task)
{
        const char *created = json_string_value(json_object_get(task, "created_at"));
        int64_t t;

        return created && time_parse(created, &t) == 0 ? t : TIME_NONE;
}

/* The time that the walk has reached with this page; TIME_NONE where the tasks' times don't say so, because
 * they are not there or don't go back as they should: then there is no other place to begin anew at. */
static int64_t find_oldest(const Backfill *b, const json_t *docs)
{
        int64_t oldest = b->report.reached == TIME_NONE ? INT64_MAX : b->report.reached + SECOND;
        const json_t *task;
        size_t i;

        json_array_foreach(docs, i, task) {
                int64_t t = time_of(task);

                if (t == TIME_NONE || t > oldest)
                        return TIME_NONE;
                oldest = t;
        }
        return json_array_size(docs) > 0 ? oldest : TIME_NONE;
}

/* Whether there are pages behind this one; -1: it contradicts itself. */
static int has_more(const Backfill *b, const json_t *page, size_t n)
{
        const json_t *more = json_object_get(page, "has_more"), *total = json_object_get(page, "total");
        bool is_more;

        if (json_is_boolean(more))
                is_more = json_is_true(more);
        else if (json_is_integer(total))
                is_more = b->offset + n < (uint64_t)MAX(json_integer_value(total), 0);
        else
                is_more = n >= b->limit;
        return n == 0 && is_more ? -1 : is_more;
}

static void take_page(Backfill *b, const ApiAnswer *answer)
{
        json_auto_t *page = NULL;
        json_t *docs, *total;
        int more, r;
        size_t n;

        r = answer_read(answer, &page);
        if (r == -EBADMSG) {
                narrow(b, answer);
                return;
        }
        docs = json_object_get(page, "docs");
        total = json_object_get(page, "total");
        n = json_array_size(docs);
        more = json_is_array(docs) && n <= DOCS_MAX ? has_more(b, page, n) : -1;
        if (more < 0) {
                try_again_soon(b, "the API answered with something that is no page of its list");
                return;
        }

        if (!b->report.has_total && json_is_integer(total) && json_integer_value(total) >= 0) {
                b->report.has_total = true;
                b->report.total = (uint64_t)json_integer_value(total);
        }
        b->docs = json_incref(docs);
        b->next_doc = 0;
        b->oldest = find_oldest(b, docs);
        b->is_last = more == 0;
        b->limit = MIN(2 * b->limit, b->options.page);
        b->report.counts.pages++;
        b->tries = b->unreadable = 0;
        b->at = 0;
}

static void on_page(const ApiAnswer *answer, void *userdata)
{
        char why[OUTCOME_TEXT_SIZE];
        Backfill *b = userdata;

        b->asked = false;
        outcome_describe(answer, why);
        if (answer->error == -ECANCELED)
                fail(b, "the submitter is stopping");
        else if (answer_broke_off(answer))
                shorten(b, answer, why);
        else
                switch (answer_classify(answer)) {
                case ANSWER_GOOD:
                        take_page(b, answer);
                        break;
                case ANSWER_LATER:
                        try_again(b, 0, why); /* once the API wants it again */
                        break;
                case ANSWER_ABSENT:
                case ANSWER_ACCOUNT:
                        fail(b, "%s", why);
                        break;
                case ANSWER_BROKEN:
                case _ANSWER_KIND_MAX:
                default:
                        try_again_soon(b, why);
                }
        changed(b);
}

static int append_time(char path[static PATH_MAX_SIZE], const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];
        size_t n = strlen(path);

        return t == TIME_NONE ? 0
                              : snprintf(path + n, PATH_MAX_SIZE - n, "&%s=%s", name, time_format(t, text));
}

static void page_ask(Backfill *b)
{
        const Api *api = &b->options.api;
        char path[PATH_MAX_SIZE];
        int r;

        snprintf(path, sizeof(path), "/tasks?limit=%u&offset=%" PRIu64, b->limit, b->offset);
        append_time(path, "start_time", b->report.since);
        append_time(path, "end_time", b->end_time);

        r = api->request(api->userdata, &(ApiRequest){ .method = "GET", .path = path }, on_page, b);
        if (r < 0) {
                char why[RECONCILE_ERROR_SIZE];

                snprintf(why, sizeof(why), "the API can't be asked (%s)", strerror(-r));
                try_again_soon(b, why);
                return;
        }
        b->asked = true;
}

/* The walk. */

#define COUNT(member) offsetof(BackfillCounts, member)

static void add_counts(BackfillCounts *to, const BackfillCounts *counts)
{
        static const size_t members[] = { COUNT(pages), COUNT(seen), COUNT(stored), COUNT(revised),
                COUNT(known), COUNT(pending), COUNT(invalid), COUNT(retries) };

        _Static_assert(sizeof(members) == sizeof(BackfillCounts), "all of them");
        FOREACH_ARRAY(m, members, ELEMENTSOF(members))
                *(uint64_t *)(void *)((char *)to + *m) +=
                                *(const uint64_t *)(const void *)((const char *)counts + *m);
}

int backfill_start(Backfill *b, int64_t since, int64_t until)
{
        if (b->stopped)
                return -ESHUTDOWN;
        if (is_running(b))
                return -EBUSY;

        b->report = (BackfillReport){
                .state = RECOVERY_RUNNING,
                .since = since,
                .until = until,
                .started_at = realtime(b),
                .finished_at = TIME_NONE,
                .reached = TIME_NONE,
        };
        b->end_time = until;
        b->offset = 0;
        b->limit = b->options.page;
        b->ending = b->is_last = false;
        b->tries = b->unreadable = 0;
        b->at = 0;
        log_notice("A backfill begins.");
        changed(b);
        return 0;
}

static void end(Backfill *b)
{
        const BackfillCounts *c = &b->report.counts;
        bool failed = *b->report.error;

        json_decref(b->docs);
        b->docs = NULL;
        b->report.state = failed ? RECOVERY_FAILED : RECOVERY_DONE;
        b->report.finished_at = realtime(b);
        b->stats.runs++;
        b->stats.failed += failed;
        add_counts(&b->stats.counts, c);

        if (failed)
                log_warning("A backfill was given up after %" PRIu64 " tasks: %s. What it brought in stays; "
                            "it may be run again.",
                                c->seen, b->report.error);
        else
                log_notice("A backfill is done: %" PRIu64 " tasks, %" PRIu64 " stored, %" PRIu64
                           " revised, %" PRIu64 " invalid.",
                                c->seen, c->stored, c->revised, c->invalid);
}

/* When the next page may be asked for. */
static uint64_t ask_at(const Backfill *b)
{
        return MAX(b->at, b->options.api.retry_at(b->options.api.userdata));
}

/* What is left to do with the page at hand, or else the next one. */
static void go_on(Backfill *b, uint64_t now)
{
        if (b->docs && !b->ending)
                page_store(b, now);
        if (b->n_handed > 0 || b->asked)
                return;
        if (b->docs && b->next_doc == json_array_size(b->docs) && !b->ending)
                page_advance(b);
        if (b->report.counts.pages >= PAGES_MAX)
                fail(b, "the API's list has no end");
        if (b->ending || (b->is_last && !b->docs))
                end(b);
        else if (!b->docs && now >= ask_at(b))
                page_ask(b);
}

void backfill_run(Backfill *b)
{
        uint64_t now = monotonic(b);

        if (is_running(b) && backfill_next(b) <= now)
                go_on(b, now);
}

uint64_t backfill_next(const Backfill *b)
{
        if (!is_running(b))
                return UINT64_MAX;
        if (b->ending)
                return b->n_handed > 0 || b->asked ? UINT64_MAX : 0;
        if (!b->docs)
                return b->asked ? UINT64_MAX : ask_at(b);
        if (b->next_doc < json_array_size(b->docs))
                return b->n_handed < b->options.in_flight ? b->at : UINT64_MAX;
        return b->n_handed > 0 ? UINT64_MAX : 0;
}

/* The object. */

int backfill_new(const BackfillOptions *options, Backfill **ret)
{
        Backfill *b;

        assert(options->in_flight <= BACKFILL_IN_FLIGHT_MAX);
        assert(options->page <= PAGE_USUAL);

        b = calloc(1, sizeof(Backfill));
        if (!b)
                return -ENOMEM;
        b->options = *options;
        b->options.in_flight = options->in_flight ?: IN_FLIGHT_USUAL;
        b->options.page = options->page ?: PAGE_USUAL;
        b->options.window = options->window ?: WINDOW_USUAL;
        b->report = (BackfillReport){
                .since = TIME_NONE,
                .until = TIME_NONE,
                .started_at = TIME_NONE,
                .finished_at = TIME_NONE,
                .reached = TIME_NONE,
        };
        FOREACH_ARRAY(h, b->handed, BACKFILL_IN_FLIGHT_MAX)
                h->b = b;
        *ret = b;
        return 0;
}

Backfill *backfill_free(Backfill *b)
{
        if (!b)
                return NULL;

        assert(backfill_is_idle(b));
        json_decref(b->docs);
        free(b);
        return NULL;
}

void backfill_set(Backfill *b, bool strict)
{
        b->options.intake.strict = strict;
}

void backfill_stop(Backfill *b)
{
        b->stopped = true;
        if (is_running(b))
                fail(b, "the submitter is stopping");
        changed(b);
}

bool backfill_is_idle(const Backfill *b)
{
        return b->n_handed == 0 && !b->asked;
}

const BackfillReport *backfill_report(const Backfill *b)
{
        return &b->report;
}

void backfill_get_stats(const Backfill *b, BackfillStats *ret)
{
        *ret = b->stats;
        if (is_running(b))
                add_counts(&ret->counts, &b->report.counts);
}
