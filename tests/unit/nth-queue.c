/*
 * The commit queue on a disk that fails: what done() was told is on disk is there after a restart, also when
 * the power goes at once, and everybody is told something.
 */

#include "nth.h"

#include "basic/parse.h"
#include "daemon/commit.h"

#define BATCHES 3U
#define BATCH   4U

typedef struct Job {
        CommitJob job;
        char id[32];
        StoreDelivery delivery;
        bool told;
        int result;
        unsigned *n_told;
} Job;

static void done(CommitJob *job, int result)
{
        Job *j = container_of(job, Job, job);

        assert_false(j->told);
        j->told = true;
        j->result = result;
        (*j->n_told)++;
}

/* In batches; everybody who was taken is told what became of it. */
static void hand_over(CommitPort *port, sd_event *loop, Job *jobs)
{
        unsigned taken = 0, told = 0;

        for (unsigned i = 0; i < BATCHES * BATCH; i++) {
                jobs[i] = (Job){ .n_told = &told };
                snprintf(jobs[i].id, sizeof(jobs[i].id), "queued-%u", i);
                jobs[i].delivery = response_of(jobs[i].id, "a callback", 1);
                jobs[i].job = (CommitJob){
                        .change = { .kind = STORE_DELIVERY, .delivery = &jobs[i].delivery }, .done = done
                };
                if (commit_submit(port, &jobs[i].job) == 0)
                        taken++;
                else
                        jobs[i].result = -ENOTRECOVERABLE; /* after a failed sync: nobody is promised
                                                              anything */
                while (i % BATCH == BATCH - 1 && told < taken)
                        assert_true(sd_event_run(loop, 60 * USEC_PER_SEC) > 0);
        }
}

static int ignore_task(_unused_ const TaskDocument *t, _unused_ void *userdata)
{
        return 0;
}

/* A task that was promised and isn't there. */
static char *find_lost(const char *path, const Job *jobs)
{
        _cleanup_(store_reader_closep) StoreReader *reader = NULL;

        store_close(open_store(path)); /* as the next start does */
        reader = open_reader(path, 0);
        FOREACH_ARRAY(j, jobs, BATCHES * BATCH)
                if (j->told && j->result == 0 && store_get_task(reader, j->id, ignore_task, NULL) != 1)
                        return strdup(j->id);
        return NULL;
}

bool nth_queue_run(
                const char *live, const char *cut, const DiskFault *fault, uint64_t *chance, char **ret_lost)
{
        const DiskFault none = { 0 };
        Session s = { 0 }, c = { 0 };
        _cleanup_free_ char *error = NULL;
        CommitPort *port = NULL;
        Commit *commit = NULL;
        sd_event *loop = NULL;
        Job jobs[BATCHES * BATCH];
        bool hit;

        snprintf(s.path, sizeof(s.path), "%s/scale.db", live);
        snprintf(c.path, sizeof(c.path), "%s/scale.db", cut);
        disk_record(live);
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(
                        commit_new(&(CommitOptions){ .location = s.path, .max_jobs = 100 }, &commit, &error),
                        0);
        assert_int_equal(commit_port_new(commit, loop, &port), 0);

        disk_fail(fault);
        hand_over(port, loop, jobs);
        disk_cut((DiskCut)disk_pick(chance, _DISK_CUT_MAX), chance, cut);
        hit = disk_has_failed();
        port = commit_port_free(port);
        commit = commit_free(commit);
        sd_event_unref(loop);
        disk_fail(&none);
        disk_forget();

        *ret_lost = find_lost(c.path, jobs);
        if (!*ret_lost)
                *ret_lost = find_lost(s.path, jobs);
        return hit;
}
