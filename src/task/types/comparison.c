/* comparison: somebody compares attachments, by choosing, by describing, or both. */

#include "task/check.h"
#include "task/problem.h"
#include "task/rules.h"

static const Field params[] = {
        { "instruction", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY,
                        .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .values = rules_attachment_types, .describe = "what the attachments are" },
        { "attachments", FIELD_ATTACHMENTS, FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_IN_PARAMS,
                        .describe = "URLs, or the texts themselves" },
        { "fields", FIELD_DICTIONARY, FIELD_IN_PARAMS,
                        .describe = "what to describe: keys, and what each means" },
        { "choices", FIELD_TEXTS, FIELD_IN_PARAMS, .describe = "what to choose from" },
        {},
};

static const Field response[] = {
        { "choice", FIELD_STRING, .one_of_param = "choices", .describe = "what was chosen" },
        { "fields", FIELD_OBJECT, .describe = "what was described" },
        {},
};

static const Path root = { .name = "response" };

static void check_response(const json_t *task, const json_t *r, Problems *problems)
{
        static const struct {
                const char *member, *param;
        } pairs[] = {
                { "choice", "choices" },
                { "fields", "fields" },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (rules_is_given(task, pairs[i].param) && !member_get(r, pairs[i].member))
                        path_problem(problems, SEVERITY_ERROR, &root, pairs[i].member,
                                        "is missing: the task asked for %s", pairs[i].param);
        if (!member_get(r, "choice") && !member_get(r, "fields") && problems->n_errors == 0)
                path_problem(problems, SEVERITY_ERROR, &root, NULL, "expected choice, fields or both");
        rules_check_fields(task, r, problems);
}

/* What is there and of the wrong kind is a problem of its own. */
static bool is_left_out(const json_t *p, const char *name)
{
        const json_t *value = member_get(p, name);

        return !value || (json_is_array(value) && json_array_size(value) == 0) ||
               (json_is_object(value) && json_object_size(value) == 0);
}

static void check_params(const json_t *p, Problems *problems)
{
        const Path at = { .name = "choices" };

        if (is_left_out(p, "choices") && is_left_out(p, "fields"))
                path_problem(problems, SEVERITY_ERROR, &at, NULL, "expected choices, fields or both");
}

static int make_response(const json_t *p, uint64_t n, json_t **ret)
{
        const json_t *choices = member_get(p, "choices");
        json_auto_t *made = json_object();

        if (!made)
                return -ENOMEM;
        if (json_array_size(choices) > 0 &&
                        json_object_set(made, "choice",
                                        json_array_get(choices, n % json_array_size(choices))) < 0)
                return -ENOMEM;
        if (rules_is_given(p, "fields") && json_object_set_new(made, "fields", rules_make_fields(p)) < 0)
                return -ENOMEM;
        if (json_object_size(made) == 0)
                return -EINVAL;

        *ret = TAKE_PTR(made);
        return 0;
}

const TaskType task_type_comparison = {
        .name = "comparison",
        .params = params,
        .response = response,
        .check_response = check_response,
        .check_params = check_params,
        .make_response = make_response,
        .example_instruction = "Do the objects in these images have the same pattern?",
        .example_params = "{\"attachment_type\":\"image\",\"attachments\":[\"http://www.example.com/1.jpg\","
                          "\"http://www.example.com/2.jpg\"],\"choices\":[\"yes\",\"no\"],"
                          "\"fields\":{\"difference\":\"What differs\"}}",
        .example_response =
                        "{\"choice\":\"yes\",\"fields\":{\"difference\":\"The patterns are identical.\"}}",
};
