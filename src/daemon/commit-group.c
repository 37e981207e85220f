/*
 * One group of jobs in one transaction. A job that fails on its own account is taken out, and the rest is
 * run again from the beginning; every round takes one out, so it ends. When the disk or the database is at
 * fault, all of the group fail.
 */

#include "daemon/commit-group.h"

#include "daemon/commit-port.h"

/* Errors that are not about one job. */
static bool is_store_failure(int error)
{
        static const int errors[] = {
                ENOSPC,
                EROFS,
                EACCES,
                EBUSY,
                EBADMSG,
                ENOTRECOVERABLE,
                EIDRM,
                EIO,
                ENOMEM,
                EFBIG,
                EDQUOT,
        };

        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                if (error == -*e)
                        return true;
        return false;
}

/* Runs the jobs in one transaction. 0; a failure of all; or, when one job failed on its own account, -EAGAIN
 * and the job in *ret_failed. */
static int run_jobs(Store *store, CommitJob *jobs, CommitJob **ret_failed)
{
        int r;

        r = store_begin(store);
        if (r < 0)
                return r;

        for (CommitJob *job = jobs; job; job = job->next) {
                r = job->run(job, store);
                if (r >= 0)
                        continue;

                store_rollback(store);
                if (is_store_failure(r))
                        return r;
                job->result = r;
                *ret_failed = job;
                return -EAGAIN;
        }

        r = store_commit(store);
        if (r < 0)
                store_rollback(store);
        return r;
}

int commit_group_write(Store *store, CommitJob **jobs, CommitJob **ret_failed)
{
        CommitQueue failed;
        int r;

        commit_queue_init(&failed);
        for (;;) {
                CommitJob *culprit = NULL;

                r = *jobs ? run_jobs(store, *jobs, &culprit) : 0;
                if (r != -EAGAIN || !culprit)
                        break;
                for (CommitJob **i = jobs; *i; i = &(*i)->next)
                        if (*i == culprit) {
                                *i = culprit->next;
                                break;
                        }
                commit_queue_push(&failed, culprit);
        }
        *ret_failed = failed.head;
        return r;
}

uint64_t commit_group_finish(CommitJob *jobs, int result)
{
        uint64_t n = 0;

        for (CommitJob *job = jobs; job; job = job->next) {
                job->result = result;
                n++;
        }
        return n;
}

uint64_t commit_group_count(const CommitJob *jobs)
{
        uint64_t n = 0;

        for (; jobs; jobs = jobs->next)
                n++;
        return n;
}
