#include "test-store-outbox.h"

/* Adding. */

static void test_add_and_read_back(void **state)
{
        Fixture *f = *state;
        StoreSubmission n = submission_of("s1");
        char id[SUBMISSION_ID_SIZE];
        Outgoing o = { 0 };

        n.problems = "[{\"path\":\"x\"}]";
        n.next_at = T0 + SECOND;
        assert_int_equal(add(f, &n, id), STORE_ADDED);
        o = get_submission(f, "s1");
        assert_int_equal(o.last.n, 1);
        assert_string_equal(o.type, "categorization");
        assert_int_equal(o.last.state, SUBMISSION_QUEUED);
        assert_false(o.last.is_test);
        assert_false(o.last.cancel_wanted);
        assert_int_equal(o.last.created_at, T0);
        assert_int_equal(o.last.changed_at, T0);
        assert_int_equal(o.last.expires_at, T0 + 5 * 24 * HOUR);
        assert_int_equal(o.last.next_at, T0 + SECOND);
        assert_int_equal(o.last.attempts, 0);
        assert_int_equal(o.last.sent_at, TIME_NONE);
        assert_int_equal(o.last.floor_at, TIME_NONE);
        assert_string_equal(o.key, "");
        assert_string_equal(o.task_id, "");
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer, "");
        assert_string_equal(o.problems, "[{\"path\":\"x\"}]");
        assert_string_equal(o.params, "{\"a\":1}");

        o = (Outgoing){ 0 };
        assert_int_equal(store_get_submission(f->reader, "s1", false, see_submission, &o), 1);
        assert_string_equal(o.params, "");
        assert_int_equal(store_get_submission(f->reader, "s2", false, see_submission, &o), 0);
        check_consistency(f);
}

static void test_idempotency(void **state)
{
        Fixture *f = *state;
        StoreSubmission n = submission_of("s1"), again = submission_of("s2"), other = submission_of("s3");
        char id[SUBMISSION_ID_SIZE];

        n.idempotency_key = again.idempotency_key = other.idempotency_key = "key";
        other.digest[3] = 1;
        assert_int_equal(add(f, &n, id), STORE_ADDED);
        assert_int_equal(add(f, &again, id), STORE_KNOWN);
        assert_string_equal(id, "s1");
        assert_int_equal(add(f, &other, id), STORE_CONFLICT);
        assert_string_equal(id, "s1");

        /* Whatever became of it; and only the key counts. */
        put(f, "s1", SUBMISSION_REJECTED);
        assert_int_equal(add(f, &again, id), STORE_KNOWN);
        again.idempotency_key = NULL;
        assert_int_equal(add(f, &again, id), STORE_ADDED);
        other.idempotency_key = "Key";
        assert_int_equal(add(f, &other, id), STORE_ADDED);
        assert_string_equal(id, "s3");
        assert_int_equal(get_queue(f).by_state[SUBMISSION_QUEUED], 2);
        assert_string_equal(get_submission(f, "s1").key, "key");
        check_consistency(f);
}

/* Within one group, too, and nothing stays of one that is undone. */
static void test_rollback(void **state)
{
        Fixture *f = *state;
        StoreSubmission n = submission_of("s1");
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING);
        char id[SUBMISSION_ID_SIZE];
        StoreAddition a;

        n.idempotency_key = "key";
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_add_submission(f->store, &n, &a, id), 0);
        assert_int_equal(a, STORE_ADDED);
        assert_int_equal(store_add_submission(f->store, &n, &a, id), 0);
        assert_int_equal(a, STORE_KNOWN);
        assert_int_equal(store_accept_submission(f->store, "s1", &account), 0);
        assert_int_equal(store_hold_queue(f->store, QUEUE_HELD, "x", T0), 0);
        store_rollback(f->store);

        assert_int_equal(list_events(f, 0).n, 0);
        assert_int_equal(get_queue(f).hold, QUEUE_RUNNING);
        add_one(f, "s2");
        assert_int_equal(get_submission(f, "s2").last.n, 1);
        assert_int_equal(get_queue(f).by_state[SUBMISSION_QUEUED], 1);
        assert_int_equal(get_queue(f).by_state[SUBMISSION_ACCEPTED], 0);
        check_consistency(f);
}

/* Moving. */

/* Every state, every step, asked for and not asked for. */
static void test_moves(void **state)
{
        Fixture *f = *state;
        char id[SUBMISSION_ID_SIZE];
        unsigned n = 0, events = 0;

        for (int from = 0; from < _SUBMISSION_STATE_MAX; from++)
                for (int to = 0; to < _SUBMISSION_STATE_MAX; to++) {
                        StoreMove m;
                        Outgoing o;

                        if (from == SUBMISSION_ACCEPTED || to == SUBMISSION_ACCEPTED)
                                continue;
                        snprintf(id, sizeof(id), "s%u", n++);
                        add_one(f, id);
                        put(f, id, (SubmissionState)from);
                        events = (unsigned)store_last_event(f->store);

                        m = move_of(~SUBMISSION_IN(from) & ~SUBMISSION_IN(SUBMISSION_ACCEPTED),
                                        (SubmissionState)to);
                        assert_int_equal(move(f, id, &m), STORE_MOVED_ON);
                        assert_int_equal(state_of(f, id), from);
                        assert_int_equal(store_last_event(f->store), events);

                        m = move_of(SUBMISSION_IN(from), (SubmissionState)to);
                        m.sent_at = T0 + 2;
                        m.floor_at = T0 + 1;
                        m.ended_at = 5;
                        m.grace = 6;
                        m.is_test = m.attempt = true;
                        m.status = 418;
                        m.error = "a teapot";
                        m.answer = "short";
                        m.expires_at = T0 + 9;
                        assert_int_equal(move(f, id, &m), 0);
                        o = get_submission(f, id);
                        assert_int_equal(o.last.state, to);
                        assert_int_equal(o.last.next_at, to == SUBMISSION_QUEUED || to == SUBMISSION_UNKNOWN
                                                                         ? T0 + HOUR
                                                                         : TIME_NONE);
                        assert_int_equal(o.last.changed_at, T0 + SECOND);
                        assert_int_equal(o.last.sent_at, T0 + 2);
                        assert_int_equal(o.last.floor_at, T0 + 1);
                        assert_int_equal(o.last.ended_at, 5);
                        assert_int_equal(o.last.grace, 6);
                        assert_true(o.last.is_test);
                        assert_int_equal(o.last.attempts, 1);
                        assert_int_equal(o.last.status, 418);
                        assert_string_equal(o.error, "a teapot");
                        assert_string_equal(o.answer, "short");
                        assert_int_equal(o.last.expires_at, T0 + 9);
                        assert_int_equal(store_last_event(f->store),
                                        events + (to == SUBMISSION_REJECTED || to == SUBMISSION_EXPIRED));
                }
        check_consistency(f);
}

static void test_moves_of_what_is_not_there(void **state)
{
        Fixture *f = *state;
        StoreMove m = move_of(SUBMISSION_IN(SUBMISSION_QUEUED), SUBMISSION_SENDING);
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING);

        assert_int_equal(move(f, "s1", &m), STORE_UNKNOWN);
        assert_int_equal(accept(f, "s1", &account), STORE_UNKNOWN);
        assert_int_equal(IN_GROUP(f, store_want_cancel(f->store, "s1", UINT32_MAX, T0)), STORE_UNKNOWN);
        assert_int_equal(IN_GROUP(f, store_forget_cancel(f->store, "s1", T0)), STORE_UNKNOWN);
        assert_int_equal(get_stats(f).tasks, 0);

        /* Once accepted, nothing moves it. */
        add_one(f, "s1");
        assert_int_equal(accept(f, "s1", &account), 0);
        m.from = ~SUBMISSION_IN(SUBMISSION_ACCEPTED);
        assert_int_equal(move(f, "s1", &m), STORE_MOVED_ON);
        assert_int_equal(state_of(f, "s1"), SUBMISSION_ACCEPTED);
}

static void test_events_of_ends(void **state)
{
        Fixture *f = *state;
        Seen s;

        add_one(f, "s1");
        add_one(f, "s2");
        put(f, "s1", SUBMISSION_REJECTED);
        put(f, "s2", SUBMISSION_EXPIRED);
        put(f, "s2", SUBMISSION_QUEUED);
        put(f, "s2", SUBMISSION_CANCELED);
        s = list_events(f, 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_SUBMISSION_REJECTED);
        assert_int_equal(s.kinds[1], EVENT_SUBMISSION_EXPIRED);
        for (int i = 0; i < 2; i++) {
                assert_string_equal(s.submissions[i], i == 0 ? "s1" : "s2");
                assert_string_equal(s.types[i], "categorization");
                assert_string_equal(s.task_ids[i], "n/a");
                assert_int_equal(s.statuses[i], _TASK_STATUS_INVALID);
                assert_false(s.with_task[i]);
        }
}

/* Unset members stay unset, and the time of expiry stays what it was. */
static void test_move_without(void **state)
{
        Fixture *f = *state;
        Outgoing o;

        add_one(f, "s1");
        put(f, "s1", SUBMISSION_SENDING);
        put(f, "s1", SUBMISSION_QUEUED);
        o = get_submission(f, "s1");
        assert_int_equal(o.last.sent_at, TIME_NONE);
        assert_int_equal(o.last.floor_at, TIME_NONE);
        assert_int_equal(o.last.expires_at, T0 + 5 * 24 * HOUR);
        assert_int_equal(o.last.attempts, 0);
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer, "");
}

/* Lists. */

static void test_lists(void **state)
{
        Fixture *f = *state;
        char id[SUBMISSION_ID_SIZE];
        Outgoing o = { 0 };

        for (unsigned i = 0; i < 10; i++) {
                snprintf(id, sizeof(id), "s%u", i);
                add_one(f, id);
                put(f, id, i % 2 == 0 ? SUBMISSION_UNKNOWN : SUBMISSION_QUEUED);
        }
        assert_int_equal(
                        store_list_submissions(f->reader, _SUBMISSION_STATE_ERRNO, 3, 4, see_submission, &o),
                        0);
        assert_int_equal(o.n, 4);
        assert_string_equal(o.ids[0], "s3");
        assert_string_equal(o.ids[3], "s6");
        assert_string_equal(o.params, "");

        o = (Outgoing){ 0 };
        assert_int_equal(store_list_submissions(f->reader, SUBMISSION_UNKNOWN, 3, 3, see_submission, &o), 0);
        assert_int_equal(o.n, 3);
        assert_string_equal(o.ids[0], "s4");
        assert_string_equal(o.ids[2], "s8");
        o = (Outgoing){ 0 };
        assert_int_equal(store_list_submissions(f->reader, SUBMISSION_EXPIRED, 0, 3, see_submission, &o), 0);
        assert_int_equal(store_list_submissions(f->reader, _SUBMISSION_STATE_ERRNO, UINT64_MAX, 3,
                                         see_submission, &o),
                        0);
        assert_int_equal(o.n, 0);

        assert_int_equal(store_list_submissions_back(
                                         f->reader, _SUBMISSION_STATE_ERRNO, 0, 4, see_submission, &o),
                        0);
        assert_int_equal(o.n, 4);
        assert_string_equal(o.ids[0], "s9");
        assert_string_equal(o.ids[3], "s6");
        assert_string_not_equal(o.params, "");
        o = (Outgoing){ 0 };
        assert_int_equal(
                        store_list_submissions_back(f->reader, SUBMISSION_UNKNOWN, 7, 9, see_submission, &o),
                        0);
        assert_int_equal(o.n, 3);
        assert_string_equal(o.ids[0], "s4");
        assert_string_equal(o.ids[2], "s0");
}

static void test_due(void **state)
{
        static const int64_t at[] = { 5, 3, 9, 3, 7 };
        Fixture *f = *state;
        char id[SUBMISSION_ID_SIZE];
        Outgoing o = { 0 };
        int64_t next = 0;
        uint64_t n = 0;

        assert_int_equal(store_get_next_due(f->reader, SUBMISSION_QUEUED, &next), 0);
        assert_int_equal(next, TIME_NONE);
        for (unsigned i = 0; i < ELEMENTSOF(at); i++) {
                StoreSubmission s = submission_of(id);

                snprintf(id, sizeof(id), "s%u", i);
                s.next_at = T0 + at[i];
                assert_int_equal(add(f, &s, id), STORE_ADDED);
        }
        add_one(f, "other");
        put(f, "other", SUBMISSION_UNKNOWN);
        add_one(f, "sent");
        put(f, "sent", SUBMISSION_SENDING);

        assert_int_equal(store_list_due(f->reader, SUBMISSION_QUEUED, T0 + 7, 3, see_submission, &o), 0);
        assert_int_equal(o.n, 3);
        assert_string_equal(o.ids[0], "s1"); /* the earliest, at a tie the first to come */
        assert_string_equal(o.ids[1], "s3");
        assert_string_equal(o.ids[2], "s0");
        assert_string_equal(o.params, "{\"a\":1}");
        o = (Outgoing){ 0 };
        assert_int_equal(store_list_due(f->reader, SUBMISSION_QUEUED, T0 + 7, 10, see_submission, &o), 0);
        assert_int_equal(o.n, 4);
        assert_int_equal(store_get_next_due(f->reader, SUBMISSION_QUEUED, &next), 0);
        assert_int_equal(next, T0 + 3);
        assert_int_equal(store_get_next_due(f->reader, SUBMISSION_UNKNOWN, &next), 0);
        assert_int_equal(next, T0 + HOUR);

        assert_int_equal(IN_GROUP(f, store_flush_submissions(f->store, T0 + 1, &n)), 0);
        assert_int_equal(n, 6);
        o = (Outgoing){ 0 };
        assert_int_equal(store_list_due(f->reader, SUBMISSION_QUEUED, T0 + 1, 10, see_submission, &o), 0);
        assert_int_equal(o.n, 5);
        assert_int_equal(store_get_next_due(f->reader, SUBMISSION_UNKNOWN, &next), 0);
        assert_int_equal(next, T0 + 1);
        assert_int_equal(get_submission(f, "sent").last.next_at, TIME_NONE);
}

static void test_recover(void **state)
{
        Fixture *f = *state;
        Outgoing o;
        uint64_t n = 9;

        assert_int_equal(IN_GROUP(f, store_recover_submissions(f->store, T0, 7, SECOND, &n)), 0);
        assert_int_equal(n, 0);
        for (int i = 0; i < _SUBMISSION_STATE_MAX; i++)
                if (i != SUBMISSION_ACCEPTED) {
                        char id[SUBMISSION_ID_SIZE];

                        snprintf(id, sizeof(id), "s%d", i);
                        add_one(f, id);
                        put(f, id, (SubmissionState)i);
                }
        assert_int_equal(IN_GROUP(f, store_recover_submissions(f->store, T0 + 5, 8, 1, &n)), 0);
        assert_int_equal(n, 1);
        o = get_submission(f, "s1");
        assert_int_equal(o.last.state, SUBMISSION_UNKNOWN);
        assert_int_equal(o.last.sent_at, T0); /* there may be a task */
        assert_int_equal(o.last.next_at, T0 + 6);
        assert_int_equal(o.last.ended_at, 8);
        assert_int_equal(o.last.grace, 1);
        assert_int_equal(o.last.changed_at, T0 + 5);
        assert_int_equal(state_of(f, "s0"), SUBMISSION_QUEUED);
        assert_int_equal(get_submission(f, "s2").last.ended_at, 8); /* as an older program left it */
        check_consistency(f);
}

static void test_names(_unused_ void **state)
{
        for (int i = 0; i < _SUBMISSION_STATE_MAX; i++)
                assert_int_equal(
                                submission_state_from_string(submission_state_to_string((SubmissionState)i)),
                                i);
        for (int i = 0; i < _QUEUE_HOLD_MAX; i++)
                assert_int_equal(queue_hold_from_string(queue_hold_to_string((QueueHold)i)), i);
        assert_string_equal(submission_state_to_string(SUBMISSION_UNKNOWN), "unknown");
        assert_string_equal(queue_hold_to_string(QUEUE_HELD_ACCOUNT), "held_account");
        assert_int_equal(submission_state_from_string("lost"), _SUBMISSION_STATE_ERRNO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_add_and_read_back),
                TEST(test_idempotency),
                TEST(test_rollback),
                TEST(test_moves),
                TEST(test_moves_of_what_is_not_there),
                TEST(test_events_of_ends),
                TEST(test_move_without),
                TEST(test_lists),
                TEST(test_due),
                TEST(test_recover),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
