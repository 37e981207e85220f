#include "test-store-seen.h"

static void test_first_response(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1);
        StoreStats stats;
        Seen s;

        d.is_test = true;
        d.ref = "ref-1";
        assert_outcome(record(f->store, &d), VERDICT_STORED, 1, 1, false);
        assert_int_equal(store_last_event(f->store), 1);

        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_true(s.is_test);
        assert_int_equal(s.created_at, T0 - HOUR);
        assert_int_equal(s.completed_at, T0 - SECOND);
        assert_string_equal(s.type, "annotation");
        assert_string_equal(s.document, "body-1");
        assert_string_equal(s.response, "body-1");

        s = get_delivery(f, 1);
        assert_string_equal(s.body, "body-1");
        assert_string_equal(s.task_ids[0], "a");

        s = list_events(f, 0);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.kinds[0], EVENT_TASK_COMPLETED);
        assert_int_equal(s.statuses[0], TASK_COMPLETED);
        assert_int_equal(s.revisions[0], 1);
        assert_string_equal(s.task_ids[0], "a");
        assert_string_equal(s.types[0], "annotation");
        assert_string_equal(s.submissions[0], "ref-1");
        assert_true(s.with_task[0]);

        stats = get_stats(f);
        assert_int_equal(stats.tasks, 1);
        assert_int_equal(stats.n_by_type, 1);
        assert_string_equal(stats.by_type[0].type, "annotation");
        assert_true(stats.by_type[0].is_test);
        assert_int_equal(stats.by_verdict[VERDICT_STORED], 1);
        assert_int_equal(stats.deliveries, 1);
        assert_int_equal(stats.events, 1);
        assert_true(in_memory || (stats.database_bytes > 0 && stats.wal_bytes > 0 && stats.free_bytes > 0));

        assert_int_equal(store_get_task(f->reader, "b", see_task, &s), 0);
        assert_int_equal(store_get_delivery(f->reader, 2, false, see_delivery, &s), 0);
        assert_int_equal(store_get_delivery(f->reader, UINT64_MAX, false, see_delivery, &s), 0);
}

static void test_same_bytes_are_counted(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1);
        Seen s;

        record(f->store, &d);
        d.received_at++;
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 1, 1, true);
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 1, 1, true);

        s = list_deliveries(f, _VERDICT_ERRNO, NULL);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.verdicts[0], VERDICT_STORED);
        assert_int_equal(s.repeats[0], 2);
        assert_int_equal(list_events(f, 0).n, 1);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DUPLICATE], 2);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_STORED], 1);

        /* Also within one group. */
        d = response_of("b", "body-2", 2);
        assert_int_equal(store_begin(f->store), 0);
        for (int i = 0; i < 3; i++) {
                StoreOutcome o;

                assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
                assert_outcome(o, i == 0 ? VERDICT_STORED : VERDICT_DUPLICATE, 2, 1, i > 0);
        }
        assert_int_equal(store_commit(f->store), 0);
}

static void test_equal_response_in_other_bytes(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("a", "body-1 ", 1);
        Seen s;

        record(f->store, &d);
        assert_outcome(record(f->store, &e), VERDICT_DUPLICATE, 2, 1, false);
        assert_outcome(record(f->store, &e), VERDICT_DUPLICATE, 2, 1, true);
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 1, 1, true);

        s = list_deliveries(f, VERDICT_DUPLICATE, NULL);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.numbers[0], 2);
        assert_int_equal(s.repeats[0], 1);
        assert_string_equal(get_delivery(f, 2).body, "body-1 ");
        assert_string_equal(get_task(f, "a").document, "body-1");
        assert_int_equal(list_events(f, 0).n, 1);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DUPLICATE], 3);
}

/* The same response of two tasks has nothing to do with each other. */
static void test_equal_response_of_another_task(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("b", "body-2", 1);

        record(f->store, &d);
        assert_outcome(record(f->store, &e), VERDICT_STORED, 2, 1, false);
}

static void test_revisions_in_order(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("a", "body-2", 2);
        Seen s;

        record(f->store, &d);
        e.completed_at += SECOND;
        assert_outcome(record(f->store, &e), VERDICT_REVISED, 2, 2, false);
        s = get_task(f, "a");
        assert_string_equal(s.response, "body-2");
        assert_string_equal(s.document, "body-2");
        assert_int_equal(s.completed_at, T0);

        /* An old response again is not a revision. */
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 1, 1, true);
        assert_string_equal(get_task(f, "a").response, "body-2");

        s = list_events(f, 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[1], EVENT_TASK_REVISED);
        assert_int_equal(s.revisions[1], 2);
}

static void test_revisions_out_of_order(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("a", "older", 2),
                      tie = response_of("a", "tie", 3);
        Seen s = { 0 };

        record(f->store, &d);
        e.completed_at -= HOUR;
        e.is_test = true;
        e.type = "comparison";
        assert_outcome(record(f->store, &e), VERDICT_REVISED, 2, 2, false);
        s = get_task(f, "a");
        assert_string_equal(s.response, "body-1");
        assert_string_equal(s.document, "body-1");
        assert_string_equal(s.type, "annotation");
        assert_false(s.is_test);
        assert_int_equal(s.completed_at, T0 - SECOND);
        assert_int_equal(list_events(f, 0).kinds[1], EVENT_TASK_REVISED);

        assert_outcome(record(f->store, &tie), VERDICT_REVISED, 3, 3, false);
        assert_string_equal(get_task(f, "a").response, "tie");

        s = (Seen){ 0 };
        assert_int_equal(store_list_revisions(f->reader, "a", 0, 10, see_revision, &s), 1);
        assert_int_equal(s.n, 3);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(s.revisions[i], i + 1);
                assert_int_equal(s.numbers[i], i + 1);
                assert_int_equal(s.current[i], i == 2);
        }
        s = (Seen){ 0 };
        assert_int_equal(store_list_revisions(f->reader, "a", 1, 1, see_revision, &s), 1);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.revisions[0], 2);
        assert_string_equal(s.body, "older");
        assert_int_equal(store_list_revisions(f->reader, "b", 0, 10, see_revision, &s), 0);
}

/* What a revision says of its task counts, the counters included. */
static void test_revision_changes_the_kind(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("a", "body-2", 2);
        StoreStats stats;

        record(f->store, &d);
        e.task_status = TASK_CANCELED;
        e.is_test = true;
        record(f->store, &e);
        assert_int_equal(get_task(f, "a").status, TASK_CANCELED);
        stats = get_stats(f);
        assert_int_equal(stats.tasks, 1);
        assert_int_equal(stats.n_by_type, 1);
        assert_int_equal(stats.by_type[0].status, TASK_CANCELED);
        assert_true(stats.by_type[0].is_test);
}

static void test_absent_times(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1);
        Seen s;

        d.created_at = d.completed_at = TIME_NONE;
        d.task_status = TASK_PENDING; /* a snapshot from before the response */
        record(f->store, &d);
        s = get_task(f, "a");
        assert_int_equal(s.created_at, T0);
        assert_int_equal(s.completed_at, T0);
        assert_int_equal(s.status, TASK_COMPLETED);

        d = response_of("c", "body-c", 1);
        d.task_status = TASK_CANCELED;
        record(f->store, &d);
        assert_int_equal(list_events(f, 1).kinds[0], EVENT_TASK_CANCELED);
}

static void test_document_comes_later(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "bare", 1), e = response_of("a", "with task", 1);
        Seen s;

        d.has_document = false;
        d.created_at = TIME_NONE;
        e.metadata = &(StoreMetadata){ "k", "v" };
        e.n_metadata = 1;
        record(f->store, &d);
        assert_false(get_task(f, "a").has_document);
        assert_outcome(record(f->store, &e), VERDICT_DUPLICATE, 2, 1, false);
        s = get_task(f, "a");
        assert_string_equal(s.document, "with task");
        assert_string_equal(s.response, "bare");
        assert_int_equal(s.created_at, T0 - HOUR);
        assert_int_equal(get_stats(f).tasks, 1);
}

static void test_rollback_leaves_nothing(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("b", "body-2", 2),
                      bad = invalid_of("c", "bad");
        StoreOutcome o;
        StoreStats before, after;

        record(f->store, &d);
        before = get_stats(f);

        e.type = "a new type";
        e.metadata = &(StoreMetadata){ "k", "v" };
        e.n_metadata = 1;
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
        assert_int_equal(store_record_delivery(f->store, &e, &o), 0);
        assert_int_equal(store_record_delivery(f->store, &bad, &o), 0);
        assert_int_equal(store_last_event(f->store), 1); /* as of the last commit */
        store_rollback(f->store);
        assert_int_equal(store_last_event(f->store), 1);

        after = get_stats(f);
        assert_int_equal(after.tasks, before.tasks);
        assert_memory_equal(after.by_verdict, before.by_verdict, sizeof(after.by_verdict));
        assert_int_equal(after.events, 1);
        assert_int_equal(after.deliveries, 1);
        assert_int_equal(get_delivery(f, 1).repeats[0], 0);

        /* The same again, for good: the same numbers, and the type is found in the database, not in memory.
         */
        assert_outcome(record(f->store, &e), VERDICT_STORED, 2, 1, false);
        assert_int_equal(store_last_event(f->store), 2);
        assert_string_equal(get_task(f, "b").type, "a new type");
        after = get_stats(f);
        assert_int_equal(after.tasks, 2);
        assert_int_equal(after.by_verdict[VERDICT_STORED], 2);
        assert_int_equal(after.by_verdict[VERDICT_INVALID], 0);
        assert_int_equal(after.by_verdict[VERDICT_DUPLICATE], 0);
        assert_int_equal(list_events(f, 0).n, 2);

        /* An empty group, and one that is only begun. */
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_commit(f->store), 0);
        assert_int_equal(store_begin(f->store), 0);
        store_rollback(f->store);
        assert_int_equal(store_last_event(f->store), 2);
}

static void test_reopened(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), e = response_of("b", "body-2", 2);

        record(f->store, &d);
        f->store = store_close(f->store);
        f->store = open_store(f->path);
        assert_int_equal(store_last_event(f->store), 1);
        assert_outcome(record(f->store, &e), VERDICT_STORED, 2, 1, false);
        assert_int_equal(list_events(f, 0).n, 2);
}

static int stop(_unused_ const StoredDelivery *d, void *userdata)
{
        return ++*(int *)userdata == 2 ? -ECANCELED : 0;
}

static void test_callback_stops_a_list(void **state)
{
        Fixture *f = *state;
        StoreDelivery d;
        int n = 0;

        for (int i = 0; i < 4; i++) {
                char id[16];

                snprintf(id, sizeof(id), "t%d", i);
                d = response_of(id, "body", 1);
                record(f->store, &d);
        }
        assert_int_equal(
                        store_list_deliveries(f->reader, _VERDICT_ERRNO, NULL, 0, 10, stop, &n), -ECANCELED);
        assert_int_equal(n, 2);

        /* Pages by number. */
        for (uint64_t after = 0; after < 4; after++) {
                Seen s = { 0 };

                assert_int_equal(store_list_deliveries(f->reader, VERDICT_STORED, NULL, after, 1,
                                                 see_delivery, &s),
                                0);
                assert_int_equal(s.n, 1);
                assert_int_equal(s.numbers[0], after + 1);
        }
        for (uint64_t before = 5; before > 1; before--) {
                Seen s = { 0 };

                assert_int_equal(store_list_deliveries_back(f->reader, VERDICT_STORED, NULL, before, 1,
                                                 see_delivery, &s),
                                0);
                assert_int_equal(s.n, 1);
                assert_int_equal(s.numbers[0], before - 1);
        }
}

/* Each kind of list is the other one the other way round. */
static void test_lists_go_both_ways(void **state)
{
        Fixture *f = *state;

        for (uint8_t i = 0; i < 12; i++) {
                const char *id = i % 2 ? "a" : "b";
                char body[16];
                StoreDelivery d;

                snprintf(body, sizeof(body), "body-%u", i);
                d = i % 3 ? response_of(id, body, i) : invalid_of(id, body);
                record(f->store, &d);
        }
        for (int verdict = _VERDICT_ERRNO; verdict < _VERDICT_MAX; verdict++)
                for (int named = 0; named <= 1; named++) {
                        const char *id = named ? "a" : NULL;
                        Seen there = { 0 }, back = { 0 };

                        assert_int_equal(store_list_deliveries(f->reader, (Verdict)verdict, id, 0, 32,
                                                         see_delivery, &there),
                                        0);
                        assert_int_equal(store_list_deliveries_back(f->reader, (Verdict)verdict, id, 0, 32,
                                                         see_delivery, &back),
                                        0);
                        assert_int_equal(there.n, back.n);
                        for (size_t i = 0; i < there.n; i++)
                                assert_int_equal(there.numbers[i], back.numbers[there.n - 1 - i]);
                }
}

static void test_names(_unused_ void **state)
{
        assert_string_equal(verdict_to_string(VERDICT_ATTACHMENT_FAILURE), "attachment_failure");
        assert_int_equal(verdict_from_string("discarded"), VERDICT_DISCARDED);
        assert_int_equal(verdict_from_string("nonsense"), _VERDICT_ERRNO);
        assert_string_equal(source_to_string(SOURCE_BACKFILL), "backfill");
        assert_int_equal(source_from_string("retry"), SOURCE_RETRY);
        assert_string_equal(event_kind_to_string(EVENT_QUEUE_RESUMED), "queue.resumed");
        assert_int_equal(event_kind_from_string("task.revised"), EVENT_TASK_REVISED);
        for (int i = 0; i < _VERDICT_MAX; i++)
                assert_int_equal(verdict_from_string(verdict_to_string((Verdict)i)), i);
        for (int i = 0; i < _EVENT_KIND_MAX; i++)
                assert_int_equal(event_kind_from_string(event_kind_to_string((EventKind)i)), i);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_first_response),
                TEST(test_same_bytes_are_counted),
                TEST(test_equal_response_in_other_bytes),
                TEST(test_equal_response_of_another_task),
                TEST(test_revisions_in_order),
                TEST(test_revisions_out_of_order),
                TEST(test_revision_changes_the_kind),
                TEST(test_absent_times),
                TEST(test_document_comes_later),
                TEST(test_rollback_leaves_nothing),
                TEST(test_reopened),
                TEST(test_callback_stops_a_list),
                TEST(test_lists_go_both_ways),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
