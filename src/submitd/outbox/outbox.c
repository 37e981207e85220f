/*
 * The outbox's worker. It has no loop, no socket and no clock: it is told to run, asks what it has to ask,
 * and says when it wants to run again. The rules that keep a task from being made twice or forgotten are in
 * send.c (what is sent), resolve.c (what became of it when nobody answers) and answer.c (what an
 * answer means); here is what they share: what is known of the API, and what is held.
 *
 * Before anything is sent, an answer of the API has to be there: it shows that the key is good, and, where
 * it is a list, when the API made its newest task, by its own clock for that. As long as there is none the
 * worker asks for a list of one task.
 *
 * Only answers in JSON tell the API's time: an error page may be somebody else's.
 */

#include "submitd/outbox/outbox.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "submitd/outbox/internal.h"
#include "submitd/outbox/resolve.h"

/* Further in the future than anything is ever put off: the clock went back. */
#define CLOCK_WENT_BACK (2 * (int64_t)USEC_PER_DAY)

uint64_t outbox_monotonic(const Outbox *o)
{
        return o->options.clock.monotonic(o->options.clock.userdata);
}

int64_t outbox_realtime(const Outbox *o)
{
        return o->options.clock.realtime(o->options.clock.userdata);
}

void outbox_wake_at(Outbox *o, uint64_t monotonic)
{
        o->wake = MIN(o->wake, monotonic);
}

int64_t outbox_next_try(int64_t now, uint64_t delay, int64_t expires_at)
{
        int64_t next = now + (int64_t)delay;

        return now < expires_at ? MIN(next, expires_at) : next;
}

int64_t outbox_grace(const Outbox *o)
{
        return (int64_t)(o->options.timeout + o->options.settle);
}

uint64_t outbox_settles_at(const Outbox *o, int64_t ended_at, int64_t grace)
{
        int64_t now = (int64_t)outbox_monotonic(o);

        if (ended_at == TIME_NONE || grace == TIME_NONE)
                return (uint64_t)(now + outbox_grace(o));
        return (uint64_t)(ended_at > now ? grace : ended_at + grace);
}

void outbox_changed(Outbox *o)
{
        o->wake = 0;
        if (o->options.on_change)
                o->options.on_change(o->options.userdata);
}

/* Asking. */

uint64_t outbox_retry_at(const Outbox *o)
{
        return o->options.api.retry_at(o->options.api.userdata);
}

bool outbox_may_ask(const Outbox *o)
{
        return o->recovered && !o->stopping && !o->fatal &&
               o->in_flight + sending_count_starting(o) < o->options.max_in_flight &&
               outbox_retry_at(o) <= outbox_monotonic(o);
}

int outbox_ask(Outbox *o, const ApiRequest *request, ApiDoneFn done, void *userdata)
{
        int r;

        r = o->options.api.request(o->options.api.userdata, request, done, userdata);
        if (r >= 0)
                o->in_flight++;
        return r;
}

/* What keeps the API from being of use, as far as the last answer shows. */
static void note_failure(Outbox *o, const ApiAnswer *answer, Outcome outcome)
{
        if (answer->error == -ECANCELED)
                return;
        o->failing = answer->error != 0 ? waiting_cause_of_failure(answer)
                     : outcome == OUTCOME_UNKNOWN || (outcome == OUTCOME_DONE && !answer->is_json)
                                     ? WAITING_FAILING
                                     : WAITING_NOTHING;
        if (o->failing != WAITING_NOTHING)
                outcome_describe(answer, o->failure);
}

Outcome outbox_note_answer(Outbox *o, const ApiAnswer *answer)
{
        Outcome outcome = outcome_of_answer(answer);

        assert(o->in_flight > 0);
        o->in_flight--;
        if (answer->error == 0 && answer->is_json && answer->date != TIME_NONE)
                o->api_date = answer->date;
        note_failure(o, answer, outcome);
        outbox_changed(o);
        return outcome;
}

void outbox_note_task(Outbox *o, const json_t *task)
{
        int64_t created = outcome_task_created(task);

        if (created != TIME_NONE)
                o->api_created = created;
}

void outbox_note_page(Outbox *o, const json_t *page)
{
        const json_t *docs = json_object_get(page, "docs");

        o->probed |= json_is_array(docs);
        if (o->api_created == TIME_NONE)
                outbox_note_task(o, json_array_get(docs, 0));
}

int64_t outbox_floor(const Outbox *o)
{
        if (o->api_created == TIME_NONE || o->api_date == TIME_NONE)
                return o->api_created;
        return MIN(o->api_created, o->api_date);
}

void outbox_hold(Outbox *o, const char *reason)
{
        if (o->n_holds > 0)
                return; /* another answer said so just before */
        save_init(&o->hold, o, "", NULL, NULL);
        o->hold.kind = SAVE_HOLD;
        o->hold.hold = true;
        o->hold.move.now = outbox_realtime(o);
        snprintf(o->hold.error, sizeof(o->hold.error), "%s", reason);
        save_submit(&o->hold);
}

void outbox_tell_task(Outbox *o, const TaskSnapshot *snapshot)
{
        if (o->options.on_task)
                o->options.on_task(snapshot->body.data, snapshot->body.size, o->options.userdata);
}

/* The first question. */

static void on_probed(const ApiAnswer *answer, void *userdata)
{
        Outbox *o = userdata;
        Outcome outcome = outbox_note_answer(o, answer);
        char text[OUTCOME_TEXT_SIZE];
        uint64_t delay;

        o->probing = false;
        outcome_describe(answer, text);
        if (outcome == OUTCOME_DONE && answer->is_json) {
                json_auto_t *page = outcome_read(answer);

                outbox_note_page(o, page);
                o->probed = true;
                o->probe_failures = 0;
                return;
        }
        if (outcome == OUTCOME_ACCOUNT || outcome == OUTCOME_REJECTED)
                outbox_hold(o, text);
        /* Nothing can be sent before, so that it is asked for as often as what can be is tried. */
        delay = backoff_delay(++o->probe_failures, &o->chance);
        o->probe_at = outbox_monotonic(o) + MIN(delay, backoff_step(1));
        log_full(o->probe_failures == 1 ? LOG_WARNING : LOG_DEBUG, "Nothing can be sent: %s", text);
}

/* Whether there was an answer; else sees that there will be. */
static bool probe(Outbox *o)
{
        const ApiRequest request = { .method = "GET", .path = "/tasks?limit=1" };

        if (o->probed || o->api_date != TIME_NONE)
                return true;
        if (o->probing)
                return false;
        if (o->probe_at > outbox_monotonic(o))
                outbox_wake_at(o, o->probe_at);
        else if (!outbox_may_ask(o))
                return false;
        else if (outbox_ask(o, &request, on_probed, o) >= 0)
                o->probing = true;
        else
                outbox_wake_at(o, outbox_monotonic(o) + backoff_local(0));
        return false;
}

/* Running. */

static void on_flushed(Save *s, _unused_ int result, _unused_ void *userdata)
{
        s->outbox->flush_busy = false;
}

/* What waits for a day that is too far away waits for a clock that was wrong. */
static int check_clock(Outbox *o)
{
        int64_t next;
        int r;

        r = store_get_next_due(o->options.reader, SUBMISSION_QUEUED, &next);
        if (r < 0 || next == TIME_NONE || next - outbox_realtime(o) <= CLOCK_WENT_BACK || o->flush_busy)
                return r;
        log_warning("The clock went back: the queue is looked at anew");
        o->flush_busy = true;
        save_init(&o->flush, o, "", on_flushed, NULL);
        o->flush.kind = SAVE_FLUSH;
        o->flush.move.now = outbox_realtime(o);
        save_submit(&o->flush);
        return 0;
}

static bool may_create(Outbox *o, const StoreQueue *queue, uint64_t now)
{
        const uint64_t until[] = { o->create_at, o->disk_at };

        if (queue->hold != QUEUE_RUNNING || o->n_holds > 0 || queue->by_state[SUBMISSION_QUEUED] == 0)
                return false;
        FOREACH_ARRAY(u, until, ELEMENTSOF(until))
                if (*u > now) {
                        outbox_wake_at(o, *u);
                        return false;
                }
        return probe(o);
}

static int run(Outbox *o)
{
        uint64_t now = outbox_monotonic(o);
        StoreQueue queue;
        int r;

        r = store_get_queue(o->options.reader, outbox_realtime(o), &queue);
        if (r >= 0)
                r = resolver_run(o->resolver, &queue);
        if (r >= 0 && queue.hold != QUEUE_HELD_ACCOUNT && o->n_holds == 0)
                r = cancel_run(o);
        if (r >= 0)
                r = check_clock(o);
        if (r < 0)
                return r;

        if (outbox_retry_at(o) > now)
                outbox_wake_at(o, outbox_retry_at(o));
        else if (may_create(o, &queue, now))
                r = sending_run(o, &queue);
        return r;
}

int outbox_run(Outbox *o)
{
        int r = 0;

        o->wake = UINT64_MAX;
        save_run_waiting(o);
        if (o->fatal)
                return -ENOTRECOVERABLE;
        if (o->recovered && !o->stopping)
                r = run(o);
        if (r < 0)
                outbox_wake_at(o, outbox_monotonic(o) + USEC_PER_SEC);
        return r;
}

uint64_t outbox_next(const Outbox *o)
{
        return o->wake;
}

/* From the beginning to the end. */

static void on_recovered(Save *s, int result, _unused_ void *userdata)
{
        if (result == 0 && s->copied_at != TIME_NONE)
                log_warning("The database is a backup that was put back: %" PRIu64
                            " submissions that were queued in it "
                            "may have been sent since, which is looked for before they are sent.",
                                s->n_doubted);
        s->outbox->recovered = result == 0;
}

void outbox_start(Outbox *o)
{
        assert(!o->started);
        o->started = true;
        save_init(&o->recover, o, "", on_recovered, NULL);
        o->recover.kind = SAVE_RECOVER;
        o->recover.move.now = outbox_realtime(o);
        o->recover.move.ended_at = (int64_t)outbox_monotonic(o);
        o->recover.move.grace = outbox_grace(o);
        o->recover.move.is_test = o->options.api.is_test(o->options.api.userdata);
        save_submit(&o->recover);
}

static int set_options(Outbox *o, const OutboxOptions *options)
{
        char *url = NULL;

        if (options->callback_url) {
                url = strdup(options->callback_url);
                if (!url)
                        return -ENOMEM;
        }
        free(o->callback_url);
        o->callback_url = url;
        o->options = *options;
        o->options.callback_url = url;
        return 0;
}

int outbox_new(const OutboxOptions *options, Outbox **ret)
{
        _cleanup_(outbox_freep) Outbox *o = calloc(1, sizeof(Outbox));
        int r;

        if (!o)
                return -ENOMEM;
        r = set_options(o, options);
        if (r < 0)
                return r;
        r = resolver_new(o, &o->resolver);
        if (r < 0)
                return r;
        o->api_date = o->api_created = TIME_NONE;
        o->chance = options->seed;
        o->wake = UINT64_MAX;
        *ret = TAKE_PTR(o);
        return 0;
}

int outbox_set_options(Outbox *o, const OutboxOptions *options)
{
        int r;

        r = set_options(o, options);
        if (r >= 0)
                outbox_changed(o);
        return r;
}

Outbox *outbox_free(Outbox *o)
{
        if (!o)
                return NULL;

        sending_free_all(o);
        cancel_free_all(o);
        resolver_free(o->resolver);
        free(o->callback_url);
        free(o);
        return NULL;
}

void outbox_hurry(Outbox *o)
{
        resolver_hurry(o->resolver);
        cancel_hurry(o);
        o->create_at = o->probe_at = o->disk_at = 0;
        o->trouble = o->probe_failures = 0;
        outbox_changed(o);
}

void outbox_stop(Outbox *o)
{
        o->stopping = true;
        outbox_changed(o);
}

bool outbox_is_idle(const Outbox *o)
{
        return o->in_flight == 0 && o->n_saves == 0;
}

void outbox_get_stats(const Outbox *o, OutboxStats *ret)
{
        *ret = o->stats;
        ret->in_flight = o->in_flight;
}
