/* Made-up responses: what they are, and that the rules of their type take them. */

#include "test.h"

#include "task/check.h"
#include "task/params.h"

#define N_TRIED 24U

/* The rules take it, by the parameters as requested and as the task has them. */
static void check_rules(const TaskType *type, const json_t *params, const json_t *response)
{
        Problems problems = {};

        fields_check(type->response, response, "response", params, &problems);
        type->check_response(params, response, &problems);
        if (problems.n > 0)
                fail_msg("%s: %s %s", type->name, problems.items[0].path, problems.items[0].message);
}

static void make(const char *name, const char *params, uint64_t n, json_t **ret)
{
        const TaskType *type = task_type_find(name);
        json_t *p = json_loads(params, JSON_ALLOW_NUL, NULL), *again;

        assert_non_null(p);
        assert_int_equal(task_make_response(type, p, n, ret), 0);
        check_rules(type, p, *ret);

        assert_int_equal(task_make_response(type, p, n, &again), 0);
        assert_true(json_equal(*ret, again));
        json_decref(again);
        json_decref(p);
}

static void expect(const char *type, const char *params, uint64_t n, const char *wanted)
{
        _cleanup_free_ char *text = NULL;
        json_t *response;

        make(type, params, n, &response);
        text = json_dumps(response, JSON_COMPACT | JSON_REAL_PRECISION(15));
        assert_string_equal(text, wanted);
        json_decref(response);
}

static void test_categorization(_unused_ void **state)
{
        static const char categories[] = "{\"categories\":[\"a\",\"b\",\"c\"]}";
        static const char multiple[] = "{\"categories\":[\"a\",\"b\"],\"allow_multiple\":\"true\"}";
        static const char ids[] =
                        "{\"categories\":[\"a\",\"b\",\"c\"],\"category_ids\":{\"7\":\"c\",\"8\":\"a\"}}";
        static const char both[] = "{\"categories\":[\"a\",\"b\"],\"allow_multiple\":true,"
                                   "\"category_ids\":{\"1\":\"b\",\"2\":\"a\"}}";

        expect("categorization", categories, 0, "{\"category\":\"a\"}");
        expect("categorization", categories, 4, "{\"category\":\"b\"}");
        expect("categorization", multiple, 1, "{\"category\":[\"b\"]}");
        expect("categorization", multiple, 3, "{\"category\":[\"b\",\"a\"]}");
        expect("categorization", ids, 0, "{\"category\":\"c\",\"category_id\":\"7\"}");
        expect("categorization", ids, 1, "{\"category\":\"a\",\"category_id\":\"8\"}");
        expect("categorization", both, 2, "{\"category\":[\"b\",\"a\"],\"category_id\":[\"1\",\"2\"]}");

        /* Neither a category twice nor an id for each of its names. */
        expect("categorization", "{\"categories\":[\"a\",\"a\"],\"allow_multiple\":true}", 2,
                        "{\"category\":[\"a\"]}");
        expect("categorization",
                        "{\"categories\":[\"a\"],\"allow_multiple\":true,"
                        "\"category_ids\":{\"1\":\"a\",\"2\":\"a\"}}",
                        2, "{\"category\":[\"a\"],\"category_id\":[\"1\"]}");
}

static void test_comparison(_unused_ void **state)
{
        expect("comparison", "{\"choices\":[\"yes\",\"no\"]}", 0, "{\"choice\":\"yes\"}");
        expect("comparison", "{\"choices\":[\"yes\",\"no\"],\"fields\":{}}", 3, "{\"choice\":\"no\"}");
        expect("comparison", "{\"fields\":{\"x\":\"y\"},\"choices\":[]}", 0,
                        "{\"fields\":{\"x\":\"test response\"}}");
        expect("comparison", "{\"choices\":[\"yes\"],\"fields\":{\"x\":\"y\"}}", 0,
                        "{\"choice\":\"yes\",\"fields\":{\"x\":\"test response\"}}");
}

static void test_fields(_unused_ void **state)
{
        static const char *const types[] = { "datacollection", "transcription" };

        FOREACH_ARRAY(type, types, ELEMENTSOF(types))
                expect(*type, "{\"fields\":{\"b\":\"B\",\"a\":\"A\"}}", 5,
                                "{\"fields\":{\"b\":\"test response\",\"a\":\"test response\"}}");
}

static void test_annotation(_unused_ void **state)
{
#define BOX(rest) "{\"annotations\":[{\"left\":0,\"top\":0," rest "}]}"
        static const char cows[] = "{\"objects_to_annotate\":[\"cow\",\"calf\"],\"with_labels\":true}";

        expect("annotation", "{\"objects_to_annotate\":[\"cow\"]}", 3, BOX("\"width\":100,\"height\":100"));
        expect("annotation", cows, 0, BOX("\"width\":100,\"height\":100,\"label\":\"cow\""));
        expect("annotation", cows, 1, BOX("\"width\":100,\"height\":100,\"label\":\"calf\""));
        expect("annotation",
                        "{\"objects_to_annotate\":[\"cow\"],\"min_width\":\"30\",\"min_height\":\"101\"}", 0,
                        BOX("\"width\":100,\"height\":101"));
        expect("annotation", "{\"objects_to_annotate\":[\"cow\"],\"min_width\":1e300}", 0,
                        BOX("\"width\":1e300,\"height\":100"));
#undef BOX
}

static void test_audiotranscription(_unused_ void **state)
{
        expect("audiotranscription", "{}", 2,
                        "{\"transcript\":\"One, two, three.\",\"duration\":1.55,\"alignment\":["
                        "{\"word\":\"One\",\"start\":0.25,\"end\":0.55,\"confidence\":0.9},"
                        "{\"word\":\"two\",\"start\":0.6,\"end\":0.9,\"confidence\":0.9},"
                        "{\"word\":\"three\",\"start\":0.95,\"end\":1.25,\"confidence\":0.9}]}");
}

static void test_any_number_of_any_type(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++)
                for (uint64_t i = 0; i < N_TRIED; i++) {
                        json_t *response;

                        make((*t)->name, (*t)->example_params, i % 2 == 0 ? i : UINT64_MAX - i, &response);
                        json_decref(response);
                }
}

/* Whoever didn't check is told so, unless there is nothing to choose from. */
static void test_parameters_that_were_not_checked(_unused_ void **state)
{
        static const char *const bad[] = {
                "{}",
                "{\"categories\":[],\"choices\":[],\"objects_to_annotate\":[],\"fields\":[]}",
                "{\"categories\":\"a\",\"choices\":{},\"objects_to_annotate\":1,\"fields\":\"a\"}",
                "{\"categories\":[\"a\"],\"category_ids\":[\"a\"]}",
        };

        for (const TaskType *const *t = task_types; *t; t++)
                FOREACH_ARRAY(text, bad, ELEMENTSOF(bad)) {
                        json_t *params = json_loads(*text, 0, NULL), *response = NULL;

                        if (task_make_response(*t, params, 0, &response) == 0)
                                check_rules(*t, params, response);
                        else {
                                assert_int_equal(task_make_response(*t, params, 0, &response), -EINVAL);
                                assert_null(response);
                        }
                        json_decref(response);
                        json_decref(params);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_categorization),
                cmocka_unit_test(test_comparison),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_annotation),
                cmocka_unit_test(test_audiotranscription),
                cmocka_unit_test(test_any_number_of_any_type),
                cmocka_unit_test(test_parameters_that_were_not_checked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
