/*
 * Out of the queue: what is due, how many may be sent, and the first step of each, see send.c. What
 * is sent are the parameters as they were accepted, with the submission's id in the metadata and, where the
 * settings say so, in the callback's URL: by these it is found again.
 */

#include <stdio.h>

#include "submitd/outbox/internal.h"
#include "submitd/outbox/resolve.h"
#include "json/encode.h"
#include "json/parse.h"

#define BODY_MAX   ((size_t)64 * 1024 * 1024)
#define BURST_PART 10U /* a tenth of a second's requests may come at once */

/* What is sent. 0, -ENOMEM, -EUCLEAN. */
static int build_body(const Outbox *o, const Submission *s, Sending *x)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(BODY_MAX);
        json_auto_t *params = NULL;
        json_t *metadata;
        int r;

        r = json_parse(s->params, s->params_size, 0, &params, NULL);
        if (r == -ENOMEM)
                return r;
        r = 0;
        metadata = json_object_get(params, "metadata");
        if (!json_is_object(params) || (metadata && !json_is_object(metadata)))
                return -EUCLEAN;
        if (!metadata) {
                metadata = json_object();
                r |= json_object_set_new(params, "metadata", metadata);
        }
        r |= json_object_set_new(metadata, TASK_SUBMISSION_KEY, json_string(s->id));
        if (o->callback_url)
                r |= json_object_set_new(
                                params, "callback_url", json_sprintf("%s/%s", o->callback_url, s->id));
        if (r < 0)
                return -ENOMEM;
        r = json_encode(params, &text);
        if (r < 0)
                return r;
        x->body = buffer_take(&text, &x->body_size);
        return 0;
}

static Sending *remember(Outbox *o, const Submission *s)
{
        _cleanup_(sending_freep) Sending *x = calloc(1, sizeof(Sending));

        if (!x)
                return NULL;
        x->outbox = o;
        x->type = strdup(s->type);
        if (!x->type)
                return NULL;
        snprintf(x->id, sizeof(x->id), "%s", s->id);
        x->attempts = s->attempts + 1;
        x->expires_at = s->expires_at;
        x->floor_at = outbox_floor(o);
        x->grace = outbox_grace(o);
        x->is_test = o->options.api.is_test(o->options.api.userdata);

        x->next = o->sendings;
        o->sendings = x;
        o->n_sendings++;
        return TAKE_PTR(x);
}

static void on_started(Save *s, int result, void *userdata)
{
        Sending *x = userdata;

        if (result < 0 || s->outcome != 0)
                sending_forget(x); /* the row is as it was, or somebody else's */
        else
                sending_ask(x);
}

/* Straight from queued to an end. */
static void end_queued(Sending *x, SubmissionState to, unsigned status, const char *why)
{
        StoreMove *m = sending_end(x, to);

        m->from = SUBMISSION_IN(SUBMISSION_QUEUED);
        m->status = status;
        snprintf(x->save.error, sizeof(x->save.error), "%s", why);
        save_submit(&x->save);
}

static void start(Sending *x, int64_t day)
{
        StoreMove *m = sending_end(x, SUBMISSION_SENDING);
        Save *s = &x->save;

        x->step = SENDING_STARTS;
        s->finished = on_started;
        s->once = true;
        x->sent_at = m->now;
        x->live_day = day;
        m->from = SUBMISSION_IN(SUBMISSION_QUEUED);
        m->sent_at = x->sent_at;
        m->floor_at = x->floor_at;
        m->grace = x->grace;
        m->attempt = true;
        if (!x->is_test) {
                s->live_by = 1;
                s->live_day = day;
        }
        save_submit(s);
}

/* What is due. */

typedef struct Room {
        Outbox *outbox;
        unsigned n;    /* how many more may be under way */
        uint64_t live; /* how many more may be sent with a live key today */
        int64_t day;   /* that is today */
        uint64_t now;  /* monotonic */
        int64_t realtime;
} Room;

/* The rate: a bucket of tokens, as the time at which the next one is there. */
static bool take_token(Outbox *o, uint64_t now)
{
        uint64_t rate = o->options.rate, each, burst;

        if (rate == UINT64_MAX)
                return true;
        each = MAX(USEC_PER_SEC / MAX(rate, 1U), 1U);
        burst = (MAX(rate / BURST_PART, 1U) - 1) * each;
        if (o->next_token > now + burst) {
                outbox_wake_at(o, o->next_token - burst);
                return false;
        }
        o->next_token = MAX(o->next_token, now) + each;
        return true;
}

static bool is_taken(const Outbox *o, const char *id)
{
        for (const Sending *x = o->sendings; x; x = x->next)
                if (streq(x->id, id))
                        return true;
        return false;
}

static int take_due(const Submission *s, void *userdata)
{
        Room *room = userdata;
        Outbox *o = room->outbox;
        Sending *x;
        int r;

        if (room->n == 0 || is_taken(o, s->id))
                return 0;
        x = remember(o, s);
        if (!x)
                return -ENOMEM;
        room->n--;

        if (s->cancel_wanted)
                end_queued(x, SUBMISSION_CANCELED, s->status, "canceled before there was a task");
        else if ((!x->is_test && room->live == 0) || !take_token(o, room->now)) {
                sending_forget(x);
                room->n = 0;
        } else if ((r = build_body(o, s, x)) == -EUCLEAN)
                end_queued(x, SUBMISSION_REJECTED, 0, "its parameters, as they are stored, can't be read");
        else if (r < 0) {
                sending_forget(x);
                return r;
        } else {
                room->live -= !x->is_test && room->live != UINT64_MAX;
                start(x, room->day);
        }
        return 0;
}

/* How many tasks may still be sent with a live key. Every date has its count, however often the clock shows
 * it: one that goes back and forth between two gives two days' worth once, and nothing more; and a date that
 * it showed too early does not stop those that come before. */
static uint64_t count_live(const Outbox *o, const StoreQueue *queue)
{
        uint64_t cap = o->options.live_per_day, n = queue->live_sent;

        if (cap == UINT64_MAX)
                return cap;
        for (const Sending *x = o->sendings; x; x = x->next)
                n += x->step == SENDING_STARTS && !x->is_test;
        return cap - MIN(n, cap);
}

/* What is due already is in hand: its end wakes. */
static void wake_for_queue(Outbox *o, const Room *room)
{
        int64_t next;

        if (store_get_next_due(o->options.reader, SUBMISSION_QUEUED, &next) >= 0 && next != TIME_NONE &&
                        next > room->realtime)
                outbox_wake_at(o, room->now + MIN((uint64_t)(next - room->realtime), LOOK_USEC));
}

int sending_run(Outbox *o, const StoreQueue *queue)
{
        Room room = {
                .outbox = o,
                .now = outbox_monotonic(o),
                .realtime = outbox_realtime(o),
        };
        unsigned n_starting = 0, busy;
        int r;

        for (const Sending *x = o->sendings; x; x = x->next)
                n_starting += x->step != SENDING_ASKS;
        busy = o->in_flight + n_starting;
        if (busy >= o->options.max_in_flight ||
                        resolver_count(o->resolver) + o->n_sendings + o->options.max_in_flight > UNKNOWN_MAX)
                return 0;
        room.n = o->options.max_in_flight - busy;
        room.live = count_live(o, queue);
        room.day = room.realtime / (int64_t)USEC_PER_DAY;
        r = store_list_due(o->options.reader, SUBMISSION_QUEUED, room.realtime, room.n + n_starting,
                        take_due, &room);
        if (r < 0)
                return r;
        if (room.n > 0)
                wake_for_queue(o, &room);
        else if (room.live == 0)
                outbox_wake_at(o, room.now + LOOK_USEC);
        return 0;
}
