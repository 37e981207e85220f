/*
 * Callbacks. Each is tried until somebody answers 2xx, at most 20 times more over a day, and then the task
 * knows whether that succeeded. What is told is the task as it was when the callback was planned, so that
 * one that was completed again is told of twice, each time with its own response. A body exists only while
 * it is sent.
 *
 * The faults: a lost one is never sent and is in vain at once; a doubled one is followed by the same once
 * more; a reordered one waits until a later one was sent (or a minute); a cut or invalid one is so at its
 * first attempt, and right when it is tried again.
 */

#include "sandbox/account.h"

#include "json/encode.h"
#include "json/parse.h"

#define BODY_MAX ((size_t)128 * 1024 * 1024)

/* Seconds before each retry: together a day. */
static const unsigned retry_delays[WORLD_RETRIES_MAX] = {
        10,
        50,
        120,
        240,
        480,
        900,
        1800,
        3600,
        3600,
        3600,
        7200,
        7200,
        7200,
        7200,
        7200,
        7200,
        7200,
        7200,
        7200,
        7200,
};

/* Lists. */

static void push(DeliveryList *l, Delivery *d)
{
        STAILQ_INSERT_TAIL(l, d, entry);
}

static Delivery *pop(DeliveryList *l)
{
        Delivery *d = STAILQ_FIRST(l);

        if (d)
                STAILQ_REMOVE_HEAD(l, entry);
        return d;
}

static Delivery *take(DeliveryList *l, uint64_t number)
{
        Delivery *d;

        STAILQ_FOREACH(d, l, entry)
                if (d->number == number) {
                        STAILQ_REMOVE(l, d, Delivery, entry);
                        break;
                }
        return d;
}

Delivery *delivery_free(World *w, Delivery *d)
{
        if (!d)
                return NULL;

        json_decref(d->response);
        buffer_done(&d->body);
        free(d->url);
        free(d);
        w->n_deliveries--;
        return NULL;
}

void delivery_list_done(World *w, DeliveryList *l)
{
        Delivery *d;

        while ((d = pop(l)))
                delivery_free(w, d);
}

bool delivery_has_room(const World *w)
{
        return w->n_deliveries < WORLD_DELIVERIES_MAX;
}

/* Attempts. */

void attempts_done(World *w)
{
        for (uint64_t i = 0; w->attempts && i < MIN(w->n_attempts, (uint64_t)WORLD_ATTEMPTS_MAX); i++) {
                free(w->attempts[i].url);
                free(w->attempts[i].error);
        }
        free(w->attempts);
}

static int remember(World *w, const Delivery *d, unsigned status, const char *error, int64_t now)
{
        _cleanup_free_ char *url = strdup(d->url), *words = error ? strdup(error) : NULL;
        Attempt *place;

        if (!w->attempts)
                w->attempts = calloc(WORLD_ATTEMPTS_MAX, sizeof(Attempt));
        if (!w->attempts || !url || (error && !words))
                return -ENOMEM;

        place = &w->attempts[w->n_attempts++ % WORLD_ATTEMPTS_MAX];
        free(place->url);
        free(place->error);
        *place = (Attempt){ now, d->task, TAKE_PTR(url), TAKE_PTR(words), status, d->attempts };
        return 0;
}

static json_t *attempt_to_json(const Attempt *t)
{
        char time[TIME_STAMP_SIZE];

        return json_pack("{s:s, s:s, s:I, s:s, s:o, s:s?}", "task_id", t->task->id, "url", t->url, "attempt",
                        (json_int_t)t->attempt, "time", time_format(t->time, time), "status",
                        t->status ? json_integer(t->status) : json_null(), "error", t->error);
}

int attempts_to_json(const World *w, json_t **ret)
{
        uint64_t kept = MIN(w->n_attempts, (uint64_t)WORLD_ATTEMPTS_MAX);
        json_auto_t *docs = json_array();

        if (!docs)
                return -ENOMEM;
        for (uint64_t i = w->n_attempts - kept; i < w->n_attempts; i++)
                if (json_array_append_new(docs, attempt_to_json(&w->attempts[i % WORLD_ATTEMPTS_MAX])) < 0)
                        return -ENOMEM;
        *ret = json_pack("{s:O, s:I}", "docs", docs, "total", (json_int_t)w->n_attempts);
        return *ret ? 0 : -ENOMEM;
}

/* Plans. */

static int get_url(const Task *t, char **ret)
{
        json_auto_t *task = NULL;
        const char *url;
        int r;

        r = json_parse(t->text, strlen(t->text), 0, &task, NULL);
        if (r < 0)
                return r;
        url = json_string_value(json_object_get(task, "callback_url"));
        *ret = url ? strdup(url) : NULL;
        return url && !*ret ? -ENOMEM : 0;
}

static int delivery_new(World *w, Task *t, bool bare, Delivery **ret)
{
        Delivery *d = calloc(1, sizeof(Delivery));
        int r;

        if (!d)
                return -ENOMEM;
        w->n_deliveries++;
        d->number = ++w->last_delivery;
        d->task = t;
        d->status = t->status;
        d->response = json_incref(t->response);
        d->completed_at = t->completed_at;
        d->bare = bare;
        d->body = BUFFER_INIT(BODY_MAX);
        r = get_url(t, &d->url);
        if (r < 0) {
                delivery_free(w, d);
                return r;
        }
        *ret = d;
        return 0;
}

/* The same once more, to be sent right behind it. */
static int plan_double(World *w, const Delivery *d)
{
        Delivery *extra;
        int r;

        r = delivery_new(w, d->task, d->bare, &extra);
        if (r < 0)
                return r;
        json_decref(extra->response);
        extra->response = json_incref(d->response);
        extra->status = d->status;
        extra->completed_at = d->completed_at;
        extra->extra = true;
        push(&w->ready, extra);
        return 0;
}

static int lose(World *w, Delivery *d, int64_t now)
{
        int r;

        d->attempts = 1;
        r = remember(w, d, 0, "never sent: the fault callback_lost has struck", now);
        d->task->called = CALLED_IN_VAIN;
        w->n_lost++;
        w->n_in_vain++;
        delivery_free(w, d);
        return r;
}

static uint64_t scaled(const World *w, uint64_t usec)
{
        return MAX(usec / w->options.time_scale, USEC_PER_MSEC);
}

static int wait_until(World *w, Delivery *d, int64_t when)
{
        int r;

        r = agenda_add(&w->agenda, (AgendaItem){ .when = when, .delivery = d });
        if (r < 0)
                delivery_free(w, d);
        return r;
}

int delivery_plan(World *w, Task *t, bool bare, int64_t now)
{
        bool lost = chance_strikes(w, FAULT_CALLBACK_LOST), late = chance_strikes(w, FAULT_CALLBACK_DELAY);
        bool reordered = chance_strikes(w, FAULT_CALLBACK_REORDER);
        Delivery *d;
        int r;

        t->called = CALLED_NOT_YET;
        r = delivery_new(w, t, bare, &d);
        if (r < 0)
                return r;
        d->doubled = chance_strikes(w, FAULT_CALLBACK_DUPLICATE);
        d->cut = chance_strikes(w, FAULT_CALLBACK_CUT);
        d->invalid = chance_strikes(w, FAULT_CALLBACK_INVALID);

        if (!d->url) {
                delivery_free(w, d);
                return 0;
        }
        if (lost)
                return lose(w, d, now);
        if (late)
                return wait_until(w, d,
                                now + (int64_t)chance_until(
                                                      w, (Stream)FAULT_CALLBACK_DELAY, w->options.delay));
        if (reordered) {
                d->held_until = now + (int64_t)scaled(w, REORDER_MAX);
                push(&w->held, d);
        } else
                push(&w->ready, d);
        return 0;
}

void delivery_is_due(World *w, Delivery *d)
{
        push(&w->ready, d);
}

/* Those that have waited long enough for a later one. */
void delivery_release_late(World *w)
{
        const Delivery *d;

        while ((d = STAILQ_FIRST(&w->held)) && d->held_until <= w->now)
                push(&w->ready, pop(&w->held));
}

/* Those that are older than the one that was sent. */
static void release_older(World *w, uint64_t number)
{
        const Delivery *d;

        while ((d = STAILQ_FIRST(&w->held)) && d->number < number)
                push(&w->ready, pop(&w->held));
}

/* Sending. */

/* One that no type's rules take: nothing in it, or a number in every place. */
static int spoil_response(World *w, json_t **response)
{
        json_auto_t *spoiled = json_object();
        const char *name;
        json_t *value;

        if (!spoiled)
                return -ENOMEM;
        if (chance_next(w, (Stream)FAULT_CALLBACK_INVALID) % 2 == 0)
                json_object_foreach(*response, name, value)
                        if (json_object_set_new(spoiled, name, json_integer(17)) < 0)
                                return -ENOMEM;
        json_decref(*response);
        *response = TAKE_PTR(spoiled);
        return 0;
}

static int make_body(World *w, Delivery *d)
{
        json_auto_t *body = NULL, *task = NULL, *response = json_incref(d->response);
        int r;

        if (d->invalid && d->attempts == 1) {
                r = spoil_response(w, &response);
                if (r < 0)
                        return r;
        }
        buffer_done(&d->body);
        if (d->bare)
                return json_encode(response, &d->body);
        r = task_render(d->task, d->status, response, d->completed_at, &task);
        if (r < 0)
                return r;
        body = json_pack("{s:O, s:s, s:O}", "response", response, "task_id", d->task->id, "task", task);
        return body ? json_encode(body, &d->body) : -ENOMEM;
}

int world_take_callback(World *w, int64_t now, WorldCallback *ret)
{
        Delivery *d;
        int r;

        r = world_run(w, now);
        if (r < 0)
                return r;
        d = pop(&w->ready);
        if (!d)
                return 0;

        d->attempts++;
        push(&w->sending, d);
        r = make_body(w, d);
        if (r >= 0 && d->doubled && d->attempts == 1)
                r = plan_double(w, d);
        if (r < 0)
                return r == -ENOBUFS ? -ENOMEM : r;

        *ret = (WorldCallback){
                .number = d->number,
                .task_id = d->task->id,
                .url = d->url,
                .attempt = d->attempts,
                .body = buffer_text(&d->body),
                .body_size = d->body.size,
                .cut = d->cut && d->attempts == 1,
        };
        return 1;
}

static void end(World *w, Delivery *d, Called called)
{
        if (!d->extra) {
                d->task->called = called;
                w->n_succeeded += called == CALLED;
                w->n_in_vain += called == CALLED_IN_VAIN;
        }
        delivery_free(w, d);
}

int world_callback_done(World *w, uint64_t number, unsigned status, const char *error, int64_t now)
{
        Delivery *d = take(&w->sending, number);
        int r;

        assert(d);
        release_older(w, number);
        buffer_done(&d->body);
        r = remember(w, d, status, error, now);
        if (r < 0) {
                delivery_free(w, d);
                return r;
        }
        if (status >= 200 && status <= 299)
                end(w, d, CALLED);
        else if (d->extra || d->attempts > WORLD_RETRIES_MAX)
                end(w, d, CALLED_IN_VAIN);
        else
                return wait_until(w, d,
                                now + (int64_t)scaled(w, retry_delays[d->attempts - 1] * USEC_PER_SEC));
        return 0;
}
