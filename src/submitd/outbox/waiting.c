/*
 * For which cause the outbox waits. Where several hold, the one is told that has to go first: a hold before
 * the network, the network before a cap.
 */

#include "submitd/outbox/waiting.h"

#include <stdio.h>

#include "submitd/outbox/resolve.h"
#include "submitd/outbox/state.h"

/* What a choice is made from. */
typedef struct Look {
        const Outbox *outbox;
        const StoreQueue *queue;
        uint64_t now;
        int64_t realtime, next[2]; /* of those queued, and of those unknown */
        bool writable;
} Look;

static void set(Waiting *waiting, WaitingCause cause, const char *detail, int64_t until)
{
        waiting->cause = cause;
        waiting->until = until;
        snprintf(waiting->text, sizeof(waiting->text), "%s%s%s", waiting_words[cause].text,
                        detail && *detail ? ": " : "", detail ?: "");
}

/* A time of the monotonic clock, as one of the clock on the wall. */
static int64_t on_the_wall(const Look *look, uint64_t at)
{
        return look->realtime + (int64_t)(at - MIN(at, look->now));
}

static bool look_at_hold(const Look *look, Waiting *waiting)
{
        static const WaitingCause holds[_QUEUE_HOLD_MAX] = {
                [QUEUE_HELD] = WAITING_HELD,
                [QUEUE_HELD_ACCOUNT] = WAITING_ACCOUNT,
        };

        if (look->queue->hold == QUEUE_RUNNING)
                return false;
        set(waiting, holds[look->queue->hold], look->queue->reason, TIME_NONE);
        return true;
}

static bool look_at_disk(const Look *look, Waiting *waiting)
{
        const Outbox *outbox = look->outbox;

        if (look->writable && outbox->disk_at <= look->now)
                return false;
        set(waiting, outbox->disk_error == -ENOSPC ? WAITING_ROOM : WAITING_DISK, NULL,
                        on_the_wall(look, outbox->disk_at));
        return true;
}

static bool look_at_retry_after(const Look *look, Waiting *waiting)
{
        uint64_t until = outbox_retry_at(look->outbox);

        if (until <= look->now)
                return false;
        set(waiting, WAITING_RETRY_AFTER, NULL, on_the_wall(look, until));
        return true;
}

static bool look_at_api(const Look *look, Waiting *waiting)
{
        const Outbox *outbox = look->outbox;
        uint64_t at = MAX(outbox->create_at,
                        outbox->probed || outbox->api_date != TIME_NONE ? 0 : outbox->probe_at);
        int64_t next = look->next[0] == TIME_NONE ? look->next[1] : look->next[0];

        if (outbox->failing == WAITING_NOTHING)
                return false;
        waiting->cause = outbox->failing;
        waiting->until = MAX(on_the_wall(look, at), next);
        snprintf(waiting->text, sizeof(waiting->text), "%s", outbox->failure);
        return true;
}

/* What follows is for what is queued and due. */

static bool is_due(const Look *look)
{
        return look->next[0] != TIME_NONE && look->next[0] <= look->realtime;
}

static bool look_at_cap(const Look *look, Waiting *waiting)
{
        const OutboxOptions *options = &look->outbox->options;
        char detail[64];

        if (!is_due(look) || options->api.is_test(options->api.userdata) ||
                        look->queue->live_sent < options->live_per_day)
                return false;
        snprintf(detail, sizeof(detail), "%llu", (unsigned long long)look->queue->live_sent);
        set(waiting, WAITING_LIVE_CAP, detail,
                        (look->realtime / (int64_t)USEC_PER_DAY + 1) * (int64_t)USEC_PER_DAY);
        return true;
}

static bool look_at_unknown(const Look *look, Waiting *waiting)
{
        const Outbox *outbox = look->outbox;

        if (!is_due(look) || resolver_has_room(outbox->resolver))
                return false;
        set(waiting, WAITING_TOO_MANY_UNKNOWN, NULL, look->next[1]);
        return true;
}

static bool look_at_rate(const Look *look, Waiting *waiting)
{
        const Outbox *outbox = look->outbox;

        if (!is_due(look) || outbox->options.rate == UINT64_MAX || outbox->next_token <= look->now)
                return false;
        set(waiting, WAITING_RATE, NULL, on_the_wall(look, outbox->next_token));
        return true;
}

static bool look_at_backoff(const Look *look, Waiting *waiting)
{
        if (look->next[0] == TIME_NONE || is_due(look))
                return false;
        set(waiting, WAITING_BACKOFF, NULL, look->next[0]);
        return true;
}

static bool look_at_settle(const Look *look, Waiting *waiting)
{
        if (look->next[0] != TIME_NONE || look->queue->by_state[SUBMISSION_UNKNOWN] == 0)
                return false;
        set(waiting, WAITING_SETTLE, NULL, look->next[1]);
        return true;
}

int waiting_look(const Outbox *outbox, const StoreQueue *queue, bool writable, Waiting *ret)
{
        static bool (*const looks[])(const Look *look, Waiting *waiting) = { look_at_disk,
                look_at_retry_after, look_at_api, look_at_cap, look_at_unknown, look_at_rate,
                look_at_backoff, look_at_settle };
        Look look = {
                .outbox = outbox,
                .queue = queue,
                .now = outbox_monotonic(outbox),
                .realtime = outbox_realtime(outbox),
                .writable = writable,
        };
        int r;

        *ret = (Waiting){ .until = TIME_NONE };
        if (look_at_hold(&look, ret))
                return 0;
        r = store_get_next_due(outbox->options.reader, SUBMISSION_QUEUED, &look.next[0]);
        if (r >= 0)
                r = store_get_next_due(outbox->options.reader, SUBMISSION_UNKNOWN, &look.next[1]);
        if (r < 0 || (look.next[0] == TIME_NONE && look.next[1] == TIME_NONE))
                return r;
        FOREACH_ARRAY(fits, looks, ELEMENTSOF(looks))
                if ((*fits)(&look, ret))
                        break;
        return 0;
}

/* Whether what stops the queue as a whole stops this one too. A hold by an administrator is about sending.
 */
static bool is_stopped(const Submission *submission, const Waiting *queue)
{
        return queue->cause > (submission->state == SUBMISSION_QUEUED ? WAITING_NOTHING : WAITING_HELD) &&
               queue->cause <= WAITING_FAILING;
}

bool waiting_of_submission(const Submission *submission, const Waiting *queue, int64_t now, Waiting *ret)
{
        static const struct {
                SubmissionState state;
                bool later, cancel; /* asked for only where true */
                WaitingCause cause;
        } own[] = {
                { SUBMISSION_QUEUED, true, false, WAITING_BACKOFF },
                { SUBMISSION_UNKNOWN, false, false, WAITING_SETTLE },
                { SUBMISSION_ACCEPTED, false, true, WAITING_CANCEL },
        };
        bool later = submission->next_at != TIME_NONE && submission->next_at > now,
             waits = submission->state == SUBMISSION_QUEUED;
        WaitingCause cause = WAITING_NOTHING;

        FOREACH_ARRAY(o, own, ELEMENTSOF(own))
                if (o->state == submission->state && (!o->later || later) &&
                                (!o->cancel || submission->cancel_wanted))
                        cause = o->cause;
        *ret = *queue;
        if (cause == WAITING_NOTHING && !waits)
                return false;
        if (is_stopped(submission, queue))
                ret->until = queue->until == TIME_NONE ? TIME_NONE : MAX(queue->until, submission->next_at);
        else if (cause != WAITING_NOTHING)
                set(ret, cause, cause == WAITING_BACKOFF ? submission->error : NULL, submission->next_at);
        return ret->cause != WAITING_NOTHING;
}

json_t *waiting_to_json(const Waiting *waiting)
{
        json_auto_t *object = json_object();
        char time[TIME_STAMP_SIZE];
        int r;

        r = json_object_set_new(object, "cause", json_string(waiting_words[waiting->cause].name));
        r |= json_object_set_new(object, "text", json_string(waiting->text));
        r |= json_object_set_new(object, "severity", json_string(waiting_words[waiting->cause].severity));
        if (*waiting_words[waiting->cause].help)
                r |= json_object_set_new(object, "help", json_string(waiting_words[waiting->cause].help));
        if (waiting->until != TIME_NONE)
                r |= json_object_set_new(object, "until", json_string(time_format(waiting->until, time)));
        return r < 0 ? NULL : json_incref(object);
}
