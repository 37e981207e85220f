/* Numbers, sizes and durations: all of the text or nothing. */

#include "test.h"

#include "basic/parse.h"

static void test_u64(_unused_ void **state)
{
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } cases[] = {
                { "5", 0, 5 },
                { "0", -ERANGE, 0 },
                { "10", 0, 10 },
                { "11", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { " 5", -EINVAL, 0 },
                { "5 ", -EINVAL, 0 },
                { "+5", -EINVAL, 0 },
                { "-5", -EINVAL, 0 },
                { "0x5", -EINVAL, 0 },
                { "5.0", -EINVAL, 0 },
                { "007", 0, 7 },
                { "18446744073709551616", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                uint64_t v = 77;

                if (parse_u64(c->text, 1, 10, &v) != c->result)
                        fail_msg("%s", c->text);
                assert_int_equal(v, c->result == 0 ? c->value : 77);
        }
}

static void test_u64_limits(_unused_ void **state)
{
        uint64_t v;

        assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
        assert_true(v == UINT64_MAX);
}

static void test_sizes(_unused_ void **state)
{
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "512", 0, 512 },
                { "8K", 0, 8192 },
                { "8M", 0, 8388608 },
                { "1G", 0, 1073741824 },
                { "8m", -EINVAL, 0 },
                { "8MB", -EINVAL, 0 },
                { "M", -EINVAL, 0 },
                { "1.5M", -EINVAL, 0 },
                { "18446744073709551615G", -ERANGE, 0 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                uint64_t v = 0;

                if (parse_size(c->text, &v) != c->result)
                        fail_msg("%s", c->text);
                assert_int_equal(v, c->value);
        }
}

static void test_durations(_unused_ void **state)
{
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } cases[] = {
                { "500ms", 0, 500000 },
                { "30s", 0, 30000000 },
                { "5m", 0, 300000000 },
                { "2h", 0, UINT64_C(7200000000) },
                { "90d", 0, UINT64_C(7776000000000) },
                { "0", 0, 0 },
                { "30", -EINVAL, 0 },
                { "s", -EINVAL, 0 },
                { "1w", -EINVAL, 0 },
                { "30 s", -EINVAL, 0 },
                { "99999999999999999d", -ERANGE, 0 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                uint64_t v = 0;

                if (parse_duration(c->text, &v) != c->result)
                        fail_msg("%s", c->text);
                assert_true(v == c->value);
        }
}

static void test_booleans(_unused_ void **state)
{
        static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off",
                "0" };
        bool b;

        FOREACH_ARRAY(s, yes, ELEMENTSOF(yes)) {
                assert_int_equal(parse_boolean(*s, &b), 0);
                assert_true(b);
        }
        FOREACH_ARRAY(s, no, ELEMENTSOF(no)) {
                assert_int_equal(parse_boolean(*s, &b), 0);
                assert_false(b);
        }
        assert_int_equal(parse_boolean("maybe", &b), -EINVAL);
        assert_int_equal(parse_boolean("", &b), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_u64),
                cmocka_unit_test(test_u64_limits),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_booleans),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
