/*
 * Everything that the account has comes in by one walk over the API's list, newest first, through the door
 * of callbacks: what is known leaves no trace, so that a backfill can be run again and again, and one that
 * was interrupted is simply run once more.
 *
 * One page is at hand at a time. The next one is asked for when all of it is on disk, so that memory is
 * bounded by a page, and the disk decides how fast it goes.
 */

#include "submitd/recover/backfill-internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "basic/log.h"

#define IN_FLIGHT_USUAL 32U
#define PAGE_USUAL      100U
#define WINDOW_USUAL    1000U
#define PAGES_MAX       1000000U

uint64_t backfill_monotonic(const Backfill *b)
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

void backfill_changed(const Backfill *b)
{
        if (b->options.on_change)
                b->options.on_change(b->options.userdata);
}

void backfill_fail(Backfill *b, const char *format, ...)
{
        va_list ap;

        b->ending = true;
        if (*b->report.error)
                return;
        va_start(ap, format);
        vsnprintf(b->report.error, sizeof(b->report.error), format, ap);
        va_end(ap);
}

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
        backfill_changed(b);
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
        return MAX(b->at, b->options.api.quiet_until(b->options.api.userdata));
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
                backfill_fail(b, "the API's list has no end");
        if (b->ending || (b->is_last && !b->docs))
                end(b);
        else if (!b->docs && now >= ask_at(b))
                page_ask(b);
}

void backfill_run(Backfill *b)
{
        uint64_t now = backfill_monotonic(b);

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
                backfill_fail(b, "the submitter is stopping");
        backfill_changed(b);
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
