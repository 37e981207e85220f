/*
 * Everything that the account has comes in by one walk over the API's list, newest first, and goes the
 * way of callbacks (ingest): what is known leaves no trace, so that a backfill can be run again and again,
 * and one that was interrupted is simply run once more.
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

#define TASKS_IN_FLIGHT_USUAL 32U
#define PAGE_USUAL            100U
#define WINDOW_USUAL          1000U
#define BACKFILL_PAGES_MAX    1000000U
#define PAGE_TRIES_MAX        10U /* of one page: some ten minutes */
#define READ_TRIES            3U  /* of a page of one task that can't be read */
#define PASS_OVER_MAX         16U /* such pages in a row: there is no list behind them */
#define PAUSE_FIRST           USEC_PER_SEC
#define PAUSE_MOST            (2 * 60 * USEC_PER_SEC)
#define DOCS_MAX              1000U /* on a page, whatever was asked for */
#define STORE_PAUSE           (100 * USEC_PER_MSEC)
#define STORE_MAX             600U /* tries while the commit queue is full: a minute */
#define PAGE_PATH_SIZE        192U
#define SECOND                ((int64_t)USEC_PER_SEC)

/* One task of a page, at the port. */
typedef struct Handed {
        Backfill *backfill;
        bool busy;
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

static uint64_t backfill_monotonic(const Backfill *backfill)
{
        return backfill->options.clock.monotonic(backfill->options.clock.userdata);
}

static int64_t backfill_realtime(const Backfill *backfill)
{
        return backfill->options.clock.realtime(backfill->options.clock.userdata);
}

static bool backfill_is_running(const Backfill *backfill)
{
        return backfill->report.state == RECOVERY_RUNNING;
}

static void backfill_changed(const Backfill *backfill)
{
        if (backfill->options.on_change)
                backfill->options.on_change(backfill->options.userdata);
}

_printf_(2, 3) static void backfill_fail(Backfill *backfill, const char *format, ...)
{
        va_list ap;

        backfill->ending = true;
        if (*backfill->report.error)
                return;
        va_start(ap, format);
        vsnprintf(backfill->report.error, sizeof(backfill->report.error), format, ap);
        va_end(ap);
}

/* Tasks. */

static void count(Backfill *backfill, const Receipt *receipt)
{
        BackfillCounts *counts = &backfill->report.counts;

        switch (receipt->outcome.verdict) {
        case VERDICT_DUPLICATE:
                counts->known++;
                break;
        case VERDICT_REVISED:
                counts->revised++;
                break;
        case VERDICT_INVALID:
                if (receipt->outcome.repeated)
                        counts->known++;
                else {
                        counts->invalid++;
                        ingest_log_invalid(receipt);
                }
                break;
        case VERDICT_STORED:
        case VERDICT_ATTACHMENT_FAILURE:
        case VERDICT_DISCARDED:
        case _VERDICT_MAX:
        case _VERDICT_ERRNO:
        default:
                counts->stored++;
        }
}

static void task_not_stored(Backfill *backfill, const char *task_id, int error)
{
        if (!ingest_failed_alone(error)) {
                backfill_fail(backfill, "a task could not be stored (%s)", strerror(-error));
                return;
        }
        log_error_errno(error, "Task %s can't be stored, and is left out", strna(task_id));
        backfill->report.counts.invalid++;
}

static void on_task_stored(const Receipt *receipt, void *userdata)
{
        Handed *handed = userdata;
        Backfill *backfill = handed->backfill;

        handed->busy = false;
        backfill->n_handed--;
        if (receipt->status == 503)
                task_not_stored(backfill, receipt->task_id, receipt->error);
        else
                count(backfill, receipt);
        backfill_changed(backfill);
}

static Handed *find_room(Backfill *backfill)
{
        FOREACH_ARRAY(handed, backfill->handed, backfill->options.in_flight)
                if (!handed->busy)
                        return handed;
        return NULL;
}

/* 0: it is on its way, or never will be. */
static int hand_over_task(Backfill *backfill, Handed *handed, uint64_t now)
{
        const json_t *task = json_array_get(backfill->docs, backfill->next_doc);
        int r;

        r = ingest_task(backfill->options.ingest, task, SOURCE_BACKFILL, outcome_task_submission(task),
                        on_task_stored, handed);
        if (r == -EAGAIN && ++backfill->tries < STORE_MAX) {
                backfill->at = now + STORE_PAUSE;
                return r;
        }
        if (r < 0) {
                task_not_stored(backfill, outcome_task_id(task), r);
                if (backfill->ending)
                        return r;
        } else {
                handed->busy = true;
                backfill->n_handed++;
        }
        backfill->tries = 0;
        backfill->next_doc++;
        backfill->report.counts.seen++;
        backfill->report.counts.pending +=
                        streq_ptr(json_string_value(json_object_get(task, "status")), "pending");
        return 0;
}

static void page_store(Backfill *backfill, uint64_t now)
{
        while (now >= backfill->at && backfill->next_doc < json_array_size(backfill->docs)) {
                Handed *handed = find_room(backfill);

                if (!handed || hand_over_task(backfill, handed, now) < 0)
                        return;
        }
}

/* Pages. */

static void page_advance(Backfill *backfill)
{
        int64_t next = backfill->oldest == TIME_NONE ? TIME_NONE : backfill->oldest + SECOND;

        backfill->offset += json_array_size(backfill->docs);
        json_decref(backfill->docs);
        backfill->docs = NULL;
        if (backfill->oldest != TIME_NONE && (backfill->report.reached == TIME_NONE ||
                                                             backfill->oldest < backfill->report.reached))
                backfill->report.reached = backfill->oldest;

        if (backfill->offset >= backfill->options.window && next != TIME_NONE &&
                        (backfill->end_time == TIME_NONE || next < backfill->end_time)) {
                backfill->end_time = next;
                backfill->offset = 0;
        }
}

static void ask_again(Backfill *backfill, uint64_t pause, const char *why)
{
        backfill->tries++;
        backfill->report.counts.retries++;
        backfill->at = backfill_monotonic(backfill) + pause;
        if (backfill->tries >= PAGE_TRIES_MAX)
                backfill_fail(backfill, "%s, %u times", why, backfill->tries);
}

static void ask_again_soon(Backfill *backfill, const char *why)
{
        ask_again(backfill, backoff_doubled(backfill->tries + 1, PAUSE_FIRST, PAUSE_MOST), why);
}

static void ask_for_less(Backfill *backfill, const char *why)
{
        if (backfill->limit == 1) {
                ask_again_soon(backfill, why);
                return;
        }
        backfill->limit /= 2;
        backfill->report.counts.retries++;
}

/* Goes on behind a task that nobody can read. `r`: what came of keeping it. */
static void pass_over_task(Backfill *backfill, int r, const char *why)
{
        if (r == -EAGAIN) {
                ask_again_soon(backfill, "the queue is full");
                return;
        }
        log_full(r < 0 && !ingest_failed_alone(r) ? LOG_ERR : LOG_WARNING,
                        "A task that the API lists can't be read, and is passed over: it is number %" PRIu64
                        " of those that were created before %s. %s.",
                        backfill->offset + 1, backfill->end_time == TIME_NONE ? "now" : "the time reached",
                        why);
        if (r < 0 && !ingest_failed_alone(r)) {
                backfill_fail(backfill, "a task could not be stored (%s)", strerror(-r));
                return;
        }
        backfill->report.counts.pages++;
        backfill->report.counts.seen++;
        backfill->offset++;
        backfill->tries = 0;
        backfill->at = 0;
        backfill->limit = MIN(2U, backfill->options.page);
}

/* All that there is of the task are bytes. */
static void keep_unreadable_task(Backfill *backfill, const char *bytes, size_t size)
{
        Handed *handed = find_room(backfill);
        int r;

        assert(handed); /* nothing is handed over while a page is asked for */
        r = ingest_bytes(backfill->options.ingest, bytes, size, SOURCE_BACKFILL, on_task_stored, handed);
        if (r == 0) {
                handed->busy = true;
                backfill->n_handed++;
        } else if (r != -EAGAIN)
                backfill->report.counts.invalid++;
        pass_over_task(backfill, r, "It is in the quarantine as it came");
}

/* A page that came and can't be read. */
static void narrow_page(Backfill *backfill, const ApiAnswer *answer)
{
        const char *why = "the API answered with something that is no page of its list", *bytes;
        size_t size;

        if (!answer_find_docs(answer, &bytes, &size))
                ask_again_soon(backfill, why);
        else if (backfill->limit > 1)
                ask_for_less(backfill, why);
        else if (backfill->tries + 1 < READ_TRIES)
                ask_again_soon(backfill, why);
        else if (++backfill->unreadable > PASS_OVER_MAX)
                backfill_fail(backfill, "%s, %u times in a row", why, backfill->unreadable);
        else
                keep_unreadable_task(backfill, bytes, size);
}

/* One that didn't come whole. */
static void shorten(Backfill *backfill, const ApiAnswer *answer, const char *why)
{
        if (backfill->limit > 1 || !answer->too_large)
                ask_for_less(backfill, why);
        else if (++backfill->unreadable > PASS_OVER_MAX)
                backfill_fail(backfill, "%s, %u times in a row", why, backfill->unreadable);
        else {
                backfill->report.counts.invalid++;
                pass_over_task(backfill, 0, "It is larger than what is taken");
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
static int64_t find_oldest(const Backfill *backfill, const json_t *docs)
{
        int64_t oldest = backfill->report.reached == TIME_NONE ? INT64_MAX
                                                               : backfill->report.reached + SECOND;
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
static int has_more(const Backfill *backfill, const json_t *page, size_t n)
{
        const json_t *more = json_object_get(page, "has_more"), *total = json_object_get(page, "total");
        bool is_more;

        if (json_is_boolean(more))
                is_more = json_is_true(more);
        else if (json_is_integer(total))
                is_more = backfill->offset + n < (uint64_t)MAX(json_integer_value(total), 0);
        else
                is_more = n >= backfill->limit;
        return n == 0 && is_more ? -1 : is_more;
}

static void take_backfill_page(Backfill *backfill, const ApiAnswer *answer)
{
        json_auto_t *page = NULL;
        json_t *docs, *total;
        int more, r;
        size_t n;

        r = answer_read(answer, &page);
        if (r == -EBADMSG) {
                narrow_page(backfill, answer);
                return;
        }
        docs = json_object_get(page, "docs");
        total = json_object_get(page, "total");
        n = json_array_size(docs);
        more = json_is_array(docs) && n <= DOCS_MAX ? has_more(backfill, page, n) : -1;
        if (more < 0) {
                ask_again_soon(backfill, "the API answered with something that is no page of its list");
                return;
        }

        if (!backfill->report.has_total && json_is_integer(total) && json_integer_value(total) >= 0) {
                backfill->report.has_total = true;
                backfill->report.total = (uint64_t)json_integer_value(total);
        }
        backfill->docs = json_incref(docs);
        backfill->next_doc = 0;
        backfill->oldest = find_oldest(backfill, docs);
        backfill->is_last = more == 0;
        backfill->limit = MIN(2 * backfill->limit, backfill->options.page);
        backfill->report.counts.pages++;
        backfill->tries = backfill->unreadable = 0;
        backfill->at = 0;
}

static void on_backfill_page(const ApiAnswer *answer, void *userdata)
{
        char why[OUTCOME_TEXT_SIZE];
        Backfill *backfill = userdata;

        backfill->asked = false;
        outcome_describe(answer, why);
        if (answer->error == -ECANCELED)
                backfill_fail(backfill, "the submitter is stopping");
        else if (answer_broke_off(answer))
                shorten(backfill, answer, why);
        else
                switch (answer_classify(answer)) {
                case ANSWER_GOOD:
                        take_backfill_page(backfill, answer);
                        break;
                case ANSWER_LATER:
                        ask_again(backfill, 0, why); /* once the API wants it again */
                        break;
                case ANSWER_ABSENT:
                case ANSWER_ACCOUNT:
                        backfill_fail(backfill, "%s", why);
                        break;
                case ANSWER_BROKEN:
                case _ANSWER_KIND_MAX:
                default:
                        ask_again_soon(backfill, why);
                }
        backfill_changed(backfill);
}

static int append_time(char path[static PAGE_PATH_SIZE], const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];
        size_t n = strlen(path);

        return t == TIME_NONE ? 0
                              : snprintf(path + n, PAGE_PATH_SIZE - n, "&%s=%s", name, time_format(t, text));
}

static void page_ask(Backfill *backfill)
{
        const Api *api = &backfill->options.api;
        char path[PAGE_PATH_SIZE];
        int r;

        snprintf(path, sizeof(path), "/tasks?limit=%u&offset=%" PRIu64, backfill->limit, backfill->offset);
        append_time(path, "start_time", backfill->report.since);
        append_time(path, "end_time", backfill->end_time);

        r = api->request(api->userdata, &(ApiRequest){ .method = "GET", .path = path }, on_backfill_page,
                        backfill);
        if (r < 0) {
                char why[RECONCILE_ERROR_SIZE];

                snprintf(why, sizeof(why), "the API can't be asked (%s)", strerror(-r));
                ask_again_soon(backfill, why);
                return;
        }
        backfill->asked = true;
}

/* The walk. */

static void backfill_add_counts(BackfillCounts *to, const BackfillCounts *counts)
{
        recovery_add_counts((uint64_t *)to, (const uint64_t *)counts, sizeof(BackfillCounts));
}

int backfill_start(Backfill *backfill, int64_t since, int64_t until)
{
        if (backfill->stopped)
                return -ESHUTDOWN;
        if (backfill_is_running(backfill))
                return -EBUSY;

        backfill->report = (BackfillReport){
                .state = RECOVERY_RUNNING,
                .since = since,
                .until = until,
                .started_at = backfill_realtime(backfill),
                .finished_at = TIME_NONE,
                .reached = TIME_NONE,
        };
        backfill->end_time = until;
        backfill->offset = 0;
        backfill->limit = backfill->options.page;
        backfill->ending = backfill->is_last = false;
        backfill->tries = backfill->unreadable = 0;
        backfill->at = 0;
        log_notice("A backfill begins.");
        backfill_changed(backfill);
        return 0;
}

static void backfill_end(Backfill *backfill)
{
        const BackfillCounts *counts = &backfill->report.counts;
        bool failed = *backfill->report.error;

        json_decref(backfill->docs);
        backfill->docs = NULL;
        backfill->report.state = failed ? RECOVERY_FAILED : RECOVERY_DONE;
        backfill->report.finished_at = backfill_realtime(backfill);
        backfill->stats.runs++;
        backfill->stats.failed += failed;
        backfill_add_counts(&backfill->stats.counts, counts);

        if (failed)
                log_warning("A backfill was given up after %" PRIu64
                            " tasks: %s. What it brought in stays; it may be run again.",
                                counts->seen, backfill->report.error);
        else
                log_notice("A backfill is done: %" PRIu64 " tasks, %" PRIu64 " stored, %" PRIu64
                           " revised, %" PRIu64 " invalid.",
                                counts->seen, counts->stored, counts->revised, counts->invalid);
}

/* When the next page may be asked for. */
static uint64_t ask_at(const Backfill *backfill)
{
        return MAX(backfill->at, backfill->options.api.retry_at(backfill->options.api.userdata));
}

/* What is left to do with the page at hand, or else the next one. */
static void backfill_go_on(Backfill *backfill, uint64_t now)
{
        if (backfill->docs && !backfill->ending)
                page_store(backfill, now);
        if (backfill->n_handed > 0 || backfill->asked)
                return;
        if (backfill->docs && backfill->next_doc == json_array_size(backfill->docs) && !backfill->ending)
                page_advance(backfill);
        if (backfill->report.counts.pages >= BACKFILL_PAGES_MAX)
                backfill_fail(backfill, "the API's list has no end");
        if (backfill->ending || (backfill->is_last && !backfill->docs))
                backfill_end(backfill);
        else if (!backfill->docs && now >= ask_at(backfill))
                page_ask(backfill);
}

void backfill_run(Backfill *backfill)
{
        uint64_t now = backfill_monotonic(backfill);

        if (backfill_is_running(backfill) && backfill_next(backfill) <= now)
                backfill_go_on(backfill, now);
}

uint64_t backfill_next(const Backfill *backfill)
{
        if (!backfill_is_running(backfill))
                return UINT64_MAX;
        if (backfill->ending)
                return backfill->n_handed > 0 || backfill->asked ? UINT64_MAX : 0;
        if (!backfill->docs)
                return backfill->asked ? UINT64_MAX : ask_at(backfill);
        if (backfill->next_doc < json_array_size(backfill->docs))
                return backfill->n_handed < backfill->options.in_flight ? backfill->at : UINT64_MAX;
        return backfill->n_handed > 0 ? UINT64_MAX : 0;
}

/* The object. */

int backfill_new(const BackfillOptions *options, Backfill **ret)
{
        Backfill *backfill;

        assert(options->in_flight <= BACKFILL_IN_FLIGHT_MAX);
        assert(options->page <= PAGE_USUAL);

        backfill = calloc(1, sizeof(Backfill));
        if (!backfill)
                return -ENOMEM;
        backfill->options = *options;
        backfill->options.in_flight = options->in_flight ?: TASKS_IN_FLIGHT_USUAL;
        backfill->options.page = options->page ?: PAGE_USUAL;
        backfill->options.window = options->window ?: WINDOW_USUAL;
        backfill->report = (BackfillReport){
                .since = TIME_NONE,
                .until = TIME_NONE,
                .started_at = TIME_NONE,
                .finished_at = TIME_NONE,
                .reached = TIME_NONE,
        };
        FOREACH_ARRAY(handed, backfill->handed, BACKFILL_IN_FLIGHT_MAX)
                handed->backfill = backfill;
        *ret = backfill;
        return 0;
}

Backfill *backfill_free(Backfill *backfill)
{
        if (!backfill)
                return NULL;

        assert(backfill_is_idle(backfill));
        json_decref(backfill->docs);
        free(backfill);
        return NULL;
}

void backfill_stop(Backfill *backfill)
{
        backfill->stopped = true;
        if (backfill_is_running(backfill))
                backfill_fail(backfill, "the submitter is stopping");
        backfill_changed(backfill);
}

bool backfill_is_idle(const Backfill *backfill)
{
        return backfill->n_handed == 0 && !backfill->asked;
}

const BackfillReport *backfill_report(const Backfill *backfill)
{
        return &backfill->report;
}

void backfill_get_stats(const Backfill *backfill, BackfillStats *ret)
{
        *ret = backfill->stats;
        if (backfill_is_running(backfill))
                backfill_add_counts(&ret->counts, &backfill->report.counts);
}
