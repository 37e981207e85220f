#pragma once

/* Rows: the tables of parameters, as what works on parameters walks them. */

#include "task/type.h"

#define ROWS_TABLES 2U

/* One or two tables, looked at one after the other; NULL: none. */
typedef struct Rows {
        const Field *tables[ROWS_TABLES];
} Rows;

/* The type's own rows, then those that all types share. */
Rows rows_of_type(const TaskType *type);

/* The row of this name, or NULL. */
const Field *rows_find(const Rows *rows, const char *name);

#define ROWS_FOREACH(f, rows)                                   \
        for (size_t _i_##f = 0; _i_##f < ROWS_TABLES; _i_##f++) \
                for (const Field *f = (rows)->tables[_i_##f]; f && f->name; f++)

/* What the row wants is a JSON array, an object. */
bool field_is_list(const Field *f);
bool field_is_object(const Field *f);

/* Clients send {} and [] for a container that they leave out. */
bool field_is_left_out(const Field *f, const json_t *value);
