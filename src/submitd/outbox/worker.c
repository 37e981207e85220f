/*
 * The outbox's worker. It has no loop, no socket and no clock: it is told to run, asks what it has to ask,
 * and says when it wants to run again. The rules that keep a task from being made twice or forgotten are in
 * send.c (what is sent), resolve.c (what became of it when nobody answers) and answer.c (what an answer
 * means).
 *
 * Before anything is sent, an answer of the API has to be there: it shows that the key is good, and, where
 * it is a list, when the API made its newest task, by its own clock for that. As long as there is none the
 * worker asks for a list of one task.
 */

#include "submitd/outbox/outbox.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "submitd/outbox/cancel.h"
#include "submitd/outbox/resolve.h"
#include "submitd/outbox/save.h"
#include "submitd/outbox/send.h"

/* Further in the future than anything is ever put off: the clock went back. */
#define CLOCK_WENT_BACK (2 * (int64_t)USEC_PER_DAY)

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
                save_hold(outbox, text);
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
        save_init(&outbox->flush, outbox, STORE_FLUSH, "", on_flushed, NULL);
        save_submit(&outbox->flush);
        return 0;
}

static bool may_create(Outbox *outbox, const StoreQueue *queue, uint64_t now)
{
        const uint64_t until[] = { outbox->create_at, outbox->disk_at };

        if (queue->hold != QUEUE_RUNNING || outbox->n_holds > 0 || queue->by_state[SUBMISSION_QUEUED] == 0)
                return false;
        FOREACH_ARRAY(time, until, ELEMENTSOF(until))
                if (*time > now) {
                        outbox_wake_at(outbox, *time);
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
        if (result == 0 && save->job.change.recovered.copied_at != TIME_NONE)
                log_warning("The database is a backup that was put back: %" PRIu64
                            " submissions that were queued in it may have been sent since, which is looked for before they are sent.",
                                save->job.change.recovered.n_doubted);
        save->outbox->recovered = result == 0;
}

void outbox_start(Outbox *outbox)
{
        assert(!outbox->started);
        outbox->started = true;
        save_init(&outbox->recover, outbox, STORE_RECOVER, "", on_recovered, NULL);
        outbox->recover.job.change.recovery = (StoreRecovery){
                (int64_t)outbox_monotonic(outbox),
                outbox_grace(outbox),
                outbox_is_test(outbox),
        };
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
