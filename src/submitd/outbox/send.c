/*
 * One submission from queued to what came of it. In this order, each step only when the one before is on
 * disk:
 *
 *   1. `sending`, with the time and the API's clock as it was last seen: from here on there may be a task,
 *      and a process that dies leaves word of that;
 *   2. the request;
 *   3. what came of it, as the table in answer.c has it.
 *
 * Back to queued only goes what is certain not to have made a task. For each there is one Sending from the
 * moment that it is taken out of the queue until the last step is stored, so none is in two hands.
 *
 * How many may be under way counts all of these steps: while the disk takes nothing, nothing new is sent.
 *
 * What is sent are the parameters as they were accepted, with the submission's id in the metadata and, where
 * the settings say so, in the callback's URL: by these it is found again.
 */

#include "submitd/outbox/internal.h"

#include <stdio.h>

#include "basic/log.h"
#include "submitd/api/backoff.h"
#include "submitd/outbox/resolve.h"
#include "json/encode.h"
#include "json/parse.h"

#define ANSWER_MAX  ((size_t)64 * 1024) /* of a rejection, as it is kept */
#define TROUBLE_MAX 4U /* requests in a row without a word from the API: then, more slowly */
#define BODY_MAX    ((size_t)64 * 1024 * 1024)
#define BURST_PART  10U /* a tenth of a second's requests may come at once */

static Sending *sending_free(Sending *x)
{
        if (!x)
                return NULL;

        save_done(&x->save);
        free(x->type);
        free(x->body);
        free(x);
        return NULL;
}

DEFINE_CLEANUP(Sending *, sending_free)

static void sending_forget(Sending *x)
{
        Outbox *o = x->outbox;

        for (Sending **i = &o->sendings; *i; i = &(*i)->next)
                if (*i == x) {
                        *i = x->next;
                        o->n_sendings--;
                        break;
                }
        sending_free(x);
}

void sending_free_all(Outbox *o)
{
        while (o->sendings)
                sending_forget(o->sendings);
}

unsigned sending_count_starting(const Outbox *o)
{
        unsigned n = 0;

        for (const Sending *x = o->sendings; x; x = x->next)
                n += x->step == SENDING_STARTS;
        return n;
}

/* Step 3: what came of it. */

static void on_ended(Save *s, int result, void *userdata)
{
        Sending *x = userdata;
        Outbox *o = x->outbox;

        if (result == 0 && s->kind == SAVE_ACCEPT && s->outcome == STORE_MOVED_ON)
                o->stats.duplicates++;
        else if (result == 0 && s->kind == SAVE_ACCEPT) {
                o->stats.created++;
                if (s->snapshot->has_response)
                        outbox_tell_task(o, s->snapshot);
        }

        if (result == 0 && s->outcome == 0 && s->kind == SAVE_MOVE) {
                o->stats.rejected += s->move.to == SUBMISSION_REJECTED;
                o->stats.unknown += s->move.to == SUBMISSION_UNKNOWN;
                o->stats.retried += s->move.to == SUBMISSION_QUEUED;
                o->stats.expired += s->move.to == SUBMISSION_EXPIRED;
                o->stats.canceled += s->move.to == SUBMISSION_CANCELED;
                if (s->move.to == SUBMISSION_UNKNOWN)
                        resolver_add(o->resolver, x);
        }
        sending_forget(x);
}

static StoreMove *sending_end(Sending *x, SubmissionState to)
{
        Save *s = &x->save;

        save_done(s);
        save_init(s, x->outbox, x->id, on_ended, x);
        x->step = SENDING_ENDS;
        s->kind = SAVE_MOVE;
        s->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_SENDING),
                .to = to,
                .now = outbox_realtime(x->outbox),
                .next_at = TIME_NONE,
                .sent_at = TIME_NONE,
                .floor_at = TIME_NONE,
                .ended_at = TIME_NONE,
                .grace = TIME_NONE,
                .is_test = x->is_test,
                .expires_at = TIME_NONE,
        };
        return &s->move;
}

/* It is certain that there is no task. */
static void end_without_task(Sending *x, SubmissionState to, unsigned status, uint64_t delay)
{
        StoreMove *m = sending_end(x, to);

        m->status = status;
        m->next_at = outbox_next_try(m->now, delay, x->expires_at);
        if (!x->is_test) {
                x->save.live_by = -1;
                x->save.live_day = x->live_day;
        }
}

/* There may be one. */
static void end_unknown(Sending *x, const ApiAnswer *answer)
{
        StoreMove *m = sending_end(x, SUBMISSION_UNKNOWN);

        m->status = answer->status;
        m->next_at = m->now + x->grace;
        m->sent_at = x->sent_at;
        m->floor_at = x->floor_at;
        m->ended_at = x->ended_at;
        m->grace = x->grace;
}

/* What rejected it, as far as it is text, cut where a character begins. */
static char *copy_answer(const ApiAnswer *answer)
{
        size_t n = MIN(answer->body_size, ANSWER_MAX);
        char *text;

        if (n == 0)
                return NULL;
        if (answer->is_json && n < answer->body_size)
                while (n > 0 && ((unsigned char)answer->body[n] & 0xc0) == 0x80)
                        n--;
        text = malloc(n + 1);
        if (!text)
                return NULL;
        memcpy(text, answer->body, n);
        text[n] = 0;
        for (size_t i = 0; i < n; i++)
                if (text[i] == 0 || (!answer->is_json && (unsigned char)text[i] >= 0x7f))
                        text[i] = '?';
        return text;
}

static void on_done(Sending *x, const ApiAnswer *answer)
{
        json_auto_t *task = NULL;
        TaskSnapshot *snapshot = NULL;
        TaskClaim claim;

        claim = outcome_claim_task(answer, x->id, &task);
        if (claim == TASK_OURS)
                outbox_note_task(x->outbox, task);
        if (claim == TASK_OURS && task_snapshot_new(task, outbox_realtime(x->outbox), &snapshot) >= 0) {
                sending_end(x, SUBMISSION_ACCEPTED);
                x->save.kind = SAVE_ACCEPT;
                x->save.snapshot = snapshot;
                return;
        }
        end_unknown(x, answer);
        if (claim == TASK_FOREIGN) {
                /* Should it be the API's way not to hand metadata back, every other try would pay once
                 * more. */
                x->save.hold = true;
                snprintf(x->save.error, sizeof(x->save.error),
                                "the API answered 200 with a task that doesn't carry the submission's id; "
                                "is "
                                "[api] url right?");
        }
}

/* Once more, unless this was a try when its time was over. That it was is said by a clock that may jump, so
 * that nothing is given up for that alone. */
static void try_later(Sending *x, const ApiAnswer *answer, uint64_t delay)
{
        bool tried = x->step == SENDING_ASKS && answer->error != -ECANCELED;
        bool over = tried && x->sent_at >= x->expires_at;

        end_without_task(x, over ? SUBMISSION_EXPIRED : SUBMISSION_QUEUED, answer->status, delay);
}

static void on_not_sent(Sending *x, const ApiAnswer *answer)
{
        try_later(x, answer, backoff_delay(x->attempts, &x->outbox->chance));
}

static void on_busy(Sending *x, const ApiAnswer *answer)
{
        uint64_t delay = backoff_delay(x->attempts, &x->outbox->chance);

        if (answer->retry_after != UINT64_MAX)
                delay = MAX(delay, MIN(answer->retry_after, RETRY_AFTER_MAX));
        try_later(x, answer, delay);
}

/* Who redirects may have made the task before: a POST, then a 303 to what came of it. */
static void on_account(Sending *x, const ApiAnswer *answer)
{
        if (outcome_is_redirect(answer))
                end_unknown(x, answer);
        else
                end_without_task(x, SUBMISSION_QUEUED, answer->status, 0);
        x->save.hold = true;
}

static void on_rejected(Sending *x, const ApiAnswer *answer)
{
        end_without_task(x, SUBMISSION_REJECTED, answer->status, 0);
        x->save.answer = copy_answer(answer);
}

static void (*const endings[_OUTCOME_MAX])(Sending *x, const ApiAnswer *answer) = {
        [OUTCOME_DONE] = on_done,
        [OUTCOME_NOT_SENT] = on_not_sent,
        [OUTCOME_BUSY] = on_busy,
        [OUTCOME_ACCOUNT] = on_account,
        [OUTCOME_REJECTED] = on_rejected,
        [OUTCOME_UNKNOWN] = end_unknown,
};

/* An API that answers nobody is asked more slowly: that spares the ones that wait behind. */
static void note_trouble(Outbox *o, Outcome outcome)
{
        if (outcome != OUTCOME_NOT_SENT && outcome != OUTCOME_UNKNOWN) {
                o->trouble = 0;
                o->create_at = 0;
        } else if (++o->trouble > TROUBLE_MAX)
                o->create_at = outbox_monotonic(o) +
                               MIN(USEC_PER_SEC << MIN(o->trouble - TROUBLE_MAX - 1, 10U), backoff_step(1));
}

static void end(Sending *x, Outcome outcome, const ApiAnswer *answer)
{
        x->ended_at = (int64_t)outbox_monotonic(x->outbox);
        endings[outcome](x, answer);
        if (x->save.error[0] == 0 && x->save.kind == SAVE_MOVE)
                outcome_describe(answer, x->save.error);
        save_submit(&x->save);
}

static void on_answer(const ApiAnswer *answer, void *userdata)
{
        Sending *x = userdata;
        Outcome outcome = outbox_note_answer(x->outbox, answer);

        note_trouble(x->outbox, outcome);
        end(x, outcome, answer);
}

/* Step 2: the request. */

static void sending_ask(Sending *x)
{
        char path[CALLBACK_TYPE_MAX + sizeof("/task/")];
        const ApiRequest request = {
                .method = "POST",
                .path = path,
                .body = x->body,
                .body_size = x->body_size,
        };
        ApiAnswer failure = { .date = TIME_NONE, .retry_after = UINT64_MAX };
        Outbox *o = x->outbox;

        snprintf(path, sizeof(path), "/task/%s", x->type);
        if (o->stopping || o->fatal)
                failure.error = -ECANCELED;
        else if (o->options.api.is_test(o->options.api.userdata) != x->is_test)
                failure.error = -EKEYREJECTED; /* another key was read meanwhile */
        else if (outbox_grace(o) > x->grace)
                failure = (ApiAnswer){
                        /* it might be on its way for longer than was written down */
                        .error = -ESTALE,
                        .message = "other settings were read meanwhile",
                        .date = TIME_NONE,
                        .retry_after = UINT64_MAX,
                };
        else
                failure.error = outbox_ask(o, &request, on_answer, x);

        if (failure.error < 0)
                end(x, OUTCOME_NOT_SENT, &failure);
        else
                x->step = SENDING_ASKS;
}

/* Step 1: out of the queue. */

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
