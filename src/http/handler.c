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

#include <stdio.h>
#include <strings.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/request.h"

Connection *connection_of(struct MHD_Connection *mhd)
{
        const union MHD_ConnectionInfo *info;

        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info ? info->socket_context : NULL;
}

void handler_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
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
                connection_set_phase(c, PHASE_HEADER);
                return;
        }
        if (!c)
                return;

        connection_unlink(c);
        atomic_fetch_sub(&s->connections, 1);
        free(c);
        *socket_context = NULL;
}

void *handler_on_target(_unused_ void *cls, const char *uri, struct MHD_Connection *mhd)
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

void handler_on_completed(_unused_ void *cls, struct MHD_Connection *mhd, void **request,
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

/* A token of RFC 9110. */
static bool is_token(const char *name)
{
        const char *p = name;

        while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                        (*p && strchr("-!#$%&'*+.^_`|~", *p)))
                p++;
        return p > name && *p == 0;
}

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

        if (!is_token(name))
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
                return "exactly one Host is wanted";
        if (h.n_length > 0 && h.n_coding > 0)
                return "Content-Length and Transfer-Encoding contradict each other";
        if (h.n_length > 1)
                return "one Content-Length at most is wanted";
        if (h.n_coding > 0 && !is_1_1)
                return "Transfer-Encoding came with HTTP/1.1, and this is an older version";
        if (h.n_coding > 1 || (h.n_coding == 1 && strcasecmp(h.coding, "chunked") != 0))
                return "the only Transfer-Encoding that is taken is chunked";
        if (h.n_length == 1 && parse_u64(h.length, 0, UINT64_MAX, &f.length) < 0)
                return "Content-Length is no number";

        f.chunked = h.n_coding == 1;
        f.has_body = f.chunked || f.length > 0;
        *ret = f;
        return NULL;
}

/* Takes a part of the budget for bodies. False: there is not so much left. */
static bool account(HttpRequest *r, size_t size)
{
        HttpServer *s = r->connection->server;

        if (size > s->limits.max_bodies || atomic_load(&s->body_bytes) > s->limits.max_bodies - size)
                return false;
        atomic_fetch_add(&s->body_bytes, size);
        r->accounted += size;
        return true;
}

static int refuse_size(HttpRequest *r)
{
        return http_reply_error(r, 413, NULL, "The body is larger than the %zu bytes that are taken.",
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
        if (!drops_body(r) && !account(r, (size_t)f->length))
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
        /* A declared length was accounted as a whole. */
        if (r->body.size + size > r->accounted && !account(r, r->body.size + size - r->accounted)) {
                start_draining(r, 503);
                return MHD_YES;
        }
        if (buffer_reserve(&r->body, MAX(size, r->accounted - r->body.size)) < 0 ||
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

enum MHD_Result handler_on_call(_unused_ void *cls, struct MHD_Connection *mhd, _unused_ const char *url,
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
