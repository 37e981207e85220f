/* The task that is made of a request, its attachments and its time. */

#include "test.h"

#include "task/params.h"

#define CREATED_AT INT64_C(1466672974752123)

static void expect(const char *type, const char *params, bool is_test, const char *wanted)
{
        json_t *p = json_loads(params, 0, NULL), *task;
        _cleanup_free_ char *text = NULL, *before = NULL, *after = NULL;

        assert_non_null(p);
        before = json_dumps(p, 0);
        assert_int_equal(task_object_new(task_type_find(type), p, "576ba74eec471ff9b01557cc", CREATED_AT,
                                         is_test, &task),
                        0);
        text = json_dumps(task, JSON_COMPACT);
        assert_string_equal(text, wanted);
        after = json_dumps(p, 0);
        assert_string_equal(before, after);
        json_decref(task);
        json_decref(p);
}

static void test_members_in_their_order(_unused_ void **state)
{
        expect("categorize",
                        "{\"metadata\":{\"a\":1},\"color\":\"red\",\"allow_multiple\":false,"
                        "\"categories\":[\"a\"],\"attachment\":\"car\",\"attachment_type\":\"text\","
                        "\"urgency\":\"day\",\"instruction\":\"?\",\"callback_url\":\"http://"
                        "x.example.com\","
                        "\"shape\":{\"round\":true},\"status\":\"completed\"}",
                        true,
                        "{\"task_id\":\"576ba74eec471ff9b01557cc\","
                        "\"created_at\":\"2016-06-23T09:09:34.752Z\","
                        "\"callback_url\":\"http://x.example.com\",\"type\":\"categorization\","
                        "\"status\":\"pending\",\"instruction\":\"?\",\"urgency\":\"day\","
                        "\"params\":{\"attachment_type\":\"text\",\"attachment\":\"car\","
                        "\"categories\":[\"a\"],\"allow_multiple\":false,\"color\":\"red\","
                        "\"shape\":{\"round\":true},\"status\":\"completed\"},\"is_test\":true,"
                        "\"metadata\":{\"a\":1}}");
}

static void test_what_was_not_given_is_left_out(_unused_ void **state)
{
        expect("annotation",
                        "{\"attachment\":\"http://www.example.com/1.jpg\",\"objects_to_annotate\":[\"cow\"],"
                        "\"instruction\":null,\"x\":null}",
                        false,
                        "{\"task_id\":\"576ba74eec471ff9b01557cc\","
                        "\"created_at\":\"2016-06-23T09:09:34.752Z\",\"type\":\"annotation\","
                        "\"status\":\"pending\",\"params\":{\"attachment\":\"http://www.example.com/1.jpg\","
                        "\"objects_to_annotate\":[\"cow\"]}}");
}

static void test_it_shares_nothing(_unused_ void **state)
{
        json_t *params = json_pack("{s:[s], s:{}}", "categories", "a", "metadata"), *task;

        assert_int_equal(task_object_new(task_type_find("categorization"), params, "x", 0, false, &task), 0);
        json_array_append_new(json_object_get(params, "categories"), json_string("b"));
        assert_int_equal(json_array_size(json_object_get(json_object_get(task, "params"), "categories")), 1);
        json_decref(params);
        json_decref(task);
}

typedef struct Seen {
        char text[1024];
        unsigned n, stop_at;
} Seen;

static int see(const char *url, void *userdata)
{
        Seen *seen = userdata;

        if (seen->n < 10)
                strcat(strcat(seen->text, url), " ");
        return ++seen->n == seen->stop_at ? 7 : 0;
}

static void test_attachments(_unused_ void **state)
{
        static const struct {
                const char *type, *params, *urls;
        } cases[] = {
                { "categorization", "{\"attachment_type\":\"image\",\"attachment\":\"http://a\"}",
                                "http://a " },
                { "categorization", "{\"attachment_type\":\"text\",\"attachment\":\"http://a\"}", "" },
                { "categorization", "{\"attachment_type\":\"image\",\"attachment\":\"a\"}", "" },
                { "categorization", "{\"callback_url\":\"http://a\"}", "" },
                { "categorization", "{\"attachment\":null}", "" },
                { "comparison",
                                "{\"attachment_type\":\"pdf\",\"attachments\":[\"http://a\",\"b\",5,"
                                "\"https://c\"]}",
                                "http://a https://c " },
                { "comparison", "{\"attachment_type\":\"text\",\"attachments\":[\"http://a\"]}", "" },
                { "comparison", "{\"attachment_type\":\"pdf\",\"attachments\":{}}", "" },
                { "annotation",
                                "{\"attachment\":\"http://a\",\"examples\":[{\"image\":\"http://b\"}],"
                                "\"callback_url\":\"http://c\"}",
                                "http://a " },
                { "audiotranscription", "{\"attachment\":\"http://a\"}", "http://a " },
                { "transcription", "{\"attachment_type\":\"pdf\",\"attachment\":\"http://a\"}",
                                "http://a " },
                { "datacollection", "{\"attachment_type\":\"website\",\"attachment\":\"http://a\"}",
                                "http://a " },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                json_t *params = json_loads(i->params, 0, NULL);
                Seen seen = {};

                assert_int_equal(
                                task_params_each_attachment(task_type_find(i->type), params, see, &seen), 0);
                assert_string_equal(seen.text, i->urls);
                json_decref(params);
        }
}

static void test_attachments_are_bounded(_unused_ void **state)
{
        json_t *urls = json_array(), *params;
        Seen all = {}, some = { .stop_at = 3 };

        for (unsigned i = 0; i < 2 * TASK_ATTACHMENTS_MAX; i++)
                json_array_append_new(urls, json_string("http://a"));
        params = json_pack("{s:s, s:o}", "attachment_type", "image", "attachments", urls);

        assert_int_equal(task_params_each_attachment(task_type_find("comparison"), params, see, &all), 0);
        assert_int_equal(all.n, TASK_ATTACHMENTS_MAX);
        assert_int_equal(task_params_each_attachment(task_type_find("comparison"), params, see, &some), 7);
        assert_int_equal(some.n, 3);
        json_decref(params);
}

static void test_urgency(_unused_ void **state)
{
        const uint64_t hour = UINT64_C(3600000000);

        assert_int_equal(task_urgency_usec("immediate"), hour);
        assert_int_equal(task_urgency_usec("day"), 24 * hour);
        assert_int_equal(task_urgency_usec("week"), 168 * hour);
        assert_int_equal(task_urgency_usec("soon"), 168 * hour);
        assert_int_equal(task_urgency_usec(NULL), 168 * hour);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members_in_their_order),
                cmocka_unit_test(test_what_was_not_given_is_left_out),
                cmocka_unit_test(test_it_shares_nothing),
                cmocka_unit_test(test_attachments),
                cmocka_unit_test(test_attachments_are_bounded),
                cmocka_unit_test(test_urgency),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
