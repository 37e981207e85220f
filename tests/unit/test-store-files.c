#include "test-store-common.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/time-util.h"
#include "store/sqlite/writer.h"
#include "test-store-files.h"

/* Neither opens, and both say a sentence in which `hint` is. */
static void assert_refused(const char *path, int error, const char *hint)
{
        _cleanup_free_ char *message = NULL, *reader_message = NULL;
        StoreReader *reader = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(path, STORE_RECEIVER, &s, &message), error);
        assert_null(s);
        assert_non_null(message);
        if (!strstr(message, hint) || !strstr(message, path))
                fail_msg("%s", message);
        assert_int_equal(store_reader_open(path, 0, &reader, &reader_message), error);
        assert_null(reader);
        assert_non_null(reader_message);
        assert_non_null(strstr(reader_message, hint));
}

/* Opening. */

static void test_new_database(void **state)
{
        Fixture *f = *state;
        struct stat st;
        mode_t mask = umask(0);

        umask(mask);
        f->store = open_store(f->path);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660 & ~mask);
        assert_int_equal(ask(f->path, "PRAGMA application_id"), STORE_APPLICATION_ID);
        assert_int_equal(ask(f->path, "PRAGMA user_version"), store_schema_version());
        assert_int_equal(ask(f->path, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' "
                                      "AND type = 'table' AND name NOT LIKE 'sqlite_%' AND strict = 0"),
                        0);
}

static void test_synced_before_acknowledged(void **state)
{
        Fixture *f = *state;
        unsigned before;

        f->store = open_store(f->path);
        record_many(f->store, "a", 1, 100);
        for (int i = 0; i < 5; i++) {
                StoreDelivery d = response_of(i % 2 == 0 ? "b" : "c", "body", (uint8_t)(i + 1));

                before = faulty_syncs;
                record(f->store, &d);
                assert_true(faulty_syncs > before);
        }
}

static void test_empty_file_becomes_a_database(void **state)
{
        Fixture *f = *state;

        assert_int_equal(fd_close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), -EBADF);
        f->store = open_store(f->path);
        assert_int_equal(count_tasks(f->path), 0);
}

static void test_not_there(void **state)
{
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL, *missing = NULL, *refused = NULL;
        Store *s = NULL;
        StoreReader *reader = NULL;
        char path[128];

        assert_int_equal(store_reader_open(f->path, 0, &reader, &error), -ENOENT);
        assert_non_null(strstr(error, "no such file"));
        snprintf(path, sizeof(path), "%s/missing/scale.db", f->directory);
        assert_int_equal(store_reader_open(path, 0, &reader, &missing), -ENOENT);
        assert_int_equal(store_open(path, STORE_RECEIVER, &s, &refused), -ENOTDIR);
        assert_non_null(strstr(refused, "Its directory must exist"));
}

static void test_reader_before_the_schema(void **state)
{
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        StoreReader *reader = NULL;

        assert_int_equal(fd_close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), -EBADF);
        assert_int_equal(store_reader_open(f->path, 0, &reader, &error), -EPROTONOSUPPORT);
        assert_non_null(strstr(error, "brought up to date"));
}

static void test_newer_database(void **state)
{
        Fixture *f = *state;

        f->store = store_close(open_store(f->path));
        tell(f->path, "PRAGMA user_version = 9999");
        assert_refused(f->path, -ESTALE, "newer version");
        assert_int_equal(ask(f->path, "PRAGMA user_version"), 9999);
}

static void test_foreign_database(void **state)
{
        Fixture *f = *state;

        tell(f->path, "CREATE TABLE t (a)");
        assert_refused(f->path, -EPROTONOSUPPORT, "another program");
        /* Nothing was done to it. */
        assert_int_equal(ask(f->path, "SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM sqlite_schema"), 1);

        tell(f->path, "DROP TABLE t; PRAGMA application_id = 7");
        assert_refused(f->path, -EPROTONOSUPPORT, "application id 7");
}

static void overwrite(const char *path, off_t at, const void *data, size_t n)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, n, at), n);
}

static void test_not_a_database(void **state)
{
        Fixture *f = *state;
        char text[3000];

        overwrite(f->path, 0, "hello", 5);
        assert_refused(f->path, -EBADMSG, "not a database");
        memset(text, 'x', sizeof(text));
        overwrite(f->path, 0, text, sizeof(text));
        assert_refused(f->path, -EBADMSG, "not a database");
        assert_int_equal(size_of(f->path, ""), sizeof(text));
}

static void test_damaged_schema(void **state)
{
        Fixture *f = *state;
        char text[2000];

        f->store = store_close(open_store(f->path));
        memset(text, 0xff, sizeof(text));
        overwrite(f->path, 100, text, sizeof(text));
        assert_refused(f->path, -EBADMSG, "malformed");
}

static void test_truncated(void **state)
{
        Fixture *f = *state;

        f->store = open_store(f->path);
        record_many(f->store, "a", 100, 2000);
        f->store = store_close(f->store);
        assert_int_equal(size_of(f->path, "-wal"), -1);
        assert_int_equal(truncate(f->path, size_of(f->path, "") / 2), 0);
        assert_refused(f->path, -EBADMSG, "malformed");
}

static int ignore_task(_unused_ const TaskDocument *t, _unused_ void *userdata)
{
        return 0;
}

/* Found when it is met: the verb says so, and the process lives. */
static void test_damaged_in_the_middle(void **state)
{
        Fixture *f = *state;
        char text[4096];
        int64_t root;
        _cleanup_free_ char *error = NULL;

        f->store = open_store(f->path);
        record_many(f->store, "a", 100, 2000);
        f->store = store_close(f->store);
        root = ask(f->path, "SELECT rootpage FROM sqlite_schema WHERE name = 'task'");
        memset(text, 0xee, sizeof(text));
        overwrite(f->path, (root - 1) * 4096, text, sizeof(text));

        f->reader = open_reader(f->path, 0);
        assert_int_equal(store_get_task(f->reader, "a-7", ignore_task, NULL), -EBADMSG);
        assert_non_null(strstr(store_reader_error(f->reader), "damaged"));
        assert_int_equal(store_open(f->path, STORE_RECEIVER, &f->store, &error), -EBADMSG);
        assert_non_null(strstr(error, "damaged"));
}

static void test_locked_by_another(void **state)
{
        Fixture *f = *state;
        sqlite3 *db;

        f->store = open_store(f->path);
        assert_int_equal(sqlite3_busy_timeout(sqlite_of(f->store)->connection.db, 10), SQLITE_OK);
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(store_begin(f->store), -EBUSY);
        assert_non_null(strstr(store_error(f->store), "Another process"));
        assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        record_many(f->store, "a", 1, 10);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Disks. */

/* At every point at which the room can run out: nothing of the group is kept, nothing before it is lost, and
 * the same handle goes on once there is room. */
static void test_no_room(void **state)
{
        Fixture *f = *state;
        unsigned failures = 0;
        uint64_t event;

        f->store = open_store(f->path);
        record_many(f->store, "before", 3, 3000);
        event = store_last_event(f->store);

        for (int64_t room = 0; room < 200000; room = room * 3 / 2 + 1000) {
                StoreDelivery d = response_of("the one", "body", 1);
                StoreOutcome o;
                int r;

                d.type = "a type that is new";
                faulty_room = room;
                r = store_begin(f->store);
                for (unsigned i = 0; r >= 0 && i < 40; i++) {
                        char id[sizeof("group-") + 10];

                        snprintf(id, sizeof(id), "group-%u", i);
                        d.task_id = id;
                        r = store_record_delivery(f->store, &d, &o);
                }
                if (r >= 0)
                        r = store_commit(f->store);
                if (r == 0) {
                        faulty_room = -1;
                        break;
                }
                assert_int_equal(r, -ENOSPC);
                assert_non_null(strstr(store_error(f->store), "make room"));
                store_rollback(f->store);
                failures++;
                assert_int_equal(store_last_event(f->store), event);

                /* Readers don't mind. */
                assert_int_equal(count_tasks(f->path), event);
                faulty_room = -1;
                if (failures % 2 == 0) {
                        char prefix[32];

                        snprintf(prefix, sizeof(prefix), "after-%u", failures);
                        record_many(f->store, prefix, 2, 100);
                        event += 2;
                        assert_int_equal(store_last_event(f->store), event);
                }
        }
        assert_true(failures >= 3);
        assert_int_equal(count_tasks(f->path), event + 40);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> "
                                      "'ok'"),
                        0);
}

/* The kernel's own refusal: a limit on the size of files gives EFBIG (the signal that comes with it is
 * ignored), which is no room too. */
static void test_file_size_limit(void **state)
{
        Fixture *f = *state;
        struct rlimit old, limit;
        StoreDelivery d;
        StoreOutcome o;
        char body[400000]; /* more than the WAL has room for already */
        int r;

        f->store = open_store(f->path);
        record_many(f->store, "before", 3, 3000);
        memset(body, 'x', sizeof(body));
        d = response_of("big", "", 1);
        d.body = body;
        d.body_size = sizeof(body);

        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = old;
        limit.rlim_cur = (rlim_t)size_of(f->path, "-wal") + 6000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);

        assert_int_equal(store_begin(f->store), 0);
        r = store_record_delivery(f->store, &d, &o);
        if (r >= 0)
                r = store_commit(f->store);
        store_rollback(f->store);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        if (r != -ENOSPC)
                fail_msg("%d: %s", r, store_error(f->store));

        assert_outcome(record(f->store, &d), VERDICT_STORED, 4, 1, false);
        assert_int_equal(count_tasks(f->path), 4);
}

static void test_failed_sync_is_final(void **state)
{
        Fixture *f = *state;
        StoreDelivery d = response_of("later", "body", 1);
        StoreOutcome o;

        f->store = open_store(f->path);
        record_many(f->store, "before", 3, 3000);

        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
        faulty_sync = true;
        assert_int_equal(store_commit(f->store), -ENOTRECOVERABLE);
        assert_non_null(strstr(store_error(f->store), "sync"));
        store_rollback(f->store);
        faulty_sync = false;

        /* That it would work now proves nothing. */
        assert_int_equal(store_begin(f->store), -ENOTRECOVERABLE);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), -ENOTRECOVERABLE);
        assert_int_equal(store_last_event(f->store), 3);

        /* Leaving touches nothing; a new process finds what was acknowledged. */
        f->store = store_close(f->store);
        assert_true(size_of(f->path, "-wal") > 0);
        f->store = open_store(f->path);
        assert_true(count_tasks(f->path) >= 3);
        assert_int_equal(store_get_task(f->reader = open_reader(f->path, 0), "before-2", ignore_task, NULL),
                        1);
}

static void test_failed_sync_of_a_checkpoint(void **state)
{
        Fixture *f = *state;
        Checkpointer *c;

        f->store = open_store(f->path);
        assert_int_equal(checkpointer_open(f->path, &c), 0);
        record_many(f->store, "before", 3, 3000);
        faulty_sync = true;
        assert_int_equal(checkpointer_run(c), -ENOTRECOVERABLE);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), -ENOTRECOVERABLE);
        faulty_sync = false;
        assert_int_equal(checkpointer_run(c), -ENOTRECOVERABLE);
        assert_int_equal(store_begin(f->store), -ENOTRECOVERABLE);
        checkpointer_close(c);
}

static void test_free_space(void **state)
{
        Fixture *f = *state;
        uint64_t n = 0;
        char path[128];

        assert_int_equal(store_free_space(f->path, &n), 0); /* not there yet: its directory counts */
        assert_true(n > 0);
        f->store = open_store(f->path);
        assert_int_equal(store_free_space(f->path, &n), 0);
        assert_true(n > 0);
        snprintf(path, sizeof(path), "%s/missing/scale.db", f->directory);
        assert_int_equal(store_free_space(path, &n), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_directory, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_new_database),
                TEST(test_synced_before_acknowledged),
                TEST(test_empty_file_becomes_a_database),
                TEST(test_not_there),
                TEST(test_reader_before_the_schema),
                TEST(test_newer_database),
                TEST(test_foreign_database),
                TEST(test_not_a_database),
                TEST(test_damaged_schema),
                TEST(test_truncated),
                TEST(test_damaged_in_the_middle),
                TEST(test_locked_by_another),
                TEST(test_no_room),
                TEST(test_file_size_limit),
                TEST(test_failed_sync_is_final),
                TEST(test_failed_sync_of_a_checkpoint),
                TEST(test_free_space),
        };

        faults_install();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
