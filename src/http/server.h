#pragma once

/* The server: libmicrohttpd on an sd-event loop, with limits and deadlines of our own. */

#include <jansson.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "basic/form.h"
#include "basic/macros.h"

#define HTTP_PATH_ARGS_MAX  4U
#define HTTP_QUERY_ARGS_MAX 64U
#define HTTP_URI_MAX        8192U /* longer request targets get 414 */

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

/* A handler gets a whole request (body included), on the loop's thread. It replies at once, or later from
 * the same thread; until then the request stays valid. A negative return closes the connection with a 500
 * where nothing was replied. */
typedef int (*HttpHandler)(HttpRequest *request, void *userdata);

/* From the routes follow 404, 405 and Allow. A segment of the path in braces matches any one non-empty
 * segment and becomes an argument, in order: "/v1/task/{id}/revisions". */
typedef struct HttpRoute {
        const char *method;
        const char *path;
        HttpHandler handler;
        /* Asked once the headers are there and before anything of the body is read or allocated: refuses by
         * replying (the connection is closed then) and returning 1; 0 goes on. NULL: no questions. */
        HttpHandler gate;
        const struct Param *params; /* what its query may hold, for `check` and the handler: see
                                     * http_request_params(); NULL: nothing */
} HttpRoute;

/* What a server did, for metrics. Read from any thread. */
typedef struct HttpServerStats {
        uint64_t connections; /* now */
        uint64_t accepted;    /* ever */
        uint64_t body_bytes;  /* held for bodies in flight, now */
        uint64_t deadlines;   /* connections that ran into one, ever */
        uint64_t crowded_out; /* connections cut early because others waited, ever */
        uint64_t malformed;   /* requests refused for their framing, ever */
} HttpServerStats;

/* May be replaced at run time (http_server_set_limits()); connections that exist keep their deadlines. */
typedef struct HttpLimits {
        unsigned max_connections;
        size_t max_body;         /* of one request: 413 */
        size_t max_bodies;       /* of all requests in flight: 503 + Retry-After */
        uint64_t header_timeout; /* microseconds, from the first byte (or the connection) to the last header
                                  */
        uint64_t body_timeout;   /* from the last header to the last byte of the body; then 408 */
        uint64_t idle_timeout;   /* between two requests */
        uint64_t write_timeout;  /* how long a reader may take without taking anything */
} HttpLimits;

typedef struct HttpServerOptions {
        const HttpRoute *routes; /* up to a row without method; must outlive the server */
        void *userdata;          /* for gates and handlers */
        HttpLimits limits;
        /* Called on the loop's thread for every answer, also for those that the server gives by itself.
         * NULL: not. */
        void (*on_reply)(unsigned status, void *userdata);
        const char *what; /* for messages: "callback", "query"; must outlive the server */
        /* Asked once the request is whole and before its handler: refuses by replying and returning 1; 0
         * goes on. NULL: no questions. */
        HttpHandler check;
        /* Asked about a request to a path where there is nothing, before that is answered 404: to look at
         * it, not to answer. NULL: not. */
        void (*on_no_path)(HttpRequest *request, void *userdata);
        /* A header whose values are wiped from memory once the gate has seen them. NULL: there is none. */
        const char *secret_header;
} HttpServerOptions;

/* Runs on `loop` until freed. 0 or negative errno. */
int http_server_new(sd_event *loop, const HttpServerOptions *options, HttpServer **ret);

/* Cuts what is left. Takes NULL, returns NULL. */
HttpServer *http_server_free(HttpServer *server);
DEFINE_CLEANUP(HttpServer *, http_server_free)

/* Serves a listening stream socket (TCP or Unix), as many as wanted; owns fd from here on, also on failure.
 */
int http_server_add_listener(HttpServer *server, int fd);

/* No new connections from now on (the listeners are closed); idle ones are closed, requests in flight go on
 * and their connections close after the answer. */
void http_server_quiesce(HttpServer *server);

/* Connections that still exist. */
unsigned http_server_connections(const HttpServer *server);

void http_server_set_limits(HttpServer *server, const HttpLimits *limits);
void http_server_get_stats(const HttpServer *server, HttpServerStats *ret);

/* Makes a listening socket: "127.0.0.1:8090", "[::1]:8090", "unix:/path" or a path alone. For a Unix socket,
 * a stale file is replaced and the mode set. Returns the descriptor, -EINVAL for a text that is none of
 * these, or negative errno; never resolves names. */
int http_listen(const char *address, mode_t mode);

/* The request. Texts live as long as the request. */
const char *http_request_method(const HttpRequest *request);
const char *http_request_path(const HttpRequest *request);                 /* as sent, without the query */
const char *http_request_path_arg(const HttpRequest *request, unsigned i); /* decoded; NULL: none */
const char *http_request_query(const HttpRequest *request,
                const char *name); /* decoded; the last; NULL: absent; "" for a valueless one */
const char *http_request_header(const HttpRequest *request, const char *name); /* the first; NULL: absent */
const char *http_request_header_at(const HttpRequest *request, const char *name,
                unsigned i); /* the i-th of that name, in order; NULL: no such */
unsigned http_request_header_count(const HttpRequest *request, const char *name);
const void *http_request_body(
                const HttpRequest *request, size_t *ret_size);        /* never NULL; owned by the request */
const struct sockaddr *http_request_peer(const HttpRequest *request); /* sa_family AF_UNIX: a Unix socket */
uint64_t http_request_started(const HttpRequest *request);            /* monotonic, of its first line */

/* Calls fn for every query argument in order, decoded; a negative return stops and is handed on. */
int http_request_each_query(
                const HttpRequest *request, int (*fn)(const FormPair *pair, void *userdata), void *userdata);

/* The `params` of its route. */
const struct Param *http_request_params(const HttpRequest *request);

/* Memory that the request takes beside its body, for as long as it lives: an answer, what its body is made
 * into. All requests together may have four times max_bodies, and one that is alone as much as it wants.
 * False: that would be exceeded, answer http_reply_no_memory(). */
bool http_request_hold(HttpRequest *request, size_t size);

/* 503 with Retry-After. */
int http_reply_no_memory(HttpRequest *request);

/* Something of the handler's that lives as long as the request; `destroy` is called when it ends, answered
 * or not. One per request. */
void http_request_set_userdata(HttpRequest *request, void *userdata, void (*destroy)(void *userdata));
void *http_request_get_userdata(const HttpRequest *request);

/* Lets another thread answer: to be called within the handler, which then returns 0. From here until
 * http_request_attach() the request is the other thread's, which may ask it and reply to it as a handler
 * does; nothing leaves before. The server is not freed meanwhile. */
void http_request_detach(HttpRequest *request);

/* Back on the loop's thread, with what a handler would return. */
void http_request_attach(HttpRequest *request, int result);

/* Replies: exactly one of these per request. On failure (-ENOMEM) nobody needs to do more: within the
 * handler the request gets a 500 unless another reply is made, later on its connection is closed.
 * http_reply_header() adds a header to the reply to come. */
int http_reply_header(HttpRequest *request, const char *name, const char *value);
int http_reply(HttpRequest *request, unsigned status, const char *content_type, const void *body,
                size_t size); /* copies */
int http_reply_json(HttpRequest *request, unsigned status,
                json_t *value); /* takes the reference; NULL is a 500 */

/* {"status_code", "error", "problems"}: the one shape of every error. Takes the reference `problems` (NULL
 * or an empty array: left out). */
int http_reply_error(HttpRequest *request, unsigned status, json_t *problems, const char *format, ...)
                _printf_(4, 5);

/* Instead of a reply: the connection is closed without a word. From the handler or later. */
void http_request_drop(HttpRequest *request);

/* For what answers after its handler has returned, and fails: 500, as the handler's own failure is. What is
 * answered already stays as it is. */
void http_request_fail(HttpRequest *request, int error);

/* A reply whose bytes come as they are taken. produce() fills at most `size` bytes: > 0 so many; 0 none now:
 * it is asked again after http_request_wake(); -ENODATA the end; other negative values cut the connection,
 * so that the reader knows it is not whole. done() is called once, when the reply ended in whatever way. */
typedef struct HttpStream {
        ssize_t (*produce)(void *userdata, char *buffer, size_t size);
        void (*done)(void *userdata);
} HttpStream;

int http_reply_stream(HttpRequest *request, unsigned status, const char *content_type,
                const HttpStream *stream, void *userdata);
void http_request_wake(HttpRequest *request);
