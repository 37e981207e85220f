/*
 * The account: requests go in, answers come out, and time passes only when it is told. What a fault does to
 * an answer is decided here, around the handlers, which know nothing of faults: those that strike before
 * leave nothing behind, those that strike afterwards leave the work done.
 */

#include <stdio.h>

#include "basic/form.h"
#include "sandbox/account.h"
#include "json/encode.h"
#include "json/parse.h"

/*
 * Chance, from the seed alone. Every fault has a stream of its own: whether it strikes the n-th time that it
 * could follows from the seed and from n, whatever else is switched on.
 */

static const char *const fault_table[_FAULT_MAX] = {
        [FAULT_DROP_ANSWER] = "drop_answer",
        [FAULT_ERROR_AFTER] = "error_after",
        [FAULT_ERROR_500] = "error_500",
        [FAULT_ERROR_429] = "error_429",
        [FAULT_HTML] = "html",
        [FAULT_DELAY] = "delay",
        [FAULT_LAG] = "lag",
        [FAULT_SLOW] = "slow",
        [FAULT_CLOCK_BEHIND] = "clock_behind",
        [FAULT_CALLBACK_LOST] = "callback_lost",
        [FAULT_CALLBACK_DUPLICATE] = "callback_duplicate",
        [FAULT_CALLBACK_REORDER] = "callback_reorder",
        [FAULT_CALLBACK_CUT] = "callback_cut",
        [FAULT_CALLBACK_INVALID] = "callback_invalid",
        [FAULT_CALLBACK_DELAY] = "callback_delay",
        [FAULT_ATTACHMENT_FAILURE] = "attachment_failure",
};

DEFINE_STRING_TABLE(fault, Fault, _FAULT_MAX)

/* splitmix64 */
static uint64_t mix(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

uint64_t chance_next(World *w, Stream stream)
{
        if (w->streams[stream] == 0) {
                uint64_t state = w->options.seed + (uint64_t)stream * UINT64_C(0xd1342543de82ef95);

                w->streams[stream] = mix(&state) | 1;
        }
        return mix(&w->streams[stream]);
}

uint64_t chance_until(World *w, Stream stream, uint64_t max)
{
        return max > 0 ? 1 + chance_next(w, stream) % max : 0;
}

bool chance_strikes(World *w, Fault fault)
{
        /* 53 bits: a double from 0 to less than 1, so that 0 never strikes and 1 always does. */
        double d = (double)(chance_next(w, (Stream)fault) >> 11) / (double)(UINT64_C(1) << 53);
        bool yes = d < w->options.faults[fault];

        w->strikes[fault] += yes;
        return yes;
}

void world_set_fault(World *w, Fault fault, double probability)
{
        assert((int)fault >= 0 && fault < _FAULT_MAX && probability >= 0 && probability <= 1);
        w->options.faults[fault] = probability;
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

/* Lists: newest first, and of the same time in the order of creation. A filter that can't be read is 400. */

#define PAIRS_MAX 64U

typedef struct ListQuery {
        int64_t start_time, end_time;
        TaskStatus status; /* _TASK_STATUS_INVALID: any */
        const char *type;  /* NULL: any */
        uint64_t limit, offset;
} ListQuery;

static bool read_time(const char *text, int64_t *ret)
{
        return time_parse(text, ret) >= 0;
}

static bool read_start(ListQuery *q, const char *text)
{
        return read_time(text, &q->start_time);
}

static bool read_end(ListQuery *q, const char *text)
{
        return read_time(text, &q->end_time);
}

static bool read_status(ListQuery *q, const char *text)
{
        q->status = task_status_from_string(text);
        return q->status >= 0;
}

static bool read_type(ListQuery *q, const char *text)
{
        const TaskType *type = type_find(text);

        q->type = type ? type->name : text;
        return true;
}

static bool read_limit(ListQuery *q, const char *text)
{
        return parse_u64(text, 1, 100, &q->limit) >= 0;
}

static bool read_offset(ListQuery *q, const char *text)
{
        return parse_u64(text, 0, INT64_MAX, &q->offset) >= 0;
}

static const struct {
        const char *name;
        bool (*read)(ListQuery *q, const char *text);
        const char *wanted;
} list_params[] = {
        { "start_time", read_start, "a date in ISO 8601" },
        { "end_time", read_end, "a date in ISO 8601" },
        { "status", read_status, "one of pending, completed, canceled" },
        { "type", read_type, "a type of task" },
        { "limit", read_limit, "a number from 1 to 100" },
        { "offset", read_offset, "a number from 0" },
};

/* 0; 1: answered 400; -ENOMEM. */
static int read_pair(ListQuery *q, const FormPair *pair, WorldAnswer *a)
{
        int r;

        if (pair->value_size == 0)
                return 0;
        FOREACH_ARRAY(p, list_params, ELEMENTSOF(list_params)) {
                if (!streq(p->name, pair->name))
                        continue;
                if (strlen(pair->value) == pair->value_size && p->read(q, pair->value))
                        return 0;
                r = answer_error(a, 400, NULL, "%s: expected %s.", p->name, p->wanted);
                return r < 0 ? r : 1;
        }
        return 0;
}

/* Likewise. What the query points to is in `text`. */
static int read_query(ListQuery *q, char *text, WorldAnswer *a)
{
        FormPair pairs[PAIRS_MAX];
        size_t n = 0;
        int r;

        if (form_split(text, pairs, ELEMENTSOF(pairs), &n) < 0) {
                r = answer_error(a, 400, NULL, "There are more than %u parameters.", PAIRS_MAX);
                return r < 0 ? r : 1;
        }
        FOREACH_ARRAY(pair, pairs, n) {
                r = read_pair(q, pair, a);
                if (r != 0)
                        return r;
        }
        return 0;
}

static bool fits(const World *w, const ListQuery *q, const Task *t)
{
        return t->visible_at <= w->now && t->created_at >= q->start_time && t->created_at <= q->end_time &&
               (q->status < 0 || t->status == q->status) && (!q->type || streq(q->type, t->type->name));
}

static int append(json_t *docs, const Task *t)
{
        json_t *task;
        int r;

        r = task_show(t, &task);
        if (r < 0)
                return r;
        return json_array_append_new(docs, task) < 0 ? -ENOMEM : 0;
}

static int list_on_tasks(World *w, const WorldRequest *request, _unused_ const char *arg, WorldAnswer *a)
{
        ListQuery q = {
                .start_time = INT64_MIN,
                .end_time = INT64_MAX,
                .status = _TASK_STATUS_INVALID,
                .limit = 100,
        };
        _cleanup_free_ char *text = strdup(request->query ?: "");
        json_auto_t *docs = json_array();
        uint64_t total = 0;
        int r;

        if (!text || !docs)
                return -ENOMEM;
        r = read_query(&q, text, a);
        if (r != 0)
                return MIN(r, 0);

        for (size_t i = w->n_tasks; i-- > 0;) {
                if (!fits(w, &q, w->tasks[i]))
                        continue;
                if (total >= q.offset && total - q.offset < q.limit) {
                        r = append(docs, w->tasks[i]);
                        if (r < 0)
                                return r;
                }
                total++;
        }
        return answer_json(a, 200,
                        json_pack("{s:O, s:I, s:I, s:I, s:b}", "docs", docs, "total", (json_int_t)total,
                                        "limit", (json_int_t)q.limit, "offset", (json_int_t)q.offset,
                                        "has_more", total > q.offset && total - q.offset > q.limit));
}

/*
 * What who runs the stand-in asks of it: completes tasks and lets them fail, looks at callbacks and counts,
 * changes faults. Bodies are JSON whatever their Content-Type says, so that curl -d is enough.
 */

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
        r = answer_error(a, 400, NULL, "The body is not a JSON object.");
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
static int control_on_complete(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
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
                return answer_error(a, 400, NULL, "response: expected an object.");
        r = task_complete(w, t, response, q->now);
        return r < 0 ? r : task_answer(t, a);
}

/* {"status_code": 404, "urls": [...], "form": "bare" or "envelope"}, all of them optional. */
static int control_on_fail(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
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
                return answer_error(a, 400, NULL, "status_code: expected a number.");
        if (urls && !json_is_array(urls))
                return answer_error(a, 400, NULL, "urls: expected a list of the attachments that are bad.");
        if (!bare && !streq_ptr(json_string_value(form), "envelope"))
                return answer_error(a, 400, NULL, "form: expected bare or envelope.");

        r = task_fail(w, t, urls, code ? json_integer_value(code) : 404, bare, q->now);
        if (r == -ENOENT)
                return answer_error(a, 400, NULL, "The task has no such attachment that would be fetched.");
        return r < 0 ? r : task_answer(t, a);
}

static int control_on_callbacks(
                World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
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

static int control_on_stats(
                World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
{
        return answer_json(a, 200, world_stats(w));
}

/* Faults. */

static int control_on_get_faults(
                World *w, _unused_ const WorldRequest *q, _unused_ const char *arg, WorldAnswer *a)
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
                r = answer_error(a, 400, NULL, "%s: expected a probability from 0 to 1.", name);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* All or none. */
static int control_on_set_faults(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
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
        STAILQ_INIT(&w->ready);
        STAILQ_INIT(&w->held);
        STAILQ_INIT(&w->sending);
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

/* `arg` is what the path's braces stand for. */
typedef int (*WorldHandler)(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a);

typedef struct WorldRoute {
        const char *method, *path;
        WorldHandler handler;
} WorldRoute;

/* GET to cancel: clients before June 2017. */
static const WorldRoute routes[] = {
        { "POST", "/v1/task/{type}", task_create },
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

        if (!STAILQ_EMPTY(&w->held))
                next = MIN(next, STAILQ_FIRST(&w->held)->held_until);
        return next == INT64_MAX ? TIME_NONE : next;
}
