/*
 * The client on a loop. A request waits for its turn, is under way, or is finished and to be told about; it
 * holds its place in flight until it was told about, so there are never more than was said.
 *
 * Nobody is told from within a call: results are delivered one by one from the loop, when no function of
 * curl's is on the stack, so done() may start, cancel, and free the pool.
 */

#include "http/pool.h"

#include <stdio.h>
#include <sys/queue.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/curl.h"
#include "http/header.h"

/* How far a transfer has come; each stage is a list of the pool. */
typedef enum TransferStage {
        TRANSFER_WAITING,
        TRANSFER_UNDER_WAY, /* curl has it */
        TRANSFER_FINISHED,  /* done() is to be called */
        _TRANSFER_STAGE_MAX,
} TransferStage;

struct HttpTransfer {
        HttpPool *pool;
        TAILQ_ENTRY(HttpTransfer) entry; /* in the list of its stage */
        TransferStage stage;
        bool has_slot; /* counts as in flight, until done() is called */
        bool may_repeat;

        CURL *curl; /* NULL once finished */
        HeaderLines lines;
        void *body; /* owned: of the request */
        char *where;

        unsigned n_requests; /* how often curl was about to send */
        size_t head_size;    /* of the answer's headers so far */
        bool head_is_whole, head_too_large, body_too_large, out_of_memory;
        int watch_error; /* its descriptor could not be watched */
        bool is_idle;    /* connects, and has no descriptor any more */
        Buffer answer;
        char error[CURL_ERROR_SIZE];
        char message[CURL_ERROR_SIZE + 320];

        HttpPoolResult result;
        void (*done)(const HttpPoolResult *result, void *userdata);
        void *userdata;
};

typedef struct PoolSocket {
        HttpPool *pool;
        LIST_ENTRY(PoolSocket) entry;
        curl_socket_t fd; /* curl's */
        uint32_t events;
        sd_event_source *source;
} PoolSocket;

struct HttpPool {
        sd_event *loop;
        CURLM *multi;
        char *ca_file;
        sd_event_source *timer, *finished;
        TAILQ_HEAD(, HttpTransfer) stages[_TRANSFER_STAGE_MAX];
        unsigned max_in_flight, max_waiting, n_in_flight, n_transfers;
        LIST_HEAD(, PoolSocket) sockets;
        bool has_idle; /* perhaps: one of those under way */
        bool freeing;
};

/*
 * curl's descriptors and its timer on the loop.
 *
 * A descriptor is watched from when curl says so until it says so. There are two holes, both where a name
 * has several addresses and curl gives one up that is silent. It closes that socket without a word, and
 * should the next get the same number and want the same, nothing is said about that either, while the kernel
 * forgot the number with the socket: so sockets are made here, and one whose number is watched already is
 * watched anew. And it makes the next socket only when it is called the next time, for which there is no
 * reason until the time for connecting is over: so it is called.
 */

static void pool_drive(HttpPool *p, curl_socket_t fd, int events);

static int on_ready(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        PoolSocket *s = userdata;
        int events = 0;

        if (revents & (EPOLLIN | EPOLLHUP))
                events |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                events |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                events |= CURL_CSELECT_ERR;

        pool_drive(s->pool, fd, events);
        return 0;
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        pool_drive(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static void socket_free(PoolSocket *s)
{
        LIST_REMOVE(s, entry);
        sd_event_source_disable_unref(s->source);
        free(s);
}

static PoolSocket *socket_new(HttpPool *p, curl_socket_t fd)
{
        PoolSocket *s = calloc(1, sizeof(PoolSocket));

        if (!s)
                return NULL;
        s->pool = p;
        s->fd = fd;
        LIST_INSERT_HEAD(&p->sockets, s, entry);
        return s;
}

static PoolSocket *find_socket(HttpPool *p, curl_socket_t fd)
{
        PoolSocket *s;

        LIST_FOREACH(s, &p->sockets, entry)
                if (s->fd == fd)
                        break;
        return s;
}

/* Makes the kernel watch the descriptor, whatever it did before. */
static int watch(PoolSocket *s)
{
        s->source = sd_event_source_disable_unref(s->source);
        return s->events == 0 ? 0
                              : sd_event_add_io(s->pool->loop, &s->source, s->fd, s->events, on_ready, s);
}

static int change(HttpPool *p, curl_socket_t fd, uint32_t events)
{
        PoolSocket *s = find_socket(p, fd) ?: socket_new(p, fd);

        if (!s)
                return -ENOMEM;
        s->events = events;
        if (s->source && events != 0)
                return sd_event_source_set_io_events(s->source, events);
        return watch(s);
}

static int on_change(CURL *curl, curl_socket_t fd, int what, void *userdata, _unused_ void *socket)
{
        static const uint32_t events[] = {
                [CURL_POLL_NONE] = 0,
                [CURL_POLL_IN] = EPOLLIN,
                [CURL_POLL_OUT] = EPOLLOUT,
                [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
        };
        HttpTransfer *t = NULL;
        HttpPool *p = userdata;
        int r;

        (void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&t);
        if (t) {
                t->is_idle = what == CURL_POLL_REMOVE && t->n_requests == 0;
                p->has_idle |= t->is_idle;
        }
        if (what == CURL_POLL_REMOVE) {
                PoolSocket *s = find_socket(p, fd);

                if (s)
                        socket_free(s);
                return 0;
        }

        assert(what >= 0 && (size_t)what < ELEMENTSOF(events));
        r = change(p, fd, events[what]);
        /* An error from here would end all of curl; it is one transfer's alone. */
        if (r < 0 && t)
                t->watch_error = r;
        return 0;
}

/* Setting sources fails only on a loop that has ended, on which nothing would come anyway. */
static int on_timer(_unused_ CURLM *multi, long timeout_ms, void *userdata)
{
        HttpPool *p = userdata;

        if (timeout_ms < 0) {
                (void)sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
                return 0;
        }
        (void)sd_event_source_set_time_relative(p->timer, (uint64_t)timeout_ms * USEC_PER_MSEC);
        (void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
        return 0;
}

static curl_socket_t pool_open_socket(
                void *userdata, _unused_ curlsocktype purpose, struct curl_sockaddr *address)
{
        HttpPool *p = userdata;
        PoolSocket *s;
        int fd;

        fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        if (fd < 0)
                return CURL_SOCKET_BAD;

        s = find_socket(p, fd);
        if (s && watch(s) < 0) {
                socket_free(s);
                close(fd);
                return CURL_SOCKET_BAD;
        }
        return fd;
}

static CURLMcode pool_rouse(HttpPool *p)
{
        HttpTransfer *t;
        bool any = false;
        int running;

        if (!p->has_idle)
                return CURLM_OK;
        p->has_idle = false;
        TAILQ_FOREACH(t, &p->stages[TRANSFER_UNDER_WAY], entry)
                any |= t->is_idle;
        if (!any)
                return CURLM_OK;

/* There is nothing else that looks at one with no descriptor that is ready and no time that is over. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        return curl_multi_socket_all(p->multi, &running);
#pragma GCC diagnostic pop
}

#define SET_MULTI(option, value) (curl_multi_setopt(p->multi, (option), (value)) == CURLM_OK)

static int pool_watch(HttpPool *p)
{
        int r;

        r = sd_event_add_time_relative(p->loop, &p->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_time, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        if (!SET_MULTI(CURLMOPT_SOCKETFUNCTION, on_change) || !SET_MULTI(CURLMOPT_SOCKETDATA, p) ||
                        !SET_MULTI(CURLMOPT_TIMERFUNCTION, on_timer) || !SET_MULTI(CURLMOPT_TIMERDATA, p))
                return -ENOMEM;
        return 0;
}

static void pool_unwatch(HttpPool *p)
{
        while (!LIST_EMPTY(&p->sockets))
                socket_free(LIST_FIRST(&p->sockets));
        p->timer = sd_event_source_disable_unref(p->timer);
}

/*
 * One request of the pool and what became of it. What matters most is `sent`: by it a caller decides whether
 * something that costs money may be asked for a second time.
 *
 * curl asks for leave each time that it has a connection (resolved, connected, TLS done) and before it
 * writes the first byte of a request to it. So a transfer that was never asked about sent nothing, whatever
 * error it ended with; and all others count as sent, also when writing failed, for nobody knows how much of
 * a failed write got through.
 *
 * curl repeats a request by itself when a connection that was kept alive ends before a byte of the answer:
 * perhaps its idle time was over, perhaps the peer did what was asked and then died. It asks for leave
 * again, and only GET and HEAD, which change nothing, get it. To make that rare for the others, connections
 * are kept idle for less than servers commonly do.
 */

#define HEAD_MAX     ((size_t)64 * 1024) /* of an answer's headers */
#define IDLE_SECONDS 3L                  /* the shortest that servers commonly keep is 5 */

/* What curl asks and tells. */

static int on_before_request(void *userdata, _unused_ char *peer, _unused_ char *local,
                _unused_ int peer_port, _unused_ int local_port)
{
        HttpTransfer *t = userdata;

        if (t->n_requests > 0 && !t->may_repeat)
                return CURL_PREREQFUNC_ABORT;
        t->n_requests++;
        return CURL_PREREQFUNC_OK;
}

static size_t on_head(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *t = userdata;
        size_t size = one * n;

        t->head_size += size;
        t->head_too_large = t->head_size > HEAD_MAX;
        /* An empty line ends the headers, but behind those of a 1xx the answer is still to come. */
        if (size > 0 && (*data == '\r' || *data == '\n'))
                t->head_is_whole = curl_get_status(t->curl) >= 200;
        return t->head_too_large ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *t = userdata;
        int r;

        r = buffer_append(&t->answer, data, one * n);
        t->body_too_large = r == -ENOBUFS;
        t->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : one * n;
}

/* Making one. */

static HttpTransfer *transfer_free(HttpTransfer *t)
{
        if (!t)
                return NULL;

        curl_easy_cleanup(t->curl);
        header_lines_done(&t->lines);
        buffer_done(&t->answer);
        free(t->body);
        free(t->where);
        free(t);
        return NULL;
}
DEFINE_CLEANUP(HttpTransfer *, transfer_free)

/* Who is asked, for messages: a socket's path, or host and port, without what else a URL may hold. */
static int say_where(const HttpPoolRequest *q, char **ret)
{
        char *scheme = NULL, *host = NULL, *port = NULL;
        CURLU *url;
        int r = -EINVAL;

        if (q->socket) {
                *ret = strdup(q->socket);
                return *ret ? 0 : -ENOMEM;
        }

        url = curl_url();
        if (!url)
                return -ENOMEM;
        if (curl_url_set(url, CURLUPART_URL, q->url, 0) == CURLUE_OK &&
                        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                        (streq(scheme, "http") || streq(scheme, "https")) &&
                        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
                r = asprintf(ret, "%s:%s", host, port) < 0 ? -ENOMEM : 0;

        curl_free(scheme);
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(url);
        return r;
}

static int set_headers(HttpTransfer *t, const HttpPoolRequest *q)
{
        int r;

        FOREACH_ARRAY(h, q->headers, q->n_headers) {
                r = header_lines_add(&t->lines, h->name, h->value);
                if (r < 0)
                        return r;
        }
        return q->basic_user ? header_lines_add_basic(&t->lines, q->basic_user) : 0;
}

#define SET(option, value) (curl_easy_setopt(t->curl, (option), (value)) == CURLE_OK)

/* Leaving a name that is being looked up waits for the lookup, unless curl is told to be quick; then its
 * thread ends by itself. */
static bool set_options(HttpTransfer *t)
{
        return SET(CURLOPT_PRIVATE, t) && SET(CURLOPT_ERRORBUFFER, t->error) &&
               SET(CURLOPT_PREREQFUNCTION, on_before_request) && SET(CURLOPT_PREREQDATA, t) &&
               SET(CURLOPT_HEADERFUNCTION, on_head) && SET(CURLOPT_HEADERDATA, t) &&
               SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, t) &&
               SET(CURLOPT_OPENSOCKETFUNCTION, pool_open_socket) && SET(CURLOPT_OPENSOCKETDATA, t->pool) &&
               SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS) &&
               (!t->pool->ca_file || SET(CURLOPT_CAINFO, t->pool->ca_file));
}

static int set_request(HttpTransfer *t, const HttpPoolRequest *q)
{
        const CurlRequest request = {
                .socket = q->socket,
                .method = q->method,
                .url = q->url,
                .content_type = q->content_type,
                .accept = q->accept,
                .secret_header = q->secret_header,
                .secret = q->secret,
                .body = t->body,
                .body_size = q->body_size,
                .timeout = q->timeout,
        };
        int r;

        r = set_headers(t, q);
        if (r < 0)
                return r;
        if (!set_options(t))
                return -ENOMEM;
        return curl_set_request(t->curl, &request, &t->lines);
}

static int transfer_new(HttpPool *p, const HttpPoolRequest *q, HttpTransfer **ret)
{
        _cleanup_(transfer_freep) HttpTransfer *t = NULL;
        int r;

        assert(q->done && (q->body || q->body_size == 0));

        if (q->timeout == 0)
                return -EINVAL;
        t = calloc(1, sizeof(HttpTransfer));
        if (!t)
                return -ENOMEM;

        t->pool = p;
        t->answer = BUFFER_INIT(q->max_body);
        t->may_repeat = streq(q->method, "GET") || streq(q->method, "HEAD");
        t->done = q->done;
        t->userdata = q->userdata;
        if (q->body) {
                t->body = malloc(MAX(q->body_size, 1U));
                if (!t->body)
                        return -ENOMEM;
                if (q->body_size > 0)
                        memcpy(t->body, q->body, q->body_size);
        }
        r = say_where(q, &t->where);
        if (r < 0)
                return r;
        t->curl = curl_easy_init();
        if (!t->curl)
                return -ENOMEM;
        r = set_request(t, q);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(t);
        return 0;
}

/* Reading the answer. */

static const char *header_of(const HttpTransfer *t, const char *name)
{
        struct curl_header *h;

        return curl_easy_header(t->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static void read_answer(HttpTransfer *t)
{
        HttpPoolResult *result = &t->result;
        const char *date = header_of(t, "Date"), *replayed = header_of(t, "Idempotency-Replayed");

        result->status = curl_get_status(t->curl);
        result->too_large = t->body_too_large;
        result->is_json = header_type_is_json(header_of(t, "Content-Type"));
        result->is_replay = streq_ptr(replayed, "true");
        if (!date || time_parse_http_date(date, &result->date) < 0)
                result->date = TIME_NONE;
        /* By the answerer's clock where we know it. */
        result->retry_after = header_retry_after(header_of(t, "Retry-After"),
                        result->date == TIME_NONE ? now_realtime() : result->date);
}

/* The error of what curl ended with, and what is said about it. 0: there is an answer. */
static int judge(HttpTransfer *t, CURLcode code, const char **ret_why)
{
        *ret_why = NULL;
        if (code == CURLE_OK && t->head_is_whole)
                return 0;

        if (t->out_of_memory)
                return -ENOMEM;
        if (t->body_too_large)
                (void)snprintf(t->error, sizeof(t->error), "the answer is larger than %zu bytes",
                                t->answer.max);
        else if (t->head_too_large)
                *ret_why = "the answer's headers are too large";
        else if (code == CURLE_OK)
                *ret_why = "the answer ended within its headers";
        else if (code == CURLE_ABORTED_BY_CALLBACK)
                *ret_why = "the connection ended before an answer; the request may have been received and "
                           "is not repeated";
        else if (!*t->error)
                *ret_why = curl_easy_strerror(code);
        return curl_to_errno(t->curl, code);
}

/* Where and what. Parts of it can come from the peer (its certificate), so no control characters. */
static void write_message(HttpTransfer *t, const char *why)
{
        (void)snprintf(t->message, sizeof(t->message), "%.300s: %s", t->where, why);
        for (char *p = t->message; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
        t->result.message = t->message;
}

static void transfer_set_result(HttpTransfer *t, CURLcode code, int error)
{
        const char *why = NULL;

        t->result = (HttpPoolResult){ .error = error, .sent = t->n_requests > 0, .body = &t->answer };
        read_answer(t);
        if (error == 0)
                t->result.error = judge(t, code, &why);
        else
                why = error == -ECANCELED ? "canceled" : strerrordesc_np(-error);
        if (t->result.error < 0)
                write_message(t, why ?: *t->error ? t->error : strerrordesc_np(-t->result.error));
}

/* Stages. */

static void take_out(HttpTransfer *t)
{
        TAILQ_REMOVE(&t->pool->stages[t->stage], t, entry);
}

static void put_into(HttpTransfer *t, TransferStage stage)
{
        t->stage = stage;
        TAILQ_INSERT_TAIL(&t->pool->stages[stage], t, entry);
}

static HttpTransfer *first_of(const HttpPool *p, TransferStage stage)
{
        return TAILQ_FIRST(&p->stages[stage]);
}

/* Ends a transfer: with what curl says, or with an error of ours. */
static void finish(HttpTransfer *t, CURLcode code, int error)
{
        HttpPool *p = t->pool;

        assert(t->stage != TRANSFER_FINISHED);

        transfer_set_result(t, code, error);
        if (t->stage == TRANSFER_UNDER_WAY)
                (void)curl_multi_remove_handle(p->multi, t->curl);
        curl_easy_cleanup(t->curl);
        t->curl = NULL;
        header_lines_done(&t->lines);

        take_out(t);
        put_into(t, TRANSFER_FINISHED);
        /* Fails only on a loop that has ended; http_pool_free() delivers then. */
        (void)sd_event_source_set_enabled(p->finished, SD_EVENT_ON);
}

static void finish_all(HttpPool *p, TransferStage stage, int error)
{
        while (first_of(p, stage))
                finish(first_of(p, stage), CURLE_OK, error);
}

/* Begins what waits, as far as there is room. */
static void begin(HttpPool *p)
{
        HttpTransfer *t;

        while (!p->freeing && p->n_in_flight < p->max_in_flight && (t = first_of(p, TRANSFER_WAITING))) {
                if (curl_multi_add_handle(p->multi, t->curl) != CURLM_OK) {
                        finish(t, CURLE_OK, -ENOMEM);
                        continue;
                }
                t->has_slot = true;
                p->n_in_flight++;
                take_out(t);
                put_into(t, TRANSFER_UNDER_WAY);
        }
}

/* Takes the first that is finished out of the pool, which has no more to do with it. */
static HttpTransfer *take_finished(HttpPool *p)
{
        HttpTransfer *t = first_of(p, TRANSFER_FINISHED);

        take_out(t);
        p->n_transfers--;
        if (t->has_slot)
                p->n_in_flight--;
        return t;
}

static void deliver(HttpTransfer *t)
{
        t->done(&t->result, t->userdata);
        transfer_free(t);
}

static int on_finished(_unused_ sd_event_source *source, void *userdata)
{
        HttpPool *p = userdata;
        HttpTransfer *t = take_finished(p);

        if (!first_of(p, TRANSFER_FINISHED))
                (void)sd_event_source_set_enabled(p->finished, SD_EVENT_OFF);
        begin(p);
        deliver(t); /* may free the pool */
        return 0;
}

/* Takes what curl has finished with. */
static void collect(HttpPool *p)
{
        HttpTransfer *next;
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(p->multi, &left))) {
                HttpTransfer *t = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                finish(t, message->data.result, 0);
        }

        for (HttpTransfer *t = first_of(p, TRANSFER_UNDER_WAY); t; t = next) {
                next = TAILQ_NEXT(t, entry);
                if (t->watch_error < 0)
                        finish(t, CURLE_OK, t->watch_error);
        }
}

static void pool_drive(HttpPool *p, curl_socket_t fd, int events)
{
        CURLMcode code;
        int running;

        code = curl_multi_socket_action(p->multi, fd, events, &running);
        collect(p);
        if (code == CURLM_OK) {
                code = pool_rouse(p);
                collect(p);
        }
        /* Then curl is out of memory or at odds with itself, and would not go on with the others. */
        if (code != CURLM_OK)
                finish_all(p, TRANSFER_UNDER_WAY, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO);
}

/* From outside. */

static void set_max_in_flight(HttpPool *p, unsigned n)
{
        p->max_in_flight = n;
        /* Idle connections count too: beyond so many, curl closes the oldest. */
        (void)curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)MAX(n, 1U));
}

int http_pool_new(sd_event *loop, const HttpPoolOptions *options, HttpPool **ret)
{
        _cleanup_(http_pool_freep) HttpPool *p = NULL;
        int r;

        p = calloc(1, sizeof(HttpPool));
        if (!p)
                return -ENOMEM;

        for (TransferStage stage = 0; stage < _TRANSFER_STAGE_MAX; stage++)
                TAILQ_INIT(&p->stages[stage]);
        p->loop = sd_event_ref(loop);
        p->max_waiting = options->max_waiting;
        if (options->ca_file) {
                p->ca_file = strdup(options->ca_file);
                if (!p->ca_file)
                        return -ENOMEM;
        }
        p->multi = curl_ready() < 0 ? NULL : curl_multi_init();
        if (!p->multi)
                return -ENOMEM;
        set_max_in_flight(p, options->max_in_flight);

        r = pool_watch(p);
        if (r >= 0)
                r = sd_event_add_defer(loop, &p->finished, on_finished, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->finished, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

HttpPool *http_pool_free(HttpPool *p)
{
        if (!p)
                return NULL;
        assert(!p->freeing);

        p->freeing = true;
        finish_all(p, TRANSFER_UNDER_WAY, -ECANCELED);
        finish_all(p, TRANSFER_WAITING, -ECANCELED);
        while (first_of(p, TRANSFER_FINISHED))
                deliver(take_finished(p));

        (void)curl_multi_cleanup(p->multi);
        pool_unwatch(p);
        sd_event_source_disable_unref(p->finished);
        sd_event_unref(p->loop);
        free(p->ca_file);
        free(p);
        return NULL;
}

void http_pool_set_max_in_flight(HttpPool *p, unsigned n)
{
        set_max_in_flight(p, n);
        begin(p);
}

int http_pool_start(HttpPool *p, const HttpPoolRequest *request, HttpTransfer **ret)
{
        HttpTransfer *t;
        int r;

        if (p->freeing)
                return -ESHUTDOWN;
        if (p->n_transfers >= (uint64_t)p->max_in_flight + p->max_waiting)
                return -EAGAIN;
        r = transfer_new(p, request, &t);
        if (r < 0)
                return r;

        p->n_transfers++;
        put_into(t, TRANSFER_WAITING);
        begin(p);
        if (ret)
                *ret = t;
        return 0;
}

void http_transfer_cancel(HttpTransfer *t)
{
        if (t->stage != TRANSFER_FINISHED)
                finish(t, CURLE_OK, -ECANCELED);
}
