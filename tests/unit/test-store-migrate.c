#include <sys/wait.h>

#include "store/sqlite/writer.h"
#include "test-store-outbox.h"

/* Databases of an older program: made by its own statements, then opened by this one. */

#define FILE_MAX ((size_t)1024 * 1024)

static void run_sql(sqlite3 *db, const char *sql)
{
        char *error = NULL;

        if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
}

/* As step 1 made it, with a task of each state as a receiver left them. */
static void make_first(const char *path)
{
        static const char rows[] =
                        "INSERT INTO type (id, name) VALUES (1, 'annotation');"
                        "INSERT INTO delivery VALUES "
                        "(1, 1700000000000000, 0, 0, 200, 0, 1, 1, 1, 9, NULL, 'live', NULL, 'ref-1', NULL, "
                        "NULL, "
                        " CAST('body-1' AS BLOB)),"
                        "(2, 1700000000000001, 0, 4, 200, 0, 1, 2, 0, 9, 77, 'live', NULL, NULL, NULL, "
                        "NULL, "
                        " CAST('failed-b' AS BLOB)),"
                        "(3, 1700000000000002, 0, 3, 422, 0, 1, NULL, 0, 9, 78, 'live', NULL, NULL, 'x', "
                        "NULL, "
                        " CAST('bad' AS BLOB));"
                        "INSERT INTO quarantine VALUES (3, 0, 0);"
                        "INSERT INTO task VALUES "
                        "(1, 'a', 1, 1, 0, 1699996400000000, 1699999999000000, 1, 1, 1, 1, 1, NULL),"
                        "(2, 'b', 1, 3, 0, 1699996400000000, NULL, 2, NULL, 0, 0, 2, x'6b007600'),"
                        "(3, 'c', 1, 0, 0, 1699996400000000, NULL, NULL, NULL, 0, 0, 0, NULL);"
                        "INSERT INTO revision VALUES (1, 1, 1, 1699999999000000, zeroblob(16));"
                        "INSERT INTO metadata VALUES ('k', 'v', 1699996400000000, 2);"
                        "INSERT INTO event VALUES "
                        "(1, 1700000000000000, 1, 1, 1, 1, 1, 1, NULL, 'ref-1'),"
                        "(2, 1700000000000001, 4, 1, 2, 3, 0, 2, NULL, NULL),"
                        "(3, 1700000000000002, 5, 1, NULL, NULL, 0, 3, 'x', NULL);"
                        "INSERT INTO tally VALUES (1, 1, 0, 1), (1, 3, 0, 1), (1, 0, 0, 1);"
                        "INSERT INTO tally_by_hour VALUES (472221, 1, 1, 0, 1), (472221, 1, 3, 0, 1), "
                        "(472221, 1, 0, 0, 1);"
                        "INSERT INTO tally_of_verdicts VALUES (0, 1, 0), (4, 1, 0), (3, 1, 0);";
        _cleanup_free_ char *schema = calloc(1, FILE_MAX);
        const char *data = getenv("TEST_DATA");
        char name[512], pragma[128];
        sqlite3 *db;
        FILE *file;

        assert_non_null(data);
        assert_non_null(schema);
        snprintf(name, sizeof(name), "%s/../../sql/0001-callbacks.sql", data);
        file = fopen(name, "re");
        assert_non_null(file);
        assert_true(fread(schema, 1, FILE_MAX - 1, file) > 1000);
        assert_true(feof(file));
        assert_int_equal(fclose(file), 0);

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                        SQLITE_OK);
        snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d; PRAGMA user_version = 1",
                        STORE_APPLICATION_ID);
        run_sql(db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL");
        run_sql(db, schema);
        run_sql(db, pragma);
        run_sql(db, rows);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_first_schema(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("c", "body-c", 1), e = response_of("a", "body-1", 0);
        Seen s;

        make_first(f->path);
        f->store = open_store(f->path);
        f->reader = open_reader(f->path, 0);
        assert_int_equal(ask_file(f, "PRAGMA user_version"), store_schema_version());
        check_consistency(f);

        /* All that was there is there. */
        s = get_task(f, "a");
        assert_int_equal(s.status, TASK_COMPLETED);
        assert_string_equal(s.document, "body-1");
        assert_string_equal(s.response, "body-1");
        assert_string_equal(get_task(f, "b").document, "failed-b");
        assert_string_equal(list_events(f, 0).submissions[0], "ref-1");
        assert_int_equal(list_deliveries(f, VERDICT_INVALID, NULL).n, 1);

        /* Only what is pending has to be done some time. */
        assert_int_equal(list_pending(f, INT64_MAX).n, 1);
        assert_string_equal(list_pending(f, INT64_MAX).task_ids[0], "c");
        assert_int_equal(list_pending(f, INT64_MAX).due_at, INT64_C(1699996400000000) + WEEK);
        assert_int_equal(get_queue(f).hold, QUEUE_RUNNING);
        assert_int_equal(get_queue(f).by_state[SUBMISSION_QUEUED], 0);

        /* And it goes on. */
        assert_outcome(record(f->store, &e), VERDICT_DUPLICATE, 1, 1, true);
        assert_outcome(record(f->store, &d), VERDICT_STORED, 4, 1, false);
        assert_int_equal(list_pending(f, INT64_MAX).n, 0);
        add_one(f, "s1");
        d = snapshot_of("d", "account", TASK_PENDING);
        assert_int_equal(accept(f, "s1", &d), 0);
        assert_string_equal(get_task(f, "d").document, "account");
        check_consistency(f);
}

/* A reader is told to wait for it; one that is open meanwhile is not disturbed. */
static void test_readers_meanwhile(void **state)
{
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        sqlite3_stmt *old;
        sqlite3 *db;

        make_first(f->path);
        assert_int_equal(store_reader_open(f->path, 0, &f->reader, &error), -EPROTONOSUPPORT);
        assert_non_null(strstr(error, "schema 1"));

        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM task", -1, &old, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(old), SQLITE_ROW);
        f->store = open_store(f->path);
        assert_int_equal(sqlite3_column_int(old, 0), 3);
        assert_int_equal(sqlite3_finalize(old), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Both daemons after an upgrade. */
static void test_two_at_once(void **state)
{
        Fixture *f = *state;
        int status;
        pid_t pid;

        make_first(f->path);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char *error = NULL;
                Store *s = NULL;

                _exit(store_open(f->path, STORE_RECEIVER, &s, &error) < 0 ? 1 : (store_close(s), 0));
        }
        f->store = open_store(f->path);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        check_consistency(f);
}

/* What was kept of each schema (tests/data/schema), brought to this one: not a row less, not a byte changed,
 * and the same tables and indexes as if it had begun with this one. */

static char *read_kept(int version)
{
        char *text = calloc(1, FILE_MAX), name[512];
        const char *data = getenv("TEST_DATA");
        FILE *file;

        assert_non_null(data);
        assert_non_null(text);
        snprintf(name, sizeof(name), "%s/schema/%d.sql", data, version);
        file = fopen(name, "re");
        if (!file)
                fail_msg("%s: there has to be one for each migration, see tests/data/schema/README.md",
                                name);
        assert_true(fread(text, 1, FILE_MAX - 1, file) > 1000);
        assert_true(feof(file));
        assert_int_equal(fclose(file), 0);
        return text;
}

static void make_kept(const char *path, int version)
{
        _cleanup_free_ char *text = read_kept(version);
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                        SQLITE_OK);
        run_sql(db, text);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t ask_one(sqlite3 *db, const char *sql)
{
        sqlite3_stmt *statement;
        int64_t v;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        v = sqlite3_column_int64(statement, 0);
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
        return v;
}

static void compare_rows(sqlite3 *db)
{
        sqlite3_stmt *tables;

        assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM kept.sqlite_schema WHERE type = 'table'",
                                         -1, &tables, NULL),
                        SQLITE_OK);
        while (sqlite3_step(tables) == SQLITE_ROW) {
                const char *name = (const char *)sqlite3_column_text(tables, 0);
                char sql[256];

                snprintf(sql, sizeof(sql), "SELECT count(*) FROM main.%s", name);
                assert_true(ask_one(db, sql) > 0);
                snprintf(sql, sizeof(sql),
                                "SELECT (SELECT count(*) FROM main.%s) - (SELECT count(*) FROM kept.%s)",
                                name, name);
                if (ask_one(db, sql) != 0)
                        fail_msg("%s: %ld rows more than were kept", name, (long)ask_one(db, sql));
        }
        assert_int_equal(sqlite3_finalize(tables), SQLITE_OK);
}

static void compare(const char *path, const char *kept, const char *fresh)
{
        static const char *const zero[] = {
                "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                "SELECT count(*) FROM pragma_foreign_key_check",
                "SELECT count(*) FROM kept.delivery k LEFT JOIN main.delivery m USING (n) WHERE m.body IS "
                "NOT k.body",
                ("SELECT count(*) FROM kept.revision k LEFT JOIN main.revision m USING (task, number) "
                 "WHERE m.digest IS NOT k.digest OR m.delivery IS NOT k.delivery"),
                ("SELECT count(*) FROM kept.event k LEFT JOIN main.event m USING (seq) "
                 "WHERE m.kind IS NOT k.kind OR m.submission IS NOT k.submission OR m.task IS NOT k.task"),
                "SELECT (SELECT max(seq) FROM event) - (SELECT count(*) FROM event)",
                "SELECT (SELECT sum(count) FROM tally) - (SELECT count(*) FROM task)",
                "SELECT count(*) FROM task WHERE status = 0 AND due_at IS NULL",
                ("SELECT count(*) FROM (SELECT type, name, sql FROM fresh.sqlite_schema "
                 "EXCEPT SELECT type, name, sql FROM main.sqlite_schema)"),
                ("SELECT count(*) FROM (SELECT type, name, sql FROM main.sqlite_schema "
                 "EXCEPT SELECT type, name, sql FROM fresh.sqlite_schema)"),
        };
        char attach[512];
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        snprintf(attach, sizeof(attach), "ATTACH '%s' AS kept; ATTACH '%s' AS fresh", kept, fresh);
        run_sql(db, attach);
        FOREACH_ARRAY(sql, zero, ELEMENTSOF(zero))
                if (ask_one(db, *sql) != 0)
                        fail_msg("%s: %ld", *sql, (long)ask_one(db, *sql));
        compare_rows(db);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_every_schema_that_was_kept(void **state)
{
        Fixture *f = *state;
        char kept[128], fresh[128];

        snprintf(fresh, sizeof(fresh), "%s/fresh.db", f->directory);
        store_close(open_store(fresh));
        snprintf(kept, sizeof(kept), "%s/kept.db", f->directory);
        for (int version = 1; version <= store_schema_version(); version++) {
                (void)unlink(kept);
                (void)unlink(f->path);
                make_kept(kept, version);
                make_kept(f->path, version);

                f->store = open_store(f->path);
                assert_int_equal(ask_file(f, "PRAGMA user_version"), store_schema_version());
                f->store = store_close(f->store);
                compare(f->path, kept, fresh);
        }
}

static int count_any(_unused_ const TaskDocument *t, void *userdata)
{
        ++*(unsigned *)userdata;
        return 0;
}

/* A hundred types that somebody made up, as schema 2 counted them: they share a kind, and are all listed. */
static void test_many_types(void **state)
{
        static const char rows[] =
                        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1099) "
                        "INSERT INTO type (id, name) SELECT i, 'made-up-' || i FROM n;"
                        "INSERT INTO task (id, task_id, type, status, is_test, created_at, revision, "
                        "revisions, "
                        "last_event) SELECT id, name, id, 1 + id % 3, id % 2, 1700000000000000 + id, 0, 0, "
                        "0 "
                        "FROM type WHERE id >= 1000;"
                        "INSERT INTO tally SELECT type, status, is_test, 1 FROM task WHERE id >= 1000;"
                        "INSERT INTO tally_by_hour SELECT created_at / 3600000000, type, status, is_test, 1 "
                        "FROM task WHERE id >= 1000;";
        TaskFilter filter = { .start_time = TIME_NONE, .end_time = TIME_NONE, .is_test = -1, .limit = 1000 };
        _cleanup_free_ char *error = NULL;
        Fixture *f = *state;
        unsigned n = 0;
        TaskPage page;
        sqlite3 *db;

        make_kept(f->path, 2);
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        run_sql(db, rows);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);

        f->store = open_store(f->path);
        check_consistency(f);
        assert_int_equal(ask_file(f, "SELECT count(*) FROM tally WHERE type > 32"), 0);
        assert_int_equal(ask_file(f, "SELECT sum(count) FROM tally WHERE type = -1"), 100);

        assert_int_equal(store_reader_open(f->path, 0, &f->reader, &error), 0);
        filter.status = TASK_CANCELED;
        filter.type = "made-up-1000";
        assert_int_equal(store_list_tasks(f->reader, &filter, count_any, &n, &page), 0);
        assert_int_equal(page.total, 1);
        filter.type = NULL;
        filter.status = _TASK_STATUS_INVALID;
        filter.start_time = INT64_C(1700000000000000);
        filter.end_time = INT64_C(1700000000001099);
        n = 0;
        assert_int_equal(store_list_tasks(f->reader, &filter, count_any, &n, &page), 0);
        assert_int_equal(page.total, 100);
        assert_int_equal(n, 100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_directory, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_first_schema),
                TEST(test_readers_meanwhile),
                TEST(test_two_at_once),
                TEST(test_every_schema_that_was_kept),
                TEST(test_many_types),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
