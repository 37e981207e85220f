/*
 * What clients write, turned into what they mean. Some send every number as a text, some send null or an
 * empty list for what they leave out, and a form has nothing but texts. The table says what a value is meant
 * to be, and only what can be taken for nothing else is converted: the rest stays as it came, so that the
 * check can show it to whoever sent it.
 */

#include "task/params.h"

#include "task/check.h"
#include "task/rows.h"
#include "task/value.h"
#include "json/read.h"

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

static int normalise_elements(const Field *f, json_t *array)
{
        const Rows rows = { { f->members } };
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

static int normalise_member(const Field *f, json_t *object, json_t *value)
{
        json_t *converted;

        if (field_is_left_out(f, value))
                return json_object_del(object, f->name) < 0 ? -ENOMEM : 0;
        if (f->members && json_is_array(value))
                return normalise_elements(f, value);
        if (f->flags & FIELD_AS_TEXT && json_is_string(value) && conversions[f->kind] &&
                        conversions[f->kind](value, &converted))
                return json_object_set_new(object, f->name, converted) < 0 ? -ENOMEM : 0;
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
