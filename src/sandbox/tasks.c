/*
 * Tasks. What a task was when it was made is kept as text, because there may be a million; what happens to
 * it afterwards lies beside, and both are put together when somebody asks.
 */

#include <stdio.h>
#include <strings.h>

#include "sandbox/account.h"
#include "task/check.h"
#include "task/params.h"
#include "json/encode.h"
#include "json/parse.h"

/*
 * Types of task that clients ask for and the reference does not describe ("any other task type"): they came
 * later, all of them about an image. What they share is checked, everything else is kept as it is, and who
 * gets their callbacks has no rules for them either.
 */

static const Field later_params[] = {
        { "instruction", FIELD_STRING, .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_IN_PARAMS, .values = (const char *const[]){ "image", NULL },
                        .describe = "what the attachment is" },
        { "attachment", FIELD_ATTACHMENT, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "the URL of an image" },
        {},
};

static const Field later_response[] = {
        {},
};

static void check_later_response(
                _unused_ const json_t *p, _unused_ const json_t *r, _unused_ Problems *problems)
{
}

static int make_later_response(_unused_ const json_t *p, _unused_ uint64_t n, json_t **ret)
{
        *ret = json_pack("{s:[]}", "annotations");
        return *ret ? 0 : -ENOMEM;
}

#define LATER(n)                                                                              \
        {                                                                                     \
                .name = (n), .params = later_params, .response = later_response,              \
                .check_response = check_later_response, .make_response = make_later_response, \
        }

static const TaskType later[] = {
        LATER("polygonannotation"),
        LATER("lineannotation"),
        LATER("pointannotation"),
        LATER("cuboidannotation"),
        LATER("segmentannotation"),
};

const TaskType *type_find(const char *name)
{
        FOREACH_ARRAY(t, later, ELEMENTSOF(later))
                if (streq(t->name, name))
                        return t;
        return task_type_find(name);
}

#define TASKS_FIRST_SIZE 256U

Task *task_free(Task *task)
{
        if (!task)
                return NULL;

        json_decref(task->response);
        free(task->submission);
        free(task->text);
        free(task);
        return NULL;
}

Task *task_find(const World *world, const char *id)
{
        return index_get(&world->ids, id);
}

void task_set_status(World *world, Task *task, TaskStatus status)
{
        world->n_of_status[task->status]--;
        world->n_of_status[status]++;
        task->status = status;
}

/* Where a task belongs: behind all that are older, before those of the same time. */
static size_t find_place(const World *world, int64_t created_at)
{
        size_t low = 0, high = world->n_tasks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (world->tasks[middle]->created_at < created_at)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int make_room(World *world)
{
        size_t size = world->allocated_tasks > 0 ? 2 * world->allocated_tasks : TASKS_FIRST_SIZE;
        Task **tasks;

        if (world->n_tasks < world->allocated_tasks)
                return 0;
        tasks = reallocarray(world->tasks, size, sizeof(Task *));
        if (!tasks)
                return -ENOMEM;
        world->tasks = tasks;
        world->allocated_tasks = size;
        return 0;
}

static int count_one(_unused_ const char *url, _unused_ void *userdata)
{
        return 1;
}

static bool task_has_attachment(const TaskType *type, const json_t *params)
{
        return task_params_each_attachment(type, params, count_one, NULL) != 0;
}

static int task_add(World *world, Task *task)
{
        bool known = task->submission && index_get(&world->submissions, task->submission);
        int64_t due = world->now - world->now % 1000; /* whatever created_at says */
        size_t place;
        int r;

        r = make_room(world);
        if (r >= 0 && task->submission && !known)
                r = index_add(&world->submissions, task->submission, task);
        if (r >= 0 && (task->fails || task->due_after != UINT64_MAX))
                r = agenda_add(&world->agenda,
                                (AgendaItem){ .when = due + (int64_t)task->due_after, .task = task });
        if (r >= 0)
                r = index_add(&world->ids, task->id, task);
        if (r < 0)
                return r;
        world->n_duplicates += known;

        place = find_place(world, task->created_at);
        memmove(world->tasks + place + 1, world->tasks + place, (world->n_tasks - place) * sizeof(Task *));
        world->tasks[place] = task;
        world->n_tasks++;
        world->n_of_status[task->status]++;
        return 0;
}

static int set_time(json_t *object, const char *name, int64_t time)
{
        char text[TIME_STAMP_SIZE];

        return json_object_set_new(object, name, json_string(time_format(time, text)));
}

int task_render(const Task *task, TaskStatus status, json_t *response, int64_t completed_at, json_t **ret)
{
        json_auto_t *object = NULL;
        int r;

        r = json_parse(task->text, strlen(task->text), 0, &object, NULL);
        if (r < 0)
                return r;
        if (json_object_set_new(object, "status", json_string(task_status_to_string(status))) < 0 ||
                        (completed_at != TIME_NONE && set_time(object, "completed_at", completed_at) < 0) ||
                        (response && json_object_set(object, "response", response) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(object);
        return 0;
}

int task_show(const Task *task, json_t **ret)
{
        json_auto_t *object = NULL;
        int r;

        r = task_render(task, task->status, task->response, task->completed_at, &object);
        if (r < 0)
                return r;
        if (task->called != CALLED_NOT_YET && json_object_set_new(object, "callback_succeeded",
                                                              json_boolean(task->called == CALLED)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(object);
        return 0;
}

int task_answer(const Task *task, WorldAnswer *answer)
{
        json_t *object;
        int r;

        r = task_show(task, &object);
        return r < 0 ? r : answer_json(answer, 200, object);
}

/* Its end. */

static void finish(World *world, Task *task, TaskStatus status, json_t *response, int64_t now)
{
        json_decref(task->response);
        task->response = response;
        task->completed_at = now - now % 1000;
        task_set_status(world, task, status);
}

int task_complete(World *world, Task *task, json_t *response, int64_t now)
{
        json_auto_t *object = NULL, *made = json_incref(response);
        int r;

        if (!made) {
                r = task_render(task, task->status, NULL, TIME_NONE, &object);
                if (r >= 0)
                        r = task_make_response(task->type, json_object_get(object, "params"),
                                        chance_next(world, STREAM_RESPONSES), &made);
                /* Whatever was taken as a task is to have an end. */
                if (r == -EINVAL) {
                        made = json_object();
                        r = made ? 0 : -ENOMEM;
                }
                if (r < 0)
                        return r;
        }
        finish(world, task, TASK_COMPLETED, TAKE_PTR(made), now);
        return delivery_plan(world, task, false, now);
}

typedef struct Failure {
        json_t *list;
        const json_t *urls; /* NULL: all */
        json_int_t status_code;
} Failure;

static bool is_listed(const json_t *urls, const char *url)
{
        const json_t *one;
        size_t i;

        if (!urls)
                return true;
        json_array_foreach((json_t *)(uintptr_t)urls, i, one)
                if (streq_ptr(json_string_value(one), url))
                        return true;
        return false;
}

static int add_failure(const char *url, void *userdata)
{
        Failure *failure = userdata;

        if (!is_listed(failure->urls, url))
                return 0;
        return json_array_append_new(failure->list,
                               json_pack("{s:I, s:s}", "statusCode", failure->status_code, "url", url)) < 0
                               ? -ENOMEM
                               : 0;
}

int task_fail(World *world, Task *task, const json_t *urls, json_int_t status_code, bool bare, int64_t now)
{
        json_auto_t *object = NULL, *list = json_array(), *response = NULL;
        Failure failure = { list, urls, status_code };
        int r;

        if (!list)
                return -ENOMEM;
        r = task_render(task, task->status, NULL, TIME_NONE, &object);
        if (r >= 0)
                r = task_params_each_attachment(
                                task->type, json_object_get(object, "params"), add_failure, &failure);
        if (r < 0)
                return r;
        if (json_array_size(list) == 0)
                return -ENOENT;

        response = json_pack("{s:s, s:O}", "error", "One or more attachments could not be downloaded.",
                        "attachments", list);
        if (!response)
                return -ENOMEM;
        finish(world, task, TASK_ERROR, TAKE_PTR(response), now);
        return delivery_plan(world, task, bare, now);
}

/*
 * Creating a task. Bodies are decoded by the tables of the task's type, as everywhere else. What is wrong is
 * said in the API's words where they are known, the attachment first; all of it is in `problems`.
 */

#define TEXT_MAX \
        ((size_t)64 * 1024 * 1024) /* of a task: what a body of 8 MB may become when it is escaped */

/* Problems. */

static bool is_about(const Problem *p, const char *name)
{
        size_t n = strlen(name);

        return p->severity == SEVERITY_ERROR && strncmp(p->path, name, n) == 0 &&
               (p->path[n] == 0 || p->path[n] == '[');
}

static const Problem *find_problem(const Problems *problems, const char *name)
{
        FOREACH_ARRAY(p, problems->items, problems->n)
                if (is_about(p, name))
                        return p;
        return NULL;
}

static const Problem *first_error(const Problems *problems)
{
        FOREACH_ARRAY(p, problems->items, problems->n)
                if (p->severity == SEVERITY_ERROR)
                        return p;
        return NULL;
}

static const Field *find_field(const TaskType *type, const char *name)
{
        for (const Field *f = type->params; f->name; f++)
                if (streq(f->name, name))
                        return f;
        return NULL;
}

/* NULL, or the words for an attachment_type that is none of the type's. 0 or -ENOMEM. */
static int describe_attachment_type(
                const TaskType *type, const json_t *params, const Problems *problems, char **ret)
{
        static const char start[] = "Invalid attachment_type - please choose one of these:";
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1024);
        const Field *field = find_field(type, "attachment_type");
        int r;

        *ret = NULL;
        if (!field || !field->values || !find_problem(problems, "attachment_type") ||
                        (!member_get(params, "attachment_type") && !type->wants_attachment_type))
                return 0;
        r = buffer_append_str(&text, start);
        for (const char *const *v = field->values; r >= 0 && *v; v++)
                r = buffer_append_f(&text, " %s", *v);
        if (r < 0)
                return r;
        *ret = buffer_take(&text, NULL);
        return 0;
}

static int refuse(const TaskType *type, const json_t *params, const Problems *problems, WorldAnswer *answer)
{
        json_auto_t *list = problems_to_json(problems);
        _cleanup_free_ char *wrong_type = NULL;
        const Problem *first;
        int r;

        if (!list || problems->failed)
                return -ENOMEM;
        r = describe_attachment_type(type, params, problems, &wrong_type);
        if (r < 0)
                return r;
        if (wrong_type && type->wants_attachment_type)
                return answer_error(answer, 400, TAKE_PTR(list), "%s", wrong_type);
        if (find_problem(problems, "attachment"))
                return answer_error(answer, 400, TAKE_PTR(list),
                                "Please provide an attachment as a URL or plaintext.");
        if (find_problem(problems, "attachments"))
                return answer_error(answer, 400, TAKE_PTR(list),
                                "Please provide attachments for the worker to compare for the task.");
        if (wrong_type)
                return answer_error(answer, 400, TAKE_PTR(list), "%s", wrong_type);
        first = first_error(problems);
        assert(first);
        return answer_error(answer, 400, TAKE_PTR(list), "%s%s%s", first->path, *first->path ? ": " : "",
                        first->message);
}

/* Bodies. */

static bool is_json(const WorldRequest *request)
{
        static const char type[] = "application/json";
        const char *body = request->body;

        if (request->content_type)
                return strncasecmp(request->content_type, type, sizeof(type) - 1) == 0;
        return request->body_size > 0 && (*body == '{' || *body == '[');
}

static int read_json(const WorldRequest *request, json_t **ret, Problems *problems)
{
        json_t *params = NULL;
        json_error_t error;
        int r;

        if (request->body_size == 0) {
                *ret = json_object();
                return *ret ? 0 : -ENOMEM;
        }
        r = json_parse(request->body, request->body_size, 0, &params, &error);
        if (r == -ENOMEM)
                return r;
        if (!json_is_object(params)) {
                problems_add(problems, SEVERITY_ERROR, "", "the body is not a JSON object%s%s",
                                params ? "" : ": ", params ? "" : error.text);
                json_decref(params);
                params = json_object();
        }
        *ret = params;
        return params ? 0 : -ENOMEM;
}

static int read_form(const TaskType *type, const WorldRequest *request, json_t **ret, Problems *problems)
{
        _cleanup_free_ FormPair *pairs = calloc(TASK_FORM_PAIRS_MAX, sizeof(FormPair));
        _cleanup_free_ char *text = strndup(request->body_size > 0 ? request->body : "", request->body_size);
        size_t n = 0;

        if (!pairs || !text)
                return -ENOMEM;
        if (form_split(text, pairs, TASK_FORM_PAIRS_MAX, &n) < 0)
                problems_add(problems, SEVERITY_ERROR, "", "there are more than %u parameters",
                                TASK_FORM_PAIRS_MAX);
        return task_params_from_form(type, pairs, n, ret, problems);
}

/* The account's own callback URL stands in for one that is missing. */
static int add_callback_url(const World *world, json_t *params, Problems *problems)
{
        if (member_get(params, "callback_url"))
                return 0;
        if (!world->callback_url) {
                problems_add(problems, SEVERITY_ERROR, "callback_url",
                                "is missing: the account has none of its own, see --callback-url");
                return 0;
        }
        return json_object_set_new(params, "callback_url", json_string(world->callback_url)) < 0 ? -ENOMEM
                                                                                                 : 0;
}

static int read_params(const World *world, const TaskType *type, const WorldRequest *request, json_t **ret,
                Problems *problems)
{
        json_auto_t *params = NULL;
        int r;

        r = is_json(request) ? read_json(request, &params, problems)
                             : read_form(type, request, &params, problems);
        if (r < 0 || problems->n_errors > 0) {
                *ret = TAKE_PTR(params);
                return r;
        }
        r = task_params_normalise(type, params);
        if (r >= 0) {
                task_params_check(type, params, problems);
                r = add_callback_url(world, params, problems);
        }
        if (r >= 0)
                r = task_params_add_defaults(type, params);
        *ret = TAKE_PTR(params);
        return r;
}

/* Tasks. */

/* The id at the end of "https://example.com/callback/0123...". */
static const char *id_in_url(const char *url)
{
        const char *slash = url ? strrchr(url, '/') : NULL;

        if (!slash || strspn(slash + 1, "0123456789abcdef") != SUBMISSION_SIZE - 1 || slash[SUBMISSION_SIZE])
                return NULL;
        return slash + 1;
}

static int take_submission(Task *task, const json_t *params)
{
        const char *id = json_string_value(
                        json_object_get(json_object_get(params, "metadata"), TASK_SUBMISSION_KEY));

        id = id ?: id_in_url(json_string_value(json_object_get(params, "callback_url")));
        task->submission = id ? strdup(id) : NULL;
        return id && !task->submission ? -ENOMEM : 0;
}

/* As the API's: the time, chance, a counter. */
static void make_id(World *world, int64_t now, char id[static ID_SIZE])
{
        snprintf(id, ID_SIZE, "%08x%010llx%06x", (unsigned)((uint64_t)now / USEC_PER_SEC),
                        (unsigned long long)(chance_next(world, STREAM_IDS) & UINT64_C(0xffffffffff)),
                        (unsigned)(world->n_ids++ & 0xffffff));
}

static int render_text(const Task *task, const json_t *params, bool is_test, char **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        json_auto_t *object = NULL;
        int r;

        r = task_object_new(task->type, params, task->id, task->created_at, is_test, &object);
        if (r >= 0)
                r = json_encode(object, &text);
        if (r < 0)
                return r;
        *ret = buffer_take(&text, NULL);
        return 0;
}

static int make_task(World *world, const TaskType *type, const json_t *params, const WorldRequest *request,
                Task **ret)
{
        _cleanup_(task_freep) Task *task = calloc(1, sizeof(Task));
        bool lags = chance_strikes(world, FAULT_LAG),
             fails = chance_strikes(world, FAULT_ATTACHMENT_FAILURE);
        bool behind = chance_strikes(world, FAULT_CLOCK_BEHIND);
        int64_t created = request->now + request->skew;
        int r;

        if (!task)
                return -ENOMEM;
        if (behind)
                created -= (int64_t)chance_until(
                                world, (Stream)FAULT_CLOCK_BEHIND, world->options.clock_step);
        task->type = type;
        task->status = TASK_PENDING;
        task->created_at = created - created % 1000;
        task->completed_at = TIME_NONE;
        task->visible_at = lags ? request->now + (int64_t)chance_until(world, (Stream)FAULT_LAG,
                                                                 world->options.lag)
                                : INT64_MIN;
        task->fails = fails && task_has_attachment(type, params);
        task->due_after = request->is_test || task->fails ? 0 : world->options.complete_after;
        make_id(world, created, task->id);

        r = take_submission(task, params);
        if (r >= 0)
                r = render_text(task, params, request->is_test, &task->text);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(task);
        return 0;
}

static int add_task(World *world, const TaskType *type, const json_t *params, const WorldRequest *request,
                WorldAnswer *answer)
{
        _cleanup_(task_freep) Task *task = NULL;
        int r;

        if (world->n_tasks >= WORLD_TASKS_MAX || !delivery_has_room(world))
                return answer_error(answer, 503, NULL,
                                "The stand-in keeps no more than %u tasks: start it anew.", WORLD_TASKS_MAX);
        r = make_task(world, type, params, request, &task);
        if (r < 0)
                return r;
        r = task_answer(task, answer);
        if (r >= 0)
                r = task_add(world, task);
        if (r >= 0)
                TAKE_PTR(task);
        return r;
}

int task_create(World *world, const WorldRequest *request, const char *name, WorldAnswer *answer)
{
        const TaskType *type = type_find(name);
        _cleanup_(problems_done) Problems problems = {};
        json_auto_t *params = NULL;
        int r;

        if (!type)
                return answer_error(answer, 404, NULL, "There is no such type of task.");
        if (!request->again && chance_strikes(world, FAULT_SLOW)) {
                answer->again_in = MAX(chance_until(world, (Stream)FAULT_SLOW, world->options.delay), 1U);
                world->n_slow++;
                return 0;
        }
        r = read_params(world, type, request, &params, &problems);
        if (r < 0)
                return r;
        if (problems.n_errors > 0 || problems.failed)
                return refuse(type, params, &problems, answer);
        return add_task(world, type, params, request, answer);
}
