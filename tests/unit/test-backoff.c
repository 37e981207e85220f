/* Back-off: the steps, and how far chance may take them. */

#include "test.h"

#include "basic/parse.h"
#include "submitd/api/backoff.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)

static const uint64_t steps[] = {
        0,
        30 * USEC_PER_SEC,
        2 * MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        4 * HOUR,
        4 * HOUR,
        4 * HOUR,
};

static void test_steps(_unused_ void **state)
{
        for (unsigned i = 0; i < ELEMENTSOF(steps); i++)
                assert_int_equal(backoff_step(i), steps[i]);
        assert_int_equal(backoff_step(UINT32_MAX), 4 * HOUR);
}

static void test_jitter(_unused_ void **state)
{
        uint64_t chance = 7;

        for (unsigned i = 0; i < ELEMENTSOF(steps); i++) {
                uint64_t least = UINT64_MAX, most = 0, sum = 0;

                for (unsigned n = 0; n < 1000; n++) {
                        uint64_t delay = backoff_delay(i, &chance);

                        least = MIN(least, delay);
                        most = MAX(most, delay);
                        sum += delay;
                }
                assert_true(least >= steps[i] * 8 / 10 && most <= steps[i] * 12 / 10);
                if (steps[i] > 0) { /* all of the room is used, evenly */
                        assert_true(least < steps[i] * 81 / 100 && most > steps[i] * 119 / 100);
                        assert_true(sum / 1000 > steps[i] * 98 / 100 && sum / 1000 < steps[i] * 102 / 100);
                }
        }
}

static void test_two_go_apart(_unused_ void **state)
{
        uint64_t a = 1, b = 2;

        assert_true(backoff_delay(3, &a) != backoff_delay(3, &b));
        a = b = 5;
        assert_int_equal(backoff_delay(3, &a), backoff_delay(3, &b));
}

static void test_local(_unused_ void **state)
{
        assert_int_equal(backoff_local(0), 100 * USEC_PER_MSEC);
        assert_int_equal(backoff_local(1), 200 * USEC_PER_MSEC);
        assert_int_equal(backoff_local(8), 25600 * USEC_PER_MSEC);
        assert_int_equal(backoff_local(9), 30 * USEC_PER_SEC);
        assert_int_equal(backoff_local(UINT32_MAX), 30 * USEC_PER_SEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steps),
                cmocka_unit_test(test_jitter),
                cmocka_unit_test(test_two_go_apart),
                cmocka_unit_test(test_local),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
