#pragma once

/* Rules that several types share. */

#include "task/type.h"

/* `fields` of a response against the ones that the task asked for: a missing or extra key and a value that
 * is no text are warnings. That it is an object is the row's matter. */
void rules_check_fields(const json_t *params, const json_t *response, Problems *problems);

/* Made-up `fields`: a text for each that was asked for. A new reference, also where none were. NULL without
 * memory. */
json_t *rules_make_fields(const json_t *params);

/* A made-up response that has nothing but them. 0, -ENOMEM, -EINVAL when none were asked for. */
int rules_make_fields_response(const json_t *params, uint64_t n, json_t **ret);

/* Whether a dictionary or a list was given at all: empty ones were not. */
bool rules_is_given(const json_t *params, const char *name);

/* The kinds of attachment, as the types' tables name them. */
extern const char *const rules_attachment_types[];
