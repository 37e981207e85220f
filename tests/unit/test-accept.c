/* Requests for tasks: what a body is, and what is said of a wrong one. */

#include "test.h"

#include "submitd/socket/accept.h"
#include "task/callback.h"

#define FORM                                                                              \
        "instruction=Big+or+small%3F&attachment_type=text&attachment=car&categories=big&" \
        "categories=small"
#define JSON                                                                                   \
        "{\"instruction\": \"Big or small?\", \"attachment_type\": \"text\", \"attachment\": " \
        "\"car\", \"categories\": [\"big\", \"small\"]}"

static int parse(BodyKind kind, const char *body, const char *callback_url, json_t **ret, Problems *problems)
{
        *problems = (Problems){};
        return accept_parse(task_type_find("categorization"), kind, body, strlen(body), callback_url, ret,
                        problems);
}

static const Problem *find(const Problems *problems, const char *path)
{
        FOREACH_ARRAY(p, problems->items, problems->n)
                if (streq(p->path, path))
                        return p;
        return NULL;
}

static void test_kinds(_unused_ void **state)
{
        assert_int_equal(body_kind_of(NULL), BODY_GUESS);
        assert_int_equal(body_kind_of(""), BODY_GUESS);
        assert_int_equal(body_kind_of("application/json"), BODY_JSON);
        assert_int_equal(body_kind_of(" Application/JSON; charset=utf-8"), BODY_JSON);
        assert_int_equal(body_kind_of("application/json;charset=utf-8"), BODY_JSON);
        assert_int_equal(body_kind_of("application/x-www-form-urlencoded"), BODY_FORM);
        assert_true((int)body_kind_of("application/jsonp") < 0);
        assert_true((int)body_kind_of("application/jso") < 0);
        assert_true((int)body_kind_of("text/plain") < 0);
        assert_true((int)body_kind_of("multipart/form-data; boundary=x") < 0);
}

static void test_keys(_unused_ void **state)
{
        char longest[257];

        memset(longest, 'k', sizeof(longest));
        longest[256] = 0;
        assert_false(accept_key_is_valid(longest));
        longest[255] = 0;
        assert_true(accept_key_is_valid(longest));
        assert_true(accept_key_is_valid("!~"));
        assert_false(accept_key_is_valid(""));
        assert_false(accept_key_is_valid("a b"));
        assert_false(accept_key_is_valid("a\x7f"));
        assert_false(accept_key_is_valid("\xc3\xa4"));
}

/* However it is written, it is the same task. */
static void test_forms_and_json_are_the_same(_unused_ void **state)
{
        static const struct {
                BodyKind kind;
                const char *body;
        } cases[] = {
                { BODY_JSON, JSON },
                { BODY_GUESS, JSON },
                { BODY_GUESS, " \r\n\t" JSON },
                { BODY_FORM, FORM },
                { BODY_GUESS, FORM },
        };
        json_auto_t *first = NULL;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                json_auto_t *params = NULL;
                Problems problems;

                assert_int_equal(parse(c->kind, c->body, NULL, &params, &problems), 0);
                assert_int_equal(problems.n, 0);
                if (!first)
                        first = json_incref(params);
                assert_true(json_equal(first, params));
        }
}

static void test_unreadable(_unused_ void **state)
{
        static const struct {
                BodyKind kind;
                const char *body, *says;
        } cases[] = {
                { BODY_JSON, "", "not JSON" },
                { BODY_JSON, "{\"a\": 1", "not JSON" },
                { BODY_JSON, "{\"a\": 1, \"a\": 2}", "not JSON" },
                { BODY_JSON, "{\"a\": \"\xff\"}", "not JSON" },
                { BODY_JSON, "[]", "no object" },
                { BODY_JSON, FORM, "not JSON" },
                { BODY_FORM, JSON, "Content-Type: application/json" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                Problems problems;
                json_t *params = NULL;

                assert_int_equal(parse(c->kind, c->body, NULL, &params, &problems), ACCEPT_UNREADABLE);
                assert_null(params);
                assert_int_equal(problems.n, 1);
                assert_string_equal(problems.items[0].path, "");
                if (!strstr(problems.items[0].message, c->says))
                        fail_msg("%s: %s", c->body, problems.items[0].message);
                problems_done(&problems);
        }
}

static void test_bounds(_unused_ void **state)
{
        _cleanup_free_ char *many = calloc(3000, 4), *deep = calloc(1, 100002);
        Problems problems;
        json_t *params = NULL;

        assert_non_null(many);
        assert_non_null(deep);
        for (size_t i = 0; i < 3000; i++)
                memcpy(many + 4 * i, "a=b&", 4);
        many[3000 * 4 - 1] = 0;
        assert_int_equal(parse(BODY_FORM, many, NULL, &params, &problems), ACCEPT_UNREADABLE);
        problems_done(&problems);

        memset(deep, '[', 100000);
        assert_int_equal(parse(BODY_JSON, deep, NULL, &params, &problems), ACCEPT_UNREADABLE);
        problems_done(&problems);

        /* What the budget of memory takes for refused is refused before it is parsed. */
        memset(deep, 0, 100002);
        strcpy(deep, "{\"a\":");
        memset(deep + 5, '[', CALLBACK_DEPTH_MAX);
        memset(deep + 5 + CALLBACK_DEPTH_MAX, ']', CALLBACK_DEPTH_MAX);
        strcat(deep, "}");
        assert_int_equal(callback_weight(deep, strlen(deep)), 0);
        assert_int_equal(parse(BODY_JSON, deep, NULL, &params, &problems), ACCEPT_UNREADABLE);
        assert_non_null(strstr(problems.items[0].message, "nested more than 64 deep"));
        problems_done(&problems);

        problems = (Problems){};
        assert_int_equal(accept_parse(task_type_find("comparison"), BODY_FORM, "a=\0b", 4, NULL, &params,
                                         &problems),
                        ACCEPT_UNREADABLE);
        problems_done(&problems);
        assert_null(params);
}

static void test_every_problem_is_named(_unused_ void **state)
{
        Problems problems;
        json_t *params = NULL;

        assert_int_equal(parse(BODY_JSON, "{\"categories\": 7, \"urgency\": \"soon\"}", NULL, &params,
                                         &problems),
                        ACCEPT_INVALID);
        assert_non_null(find(&problems, "instruction"));
        assert_non_null(find(&problems, "attachment"));
        assert_non_null(find(&problems, "attachment_type"));
        assert_non_null(find(&problems, "categories"));
        assert_non_null(find(&problems, "urgency"));
        problems_done(&problems);

        assert_int_equal(parse(BODY_GUESS, "", NULL, &params, &problems), ACCEPT_INVALID);
        assert_non_null(find(&problems, "instruction"));
        problems_done(&problems);
}

static void test_the_submission_is_not_for_others_to_name(_unused_ void **state)
{
        Problems problems;
        json_t *params = NULL;

        assert_int_equal(parse(BODY_FORM, FORM "&metadata[scale_submission_id]=x", NULL, &params, &problems),
                        ACCEPT_INVALID);
        assert_int_equal(problems.n, 1);
        assert_string_equal(problems.items[0].path, "metadata.scale_submission_id");
        problems_done(&problems);
}

static void test_a_callback_url_that_is_replaced(_unused_ void **state)
{
        static const char body[] = FORM "&callback_url=http://www.example.com/callback";
        json_t *params = NULL;
        Problems problems;

        assert_int_equal(parse(BODY_FORM, body, NULL, &params, &problems), 0);
        assert_int_equal(problems.n, 0);
        json_decref(params);
        assert_int_equal(parse(BODY_FORM, body, "http://www.example.com/callback", &params, &problems), 0);
        assert_int_equal(problems.n, 0);
        json_decref(params);
        assert_int_equal(parse(BODY_FORM, body, "https://other.example.com/", &params, &problems), 0);
        assert_int_equal(problems.n, 1);
        assert_int_equal(problems.items[0].severity, SEVERITY_WARNING);
        assert_string_equal(problems.items[0].path, "callback_url");
        json_decref(params);
        problems_done(&problems);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_forms_and_json_are_the_same),
                cmocka_unit_test(test_unreadable),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_every_problem_is_named),
                cmocka_unit_test(test_the_submission_is_not_for_others_to_name),
                cmocka_unit_test(test_a_callback_url_that_is_replaced),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
