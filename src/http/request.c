/* The request as handlers see it. Everything that it hands out lives as long as it does. */

#include "http/request.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"

#define HOLD_FACTOR 4U                  /* times what bodies may take */
#define HOLD_SMALL  ((size_t)64 * 1024) /* so much anybody may have, however short memory is */
#define HOLD_HEAVY  ((size_t)1024 * 1024)

int request_new(Connection *connection, const char *target, HttpRequest **ret)
{
        HttpRequest *request;

        request = calloc(1, sizeof(HttpRequest));
        if (!request)
                return -ENOMEM;

        request->connection = connection;
        request->started = now_monotonic();
        request->method = "";
        request->target = strndup(target, HTTP_URI_MAX + 1); /* one more tells that it was too long */
        request->path = request->target ? strndup(request->target, strcspn(request->target, "?")) : NULL;
        if (!request->path) {
                free(request->target);
                free(request);
                return -ENOMEM;
        }
        *ret = request;
        return 0;
}

void request_release_body(HttpRequest *request)
{
        buffer_done(&request->body);
        atomic_fetch_sub(&request->connection->server->body_bytes, request->counted);
        request->counted = 0;
}

bool http_request_hold(HttpRequest *request, size_t size)
{
        HttpServer *server = request->connection->server;
        uint64_t others = atomic_load(&server->held_bytes) - request->held;

        if (size > HOLD_SMALL && others > 0 &&
                        others + request->held + size > HOLD_FACTOR * server->limits.max_bodies)
                return false;
        atomic_fetch_add(&server->held_bytes, size);
        request->held += size;
        return true;
}

HttpRequest *request_free(HttpRequest *request)
{
        bool was_heavy;

        if (!request)
                return NULL;
        was_heavy = request->held >= HOLD_HEAVY;

        if (request->has_stream && request->stream.done)
                request->stream.done(request->stream_userdata);
        if (request->destroy)
                request->destroy(request->userdata);
        sd_event_source_disable_unref(request->hangup);
        if (request->response)
                MHD_destroy_response(request->response);
        for (unsigned i = 0; i < request->n_headers; i++) {
                free(request->headers[i].name);
                free(request->headers[i].value);
        }
        request_release_body(request);
        atomic_fetch_sub(&request->connection->server->held_bytes, request->held);
        free(request->reply);
        free(request->query);
        free(request->target);
        free(request->path);
        free(request);
        if (was_heavy)
                (void)malloc_trim(0); /* the allocator would keep it for ever */
        return NULL;
}

const char *http_request_method(const HttpRequest *request)
{
        return request->method;
}

const char *http_request_path(const HttpRequest *request)
{
        return request->path;
}

const char *http_request_path_arg(const HttpRequest *request, unsigned i)
{
        return i < request->n_args ? request->args[i] : NULL;
}

const char *http_request_query(const HttpRequest *request, const char *name)
{
        for (size_t i = request->n_query; i-- > 0;)
                if (streq(request->query[i].name, name))
                        return request->query[i].value;
        return NULL;
}

const struct Param *http_request_params(const HttpRequest *request)
{
        return request->route->params;
}

int http_request_each_query(
                const HttpRequest *request, int (*fn)(const FormPair *pair, void *userdata), void *userdata)
{
        for (size_t i = 0; i < request->n_query; i++) {
                int r = fn(&request->query[i], userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Headers by name. */
typedef struct Search {
        const char *name;
        unsigned n;    /* found so far */
        unsigned want; /* which one is wanted */
        const char *value;
} Search;

static enum MHD_Result on_header(
                void *cls, _unused_ enum MHD_ValueKind kind, const char *name, const char *value)
{
        Search *search = cls;

        if (strcasecmp(name, search->name) == 0 && search->n++ == search->want)
                search->value = value ?: "";
        return MHD_YES;
}

static Search search(const HttpRequest *request, const char *name, unsigned i)
{
        Search s = { .name = name, .want = i };

        MHD_get_connection_values(request->connection->mhd, MHD_HEADER_KIND, on_header, &s);
        return s;
}

const char *http_request_header_at(const HttpRequest *request, const char *name, unsigned i)
{
        return search(request, name, i).value;
}

const char *http_request_header(const HttpRequest *request, const char *name)
{
        return search(request, name, 0).value;
}

unsigned http_request_header_count(const HttpRequest *request, const char *name)
{
        return search(request, name, 0).n;
}

static enum MHD_Result wipe_value(
                void *cls, _unused_ enum MHD_ValueKind kind, const char *name, const char *value)
{
        if (value && strcasecmp(name, cls) == 0)
                explicit_bzero((char *)(uintptr_t)value, strlen(value));
        return MHD_YES;
}

/* Values lie in the memory that libmicrohttpd has read the request into, which it neither looks at again nor
 * wipes: it is there until the next request is read over it, and in what was freed even longer. */
void request_wipe_header(const HttpRequest *request, const char *name)
{
        MHD_get_connection_values(
                        request->connection->mhd, MHD_HEADER_KIND, wipe_value, (void *)(uintptr_t)name);
}

const void *http_request_body(const HttpRequest *request, size_t *ret_size)
{
        *ret_size = request->body.size;
        return buffer_text(&request->body);
}

const struct sockaddr *http_request_peer(const HttpRequest *request)
{
        return (const struct sockaddr *)(const void *)&request->connection->peer;
}

uint64_t http_request_started(const HttpRequest *request)
{
        return request->started;
}

void http_request_set_userdata(HttpRequest *request, void *userdata, void (*destroy)(void *userdata))
{
        assert(!request->userdata);
        request->userdata = userdata;
        request->destroy = destroy;
}

void *http_request_get_userdata(const HttpRequest *request)
{
        return request->userdata;
}

/*
 * Routes. A path is cut at its slashes first and decoded afterwards, so that an encoded slash is a character
 * of a segment and never a separator; a segment with an encoded NUL fits nothing. 404, 405 and Allow follow
 * from the one table.
 */

#define SEGMENTS_MAX 16U

typedef struct Segments {
        char *items[SEGMENTS_MAX];
        size_t n;
} Segments;

/* "http://host/path" is "/path". */
static char *strip_origin(char *target)
{
        size_t scheme = url_scheme_size(target);

        return scheme > 0 ? strchr(target + scheme, '/') ?: target : target;
}

static bool split_path(char *path, Segments *ret)
{
        Segments s = {};

        if (*path != '/')
                return false;

        for (char *p = path; p;) {
                char *segment = p + 1;
                size_t size;

                p = strchr(segment, '/');
                if (p)
                        *p = 0;
                if (s.n == SEGMENTS_MAX)
                        return false;
                size = form_decode(segment, false);
                if (size != strlen(segment))
                        return false;
                s.items[s.n++] = segment;
        }
        *ret = s;
        return true;
}

/* Whether the pattern fits, and the segments that its braces stand for. */
static bool match(const char *pattern, const Segments *segments, HttpRequest *request)
{
        unsigned n_args = 0;

        for (size_t i = 0; i < segments->n; i++) {
                size_t n;

                if (*pattern++ != '/')
                        return false;
                n = strcspn(pattern, "/");
                if (*pattern == '{') {
                        if (*segments->items[i] == 0 || n_args == HTTP_PATH_ARGS_MAX)
                                return false;
                        request->args[n_args++] = segments->items[i];
                } else if (strlen(segments->items[i]) != n || memcmp(segments->items[i], pattern, n) != 0)
                        return false;
                pattern += n;
        }
        request->n_args = n_args;
        return *pattern == 0;
}

static void allow_add(char *allow, const char *method)
{
        size_t n = strlen(allow);

        snprintf(allow + n, ALLOW_SIZE - n, "%s%s", n > 0 ? ", " : "", method);
}

static bool method_fits(const char *of_route, const char *method)
{
        return streq(of_route, method) || (streq(of_route, "GET") && streq(method, "HEAD"));
}

/* False: there is no memory. Too many parameters are remembered. */
static bool split_query(HttpRequest *request, char *query)
{
        request->query = calloc(HTTP_QUERY_ARGS_MAX, sizeof(FormPair));
        if (!request->query)
                return false;
        if (form_split(query, request->query, HTTP_QUERY_ARGS_MAX, &request->n_query) < 0) {
                request->too_many_query = true;
                request->n_query = 0;
        }
        return true;
}

RouteResult route_find(const HttpRoute *routes, HttpRequest *request, const char *method,
                char allow[static ALLOW_SIZE])
{
        char *path = strip_origin(request->target), *query = strchr(path, '?');
        Segments segments;

        allow[0] = 0;
        if (query) {
                *query++ = 0;
                if (*query && !split_query(request, query))
                        return ROUTE_NO_MEMORY;
        }
        if (!split_path(path, &segments))
                return ROUTE_NO_PATH;

        for (const HttpRoute *route = routes; route->method; route++) {
                if (!match(route->path, &segments, request))
                        continue;
                if (method_fits(route->method, method)) {
                        request->route = route;
                        return ROUTE_FOUND;
                }
                allow_add(allow, route->method);
                if (streq(route->method, "GET"))
                        allow_add(allow, "HEAD");
        }
        return *allow ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}

/*
 * Replies. One may come while the handler runs or any time later; in between the connection is suspended and
 * costs nothing. Larger bodies and streams are handed over piece by piece, and every piece taken starts the
 * deadline again: a reader may be slow, but not for ever between two pieces.
 */

#define LARGE      ((size_t)64 * 1024) /* a body that may not fit into the socket at once */
#define JSON_MAX   ((size_t)256 * 1024 * 1024)
#define BLOCK_SIZE ((size_t)16 * 1024)

#define NO_MEMORY_RETRY_AFTER "5" /* seconds: what is in flight is through long before */

/* Without this a request whose reply comes later would wait for it for ever. */
static int fail(HttpRequest *request, int error)
{
        request->failed = true;
        if (request->connection->suspended && !request->detached)
                http_request_drop(request);
        return error;
}

int http_reply_header(HttpRequest *request, const char *name, const char *value)
{
        char *n, *v;

        if (request->n_headers == ELEMENTSOF(request->headers))
                return -ENOBUFS;
        n = strdup(name);
        v = strdup(value);
        if (!n || !v) {
                free(n);
                free(v);
                return fail(request, -ENOMEM);
        }
        request->headers[request->n_headers].name = n;
        request->headers[request->n_headers++].value = v;
        return 0;
}

/* Takes the response; `done` of a stream is the request's matter. */
static int reply_with(HttpRequest *request, unsigned status, const char *content_type,
                struct MHD_Response *response)
{
        bool ok;

        assert(request->stage != STAGE_REPLIED && request->stage != STAGE_QUEUED);
        if (!response)
                return fail(request, -ENOMEM);

        ok = !content_type || MHD_add_response_header(response, "Content-Type", content_type) == MHD_YES;
        for (unsigned i = 0; ok && i < request->n_headers; i++)
                ok = MHD_add_response_header(response, request->headers[i].name,
                                     request->headers[i].value) == MHD_YES;
        if (!ok) {
                MHD_destroy_response(response);
                return fail(request, -ENOMEM);
        }

        request->response = response;
        request->status = status;
        request->stage = STAGE_REPLIED;
        if (request->connection->suspended && !request->detached)
                connection_resume(request->connection);
        return 0;
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* A reader that goes while its stream waits for something to say is noticed. */
static enum MHD_Result stream_watch(HttpRequest *request)
{
        int r;

        r = sd_event_add_io(request->connection->server->loop, &request->hangup, request->connection->fd, 0,
                        on_hangup, request);
        if (r < 0)
                return MHD_NO;
        (void)sd_event_source_set_enabled(request->hangup, SD_EVENT_OFF);
        return MHD_YES;
}

enum MHD_Result reply_queue(HttpRequest *request)
{
        const HttpServer *server = request->connection->server;
        enum MHD_Result ok = MHD_YES;

        if (request->close || server->quiescing)
                ok = MHD_add_response_header(request->response, "Connection", "close");
        if (ok == MHD_YES && request->has_stream)
                ok = stream_watch(request);
        if (ok == MHD_YES)
                ok = refuse_pass(request->connection->mhd, request->status, request->response);
        MHD_destroy_response(request->response);
        request->response = NULL;
        request->stage = STAGE_QUEUED;
        connection_set_phase(request->connection, PHASE_WRITE);
        if (server->options.on_reply)
                server->options.on_reply(request->status, server->options.userdata);
        return ok;
}

static ssize_t read_large(void *cls, uint64_t position, char *buffer, size_t max)
{
        HttpRequest *request = cls;
        size_t n = MIN(max, request->reply_size - (size_t)position);

        memcpy(buffer, request->reply + position, n);
        connection_set_phase(request->connection, PHASE_WRITE);
        return (ssize_t)n;
}

int http_reply(HttpRequest *request, unsigned status, const char *content_type, const void *body,
                size_t size)
{
        if (size < LARGE)
                return reply_with(request, status, content_type,
                                MHD_create_response_from_buffer(
                                                size, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY));

        /* It stays for as long as its reader takes. */
        if (!http_request_hold(request, size))
                return http_reply_no_memory(request);
        free(request->reply);
        request->reply = malloc(size);
        if (!request->reply)
                return fail(request, -ENOMEM);
        memcpy(request->reply, body, size);
        request->reply_size = size;
        /* The request outlives the response: it is freed once the answer is through. */
        return reply_with(request, status, content_type,
                        MHD_create_response_from_callback(size, BLOCK_SIZE, read_large, request, NULL));
}

/* What jansson says of a value that it wrote. It forgets failures on the way, and so do its own buffers: a
 * name would be cut and the answer be JSON no more. */
typedef struct Text {
        Buffer buffer;
        int error;
} Text;

static int append(const char *data, size_t size, void *userdata)
{
        Text *text = userdata;

        if (text->error >= 0)
                text->error = buffer_append(&text->buffer, data, size);
        return text->error;
}

int http_reply_json(HttpRequest *request, unsigned status, json_t *value)
{
        Text t = { .buffer = BUFFER_INIT(JSON_MAX) };
        int r;

        r = value ? json_dump_callback(value, append, &t, JSON_COMPACT | JSON_REAL_PRECISION(15)) : -1;
        json_decref(value);
        if (r < 0 || t.error < 0)
                r = fail(request, -ENOMEM);
        else
                r = http_reply(request, status, "application/json", buffer_text(&t.buffer), t.buffer.size);
        buffer_done(&t.buffer);
        return r;
}

int http_reply_error(HttpRequest *request, unsigned status, json_t *problems, const char *format, ...)
{
        _cleanup_free_ char *message = NULL;
        json_auto_t *list = problems;
        json_t *error;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0) {
                message = NULL;
                return fail(request, -ENOMEM);
        }

        error = json_pack("{s:I, s:s}", "status_code", (json_int_t)status, "error", message);
        if (error && json_array_size(list) > 0 && json_object_set(error, "problems", list) < 0) {
                json_decref(error);
                return fail(request, -ENOMEM);
        }
        return http_reply_json(request, status, error);
}

int http_reply_no_memory(HttpRequest *request)
{
        int r;

        r = http_reply_header(request, "Retry-After", NO_MEMORY_RETRY_AFTER);
        if (r < 0)
                return r;
        return http_reply_error(request, 503, NULL,
                        "The memory for requests in flight is used up: please send it again.");
}

void http_request_drop(HttpRequest *request)
{
        assert(request->stage == STAGE_HANDLING);
        request->dropped = true;
        if (request->connection->suspended)
                connection_resume(request->connection);
}

int request_fail(HttpRequest *request, int r)
{
        log_debug_errno(r < 0 ? r : -ENOMEM, "%s %s failed on the %s server", request->method, request->path,
                        request->connection->server->options.what);
        return http_reply_error(request, 500, NULL, "The request failed inside: see the daemon's log.");
}

void http_request_fail(HttpRequest *request, int error)
{
        if (request->stage == STAGE_HANDLING && !request->dropped)
                (void)request_fail(request, error);
}

/* Another thread's answers. */

void http_request_detach(HttpRequest *request)
{
        assert(request->stage == STAGE_HANDLING && !request->detached);
        request->detached = true;
        connection_suspend(request->connection);
}

void http_request_attach(HttpRequest *request, int result)
{
        assert(request->detached && request->connection->suspended);
        request->detached = false;
        if (request->stage != STAGE_REPLIED && request_fail(request, result) < 0)
                http_request_drop(request);
        else if (request->connection->suspended)
                connection_resume(request->connection);
}

/* Streams. */

static int on_hangup(
                _unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
        HttpRequest *request = userdata;

        (void)sd_event_source_set_enabled(request->hangup, SD_EVENT_OFF);
        request->close = true;
        http_request_wake(request);
        return 0;
}

static ssize_t stream_wait(HttpRequest *request)
{
        request->stream_waits = true;
        connection_set_phase(request->connection, PHASE_HANDLING);
        (void)sd_event_source_set_enabled(request->hangup, SD_EVENT_ON);
        connection_suspend(request->connection);
        return 0;
}

static ssize_t read_stream(void *cls, _unused_ uint64_t position, char *buffer, size_t max)
{
        HttpRequest *request = cls;
        ssize_t n;

        if (request->connection->server->freeing || request->close)
                return MHD_CONTENT_READER_END_WITH_ERROR;

        n = request->stream.produce(request->stream_userdata, buffer, max);
        if (n == 0)
                return stream_wait(request);
        if (n == -ENODATA)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (n < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;

        connection_set_phase(request->connection, PHASE_WRITE);
        return n;
}

int http_reply_stream(HttpRequest *request, unsigned status, const char *content_type,
                const HttpStream *stream, void *userdata)
{
        /* From here on done() is called when the request ends, whatever happens. */
        request->stream = *stream;
        request->stream_userdata = userdata;
        request->has_stream = true;

        return reply_with(request, status, content_type,
                        MHD_create_response_from_callback(
                                        MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_stream, request, NULL));
}

void http_request_wake(HttpRequest *request)
{
        if (!request->stream_waits)
                return;
        request->stream_waits = false;
        (void)sd_event_source_set_enabled(request->hangup, SD_EVENT_OFF);
        if (request->connection->suspended)
                connection_resume(request->connection);
}
