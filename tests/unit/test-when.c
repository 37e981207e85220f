/* Times as people write them. */

#include "test.h"

#include <time.h>

#include "scalectl/text/when.h"

#define NOW INT64_C(1466672974752000) /* 2016-06-23T09:09:34.752Z */

static void expect(const char *text, bool utc, int64_t t)
{
        int64_t got = 0;

        if (when_parse(text, NOW, utc, &got) != 0 || got != t)
                fail_msg("%s: %lld instead of %lld", text, (long long)got, (long long)t);
}

static void test_forms(_unused_ void **state)
{
        expect("now", true, NOW);
        expect("2h", true, NOW - INT64_C(7200000000));
        expect("7d", true, NOW - INT64_C(604800000000));
        expect("90m ago", true, NOW - INT64_C(5400000000));
        expect("today", true, INT64_C(1466640000000000));
        expect("yesterday", true, INT64_C(1466553600000000));
        expect("2016-06-23", true, INT64_C(1466640000000000));
        expect("2016-06-23T09:09:34.752Z", false, NOW);
        expect("2016-06-23T11:09:34.752+02:00", false, NOW);
}

static void test_the_readers_zone(_unused_ void **state)
{
        setenv("TZ", "UTC-2", 1); /* two hours east */
        tzset();
        expect("2016-06-23T11:09:34.752", false, NOW);
        expect("2016-06-23T09:09:34.752", true, NOW);
        expect("today", false, INT64_C(1466632800000000));
        expect("1970-01-01", false, 0); /* there, that is before the first time that there is */
        expect("1970-01-01T01:59:59.5", false, 0);
        expect("1970-01-01T02:00:00.5", false, 500000);
        unsetenv("TZ");
        tzset();
}

static void test_refuses(_unused_ void **state)
{
        static const char *const texts[] = { "", "soon", "2", "2w", "-2h", "2016-13-01", "tomorrow" };
        int64_t t;

        FOREACH_ARRAY(s, texts, ELEMENTSOF(texts))
                if (when_parse(*s, NOW, true, &t) != -EINVAL)
                        fail_msg("%s", *s);
        assert_int_equal(when_parse("99999d", NOW, true, &t), -ERANGE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_the_readers_zone),
                cmocka_unit_test(test_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
