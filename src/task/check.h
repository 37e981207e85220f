#pragma once

/* The walker: holds a JSON object against the rows of a table. */

#include "task/type.h"

/* Checks every row against `object` (which must be a JSON object); `path` is its path in the body, used as
 * the prefix of what is reported ("response" gives "response.category"). Members without a row are left
 * alone. `params` is the task's `params`, for rows that refer to it, or NULL when there are none.
 * A JSON null is an absent member. */
void fields_check(const Field *fields, const json_t *object, const char *path, const json_t *params,
                Problems *problems);

#define TASK_PARAM_DEPTH_MAX 32U /* arrays and objects within each other in one parameter */

/* Checks a task's own parameters: the rows that all types share, those of its type, and what rows can't say.
 * `params` is the object that a request holds; reported paths begin at its members. */
void task_params_check(const TaskType *type, const json_t *params, Problems *problems);

/* Whether a boolean parameter says yes, written as true or "true". */
bool task_param_is_true(const json_t *params, const char *name);

/* A parameter as a number, also when it is written as "30"; `otherwise` where there is none. */
double task_param_number(const json_t *params, const char *name, double otherwise);

/* The member, or NULL: a JSON null is an absent member. */
json_t *member_get(const json_t *object, const char *name);
