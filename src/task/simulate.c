/*
 * Made-up callbacks. Each type brings an example of a task and of a response that fits it; what is put
 * around them is what Scale puts around real ones. They are marked as tests.
 */

#include "task/simulate.h"

#include <sodium.h>
#include <stdio.h>

#include "basic/time-util.h"

const char *simulate_task_id(int64_t now, char buf[static TASK_ID_SIZE])
{
        uint8_t random[8];
        char digits[sizeof(random) * 2 + 1];

        randombytes_buf(random, sizeof(random));
        sodium_bin2hex(digits, sizeof(digits), random, sizeof(random));
        snprintf(buf, TASK_ID_SIZE, "%08x%s", (unsigned)((uint64_t)now / 1000000), digits);
        return buf;
}

static int simulate_failure(json_t **ret)
{
        *ret = json_pack("{s:s, s:[{s:i, s:s}]}", "error",
                        "One or more attachments could not be downloaded.", "attachments", "statusCode", 500,
                        "url", "http://www.example.com/attachment.png");
        return *ret ? 0 : -ENOMEM;
}

/* The task with its response. The examples are the program's own, so they can be parsed. */
static json_t *make_task(const TaskType *type, const char *task_id, const char *now)
{
        json_t *params = json_loads(type->example_params, 0, NULL);
        json_t *response = json_loads(type->example_response, 0, NULL);

        /* Takes both, also when it fails. */
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:{}}", "task_id", task_id,
                        "completed_at", now, "created_at", now, "callback_url",
                        "http://www.example.com/callback", "type", type->name, "status", "completed",
                        "instruction", type->example_instruction, "urgency", "day", "params", params,
                        "response", response, "is_test", true, "metadata");
}

int simulate_callback(const char *type, const char *task_id, int64_t now, json_t **ret)
{
        const TaskType *t = task_type_find(type);
        char time[TIME_STAMP_SIZE];
        json_t *task;

        if (streq(type, "attachment_failure"))
                return simulate_failure(ret);
        if (!t)
                return -ENOENT;

        task = make_task(t, task_id, time_format(now - now % 1000, time));
        *ret = task ? json_pack("{s:O, s:s, s:o}", "response", json_object_get(task, "response"), "task_id",
                                      task_id, "task", task)
                    : NULL;
        return *ret ? 0 : -ENOMEM;
}
