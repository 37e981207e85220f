#pragma once

/* What the two clients share: header lines, options, errors. Nobody outside of http/ includes this. */

#include <curl/curl.h>

#include "basic/macros.h"
#include "basic/secret.h"

/* Header lines in memory of our own, wiped when let go: curl is lent the list and makes no copy of it. */
typedef struct HeaderLines {
        struct curl_slist *first, *last; /* owned */
        unsigned n;
} HeaderLines;

void header_lines_done(HeaderLines *lines);

/* Appends `name: value`. 0, -ENOMEM, -E2BIG (too many or too long), -EINVAL for a name or a value that no
 * header can have (a line break would begin another one). */
int header_lines_add(HeaderLines *lines, const char *name, const char *value);

/* Appends `Authorization: Basic` with the user and no password. Errors as above, -EINVAL also for a colon.
 */
int header_lines_add_basic(HeaderLines *lines, const Secret *user);

/* Readies libcurl, before anything else of it is used; may be called any number of times. 0, -ENOMEM. */
int curl_ready(void);

/* A request as both clients have it; the fields are those of HttpClientRequest. */
typedef struct CurlRequest {
        const char *socket, *method, *url, *content_type, *accept, *secret_header;
        const Secret *secret;
        const void *body; /* not copied: must outlive the transfer */
        size_t body_size;
        uint64_t timeout;
} CurlRequest;

/* Gives a request to a new handle. What is in `lines` is sent too, and they get the request's own headers:
 * they must outlive the handle. 0, -ENOMEM, -EINVAL, -E2BIG. */
int curl_set_request(CURL *curl, const CurlRequest *request, HeaderLines *lines);

unsigned curl_get_status(CURL *curl); /* 0: there was none */

/* The error of a transfer that failed, as http_client_perform() returns them. */
int curl_to_errno(CURL *curl, CURLcode code);
