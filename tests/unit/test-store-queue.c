#include "test-store-outbox.h"

/* The outbox as a whole: holding it, what it counts, and who is to be canceled. */

/* The queue. */

static void test_hold(void **state)
{
        Fixture *f = *state;
        char long_reason[400];
        StoreQueue q;
        Seen s;

        q = get_queue(f);
        assert_int_equal(q.hold, QUEUE_RUNNING);
        assert_int_equal(q.held_since, TIME_NONE);
        assert_int_equal(q.oldest, TIME_NONE);
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_RUNNING, NULL, T0)), 0);
        assert_int_equal(IN_GROUP(f, store_lift_account_hold(f->store, T0)), 0);
        assert_int_equal(list_events(f, 0).n, 0);

        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD_ACCOUNT, "401", T0)), 0);
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD_ACCOUNT, "402", T0 + 1)), 0);
        q = get_queue(f);
        assert_int_equal(q.hold, QUEUE_HELD_ACCOUNT);
        assert_string_equal(q.reason, "402");
        assert_int_equal(q.held_since, T0);
        assert_int_equal(list_events(f, 0).n, 1);

        /* An administrator's word counts for more, both ways. */
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD, "lunch", T0 + 2)), 0);
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD_ACCOUNT, "403", T0 + 3)), 0);
        assert_int_equal(IN_GROUP(f, store_lift_account_hold(f->store, T0 + 3)), 0);
        q = get_queue(f);
        assert_int_equal(q.hold, QUEUE_HELD);
        assert_string_equal(q.reason, "lunch");
        assert_int_equal(q.held_since, T0 + 2);
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_RUNNING, NULL, T0 + 4)), 0);
        q = get_queue(f);
        assert_int_equal(q.hold, QUEUE_RUNNING);
        assert_string_equal(q.reason, "");
        assert_int_equal(q.held_since, TIME_NONE);

        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD_ACCOUNT, NULL, T0 + 5)), 0);
        assert_int_equal(IN_GROUP(f, store_lift_account_hold(f->store, T0 + 6)), 0);
        assert_int_equal(get_queue(f).hold, QUEUE_RUNNING);

        s = list_events(f, 0);
        assert_int_equal(s.n, 5);
        for (size_t i = 0; i < s.n; i++) {
                assert_int_equal(s.kinds[i], i == 2 || i == 4 ? EVENT_QUEUE_RESUMED : EVENT_QUEUE_HELD);
                assert_string_equal(s.submissions[i], "n/a");
                assert_string_equal(s.types[i], "n/a");
        }

        memset(long_reason, 'x', sizeof(long_reason) - 1);
        long_reason[sizeof(long_reason) - 1] = '\0';
        assert_int_equal(IN_GROUP(f, store_hold_queue(f->store, QUEUE_HELD, long_reason, T0 + 7)), 0);
        assert_int_equal(strlen(get_queue(f).reason), QUEUE_REASON_MAX);
}

static void test_oldest(void **state)
{
        Fixture *f = *state;
        StoreSubmission n;
        char id[SUBMISSION_ID_SIZE];

        for (int i = 0; i < 4; i++) {
                snprintf(id, sizeof(id), "s%d", i);
                n = submission_of(id);
                n.created_at = T0 + i;
                assert_int_equal(add(f, &n, id), STORE_ADDED);
        }
        assert_int_equal(get_queue(f).oldest, T0);
        put(f, "s0", SUBMISSION_REJECTED);
        put(f, "s1", SUBMISSION_UNKNOWN);
        assert_int_equal(get_queue(f).oldest, T0 + 1);
        put(f, "s1", SUBMISSION_CANCELED);
        put(f, "s2", SUBMISSION_SENDING);
        assert_int_equal(get_queue(f).oldest, T0 + 2);
}

static uint64_t live_on(Fixture *f, int64_t day)
{
        return get_queue_at(f, day * 24 * HOUR + HOUR).live_sent;
}

static void test_live_days(void **state)
{
        Fixture *f = *state;

        assert_int_equal(live_on(f, 100), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(IN_GROUP(f, store_count_live(f->store, 100, 1)), 0);
        assert_int_equal(IN_GROUP(f, store_count_live(f->store, 100, -1)), 0);
        assert_int_equal(live_on(f, 100), 2);

        /* The day is over; what was sent before midnight can't be taken from the new day. */
        assert_int_equal(IN_GROUP(f, store_count_live(f->store, 101, 1)), 0);
        assert_int_equal(IN_GROUP(f, store_count_live(f->store, 100, -1)), 0);
        assert_int_equal(live_on(f, 101), 1);
        assert_int_equal(live_on(f, 100), 1); /* should the clock go back */
        for (int i = 0; i < 3; i++)
                assert_int_equal(IN_GROUP(f, store_count_live(f->store, 101, -1)), 0);
        assert_int_equal(live_on(f, 101), 0);
        assert_int_equal(live_on(f, 102), 0);
}

/* Canceling. */

static Outgoing list_cancel_wanted(Fixture *f)
{
        Outgoing o = { 0 }, behind = { 0 };

        assert_int_equal(store_list_cancel_wanted(f->reader, 0, 10, see_submission, &o), 0);
        if (o.n > 0)
                assert_int_equal(store_list_cancel_wanted(f->reader, o.last.n, 10, see_submission, &behind),
                                0);
        assert_int_equal(behind.n, 0);
        return o;
}

static void test_cancel(void **state)
{
        Fixture *f = *state;
        unsigned any = UINT32_MAX,
                 sent = SUBMISSION_IN(SUBMISSION_SENDING) | SUBMISSION_IN(SUBMISSION_UNKNOWN);
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING), over;

        add_one(f, "s1");
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s1", sent, T0)), STORE_MOVED_ON);
        assert_false(get_submission(f, "s1").last.cancel_wanted);
        put(f, "s1", SUBMISSION_SENDING);
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s1", sent, T0 + 7)), 0);
        assert_true(get_submission(f, "s1").last.cancel_wanted);
        assert_int_equal(get_submission(f, "s1").last.changed_at, T0 + 7);
        put(f, "s1", SUBMISSION_UNKNOWN);
        assert_true(get_submission(f, "s1").last.cancel_wanted);
        assert_int_equal(list_cancel_wanted(f).n, 0);

        assert_int_equal(accept(f, "s1", &account), 0);
        assert_int_equal(list_cancel_wanted(f).n, 1);
        assert_string_equal(list_cancel_wanted(f).task_id, "a");
        assert_int_equal(IN_GROUP(f, store_forget_cancel(f->store, "s1", T0)), 0);
        assert_int_equal(list_cancel_wanted(f).n, 0);
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s1", any, T0)), 0);
        assert_int_equal(list_cancel_wanted(f).n, 1);

        /* The end of the task is the end of that; and then it is too late. */
        over = snapshot_of("a", "canceled", TASK_CANCELED);
        record(f->store, &over);
        assert_int_equal(list_cancel_wanted(f).n, 0);
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s1", any, T0)), STORE_MOVED_ON);
        assert_int_equal(list_cancel_wanted(f).n, 0);

        /* Whoever comes to an end without a task isn't waited for any more. */
        add_one(f, "s2");
        put(f, "s2", SUBMISSION_UNKNOWN);
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s2", sent, T0)), 0);
        put(f, "s2", SUBMISSION_QUEUED);
        assert_true(get_submission(f, "s2").last.cancel_wanted);
        put(f, "s2", SUBMISSION_CANCELED);
        assert_false(get_submission(f, "s2").last.cancel_wanted);
        check_consistency(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_hold),
                TEST(test_oldest),
                TEST(test_live_days),
                TEST(test_cancel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
