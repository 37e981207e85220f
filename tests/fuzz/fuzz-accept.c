/*
 * Any bytes as a request for a task: a type, a Content-Type, and a body, a line each for the first two. What
 * must hold: what is taken as a form is taken as JSON when it is written as that, and is the same task; what
 * is taken can be sent, and the callback that echoes it with a fitting response passes at the door; what is
 * refused says why.
 */

#include "fuzz.h"

#include <stdio.h>

#include "submitd/socket/accept.h"
#include "task/callback.h"
#include "task/check.h"
#include "task/params.h"
#include "task/value.h"
#include "json/encode.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)
#define ID       "576ba74eec471ff9b01557cc"

static int try_body(const TaskType *type, BodyKind kind, const void *body, size_t size, json_t **ret)
{
        Problems problems = {};
        json_t *list;
        int r;

        *ret = NULL;
        r = accept_parse(type, kind, body, size, "https://example.com/callback", ret, &problems);
        assert(r >= 0 && (r == 0) == (problems.n_errors == 0) && (r == 0) == (*ret != NULL));
        assert(r != ACCEPT_UNREADABLE || problems.n == 1);
        list = problems_to_json(&problems);
        assert(list);
        json_decref(list);
        problems_done(&problems);
        return r;
}

static void check_as_json(const TaskType *type, const json_t *params)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(TEXT_MAX);
        json_t *again;

        assert(json_encode(params, &text) == 0);
        assert(try_body(type, BODY_JSON, text.data, text.size, &again) == 0);
        assert(value_equal(params, again));
        json_decref(again);
        assert(try_body(type, BODY_GUESS, text.data, text.size, &again) == 0);
        assert(value_equal(params, again));
        json_decref(again);
}

/* The API makes a task of it, and calls back. */
static void check_callback(const TaskType *type, json_t *params, size_t seed)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(TEXT_MAX);
        json_auto_t *task = NULL, *response = NULL;
        Callback *c;
        int r;

        assert(task_params_add_defaults(type, params) == 0);
        assert(task_object_new(type, params, ID, INT64_C(1466672974752000), false, &task) == 0);
        assert(task_make_response(type, params, seed, &response) == 0);
        assert(json_object_set(task, "response", response) == 0);
        assert(json_object_set_new(task, "status", json_string("completed")) == 0);
        assert(callback_body_from_task(task, &body) == 0);
        assert(callback_parse(body.data, body.size, &c) == 0);
        r = callback_check(c, NULL, CALLBACK_STRICT);
        if (r != 0)
                fprintf(stderr, "%s\n%s: %s\n", buffer_text(&body), c->problems.items[0].path,
                                c->problems.items[0].message);
        assert(r == 0 && streq(c->task_id, ID) && streq(c->type, type->name) && !c->unchecked);
        callback_free(c);
}

static char *take_line(char **rest)
{
        char *line = *rest, *end = strchr(line, '\n');

        *rest = end ? end + 1 : line + strlen(line);
        if (end)
                *end = 0;
        return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = calloc(1, size + 1);
        char *rest = text, *name, *content_type;
        const TaskType *type;
        size_t body_size;
        BodyKind kind;
        json_t *params;

        assert(text);
        if (size > 0)
                memcpy(text, data, size);
        name = take_line(&rest);
        content_type = take_line(&rest);
        type = task_type_find(name);
        kind = body_kind_of(*content_type == '-' ? NULL : content_type);
        if (!type || (int)kind < 0)
                return 0;

        body_size = size - (size_t)(rest - text);
        if (try_body(type, kind, rest, body_size, &params) != 0)
                return 0;
        check_as_json(type, params);
        check_callback(type, params, body_size);
        json_decref(params);
        return 0;
}
