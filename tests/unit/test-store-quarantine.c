#include "test-store-seen.h"

#include <sqlite3.h>

static void test_invalid_is_quarantined_and_counted(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = invalid_of("a", "bad-1"), e = invalid_of(NULL, "not json"), x;
        Seen s;

        assert_outcome(record(f->store, &d), VERDICT_INVALID, 1, 0, false);
        assert_outcome(record(f->store, &d), VERDICT_INVALID, 1, 0, true);
        e.type = NULL;
        assert_outcome(record(f->store, &e), VERDICT_INVALID, 2, 0, false);
        assert_outcome(record(f->store, &e), VERDICT_INVALID, 2, 0, true);
        e.ref = "elsewhere"; /* the same bytes, but meant for something else */
        assert_outcome(record(f->store, &e), VERDICT_INVALID, 3, 0, false);

        assert_int_equal(store_get_task(f->reader, "a", see_task, &s), 0);
        s = list_deliveries(f, VERDICT_INVALID, NULL);
        assert_int_equal(s.n, 3);
        assert_string_equal(s.task_ids[0], "a");
        assert_string_equal(s.task_ids[1], "n/a");
        s = list_events(f, 0);
        assert_int_equal(s.n, 3);
        assert_int_equal(s.kinds[0], EVENT_DELIVERY_INVALID);
        assert_int_equal(s.statuses[0], _TASK_STATUS_INVALID);
        assert_string_equal(s.task_ids[0], "a");
        assert_string_equal(s.types[0], "annotation");
        assert_false(s.with_task[0]);
        assert_string_equal(s.submissions[2], "elsewhere");

        /* Once the task is known, what was named before and what comes later are both its deliveries. */
        x = response_of("a", "body-1", 1);
        record(f->store, &x);
        x = invalid_of("a", "bad-2");
        record(f->store, &x);
        assert_outcome(record(f->store, &d), VERDICT_INVALID, 1, 0, true);
        x = response_of("a", "body-2", 2);
        record(f->store, &x);
        x = response_of("a", "body-2 ", 2);
        record(f->store, &x);
        s = list_deliveries(f, _VERDICT_ERRNO, "a");
        assert_int_equal(s.n, 5);
        assert_int_equal(s.numbers[0], 1);
        for (size_t i = 1; i < s.n; i++)
                assert_int_equal(s.numbers[i], i + 3);
        s = list_deliveries(f, VERDICT_INVALID, "a");
        assert_int_equal(s.n, 2);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_INVALID], 4);
        assert_int_equal(list_deliveries(f, _VERDICT_ERRNO, "nobody").n, 0);
}

static void test_bare_attachment_failure(void **state)
{
        Fixture *f = *state;
        StoreDelivery orphan = attachment_of(NULL, "ref-1", "failed"),
                      lost = attachment_of(NULL, NULL, "failed"), d = response_of("a", "body-1", 1),
                      tied = attachment_of(NULL, "ref-2", "failed");
        Seen s;

        assert_outcome(record(f->store, &orphan), VERDICT_ATTACHMENT_FAILURE, 1, 0, false);
        assert_outcome(record(f->store, &orphan), VERDICT_DUPLICATE, 1, 0, true);
        assert_outcome(record(f->store, &lost), VERDICT_ATTACHMENT_FAILURE, 2, 0, false);
        assert_outcome(record(f->store, &lost), VERDICT_DUPLICATE, 2, 0, true);
        s = list_events(f, 0);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.kinds[0], EVENT_ATTACHMENT_FAILED);
        assert_string_equal(s.task_ids[0], "n/a");
        assert_string_equal(s.submissions[0], "ref-1");
        assert_int_equal(s.statuses[0], _TASK_STATUS_INVALID);
        assert_int_equal(get_stats(f).tasks, 0);

        /* The task of ref-2 has a response: it stays as it is. */
        d.ref = "ref-2";
        record(f->store, &d);
        assert_outcome(record(f->store, &tied), VERDICT_ATTACHMENT_FAILURE, 4, 0, false);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_string_equal(s.response, "body-1");
        assert_string_equal(s.document, "body-1");
        s = list_events(f, 3);
        assert_int_equal(s.n, 1);
        assert_string_equal(s.task_ids[0], "a");
        assert_int_equal(s.statuses[0], TASK_COMPLETED);
        s = list_deliveries(f, VERDICT_ATTACHMENT_FAILURE, "a");
        assert_int_equal(s.n, 1);
        assert_int_equal(s.numbers[0], 4);
}

static void test_full_attachment_failure(void **state)
{
        Fixture *f = *state;
        StoreDelivery e = attachment_of("a", "ref-1", "failed-a"), d = response_of("a", "body-1", 1),
                      late = attachment_of("a", NULL, "failed-a later"),
                      bare = attachment_of(NULL, "ref-1", "failed bare");
        Seen s;

        assert_outcome(record(f->store, &e), VERDICT_ATTACHMENT_FAILURE, 1, 0, false);
        assert_outcome(record(f->store, &e), VERDICT_DUPLICATE, 1, 0, true);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_ERROR);
        assert_string_equal(s.document, "failed-a");
        assert_string_equal(s.response, "failed-a"); /* says why there is none */
        assert_int_equal(s.completed_at, TIME_NONE);

        /* Known by its ref, still without a response. */
        assert_outcome(record(f->store, &bare), VERDICT_ATTACHMENT_FAILURE, 2, 0, false);
        s = get_task(f, "a");
        assert_string_equal(s.document, "failed-a");
        assert_string_equal(s.response, "failed bare");
        assert_string_equal(get_delivery(f, 2).task_ids[0], "a");

        /* The task was completed after all: its first response. */
        assert_outcome(record(f->store, &d), VERDICT_STORED, 3, 1, false);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_string_equal(s.response, "body-1");
        assert_string_equal(s.document, "body-1");

        assert_outcome(record(f->store, &late), VERDICT_ATTACHMENT_FAILURE, 4, 0, false);
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_string_equal(s.response, "body-1");
        assert_string_equal(s.document, "body-1");
        assert_int_equal(list_events(f, 0).n, 4);
        assert_int_equal(get_stats(f).n_by_type, 1);
        assert_int_equal(get_stats(f).by_type[0].status, TASK_COMPLETED);
}

static int discard(Store *s, uint64_t n)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_discard_delivery(s, n);
        if (r < 0)
                store_rollback(s);
        else
                assert_int_equal(store_commit(s), 0);
        return r;
}

static void test_discard(void **state)
{
        Fixture *f = *state;
        StoreDelivery bad = invalid_of("a", "bad"), good = response_of("a", "body-1", 1);
        Seen s;

        record(f->store, &bad);
        record(f->store, &bad);
        record(f->store, &good);
        assert_int_equal(discard(f->store, 9), -ENOENT);
        assert_int_equal(discard(f->store, 2), -EINVAL);
        assert_int_equal(discard(f->store, 1), 0);
        assert_int_equal(discard(f->store, 1), -EINVAL);

        assert_int_equal(list_deliveries(f, VERDICT_INVALID, NULL).n, 0);
        s = list_deliveries(f, VERDICT_DISCARDED, NULL);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.verdicts[0], VERDICT_DISCARDED);
        assert_int_equal(s.superseded_by[0], 0);
        assert_int_equal(list_deliveries(f, VERDICT_DISCARDED, "a").n, 1);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_INVALID], 0);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DISCARDED], 1);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DUPLICATE], 0);

        /* A decision about one delivery is none about the next. */
        assert_outcome(record(f->store, &bad), VERDICT_INVALID, 3, 0, false);
}

static void test_retry(void **state)
{
        Fixture *f = *state;
        StoreDelivery bad = invalid_of("a", "strict"), again = response_of("a", "strict", 1);
        StoreOutcome o;
        Seen s;

        record(f->store, &bad);
        again.source = SOURCE_RETRY;
        again.retry_of = 1;
        again.key_label = NULL;
        assert_outcome(record(f->store, &again), VERDICT_STORED, 2, 1, false);
        s = get_delivery(f, 1);
        assert_int_equal(s.verdicts[0], VERDICT_DISCARDED);
        assert_int_equal(s.superseded_by[0], 2);
        assert_int_equal(get_delivery(f, 2).verdicts[0], VERDICT_STORED);
        assert_int_equal(get_stats(f).by_verdict[VERDICT_DISCARDED], 1);

        /* Two at a time: the second finds it gone, and records nothing. */
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_record_delivery(f->store, &again, &o), -EINVAL);
        store_rollback(f->store);
        again.retry_of = 77;
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_record_delivery(f->store, &again, &o), -ENOENT);
        store_rollback(f->store);
        assert_int_equal(list_deliveries(f, _VERDICT_ERRNO, NULL).n, 2);
        assert_int_equal(get_delivery(f, 2).repeats[0], 0);

        /* One whose bytes have been accepted meanwhile. */
        bad = invalid_of("b", "loose");
        record(f->store, &bad);
        again = response_of("b", "loose", 5);
        assert_outcome(record(f->store, &again), VERDICT_STORED, 4, 1, false);
        again.retry_of = 3;
        assert_outcome(record(f->store, &again), VERDICT_DUPLICATE, 4, 1, true);
        assert_int_equal(get_delivery(f, 3).superseded_by[0], 4);
}

static void test_odd_bodies(void **state)
{
        Fixture *f = *state;
        StoreDelivery empty = invalid_of(NULL, ""), zeros = invalid_of(NULL, "");
        char *big = malloc(3 << 20);
        StoreDelivery large;
        Seen s;

        empty.type = zeros.type = NULL;
        assert_outcome(record(f->store, &empty), VERDICT_INVALID, 1, 0, false);
        zeros.body = "\0\0\0";
        zeros.body_size = 3;
        assert_outcome(record(f->store, &zeros), VERDICT_INVALID, 2, 0, false);
        zeros.body_size = 2;
        assert_outcome(record(f->store, &zeros), VERDICT_INVALID, 3, 0, false);
        s = get_delivery(f, 1);
        assert_string_equal(s.body, "");

        assert_non_null(big);
        memset(big, 'x', 3 << 20);
        large = invalid_of(NULL, "");
        large.body = big;
        large.body_size = 3 << 20;
        assert_outcome(record(f->store, &large), VERDICT_INVALID, 4, 0, false);
        assert_outcome(record(f->store, &large), VERDICT_INVALID, 4, 0, true);
        big[(3 << 20) - 1] = 'y';
        assert_outcome(record(f->store, &large), VERDICT_INVALID, 5, 0, false);
        free(big);
}

/* Everything that refers to something refers to something that is there, and the counters are right: asked
 * of the file itself. */
static int count_row(void *userdata, int n, char **values, _unused_ char **names)
{
        assert_true(n > 0);
        *(long *)userdata = strtol(values[0] ?: "-1", NULL, 10);
        return 0;
}

static void test_consistent_and_final(void **state)
{
        static const char *const zero[] = {
                "SELECT count(*) FROM pragma_foreign_key_check",
                "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                "SELECT abs((SELECT sum(count) FROM tally) - (SELECT count(*) FROM task))",
                ("SELECT count(*) FROM (SELECT type, status, is_test, count(*) AS n FROM task GROUP BY 1, "
                 "2, "
                 "3) a "
                 "LEFT JOIN tally b USING (type, status, is_test) WHERE b.count IS NOT a.n"),
                ("SELECT count(*) FROM (SELECT CASE WHEN q.discarded = 1 THEN 5 ELSE d.verdict END AS "
                 "verdict, "
                 "                      count(*) AS n, coalesce(sum(r.count), 0) AS m FROM delivery d "
                 "                      LEFT JOIN quarantine q ON q.delivery = d.n "
                 "                      LEFT JOIN repeat r ON r.delivery = d.n GROUP BY 1) a "
                 "LEFT JOIN tally_of_verdicts b USING (verdict) "
                 "WHERE b.deliveries IS NOT a.n OR b.repeats IS NOT a.m"),
                "SELECT (SELECT sum(deliveries) FROM tally_of_verdicts) - (SELECT count(*) FROM delivery)",
                ("SELECT count(*) FROM task t WHERE revisions <> (SELECT count(*) FROM revision "
                 "WHERE task = t.id)"),
        };
        Fixture *f = *state;
        sqlite3 *db;
        long n;

        for (int i = 0; i < 400; i++) {
                char id[16], body[32];
                StoreDelivery d;
                StoreOutcome o;

                snprintf(id, sizeof(id), "t%d", i % 40);
                snprintf(body, sizeof(body), "body-%d", i % 140);
                d = i % 7 == 0   ? invalid_of(id, body)
                    : i % 5 == 0 ? attachment_of(id, NULL, body)
                                 : response_of(id, body, (uint8_t)(i % 11));
                d.completed_at = i % 5 == 0 ? TIME_NONE : T0 + (i * 37) % 100;
                o = record(f->store, &d);
                if (o.verdict == VERDICT_INVALID && o.repeated)
                        (void)discard(f->store, o.delivery);
        }

        if (in_memory)
                skip();
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        for (size_t i = 0; i < ELEMENTSOF(zero); i++) {
                n = -1;
                assert_int_equal(sqlite3_exec(db, zero[i], count_row, &n, NULL), SQLITE_OK);
                if (n != 0)
                        fail_msg("%s: %ld", zero[i], n);
        }
        assert_int_equal(sqlite3_exec(db, "UPDATE delivery SET status = 1 WHERE n = 1", NULL, NULL, NULL),
                        SQLITE_CONSTRAINT);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_invalid_is_quarantined_and_counted),
                TEST(test_bare_attachment_failure),
                TEST(test_full_attachment_failure),
                TEST(test_discard),
                TEST(test_retry),
                TEST(test_odd_bodies),
                TEST(test_consistent_and_final),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
