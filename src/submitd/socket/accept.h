#pragma once

/* A request for a task: from a body to checked parameters. No I/O. */

#include <jansson.h>

#include "task/problem.h"
#include "task/type.h"

/* How a body is written. */
typedef enum BodyKind {
        BODY_GUESS, /* no Content-Type: JSON where it begins with a brace, else a form */
        BODY_JSON,
        BODY_FORM,
        _BODY_KIND_MAX,
        _BODY_KIND_ERRNO = -EINVAL, /* neither */
} BodyKind;

/* By Content-Type; NULL: there is none. */
BodyKind body_kind_of(const char *content_type);

/* Outcomes that the caller must handle. */
enum {
        ACCEPT_UNREADABLE = 1, /* what is wrong with it as a whole is the only problem */
        ACCEPT_INVALID = 2,    /* the problems name every parameter */
};

/* Reads, normalises and checks. `callback_url`: what the task will get in place of its own, NULL: nothing.
 * *ret is a new reference, set for 0 alone; warnings may stand in `problems` then. 0, ACCEPT_UNREADABLE,
 * ACCEPT_INVALID, -ENOMEM. */
int accept_parse(const TaskType *type, BodyKind kind, const void *body, size_t size,
                const char *callback_url, json_t **ret, Problems *problems);

/* Whether it can be an Idempotency-Key: 1 to 255 visible ASCII characters. */
bool accept_key_is_valid(const char *key) _pure_;
