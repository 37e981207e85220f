#include "test-store-files.h"

#include "store/sqlite/writer.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

/* The WAL. */

#define MARK (1024U * 1024)

typedef struct Helper {
        Checkpointer *checkpointer;
        atomic_bool stop;
        atomic_int wanted, result;
        atomic_uint runs;
} Helper;

static void *run_helper(void *userdata)
{
        Helper *h = userdata;

        while (!atomic_load(&h->stop)) {
                if (atomic_load(&h->wanted) == 1) {
                        atomic_store(&h->result, checkpointer_run(h->checkpointer));
                        atomic_fetch_add(&h->runs, 1);
                        atomic_store(&h->wanted, 2);
                }
                usleep(200);
        }
        return NULL;
}

static void test_wal_stays_bounded(void **state)
{
        Fixture *f = *state;
        Helper h = { 0 };
        pthread_t thread;
        int64_t largest = 0;
        unsigned finished = 0;

        f->store = open_store(f->path);
        assert_int_equal(checkpointer_open(f->path, &h.checkpointer), 0);
        assert_int_equal(pthread_create(&thread, NULL, run_helper, &h), 0);

        /* 40 MB of bodies. */
        for (unsigned i = 0; i < 400; i++) {
                char prefix[16];

                snprintf(prefix, sizeof(prefix), "g%u", i);
                record_many(f->store, prefix, 50, 2000);
                if (atomic_load(&h.wanted) == 2) {
                        int r = checkpoint_finish(sqlite_of(f->store), 0);

                        assert_true(r == 0 || r == -EBUSY);
                        finished += r == 0;
                        atomic_store(&h.wanted, 0);
                }
                if (atomic_load(&h.wanted) == 0 && writer_wal_size(sqlite_of(f->store)) > MARK)
                        atomic_store(&h.wanted, 1);
                /* A machine that is busy with other things may let the helper wait: so does the writer then.
                 */
                while (writer_wal_size(sqlite_of(f->store)) > 8 * MARK && atomic_load(&h.wanted) == 1)
                        usleep(1000);
                largest = MAX(largest, size_of(f->path, "-wal"));
        }
        atomic_store(&h.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        checkpointer_close(h.checkpointer);

        assert_int_equal(h.result, 0);
        assert_true(h.runs > 2);
        assert_true(finished > 2);
        assert_true(largest > 0 && largest < 12 * (int64_t)MARK);
        assert_int_equal(count_tasks(f->path), 20000);
}

/* What a crash would leave: the files as they are, byte for byte. */
static void copy_file(const char *from, const char *to, const char *suffix)
{
        _cleanup_free_ char *command = NULL;

        assert_true(asprintf(&command, "cp '%s%s' '%s%s'", from, suffix, to, suffix) > 0);
        assert_int_equal(system(command), 0);
}

/* A commit that was told has all of its pages in the file, whether a group is small, large, or larger than
 * the cache. */
static void test_a_commit_is_in_the_file(void **state)
{
        static const unsigned groups[] = { 1, 7, 40, 300, 3000, 1 };
        Fixture *f = *state;
        char copy[96];
        uint64_t n = 0;

        f->store = open_store(f->path);
        FOREACH_ARRAY(group, groups, ELEMENTSOF(groups)) {
                char prefix[32];

                snprintf(prefix, sizeof(prefix), "f%" PRIu64, n);
                record_many(f->store, prefix, *group, 2000);
                n += *group;

                snprintf(copy, sizeof(copy), "%s-%" PRIu64, f->path, n);
                copy_file(f->path, copy, "");
                copy_file(f->path, copy, "-wal");
                assert_int_equal(ask(copy, "SELECT count(*) FROM task"), (int64_t)n);
                assert_int_equal(ask(copy, "SELECT count(*) FROM pragma_integrity_check "
                                           "WHERE integrity_check <> 'ok'"),
                                0);
        }
}

typedef struct SlowReader {
        Fixture *fixture;
        int64_t grown;
} SlowReader;

/* While it looks at a task, the writer goes on, and can't start over. */
static int write_meanwhile(_unused_ const TaskDocument *t, void *userdata)
{
        SlowReader *x = userdata;
        Store *s = x->fixture->store;

        for (unsigned i = 0; i < 20; i++) {
                char prefix[16];

                snprintf(prefix, sizeof(prefix), "slow%u", i);
                record_many(s, prefix, 50, 2000);
        }
        assert_int_equal(checkpoint_finish(sqlite_of(s), 0), -EBUSY);
        assert_true(writer_wal_size(sqlite_of(s)) > 0);
        x->grown = size_of(x->fixture->path, "-wal");
        return 0;
}

static void test_slow_reader_gone(void **state)
{
        Fixture *f = *state;
        SlowReader x = { .fixture = f };

        f->store = open_store(f->path);
        f->reader = open_reader(f->path, 0);
        record_many(f->store, "first", 1, 10);
        assert_int_equal(store_get_task(f->reader, "first-0", write_meanwhile, &x), 1);
        assert_true(x.grown > (int64_t)MARK);

        /* The reader is still open, but between two calls it holds nothing. */
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        assert_int_equal(writer_wal_size(sqlite_of(f->store)), 0);
        record_many(f->store, "after", 50, 2000);
        assert_int_equal(size_of(f->path, "-wal"), x.grown); /* written over */
        assert_true(writer_wal_size(sqlite_of(f->store)) > 0 && writer_wal_size(sqlite_of(f->store)) < MARK);
        assert_int_equal(count_tasks(f->path), 1051);
}

/* Killed without a farewell: the WAL that it left is brought over at the next start. */
static void test_left_wal(void **state)
{
        Fixture *f = *state;
        char copy[128], wal[128], command[1024];

        f->store = open_store(f->path);
        record_many(f->store, "a", 10, 1000);
        snprintf(copy, sizeof(copy), "%s/copy.db", f->directory);
        snprintf(wal, sizeof(wal), "%s-wal", f->path);
        snprintf(command, sizeof(command), "cp '%s' '%s' && cp '%s' '%s-wal' && cp '%s-turn' '%s-turn'",
                        f->path, copy, wal, copy, f->path, copy);
        assert_int_equal(system(command), 0);

        f->store = store_close(f->store);
        f->store = open_store(copy);
        assert_int_equal(store_last_event(f->store), 10);
        assert_int_equal(writer_wal_size(sqlite_of(f->store)), 0);
        assert_int_equal(count_tasks(copy), 10);
}

/* Copies. */

static void test_backup(void **state)
{
        Fixture *f = *state;
        _cleanup_(store_backup_closep) StoreBackup *b = NULL, *again = NULL;
        _cleanup_free_ char *error = NULL, *error_again = NULL;
        char target[128];
        unsigned steps = 0;
        int r;

        f->store = open_store(f->path);
        record_many(f->store, "a", 500, 2000);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);
        record_many(f->store, "b", 100, 2000);
        snprintf(target, sizeof(target), "%s/copy.db", f->directory);

        assert_int_equal(store_backup_open(f->path, target, &b, &error), 0);
        while ((r = store_backup_step(b, 20)) > 0) {
                char prefix[16];

                /* The writer is not held up, and what it writes is not in the copy. */
                snprintf(prefix, sizeof(prefix), "m%u", steps++);
                record_many(f->store, prefix, 5, 1000);
        }
        assert_int_equal(r, 0);
        assert_int_equal(store_backup_step(b, 20), 0);
        assert_true(steps > 5);
        b = store_backup_close(b);

        assert_int_equal(count_tasks(f->path), 600 + 5 * steps);
        assert_int_equal(size_of(target, "-journal"), -1);
        assert_int_equal(size_of(target, "-wal"), -1);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0); /* its snapshot is gone */

        f->store = store_close(f->store);
        f->store = open_store(target);
        assert_int_equal(store_last_event(f->store), 600);
        assert_int_equal(count_tasks(target), 600);
        assert_int_equal(ask(target, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> "
                                     "'ok'"),
                        0);

        assert_int_equal(store_backup_open(f->path, target, &again, &error_again), -EEXIST);
        assert_non_null(strstr(error_again, "already"));
}

static int take_copied(Store *s, int64_t *ret_at)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_take_copied(s, ret_at);
        assert_int_equal(store_commit(s), 0);
        return r;
}

/* What was done since is not in it, and whoever opens it can know that: until it was seen to, once. */
static void test_copy_says_that_it_is_one(void **state)
{
        Fixture *f = *state;
        _cleanup_(store_backup_closep) StoreBackup *b = NULL;
        _cleanup_free_ char *error = NULL;
        int64_t before, at = 0;
        char target[128];

        f->store = open_store(f->path);
        record_many(f->store, "a", 10, 100);
        snprintf(target, sizeof(target), "%s/copy.db", f->directory);
        before = now_realtime();
        assert_int_equal(store_backup_open(f->path, target, &b, &error), 0);
        assert_int_equal(store_backup_step(b, UINT32_MAX), 0);
        b = store_backup_close(b);
        assert_int_equal(size_of(target, "-journal"), -1);
        assert_int_equal(size_of(target, "-wal"), -1);
        assert_int_equal(take_copied(f->store, &at), 0); /* the original is none */

        f->store = store_close(f->store);
        f->store = open_store(target);
        store_begin(f->store);
        assert_int_equal(store_take_copied(f->store, &at), 1);
        assert_true(at >= before && at <= now_realtime());
        store_rollback(f->store); /* it was not seen to */
        record_many(f->store, "b", 10, 100);
        f->store = store_close(f->store);
        f->store = open_store(target);
        assert_int_equal(take_copied(f->store, &at), 1);
        assert_int_equal(take_copied(f->store, &at), 0);
        f->store = store_close(f->store);
        f->store = open_store(target);
        assert_int_equal(take_copied(f->store, &at), 0);
}

static void test_backup_that_fails(void **state)
{
        Fixture *f = *state;
        _cleanup_(store_backup_closep) StoreBackup *b = NULL;
        _cleanup_free_ char *error = NULL, *missing = NULL;
        char target[128];
        int r;

        snprintf(target, sizeof(target), "%s/copy.db", f->directory);
        assert_int_equal(store_backup_open(f->path, target, &b, &missing), -ENOENT);
        assert_non_null(missing);

        f->store = open_store(f->path);
        record_many(f->store, "a", 500, 2000);
        assert_int_equal(store_backup_open(f->path, target, &b, &error), 0);
        faulty_room = 300000;
        while ((r = store_backup_step(b, 50)) > 0)
                ;
        faulty_room = -1;
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(store_backup_step(b, 50), -ENOSPC); /* it doesn't become right by asking again */
        record_many(f->store, "b", 5, 100);
}

/* Pruning. */

static int prune(Store *s, uint64_t *after, uint64_t upto, unsigned limit, uint64_t *ret_deleted,
                bool *ret_more)
{
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_prune_deliveries(s, after, upto, limit, ret_deleted, ret_more);
        assert_int_equal(store_commit(s), 0);
        return r;
}

static int note_delivery(const StoredDelivery *d, void *userdata)
{
        *(uint64_t *)userdata |= UINT64_C(1) << d->n;
        return 0;
}

static uint64_t kept(Fixture *f)
{
        uint64_t bits = 0;

        assert_int_equal(store_list_deliveries(f->reader, _VERDICT_ERRNO, NULL, 0, 60, note_delivery, &bits),
                        0);
        return bits;
}

static void test_prune(void **state)
{
        Fixture *f = *state;
        StoreDelivery d;
        StoreStats stats;
        uint64_t deleted = 0, after = 0;
        bool more = false;

        f->store = open_store(f->path);
        f->reader = open_reader(f->path, 0);
        d = response_of("a", "first", 1); /* 1: a revision */
        record(f->store, &d);
        d = response_of("a", "first ", 1); /* 2: a duplicate, with a repetition */
        record(f->store, &d);
        record(f->store, &d);
        d = response_of("a", "second", 2); /* 3: the current revision */
        record(f->store, &d);
        d = invalid_of("x", "bad"); /* 4, 5, and 6 which is discarded */
        record(f->store, &d);
        d = invalid_of("x", "bad 2");
        record(f->store, &d);
        d = invalid_of("x", "bad 3");
        record(f->store, &d);
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_discard_delivery(f->store, 6), 0);
        assert_int_equal(store_commit(f->store), 0);
        d = attachment_of("b", NULL, "failed"); /* 7: the document of b */
        record(f->store, &d);
        d = attachment_of(NULL, "r", "failed"); /* 8: an orphan */
        record(f->store, &d);
        d = invalid_of("x", "young"); /* 9: although it says that it is old */
        d.received_at = T0 - HOUR;
        record(f->store, &d);
        d = invalid_of("x", "newest"); /* 10 */
        record(f->store, &d);
        assert_int_equal(kept(f), 0x7fe);

        assert_int_equal(prune(f->store, &after, 0, 10, &deleted, &more), 0);
        assert_int_equal(deleted, 0);
        assert_false(more);

        assert_int_equal(prune(f->store, &after, 8, 2, &deleted, &more), 0);
        assert_int_equal(after, 4);
        assert_int_equal(deleted, 2);
        assert_true(more);
        assert_int_equal(prune(f->store, &after, 8, 10, &deleted, &more), 0);
        assert_int_equal(deleted, 3);
        assert_false(more);
        assert_int_equal(kept(f), 1 << 1 | 1 << 3 | 1 << 7 | 1 << 9 | 1 << 10);
        assert_int_equal(after, 8);
        /* What stays is looked at once for each walk. */
        after = 0;
        assert_int_equal(prune(f->store, &after, 8, 1, &deleted, &more), 0);
        assert_true(deleted == 0 && more && after == 7);
        assert_int_equal(prune(f->store, &after, 8, 1, &deleted, &more), 0);
        assert_true(deleted == 0 && !more);

        assert_int_equal(store_get_stats(f->reader, &stats), 0);
        assert_int_equal(stats.by_verdict[VERDICT_STORED], 1);
        assert_int_equal(stats.by_verdict[VERDICT_REVISED], 1);
        assert_int_equal(stats.by_verdict[VERDICT_DUPLICATE], 0);
        assert_int_equal(stats.by_verdict[VERDICT_INVALID], 2);
        assert_int_equal(stats.by_verdict[VERDICT_DISCARDED], 0);
        assert_int_equal(stats.by_verdict[VERDICT_ATTACHMENT_FAILURE], 1);
        assert_int_equal(stats.events, 9); /* the feed keeps what it said */

        /* A number is never given twice. */
        d = invalid_of("x", "another");
        assert_outcome(record(f->store, &d), VERDICT_INVALID, 11, 0, false);
        f->store = store_close(f->store);
        assert_int_equal(ask(f->path, "SELECT (SELECT count(*) FROM repeat) + (SELECT count(*) FROM "
                                      "quarantine "
                                      "WHERE delivery NOT IN (SELECT n FROM delivery))"),
                        0);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_directory, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_wal_stays_bounded),
                TEST(test_a_commit_is_in_the_file),
                TEST(test_slow_reader_gone),
                TEST(test_left_wal),
                TEST(test_backup),
                TEST(test_copy_says_that_it_is_one),
                TEST(test_backup_that_fails),
                TEST(test_prune),
        };

        faults_install();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
