#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "basic/time-util.h"
#include "store/sqlite/writer.h"
#include "test-store-files.h"

/* Two processes, one database. */

/* What they tell each other. */
typedef struct Shared {
        atomic_uint groups; /* that the child has committed */
        atomic_bool ready, stop;
        atomic_bool go;    /* for a child that was started before the parent had threads */
        atomic_int failed; /* an errno of the child */
} Shared;

static Shared *share(void)
{
        Shared *s = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(s != MAP_FAILED);
        return s;
}

/* A child that failed will never say it. */
static void wait_until(atomic_bool *what)
{
        for (unsigned i = 0; !atomic_load(what); i++) {
                assert_true(i < 60 * 2000);
                usleep(500);
        }
}

static int write_body(Store *s, const char *prefix, unsigned n, const char *body)
{
        char id[64] = "";
        StoreDelivery d = response_of(id, body, 1);
        StoreOutcome o;
        int r;

        snprintf(id, sizeof(id), "%s-%u", prefix, n);
        r = store_begin(s);
        if (r < 0)
                return r;
        r = store_record_delivery(s, &d, &o);
        if (r >= 0)
                r = store_commit(s);
        if (r < 0)
                store_rollback(s);
        return r;
}

static int write_group(Store *s, const char *prefix, unsigned n)
{
        return write_body(s, prefix, n, "body");
}

/* In the child: nothing of the test's framework may run there. */
static void child_writes(const char *path, Shared *shared)
{
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;
        int r;

        r = store_open(path, STORE_RECEIVER, &s, &error);
        for (unsigned n = 0; r >= 0 && !atomic_load(&shared->stop); n++) {
                r = write_group(s, "child", n);
                atomic_fetch_add(&shared->groups, 1);
                atomic_store(&shared->ready, true);
        }
        atomic_store(&shared->failed, r);
        atomic_store(&shared->ready, true);
        store_close(s);
}

static void child_opens(const char *path, Shared *shared)
{
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;

        wait_until(&shared->ready);
        atomic_store(&shared->failed, store_open(path, STORE_RECEIVER, &s, &error));
        store_close(s);
}

static void child_holds(const char *path, Shared *shared)
{
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;

        if (store_open(path, STORE_RECEIVER, &s, &error) < 0)
                return;
        atomic_store(&shared->ready, true);
        wait_until(&shared->stop);
        if (store_begin(s) < 0)
                return;
        atomic_fetch_add(&shared->groups, 1);
        sleep(60);
}

/* And is not closed: that would bring the WAL into the database. */
static void child_writes_much(const char *path, Shared *shared)
{
        static char body[20000];
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;
        int r;

        wait_until(&shared->ready);
        memset(body, 'x', sizeof(body) - 1);
        r = store_open(path, STORE_RECEIVER, &s, &error);
        for (unsigned n = 0; r >= 0 && n < 100; n++)
                r = write_body(s, "child", n, body);
        atomic_store(&shared->failed, r);
        atomic_store(&shared->stop, true);
        sleep(60);
}

static pid_t start_child(void (*run)(const char *path, Shared *shared), const char *path, Shared *shared)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* when the test fails */
                run(path, shared);
                _exit(0);
        }
        return pid;
}

static void end_child(pid_t pid, int signal)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (signal == 0)
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        else
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal);
}

/* Nobody is starved beside a writer that never rests. */
static void test_fair_turns(void **state)
{
        Fixture *f = *state;
        Shared *shared = share();
        unsigned waited = 0;
        pid_t pid;

        pid = start_child(child_writes, f->path, shared);
        wait_until(&shared->ready);
        f->store = open_store(f->path);
        for (unsigned n = 0; n < 100; n++) {
                unsigned before = atomic_load(&shared->groups);

                assert_int_equal(write_group(f->store, "parent", n), 0);
                waited += atomic_load(&shared->groups) - before;
        }
        atomic_store(&shared->stop, true);
        end_child(pid, 0);

        assert_int_equal(shared->failed, 0);
        /* One each would be 100; not being let in for seconds at a time would be thousands. */
        if (waited < 20 || waited > 600)
                fail_msg("100 groups waited for %u of the other process", waited);
        assert_int_equal(count_tasks(f->path), 100 + shared->groups);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

/* The WAL starts over, whoever asks for it, and what is not brought over yet is never called little. */
static void test_checkpoints_beside_a_writer(void **state)
{
        Fixture *f = *state;
        Shared *shared = share();
        unsigned done = 0;
        int64_t largest = 0;
        pid_t pid;

        f->store = NULL;
        pid = start_child(child_writes, f->path, shared);
        wait_until(&shared->ready);
        f->store = open_store(f->path);
        for (unsigned n = 0; n < 300; n++) {
                int r;

                assert_int_equal(write_group(f->store, "parent", n), 0);
                largest = MAX(largest, size_of(f->path, "-wal"));
                if (n % 10 != 9)
                        continue;
                r = checkpoint_finish(sqlite_of(f->store), 0);
                assert_true(r == 0 || r == -EBUSY);
                done += r == 0;
                if (r == 0)
                        assert_int_equal(writer_wal_size(sqlite_of(f->store)), 0);
        }
        atomic_store(&shared->stop, true);
        end_child(pid, 0);
        assert_int_equal(shared->failed, 0);
        assert_true(done >= 5);
        assert_true(largest < 8 * 1024 * 1024);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> "
                                      "'ok'"),
                        0);
        assert_int_equal(count_tasks(f->path), 300 + shared->groups);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

static void take_back(Store *s, size_t size)
{
        _cleanup_free_ char *body = malloc(size + 1);
        StoreDelivery d;
        StoreOutcome o;

        assert_non_null(body);
        memset(body, 'x', size);
        body[size] = 0;
        d = response_of("large", body, 1);
        assert_int_equal(store_begin(s), 0);
        assert_int_equal(store_record_delivery(s, &d, &o), 0);
        store_rollback(s);
}

/* What a crash would leave. */
static void check_copy(const char *path, uint64_t tasks)
{
        char command[1280], copy[300];

        snprintf(copy, sizeof(copy), "%s-copy", path);
        snprintf(command, sizeof(command), "cp %s %s && cp %s-wal %s-wal", path, copy, path, copy);
        assert_int_equal(system(command), 0);
        assert_int_equal(ask(copy, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> "
                                   "'ok'"),
                        0);
        assert_int_equal(count_tasks(copy), tasks);
}

/* A group that is larger than SQLite's cache gets into the WAL before it is committed. Taken back, nothing
 * of it may come later: once it went over what another process had synced at that place meanwhile. */
static void test_group_taken_back_before_another_writes(void **state)
{
        Fixture *f = *state;

        for (size_t size = 2100000; size < 2400000; size += 40000) {
                Shared *shared = share();
                char path[256];
                pid_t pid;

                snprintf(path, sizeof(path), "%s-%zu", f->path, size);
                pid = start_child(child_writes_much, path, shared);
                f->store = open_store(path);
                take_back(f->store, size);
                atomic_store(&shared->ready, true);
                wait_until(&shared->stop);
                assert_int_equal(shared->failed, 0);
                for (unsigned n = 0; n < 3; n++)
                        assert_int_equal(write_group(f->store, "parent", n), 0);
                check_copy(path, 103);

                assert_int_equal(kill(pid, SIGKILL), 0);
                end_child(pid, SIGKILL);
                store_close(TAKE_PTR(f->store));
                assert_int_equal(munmap(shared, sizeof(*shared)), 0);
        }
}

/* Another handle starts the WAL over: what the first one knows of it is not true any more. */
static void test_wal_started_over_by_another(void **state)
{
        Fixture *f = *state;
        Store *other;

        f->store = open_store(f->path);
        other = open_store(f->path);
        record_many(f->store, "a", 100, 2000);
        assert_true(writer_wal_size(sqlite_of(f->store)) > 200000);
        assert_int_equal(checkpoint_finish(sqlite_of(other), 0), 0);
        record_many(f->store, "b", 1, 10);
        assert_true(writer_wal_size(sqlite_of(f->store)) < 200000);

        /* The other way: it counts what others wrote, too. */
        record_many(other, "c", 200, 2000);
        record_many(f->store, "d", 1, 10);
        assert_true(writer_wal_size(sqlite_of(f->store)) > 400000);
        store_close(other);
}

/* Both keep names of types and numbers in memory; neither may trust them across groups. */
static void test_numbers_and_names_of_two(void **state)
{
        Fixture *f = *state;
        StoreDelivery d;
        Store *other;

        f->store = open_store(f->path);
        other = open_store(f->path);
        for (unsigned i = 0; i < 20; i++) {
                char id[16], type[16];

                snprintf(id, sizeof(id), "t%u", i);
                snprintf(type, sizeof(type), "type %u", i / 2);
                d = response_of(id, "body", 1);
                d.type = type;
                assert_outcome(record(i % 2 == 0 ? f->store : other, &d), VERDICT_STORED, i + 1, 1, false);
        }
        assert_int_equal(store_last_event(f->store), 19);
        assert_int_equal(store_last_event(other), 20);
        assert_int_equal(ask(f->path, "SELECT count(*) FROM type WHERE name LIKE 'type %'"), 10);
        store_close(other);
}

/* Killed in the middle of a group: the write lock and SQLite's lock go with the process. */
static void test_killed_with_the_write_lock(void **state)
{
        Fixture *f = *state;
        Shared *shared = share();
        pid_t pid;

        pid = start_child(child_holds, f->path, shared);
        wait_until(&shared->ready);
        f->store = open_store(f->path);
        atomic_store(&shared->stop, true);
        while (atomic_load(&shared->groups) == 0)
                usleep(500);
        assert_int_equal(write_lock_take(&sqlite_of(f->store)->write_lock, &sqlite_of(f->store)->connection,
                                         5),
                        -EBUSY);
        assert_int_equal(kill(pid, SIGKILL), 0);
        end_child(pid, SIGKILL);
        assert_int_equal(write_group(f->store, "parent", 0), 0);
        assert_int_equal(count_tasks(f->path), 1);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

/* Waiting ends, with a sentence, and it works again afterwards. */
static void test_waiting_is_bounded(void **state)
{
        Fixture *f = *state;
        Store *other;
        WriteLock *lock;

        f->store = open_store(f->path);
        other = open_store(f->path);
        lock = &sqlite_of(f->store)->write_lock;
        assert_int_equal(store_begin(other), 0);
        assert_int_equal(write_lock_take(lock, &sqlite_of(f->store)->connection, 20), -EBUSY);
        assert_non_null(strstr(store_error(f->store), "Another process"));
        assert_false(lock->held);
        store_rollback(other);
        record_many(f->store, "a", 1, 10);

        /* Who couldn't have it in time holds nobody up. */
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(write_lock_take(&sqlite_of(other)->write_lock, &sqlite_of(other)->connection, 0),
                        -EBUSY);
        store_rollback(f->store);
        record_many(other, "b", 1, 10);
        record_many(f->store, "c", 1, 10);
        store_close(other);
}

/* At once on a file that isn't there, and on one of an old schema. */
static void test_opened_by_two_at_once(void **state)
{
        Fixture *f = *state;

        for (int i = 0; i < 10; i++) {
                Shared *shared = share();
                pid_t pid;

                pid = start_child(child_opens, f->path, shared);
                atomic_store(&shared->ready, true);
                f->store = open_store(f->path);
                end_child(pid, 0);
                assert_int_equal(shared->failed, 0);
                record_many(f->store, "a", 1, 10);
                f->store = store_close(f->store);
                assert_int_equal(ask(f->path, "PRAGMA user_version"), store_schema_version());
                assert_int_equal(unlink(f->path), 0);
                assert_int_equal(munmap(shared, sizeof(*shared)), 0);
        }
}

/* A second one would send the same tasks. Receivers are another matter. */
static void test_one_submitter(void **state)
{
        Fixture *f = *state;
        Store *first = NULL, *receivers[2] = {}, *second = NULL;
        _cleanup_free_ char *error = NULL, *refused = NULL;
        char name[64];

        assert_int_equal(store_open(f->path, STORE_RECEIVER, &receivers[0], &error), 0);
        assert_int_equal(store_open(f->path, STORE_SUBMITTER, &first, &error), 0);
        assert_int_equal(store_open(f->path, STORE_RECEIVER, &receivers[1], &error), 0);

        assert_int_equal(store_open(f->path, STORE_SUBMITTER, &second, &refused), -EUSERS);
        snprintf(name, sizeof(name), "scale-submitd (pid %d)", (int)getpid());
        assert_non_null(strstr(refused, name));
        assert_int_equal(write_group(first, "a", 1), 0); /* the one that has it is not disturbed */

        first = store_close(first);
        assert_int_equal(store_open(f->path, STORE_SUBMITTER, &second, &error), 0);
        store_close(second);
        store_close(receivers[0]);
        store_close(receivers[1]);
}

static void test_file(void **state)
{
        Fixture *f = *state;
        _cleanup_free_ char *error = NULL;
        char turn[128];
        struct stat st;

        f->store = open_store(f->path);
        snprintf(turn, sizeof(turn), "%s-turn", f->path);
        assert_int_equal(stat(turn, &st), 0);
        assert_true(st.st_size <= 4096); /* it stays a small one */
        f->store = store_close(f->store);

        /* Whoever may write to the database may take turns. */
        assert_int_equal(unlink(turn), 0);
        assert_int_equal(chmod(f->path, 0644), 0);
        f->store = open_store(f->path);
        assert_int_equal(stat(turn, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0644);

        /* It went: nothing but fairness is lost. */
        assert_int_equal(unlink(turn), 0);
        record_many(f->store, "a", 1, 10);
        f->store = store_close(f->store);

        assert_int_equal(symlink("/nonexistent", turn), 0);
        assert_true(store_open(f->path, STORE_RECEIVER, &f->store, &error) < 0);
        assert_non_null(strstr(error, "-turn"));
}

/* Readers hear of whatever was committed, by whomever. */
/* Once it is told: who has threads when it forks may start none in the child, says the thread sanitizer. */
static void child_writes_later(const char *path, Shared *shared)
{
        for (unsigned i = 0; !atomic_load(&shared->go) && i < 60 * 2000; i++)
                usleep(500);
        child_writes(path, shared);
}

static void test_reader_changed(void **state)
{
        Fixture *f = *state;
        Shared *shared = share();
        pid_t pid = start_child(child_writes_later, f->path, shared);

        f->store = open_store(f->path);
        f->reader = open_reader(f->path, 0);
        assert_int_equal(store_reader_changed(f->reader), 1);
        assert_int_equal(store_reader_changed(f->reader), 0);
        record_many(f->store, "a", 1, 10);
        assert_int_equal(store_reader_changed(f->reader), 1);
        assert_int_equal(store_reader_changed(f->reader), 0);

        /* Reading meanwhile doesn't make it forget. */
        record_many(f->store, "b", 1, 10);
        assert_int_equal(count_tasks(f->path), 2);
        assert_int_equal(store_get_stats(f->reader, &(StoreStats){}), 0);
        assert_int_equal(store_reader_changed(f->reader), 1);

        /* A group that is undone is nothing; nor is a checkpoint. */
        assert_int_equal(store_begin(f->store), 0);
        store_rollback(f->store);
        assert_int_equal(store_reader_changed(f->reader), 0);

        atomic_store(&shared->go, true);
        wait_until(&shared->ready);
        atomic_store(&shared->stop, true);
        end_child(pid, 0);
        assert_int_equal(store_reader_changed(f->reader), 1);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_directory, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_fair_turns),
                TEST(test_group_taken_back_before_another_writes),
                TEST(test_checkpoints_beside_a_writer),
                TEST(test_wal_started_over_by_another),
                TEST(test_numbers_and_names_of_two),
                TEST(test_killed_with_the_write_lock),
                TEST(test_waiting_is_bounded),
                TEST(test_opened_by_two_at_once),
                TEST(test_one_submitter),
                TEST(test_file),
                TEST(test_reader_changed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
