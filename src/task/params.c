/*
 * Parameters, by the tables of their type: whether their names are known, what clients mean by what they
 * write, and the task that the API makes of them. Forms are in params-form.c, values are held against the
 * rows in check.c.
 */

#include "task/params.h"

#include "basic/guess.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "task/check.h"
#include "task/value.h"
#include "json/read.h"

/*
 * Names that no table has. The API takes whatever it is sent and keeps what it doesn't know, so a misspelt
 * urgency is a task of the usual urgency that costs money: a name that is near to one of the type's own is
 * refused. Any other is sent as it is, because the API may know more than these tables, and is warned of.
 *
 * A parameter of another type is none that was misspelt: some clients send the same set for every type.
 */

/* As if it were not there: null, and what clients send for an option that is left empty. */
static bool means_nothing(const json_t *value)
{
        return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
               (json_is_array(value) && json_array_size(value) == 0) ||
               (json_is_object(value) && json_object_size(value) == 0);
}

/* A type that has such a parameter; NULL: none has. */
static const TaskType *type_with(const char *name)
{
        for (const TaskType *const *t = task_types; *t; t++)
                if (rows_find(&(Rows){ { (*t)->params } }, name))
                        return *t;
        return NULL;
}

static void add_unknown(const Rows *rows, const Path *at, const char *name, Problems *problems)
{
        const TaskType *other = at ? NULL : type_with(name);
        const Path top = { .name = name };
        Guess guess = GUESS(name);

        if (!other)
                ROWS_FOREACH(f, rows)
                        guess_try(&guess, f->name);

        if (guess.meant)
                path_problem(problems, SEVERITY_ERROR, at ?: &top, at ? name : NULL,
                                "there is no such parameter: is %s meant?", guess.meant);
        else if (other)
                path_problem(problems, SEVERITY_WARNING, &top, NULL,
                                "is a parameter of %s and not of this type; it is sent as it is",
                                other->name);
        else
                path_problem(problems, SEVERITY_WARNING, at ?: &top, at ? name : NULL,
                                "no such parameter is known; it is sent as it is");
}

/* `at`: where the object is; NULL: it holds the parameters themselves. */
static void check_names(const Rows *rows, const json_t *object, const Path *at, Problems *problems)
{
        const char *name;
        json_t *value;

        json_object_foreach((json_t *)(uintptr_t)object, name, value)
                if (!rows_find(rows, name) && !means_nothing(value))
                        add_unknown(rows, at, name, problems);
}

static void check_elements(const Field *field, const json_t *list, Problems *problems)
{
        const Rows rows = { { field->members } };
        const Path top = { .name = field->name };
        json_t *element;
        size_t i;

        json_array_foreach(list, i, element)
                if (json_is_object(element))
                        check_names(&rows, element, &(Path){ .up = &top, .index = i }, problems);
}

void task_params_check_names(const TaskType *type, const json_t *params, Problems *problems)
{
        const Rows rows = rows_of_type(type);

        check_names(&rows, params, NULL, problems);
        ROWS_FOREACH(f, &rows)
                if (f->kind == FIELD_OBJECTS && f->members)
                        check_elements(f, json_object_get(params, f->name), problems);
}

void task_params_check_submitted(const TaskType *type, const json_t *params, Problems *problems)
{
        task_params_check(type, params, problems);
        task_params_check_names(type, params, problems);
        if (json_object_get(json_object_get(params, "metadata"), TASK_SUBMISSION_KEY))
                problems_add(problems, SEVERITY_ERROR, "metadata." TASK_SUBMISSION_KEY,
                                "this member is set by the submitter; leave it out");
}

/*
 * What clients write, turned into what they mean. Some send every number as a text, some send null or an
 * empty list for what they leave out, and a form has nothing but texts. The table says what a value is meant
 * to be, and only what can be taken for nothing else is converted: the rest stays as it came, so that the
 * check can show it to whoever sent it.
 */

/* What a text says, as a new reference, NULL without memory. False: it stays as it is. */

static bool boolean_of_text(const json_t *text, json_t **ret)
{
        bool b;

        if (!value_read_boolean(text, true, &b))
                return false;
        *ret = json_boolean(b);
        return true;
}

static bool number_of_text(const json_t *text, json_t **ret)
{
        json_auto_t *number = NULL;
        double d;

        if (!value_read_number(text, true, &d))
                return false;
        number = json_read_number(json_string_value(text), json_string_length(text));
        *ret = json_is_real(number) ? TAKE_PTR(number) : json_real(d); /* also as it was written, "+.5" */
        return true;
}

/* Digits are exact, also beyond 2^53; "30.0" and "3e1" are whole numbers too. */
static bool integer_of_text(const json_t *text, json_t **ret)
{
        json_auto_t *real = NULL;
        long long integer;
        Number number;
        char *end;

        if (!number_of_text(text, &real))
                return false;

        errno = 0;
        integer = strtoll(json_string_value(text), &end, 10);
        number = real ? value_number(real) : (Number){};
        if (*end == 0 && errno == 0)
                *ret = json_integer(integer);
        else if (number.kind == NUMBER_INTEGER)
                *ret = json_integer(number.integer);
        else
                *ret = TAKE_PTR(real);
        return true;
}

static bool (*const conversions[_FIELD_KIND_MAX])(const json_t *text, json_t **ret) = {
        [FIELD_BOOLEAN] = boolean_of_text,
        [FIELD_INTEGER] = integer_of_text,
        [FIELD_NUMBER] = number_of_text,
};

static void drop_nulls(json_t *object)
{
        const char *name;
        json_t *value;
        void *next;

        json_object_foreach_safe(object, next, name, value)
        {
                if (json_is_null(value))
                        json_object_del(object, name);
        }
}

static int normalise_members(const Rows *rows, json_t *object);

static int normalise_elements(const Field *field, json_t *array)
{
        const Rows rows = { { field->members } };
        json_t *element;
        size_t i;
        int r;

        json_array_foreach(array, i, element) {
                if (!json_is_object(element))
                        continue;
                r = normalise_members(&rows, element);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int normalise_member(const Field *field, json_t *object, json_t *value)
{
        json_t *converted;

        if (field_is_left_out(field, value))
                return json_object_del(object, field->name) < 0 ? -ENOMEM : 0;
        if (field->members && json_is_array(value))
                return normalise_elements(field, value);
        if (field->flags & FIELD_AS_TEXT && json_is_string(value) && conversions[field->kind] &&
                        conversions[field->kind](value, &converted))
                return json_object_set_new(object, field->name, converted) < 0 ? -ENOMEM : 0;
        return 0;
}

static int normalise_members(const Rows *rows, json_t *object)
{
        int r;

        drop_nulls(object);
        ROWS_FOREACH(f, rows) {
                json_t *value = json_object_get(object, f->name);

                r = value ? normalise_member(f, object, value) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

int task_params_normalise(const TaskType *type, json_t *params)
{
        const Rows rows = rows_of_type(type);

        return normalise_members(&rows, params);
}

int task_params_add_defaults(const TaskType *type, json_t *params)
{
        const Rows rows = rows_of_type(type);

        ROWS_FOREACH(f, &rows) {
                if (!f->default_value || member_get(params, f->name))
                        continue;
                /* The tables are the program's own, so they can be parsed. */
                if (json_object_set_new(params, f->name,
                                    json_loads(f->default_value, JSON_DECODE_ANY, NULL)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/*
 * The task that the API makes of a request: the parameters that its table marks move into `params`, the
 * others become members of the task, and what the table doesn't know is kept in `params`, as the API does.
 */

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

/* What else is to be known of parameters, read out of the tables. */

/* A URL's row is that of an attachment that can't be a text. The URLs of the shared rows are no attachments:
 * nobody fetches a callback_url. */
static bool is_attachment(const Field *field)
{
        return field->kind == FIELD_ATTACHMENT || field->kind == FIELD_ATTACHMENTS ||
               field->kind == FIELD_URL;
}

/* Only what could be fetched: a broken value is the check's matter. */
static int call_for(const json_t *value, int (*fn)(const char *url, void *userdata), void *userdata)
{
        return value_is_url(value) ? fn(json_string_value(value), userdata) : 0;
}

int task_params_each_attachment(const TaskType *type, const json_t *params,
                int (*fn)(const char *url, void *userdata), void *userdata)
{
        size_t left = TASK_ATTACHMENTS_MAX;
        int r;

        if (streq_ptr(json_string_value(member_get(params, "attachment_type")), "text"))
                return 0;

        for (const Field *field = type->params; field->name; field++) {
                const json_t *value = member_get(params, field->name);
                const size_t n = json_is_array(value) ? json_array_size(value) : 1;

                if (!is_attachment(field) || !value)
                        continue;
                for (size_t i = 0; i < n && left > 0; i++, left--) {
                        r = call_for(json_is_array(value) ? json_array_get(value, i) : value, fn, userdata);
                        if (r != 0)
                                return r;
                }
        }
        return 0;
}

int task_make_response(const TaskType *type, const json_t *params, uint64_t n, json_t **ret)
{
        return type->make_response(params, n, ret);
}

uint64_t task_urgency_usec(const char *urgency)
{
        static const struct {
                const char *urgency;
                uint64_t usec;
        } promises[] = {
                { "immediate", USEC_PER_HOUR },
                { "day", USEC_PER_DAY },
                { "week", 7 * USEC_PER_DAY },
        };

        FOREACH_ARRAY(p, promises, ELEMENTSOF(promises))
                if (streq_ptr(p->urgency, urgency))
                        return p->usec;
        return 7 * USEC_PER_DAY;
}
