/*
 * Tasks. What a task was when it was made is kept as text, because there may be a million; what happens to
 * it afterwards lies beside, and both are put together when somebody asks.
 */

#include "sandbox/world-internal.h"

#include "task/params.h"
#include "json/encode.h"
#include "json/parse.h"

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

bool task_has_attachment(const TaskType *type, const json_t *params)
{
        return task_params_each_attachment(type, params, count_one, NULL) != 0;
}

int task_add(World *w, Task *t)
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
