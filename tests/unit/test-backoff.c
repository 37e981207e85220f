/* Back-off: the steps, and how far chance may take them; until when the API wants to be left alone. */

#include "test.h"

#include "basic/parse.h"
#include "submitd/api/backoff.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define NONE   UINT64_MAX

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

static void test_doubled(_unused_ void **state)
{
        assert_int_equal(backoff_doubled(1, 10, 100), 10);
        assert_int_equal(backoff_doubled(2, 10, 100), 20);
        assert_int_equal(backoff_doubled(4, 10, 100), 80);
        assert_int_equal(backoff_doubled(5, 10, 100), 100);
        assert_int_equal(backoff_doubled(UINT32_MAX, 10, 100), 100);
        assert_int_equal(backoff_doubled(1, 100, 10), 10);
        assert_int_equal(backoff_doubled(0, 10, 100), 10);
}

static ApiAnswer answer_of(unsigned status, uint64_t retry_after)
{
        return (ApiAnswer){ .sent = true, .status = status, .body = "", .retry_after = retry_after };
}

/* One answer each, long after the one before. */
static void test_answers(_unused_ void **state)
{
        static const struct {
                unsigned status;
                uint64_t retry_after, wait;
        } cases[] = {
                { 200, NONE, 0 },
                { 200, 5 * USEC_PER_SEC, 0 },
                { 429, 5 * USEC_PER_SEC, 5 * USEC_PER_SEC },
                { 503, 7 * USEC_PER_SEC, 7 * USEC_PER_SEC },
                { 503, NONE, 0 },
                { 500, NONE, 0 },
                { 429, 0, 0 },
                { 429, UINT64_MAX - 1, RETRY_AFTER_MAX },
                { 429, NONE, 30 * USEC_PER_SEC },
                { 429, NONE, 2 * MINUTE },
                { 500, NONE, 0 }, /* says nothing either way */
                { 429, NONE, 10 * MINUTE },
                { 429, NONE, 10 * MINUTE },
                { 200, NONE, 0 },
                { 429, NONE, 30 * USEC_PER_SEC },
        };
        uint64_t now = 1000 * USEC_PER_SEC;
        RetryAfter r = { 0 };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const ApiAnswer a = answer_of(c->status, c->retry_after);

                retry_after_note(&r, &a, now);
                assert_int_equal(MAX(r.until, now) - now, c->wait);
                now += 2 * RETRY_AFTER_MAX;
        }
}

/* What eight requests that were under way at once are told was said once. */
static void test_many_at_once_are_one_time(_unused_ void **state)
{
        const ApiAnswer busy = answer_of(429, NONE), later = answer_of(429, 5 * USEC_PER_SEC);
        RetryAfter r = { 0 };

        for (unsigned i = 0; i < 8; i++)
                retry_after_note(&r, &busy, USEC_PER_SEC);
        assert_int_equal(r.until, 31 * USEC_PER_SEC);
        retry_after_note(&r, &later, 2 * USEC_PER_SEC); /* never earlier than was said before */
        assert_int_equal(r.until, 31 * USEC_PER_SEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steps),
                cmocka_unit_test(test_jitter),
                cmocka_unit_test(test_two_go_apart),
                cmocka_unit_test(test_local),
                cmocka_unit_test(test_doubled),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_many_at_once_are_one_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
