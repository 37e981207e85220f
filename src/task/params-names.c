/*
 * Names that no table has. The API takes whatever it is sent and keeps what it doesn't know, so a misspelt
 * urgency is a task of the usual urgency that costs money: a name that is near to one of the type's own is
 * refused. Any other is sent as it is, because the API may know more than these tables, and is warned of.
 *
 * A parameter of another type is none that was misspelt: some clients send the same set for every type.
 */

#include "basic/guess.h"
#include "task/check.h"
#include "task/path.h"
#include "task/rows.h"

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

static void check_elements(const Field *f, const json_t *list, Problems *problems)
{
        const Rows rows = { { f->members } };
        const Path top = { .name = f->name };
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
