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

static Severity severity_of(const Field *f)
{
        return f->flags & FIELD_LENIENT ? SEVERITY_WARNING : SEVERITY_ERROR;
}

static void wrong(const Look *l, const char *wanted)
{
        char quote[PROBLEM_QUOTE_SIZE];

        path_problem(l->problems, severity_of(l->field), l->at, NULL, "expected %s, got %s", wanted,
                        problems_quote(l->problems, severity_of(l->field), l->value, quote));
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

static void look_range(const Look *l, double d)
{
        const Field *f = l->field;

        if (f->has_min && d < f->min)
                path_problem(l->problems, severity_of(f), l->at, NULL, "expected at least %g, got %g",
                                f->min, d);
        if (f->above_min && d <= f->min)
                path_problem(l->problems, severity_of(f), l->at, NULL, "expected more than %g, got %g",
                                f->min, d);
        if (f->has_max && d > f->max)
                path_problem(l->problems, severity_of(f), l->at, NULL, "expected at most %g, got %g", f->max,
                                d);
}

static void look_number(const Look *l)
{
        double d;

        if (!value_read_number(l->value, l->field->flags & FIELD_AS_TEXT, &d)) {
                wrong(l, json_is_number(l->value) ? "a number within those of a double" : "a number");
                return;
        }
        look_range(l, d);
}

static void look_integer(const Look *l)
{
        double d;

        if (!value_read_number(l->value, l->field->flags & FIELD_AS_TEXT, &d) || d < floor(d) ||
                        d > floor(d)) {
                wrong(l, "a whole number");
                return;
        }
        look_range(l, d);
}

static void look_boolean(const Look *l)
{
        bool b;

        if (!value_read_boolean(l->value, l->field->flags & FIELD_AS_TEXT, &b))
                wrong(l, "true or false");
}

/* Texts. */

/* A list for people: "a", "b", "c". */
static void list_values(const char *const *values, char *buf, size_t size)
{
        size_t n = 0;

        for (; *values && n < size; values++)
                n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? ", " : "", *values);
}

static void look_values(const Look *l)
{
        char list[256];

        for (const char *const *v = l->field->values; *v; v++)
                if (strlen(*v) == json_string_length(l->value) && streq(json_string_value(l->value), *v))
                        return;
        list_values(l->field->values, list, sizeof(list));
        path_problem(l->problems, severity_of(l->field), l->at, NULL, "expected one of %s", list);
}

/* The texts of a list of the parameters; NULL where there is no such list. */
static const TextSet *find_list(Check *c, const char *param)
{
        const json_t *array = member_get(c->params, param);
        size_t i = 0;

        while (c->lists[i].param && !streq(c->lists[i].param, param)) {
                i++;
                assert(i < LISTS_MAX);
        }
        if (!c->lists[i].param) {
                c->lists[i].param = param;
                c->lists[i].is_list = json_is_array(array);
                c->problems->failed |= text_set_init_full(&c->lists[i].texts, array) < 0;
        }
        return c->lists[i].is_list ? &c->lists[i].texts : NULL;
}

static void look_one_of_param(const Look *l)
{
        const char *param = l->field->one_of_param;
        const TextSet *allowed = find_list(l->check, param);
        char quote[PROBLEM_QUOTE_SIZE];

        if (!allowed)
                path_problem(l->problems, SEVERITY_WARNING, l->at, NULL,
                                "can't be checked: the task has no list params.%s", param);
        else if (!text_set_has(allowed, l->value))
                path_problem(l->problems, severity_of(l->field), l->at, NULL, "%s is not one of params.%s",
                                problems_quote(l->problems, severity_of(l->field), l->value, quote), param);
}

static void look_string(const Look *l)
{
        if (!json_is_string(l->value)) {
                wrong(l, "a text");
                return;
        }
        if (l->field->flags & FIELD_NOT_EMPTY && json_string_length(l->value) == 0)
                path_problem(l->problems, severity_of(l->field), l->at, NULL, "must not be empty");
        if (l->field->values)
                look_values(l);
        if (l->field->one_of_param)
                look_one_of_param(l);
}

static void look_name(const Look *l)
{
        const char *text = json_string_value(l->value);
        size_t n = json_string_length(l->value);

        if (!text || n == 0) {
                wrong(l, "a text that is not empty");
                return;
        }
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
                        wrong(l, "a text without control characters");
                        return;
                }
        if (l->field->has_max && (double)n > l->field->max)
                path_problem(l->problems, severity_of(l->field), l->at, NULL,
                                "must not be longer than %g bytes", l->field->max);
}

static void look_time(const Look *l)
{
        const char *text = json_string_value(l->value);
        int64_t t;

        if (!text || time_parse(text, &t) < 0)
                wrong(l, "a time in ISO 8601, like 2016-06-23T09:10:02.798Z");
}

static void look_url(const Look *l)
{
        if (!value_is_url(l->value))
                wrong(l, "a URL with http:// or https://");
}

/* A URL, unless the attachment is a text itself. */
static void look_attachment(const Look *l)
{
        const char *type = json_string_value(member_get(l->siblings, "attachment_type"));

        if (!json_is_string(l->value) || json_string_length(l->value) == 0)
                wrong(l, "an attachment as a URL or as text");
        else if (!streq_ptr(type, "text") && !value_is_url(l->value))
                wrong(l, "a URL with http:// or https://, because attachment_type is not text");
}

/* Containers. */

static void look_size(const Look *l, size_t n)
{
        if (l->field->flags & FIELD_NOT_EMPTY && n == 0)
                path_problem(l->problems, severity_of(l->field), l->at, NULL, "must not be empty");
        if (l->field->has_max && (double)n > l->field->max)
                path_problem(l->problems, severity_of(l->field), l->at, NULL, "expected at most %g, got %zu",
                                l->field->max, n);
}

/* Looks at each element of an array as `look_at` does at one value. */
static void look_each(const Look *l, const char *wanted, void (*look_at)(const Look *l))
{
        Look element = *l;
        json_t *value;
        size_t i;

        if (!json_is_array(l->value)) {
                wrong(l, wanted);
                return;
        }
        look_size(l, json_array_size(l->value));
        json_array_foreach((json_t *)(uintptr_t)l->value, i, value) {
                const Path at = { .up = l->at, .index = i };

                element.value = value;
                element.at = &at;
                look_at(&element);
        }
}

static void look_text_element(const Look *l)
{
        if (!json_is_string(l->value))
                wrong(l, "a text");
        else if (l->field->one_of_param)
                look_one_of_param(l);
}

static void look_texts(const Look *l)
{
        look_each(l, "a list of texts", look_text_element);
}

static void look_attachments(const Look *l)
{
        look_each(l, "a list of attachments", look_attachment);
}

static void check_rows(Check *c, const Field *fields, const json_t *object, const Path *at);

static void look_object_element(const Look *l)
{
        if (!json_is_object(l->value))
                wrong(l, "an object");
        else
                check_rows(l->check, l->field->members, l->value, l->at);
}

static void look_objects(const Look *l)
{
        look_each(l, "a list of objects", look_object_element);
}

static void look_object(const Look *l)
{
        if (!json_is_object(l->value))
                wrong(l, "an object");
        else
                look_size(l, json_object_size(l->value));
}

static void look_dictionary(const Look *l)
{
        const char *name;
        json_t *value;

        look_object(l);
        json_object_foreach((json_t *)(uintptr_t)l->value, name, value)
                if (!json_is_string(value))
                        path_problem(l->problems, severity_of(l->field), l->at, name, "expected a text");
}

static void look_any(_unused_ const Look *l)
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
static bool is_absent(const Field *f, const json_t *value)
{
        if (!value)
                return true;
        return f->flags & FIELD_IN_PARAMS && field_is_left_out(f, value);
}

static void check_rows(Check *c, const Field *fields, const json_t *object, const Path *at)
{
        for (const Field *f = fields; f->name; f++) {
                const Path path = { .up = at, .name = f->name };
                const json_t *value = member_get(object, f->name);

                if (is_absent(f, value)) {
                        if (f->flags & FIELD_REQUIRED)
                                path_problem(c->problems, severity_of(f), &path, NULL, "is missing: %s",
                                                f->describe);
                        continue;
                }
                looks[f->kind](&(Look){ c, f, value, object, &path, c->problems });
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
