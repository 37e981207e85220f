#include "test-store-outbox.h"

/* What ties deliveries, tasks and submissions. */

static bool account_is_kept(Fixture *f)
{
        return ask_file(f, "SELECT count(*) FROM account") > 0;
}

static void assert_no_task(Fixture *f, const char *id)
{
        char task_id[CALLBACK_ID_MAX + 1];

        assert_int_equal(store_find_task_of_submission(f->reader, id, task_id), 0);
}

static void assert_task(Fixture *f, const char *id, const char *expected)
{
        char task_id[CALLBACK_ID_MAX + 1];

        assert_int_equal(store_find_task_of_submission(f->reader, id, task_id), 1);
        assert_string_equal(task_id, expected);
}

/* Accepting. */

static void test_accept(void **state)
{
        Fixture *f = *state;
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING), other = account;
        StoreMetadata metadata = { "color", "blue" };
        TaskFilter filter = { .start_time = TIME_NONE, .end_time = TIME_NONE, .is_test = -1, .limit = 10 };
        TaskPage page;
        Outgoing o;
        Seen s;

        account.is_test = true;
        account.metadata = &metadata;
        account.n_metadata = 1;
        add_one(f, "s1");
        assert_no_task(f, "s1");
        put(f, "s1", SUBMISSION_SENDING);
        assert_int_equal(accept(f, "s1", &account), 0);

        o = get_submission(f, "s1");
        assert_int_equal(o.last.state, SUBMISSION_ACCEPTED);
        assert_string_equal(o.task_id, "a");
        assert_int_equal(o.last.status, 200);
        assert_int_equal(o.last.sent_at, T0);
        assert_int_equal(o.last.next_at, TIME_NONE);
        assert_task(f, "s1", "a");

        /* No delivery brought it; what the answer said is its document all the same. */
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_PENDING);
        assert_string_equal(s.type, "categorization");
        assert_true(s.is_test);
        assert_int_equal(s.created_at, T0 - HOUR);
        assert_int_equal(s.completed_at, TIME_NONE);
        assert_string_equal(s.document, DOCUMENT("a"));
        assert_false(s.has_response);
        assert_int_equal(get_stats(f).deliveries, 0);
        s = (Seen){ 0 };
        filter.status = TASK_PENDING;
        filter.metadata = &metadata;
        filter.n_metadata = 1;
        assert_int_equal(store_list_tasks(f->reader, &filter, see_task, &s, &page), 0);
        assert_int_equal(s.n, 1);
        assert_string_equal(s.document, DOCUMENT("a"));

        s = list_events(f, 0);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);
        assert_int_equal(s.statuses[0], TASK_PENDING);
        assert_string_equal(s.task_ids[0], "a");
        assert_string_equal(s.submissions[0], "s1");
        assert_string_equal(s.types[0], "categorization");
        assert_true(s.with_task[0]);
        assert_string_equal(list_pending(f, INT64_MAX).submissions[0], "s1");

        /* Once. */
        assert_int_equal(accept(f, "s1", &account), 0);
        other.task_id = "b";
        assert_int_equal(accept(f, "s1", &other), STORE_MOVED_ON);
        assert_int_equal(list_events(f, 0).n, 1);
        assert_int_equal(get_stats(f).tasks, 1);
        check_consistency(f);
}

/* Whatever it was taken for, also where it is already in the store. */
static void test_accept_from_any_state(void **state)
{
        static const TaskStatus known[] = { _TASK_STATUS_INVALID, TASK_PENDING, TASK_COMPLETED,
                TASK_CANCELED, TASK_ERROR };
        static const TaskStatus told[] = { TASK_PENDING, TASK_CANCELED, TASK_ERROR, TASK_COMPLETED };
        Fixture *f = *state;
        unsigned n = 0;

        FOREACH_ARRAY(k, known, ELEMENTSOF(known))
                FOREACH_ARRAY(t, told, ELEMENTSOF(told))
                        for (int from = 0; from < _SUBMISSION_STATE_MAX; from++) {
                                TaskStatus wanted = *t == TASK_COMPLETED ? TASK_PENDING : *t;
                                char id[SUBMISSION_ID_SIZE], task[32], body[32];
                                StoreDelivery account, first;
                                uint64_t events;

                                if (from == SUBMISSION_ACCEPTED)
                                        continue;
                                snprintf(id, sizeof(id), "s%u", n);
                                snprintf(task, sizeof(task), "t%u", n);
                                snprintf(body, sizeof(body), "body %u", n++);
                                add_one(f, id);
                                put(f, id, (SubmissionState)from);
                                first = *k == TASK_COMPLETED ? response_of(task, body, 1)
                                                             : snapshot_of(task, body, *k);
                                if ((int)*k >= 0)
                                        record(f->store, &first);
                                events = store_last_event(f->store);

                                account = snapshot_of(task, "account", *t);
                                assert_int_equal(accept(f, id, &account), 0);
                                if ((int)*k > TASK_PENDING && *t != TASK_CANCELED)
                                        wanted = *k; /* has come to its end */
                                assert_int_equal(get_task(f, task).status, wanted);
                                assert_string_equal(
                                                get_task(f, task).document, (int)*k < 0 ? "account" : body);
                                assert_int_equal(get_task(f, task).has_response, *k == TASK_COMPLETED);
                                assert_int_equal(state_of(f, id), SUBMISSION_ACCEPTED);
                                assert_int_equal(store_last_event(f->store),
                                                events + 1 + (wanted != ((int)*k < 0 ? TASK_PENDING : *k)));
                                assert_int_equal(list_events(f, events).kinds[0], EVENT_TASK_SUBMITTED);
                                assert_string_equal(list_events(f, events).submissions[0], id);
                        }
        check_consistency(f);
}

/* Where the response is all that is missing, it is asked for soon. */
static void test_accepted_as_completed(void **state)
{
        Fixture *f = *state;
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_COMPLETED);

        add_one(f, "s1");
        assert_int_equal(accept(f, "s1", &account), 0);
        assert_int_equal(list_pending(f, T0 + 1).n, 1);
        assert_int_equal(list_pending(f, T0 + 1).due_at, T0);
}

static void test_callback_after_acceptance(void **state)
{
        Fixture *f = *state;
        StoreDelivery account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING),
                      bare = response_of("a", "bare", 1), d = response_of("a", "body-1", 1);
        const char *url = "https://example.com/a.png";
        Seen s;

        add_with(f, "s1", &url, 1);
        assert_int_equal(accept(f, "s1", &account), 0);
        assert_int_equal(ask_file(f, "SELECT count(*) FROM attachment"), 1);

        /* A response alone leaves the document where it is. */
        bare.has_document = false;
        assert_outcome(record(f->store, &bare), VERDICT_STORED, 1, 1, false);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_string_equal(s.document, DOCUMENT("a"));
        assert_string_equal(s.response, "bare");
        assert_true(account_is_kept(f));
        assert_int_equal(list_pending(f, INT64_MAX).n, 0);
        assert_int_equal(ask_file(f, "SELECT count(*) FROM attachment"), 0);
        assert_string_equal(list_events(f, 1).submissions[0], "s1"); /* by the task alone */

        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 2, 1, false);
        assert_string_equal(get_task(f, "a").document, "body-1");
        assert_false(account_is_kept(f));
        assert_int_equal(list_events(f, 0).n, 2);
        check_consistency(f);
}

/* Deliveries that prove it. */

static void test_callback_before_the_answer(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1),
                      account = snapshot_of("a", DOCUMENT("a"), TASK_PENDING);
        StoreOutcome o;
        Seen s;

        add_one(f, "s1");
        put(f, "s1", SUBMISSION_SENDING);
        d.ref = "s1";
        o = record(f->store, &d);
        assert_outcome(o, VERDICT_STORED, 1, 1, false);
        assert_false(o.second_task);

        assert_int_equal(state_of(f, "s1"), SUBMISSION_ACCEPTED);
        assert_string_equal(get_submission(f, "s1").task_id, "a");
        assert_int_equal(get_submission(f, "s1").last.status, 0);
        s = list_events(f, 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);
        assert_int_equal(s.statuses[0], TASK_PENDING);
        assert_int_equal(s.kinds[1], EVENT_TASK_COMPLETED);
        for (int i = 0; i < 2; i++) {
                assert_string_equal(s.submissions[i], "s1");
                assert_string_equal(s.task_ids[i], "a");
        }

        /* The answer comes at last, and says nothing new. */
        assert_int_equal(accept(f, "s1", &account), 0);
        assert_int_equal(list_events(f, 0).n, 2);
        assert_string_equal(get_task(f, "a").document, "body-1");
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 1, 1, true);
        check_consistency(f);
}

/* By what its metadata says, and by repetitions of what was there before the outbox knew. */
static void test_ties_in_many_ways(void **state)
{
        Fixture *f = *state;
        StoreMetadata m[2];
        StoreDelivery d = with_submission(response_of("a", "body-1", 1), m, "s1"),
                      b = response_of("b", "body-2", 1), b2 = response_of("b", "body-2 ", 1), fail;
        Seen s;

        put((add_one(f, "s1"), f), "s1", SUBMISSION_UNKNOWN);
        put((add_one(f, "s2"), f), "s2", SUBMISSION_UNKNOWN);
        put((add_one(f, "s3"), f), "s3", SUBMISSION_UNKNOWN);
        put((add_one(f, "s4"), f), "s4", SUBMISSION_UNKNOWN);
        record(f->store, &d);
        assert_string_equal(get_submission(f, "s1").task_id, "a");

        record(f->store, &b);
        assert_no_task(f, "s2");
        b.ref = "s2";
        assert_outcome(record(f->store, &b), VERDICT_DUPLICATE, 2, 1, true);
        assert_string_equal(get_submission(f, "s2").task_id, "b");
        s = list_events(f, 3);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);
        assert_string_equal(s.submissions[0], "s2");
        assert_string_equal(list_events(f, 2).submissions[0], "s2"); /* known afterwards */
        assert_outcome(record(f->store, &b2), VERDICT_DUPLICATE, 3, 1, false);

        fail = attachment_of("c", "s3", "failed c");
        record(f->store, &fail);
        assert_string_equal(get_submission(f, "s3").task_id, "c");
        s = list_events(f, 4);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);
        assert_int_equal(s.kinds[1], EVENT_ATTACHMENT_FAILED);

        /* What breaks the rules proves nothing. */
        d = invalid_of("d", "bad");
        d.ref = "s4";
        record(f->store, &d);
        assert_int_equal(state_of(f, "s4"), SUBMISSION_UNKNOWN);
        check_consistency(f);
}

static void test_second_task(void **state)
{
        Fixture *f = *state;
        StoreDelivery a = response_of("a", "body-1", 1), b = response_of("b", "body-2", 1), c;
        StoreMetadata m[2];
        StoreOutcome o;
        Seen s;

        add_one(f, "s1");
        a.ref = b.ref = "s1";
        assert_false(record(f->store, &a).second_task);
        o = record(f->store, &b);
        assert_true(o.second_task);
        assert_outcome(o, VERDICT_STORED, 2, 1, false);
        assert_string_equal(get_submission(f, "s1").task_id, "a");
        assert_true(record(f->store, &b).second_task);
        assert_false(record(f->store, &a).second_task);
        s = list_events(f, 2);
        assert_int_equal(s.n, 1);
        assert_string_equal(s.submissions[0], "s1"); /* what it was told */

        c = with_submission(snapshot_of("c", DOCUMENT("c"), TASK_PENDING), m, "s1");
        assert_true(record(f->store, &c).second_task);
        assert_task(f, "s1", "a");

        /* A task doesn't change hands either. */
        add_one(f, "s2");
        a.ref = "s2";
        assert_false(record(f->store, &a).second_task);
        assert_int_equal(state_of(f, "s2"), SUBMISSION_QUEUED);
}

/* What the outbox doesn't know, the store may. */
static void test_find_task(void **state)
{
        Fixture *f = *state;
        StoreMetadata m[2];
        StoreDelivery a = response_of("a", "body-1", 1),
                      b = with_submission(response_of("b", "body-2", 1), m, "s2");

        a.ref = "s1";
        record(f->store, &a);
        record(f->store, &b);
        assert_task(f, "s1", "a");
        assert_task(f, "s2", "b");
        assert_no_task(f, "s3");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_accept),
                TEST(test_accept_from_any_state),
                TEST(test_accepted_as_completed),
                TEST(test_callback_after_acceptance),
                TEST(test_callback_before_the_answer),
                TEST(test_ties_in_many_ways),
                TEST(test_second_task),
                TEST(test_find_task),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
