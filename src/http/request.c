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

int request_new(Connection *c, const char *target, HttpRequest **ret)
{
        HttpRequest *r;

        r = calloc(1, sizeof(HttpRequest));
        if (!r)
                return -ENOMEM;

        r->connection = c;
        r->started = now_monotonic();
        r->method = "";
        r->target = strndup(target, HTTP_URI_MAX + 1); /* one more tells that it was too long */
        r->path = r->target ? strndup(r->target, strcspn(r->target, "?")) : NULL;
        if (!r->path) {
                free(r->target);
                free(r);
                return -ENOMEM;
        }
        *ret = r;
        return 0;
}

void request_release_body(HttpRequest *r)
{
        buffer_done(&r->body);
        atomic_fetch_sub(&r->connection->server->body_bytes, r->counted);
        r->counted = 0;
}

bool http_request_hold(HttpRequest *r, size_t size)
{
        HttpServer *s = r->connection->server;
        uint64_t others = atomic_load(&s->held_bytes) - r->held;

        if (size > HOLD_SMALL && others > 0 && others + r->held + size > HOLD_FACTOR * s->limits.max_bodies)
                return false;
        atomic_fetch_add(&s->held_bytes, size);
        r->held += size;
        return true;
}

HttpRequest *request_free(HttpRequest *r)
{
        bool was_heavy;

        if (!r)
                return NULL;
        was_heavy = r->held >= HOLD_HEAVY;

        if (r->has_stream && r->stream.done)
                r->stream.done(r->stream_userdata);
        if (r->destroy)
                r->destroy(r->userdata);
        sd_event_source_disable_unref(r->hangup);
        if (r->response)
                MHD_destroy_response(r->response);
        for (unsigned i = 0; i < r->n_headers; i++) {
                free(r->headers[i].name);
                free(r->headers[i].value);
        }
        request_release_body(r);
        atomic_fetch_sub(&r->connection->server->held_bytes, r->held);
        free(r->reply);
        free(r->query);
        free(r->target);
        free(r->path);
        free(r);
        if (was_heavy)
                (void)malloc_trim(0); /* the allocator would keep it for ever */
        return NULL;
}

const char *http_request_method(const HttpRequest *r)
{
        return r->method;
}

const char *http_request_path(const HttpRequest *r)
{
        return r->path;
}

const char *http_request_path_arg(const HttpRequest *r, unsigned i)
{
        return i < r->n_args ? r->args[i] : NULL;
}

const char *http_request_query(const HttpRequest *r, const char *name)
{
        for (size_t i = r->n_query; i-- > 0;)
                if (streq(r->query[i].name, name))
                        return r->query[i].value;
        return NULL;
}

const struct Param *http_request_params(const HttpRequest *r)
{
        return r->route->params;
}

int http_request_each_query(
                const HttpRequest *r, int (*fn)(const FormPair *pair, void *userdata), void *userdata)
{
        for (size_t i = 0; i < r->n_query; i++) {
                int k = fn(&r->query[i], userdata);

                if (k < 0)
                        return k;
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
        Search *s = cls;

        if (strcasecmp(name, s->name) == 0 && s->n++ == s->want)
                s->value = value ?: "";
        return MHD_YES;
}

static Search search(const HttpRequest *r, const char *name, unsigned i)
{
        Search s = { .name = name, .want = i };

        MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, on_header, &s);
        return s;
}

const char *http_request_header_at(const HttpRequest *r, const char *name, unsigned i)
{
        return search(r, name, i).value;
}

const char *http_request_header(const HttpRequest *r, const char *name)
{
        return search(r, name, 0).value;
}

unsigned http_request_header_count(const HttpRequest *r, const char *name)
{
        return search(r, name, 0).n;
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
void request_wipe_header(const HttpRequest *r, const char *name)
{
        MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, wipe_value, (void *)(uintptr_t)name);
}

const void *http_request_body(const HttpRequest *r, size_t *ret_size)
{
        *ret_size = r->body.size;
        return buffer_text(&r->body);
}

const struct sockaddr *http_request_peer(const HttpRequest *r)
{
        return (const struct sockaddr *)(const void *)&r->connection->peer;
}

uint64_t http_request_started(const HttpRequest *r)
{
        return r->started;
}

void http_request_set_userdata(HttpRequest *r, void *userdata, void (*destroy)(void *userdata))
{
        assert(!r->userdata);
        r->userdata = userdata;
        r->destroy = destroy;
}

void *http_request_get_userdata(const HttpRequest *r)
{
        return r->userdata;
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
static bool match(const char *pattern, const Segments *s, HttpRequest *r)
{
        unsigned n_args = 0;

        for (size_t i = 0; i < s->n; i++) {
                size_t n;

                if (*pattern++ != '/')
                        return false;
                n = strcspn(pattern, "/");
                if (*pattern == '{') {
                        if (*s->items[i] == 0 || n_args == HTTP_PATH_ARGS_MAX)
                                return false;
                        r->args[n_args++] = s->items[i];
                } else if (strlen(s->items[i]) != n || memcmp(s->items[i], pattern, n) != 0)
                        return false;
                pattern += n;
        }
        r->n_args = n_args;
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
static bool split_query(HttpRequest *r, char *query)
{
        r->query = calloc(HTTP_QUERY_ARGS_MAX, sizeof(FormPair));
        if (!r->query)
                return false;
        if (form_split(query, r->query, HTTP_QUERY_ARGS_MAX, &r->n_query) < 0) {
                r->too_many_query = true;
                r->n_query = 0;
        }
        return true;
}

RouteResult route_find(
                const HttpRoute *routes, HttpRequest *r, const char *method, char allow[static ALLOW_SIZE])
{
        char *path = strip_origin(r->target), *query = strchr(path, '?');
        Segments segments;

        allow[0] = 0;
        if (query) {
                *query++ = 0;
                if (*query && !split_query(r, query))
                        return ROUTE_NO_MEMORY;
        }
        if (!split_path(path, &segments))
                return ROUTE_NO_PATH;

        for (const HttpRoute *route = routes; route->method; route++) {
                if (!match(route->path, &segments, r))
                        continue;
                if (method_fits(route->method, method)) {
                        r->route = route;
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
static int fail(HttpRequest *r, int error)
{
        r->failed = true;
        if (r->connection->suspended && !r->detached)
                http_request_drop(r);
        return error;
}

int http_reply_header(HttpRequest *r, const char *name, const char *value)
{
        char *n, *v;

        if (r->n_headers == ELEMENTSOF(r->headers))
                return -ENOBUFS;
        n = strdup(name);
        v = strdup(value);
        if (!n || !v) {
                free(n);
                free(v);
                return fail(r, -ENOMEM);
        }
        r->headers[r->n_headers].name = n;
        r->headers[r->n_headers++].value = v;
        return 0;
}

/* Takes the response; `done` of a stream is the request's matter. */
static int reply_with(
                HttpRequest *r, unsigned status, const char *content_type, struct MHD_Response *response)
{
        bool ok;

        assert(r->stage != STAGE_REPLIED && r->stage != STAGE_QUEUED);
        if (!response)
                return fail(r, -ENOMEM);

        ok = !content_type || MHD_add_response_header(response, "Content-Type", content_type) == MHD_YES;
        for (unsigned i = 0; ok && i < r->n_headers; i++)
                ok = MHD_add_response_header(response, r->headers[i].name, r->headers[i].value) == MHD_YES;
        if (!ok) {
                MHD_destroy_response(response);
                return fail(r, -ENOMEM);
        }

        r->response = response;
        r->status = status;
        r->stage = STAGE_REPLIED;
        if (r->connection->suspended && !r->detached)
                connection_resume(r->connection);
        return 0;
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* A reader that goes while its stream waits for something to say is noticed. */
static enum MHD_Result stream_watch(HttpRequest *r)
{
        int k;

        k = sd_event_add_io(r->connection->server->loop, &r->hangup, r->connection->fd, 0, on_hangup, r);
        if (k < 0)
                return MHD_NO;
        (void)sd_event_source_set_enabled(r->hangup, SD_EVENT_OFF);
        return MHD_YES;
}

enum MHD_Result reply_queue(HttpRequest *r)
{
        const HttpServer *s = r->connection->server;
        enum MHD_Result ok = MHD_YES;

        if (r->close || s->quiescing)
                ok = MHD_add_response_header(r->response, "Connection", "close");
        if (ok == MHD_YES && r->has_stream)
                ok = stream_watch(r);
        if (ok == MHD_YES)
                ok = refuse_pass(r->connection->mhd, r->status, r->response);
        MHD_destroy_response(r->response);
        r->response = NULL;
        r->stage = STAGE_QUEUED;
        connection_set_phase(r->connection, PHASE_WRITE);
        if (s->options.on_reply)
                s->options.on_reply(r->status, s->options.userdata);
        return ok;
}

static ssize_t read_large(void *cls, uint64_t position, char *buffer, size_t max)
{
        HttpRequest *r = cls;
        size_t n = MIN(max, r->reply_size - (size_t)position);

        memcpy(buffer, r->reply + position, n);
        connection_set_phase(r->connection, PHASE_WRITE);
        return (ssize_t)n;
}

int http_reply(HttpRequest *r, unsigned status, const char *content_type, const void *body, size_t size)
{
        if (size < LARGE)
                return reply_with(r, status, content_type,
                                MHD_create_response_from_buffer(
                                                size, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY));

        /* It stays for as long as its reader takes. */
        if (!http_request_hold(r, size))
                return http_reply_no_memory(r);
        free(r->reply);
        r->reply = malloc(size);
        if (!r->reply)
                return fail(r, -ENOMEM);
        memcpy(r->reply, body, size);
        r->reply_size = size;
        /* The request outlives the response: it is freed once the answer is through. */
        return reply_with(r, status, content_type,
                        MHD_create_response_from_callback(size, BLOCK_SIZE, read_large, r, NULL));
}

/* What jansson says of a value that it wrote. It forgets failures on the way, and so do its own buffers: a
 * name would be cut and the answer be JSON no more. */
typedef struct Text {
        Buffer buffer;
        int error;
} Text;

static int append(const char *data, size_t size, void *userdata)
{
        Text *t = userdata;

        if (t->error >= 0)
                t->error = buffer_append(&t->buffer, data, size);
        return t->error;
}

int http_reply_json(HttpRequest *r, unsigned status, json_t *value)
{
        Text t = { .buffer = BUFFER_INIT(JSON_MAX) };
        int k;

        k = value ? json_dump_callback(value, append, &t, JSON_COMPACT | JSON_REAL_PRECISION(15)) : -1;
        json_decref(value);
        if (k < 0 || t.error < 0)
                k = fail(r, -ENOMEM);
        else
                k = http_reply(r, status, "application/json", buffer_text(&t.buffer), t.buffer.size);
        buffer_done(&t.buffer);
        return k;
}

int http_reply_error(HttpRequest *r, unsigned status, json_t *problems, const char *format, ...)
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
                return fail(r, -ENOMEM);
        }

        error = json_pack("{s:I, s:s}", "status_code", (json_int_t)status, "error", message);
        if (error && json_array_size(list) > 0 && json_object_set(error, "problems", list) < 0) {
                json_decref(error);
                return fail(r, -ENOMEM);
        }
        return http_reply_json(r, status, error);
}

int http_reply_no_memory(HttpRequest *r)
{
        int k;

        k = http_reply_header(r, "Retry-After", NO_MEMORY_RETRY_AFTER);
        if (k < 0)
                return k;
        return http_reply_error(
                        r, 503, NULL, "The memory for requests in flight is used up: please send it again.");
}

void http_request_drop(HttpRequest *r)
{
        assert(r->stage == STAGE_HANDLING);
        r->dropped = true;
        if (r->connection->suspended)
                connection_resume(r->connection);
}

int request_fail(HttpRequest *r, int k)
{
        log_debug_errno(k < 0 ? k : -ENOMEM, "%s %s failed on the %s server", r->method, r->path,
                        r->connection->server->options.what);
        return http_reply_error(r, 500, NULL, "The request failed inside: see the daemon's log.");
}

void http_request_fail(HttpRequest *r, int error)
{
        if (r->stage == STAGE_HANDLING && !r->dropped)
                (void)request_fail(r, error);
}

/* Another thread's answers. */

void http_request_detach(HttpRequest *r)
{
        assert(r->stage == STAGE_HANDLING && !r->detached);
        r->detached = true;
        connection_suspend(r->connection);
}

void http_request_attach(HttpRequest *r, int result)
{
        assert(r->detached && r->connection->suspended);
        r->detached = false;
        if (r->stage != STAGE_REPLIED && request_fail(r, result) < 0)
                http_request_drop(r);
        else if (r->connection->suspended)
                connection_resume(r->connection);
}

/* Streams. */

static int on_hangup(
                _unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
        HttpRequest *r = userdata;

        (void)sd_event_source_set_enabled(r->hangup, SD_EVENT_OFF);
        r->close = true;
        http_request_wake(r);
        return 0;
}

static ssize_t stream_wait(HttpRequest *r)
{
        r->stream_waits = true;
        connection_set_phase(r->connection, PHASE_HANDLING);
        (void)sd_event_source_set_enabled(r->hangup, SD_EVENT_ON);
        connection_suspend(r->connection);
        return 0;
}

static ssize_t read_stream(void *cls, _unused_ uint64_t position, char *buffer, size_t max)
{
        HttpRequest *r = cls;
        ssize_t n;

        if (r->connection->server->freeing || r->close)
                return MHD_CONTENT_READER_END_WITH_ERROR;

        n = r->stream.produce(r->stream_userdata, buffer, max);
        if (n == 0)
                return stream_wait(r);
        if (n == -ENODATA)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (n < 0)
                return MHD_CONTENT_READER_END_WITH_ERROR;

        connection_set_phase(r->connection, PHASE_WRITE);
        return n;
}

int http_reply_stream(HttpRequest *r, unsigned status, const char *content_type, const HttpStream *stream,
                void *userdata)
{
        /* From here on done() is called when the request ends, whatever happens. */
        r->stream = *stream;
        r->stream_userdata = userdata;
        r->has_stream = true;

        return reply_with(r, status, content_type,
                        MHD_create_response_from_callback(
                                        MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_stream, r, NULL));
}

void http_request_wake(HttpRequest *r)
{
        if (!r->stream_waits)
                return;
        r->stream_waits = false;
        (void)sd_event_source_set_enabled(r->hangup, SD_EVENT_OFF);
        if (r->connection->suspended)
                connection_resume(r->connection);
}
