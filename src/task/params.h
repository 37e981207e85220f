#pragma once

/* A task's parameters: from what a client sends to the task that the API makes of it. */

#include <jansson.h>

#include "basic/form.h"
#include "task/problem.h"
#include "task/type.h"

#define TASK_FORM_PAIRS_MAX    2048U /* pairs that a form may have: the size to split it with */
#define TASK_FORM_BRACKETS_MAX 8U    /* pairs of brackets in a name */
#define TASK_ATTACHMENTS_MAX   64U   /* attachments that are looked at */

/* Makes the object of parameters out of a form's decoded pairs, of the shape that the type's tables ask for:
 * `a=1&a=2`, `a[]=1`, `a[0]=1`, `a[k]=1`, `a[0][k]=1`, and `a[][k]=1` with a new element whenever k repeats.
 * Unknown parameters keep the shape in which they were written. Indexes only order a list, so that holes and
 * huge ones cost nothing. What contradicts itself, nests too deeply or is not UTF-8 becomes a problem that
 * names the parameter. Values are normalised, see below; whether they are right is for task_params_check().
 * A new reference, also when there are problems. 0, -ENOMEM. */
int task_params_from_form(
                const TaskType *type, const FormPair *pairs, size_t n, json_t **ret, Problems *problems);

/* Checks the names of parameters, and of the members of those that are lists of objects: one that is near to
 * a known one is an error, any other unknown one a warning. What has no value is left alone. */
void task_params_check_names(const TaskType *type, const json_t *params, Problems *problems);

/* All that is to be checked of what somebody wants to submit: names, what task_params_check() checks, and
 * that the member by which tasks are tied to submissions is left to the submitter. */
void task_params_check_submitted(const TaskType *type, const json_t *params, Problems *problems);

/* Takes out what means nothing (null, and {} and [] of optional containers) and makes numbers and booleans
 * of texts where the table says so, also within lists of objects. What can't be converted stays, for
 * task_params_check() to name. Doing it twice changes nothing. In place. 0, -ENOMEM. */
int task_params_normalise(const TaskType *type, json_t *params);

/* Fills in the defaults that the API fills in, where nothing was given. In place. 0, -ENOMEM. */
int task_params_add_defaults(const TaskType *type, json_t *params);

/* Calls fn for the URL of each attachment, at most TASK_ATTACHMENTS_MAX; texts are left out. Ends early with
 * what fn returns when that is not 0. */
int task_params_each_attachment(const TaskType *type, const json_t *params,
                int (*fn)(const char *url, void *userdata), void *userdata);

/* A pending task as the API answers it, members in its order: what the table marks with FIELD_IN_PARAMS and
 * what is unknown is in `params`. `created_at` in microseconds, written with milliseconds. A new reference
 * that shares nothing with `params`. 0, -ENOMEM. */
int task_object_new(const TaskType *type, const json_t *params, const char *task_id, int64_t created_at,
                bool is_test, json_t **ret);

/* A made-up response as test mode gives, which the type's rules take without a warning. `n` chooses where
 * there is a choice; the same `n` chooses the same. `params` as requested or as the task has them. A new
 * reference. 0, -ENOMEM, -EINVAL for parameters that task_params_check() refuses. */
int task_make_response(const TaskType *type, const json_t *params, uint64_t n, json_t **ret);

/* How long a response takes at most, in microseconds, by what the API promises; a week where it is not
 * known (or NULL). */
uint64_t task_urgency_usec(const char *urgency) _pure_;
