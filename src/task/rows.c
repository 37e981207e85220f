/* What is asked of rows in more than one place, so that each is answered once. */

#include "task/rows.h"

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

bool field_is_list(const Field *f)
{
        return f->kind == FIELD_TEXTS || f->kind == FIELD_OBJECTS || f->kind == FIELD_ATTACHMENTS;
}

bool field_is_object(const Field *f)
{
        return f->kind == FIELD_OBJECT || f->kind == FIELD_DICTIONARY;
}

bool field_is_left_out(const Field *f, const json_t *value)
{
        if (f->flags & FIELD_REQUIRED || (!field_is_list(f) && !field_is_object(f)))
                return false;

        return (json_is_array(value) && json_array_size(value) == 0) ||
               (json_is_object(value) && json_object_size(value) == 0);
}
