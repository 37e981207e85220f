#include "test-store-outbox.h"

/* Tasks as the API describes them when it is asked. */

/* Accounts. */

static void test_snapshots_of_unknown_tasks(void **state)
{
        static const struct {
                TaskStatus status;
                EventKind kind;
        } rows[] = {
                { TASK_PENDING, EVENT_TASK_SUBMITTED },
                { TASK_CANCELED, EVENT_TASK_CANCELED },
                { TASK_ERROR, EVENT_ATTACHMENT_FAILED },
        };
        Fixture *f = *state;

        for (unsigned i = 0; i < ELEMENTSOF(rows); i++) {
                char id[8], body[16];
                StoreDelivery d;
                Seen s;

                snprintf(id, sizeof(id), "t%u", i);
                snprintf(body, sizeof(body), "account %u", i);
                d = snapshot_of(id, body, rows[i].status);
                assert_outcome(record(f->store, &d), VERDICT_STORED, i + 1, 0, false);
                s = get_task(f, id);
                assert_int_equal(s.status, rows[i].status);
                assert_string_equal(s.document, body);
                assert_false(s.has_response);
                s = list_events(f, i);
                assert_int_equal(s.n, 1);
                assert_int_equal(s.kinds[0], rows[i].kind);
                assert_int_equal(s.statuses[0], rows[i].status);
                assert_int_equal(list_deliveries(f, VERDICT_STORED, id).n, 1);

                /* Told again: nothing. */
                assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 0, 0, false);
                assert_int_equal(store_last_event(f->store), i + 1);
        }
        assert_int_equal(get_stats(f).deliveries, ELEMENTSOF(rows));
        assert_int_equal(get_stats(f).by_verdict[VERDICT_STORED], ELEMENTSOF(rows));
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DUPLICATE], 0);
        check_consistency(f);
}

static void test_snapshots_of_known_tasks(void **state)
{
        static const TaskStatus all[] = { TASK_PENDING, TASK_CANCELED, TASK_ERROR };
        Fixture *f = *state;
        unsigned n = 0;

        FOREACH_ARRAY(before, all, ELEMENTSOF(all))
                FOREACH_ARRAY(after, all, ELEMENTSOF(all)) {
                        bool changes = *before == TASK_PENDING
                                                       ? *after != TASK_PENDING
                                                       : *after == TASK_CANCELED && *before != *after;
                        StoreDelivery d, e;
                        char id[16];

                        snprintf(id, sizeof(id), "t%u", n++);
                        d = snapshot_of(id, "before", *before);
                        e = snapshot_of(id, "after", *after);
                        record(f->store, &d);
                        assert_string_equal(verdict_to_string(record(f->store, &e).verdict),
                                        changes ? "stored" : "duplicate");
                        assert_int_equal(get_task(f, id).status, changes ? *after : *before);
                        assert_string_equal(get_task(f, id).document, changes ? "after" : "before");
                }

        /* A response counts for more than any snapshot before it, and afterwards the one counts that says
         * that it was canceled: the response stays. */
        for (int status = TASK_PENDING; status <= TASK_ERROR; status++) {
                char id[16], body[16];
                StoreDelivery d, e;

                if (status == TASK_COMPLETED)
                        continue;
                snprintf(id, sizeof(id), "r%d", status);
                snprintf(body, sizeof(body), "b%d", status);
                d = snapshot_of(id, "account", (TaskStatus)status);
                e = response_of(id, body, 1);
                record(f->store, &d);
                assert_int_equal(record(f->store, &e).verdict, VERDICT_STORED);
                assert_int_equal(get_task(f, id).status, TASK_COMPLETED);
                d = snapshot_of(id, "account again", (TaskStatus)status);
                record(f->store, &d);
                assert_int_equal(get_task(f, id).status,
                                status == TASK_CANCELED ? TASK_CANCELED : TASK_COMPLETED);
                assert_string_equal(get_task(f, id).response, body);
        }
        check_consistency(f);
}

/* A snapshot proves as much as a callback. */
static void test_snapshots_of_submissions(void **state)
{
        Fixture *f = *state;
        StoreMetadata m[2], m2[2];
        StoreDelivery d = with_submission(snapshot_of("a", DOCUMENT("a"), TASK_PENDING), m, "s1"),
                      e = with_submission(snapshot_of("b", DOCUMENT("b"), TASK_CANCELED), m2, "s2");
        Seen s;

        put((add_one(f, "s1"), f), "s1", SUBMISSION_UNKNOWN);
        put((add_one(f, "s2"), f), "s2", SUBMISSION_UNKNOWN);
        record(f->store, &d);
        assert_int_equal(state_of(f, "s1"), SUBMISSION_ACCEPTED);
        s = list_events(f, 0);
        assert_int_equal(s.n, 1); /* that it was submitted is said once */
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);

        record(f->store, &e);
        s = list_events(f, 1);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_TASK_SUBMITTED);
        assert_int_equal(s.kinds[1], EVENT_TASK_CANCELED);
        assert_string_equal(s.submissions[0], "s2");
        assert_string_equal(s.submissions[1], "s2");
        check_consistency(f);
}

/* Asking again and again leaves nothing. */
static void test_polls_leave_no_row(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("a", "body-1", 1), same = d, other = response_of("a", "body-1 ", 1),
                      bad = invalid_of("b", "bad"), news = response_of("a", "body-2", 2);

        record(f->store, &d);
        same.source = SOURCE_RECONCILE;
        other.source = SOURCE_BACKFILL;
        bad.source = news.source = SOURCE_RECONCILE;
        assert_outcome(record(f->store, &same), VERDICT_DUPLICATE, 0, 1, false);
        assert_outcome(record(f->store, &other), VERDICT_DUPLICATE, 0, 1, false);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DUPLICATE], 0);
        assert_int_equal(get_stats(f).deliveries, 1);

        assert_outcome(record(f->store, &bad), VERDICT_INVALID, 2, 0, false);
        assert_outcome(record(f->store, &bad), VERDICT_INVALID, 2, 0, true);
        assert_int_equal(list_deliveries(f, VERDICT_INVALID, NULL).repeats[0], 0);
        assert_outcome(record(f->store, &news), VERDICT_REVISED, 3, 2, false);
        check_consistency(f);
}

/* Unless it brings what was missing: once. */
static void test_poll_that_brings_a_document(void **state)
{
        Fixture *f = *state;
        StoreDelivery bare = response_of("a", "bare", 1), d = response_of("a", "body", 1);

        bare.has_document = false;
        record(f->store, &bare);
        d.source = SOURCE_RECONCILE;
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 2, 1, false);
        assert_string_equal(get_task(f, "a").document, "body");
        assert_outcome(record(f->store, &d), VERDICT_DUPLICATE, 0, 1, false);
}

/* Pending tasks. */

static void test_pending(void **state)
{
        Fixture *f = *state;
        StoreDelivery d;
        Pending p = { 0 };
        char id[16];

        for (int i = 0; i < 6; i++) {
                snprintf(id, sizeof(id), "t%d", i);
                d = snapshot_of(id, "account", TASK_PENDING);
                d.due_at = T0 + i / 2;
                if (i == 5)
                        d.due_at = TIME_NONE;
                record(f->store, &d);
        }
        p = list_pending(f, INT64_MAX);
        assert_int_equal(p.n, 6);
        assert_string_equal(p.task_ids[0], "t0");
        assert_string_equal(p.task_ids[5], "t5");
        assert_string_equal(p.submissions[5], "none");
        assert_int_equal(p.due_at, T0 - HOUR + WEEK);
        assert_int_equal(list_pending(f, T0 + 1).n, 2);
        assert_int_equal(list_pending(f, T0).n, 0);

        /* Page by page, in the middle of a tie. */
        p = (Pending){ 0 };
        assert_int_equal(
                        store_list_pending_tasks(f->reader, INT64_MAX, TIME_NONE, 0, 3, see_pending, &p), 0);
        assert_int_equal(p.n, 3);
        assert_int_equal(store_list_pending_tasks(f->reader, INT64_MAX, p.due_at, p.id, 10, see_pending, &p),
                        0);
        assert_int_equal(p.n, 6);
        assert_string_equal(p.task_ids[3], "t3");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_snapshots_of_unknown_tasks),
                TEST(test_snapshots_of_known_tasks),
                TEST(test_snapshots_of_submissions),
                TEST(test_polls_leave_no_row),
                TEST(test_poll_that_brings_a_document),
                TEST(test_pending),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
