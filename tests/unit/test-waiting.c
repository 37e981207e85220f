/* What something waits for: each cause in its own words, and the one that has to go first. */

#include "submitd/outbox/waiting.h"

#include "test-outbox-common.h"

#define SUBMISSION "00000000000000000000000000000001"

static void test_no_cause_borrows_a_sentence(_unused_ void **state)
{
        for (int i = 0; i < (int)_WAITING_CAUSE_MAX; i++) {
                const char *text = waiting_words[i].text, *name = waiting_words[i].name;

                assert_non_null(text);
                assert_non_null(name);
                assert_true(i == WAITING_NOTHING || *text);
                for (int j = 0; j < i; j++) {
                        assert_string_not_equal(text, waiting_words[j].text);
                        assert_string_not_equal(name, waiting_words[j].name);
                }
        }
}

static Waiting look(Bench *b)
{
        StoreQueue queue = bench_queue(b);
        Waiting w;

        assert_int_equal(waiting_look(b->outbox, &queue, true, &w), 0);
        return w;
}

static void test_failures_have_their_causes(_unused_ void **state)
{
        static const struct {
                int error;
                bool sent;
                WaitingCause cause;
        } cases[] = {
                { -EHOSTUNREACH, false, WAITING_NAME },
                { -ECONNREFUSED, false, WAITING_REFUSED },
                { -ENETUNREACH, false, WAITING_NO_WAY },
                { -EBADE, false, WAITING_TLS },
                { -ETIMEDOUT, false, WAITING_CONNECT_TIMEOUT },
                { -ENOMEM, false, WAITING_UNREACHABLE },
                { -ETIMEDOUT, true, WAITING_NO_ANSWER },
                { -EPROTO, true, WAITING_NO_ANSWER },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                assert_int_equal(
                                waiting_cause_of_failure(&(ApiAnswer){ .error = c->error, .sent = c->sent }),
                                c->cause);
}

/* The last answer counts, whatever it was about. */
static void test_the_network_until_there_is_an_answer(void **state)
{
        Bench *b = *state;

        bench_add(b, SUBMISSION);
        bench_start(b);
        bench_answer_with(b, "GET", "/tasks?limit=1", bench_failure(-EHOSTUNREACH, false));
        assert_int_equal(look(b).cause, WAITING_NAME);
        assert_true(look(b).until > b->realtime);
        bench_pass(b, HOUR);
        bench_probe(b);
        assert_int_equal(look(b).cause, WAITING_NOTHING);
}

static void test_a_hold_comes_first(void **state)
{
        Bench *b = *state;

        bench_add(b, SUBMISSION);
        bench_start(b);
        bench_answer(b, "GET", "/tasks?limit=1", 402, "{\"error\":\"Pay.\"}");
        assert_int_equal(look(b).cause, WAITING_ACCOUNT);
        assert_non_null(strstr(look(b).text, "402: Pay."));
        assert_true(look(b).until == TIME_NONE);
}

static void test_nothing_waits_where_nothing_is(void **state)
{
        Bench *b = *state;

        bench_start(b);
        assert_int_equal(look(b).cause, WAITING_NOTHING);
        assert_string_equal(look(b).text, "");
}

static void test_a_submission_waits_for_itself(_unused_ void **state)
{
        const Waiting none = { .until = TIME_NONE }, name = { .cause = WAITING_NAME, .until = T0 },
                      held = { .cause = WAITING_HELD, .until = TIME_NONE };
        Submission s = { .state = SUBMISSION_QUEUED, .next_at = T0 + HOUR, .error = "the API answered 500" };
        Waiting w;

        assert_true(waiting_of_submission(&s, &none, T0, &w));
        assert_int_equal(w.cause, WAITING_BACKOFF);
        assert_true(w.until == T0 + HOUR && strstr(w.text, ": the API answered 500"));
        assert_true(waiting_of_submission(&s, &name, T0, &w));
        assert_true(w.cause == WAITING_NAME && w.until == T0 + HOUR);
        s.next_at = T0;
        assert_false(waiting_of_submission(&s, &none, T0, &w));
        s.state = SUBMISSION_UNKNOWN;
        assert_true(waiting_of_submission(&s, &none, T0, &w));
        assert_int_equal(w.cause, WAITING_SETTLE);
        assert_true(waiting_of_submission(&s, &held, T0, &w)); /* it is looked for all the same */
        assert_int_equal(w.cause, WAITING_SETTLE);
        s.state = SUBMISSION_ACCEPTED;
        s.next_at = TIME_NONE;
        assert_false(waiting_of_submission(&s, &name, T0, &w));
        s.cancel_wanted = true;
        assert_true(waiting_of_submission(&s, &none, T0, &w));
        assert_int_equal(w.cause, WAITING_CANCEL);
        assert_true(waiting_of_submission(&s, &name, T0, &w));
        assert_int_equal(w.cause, WAITING_NAME);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_cause_borrows_a_sentence),
                cmocka_unit_test(test_failures_have_their_causes),
                T(test_the_network_until_there_is_an_answer),
                T(test_a_hold_comes_first),
                T(test_nothing_waits_where_nothing_is),
                cmocka_unit_test(test_a_submission_waits_for_itself),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
