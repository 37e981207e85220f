#include "store/sqlite/writer.h"
#include "test-store-files.h"

/* Whether a database and the log beside it belong together. */

/* What is left when everybody who has it is killed now, under another name. */
static void kill_all(const Fixture *f, const char *name, char ret[static 160])
{
        static const char *const suffixes[] = { "", "-wal", "-turn" };

        snprintf(ret, 160, "%s/%s", f->directory, name);
        FOREACH_ARRAY(s, suffixes, ELEMENTSOF(suffixes)) {
                char command[512];

                snprintf(command, sizeof(command), "rm -f '%s%s' && (test ! -e '%s%s' || cp '%s%s' '%s%s')",
                                ret, *s, f->path, *s, f->path, *s, ret, *s);
                assert_int_equal(system(command), 0);
        }
}

static void copy_file(const char *from, const char *to)
{
        char command[512];

        snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
        assert_int_equal(system(command), 0);
}

static void back_up(const Fixture *f, const char *target)
{
        _cleanup_(store_backup_closep) StoreBackup *b = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_backup_open(f->path, target, &b, &error), 0);
        assert_int_equal(store_backup_step(b, UINT32_MAX), 0);
}

static uint64_t digest_of(const char *path, const char *suffix)
{
        char name[256];
        uint64_t h = 1;
        FILE *file;
        int c;

        snprintf(name, sizeof(name), "%s%s", path, suffix);
        file = fopen(name, "re");
        assert_non_null(file);
        while ((c = fgetc(file)) != EOF)
                h = h * 31 + (unsigned char)c;
        fclose(file);
        return h;
}

static void assert_refused(const char *path)
{
        uint64_t database = digest_of(path, ""), log = digest_of(path, "-wal");
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(path, STORE_RECEIVER, &s, &error), -EBADMSG);
        assert_non_null(strstr(error, "scale.db-wal"));
        assert_non_null(strstr(error, "scalectl restore"));
        assert_true(digest_of(path, "") == database);
        assert_true(digest_of(path, "-wal") == log);
}

static void assert_whole(const char *path, uint64_t n)
{
        Store *s = open_store(path);

        assert_int_equal(count_tasks(path), n);
        assert_int_equal(ask(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> "
                                   "'ok'"),
                        0);
        store_close(s);
        assert_int_equal(size_of(path, "-wal"), -1);
}

/* A backup was made, more came, all were killed, and the backup was put in place by hand. */
static void test_backup_beside_the_log(void **state)
{
        Fixture *f = *state;
        char backup[128], left[160];

        f->store = open_store(f->path);
        record_many(f->store, "a", 200, 1000);
        snprintf(backup, sizeof(backup), "%s/b.db", f->directory);
        back_up(f, backup);
        for (unsigned i = 0; i < 3; i++) {
                char prefix[16];

                snprintf(prefix, sizeof(prefix), "b%u", i);
                record_many(f->store, prefix, 100, 1000);
                kill_all(f, "x-scale.db", left);
                assert_whole(left, 200 + 100 * (i + 1));
                kill_all(f, "x-scale.db", left);
                copy_file(backup, left);
                assert_refused(left);
                if (i == 1)
                        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        }

        /* With the log gone it is a proper restore. */
        snprintf(left + strlen(left), 10, "-wal");
        assert_int_equal(unlink(left), 0);
        left[strlen(left) - 4] = '\0';
        assert_whole(left, 200);
}

/* A copy that was made while nobody had it carries the name of the same chain, but from long ago. */
static void test_cold_copy_beside_the_log(void **state)
{
        Fixture *f = *state;
        char cold[128], left[160];

        f->store = open_store(f->path);
        record_many(f->store, "a", 50, 1000);
        f->store = store_close(f->store);
        snprintf(cold, sizeof(cold), "%s/cold.db", f->directory);
        copy_file(f->path, cold);

        /* The log has everything since: nothing is missing, so they do belong together. */
        f->store = open_store(f->path);
        record_many(f->store, "b", 50, 1000);
        kill_all(f, "x-scale.db", left);
        copy_file(cold, left);
        assert_whole(left, 100);

        /* A part of what came since was in an earlier log. */
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        record_many(f->store, "c", 50, 1000);
        kill_all(f, "x-scale.db", left);
        assert_whole(left, 150);
        kill_all(f, "x-scale.db", left);
        copy_file(cold, left);
        assert_refused(left);
}

/* What lies in the database's place, beside its log. */
static void test_other_databases_beside_the_log(void **state)
{
        Fixture *f = *state;
        char left[160], other[128], command[512];
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;

        f->store = open_store(f->path);
        record_many(f->store, "a", 50, 1000);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        record_many(f->store, "b", 50, 1000);

        kill_all(f, "x-scale.db", left);
        assert_int_equal(truncate(left, 0), 0);
        assert_refused(left);

        snprintf(other, sizeof(other), "%s/other.db", f->directory);
        tell(other, "CREATE TABLE x (y); INSERT INTO x VALUES (1)");
        copy_file(other, left);
        assert_refused(left);

        /* One of before there was a chain. */
        assert_int_equal(unlink(other), 0);
        snprintf(command, sizeof(command),
                        "PRAGMA application_id = %d; PRAGMA user_version = 2; CREATE TABLE x (y)",
                        STORE_APPLICATION_ID);
        tell(other, command);
        copy_file(other, left);
        assert_refused(left);

        /* No database at all. */
        snprintf(command, sizeof(command), "gzip -c '%s' > '%s'", f->path, left);
        assert_int_equal(system(command), 0);
        assert_int_equal(store_open(left, STORE_RECEIVER, &s, &error), -EBADMSG);

        /* Another one of ours. */
        assert_int_equal(unlink(other), 0);
        store_close(open_store(other));
        copy_file(other, left);
        assert_refused(left);
}

/* A power cut while the log is brought over: what the log has is put right, whatever it is. */
static void test_torn_pages(void **state)
{
        Fixture *f = *state;
        char left[160], noise[4096];
        int64_t root;

        f->store = open_store(f->path);
        record_many(f->store, "a", 50, 1000);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        root = ask(f->path, "SELECT rootpage FROM sqlite_schema WHERE name = 'chain'");
        memset(noise, 0xa5, sizeof(noise));
        for (unsigned size = 512; size <= 4096; size += 512) {
                FILE *file;

                record_many(f->store, size == 512 ? "b" : "c", size == 512 ? 50 : 0, 1000);
                kill_all(f, "x-scale.db", left);
                file = fopen(left, "r+e");
                assert_non_null(file);
                assert_int_equal(fseek(file, root * 4096 - size, SEEK_SET), 0);
                assert_int_equal(fwrite(noise, 1, size, file), size);
                assert_int_equal(fclose(file), 0);
                assert_whole(left, 100);
        }
}

/* Killed between a step of the schema and the moment at which it is in the database itself; also twice. */
static void test_killed_while_migrating(void **state)
{
        Fixture *f = *state;
        char left[160], again[128], name[512], command[1200];
        sqlite3_stmt *reading;
        sqlite3 *db;

        snprintf(name, sizeof(name), "%s/schema/2.sql", getenv("TEST_DATA"));
        snprintf(command, sizeof(command),
                        "python3 -c \"import sqlite3, sys; "
                        "sqlite3.connect('%s').executescript(open('%s').read())\"",
                        f->path, name);
        assert_int_equal(system(command), 0);
        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                         "PRAGMA journal_mode = WAL; UPDATE live_day SET sent = sent + 1; "
                                         "BEGIN",
                                         NULL, NULL, NULL),
                        SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM task", -1, &reading, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(reading), SQLITE_ROW);

        /* A log of the program before, which knew of no links. */
        kill_all(f, "x-scale.db", left);
        store_close(open_store(left));
        assert_int_equal(ask(left, "PRAGMA user_version"), store_schema_version());

        f->store = open_store(f->path); /* it can't bring the log over as long as somebody reads */
        kill_all(f, "x-scale.db", left);
        copy_file(left, (snprintf(again, sizeof(again), "%s/again.db", f->directory), again));
        assert_int_equal(ask(again, "PRAGMA user_version"), 2); /* without its log */
        store_close(open_store(left));
        assert_int_equal(ask(left, "PRAGMA user_version"), store_schema_version());
        assert_int_equal(sqlite3_finalize(reading), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Turned back. */

static int take_copied(Store *s)
{
        int64_t at;
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_take_copied(s, &at);
        assert_int_equal(store_commit(s), 0);
        return r;
}

static void test_copy_put_back_by_hand(void **state)
{
        Fixture *f = *state;
        char cold[128], left[160];

        f->store = open_store(f->path);
        record_many(f->store, "a", 5, 100);
        f->store = store_close(f->store);
        snprintf(cold, sizeof(cold), "%s/cold.db", f->directory);
        copy_file(f->path, cold);

        /* Neither an orderly end nor a kill is one. */
        f->store = open_store(f->path);
        assert_int_equal(take_copied(f->store), 0);
        record_many(f->store, "b", 5, 100);
        kill_all(f, "x-scale.db", left);
        f->store = store_close(f->store);
        f->store = open_store(left);
        assert_int_equal(take_copied(f->store), 0);
        f->store = store_close(f->store);

        copy_file(cold, f->path);
        f->store = open_store(f->path);
        record_many(f->store, "c", 5, 100); /* whoever opens it first, and whatever is done */
        f->store = store_close(f->store);
        f->store = open_store(f->path);
        assert_int_equal(take_copied(f->store), 1);
        f->store = store_close(f->store);
        f->store = open_store(f->path);
        assert_int_equal(take_copied(f->store), 0);
}

/* What is noted beside the database isn't synced: after a power cut it may be older. */
static void test_older_note_after_a_power_cut(void **state)
{
        Fixture *f = *state;
        char left[160], turn[176], noted[176];

        f->store = open_store(f->path);
        record_many(f->store, "a", 5, 100);
        snprintf(turn, sizeof(turn), "%s-turn", f->path);
        snprintf(noted, sizeof(noted), "%s/noted", f->directory);
        copy_file(turn, noted);
        record_many(f->store, "b", 5, 100);
        record_many(f->store, "c", 5, 100);
        kill_all(f, "x-scale.db", left);
        snprintf(turn, sizeof(turn), "%s-turn", left);
        copy_file(noted, turn);
        f->store = store_close(f->store);
        f->store = open_store(left);
        assert_int_equal(take_copied(f->store), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_directory, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_backup_beside_the_log),
                TEST(test_cold_copy_beside_the_log),
                TEST(test_other_databases_beside_the_log),
                TEST(test_torn_pages),
                TEST(test_killed_while_migrating),
                TEST(test_copy_put_back_by_hand),
                TEST(test_older_note_after_a_power_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
