/* Tasks that are not asked about for a while. */

#include "test.h"

#include "basic/parse.h"
#include "submitd/recover/snooze.h"

static Snooze snooze; /* all tests begin with an empty one */

#define HOUR (3600 * USEC_PER_SEC)

static void test_longer_and_longer(_unused_ void **state)
{
        static const unsigned hours[] = { 1, 2, 4, 8, 16, 24, 24 };
        Snooze *s = &snooze;
        uint64_t now = 5;
        bool first = true;

        snooze = (Snooze){ 0 };
        assert_false(snooze_holds(s, 7, now));
        FOREACH_ARRAY(h, hours, ELEMENTSOF(hours)) {
                assert_int_equal(snooze_add(s, 7, now), first);
                first = false;
                assert_true(snooze_holds(s, 7, now + *h * HOUR - 1));
                assert_false(snooze_holds(s, 7, now + *h * HOUR));
                now += *h * HOUR;
        }
        assert_int_equal(s->n, 1);
        assert_false(snooze_holds(s, 6, 5));
        assert_false(snooze_holds(s, 8, 5));
        snooze_remove(s, 6);
        snooze_remove(s, 7);
        snooze_remove(s, 7);
        assert_int_equal(s->n, 0);
        assert_true(snooze_add(s, 7, now));
}

static void test_in_any_order(_unused_ void **state)
{
        Snooze *s = &snooze;

        snooze = (Snooze){ 0 };
        for (uint64_t i = 0; i < 1000; i++)
                assert_true(snooze_add(s, i * 7919 % 1000 * 2, i));
        for (uint64_t i = 0; i < 2000; i++)
                assert_int_equal(snooze_holds(s, i, 0), i % 2 == 0);
        for (uint64_t i = 0; i < 1000; i++)
                snooze_remove(s, i * 7919 % 1000 * 2);
        assert_int_equal(s->n, 0);
}

/* Where there is no place, the one that would be asked about next goes: nobody else. */
static void test_it_is_bounded(_unused_ void **state)
{
        Snooze *s = &snooze;

        snooze = (Snooze){ 0 };
        for (uint64_t i = 0; i < SNOOZE_MAX; i++)
                snooze_add(s, i, 1000 - MIN(i, 1000U));
        snooze_add(s, 5, 0);
        assert_int_equal(s->n, SNOOZE_MAX);
        snooze_add(s, UINT64_MAX, 2000);
        assert_int_equal(s->n, SNOOZE_MAX);
        assert_true(snooze_holds(s, UINT64_MAX, 2000));
        assert_false(snooze_holds(s, 1000, 0));
        for (uint64_t i = 0; i < SNOOZE_MAX; i++)
                assert_int_equal(snooze_holds(s, i, 0), i != 1000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_longer_and_longer),
                cmocka_unit_test(test_in_any_order),
                cmocka_unit_test(test_it_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
