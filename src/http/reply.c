/*
 * Replies. One may come while the handler runs or any time later; in between the connection is suspended and
 * costs nothing. Larger bodies and streams are handed over piece by piece, and every piece taken starts the
 * deadline again: a reader may be slow, but not for ever between two pieces.
 */

#include <stdarg.h>
#include <stdio.h>

#include "basic/log.h"
#include "http/request.h"

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
