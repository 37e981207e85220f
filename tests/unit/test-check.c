/* Parameters against their tables: what the submitter will take and refuse. */

#include "test.h"

#include "task/check.h"

static void expect(const char *type, const char *params, const char *path, const char *message)
{
        json_t *value = json_loads(params, 0, NULL);
        Problems problems = {};

        if (!value)
                fail_msg("%s", params);
        task_params_check(task_type_find(type), value, &problems);
        if (!path) {
                if (problems.n > 0)
                        fail_msg("%s: %s: %s", params, problems.items[0].path, problems.items[0].message);
        } else {
                if (problems.n != 1)
                        fail_msg("%s: %zu problems", params, problems.n);
                assert_string_equal(problems.items[0].path, path);
                assert_string_equal(problems.items[0].message, message);
        }
        problems_done(&problems);
        json_decref(value);
}

#define CATEGORIES "\"attachment_type\":\"text\",\"attachment\":\"car\",\"categories\":[\"big\",\"small\"]"

static void test_categorization(_unused_ void **state)
{
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES "}", NULL, NULL);
        expect("categorize",
                        "{\"instruction\":\"?\"," CATEGORIES
                        ",\"allow_multiple\":\"true\",\"category_ids\":null}",
                        NULL, NULL);
        expect("categorization", "{" CATEGORIES "}", "instruction", "is missing: what to do, in markdown");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"urgency\":\"soon\"}", "urgency",
                        "expected one of immediate, day, week");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"category_ids\":{\"1\":\"tiny\"}}",
                        "category_ids.1", "stands for none of the categories");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"allow_multiple\":\"maybe\"}",
                        "allow_multiple", "expected true or false, got \"maybe\"");
        expect("categorization",
                        "{\"instruction\":\"?\",\"attachment_type\":\"image\",\"attachment\":\"car\","
                        "\"categories\":[\"a\"]}",
                        "attachment",
                        "expected a URL with http:// or https://, because attachment_type is not text, "
                        "got \"car\"");
        expect("categorization",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachment\":\"car\","
                        "\"categories\":[]}",
                        "categories", "must not be empty");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"callback_url\":\"ftp://x\"}",
                        "callback_url", "expected a URL with http:// or https://, got \"ftp://x\"");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"metadata\":[1]}", "metadata",
                        "expected an object, got [1]");
}

static void test_comparison(_unused_ void **state)
{
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachments\":[\"a\",\"b\"]}",
                        "choices", "expected choices, fields or both");
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachments\":[\"a\"],"
                        "\"fields\":{\"x\":1}}",
                        "fields.x", "expected a text");
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"image\",\"attachments\":[\"http://"
                        "x.example.com\",\"b\"],"
                        "\"choices\":[\"y\"]}",
                        "attachments[1]",
                        "expected a URL with http:// or https://, because attachment_type is not text, "
                        "got \"b\"");
}

#define COWS "\"attachment\":\"http://www.example.com/1.jpg\",\"objects_to_annotate\":[\"cow\"]"

static void test_annotation(_unused_ void **state)
{
        expect("annotation", "{" COWS "}", NULL, NULL);
        expect("annotation",
                        "{" COWS
                        ",\"min_width\":\"30\",\"min_height\":0,\"with_labels\":true,\"examples\":[]}",
                        NULL, NULL);
        expect("annotation", "{" COWS ",\"min_width\":-1}", "min_width", "expected at least 0, got -1");
        expect("annotation", "{" COWS ",\"min_width\":1.5}", "min_width",
                        "expected a whole number, got 1.5");
        expect("annotation", "{" COWS ",\"min_width\":\"wide\"}", "min_width",
                        "expected a whole number, got \"wide\"");
        expect("annotation", "{" COWS ",\"attachment_type\":\"video\"}", "attachment_type",
                        "expected one of image");
        expect("annotation",
                        "{" COWS ",\"examples\":[{\"correct\":true,\"image\":\"http://www.example.com\"},"
                        "{\"image\":\"http://www.example.com\"}]}",
                        "examples[1].correct", "is missing: whether it shows how to do it");
        expect("annotation",
                        "{\"attachment\":\"http://www.example.com/1.jpg\","
                        "\"objects_to_annotate\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\"]}",
                        "objects_to_annotate", "expected at most 6, got 7");
}

static void test_others(_unused_ void **state)
{
        expect("audiotranscription", "{\"attachment\":\"http://www.example.com/a.wav\"}", NULL, NULL);
        expect("audiotranscription", "{\"attachment\":\"http://www.example.com/a.wav\",\"phrases\":[1]}",
                        "phrases[0]", "expected a text, got 1");
        expect("transcription",
                        "{\"instruction\":\"?\",\"attachment_type\":\"audio\",\"attachment\":\"http://"
                        "www.example.com\","
                        "\"fields\":{\"a\":\"b\"}}",
                        "attachment_type", "expected one of image, pdf, website, text");
        expect("datacollection",
                        "{\"instruction\":\"?\",\"attachment_type\":\"website\",\"attachment\":\"http://"
                        "www.example.com\","
                        "\"fields\":{}}",
                        "fields", "must not be empty");
        assert_null(task_type_find("polygon"));
}

/* One request with everything wrong in it: every problem is named, once. */
static void test_every_problem_of_every_type_is_named(_unused_ void **state)
{
        static const struct {
                const char *type, *params, *paths;
        } cases[] = {
                { "categorization", "{}", "instruction attachment_type attachment categories" },
                { "categorization",
                                "{\"instruction\":\"\",\"attachment_type\":\"polygon\",\"attachment\":"
                                "\"car\","
                                "\"categories\":\"a\",\"category_ids\":[\"a\"],\"allow_multiple\":1,"
                                "\"urgency\":\"now\",\"metadata\":\"x\",\"callback_url\":\"http://\"}",
                                "callback_url urgency metadata instruction attachment_type attachment "
                                "categories category_ids allow_multiple" },
                { "categorization",
                                "{\"instruction\":5,\"attachment_type\":\"text\",\"attachment\":\"\","
                                "\"categories\":[\"a\",1,null],\"category_ids\":{\"x\":\"b\",\"y\":1,\"z\":"
                                "\"a\"}}",
                                "instruction attachment categories[1] categories[2] category_ids.y "
                                "category_ids.x" },
                { "comparison", "{}", "instruction attachment_type attachments choices" },
                { "comparison",
                                "{\"instruction\":\"?\",\"attachment_type\":\"image\","
                                "\"attachments\":\"http://www.example.com\",\"choices\":\"yes\"}",
                                "attachments choices" },
                { "comparison",
                                "{\"instruction\":\"?\",\"attachment_type\":\"image\","
                                "\"attachments\":[\"http://www.example.com\",\"a\",3],\"choices\":[1],"
                                "\"fields\":{\"a\":[]}}",
                                "attachments[1] attachments[2] fields.a choices[0]" },
                { "comparison",
                                "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachments\":[],"
                                "\"choices\":[],\"fields\":{}}",
                                "attachments choices" },
                { "datacollection", "{}", "instruction attachment_type attachment fields" },
                { "datacollection",
                                "{\"instruction\":\"?\",\"attachment_type\":\"pdf\","
                                "\"attachment\":\"ftp://www.example.com\",\"fields\":[\"a\"]}",
                                "attachment_type attachment fields" },
                { "transcription", "{}", "instruction attachment_type attachment fields" },
                { "transcription",
                                "{\"instruction\":[],\"attachment_type\":\"video\",\"attachment\":7,"
                                "\"fields\":{\"a\":null}}",
                                "instruction attachment_type attachment fields.a" },
                { "annotation", "{}", "attachment objects_to_annotate" },
                { "annotation",
                                "{\"instruction\":1,\"attachment_type\":\"text\",\"attachment\":\"cow\","
                                "\"objects_to_annotate\":\"cow\",\"with_labels\":\"yes\",\"min_width\":\"\","
                                "\"min_height\":-0.5,\"examples\":{\"image\":\"x\"}}",
                                "instruction attachment_type attachment objects_to_annotate with_labels "
                                "examples min_width min_height" },
                { "annotation",
                                "{" COWS ",\"examples\":[{\"correct\":1,\"image\":\"x\",\"explanation\":2},"
                                "3,{\"correct\":\"true\"}]}",
                                "examples[0].correct examples[0].image examples[0].explanation examples[1] "
                                "examples[2].image" },
                { "audiotranscription", "{}", "attachment" },
                { "audiotranscription",
                                "{\"instruction\":{\"a\":1},\"attachment_type\":\"video\",\"attachment\":"
                                "\"\","
                                "\"verbatim\":\"no\",\"phrases\":\"stone\",\"urgency\":5}",
                                "urgency instruction attachment_type attachment verbatim phrases" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                json_t *value = json_loads(i->params, 0, NULL);
                Problems problems = {};
                char paths[1024] = "";

                assert_non_null(value);
                task_params_check(task_type_find(i->type), value, &problems);
                FOREACH_ARRAY(p, problems.items, problems.n) {
                        strcat(strcat(paths, *paths ? " " : ""), p->path);
                        assert_int_equal(p->severity, SEVERITY_ERROR);
                }
                if (!streq(paths, i->paths))
                        fail_msg("%s %s:\n%s, expected\n%s", i->type, i->params, paths, i->paths);
                problems_done(&problems);
                json_decref(value);
        }
}

static void test_good_parameters_of_every_type(_unused_ void **state)
{
        for (const TaskType *const *t = task_types; *t; t++) {
                json_t *params = json_loads((*t)->example_params, 0, NULL);
                _cleanup_free_ char *text = NULL;

                json_object_set_new(params, "instruction", json_string((*t)->example_instruction));
                json_object_set_new(params, "metadata", json_pack("{s:{s:[i]}}", "a", "b", 1));
                json_object_set_new(params, "something", json_string("unknown"));
                text = json_dumps(params, 0);
                expect((*t)->name, text, NULL, NULL);
                json_decref(params);
        }
}

static void test_values_of_attachment_type(_unused_ void **state)
{
        static const struct {
                const char *type, *allowed;
        } cases[] = {
                { "categorization", "text image video audio website pdf" },
                { "comparison", "text image video audio website pdf" },
                { "datacollection", "text image website" },
                { "transcription", "text image pdf website" },
                { "annotation", "image" },
                { "audiotranscription", "audio" },
        };
        static const char *const all[] = { "text", "image", "video", "audio", "website", "pdf", "Image",
                "" };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases))
                FOREACH_ARRAY(value, all, ELEMENTSOF(all)) {
                        json_t *params = json_pack("{s:s}", "attachment_type", *value);
                        const bool allowed = **value && strstr(i->allowed, *value);
                        Problems problems = {};
                        bool named = false;

                        task_params_check(task_type_find(i->type), params, &problems);
                        FOREACH_ARRAY(p, problems.items, problems.n)
                                named = named || streq(p->path, "attachment_type");
                        if (named == allowed)
                                fail_msg("%s: %s", i->type, *value);
                        problems_done(&problems);
                        json_decref(params);
                }
}

static void test_an_attachment_is_a_url_unless_it_is_a_text(_unused_ void **state)
{
        static const struct {
                const char *attachment;
                bool good;
        } cases[] = {
                { "\"http://www.example.com\"", true },
                { "\"https://www.example.com/a b?c=[d]\"", true },
                { "\"http://\"", false },
                { "\"http:///a\"", false },
                { "\"www.example.com\"", false },
                { "\"http://www.example.com/\\n\"", false },
                { "\"http://www.example.com/\\u0000\"", false },
                { "\"\"", false },
                { "[]", false },
                { "null", false },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                char text[256] = "{\"attachment\":";
                json_t *params = json_loads(strcat(strcat(text, i->attachment), "}"), JSON_ALLOW_NUL, NULL);
                Problems problems = {};
                bool named = false;

                /* Nothing else is given, not even attachment_type. */
                task_params_check(task_type_find("categorization"), params, &problems);
                FOREACH_ARRAY(p, problems.items, problems.n)
                        named = named || streq(p->path, "attachment");
                if (named == i->good)
                        fail_msg("%s", text);
                problems_done(&problems);
                json_decref(params);
        }
}

/* Also in what no row knows. */
static void test_depth(_unused_ void **state)
{
        for (unsigned depth = TASK_PARAM_DEPTH_MAX; depth <= TASK_PARAM_DEPTH_MAX + 1; depth++) {
                static const char *const names[] = { "metadata", "something" };

                FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                        json_t *value = json_object(), *params;
                        Problems problems = {};

                        for (unsigned i = 1; i < depth; i++)
                                value = i % 2 == 0 || i + 1 == depth ? json_pack("{s:o}", "a", value)
                                                                     : json_pack("[o]", value);
                        params = json_pack("{s:s, s:[s], s:o}", "attachment", "http://www.example.com/",
                                        "objects_to_annotate", "cow", *name, value);
                        assert_non_null(params);
                        task_params_check(task_type_find("annotation"), params, &problems);
                        assert_int_equal(problems.n, depth > TASK_PARAM_DEPTH_MAX);
                        if (problems.n > 0) {
                                assert_string_equal(problems.items[0].path, *name);
                                assert_string_equal(problems.items[0].message,
                                                "objects and lists are nested more than 32 deep");
                        }
                        problems_done(&problems);
                        json_decref(params);
                }
        }
}

static void test_a_text_with_a_nul_is_none_of_the_values(_unused_ void **state)
{
        json_t *params = json_loads("{" COWS ",\"urgency\":\"day\\u0000\"}", JSON_ALLOW_NUL, NULL);
        Problems problems = {};

        task_params_check(task_type_find("annotation"), params, &problems);
        assert_int_equal(problems.n, 1);
        assert_string_equal(problems.items[0].path, "urgency");
        problems_done(&problems);
        json_decref(params);
}

static void test_params_as_text(_unused_ void **state)
{
        json_t *p = json_loads(
                        "{\"a\":\"true\",\"b\":true,\"c\":\"yes\",\"d\":\"30\",\"e\":1.5,\"f\":\"1e999\"}",
                        0, NULL);

        assert_true(task_param_is_true(p, "a"));
        assert_true(task_param_is_true(p, "b"));
        assert_false(task_param_is_true(p, "c"));
        assert_false(task_param_is_true(p, "z"));
        assert_true(task_param_number(p, "d", 0) > 29.9);
        assert_true(task_param_number(p, "e", 0) < 1.6);
        assert_true(task_param_number(p, "f", 7) > 6.9);
        assert_true(task_param_number(p, "f", 7) < 7.1);
        json_decref(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_categorization),
                cmocka_unit_test(test_comparison),
                cmocka_unit_test(test_annotation),
                cmocka_unit_test(test_others),
                cmocka_unit_test(test_every_problem_of_every_type_is_named),
                cmocka_unit_test(test_good_parameters_of_every_type),
                cmocka_unit_test(test_values_of_attachment_type),
                cmocka_unit_test(test_an_attachment_is_a_url_unless_it_is_a_text),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_a_text_with_a_nul_is_none_of_the_values),
                cmocka_unit_test(test_params_as_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
