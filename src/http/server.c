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

#include <fcntl.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/request.h"

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

void connection_unlink(Connection *c)
{
        ConnectionList *l = &c->server->phases[c->phase];

        if (!c->prev)
                return;
        *c->prev = c->next;
        if (c->next)
                c->next->prev = c->prev;
        else
                l->tail = c->prev;
        c->prev = NULL;
        c->next = NULL;
}

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

void connection_set_phase(Connection *c, Phase phase)
{
        ConnectionList *l = &c->server->phases[phase];

        connection_unlink(c);
        c->phase = phase;
        c->since = now_monotonic();
        c->deadline = c->since + phase_timeout(c->server, phase);
        c->prev = l->tail;
        *l->tail = c;
        l->tail = &c->next;
}

void connection_cut(Connection *c)
{
        (void)shutdown(c->fd, SHUT_RDWR);
}

/* The last word to a client whose body takes too long: libmicrohttpd waits for the rest of it. */
static void say_timeout(Connection *c)
{
        connection_say(c, 408, "The body did not arrive within its time.");
}

/* Its end is near: it is in none of the lists that have deadlines. */
static void let_go(Connection *c)
{
        connection_set_phase(c, PHASE_HANDLING);
        connection_cut(c);
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
                const ConnectionList *l = &s->phases[i->phase];

                while (l->head && l->head->since + i->patience <= now && n++ < ACCEPT_BATCH) {
                        atomic_fetch_add(&s->crowded_out, 1);
                        if (i->phase == PHASE_BODY)
                                say_timeout(l->head);
                        let_go(l->head);
                }
                if (l->head)
                        next = MIN(next, l->head->since + i->patience);
        }
        return next;
}

/* Cuts what is late and sets the timer for what is next. */
void server_check_deadlines(HttpServer *s)
{
        uint64_t now = now_monotonic(), next;

        next = make_room(s, now);
        for (Phase p = PHASE_HEADER; p < _PHASE_MAX; p++) {
                while (s->phases[p].head && s->phases[p].head->deadline <= now)
                        expire(s->phases[p].head);
                if (s->phases[p].head)
                        next = MIN(next, s->phases[p].head->deadline);
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

        server_check_deadlines(s);
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
        s->quiescing = true;
        for (size_t i = 0; i < s->n_listeners; i++)
                sd_event_source_disable_unref(s->listeners[i]);
        s->n_listeners = 0;

        /* Whoever is silent gets a moment: a request may be on its way, and cutting the connection would
         * reset it. It is answered, and told to close. */
        for (Phase p = PHASE_HEADER; p < _PHASE_MAX; p++)
                for (Connection *c = s->phases[p].head; c && (p == PHASE_HEADER || p == PHASE_IDLE);
                                c = c->next)
                        c->deadline = MIN(c->deadline, now_monotonic() + QUIESCE_USEC);
        server_run(s);
}

/* Life. */

static int server_start(HttpServer *s)
{
        const union MHD_DaemonInfo *info;

        /* How many connections there may be is seen to where they are accepted: max_connections, which a
         * reload may change. */
        s->mhd = MHD_start_daemon(
                        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0,
                        NULL, NULL, handler_on_call, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                        s->options.secret_header ? MEMORY_WITH_SECRET : MEMORY_PER_CONNECTION,
                        MHD_OPTION_CONNECTION_LIMIT, 1000000U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                        MHD_OPTION_URI_LOG_CALLBACK, handler_on_target, s, MHD_OPTION_NOTIFY_COMPLETED,
                        handler_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, handler_on_connection, s,
                        MHD_OPTION_END);
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
                s->phases[p].tail = &s->phases[p].head;

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
        for (Phase p = 0; p < _PHASE_MAX; p++)
                for (Connection *c = s->phases[p].head; c; c = c->next) {
                        connection_cut(c);
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
