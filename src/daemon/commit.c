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
 *
 * Whether there is a point in writing is looked at once a round, and after a group that failed:
 *
 * - without room nothing is tried, and it goes on when there is room.
 * - after any other failure it is the writer itself that tries whether it goes on, by a write of no
 *   consequence: whoever asks is not told that all is well before it is.
 * - after a failed sync, and when the files are no longer those that were opened, it ends.
 */

#include "daemon/commit.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/message.h"

#define CHECKPOINT_MARK  (UINT64_C(16) * 1024 * 1024) /* bytes of WAL */
#define READER_WAIT_MSEC 50U
#define ROOM_MIN         (UINT64_C(1024) * 1024) /* bytes free without which a group is not even tried */
#define COMMIT_ROUND_USEC \
        USEC_PER_SEC /* free space and files are looked at, and progress shown, this often */

typedef struct CommitQueue {
        CommitJob *head, **tail;
} CommitQueue;

struct Commit {
        char *path;
        unsigned max_jobs;
        void (*on_events)(uint64_t last_event, void *userdata);
        void (*on_fatal)(int error, void *userdata);
        void *userdata;
        atomic_uint_fast64_t min_free;

        pthread_mutex_t lock; /* for what follows, up to the threads' own */
        pthread_cond_t cond;  /* the writer's */
        CommitQueue waiting;
        bool stop;
        bool fatal;
        enum { HELPER_IDLE, HELPER_ASKED, HELPER_FINISHED } helper;
        int helper_result;
        pthread_cond_t helper_cond;
        CommitStats stats;

        pthread_t writer, checkpointer;
        bool writer_started, checkpointer_started;

        /* The writer's own. */
        Store *store;
        uint64_t checked;    /* monotonic, the disk and the files; 0: never */
        uint64_t busy_since; /* monotonic: readers keep the WAL from starting over; 0: they don't */
        uint64_t last_event;
        int failure;
        bool failing; /* the last group failed: whether the next one would is to be tried */

        StoreCheckpointer *checkpoint; /* the helper's own */
};

/* Queues. */

static void queue_init(CommitQueue *q)
{
        *q = (CommitQueue){ .tail = &q->head };
}

static void queue_push(CommitQueue *q, CommitJob *job)
{
        job->next = NULL;
        *q->tail = job;
        q->tail = &job->next;
}

static CommitJob *queue_take_all(CommitQueue *q)
{
        CommitJob *head = q->head;

        *q = (CommitQueue){ .tail = &q->head };
        return head;
}

/* Ports: a loop's end of the queue. Jobs go to the writer and come back through an eventfd, so that done()
 * runs on the loop that handed the job over. A port is not let go before everything it handed over has come
 * back. */

struct CommitPort {
        Commit *commit;
        sd_event_source *source;
        int fd; /* eventfd: there are jobs in `finished` */

        pthread_mutex_t lock;
        pthread_cond_t cond;
        CommitQueue finished;
        uint64_t outstanding; /* handed over and not yet in `finished` */
};

static void port_finish(CommitPort *p, CommitJob *jobs, size_t n)
{
        pthread_mutex_lock(&p->lock);
        for (CommitJob *job = jobs, *next; job; job = next) {
                next = job->next;
                queue_push(&p->finished, job);
        }
        p->outstanding -= n;
        /* Within the lock: whoever waits for the last job may free the port as soon as it is released. */
        (void)eventfd_write(p->fd, 1);
        pthread_cond_broadcast(&p->cond);
        pthread_mutex_unlock(&p->lock);
}

/* Splits a group by port, so that each loop is woken once. */
static void hand_back(CommitJob *jobs)
{
        while (jobs) {
                CommitPort *port = jobs->port;
                CommitJob **rest = &jobs;
                CommitQueue mine;
                size_t n = 0;

                queue_init(&mine);
                while (*rest) {
                        CommitJob *job = *rest;

                        if (job->port != port) {
                                rest = &job->next;
                                continue;
                        }
                        *rest = job->next;
                        queue_push(&mine, job);
                        n++;
                }
                port_finish(port, mine.head, n);
        }
}

static void port_run_finished(CommitPort *p)
{
        CommitJob *jobs;

        pthread_mutex_lock(&p->lock);
        jobs = queue_take_all(&p->finished);
        pthread_mutex_unlock(&p->lock);

        while (jobs) {
                CommitJob *job = jobs;

                jobs = job->next; /* done() may free the job */
                job->done(job, job->result);
        }
}

static int on_port(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata)
{
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        port_run_finished(userdata);
        return 0;
}

/* Groups: jobs that share a transaction. A job that fails on its own account is taken out, and the rest is
 * run again from the beginning; every round takes one out, so it ends. When the disk or the database is at
 * fault, all of the group fail. */

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

        queue_init(&failed);
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
                queue_push(&failed, culprit);
        }
        *ret_failed = failed.head;
        return r;
}

static uint64_t finish_group(CommitJob *jobs, int result)
{
        uint64_t n = 0;

        for (CommitJob *job = jobs; job; job = job->next) {
                job->result = result;
                n++;
        }
        return n;
}

static uint64_t count_group(const CommitJob *jobs)
{
        uint64_t n = 0;

        for (; jobs; jobs = jobs->next)
                n++;
        return n;
}

/* Health. */

/* Remembers whether there is a point in trying, and says so when that changes. */
static void set_writable(Commit *c, bool writable, const char *why)
{
        bool was;

        pthread_mutex_lock(&c->lock);
        was = c->stats.writable;
        c->stats.writable = writable;
        pthread_mutex_unlock(&c->lock);

        if (was && !writable)
                log_event(LOG_ERR, MESSAGE_NOT_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)),
                                "Nothing can be stored, requests are answered 503: %s", why);
        else if (!was && writable)
                log_event(LOG_NOTICE, MESSAGE_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)),
                                "The database takes what comes again.");
}

static void go_fatal(Commit *c, int error, const char *why)
{
        const char *message = error == -EIDRM ? MESSAGE_DATABASE_MOVED : MESSAGE_DISK_FAILED;

        pthread_mutex_lock(&c->lock);
        c->fatal = true;
        c->stats.writable = false;
        pthread_mutex_unlock(&c->lock);

        log_event(LOG_CRIT, message, LOG_FIELDS(LOG_TEXT("DATABASE", c->path)), "Giving up: %s", why);
        c->on_fatal(error, c->userdata);
}

static void check_files(Commit *c)
{
        if (store_check(c->store) == -EIDRM)
                go_fatal(c, -EIDRM, store_error(c->store));
}

static void note_result(Commit *c, int r)
{
        if (r >= 0)
                return;
        if (r == -ENOTRECOVERABLE || r == -EIDRM)
                go_fatal(c, r, store_error(c->store));
        else {
                c->failing = true;
                c->failure = r;
                set_writable(c, false, r == -ENOSPC ? "no room on the disk" : store_error(c->store));
                c->checked = now_monotonic(); /* the next try is a round away */
        }
}

/* A disk that failed is believed to take writes again when it has taken one: not whoever comes next tries it
 * out. */
static void probe(Commit *c)
{
        int r;

        r = store_probe(c->store);
        if (r < 0) {
                note_result(c, r);
                return;
        }
        c->failing = false;
        set_writable(c, true, "");
}

uint64_t commit_min_free(Commit *c)
{
        return MAX(atomic_load(&c->min_free), ROOM_MIN);
}

static void check_space(Commit *c)
{
        uint64_t free_bytes, wanted = commit_min_free(c);
        char why[256];
        int r;

        r = store_free_space(c->path, &free_bytes);
        if (r < 0) {
                snprintf(why, sizeof(why), "the free space beside %s can't be read: %s", c->path,
                                strerror(-r));
                set_writable(c, false, why);
                return;
        }
        snprintf(why, sizeof(why),
                        "%" PRIu64 " KiB are free beside the database, [store] min_free asks for %" PRIu64
                        " KiB",
                        free_bytes / 1024, wanted / 1024);
        if (free_bytes >= wanted && c->failing)
                probe(c);
        else
                set_writable(c, free_bytes >= wanted, why);
}

static void check_health(Commit *c)
{
        uint64_t now = now_monotonic();

        if (c->fatal || (c->checked > 0 && now - c->checked < COMMIT_ROUND_USEC))
                return;
        c->checked = now;

        check_files(c);
        if (!c->fatal)
                check_space(c);
}

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
                r = c->fatal ? -ENOTRECOVERABLE : c->failing ? c->failure : -ENOSPC;

        n = finish_group(jobs, r);
        account(c, r, n, count_group(failed), now_monotonic() - started);
        last_event = store_last_event(c->store);

        if (tried)
                note_result(c, r);

        /* Before the jobs go back: whoever waits for them may take the listener apart afterwards. */
        if (r == 0 && last_event != c->last_event) {
                c->last_event = last_event;
                c->on_events(last_event, c->userdata);
        }
        hand_back(jobs);
        hand_back(failed);
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
                go_fatal(c, r, "a checkpoint could not be synced to the disk");
                return;
        }
        if (r == -EIDRM) {
                note_result(c, r);
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
        *ret = queue_take_all(&c->waiting);
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
                check_health(c);
                if (jobs)
                        write_group(c, jobs);
                if (!c->fatal)
                        keep_wal_short(c);
        }
        if (!c->fatal)
                check_files(c);
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
        queue_init(&c->waiting);
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

        check_health(c);
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

int commit_port_new(Commit *c, sd_event *loop, CommitPort **ret)
{
        _cleanup_(commit_port_freep) CommitPort *p = NULL;
        int r;

        p = calloc(1, sizeof(CommitPort));
        if (!p)
                return -ENOMEM;

        p->commit = c;
        queue_init(&p->finished);
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->cond, NULL);
        p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->fd < 0)
                return -errno;

        r = sd_event_add_io(loop, &p->source, p->fd, EPOLLIN, on_port, p);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

CommitPort *commit_port_free(CommitPort *p)
{
        if (!p)
                return NULL;

        pthread_mutex_lock(&p->lock);
        while (p->outstanding > 0)
                pthread_cond_wait(&p->cond, &p->lock);
        pthread_mutex_unlock(&p->lock);
        port_run_finished(p);

        sd_event_source_disable_unref(p->source);
        fd_close(p->fd);
        pthread_cond_destroy(&p->cond);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}

static int enqueue(Commit *c, CommitJob *job)
{
        int r = 0;

        pthread_mutex_lock(&c->lock);
        if (c->fatal)
                r = -ENOTRECOVERABLE;
        else if (c->stats.queued >= c->max_jobs)
                r = -EAGAIN;
        else {
                queue_push(&c->waiting, job);
                c->stats.queued++;
                pthread_cond_signal(&c->cond);
        }
        pthread_mutex_unlock(&c->lock);
        return r;
}

int commit_submit(CommitPort *p, CommitJob *job)
{
        int r;

        job->port = p;
        job->result = 0;

        pthread_mutex_lock(&p->lock);
        p->outstanding++;
        pthread_mutex_unlock(&p->lock);

        r = enqueue(p->commit, job);
        if (r == 0)
                return 0;

        pthread_mutex_lock(&p->lock);
        p->outstanding--;
        pthread_mutex_unlock(&p->lock);
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
