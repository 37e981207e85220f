/*
 * Callbacks get lost: the receiver was down for a day, a proxy answered 502 twenty times. So from time to
 * time the API is asked about every task that is still pending past the time that its urgency allows, and
 * what became of it comes in as if a callback had brought it.
 *
 * A round walks the store's list of pending tasks in the order in which they were due, with a few polls at
 * once. Nothing about it is kept on disk: what was not brought in is still pending, and the next round
 * meets it. A round of the interval's ends after so many polls, and the next one goes on behind them, so
 * that thousands of tasks that stay pending can't hide those behind them. A round that failed is tried again
 * sooner, from the first poll that came to nothing.
 *
 * Two clocks: whether a task is due is by the clock that the store's times are of, and a jump of it asks too
 * early or too late; how long to wait is by the one that doesn't jump.
 *
 * A poll is one question of a round: what became of this task? It is asked up to four times, a second and
 * more apart, where nothing usable comes back. If others were answered meanwhile it is this task that the
 * API can't tell about, and it is snoozed, so that it can't keep the round from those behind it; else the
 * API is taken to be out of order, and the round ends. What is about the account ends it at once, since
 * every question would get the same.
 *
 * An answer is believed to be about a task only when it says so itself, and then goes the way of callbacks
 * (ingest). A task that is still pending there leaves no trace here.
 */

#include "submitd/recover/reconcile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "daemon/message.h"
#include "store/outbox.h"
#include "submitd/api/answer.h"
#include "submitd/api/backoff.h"
#include "submitd/recover/snooze.h"

#define POLLS_USUAL     4U
#define PER_ROUND_USUAL 5000U
#define PER_ROUND_MOST  1000000U /* also when everything is asked about: new tasks may come faster */
#define FIRST_ROUND     (60 * USEC_PER_SEC)
#define RETRY_FIRST     (30 * USEC_PER_SEC)
#define TOLD_MAX        10U /* single tasks that a round has lines in the log about */
#define ASK_MAX         4U
#define ASK_PAUSE       USEC_PER_SEC
#define ASK_PAUSE_MOST  (8 * USEC_PER_SEC)
#define RETRY_IN_ROUND  (60 * USEC_PER_SEC) /* 429 that wants longer ends the round */
#define STORE_PAUSE     (100 * USEC_PER_MSEC)
#define STORE_MAX       600U /* tries while the commit queue is full: a minute */
#define POLL_PATH_SIZE  (sizeof("/task/") + 3 * (size_t)CALLBACK_ID_MAX)

#define LIST_AT_ONCE 64U

typedef enum PollState {
        POLL_FREE,
        POLL_WAITING, /* to be asked, at `at` */
        POLL_ASKED,
        POLL_ANSWERED, /* to be handed to the port, at `at` */
        POLL_STORING,
} PollState;

/* Where a task stands in the store's list. */
typedef struct Place {
        int64_t due_at;
        uint64_t id;
} Place;

/* A task to be asked about. */
typedef struct Pending {
        Place place;
        char task_id[CALLBACK_ID_MAX + 1];
        char submission[SUBMISSION_ID_SIZE]; /* "": not ours */
} Pending;

typedef struct Poll {
        Reconcile *reconcile;
        PollState state;
        Pending pending;
        uint64_t at;
        unsigned tries;           /* of what is being tried: asking, or storing */
        uint64_t answered_before; /* Reconcile.n_answered when it was first asked */
        json_t *task;             /* the answer, on its way to the store */
        bool is_account;          /* it has no response */
        bool is_canceled;
} Poll;

struct Reconcile {
        ReconcileOptions options;
        Snooze snooze;
        LIST_HEAD(, ReconcileWaiter) waiters;

        uint64_t next_at; /* of the interval's next round; UINT64_MAX: none */
        uint64_t last_end;
        unsigned failures; /* rounds, one after the other */
        bool wanted;       /* reconcile_start() was called for a round that is yet to begin */
        bool stopped;

        /* The round. */
        ReconcileReport report;
        int64_t due_before;
        bool ending; /* no more polls */
        bool has_missed;
        Place place;  /* the last task that was taken off the list; where an interrupted round goes on */
        Place missed; /* the first task whose poll came to nothing */
        Place listed; /* the last task that was read */
        bool list_ended;
        Pending list[LIST_AT_ONCE];
        size_t n_list, list_i;
        uint64_t n_answered; /* polls with a usable answer, ever */
        unsigned n_told;     /* lines in the log about single tasks */
        Poll polls[RECONCILE_IN_FLIGHT_MAX];

        ReconcileStats stats; /* of what came to its end before this round */
};

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

static const Place list_start = { .due_at = TIME_NONE };

static uint64_t reconcile_monotonic(const Reconcile *reconcile)
{
        return reconcile->options.clock.monotonic(reconcile->options.clock.userdata);
}

static uint64_t retry_at(const Reconcile *reconcile)
{
        return reconcile->options.api.retry_at(reconcile->options.api.userdata);
}

static int64_t reconcile_realtime(const Reconcile *reconcile)
{
        return reconcile->options.clock.realtime(reconcile->options.clock.userdata);
}

static bool is_round_running(const Reconcile *reconcile)
{
        return reconcile->report.state == RECOVERY_RUNNING;
}

static void reconcile_changed(const Reconcile *reconcile)
{
        if (reconcile->options.on_change)
                reconcile->options.on_change(reconcile->options.userdata);
}

_printf_(2, 3) static void reconcile_fail(Reconcile *reconcile, const char *format, ...)
{
        va_list ap;

        reconcile->ending = true;
        if (*reconcile->report.error)
                return;
        va_start(ap, format);
        vsnprintf(reconcile->report.error, sizeof(reconcile->report.error), format, ap);
        va_end(ap);
}

static bool may_tell(Reconcile *reconcile)
{
        return reconcile->n_told++ < TOLD_MAX;
}

/* Polls: how they end. */

static void poll_done(Poll *poll)
{
        json_decref(poll->task);
        *poll = (Poll){ .reconcile = poll->reconcile };
}

static bool is_before(const Place *a, const Place *b)
{
        return a->due_at != b->due_at ? a->due_at < b->due_at : a->id < b->id;
}

static void poll_miss(Poll *poll)
{
        Reconcile *reconcile = poll->reconcile;

        if (!reconcile->has_missed || is_before(&poll->pending.place, &reconcile->missed))
                reconcile->missed = poll->pending.place;
        reconcile->has_missed = true;
        poll_done(poll);
}

/* Nothing came of it, and the round ends for that reason. */
static void give_up(Poll *poll, const char *why)
{
        poll->reconcile->report.counts.failed++;
        reconcile_fail(poll->reconcile, "%s", why);
        poll_miss(poll);
}

static void snooze_task(Poll *poll, const char *what)
{
        Reconcile *reconcile = poll->reconcile;

        if (snooze_add(&reconcile->snooze, poll->pending.place.id, reconcile_monotonic(reconcile)) &&
                        may_tell(reconcile))
                log_warning("%s %s; it is asked about less often from here on.", poll->pending.task_id,
                                what);
        poll_done(poll);
}

/* `spared`: it is not the task's fault, however often. */
static void poll_again(Poll *poll, uint64_t pause, bool spared, const char *why)
{
        poll->tries++;
        if (poll->tries < ASK_MAX && !poll->reconcile->ending) {
                poll->state = POLL_WAITING;
                poll->at = reconcile_monotonic(poll->reconcile) + pause;
        } else if (poll->tries < ASK_MAX || spared || poll->answered_before == poll->reconcile->n_answered)
                give_up(poll, why);
        else {
                poll->reconcile->report.counts.failed++;
                snooze_task(poll, "is a task about which the API gives no answer that can be used");
        }
}

static void poll_again_soon(Poll *poll, const char *why)
{
        poll_again(poll, backoff_doubled(poll->tries + 1, ASK_PAUSE, ASK_PAUSE_MOST), false, why);
}

/* Polls: storing. */

static void count_brought_in(Poll *poll, const Receipt *receipt)
{
        Reconcile *reconcile = poll->reconcile;
        bool canceled = poll->is_account && poll->is_canceled;

        if (canceled)
                reconcile->report.counts.canceled++;
        else
                reconcile->report.counts.recovered++;
        if (may_tell(reconcile))
                log_event(LOG_WARNING, MESSAGE_RECOVERED,
                                LOG_FIELDS(LOG_TEXT("TASK_ID", poll->pending.task_id),
                                                LOG_NUMBER("DELIVERY", receipt->outcome.delivery)),
                                "Task %s was %s at the API, but no callback said so: recovered as delivery %" PRIu64
                                ".",
                                poll->pending.task_id, canceled ? "canceled" : "finished",
                                receipt->outcome.delivery);
}

static void poll_not_stored(Poll *poll, int error)
{
        char text[RECONCILE_ERROR_SIZE];

        if (ingest_failed_alone(error)) {
                log_warning_errno(error, "What the API says of task %s can't be stored",
                                poll->pending.task_id);
                poll->reconcile->report.counts.failed++;
                snooze_task(poll, "is a task of which the API says what can't be stored");
                return;
        }
        snprintf(text, sizeof(text), "what the API says could not be stored (%s)", strerror(-error));
        give_up(poll, text);
}

static void on_poll_stored(const Receipt *receipt, void *userdata)
{
        Poll *poll = userdata;
        Reconcile *reconcile = poll->reconcile;

        if (receipt->status == 503)
                poll_not_stored(poll, receipt->error);
        else if (receipt->outcome.verdict == VERDICT_INVALID) {
                reconcile->report.counts.invalid++;
                if (!receipt->outcome.repeated && may_tell(reconcile))
                        ingest_log_invalid(receipt);
                snooze_task(poll,
                                "is a task of which the API says what breaks the rules: see the quarantine");
        } else {
                if (receipt->outcome.verdict == VERDICT_DUPLICATE)
                        reconcile->report.counts.known++;
                else
                        count_brought_in(poll, receipt);
                snooze_remove(&reconcile->snooze, poll->pending.place.id);
                poll_done(poll);
        }
        reconcile_changed(poll->reconcile);
}

static void poll_hand_over(Poll *poll, uint64_t now)
{
        const char *submission = *poll->pending.submission ? poll->pending.submission
                                                           : outcome_task_submission(poll->task);
        int r;

        r = ingest_task(poll->reconcile->options.ingest, poll->task, SOURCE_RECONCILE, submission,
                        on_poll_stored, poll);
        if (r == 0) {
                poll->state = POLL_STORING;
                return;
        }
        if (r == -EAGAIN && ++poll->tries < STORE_MAX)
                poll->at = now + STORE_PAUSE;
        else
                poll_not_stored(poll, r);
}

/* Polls: answers. */

/* Whatever it is, it is about this task, and the same each time. */
static void poll_keep_unreadable(Poll *poll, const char *bytes, size_t size)
{
        int r;

        poll->reconcile->n_answered++;
        r = ingest_bytes(poll->reconcile->options.ingest, bytes, size, SOURCE_RECONCILE, on_poll_stored,
                        poll);
        if (r < 0)
                poll_not_stored(poll, r);
        else
                poll->state = POLL_STORING;
}

static void poll_take_task(Poll *poll, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        const json_t *response;
        Reconcile *reconcile = poll->reconcile;
        const char *status, *bytes;
        size_t size;
        int r;

        r = answer_read(answer, &task);
        if (r == -EBADMSG && poll->tries + 1 >= ASK_MAX && answer_find_task(answer, &bytes, &size)) {
                poll_keep_unreadable(poll, bytes, size);
                return;
        }
        status = json_string_value(json_object_get(task, "status"));
        response = json_object_get(task, "response");
        if (!streq_ptr(outcome_task_id(task), poll->pending.task_id)) {
                poll_again_soon(poll,
                                "the API answered with something that is not the task that it was asked about");
                return;
        }

        reconcile->n_answered++;
        poll->is_account = !response || json_is_null(response);
        poll->is_canceled = streq_ptr(status, "canceled");
        /* A status that isn't known yet is no end. */
        if (poll->is_account && (!status || task_status_from_string(status) <= TASK_PENDING)) {
                reconcile->report.counts.pending++;
                snooze_remove(&reconcile->snooze, poll->pending.place.id);
                poll_done(poll);
                return;
        }

        poll->task = TAKE_PTR(task);
        poll->state = POLL_ANSWERED;
        poll->tries = 0;
        poll->at = 0;
}

/* 429: nobody asks for a while. */
static void wait_as_asked(Poll *poll, const char *why)
{
        if (retry_at(poll->reconcile) > reconcile_monotonic(poll->reconcile) + RETRY_IN_ROUND)
                give_up(poll, why);
        else
                poll_again(poll, 0, true, why);
}

static void on_poll_answer(const ApiAnswer *answer, void *userdata)
{
        char why[OUTCOME_TEXT_SIZE];
        Poll *poll = userdata;
        Reconcile *reconcile = poll->reconcile;

        outcome_describe(answer, why);
        if (answer->error == -ECANCELED)
                give_up(poll, "the submitter is stopping");
        else if (answer->too_large) {
                reconcile->n_answered++;
                reconcile->report.counts.failed++;
                snooze_task(poll, "is a task about which the API says more than is taken");
        } else
                switch (answer_classify(answer)) {
                case ANSWER_GOOD:
                        poll_take_task(poll, answer);
                        break;
                case ANSWER_ABSENT:
                        reconcile->n_answered++;
                        reconcile->report.counts.unknown++;
                        snooze_task(poll, "is a task that the API doesn't know");
                        break;
                case ANSWER_LATER:
                        wait_as_asked(poll, why);
                        break;
                case ANSWER_ACCOUNT:
                        give_up(poll, why);
                        break;
                case ANSWER_BROKEN:
                case _ANSWER_KIND_MAX:
                default:
                        poll_again_soon(poll, why);
                }
        reconcile_changed(poll->reconcile);
}

/* Polls: asking. */

/* "/task/ID", whatever the id is made of. */
static void format_path(const char *task_id, char buf[static POLL_PATH_SIZE])
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~";
        char *p = stpcpy(buf, "/task/");

        for (const unsigned char *c = (const unsigned char *)task_id; *c; c++)
                if (strchr(plain, *c))
                        *p++ = (char)*c;
                else
                        p += sprintf(p, "%%%02X", *c);
        *p = 0;
}

static void poll_ask(Poll *poll)
{
        char path[POLL_PATH_SIZE], text[RECONCILE_ERROR_SIZE];
        const Api *api = &poll->reconcile->options.api;
        int r;

        format_path(poll->pending.task_id, path);
        r = api->request(
                        api->userdata, &(ApiRequest){ .method = "GET", .path = path }, on_poll_answer, poll);
        if (r == 0) {
                poll->state = POLL_ASKED;
                return;
        }
        snprintf(text, sizeof(text), "the API can't be asked (%s)", strerror(-r));
        poll_again_soon(poll, text);
}

static void poll_start(Poll *poll, const Pending *pending)
{
        poll->pending = *pending;
        poll->state = POLL_WAITING;
        poll->answered_before = poll->reconcile->n_answered;
        poll->reconcile->report.counts.asked++;
}

static uint64_t poll_next(const Poll *poll)
{
        if (poll->state == POLL_WAITING)
                return MAX(poll->at, retry_at(poll->reconcile));
        return poll->state == POLL_ANSWERED ? poll->at : UINT64_MAX;
}

static void poll_run(Poll *poll, uint64_t now)
{
        if (poll_next(poll) > now)
                return;
        if (poll->state == POLL_WAITING)
                poll_ask(poll);
        else
                poll_hand_over(poll, now);
}

/* Who waits. */

void reconcile_wait(Reconcile *reconcile, ReconcileWaiter *waiter)
{
        waiter->is_waiting = true;
        LIST_INSERT_HEAD(&reconcile->waiters, waiter, entry);
        reconcile_changed(reconcile);
}

void reconcile_unwait(ReconcileWaiter *waiter)
{
        if (waiter->is_waiting)
                LIST_REMOVE(waiter, entry);
        waiter->is_waiting = false;
}

/* Ends the waits whose deadline is not behind `until`. */
static void end_waits(Reconcile *reconcile, uint64_t until, bool finished)
{
        for (ReconcileWaiter *waiter = LIST_FIRST(&reconcile->waiters), *next; waiter; waiter = next) {
                next = LIST_NEXT(waiter, entry);
                if (waiter->deadline > until)
                        continue;
                reconcile_unwait(waiter);
                waiter->done(waiter, finished);
        }
}

/* Rounds. */

static void begin_round(Reconcile *reconcile, bool all)
{
        reconcile->wanted = false;
        reconcile->report = (ReconcileReport){
                .state = RECOVERY_RUNNING,
                .all = all,
                .started_at = reconcile_realtime(reconcile),
                .finished_at = TIME_NONE,
        };
        reconcile->due_before = all ? INT64_MAX : reconcile->report.started_at;
        if (all)
                reconcile->place = list_start;
        reconcile->listed = reconcile->place;
        reconcile->list_ended = reconcile->ending = reconcile->has_missed = false;
        reconcile->n_list = reconcile->list_i = 0;
        reconcile->n_told = 0;
}

static void reconcile_add_counts(ReconcileCounts *to, const ReconcileCounts *counts)
{
        recovery_add_counts((uint64_t *)to, (const uint64_t *)counts, sizeof(ReconcileCounts));
}

/* Where the next round begins: at what came to nothing, behind what was asked about, or anew. */
static void choose_place(Reconcile *reconcile)
{
        if (reconcile->report.all)
                reconcile->place = list_start;
        else if (reconcile->has_missed)
                reconcile->place = (Place){ reconcile->missed.due_at,
                        reconcile->missed.id > 0 ? reconcile->missed.id - 1 : 0 };
        else if (reconcile->list_ended && reconcile->list_i == reconcile->n_list)
                reconcile->place = list_start;
}

static void plan_next(Reconcile *reconcile, bool failed)
{
        uint64_t interval = reconcile->options.interval, now = reconcile_monotonic(reconcile),
                 pause = interval;

        reconcile->failures = failed ? reconcile->failures + 1 : 0;
        reconcile->last_end = now;
        if (failed)
                pause = backoff_doubled(reconcile->failures, RETRY_FIRST, MAX(interval, RETRY_FIRST));
        reconcile->next_at = interval == 0 ? UINT64_MAX : now + MIN(pause, interval);
}

static void tell_end(const Reconcile *reconcile)
{
        const ReconcileCounts *counts = &reconcile->report.counts;

        if (counts->recovered + counts->canceled > 0)
                log_event(LOG_WARNING, MESSAGE_RECOVERED,
                                LOG_FIELDS(LOG_NUMBER("RECOVERED", counts->recovered),
                                                LOG_NUMBER("CANCELED", counts->canceled)),
                                "Reconciliation recovered %" PRIu64 " results and %" PRIu64
                                " cancellations that no callback had brought: is the receiver reachable?",
                                counts->recovered, counts->canceled);
        if (reconcile->report.state == RECOVERY_FAILED)
                log_event(LOG_WARNING, MESSAGE_RECONCILE_FAILED,
                                LOG_FIELDS(LOG_NUMBER("ASKED", counts->asked)),
                                "Reconciliation ended early, after asking about %" PRIu64 " tasks: %s.%s",
                                counts->asked, reconcile->report.error,
                                reconcile->next_at < UINT64_MAX ? " It is tried again." : "");
        else
                log_debug("Reconciliation asked about %" PRIu64 " tasks.", counts->asked);
}

static void end_round(Reconcile *reconcile)
{
        bool failed = *reconcile->report.error;

        reconcile->report.state = failed ? RECOVERY_FAILED : RECOVERY_DONE;
        reconcile->report.finished_at = reconcile_realtime(reconcile);
        reconcile->stats.rounds++;
        reconcile->stats.rounds_failed += failed;
        reconcile_add_counts(&reconcile->stats.counts, &reconcile->report.counts);

        choose_place(reconcile);
        plan_next(reconcile, failed);
        tell_end(reconcile);
        /* Who wants everything asked about waits for that round, not for this one. */
        if (reconcile->wanted && !reconcile->stopped)
                begin_round(reconcile, true);
        else
                end_waits(reconcile, UINT64_MAX, true);
}

/* The list. */

static int take_pending(const PendingTask *task, void *userdata)
{
        Reconcile *reconcile = userdata;
        Pending *pending = &reconcile->list[reconcile->n_list];

        reconcile->listed = (Place){ task->due_at, task->id };
        if (strlen(task->task_id) > CALLBACK_ID_MAX)
                return 0; /* none that the API gave */
        *pending = (Pending){ .place = reconcile->listed };
        strcpy(pending->task_id, task->task_id);
        if (submission_id_is_valid(task->submission))
                strcpy(pending->submission, task->submission);
        reconcile->n_list++;
        return 0;
}

static void read_list(Reconcile *reconcile)
{
        Place before = reconcile->listed;
        int r;

        reconcile->n_list = reconcile->list_i = 0;
        r = store_list_pending_tasks(reconcile->options.ingest->reader, reconcile->due_before,
                        reconcile->listed.due_at, reconcile->listed.id, LIST_AT_ONCE, take_pending,
                        reconcile);
        if (r < 0) {
                reconcile_fail(reconcile, "the list of pending tasks could not be read: %s",
                                store_reader_error(reconcile->options.ingest->reader));
                reconcile->n_list = 0;
                return;
        }
        reconcile->list_ended =
                        reconcile->listed.due_at == before.due_at && reconcile->listed.id == before.id;
}

static bool is_over(const Reconcile *reconcile)
{
        uint64_t most = reconcile->report.all ? PER_ROUND_MOST : reconcile->options.per_round;

        return reconcile->ending || reconcile->stopped || reconcile->report.counts.asked >= most ||
               (reconcile->list_ended && reconcile->list_i == reconcile->n_list);
}

/* The next task to be asked about; NULL: there is none any more. */
static const Pending *next_pending(Reconcile *reconcile)
{
        while (!is_over(reconcile)) {
                const Pending *pending;

                if (reconcile->list_i == reconcile->n_list) {
                        read_list(reconcile);
                        continue;
                }
                pending = &reconcile->list[reconcile->list_i++];
                reconcile->place = pending->place;
                /* Somebody who wants everything asked about wants these too. */
                if (reconcile->report.all || !snooze_holds(&reconcile->snooze, pending->place.id,
                                                             reconcile_monotonic(reconcile)))
                        return pending;
        }
        return NULL;
}

static bool ask_next(Poll *poll)
{
        const Pending *pending = next_pending(poll->reconcile);

        if (pending)
                poll_start(poll, pending);
        return pending;
}

/* Goes on with the round: 0 when it is at its end. */
static bool run_questions(Reconcile *reconcile, uint64_t now)
{
        unsigned active = 0;

        FOREACH_ARRAY(poll, reconcile->polls, reconcile->options.in_flight) {
                if (poll->state == POLL_WAITING && (reconcile->ending || reconcile->stopped))
                        poll_miss(poll);
                if (poll->state == POLL_FREE && !ask_next(poll))
                        continue;
                poll_run(poll, now);
                active += poll->state != POLL_FREE;
        }
        return active > 0 || !is_over(reconcile);
}

static uint64_t next_round(const Reconcile *reconcile)
{
        return MAX(reconcile->next_at, retry_at(reconcile));
}

void reconcile_run(Reconcile *reconcile)
{
        uint64_t now = reconcile_monotonic(reconcile);

        if (!is_round_running(reconcile) && !reconcile->stopped && now >= next_round(reconcile))
                begin_round(reconcile, false);
        if (is_round_running(reconcile) && !run_questions(reconcile, now))
                end_round(reconcile);
        end_waits(reconcile, now, false);
}

static bool has_room(const Reconcile *reconcile)
{
        FOREACH_ARRAY(poll, reconcile->polls, reconcile->options.in_flight)
                if (poll->state == POLL_FREE)
                        return true;
        return false;
}

static uint64_t next_of_round(const Reconcile *reconcile)
{
        uint64_t next = UINT64_MAX;
        bool active = false;

        if (has_room(reconcile) && !is_over(reconcile))
                return 0;
        FOREACH_ARRAY(poll, reconcile->polls, reconcile->options.in_flight) {
                if (poll->state == POLL_WAITING && (reconcile->ending || reconcile->stopped))
                        return 0;
                next = MIN(next, poll_next(poll));
                active = active || poll->state != POLL_FREE;
        }
        return active ? next : 0;
}

uint64_t reconcile_next(const Reconcile *reconcile)
{
        const ReconcileWaiter *waiter;
        uint64_t next = UINT64_MAX;

        LIST_FOREACH(waiter, &reconcile->waiters, entry)
                next = MIN(next, waiter->deadline);
        if (is_round_running(reconcile))
                return MIN(next, next_of_round(reconcile));
        if (reconcile->stopped)
                return next;
        return MIN(next, next_round(reconcile));
}

/* The object. */

int reconcile_new(const ReconcileOptions *options, Reconcile **ret)
{
        Reconcile *reconcile;
        uint64_t first = MIN(options->interval, FIRST_ROUND);

        assert(options->in_flight <= RECONCILE_IN_FLIGHT_MAX);

        reconcile = calloc(1, sizeof(Reconcile));
        if (!reconcile)
                return -ENOMEM;
        reconcile->options = *options;
        reconcile->options.in_flight = options->in_flight ?: POLLS_USUAL;
        reconcile->options.per_round = options->per_round ?: PER_ROUND_USUAL;
        reconcile->place = list_start;
        reconcile->report.started_at = reconcile->report.finished_at = TIME_NONE;
        reconcile->last_end = reconcile_monotonic(reconcile);
        reconcile->next_at = options->interval > 0 ? reconcile->last_end + first : UINT64_MAX;
        FOREACH_ARRAY(poll, reconcile->polls, RECONCILE_IN_FLIGHT_MAX)
                poll->reconcile = reconcile;
        *ret = reconcile;
        return 0;
}

Reconcile *reconcile_free(Reconcile *reconcile)
{
        if (!reconcile)
                return NULL;

        assert(reconcile_is_idle(reconcile));
        while (!LIST_EMPTY(&reconcile->waiters))
                reconcile_unwait(LIST_FIRST(&reconcile->waiters));
        FOREACH_ARRAY(poll, reconcile->polls, RECONCILE_IN_FLIGHT_MAX)
                poll_done(poll);
        free(reconcile);
        return NULL;
}

void reconcile_set_interval(Reconcile *reconcile, uint64_t interval)
{
        if (interval == reconcile->options.interval)
                return;
        reconcile->options.interval = interval;
        reconcile->next_at = interval == 0 ? UINT64_MAX : reconcile->last_end + interval;
        reconcile_changed(reconcile);
}

void reconcile_start(Reconcile *reconcile)
{
        if (reconcile->stopped || reconcile->wanted ||
                        (is_round_running(reconcile) && reconcile->report.all))
                return;
        if (is_round_running(reconcile))
                reconcile->wanted = true;
        else
                begin_round(reconcile, true);
        reconcile_changed(reconcile);
}

void reconcile_stop(Reconcile *reconcile)
{
        reconcile->stopped = true;
        reconcile->wanted = false;
        if (is_round_running(reconcile))
                reconcile_fail(reconcile, "the submitter is stopping");
        end_waits(reconcile, UINT64_MAX, false);
        reconcile_changed(reconcile);
}

bool reconcile_is_idle(const Reconcile *reconcile)
{
        FOREACH_ARRAY(poll, reconcile->polls, RECONCILE_IN_FLIGHT_MAX)
                if (poll->state == POLL_ASKED || poll->state == POLL_STORING)
                        return false;
        return true;
}

const ReconcileReport *reconcile_report(const Reconcile *reconcile)
{
        return &reconcile->report;
}

void reconcile_get_stats(const Reconcile *reconcile, ReconcileStats *ret)
{
        *ret = reconcile->stats;
        if (is_round_running(reconcile))
                reconcile_add_counts(&ret->counts, &reconcile->report.counts);
        ret->put_aside = reconcile->snooze.n;
}
