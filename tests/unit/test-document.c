/* Tasks put together from bodies, and values as text. */

#include "test.h"

#include "basic/buffer.h"
#include "basic/time-util.h"
#include "task/document.h"
#include "json/encode.h"

#define FIRST                                                                                              \
        "{\"task\":{\"task_id\":\"t1\",\"completed_at\":\"2016-06-23T09:10:02.798Z\",\"response\":{\"n\":" \
        "1},"                                                                                              \
        "\"created_at\":\"2016-6-23T09:09:34.752Z\",\"type\":\"annotation\",\"status\":\"completed\","     \
        "\"params\":{\"x\":0.3},\"extra\":null},\"response\":{\"n\":1},\"task_id\":\"t1\"}"
#define SECOND "{\"task_id\":\"t1\",\"response\":{\"n\":2}}"

static void expect(const TaskDocument *d, const char *text)
{
        _cleanup_buffer_ Buffer out = BUFFER_INIT(4096);
        json_t *value;

        assert_int_equal(task_document_to_json(d, &value), 0);
        assert_int_equal(json_encode(value, &out), 0);
        assert_string_equal(buffer_text(&out), text);
        json_decref(value);
}

static TaskDocument document_of(const char *document, const char *response)
{
        return (TaskDocument){
                .task_id = "t1",
                .type = "annotation",
                .status = TASK_COMPLETED,
                .created_at = INT64_C(1466672974752000),
                .completed_at = INT64_C(1466673002798000),
                .document = document,
                .document_size = document ? strlen(document) : 0,
                .response = response,
                .response_size = response ? strlen(response) : 0,
        };
}

static void test_as_it_came(_unused_ void **state)
{
        static const char first[] = FIRST;
        TaskDocument d = document_of(first, first);

        /* Members, their order, and how a time was written, stay. */
        expect(&d, "{\"task_id\":\"t1\",\"completed_at\":\"2016-06-23T09:10:02.798Z\",\"response\":{\"n\":1}"
                   ","
                   "\"created_at\":\"2016-6-23T09:09:34.752Z\",\"type\":\"annotation\",\"status\":"
                   "\"completed\","
                   "\"params\":{\"x\":0.3},\"extra\":null}");
}

static void test_newer_response(_unused_ void **state)
{
        TaskDocument d = document_of(FIRST, SECOND);

        d.completed_at += 1000000;
        expect(&d, "{\"task_id\":\"t1\",\"completed_at\":\"2016-06-23T09:10:03.798Z\",\"response\":{\"n\":2}"
                   ","
                   "\"created_at\":\"2016-6-23T09:09:34.752Z\",\"type\":\"annotation\",\"status\":"
                   "\"completed\","
                   "\"params\":{\"x\":0.3},\"extra\":null}");
}

static void test_without_document(_unused_ void **state)
{
        TaskDocument d = document_of(NULL, SECOND);

        d.is_test = true;
        expect(&d, "{\"task_id\":\"t1\",\"type\":\"annotation\",\"status\":\"completed\",\"metadata\":{},"
                   "\"created_at\":\"2016-06-23T09:09:34.752Z\",\"completed_at\":\"2016-06-23T09:10:02."
                   "798Z\","
                   "\"response\":{\"n\":2},\"is_test\":true}");
}

static void test_damaged_bodies(_unused_ void **state)
{
        static const char *const bodies[] = { "", "{", "[]", "{\"task\":1}", "{\"task\":{}}" };

        FOREACH_ARRAY(b, bodies, ELEMENTSOF(bodies)) {
                TaskDocument d = document_of(*b, *b);
                json_t *value;

                assert_int_equal(task_document_to_json(&d, &value), -EBADMSG);
        }
}

static void test_response_of_body(_unused_ void **state)
{
        json_t *value;

        assert_int_equal(task_response_of_body(SECOND, strlen(SECOND), &value), 0);
        assert_int_equal(json_integer_value(json_object_get(value, "n")), 2);
        json_decref(value);
        assert_int_equal(task_response_of_body("{}", 2, &value), -ENOENT);
        assert_int_equal(task_response_of_body("{", 1, &value), -EBADMSG);
}

static void test_encode(_unused_ void **state)
{
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "0.3", "0.3" },
                { "5.106188", "5.106188" },
                { "0.1", "0.1" },
                { "1e22", "1e+22" },
                { "1.0", "1.0" },
                { "0.30000000000000004", "0.30000000000000004" },
                { "-0.0", "-0.0" },
                { "9007199254740993", "9007199254740993" },
                { "[]", "[]" },
                { "{ }", "{}" },
                { "[1, {\"a\" : [true,false,null]}, \"x\"]", "[1,{\"a\":[true,false,null]},\"x\"]" },
                { "\"\\u0000\\n\\\"\xc3\xa9\"", "\"\\u0000\\n\\\"\xc3\xa9\"" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                _cleanup_buffer_ Buffer out = BUFFER_INIT(256);
                json_t *value = json_loads(i->in, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

                assert_non_null(value);
                assert_int_equal(json_encode(value, &out), 0);
                assert_string_equal(buffer_text(&out), i->out);
                json_decref(value);
        }
}

static void test_encode_is_capped(_unused_ void **state)
{
        json_t *value = json_pack("[s, s]", "0123456789", "0123456789");

        for (size_t max = 1; max < 27; max++) {
                _cleanup_buffer_ Buffer out = BUFFER_INIT(max);

                assert_int_equal(json_encode(value, &out), -ENOBUFS);
        }
        json_decref(value);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_as_it_came),
                cmocka_unit_test(test_newer_response),
                cmocka_unit_test(test_without_document),
                cmocka_unit_test(test_damaged_bodies),
                cmocka_unit_test(test_response_of_body),
                cmocka_unit_test(test_encode),
                cmocka_unit_test(test_encode_is_capped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
