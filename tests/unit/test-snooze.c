/* Tasks put aside, and what an answer means for who asked. */

#include "test.h"

#include "basic/parse.h"
#include "submitd/api/answer.h"
#include "submitd/recover/snooze.h"

#define HOUR (3600 * USEC_PER_SEC)

static void test_longer_and_longer(_unused_ void **state)
{
        static const unsigned hours[] = { 1, 2, 4, 8, 16, 24, 24 };
        _cleanup_(shelf_freep) Shelf *s = NULL;
        uint64_t now = 5;
        bool first = true;

        assert_int_equal(shelf_new(&s), 0);
        assert_false(shelf_holds(s, 7, now));
        FOREACH_ARRAY(h, hours, ELEMENTSOF(hours)) {
                assert_int_equal(shelf_put(s, 7, now), first);
                first = false;
                assert_true(shelf_holds(s, 7, now + *h * HOUR - 1));
                assert_false(shelf_holds(s, 7, now + *h * HOUR));
                now += *h * HOUR;
        }
        assert_int_equal(shelf_size(s), 1);
        assert_false(shelf_holds(s, 6, 5));
        assert_false(shelf_holds(s, 8, 5));
        shelf_take(s, 6);
        shelf_take(s, 7);
        shelf_take(s, 7);
        assert_int_equal(shelf_size(s), 0);
        assert_true(shelf_put(s, 7, now));
}

static void test_in_any_order(_unused_ void **state)
{
        _cleanup_(shelf_freep) Shelf *s = NULL;

        assert_int_equal(shelf_new(&s), 0);
        for (uint64_t i = 0; i < 1000; i++)
                assert_true(shelf_put(s, i * 7919 % 1000 * 2, i));
        for (uint64_t i = 0; i < 2000; i++)
                assert_int_equal(shelf_holds(s, i, 0), i % 2 == 0);
        for (uint64_t i = 0; i < 1000; i++)
                shelf_take(s, i * 7919 % 1000 * 2);
        assert_int_equal(shelf_size(s), 0);
}

/* Where there is no place, the one that would be asked about next goes: nobody else. */
static void test_it_is_bounded(_unused_ void **state)
{
        _cleanup_(shelf_freep) Shelf *s = NULL;

        assert_int_equal(shelf_new(&s), 0);
        for (uint64_t i = 0; i < SHELF_MAX; i++)
                shelf_put(s, i, 1000 - MIN(i, 1000U));
        shelf_put(s, 5, 0);
        assert_int_equal(shelf_size(s), SHELF_MAX);
        shelf_put(s, UINT64_MAX, 2000);
        assert_int_equal(shelf_size(s), SHELF_MAX);
        assert_true(shelf_holds(s, UINT64_MAX, 2000));
        assert_false(shelf_holds(s, 1000, 0));
        for (uint64_t i = 0; i < SHELF_MAX; i++)
                assert_int_equal(shelf_holds(s, i, 0), i != 1000);
}

static void test_what_answers_mean(_unused_ void **state)
{
        static const struct {
                int error;
                unsigned status;
                bool is_json;
                AnswerKind kind;
        } cases[] = {
                { 0, 200, true, ANSWER_GOOD },
                { 0, 200, false, ANSWER_BROKEN },
                { 0, 201, true, ANSWER_BROKEN },
                { 0, 204, false, ANSWER_BROKEN },
                { 0, 301, false, ANSWER_ACCOUNT },
                { 0, 400, true, ANSWER_ABSENT },
                { 0, 400, false, ANSWER_BROKEN },
                { 0, 401, true, ANSWER_ACCOUNT },
                { 0, 403, false, ANSWER_ACCOUNT },
                { 0, 404, true, ANSWER_ABSENT },
                { 0, 404, false, ANSWER_BROKEN },
                { 0, 408, true, ANSWER_BROKEN },
                { 0, 410, true, ANSWER_ABSENT },
                { 0, 429, false, ANSWER_LATER },
                { 0, 500, true, ANSWER_BROKEN },
                { -ETIMEDOUT, 0, false, ANSWER_BROKEN },
                { -EPROTO, 200, true, ANSWER_BROKEN },
                { -EPROTO, 404, true, ANSWER_BROKEN },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                assert_int_equal(answer_classify(&(ApiAnswer){
                                                 .error = c->error,
                                                 .status = c->status,
                                                 .is_json = c->is_json,
                                 }),
                                c->kind);
}

static void test_pauses(_unused_ void **state)
{
        assert_int_equal(answer_pause(1, 10, 100), 10);
        assert_int_equal(answer_pause(2, 10, 100), 20);
        assert_int_equal(answer_pause(4, 10, 100), 80);
        assert_int_equal(answer_pause(5, 10, 100), 100);
        assert_int_equal(answer_pause(UINT32_MAX, 10, 100), 100);
        assert_int_equal(answer_pause(1, 100, 10), 10);
        assert_int_equal(answer_pause(0, 10, 100), 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_longer_and_longer),
                cmocka_unit_test(test_in_any_order),
                cmocka_unit_test(test_it_is_bounded),
                cmocka_unit_test(test_what_answers_mean),
                cmocka_unit_test(test_pauses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
