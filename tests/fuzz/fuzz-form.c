/*
 * Any form as a request for a task, of the type that the first byte chooses: split, decoded, normalised,
 * checked, and made into a task with a response. What begins with `{` is taken as JSON. What must hold:
 * normalising twice is as good as once, what passed the check still does with the defaults in it, and a
 * made-up response breaks no rule of its type, whether held against the request or against the task.
 */

#include <strings.h>

#include "fuzz.h"

#include "task/check.h"
#include "task/params.h"
#include "task/value.h"

static void check_problems(const Problems *problems)
{
        json_t *list = problems_to_json(problems);

        assert(list);
        assert(!problems->failed);
        json_decref(list);
}

static json_t *read_form(const TaskType *type, char *text)
{
        static FormPair pairs[TASK_FORM_PAIRS_MAX];
        Problems problems = {};
        json_t *params;
        size_t n;

        if (form_split(text, pairs, ELEMENTSOF(pairs), &n) < 0)
                return NULL;
        assert(task_params_from_form(type, pairs, n, &params, &problems) == 0);
        check_problems(&problems);
        problems_done(&problems);
        return params;
}

static json_t *read_json(const TaskType *type, const char *text)
{
        json_t *params = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

        if (params)
                assert(task_params_normalise(type, params) == 0);
        return params;
}

static bool passes(const TaskType *type, const json_t *params)
{
        Problems problems = {};
        bool good;

        task_params_check(type, params, &problems);
        check_problems(&problems);
        good = problems.n_errors == 0;
        problems_done(&problems);
        return good;
}

static void check_response(const TaskType *type, const json_t *params, const json_t *response)
{
        Problems problems = {};

        fields_check(type->response, response, "response", params, &problems);
        type->check_response(params, response, &problems);
        assert(problems.n == 0);
}

static int count(const char *url, void *userdata)
{
        assert(strncasecmp(url, "http", 4) == 0); /* of a scheme upper case says nothing */
        (*(size_t *)userdata)++;
        return 0;
}

static void try_task(const TaskType *type, json_t *params, size_t size)
{
        json_t *task, *response;
        size_t n = 0;

        assert(task_params_add_defaults(type, params) == 0);
        assert(passes(type, params));
        assert(task_object_new(type, params, "576ba74eec471ff9b01557cc", 0, true, &task) == 0);
        assert(json_is_object(json_object_get(task, "metadata")));
        assert(task_params_each_attachment(type, params, count, &n) == 0);
        assert(n <= TASK_ATTACHMENTS_MAX);

        for (uint64_t i = size; i < size + 4; i++) {
                assert(task_make_response(type, params, i, &response) == 0);
                check_response(type, params, response);
                check_response(type, json_object_get(task, "params"), response);
                json_decref(response);
        }
        json_decref(task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = NULL;
        json_t *params, *before, *response;
        const TaskType *type;
        size_t n_types = 0;

        while (task_types[n_types])
                n_types++;
        if (size == 0)
                return 0;
        type = task_types[data[0] % n_types];
        text = strndup((const char *)data + 1, size - 1);
        assert(text);

        params = *text == '{' ? read_json(type, text) : read_form(type, text);
        if (!params)
                return 0;

        before = value_copy(params);
        assert(task_params_normalise(type, params) == 0);
        assert(value_equal(before, params));
        json_decref(before);

        if (passes(type, params))
                try_task(type, params, size);
        else if (task_make_response(type, params, size, &response) == 0)
                json_decref(response);
        json_decref(params);
        return 0;
}
