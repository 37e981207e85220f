/*
 * The account: requests go in, answers come out, and time passes only when it is told. What a fault does to
 * an answer is decided here, around the handlers, which know nothing of faults: those that strike before
 * leave nothing behind, those that strike afterwards leave the work done.
 */

#include "sandbox/world-internal.h"

#include <stdio.h>

#include "json/encode.h"

#define DURATION_MAX (UINT64_C(100) * 366 * 24 * 3600 * USEC_PER_SEC) /* so that times don't overflow */

int world_new(const WorldOptions *options, World **ret)
{
        _cleanup_(world_freep) World *w = NULL;

        w = calloc(1, sizeof(World));
        if (!w)
                return -ENOMEM;
        w->options = *options;
        w->options.time_scale = MAX(options->time_scale, UINT64_C(1));
        w->options.delay = MIN(options->delay, DURATION_MAX);
        w->options.lag = MIN(options->lag, DURATION_MAX);
        w->options.clock_step = MIN(options->clock_step, DURATION_MAX);
        if (options->complete_after != UINT64_MAX)
                w->options.complete_after = MIN(options->complete_after, DURATION_MAX);
        w->options.callback_url = NULL;
        w->now = INT64_MIN;
        delivery_list_init(&w->ready);
        delivery_list_init(&w->held);
        delivery_list_init(&w->sending);
        if (options->callback_url) {
                w->callback_url = strdup(options->callback_url);
                if (!w->callback_url)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(w);
        return 0;
}

World *world_free(World *w)
{
        if (!w)
                return NULL;

        while (w->agenda.n > 0) {
                Delivery *d = agenda_first(&w->agenda)->delivery;

                agenda_pop(&w->agenda);
                delivery_free(w, d);
        }
        agenda_done(&w->agenda);
        delivery_list_done(w, &w->ready);
        delivery_list_done(w, &w->held);
        delivery_list_done(w, &w->sending);
        attempts_done(w);
        index_done(&w->ids);
        index_done(&w->submissions);
        for (size_t i = 0; i < w->n_tasks; i++)
                task_free(w->tasks[i]);
        free(w->tasks);
        free(w->callback_url);
        free(w);
        return NULL;
}

/* Answers. */

int answer_json(WorldAnswer *a, unsigned status, json_t *value)
{
        json_auto_t *owned = value;

        if (!owned)
                return -ENOMEM;
        buffer_done(&a->body);
        a->status = status;
        a->content_type = "application/json";
        return json_encode(owned, &a->body);
}

int answer_error(WorldAnswer *a, unsigned status, json_t *problems, const char *format, ...)
{
        json_auto_t *list = problems, *error = NULL;
        _cleanup_free_ char *message = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0) {
                message = NULL;
                return -ENOMEM;
        }
        error = json_pack("{s:I, s:s}", "status_code", (json_int_t)status, "error", message);
        if (error && list && json_object_set(error, "problems", list) < 0)
                return -ENOMEM;
        return answer_json(a, status, TAKE_PTR(error));
}

static int answer_html(WorldAnswer *a)
{
        static const char page[] = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
                                   "<body><h1>502 Bad Gateway</h1><hr>a proxy</body>\r\n</html>\r\n";

        buffer_done(&a->body);
        a->status = 502;
        a->content_type = "text/html";
        return buffer_append_str(&a->body, page);
}

/* Handlers for one task. */

static int on_get(World *w, _unused_ const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        const Task *t = task_find(w, arg);

        return t ? task_answer(t, a) : answer_error(a, 404, NULL, "Task not found");
}

static int on_cancel(World *w, _unused_ const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        Task *t = task_find(w, arg);

        if (!t)
                return answer_error(a, 404, NULL, "Task not found");
        if (t->status == TASK_COMPLETED)
                return answer_error(a, 500, NULL, "The task was already completed and cannot be canceled.");
        if (t->status != TASK_PENDING)
                return answer_error(a, 500, NULL, "The task is not pending and cannot be canceled.");

        task_set_status(w, t, TASK_CANCELED);
        return task_answer(t, a);
}

/* Routes. */

typedef struct WorldRoute {
        const char *method, *path;
        WorldHandler handler;
} WorldRoute;

/* GET to cancel: clients before June 2017. */
static const WorldRoute routes[] = {
        { "POST", "/v1/task/{type}", create_on_task },
        { "GET", "/v1/task/{id}", on_get },
        { "POST", "/v1/task/{id}/cancel", on_cancel },
        { "GET", "/v1/task/{id}/cancel", on_cancel },
        { "GET", "/v1/tasks", list_on_tasks },
        { "POST", "/sandbox/task/{id}/complete", control_on_complete },
        { "POST", "/sandbox/task/{id}/fail_attachment", control_on_fail },
        { "GET", "/sandbox/callbacks", control_on_callbacks },
        { "GET", "/sandbox/stats", control_on_stats },
        { "GET", "/sandbox/faults", control_on_get_faults },
        { "POST", "/sandbox/faults", control_on_set_faults },
};

/* Whether the pattern fits; the segment that its braces stand for begins at *ret_arg. */
static bool path_fits(const char *pattern, const char *path, const char **ret_arg, size_t *ret_size)
{
        while (*pattern && *path)
                if (*pattern == '{') {
                        *ret_arg = path;
                        *ret_size = strcspn(path, "/");
                        if (*ret_size == 0)
                                return false;
                        path += *ret_size;
                        pattern = strchr(pattern, '}') + 1;
                } else if (*pattern++ != *path++)
                        return false;
        return *pattern == 0 && *path == 0;
}

static int call_route(World *w, const WorldRequest *q, WorldAnswer *a)
{
        const char *method = streq(q->method, "HEAD") ? "GET" : q->method, *allow = NULL;

        FOREACH_ARRAY(route, routes, ELEMENTSOF(routes)) {
                _cleanup_free_ char *arg = NULL;
                const char *found = "";
                size_t size = 0;

                if (!path_fits(route->path, q->path, &found, &size))
                        continue;
                if (!streq(route->method, method)) {
                        allow = allow ? "GET, POST" : route->method;
                        continue;
                }
                arg = strndup(found, size);
                return arg ? route->handler(w, q, arg, a) : -ENOMEM;
        }
        if (!allow)
                return answer_error(a, 404, NULL, "There is nothing at this path.");
        a->allow = allow;
        return answer_error(a, 405, NULL, "This path takes %s.", allow);
}

/* Faults. */

/* All are asked for every request, so that one doesn't change when another strikes. */
static unsigned strike(World *w)
{
        unsigned strikes = 0;

        for (Fault f = FAULT_DROP_ANSWER; f <= FAULT_DELAY; f++)
                strikes |= chance_strikes(w, f) ? 1U << f : 0;
        return strikes;
}

static bool has(unsigned strikes, Fault f)
{
        return strikes & 1U << f;
}

/* 1: answered instead of doing anything; 0: nothing; -ENOMEM. */
static int spoil_before(World *w, unsigned strikes, WorldAnswer *a)
{
        int r;

        if (has(strikes, FAULT_ERROR_429)) {
                a->retry_after = 1;
                r = answer_error(a, 429, NULL, "Too many requests: the fault error_429 has struck.");
        } else if (has(strikes, FAULT_ERROR_500))
                r = answer_error(a, 500, NULL, "The fault error_500 has struck.");
        else if (has(strikes, FAULT_HTML) && chance_next(w, (Stream)FAULT_HTML) % 2 == 0)
                r = answer_html(a);
        else
                return 0;
        return r < 0 ? r : 1;
}

static int spoil_after(World *w, unsigned strikes, WorldAnswer *a)
{
        if (has(strikes, FAULT_DELAY))
                a->delay = chance_until(w, (Stream)FAULT_DELAY, w->options.delay);
        if (has(strikes, FAULT_DROP_ANSWER))
                a->drop = true;
        if (has(strikes, FAULT_HTML))
                return answer_html(a);
        if (has(strikes, FAULT_ERROR_AFTER))
                return answer_error(a, 500, NULL, "The fault error_after has struck.");
        return 0;
}

static int handle_api(World *w, const WorldRequest *q, WorldAnswer *a)
{
        unsigned strikes = strike(w);
        int r;

        w->n_requests += !q->again;
        w->n_slow -= q->again;
        r = spoil_before(w, strikes, a);
        if (r != 0)
                return MIN(r, 0);
        r = call_route(w, q, a);
        return r < 0 || a->again_in > 0 ? r : spoil_after(w, strikes, a);
}

int world_handle(World *w, const WorldRequest *request, WorldAnswer *ret)
{
        WorldAnswer a = { .body = BUFFER_INIT(ANSWER_MAX) };
        int r;

        r = world_run(w, request->now);
        if (r >= 0)
                r = strncmp(request->path, "/sandbox/", strlen("/sandbox/")) == 0
                                    ? call_route(w, request, &a)
                                    : handle_api(w, request, &a);
        if (r == -ENOBUFS)
                r = answer_error(&a, 500, NULL, "The answer would be too large: ask for fewer tasks.");
        if (r < 0) {
                buffer_done(&a.body);
                return -ENOMEM;
        }
        *ret = a;
        return 0;
}

/* Time. */

static int complete_due(World *w, Task *t)
{
        if (t->status != TASK_PENDING)
                return 0;
        if (!t->fails)
                return task_complete(w, t, NULL, w->now);
        return task_fail(w, t, NULL, 404, chance_next(w, (Stream)FAULT_ATTACHMENT_FAILURE) % 2 == 0, w->now);
}

int world_run(World *w, int64_t now)
{
        const AgendaItem *item;
        int r;

        w->now = MAX(w->now, now);
        while ((item = agenda_first(&w->agenda)) && item->when <= w->now) {
                Delivery *d = item->delivery;
                Task *t = item->task;

                agenda_pop(&w->agenda);
                if (d)
                        delivery_is_due(w, d);
                else {
                        r = complete_due(w, t);
                        if (r < 0)
                                return r;
                }
        }
        delivery_release_late(w);
        return 0;
}

int64_t world_next(const World *w)
{
        const AgendaItem *item = agenda_first(&w->agenda);
        int64_t next = item ? item->when : INT64_MAX;

        if (w->held.head)
                next = MIN(next, w->held.head->held_until);
        return next == INT64_MAX ? TIME_NONE : next;
}
