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
#include <sys/queue.h>

#include "basic/fd.h"

#define N_THREADS  3U
#define PIECE_MAX  ((size_t)256 * 1024 * 1024) /* of a stream: a document, however it grew in writing */
#define PIECE_LONG ((size_t)512 * 1024) /* who takes so much at once waits with those that take long */

/* One reading. work() runs on a reader's thread, then done() on the loop's. */
typedef struct ReadJob ReadJob;
struct ReadJob {
        int (*work)(ReadJob *job, StoreReader *reader);
        void (*done)(ReadJob *job, int result); /* what work() returned; -ECANCELED: it did not run */
        ReadLane lane;
        STAILQ_ENTRY(ReadJob) entry;
        int result;
};

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

static ReadJob *queue_pop(ReadQueue *queue)
{
        ReadJob *job = STAILQ_FIRST(queue);

        if (job)
                STAILQ_REMOVE_HEAD(queue, entry);
        return job;
}

/* The threads. */

static ReadJob *take_job(ReaderThread *thread)
{
        Readers *readers = thread->readers;
        ReadJob *job = NULL;

        if (!thread->quick_only)
                job = queue_pop(&readers->waiting[READ_LONG]);
        return job ?: queue_pop(&readers->waiting[READ_QUICK]);
}

static void *reader_thread(void *userdata)
{
        ReaderThread *thread = userdata;
        Readers *readers = thread->readers;
        ReadJob *job;

        pthread_setname_np(pthread_self(), "reader");
        pthread_mutex_lock(&readers->lock);
        while (!readers->ending) {
                job = take_job(thread);
                if (!job) {
                        pthread_cond_wait(&readers->cond, &readers->lock);
                        continue;
                }
                pthread_mutex_unlock(&readers->lock);
                job->result = job->work(job, thread->reader);
                pthread_mutex_lock(&readers->lock);
                STAILQ_INSERT_TAIL(&readers->finished, job, entry);
                (void)eventfd_write(readers->fd, 1);
        }
        pthread_mutex_unlock(&readers->lock);
        return NULL;
}

static void run_finished(Readers *readers)
{
        ReadJob *job;

        for (;;) {
                pthread_mutex_lock(&readers->lock);
                job = queue_pop(&readers->finished);
                pthread_mutex_unlock(&readers->lock);
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

/* As many jobs may wait as there are requests. */
static void submit(Readers *readers, ReadJob *job)
{
        pthread_mutex_lock(&readers->lock);
        if (readers->ending) {
                job->result = -ECANCELED;
                STAILQ_INSERT_TAIL(&readers->finished, job, entry);
        } else
                STAILQ_INSERT_TAIL(&readers->waiting[job->lane], job, entry);
        /* All of them: not everybody takes everything. */
        pthread_cond_broadcast(&readers->cond);
        pthread_mutex_unlock(&readers->lock);
}

/* Their beginning and end. */

static int thread_start(Readers *readers, ReaderThread *thread, const char *database, uint64_t time_limit,
                char **ret_error)
{
        int r;

        thread->readers = readers;
        r = store_reader_open(database, time_limit, &thread->reader, ret_error);
        if (r < 0)
                return r;
        r = pthread_create(&thread->thread, NULL, reader_thread, thread);
        if (r != 0)
                return -r;
        thread->started = true;
        return 0;
}

int readers_new(sd_event *loop, const char *database, uint64_t time_limit, Readers **ret, char **ret_error)
{
        _cleanup_(readers_freep) Readers *readers = NULL;
        int r;

        *ret_error = NULL;
        readers = calloc(1, sizeof(Readers));
        if (!readers)
                return -ENOMEM;
        pthread_mutex_init(&readers->lock, NULL);
        pthread_cond_init(&readers->cond, NULL);
        STAILQ_INIT(&readers->finished);
        FOREACH_ARRAY(queue, readers->waiting, ELEMENTSOF(readers->waiting))
                STAILQ_INIT(queue);

        readers->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (readers->fd < 0)
                return -errno;
        r = sd_event_add_io(loop, &readers->source, readers->fd, EPOLLIN, on_finished, readers);
        readers->threads[0].quick_only = true;
        for (size_t i = 0; r >= 0 && i < N_THREADS; i++)
                r = thread_start(readers, &readers->threads[i], database, time_limit, ret_error);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(readers);
        return 0;
}

Readers *readers_free(Readers *readers)
{
        ReadJob *job;

        if (!readers)
                return NULL;

        pthread_mutex_lock(&readers->lock);
        readers->ending = true;
        FOREACH_ARRAY(queue, readers->waiting, ELEMENTSOF(readers->waiting))
                while ((job = queue_pop(queue))) {
                        job->result = -ECANCELED;
                        STAILQ_INSERT_TAIL(&readers->finished, job, entry);
                }
        pthread_cond_broadcast(&readers->cond);
        pthread_mutex_unlock(&readers->lock);

        FOREACH_ARRAY(thread, readers->threads, N_THREADS) {
                if (thread->started) {
                        store_reader_interrupt(thread->reader);
                        pthread_join(thread->thread, NULL);
                }
                store_reader_close(thread->reader);
        }
        run_finished(readers);

        sd_event_source_disable_unref(readers->source);
        fd_close(readers->fd);
        pthread_cond_destroy(&readers->cond);
        pthread_mutex_destroy(&readers->lock);
        free(readers);
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
        Answer *answer = container_of(job, Answer, job);

        return answer->handler(answer->request, reader, answer->userdata);
}

static void answer_done(ReadJob *job, int result)
{
        Answer *answer = container_of(job, Answer, job);

        http_request_attach(answer->request, result);
        free(answer);
}

int readers_answer(
                Readers *readers, HttpRequest *request, ReadLane lane, ReadHandler handler, void *userdata)
{
        Answer *answer;

        answer = calloc(1, sizeof(Answer));
        if (!answer)
                return -ENOMEM;
        *answer = (Answer){ .job = { .work = answer_work, .done = answer_done, .lane = lane },
                .request = request,
                .handler = handler,
                .userdata = userdata };
        http_request_detach(request);
        submit(readers, &answer->job);
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

static void stream_free(ReadStream *stream)
{
        stream->source.free(stream->userdata);
        buffer_done(&stream->text);
        free(stream);
}

static int stream_work(ReadJob *job, StoreReader *reader)
{
        ReadStream *stream = container_of(job, ReadStream, job);

        if (atomic_load(&stream->gone))
                return -ECANCELED;
        return stream->source.fill(stream->userdata, reader, &stream->text);
}

static void stream_read(ReadJob *job, int result)
{
        ReadStream *stream = container_of(job, ReadStream, job);
        size_t more = stream->text.size > stream->held ? stream->text.size - stream->held : 0;

        stream->reading = false;
        if (atomic_load(&stream->gone)) {
                stream_free(stream);
                return;
        }
        stream->ended |= result == READ_END;
        stream->idle = result == READ_WAIT && !stream->news;
        stream->error = MIN(result, 0);
        if (stream->source.lane == READ_QUICK)
                job->lane = stream->text.size > PIECE_LONG ? READ_LONG : READ_QUICK;
        /* A reader that is in the way of others loses its connection, and can come again. */
        if (more > 0 && !http_request_hold(stream->request, more))
                stream->error = -ENOBUFS;
        else
                stream->held += more;
        http_request_wake(stream->request);
}

/* There is no text left: the next piece, or nothing to be had now. 0, or -ENODATA for the end. */
static int read_on(ReadStream *stream)
{
        buffer_done(&stream->text);
        stream->taken = 0;
        if (stream->ended)
                return -ENODATA;
        if (stream->idle)
                return 0;
        stream->reading = true;
        stream->news = false;
        submit(stream->readers, &stream->job);
        return 0;
}

static ssize_t stream_produce(void *userdata, char *buffer, size_t size)
{
        ReadStream *stream = userdata;
        size_t n;

        if (stream->reading)
                return 0;
        if (stream->error < 0)
                return stream->error;
        if (stream->taken == stream->text.size)
                return read_on(stream);

        n = MIN(size, stream->text.size - stream->taken);
        memcpy(buffer, stream->text.data + stream->taken, n);
        stream->taken += n;
        return (ssize_t)n;
}

static void stream_done(void *userdata)
{
        ReadStream *stream = userdata;

        if (stream->source.end)
                stream->source.end(stream->userdata);
        atomic_store(&stream->gone, true);
        if (!stream->reading)
                stream_free(stream);
}

void read_stream_wake(ReadStream *stream)
{
        stream->news = true;
        stream->idle = false;
        if (!stream->reading)
                http_request_wake(stream->request);
}

void read_stream_end(ReadStream *stream)
{
        stream->ended = true;
        if (!stream->reading)
                http_request_wake(stream->request);
}

void read_stream_say(ReadStream *stream, const char *text)
{
        if (stream->idle && stream->taken == stream->text.size &&
                        buffer_append_str(&stream->text, text) >= 0)
                http_request_wake(stream->request);
}

int readers_stream(Readers *readers, HttpRequest *request, const char *content_type,
                const ReadSource *source, void *userdata, ReadStream **ret)
{
        static const HttpStream stream = { stream_produce, stream_done };
        ReadStream *read_stream;

        read_stream = calloc(1, sizeof(ReadStream));
        if (!read_stream) {
                source->free(userdata);
                return -ENOMEM;
        }
        *read_stream = (ReadStream){
                .job = { .work = stream_work, .done = stream_read, .lane = source->lane },
                .readers = readers,
                .request = request,
                .source = *source,
                .userdata = userdata,
                .text = BUFFER_INIT(PIECE_MAX)
        };
        if (ret)
                *ret = read_stream;
        return http_reply_stream(request, 200, content_type, &stream, read_stream);
}
