/*
 * Callbacks get lost: the receiver was down for a day, a proxy answered 502 twenty times. So from time to
 * time the API is asked about every task that is still pending past the time that its urgency allows, and
 * what became of it comes in as if a callback had brought it.
 *
 * A round walks the store's list of pending tasks in the order in which they were due, with a few questions
 * at once. Nothing about it is kept on disk: what was not brought in is still pending, and the next round
 * meets it. A round of the interval's ends after so many questions, and the next one goes on behind them, so
 * that thousands of tasks that stay pending can't hide those behind them. A round that failed is tried again
 * sooner, from the first question that came to nothing.
 *
 * Two clocks: whether a task is due is by the clock that the store's times are of, and a jump of it asks too
 * early or too late; how long to wait is by the one that doesn't jump.
 */

#include "submitd/recover/reconcile-internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"
#include "submitd/api/answer.h"

#define IN_FLIGHT_USUAL 4U
#define PER_ROUND_USUAL 5000U
#define PER_ROUND_MOST  1000000U /* also when everything is asked about: new tasks may come faster */
#define FIRST_ROUND     (60 * USEC_PER_SEC)
#define RETRY_FIRST     (30 * USEC_PER_SEC)
#define TOLD_MAX        10U /* single tasks that a round has lines in the log about */

static const char *const state_table[_RECOVERY_STATE_MAX] = {
        [RECOVERY_NONE] = "none",
        [RECOVERY_RUNNING] = "running",
        [RECOVERY_DONE] = "done",
        [RECOVERY_FAILED] = "failed",
};

const char *recovery_state_to_string(RecoveryState v)
{
        return (int)v < 0 || v >= _RECOVERY_STATE_MAX ? NULL : state_table[v];
}

static const Place start = { .due_at = TIME_NONE };

uint64_t reconcile_monotonic(const Reconcile *r)
{
        return r->options.clock.monotonic(r->options.clock.userdata);
}

uint64_t reconcile_quiet_until(const Reconcile *r)
{
        return r->options.api.quiet_until(r->options.api.userdata);
}

static int64_t realtime(const Reconcile *r)
{
        return r->options.clock.realtime(r->options.clock.userdata);
}

static bool is_running(const Reconcile *r)
{
        return r->report.state == RECOVERY_RUNNING;
}

static void changed(const Reconcile *r)
{
        if (r->options.on_change)
                r->options.on_change(r->options.userdata);
}

void reconcile_fail(Reconcile *r, const char *format, ...)
{
        va_list ap;

        r->ending = true;
        if (*r->report.error)
                return;
        va_start(ap, format);
        vsnprintf(r->report.error, sizeof(r->report.error), format, ap);
        va_end(ap);
}

bool reconcile_may_tell(Reconcile *r)
{
        return r->n_told++ < TOLD_MAX;
}

/* Who waits. */

void reconcile_wait(Reconcile *r, ReconcileWaiter *w)
{
        w->at = &r->waiters;
        w->next = r->waiters;
        if (w->next)
                w->next->at = &w->next;
        r->waiters = w;
        changed(r);
}

void reconcile_unwait(ReconcileWaiter *w)
{
        if (!w->at)
                return;
        *w->at = w->next;
        if (w->next)
                w->next->at = w->at;
        w->at = NULL;
        w->next = NULL;
}

/* Ends the waits whose deadline is not behind `until`. */
static void end_waits(Reconcile *r, uint64_t until, bool finished)
{
        for (ReconcileWaiter *w = r->waiters, *next; w; w = next) {
                next = w->next;
                if (w->deadline > until)
                        continue;
                reconcile_unwait(w);
                w->done(w, finished);
        }
}

/* Rounds. */

static void begin_round(Reconcile *r, bool all)
{
        r->wanted = false;
        r->report = (ReconcileReport){
                .state = RECOVERY_RUNNING,
                .all = all,
                .started_at = realtime(r),
                .finished_at = TIME_NONE,
        };
        r->due_before = all ? INT64_MAX : r->report.started_at;
        if (all)
                r->place = start;
        r->listed = r->place;
        r->list_ended = r->ending = r->has_missed = false;
        r->n_list = r->list_i = 0;
        r->n_told = 0;
}

#define COUNT(member) offsetof(ReconcileCounts, member)

static void add_counts(ReconcileCounts *to, const ReconcileCounts *counts)
{
        static const size_t members[] = { COUNT(asked), COUNT(recovered), COUNT(canceled), COUNT(pending),
                COUNT(known), COUNT(invalid), COUNT(unknown), COUNT(failed) };

        _Static_assert(sizeof(members) == sizeof(ReconcileCounts), "all of them");
        FOREACH_ARRAY(m, members, ELEMENTSOF(members))
                *(uint64_t *)(void *)((char *)to + *m) +=
                                *(const uint64_t *)(const void *)((const char *)counts + *m);
}

/* Where the next round begins: at what came to nothing, behind what was asked about, or anew. */
static void choose_place(Reconcile *r)
{
        if (r->report.all)
                r->place = start;
        else if (r->has_missed)
                r->place = (Place){ r->missed.due_at, r->missed.id > 0 ? r->missed.id - 1 : 0 };
        else if (r->list_ended && r->list_i == r->n_list)
                r->place = start;
}

static void plan_next(Reconcile *r, bool failed)
{
        uint64_t interval = r->options.interval, now = reconcile_monotonic(r), pause = interval;

        r->failures = failed ? r->failures + 1 : 0;
        r->last_end = now;
        if (failed)
                pause = answer_pause(r->failures, RETRY_FIRST, MAX(interval, RETRY_FIRST));
        r->next_at = interval == 0 ? UINT64_MAX : now + MIN(pause, interval);
}

static void tell_end(const Reconcile *r)
{
        const ReconcileCounts *c = &r->report.counts;

        if (c->recovered + c->canceled > 0)
                log_event(LOG_WARNING, MESSAGE_RECOVERED,
                                LOG_FIELDS(LOG_NUMBER("RECOVERED", c->recovered),
                                                LOG_NUMBER("CANCELED", c->canceled)),
                                "Reconciliation recovered %" PRIu64 " results and %" PRIu64
                                " cancellations that no callback had brought: is the receiver reachable?",
                                c->recovered, c->canceled);
        if (r->report.state == RECOVERY_FAILED)
                log_event(LOG_WARNING, MESSAGE_RECONCILE_FAILED, LOG_FIELDS(LOG_NUMBER("ASKED", c->asked)),
                                "Reconciliation ended early, after asking about %" PRIu64 " tasks: %s.%s",
                                c->asked, r->report.error,
                                r->next_at < UINT64_MAX ? " It is tried again." : "");
        else
                log_debug("Reconciliation asked about %" PRIu64 " tasks.", c->asked);
}

static void end_round(Reconcile *r)
{
        bool failed = *r->report.error;

        r->report.state = failed ? RECOVERY_FAILED : RECOVERY_DONE;
        r->report.finished_at = realtime(r);
        r->stats.rounds++;
        r->stats.rounds_failed += failed;
        add_counts(&r->stats.counts, &r->report.counts);

        choose_place(r);
        plan_next(r, failed);
        tell_end(r);
        /* Who wants everything asked about waits for that round, not for this one. */
        if (r->wanted && !r->stopped)
                begin_round(r, true);
        else
                end_waits(r, UINT64_MAX, true);
}

/* The list. */

static int take_pending(const PendingTask *task, void *userdata)
{
        Reconcile *r = userdata;
        Pending *p = &r->list[r->n_list];

        r->listed = (Place){ task->due_at, task->id };
        if (strlen(task->task_id) > CALLBACK_ID_MAX)
                return 0; /* none that the API gave */
        *p = (Pending){ .place = r->listed };
        strcpy(p->task_id, task->task_id);
        if (task->submission && strlen(task->submission) < SUBMISSION_ID_SIZE)
                strcpy(p->submission, task->submission);
        r->n_list++;
        return 0;
}

static void read_list(Reconcile *r)
{
        Place before = r->listed;
        int k;

        r->n_list = r->list_i = 0;
        k = store_list_pending_tasks(r->options.intake.reader, r->due_before, r->listed.due_at, r->listed.id,
                        LIST_AT_ONCE, take_pending, r);
        if (k < 0) {
                reconcile_fail(r, "the list of pending tasks could not be read: %s",
                                store_reader_error(r->options.intake.reader));
                r->n_list = 0;
                return;
        }
        r->list_ended = r->listed.due_at == before.due_at && r->listed.id == before.id;
}

static bool is_over(const Reconcile *r)
{
        uint64_t most = r->report.all ? PER_ROUND_MOST : r->options.per_round;

        return r->ending || r->stopped || r->report.counts.asked >= most ||
               (r->list_ended && r->list_i == r->n_list);
}

/* The next task to be asked about; NULL: there is none any more. */
static const Pending *next_pending(Reconcile *r)
{
        while (!is_over(r)) {
                const Pending *p;

                if (r->list_i == r->n_list) {
                        read_list(r);
                        continue;
                }
                p = &r->list[r->list_i++];
                r->place = p->place;
                /* Somebody who wants everything asked about wants these too. */
                if (r->report.all || !shelf_holds(r->shelf, p->place.id, reconcile_monotonic(r)))
                        return p;
        }
        return NULL;
}

static bool ask_next(Question *q)
{
        const Pending *p = next_pending(q->r);

        if (p)
                question_start(q, p);
        return p;
}

/* Goes on with the round: 0 when it is at its end. */
static bool run_questions(Reconcile *r, uint64_t now)
{
        unsigned active = 0;

        FOREACH_ARRAY(q, r->questions, r->options.in_flight) {
                if (q->state == QUESTION_WAITING && (r->ending || r->stopped))
                        question_miss(q);
                if (q->state == QUESTION_FREE && !ask_next(q))
                        continue;
                question_run(q, now);
                active += q->state != QUESTION_FREE;
        }
        return active > 0 || !is_over(r);
}

static uint64_t next_round(const Reconcile *r)
{
        return MAX(r->next_at, reconcile_quiet_until(r));
}

void reconcile_run(Reconcile *r)
{
        uint64_t now = reconcile_monotonic(r);

        if (!is_running(r) && !r->stopped && now >= next_round(r))
                begin_round(r, false);
        if (is_running(r) && !run_questions(r, now))
                end_round(r);
        end_waits(r, now, false);
}

static bool has_room(const Reconcile *r)
{
        FOREACH_ARRAY(q, r->questions, r->options.in_flight)
                if (q->state == QUESTION_FREE)
                        return true;
        return false;
}

static uint64_t next_of_round(const Reconcile *r)
{
        uint64_t next = UINT64_MAX;
        bool active = false;

        if (has_room(r) && !is_over(r))
                return 0;
        FOREACH_ARRAY(q, r->questions, r->options.in_flight) {
                if (q->state == QUESTION_WAITING && (r->ending || r->stopped))
                        return 0;
                next = MIN(next, question_next(q));
                active = active || q->state != QUESTION_FREE;
        }
        return active ? next : 0;
}

uint64_t reconcile_next(const Reconcile *r)
{
        uint64_t next = UINT64_MAX;

        for (const ReconcileWaiter *w = r->waiters; w; w = w->next)
                next = MIN(next, w->deadline);
        if (is_running(r))
                return MIN(next, next_of_round(r));
        if (r->stopped)
                return next;
        return MIN(next, next_round(r));
}

/* The object. */

int reconcile_new(const ReconcileOptions *options, Reconcile **ret)
{
        _cleanup_(reconcile_freep) Reconcile *r = NULL;
        uint64_t first = MIN(options->interval, FIRST_ROUND);
        int k;

        assert(options->in_flight <= RECONCILE_IN_FLIGHT_MAX);

        r = calloc(1, sizeof(Reconcile));
        if (!r)
                return -ENOMEM;
        k = shelf_new(&r->shelf);
        if (k < 0)
                return k;
        r->options = *options;
        r->options.in_flight = options->in_flight ?: IN_FLIGHT_USUAL;
        r->options.per_round = options->per_round ?: PER_ROUND_USUAL;
        r->place = start;
        r->report.started_at = r->report.finished_at = TIME_NONE;
        r->last_end = reconcile_monotonic(r);
        r->next_at = options->interval > 0 ? r->last_end + first : UINT64_MAX;
        FOREACH_ARRAY(q, r->questions, RECONCILE_IN_FLIGHT_MAX)
                q->r = r;
        *ret = TAKE_PTR(r);
        return 0;
}

Reconcile *reconcile_free(Reconcile *r)
{
        if (!r)
                return NULL;

        assert(reconcile_is_idle(r));
        while (r->waiters)
                reconcile_unwait(r->waiters);
        FOREACH_ARRAY(q, r->questions, RECONCILE_IN_FLIGHT_MAX)
                question_done(q);
        shelf_free(r->shelf);
        free(r);
        return NULL;
}

void reconcile_set(Reconcile *r, uint64_t interval, bool strict)
{
        r->options.intake.strict = strict;
        if (interval == r->options.interval)
                return;
        r->options.interval = interval;
        r->next_at = interval == 0 ? UINT64_MAX : r->last_end + interval;
        changed(r);
}

void reconcile_start(Reconcile *r)
{
        if (r->stopped || r->wanted || (is_running(r) && r->report.all))
                return;
        if (is_running(r))
                r->wanted = true;
        else
                begin_round(r, true);
        changed(r);
}

void reconcile_stop(Reconcile *r)
{
        r->stopped = true;
        r->wanted = false;
        if (is_running(r))
                reconcile_fail(r, "the submitter is stopping");
        end_waits(r, UINT64_MAX, false);
        changed(r);
}

bool reconcile_is_idle(const Reconcile *r)
{
        FOREACH_ARRAY(q, r->questions, RECONCILE_IN_FLIGHT_MAX)
                if (q->state == QUESTION_ASKED || q->state == QUESTION_STORING)
                        return false;
        return true;
}

const ReconcileReport *reconcile_report(const Reconcile *r)
{
        return &r->report;
}

void reconcile_get_stats(const Reconcile *r, ReconcileStats *ret)
{
        *ret = r->stats;
        if (is_running(r))
                add_counts(&ret->counts, &r->report.counts);
        ret->put_aside = shelf_size(r->shelf);
}
