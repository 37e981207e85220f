/* Query parameters, one value at a time. */

#include "test.h"

#include "basic/time-util.h"
#include "query/params.h"
#include "store/outbox.h"

static void test_numbers(_unused_ void **state)
{
        const Param p = { "limit", PARAM_NUMBER, 0, 1, 100 };
        uint64_t v = 7;

        assert_null(param_parse(&p, "100", &v));
        assert_int_equal(v, 100);
        assert_non_null(param_parse(&p, "0", &v));
        assert_non_null(param_parse(&p, "101", &v));
        assert_non_null(param_parse(&p, "1x", &v));
        assert_non_null(param_parse(&p, "-1", &v));
        assert_int_equal(v, 100);
}

static void test_words(_unused_ void **state)
{
        const Param status = { "status", PARAM_STATUS, 0, 0, 0 },
                    verdict = { "verdict", PARAM_VERDICT, 0, 0, 0 };
        const Param flag = { "is_test", PARAM_BOOLEAN, 0, 0, 0 }, text = { "type", PARAM_TEXT, 0, 0, 4 };
        const Param place = { "state", PARAM_STATE, 0, 0, 0 };
        SubmissionState at = _SUBMISSION_STATE_ERRNO;
        const Param time = { "start_time", PARAM_TIME, 0, 0, 0 };
        const char *borrowed = NULL;
        TaskStatus s = _TASK_STATUS_INVALID;
        Verdict v = _VERDICT_ERRNO;
        int64_t t = 0;
        int b = -1;

        assert_null(param_parse(&status, "canceled", &s));
        assert_int_equal(s, TASK_CANCELED);
        assert_non_null(param_parse(&status, "cancelled", &s));
        assert_null(param_parse(&verdict, "attachment_failure", &v));
        assert_int_equal(v, VERDICT_ATTACHMENT_FAILURE);
        assert_non_null(param_parse(&verdict, "", &v));
        assert_null(param_parse(&place, "unknown", &at));
        assert_int_equal(at, SUBMISSION_UNKNOWN);
        assert_non_null(param_parse(&place, "pending", &at));
        assert_null(param_parse(&flag, "true", &b));
        assert_int_equal(b, 1);
        assert_non_null(param_parse(&flag, "2", &b));
        assert_null(param_parse(&text, "abcd", &borrowed));
        assert_string_equal(borrowed, "abcd");
        assert_non_null(param_parse(&text, "abcde", &borrowed));
        assert_null(param_parse(&time, "2016-10-13", &t));
        assert_true(t == INT64_C(1476316800000000));
        assert_non_null(param_parse(&time, "soon", &t));
}

static void test_cursors(_unused_ void **state)
{
        static const TaskCursor good[] = { { 0, 0, 0 }, { INT64_C(1476316800000000), 7, 60000 },
                { -5, 1, 0 }, { INT64_MAX, INT64_MAX, INT64_MAX }, { -INT64_MAX, INT64_MAX, INT64_MAX } };
        static const char *const bad[] = { "1", "1.", ".1", "1.2.", "1.2.3.4", "1.2.x", "--1.2", "1.-2",
                "x.1", "1.99999999999999999999",
                "1111111111111111111111111111111111111111111111111111111111.1" };
        const Param p = { "after", PARAM_CURSOR, 0, 0, 0 };
        char buf[PARAM_CURSOR_SIZE];
        ParamCursor c = {};

        FOREACH_ARRAY(g, good, ELEMENTSOF(good)) {
                assert_null(param_parse(&p, param_cursor_format(g, buf), &c));
                assert_true(c.set);
                assert_memory_equal(&c.place, g, sizeof(*g));
        }
        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad))
                if (!param_parse(&p, *b, &c))
                        fail_msg("%s", *b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_cursors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
