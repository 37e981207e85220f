#pragma once

/* The task as the API shows it, put together from what is stored. */

#include <jansson.h>

#include "task/type.h"

/* What the store knows of a task. Bodies are callback bodies (members `task`, `response`, `task_id`). */
typedef struct TaskDocument {
        const char *task_id;
        const char *type;
        TaskStatus status;
        int64_t created_at, completed_at; /* TIME_NONE where unknown */
        bool is_test;
        const void *document; /* the body whose `task` is the newest; NULL: none ever had one */
        size_t document_size;
        const void *response; /* the body whose `response` is the current one, or that of a failed
                               * attachment, which may be bare; NULL: none yet */
        size_t response_size;
} TaskDocument;

/* A new reference to the task object with members in the API's order: `task` of the document, its
 * `response`, `status` and `completed_at` replaced by the current ones. Where no body had a `task`, an
 * object of what is known. 0, -ENOMEM, -EBADMSG when a stored body can't be parsed. */
int task_document_to_json(const TaskDocument *document, json_t **ret);

/* A new reference to the `response` of a callback body, {"error", "attachments"} for a bare failure. 0,
 * -ENOMEM, -EBADMSG, -ENOENT when it has none. */
int task_response_of_body(const void *body, size_t size, json_t **ret);
