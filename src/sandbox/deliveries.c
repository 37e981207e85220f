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

static void push(DeliveryList *list, Delivery *delivery)
{
        STAILQ_INSERT_TAIL(list, delivery, entry);
}

static Delivery *pop(DeliveryList *list)
{
        Delivery *delivery = STAILQ_FIRST(list);

        if (delivery)
                STAILQ_REMOVE_HEAD(list, entry);
        return delivery;
}

static Delivery *take(DeliveryList *list, uint64_t number)
{
        Delivery *delivery;

        STAILQ_FOREACH(delivery, list, entry)
                if (delivery->number == number) {
                        STAILQ_REMOVE(list, delivery, Delivery, entry);
                        break;
                }
        return delivery;
}

Delivery *delivery_free(World *world, Delivery *delivery)
{
        if (!delivery)
                return NULL;

        json_decref(delivery->response);
        buffer_done(&delivery->body);
        free(delivery->url);
        free(delivery);
        world->n_deliveries--;
        return NULL;
}

void delivery_list_done(World *world, DeliveryList *list)
{
        Delivery *delivery;

        while ((delivery = pop(list)))
                delivery_free(world, delivery);
}

bool delivery_has_room(const World *world)
{
        return world->n_deliveries < WORLD_DELIVERIES_MAX;
}

/* Attempts. */

void attempts_done(World *world)
{
        for (uint64_t i = 0; world->attempts && i < MIN(world->n_attempts, (uint64_t)WORLD_ATTEMPTS_MAX);
                        i++) {
                free(world->attempts[i].url);
                free(world->attempts[i].error);
        }
        free(world->attempts);
}

static int remember(World *world, const Delivery *delivery, unsigned status, const char *error, int64_t now)
{
        _cleanup_free_ char *url = strdup(delivery->url), *words = error ? strdup(error) : NULL;
        Attempt *place;

        if (!world->attempts)
                world->attempts = calloc(WORLD_ATTEMPTS_MAX, sizeof(Attempt));
        if (!world->attempts || !url || (error && !words))
                return -ENOMEM;

        place = &world->attempts[world->n_attempts++ % WORLD_ATTEMPTS_MAX];
        free(place->url);
        free(place->error);
        *place = (Attempt){ now, delivery->task, TAKE_PTR(url), TAKE_PTR(words), status,
                delivery->attempts };
        return 0;
}

static json_t *attempt_to_json(const Attempt *attempt)
{
        char time[TIME_STAMP_SIZE];

        return json_pack("{s:s, s:s, s:I, s:s, s:o, s:s?}", "task_id", attempt->task->id, "url",
                        attempt->url, "attempt", (json_int_t)attempt->attempt, "time",
                        time_format(attempt->time, time), "status",
                        attempt->status ? json_integer(attempt->status) : json_null(), "error",
                        attempt->error);
}

int attempts_to_json(const World *world, json_t **ret)
{
        uint64_t kept = MIN(world->n_attempts, (uint64_t)WORLD_ATTEMPTS_MAX);
        json_auto_t *docs = json_array();

        if (!docs)
                return -ENOMEM;
        for (uint64_t i = world->n_attempts - kept; i < world->n_attempts; i++)
                if (json_array_append_new(docs, attempt_to_json(&world->attempts[i % WORLD_ATTEMPTS_MAX])) <
                                0)
                        return -ENOMEM;
        *ret = json_pack("{s:O, s:I}", "docs", docs, "total", (json_int_t)world->n_attempts);
        return *ret ? 0 : -ENOMEM;
}

/* Plans. */

static int get_url(const Task *task, char **ret)
{
        json_auto_t *object = NULL;
        const char *url;
        int r;

        r = json_parse(task->text, strlen(task->text), 0, &object, NULL);
        if (r < 0)
                return r;
        url = json_string_value(json_object_get(object, "callback_url"));
        *ret = url ? strdup(url) : NULL;
        return url && !*ret ? -ENOMEM : 0;
}

static int delivery_new(World *world, Task *task, bool bare, Delivery **ret)
{
        Delivery *delivery = calloc(1, sizeof(Delivery));
        int r;

        if (!delivery)
                return -ENOMEM;
        world->n_deliveries++;
        delivery->number = ++world->last_delivery;
        delivery->task = task;
        delivery->status = task->status;
        delivery->response = json_incref(task->response);
        delivery->completed_at = task->completed_at;
        delivery->bare = bare;
        delivery->body = BUFFER_INIT(BODY_MAX);
        r = get_url(task, &delivery->url);
        if (r < 0) {
                delivery_free(world, delivery);
                return r;
        }
        *ret = delivery;
        return 0;
}

/* The same once more, to be sent right behind it. */
static int plan_double(World *world, const Delivery *delivery)
{
        Delivery *extra;
        int r;

        r = delivery_new(world, delivery->task, delivery->bare, &extra);
        if (r < 0)
                return r;
        json_decref(extra->response);
        extra->response = json_incref(delivery->response);
        extra->status = delivery->status;
        extra->completed_at = delivery->completed_at;
        extra->extra = true;
        push(&world->ready, extra);
        return 0;
}

static int lose(World *world, Delivery *delivery, int64_t now)
{
        int r;

        delivery->attempts = 1;
        r = remember(world, delivery, 0, "never sent: the fault callback_lost has struck", now);
        delivery->task->called = CALLED_IN_VAIN;
        world->n_lost++;
        world->n_in_vain++;
        delivery_free(world, delivery);
        return r;
}

static uint64_t scaled(const World *world, uint64_t usec)
{
        return MAX(usec / world->options.time_scale, USEC_PER_MSEC);
}

static int wait_until(World *world, Delivery *delivery, int64_t when)
{
        int r;

        r = agenda_add(&world->agenda, (AgendaItem){ .when = when, .delivery = delivery });
        if (r < 0)
                delivery_free(world, delivery);
        return r;
}

int delivery_plan(World *world, Task *task, bool bare, int64_t now)
{
        bool lost = chance_strikes(world, FAULT_CALLBACK_LOST),
             late = chance_strikes(world, FAULT_CALLBACK_DELAY);
        bool reordered = chance_strikes(world, FAULT_CALLBACK_REORDER);
        Delivery *delivery;
        int r;

        task->called = CALLED_NOT_YET;
        r = delivery_new(world, task, bare, &delivery);
        if (r < 0)
                return r;
        delivery->doubled = chance_strikes(world, FAULT_CALLBACK_DUPLICATE);
        delivery->cut = chance_strikes(world, FAULT_CALLBACK_CUT);
        delivery->invalid = chance_strikes(world, FAULT_CALLBACK_INVALID);

        if (!delivery->url) {
                delivery_free(world, delivery);
                return 0;
        }
        if (lost)
                return lose(world, delivery, now);
        if (late)
                return wait_until(world, delivery,
                                now + (int64_t)chance_until(world, (Stream)FAULT_CALLBACK_DELAY,
                                                      world->options.delay));
        if (reordered) {
                delivery->held_until = now + (int64_t)scaled(world, REORDER_MAX);
                push(&world->held, delivery);
        } else
                push(&world->ready, delivery);
        return 0;
}

void delivery_is_due(World *world, Delivery *delivery)
{
        push(&world->ready, delivery);
}

/* Those that have waited long enough for a later one. */
void delivery_release_late(World *world)
{
        const Delivery *delivery;

        while ((delivery = STAILQ_FIRST(&world->held)) && delivery->held_until <= world->now)
                push(&world->ready, pop(&world->held));
}

/* Those that are older than the one that was sent. */
static void release_older(World *world, uint64_t number)
{
        const Delivery *delivery;

        while ((delivery = STAILQ_FIRST(&world->held)) && delivery->number < number)
                push(&world->ready, pop(&world->held));
}

/* Sending. */

/* One that no type's rules take: nothing in it, or a number in every place. */
static int spoil_response(World *world, json_t **response)
{
        json_auto_t *spoiled = json_object();
        const char *name;
        json_t *value;

        if (!spoiled)
                return -ENOMEM;
        if (chance_next(world, (Stream)FAULT_CALLBACK_INVALID) % 2 == 0)
                json_object_foreach(*response, name, value)
                        if (json_object_set_new(spoiled, name, json_integer(17)) < 0)
                                return -ENOMEM;
        json_decref(*response);
        *response = TAKE_PTR(spoiled);
        return 0;
}

static int make_body(World *world, Delivery *delivery)
{
        json_auto_t *body = NULL, *task = NULL, *response = json_incref(delivery->response);
        int r;

        if (delivery->invalid && delivery->attempts == 1) {
                r = spoil_response(world, &response);
                if (r < 0)
                        return r;
        }
        buffer_done(&delivery->body);
        if (delivery->bare)
                return json_encode(response, &delivery->body);
        r = task_render(delivery->task, delivery->status, response, delivery->completed_at, &task);
        if (r < 0)
                return r;
        body = json_pack("{s:O, s:s, s:O}", "response", response, "task_id", delivery->task->id, "task",
                        task);
        return body ? json_encode(body, &delivery->body) : -ENOMEM;
}

int world_take_callback(World *world, int64_t now, WorldCallback *ret)
{
        Delivery *delivery;
        int r;

        r = world_run(world, now);
        if (r < 0)
                return r;
        delivery = pop(&world->ready);
        if (!delivery)
                return 0;

        delivery->attempts++;
        push(&world->sending, delivery);
        r = make_body(world, delivery);
        if (r >= 0 && delivery->doubled && delivery->attempts == 1)
                r = plan_double(world, delivery);
        if (r < 0)
                return r == -ENOBUFS ? -ENOMEM : r;

        *ret = (WorldCallback){
                .number = delivery->number,
                .task_id = delivery->task->id,
                .url = delivery->url,
                .attempt = delivery->attempts,
                .body = buffer_text(&delivery->body),
                .body_size = delivery->body.size,
                .cut = delivery->cut && delivery->attempts == 1,
        };
        return 1;
}

static void end(World *world, Delivery *delivery, Called called)
{
        if (!delivery->extra) {
                delivery->task->called = called;
                world->n_succeeded += called == CALLED;
                world->n_in_vain += called == CALLED_IN_VAIN;
        }
        delivery_free(world, delivery);
}

int world_callback_done(World *world, uint64_t number, unsigned status, const char *error, int64_t now)
{
        Delivery *delivery = take(&world->sending, number);
        int r;

        assert(delivery);
        release_older(world, number);
        buffer_done(&delivery->body);
        r = remember(world, delivery, status, error, now);
        if (r < 0) {
                delivery_free(world, delivery);
                return r;
        }
        if (status >= 200 && status <= 299)
                end(world, delivery, CALLED);
        else if (delivery->extra || delivery->attempts > WORLD_RETRIES_MAX)
                end(world, delivery, CALLED_IN_VAIN);
        else
                return wait_until(world, delivery,
                                now + (int64_t)scaled(world,
                                                      retry_delays[delivery->attempts - 1] * USEC_PER_SEC));
        return 0;
}
