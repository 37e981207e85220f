/*
 * The server. libmicrohttpd speaks HTTP; what surrounds it is ours, because that is where a receiver is
 * attacked and where it stalls:
 *
 * - its epoll descriptor lies in our loop and it runs when that is ready. With a thread of its own it stalls
 *   once more than 64 connections are ready at a time.
 * - we accept. At the maximum, or when descriptors run out, accepting pauses and new connections wait in the
 *   backlog. As long as somebody waits there, patience is short with those who hold a connection and say
 *   nothing on it: a thousand silent ones must not keep an honest one out for longer than a moment.
 * - deadlines are ours. Its time-out starts again with every byte, so a client that drips would stay for
 * ever. A connection is at one thing at a time (headers, body, idling, taking an answer), each with one
 * deadline that starts once; connections at the same thing stand in a list in the order of their deadlines,
 * and one timer looks at the heads.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/header.h"
#include "http/request.h"

static Connection *connection_of(struct MHD_Connection *mhd)
{
        const union MHD_ConnectionInfo *info;

        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info ? info->socket_context : NULL;
}

/*
 * What libmicrohttpd refuses by itself: a request without Host, headers that are too large, nonsense. It has
 * pages in HTML for that, no option for what they say, and where it refuses after the headers were read it
 * sends the head of its answer twice. So its call of MHD_queue_response() ends here instead of in the
 * library: a program's own function comes before the library's of the same name. The client is told in our
 * shape, past libmicrohttpd, and the connection takes nothing more, whatever the library has to say.
 *
 * Answers of ours go to the library's function, by way of refuse_pass(). A libmicrohttpd that were linked so
 * that it calls its own function all the same would send its pages, as it does by itself.
 */

typedef enum MHD_Result (*QueueResponse)(
                struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response);

enum MHD_Result refuse_pass(struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
        static _Atomic(QueueResponse) found; /* by whichever loop answers first */
        QueueResponse queue = atomic_load(&found);

        if (!queue) {
                *(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response");
                atomic_store(&found, queue);
        }
        return queue ? queue(mhd, status, response) : MHD_NO;
}

static const char *describe(unsigned status)
{
        static const struct {
                unsigned status;
                const char *text;
        } texts[] = {
                { 413, "The request is too large." },
                { 414, "The target is too long." },
                { 431, "The headers are too large." },
                { 505, "This version of HTTP is not supported: send 1.1." },
        };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                if (t->status == status)
                        return t->text;
        return status < 500 ? "The request is not HTTP that could be understood."
                            : "The request could not be answered.";
}

static void say_last(Connection *connection, unsigned status, const char *error)
{
        char body[256], text[512];
        int n;

        n = snprintf(body, sizeof(body), "{\"status_code\":%u,\"error\":\"%s\"}", status, error);
        n = snprintf(text, sizeof(text),
                        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: %d\r\n\r\n%s",
                        status, MHD_get_reason_phrase_for(status), n, body);
        (void)send(connection->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (connection->server->options.on_reply)
                connection->server->options.on_reply(status, connection->server->options.userdata);
}

/* Called by libmicrohttpd alone. */
enum MHD_Result MHD_queue_response(
                struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
        Connection *connection = connection_of(mhd);

        if (connection) {
                say_last(connection, status, describe(status));
                (void)shutdown(connection->fd, SHUT_WR);
        }
        return refuse_pass(mhd, status, response);
}

#define MEMORY_PER_CONNECTION ((size_t)16 * 1024) /* headers and the buffers of libmicrohttpd */

/* The same where a header is a secret. Whatever libmicrohttpd refuses by itself, nobody gets to see the
 * headers, to wipe them; but beyond 32 KiB it maps the memory for each connection, and what is unmapped is
 * nobody's. */
#define MEMORY_WITH_SECRET ((size_t)33 * 1024)
#define ACCEPT_BATCH       64U
#define QUIESCE_USEC       (1 * USEC_PER_SEC)
#define PAUSE_USEC         (100 * USEC_PER_MSEC)
#define CROWDED_USEC       (1 * USEC_PER_SEC) /* to say something, when others wait */
#define CROWDED_BODY_USEC  (5 * USEC_PER_SEC) /* to send a whole body then */

/* Deadlines. */

static uint64_t phase_timeout(const HttpServer *server, Phase phase)
{
        switch (phase) {
        case PHASE_HEADER:
                return server->limits.header_timeout;
        case PHASE_BODY:
                return server->limits.body_timeout;
        case PHASE_IDLE:
                return server->quiescing ? MIN(QUIESCE_USEC, server->limits.idle_timeout)
                                         : server->limits.idle_timeout;
        case PHASE_WRITE:
                return server->limits.write_timeout;
        case PHASE_HANDLING:
        case _PHASE_MAX:
        default:
                return 0;
        }
}

static void link_connection(Connection *connection, Phase phase)
{
        connection->phase = phase;
        connection->since = now_monotonic();
        connection->deadline = connection->since + phase_timeout(connection->server, phase);
        TAILQ_INSERT_TAIL(&connection->server->phases[phase], connection, entry);
}

static void unlink_connection(Connection *connection)
{
        TAILQ_REMOVE(&connection->server->phases[connection->phase], connection, entry);
}

void connection_set_phase(Connection *connection, Phase phase)
{
        unlink_connection(connection);
        link_connection(connection, phase);
}

static void cut(Connection *connection)
{
        (void)shutdown(connection->fd, SHUT_RDWR);
}

/* The last word to a client whose body takes too long: libmicrohttpd waits for the rest of it. */
static void say_timeout(Connection *connection)
{
        say_last(connection, 408, "The body did not arrive within its time.");
}

/* Its end is near: it is in none of the lists that have deadlines. */
static void let_go(Connection *connection)
{
        connection_set_phase(connection, PHASE_HANDLING);
        cut(connection);
        if (connection->suspended)
                connection_resume(connection);
}

static void expire(Connection *connection)
{
        if (connection->phase == PHASE_BODY)
                say_timeout(connection);
        if (connection->phase != PHASE_IDLE)
                atomic_fetch_add(&connection->server->n_deadlines, 1);

        let_go(connection);
}

/* Who has been at it for longest; NULL: nobody is. */
static Connection *first_at(const HttpServer *server, Phase phase)
{
        return TAILQ_FIRST(&server->phases[phase]);
}

static bool has_room(const HttpServer *server)
{
        return atomic_load(&server->connections) < server->limits.max_connections;
}

/* Room for those who wait. Who has been longest at saying nothing, or at taking nothing of an answer, goes
 * first, not more at a time than are accepted at a time. Returns when the next one will have been at it for
 * long enough; UINT64_MAX: nobody waits. */
static uint64_t make_room(HttpServer *server, uint64_t now)
{
        static const struct {
                Phase phase;
                uint64_t patience;
        } idlers[] = {
                { PHASE_IDLE, CROWDED_USEC },
                { PHASE_HEADER, CROWDED_USEC },
                { PHASE_WRITE, CROWDED_USEC },
                { PHASE_BODY, CROWDED_BODY_USEC },
        };
        uint64_t next = UINT64_MAX;
        unsigned n = 0;

        if (!server->crowded || has_room(server) || server->quiescing)
                return next;
        FOREACH_ARRAY(i, idlers, ELEMENTSOF(idlers)) {
                Connection *connection;

                while ((connection = first_at(server, i->phase)) && connection->since + i->patience <= now &&
                                n++ < ACCEPT_BATCH) {
                        atomic_fetch_add(&server->crowded_out, 1);
                        if (i->phase == PHASE_BODY)
                                say_timeout(connection);
                        let_go(connection);
                }
                if (connection)
                        next = MIN(next, connection->since + i->patience);
        }
        return next;
}

/* Cuts what is late and sets the timer for what is next. */
static void check_deadlines(HttpServer *server)
{
        uint64_t now = now_monotonic(), next;

        next = make_room(server, now);
        for (Phase p = PHASE_HEADER; p < _PHASE_MAX; p++) {
                Connection *connection;

                while ((connection = first_at(server, p)) && connection->deadline <= now)
                        expire(connection);
                if (connection)
                        next = MIN(next, connection->deadline);
        }
        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(server->deadlines, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(server->deadlines, next);
        (void)sd_event_source_set_enabled(server->deadlines, SD_EVENT_ONESHOT);
}

/* Running. */

static void server_run(HttpServer *server);

static int on_io(
                _unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
        server_run(userdata);
        return 0;
}

static int on_resumed(_unused_ sd_event_source *source, void *userdata)
{
        server_run(userdata);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        server_run(userdata);
        return 0;
}

/* What has come meanwhile is looked at first. */
static int on_deadlines(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        server_run(userdata);
        return 0;
}

void connection_suspend(Connection *connection)
{
        assert(!connection->suspended);
        connection->suspended = true;
        MHD_suspend_connection(connection->mhd);
}

/* It goes on with the next run, which is the next thing that the loop does: libmicrohttpd's own wake-up
 * reaches nobody in this mode, and a timer, however short, would only fire a while later. */
void connection_resume(Connection *connection)
{
        HttpServer *server = connection->server;

        assert(connection->suspended);
        connection->suspended = false;
        MHD_resume_connection(connection->mhd);
        (void)sd_event_source_set_enabled(server->resumed, SD_EVENT_ONESHOT);
}

/* Accepting. */

static void set_accepting(HttpServer *server, bool accepting)
{
        if (server->accepting == accepting)
                return;
        server->accepting = accepting;
        for (size_t i = 0; i < server->n_listeners; i++)
                (void)sd_event_source_set_enabled(
                                server->listeners[i], accepting ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_pause_over(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        HttpServer *server = userdata;

        if (has_room(server) && !server->quiescing)
                set_accepting(server, true);
        return 0;
}

/* Descriptors or memory ran out: connections wait in the backlog for a moment. */
static void pause_accepting(HttpServer *server)
{
        set_accepting(server, false);
        (void)sd_event_source_set_time_relative(server->pause, PAUSE_USEC);
        (void)sd_event_source_set_enabled(server->pause, SD_EVENT_ONESHOT);
}

static void add_connection(HttpServer *server, int fd, socklen_t size)
{
        enum MHD_Result ok;

        /* libmicrohttpd wants an address of a family that it knows; the peer is remembered by us. */
        ok = MHD_add_connection(server->mhd, fd, (struct sockaddr *)&server->accepted_peer, size);
        if (ok == MHD_YES)
                atomic_fetch_add(&server->accepted, 1);
        else
                log_debug("A connection could not be added to the %s server", server->options.what);
}

static int on_listener(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        HttpServer *server = userdata;

        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                socklen_t size = sizeof(server->accepted_peer);
                int client;

                if (!has_room(server)) {
                        if (i > 0)
                                break; /* whether somebody else waits is not known yet */
                        server->crowded = true;
                        set_accepting(server, false); /* until one closes */
                        break;
                }
                server->accepted_peer = (struct sockaddr_storage){ .ss_family = AF_UNIX };
                client = accept4(fd, (struct sockaddr *)&server->accepted_peer, &size,
                                SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client >= 0) {
                        add_connection(server, client, size);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        pause_accepting(server);
                if (errno == EAGAIN)
                        server->crowded = false;
                if (errno != EINTR && errno != ECONNABORTED)
                        break;
        }
        server_run(server);
        return 0;
}

static void server_run(HttpServer *server)
{
        MHD_UNSIGNED_LONG_LONG msec;

        (void)MHD_run(server->mhd);

        if (MHD_get_timeout(server->mhd, &msec) != MHD_YES)
                (void)sd_event_source_set_enabled(server->timer, SD_EVENT_OFF);
        else if (msec == 0)
                (void)sd_event_source_set_enabled(server->resumed, SD_EVENT_ONESHOT);
        else {
                (void)sd_event_source_set_time_relative(server->timer, msec * USEC_PER_MSEC);
                (void)sd_event_source_set_enabled(server->timer, SD_EVENT_ONESHOT);
        }

        check_deadlines(server);
        if (!server->accepting && !server->quiescing && has_room(server) &&
                        sd_event_source_get_enabled(server->pause, NULL) == SD_EVENT_OFF)
                set_accepting(server, true);
}

int http_server_add_listener(HttpServer *server, int listener)
{
        _cleanup_close_ int fd = listener;
        sd_event_source *source;
        int flags, r;

        if (server->n_listeners == LISTENERS_MAX)
                return -E2BIG;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;

        r = sd_event_add_io(server->loop, &source, fd, EPOLLIN, on_listener, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(source, true);
        if (r < 0) {
                sd_event_source_disable_unref(source);
                return r;
        }
        (void)take_fd(&fd);
        server->listeners[server->n_listeners++] = source;
        return 0;
}

void http_server_quiesce(HttpServer *server)
{
        static const Phase silent[] = { PHASE_HEADER, PHASE_IDLE };
        Connection *connection;

        server->quiescing = true;
        for (size_t i = 0; i < server->n_listeners; i++)
                sd_event_source_disable_unref(server->listeners[i]);
        server->n_listeners = 0;

        /* Whoever is silent gets a moment: a request may be on its way, and cutting the connection would
         * reset it. It is answered, and told to close. */
        FOREACH_ARRAY(phase, silent, ELEMENTSOF(silent))
                TAILQ_FOREACH(connection, &server->phases[*phase], entry)
                        connection->deadline = MIN(connection->deadline, now_monotonic() + QUIESCE_USEC);
        server_run(server);
}

/*
 * A request's way through libmicrohttpd: its target, its headers, its body, its handler, its reply. The
 * checks stand in check_request(), in their order. As long as they run nothing of the body is read and
 * nothing is allocated for it; what they refuse is answered at once and the connection is closed behind it,
 * unless there is no body that would have to be read past.
 *
 * A body without a declared length is counted while it comes. One that gets too large is still read, up to
 * as much again, because an answer in the middle of it would never be seen. That of a GET is read and
 * dropped: nobody asks for it, so whoever comes by may not take the room of others with it.
 */

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                enum MHD_ConnectionNotificationCode code)
{
        HttpServer *server = cls;
        Connection *connection = *socket_context;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                const union MHD_ConnectionInfo *info;

                info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
                connection = calloc(1, sizeof(Connection));
                if (!connection) {
                        /* Nobody would see to its deadlines. */
                        if (info)
                                (void)shutdown(info->connect_fd, SHUT_RDWR);
                        return;
                }
                connection->server = server;
                connection->mhd = mhd;
                connection->fd = info ? info->connect_fd : -EBADF;
                connection->peer = server->accepted_peer;
                *socket_context = connection;
                atomic_fetch_add(&server->connections, 1);
                link_connection(connection, PHASE_HEADER);
                return;
        }
        if (!connection)
                return;

        unlink_connection(connection);
        atomic_fetch_sub(&server->connections, 1);
        free(connection);
        *socket_context = NULL;
}

static void *on_target(_unused_ void *cls, const char *uri, struct MHD_Connection *mhd)
{
        Connection *connection = connection_of(mhd);
        HttpRequest *request;

        if (!connection || request_new(connection, uri, &request) < 0)
                return NULL;

        connection->request = request;
        /* The first request's time began with the connection. */
        if (connection->phase != PHASE_HEADER)
                connection_set_phase(connection, PHASE_HEADER);
        return request;
}

static void on_completed(_unused_ void *cls, struct MHD_Connection *mhd, void **slot,
                _unused_ enum MHD_RequestTerminationCode code)
{
        Connection *connection = connection_of(mhd);
        HttpRequest *request = *slot;

        *slot = NULL;
        if (!request)
                return;

        request_free(request);
        if (!connection)
                return;
        connection->request = NULL;
        connection_set_phase(connection, PHASE_IDLE);
}

/* The checks. */

/* Of the headers, what says where the request ends. */
typedef struct FramingHeaders {
        unsigned n_length, n_coding, n_host;
        const char *length, *coding; /* the last */
        bool bad_name;
} FramingHeaders;

static enum MHD_Result on_header(
                void *cls, _unused_ enum MHD_ValueKind kind, const char *name, const char *value)
{
        FramingHeaders *headers = cls;

        if (!header_is_token(name))
                headers->bad_name = true;
        else if (strcasecmp(name, "Content-Length") == 0) {
                headers->n_length++;
                headers->length = value ?: "";
        } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
                headers->n_coding++;
                headers->coding = value ?: "";
        } else if (strcasecmp(name, "Host") == 0)
                headers->n_host++;
        return MHD_YES;
}

typedef struct Framing {
        bool has_body;
        bool chunked;
        uint64_t length;
} Framing;

/* NULL, or what could be read in two ways. */
static const char *check_framing(const HttpRequest *request, const char *version, Framing *ret)
{
        bool is_1_1 = streq(version, MHD_HTTP_VERSION_1_1);
        FramingHeaders h = {};
        Framing f = {};

        MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, on_header, &h);
        if (h.bad_name) /* libmicrohttpd takes the blank of "Content-Length : 3" for a part of it */
                return "the name of a header has a character that no name has, perhaps a blank before the "
                       "colon";
        if (h.n_host > 1 || (h.n_host == 0 && is_1_1))
                return "expected exactly one Host";
        if (h.n_length > 0 && h.n_coding > 0)
                return "Content-Length and Transfer-Encoding contradict each other";
        if (h.n_length > 1)
                return "expected at most one Content-Length";
        if (h.n_coding > 0 && !is_1_1)
                return "Transfer-Encoding came with HTTP/1.1, and this is an older version";
        if (h.n_coding > 1 || (h.n_coding == 1 && strcasecmp(h.coding, "chunked") != 0))
                return "the only Transfer-Encoding that is supported is chunked";
        if (h.n_length == 1 && parse_u64(h.length, 0, UINT64_MAX, &f.length) < 0)
                return "Content-Length is not a number";

        f.chunked = h.n_coding == 1;
        f.has_body = f.chunked || f.length > 0;
        *ret = f;
        return NULL;
}

/* Takes a part of the budget for bodies. False: there is not so much left. */
static bool count_body(HttpRequest *request, size_t size)
{
        HttpServer *server = request->connection->server;

        if (size > server->limits.max_bodies ||
                        atomic_load(&server->body_bytes) > server->limits.max_bodies - size)
                return false;
        atomic_fetch_add(&server->body_bytes, size);
        request->counted += size;
        return true;
}

static int refuse_size(HttpRequest *request)
{
        return http_reply_error(request, 413, NULL,
                        "The body is larger than the %zu bytes that it may have.",
                        request->connection->server->limits.max_body);
}

static int refuse_framing(HttpRequest *request, const char *why)
{
        request->close = true;
        atomic_fetch_add(&request->connection->server->malformed, 1);
        return http_reply_error(request, 400, NULL, "The request could be read in two ways: %s.", why);
}

static int check_route(HttpRequest *request, const char *method)
{
        const HttpServerOptions *options = &request->connection->server->options;
        char allow[ALLOW_SIZE];
        int r;

        if (strlen(request->target) > HTTP_URI_MAX)
                return http_reply_error(
                                request, 414, NULL, "The target is longer than %u bytes.", HTTP_URI_MAX);

        switch (route_find(options->routes, request, method, allow)) {
        case ROUTE_NO_PATH:
                if (options->on_no_path)
                        options->on_no_path(request, options->userdata);
                return http_reply_error(request, 404, NULL, "There is nothing at this path.");
        case ROUTE_NO_METHOD:
                r = http_reply_header(request, "Allow", allow);
                if (r < 0)
                        return r;
                return http_reply_error(request, 405, NULL, "This path takes %s.", allow);
        case ROUTE_NO_MEMORY:
                return -ENOMEM;
        case ROUTE_FOUND:
        default:
                break;
        }
        if (request->too_many_query)
                return http_reply_error(request, 400, NULL, "There are more than %u query parameters.",
                                HTTP_QUERY_ARGS_MAX);
        return 0;
}

static bool drops_body(const HttpRequest *request)
{
        return request->stage == STAGE_DRAINING || streq(request->route->method, MHD_HTTP_METHOD_GET);
}

static int check_body(HttpRequest *request, const Framing *framing)
{
        const HttpServer *server = request->connection->server;

        request->body = BUFFER_INIT(server->limits.max_body);
        if (framing->length > server->limits.max_body)
                return refuse_size(request);
        if (!drops_body(request) && !count_body(request, (size_t)framing->length))
                return http_reply_no_memory(request);
        return 0;
}

/* Everything that is looked at before the body. Afterwards either there is a reply or the body may come. */
static int check_request(HttpRequest *request, const char *method, const Framing *framing)
{
        const HttpServer *server = request->connection->server;
        int r;

        r = check_route(request, method);
        if (r < 0 || request->stage == STAGE_REPLIED)
                return r;

        if (request->route->gate) {
                r = request->route->gate(request, server->options.userdata);
                if (r < 0 || request->stage == STAGE_REPLIED)
                        return r;
        }
        return check_body(request, framing);
}

/* The body. */

/* From here on what comes is only counted, and `status` is the answer at its end. */
static void start_draining(HttpRequest *request, unsigned status)
{
        request_release_body(request);
        request->stage = STAGE_DRAINING;
        request->drain_status = status;
}

static enum MHD_Result take_upload(HttpRequest *request, const char *data, size_t size)
{
        const HttpServer *server = request->connection->server;

        if (drops_body(request)) {
                request->drained += size;
                return request->drained > server->limits.max_body ? MHD_NO : MHD_YES;
        }
        if (size > request->body.max - request->body.size) {
                start_draining(request, 413);
                return MHD_YES;
        }
        /* A declared length was counted as a whole. */
        if (request->body.size + size > request->counted &&
                        !count_body(request, request->body.size + size - request->counted)) {
                start_draining(request, 503);
                return MHD_YES;
        }
        if (buffer_reserve(&request->body, MAX(size, request->counted - request->body.size)) < 0 ||
                        buffer_append(&request->body, data, size) < 0)
                start_draining(request, 503);
        return MHD_YES;
}

/* The handler. */

static int run_handler(HttpRequest *request)
{
        const HttpServerOptions *options = &request->connection->server->options;
        int r;

        if (request->stage == STAGE_DRAINING) {
                request->stage = STAGE_HANDLING;
                request->close = true;
                return request->drain_status == 413 ? refuse_size(request) : http_reply_no_memory(request);
        }
        request->stage = STAGE_HANDLING;
        connection_set_phase(request->connection, PHASE_HANDLING);
        r = options->check ? options->check(request, options->userdata) : 0;
        return r != 0 ? MIN(r, 0) : request->route->handler(request, options->userdata);
}

/* Queues the reply if there is one, else waits for it. `k` is what the step before returned. */
static enum MHD_Result go_on(HttpRequest *request, int r)
{
        if (request->detached)
                return MHD_YES; /* and not to be touched */
        if (request->dropped)
                return MHD_NO;
        if ((r < 0 || request->failed) && request->stage != STAGE_REPLIED && request_fail(request, r) < 0)
                return MHD_NO;
        if (request->stage == STAGE_REPLIED)
                return reply_queue(request);

        connection_suspend(request->connection);
        return MHD_YES;
}

/* The first call: the headers are there. */
static enum MHD_Result begin(HttpRequest *request, const char *method, const char *version)
{
        Framing f = {};
        const char *why;
        int r;

        request->method = method;
        request->stage = STAGE_BODY;
        why = check_framing(request, version, &f);
        r = why ? refuse_framing(request, why) : check_request(request, method, &f);
        if (request->connection->server->options.secret_header)
                request_wipe_header(request, request->connection->server->options.secret_header);

        if (r < 0 || (request->stage == STAGE_REPLIED && (f.has_body || request->close)))
                return go_on(request, r);
        if (request->stage != STAGE_REPLIED)
                connection_set_phase(request->connection, PHASE_BODY);
        return MHD_YES; /* without a body the next call comes at once, and its answer keeps the connection */
}

static enum MHD_Result on_call(_unused_ void *cls, struct MHD_Connection *mhd, _unused_ const char *url,
                const char *method, const char *version, const char *upload, size_t *upload_size,
                void **slot)
{
        HttpRequest *request = *slot;
        size_t size = *upload_size;

        if (!request || !connection_of(mhd) || request->connection->server->freeing)
                return MHD_NO;

        if (request->stage == STAGE_NEW)
                return begin(request, method, version);
        if (size > 0) {
                *upload_size = 0;
                return request->stage == STAGE_REPLIED ? MHD_YES : take_upload(request, upload, size);
        }
        if (request->stage == STAGE_REPLIED)
                return reply_queue(request);
        if (request->stage == STAGE_QUEUED)
                return MHD_YES;
        if (request->stage == STAGE_HANDLING) { /* woken without a reply */
                if (request->dropped)
                        return MHD_NO;
                connection_suspend(request->connection);
                return MHD_YES;
        }
        return go_on(request, run_handler(request));
}

/* Life. */

static int server_start(HttpServer *server)
{
        const union MHD_DaemonInfo *info;

        /* How many connections there may be is seen to where they are accepted: max_connections, which a
         * reload may change. */
        server->mhd = MHD_start_daemon(
                        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0,
                        NULL, NULL, on_call, server, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        server->options.secret_header ? MEMORY_WITH_SECRET : MEMORY_PER_CONNECTION,
                        MHD_OPTION_CONNECTION_LIMIT, 1000000U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED,
                        on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
                        MHD_OPTION_END);
        if (!server->mhd)
                return -ENOTSUP;

        info = MHD_get_daemon_info(server->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info || info->epoll_fd < 0)
                return -ENOTSUP;
        return sd_event_add_io(server->loop, &server->io, info->epoll_fd, EPOLLIN, on_io, server);
}

static int add_timer(
                HttpServer *server, uint64_t accuracy, sd_event_time_handler_t fn, sd_event_source **ret)
{
        int r;

        r = sd_event_add_time(server->loop, ret, CLOCK_MONOTONIC, UINT64_MAX, accuracy, fn, server);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int http_server_new(sd_event *loop, const HttpServerOptions *options, HttpServer **ret)
{
        _cleanup_(http_server_freep) HttpServer *server = NULL;
        int r;

        server = calloc(1, sizeof(HttpServer));
        if (!server)
                return -ENOMEM;
        server->loop = sd_event_ref(loop);
        server->options = *options;
        server->limits = options->limits;
        server->accepting = true;
        for (Phase p = 0; p < _PHASE_MAX; p++)
                TAILQ_INIT(&server->phases[p]);

        r = sd_event_add_defer(server->loop, &server->resumed, on_resumed, server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->resumed, SD_EVENT_OFF);
        /* libsystemd takes a deferred source for the one that has waited longest, always: without this, one
         * that is enabled again and again lets nobody else have a turn. */
        if (r >= 0)
                r = sd_event_source_set_priority(server->resumed, SD_EVENT_PRIORITY_NORMAL + 1);
        if (r >= 0)
                r = add_timer(server, 1, on_timer, &server->timer); /* several runs may follow each other */
        if (r >= 0)
                r = add_timer(server, USEC_PER_MSEC, on_deadlines, &server->deadlines);
        if (r >= 0)
                r = add_timer(server, USEC_PER_MSEC, on_pause_over, &server->pause);
        if (r >= 0)
                r = server_start(server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(server);
        return 0;
}

/* libmicrohttpd aborts when it is stopped with suspended connections. */
static void resume_all(HttpServer *server)
{
        Connection *connection;

        for (Phase p = 0; p < _PHASE_MAX; p++)
                TAILQ_FOREACH(connection, &server->phases[p], entry) {
                        cut(connection);
                        if (connection->suspended)
                                connection_resume(connection);
                }
}

HttpServer *http_server_free(HttpServer *server)
{
        if (!server)
                return NULL;

        server->freeing = server->quiescing = true;
        if (server->mhd) {
                resume_all(server);
                (void)MHD_run(server->mhd);
                resume_all(server); /* a stream may have been asked once more */
                MHD_stop_daemon(server->mhd);
        }
        for (size_t i = 0; i < server->n_listeners; i++)
                sd_event_source_disable_unref(server->listeners[i]);
        sd_event_source_disable_unref(server->io);
        sd_event_source_disable_unref(server->resumed);
        sd_event_source_disable_unref(server->timer);
        sd_event_source_disable_unref(server->deadlines);
        sd_event_source_disable_unref(server->pause);
        sd_event_unref(server->loop);
        free(server);
        return NULL;
}

unsigned http_server_connections(const HttpServer *server)
{
        return (unsigned)atomic_load(&server->connections);
}

void http_server_set_limits(HttpServer *server, const HttpLimits *limits)
{
        server->limits = *limits;
        server_run(server);
}

void http_server_get_stats(const HttpServer *server, HttpServerStats *ret)
{
        *ret = (HttpServerStats){
                .connections = atomic_load(&server->connections),
                .accepted = atomic_load(&server->accepted),
                .body_bytes = atomic_load(&server->body_bytes),
                .deadlines = atomic_load(&server->n_deadlines),
                .crowded_out = atomic_load(&server->crowded_out),
                .malformed = atomic_load(&server->malformed),
        };
}
