/*
 * From bytes to what they say. Two questions are kept apart: whether the body is JSON of the kind that can
 * be talked about (400), and whether what it says fits the task (422). What can be read is read in either
 * case, so that a body in the quarantine still says which task it was about.
 *
 * Everything that walks a value recurses, so depth is bounded before anything is parsed, by a scan that
 * needs no stack.
 */

#include "task/callback.h"

#include "basic/time-util.h"
#include "task/check.h"
#include "task/problem.h"
#include "task/value.h"
#include "json/encode.h"
#include "json/parse.h"

/* Parsing. */

#define VALUE_SIZE \
        100U /* bytes that a value takes once it is parsed: 32 for a number, a list or an object several */

static int refuse(Callback *callback, const char *format, ...) _printf_(2, 3);

static int refuse(Callback *callback, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        problems_addv(&callback->problems, SEVERITY_ERROR, "", format, ap);
        va_end(ap);
        return CALLBACK_NOT_JSON;
}

/* How deep brackets nest, and how many values there are at most, outside of texts. What is no JSON may give
 * any number: the parser refuses it then. */
static void measure(const char *p, size_t size, unsigned *ret_depth, size_t *ret_values)
{
        unsigned depth = 0, deepest = 0;
        bool in_text = false;
        size_t values = 1;

        for (size_t i = 0; i < size; i++) {
                if (in_text) {
                        if (p[i] == '\\')
                                i++;
                        else if (p[i] == '"')
                                in_text = false;
                        continue;
                }
                if (p[i] == '"')
                        in_text = true;
                else if (p[i] == ',')
                        values++;
                else if (p[i] == '{' || p[i] == '[') {
                        values++; /* its first */
                        depth++;
                        deepest = MAX(deepest, depth);
                } else if ((p[i] == '}' || p[i] == ']') && depth > 0)
                        depth--;
        }
        *ret_depth = deepest;
        *ret_values = values;
}

size_t callback_weight(const void *body, size_t size)
{
        size_t values;
        unsigned depth;

        measure(body, size, &depth, &values);
        /* What is refused for it is not parsed. */
        if (depth > CALLBACK_DEPTH_MAX || values > CALLBACK_VALUES_MAX)
                return 0;
        return values * VALUE_SIZE + size;
}

int callback_check_bounds(const void *text, size_t size, Problems *problems)
{
        size_t values;
        unsigned depth;

        measure(text, size, &depth, &values);
        if (depth > CALLBACK_DEPTH_MAX)
                problems_add(problems, SEVERITY_ERROR, "", "objects and lists are nested more than %u deep",
                                CALLBACK_DEPTH_MAX);
        else if (values > CALLBACK_VALUES_MAX)
                problems_add(problems, SEVERITY_ERROR, "", "there are more than %u values",
                                CALLBACK_VALUES_MAX);
        else
                return 0;
        return CALLBACK_NOT_JSON;
}

/* Values are cut from an arena. 0, -EBADMSG, -ENOMEM. */
static int read_in_arena(Callback *callback, const void *body, size_t size)
{
        JsonFindings findings;
        int r;

        json_arena_enter(&callback->arena, size);
        r = json_read(body, size, CALLBACK_DEPTH_MAX, JSON_REJECT_DUPLICATES, &callback->root, &findings);
        json_arena_leave();
        if (r < 0)
                json_arena_done(&callback->arena, NULL);
        else
                problems_add_findings(&callback->problems, &findings, body);
        return r;
}

static int parse_json(Callback *callback, const void *body, size_t size)
{
        const bool can_be_many = size / 2 > CALLBACK_VALUES_MAX; /* each takes two bytes at least */
        json_error_t error;
        int r;

        if (size == 0)
                return refuse(callback, "the body is empty: expected a JSON object");
        r = can_be_many ? callback_check_bounds(body, size, &callback->problems) : 0;
        if (r != 0)
                return r;
        r = read_in_arena(callback, body, size);
        if (r == -EBADMSG && !can_be_many && callback_check_bounds(body, size, &callback->problems) != 0)
                return CALLBACK_NOT_JSON;
        if (r == -EBADMSG) /* to say why */
                r = json_parse(body, size, JSON_REJECT_DUPLICATES, &callback->root, &error);
        if (r == -EBADMSG)
                return refuse(callback, "not JSON, line %d, column %d: %s", error.line, error.column,
                                error.text);
        if (r < 0)
                return r;
        if (!json_is_object(callback->root)) {
                json_arena_done(&callback->arena, TAKE_PTR(callback->root));
                return refuse(callback, "expected a JSON object, got a list");
        }
        return 0;
}

/* A text that can stand in a log, a path and a column; NULL when it can't. */
static const char *plain_text(const json_t *value, size_t max)
{
        const char *text = json_string_value(value);
        size_t n = json_string_length(value);

        if (!text || n == 0 || n > max)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
                        return NULL;
        return text;
}

static int64_t time_of(const json_t *value)
{
        const char *text = json_string_value(value);
        int64_t t;

        return text && time_parse(text, &t) >= 0 ? t : TIME_NONE;
}

/* Ids begin with eight hex digits that are the second at which the task was created. */
static int64_t time_of_id(const char *id)
{
        char digits[9] = "";

        if (!id || strlen(id) != 24 || strspn(id, "0123456789abcdef") != 24)
                return TIME_NONE;
        memcpy(digits, id, 8);
        return (int64_t)strtoul(digits, NULL, 16) * 1000000;
}

static void read_task(Callback *callback, const json_t *task)
{
        const char *status = json_string_value(member_get(task, "status"));

        callback->task = task;
        callback->type = plain_text(member_get(task, "type"), CALLBACK_TYPE_MAX);
        callback->is_test = json_is_true(member_get(task, "is_test"));
        callback->created_at = time_of(member_get(task, "created_at"));
        callback->completed_at = time_of(member_get(task, "completed_at"));
        if (status && (int)task_status_from_string(status) >= 0)
                callback->status = task_status_from_string(status);
}

/* Both forms: bare, and as a response in a full envelope. */
static const json_t *failed_attachments(const Callback *callback)
{
        const json_t *response = member_get(callback->root, "response");

        if (member_get(response, "error") && member_get(response, "attachments"))
                return member_get(response, "attachments");
        if (!response && member_get(callback->root, "error"))
                return member_get(callback->root, "attachments");
        return NULL;
}

static const Field *response_fields(const Callback *callback)
{
        const TaskType *type = callback->type ? task_type_find(callback->type) : NULL;

        return type ? type->response : NULL;
}

/* Whether a response of this type may say itself what went wrong: it is one then. */
static bool may_fail(const Callback *callback)
{
        for (const Field *field = response_fields(callback); field && field->name; field++)
                if (streq(field->name, "error"))
                        return true;
        return false;
}

static void read_envelope(Callback *callback)
{
        const json_t *task = member_get(callback->root, "task");

        callback->status = TASK_COMPLETED;
        callback->created_at = callback->completed_at = TIME_NONE;
        callback->task_id = plain_text(member_get(callback->root, "task_id"), CALLBACK_ID_MAX);
        if (json_is_object(task))
                read_task(callback, task);
        if (json_is_object(member_get(callback->root, "response")))
                callback->response = member_get(callback->root, "response");
        if (callback->created_at == TIME_NONE)
                callback->created_at = time_of_id(callback->task_id);

        callback->attachments = failed_attachments(callback);
        if (callback->attachments ||
                        (callback->status == TASK_ERROR && callback->response && !may_fail(callback))) {
                callback->kind = CALLBACK_ATTACHMENT_FAILURE;
                callback->status = TASK_ERROR;
        }
}

int callback_parse(const void *body, size_t size, Callback **ret)
{
        _cleanup_(callback_freep) Callback *callback = NULL;
        int r;

        callback = calloc(1, sizeof(Callback));
        if (!callback)
                return -ENOMEM;

        r = parse_json(callback, body, size);
        if (r < 0)
                return r;
        if (r == 0)
                read_envelope(callback);
        else
                callback->created_at = callback->completed_at = TIME_NONE;

        *ret = TAKE_PTR(callback);
        return r;
}

Callback *callback_free(Callback *callback)
{
        if (!callback)
                return NULL;

        problems_done(&callback->problems);
        json_arena_done(&callback->arena, callback->root);
        free(callback);
        return NULL;
}

bool callback_needs_stored_task(const Callback *callback)
{
        return callback->root && callback->task_id && !member_get(callback->root, "task");
}

/* Checking. */

static void problem(Callback *callback, Severity severity, const char *path, const char *format, ...)
                _printf_(4, 5);

static void problem(Callback *callback, Severity severity, const char *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        problems_addv(&callback->problems, severity, path, format, ap);
        va_end(ap);
}

static void check_id(Callback *callback)
{
        const json_t *id = member_get(callback->root, "task_id");

        if (!id)
                problem(callback, SEVERITY_ERROR, "task_id", "is missing: the id of the task");
        else if (!callback->task_id)
                problem(callback, SEVERITY_ERROR, "task_id",
                                "expected a text of up to %u bytes without control characters, that is "
                                "not empty",
                                CALLBACK_ID_MAX);
}

/* Whether the task has the same response as the envelope, but perhaps for a null that means nothing. */
static bool has_response(Callback *callback, const json_t *response)
{
        uint8_t ours[CALLBACK_DIGEST_SIZE], its[CALLBACK_DIGEST_SIZE];
        const Field *fields = response_fields(callback);

        if (value_equal(response, callback->response))
                return true;
        if (response_digest(callback->response, fields, ours) < 0 ||
                        response_digest(response, fields, its) < 0) {
                callback->problems.failed = true;
                return true;
        }
        return memcmp(ours, its, sizeof(ours)) == 0;
}

/* The task as the API told it, where the body has one. */
static void check_task(Callback *callback)
{
        const json_t *type = member_get(callback->task, "type"), *id = member_get(callback->task, "task_id");
        const json_t *response = member_get(callback->task, "response"),
                     *completed = member_get(callback->task, "completed_at");
        const json_t *status = member_get(callback->task, "status");

        if (!callback->type)
                problem(callback, SEVERITY_ERROR, "task.type",
                                type ? "expected a text of up to %u bytes"
                                     : "is missing: the type of the task, up to %u bytes",
                                CALLBACK_TYPE_MAX);
        if (callback->task_id && (!id || !json_equal(id, member_get(callback->root, "task_id"))))
                problem(callback, SEVERITY_ERROR, "task.task_id", "is not the same as task_id");
        if (response && callback->response && !has_response(callback, response))
                problem(callback, SEVERITY_ERROR, "task.response", "is not the same as response");
        if (completed && callback->completed_at == TIME_NONE)
                problem(callback, SEVERITY_WARNING, "task.completed_at",
                                "can't be read as a time in ISO 8601");
        if (status && (int)task_status_from_string(json_string_value(status)) < 0)
                problem(callback, SEVERITY_WARNING, "task.status",
                                "expected one of pending, completed, canceled, error");
}

/* Where the rules of this callback's task come from. False: there is nothing to go by. */
static bool find_task(Callback *callback, const json_t *stored)
{
        const json_t *task = member_get(callback->root, "task");

        if (task && !json_is_object(task)) {
                problem(callback, SEVERITY_ERROR, "task", "expected an object: the task");
                return false;
        }
        if (task) {
                check_task(callback);
                return true;
        }
        if (!stored) {
                problem(callback, SEVERITY_ERROR, "task", "is missing, and no task of this id is stored");
                return false;
        }
        read_task(callback, stored);
        callback->status = TASK_COMPLETED;
        callback->completed_at = TIME_NONE; /* that of the response before */
        return true;
}

static void check_response(Callback *callback)
{
        const TaskType *type = callback->type ? task_type_find(callback->type) : NULL;
        const json_t *params = member_get(callback->task, "params");

        if (!callback->response) {
                problem(callback, SEVERITY_ERROR, "response",
                                member_get(callback->root, "response") ? "expected an object"
                                                                       : "is missing");
                return;
        }
        if (!type) {
                callback->unchecked = callback->type;
                return;
        }
        if (!json_is_object(params))
                params = NULL;
        fields_check(type->response, callback->response, "response", params, &callback->problems);
        type->check_response(params, callback->response, &callback->problems);
}

static const Field failed_attachment[] = {
        { "url", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY, .describe = "the attachment's URL" },
        { "statusCode", FIELD_INTEGER, FIELD_LENIENT | FIELD_AS_TEXT,
                        .describe = "what came instead of it" },
        {},
};

static const Field failure[] = {
        { "error", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY, .describe = "what went wrong" },
        { "attachments", FIELD_OBJECTS, .members = failed_attachment,
                        .describe = "those that could not be fetched" },
        {},
};

static void check_failure(Callback *callback)
{
        bool bare = !member_get(callback->root, "response");

        if (bare)
                fields_check(failure, callback->root, "", NULL, &callback->problems);
        else
                fields_check(failure, callback->response ?: callback->root, "response", NULL,
                                &callback->problems);

        if (!bare || member_get(callback->root, "task_id"))
                check_id(callback);
        if (callback->task)
                check_task(callback);
}

/* A task that has said all that there is to say without a response. */
static bool is_snapshot(const Callback *callback)
{
        const char *status = json_string_value(member_get(callback->task, "status"));
        const TaskStatus s = task_status_from_string(status);

        return (s == TASK_PENDING || s == TASK_CANCELED || s == TASK_ERROR) &&
               !member_get(callback->root, "response") && !member_get(callback->task, "response");
}

static void check_snapshot(Callback *callback)
{
        check_id(callback);
        check_task(callback);
        callback->unchecked = callback->type && !task_type_find(callback->type);
}

static void check_result(Callback *callback, const json_t *stored)
{
        check_id(callback);
        if (find_task(callback, stored) || !callback->response)
                check_response(callback);
}

int callback_check(Callback *callback, const json_t *stored, unsigned flags)
{
        assert(callback->root);

        if (flags & CALLBACK_ALLOW_SNAPSHOT && callback->kind == CALLBACK_RESPONSE && is_snapshot(callback))
                callback->kind = CALLBACK_SNAPSHOT;

        if (callback->kind == CALLBACK_ATTACHMENT_FAILURE)
                check_failure(callback);
        else if (callback->kind == CALLBACK_SNAPSHOT)
                check_snapshot(callback);
        else
                check_result(callback, stored);

        if (flags & CALLBACK_STRICT)
                problems_escalate(&callback->problems);
        if (callback->problems.failed)
                return -ENOMEM;
        if (callback->problems.n_errors > 0)
                return CALLBACK_INVALID;

        if (callback->status == TASK_PENDING && callback->kind != CALLBACK_SNAPSHOT &&
                        !(flags & CALLBACK_ALLOW_SNAPSHOT))
                callback->status = TASK_COMPLETED; /* it has a response; when it is asked, the API may have
                                               recalled it */
        if (callback->response)
                return response_digest(callback->response, response_fields(callback), callback->digest);
        return json_digest(callback->kind == CALLBACK_SNAPSHOT ? callback->task : callback->root,
                        callback->digest);
}

int callback_body_from_task(const json_t *task, Buffer *out)
{
        static const char *const members[] = { "task_id", "response" };
        json_auto_t *body = json_object();

        if (!body)
                return -ENOMEM;
        FOREACH_ARRAY(m, members, ELEMENTSOF(members)) {
                json_t *value = member_get(task, *m);

                if (value && json_object_set(body, *m, value) < 0)
                        return -ENOMEM;
        }
        if (json_object_set(body, "task", (json_t *)(uintptr_t)task) < 0)
                return -ENOMEM;

        return json_encode(body, out);
}
