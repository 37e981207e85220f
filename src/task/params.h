#pragma once

/* A task's parameters: from what a client sends to the task that the API makes of it. */

#include <jansson.h>

#include "basic/form.h"
#include "task/problem.h"
#include "task/type.h"

#define TASK_FORM_PAIRS_MAX    2048U /* pairs that a form may have: the size to split it with */
#define TASK_FORM_BRACKETS_MAX 8U    /* pairs of brackets in a name */

/* Makes the object of parameters out of a form's decoded pairs, of the shape that the type's tables ask for:
 * `a=1&a=2`, `a[]=1`, `a[0]=1`, `a[k]=1`, `a[0][k]=1`, and `a[][k]=1` with a new element whenever k repeats.
 * Unknown parameters keep the shape in which they were written. Indexes only order a list, so that holes and
 * huge ones cost nothing. What contradicts itself, nests too deeply or is not UTF-8 becomes a problem that
 * names the parameter. Values are normalised, see below; whether they are right is for task_params_check().
 * A new reference, also when there are problems. 0, -ENOMEM. */
int task_params_from_form(
                const TaskType *type, const FormPair *pairs, size_t n, json_t **ret, Problems *problems);

/* Takes out what means nothing (null, and {} and [] of optional containers) and makes numbers and booleans
 * of texts where the table says so, also within lists of objects. What can't be converted stays, for
 * task_params_check() to name. Doing it twice changes nothing. In place. 0, -ENOMEM. */
int task_params_normalise(const TaskType *type, json_t *params);

/* Fills in the defaults that the API fills in, where nothing was given. In place. 0, -ENOMEM. */
int task_params_add_defaults(const TaskType *type, json_t *params);
