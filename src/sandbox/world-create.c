/*
 * Creating a task. Bodies are decoded by the tables of the task's type, as everywhere else. What is wrong is
 * said in the API's words where they are known, the attachment first; all of it is in `problems`.
 */

#include "sandbox/world-internal.h"

#include <stdio.h>
#include <strings.h>

#include "task/check.h"
#include "task/params.h"
#include "json/encode.h"
#include "json/parse.h"

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

/* Whether the type of the attachment is looked at first, and missed where it is missing. */
static bool wants_type_first(const TaskType *type)
{
        return streq(type->name, "datacollection");
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
                        (!member_get(params, "attachment_type") && !wants_type_first(type)))
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
        if (wrong_type && wants_type_first(type))
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
                problems_add(problems, SEVERITY_ERROR, "", "the body is no JSON object%s%s",
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

int create_on_task(World *w, const WorldRequest *q, const char *arg, WorldAnswer *a)
{
        const TaskType *type = type_find(arg);
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
