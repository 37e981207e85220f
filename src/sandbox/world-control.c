/*
 * What who runs the stand-in asks of it: completes tasks and lets them fail, looks at callbacks and counts,
 * changes faults. Bodies are JSON whatever their Content-Type says, so that curl -d is enough.
 */

#include "sandbox/world-internal.h"
#include "json/parse.h"

/* An object, an empty one for an empty body. 0; 1: answered 400; -ENOMEM. */
static int read_object(const WorldRequest *q, json_t **ret, WorldAnswer *a)
{
        json_t *value = NULL;
        int r = 0;

        if (q->body_size > 0)
                r = json_parse(q->body, q->body_size, 0, &value, NULL);
        else
                value = json_object();
        if (r == -ENOMEM || (r == 0 && !value))
                return -ENOMEM;
        if (json_is_object(value)) {
                *ret = value;
                return 0;
        }
        json_decref(value);
        r = answer_error(a, 400, NULL, "The body is no JSON object.");
        return r < 0 ? r : 1;
}

/* The task and the body's object; both are set when it is 0. Likewise. */
static int begin(World *w, const WorldRequest *q, const char *id, Task **ret_task, json_t **ret,
                WorldAnswer *a)
{
        int r;

        *ret_task = task_find(w, id);
        if (!*ret_task)
                r = answer_error(a, 404, NULL, "Task not found");
        else if ((*ret_task)->status == TASK_CANCELED)
                r = answer_error(a, 409, NULL, "The task was canceled.");
        else if (!delivery_has_room(w))
                r = answer_error(a, 503, NULL, "There are %u callbacks that are not through yet.",
                                WORLD_DELIVERIES_MAX);
        else
                return read_object(q, ret, a);
        return r < 0 ? r : 1;
}

/* {"response": {...}}, or the response itself, or nothing for a made-up one. */
int control_on_complete(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        json_auto_t *body = NULL;
        json_t *response;
        Task *t;
        int r;

        r = begin(w, q, arg, &t, &body, a);
        if (r != 0)
                return MIN(r, 0);

        response = json_object_get(body, "response");
        if (!response && json_object_size(body) > 0)
                response = body;
        if (response && !json_is_object(response))
                return answer_error(a, 400, NULL, "response: wanted is an object.");
        r = task_complete(w, t, response, q->now);
        return r < 0 ? r : task_answer(t, a);
}

/* {"status_code": 404, "urls": [...], "form": "bare" or "envelope"}, all of them optional. */
int control_on_fail(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        const json_t *code, *urls, *form;
        json_auto_t *body = NULL;
        bool bare;
        Task *t;
        int r;

        r = begin(w, q, arg, &t, &body, a);
        if (r != 0)
                return MIN(r, 0);

        code = json_object_get(body, "status_code");
        urls = json_object_get(body, "urls");
        form = json_object_get(body, "form");
        bare = !form || streq_ptr(json_string_value(form), "bare");
        if (code && !json_is_integer(code))
                return answer_error(a, 400, NULL, "status_code: wanted is a number.");
        if (urls && !json_is_array(urls))
                return answer_error(a, 400, NULL, "urls: wanted is a list of the attachments that are bad.");
        if (!bare && !streq_ptr(json_string_value(form), "envelope"))
                return answer_error(a, 400, NULL, "form: wanted is bare or envelope.");

        r = task_fail(w, t, urls, code ? json_integer_value(code) : 404, bare, q->now);
        if (r == -ENOENT)
                return answer_error(a, 400, NULL, "The task has no such attachment that would be fetched.");
        return r < 0 ? r : task_answer(t, a);
}

int control_on_callbacks(World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
{
        json_t *list;
        int r;

        r = attempts_to_json(w, &list);
        return r < 0 ? r : answer_json(a, 200, list);
}

static int add_strikes(const World *w, json_t *stats)
{
        json_auto_t *strikes = json_object();

        if (!strikes)
                return -ENOMEM;
        for (Fault f = 0; f < _FAULT_MAX; f++)
                if (json_object_set_new(strikes, fault_to_string(f),
                                    json_integer((json_int_t)w->strikes[f])) < 0)
                        return -ENOMEM;
        return json_object_set(stats, "faults", strikes) < 0 ? -ENOMEM : 0;
}

json_t *world_stats(const World *w)
{
        const struct {
                const char *name;
                uint64_t n;
        } counts[] = {
                { "tasks", w->n_tasks },
                { "duplicate_tasks", w->n_duplicates },
                { "pending", w->n_of_status[TASK_PENDING] },
                { "completed", w->n_of_status[TASK_COMPLETED] },
                { "canceled", w->n_of_status[TASK_CANCELED] },
                { "error", w->n_of_status[TASK_ERROR] },
                { "requests", w->n_requests },
                { "slow", w->n_slow },
                { "callbacks", w->n_attempts },
                { "callbacks_succeeded", w->n_succeeded },
                { "callbacks_failed", w->n_in_vain },
                { "callbacks_lost", w->n_lost },
                { "callbacks_under_way", w->n_deliveries },
        };
        json_auto_t *stats = json_object();

        if (!stats)
                return NULL;
        FOREACH_ARRAY(c, counts, ELEMENTSOF(counts))
                if (json_object_set_new(stats, c->name, json_integer((json_int_t)c->n)) < 0)
                        return NULL;
        return add_strikes(w, stats) < 0 ? NULL : TAKE_PTR(stats);
}

int control_on_stats(World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
{
        return answer_json(a, 200, world_stats(w));
}

/* Faults. */

int control_on_get_faults(World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
{
        json_auto_t *faults = json_object();

        if (!faults)
                return -ENOMEM;
        for (Fault f = 0; f < _FAULT_MAX; f++)
                if (json_object_set_new(faults, fault_to_string(f), json_real(w->options.faults[f])) < 0)
                        return -ENOMEM;
        return answer_json(a, 200, TAKE_PTR(faults));
}

/* 0; 1: answered 400; -ENOMEM. */
static int check_fault(const char *name, const json_t *value, WorldAnswer *a)
{
        double p = json_number_value(value);
        int r;

        if (fault_from_string(name) < 0)
                r = answer_error(a, 400, NULL, "There is no such fault: GET /sandbox/faults names them.");
        else if (!json_is_number(value) || !(p >= 0 && p <= 1))
                r = answer_error(a, 400, NULL, "%s: wanted is a probability from 0 to 1.", name);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* All or none. */
int control_on_set_faults(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        json_auto_t *body = NULL;
        const char *name;
        json_t *value;
        int r;

        r = read_object(q, &body, a);
        if (r != 0)
                return MIN(r, 0);
        json_object_foreach(body, name, value) {
                r = check_fault(name, value, a);
                if (r != 0)
                        return MIN(r, 0);
        }
        json_object_foreach(body, name, value)
                world_set_fault(w, fault_from_string(name), json_number_value(value));
        return control_on_get_faults(w, q, arg, a);
}
