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

#define FIRST_SIZE 256U

Task *task_free(Task *t)
{
        if (!t)
                return NULL;

        json_decref(t->response);
        free(t->submission);
        free(t->text);
        free(t);
        return NULL;
}

Task *task_find(const World *w, const char *id)
{
        return index_get(&w->ids, id);
}

void task_set_status(World *w, Task *t, TaskStatus status)
{
        w->n_of_status[t->status]--;
        w->n_of_status[status]++;
        t->status = status;
}

/* Where a task belongs: behind all that are older, before those of the same time. */
static size_t find_place(const World *w, int64_t created_at)
{
        size_t low = 0, high = w->n_tasks;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (w->tasks[middle]->created_at < created_at)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int make_room(World *w)
{
        size_t size = w->allocated_tasks > 0 ? 2 * w->allocated_tasks : FIRST_SIZE;
        Task **tasks;

        if (w->n_tasks < w->allocated_tasks)
                return 0;
        tasks = reallocarray(w->tasks, size, sizeof(Task *));
        if (!tasks)
                return -ENOMEM;
        w->tasks = tasks;
        w->allocated_tasks = size;
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

static int task_add(World *w, Task *t)
{
        bool known = t->submission && index_get(&w->submissions, t->submission);
        int64_t due = w->now - w->now % 1000; /* whatever created_at says */
        size_t place;
        int r;

        r = make_room(w);
        if (r >= 0 && t->submission && !known)
                r = index_add(&w->submissions, t->submission, t);
        if (r >= 0 && (t->fails || t->due_after != UINT64_MAX))
                r = agenda_add(&w->agenda, (AgendaItem){ .when = due + (int64_t)t->due_after, .task = t });
        if (r >= 0)
                r = index_add(&w->ids, t->id, t);
        if (r < 0)
                return r;
        w->n_duplicates += known;

        place = find_place(w, t->created_at);
        memmove(w->tasks + place + 1, w->tasks + place, (w->n_tasks - place) * sizeof(Task *));
        w->tasks[place] = t;
        w->n_tasks++;
        w->n_of_status[t->status]++;
        return 0;
}

static int set_time(json_t *object, const char *name, int64_t time)
{
        char text[TIME_STAMP_SIZE];

        return json_object_set_new(object, name, json_string(time_format(time, text)));
}

int task_render(const Task *t, TaskStatus status, json_t *response, int64_t completed_at, json_t **ret)
{
        json_auto_t *task = NULL;
        int r;

        r = json_parse(t->text, strlen(t->text), 0, &task, NULL);
        if (r < 0)
                return r;
        if (json_object_set_new(task, "status", json_string(task_status_to_string(status))) < 0 ||
                        (completed_at != TIME_NONE && set_time(task, "completed_at", completed_at) < 0) ||
                        (response && json_object_set(task, "response", response) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(task);
        return 0;
}

int task_show(const Task *t, json_t **ret)
{
        json_auto_t *task = NULL;
        int r;

        r = task_render(t, t->status, t->response, t->completed_at, &task);
        if (r < 0)
                return r;
        if (t->called != CALLED_NOT_YET && json_object_set_new(task, "callback_succeeded",
                                                           json_boolean(t->called == CALLED)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(task);
        return 0;
}

int task_answer(const Task *t, WorldAnswer *a)
{
        json_t *task;
        int r;

        r = task_show(t, &task);
        return r < 0 ? r : answer_json(a, 200, task);
}

/* Its end. */

static void finish(World *w, Task *t, TaskStatus status, json_t *response, int64_t now)
{
        json_decref(t->response);
        t->response = response;
        t->completed_at = now - now % 1000;
        task_set_status(w, t, status);
}

int task_complete(World *w, Task *t, json_t *response, int64_t now)
{
        json_auto_t *task = NULL, *made = json_incref(response);
        int r;

        if (!made) {
                r = task_render(t, t->status, NULL, TIME_NONE, &task);
                if (r >= 0)
                        r = task_make_response(t->type, json_object_get(task, "params"),
                                        chance_next(w, STREAM_RESPONSES), &made);
                /* Whatever was taken as a task is to have an end. */
                if (r == -EINVAL) {
                        made = json_object();
                        r = made ? 0 : -ENOMEM;
                }
                if (r < 0)
                        return r;
        }
        finish(w, t, TASK_COMPLETED, TAKE_PTR(made), now);
        return delivery_plan(w, t, false, now);
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
        Failure *f = userdata;

        if (!is_listed(f->urls, url))
                return 0;
        return json_array_append_new(f->list,
                               json_pack("{s:I, s:s}", "statusCode", f->status_code, "url", url)) < 0
                               ? -ENOMEM
                               : 0;
}

int task_fail(World *w, Task *t, const json_t *urls, json_int_t status_code, bool bare, int64_t now)
{
        json_auto_t *task = NULL, *list = json_array(), *response = NULL;
        Failure failure = { list, urls, status_code };
        int r;

        if (!list)
                return -ENOMEM;
        r = task_render(t, t->status, NULL, TIME_NONE, &task);
        if (r >= 0)
                r = task_params_each_attachment(
                                t->type, json_object_get(task, "params"), add_failure, &failure);
        if (r < 0)
                return r;
        if (json_array_size(list) == 0)
                return -ENOENT;

        response = json_pack("{s:s, s:O}", "error", "One or more attachments could not be downloaded.",
                        "attachments", list);
        if (!response)
                return -ENOMEM;
        finish(w, t, TASK_ERROR, TAKE_PTR(response), now);
        return delivery_plan(w, t, bare, now);
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

static int refuse(const TaskType *type, const json_t *params, const Problems *problems, WorldAnswer *a)
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
                return answer_error(a, 400, TAKE_PTR(list), "%s", wrong_type);
        if (find_problem(problems, "attachment"))
                return answer_error(a, 400, TAKE_PTR(list),
                                "Please provide an attachment as a URL or plaintext.");
        if (find_problem(problems, "attachments"))
                return answer_error(a, 400, TAKE_PTR(list),
                                "Please provide attachments for the worker to compare for the task.");
        if (wrong_type)
                return answer_error(a, 400, TAKE_PTR(list), "%s", wrong_type);
        first = first_error(problems);
        assert(first);
        return answer_error(a, 400, TAKE_PTR(list), "%s%s%s", first->path, *first->path ? ": " : "",
                        first->message);
}

/* Bodies. */

static bool is_json(const WorldRequest *q)
{
        static const char type[] = "application/json";
        const char *body = q->body;

        if (q->content_type)
                return strncasecmp(q->content_type, type, sizeof(type) - 1) == 0;
        return q->body_size > 0 && (*body == '{' || *body == '[');
}

static int read_json(const WorldRequest *q, json_t **ret, Problems *problems)
{
        json_t *params = NULL;
        json_error_t error;
        int r;

        if (q->body_size == 0) {
                *ret = json_object();
                return *ret ? 0 : -ENOMEM;
        }
        r = json_parse(q->body, q->body_size, 0, &params, &error);
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

static int read_form(const TaskType *type, const WorldRequest *q, json_t **ret, Problems *problems)
{
        _cleanup_free_ FormPair *pairs = calloc(TASK_FORM_PAIRS_MAX, sizeof(FormPair));
        _cleanup_free_ char *text = strndup(q->body_size > 0 ? q->body : "", q->body_size);
        size_t n = 0;

        if (!pairs || !text)
                return -ENOMEM;
        if (form_split(text, pairs, TASK_FORM_PAIRS_MAX, &n) < 0)
                problems_add(problems, SEVERITY_ERROR, "", "there are more than %u parameters",
                                TASK_FORM_PAIRS_MAX);
        return task_params_from_form(type, pairs, n, ret, problems);
}

/* The account's own callback URL stands in for one that is missing. */
static int add_callback_url(const World *w, json_t *params, Problems *problems)
{
        if (member_get(params, "callback_url"))
                return 0;
        if (!w->callback_url) {
                problems_add(problems, SEVERITY_ERROR, "callback_url",
                                "is missing: the account has none of its own, see --callback-url");
                return 0;
        }
        return json_object_set_new(params, "callback_url", json_string(w->callback_url)) < 0 ? -ENOMEM : 0;
}

static int read_params(const World *w, const TaskType *type, const WorldRequest *q, json_t **ret,
                Problems *problems)
{
        json_auto_t *params = NULL;
        int r;

        r = is_json(q) ? read_json(q, &params, problems) : read_form(type, q, &params, problems);
        if (r < 0 || problems->n_errors > 0) {
                *ret = TAKE_PTR(params);
                return r;
        }
        r = task_params_normalise(type, params);
        if (r >= 0) {
                task_params_check(type, params, problems);
                r = add_callback_url(w, params, problems);
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

static int take_submission(Task *t, const json_t *params)
{
        const char *id = json_string_value(
                        json_object_get(json_object_get(params, "metadata"), TASK_SUBMISSION_KEY));

        id = id ?: id_in_url(json_string_value(json_object_get(params, "callback_url")));
        t->submission = id ? strdup(id) : NULL;
        return id && !t->submission ? -ENOMEM : 0;
}

/* As the API's: the time, chance, a counter. */
static void make_id(World *w, int64_t now, char id[static ID_SIZE])
{
        snprintf(id, ID_SIZE, "%08x%010llx%06x", (unsigned)((uint64_t)now / USEC_PER_SEC),
                        (unsigned long long)(chance_next(w, STREAM_IDS) & UINT64_C(0xffffffffff)),
                        (unsigned)(w->n_ids++ & 0xffffff));
}

static int render_text(const Task *t, const json_t *params, bool is_test, char **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        json_auto_t *object = NULL;
        int r;

        r = task_object_new(t->type, params, t->id, t->created_at, is_test, &object);
        if (r >= 0)
                r = json_encode(object, &text);
        if (r < 0)
                return r;
        *ret = buffer_take(&text, NULL);
        return 0;
}

static int make_task(World *w, const TaskType *type, const json_t *params, const WorldRequest *q, Task **ret)
{
        _cleanup_(task_freep) Task *t = calloc(1, sizeof(Task));
        bool lags = chance_strikes(w, FAULT_LAG), fails = chance_strikes(w, FAULT_ATTACHMENT_FAILURE);
        bool behind = chance_strikes(w, FAULT_CLOCK_BEHIND);
        int64_t created = q->now + q->skew;
        int r;

        if (!t)
                return -ENOMEM;
        if (behind)
                created -= (int64_t)chance_until(w, (Stream)FAULT_CLOCK_BEHIND, w->options.clock_step);
        t->type = type;
        t->status = TASK_PENDING;
        t->created_at = created - created % 1000;
        t->completed_at = TIME_NONE;
        t->visible_at = lags ? q->now + (int64_t)chance_until(w, (Stream)FAULT_LAG, w->options.lag)
                             : INT64_MIN;
        t->fails = fails && task_has_attachment(type, params);
        t->due_after = q->is_test || t->fails ? 0 : w->options.complete_after;
        make_id(w, created, t->id);

        r = take_submission(t, params);
        if (r >= 0)
                r = render_text(t, params, q->is_test, &t->text);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

static int add_task(
                World *w, const TaskType *type, const json_t *params, const WorldRequest *q, WorldAnswer *a)
{
        _cleanup_(task_freep) Task *t = NULL;
        int r;

        if (w->n_tasks >= WORLD_TASKS_MAX || !delivery_has_room(w))
                return answer_error(a, 503, NULL, "The stand-in keeps no more than %u tasks: start it anew.",
                                WORLD_TASKS_MAX);
        r = make_task(w, type, params, q, &t);
        if (r < 0)
                return r;
        r = task_answer(t, a);
        if (r >= 0)
                r = task_add(w, t);
        if (r >= 0)
                TAKE_PTR(t);
        return r;
}

int task_create(World *w, const WorldRequest *q, const char *name, WorldAnswer *a)
{
        const TaskType *type = type_find(name);
        _cleanup_(problems_done) Problems problems = {};
        json_auto_t *params = NULL;
        int r;

        if (!type)
                return answer_error(a, 404, NULL, "There is no such type of task.");
        if (!q->again && chance_strikes(w, FAULT_SLOW)) {
                a->again_in = MAX(chance_until(w, (Stream)FAULT_SLOW, w->options.delay), 1U);
                w->n_slow++;
                return 0;
        }
        r = read_params(w, type, q, &params, &problems);
        if (r < 0)
                return r;
        if (problems.n_errors > 0 || problems.failed)
                return refuse(type, params, &problems, a);
        return add_task(w, type, params, q, a);
}
