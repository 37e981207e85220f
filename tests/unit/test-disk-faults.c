/*
 * The nth failure: the store works on a disk of which the 1st, the 2nd, the 3rd... call of a kind fails,
 * once or from then on, with every error that it can have, until nothing fails any more. Whatever happens,
 * a step is done or it isn't: what was reported as done is there after a restart, also when the power goes
 * at once; what was reported as failed left nothing, or is there as a whole where only the last sync is in
 * doubt; the message says what could not be done; nothing is left open. Once the disk is well again the
 * same step succeeds on the same handle, unless a sync failed.
 *
 * NTH_STRIDE is how many calls are skipped at random on the way (the long form: NTH_STRIDE=1, none),
 * NTH_SEED decides which.
 */

#include "nth.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"

#define STRIDE 12U

static char top[64], live[80], cut[80];
static uint64_t chance;

static const DiskFault faults[] = {
        { .op = DISK_OPEN, .code = SQLITE_CANTOPEN, .system_error = EMFILE },
        { .op = DISK_OPEN, .code = SQLITE_CANTOPEN, .system_error = EACCES },
        { .op = DISK_OPEN, .code = SQLITE_CANTOPEN, .system_error = ENOSPC },
        { .op = DISK_OPEN, .code = SQLITE_NOMEM, .system_error = ENOMEM },
        { .op = DISK_READ, .code = SQLITE_IOERR_READ, .system_error = EIO },
        { .op = DISK_READ, .code = SQLITE_IOERR_CORRUPTFS, .system_error = EIO },
        { .op = DISK_WRITE, .code = SQLITE_IOERR_WRITE, .system_error = EIO },
        { .op = DISK_WRITE, .code = SQLITE_FULL, .system_error = ENOSPC },
        { .op = DISK_SYNC, .code = SQLITE_IOERR_FSYNC, .system_error = EIO },
        { .op = DISK_SYNC, .code = SQLITE_IOERR_DIR_FSYNC, .system_error = EIO },
        { .op = DISK_TRUNCATE, .code = SQLITE_IOERR_TRUNCATE, .system_error = EIO },
        { .op = DISK_DELETE, .code = SQLITE_IOERR_DELETE, .system_error = EIO },
        { .op = DISK_SIZE, .code = SQLITE_IOERR_FSTAT, .system_error = EIO },
        { .op = DISK_ACCESS, .code = SQLITE_IOERR_ACCESS, .system_error = EIO },
        { .op = DISK_LOCK, .code = SQLITE_BUSY, .system_error = EAGAIN },
        { .op = DISK_LOCK, .code = SQLITE_IOERR_LOCK, .system_error = ENOLCK },
        { .op = DISK_SHM_MAP, .code = SQLITE_IOERR_SHMMAP, .system_error = ENOMEM },
        { .op = DISK_SHM_MAP, .code = SQLITE_IOERR_SHMSIZE, .system_error = ENOSPC },
        { .op = DISK_SHM_MAP, .code = SQLITE_NOMEM, .system_error = ENOMEM },
        { .op = DISK_SHM_LOCK, .code = SQLITE_BUSY, .system_error = EAGAIN },
        { .op = DISK_SHM_LOCK, .code = SQLITE_IOERR_SHMLOCK, .system_error = EIO },
};

/* What a scenario begins with, and what it gives when nothing fails. */
typedef struct Healthy {
        const Scenario *scenario;
        unsigned char *files[2]; /* owned: the database and its WAL */
        size_t sizes[2];
        unsigned n_steps;
        uint64_t digests[STEPS_MAX + 1]; /* after so many steps */
        uint64_t seen[STEPS_MAX];
} Healthy;

static const char *const suffixes[] = { "", "-wal" };

/* Files. */

static void load(Healthy *h, const char *directory)
{
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char path[128];
                struct stat st;
                int fd;

                snprintf(path, sizeof(path), "%s/scale.db%s", directory, suffixes[i]);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                assert_int_equal(fstat(fd, &st), 0);
                h->sizes[i] = (size_t)st.st_size;
                h->files[i] = malloc(h->sizes[i] + 1);
                assert_non_null(h->files[i]);
                assert_int_equal(read(fd, h->files[i], h->sizes[i]), st.st_size);
                fd_close(fd);
        }
}

static void lay(const Healthy *h)
{
        disk_empty(live);
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char path[128];
                int fd;

                if (!h->files[i])
                        continue;
                snprintf(path, sizeof(path), "%s/scale.db%s", live, suffixes[i]);
                fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                assert_int_equal(write(fd, h->files[i], h->sizes[i]), h->sizes[i]);
                fd_close(fd);
        }
}

static Session session_in(const char *directory)
{
        Session s = { 0 };

        snprintf(s.path, sizeof(s.path), "%s/scale.db", directory);
        snprintf(s.copy, sizeof(s.copy), "%s/copy.db", directory);
        return s;
}

static uint64_t digest_of(const char *path)
{
        char why[512];
        uint64_t digest;
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        if (!store_obeys_rules(db, why, sizeof(why)))
                fail_msg("%s", why);
        digest = store_digest(db);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return digest;
}

/* A step of a scenario; where each is a new process's, the files are opened and read anew before it. */
static int run_step(const Scenario *scenario, unsigned i, Session *s)
{
        int r;

        if (scenario->afresh && i > 0) {
                session_close(s);
                r = scenario->steps[0].run(s);
                if (r < 0)
                        return r;
        }
        return scenario->steps[i].run(s);
}

/* Healthy. */

static void lay_old(const char *path)
{
        _cleanup_free_ char *sql = calloc(1, 256 * 1024);
        char name[512];
        sqlite3 *db;
        FILE *file;

        snprintf(name, sizeof(name), "%s/schema/1.sql", getenv("TEST_DATA"));
        file = fopen(name, "re");
        assert_non_null(file);
        assert_non_null(sql);
        assert_true(fread(sql, 1, 256 * 1024 - 1, file) > 1000 && feof(file));
        fclose(file);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), 0);
        assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), 0);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), 0);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static Healthy *prepare(const Scenario *scenario)
{
        Healthy *h = calloc(1, sizeof(Healthy));
        Session s = session_in(live);

        assert_non_null(h);
        h->scenario = scenario;
        disk_empty(live);
        disk_empty(cut);
        if (scenario->begin == BEGIN_OLD)
                lay_old(s.path);
        else if (scenario->begin != BEGIN_EMPTY) {
                disk_record(live);
                assert_int_equal(session_fill(&s), 0);
                if (scenario->begin == BEGIN_KILLED)
                        disk_cut(CUT_ALL, &chance, cut);
                session_close(&s);
                disk_forget();
        }
        load(h, scenario->begin == BEGIN_KILLED ? cut : live);

        lay(h);
        for (; scenario->steps[h->n_steps].name; h->n_steps++) {
                if (run_step(scenario, h->n_steps, &s) < 0)
                        fail_msg("%s, %s: %s", scenario->name, scenario->steps[h->n_steps].name, s.error);
                h->seen[h->n_steps] = s.seen;
                h->digests[h->n_steps + 1] = digest_of(s.path);
        }
        h->digests[0] = h->digests[1]; /* opening it is all that the first step does */
        session_close(&s);
        return h;
}

static void forget(Healthy *h)
{
        free(h->files[0]);
        free(h->files[1]);
        free(h);
}

/* One run. */

typedef struct Run {
        const Healthy *healthy;
        DiskFault fault;
        bool ends;     /* with the first failure, and the power with it */
        unsigned done; /* steps that were said to be */
        bool doubtful; /* the next one was tried and failed */
        bool hit;
} Run;

#define failed(x, format, ...)                                                                          \
        fail_msg("%s, call %u for \"%s\" fails %s with %d, step \"%s\": " format,                       \
                        (x)->healthy->scenario->name, (x)->fault.nth, disk_op_to_string((x)->fault.op), \
                        (x)->fault.lasting ? "from then on" : "once", (x)->fault.code,                  \
                        (x)->healthy->scenario->steps[(x)->done].name ?: "the end", ##__VA_ARGS__)

static void heal(Run *x)
{
        static const DiskFault none = { 0 };

        x->hit |= disk_has_failed();
        disk_fail(&none);
}

/* An error that callers know, and a sentence. */
static void check_failure(const Run *x, int r, const Session *s)
{
        static const int errors[] = { ENOSPC, EROFS, EACCES, EBUSY, EBADMSG, ENOTRECOVERABLE, EIO, ENOMEM,
                ENOENT };
        bool known = false, speaks = streq(x->healthy->scenario->steps[x->done].name, "copy back") ||
                                     streq(x->healthy->scenario->steps[x->done].name, "back up");

        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                known |= r == -*e;
        if (!known)
                failed(x, "an unknown error, %d", r);
        if (x->fault.op == DISK_SYNC && r != -ENOTRECOVERABLE)
                failed(x, "a failed sync is %d", r);
        if (x->fault.code == SQLITE_FULL && r != -ENOSPC)
                failed(x, "a full disk is %d", r);
        if (!speaks && (!strstr(s->error, "ould not") || !strstr(s->error, "scale.db")))
                failed(x, "%d, and all that is said is \"%s\"", r, s->error);
}

static void work(Run *x, Session *s)
{
        const Healthy *h = x->healthy;

        while (x->done < h->n_steps) {
                int r = run_step(h->scenario, x->done, s);

                if (r < 0) {
                        if (!disk_has_failed())
                                failed(x, "it fails by itself: %d, %s", r, s->error);
                        check_failure(x, r, s);
                        x->doubtful = true;
                        if (x->ends || r == -ENOTRECOVERABLE)
                                return;
                        heal(x);
                        r = run_step(h->scenario, x->done, s);
                        if (r < 0)
                                failed(x, "it does not recover: %d, %s", r, s->error);
                        x->doubtful = false;
                }
                if (s->seen != h->seen[x->done])
                        failed(x, "something else was read");
                x->done++;
        }
}

static void check_end(const Run *x, const char *path)
{
        _cleanup_(store_closep) Store *s = NULL;
        _cleanup_free_ char *error = NULL;
        const uint64_t *digests = x->healthy->digests;
        uint64_t digest;

        if (store_open(path, STORE_RECEIVER, &s, &error) < 0)
                failed(x, "it can't be opened any more: %s", error);
        digest = digest_of(path);
        if (digest != digests[x->done] && !(x->doubtful && digest == digests[x->done + 1]))
                failed(x, "what is there is not what was said to be");
}

static bool run(const Healthy *h, const DiskFault *fault, bool ends)
{
        Run x = { .healthy = h, .fault = *fault, .ends = ends };
        Session s = session_in(live), c = session_in(cut);
        int64_t memory;

        lay(h);
        disk_empty(cut);
        memory = sqlite3_memory_used();
        disk_record(live);
        disk_fail(fault);
        work(&x, &s);
        if (ends)
                disk_cut((DiskCut)disk_pick(&chance, _DISK_CUT_MAX), &chance, cut);
        session_close(&s);
        heal(&x);
        disk_forget();
        if (disk_open_files() != 0 || sqlite3_memory_used() != memory)
                failed(&x, "%u files and %lld bytes are left", disk_open_files(),
                                (long long)(sqlite3_memory_used() - memory));

        check_end(&x, ends ? c.path : s.path);
        if (s.copied && digest_of(s.copy) != h->digests[h->n_steps])
                failed(&x, "the copy is another one");
        return x.hit;
}

/* All of them. */

static void test_the_nth_failure(_unused_ void **state)
{
        uint64_t stride = MAX(disk_option("NTH_STRIDE", STRIDE), 1), seed = disk_option("NTH_SEED", 1);
        unsigned runs = 0, hits = 0;

        chance = seed;
        for (size_t i = 0; i < n_scenarios; i++) {
                Healthy *h = prepare(&scenarios[i]);
                unsigned most = 0;

                for (size_t k = 0; k < ELEMENTSOF(faults) * 4; k++) {
                        DiskFault fault = faults[k / 4];
                        bool hit = true;

                        fault.lasting = k & 1;
                        for (fault.nth = 1 + disk_pick(&chance, stride); hit;
                                        fault.nth += 1 + disk_pick(&chance, stride * 2 - 1)) {
                                hit = run(h, &fault, k & 2);
                                runs++;
                                hits += hit;
                                most = hit ? MAX(most, fault.nth) : most;
                        }
                }
                fprintf(stderr, "%s: up to call %u\n", scenarios[i].name, most);
                forget(h);
        }
        fprintf(stderr, "%u runs, %u of them with a failure; NTH_STRIDE=%" PRIu64 " NTH_SEED=%" PRIu64 "\n",
                        runs, hits, stride, seed);
        assert_true(hits > runs / 2 || stride > STRIDE);
}

/* The same, of what the commit queue promises. */
static void test_the_commit_queue_makes_no_false_promise(_unused_ void **state)
{
        uint64_t stride = MAX(disk_option("NTH_STRIDE", STRIDE), 1), seed = disk_option("NTH_SEED", 1);
        unsigned runs = 0, hits = 0;

        chance = seed;
        for (size_t k = 0; k < ELEMENTSOF(faults) * 2; k++) {
                DiskFault fault = faults[k / 2];
                bool hit = true;

                fault.lasting = k & 1;
                for (fault.nth = 1; hit; fault.nth += 1 + disk_pick(&chance, stride)) {
                        _cleanup_free_ char *lost = NULL;

                        disk_empty(live);
                        disk_empty(cut);
                        hit = nth_queue_run(live, cut, &fault, &chance, &lost);
                        runs++;
                        hits += hit;
                        if (lost)
                                fail_msg("call %u for \"%s\" fails with %d: task %s, acknowledged, is lost",
                                                fault.nth, disk_op_to_string(fault.op), fault.code, lost);
                }
        }
        fprintf(stderr, "%u runs, %u of them with a failure; NTH_STRIDE=%" PRIu64 " NTH_SEED=%" PRIu64 "\n",
                        runs, hits, stride, seed);
        assert_true(hits > 0);
}

static int set_up(_unused_ void **state)
{
        snprintf(top, sizeof(top), "/tmp/test-faults-XXXXXX");
        assert_non_null(mkdtemp(top));
        snprintf(live, sizeof(live), "%s/live", top);
        snprintf(cut, sizeof(cut), "%s/cut", top);
        assert_int_equal(mkdir(live, 0700), 0);
        assert_int_equal(mkdir(cut, 0700), 0);
        return 0;
}

static int tear_down(_unused_ void **state)
{
        disk_empty(live);
        disk_empty(cut);
        assert_int_equal(rmdir(live), 0);
        assert_int_equal(rmdir(cut), 0);
        assert_int_equal(rmdir(top), 0);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_nth_failure, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                                test_the_commit_queue_makes_no_false_promise, set_up, tear_down),
        };

        disk_install();
        disk_hurry(true);
        log_set_max_level(LOG_EMERG); /* what is said is expected */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
