#pragma once

/* A request on its connection: what server.c and request.c share. Nobody outside of http/ includes this. */

#include <microhttpd.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "basic/buffer.h"
#include "basic/form.h"
#include "http/server.h"

/* What a connection is at, and so which deadline it has. */
typedef enum Phase {
        PHASE_HANDLING, /* a handler is at work: no deadline of ours */
        PHASE_HEADER,
        PHASE_BODY,
        PHASE_IDLE,
        PHASE_WRITE,
        _PHASE_MAX,
} Phase;

typedef struct Connection Connection;

struct Connection {
        HttpServer *server;
        TAILQ_ENTRY(Connection) entry; /* in the list of its phase */
        Phase phase;
        uint64_t since, deadline; /* of its phase; monotonic */
        int fd;                   /* libmicrohttpd's; for shutdown() only */
        struct MHD_Connection *mhd;
        bool suspended;
        HttpRequest *request; /* NULL between two */
        struct sockaddr_storage peer;
};

#define LISTENERS_MAX 32U

struct HttpServer {
        sd_event *loop;
        HttpServerOptions options;
        HttpLimits limits;
        struct MHD_Daemon *mhd;
        sd_event_source *io, *resumed, *timer, *deadlines, *pause;
        sd_event_source *listeners[LISTENERS_MAX];
        size_t n_listeners;
        bool accepting, quiescing, freeing;
        bool crowded; /* somebody waits in a backlog for a connection to end */
        TAILQ_HEAD(, Connection) phases[_PHASE_MAX];
        struct sockaddr_storage accepted_peer; /* of the connection that is being added */

        /* Read from any thread. */
        atomic_uint_fast64_t held_bytes, connections, accepted, body_bytes, n_deadlines, crowded_out,
                        malformed;
};

/* How far a request has come. */
typedef enum Stage {
        STAGE_NEW,      /* the request line is there */
        STAGE_BODY,     /* checked; the body is coming */
        STAGE_DRAINING, /* what comes is dropped, then refused */
        STAGE_HANDLING, /* given to the handler, which has not replied */
        STAGE_REPLIED,  /* there is a response, to be queued */
        STAGE_QUEUED,
} Stage;

struct HttpRequest {
        Connection *connection;
        Stage stage;
        uint64_t started;
        char *target; /* owned: the path, with its segments cut apart and decoded once it was routed */
        char *path;   /* owned: the path as sent */
        const char *method;
        const HttpRoute *route;
        const char *args[HTTP_PATH_ARGS_MAX]; /* in `target` */
        unsigned n_args;
        FormPair *query; /* owned; texts in `target` */
        size_t n_query;
        bool too_many_query;

        Buffer body;
        size_t counted; /* bytes of the server's budget */
        size_t held;    /* of what is allowed beside bodies */
        size_t drained;
        unsigned drain_status;

        void *userdata;
        void (*destroy)(void *userdata);

        struct MHD_Response *response;
        unsigned status;
        struct {
                char *name, *value;
        } headers[8]; /* of the reply to come */
        unsigned n_headers;
        char *reply; /* owned: the body of a large reply */
        size_t reply_size;
        HttpStream stream;
        void *stream_userdata;
        bool has_stream, stream_waits, close, dropped;
        bool detached;           /* another thread's; written on the loop's only */
        bool failed;             /* a reply could not be made */
        sd_event_source *hangup; /* the reader of a stream that waits has gone */
};

/* server.c */
void connection_set_phase(Connection *connection, Phase phase);
void connection_suspend(Connection *connection);
void connection_resume(Connection *connection);

/* MHD_queue_response() of the library, for answers of ours. */
enum MHD_Result refuse_pass(struct MHD_Connection *mhd, unsigned status, struct MHD_Response *response);

/* request.c */
int request_new(Connection *connection, const char *target, HttpRequest **ret);
HttpRequest *request_free(HttpRequest *request);
void request_release_body(HttpRequest *request);
void request_wipe_header(const HttpRequest *request, const char *name);

/* Answers 500 for a handler that failed with `error`. */
int request_fail(HttpRequest *request, int error);

/* Hands the reply that was made to libmicrohttpd. */
enum MHD_Result reply_queue(HttpRequest *request);

typedef enum RouteResult {
        ROUTE_FOUND,
        ROUTE_NO_PATH,
        ROUTE_NO_METHOD,
        ROUTE_NO_MEMORY,
} RouteResult;

/* Takes r->target apart and finds its route, path arguments and query. Writes what `Allow` says to `allow`.
 */
#define ALLOW_SIZE 64U
RouteResult route_find(const HttpRoute *routes, HttpRequest *request, const char *method,
                char allow[static ALLOW_SIZE]);
