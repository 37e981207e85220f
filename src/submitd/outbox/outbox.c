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
#include "submitd/outbox/resolve.h"
#include "submitd/outbox/state.h"

/* Further in the future than anything is ever put off: the clock went back. */
#define CLOCK_WENT_BACK (2 * (int64_t)USEC_PER_DAY)

uint64_t outbox_monotonic(const Outbox *outbox)
{
        return outbox->options.clock.monotonic(outbox->options.clock.userdata);
}

int64_t outbox_realtime(const Outbox *outbox)
{
        return outbox->options.clock.realtime(outbox->options.clock.userdata);
}

void outbox_wake_at(Outbox *outbox, uint64_t monotonic)
{
        outbox->wake = MIN(outbox->wake, monotonic);
}

int64_t outbox_next_try(int64_t now, uint64_t delay, int64_t expires_at)
{
        int64_t next = now + (int64_t)delay;

        return now < expires_at ? MIN(next, expires_at) : next;
}

int64_t outbox_grace(const Outbox *outbox)
{
        return (int64_t)(outbox->options.timeout + outbox->options.settle);
}

uint64_t outbox_settles_at(const Outbox *outbox, int64_t ended_at, int64_t grace)
{
        int64_t now = (int64_t)outbox_monotonic(outbox);

        if (ended_at == TIME_NONE || grace == TIME_NONE)
                return (uint64_t)(now + outbox_grace(outbox));
        return (uint64_t)(ended_at > now ? grace : ended_at + grace);
}

void outbox_changed(Outbox *outbox)
{
        outbox->wake = 0;
        if (outbox->options.on_change)
                outbox->options.on_change(outbox->options.userdata);
}

/* Asking. */

uint64_t outbox_retry_at(const Outbox *outbox)
{
        return outbox->options.api.retry_at(outbox->options.api.userdata);
}

bool outbox_may_ask(const Outbox *outbox)
{
        return outbox->recovered && !outbox->stopping && !outbox->fatal &&
               outbox->in_flight + sending_count_starting(outbox) < outbox->options.max_in_flight &&
               outbox_retry_at(outbox) <= outbox_monotonic(outbox);
}

int outbox_ask(Outbox *outbox, const ApiRequest *request, ApiDoneFn done, void *userdata)
{
        int r;

        r = outbox->options.api.request(outbox->options.api.userdata, request, done, userdata);
        if (r >= 0)
                outbox->in_flight++;
        return r;
}

/* What keeps the API from being of use, as far as the last answer shows. */
static void note_failure(Outbox *outbox, const ApiAnswer *answer, Outcome outcome)
{
        if (answer->error == -ECANCELED)
                return;
        outbox->failing = answer->error != 0 ? waiting_cause_of_failure(answer)
                          : outcome == OUTCOME_UNKNOWN || (outcome == OUTCOME_DONE && !answer->is_json)
                                          ? WAITING_FAILING
                                          : WAITING_NOTHING;
        if (outbox->failing != WAITING_NOTHING)
                outcome_describe(answer, outbox->failure);
}

Outcome outbox_note_answer(Outbox *outbox, const ApiAnswer *answer)
{
        Outcome outcome = outcome_of_answer(answer);

        assert(outbox->in_flight > 0);
        outbox->in_flight--;
        if (answer->error == 0 && answer->is_json && answer->date != TIME_NONE)
                outbox->api_date = answer->date;
        note_failure(outbox, answer, outcome);
        outbox_changed(outbox);
        return outcome;
}

void outbox_note_task(Outbox *outbox, const json_t *task)
{
        int64_t created = outcome_task_created(task);

        if (created != TIME_NONE)
                outbox->api_created = created;
}

void outbox_note_page(Outbox *outbox, const json_t *page)
{
        const json_t *docs = json_object_get(page, "docs");

        outbox->probed |= json_is_array(docs);
        if (outbox->api_created == TIME_NONE)
                outbox_note_task(outbox, json_array_get(docs, 0));
}

int64_t outbox_floor(const Outbox *outbox)
{
        if (outbox->api_created == TIME_NONE || outbox->api_date == TIME_NONE)
                return outbox->api_created;
        return MIN(outbox->api_created, outbox->api_date);
}

void outbox_hold(Outbox *outbox, const char *reason)
{
        if (outbox->n_holds > 0)
                return; /* another answer said so just before */
        save_init(&outbox->hold, outbox, "", NULL, NULL);
        outbox->hold.kind = SAVE_HOLD;
        outbox->hold.hold = true;
        outbox->hold.move.now = outbox_realtime(outbox);
        snprintf(outbox->hold.error, sizeof(outbox->hold.error), "%s", reason);
        save_submit(&outbox->hold);
}

void outbox_tell_task(Outbox *outbox, const TaskSnapshot *snapshot)
{
        if (outbox->options.on_task)
                outbox->options.on_task(snapshot->body.data, snapshot->body.size, outbox->options.userdata);
}

/* The first question. */

static void on_probed(const ApiAnswer *answer, void *userdata)
{
        Outbox *outbox = userdata;
        Outcome outcome = outbox_note_answer(outbox, answer);
        char text[OUTCOME_TEXT_SIZE];
        uint64_t delay;

        outbox->probing = false;
        outcome_describe(answer, text);
        if (outcome == OUTCOME_DONE && answer->is_json) {
                json_auto_t *page = outcome_read(answer);

                outbox_note_page(outbox, page);
                outbox->probed = true;
                outbox->probe_failures = 0;
                return;
        }
        if (outcome == OUTCOME_ACCOUNT || outcome == OUTCOME_REJECTED)
                outbox_hold(outbox, text);
        /* Nothing can be sent before, so that it is asked for as often as what can be is tried. */
        delay = backoff_delay(++outbox->probe_failures, &outbox->chance);
        outbox->probe_at = outbox_monotonic(outbox) + MIN(delay, backoff_step(1));
        log_full(outbox->probe_failures == 1 ? LOG_WARNING : LOG_DEBUG, "Nothing can be sent: %s", text);
}

/* Whether there was an answer; else sees that there will be. */
static bool probe(Outbox *outbox)
{
        const ApiRequest request = { .method = "GET", .path = "/tasks?limit=1" };

        if (outbox->probed || outbox->api_date != TIME_NONE)
                return true;
        if (outbox->probing)
                return false;
        if (outbox->probe_at > outbox_monotonic(outbox))
                outbox_wake_at(outbox, outbox->probe_at);
        else if (!outbox_may_ask(outbox))
                return false;
        else if (outbox_ask(outbox, &request, on_probed, outbox) >= 0)
                outbox->probing = true;
        else
                outbox_wake_at(outbox, outbox_monotonic(outbox) + backoff_local(0));
        return false;
}

/* Running. */

static void on_flushed(Save *save, _unused_ int result, _unused_ void *userdata)
{
        save->outbox->flush_busy = false;
}

/* What waits for a day that is too far away waits for a clock that was wrong. */
static int check_clock(Outbox *outbox)
{
        int64_t next;
        int r;

        r = store_get_next_due(outbox->options.reader, SUBMISSION_QUEUED, &next);
        if (r < 0 || next == TIME_NONE || next - outbox_realtime(outbox) <= CLOCK_WENT_BACK ||
                        outbox->flush_busy)
                return r;
        log_warning("The clock went back: the queue is looked at anew");
        outbox->flush_busy = true;
        save_init(&outbox->flush, outbox, "", on_flushed, NULL);
        outbox->flush.kind = SAVE_FLUSH;
        outbox->flush.move.now = outbox_realtime(outbox);
        save_submit(&outbox->flush);
        return 0;
}

static bool may_create(Outbox *outbox, const StoreQueue *queue, uint64_t now)
{
        const uint64_t until[] = { outbox->create_at, outbox->disk_at };

        if (queue->hold != QUEUE_RUNNING || outbox->n_holds > 0 || queue->by_state[SUBMISSION_QUEUED] == 0)
                return false;
        FOREACH_ARRAY(u, until, ELEMENTSOF(until))
                if (*u > now) {
                        outbox_wake_at(outbox, *u);
                        return false;
                }
        return probe(outbox);
}

static int run(Outbox *outbox)
{
        uint64_t now = outbox_monotonic(outbox);
        StoreQueue queue;
        int r;

        r = store_get_queue(outbox->options.reader, outbox_realtime(outbox), &queue);
        if (r >= 0)
                r = resolver_run(outbox->resolver, &queue);
        if (r >= 0 && queue.hold != QUEUE_HELD_ACCOUNT && outbox->n_holds == 0)
                r = cancel_run(outbox);
        if (r >= 0)
                r = check_clock(outbox);
        if (r < 0)
                return r;

        if (outbox_retry_at(outbox) > now)
                outbox_wake_at(outbox, outbox_retry_at(outbox));
        else if (may_create(outbox, &queue, now))
                r = sending_run(outbox, &queue);
        return r;
}

int outbox_run(Outbox *outbox)
{
        int r = 0;

        outbox->wake = UINT64_MAX;
        save_run_waiting(outbox);
        if (outbox->fatal)
                return -ENOTRECOVERABLE;
        if (outbox->recovered && !outbox->stopping)
                r = run(outbox);
        if (r < 0)
                outbox_wake_at(outbox, outbox_monotonic(outbox) + USEC_PER_SEC);
        return r;
}

uint64_t outbox_next(const Outbox *outbox)
{
        return outbox->wake;
}

/* From the beginning to the end. */

static void on_recovered(Save *save, int result, _unused_ void *userdata)
{
        if (result == 0 && save->copied_at != TIME_NONE)
                log_warning("The database is a backup that was put back: %" PRIu64
                            " submissions that were queued in it "
                            "may have been sent since, which is looked for before they are sent.",
                                save->n_doubted);
        save->outbox->recovered = result == 0;
}

void outbox_start(Outbox *outbox)
{
        assert(!outbox->started);
        outbox->started = true;
        save_init(&outbox->recover, outbox, "", on_recovered, NULL);
        outbox->recover.kind = SAVE_RECOVER;
        outbox->recover.move.now = outbox_realtime(outbox);
        outbox->recover.move.ended_at = (int64_t)outbox_monotonic(outbox);
        outbox->recover.move.grace = outbox_grace(outbox);
        outbox->recover.move.is_test = outbox->options.api.is_test(outbox->options.api.userdata);
        save_submit(&outbox->recover);
}

static int set_options(Outbox *outbox, const OutboxOptions *options)
{
        char *url = NULL;

        if (options->callback_url) {
                url = strdup(options->callback_url);
                if (!url)
                        return -ENOMEM;
        }
        free(outbox->callback_url);
        outbox->callback_url = url;
        outbox->options = *options;
        outbox->options.callback_url = url;
        return 0;
}

int outbox_new(const OutboxOptions *options, Outbox **ret)
{
        _cleanup_(outbox_freep) Outbox *outbox = calloc(1, sizeof(Outbox));
        int r;

        if (!outbox)
                return -ENOMEM;
        r = set_options(outbox, options);
        if (r < 0)
                return r;
        r = resolver_new(outbox, &outbox->resolver);
        if (r < 0)
                return r;
        outbox->api_date = outbox->api_created = TIME_NONE;
        outbox->chance = options->seed;
        outbox->wake = UINT64_MAX;
        *ret = TAKE_PTR(outbox);
        return 0;
}

int outbox_set_options(Outbox *outbox, const OutboxOptions *options)
{
        int r;

        r = set_options(outbox, options);
        if (r >= 0)
                outbox_changed(outbox);
        return r;
}

Outbox *outbox_free(Outbox *outbox)
{
        if (!outbox)
                return NULL;

        sending_free_all(outbox);
        cancel_free_all(outbox);
        resolver_free(outbox->resolver);
        free(outbox->callback_url);
        free(outbox);
        return NULL;
}

void outbox_hurry(Outbox *outbox)
{
        resolver_hurry(outbox->resolver);
        cancel_hurry(outbox);
        outbox->create_at = outbox->probe_at = outbox->disk_at = 0;
        outbox->trouble = outbox->probe_failures = 0;
        outbox_changed(outbox);
}

void outbox_stop(Outbox *outbox)
{
        outbox->stopping = true;
        outbox_changed(outbox);
}

bool outbox_is_idle(const Outbox *outbox)
{
        return outbox->in_flight == 0 && outbox->n_saves == 0;
}

void outbox_get_stats(const Outbox *outbox, OutboxStats *ret)
{
        *ret = outbox->stats;
        ret->in_flight = outbox->in_flight;
}
