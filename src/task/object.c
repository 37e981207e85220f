/*
 * The task that the API makes of a request: the parameters that its table marks move into `params`, the
 * others become members of the task, and what the table doesn't know is kept in `params`, as the API does.
 */

#include "basic/time-util.h"
#include "task/check.h"
#include "task/params.h"
#include "task/rows.h"
#include "task/value.h"

static int set_text(json_t *task, const char *name, const char *text)
{
        return json_object_set_new(task, name, json_string(text)) < 0 ? -ENOMEM : 0;
}

/* A copy of the parameter, where it was given. */
static int set_param(json_t *object, const json_t *params, const char *name)
{
        const json_t *value = member_get(params, name);

        if (!value)
                return 0;
        return json_object_set_new_nocheck(object, name, value_copy(value)) < 0 ? -ENOMEM : 0;
}

/* Those of the table in its order, then the unknown ones as they came. */
static int make_params(const TaskType *type, const json_t *params, json_t **ret)
{
        const Rows rows = rows_of_type(type);
        json_auto_t *shown = json_object();
        const char *name;
        json_t *value;
        int r;

        if (!shown)
                return -ENOMEM;

        ROWS_FOREACH(f, &rows) {
                r = f->flags & FIELD_IN_PARAMS ? set_param(shown, params, f->name) : 0;
                if (r < 0)
                        return r;
        }
        json_object_foreach((json_t *)(uintptr_t)params, name, value) {
                r = rows_find(&rows, name) ? 0 : set_param(shown, params, name);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(shown);
        return 0;
}

int task_object_new(const TaskType *type, const json_t *params, const char *task_id, int64_t created_at,
                bool is_test, json_t **ret)
{
        json_auto_t *task = json_object(), *shown = NULL;
        char created[TIME_STAMP_SIZE];
        int r;

        if (!task)
                return -ENOMEM;
        r = make_params(type, params, &shown);
        if (r < 0)
                return r;

        time_format(created_at - created_at % 1000, created);
        if (set_text(task, "task_id", task_id) < 0 || set_text(task, "created_at", created) < 0 ||
                        set_param(task, params, "callback_url") < 0 ||
                        set_text(task, "type", type->name) < 0 ||
                        set_text(task, "status", task_status_to_string(TASK_PENDING)) < 0 ||
                        set_param(task, params, "instruction") < 0 ||
                        set_param(task, params, "urgency") < 0 ||
                        json_object_set(task, "params", shown) < 0 ||
                        (is_test && json_object_set_new(task, "is_test", json_true()) < 0) ||
                        set_param(task, params, "metadata") < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(task);
        return 0;
}
