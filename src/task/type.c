/* The list of types, and what they have in common. A type is a file; its rules stand nowhere else. */

#include "task/type.h"

#include "basic/guess.h"

static const char *const task_status_table[_TASK_STATUS_MAX] = {
        [TASK_PENDING] = "pending",
        [TASK_COMPLETED] = "completed",
        [TASK_CANCELED] = "canceled",
        [TASK_ERROR] = "error",
};

DEFINE_STRING_TABLE(task_status, TaskStatus, _TASK_STATUS_MAX)

#define DECLARE(name) extern const TaskType task_type_##name;
TASK_TYPES(DECLARE)

#define ADDRESS(name) &task_type_##name,
const TaskType *const task_types[] = { TASK_TYPES(ADDRESS) NULL };

static bool has_alias(const TaskType *t, const char *name)
{
        for (const char *const *a = t->aliases; a && *a; a++)
                if (streq(*a, name))
                        return true;
        return false;
}

const TaskType *task_type_find(const char *name)
{
        for (const TaskType *const *t = task_types; *t; t++)
                if (streq((*t)->name, name) || has_alias(*t, name))
                        return *t;
        return NULL;
}

const char *task_type_guess(const char *name)
{
        Guess guess = GUESS(name);

        for (const TaskType *const *t = task_types; *t; t++) {
                guess_try(&guess, (*t)->name);
                for (const char *const *a = (*t)->aliases; a && *a; a++)
                        guess_try(&guess, *a);
        }
        return guess.meant;
}

/* What is asked of rows in more than one place, so that each is answered once. */

Rows rows_of_type(const TaskType *type)
{
        return (Rows){ { type->params, task_common_params } };
}

const Field *rows_find(const Rows *rows, const char *name)
{
        ROWS_FOREACH(f, rows)
                if (streq(f->name, name))
                        return f;
        return NULL;
}

bool field_is_list(const Field *field)
{
        return field->kind == FIELD_TEXTS || field->kind == FIELD_OBJECTS ||
               field->kind == FIELD_ATTACHMENTS;
}

bool field_is_object(const Field *field)
{
        return field->kind == FIELD_OBJECT || field->kind == FIELD_DICTIONARY;
}

bool field_is_left_out(const Field *field, const json_t *value)
{
        if (field->flags & FIELD_REQUIRED || (!field_is_list(field) && !field_is_object(field)))
                return false;

        return (json_is_array(value) && json_array_size(value) == 0) ||
               (json_is_object(value) && json_object_size(value) == 0);
}
