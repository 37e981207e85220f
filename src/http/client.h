#pragma once

/* The client: one request at a time over libcurl, to a Unix socket or a URL. */

#include <sys/types.h>

#include "basic/buffer.h"
#include "basic/macros.h"
#include "basic/secret.h"

typedef struct HttpClientRequest {
        const char *socket;       /* path of a Unix socket; NULL: `url` is a real one */
        const char *method;       /* "GET", "POST" */
        const char *url;          /* with a socket: the path and query, "/v1/tasks?limit=5" */
        const char *content_type; /* NULL: none */
        const char *accept;       /* NULL: none */
        const void *body;
        size_t body_size;
        const char *secret_header; /* a header whose value is `secret`, both or neither */
        const Secret *secret;
        uint64_t timeout; /* microseconds for all of it; 0: none (streams) */
        size_t max_body;  /* of the answer, when it is collected */
        /* Gets the answer's body as it comes (only when the status is 2xx); a negative return stops. NULL:
         * the body is collected into the result. */
        int (*on_data)(const char *data, size_t size, void *userdata);
        void *userdata;
} HttpClientRequest;

typedef struct HttpClientResult {
        unsigned status;
        Buffer body;     /* collected, or the error's body */
        char error[256]; /* for people, where the request itself failed */
} HttpClientResult;

void http_client_result_done(HttpClientResult *result);

/* 0: there is an answer, whatever its status. -ECONNREFUSED, -ENOENT, -EACCES, -ETIMEDOUT, -EPROTO (cut
 * short or not HTTP), -ECANCELED (on_data stopped), -ENOMEM, -EHOSTUNREACH (the name does not
 * resolve), -ENETUNREACH, -EBADE (TLS), -EINVAL or -E2BIG (a URL, method
 * or header that can't be sent); `error` says it for people.
 * Follows no redirects, verifies TLS, takes http and https alone. *ret is always set. */
int http_client_perform(const HttpClientRequest *request, HttpClientResult *ret);
