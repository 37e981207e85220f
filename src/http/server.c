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
        static QueueResponse queue;

        if (!queue)
                *(void **)&queue = dlsym(RTLD_NEXT, "MHD_queue_response");
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

static void say_last(Connection *c, unsigned status, const char *error)
{
        char body[256], text[512];
        int n;

        n = snprintf(body, sizeof(body), "{\"status_code\":%u,\"error\":\"%s\"}", status, error);
        n = snprintf(text, sizeof(text),
                        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: %d\r\n\r\n%s",
                        status, MHD_get_reason_phrase_for(status), n, body);
        (void)send(c->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (c->server->options.on_reply)
                c->server->options.on_reply(status, c->server->options.userdata);
}

/* Called by libmicrohttpd alone. */
enum MHD_Result MHD_queue_response(
                struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response)
{
        Connection *c = connection_of(mhd);

        if (c) {
                say_last(c, status, describe(status));
                (void)shutdown(c->fd, SHUT_WR);
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

static uint64_t phase_timeout(const HttpServer *s, Phase phase)
{
        switch (phase) {
        case PHASE_HEADER:
                return s->limits.header_timeout;
        case PHASE_BODY:
                return s->limits.body_timeout;
        case PHASE_IDLE:
                return s->quiescing ? MIN(QUIESCE_USEC, s->limits.idle_timeout) : s->limits.idle_timeout;
        case PHASE_WRITE:
                return s->limits.write_timeout;
        case PHASE_HANDLING:
        case _PHASE_MAX:
        default:
                return 0;
        }
}

static void link_connection(Connection *c, Phase phase)
{
        c->phase = phase;
        c->since = now_monotonic();
        c->deadline = c->since + phase_timeout(c->server, phase);
        TAILQ_INSERT_TAIL(&c->server->phases[phase], c, entry);
}

static void unlink_connection(Connection *c)
{
        TAILQ_REMOVE(&c->server->phases[c->phase], c, entry);
}

void connection_set_phase(Connection *c, Phase phase)
{
        unlink_connection(c);
        link_connection(c, phase);
}

static void cut(Connection *c)
{
        (void)shutdown(c->fd, SHUT_RDWR);
}

/* The last word to a client whose body takes too long: libmicrohttpd waits for the rest of it. */
static void say_timeout(Connection *c)
{
        say_last(c, 408, "The body did not arrive within its time.");
}

/* Its end is near: it is in none of the lists that have deadlines. */
static void let_go(Connection *c)
{
        connection_set_phase(c, PHASE_HANDLING);
        cut(c);
        if (c->suspended)
                connection_resume(c);
}

static void expire(Connection *c)
{
        if (c->phase == PHASE_BODY)
                say_timeout(c);
        if (c->phase != PHASE_IDLE)
                atomic_fetch_add(&c->server->n_deadlines, 1);

        let_go(c);
}

/* Who has been at it for longest; NULL: nobody is. */
static Connection *first_at(const HttpServer *s, Phase phase)
{
        return TAILQ_FIRST(&s->phases[phase]);
}

static bool has_room(const HttpServer *s)
{
        return atomic_load(&s->connections) < s->limits.max_connections;
}

/* Room for those who wait. Who has been longest at saying nothing, or at taking nothing of an answer, goes
 * first, not more at a time than are accepted at a time. Returns when the next one will have been at it for
 * long enough; UINT64_MAX: nobody waits. */
static uint64_t make_room(HttpServer *s, uint64_t now)
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

        if (!s->crowded || has_room(s) || s->quiescing)
                return next;
        FOREACH_ARRAY(i, idlers, ELEMENTSOF(idlers)) {
                Connection *c;

                while ((c = first_at(s, i->phase)) && c->since + i->patience <= now && n++ < ACCEPT_BATCH) {
                        atomic_fetch_add(&s->crowded_out, 1);
                        if (i->phase == PHASE_BODY)
                                say_timeout(c);
                        let_go(c);
                }
                if (c)
                        next = MIN(next, c->since + i->patience);
        }
        return next;
}

/* Cuts what is late and sets the timer for what is next. */
static void check_deadlines(HttpServer *s)
{
        uint64_t now = now_monotonic(), next;

        next = make_room(s, now);
        for (Phase p = PHASE_HEADER; p < _PHASE_MAX; p++) {
                Connection *c;

                while ((c = first_at(s, p)) && c->deadline <= now)
                        expire(c);
                if (c)
                        next = MIN(next, c->deadline);
        }
        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(s->deadlines, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(s->deadlines, next);
        (void)sd_event_source_set_enabled(s->deadlines, SD_EVENT_ONESHOT);
}

/* Running. */

static void server_run(HttpServer *s);

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

void connection_suspend(Connection *c)
{
        assert(!c->suspended);
        c->suspended = true;
        MHD_suspend_connection(c->mhd);
}

/* It goes on with the next run, which is the next thing that the loop does: libmicrohttpd's own wake-up
 * reaches nobody in this mode, and a timer, however short, would only fire a while later. */
void connection_resume(Connection *c)
{
        HttpServer *s = c->server;

        assert(c->suspended);
        c->suspended = false;
        MHD_resume_connection(c->mhd);
        (void)sd_event_source_set_enabled(s->resumed, SD_EVENT_ONESHOT);
}

/* Accepting. */

static void set_accepting(HttpServer *s, bool accepting)
{
        if (s->accepting == accepting)
                return;
        s->accepting = accepting;
        for (size_t i = 0; i < s->n_listeners; i++)
                (void)sd_event_source_set_enabled(s->listeners[i], accepting ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_pause_over(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        HttpServer *s = userdata;

        if (has_room(s) && !s->quiescing)
                set_accepting(s, true);
        return 0;
}

/* Descriptors or memory ran out: connections wait in the backlog for a moment. */
static void pause_accepting(HttpServer *s)
{
        set_accepting(s, false);
        (void)sd_event_source_set_time_relative(s->pause, PAUSE_USEC);
        (void)sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT);
}

static void add_connection(HttpServer *s, int fd, socklen_t size)
{
        enum MHD_Result ok;

        /* libmicrohttpd wants an address of a family that it knows; the peer is remembered by us. */
        ok = MHD_add_connection(s->mhd, fd, (struct sockaddr *)&s->accepted_peer, size);
        if (ok == MHD_YES)
                atomic_fetch_add(&s->accepted, 1);
        else
                log_debug("A connection could not be added to the %s server", s->options.what);
}

static int on_listener(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        HttpServer *s = userdata;

        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                socklen_t size = sizeof(s->accepted_peer);
                int client;

                if (!has_room(s)) {
                        if (i > 0)
                                break; /* whether somebody else waits is not known yet */
                        s->crowded = true;
                        set_accepting(s, false); /* until one closes */
                        break;
                }
                s->accepted_peer = (struct sockaddr_storage){ .ss_family = AF_UNIX };
                client = accept4(fd, (struct sockaddr *)&s->accepted_peer, &size,
                                SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client >= 0) {
                        add_connection(s, client, size);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        pause_accepting(s);
                if (errno == EAGAIN)
                        s->crowded = false;
                if (errno != EINTR && errno != ECONNABORTED)
                        break;
        }
        server_run(s);
        return 0;
}

static void server_run(HttpServer *s)
{
        MHD_UNSIGNED_LONG_LONG msec;

        (void)MHD_run(s->mhd);

        if (MHD_get_timeout(s->mhd, &msec) != MHD_YES)
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        else if (msec == 0)
                (void)sd_event_source_set_enabled(s->resumed, SD_EVENT_ONESHOT);
        else {
                (void)sd_event_source_set_time_relative(s->timer, msec * USEC_PER_MSEC);
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
        }

        check_deadlines(s);
        if (!s->accepting && !s->quiescing && has_room(s) &&
                        sd_event_source_get_enabled(s->pause, NULL) == SD_EVENT_OFF)
                set_accepting(s, true);
}

int http_server_add_listener(HttpServer *s, int listener)
{
        _cleanup_close_ int fd = listener;
        sd_event_source *source;
        int flags, r;

        if (s->n_listeners == LISTENERS_MAX)
                return -E2BIG;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;

        r = sd_event_add_io(s->loop, &source, fd, EPOLLIN, on_listener, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(source, true);
        if (r < 0) {
                sd_event_source_disable_unref(source);
                return r;
        }
        (void)take_fd(&fd);
        s->listeners[s->n_listeners++] = source;
        return 0;
}

void http_server_quiesce(HttpServer *s)
{
        static const Phase silent[] = { PHASE_HEADER, PHASE_IDLE };
        Connection *c;

        s->quiescing = true;
        for (size_t i = 0; i < s->n_listeners; i++)
                sd_event_source_disable_unref(s->listeners[i]);
        s->n_listeners = 0;

        /* Whoever is silent gets a moment: a request may be on its way, and cutting the connection would
         * reset it. It is answered, and told to close. */
        FOREACH_ARRAY(phase, silent, ELEMENTSOF(silent))
                TAILQ_FOREACH(c, &s->phases[*phase], entry)
                        c->deadline = MIN(c->deadline, now_monotonic() + QUIESCE_USEC);
        server_run(s);
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
        HttpServer *s = cls;
        Connection *c = *socket_context;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                const union MHD_ConnectionInfo *info;

                info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
                c = calloc(1, sizeof(Connection));
                if (!c) {
                        /* Nobody would see to its deadlines. */
                        if (info)
                                (void)shutdown(info->connect_fd, SHUT_RDWR);
                        return;
                }
                c->server = s;
                c->mhd = mhd;
                c->fd = info ? info->connect_fd : -EBADF;
                c->peer = s->accepted_peer;
                *socket_context = c;
                atomic_fetch_add(&s->connections, 1);
                link_connection(c, PHASE_HEADER);
                return;
        }
        if (!c)
                return;

        unlink_connection(c);
        atomic_fetch_sub(&s->connections, 1);
        free(c);
        *socket_context = NULL;
}

static void *on_target(_unused_ void *cls, const char *uri, struct MHD_Connection *mhd)
{
        Connection *c = connection_of(mhd);
        HttpRequest *r;

        if (!c || request_new(c, uri, &r) < 0)
                return NULL;

        c->request = r;
        /* The first request's time began with the connection. */
        if (c->phase != PHASE_HEADER)
                connection_set_phase(c, PHASE_HEADER);
        return r;
}

static void on_completed(_unused_ void *cls, struct MHD_Connection *mhd, void **request,
                _unused_ enum MHD_RequestTerminationCode code)
{
        Connection *c = connection_of(mhd);
        HttpRequest *r = *request;

        *request = NULL;
        if (!r)
                return;

        request_free(r);
        if (!c)
                return;
        c->request = NULL;
        connection_set_phase(c, PHASE_IDLE);
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
        FramingHeaders *h = cls;

        if (!header_is_token(name))
                h->bad_name = true;
        else if (strcasecmp(name, "Content-Length") == 0) {
                h->n_length++;
                h->length = value ?: "";
        } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
                h->n_coding++;
                h->coding = value ?: "";
        } else if (strcasecmp(name, "Host") == 0)
                h->n_host++;
        return MHD_YES;
}

typedef struct Framing {
        bool has_body;
        bool chunked;
        uint64_t length;
} Framing;

/* NULL, or what could be read in two ways. */
static const char *check_framing(const HttpRequest *r, const char *version, Framing *ret)
{
        bool is_1_1 = streq(version, MHD_HTTP_VERSION_1_1);
        FramingHeaders h = {};
        Framing f = {};

        MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, on_header, &h);
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
static bool count_body(HttpRequest *r, size_t size)
{
        HttpServer *s = r->connection->server;

        if (size > s->limits.max_bodies || atomic_load(&s->body_bytes) > s->limits.max_bodies - size)
                return false;
        atomic_fetch_add(&s->body_bytes, size);
        r->counted += size;
        return true;
}

static int refuse_size(HttpRequest *r)
{
        return http_reply_error(r, 413, NULL, "The body is larger than the %zu bytes that it may have.",
                        r->connection->server->limits.max_body);
}

static int refuse_framing(HttpRequest *r, const char *why)
{
        r->close = true;
        atomic_fetch_add(&r->connection->server->malformed, 1);
        return http_reply_error(r, 400, NULL, "The request could be read in two ways: %s.", why);
}

static int check_route(HttpRequest *r, const char *method)
{
        const HttpServerOptions *options = &r->connection->server->options;
        char allow[ALLOW_SIZE];
        int k;

        if (strlen(r->target) > HTTP_URI_MAX)
                return http_reply_error(r, 414, NULL, "The target is longer than %u bytes.", HTTP_URI_MAX);

        switch (route_find(options->routes, r, method, allow)) {
        case ROUTE_NO_PATH:
                if (options->on_no_path)
                        options->on_no_path(r, options->userdata);
                return http_reply_error(r, 404, NULL, "There is nothing at this path.");
        case ROUTE_NO_METHOD:
                k = http_reply_header(r, "Allow", allow);
                if (k < 0)
                        return k;
                return http_reply_error(r, 405, NULL, "This path takes %s.", allow);
        case ROUTE_NO_MEMORY:
                return -ENOMEM;
        case ROUTE_FOUND:
        default:
                break;
        }
        if (r->too_many_query)
                return http_reply_error(r, 400, NULL, "There are more than %u query parameters.",
                                HTTP_QUERY_ARGS_MAX);
        return 0;
}

static bool drops_body(const HttpRequest *r)
{
        return r->stage == STAGE_DRAINING || streq(r->route->method, MHD_HTTP_METHOD_GET);
}

static int check_body(HttpRequest *r, const Framing *f)
{
        const HttpServer *s = r->connection->server;

        r->body = BUFFER_INIT(s->limits.max_body);
        if (f->length > s->limits.max_body)
                return refuse_size(r);
        if (!drops_body(r) && !count_body(r, (size_t)f->length))
                return http_reply_no_memory(r);
        return 0;
}

/* Everything that is looked at before the body. Afterwards either there is a reply or the body may come. */
static int check_request(HttpRequest *r, const char *method, const Framing *f)
{
        const HttpServer *s = r->connection->server;
        int k;

        k = check_route(r, method);
        if (k < 0 || r->stage == STAGE_REPLIED)
                return k;

        if (r->route->gate) {
                k = r->route->gate(r, s->options.userdata);
                if (k < 0 || r->stage == STAGE_REPLIED)
                        return k;
        }
        return check_body(r, f);
}

/* The body. */

/* From here on what comes is only counted, and `status` is the answer at its end. */
static void start_draining(HttpRequest *r, unsigned status)
{
        request_release_body(r);
        r->stage = STAGE_DRAINING;
        r->drain_status = status;
}

static enum MHD_Result take_upload(HttpRequest *r, const char *data, size_t size)
{
        const HttpServer *s = r->connection->server;

        if (drops_body(r)) {
                r->drained += size;
                return r->drained > s->limits.max_body ? MHD_NO : MHD_YES;
        }
        if (size > r->body.max - r->body.size) {
                start_draining(r, 413);
                return MHD_YES;
        }
        /* A declared length was counted as a whole. */
        if (r->body.size + size > r->counted && !count_body(r, r->body.size + size - r->counted)) {
                start_draining(r, 503);
                return MHD_YES;
        }
        if (buffer_reserve(&r->body, MAX(size, r->counted - r->body.size)) < 0 ||
                        buffer_append(&r->body, data, size) < 0)
                start_draining(r, 503);
        return MHD_YES;
}

/* The handler. */

static int run_handler(HttpRequest *r)
{
        const HttpServerOptions *o = &r->connection->server->options;
        int k;

        if (r->stage == STAGE_DRAINING) {
                r->stage = STAGE_HANDLING;
                r->close = true;
                return r->drain_status == 413 ? refuse_size(r) : http_reply_no_memory(r);
        }
        r->stage = STAGE_HANDLING;
        connection_set_phase(r->connection, PHASE_HANDLING);
        k = o->check ? o->check(r, o->userdata) : 0;
        return k != 0 ? MIN(k, 0) : r->route->handler(r, o->userdata);
}

/* Queues the reply if there is one, else waits for it. `k` is what the step before returned. */
static enum MHD_Result go_on(HttpRequest *r, int k)
{
        if (r->detached)
                return MHD_YES; /* and not to be touched */
        if (r->dropped)
                return MHD_NO;
        if ((k < 0 || r->failed) && r->stage != STAGE_REPLIED && request_fail(r, k) < 0)
                return MHD_NO;
        if (r->stage == STAGE_REPLIED)
                return reply_queue(r);

        connection_suspend(r->connection);
        return MHD_YES;
}

/* The first call: the headers are there. */
static enum MHD_Result begin(HttpRequest *r, const char *method, const char *version)
{
        Framing f = {};
        const char *why;
        int k;

        r->method = method;
        r->stage = STAGE_BODY;
        why = check_framing(r, version, &f);
        k = why ? refuse_framing(r, why) : check_request(r, method, &f);
        if (r->connection->server->options.secret_header)
                request_wipe_header(r, r->connection->server->options.secret_header);

        if (k < 0 || (r->stage == STAGE_REPLIED && (f.has_body || r->close)))
                return go_on(r, k);
        if (r->stage != STAGE_REPLIED)
                connection_set_phase(r->connection, PHASE_BODY);
        return MHD_YES; /* without a body the next call comes at once, and its answer keeps the connection */
}

static enum MHD_Result on_call(_unused_ void *cls, struct MHD_Connection *mhd, _unused_ const char *url,
                const char *method, const char *version, const char *upload, size_t *upload_size,
                void **request)
{
        HttpRequest *r = *request;
        size_t size = *upload_size;

        if (!r || !connection_of(mhd) || r->connection->server->freeing)
                return MHD_NO;

        if (r->stage == STAGE_NEW)
                return begin(r, method, version);
        if (size > 0) {
                *upload_size = 0;
                return r->stage == STAGE_REPLIED ? MHD_YES : take_upload(r, upload, size);
        }
        if (r->stage == STAGE_REPLIED)
                return reply_queue(r);
        if (r->stage == STAGE_QUEUED)
                return MHD_YES;
        if (r->stage == STAGE_HANDLING) { /* woken without a reply */
                if (r->dropped)
                        return MHD_NO;
                connection_suspend(r->connection);
                return MHD_YES;
        }
        return go_on(r, run_handler(r));
}

/* Life. */

static int server_start(HttpServer *s)
{
        const union MHD_DaemonInfo *info;

        /* How many connections there may be is seen to where they are accepted: max_connections, which a
         * reload may change. */
        s->mhd = MHD_start_daemon(
                        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0,
                        NULL, NULL, on_call, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        s->options.secret_header ? MEMORY_WITH_SECRET : MEMORY_PER_CONNECTION,
                        MHD_OPTION_CONNECTION_LIMIT, 1000000U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                        s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
        if (!s->mhd)
                return -ENOTSUP;

        info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info || info->epoll_fd < 0)
                return -ENOTSUP;
        return sd_event_add_io(s->loop, &s->io, info->epoll_fd, EPOLLIN, on_io, s);
}

static int add_timer(HttpServer *s, uint64_t accuracy, sd_event_time_handler_t fn, sd_event_source **ret)
{
        int r;

        r = sd_event_add_time(s->loop, ret, CLOCK_MONOTONIC, UINT64_MAX, accuracy, fn, s);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int http_server_new(sd_event *loop, const HttpServerOptions *options, HttpServer **ret)
{
        _cleanup_(http_server_freep) HttpServer *s = NULL;
        int r;

        s = calloc(1, sizeof(HttpServer));
        if (!s)
                return -ENOMEM;
        s->loop = sd_event_ref(loop);
        s->options = *options;
        s->limits = options->limits;
        s->accepting = true;
        for (Phase p = 0; p < _PHASE_MAX; p++)
                TAILQ_INIT(&s->phases[p]);

        r = sd_event_add_defer(s->loop, &s->resumed, on_resumed, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->resumed, SD_EVENT_OFF);
        /* libsystemd takes a deferred source for the one that has waited longest, always: without this, one
         * that is enabled again and again lets nobody else have a turn. */
        if (r >= 0)
                r = sd_event_source_set_priority(s->resumed, SD_EVENT_PRIORITY_NORMAL + 1);
        if (r >= 0)
                r = add_timer(s, 1, on_timer, &s->timer); /* several runs may follow each other */
        if (r >= 0)
                r = add_timer(s, USEC_PER_MSEC, on_deadlines, &s->deadlines);
        if (r >= 0)
                r = add_timer(s, USEC_PER_MSEC, on_pause_over, &s->pause);
        if (r >= 0)
                r = server_start(s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

/* libmicrohttpd aborts when it is stopped with suspended connections. */
static void resume_all(HttpServer *s)
{
        Connection *c;

        for (Phase p = 0; p < _PHASE_MAX; p++)
                TAILQ_FOREACH(c, &s->phases[p], entry) {
                        cut(c);
                        if (c->suspended)
                                connection_resume(c);
                }
}

HttpServer *http_server_free(HttpServer *s)
{
        if (!s)
                return NULL;

        s->freeing = s->quiescing = true;
        if (s->mhd) {
                resume_all(s);
                (void)MHD_run(s->mhd);
                resume_all(s); /* a stream may have been asked once more */
                MHD_stop_daemon(s->mhd);
        }
        for (size_t i = 0; i < s->n_listeners; i++)
                sd_event_source_disable_unref(s->listeners[i]);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->resumed);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->deadlines);
        sd_event_source_disable_unref(s->pause);
        sd_event_unref(s->loop);
        free(s);
        return NULL;
}

unsigned http_server_connections(const HttpServer *s)
{
        return (unsigned)atomic_load(&s->connections);
}

void http_server_set_limits(HttpServer *s, const HttpLimits *limits)
{
        s->limits = *limits;
        server_run(s);
}

void http_server_get_stats(const HttpServer *s, HttpServerStats *ret)
{
        *ret = (HttpServerStats){
                .connections = atomic_load(&s->connections),
                .accepted = atomic_load(&s->accepted),
                .body_bytes = atomic_load(&s->body_bytes),
                .deadlines = atomic_load(&s->n_deadlines),
                .crowded_out = atomic_load(&s->crowded_out),
                .malformed = atomic_load(&s->malformed),
        };
}
