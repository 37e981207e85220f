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

uint64_t chance_next(World *world, Stream stream)
{
        if (world->streams[stream] == 0) {
                uint64_t state = world->options.seed + (uint64_t)stream * UINT64_C(0xd1342543de82ef95);

                world->streams[stream] = mix(&state) | 1;
        }
        return mix(&world->streams[stream]);
}

uint64_t chance_until(World *world, Stream stream, uint64_t max)
{
        return max > 0 ? 1 + chance_next(world, stream) % max : 0;
}

bool chance_strikes(World *world, Fault fault)
{
        /* 53 bits: a double from 0 to less than 1, so that 0 never strikes and 1 always does. */
        double d = (double)(chance_next(world, (Stream)fault) >> 11) / (double)(UINT64_C(1) << 53);
        bool yes = d < world->options.faults[fault];

        world->strikes[fault] += yes;
        return yes;
}

void world_set_fault(World *world, Fault fault, double probability)
{
        assert((int)fault >= 0 && fault < _FAULT_MAX && probability >= 0 && probability <= 1);
        world->options.faults[fault] = probability;
}

/* Answers. */

int answer_json(WorldAnswer *answer, unsigned status, json_t *value)
{
        json_auto_t *owned = value;

        if (!owned)
                return -ENOMEM;
        buffer_done(&answer->body);
        answer->status = status;
        answer->content_type = "application/json";
        return json_encode(owned, &answer->body);
}

int answer_error(WorldAnswer *answer, unsigned status, json_t *problems, const char *format, ...)
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
        return answer_json(answer, status, TAKE_PTR(error));
}

static int answer_html(WorldAnswer *answer)
{
        static const char page[] = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
                                   "<body><h1>502 Bad Gateway</h1><hr>a proxy</body>\r\n</html>\r\n";

        buffer_done(&answer->body);
        answer->status = 502;
        answer->content_type = "text/html";
        return buffer_append_str(&answer->body, page);
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

static bool read_start(ListQuery *query, const char *text)
{
        return read_time(text, &query->start_time);
}

static bool read_end(ListQuery *query, const char *text)
{
        return read_time(text, &query->end_time);
}

static bool read_status(ListQuery *query, const char *text)
{
        query->status = task_status_from_string(text);
        return query->status >= 0;
}

static bool read_type(ListQuery *query, const char *text)
{
        const TaskType *type = type_find(text);

        query->type = type ? type->name : text;
        return true;
}

static bool read_limit(ListQuery *query, const char *text)
{
        return parse_u64(text, 1, 100, &query->limit) >= 0;
}

static bool read_offset(ListQuery *query, const char *text)
{
        return parse_u64(text, 0, INT64_MAX, &query->offset) >= 0;
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
static int read_pair(ListQuery *query, const FormPair *pair, WorldAnswer *answer)
{
        int r;

        if (pair->value_size == 0)
                return 0;
        FOREACH_ARRAY(p, list_params, ELEMENTSOF(list_params)) {
                if (!streq(p->name, pair->name))
                        continue;
                if (strlen(pair->value) == pair->value_size && p->read(query, pair->value))
                        return 0;
                r = answer_error(answer, 400, NULL, "%s: expected %s.", p->name, p->wanted);
                return r < 0 ? r : 1;
        }
        return 0;
}

/* Likewise. What the query points to is in `text`. */
static int read_query(ListQuery *query, char *text, WorldAnswer *answer)
{
        FormPair pairs[PAIRS_MAX];
        size_t n = 0;
        int r;

        if (form_split(text, pairs, ELEMENTSOF(pairs), &n) < 0) {
                r = answer_error(answer, 400, NULL, "There are more than %u parameters.", PAIRS_MAX);
                return r < 0 ? r : 1;
        }
        FOREACH_ARRAY(pair, pairs, n) {
                r = read_pair(query, pair, answer);
                if (r != 0)
                        return r;
        }
        return 0;
}

static bool fits(const World *world, const ListQuery *query, const Task *task)
{
        return task->visible_at <= world->now && task->created_at >= query->start_time &&
               task->created_at <= query->end_time && (query->status < 0 || task->status == query->status) &&
               (!query->type || streq(query->type, task->type->name));
}

static int append(json_t *docs, const Task *task)
{
        json_t *object;
        int r;

        r = task_show(task, &object);
        if (r < 0)
                return r;
        return json_array_append_new(docs, object) < 0 ? -ENOMEM : 0;
}

static int list_on_tasks(
                World *world, const WorldRequest *request, _unused_ const char *arg, WorldAnswer *answer)
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
        r = read_query(&q, text, answer);
        if (r != 0)
                return MIN(r, 0);

        for (size_t i = world->n_tasks; i-- > 0;) {
                if (!fits(world, &q, world->tasks[i]))
                        continue;
                if (total >= q.offset && total - q.offset < q.limit) {
                        r = append(docs, world->tasks[i]);
                        if (r < 0)
                                return r;
                }
                total++;
        }
        return answer_json(answer, 200,
                        json_pack("{s:O, s:I, s:I, s:I, s:b}", "docs", docs, "total", (json_int_t)total,
                                        "limit", (json_int_t)q.limit, "offset", (json_int_t)q.offset,
                                        "has_more", total > q.offset && total - q.offset > q.limit));
}

/*
 * What who runs the stand-in asks of it: completes tasks and lets them fail, looks at callbacks and counts,
 * changes faults. Bodies are JSON whatever their Content-Type says, so that curl -d is enough.
 */

/* An object, an empty one for an empty body. 0; 1: answered 400; -ENOMEM. */
static int read_object(const WorldRequest *request, json_t **ret, WorldAnswer *answer)
{
        json_t *value = NULL;
        int r = 0;

        if (request->body_size > 0)
                r = json_parse(request->body, request->body_size, 0, &value, NULL);
        else
                value = json_object();
        if (r == -ENOMEM || (r == 0 && !value))
                return -ENOMEM;
        if (json_is_object(value)) {
                *ret = value;
                return 0;
        }
        json_decref(value);
        r = answer_error(answer, 400, NULL, "The body is not a JSON object.");
        return r < 0 ? r : 1;
}

/* The task and the body's object; both are set when it is 0. Likewise. */
static int begin(World *world, const WorldRequest *request, const char *id, Task **ret_task, json_t **ret,
                WorldAnswer *answer)
{
        int r;

        *ret_task = task_find(world, id);
        if (!*ret_task)
                r = answer_error(answer, 404, NULL, "Task not found");
        else if ((*ret_task)->status == TASK_CANCELED)
                r = answer_error(answer, 409, NULL, "The task was canceled.");
        else if (!delivery_has_room(world))
                r = answer_error(answer, 503, NULL, "There are %u callbacks that are not through yet.",
                                WORLD_DELIVERIES_MAX);
        else
                return read_object(request, ret, answer);
        return r < 0 ? r : 1;
}

/* {"response": {...}}, or the response itself, or nothing for a made-up one. */
static int control_on_complete(
                World *world, const WorldRequest *request, const char *arg, WorldAnswer *answer)
{
        json_auto_t *body = NULL;
        json_t *response;
        Task *task;
        int r;

        r = begin(world, request, arg, &task, &body, answer);
        if (r != 0)
                return MIN(r, 0);

        response = json_object_get(body, "response");
        if (!response && json_object_size(body) > 0)
                response = body;
        if (response && !json_is_object(response))
                return answer_error(answer, 400, NULL, "response: expected an object.");
        r = task_complete(world, task, response, request->now);
        return r < 0 ? r : task_answer(task, answer);
}

/* {"status_code": 404, "urls": [...], "form": "bare" or "envelope"}, all of them optional. */
static int control_on_fail(World *world, const WorldRequest *request, const char *arg, WorldAnswer *answer)
{
        const json_t *code, *urls, *form;
        json_auto_t *body = NULL;
        bool bare;
        Task *task;
        int r;

        r = begin(world, request, arg, &task, &body, answer);
        if (r != 0)
                return MIN(r, 0);

        code = json_object_get(body, "status_code");
        urls = json_object_get(body, "urls");
        form = json_object_get(body, "form");
        bare = !form || streq_ptr(json_string_value(form), "bare");
        if (code && !json_is_integer(code))
                return answer_error(answer, 400, NULL, "status_code: expected a number.");
        if (urls && !json_is_array(urls))
                return answer_error(
                                answer, 400, NULL, "urls: expected a list of the attachments that are bad.");
        if (!bare && !streq_ptr(json_string_value(form), "envelope"))
                return answer_error(answer, 400, NULL, "form: expected bare or envelope.");

        r = task_fail(world, task, urls, code ? json_integer_value(code) : 404, bare, request->now);
        if (r == -ENOENT)
                return answer_error(
                                answer, 400, NULL, "The task has no such attachment that would be fetched.");
        return r < 0 ? r : task_answer(task, answer);
}

static int control_on_callbacks(World *world, _unused_ const WorldRequest *request, _unused_ const char *arg,
                WorldAnswer *answer)
{
        json_t *list;
        int r;

        r = attempts_to_json(world, &list);
        return r < 0 ? r : answer_json(answer, 200, list);
}

static int add_strikes(const World *world, json_t *stats)
{
        json_auto_t *strikes = json_object();

        if (!strikes)
                return -ENOMEM;
        for (Fault f = 0; f < _FAULT_MAX; f++)
                if (json_object_set_new(strikes, fault_to_string(f),
                                    json_integer((json_int_t)world->strikes[f])) < 0)
                        return -ENOMEM;
        return json_object_set(stats, "faults", strikes) < 0 ? -ENOMEM : 0;
}

json_t *world_stats(const World *world)
{
        const struct {
                const char *name;
                uint64_t n;
        } counts[] = {
                { "tasks", world->n_tasks },
                { "duplicate_tasks", world->n_duplicates },
                { "pending", world->n_of_status[TASK_PENDING] },
                { "completed", world->n_of_status[TASK_COMPLETED] },
                { "canceled", world->n_of_status[TASK_CANCELED] },
                { "error", world->n_of_status[TASK_ERROR] },
                { "requests", world->n_requests },
                { "slow", world->n_slow },
                { "callbacks", world->n_attempts },
                { "callbacks_succeeded", world->n_succeeded },
                { "callbacks_failed", world->n_in_vain },
                { "callbacks_lost", world->n_lost },
                { "callbacks_under_way", world->n_deliveries },
        };
        json_auto_t *stats = json_object();

        if (!stats)
                return NULL;
        FOREACH_ARRAY(c, counts, ELEMENTSOF(counts))
                if (json_object_set_new(stats, c->name, json_integer((json_int_t)c->n)) < 0)
                        return NULL;
        return add_strikes(world, stats) < 0 ? NULL : TAKE_PTR(stats);
}

static int control_on_stats(World *world, _unused_ const WorldRequest *request, _unused_ const char *arg,
                WorldAnswer *answer)
{
        return answer_json(answer, 200, world_stats(world));
}

/* Faults. */

static int control_on_get_faults(World *world, _unused_ const WorldRequest *request,
                _unused_ const char *arg, WorldAnswer *answer)
{
        json_auto_t *faults = json_object();

        if (!faults)
                return -ENOMEM;
        for (Fault f = 0; f < _FAULT_MAX; f++)
                if (json_object_set_new(faults, fault_to_string(f), json_real(world->options.faults[f])) < 0)
                        return -ENOMEM;
        return answer_json(answer, 200, TAKE_PTR(faults));
}

/* 0; 1: answered 400; -ENOMEM. */
static int check_fault(const char *name, const json_t *value, WorldAnswer *answer)
{
        double p = json_number_value(value);
        int r;

        if (fault_from_string(name) < 0)
                r = answer_error(answer, 400, NULL,
                                "There is no such fault: GET /sandbox/faults names them.");
        else if (!json_is_number(value) || !(p >= 0 && p <= 1))
                r = answer_error(answer, 400, NULL, "%s: expected a probability from 0 to 1.", name);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* All or none. */
static int control_on_set_faults(
                World *world, const WorldRequest *request, const char *arg, WorldAnswer *answer)
{
        json_auto_t *body = NULL;
        const char *name;
        json_t *value;
        int r;

        r = read_object(request, &body, answer);
        if (r != 0)
                return MIN(r, 0);
        json_object_foreach(body, name, value) {
                r = check_fault(name, value, answer);
                if (r != 0)
                        return MIN(r, 0);
        }
        json_object_foreach(body, name, value)
                world_set_fault(world, fault_from_string(name), json_number_value(value));
        return control_on_get_faults(world, request, arg, answer);
}

#define DURATION_MAX (UINT64_C(100) * 366 * 24 * 3600 * USEC_PER_SEC) /* so that times don't overflow */

int world_new(const WorldOptions *options, World **ret)
{
        _cleanup_(world_freep) World *world = NULL;

        world = calloc(1, sizeof(World));
        if (!world)
                return -ENOMEM;
        world->options = *options;
        world->options.time_scale = MAX(options->time_scale, UINT64_C(1));
        world->options.delay = MIN(options->delay, DURATION_MAX);
        world->options.lag = MIN(options->lag, DURATION_MAX);
        world->options.clock_step = MIN(options->clock_step, DURATION_MAX);
        if (options->complete_after != UINT64_MAX)
                world->options.complete_after = MIN(options->complete_after, DURATION_MAX);
        world->options.callback_url = NULL;
        world->now = INT64_MIN;
        STAILQ_INIT(&world->ready);
        STAILQ_INIT(&world->held);
        STAILQ_INIT(&world->sending);
        if (options->callback_url) {
                world->callback_url = strdup(options->callback_url);
                if (!world->callback_url)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(world);
        return 0;
}

World *world_free(World *world)
{
        if (!world)
                return NULL;

        while (world->agenda.n > 0) {
                Delivery *delivery = agenda_first(&world->agenda)->delivery;

                agenda_pop(&world->agenda);
                delivery_free(world, delivery);
        }
        agenda_done(&world->agenda);
        delivery_list_done(world, &world->ready);
        delivery_list_done(world, &world->held);
        delivery_list_done(world, &world->sending);
        attempts_done(world);
        index_done(&world->ids);
        index_done(&world->submissions);
        for (size_t i = 0; i < world->n_tasks; i++)
                task_free(world->tasks[i]);
        free(world->tasks);
        free(world->callback_url);
        free(world);
        return NULL;
}

/* Handlers for one task. */

static int on_get(World *world, _unused_ const WorldRequest *request, const char *arg, WorldAnswer *answer)
{
        const Task *task = task_find(world, arg);

        return task ? task_answer(task, answer) : answer_error(answer, 404, NULL, "Task not found");
}

static int on_cancel(
                World *world, _unused_ const WorldRequest *request, const char *arg, WorldAnswer *answer)
{
        Task *task = task_find(world, arg);

        if (!task)
                return answer_error(answer, 404, NULL, "Task not found");
        if (task->status == TASK_COMPLETED)
                return answer_error(
                                answer, 500, NULL, "The task was already completed and cannot be canceled.");
        if (task->status != TASK_PENDING)
                return answer_error(answer, 500, NULL, "The task is not pending and cannot be canceled.");

        task_set_status(world, task, TASK_CANCELED);
        return task_answer(task, answer);
}

/* Routes. */

/* `arg` is what the path's braces stand for. */
typedef int (*WorldHandler)(World *world, const WorldRequest *request, const char *arg, WorldAnswer *answer);

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

static int call_route(World *world, const WorldRequest *request, WorldAnswer *answer)
{
        const char *method = streq(request->method, "HEAD") ? "GET" : request->method, *allow = NULL;

        FOREACH_ARRAY(route, routes, ELEMENTSOF(routes)) {
                _cleanup_free_ char *arg = NULL;
                const char *found = "";
                size_t size = 0;

                if (!path_fits(route->path, request->path, &found, &size))
                        continue;
                if (!streq(route->method, method)) {
                        allow = allow ? "GET, POST" : route->method;
                        continue;
                }
                arg = strndup(found, size);
                return arg ? route->handler(world, request, arg, answer) : -ENOMEM;
        }
        if (!allow)
                return answer_error(answer, 404, NULL, "There is nothing at this path.");
        answer->allow = allow;
        return answer_error(answer, 405, NULL, "This path takes %s.", allow);
}

/* Faults. */

/* All are asked for every request, so that one doesn't change when another strikes. */
static unsigned strike(World *world)
{
        unsigned strikes = 0;

        for (Fault f = FAULT_DROP_ANSWER; f <= FAULT_DELAY; f++)
                strikes |= chance_strikes(world, f) ? 1U << f : 0;
        return strikes;
}

static bool has(unsigned strikes, Fault f)
{
        return strikes & 1U << f;
}

/* 1: answered instead of doing anything; 0: nothing; -ENOMEM. */
static int spoil_before(World *world, unsigned strikes, WorldAnswer *answer)
{
        int r;

        if (has(strikes, FAULT_ERROR_429)) {
                answer->retry_after = 1;
                r = answer_error(answer, 429, NULL, "Too many requests: the fault error_429 has struck.");
        } else if (has(strikes, FAULT_ERROR_500))
                r = answer_error(answer, 500, NULL, "The fault error_500 has struck.");
        else if (has(strikes, FAULT_HTML) && chance_next(world, (Stream)FAULT_HTML) % 2 == 0)
                r = answer_html(answer);
        else
                return 0;
        return r < 0 ? r : 1;
}

static int spoil_after(World *world, unsigned strikes, WorldAnswer *answer)
{
        if (has(strikes, FAULT_DELAY))
                answer->delay = chance_until(world, (Stream)FAULT_DELAY, world->options.delay);
        if (has(strikes, FAULT_DROP_ANSWER))
                answer->drop = true;
        if (has(strikes, FAULT_HTML))
                return answer_html(answer);
        if (has(strikes, FAULT_ERROR_AFTER))
                return answer_error(answer, 500, NULL, "The fault error_after has struck.");
        return 0;
}

static int handle_api(World *world, const WorldRequest *request, WorldAnswer *answer)
{
        unsigned strikes = strike(world);
        int r;

        world->n_requests += !request->again;
        world->n_slow -= request->again;
        r = spoil_before(world, strikes, answer);
        if (r != 0)
                return MIN(r, 0);
        r = call_route(world, request, answer);
        return r < 0 || answer->again_in > 0 ? r : spoil_after(world, strikes, answer);
}

int world_handle(World *world, const WorldRequest *request, WorldAnswer *ret)
{
        WorldAnswer a = { .body = BUFFER_INIT(ANSWER_MAX) };
        int r;

        r = world_run(world, request->now);
        if (r >= 0)
                r = strncmp(request->path, "/sandbox/", strlen("/sandbox/")) == 0
                                    ? call_route(world, request, &a)
                                    : handle_api(world, request, &a);
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

static int complete_due(World *world, Task *task)
{
        if (task->status != TASK_PENDING)
                return 0;
        if (!task->fails)
                return task_complete(world, task, NULL, world->now);
        return task_fail(world, task, NULL, 404,
                        chance_next(world, (Stream)FAULT_ATTACHMENT_FAILURE) % 2 == 0, world->now);
}

int world_run(World *world, int64_t now)
{
        const AgendaItem *item;
        int r;

        world->now = MAX(world->now, now);
        while ((item = agenda_first(&world->agenda)) && item->when <= world->now) {
                Delivery *delivery = item->delivery;
                Task *task = item->task;

                agenda_pop(&world->agenda);
                if (delivery)
                        delivery_is_due(world, delivery);
                else {
                        r = complete_due(world, task);
                        if (r < 0)
                                return r;
                }
        }
        delivery_release_late(world);
        return 0;
}

int64_t world_next(const World *world)
{
        const AgendaItem *item = agenda_first(&world->agenda);
        int64_t next = item ? item->when : INT64_MAX;

        if (!STAILQ_EMPTY(&world->held))
                next = MIN(next, STAILQ_FIRST(&world->held)->held_until);
        return next == INT64_MAX ? TIME_NONE : next;
}
