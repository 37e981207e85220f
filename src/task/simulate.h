#pragma once

/* Made-up tasks and fitting responses, as test mode answers: for trying an installation. */

#include <jansson.h>

#include "task/type.h"

/* A new reference to a whole callback body for a made-up completed task of `type` with this id, created and
 * completed at `now`, that callback_check() takes without a warning. `attachment_failure` as the type's name
 * gives the body that Scale sends when it can't fetch an attachment (task_id is not used). 0, -ENOENT for a
 * type that is not known, -ENOMEM. */
int simulate_callback(const char *type, const char *task_id, int64_t now, json_t **ret);

/* 24 hex digits, the first 8 of them the time. Random digits from libsodium. Returns buf. */
#define TASK_ID_SIZE 25U
const char *simulate_task_id(int64_t now, char buf[static TASK_ID_SIZE]);
