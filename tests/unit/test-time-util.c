/* Time stamps as clients write them. */

#include "test.h"

#include "basic/time-util.h"

#define T INT64_C(1476398322123456) /* 2016-10-13T22:38:42.123456Z */

static void test_parse(_unused_ void **state)
{
        static const struct {
                const char *text;
                int64_t t;
        } cases[] = {
                { "2016-10-13T22:38:42.123456", T },
                { "2016-10-13T22:38:42.123456Z", T },
                { "2016-10-13 22:38:42.123456Z", T },
                { "2016-10-13T22:38:42.123456+00:00", T },
                { "2016-10-14T00:38:42.123456+02:00", T },
                { "2016-10-13T17:08:42.123456-0530", T },
                { "2016-10-13T22:38:42.123456789Z", T },
                { "2016-10-13T22:38:42.123Z", T - 456 },
                { "2016-10-13T22:38:42Z", T - 123456 },
                { "2016-10-13T22:38Z", T - 123456 - 42000000 },
                { "2016-10-13", INT64_C(1476316800000000) },
                { "2016-9-03T07:38:32.368Z", INT64_C(1472888312368000) },
                { "1970-01-01", 0 },
                { "2016-02-29", INT64_C(1456704000000000) },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                int64_t t = 1;

                if (time_parse(c->text, &t) != 0 || t != c->t)
                        fail_msg("%s: %lld", c->text, (long long)t);
        }
}

static void test_refuses(_unused_ void **state)
{
        static const char *const cases[] = {
                "",
                "yesterday",
                "2016",
                "2016-13-01",
                "2016-00-01",
                "2015-02-29",
                "2016-10-32",
                "2016-10-13T24:00:00Z",
                "2016-10-13T22:60:00Z",
                "2016-10-13T22:38:61Z",
                "2016-10-13T22:38:42.Z",
                "2016-10-13T22:38:42.1234567890Z",
                "2016-10-13T22:38:42Zx",
                "2016-10-13T22:38:42+25:00",
                "2016-10-13T",
                " 2016-10-13",
                "10000-01-01",
                "1969-12-31",
                "-2016-10-13",
                "9999-12-31T23:59:59-00:01",
                "9999-12-31T23:59:60Z",
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                int64_t t = 1;

                if (time_parse(*c, &t) != -EINVAL || t != 1)
                        fail_msg("%s", *c);
        }
}

static void test_format(_unused_ void **state)
{
        char buf[TIME_STAMP_SIZE];

        assert_string_equal(time_format(T, buf), "2016-10-13T22:38:42.123456Z");
        assert_string_equal(time_format(T - 456, buf), "2016-10-13T22:38:42.123Z");
        assert_string_equal(time_format(0, buf), "1970-01-01T00:00:00.000Z");
        assert_string_equal(time_format(-1000, buf), "1969-12-31T23:59:59.999Z");
        assert_string_equal(time_format(INT64_MAX, buf), "9999-12-31T23:59:59.999999Z");
        assert_string_equal(time_format(INT64_MIN, buf), "1000-01-01T00:00:00.000Z");
}

/* Both ends of what can be read can be written: a time stamp of a peer must not end the program. */
static void test_the_ends_can_be_written(_unused_ void **state)
{
        static const struct {
                const char *text, *written;
        } cases[] = {
                { "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z" },
                { "9999-12-31T22:59:59-01:00", "9999-12-31T23:59:59.000Z" },
                { "1970-01-01T00:00+23:59", "1969-12-31T00:01:00.000Z" },
        };
        char buf[TIME_STAMP_SIZE];

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                int64_t t;

                assert_int_equal(time_parse(c->text, &t), 0);
                assert_string_equal(time_format(t, buf), c->written);
        }
}

static void test_there_and_back(_unused_ void **state)
{
        char buf[TIME_STAMP_SIZE];

        for (int64_t t = 0; t < INT64_C(4102444800000000); t += INT64_C(86399123457001)) {
                int64_t back;

                assert_int_equal(time_parse(time_format(t, buf), &back), 0);
                assert_true(back == t);
        }
}

static void test_http_date(_unused_ void **state)
{
        static const struct {
                const char *text;
                int64_t seconds;
        } cases[] = {
                { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
                { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
                { "Thu, 29 Feb 2024 23:59:59 GMT", 1709251199 },
                { "Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799) },
        };
        int64_t t;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                t = 1;
                if (time_parse_http_date(c->text, &t) != 0 || t != c->seconds * 1000000)
                        fail_msg("%s: %lld", c->text, (long long)t);
        }

        /* A leap second is of the day that it ends. */
        assert_int_equal(time_parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", &t), 0);
        assert_int_equal(t, INT64_C(1483228800) * 1000000);
}

static void test_http_date_refuses(_unused_ void **state)
{
        static const char *const cases[] = {
                "",
                "Sun",
                "0",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
                "Mon, 06 Nov 1994 08:49:37 GMT",
                "sun, 06 nov 1994 08:49:37 gmt",
                "Sun, 6 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 94 08:49:37 GMT",
                "Sun, 06 Nov 1994 8:49:37 GMT",
                "Sun, 06 Nov 1994 08:49 GMT",
                "Sun, 06 Nov 1994 08:49:37",
                "Sun, 06 Nov 1994 08:49:37 UTC",
                "Sun, 06 Nov 1994 08:49:37 +0000",
                "Sun, 06 Nov 1994 08:49:37 GMT ",
                " Sun, 06 Nov 1994 08:49:37 GMT",
                "Sun,  06 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 24:00:00 GMT",
                "Sun, 06 Nov 1994 08:60:00 GMT",
                "Sun, 06 Nov 1994 08:49:61 GMT",
                "Sun, 00 Nov 1994 08:49:37 GMT",
                "Thu, 31 Nov 1994 08:49:37 GMT",
                "Wed, 29 Feb 2023 08:49:37 GMT",
                "Wed, 31 Dec 1969 23:59:59 GMT",
                "Fri, 31 Dec 9999 23:59:60 GMT",
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                int64_t t = 1;

                if (time_parse_http_date(*c, &t) != -EINVAL || t != 1)
                        fail_msg("%s", *c);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_the_ends_can_be_written),
                cmocka_unit_test(test_there_and_back),
                cmocka_unit_test(test_http_date),
                cmocka_unit_test(test_http_date_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
