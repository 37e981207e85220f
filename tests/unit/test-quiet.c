/* Until when the API wants to be left alone. */

#include "test.h"

#include "basic/parse.h"
#include "submitd/api/quiet.h"

#define SECOND USEC_PER_SEC
#define MINUTE (60 * SECOND)
#define NONE   UINT64_MAX

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
                { 200, 5 * SECOND, 0 },
                { 429, 5 * SECOND, 5 * SECOND },
                { 503, 7 * SECOND, 7 * SECOND },
                { 503, NONE, 0 },
                { 500, NONE, 0 },
                { 429, 0, 0 },
                { 429, UINT64_MAX - 1, QUIET_MAX },
                { 429, NONE, 30 * SECOND },
                { 429, NONE, 2 * MINUTE },
                { 500, NONE, 0 }, /* says nothing either way */
                { 429, NONE, 10 * MINUTE },
                { 429, NONE, 10 * MINUTE },
                { 200, NONE, 0 },
                { 429, NONE, 30 * SECOND },
        };
        uint64_t now = 1000 * SECOND;
        Quiet q = { 0 };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                const ApiAnswer a = answer_of(c->status, c->retry_after);

                quiet_note(&q, &a, now);
                assert_int_equal(MAX(q.until, now) - now, c->wait);
                now += 2 * QUIET_MAX;
        }
}

/* What eight requests that were under way at once are told was said once. */
static void test_many_at_once_are_one_time(_unused_ void **state)
{
        const ApiAnswer busy = answer_of(429, NONE), later = answer_of(429, 5 * SECOND);
        Quiet q = { 0 };

        for (unsigned i = 0; i < 8; i++)
                quiet_note(&q, &busy, SECOND);
        assert_int_equal(q.until, 31 * SECOND);
        quiet_note(&q, &later, 2 * SECOND); /* never earlier than was said before */
        assert_int_equal(q.until, 31 * SECOND);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_many_at_once_are_one_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
