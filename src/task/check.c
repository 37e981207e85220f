/*
 * The walker. Each row of a table says what one member must be; each kind of value has one function that
 * looks at it. Clients write numbers and booleans as texts, and null for what is absent, so that much is
 * accepted where the table allows it, and nothing more is guessed.
 */

#include "task/check.h"

#include <math.h>
#include <stdio.h>

#include "basic/time-util.h"
#include "task/problem.h"
#include "task/text-set.h"
#include "task/type.h"
#include "task/value.h"

#define LISTS_MAX 2U

/* One walk. */
typedef struct Check {
        const json_t *params;
        Problems *problems;
        /* The lists of the parameters that rows refer to, each made when it is first asked for. */
        struct {
                const char *param; /* NULL: not in use */
                bool is_list;
                TextSet texts;
        } lists[LISTS_MAX];
} Check;

/* What a look at one value needs. */
typedef struct Look {
        Check *check;
        const Field *field;
        const json_t *value;
        const json_t *siblings; /* the object that the value is a member of */
        const Path *at;
        Problems *problems;
} Look;

static Severity severity_of(const Field *field)
{
        return field->flags & FIELD_LENIENT ? SEVERITY_WARNING : SEVERITY_ERROR;
}

static void wrong(const Look *look, const char *wanted)
{
        char quote[PROBLEM_QUOTE_SIZE];

        path_problem(look->problems, severity_of(look->field), look->at, NULL, "expected %s, got %s", wanted,
                        problems_quote(look->problems, severity_of(look->field), look->value, quote));
}

json_t *member_get(const json_t *object, const char *name)
{
        json_t *value = json_object_get(object, name);

        return json_is_null(value) ? NULL : value;
}

/* Numbers and booleans, also as texts. */

bool task_param_is_true(const json_t *params, const char *name)
{
        bool b;

        return value_read_boolean(member_get(params, name), true, &b) && b;
}

double task_param_number(const json_t *params, const char *name, double otherwise)
{
        double d;

        return value_read_number(member_get(params, name), true, &d) ? d : otherwise;
}

static void look_range(const Look *look, double d)
{
        const Field *field = look->field;

        if (field->has_min && d < field->min)
                path_problem(look->problems, severity_of(field), look->at, NULL,
                                "expected at least %g, got %g", field->min, d);
        if (field->above_min && d <= field->min)
                path_problem(look->problems, severity_of(field), look->at, NULL,
                                "expected more than %g, got %g", field->min, d);
        if (field->has_max && d > field->max)
                path_problem(look->problems, severity_of(field), look->at, NULL,
                                "expected at most %g, got %g", field->max, d);
}

static void look_number(const Look *look)
{
        double d;

        if (!value_read_number(look->value, look->field->flags & FIELD_AS_TEXT, &d)) {
                wrong(look, json_is_number(look->value) ? "a number within those of a double" : "a number");
                return;
        }
        look_range(look, d);
}

static void look_integer(const Look *look)
{
        double d;

        if (!value_read_number(look->value, look->field->flags & FIELD_AS_TEXT, &d) || d < floor(d) ||
                        d > floor(d)) {
                wrong(look, "a whole number");
                return;
        }
        look_range(look, d);
}

static void look_boolean(const Look *look)
{
        bool b;

        if (!value_read_boolean(look->value, look->field->flags & FIELD_AS_TEXT, &b))
                wrong(look, "true or false");
}

/* Texts. */

/* A list for people: "a", "b", "c". */
static void list_values(const char *const *values, char *buf, size_t size)
{
        size_t n = 0;

        for (; *values && n < size; values++)
                n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? ", " : "", *values);
}

static void look_values(const Look *look)
{
        char list[256];

        for (const char *const *v = look->field->values; *v; v++)
                if (strlen(*v) == json_string_length(look->value) &&
                                streq(json_string_value(look->value), *v))
                        return;
        list_values(look->field->values, list, sizeof(list));
        path_problem(look->problems, severity_of(look->field), look->at, NULL, "expected one of %s", list);
}

/* The texts of a list of the parameters; NULL where there is no such list. */
static const TextSet *find_list(Check *check, const char *param)
{
        const json_t *array = member_get(check->params, param);
        size_t i = 0;

        while (check->lists[i].param && !streq(check->lists[i].param, param)) {
                i++;
                assert(i < LISTS_MAX);
        }
        if (!check->lists[i].param) {
                check->lists[i].param = param;
                check->lists[i].is_list = json_is_array(array);
                check->problems->failed |= text_set_init_full(&check->lists[i].texts, array) < 0;
        }
        return check->lists[i].is_list ? &check->lists[i].texts : NULL;
}

static void look_one_of_param(const Look *look)
{
        const char *param = look->field->one_of_param;
        const TextSet *allowed = find_list(look->check, param);
        char quote[PROBLEM_QUOTE_SIZE];

        if (!allowed)
                path_problem(look->problems, SEVERITY_WARNING, look->at, NULL,
                                "can't be checked: the task has no list params.%s", param);
        else if (!text_set_has(allowed, look->value))
                path_problem(look->problems, severity_of(look->field), look->at, NULL,
                                "%s is not one of params.%s",
                                problems_quote(look->problems, severity_of(look->field), look->value, quote),
                                param);
}

static void look_string(const Look *look)
{
        if (!json_is_string(look->value)) {
                wrong(look, "a text");
                return;
        }
        if (look->field->flags & FIELD_NOT_EMPTY && json_string_length(look->value) == 0)
                path_problem(look->problems, severity_of(look->field), look->at, NULL, "must not be empty");
        if (look->field->values)
                look_values(look);
        if (look->field->one_of_param)
                look_one_of_param(look);
}

static void look_name(const Look *look)
{
        const char *text = json_string_value(look->value);
        size_t n = json_string_length(look->value);

        if (!text || n == 0) {
                wrong(look, "a text that is not empty");
                return;
        }
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
                        wrong(look, "a text without control characters");
                        return;
                }
        if (look->field->has_max && (double)n > look->field->max)
                path_problem(look->problems, severity_of(look->field), look->at, NULL,
                                "must not be longer than %g bytes", look->field->max);
}

static void look_time(const Look *look)
{
        const char *text = json_string_value(look->value);
        int64_t t;

        if (!text || time_parse(text, &t) < 0)
                wrong(look, "a time in ISO 8601, like 2016-06-23T09:10:02.798Z");
}

static void look_url(const Look *look)
{
        if (!value_is_url(look->value))
                wrong(look, "a URL with http:// or https://");
}

/* A URL, unless the attachment is a text itself. */
static void look_attachment(const Look *look)
{
        const char *type = json_string_value(member_get(look->siblings, "attachment_type"));

        if (!json_is_string(look->value) || json_string_length(look->value) == 0)
                wrong(look, "an attachment as a URL or as text");
        else if (!streq_ptr(type, "text") && !value_is_url(look->value))
                wrong(look, "a URL with http:// or https://, because attachment_type is not text");
}

/* Containers. */

static void look_size(const Look *look, size_t n)
{
        if (look->field->flags & FIELD_NOT_EMPTY && n == 0)
                path_problem(look->problems, severity_of(look->field), look->at, NULL, "must not be empty");
        if (look->field->has_max && (double)n > look->field->max)
                path_problem(look->problems, severity_of(look->field), look->at, NULL,
                                "expected at most %g, got %zu", look->field->max, n);
}

/* Looks at each element of an array as `look_at` does at one value. */
static void look_each(const Look *look, const char *wanted, void (*look_at)(const Look *look))
{
        Look element = *look;
        json_t *value;
        size_t i;

        if (!json_is_array(look->value)) {
                wrong(look, wanted);
                return;
        }
        look_size(look, json_array_size(look->value));
        json_array_foreach((json_t *)(uintptr_t)look->value, i, value) {
                const Path at = { .up = look->at, .index = i };

                element.value = value;
                element.at = &at;
                look_at(&element);
        }
}

static void look_text_element(const Look *look)
{
        if (!json_is_string(look->value))
                wrong(look, "a text");
        else if (look->field->one_of_param)
                look_one_of_param(look);
}

static void look_texts(const Look *look)
{
        look_each(look, "a list of texts", look_text_element);
}

static void look_attachments(const Look *look)
{
        look_each(look, "a list of attachments", look_attachment);
}

static void check_rows(Check *check, const Field *fields, const json_t *object, const Path *at);

static void look_object_element(const Look *look)
{
        if (!json_is_object(look->value))
                wrong(look, "an object");
        else
                check_rows(look->check, look->field->members, look->value, look->at);
}

static void look_objects(const Look *look)
{
        look_each(look, "a list of objects", look_object_element);
}

static void look_object(const Look *look)
{
        if (!json_is_object(look->value))
                wrong(look, "an object");
        else
                look_size(look, json_object_size(look->value));
}

static void look_dictionary(const Look *look)
{
        const char *name;
        json_t *value;

        look_object(look);
        json_object_foreach((json_t *)(uintptr_t)look->value, name, value)
                if (!json_is_string(value))
                        path_problem(look->problems, severity_of(look->field), look->at, name,
                                        "expected a text");
}

static void look_any(_unused_ const Look *look)
{
}

static void (*const looks[_FIELD_KIND_MAX])(const Look *l) = {
        [FIELD_STRING] = look_string,
        [FIELD_NAME] = look_name,
        [FIELD_TIME] = look_time,
        [FIELD_TEXTS] = look_texts,
        [FIELD_BOOLEAN] = look_boolean,
        [FIELD_INTEGER] = look_integer,
        [FIELD_NUMBER] = look_number,
        [FIELD_OBJECT] = look_object,
        [FIELD_DICTIONARY] = look_dictionary,
        [FIELD_OBJECTS] = look_objects,
        [FIELD_ATTACHMENT] = look_attachment,
        [FIELD_ATTACHMENTS] = look_attachments,
        [FIELD_URL] = look_url,
        [FIELD_ANY] = look_any,
};

/* An empty container is no absent one in a response. */
static bool is_absent(const Field *field, const json_t *value)
{
        if (!value)
                return true;
        return field->flags & FIELD_IN_PARAMS && field_is_left_out(field, value);
}

static void check_rows(Check *check, const Field *fields, const json_t *object, const Path *at)
{
        for (const Field *field = fields; field->name; field++) {
                const Path path = { .up = at, .name = field->name };
                const json_t *value = member_get(object, field->name);

                if (is_absent(field, value)) {
                        if (field->flags & FIELD_REQUIRED)
                                path_problem(check->problems, severity_of(field), &path, NULL,
                                                "is missing: %s", field->describe);
                        continue;
                }
                looks[field->kind](&(Look){ check, field, value, object, &path, check->problems });
        }
}

void fields_check(const Field *fields, const json_t *object, const char *path, const json_t *params,
                Problems *problems)
{
        const Path at = { .name = path };
        Check c = { .params = params, .problems = problems };

        check_rows(&c, fields, object, &at);
        FOREACH_ARRAY(list, c.lists, LISTS_MAX)
                text_set_done(&list->texts);
}

/* Whether arrays and objects lie within each other deeper than that. */
static bool is_deeper(const json_t *value, unsigned depth)
{
        const char *name;
        json_t *member;
        size_t i;

        if (!json_is_array(value) && !json_is_object(value))
                return false;
        if (depth == 0)
                return true;

        json_array_foreach((json_t *)(uintptr_t)value, i, member)
                if (is_deeper(member, depth - 1))
                        return true;
        json_object_foreach((json_t *)(uintptr_t)value, name, member)
                if (is_deeper(member, depth - 1))
                        return true;
        return false;
}

/* Also the parameters that no row knows: a callback that echoes them must not be too deep to be taken. */
static void check_depth(const json_t *params, Problems *problems)
{
        const Path root = { .name = "" };
        const char *name;
        json_t *value;

        json_object_foreach((json_t *)(uintptr_t)params, name, value)
                if (is_deeper(value, TASK_PARAM_DEPTH_MAX))
                        path_problem(problems, SEVERITY_ERROR, &root, name,
                                        "objects and lists are nested more than %u deep",
                                        TASK_PARAM_DEPTH_MAX);
}

void task_params_check(const TaskType *type, const json_t *params, Problems *problems)
{
        check_depth(params, problems);
        fields_check(task_common_params, params, "", params, problems);
        fields_check(type->params, params, "", params, problems);
        if (type->check_params)
                type->check_params(params, problems);
}
