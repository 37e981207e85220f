/*
 * Power cuts. Both daemons' work goes on, and at every sync, at moments in between, and after every promise,
 * the disk is laid out as it could be if the power went right then: synced data whole, later writes kept,
 * dropped, torn or reordered. The store has to open every one of them, and what it then holds has to be
 * exactly what it held before the group that was being written, or after it; after it, once that was
 * acknowledged. Some cuts are believed: the next life goes on from what they left.
 *
 * Half of the work is handed to the store itself, by two writers and a checkpointer in turns, half goes
 * through the commit queue, where a promise is what done() is told on the loop. The threads are made to go
 * in step, so that a seed means the same sequence every time.
 *
 * POWER_STATES is how many disks are looked at, POWER_SEED the first sequence's seed. The long form is as
 * long as one likes: POWER_STATES=100000 POWER_SEED=1.
 */

#include "power.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/commit.h"
#include "store-rules.h"

#define STATES     2000U
#define LYING_MAX  20U /* sequences in which a disk that lies has to be found out */
#define GROUPS_MAX 24U
#define ACTS_GROUP 6U

static PowerMet met;

/* Directories. */

static void make_directories(Power *p)
{
        char *const paths[] = { p->live, p->next, p->cut };
        static const char *const names[] = { "live", "next", "cut" };

        snprintf(p->top, sizeof(p->top), "/tmp/test-power-XXXXXX");
        assert_non_null(mkdtemp(p->top));
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                snprintf(paths[i], sizeof(p->live), "%s/%s", p->top, names[i]);
                assert_int_equal(mkdir(paths[i], 0700), 0);
        }
}

static void remove_directories(Power *p)
{
        const char *const paths[] = { p->live, p->next, p->cut };

        FOREACH_ARRAY(path, paths, ELEMENTSOF(paths)) {
                disk_empty(*path);
                assert_int_equal(rmdir(*path), 0);
        }
        assert_int_equal(rmdir(p->top), 0);
}

/* Promises. */

static void promise(Power *p, Act *a, int result)
{
        p->n_done++;
        if (result < 0 || p->dead)
                return;
        a->acknowledged = true;
        if (a->job.change.kind == STORE_DELIVERY)
                a->outcome = a->job.change.outcome;
        met.promises++;
        if (a->kind != ACT_PRUNE)
                return;
        FOREACH_ARRAY(b, p->acts, p->n_acts)
                (*b)->may_be_gone |= act_is_old(*b, a);
}

static void done(CommitJob *job, int result)
{
        Act *a = container_of(job, Act, job);

        promise(a->power, a, result);
}

/* The group is committed: its state is known, and what cuts have seen in advance has to be it. */
static void settle(Power *p)
{
        uint64_t digest = store_digest(p->observer);

        FOREACH_ARRAY(d, p->pending, p->n_pending)
                if (*d != digest)
                        (void)power_broken(p, "a cut left neither the state before a group nor after it");
        met.after += p->n_pending;
        if (p->dead) /* somebody may have been told, but not us */
                FOREACH_ARRAY(a, p->acts + p->n_acts - p->n_group, p->n_group)
                        FOREACH_ARRAY(b, p->acts, p->n_acts)
                                (*b)->may_be_gone |= act_is_old(*b, *a);
        p->digest = digest;
        p->known = true;
        p->n_pending = p->n_group = 0;
}

/* A life. */

static void open_direct(Power *p)
{
        _cleanup_free_ char *error = NULL;

        FOREACH_ARRAY(s, p->stores, ELEMENTSOF(p->stores))
                if (store_open(p->path, STORE_RECEIVER, s, &error) < 0)
                        fail_msg("%s", error);
        assert_int_equal(checkpointer_open(p->path, &p->checkpointer), 0);
}

static void open_commit(Power *p)
{
        const CommitOptions options = { .location = p->path, .max_jobs = 100 };
        _cleanup_free_ char *error = NULL;

        if (commit_new(&options, &p->commit, &error) < 0)
                fail_msg("%s", error);
        assert_true(sd_event_new(&p->loop) >= 0);
        assert_int_equal(commit_port_new(p->commit, p->loop, &p->port), 0);
        power_look_from(p->loop, p);
}

static void open_all(Power *p)
{
        p->moment = MOMENT_OPENING;
        p->n_group = 0;
        if (pick(p, 2))
                open_commit(p);
        else
                open_direct(p);
        assert_int_equal(sqlite3_open_v2(p->path, &p->observer, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(p->observer, "PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL), 0);
        if (p->known && store_digest(p->observer) != p->digest)
                (void)power_broken(p, "opening it changed it");
        settle(p);
        p->moment = MOMENT_WORKING;
}

/* The observer first, so that the last one out copies the WAL back. */
static void close_all(Power *p)
{
        p->moment = MOMENT_CLOSING;
        assert_int_equal(sqlite3_close(p->observer), SQLITE_OK);
        p->port = commit_port_free(p->port);
        p->commit = commit_free(p->commit);
        p->loop = sd_event_unref(p->loop);
        p->checkpointer = checkpointer_close(p->checkpointer);
        FOREACH_ARRAY(s, p->stores, ELEMENTSOF(p->stores))
                *s = store_close(*s);
        p->moment = MOMENT_NONE;
}

static void gate_done(_unused_ CommitJob *job, _unused_ int result)
{
}

/* The write lock of another process: see write-lock.c. */
static bool try_lock(int fd, short type, off_t byte)
{
        struct flock range = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

        return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

static void run_group_of_threads(Power *p)
{
        CommitJob gate = { .done = gate_done };
        char path[128];
        int fd;

        /* Holds the writer, which waits for the lock, until all of the group wait behind it. */
        snprintf(path, sizeof(path), "%s-turn", p->path);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        while (!try_lock(fd, F_WRLCK, 1))
                sched_yield();
        assert_int_equal(commit_submit(p->port, &gate), 0);
        while (try_lock(fd, F_WRLCK, 0)) {
                assert_true(try_lock(fd, F_UNLCK, 0));
                sched_yield();
        }
        FOREACH_ARRAY(a, p->acts + p->n_acts - p->n_group, p->n_group)
                assert_int_equal(commit_submit(p->port, &(*a)->job), 0);
        close(fd);
        while (p->n_done < p->n_group)
                assert_true(sd_event_run(p->loop, 60 * USEC_PER_SEC) > 0);
}

static void run_group_directly(Power *p)
{
        Store *s = p->stores[pick(p, ELEMENTSOF(p->stores))];
        Act **acts = p->acts + p->n_acts - p->n_group;
        StoreChange *group[ACTS_GROUP + 1];
        int r;

        if (p->hasty) {
                FOREACH_ARRAY(a, acts, p->n_group)
                        (*a)->acknowledged = (*a)->kind == ACT_SUBMISSION;
        }
        for (unsigned i = 0; i < p->n_group; i++)
                group[i] = &acts[i]->job.change;
        r = store_write(s, group, p->n_group);
        if (r < 0)
                fail_msg("%s", store_error(s));
        FOREACH_ARRAY(a, acts, p->n_group)
                (*a)->job.done(&(*a)->job, (*a)->job.change.result);
}

static void run_group(Power *p)
{
        unsigned n = 1 + pick(p, ACTS_GROUP);

        p->n_done = 0;
        for (unsigned i = 0; i < n; i++)
                act_new(p)->job.done = done;
        p->n_group = n;
        met.acts += n;
        if (p->commit)
                run_group_of_threads(p);
        else
                run_group_directly(p);
        settle(p);

        if (!p->dead && !p->why[0]) { /* promised: from here on nothing less will do */
                met.at_promise++;
                power_look_around(p, 30, pick(p, 2));
        }
}

static void checkpoint(Power *p)
{
        Store *s = p->stores[pick(p, ELEMENTSOF(p->stores))];

        if (!s)
                return;
        met.checkpoints++;
        assert_int_equal(checkpointer_run(p->checkpointer), 0);
        if (pick(p, 2))
                run_group(p); /* between the two phases */
        assert_int_equal(checkpoint_finish(sqlite_of(s), 0), 0);
}

static void live(Power *p)
{
        unsigned groups = 4 + pick(p, GROUPS_MAX);
        char path[80];

        disk_record(p->live);
        disk_watch(power_on_change, p);
        snprintf(p->path, sizeof(p->path), "%s/scale.db", p->live);
        p->dead = false;
        open_all(p);
        for (unsigned i = 0; i < groups && !p->dead && !p->why[0]; i++) {
                run_group(p);
                if (pick(p, 3) == 0)
                        checkpoint(p);
        }
        close_all(p);
        if (!p->dead && !p->why[0])
                power_look_around(p, 100, 2);
        disk_watch(NULL, NULL);
        disk_forget();
        if (!p->dead)
                return;

        disk_empty(p->live);
        memcpy(path, p->live, sizeof(path));
        memcpy(p->live, p->next, sizeof(path));
        memcpy(p->next, path, sizeof(path));
        p->digest = p->next_digest;
}

/* A database as the first version of the program left it; its callbacks were acknowledged then. */
static void lay_old_database(Power *p)
{
        _cleanup_free_ char *sql = calloc(1, 256 * 1024);
        sqlite3_stmt *statement;
        char name[512];
        sqlite3 *db;
        FILE *file;

        snprintf(name, sizeof(name), "%s/schema/1.sql", getenv("TEST_DATA"));
        snprintf(p->path, sizeof(p->path), "%s/scale.db", p->live);
        file = fopen(name, "re");
        assert_non_null(file);
        assert_non_null(sql);
        assert_true(fread(sql, 1, 256 * 1024 - 1, file) > 1000 && feof(file));
        fclose(file);

        assert_int_equal(sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), 0);
        assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), 0);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), 0);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT n, body FROM delivery ORDER BY n", -1, &statement,
                                         NULL),
                        0);
        while (sqlite3_step(statement) == SQLITE_ROW) {
                Act *a = calloc(1, sizeof(Act));

                assert_non_null(a);
                p->acts[p->n_acts++] = a;
                a->acknowledged = true;
                a->outcome.repeated = true; /* its bytes are all that is known of it */
                a->outcome.delivery = (uint64_t)sqlite3_column_int64(statement, 0);
                a->delivery.body_size = (size_t)sqlite3_column_bytes(statement, 1);
                a->body = malloc(a->delivery.body_size + 1);
                assert_non_null(a->body);
                memcpy(a->body, sqlite3_column_blob(statement, 1), a->delivery.body_size);
                a->delivery.body = a->body;
        }
        assert_true(p->n_acts > 5);
        sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* False: something was lost. */
static bool run_sequence(uint64_t seed, bool hasty, char why[static 1024])
{
        Power *p = calloc(1, sizeof(Power));
        unsigned lives;
        bool ok;

        assert_non_null(p);
        p->seed = p->chance = seed;
        p->met = &met;
        p->hasty = hasty;
        make_directories(p);
        if (pick(p, 3) == 0)
                lay_old_database(p);
        lives = 1 + pick(p, 4);
        for (unsigned i = 0; i < lives && !p->why[0]; i++)
                live(p);

        ok = p->why[0] == '\0';
        memcpy(why, p->why, sizeof(p->why));
        FOREACH_ARRAY(a, p->acts, p->n_acts) {
                free((*a)->body);
                free(*a);
        }
        remove_directories(p);
        free(p);
        return ok;
}

static void test_nothing_acknowledged_is_lost(_unused_ void **state)
{
        uint64_t seed = disk_option("POWER_SEED", 1), states = disk_option("POWER_STATES", STATES),
                 first = seed;
        char why[1024];

        met = (PowerMet){ 0 };
        for (; met.states < states; seed++)
                if (!run_sequence(seed, false, why))
                        fail_msg("%s; again: POWER_SEED=%" PRIu64 " POWER_STATES=1", why, seed);

        fprintf(stderr,
                        "%u states in %" PRIu64 " sequences from POWER_SEED=%" PRIu64
                        ": %u moments at a sync, %u between, %u after a promise; of groups being written %u "
                        "gone and %u there; %u while opening, %u while closing, %u through the commit "
                        "queue, "
                        "%u that the next life began with, %u went on; %u acts, %u promises, %u "
                        "checkpoints\n",
                        met.states, seed - first, first, met.at_sync, met.at_change, met.at_promise,
                        met.before, met.after, met.opening, met.closing, met.threads, met.lives, met.went_on,
                        met.acts, met.promises, met.checkpoints);
        FOREACH_ARRAY(n, met.by_cut, _DISK_CUT_MAX)
                fprintf(stderr, "  %s: %u\n", disk_cut_to_string((DiskCut)(n - met.by_cut)), *n);
        if (states < STATES)
                return;
        assert_true(met.before > 0 && met.after > 0 && met.opening > 0 && met.closing > 0);
        assert_true(met.threads > 0 && met.lives > 0 && met.checkpoints > 0 && met.promises > met.acts / 2);
}

/* The proof that it would be seen: a disk that only says that it has synced, and somebody who promises
 * before the disk has it. */
static void assert_found_out(bool lies, bool hasty)
{
        char why[1024];

        disk_lie(lies);
        for (uint64_t seed = 1; seed <= LYING_MAX; seed++)
                if (!run_sequence(seed, hasty, why)) {
                        disk_lie(false);
                        assert_non_null(strstr(why, "lost") ?: strstr(why, "not what was"));
                        return;
                }
        fail_msg("it was not found out");
}

static void test_a_disk_that_lies_is_found_out(_unused_ void **state)
{
        assert_found_out(true, false);
}

static void test_a_hasty_promise_is_found_out(_unused_ void **state)
{
        assert_found_out(false, true);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_acknowledged_is_lost),
                cmocka_unit_test(test_a_disk_that_lies_is_found_out),
                cmocka_unit_test(test_a_hasty_promise_is_found_out),
        };

        int r;

        power_init();
        r = cmocka_run_group_tests(tests, NULL, NULL);
        power_done();
        return r;
}
