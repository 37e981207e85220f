/*
 * Long queries wait for each other, and nobody else waits for them. Each thread has a connection of its own.
 * One takes quick work only, so there is always somebody for it; the others take what is long first, and
 * what is quick when there is nothing else to do. Health and whatever changes something is not asked here at
 * all.
 *
 * Jobs come back through an eventfd, as those of the commit queue do. A request is handed to a reader's
 * thread as a whole and back again, so nothing of it is ever used by two threads at a time.
 */

#include "query/readers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "basic/fd.h"

#define N_THREADS  3U
#define PIECE_MAX  ((size_t)256 * 1024 * 1024) /* of a stream: a document, however it grew in writing */
#define PIECE_LONG ((size_t)512 * 1024) /* who takes so much at once waits with those that take long */

typedef STAILQ_HEAD(ReadQueue, ReadJob) ReadQueue;

typedef struct ReaderThread {
        Readers *readers;
        StoreReader *reader;
        bool quick_only;
        bool started;
        pthread_t thread;
} ReaderThread;

struct Readers {
        sd_event_source *source;
        int fd; /* eventfd: there are jobs in `finished` */
        ReaderThread threads[N_THREADS];

        pthread_mutex_t lock;
        pthread_cond_t cond;
        ReadQueue waiting[_READ_LANE_MAX], finished;
        bool ending;
};

static ReadJob *queue_pop(ReadQueue *q)
{
        ReadJob *job = STAILQ_FIRST(q);

        if (job)
                STAILQ_REMOVE_HEAD(q, entry);
        return job;
}

/* The threads. */

static ReadJob *take_job(ReaderThread *t)
{
        Readers *r = t->readers;
        ReadJob *job = NULL;

        if (!t->quick_only)
                job = queue_pop(&r->waiting[READ_LONG]);
        return job ?: queue_pop(&r->waiting[READ_QUICK]);
}

static void *reader_thread(void *userdata)
{
        ReaderThread *t = userdata;
        Readers *r = t->readers;
        ReadJob *job;

        pthread_setname_np(pthread_self(), "reader");
        pthread_mutex_lock(&r->lock);
        while (!r->ending) {
                job = take_job(t);
                if (!job) {
                        pthread_cond_wait(&r->cond, &r->lock);
                        continue;
                }
                pthread_mutex_unlock(&r->lock);
                job->result = job->work(job, t->reader);
                pthread_mutex_lock(&r->lock);
                STAILQ_INSERT_TAIL(&r->finished, job, entry);
                (void)eventfd_write(r->fd, 1);
        }
        pthread_mutex_unlock(&r->lock);
        return NULL;
}

static void run_finished(Readers *r)
{
        ReadJob *job;

        for (;;) {
                pthread_mutex_lock(&r->lock);
                job = queue_pop(&r->finished);
                pthread_mutex_unlock(&r->lock);
                if (!job)
                        return;
                job->done(job, job->result);
        }
}

static int on_finished(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata)
{
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        run_finished(userdata);
        return 0;
}

void readers_submit(Readers *r, ReadJob *job)
{
        pthread_mutex_lock(&r->lock);
        if (r->ending) {
                job->result = -ECANCELED;
                STAILQ_INSERT_TAIL(&r->finished, job, entry);
        } else
                STAILQ_INSERT_TAIL(&r->waiting[job->lane], job, entry);
        /* All of them: not everybody takes everything. */
        pthread_cond_broadcast(&r->cond);
        pthread_mutex_unlock(&r->lock);
}

/* Their beginning and end. */

static int thread_start(
                Readers *r, ReaderThread *t, const char *database, uint64_t time_limit, char **ret_error)
{
        int k;

        t->readers = r;
        k = store_reader_open(database, time_limit, &t->reader, ret_error);
        if (k < 0)
                return k;
        k = pthread_create(&t->thread, NULL, reader_thread, t);
        if (k != 0)
                return -k;
        t->started = true;
        return 0;
}

int readers_new(sd_event *loop, const char *database, uint64_t time_limit, Readers **ret, char **ret_error)
{
        _cleanup_(readers_freep) Readers *r = NULL;
        int k;

        *ret_error = NULL;
        r = calloc(1, sizeof(Readers));
        if (!r)
                return -ENOMEM;
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->cond, NULL);
        STAILQ_INIT(&r->finished);
        FOREACH_ARRAY(q, r->waiting, ELEMENTSOF(r->waiting))
                STAILQ_INIT(q);

        r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (r->fd < 0)
                return -errno;
        k = sd_event_add_io(loop, &r->source, r->fd, EPOLLIN, on_finished, r);
        r->threads[0].quick_only = true;
        for (size_t i = 0; k >= 0 && i < N_THREADS; i++)
                k = thread_start(r, &r->threads[i], database, time_limit, ret_error);
        if (k < 0)
                return k;

        *ret = TAKE_PTR(r);
        return 0;
}

Readers *readers_free(Readers *r)
{
        ReadJob *job;

        if (!r)
                return NULL;

        pthread_mutex_lock(&r->lock);
        r->ending = true;
        FOREACH_ARRAY(q, r->waiting, ELEMENTSOF(r->waiting))
                while ((job = queue_pop(q))) {
                        job->result = -ECANCELED;
                        STAILQ_INSERT_TAIL(&r->finished, job, entry);
                }
        pthread_cond_broadcast(&r->cond);
        pthread_mutex_unlock(&r->lock);

        FOREACH_ARRAY(t, r->threads, N_THREADS) {
                if (t->started) {
                        store_reader_interrupt(t->reader);
                        pthread_join(t->thread, NULL);
                }
                store_reader_close(t->reader);
        }
        run_finished(r);

        sd_event_source_disable_unref(r->source);
        fd_close(r->fd);
        pthread_cond_destroy(&r->cond);
        pthread_mutex_destroy(&r->lock);
        free(r);
        return NULL;
}

/* Answers. */

typedef struct Answer {
        ReadJob job;
        HttpRequest *request;
        ReadHandler handler;
        void *userdata;
} Answer;

static int answer_work(ReadJob *job, StoreReader *reader)
{
        Answer *a = container_of(job, Answer, job);

        return a->handler(a->request, reader, a->userdata);
}

static void answer_done(ReadJob *job, int result)
{
        Answer *a = container_of(job, Answer, job);

        http_request_attach(a->request, result);
        free(a);
}

int readers_answer(Readers *r, HttpRequest *request, ReadLane lane, ReadHandler handler, void *userdata)
{
        Answer *a;

        a = calloc(1, sizeof(Answer));
        if (!a)
                return -ENOMEM;
        *a = (Answer){ .job = { .work = answer_work, .done = answer_done, .lane = lane },
                .request = request,
                .handler = handler,
                .userdata = userdata };
        http_request_detach(request);
        readers_submit(r, &a->job);
        return 0;
}

/* Streams. */

struct ReadStream {
        ReadJob job;
        Readers *readers;
        HttpRequest *request;
        ReadSource source;
        void *userdata;
        Buffer text;
        size_t taken, held; /* of the text; the most that it ever was */
        bool reading;       /* all that is above is the other thread's */
        bool ended;
        bool idle;        /* there was nothing to be read the last time */
        bool news;        /* and there may be something since */
        atomic_bool gone; /* the request has ended meanwhile */
        int error;
};

static void stream_free(ReadStream *s)
{
        s->source.free(s->userdata);
        buffer_done(&s->text);
        free(s);
}

static int stream_work(ReadJob *job, StoreReader *reader)
{
        ReadStream *s = container_of(job, ReadStream, job);

        if (atomic_load(&s->gone))
                return -ECANCELED;
        return s->source.fill(s->userdata, reader, &s->text);
}

static void stream_read(ReadJob *job, int result)
{
        ReadStream *s = container_of(job, ReadStream, job);
        size_t more = s->text.size > s->held ? s->text.size - s->held : 0;

        s->reading = false;
        if (atomic_load(&s->gone)) {
                stream_free(s);
                return;
        }
        s->ended |= result == READ_END;
        s->idle = result == READ_WAIT && !s->news;
        s->error = MIN(result, 0);
        if (s->source.lane == READ_QUICK)
                job->lane = s->text.size > PIECE_LONG ? READ_LONG : READ_QUICK;
        /* A reader that is in the way of others loses its connection, and can come again. */
        if (more > 0 && !http_request_hold(s->request, more))
                s->error = -ENOBUFS;
        else
                s->held += more;
        http_request_wake(s->request);
}

/* There is no text left: the next piece, or nothing to be had now. 0, or -ENODATA for the end. */
static int read_on(ReadStream *s)
{
        buffer_done(&s->text);
        s->taken = 0;
        if (s->ended)
                return -ENODATA;
        if (s->idle)
                return 0;
        s->reading = true;
        s->news = false;
        readers_submit(s->readers, &s->job);
        return 0;
}

static ssize_t stream_produce(void *userdata, char *buffer, size_t size)
{
        ReadStream *s = userdata;
        size_t n;

        if (s->reading)
                return 0;
        if (s->error < 0)
                return s->error;
        if (s->taken == s->text.size)
                return read_on(s);

        n = MIN(size, s->text.size - s->taken);
        memcpy(buffer, s->text.data + s->taken, n);
        s->taken += n;
        return (ssize_t)n;
}

static void stream_done(void *userdata)
{
        ReadStream *s = userdata;

        if (s->source.end)
                s->source.end(s->userdata);
        atomic_store(&s->gone, true);
        if (!s->reading)
                stream_free(s);
}

void read_stream_wake(ReadStream *s)
{
        s->news = true;
        s->idle = false;
        if (!s->reading)
                http_request_wake(s->request);
}

void read_stream_end(ReadStream *s)
{
        s->ended = true;
        if (!s->reading)
                http_request_wake(s->request);
}

void read_stream_say(ReadStream *s, const char *text)
{
        if (s->idle && s->taken == s->text.size && buffer_append_str(&s->text, text) >= 0)
                http_request_wake(s->request);
}

int readers_stream(Readers *r, HttpRequest *request, const char *content_type, const ReadSource *source,
                void *userdata, ReadStream **ret)
{
        static const HttpStream stream = { stream_produce, stream_done };
        ReadStream *s;

        s = calloc(1, sizeof(ReadStream));
        if (!s) {
                source->free(userdata);
                return -ENOMEM;
        }
        *s = (ReadStream){ .job = { .work = stream_work, .done = stream_read, .lane = source->lane },
                .readers = r,
                .request = request,
                .source = *source,
                .userdata = userdata,
                .text = BUFFER_INIT(PIECE_MAX) };
        if (ret)
                *ret = s;
        return http_reply_stream(request, 200, content_type, &stream, s);
}
