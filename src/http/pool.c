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

static void pool_drive(HttpPool *pool, curl_socket_t fd, int events);

static int on_ready(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        PoolSocket *watched = userdata;
        int events = 0;

        if (revents & (EPOLLIN | EPOLLHUP))
                events |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                events |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                events |= CURL_CSELECT_ERR;

        pool_drive(watched->pool, fd, events);
        return 0;
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        pool_drive(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static void socket_free(PoolSocket *watched)
{
        LIST_REMOVE(watched, entry);
        sd_event_source_disable_unref(watched->source);
        free(watched);
}

static PoolSocket *socket_new(HttpPool *pool, curl_socket_t fd)
{
        PoolSocket *watched = calloc(1, sizeof(PoolSocket));

        if (!watched)
                return NULL;
        watched->pool = pool;
        watched->fd = fd;
        LIST_INSERT_HEAD(&pool->sockets, watched, entry);
        return watched;
}

static PoolSocket *find_socket(HttpPool *pool, curl_socket_t fd)
{
        PoolSocket *watched;

        LIST_FOREACH(watched, &pool->sockets, entry)
                if (watched->fd == fd)
                        break;
        return watched;
}

/* Makes the kernel watch the descriptor, whatever it did before. */
static int watch(PoolSocket *watched)
{
        watched->source = sd_event_source_disable_unref(watched->source);
        return watched->events == 0 ? 0
                                    : sd_event_add_io(watched->pool->loop, &watched->source, watched->fd,
                                                      watched->events, on_ready, watched);
}

static int change(HttpPool *pool, curl_socket_t fd, uint32_t events)
{
        PoolSocket *watched = find_socket(pool, fd) ?: socket_new(pool, fd);

        if (!watched)
                return -ENOMEM;
        watched->events = events;
        if (watched->source && events != 0)
                return sd_event_source_set_io_events(watched->source, events);
        return watch(watched);
}

static int on_change(CURL *curl, curl_socket_t fd, int what, void *userdata, _unused_ void *socket)
{
        static const uint32_t events[] = {
                [CURL_POLL_NONE] = 0,
                [CURL_POLL_IN] = EPOLLIN,
                [CURL_POLL_OUT] = EPOLLOUT,
                [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
        };
        HttpTransfer *transfer = NULL;
        HttpPool *pool = userdata;
        int r;

        (void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&transfer);
        if (transfer) {
                transfer->is_idle = what == CURL_POLL_REMOVE && transfer->n_requests == 0;
                pool->has_idle |= transfer->is_idle;
        }
        if (what == CURL_POLL_REMOVE) {
                PoolSocket *watched = find_socket(pool, fd);

                if (watched)
                        socket_free(watched);
                return 0;
        }

        assert(what >= 0 && (size_t)what < ELEMENTSOF(events));
        r = change(pool, fd, events[what]);
        /* An error from here would end all of curl; it is one transfer's alone. */
        if (r < 0 && transfer)
                transfer->watch_error = r;
        return 0;
}

/* Setting sources fails only on a loop that has ended, on which nothing would come anyway. */
static int on_timer(_unused_ CURLM *multi, long timeout_ms, void *userdata)
{
        HttpPool *pool = userdata;

        if (timeout_ms < 0) {
                (void)sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
                return 0;
        }
        (void)sd_event_source_set_time_relative(pool->timer, (uint64_t)timeout_ms * USEC_PER_MSEC);
        (void)sd_event_source_set_enabled(pool->timer, SD_EVENT_ONESHOT);
        return 0;
}

static curl_socket_t pool_open_socket(
                void *userdata, _unused_ curlsocktype purpose, struct curl_sockaddr *address)
{
        HttpPool *pool = userdata;
        PoolSocket *watched;
        int fd;

        fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        if (fd < 0)
                return CURL_SOCKET_BAD;

        watched = find_socket(pool, fd);
        if (watched && watch(watched) < 0) {
                socket_free(watched);
                close(fd);
                return CURL_SOCKET_BAD;
        }
        return fd;
}

static CURLMcode pool_rouse(HttpPool *pool)
{
        HttpTransfer *transfer;
        bool any = false;
        int running;

        if (!pool->has_idle)
                return CURLM_OK;
        pool->has_idle = false;
        TAILQ_FOREACH(transfer, &pool->stages[TRANSFER_UNDER_WAY], entry)
                any |= transfer->is_idle;
        if (!any)
                return CURLM_OK;

/* There is nothing else that looks at one with no descriptor that is ready and no time that is over. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        return curl_multi_socket_all(pool->multi, &running);
#pragma GCC diagnostic pop
}

#define SET_MULTI(option, value) (curl_multi_setopt(pool->multi, (option), (value)) == CURLM_OK)

static int pool_watch(HttpPool *pool)
{
        int r;

        r = sd_event_add_time_relative(
                        pool->loop, &pool->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_time, pool);
        if (r >= 0)
                r = sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        if (!SET_MULTI(CURLMOPT_SOCKETFUNCTION, on_change) || !SET_MULTI(CURLMOPT_SOCKETDATA, pool) ||
                        !SET_MULTI(CURLMOPT_TIMERFUNCTION, on_timer) || !SET_MULTI(CURLMOPT_TIMERDATA, pool))
                return -ENOMEM;
        return 0;
}

static void pool_unwatch(HttpPool *pool)
{
        while (!LIST_EMPTY(&pool->sockets))
                socket_free(LIST_FIRST(&pool->sockets));
        pool->timer = sd_event_source_disable_unref(pool->timer);
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
        HttpTransfer *transfer = userdata;

        if (transfer->n_requests > 0 && !transfer->may_repeat)
                return CURL_PREREQFUNC_ABORT;
        transfer->n_requests++;
        return CURL_PREREQFUNC_OK;
}

static size_t on_head(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *transfer = userdata;
        size_t size = one * n;

        transfer->head_size += size;
        transfer->head_too_large = transfer->head_size > HEAD_MAX;
        /* An empty line ends the headers, but behind those of a 1xx the answer is still to come. */
        if (size > 0 && (*data == '\r' || *data == '\n'))
                transfer->head_is_whole = curl_get_status(transfer->curl) >= 200;
        return transfer->head_too_large ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *transfer = userdata;
        int r;

        r = buffer_append(&transfer->answer, data, one * n);
        transfer->body_too_large = r == -ENOBUFS;
        transfer->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : one * n;
}

/* Making one. */

static HttpTransfer *transfer_free(HttpTransfer *transfer)
{
        if (!transfer)
                return NULL;

        curl_easy_cleanup(transfer->curl);
        header_lines_done(&transfer->lines);
        buffer_done(&transfer->answer);
        free(transfer->body);
        free(transfer->where);
        free(transfer);
        return NULL;
}
DEFINE_CLEANUP(HttpTransfer *, transfer_free)

/* Who is asked, for messages: a socket's path, or host and port, without what else a URL may hold. */
static int say_where(const HttpPoolRequest *request, char **ret)
{
        char *scheme = NULL, *host = NULL, *port = NULL;
        CURLU *url;
        int r = -EINVAL;

        if (request->socket) {
                *ret = strdup(request->socket);
                return *ret ? 0 : -ENOMEM;
        }

        url = curl_url();
        if (!url)
                return -ENOMEM;
        if (curl_url_set(url, CURLUPART_URL, request->url, 0) == CURLUE_OK &&
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

static int set_headers(HttpTransfer *transfer, const HttpPoolRequest *request)
{
        int r;

        FOREACH_ARRAY(h, request->headers, request->n_headers) {
                r = header_lines_add(&transfer->lines, h->name, h->value);
                if (r < 0)
                        return r;
        }
        return request->basic_user ? header_lines_add_basic(&transfer->lines, request->basic_user) : 0;
}

#define SET(option, value) (curl_easy_setopt(transfer->curl, (option), (value)) == CURLE_OK)

/* Leaving a name that is being looked up waits for the lookup, unless curl is told to be quick; then its
 * thread ends by itself. */
static bool set_options(HttpTransfer *transfer)
{
        return SET(CURLOPT_PRIVATE, transfer) && SET(CURLOPT_ERRORBUFFER, transfer->error) &&
               SET(CURLOPT_PREREQFUNCTION, on_before_request) && SET(CURLOPT_PREREQDATA, transfer) &&
               SET(CURLOPT_HEADERFUNCTION, on_head) && SET(CURLOPT_HEADERDATA, transfer) &&
               SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, transfer) &&
               SET(CURLOPT_OPENSOCKETFUNCTION, pool_open_socket) &&
               SET(CURLOPT_OPENSOCKETDATA, transfer->pool) && SET(CURLOPT_QUICK_EXIT, 1L) &&
               SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS) &&
               (!transfer->pool->ca_file || SET(CURLOPT_CAINFO, transfer->pool->ca_file));
}

static int set_request(HttpTransfer *transfer, const HttpPoolRequest *request)
{
        const CurlRequest common = {
                .socket = request->socket,
                .method = request->method,
                .url = request->url,
                .content_type = request->content_type,
                .accept = request->accept,
                .secret_header = request->secret_header,
                .secret = request->secret,
                .body = transfer->body,
                .body_size = request->body_size,
                .timeout = request->timeout,
        };
        int r;

        r = set_headers(transfer, request);
        if (r < 0)
                return r;
        if (!set_options(transfer))
                return -ENOMEM;
        return curl_set_request(transfer->curl, &common, &transfer->lines);
}

static int transfer_new(HttpPool *pool, const HttpPoolRequest *request, HttpTransfer **ret)
{
        _cleanup_(transfer_freep) HttpTransfer *transfer = NULL;
        int r;

        assert(request->done && (request->body || request->body_size == 0));

        if (request->timeout == 0)
                return -EINVAL;
        transfer = calloc(1, sizeof(HttpTransfer));
        if (!transfer)
                return -ENOMEM;

        transfer->pool = pool;
        transfer->answer = BUFFER_INIT(request->max_body);
        transfer->may_repeat = streq(request->method, "GET") || streq(request->method, "HEAD");
        transfer->done = request->done;
        transfer->userdata = request->userdata;
        if (request->body) {
                transfer->body = malloc(MAX(request->body_size, 1U));
                if (!transfer->body)
                        return -ENOMEM;
                if (request->body_size > 0)
                        memcpy(transfer->body, request->body, request->body_size);
        }
        r = say_where(request, &transfer->where);
        if (r < 0)
                return r;
        transfer->curl = curl_easy_init();
        if (!transfer->curl)
                return -ENOMEM;
        r = set_request(transfer, request);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(transfer);
        return 0;
}

/* Reading the answer. */

static const char *header_of(const HttpTransfer *transfer, const char *name)
{
        struct curl_header *h;

        return curl_easy_header(transfer->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value
                                                                                            : NULL;
}

static void read_answer(HttpTransfer *transfer)
{
        HttpPoolResult *result = &transfer->result;
        const char *date = header_of(transfer, "Date"),
                   *replayed = header_of(transfer, "Idempotency-Replayed");

        result->status = curl_get_status(transfer->curl);
        result->too_large = transfer->body_too_large;
        result->is_json = header_type_is_json(header_of(transfer, "Content-Type"));
        result->is_replay = streq_ptr(replayed, "true");
        if (!date || time_parse_http_date(date, &result->date) < 0)
                result->date = TIME_NONE;
        /* By the answerer's clock where we know it. */
        result->retry_after = header_retry_after(header_of(transfer, "Retry-After"),
                        result->date == TIME_NONE ? now_realtime() : result->date);
}

/* The error of what curl ended with, and what is said about it. 0: there is an answer. */
static int judge(HttpTransfer *transfer, CURLcode code, const char **ret_why)
{
        *ret_why = NULL;
        if (code == CURLE_OK && transfer->head_is_whole)
                return 0;

        if (transfer->out_of_memory)
                return -ENOMEM;
        if (transfer->body_too_large)
                (void)snprintf(transfer->error, sizeof(transfer->error),
                                "the answer is larger than %zu bytes", transfer->answer.max);
        else if (transfer->head_too_large)
                *ret_why = "the answer's headers are too large";
        else if (code == CURLE_OK)
                *ret_why = "the answer ended within its headers";
        else if (code == CURLE_ABORTED_BY_CALLBACK)
                *ret_why = "the connection ended before an answer; the request may have been received and "
                           "is not repeated";
        else if (!*transfer->error)
                *ret_why = curl_easy_strerror(code);
        return curl_to_errno(transfer->curl, code);
}

/* Where and what. Parts of it can come from the peer (its certificate), so no control characters. */
static void write_message(HttpTransfer *transfer, const char *why)
{
        (void)snprintf(transfer->message, sizeof(transfer->message), "%.300s: %s", transfer->where, why);
        for (char *p = transfer->message; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
        transfer->result.message = transfer->message;
}

static void transfer_set_result(HttpTransfer *transfer, CURLcode code, int error)
{
        const char *why = NULL;

        transfer->result = (HttpPoolResult){
                .error = error, .sent = transfer->n_requests > 0, .body = &transfer->answer
        };
        read_answer(transfer);
        if (error == 0)
                transfer->result.error = judge(transfer, code, &why);
        else
                why = error == -ECANCELED ? "canceled" : strerrordesc_np(-error);
        if (transfer->result.error < 0)
                write_message(transfer, why
                                                        ?: *transfer->error
                                                           ? transfer->error
                                                           : strerrordesc_np(-transfer->result.error));
}

/* Stages. */

static void take_out(HttpTransfer *transfer)
{
        TAILQ_REMOVE(&transfer->pool->stages[transfer->stage], transfer, entry);
}

static void put_into(HttpTransfer *transfer, TransferStage stage)
{
        transfer->stage = stage;
        TAILQ_INSERT_TAIL(&transfer->pool->stages[stage], transfer, entry);
}

static HttpTransfer *first_of(const HttpPool *pool, TransferStage stage)
{
        return TAILQ_FIRST(&pool->stages[stage]);
}

/* Ends a transfer: with what curl says, or with an error of ours. */
static void finish(HttpTransfer *transfer, CURLcode code, int error)
{
        HttpPool *pool = transfer->pool;

        assert(transfer->stage != TRANSFER_FINISHED);

        transfer_set_result(transfer, code, error);
        if (transfer->stage == TRANSFER_UNDER_WAY)
                (void)curl_multi_remove_handle(pool->multi, transfer->curl);
        curl_easy_cleanup(transfer->curl);
        transfer->curl = NULL;
        header_lines_done(&transfer->lines);

        take_out(transfer);
        put_into(transfer, TRANSFER_FINISHED);
        /* Fails only on a loop that has ended; http_pool_free() delivers then. */
        (void)sd_event_source_set_enabled(pool->finished, SD_EVENT_ON);
}

static void finish_all(HttpPool *pool, TransferStage stage, int error)
{
        while (first_of(pool, stage))
                finish(first_of(pool, stage), CURLE_OK, error);
}

/* Begins what waits, as far as there is room. */
static void begin(HttpPool *pool)
{
        HttpTransfer *transfer;

        while (!pool->freeing && pool->n_in_flight < pool->max_in_flight &&
                        (transfer = first_of(pool, TRANSFER_WAITING))) {
                if (curl_multi_add_handle(pool->multi, transfer->curl) != CURLM_OK) {
                        finish(transfer, CURLE_OK, -ENOMEM);
                        continue;
                }
                transfer->has_slot = true;
                pool->n_in_flight++;
                take_out(transfer);
                put_into(transfer, TRANSFER_UNDER_WAY);
        }
}

/* Takes the first that is finished out of the pool, which has no more to do with it. */
static HttpTransfer *take_finished(HttpPool *pool)
{
        HttpTransfer *transfer = first_of(pool, TRANSFER_FINISHED);

        take_out(transfer);
        pool->n_transfers--;
        if (transfer->has_slot)
                pool->n_in_flight--;
        return transfer;
}

static void deliver(HttpTransfer *transfer)
{
        transfer->done(&transfer->result, transfer->userdata);
        transfer_free(transfer);
}

static int on_finished(_unused_ sd_event_source *source, void *userdata)
{
        HttpPool *pool = userdata;
        HttpTransfer *transfer = take_finished(pool);

        if (!first_of(pool, TRANSFER_FINISHED))
                (void)sd_event_source_set_enabled(pool->finished, SD_EVENT_OFF);
        begin(pool);
        deliver(transfer); /* may free the pool */
        return 0;
}

/* Takes what curl has finished with. */
static void collect(HttpPool *pool)
{
        HttpTransfer *next;
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(pool->multi, &left))) {
                HttpTransfer *transfer = NULL;

                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
                finish(transfer, message->data.result, 0);
        }

        for (HttpTransfer *transfer = first_of(pool, TRANSFER_UNDER_WAY); transfer; transfer = next) {
                next = TAILQ_NEXT(transfer, entry);
                if (transfer->watch_error < 0)
                        finish(transfer, CURLE_OK, transfer->watch_error);
        }
}

static void pool_drive(HttpPool *pool, curl_socket_t fd, int events)
{
        CURLMcode code;
        int running;

        code = curl_multi_socket_action(pool->multi, fd, events, &running);
        collect(pool);
        if (code == CURLM_OK) {
                code = pool_rouse(pool);
                collect(pool);
        }
        /* Then curl is out of memory or at odds with itself, and would not go on with the others. */
        if (code != CURLM_OK)
                finish_all(pool, TRANSFER_UNDER_WAY, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO);
}

/* From outside. */

static void set_max_in_flight(HttpPool *pool, unsigned n)
{
        pool->max_in_flight = n;
        /* Idle connections count too: beyond so many, curl closes the oldest. */
        (void)curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)MAX(n, 1U));
}

int http_pool_new(sd_event *loop, const HttpPoolOptions *options, HttpPool **ret)
{
        _cleanup_(http_pool_freep) HttpPool *pool = NULL;
        int r;

        pool = calloc(1, sizeof(HttpPool));
        if (!pool)
                return -ENOMEM;

        for (TransferStage stage = 0; stage < _TRANSFER_STAGE_MAX; stage++)
                TAILQ_INIT(&pool->stages[stage]);
        pool->loop = sd_event_ref(loop);
        pool->max_waiting = options->max_waiting;
        if (options->ca_file) {
                pool->ca_file = strdup(options->ca_file);
                if (!pool->ca_file)
                        return -ENOMEM;
        }
        pool->multi = curl_ready() < 0 ? NULL : curl_multi_init();
        if (!pool->multi)
                return -ENOMEM;
        set_max_in_flight(pool, options->max_in_flight);

        r = pool_watch(pool);
        if (r >= 0)
                r = sd_event_add_defer(loop, &pool->finished, on_finished, pool);
        if (r >= 0)
                r = sd_event_source_set_enabled(pool->finished, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(pool);
        return 0;
}

HttpPool *http_pool_free(HttpPool *pool)
{
        if (!pool)
                return NULL;
        assert(!pool->freeing);

        pool->freeing = true;
        finish_all(pool, TRANSFER_UNDER_WAY, -ECANCELED);
        finish_all(pool, TRANSFER_WAITING, -ECANCELED);
        while (first_of(pool, TRANSFER_FINISHED))
                deliver(take_finished(pool));

        (void)curl_multi_cleanup(pool->multi);
        pool_unwatch(pool);
        sd_event_source_disable_unref(pool->finished);
        sd_event_unref(pool->loop);
        free(pool->ca_file);
        free(pool);
        return NULL;
}

void http_pool_set_max_in_flight(HttpPool *pool, unsigned n)
{
        set_max_in_flight(pool, n);
        begin(pool);
}

int http_pool_start(HttpPool *pool, const HttpPoolRequest *request, HttpTransfer **ret)
{
        HttpTransfer *transfer;
        int r;

        if (pool->freeing)
                return -ESHUTDOWN;
        if (pool->n_transfers >= (uint64_t)pool->max_in_flight + pool->max_waiting)
                return -EAGAIN;
        r = transfer_new(pool, request, &transfer);
        if (r < 0)
                return r;

        pool->n_transfers++;
        put_into(transfer, TRANSFER_WAITING);
        begin(pool);
        if (ret)
                *ret = transfer;
        return 0;
}

void http_transfer_cancel(HttpTransfer *transfer)
{
        if (transfer->stage != TRANSFER_FINISHED)
                finish(transfer, CURLE_OK, -ECANCELED);
}
