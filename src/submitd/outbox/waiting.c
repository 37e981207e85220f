/*
 * For which cause the outbox waits. Where several hold, the one is told that has to go first: a hold before
 * the network, the network before a cap.
 */

#include "submitd/outbox/waiting.h"

#include <stdio.h>

#include "submitd/outbox/internal.h"
#include "submitd/outbox/resolve.h"

/* What a choice is made from. */
typedef struct Look {
        const Outbox *outbox;
        const StoreQueue *queue;
        uint64_t now;
        int64_t realtime, next[2]; /* of those queued, and of those unknown */
        bool writable;
} Look;

static void set(Waiting *w, WaitingCause cause, const char *detail, int64_t until)
{
        w->cause = cause;
        w->until = until;
        snprintf(w->text, sizeof(w->text), "%s%s%s", waiting_words[cause].text,
                        detail && *detail ? ": " : "", detail ?: "");
}

/* A time of the monotonic clock, as one of the clock on the wall. */
static int64_t on_the_wall(const Look *l, uint64_t at)
{
        return l->realtime + (int64_t)(at - MIN(at, l->now));
}

static bool look_at_hold(const Look *l, Waiting *w)
{
        static const WaitingCause holds[_QUEUE_HOLD_MAX] = {
                [QUEUE_HELD] = WAITING_HELD,
                [QUEUE_HELD_ACCOUNT] = WAITING_ACCOUNT,
        };

        if (l->queue->hold == QUEUE_RUNNING)
                return false;
        set(w, holds[l->queue->hold], l->queue->reason, TIME_NONE);
        return true;
}

static bool look_at_disk(const Look *l, Waiting *w)
{
        const Outbox *o = l->outbox;

        if (l->writable && o->disk_at <= l->now)
                return false;
        set(w, o->disk_error == -ENOSPC ? WAITING_ROOM : WAITING_DISK, NULL, on_the_wall(l, o->disk_at));
        return true;
}

static bool look_at_retry_after(const Look *l, Waiting *w)
{
        uint64_t until = outbox_retry_at(l->outbox);

        if (until <= l->now)
                return false;
        set(w, WAITING_RETRY_AFTER, NULL, on_the_wall(l, until));
        return true;
}

static bool look_at_api(const Look *l, Waiting *w)
{
        const Outbox *o = l->outbox;
        uint64_t at = MAX(o->create_at, o->probed || o->api_date != TIME_NONE ? 0 : o->probe_at);
        int64_t next = l->next[0] == TIME_NONE ? l->next[1] : l->next[0];

        if (o->failing == WAITING_NOTHING)
                return false;
        w->cause = o->failing;
        w->until = MAX(on_the_wall(l, at), next);
        snprintf(w->text, sizeof(w->text), "%s", o->failure);
        return true;
}

/* What follows is for what is queued and due. */

static bool is_due(const Look *l)
{
        return l->next[0] != TIME_NONE && l->next[0] <= l->realtime;
}

static bool look_at_cap(const Look *l, Waiting *w)
{
        const OutboxOptions *options = &l->outbox->options;
        char detail[64];

        if (!is_due(l) || options->api.is_test(options->api.userdata) ||
                        l->queue->live_sent < options->live_per_day)
                return false;
        snprintf(detail, sizeof(detail), "%llu", (unsigned long long)l->queue->live_sent);
        set(w, WAITING_LIVE_CAP, detail, (l->realtime / (int64_t)USEC_PER_DAY + 1) * (int64_t)USEC_PER_DAY);
        return true;
}

static bool look_at_unknown(const Look *l, Waiting *w)
{
        const Outbox *o = l->outbox;

        if (!is_due(l) || resolver_count(o->resolver) + o->n_sendings + o->options.max_in_flight <=
                                          UNKNOWN_MAX)
                return false;
        set(w, WAITING_TOO_MANY_UNKNOWN, NULL, l->next[1]);
        return true;
}

static bool look_at_rate(const Look *l, Waiting *w)
{
        const Outbox *o = l->outbox;

        if (!is_due(l) || o->options.rate == UINT64_MAX || o->next_token <= l->now)
                return false;
        set(w, WAITING_RATE, NULL, on_the_wall(l, o->next_token));
        return true;
}

static bool look_at_backoff(const Look *l, Waiting *w)
{
        if (l->next[0] == TIME_NONE || is_due(l))
                return false;
        set(w, WAITING_BACKOFF, NULL, l->next[0]);
        return true;
}

static bool look_at_settle(const Look *l, Waiting *w)
{
        if (l->next[0] != TIME_NONE || l->queue->by_state[SUBMISSION_UNKNOWN] == 0)
                return false;
        set(w, WAITING_SETTLE, NULL, l->next[1]);
        return true;
}

int waiting_look(const Outbox *o, const StoreQueue *queue, bool writable, Waiting *ret)
{
        static bool (*const looks[])(const Look *l, Waiting *w) = { look_at_disk, look_at_retry_after,
                look_at_api, look_at_cap, look_at_unknown, look_at_rate, look_at_backoff, look_at_settle };
        Look l = {
                .outbox = o,
                .queue = queue,
                .now = outbox_monotonic(o),
                .realtime = outbox_realtime(o),
                .writable = writable,
        };
        int r;

        *ret = (Waiting){ .until = TIME_NONE };
        if (look_at_hold(&l, ret))
                return 0;
        r = store_get_next_due(o->options.reader, SUBMISSION_QUEUED, &l.next[0]);
        if (r >= 0)
                r = store_get_next_due(o->options.reader, SUBMISSION_UNKNOWN, &l.next[1]);
        if (r < 0 || (l.next[0] == TIME_NONE && l.next[1] == TIME_NONE))
                return r;
        FOREACH_ARRAY(look, looks, ELEMENTSOF(looks))
                if ((*look)(&l, ret))
                        break;
        return 0;
}

/* Whether what stops the queue as a whole stops this one too. A hold by an administrator is about sending.
 */
static bool is_stopped(const Submission *s, const Waiting *queue)
{
        return queue->cause > (s->state == SUBMISSION_QUEUED ? WAITING_NOTHING : WAITING_HELD) &&
               queue->cause <= WAITING_FAILING;
}

bool waiting_of_submission(const Submission *s, const Waiting *queue, int64_t now, Waiting *ret)
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
        bool later = s->next_at != TIME_NONE && s->next_at > now, waits = s->state == SUBMISSION_QUEUED;
        WaitingCause cause = WAITING_NOTHING;

        FOREACH_ARRAY(o, own, ELEMENTSOF(own))
                if (o->state == s->state && (!o->later || later) && (!o->cancel || s->cancel_wanted))
                        cause = o->cause;
        *ret = *queue;
        if (cause == WAITING_NOTHING && !waits)
                return false;
        if (is_stopped(s, queue))
                ret->until = queue->until == TIME_NONE ? TIME_NONE : MAX(queue->until, s->next_at);
        else if (cause != WAITING_NOTHING)
                set(ret, cause, cause == WAITING_BACKOFF ? s->error : NULL, s->next_at);
        return ret->cause != WAITING_NOTHING;
}

json_t *waiting_to_json(const Waiting *w)
{
        json_auto_t *o = json_object();
        char time[TIME_STAMP_SIZE];
        int r;

        r = json_object_set_new(o, "cause", json_string(waiting_words[w->cause].name));
        r |= json_object_set_new(o, "text", json_string(w->text));
        r |= json_object_set_new(o, "severity", json_string(waiting_words[w->cause].severity));
        if (*waiting_words[w->cause].help)
                r |= json_object_set_new(o, "help", json_string(waiting_words[w->cause].help));
        if (w->until != TIME_NONE)
                r |= json_object_set_new(o, "until", json_string(time_format(w->until, time)));
        return r < 0 ? NULL : json_incref(o);
}
