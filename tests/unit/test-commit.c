/* The commit queue: what is on disk, who hears of it, and on which thread. */

#include "test-store-faults.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/commit.h"

static char dir[] = "/tmp/test-commit-XXXXXX", path[64];
static Commit *commit;
static CommitPort *port;
static sd_event *loop;
static pthread_t loop_thread;
static unsigned n_done, n_failed;
static atomic_uint_fast64_t last_event;

typedef struct Job {
        CommitJob job;
        char id[32];
        StoreDelivery delivery;
        int result;
} Job;

static const char body[] = "{\"task\":{}}";

static StoreDelivery delivery_of(const char *id)
{
        return (StoreDelivery){
                .received_at = now_realtime(),
                .body = body,
                .body_size = sizeof(body) - 1,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = id,
                .type = "annotation",
                .task_status = TASK_COMPLETED,
                .created_at = TIME_NONE,
                .completed_at = TIME_NONE,
        };
}

static void done(CommitJob *job, int result)
{
        Job *j = container_of(job, Job, job);

        assert_true(pthread_equal(pthread_self(), loop_thread));
        j->result = result;
        n_failed += result < 0;
        n_done++;
}

static void on_events(uint64_t event, _unused_ void *userdata)
{
        atomic_store(&last_event, event);
}

static int set_up(_unused_ void **state)
{
        CommitOptions options = { .location = path, .max_jobs = 1000, .on_events = on_events };
        char *error = NULL;

        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/scale.db", dir);
        loop_thread = pthread_self();
        n_done = n_failed = 0;
        atomic_store(&last_event, 0);
        if (sd_event_new(&loop) < 0 || commit_new(&options, &commit, &error) < 0)
                return -1;
        return commit_port_new(commit, loop, &port);
}

static int tear_down(_unused_ void **state)
{
        static const char *const files[] = { "", "-wal", "-shm" };
        char name[96];

        commit_port_free(port);
        commit_free(commit);
        sd_event_unref(loop);
        FOREACH_ARRAY(f, files, ELEMENTSOF(files)) {
                snprintf(name, sizeof(name), "%s%s", path, *f);
                (void)unlink(name);
        }
        rmdir(dir);
        memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
        return 0;
}

static void job_init(Job *j, unsigned i)
{
        *j = (Job){ .job.done = done, .result = 1 };
        snprintf(j->id, sizeof(j->id), "task-%u", i);
        j->delivery = delivery_of(j->id);
        j->job.change = (StoreChange){ .kind = STORE_DELIVERY, .delivery = &j->delivery };
}

static void submit(Job *j, unsigned i)
{
        job_init(j, i);
        assert_int_equal(commit_submit(port, &j->job), 0);
}

/* Fails by itself: there is no such delivery. */
static void submit_bad(Job *j)
{
        *j = (Job){ .job = { .change = { .kind = STORE_DISCARD, .number = 12345 }, .done = done } };
        assert_int_equal(commit_submit(port, &j->job), 0);
}

static void wait_for(unsigned n)
{
        while (n_done < n)
                assert_true(sd_event_run(loop, 60 * USEC_PER_SEC) > 0);
}

static uint64_t count_tasks(void)
{
        _cleanup_(store_reader_closep) StoreReader *reader = NULL;
        StoreStats stats;
        char *error;

        assert_int_equal(store_reader_open(path, 0, &reader, &error), 0);
        assert_int_equal(store_get_stats(reader, &stats), 0);
        return stats.tasks;
}

static void test_many_share_groups(_unused_ void **state)
{
        static Job jobs[1000];
        CommitStats stats;

        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++)
                submit(&jobs[i], i);
        wait_for(ELEMENTSOF(jobs));
        commit_get_stats(commit, &stats);
        assert_int_equal(stats.jobs, ELEMENTSOF(jobs));
        assert_int_equal(stats.queued, 0);
        assert_true(stats.groups < ELEMENTSOF(jobs));
        assert_int_equal(n_failed, 0);
        assert_int_equal(count_tasks(), ELEMENTSOF(jobs));
        assert_int_equal(atomic_load(&last_event), ELEMENTSOF(jobs));
}

/* One that fails on its own account takes nobody with it. */
static void test_a_bad_job_fails_alone(_unused_ void **state)
{
        static Job jobs[100];

        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++)
                i % 10 == 3 ? submit_bad(&jobs[i]) : submit(&jobs[i], i);
        wait_for(ELEMENTSOF(jobs));
        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++)
                assert_int_equal(jobs[i].result, i % 10 == 3 ? -ENOENT : 0);
        assert_int_equal(n_failed, 10);
        assert_int_equal(count_tasks(), 90);
}

/* When the disk is at fault all of a group fail, and it is tried again by itself. */
static void test_full_disk_and_recovery(_unused_ void **state)
{
        CommitStats stats;
        Job job;

        faulty_room = 0;
        submit(&job, 1);
        wait_for(1);
        assert_int_equal(job.result, -ENOSPC);
        commit_get_stats(commit, &stats);
        assert_int_equal(stats.state, STORE_WAITING);
        assert_int_equal(count_tasks(), 0);

        faulty_room = -1;
        for (unsigned i = 0; i < 600 && stats.state != STORE_WELL; i++) {
                usleep(50000);
                commit_get_stats(commit, &stats);
        }
        assert_int_equal(stats.state, STORE_WELL);
        submit(&job, 2);
        wait_for(2);
        assert_int_equal(job.result, 0);
        assert_int_equal(count_tasks(), 1);
}

static void test_no_room_is_left(_unused_ void **state)
{
        CommitStats stats = { .state = STORE_WELL };
        Job job;

        commit_set_min_free(commit, UINT64_MAX);
        for (unsigned i = 0; i < 600 && stats.state == STORE_WELL; i++) {
                usleep(50000);
                commit_get_stats(commit, &stats);
        }
        assert_int_equal(stats.state, STORE_WAITING);
        submit(&job, 1);
        wait_for(1);
        assert_int_equal(job.result, -ENOSPC);
        assert_int_equal(count_tasks(), 0);
}

static void test_fatal(_unused_ void **state)
{
        Job job;

        faulty_sync = true;
        submit(&job, 1);
        wait_for(1);
        faulty_sync = false;
        assert_int_equal(job.result, -ENOTRECOVERABLE);
        assert_int_equal(commit_submit(port, &job.job), -ENOTRECOVERABLE);
        assert_int_equal(count_tasks(), 0);
}

static void test_the_queue_is_bounded(_unused_ void **state)
{
        static Job jobs[3000];
        unsigned n = 0;
        int r = 0;

        while (n < ELEMENTSOF(jobs)) {
                job_init(&jobs[n], n);
                r = commit_submit(port, &jobs[n].job);
                if (r < 0)
                        break;
                n++;
        }
        if (n < ELEMENTSOF(jobs))
                assert_int_equal(r, -EAGAIN);
        assert_true(n >= 1000);
        wait_for(n);
        assert_int_equal(n_failed, 0);
}

/* Freeing a port waits for what it handed over, and says what came of it. */
static void test_nothing_is_forgotten_at_the_end(_unused_ void **state)
{
        static Job jobs[200];

        for (unsigned i = 0; i < ELEMENTSOF(jobs); i++)
                submit(&jobs[i], i);
        port = commit_port_free(port);
        assert_int_equal(n_done, ELEMENTSOF(jobs));
        assert_int_equal(count_tasks(), ELEMENTSOF(jobs));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_many_share_groups),
                T(test_a_bad_job_fails_alone),
                T(test_full_disk_and_recovery),
                T(test_no_room_is_left),
                T(test_fatal),
                T(test_the_queue_is_bounded),
                T(test_nothing_is_forgotten_at_the_end),
        };

        faults_install();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
