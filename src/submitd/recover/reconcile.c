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
 *
 * A poll is one question of a round: what became of this task? It is asked up to four times, a second and
 * more apart, where nothing usable comes back. If others were answered meanwhile it is this task that the
 * API can't tell about, and it is put aside, so that it can't keep the round from those behind it; else the
 * API is taken to be out of order, and the round ends. What is about the account ends it at once, since
 * every question would get the same.
 *
 * An answer is believed to be about a task only when it says so itself, and then goes through the door of
 * callbacks. A task that is still pending there leaves no trace here.
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

#define IN_FLIGHT_USUAL 4U
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
#define PATH_MAX_SIZE   (sizeof("/task/") + 3 * (size_t)CALLBACK_ID_MAX)

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
        Reconcile *r;
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
        Snooze *snooze;
        ReconcileWaiter *waiters;

        uint64_t next_at; /* of the interval's next round; UINT64_MAX: none */
        uint64_t last_end;
        unsigned failures; /* rounds, one after the other */
        bool wanted;       /* reconcile_start() was called for a round that is yet to begin */
        bool stopped;

        /* The round. */
        ReconcileReport report;
        int64_t due_before;
        bool ending; /* no more questions */
        bool has_missed;
        Place place;  /* the last task that was taken off the list; where an interrupted round goes on */
        Place missed; /* the first task whose question came to nothing */
        Place listed; /* the last task that was read */
        bool list_ended;
        Pending list[LIST_AT_ONCE];
        size_t n_list, list_i;
        uint64_t n_answered; /* questions with a usable answer, ever */
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

static const Place start = { .due_at = TIME_NONE };

static uint64_t monotonic(const Reconcile *r)
{
        return r->options.clock.monotonic(r->options.clock.userdata);
}

static uint64_t retry_at(const Reconcile *r)
{
        return r->options.api.retry_at(r->options.api.userdata);
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

_printf_(2, 3) static void fail(Reconcile *r, const char *format, ...)
{
        va_list ap;

        r->ending = true;
        if (*r->report.error)
                return;
        va_start(ap, format);
        vsnprintf(r->report.error, sizeof(r->report.error), format, ap);
        va_end(ap);
}

static bool may_tell(Reconcile *r)
{
        return r->n_told++ < TOLD_MAX;
}

/* Polls: how they end. */

static void poll_done(Poll *q)
{
        json_decref(q->task);
        *q = (Poll){ .r = q->r };
}

static bool is_before(const Place *a, const Place *b)
{
        return a->due_at != b->due_at ? a->due_at < b->due_at : a->id < b->id;
}

static void poll_miss(Poll *q)
{
        Reconcile *r = q->r;

        if (!r->has_missed || is_before(&q->pending.place, &r->missed))
                r->missed = q->pending.place;
        r->has_missed = true;
        poll_done(q);
}

/* Nothing came of it, and the round ends for that reason. */
static void give_up(Poll *q, const char *why)
{
        q->r->report.counts.failed++;
        fail(q->r, "%s", why);
        poll_miss(q);
}

static void snooze_task(Poll *q, const char *what)
{
        Reconcile *r = q->r;

        if (snooze_add(r->snooze, q->pending.place.id, monotonic(r)) && may_tell(r))
                log_warning("%s %s; it is asked about less often from here on.", q->pending.task_id, what);
        poll_done(q);
}

/* `spared`: it is not the task's fault, however often. */
static void try_again(Poll *q, uint64_t pause, bool spared, const char *why)
{
        q->tries++;
        if (q->tries < ASK_MAX && !q->r->ending) {
                q->state = POLL_WAITING;
                q->at = monotonic(q->r) + pause;
        } else if (q->tries < ASK_MAX || spared || q->answered_before == q->r->n_answered)
                give_up(q, why);
        else {
                q->r->report.counts.failed++;
                snooze_task(q, "is a task about which the API gives no answer that can be used");
        }
}

static void try_again_soon(Poll *q, const char *why)
{
        try_again(q, backoff_doubled(q->tries + 1, ASK_PAUSE, ASK_PAUSE_MOST), false, why);
}

/* Polls: storing. */

static void count_brought_in(Poll *q, const Receipt *receipt)
{
        Reconcile *r = q->r;
        bool canceled = q->is_account && q->is_canceled;

        if (canceled)
                r->report.counts.canceled++;
        else
                r->report.counts.recovered++;
        if (may_tell(r))
                log_event(LOG_WARNING, MESSAGE_RECOVERED,
                                LOG_FIELDS(LOG_TEXT("TASK_ID", q->pending.task_id),
                                                LOG_NUMBER("DELIVERY", receipt->outcome.delivery)),
                                "Task %s was %s at the API, but no callback said so: recovered as delivery "
                                "%" PRIu64 ".",
                                q->pending.task_id, canceled ? "canceled" : "finished",
                                receipt->outcome.delivery);
}

static void not_stored(Poll *q, int error)
{
        char text[RECONCILE_ERROR_SIZE];

        if (intake_failed_alone(error)) {
                log_warning_errno(error, "What the API says of task %s can't be stored", q->pending.task_id);
                q->r->report.counts.failed++;
                snooze_task(q, "is a task of which the API says what can't be stored");
                return;
        }
        snprintf(text, sizeof(text), "what the API says could not be stored (%s)", strerror(-error));
        give_up(q, text);
}

static void on_stored(const Receipt *receipt, void *userdata)
{
        Poll *q = userdata;
        Reconcile *r = q->r;

        if (receipt->status == 503)
                not_stored(q, receipt->error);
        else if (receipt->outcome.verdict == VERDICT_INVALID) {
                r->report.counts.invalid++;
                if (!receipt->outcome.repeated && may_tell(r))
                        intake_tell_invalid(receipt);
                snooze_task(q, "is a task of which the API says what breaks the rules: see the quarantine");
        } else {
                if (receipt->outcome.verdict == VERDICT_DUPLICATE)
                        r->report.counts.known++;
                else
                        count_brought_in(q, receipt);
                snooze_remove(r->snooze, q->pending.place.id);
                poll_done(q);
        }
        changed(q->r);
}

static void hand_over(Poll *q, uint64_t now)
{
        const char *submission = *q->pending.submission ? q->pending.submission : NULL;
        int r;

        r = intake_take(&q->r->options.intake, q->task, SOURCE_RECONCILE, submission, on_stored, q);
        if (r == 0) {
                q->state = POLL_STORING;
                return;
        }
        if (r == -EAGAIN && ++q->tries < STORE_MAX)
                q->at = now + STORE_PAUSE;
        else
                not_stored(q, r);
}

/* Polls: answers. */

/* Whatever it is, it is about this task, and the same each time. */
static void keep_unreadable(Poll *q, const char *bytes, size_t size)
{
        int r;

        q->r->n_answered++;
        r = intake_take_unreadable(&q->r->options.intake, bytes, size, SOURCE_RECONCILE, on_stored, q);
        if (r < 0)
                not_stored(q, r);
        else
                q->state = POLL_STORING;
}

static void take_task(Poll *q, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        const json_t *response;
        Reconcile *r = q->r;
        const char *status, *bytes;
        size_t size;
        int k;

        k = answer_read(answer, &task);
        if (k == -EBADMSG && q->tries + 1 >= ASK_MAX && answer_find_task(answer, &bytes, &size)) {
                keep_unreadable(q, bytes, size);
                return;
        }
        status = json_string_value(json_object_get(task, "status"));
        response = json_object_get(task, "response");
        if (!streq_ptr(outcome_task_id(task), q->pending.task_id)) {
                try_again_soon(q, "the API answered with something that is not the task that it was asked "
                                  "about");
                return;
        }

        r->n_answered++;
        q->is_account = !response || json_is_null(response);
        q->is_canceled = streq_ptr(status, "canceled");
        /* A status that isn't known yet is no end. */
        if (q->is_account && (!status || task_status_from_string(status) <= TASK_PENDING)) {
                r->report.counts.pending++;
                snooze_remove(r->snooze, q->pending.place.id);
                poll_done(q);
                return;
        }

        q->task = TAKE_PTR(task);
        q->state = POLL_ANSWERED;
        q->tries = 0;
        q->at = 0;
}

/* 429: nobody asks for a while. */
static void wait_as_asked(Poll *q, const char *why)
{
        if (retry_at(q->r) > monotonic(q->r) + RETRY_IN_ROUND)
                give_up(q, why);
        else
                try_again(q, 0, true, why);
}

static void on_answer(const ApiAnswer *answer, void *userdata)
{
        char why[OUTCOME_TEXT_SIZE];
        Poll *q = userdata;
        Reconcile *r = q->r;

        outcome_describe(answer, why);
        if (answer->error == -ECANCELED)
                give_up(q, "the submitter is stopping");
        else if (answer->too_large) {
                r->n_answered++;
                r->report.counts.failed++;
                snooze_task(q, "is a task about which the API says more than is taken");
        } else
                switch (answer_classify(answer)) {
                case ANSWER_GOOD:
                        take_task(q, answer);
                        break;
                case ANSWER_ABSENT:
                        r->n_answered++;
                        r->report.counts.unknown++;
                        snooze_task(q, "is a task that the API doesn't know");
                        break;
                case ANSWER_LATER:
                        wait_as_asked(q, why);
                        break;
                case ANSWER_ACCOUNT:
                        give_up(q, why);
                        break;
                case ANSWER_BROKEN:
                case _ANSWER_KIND_MAX:
                default:
                        try_again_soon(q, why);
                }
        changed(q->r);
}

/* Polls: asking. */

/* "/task/ID", whatever the id is made of. */
static void format_path(const char *task_id, char buf[static PATH_MAX_SIZE])
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

static void ask(Poll *q)
{
        char path[PATH_MAX_SIZE], text[RECONCILE_ERROR_SIZE];
        const Api *api = &q->r->options.api;
        int r;

        format_path(q->pending.task_id, path);
        r = api->request(api->userdata, &(ApiRequest){ .method = "GET", .path = path }, on_answer, q);
        if (r == 0) {
                q->state = POLL_ASKED;
                return;
        }
        snprintf(text, sizeof(text), "the API can't be asked (%s)", strerror(-r));
        try_again_soon(q, text);
}

static void poll_start(Poll *q, const Pending *pending)
{
        q->pending = *pending;
        q->state = POLL_WAITING;
        q->answered_before = q->r->n_answered;
        q->r->report.counts.asked++;
}

static uint64_t poll_next(const Poll *q)
{
        if (q->state == POLL_WAITING)
                return MAX(q->at, retry_at(q->r));
        return q->state == POLL_ANSWERED ? q->at : UINT64_MAX;
}

static void poll_run(Poll *q, uint64_t now)
{
        if (poll_next(q) > now)
                return;
        if (q->state == POLL_WAITING)
                ask(q);
        else
                hand_over(q, now);
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
        uint64_t interval = r->options.interval, now = monotonic(r), pause = interval;

        r->failures = failed ? r->failures + 1 : 0;
        r->last_end = now;
        if (failed)
                pause = backoff_doubled(r->failures, RETRY_FIRST, MAX(interval, RETRY_FIRST));
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
                fail(r, "the list of pending tasks could not be read: %s",
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
                if (r->report.all || !snooze_holds(r->snooze, p->place.id, monotonic(r)))
                        return p;
        }
        return NULL;
}

static bool ask_next(Poll *q)
{
        const Pending *p = next_pending(q->r);

        if (p)
                poll_start(q, p);
        return p;
}

/* Goes on with the round: 0 when it is at its end. */
static bool run_questions(Reconcile *r, uint64_t now)
{
        unsigned active = 0;

        FOREACH_ARRAY(q, r->polls, r->options.in_flight) {
                if (q->state == POLL_WAITING && (r->ending || r->stopped))
                        poll_miss(q);
                if (q->state == POLL_FREE && !ask_next(q))
                        continue;
                poll_run(q, now);
                active += q->state != POLL_FREE;
        }
        return active > 0 || !is_over(r);
}

static uint64_t next_round(const Reconcile *r)
{
        return MAX(r->next_at, retry_at(r));
}

void reconcile_run(Reconcile *r)
{
        uint64_t now = monotonic(r);

        if (!is_running(r) && !r->stopped && now >= next_round(r))
                begin_round(r, false);
        if (is_running(r) && !run_questions(r, now))
                end_round(r);
        end_waits(r, now, false);
}

static bool has_room(const Reconcile *r)
{
        FOREACH_ARRAY(q, r->polls, r->options.in_flight)
                if (q->state == POLL_FREE)
                        return true;
        return false;
}

static uint64_t next_of_round(const Reconcile *r)
{
        uint64_t next = UINT64_MAX;
        bool active = false;

        if (has_room(r) && !is_over(r))
                return 0;
        FOREACH_ARRAY(q, r->polls, r->options.in_flight) {
                if (q->state == POLL_WAITING && (r->ending || r->stopped))
                        return 0;
                next = MIN(next, poll_next(q));
                active = active || q->state != POLL_FREE;
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
        k = snooze_new(&r->snooze);
        if (k < 0)
                return k;
        r->options = *options;
        r->options.in_flight = options->in_flight ?: IN_FLIGHT_USUAL;
        r->options.per_round = options->per_round ?: PER_ROUND_USUAL;
        r->place = start;
        r->report.started_at = r->report.finished_at = TIME_NONE;
        r->last_end = monotonic(r);
        r->next_at = options->interval > 0 ? r->last_end + first : UINT64_MAX;
        FOREACH_ARRAY(q, r->polls, RECONCILE_IN_FLIGHT_MAX)
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
        FOREACH_ARRAY(q, r->polls, RECONCILE_IN_FLIGHT_MAX)
                poll_done(q);
        snooze_free(r->snooze);
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
                fail(r, "the submitter is stopping");
        end_waits(r, UINT64_MAX, false);
        changed(r);
}

bool reconcile_is_idle(const Reconcile *r)
{
        FOREACH_ARRAY(q, r->polls, RECONCILE_IN_FLIGHT_MAX)
                if (q->state == POLL_ASKED || q->state == POLL_STORING)
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
        ret->put_aside = snooze_size(r->snooze);
}
