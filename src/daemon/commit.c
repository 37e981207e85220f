/*
 * The commit queue. An acknowledgement waits for the disk, and what makes that fast is that everybody waits
 * together: the one writing thread takes all that is queued, has it written as one group, and hands every
 * job back to the loop that it came from. There is no artificial delay; while one group syncs, the next one
 * gathers.
 *
 * What it guarantees: done() is called exactly once for every job taken, with 0 only after its group was
 * synced. How it stands with the store is the store's to say: the queue tells of it when that changes, and
 * once it is for good, the daemon is told to leave.
 */

#include "daemon/commit.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/message.h"

#define COMMIT_ROUND_USEC USEC_PER_SEC /* the store is looked after, and progress shown, this often */

typedef struct CommitQueue {
        CommitJob *head, **tail;
} CommitQueue;

struct Commit {
        char *location;
        unsigned max_jobs;
        void (*on_events)(uint64_t last_event, void *userdata);
        void (*on_fatal)(int error, void *userdata);
        void *userdata;

        pthread_mutex_t lock; /* for what follows, up to the thread's own */
        pthread_cond_t cond;
        CommitQueue waiting;
        bool stop;
        CommitStats stats;

        pthread_t writer;
        bool writer_started;

        /* The writer's own. */
        Store *store;
        StoreChange **group; /* owned: max_jobs of them */
        uint64_t last_event;
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
                job->done(job, job->change.result);
        }
}

static int on_port(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata)
{
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        port_run_finished(userdata);
        return 0;
}

/* The writer. */

/* What became of a group, and how it stands with the store by now, which is told when it changes. */
static void take_state(Commit *c)
{
        StoreHealth health = store_health(c->store);
        StoreCounts counts = store_counts(c->store);
        StoreState was;

        pthread_mutex_lock(&c->lock);
        was = c->stats.state;
        c->stats.state = health.state;
        c->stats.wal_bytes = counts.wal_bytes;
        c->stats.checkpoints = counts.checkpoints;
        pthread_mutex_unlock(&c->lock);

        if (was == health.state)
                return;
        if (health.state == STORE_FATAL) {
                log_event(LOG_CRIT, health.error == -EIDRM ? MESSAGE_DATABASE_MOVED : MESSAGE_DISK_FAILED,
                                LOG_FIELDS(LOG_TEXT("DATABASE", c->location)), "Giving up: %s",
                                health.reason);
                c->on_fatal(health.error, c->userdata);
        } else if (health.state == STORE_WAITING)
                log_event(LOG_ERR, MESSAGE_NOT_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->location)),
                                "Nothing can be stored, requests are answered 503: %s", health.reason);
        else
                log_event(LOG_NOTICE, MESSAGE_WRITABLE, LOG_FIELDS(LOG_TEXT("DATABASE", c->location)),
                                "The database takes what comes again.");
}

static void count_group(Commit *c, int result, size_t n, uint64_t usec)
{
        uint64_t kept = 0;

        for (size_t i = 0; i < n; i++)
                kept += c->group[i]->result == 0;

        pthread_mutex_lock(&c->lock);
        c->stats.queued -= n;
        for (size_t i = 0; i < n; i++) /* those that failed by themselves were answered */
                c->stats.failed += result < 0 && c->group[i]->result == result;
        if (kept > 0) {
                c->stats.groups++;
                c->stats.jobs += kept;
                c->stats.commit_usec += usec;
        }
        pthread_mutex_unlock(&c->lock);
}

static void write_group(Commit *c, CommitJob *jobs)
{
        uint64_t started = now_monotonic(), last_event;
        size_t n = 0;
        int r;

        for (CommitJob *job = jobs; job; job = job->next)
                c->group[n++] = &job->change;
        r = store_write(c->store, c->group, n);
        count_group(c, r, n, now_monotonic() - started);
        take_state(c);

        /* Before the jobs go back: whoever waits for them may take the listener apart afterwards. */
        last_event = store_last_event(c->store);
        if (r == 0 && last_event != c->last_event) {
                c->last_event = last_event;
                c->on_events(last_event, c->userdata);
        }
        hand_back(jobs);
}

static struct timespec in_a_round(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += (time_t)(COMMIT_ROUND_USEC / USEC_PER_SEC);
        return t;
}

/* Waits for jobs, or for a round. False: there will be no more. */
static bool wait_for_jobs(Commit *c, CommitJob **ret)
{
        struct timespec until = in_a_round();
        bool more;

        pthread_mutex_lock(&c->lock);
        while (!c->waiting.head && !c->stop)
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
                if (jobs)
                        write_group(c, jobs);
                store_tend(c->store);
                take_state(c);
        }
        store_check(c->store);
        take_state(c);
        return NULL;
}

/* Outside. */

static void ignore_events(_unused_ uint64_t last_event, _unused_ void *userdata)
{
}

static void ignore_fatal(_unused_ int error, _unused_ void *userdata)
{
}

static void init_locks(Commit *c)
{
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->cond, &attr);
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
        c->stats.last_progress = now_monotonic();

        c->location = strdup(options->location);
        c->group = calloc(MAX(c->max_jobs, 1U), sizeof(StoreChange *));
        if (!c->location || !c->group)
                return -ENOMEM;

        r = store_open(c->location, options->role, &c->store, ret_error);
        if (r < 0)
                return r;
        store_set_min_free(c->store, options->min_free);
        c->last_event = store_last_event(c->store);
        store_tend(c->store);
        take_state(c);

        r = pthread_create(&c->writer, NULL, writer_thread, c);
        if (r != 0)
                return -r;
        c->writer_started = true;

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
        pthread_mutex_unlock(&c->lock);

        if (c->writer_started)
                pthread_join(c->writer, NULL);

        store_close(c->store); /* the last one out copies the WAL back */
        pthread_cond_destroy(&c->cond);
        pthread_mutex_destroy(&c->lock);
        free(c->group);
        free(c->location);
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
        if (c->stats.state == STORE_FATAL)
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
        store_set_min_free(c->store, min_free);
}

uint64_t commit_min_free(const Commit *c)
{
        return store_min_free(c->store);
}
