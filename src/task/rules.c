/* Rules that several types share, so that each is written once. */

#include "task/rules.h"

#include "task/check.h"
#include "task/problem.h"
#include "task/value.h"

const char *const rules_attachment_types[] = { "text", "image", "video", "audio", "website", "pdf", NULL };
static const char *const urgencies[] = { "immediate", "day", "week", NULL };

const Field task_common_params[] = {
        { "callback_url", FIELD_URL, .describe = "where the result is sent" },
        { "urgency", FIELD_STRING, .values = urgencies, .default_value = "\"day\"",
                        .describe = "how soon the response is needed" },
        { "metadata", FIELD_OBJECT, .default_value = "{}", .describe = "keys and values of your own" },
        {},
};

bool rules_is_given(const json_t *params, const char *name)
{
        const json_t *value = member_get(params, name);

        return json_array_size(value) > 0 || json_object_size(value) > 0;
}

void rules_check_fields(const json_t *params, const json_t *response, Problems *problems)
{
        json_t *asked = member_get(params, "fields"), *fields = member_get(response, "fields"), *value;
        const Path root = { .name = "response" }, at = { .up = &root, .name = "fields" };
        char quote[PROBLEM_QUOTE_SIZE];
        MemberWalk given = member_walk(fields), wanted = member_walk(asked);
        const char *name;

        if (!json_is_object(fields))
                return;

        json_object_foreach(asked, name, value)
                if (!member_walk_get(&given, name))
                        path_problem(problems, SEVERITY_WARNING, &at, name, "was asked for and is missing");

        json_object_foreach(fields, name, value) {
                if (!member_walk_get(&wanted, name))
                        path_problem(problems, SEVERITY_WARNING, &at, name, "was not asked for");
                if (!json_is_string(value))
                        path_problem(problems, SEVERITY_WARNING, &at, name, "expected a text, got %s",
                                        problems_quote(problems, SEVERITY_WARNING, value, quote));
        }
}

json_t *rules_make_fields(const json_t *params)
{
        json_t *asked = member_get(params, "fields"), *value;
        json_auto_t *fields = json_object();
        const char *name;

        json_object_foreach(asked, name, value)
                if (json_object_set_new_nocheck(fields, name, json_string("test response")) < 0)
                        return NULL;
        return TAKE_PTR(fields);
}

int rules_make_fields_response(const json_t *params, _unused_ uint64_t n, json_t **ret)
{
        json_t *response;

        if (!json_is_object(member_get(params, "fields")))
                return -EINVAL;
        response = json_pack("{s:o}", "fields", rules_make_fields(params));
        if (!response)
                return -ENOMEM;

        *ret = response;
        return 0;
}
