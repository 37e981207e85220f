/*
 * A body becomes parameters by the tables of its type, whether it was written as JSON or as a form, and
 * everything that is wrong with them is named at once. The member of the metadata that the submitter ties
 * tasks to submissions with is its own: a task that brings one is refused, because it would be taken for
 * another.
 */

#include "submitd/socket/accept.h"

#include "basic/form.h"
#include "http/header.h"
#include "store/outbox.h"
#include "task/callback.h"
#include "task/check.h"
#include "task/params.h"
#include "json/parse.h"

BodyKind body_kind_of(const char *content_type)
{
        static const struct {
                const char *name;
                BodyKind kind;
        } kinds[] = {
                { "application/json", BODY_JSON },
                { "application/x-www-form-urlencoded", BODY_FORM },
        };

        if (!content_type || content_type[strspn(content_type, " \t")] == 0)
                return BODY_GUESS;
        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds))
                if (header_type_is(content_type, k->name))
                        return k->kind;
        return _BODY_KIND_ERRNO;
}

bool accept_key_is_valid(const char *key)
{
        size_t n = strnlen(key, SUBMISSION_KEY_MAX + 1);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char)key[i] <= 0x20 || (unsigned char)key[i] >= 0x7f)
                        return false;
        return n > 0 && n <= SUBMISSION_KEY_MAX;
}

static int parse_json(const TaskType *type, const void *body, size_t size, json_t **ret, Problems *problems)
{
        json_auto_t *params = NULL;
        JsonFindings findings;
        json_error_t error;
        int r;

        if (callback_check_bounds(body, size, problems) != 0)
                return ACCEPT_UNREADABLE;
        r = json_parse_noting(body, size, JSON_REJECT_DUPLICATES, &params, &findings, &error);
        if (r < 0 && r != -EBADMSG)
                return r;
        if (r < 0) {
                problems_add(problems, SEVERITY_ERROR, "", "the body is no JSON: %s, in line %d, column %d",
                                error.text, error.line, error.column);
                return ACCEPT_UNREADABLE;
        }
        if (!json_is_object(params)) {
                problems_add(problems, SEVERITY_ERROR, "", "the body is JSON, but no object");
                return ACCEPT_UNREADABLE;
        }

        problems_add_findings(problems, &findings, body);
        r = task_params_normalise(type, params);
        if (r < 0)
                return r;
        *ret = json_incref(params);
        return 0;
}

static int split_form(char *text, FormPair *pairs, size_t *ret_n, Problems *problems)
{
        int r;

        r = form_split(text, pairs, TASK_FORM_PAIRS_MAX, ret_n);
        if (r == -E2BIG) {
                problems_add(problems, SEVERITY_ERROR, "", "there are more than %u parameters",
                                TASK_FORM_PAIRS_MAX);
                return ACCEPT_UNREADABLE;
        }
        return r;
}

static int parse_form(const TaskType *type, const void *body, size_t size, json_t **ret, Problems *problems)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ FormPair *pairs = NULL;
        size_t n;
        int r;

        if (memchr(body, 0, size)) {
                problems_add(problems, SEVERITY_ERROR, "", "there is a NUL byte in the form");
                return ACCEPT_UNREADABLE;
        }
        text = strndup(body, size);
        pairs = calloc(TASK_FORM_PAIRS_MAX, sizeof(FormPair));
        if (!text || !pairs)
                return -ENOMEM;
        if (*text == '{') {
                problems_add(problems, SEVERITY_ERROR, "",
                                "the body looks like JSON and is called a form: wanted is Content-Type: "
                                "application/json");
                return ACCEPT_UNREADABLE;
        }

        r = split_form(text, pairs, &n, problems);
        return r != 0 ? r : task_params_from_form(type, pairs, n, ret, problems);
}

static BodyKind guess(const char *body, size_t size)
{
        size_t i = 0;

        while (i < size && strchr(" \t\r\n", body[i]) && body[i])
                i++;
        return i < size && body[i] == '{' ? BODY_JSON : BODY_FORM;
}

static void check_own(const json_t *params, const char *callback_url, Problems *problems)
{
        const char *given = json_string_value(json_object_get(params, "callback_url"));

        if (json_object_get(json_object_get(params, "metadata"), TASK_SUBMISSION_KEY))
                problems_add(problems, SEVERITY_ERROR, "metadata." TASK_SUBMISSION_KEY,
                                "this member is set by the submitter; leave it out");
        if (callback_url && given && !streq(given, callback_url))
                problems_add(problems, SEVERITY_WARNING, "callback_url",
                                "not used: the callbacks of what is submitted here go to [submit] "
                                "callback_url");
}

int accept_parse(const TaskType *type, BodyKind kind, const void *body, size_t size,
                const char *callback_url, json_t **ret, Problems *problems)
{
        static int (*const parsers[_BODY_KIND_MAX])(const TaskType *type, const void *body, size_t size,
                        json_t **ret, Problems *problems) = {
                [BODY_JSON] = parse_json,
                [BODY_FORM] = parse_form,
        };
        json_auto_t *params = NULL;
        int r;

        assert(kind >= 0 && kind < _BODY_KIND_MAX);
        r = parsers[kind == BODY_GUESS ? guess(body, size) : kind](type, body, size, &params, problems);
        if (r != 0)
                return r;

        task_params_check(type, params, problems);
        task_params_check_names(type, params, problems);
        check_own(params, callback_url, problems);
        if (problems->failed)
                return -ENOMEM;
        if (problems->n_errors > 0)
                return ACCEPT_INVALID;

        *ret = json_incref(params);
        return 0;
}
