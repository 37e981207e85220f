/*
 * A loop's end of the commit queue. Jobs go to the writer and come back through an eventfd, so that done()
 * runs on the loop that handed the job over. A port is not let go before everything it handed over has come
 * back.
 */

#include "daemon/commit-port.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include "basic/fd.h"

void commit_queue_init(CommitQueue *q)
{
        *q = (CommitQueue){ .tail = &q->head };
}

void commit_queue_push(CommitQueue *q, CommitJob *job)
{
        job->next = NULL;
        *q->tail = job;
        q->tail = &job->next;
}

CommitJob *commit_queue_take_all(CommitQueue *q)
{
        CommitJob *head = q->head;

        *q = (CommitQueue){ .tail = &q->head };
        return head;
}

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
                commit_queue_push(&p->finished, job);
        }
        p->outstanding -= n;
        /* Within the lock: whoever waits for the last job may free the port as soon as it is released. */
        (void)eventfd_write(p->fd, 1);
        pthread_cond_broadcast(&p->cond);
        pthread_mutex_unlock(&p->lock);
}

/* Splits a group by port, so that each loop is woken once. */
void commit_hand_back(CommitJob *jobs)
{
        while (jobs) {
                CommitPort *port = jobs->port;
                CommitJob **rest = &jobs;
                CommitQueue mine;
                size_t n = 0;

                commit_queue_init(&mine);
                while (*rest) {
                        CommitJob *job = *rest;

                        if (job->port != port) {
                                rest = &job->next;
                                continue;
                        }
                        *rest = job->next;
                        commit_queue_push(&mine, job);
                        n++;
                }
                port_finish(port, mine.head, n);
        }
}

static void port_run_finished(CommitPort *p)
{
        CommitJob *jobs;

        pthread_mutex_lock(&p->lock);
        jobs = commit_queue_take_all(&p->finished);
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

int commit_port_new(Commit *c, sd_event *loop, CommitPort **ret)
{
        _cleanup_(commit_port_freep) CommitPort *p = NULL;
        int r;

        p = calloc(1, sizeof(CommitPort));
        if (!p)
                return -ENOMEM;

        p->commit = c;
        commit_queue_init(&p->finished);
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

int commit_submit(CommitPort *p, CommitJob *job)
{
        int r;

        job->port = p;
        job->result = 0;

        pthread_mutex_lock(&p->lock);
        p->outstanding++;
        pthread_mutex_unlock(&p->lock);

        r = commit_enqueue(p->commit, job);
        if (r == 0)
                return 0;

        pthread_mutex_lock(&p->lock);
        p->outstanding--;
        pthread_mutex_unlock(&p->lock);
        return r;
}
