/*
 * The commit queue. An acknowledgement waits for the disk, and what makes that fast is that everybody waits
 * together: the one writing thread takes all that is queued, runs it in one transaction, commits once, and
 * hands every job back to the loop that it came from. There is no artificial delay; while one group syncs,
 * the next one gathers.
 *
 * What it guarantees: done() is called exactly once for every job taken, with 0 only after the commit was
 * synced. A job that fails on its own account is taken out and its group is redone without it. When the disk
 * or the database is at fault the whole group fails, and nothing of it is kept.
 *
 * A sync that failed is never tried again, because nobody knows what the disk holds then: from that moment
 * on every job fails, and the daemon is told to leave.
 *
 * The WAL is kept short in two phases: once it passes a mark, a helper thread copies it into the database
 * beside the writer, and the writer finishes the small rest between two groups. That way no group waits for
 * more than the rest.
 */

#include "daemon/commit-internal.h"

#include <stdio.h>
#include <time.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "daemon/commit-group.h"
#include "daemon/message.h"

#define CHECKPOINT_MARK  (UINT64_C(16) * 1024 * 1024) /* bytes of WAL */
#define READER_WAIT_MSEC 50U

/* The writer. */

static void account(Commit *c, int result, uint64_t n, uint64_t n_failed, uint64_t usec)
{
        pthread_mutex_lock(&c->lock);
        c->stats.queued -= n + n_failed;
        c->stats.failed += result < 0 ? n : 0; /* others were answered */
        if (result == 0 && n > 0) {
                c->stats.groups++;
                c->stats.jobs += n;
                c->stats.commit_usec += usec;
        }
        c->stats.wal_bytes = store_wal_size(c->store);
        pthread_mutex_unlock(&c->lock);
}

static void write_group(Commit *c, CommitJob *jobs)
{
        uint64_t started = now_monotonic(), n;
        CommitJob *failed = NULL;
        uint64_t last_event;
        bool tried;
        int r;

        /* Both are written by this thread alone, so it may read them without the lock. */
        tried = !c->fatal && c->stats.writable;
        if (tried)
                r = commit_group_write(c->store, &jobs, &failed);
        else
                r = c->fatal ? -ENOTRECOVERABLE : c->moved ? -EIDRM : c->failing ? c->failure : -ENOSPC;

        n = commit_group_finish(jobs, r);
        account(c, r, n, commit_group_count(failed), now_monotonic() - started);
        last_event = store_last_event(c->store);

        if (tried)
                commit_note_result(c, r);

        /* Before the jobs go back: whoever waits for them may take the listener apart afterwards. */
        if (r == 0 && last_event != c->last_event) {
                c->last_event = last_event;
                c->on_events(last_event, c->userdata);
        }
        commit_hand_back(jobs);
        commit_hand_back(failed);
}

/* The writer's part of a checkpoint. A reader in the way is not waited for, unless one was for a round: then
 * for a moment, in which whoever reads comes to an end while new ones need the WAL no more. */
static int finish_checkpoint(Commit *c)
{
        uint64_t now = now_monotonic();
        bool wait = c->busy_since > 0 && now - c->busy_since > COMMIT_ROUND_USEC;
        int r;

        r = store_checkpoint(c->store, wait ? READER_WAIT_MSEC : 0);
        if (r != -EBUSY)
                c->busy_since = 0;
        else if (wait || c->busy_since == 0)
                c->busy_since = now;
        return r;
}

static void keep_wal_short(Commit *c)
{
        bool finish;
        int r = 0;

        pthread_mutex_lock(&c->lock);
        finish = c->helper == HELPER_FINISHED;
        if (finish) {
                c->helper = HELPER_IDLE;
                r = c->helper_result;
        }
        pthread_mutex_unlock(&c->lock);

        if (finish && r == 0)
                r = finish_checkpoint(c);
        if (r == -ENOTRECOVERABLE) {
                commit_go_fatal(c, r, "a checkpoint could not be synced to the disk");
                return;
        }
        if (r == -EIDRM) {
                commit_note_result(c, r);
                return;
        }
        if (r < 0)
                log_debug_errno(r, "Checkpoint put off");

        pthread_mutex_lock(&c->lock);
        c->stats.wal_bytes = store_wal_size(c->store);
        if (finish && r == 0)
                c->stats.checkpoints++;
        if (c->helper == HELPER_IDLE && !c->stop && !finish &&
                        (c->stats.wal_bytes > CHECKPOINT_MARK || c->busy_since > 0)) {
                c->helper = HELPER_ASKED;
                pthread_cond_signal(&c->helper_cond);
        }
        pthread_mutex_unlock(&c->lock);
}

static struct timespec in_a_round(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += (time_t)(COMMIT_ROUND_USEC / USEC_PER_SEC);
        return t;
}

/* Waits for jobs, for the helper, or for a round. False: there will be no more. */
static bool wait_for_jobs(Commit *c, CommitJob **ret)
{
        struct timespec until = in_a_round();
        bool more;

        pthread_mutex_lock(&c->lock);
        while (!c->waiting.head && !c->stop && c->helper != HELPER_FINISHED)
                if (pthread_cond_timedwait(&c->cond, &c->lock, &until) != 0)
                        break;
        *ret = commit_queue_take_all(&c->waiting);
        more = *ret || !c->stop;
        c->stats.last_progress = now_monotonic();
        pthread_mutex_unlock(&c->lock);
        return more;
}

static void *writer_thread(void *userdata)
{
        Commit *c = userdata;
        CommitJob *jobs;

        pthread_setname_np(pthread_self(), "commit");
        while (wait_for_jobs(c, &jobs)) {
                commit_check_health(c);
                if (jobs)
                        write_group(c, jobs);
                if (!c->fatal && !c->moved)
                        keep_wal_short(c);
        }
        if (!c->fatal)
                commit_check_files(c); /* the last moment at which something could be saved */
        if (c->moved)
                log_event(LOG_CRIT, MESSAGE_DATABASE_MOVED, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)),
                                "Leaving all the same: what only this process had open is lost.");
        return NULL;
}

static void *checkpointer_thread(void *userdata)
{
        Commit *c = userdata;
        int r;

        pthread_setname_np(pthread_self(), "checkpoint");
        pthread_mutex_lock(&c->lock);
        for (;;) {
                while (c->helper != HELPER_ASKED && !c->stop)
                        pthread_cond_wait(&c->helper_cond, &c->lock);
                if (c->stop)
                        break;

                pthread_mutex_unlock(&c->lock);
                r = store_checkpointer_run(c->checkpoint);
                pthread_mutex_lock(&c->lock);

                c->helper_result = r;
                c->helper = HELPER_FINISHED;
                pthread_cond_signal(&c->cond);
        }
        pthread_mutex_unlock(&c->lock);
        return NULL;
}

/* Outside. */

static void ignore_events(_unused_ uint64_t last_event, _unused_ void *userdata)
{
}

static void ignore_fatal(_unused_ int error, _unused_ void *userdata)
{
}

static int commit_start(Commit *c)
{
        int r;

        r = pthread_create(&c->writer, NULL, writer_thread, c);
        if (r != 0)
                return -r;
        c->writer_started = true;

        r = pthread_create(&c->checkpointer, NULL, checkpointer_thread, c);
        if (r != 0)
                return -r;
        c->checkpointer_started = true;
        return 0;
}

static void init_locks(Commit *c)
{
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->cond, &attr);
        pthread_cond_init(&c->helper_cond, &attr);
        pthread_condattr_destroy(&attr);
}

int commit_new(const CommitOptions *options, Commit **ret, char **ret_error)
{
        _cleanup_(commit_freep) Commit *c = NULL;
        int r;

        *ret_error = NULL;
        c = calloc(1, sizeof(Commit));
        if (!c)
                return -ENOMEM;

        init_locks(c);
        commit_queue_init(&c->waiting);
        c->max_jobs = options->max_jobs;
        c->on_events = options->on_events ?: ignore_events;
        c->on_fatal = options->on_fatal ?: ignore_fatal;
        c->userdata = options->userdata;
        atomic_init(&c->min_free, options->min_free);
        c->stats.writable = true;
        c->stats.last_progress = now_monotonic();

        c->path = strdup(options->path);
        if (!c->path)
                return -ENOMEM;

        r = store_open(c->path, options->role, &c->store, ret_error);
        if (r < 0)
                return r;
        c->last_event = store_last_event(c->store);

        r = store_checkpointer_open(c->path, &c->checkpoint);
        if (r < 0)
                return r;

        commit_check_health(c);
        r = commit_start(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

Commit *commit_free(Commit *c)
{
        if (!c)
                return NULL;

        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_signal(&c->cond);
        pthread_cond_signal(&c->helper_cond);
        pthread_mutex_unlock(&c->lock);

        if (c->checkpointer_started)
                pthread_join(c->checkpointer, NULL);
        if (c->writer_started)
                pthread_join(c->writer, NULL);

        store_checkpointer_close(c->checkpoint);
        store_close(c->store); /* the last one out copies the WAL back */
        pthread_cond_destroy(&c->helper_cond);
        pthread_cond_destroy(&c->cond);
        pthread_mutex_destroy(&c->lock);
        free(c->path);
        free(c);
        return NULL;
}

int commit_enqueue(Commit *c, CommitJob *job)
{
        int r = 0;

        pthread_mutex_lock(&c->lock);
        if (c->fatal)
                r = -ENOTRECOVERABLE;
        else if (c->stats.queued >= c->max_jobs)
                r = -EAGAIN;
        else {
                commit_queue_push(&c->waiting, job);
                c->stats.queued++;
                pthread_cond_signal(&c->cond);
        }
        pthread_mutex_unlock(&c->lock);
        return r;
}

void commit_get_stats(Commit *c, CommitStats *ret)
{
        pthread_mutex_lock(&c->lock);
        *ret = c->stats;
        pthread_mutex_unlock(&c->lock);
}

void commit_set_min_free(Commit *c, uint64_t min_free)
{
        atomic_store(&c->min_free, min_free);
}
