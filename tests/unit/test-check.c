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
                        "wanted is one of immediate, day, week");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"category_ids\":{\"1\":\"tiny\"}}",
                        "category_ids.1", "stands for none of the categories");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"allow_multiple\":\"maybe\"}",
                        "allow_multiple", "wanted is true or false, this is \"maybe\"");
        expect("categorization",
                        "{\"instruction\":\"?\",\"attachment_type\":\"image\",\"attachment\":\"car\","
                        "\"categories\":[\"a\"]}",
                        "attachment",
                        "wanted is a URL with http:// or https://, because attachment_type is not text, "
                        "this is \"car\"");
        expect("categorization",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachment\":\"car\","
                        "\"categories\":[]}",
                        "categories", "must not be empty");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"callback_url\":\"ftp://x\"}",
                        "callback_url", "wanted is a URL with http:// or https://, this is \"ftp://x\"");
        expect("categorization", "{\"instruction\":\"?\"," CATEGORIES ",\"metadata\":[1]}", "metadata",
                        "wanted is an object, this is [1]");
}

static void test_comparison(_unused_ void **state)
{
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachments\":[\"a\",\"b\"]}",
                        "choices", "wanted is choices, fields or both");
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"text\",\"attachments\":[\"a\"],"
                        "\"fields\":{\"x\":1}}",
                        "fields.x", "wanted is a text");
        expect("comparison",
                        "{\"instruction\":\"?\",\"attachment_type\":\"image\",\"attachments\":[\"http://"
                        "x.example.com\",\"b\"],"
                        "\"choices\":[\"y\"]}",
                        "attachments[1]",
                        "wanted is a URL with http:// or https://, because attachment_type is not text, "
                        "this is \"b\"");
}

#define COWS "\"attachment\":\"http://www.example.com/1.jpg\",\"objects_to_annotate\":[\"cow\"]"

static void test_annotation(_unused_ void **state)
{
        expect("annotation", "{" COWS "}", NULL, NULL);
        expect("annotation",
                        "{" COWS
                        ",\"min_width\":\"30\",\"min_height\":0,\"with_labels\":true,\"examples\":[]}",
                        NULL, NULL);
        expect("annotation", "{" COWS ",\"min_width\":-1}", "min_width", "must be at least 0, this is -1");
        expect("annotation", "{" COWS ",\"min_width\":1.5}", "min_width",
                        "wanted is a whole number, this is 1.5");
        expect("annotation", "{" COWS ",\"min_width\":\"wide\"}", "min_width",
                        "wanted is a whole number, this is \"wide\"");
        expect("annotation", "{" COWS ",\"attachment_type\":\"video\"}", "attachment_type",
                        "wanted is one of image");
        expect("annotation",
                        "{" COWS ",\"examples\":[{\"correct\":true,\"image\":\"http://www.example.com\"},"
                        "{\"image\":\"http://www.example.com\"}]}",
                        "examples[1].correct", "is missing: whether it shows how to do it");
        expect("annotation",
                        "{\"attachment\":\"http://www.example.com/1.jpg\","
                        "\"objects_to_annotate\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\"]}",
                        "objects_to_annotate", "must not have more than 6, these are 7");
}

static void test_others(_unused_ void **state)
{
        expect("audiotranscription", "{\"attachment\":\"http://www.example.com/a.wav\"}", NULL, NULL);
        expect("audiotranscription", "{\"attachment\":\"http://www.example.com/a.wav\",\"phrases\":[1]}",
                        "phrases[0]", "wanted is a text, this is 1");
        expect("transcription",
                        "{\"instruction\":\"?\",\"attachment_type\":\"audio\",\"attachment\":\"http://"
                        "www.example.com\","
                        "\"fields\":{\"a\":\"b\"}}",
                        "attachment_type", "wanted is one of image, pdf, website, text");
        expect("datacollection",
                        "{\"instruction\":\"?\",\"attachment_type\":\"website\",\"attachment\":\"http://"
                        "www.example.com\","
                        "\"fields\":{}}",
                        "fields", "must not be empty");
        assert_null(task_type_find("polygon"));
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
                cmocka_unit_test(test_params_as_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
