/*
 * The commit queue under every interleaving of its threads: the sources themselves, on the model's threads,
 * with a store that keeps nothing but what it was told. Each schedule has to keep what the queue promises: a
 * job that was taken is done exactly once, on the loop that it came from, with 0 only when it was in a
 * transaction whose commit had come back by then and with an error only when it was in none; one that was
 * refused is never run; no more wait than may; nothing is lost at the end, and nobody waits for time to
 * pass.
 */

#include "model.h"

#include <sys/eventfd.h>
#include <systemd/sd-event.h>

#include "basic/fd.h"
#include "basic/time-util.h"
#include "store/change.h"

/* What the queue's sources call. */
#define pthread_create(t, a, f, u)         model_create(t, a, f, u)
#define pthread_join(t, r)                 model_join(t, r)
#define pthread_setname_np(t, n)           ((void)(t))
#define pthread_mutex_init(m, a)           model_mutex_init(m, a)
#define pthread_mutex_destroy(m)           model_mutex_destroy(m)
#define pthread_mutex_lock(m)              model_lock(m)
#define pthread_mutex_unlock(m)            model_unlock(m)
#define pthread_cond_init(c, a)            model_cond_init(c, a)
#define pthread_cond_destroy(c)            model_cond_destroy(c)
#define pthread_cond_wait(c, m)            model_cond_wait(c, m)
#define pthread_cond_timedwait(c, m, t)    model_cond_timedwait(c, m, t)
#define pthread_cond_signal(c)             model_cond_signal(c)
#define pthread_cond_broadcast(c)          model_cond_broadcast(c)
#define eventfd(v, f)                      model_eventfd(v, f)
#define eventfd_write(fd, v)               model_eventfd_write(fd, v)
#define eventfd_read(fd, v)                model_eventfd_read(fd, v)
#define fd_close(fd)                       model_close(fd)
#define now_monotonic()                    model_now()
#define sd_event_add_io(l, s, fd, e, f, u) loop_add(l, s, fd, f, u)
#define sd_event_source_disable_unref(s)   ((void)(s))

static int loop_add(sd_event *l, sd_event_source **s, int fd, sd_event_io_handler_t fn, void *userdata);

#include "daemon/commit.c"

#define JOBS_MAX 4U

typedef struct Job {
        CommitJob job;
        unsigned loop; /* the thread that it came from */
        int fails;     /* on its own account */
        bool taken, refused;
        unsigned n_done;
        bool in_group, stored;
} Job;

/* What a scenario is. */
static struct Setup {
        unsigned max_jobs, n_jobs, n_loops;
        bool store_fails; /* one of the commits may */
        bool waits;       /* for its jobs, before it ends */
        int job_fails;
} setup;

static struct {
        sd_event_io_handler_t fn;
        void *userdata;
        int fd;
} loops[MODEL_LOOPS_MAX];

static Commit *commit;
static Job jobs[MODEL_LOOPS_MAX][JOBS_MAX];
static bool in_transaction, store_failed, fatal_told;
static int failure; /* how it stands with the store */

/* The store. */

int store_open(_unused_ const char *path, _unused_ StoreRole role, _unused_ Store **ret,
                _unused_ char **ret_error)
{
        return 0;
}

Store *store_close(_unused_ Store *s)
{
        return NULL;
}

static int begin_group(StoreChange *const *changes, size_t n)
{
        FOREACH_ARRAY(change, changes, n) {
                Job *j = container_of(container_of(*change, CommitJob, change), Job, job);

                model_check(j->n_done == 0 && !j->refused && !j->in_group && !j->stored);
                j->in_group = true;
        }
        return 0;
}

/* What became of it. Nobody knows whether a commit was kept whose answer is -EINPROGRESS. */
static void end_group(StoreChange *const *changes, size_t n, int result)
{
        FOREACH_ARRAY(change, changes, n) {
                Job *j = container_of(container_of(*change, CommitJob, change), Job, job);

                j->in_group = false;
                (*change)->result = j->fails < 0 ? j->fails : result;
                j->stored = (*change)->result == 0;
        }
}

int store_write(_unused_ Store *s, StoreChange *const *changes, size_t n)
{
        static const int errors[] = { 0, -ENOSPC, -ENOTRECOVERABLE, -EIDRM, -EINPROGRESS };
        int r = failure;

        model_check(n > 0 && !in_transaction);
        in_transaction = true;
        begin_group(changes, n);
        if (r == 0 && setup.store_fails && !store_failed)
                r = errors[model_choose(ELEMENTSOF(errors))];
        store_failed |= r < 0;
        failure = r;
        end_group(changes, n, r);
        in_transaction = false;
        return r;
}

static bool is_broken(void)
{
        return failure == -ENOTRECOVERABLE || failure == -EIDRM;
}

StoreHealth store_health(_unused_ const Store *s)
{
        return (StoreHealth){
                .state = is_broken()   ? STORE_FATAL
                         : failure < 0 ? STORE_WAITING
                                       : STORE_WELL,
                .error = failure,
                .reason = "made up",
        };
}

void store_tend(_unused_ Store *s)
{
        model_check(!in_transaction);
        if (!is_broken())
                failure = 0;
}

void store_check(_unused_ Store *s)
{
        model_check(!in_transaction);
}

void store_set_min_free(_unused_ Store *s, _unused_ uint64_t min_free)
{
}

uint64_t store_min_free(_unused_ const Store *s)
{
        return 0;
}

uint64_t store_last_event(_unused_ const Store *s)
{
        return 0;
}

StoreCounts store_counts(_unused_ const Store *s)
{
        return (StoreCounts){};
}

/* The loops. */

static int loop_add(
                sd_event *l, _unused_ sd_event_source **s, int fd, sd_event_io_handler_t fn, void *userdata)
{
        unsigned i = (unsigned)(uintptr_t)l - 1;

        loops[i].fn = fn;
        loops[i].userdata = userdata;
        loops[i].fd = fd;
        return 0;
}

static void done(CommitJob *job, int result)
{
        Job *j = container_of(job, Job, job);

        model_check(model_thread() == j->loop);
        model_check(j->n_done++ == 0 && !j->refused);
        model_check(result <= 0 && j->stored == (result == 0));
        if (j->fails < 0)
                model_check(result == j->fails || store_failed);
}

static void on_fatal(_unused_ int error, _unused_ void *userdata)
{
        model_check(is_broken() && !fatal_told);
        fatal_told = true;
}

/* Somebody waits, and nothing will happen. */
static void before_time_passes(void)
{
        model_check(!commit->waiting.head);
        model_check(!commit->stop);
        for (unsigned l = 0; l < setup.n_loops; l++)
                FOREACH_ARRAY(j, jobs[l], setup.n_jobs)
                        model_check(!j->taken || j->n_done == 1);
}

static unsigned count_done(const Job *own)
{
        unsigned n = 0;

        FOREACH_ARRAY(j, own, setup.n_jobs)
                n += j->n_done;
        return n;
}

/* A loop's thread: hands its jobs over, perhaps waits for them, and ends. */
static void *loop_thread(void *userdata)
{
        unsigned l = (unsigned)(uintptr_t)userdata, n_taken = 0;
        Job *own = jobs[l];
        CommitPort *port;

        model_check(commit_port_new(commit, (sd_event *)(uintptr_t)(l + 1), &port) == 0);
        FOREACH_ARRAY(j, own, setup.n_jobs) {
                int r;

                *j = (Job){ .job = { .done = done },
                        .loop = model_thread(),
                        .fails = j == own ? setup.job_fails : 0 };
                r = commit_submit(port, &j->job);
                j->taken = r == 0;
                j->refused = r < 0;
                n_taken += r == 0;
                model_check(r == 0 || r == -EAGAIN || (r == -ENOTRECOVERABLE && is_broken()));
                model_check(commit->stats.queued <= setup.max_jobs);
        }
        while (setup.waits && count_done(own) < n_taken) {
                model_poll(loops[l].fd);
                model_check(loops[l].fn(NULL, loops[l].fd, 0, loops[l].userdata) == 0);
        }
        commit_port_free(port);
        FOREACH_ARRAY(j, own, setup.n_jobs)
                model_check(j->n_done == (j->taken ? 1 : 0) && j->taken != j->refused);
        return NULL;
}

static void scenario(void)
{
        CommitOptions options = { .location = "scale.db", .max_jobs = setup.max_jobs, .on_fatal = on_fatal };
        pthread_t others[MODEL_LOOPS_MAX];
        char *message;

        memset(jobs, 0, sizeof(jobs));
        in_transaction = store_failed = fatal_told = false;
        failure = 0;
        model_before_time_passes = NULL;

        model_check(commit_new(&options, &commit, &message) == 0);
        model_before_time_passes = before_time_passes;
        for (unsigned l = 1; l < setup.n_loops; l++)
                model_create(&others[l], NULL, loop_thread, (void *)(uintptr_t)l);
        loop_thread((void *)0);
        for (unsigned l = 1; l < setup.n_loops; l++)
                model_join(others[l], NULL);
        model_check(commit->stats.queued == 0 && !in_transaction);
        model_check(fatal_told == is_broken());
        model_before_time_passes = NULL;
        commit = commit_free(commit);
}

static void explore(const char *what, unsigned preemptions)
{
        unsigned long n;

        n = model_explore(scenario, preemptions);
        print_message("%s, %u preemptions: %lu schedules\n", what, preemptions, n);
        assert_true(n > 1000);
}

#define SETUP(...)             \
        setup = (struct Setup) \
        {                      \
                __VA_ARGS__    \
        }

static void test_one_loop(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 2, .n_loops = 1, .waits = true);
        explore("a loop that waits for its jobs", 4);
        SETUP(.max_jobs = 8, .n_jobs = 3, .n_loops = 1);
        explore("a loop that ends at once", 4);
}

static void test_the_bound_holds(_unused_ void **state)
{
        SETUP(.max_jobs = 1, .n_jobs = 3, .n_loops = 1);
        explore("one may wait", 4);
        SETUP(.max_jobs = 2, .n_jobs = 2, .n_loops = 2);
        explore("two may wait, of two loops", 2);
}

static void test_two_loops(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 1, .n_loops = 2, .waits = true);
        explore("two loops that wait", 2);
        SETUP(.max_jobs = 8, .n_jobs = 2, .n_loops = 2);
        explore("two loops that end at once", 2);
}

static void test_the_store_fails(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 2, .n_loops = 1, .waits = true, .store_fails = true);
        explore("a commit that fails", 3);
        SETUP(.max_jobs = 8, .n_jobs = 1, .n_loops = 2, .store_fails = true);
        explore("a commit that fails, two loops", 2);
}

static void test_a_job_fails(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 3, .n_loops = 1, .waits = true, .job_fails = -ENOENT);
        explore("a job that fails alone", 4);
}

/* What it would be worth, did it not see what is wrong. */

static void test_a_lost_signal_is_found(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 1, .n_loops = 1, .waits = true);
        model_lost_signal = 1;
        assert_non_null(model_find(scenario, 2));
        model_lost_signal = 0;
        assert_null(model_find(scenario, 2));
}

static void test_a_lost_wake_up_is_found(_unused_ void **state)
{
        SETUP(.max_jobs = 8, .n_jobs = 1, .n_loops = 1, .waits = true);
        model_lost_write = 1;
        assert_non_null(model_find(scenario, 2));
        model_lost_write = 0;
        assert_null(model_find(scenario, 2));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_loop),
                cmocka_unit_test(test_the_bound_holds),
                cmocka_unit_test(test_two_loops),
                cmocka_unit_test(test_the_store_fails),
                cmocka_unit_test(test_a_job_fails),
                cmocka_unit_test(test_a_lost_signal_is_found),
                cmocka_unit_test(test_a_lost_wake_up_is_found),
        };

        log_set_max_level(-1); /* failures are made up here */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
