/* categorization: somebody chooses a category for an attachment, or several. */

#include "task/check.h"
#include "task/problem.h"
#include "task/rules.h"
#include "task/text-set.h"

static const Field params[] = {
        { "instruction", FIELD_STRING, FIELD_REQUIRED | FIELD_NOT_EMPTY,
                        .describe = "what to do, in markdown" },
        { "attachment_type", FIELD_STRING, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .values = rules_attachment_types, .describe = "what the attachment is" },
        { "attachment", FIELD_ATTACHMENT, FIELD_REQUIRED | FIELD_IN_PARAMS,
                        .describe = "a URL, or the text itself" },
        { "categories", FIELD_TEXTS, FIELD_REQUIRED | FIELD_NOT_EMPTY | FIELD_IN_PARAMS,
                        .describe = "the list to choose from" },
        { "category_ids", FIELD_DICTIONARY, FIELD_IN_PARAMS,
                        .describe = "ids, and the category that each stands for" },
        { "allow_multiple", FIELD_BOOLEAN, FIELD_IN_PARAMS | FIELD_AS_TEXT, .default_value = "false",
                        .describe = "whether several categories may be chosen" },
        {},
};

static const Field response[] = {
        { "category", FIELD_ANY, FIELD_REQUIRED, .describe = "the category that was chosen" },
        { "category_id", FIELD_ANY, .describe = "its id" },
        {},
};

static const Path root = { .name = "response" };
static const Path category_path = { .up = &root, .name = "category" };
static const Path id_path = { .up = &root, .name = "category_id" };

/* One chosen category. */
static void check_category(bool is_known, const json_t *category, const Path *at, Problems *problems)
{
        char quote[PROBLEM_QUOTE_SIZE];

        if (!json_is_string(category))
                path_problem(problems, SEVERITY_ERROR, at, NULL, "expected a text, got %s",
                                problems_quote(problems, SEVERITY_ERROR, category, quote));
        else if (!is_known)
                path_problem(problems, SEVERITY_ERROR, at, NULL, "%s is not one of params.categories",
                                problems_quote(problems, SEVERITY_ERROR, category, quote));
}

static void check_categories(const json_t *categories, const json_t *chosen, Problems *problems)
{
        _cleanup_(text_set_done) TextSet known = {}, before = {};
        const json_t *category;
        size_t i;

        if (text_set_init_full(&known, categories) < 0 || text_set_init(&before, chosen) < 0) {
                problems->failed = true;
                return;
        }
        json_array_foreach((json_t *)(uintptr_t)chosen, i, category) {
                const Path at = { .up = &category_path, .index = i };

                check_category(!json_is_array(categories) || text_set_has(&known, category), category, &at,
                                problems);
                if (!text_set_add(&before, i) && json_is_string(category))
                        path_problem(problems, SEVERITY_ERROR, &at, NULL, "this category was chosen before");
        }
}

/* One id, which has to stand for the category that was chosen. */
static void check_id(const json_t *ids, const json_t *id, const json_t *category, const Path *at,
                Problems *problems)
{
        const json_t *meaning = json_is_string(id) ? json_object_get(ids, json_string_value(id)) : NULL;
        char quote[PROBLEM_QUOTE_SIZE];

        if (!json_is_string(id))
                path_problem(problems, SEVERITY_ERROR, at, NULL, "expected a text, got %s",
                                problems_quote(problems, SEVERITY_ERROR, id, quote));
        else if (!meaning)
                path_problem(problems, SEVERITY_ERROR, at, NULL, "%s is not one of params.category_ids",
                                problems_quote(problems, SEVERITY_ERROR, id, quote));
        else if (category && !json_equal(meaning, category))
                path_problem(problems, SEVERITY_ERROR, at, NULL,
                                "%s is the id of another category than the one chosen",
                                problems_quote(problems, SEVERITY_ERROR, id, quote));
}

static void check_ids(const json_t *ids, const json_t *given, const json_t *chosen, Problems *problems)
{
        const json_t *id;
        size_t i;

        if (!json_is_array(given)) {
                path_problem(problems, SEVERITY_ERROR, &id_path, NULL,
                                "expected a list with the id of each category, because allow_multiple was "
                                "set");
                return;
        }
        if (json_is_array(chosen) && json_array_size(chosen) != json_array_size(given))
                path_problem(problems, SEVERITY_ERROR, &id_path, NULL,
                                "expected one id for each of the %zu categories, got %zu",
                                json_array_size(chosen), json_array_size(given));
        json_array_foreach((json_t *)(uintptr_t)given, i, id) {
                const Path at = { .up = &id_path, .index = i };

                check_id(ids, id, json_array_get(chosen, i), &at, problems);
        }
}

static void check_response(const json_t *task, const json_t *r, Problems *problems)
{
        const json_t *categories = member_get(task, "categories"), *ids = member_get(task, "category_ids");
        const json_t *category = member_get(r, "category"), *id = member_get(r, "category_id");
        bool multiple = task_param_is_true(task, "allow_multiple");

        if (!json_is_array(categories))
                path_problem(problems, SEVERITY_WARNING, &category_path, NULL,
                                "can't be checked: the task has no list params.categories");
        if (category && multiple != json_is_array(category))
                path_problem(problems, SEVERITY_ERROR, &category_path, NULL,
                                multiple ? "expected a list of categories, because allow_multiple was set"
                                         : "expected a single category, because allow_multiple was not "
                                           "set");
        else if (category && multiple)
                check_categories(categories, category, problems);
        else if (category)
                check_category(!json_is_array(categories) || text_is_in(categories, category), category,
                                &category_path, problems);

        if (!rules_is_given(task, "category_ids")) {
                if (id)
                        path_problem(problems, SEVERITY_ERROR, &id_path, NULL,
                                        "the task gave no category_ids");
        } else if (!id)
                path_problem(problems, SEVERITY_ERROR, &id_path, NULL,
                                "is missing: the task gave category_ids");
        else if (multiple)
                check_ids(ids, id, category, problems);
        else
                check_id(ids, id, category, &id_path, problems);
}

/* Every id has to stand for one of the categories. */
static void check_params(const json_t *p, Problems *problems)
{
        json_t *categories = member_get(p, "categories"), *value;
        json_t *ids = member_get(p, "category_ids");
        _cleanup_(text_set_done) TextSet known = {};
        const Path at = { .name = "category_ids" };
        const char *id;

        if (!json_is_array(categories) || !json_is_object(ids))
                return;
        if (text_set_init_full(&known, categories) < 0) {
                problems->failed = true;
                return;
        }
        json_object_foreach(ids, id, value)
                if (json_is_string(value) && !text_set_has(&known, value))
                        path_problem(problems, SEVERITY_ERROR, &at, id, "stands for none of the categories");
}

/* The i-th that can be chosen: with ids only what has one. */
static int get_candidate(
                const json_t *categories, json_t *ids, size_t i, json_t **ret_category, json_t **ret_id)
{
        const char *id;
        json_t *value;

        if (!ids) {
                *ret_category = json_incref(json_array_get(categories, i));
                *ret_id = NULL;
                return 0;
        }
        json_object_foreach(ids, id, value)
                if (i-- == 0) {
                        *ret_id = json_string_nocheck(id);
                        *ret_category = json_incref(value);
                        return *ret_id ? 0 : -ENOMEM;
                }
        return -EINVAL;
}

/* Chooses one, or two where several may be chosen and `n` says so. */
static int choose(const json_t *p, uint64_t n, json_t *chosen, json_t *chosen_ids)
{
        const json_t *categories = member_get(p, "categories");
        json_t *ids = rules_is_given(p, "category_ids") ? member_get(p, "category_ids") : NULL;
        const size_t size = ids ? json_object_size(ids) : json_array_size(categories);
        const bool two = task_param_is_true(p, "allow_multiple") && size > 0 && n / size % 2 == 1;
        int r;

        if (size == 0)
                return -EINVAL;
        for (size_t i = 0; i < (two ? 2U : 1U); i++) {
                json_auto_t *category = NULL, *id = NULL;

                r = get_candidate(categories, ids, (n + i) % size, &category, &id);
                if (r < 0)
                        return r;
                if (text_is_in(chosen, category))
                        continue;
                if (json_array_append(chosen, category) < 0 || (id && json_array_append(chosen_ids, id) < 0))
                        return -ENOMEM;
        }
        return 0;
}

static int make_response(const json_t *p, uint64_t n, json_t **ret)
{
        json_auto_t *made = json_object(), *categories = json_array(), *ids = json_array();
        const bool multiple = task_param_is_true(p, "allow_multiple");
        int r;

        if (!made || !categories || !ids)
                return -ENOMEM;
        r = choose(p, n, categories, ids);
        if (r < 0)
                return r;
        if (json_object_set(made, "category", multiple ? categories : json_array_get(categories, 0)) < 0)
                return -ENOMEM;
        if (json_array_size(ids) > 0 &&
                        json_object_set(made, "category_id", multiple ? ids : json_array_get(ids, 0)) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(made);
        return 0;
}

const TaskType task_type_categorization = {
        .name = "categorization",
        .aliases = (const char *const[]){ "categorize", NULL },
        .params = params,
        .response = response,
        .check_response = check_response,
        .check_params = check_params,
        .make_response = make_response,
        .example_instruction = "Is this company public or private?",
        .example_params = "{\"attachment_type\":\"website\",\"attachment\":\"http://www.example.com/\","
                          "\"categories\":[\"public\",\"private\"],\"allow_multiple\":false}",
        .example_response = "{\"category\":\"public\"}",
};
