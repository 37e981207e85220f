/* Bodies: what is JSON of our kind, what is read of an envelope, and when two responses are the same. */

#include "test.h"

#include <stdio.h>

#include "basic/time-util.h"
#include "task/callback.h"

static Callback *parse(const char *body, int outcome)
{
        Callback *c;

        assert_int_equal(callback_parse(body, strlen(body), &c), outcome);
        return c;
}

static void test_what_is_no_json(_unused_ void **state)
{
        static const struct {
                const char *body, *says;
        } cases[] = {
                { "", "empty" },
                { " ", "not JSON" },
                { "[]", "got a list" },
                { "{", "not JSON, line 1" },
                { "{}{}", "not JSON" },
                { "{\"a\":1,}", "not JSON" },
                { "{\"a\":1,\"a\":2}", "duplicate" },
                { "{\"a\":{\"b\":1,\"b\":1}}", "duplicate" },
                { "{\"a\":\"\xff\"}", "unable to decode" },
                { "{\"a\":\"\xed\xa0\x80\"}", "unable to decode" },
                { "{\"a\":\"\\ud800\",}", "line 1, column 14: this can't stand here" },
                { "{\"a\":1e999,\n\"b\":}", "line 2, column 4: this can't stand here" },
                { "{\"a\":NaN}", "not JSON" },
                { "{'a':1}", "not JSON" },
                { "{\"a\":\"\t\"}", "not JSON" },
                { "\xef\xbb\xbf{}", "not JSON" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                Callback *c = parse(i->body, CALLBACK_NOT_JSON);

                assert_int_equal(c->problems.n, 1);
                assert_int_equal(c->problems.n_errors, 1);
                assert_string_equal(c->problems.items[0].path, "");
                if (!strstr(c->problems.items[0].message, i->says))
                        fail_msg("%s: \"%s\" says nothing of %s", i->body, c->problems.items[0].message,
                                        i->says);
                assert_null(c->root);
                assert_false(callback_needs_stored_task(c));
                callback_free(c);
        }
}

static void test_half_a_character_is_a_warning(_unused_ void **state)
{
        static const char body[] = "{\"task_id\":\"1\",\n\"response\":{\"say\":\"cow \\ud83d\"},"
                                   "\"task\":{\"task_id\":\"1\",\"type\":\"new\","
                                   "\"response\":{\"say\":\"cow \\ud83d\"}}}";
        Callback *c = parse(body, 0);

        assert_int_equal(callback_check(c, NULL, 0), 0);
        assert_string_equal(json_string_value(json_object_get(c->response, "say")), "cow \xef\xbf\xbd");
        assert_int_equal(c->problems.n, 1);
        assert_int_equal(c->problems.items[0].severity, SEVERITY_WARNING);
        assert_string_equal(c->problems.items[0].message, "half a character, \\ud83d in line 2, column 24, "
                                                          "is read as U+FFFD (2 of them in all)");
        callback_free(c);

        c = parse(body, 0);
        assert_int_equal(callback_check(c, NULL, CALLBACK_STRICT), CALLBACK_INVALID);
        callback_free(c);
}

static void test_a_box_is_no_larger_than_a_double(_unused_ void **state)
{
        Callback *c = parse("{\"task_id\":\"1\",\"response\":{\"annotations\":[{\"left\":1e400,\"top\":"
                            "123.45678901234567890,\"width\":1,\"height\":1}]},\"task\":{\"task_id\":\"1\","
                            "\"type\":\"annotation\",\"params\":{\"huge\":-1e400}}}",
                        0);

        assert_int_equal(callback_check(c, NULL, 0), CALLBACK_INVALID);
        assert_int_equal(c->problems.n, 1);
        assert_string_equal(c->problems.items[0].path, "response.annotations[0].left");
        assert_string_equal(c->problems.items[0].message,
                        "expected a number within those of a double, got 1e400");
        callback_free(c);
}

static void test_nul_bytes(_unused_ void **state)
{
        Callback *c;

        assert_int_equal(callback_parse("{}\0{}", 5, &c), CALLBACK_NOT_JSON);
        callback_free(c);

        /* jansson reads past one that follows a number or a literal. */
        assert_int_equal(callback_parse("{\"a\":1\0}", 8, &c), CALLBACK_NOT_JSON);
        assert_string_equal(c->problems.items[0].message, "not JSON, line 1, column 6: a NUL byte");
        callback_free(c);
        assert_int_equal(callback_parse("{\"a\":\ntrue\0}", 12, &c), CALLBACK_NOT_JSON);
        assert_string_equal(c->problems.items[0].message, "not JSON, line 2, column 4: a NUL byte");
        callback_free(c);

        /* Escaped it is a character like others, but not one of an id. */
        c = parse("{\"task_id\":\"a\\u0000b\",\"response\":{\"x\":\"\\u0000\"}}", 0);
        assert_null(c->task_id);
        callback_free(c);
}

/* What the parser says quotes the bytes that it stumbled over. */
static void test_problems_of_a_body_that_is_no_text_can_be_written(_unused_ void **state)
{
        Callback *c = parse("{\"ac\\ud\xca\xa3\x8a\xa0\":1}", CALLBACK_NOT_JSON);
        json_t *list = problems_to_json(&c->problems);

        assert_non_null(list);
        json_decref(list);
        callback_free(c);
}

static void test_depth(_unused_ void **state)
{
        char body[2048];

        for (unsigned depth = CALLBACK_DEPTH_MAX - 1; depth <= CALLBACK_DEPTH_MAX; depth++) {
                Callback *c;
                size_t n;

                n = (size_t)snprintf(body, sizeof(body), "{\"a\":");
                memset(body + n, '[', depth);
                memset(body + n + depth, ']', depth);
                snprintf(body + n + 2 * depth, sizeof(body) - n - 2 * depth, "}");
                c = parse(body, depth < CALLBACK_DEPTH_MAX ? 0 : CALLBACK_NOT_JSON);
                callback_free(c);
        }

        /* Brackets in texts are no depth. */
        memset(body, '[', 200);
        memcpy(body, "{\"a\":\"\\\"[", 9);
        snprintf(body + 200, sizeof(body) - 200, "\"}");
        callback_free(parse(body, 0));
}

#define ID "576ba74eec471ff9b01557cc"

static void test_envelope(_unused_ void **state)
{
        Callback *c;

        c = parse("{\"task_id\":\"" ID "\",\"response\":{\"category\":\"a\"},\"task\":{\"task_id\":\"" ID
                  "\","
                  "\"type\":\"categorization\",\"status\":\"completed\",\"is_test\":true,"
                  "\"completed_at\":\"2016-06-23T09:10:02.798Z\",\"params\":{\"categories\":[\"a\"]}}}",
                        0);
        assert_int_equal(callback_check(c, NULL, 0), 0);
        assert_string_equal(c->task_id, ID);
        assert_string_equal(c->type, "categorization");
        assert_int_equal(c->status, TASK_COMPLETED);
        assert_int_equal(c->kind, CALLBACK_RESPONSE);
        assert_true(c->is_test);
        assert_false(c->unchecked);
        assert_int_equal(c->completed_at, INT64_C(1466673002798000));
        assert_int_equal(c->created_at, INT64_C(0x576ba74e) * 1000000); /* out of the id */
        callback_free(c);
}

static void test_broken_envelope_still_names_its_task(_unused_ void **state)
{
        Callback *c = parse("{\"task_id\":\"" ID "\",\"task\":{\"type\":\"annotation\"}}", 0);

        assert_int_equal(callback_check(c, NULL, 0), CALLBACK_INVALID);
        assert_string_equal(c->task_id, ID);
        assert_string_equal(c->type, "annotation");
        callback_free(c);
}

static void test_without_task_the_stored_one_counts(_unused_ void **state)
{
        const char *body = "{\"task_id\":\"" ID "\",\"response\":{\"category\":\"a\"}}";
        json_t *stored =
                        json_pack("{s:s, s:{s:[s]}}", "type", "categorization", "params", "categories", "b");
        Callback *c = parse(body, 0);

        assert_true(callback_needs_stored_task(c));
        assert_int_equal(callback_check(c, NULL, 0), CALLBACK_INVALID);
        callback_free(c);

        /* Also where the response is none: what is wrong is said of the right task. */
        c = parse("{\"task_id\":\"" ID "\",\"response\":5}", 0);
        assert_true(callback_needs_stored_task(c));
        assert_int_equal(callback_check(c, stored, 0), CALLBACK_INVALID);
        assert_int_equal(c->problems.n, 1);
        assert_string_equal(c->problems.items[0].path, "response");
        callback_free(c);

        c = parse(body, 0);
        assert_int_equal(callback_check(c, stored, 0), CALLBACK_INVALID);
        assert_string_equal(c->problems.items[0].path, "response.category");
        assert_string_equal(c->type, "categorization");
        callback_free(c);
        json_decref(stored);
}

#define ACCOUNT(status, rest)                                                               \
        "{\"task_id\":\"" ID "\",\"task\":{\"task_id\":\"" ID "\",\"type\":\"annotation\"," \
        "\"status\":\"" status "\"" rest "}}"

static void test_an_account_needs_no_response_where_it_is_allowed(_unused_ void **state)
{
        static const struct {
                const char *body;
                TaskStatus status;
                const char *path; /* of the first problem; NULL: there is none */
        } cases[] = {
                { ACCOUNT("pending", ""), TASK_PENDING, NULL },
                { ACCOUNT("canceled", ""), TASK_CANCELED, NULL },
                { ACCOUNT("error", ""), TASK_ERROR, NULL },
                { ACCOUNT("pending", ",\"response\":null"), TASK_PENDING, NULL },
                { ACCOUNT("completed", ""), TASK_COMPLETED, "response" },
                { ACCOUNT("lost", ""), TASK_COMPLETED, "task.status" },
                { ACCOUNT("canceled", ",\"response\":{\"annotations\":[]}"), TASK_CANCELED, "response" },
                { "{\"task_id\":\"x\",\"task\":{\"task_id\":\"y\",\"type\":\"annotation\","
                  "\"status\":\"pending\"}}",
                                TASK_PENDING, "task.task_id" },
                { "{\"task\":{\"task_id\":\"y\",\"type\":\"annotation\",\"status\":\"pending\"}}",
                                TASK_PENDING, "task_id" },
                { "{\"task_id\":\"y\",\"task\":{\"task_id\":\"y\",\"status\":\"pending\"}}", TASK_PENDING,
                                "task.type" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                Callback *c = parse(i->body, 0);

                assert_int_equal(callback_check(c, NULL, CALLBACK_ALLOW_SNAPSHOT),
                                i->path ? CALLBACK_INVALID : 0);
                if (i->path)
                        assert_string_equal(c->problems.items[0].path, i->path);
                else {
                        assert_int_equal(c->problems.n, 0);
                        assert_int_equal(c->kind, CALLBACK_SNAPSHOT);
                }
                assert_int_equal(c->status, i->status);
                callback_free(c);

                /* What comes from the network needs one. */
                c = parse(i->body, 0);
                assert_int_equal(callback_check(c, NULL, 0), CALLBACK_INVALID);
                assert_int_equal(c->kind, CALLBACK_RESPONSE);
                callback_free(c);
        }
}

static void test_an_account_of_an_unknown_type_is_unchecked(_unused_ void **state)
{
        Callback *c = parse("{\"task_id\":\"y\",\"task\":{\"task_id\":\"y\",\"type\":\"polygon\","
                            "\"status\":\"pending\"}}",
                        0);

        assert_int_equal(callback_check(c, NULL, CALLBACK_ALLOW_SNAPSHOT), 0);
        assert_true(c->unchecked);
        callback_free(c);
}

static void test_accounts_are_told_apart_by_their_task(_unused_ void **state)
{
        static const char *const bodies[] = {
                ACCOUNT("pending", ",\"urgency\":\"day\""),
                "{\"task\":{\"urgency\":\"day\",\"status\":\"pending\",\"type\":\"annotation\","
                "\"task_id\":\"" ID "\"},\"task_id\":\"" ID "\"}",
                ACCOUNT("canceled", ",\"urgency\":\"day\""),
        };
        uint8_t digests[ELEMENTSOF(bodies)][CALLBACK_DIGEST_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                Callback *c = parse(bodies[i], 0);

                assert_int_equal(callback_check(c, NULL, CALLBACK_ALLOW_SNAPSHOT), 0);
                memcpy(digests[i], c->digest, sizeof(c->digest));
                callback_free(c);
        }
        assert_memory_equal(digests[0], digests[1], CALLBACK_DIGEST_SIZE);
        assert_memory_not_equal(digests[0], digests[2], CALLBACK_DIGEST_SIZE);
}

static void test_a_result_stays_one_where_accounts_are_allowed(_unused_ void **state)
{
        Callback *c = parse("{\"task_id\":\"y\",\"response\":{\"annotations\":[]},\"task\":{"
                            "\"task_id\":\"y\",\"type\":\"annotation\",\"status\":\"pending\"}}",
                        0);

        assert_int_equal(callback_check(c, NULL, CALLBACK_ALLOW_SNAPSHOT), 0);
        assert_int_equal(c->kind, CALLBACK_RESPONSE);
        assert_int_equal(c->status, TASK_PENDING); /* recalled, says who was asked */
        callback_free(c);
}

static void test_body_from_task(_unused_ void **state)
{
        static const struct {
                const char *task, *body;
        } cases[] = {
                { "{\"task_id\":\"y\",\"status\":\"pending\"}",
                                "{\"task_id\":\"y\",\"task\":{\"task_id\":\"y\",\"status\":\"pending\"}}" },
                { "{\"task_id\":\"y\",\"response\":null}",
                                "{\"task_id\":\"y\",\"task\":{\"task_id\":\"y\",\"response\":null}}" },
                { "{\"response\":{\"duration\":0.3},\"task_id\":\"y\"}",
                                "{\"task_id\":\"y\",\"response\":{\"duration\":0.3},\"task\":{"
                                "\"response\":{\"duration\":0.3},\"task_id\":\"y\"}}" },
                { "{}", "{\"task\":{}}" },
                { "[]", "{\"task\":[]}" },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                _cleanup_buffer_ Buffer out = BUFFER_INIT(1024), tight = BUFFER_INIT(5);
                json_t *task = json_loads(i->task, 0, NULL);

                assert_int_equal(callback_body_from_task(task, &out), 0);
                assert_string_equal(buffer_text(&out), i->body);
                assert_int_equal(callback_body_from_task(task, &tight), -ENOBUFS);
                json_decref(task);
        }
}

static void test_many_problems_are_bounded(_unused_ void **state)
{
        json_t *boxes = json_array(), *body, *list;
        _cleanup_free_ char *text = NULL;
        Callback *c;

        for (unsigned i = 0; i < 1000; i++)
                json_array_append_new(boxes, json_pack("{s:i, s:i, s:i, s:i}", "left", 0, "top", 0, "width",
                                                             0, "height", 1));
        body = json_pack("{s:s, s:{s:o}, s:{s:s, s:s}}", "task_id", ID, "response", "annotations", boxes,
                        "task", "task_id", ID, "type", "annotation");
        text = json_dumps(body, 0);
        c = parse(text, 0);
        assert_int_equal(callback_check(c, NULL, 0), CALLBACK_INVALID);
        assert_int_equal(c->problems.n, PROBLEMS_MAX);
        assert_int_equal(c->problems.n_errors, 1000);

        list = problems_to_json(&c->problems);
        assert_int_equal(json_array_size(list), PROBLEMS_MAX + 1);
        assert_string_equal(
                        json_string_value(json_object_get(json_array_get(list, PROBLEMS_MAX), "message")),
                        "and 936 more");
        json_decref(list);
        callback_free(c);
        json_decref(body);
}

/* Digests. */

static void digest(const char *text, uint8_t ret[static CALLBACK_DIGEST_SIZE])
{
        json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        if (!value)
                fail_msg("%s", text);
        assert_int_equal(json_digest(value, ret), 0);
        json_decref(value);
}

static void test_digest(_unused_ void **state)
{
        static const struct {
                const char *a, *b;
                bool same;
        } cases[] = {
                { "{\"a\":1,\"b\":2}", "{\"b\":2, \"a\":1}", true },
                { "1", "1.0", true },
                { "1", "1e0", true },
                { "0", "-0.0", true },
                { "100000000000000000000.0", "1e20", true },
                { "\"\\u00e9\"", "\"\xc3\xa9\"", true },
                { "9007199254740993", "9007199254740992", false },
                { "1", "\"1\"", false },
                { "1", "true", false },
                { "null", "false", false },
                { "[]", "{}", false },
                { "[[],[]]", "[[[]]]", false },
                { "[\"ab\",\"c\"]", "[\"a\",\"bc\"]", false },
                { "[1,2]", "[2,1]", false },
                { "{\"a\":null}", "{}", false },
                { "\"a\"", "\"a\\u0000\"", false },
                { "0.1", "0.10000000000000001", true },
                { "0.1", "0.1000000000000001", false },
        };

        FOREACH_ARRAY(i, cases, ELEMENTSOF(cases)) {
                uint8_t a[CALLBACK_DIGEST_SIZE], b[CALLBACK_DIGEST_SIZE];

                digest(i->a, a);
                digest(i->b, b);
                if ((memcmp(a, b, sizeof(a)) == 0) != i->same)
                        fail_msg("%s and %s", i->a, i->b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_no_json),
                cmocka_unit_test(test_half_a_character_is_a_warning),
                cmocka_unit_test(test_a_box_is_no_larger_than_a_double),
                cmocka_unit_test(test_nul_bytes),
                cmocka_unit_test(test_problems_of_a_body_that_is_no_text_can_be_written),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_envelope),
                cmocka_unit_test(test_broken_envelope_still_names_its_task),
                cmocka_unit_test(test_without_task_the_stored_one_counts),
                cmocka_unit_test(test_an_account_needs_no_response_where_it_is_allowed),
                cmocka_unit_test(test_an_account_of_an_unknown_type_is_unchecked),
                cmocka_unit_test(test_accounts_are_told_apart_by_their_task),
                cmocka_unit_test(test_a_result_stays_one_where_accounts_are_allowed),
                cmocka_unit_test(test_body_from_task),
                cmocka_unit_test(test_many_problems_are_bounded),
                cmocka_unit_test(test_digest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
