#pragma once

/* The client on a loop: many requests at a time over libcurl, connections kept alive. One thread, the
 * loop's. The process must ignore SIGPIPE. */

#include <systemd/sd-event.h>

#include "basic/buffer.h"
#include "basic/macros.h"
#include "basic/secret.h"

typedef struct HttpPool HttpPool;
typedef struct HttpTransfer HttpTransfer;

typedef struct HttpPoolOptions {
        unsigned max_in_flight; /* requests under way, and connections; 0 holds everything */
        unsigned max_waiting;   /* requests beyond these wait, in order; beyond both: -EAGAIN */
        const char *ca_file;    /* PEM, instead of the system's certificates; NULL: the system's */
} HttpPoolOptions;

/* 0 or negative errno. The pool keeps a reference of the loop. */
int http_pool_new(sd_event *loop, const HttpPoolOptions *options, HttpPool **ret);

/* Cancels what waits or is under way: before this returns, done() is called for each, with -ECANCELED or the
 * result that was already there. They can't start anything. May be called from done(), but not from one that
 * this calls. Takes NULL, returns NULL. */
HttpPool *http_pool_free(HttpPool *pool);
DEFINE_CLEANUP(HttpPool *, http_pool_free)

/* Fewer: those under way go on, and new ones begin only when there is room. */
void http_pool_set_max_in_flight(HttpPool *pool, unsigned n);

typedef struct HttpPoolResult {
        /* 0: there is an answer, whole, whatever its status. Else as http_client_perform(), or -ECANCELED.
         */
        int error;
        /* False only when it is certain that no byte of the request reached the peer: it waited, or never
         * had a connection (name, connect, TLS). True whenever in doubt. */
        bool sent;
        unsigned status;      /* 0: there was none; with an error, that of an answer that is not whole */
        const Buffer *body;   /* never NULL; with an error, what came of it */
        bool too_large;       /* more than max_body: it was left off there */
        bool is_json;         /* by its Content-Type */
        int64_t date;         /* of the answer's Date; TIME_NONE: absent or unreadable */
        bool is_replay;       /* Idempotency-Replayed: true */
        uint64_t retry_after; /* microseconds, at most a day; UINT64_MAX: absent or unreadable */
        const char *message;  /* for people, where error != 0: where and what; never a secret; else NULL */
} HttpPoolResult;

typedef struct HttpHeader {
        const char *name, *value;
} HttpHeader;

/* Everything is copied, the secrets into memory that is wiped when the request ends. */
typedef struct HttpPoolRequest {
        const char *socket;       /* path of a Unix socket; NULL: `url` is a real one */
        const char *method;       /* "GET", "POST" */
        const char *url;          /* with a socket: the path and query */
        const char *content_type; /* NULL: none */
        const char *accept;       /* NULL: none */
        const HttpHeader *headers;
        size_t n_headers;
        const char *secret_header; /* a header whose value is `secret`, both or neither */
        const Secret *secret;
        const Secret *basic_user; /* HTTP Basic with this user and no password; NULL: none */
        const void *body;
        size_t body_size;
        /* Microseconds for all of it, from when it leaves the queue: waiting for its turn does not count.
         * Must not be 0. */
        uint64_t timeout;
        size_t max_body; /* of the answer */
        /* Called exactly once, from the loop: never from within http_pool_start() or
         * http_transfer_cancel(). The result is valid during the call, the transfer is gone after it. */
        void (*done)(const HttpPoolResult *result, void *userdata);
        void *userdata;
} HttpPoolRequest;

/* Starts a request, or has it wait for its turn. A request is sent once: on whatever failure, only GET and
 * HEAD are repeated (by curl, on a fresh connection, when one that was kept alive ended without an answer).
 * ret may be NULL. 0, -EAGAIN (all places are taken), -EINVAL or -E2BIG (a URL, method, header or timeout
 * that can't be), -ESHUTDOWN (the pool is being freed), -ENOMEM; done() is not called then. */
int http_pool_start(HttpPool *pool, const HttpPoolRequest *request, HttpTransfer **ret);

/* done() gets -ECANCELED from the loop, unless there is a result that waits to be told: then it gets that.
 */
void http_transfer_cancel(HttpTransfer *transfer);
