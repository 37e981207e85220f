/* How old deliveries are at least: by what was counted, whatever the clock on the wall says. */

#include <sqlite3.h>

#include "test-store-common.h"

#define DAY  (24 * HOUR)
#define YEAR (400 * DAY)

static StoreTime count(Store *s, int64_t monotonic, int64_t realtime)
{
        StoreTime time;

        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_count_time(s, (uint64_t)monotonic, realtime, &time), 0);
        assert_int_equal(store_commit(s), 0);
        return time;
}

static uint64_t older(Store *s, int64_t age)
{
        uint64_t n;

        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_find_older(s, (uint64_t)age, &n), 0);
        assert_int_equal(store_commit(s), 0);
        return n;
}

static void add(Store *s, const char *body)
{
        StoreDelivery d = invalid_of("x", body);

        record(s, &d);
}

static Store *restart(Fixture *f)
{
        f->store = store_close(f->store);
        f->store = open_store(f->path);
        return f->store;
}

static void test_the_clock_has_no_say(void **state)
{
        Fixture *f = *state;
        Store *s = f->store;
        StoreTime time;

        add(s, "1");
        time = count(s, 5 * HOUR, T0);
        assert_true(time.resumed && time.counted == 0 && time.jump == 0);
        add(s, "2");
        time = count(s, 6 * HOUR, T0 + HOUR + YEAR);
        assert_true(!time.resumed && time.counted == (uint64_t)HOUR && time.jump == YEAR);
        assert_int_equal(older(s, 2 * HOUR), 0);
        assert_int_equal(older(s, HOUR), 1);
        assert_int_equal(older(s, 1), 1);
        assert_int_equal(older(s, 0), 2);
        assert_int_equal(older(s, YEAR), 0);

        time = count(s, 7 * HOUR, T0 + 2 * HOUR);
        assert_true(time.counted == 2 * (uint64_t)HOUR && time.jump == -YEAR);
        assert_int_equal(older(s, HOUR), 2);
}

static void test_only_what_ran_is_counted(void **state)
{
        Fixture *f = *state;
        Store *s = f->store;
        StoreTime time;

        add(s, "1");
        count(s, 0, T0);
        count(s, DAY, T0 + DAY);
        s = restart(f);
        time = count(s, 3 * HOUR, T0 + YEAR);
        assert_true(time.resumed && time.counted == (uint64_t)DAY && time.jump == YEAR - DAY);
        assert_int_equal(older(s, DAY), 1);
        assert_int_equal(older(s, DAY + 1), 0);
        count(s, 4 * HOUR, T0 + YEAR + HOUR);
        assert_int_equal(older(s, DAY + HOUR), 1);
        assert_int_equal(older(s, DAY + HOUR + 1), 0);
}

static void test_two_processes_count_an_hour_once(void **state)
{
        Fixture *f = *state;
        Store *a = f->store, *b = open_store(f->path);
        StoreTime time = { 0 };

        add(a, "1");
        count(a, 0, T0);
        count(b, 100 * HOUR, T0);
        for (int i = 1; i <= 10; i++) {
                time = count(a, i * HOUR, T0 + i * HOUR);
                assert_int_equal(time.counted, (uint64_t)(i * HOUR));
                time = count(b, 100 * HOUR + i * HOUR + HOUR / 2, T0 + i * HOUR + HOUR / 2);
                assert_int_equal(time.counted, (uint64_t)(i * HOUR + HOUR / 2));
                assert_int_equal(time.jump, 0);
        }
        store_close(b);
}

static int64_t ask(const char *path, const char *sql)
{
        sqlite3_stmt *statement;
        sqlite3 *db;
        int64_t v;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        v = sqlite3_column_int64(statement, 0);
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return v;
}

/* Some hundred marks, and what they say is late by a part of the age at most, and never early. */
static void test_marks_are_few_and_close(void **state)
{
        static const int64_t step = HOUR / 6;
        Fixture *f = *state;
        Store *s = f->store;
        int n = 3000;

        for (int i = 0; i <= n; i++) {
                StoreDelivery d;
                StoreOutcome o;
                StoreTime time;
                char body[16];

                if (i % 100 == 0)
                        assert_int_equal(store_begin(s), 0);
                snprintf(body, sizeof(body), "%d", i);
                d = invalid_of("x", body);
                if (i < n) /* number i + 1, between the marks */
                        assert_int_equal(store_record_delivery(s, &d, &o), 0);
                assert_int_equal(store_count_time(s, (uint64_t)(i * step), T0, &time), 0);
                if (i % 100 == 99 || i == n)
                        assert_int_equal(store_commit(s), 0);
        }
        if (in_memory)
                skip();
        assert_in_range(ask(f->path, "SELECT count(*) FROM mark"), 32, 400);
        for (int64_t age = step; age < n * step; age += 7 * step) {
                int64_t newest = (int64_t)older(s, age), limit = n - age / step + 1;

                assert_true(newest <= limit);
                assert_true(newest >= limit - 2 - age / step / 16);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_clock_has_no_say),
                TEST(test_only_what_ran_is_counted),
                TEST(test_two_processes_count_an_hour_once),
                TEST(test_marks_are_few_and_close),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
