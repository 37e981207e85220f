/*
 * The client: one request, one answer, over libcurl. It keeps no more of an answer than it was told to; what
 * else it refuses is in curl.c.
 */

#include "http/client.h"

#include <stdio.h>

#include "http/curl.h"

#define ERROR_BODY_MAX ((size_t)64 * 1024) /* of an error's body, when the rest goes to on_data() */

typedef struct Transfer {
        CURL *curl;
        const HttpClientRequest *request;
        HttpClientResult *result;
        HeaderLines lines;
        bool stopped, too_large, out_of_memory;
} Transfer;

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
        Transfer *t = userdata;
        unsigned status = curl_get_status(t->curl);
        size_t size = one * n;
        int r;

        if (t->request->on_data && status >= 200 && status < 300) {
                t->stopped = t->request->on_data(data, size, t->request->userdata) < 0;
                return t->stopped ? 0 : size;
        }

        r = buffer_append(&t->result->body, data, size);
        t->too_large = r == -ENOBUFS;
        t->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : size;
}

#define SET(option, value) (curl_easy_setopt(t->curl, (option), (value)) == CURLE_OK)

static int prepare(Transfer *t)
{
        const HttpClientRequest *q = t->request;
        const CurlRequest request = {
                .socket = q->socket,
                .method = q->method,
                .url = q->url,
                .content_type = q->content_type,
                .accept = q->accept,
                .secret_header = q->secret_header,
                .secret = q->secret,
                .body = q->body,
                .body_size = q->body_size,
                .timeout = q->timeout,
        };

        if (!SET(CURLOPT_WRITEFUNCTION, on_body) || !SET(CURLOPT_WRITEDATA, t) ||
                        !SET(CURLOPT_ERRORBUFFER, t->result->error))
                return -ENOMEM;
        return curl_set_request(t->curl, &request, &t->lines);
}

static int error_of(const Transfer *t, CURLcode code)
{
        if (t->stopped)
                return -ECANCELED;
        return t->out_of_memory ? -ENOMEM : curl_to_errno(t->curl, code);
}

static int perform(Transfer *t)
{
        HttpClientResult *result = t->result;
        CURLcode code;

        code = curl_easy_perform(t->curl);
        result->status = curl_get_status(t->curl);
        if (code == CURLE_OK)
                return 0;

        if (t->too_large)
                snprintf(result->error, sizeof(result->error), "the answer is larger than %zu bytes",
                                result->body.max);
        else if (!*result->error)
                snprintf(result->error, sizeof(result->error), "%s", curl_easy_strerror(code));
        return error_of(t, code);
}

void http_client_result_done(HttpClientResult *r)
{
        buffer_done(&r->body);
}

int http_client_perform(const HttpClientRequest *request, HttpClientResult *ret)
{
        Transfer t = { .request = request, .result = ret };
        int r = -ENOMEM;

        static_assert(sizeof(ret->error) >= CURL_ERROR_SIZE, "curl writes so much");

        *ret = (HttpClientResult){ .body = BUFFER_INIT(
                                                   request->on_data ? ERROR_BODY_MAX : request->max_body) };

        t.curl = curl_ready() < 0 ? NULL : curl_easy_init();
        if (t.curl)
                r = prepare(&t);
        if (r >= 0)
                r = perform(&t);
        else
                snprintf(ret->error, sizeof(ret->error), "%s",
                                r == -ENOMEM ? "out of memory" : "the method or a header can't be sent");

        curl_easy_cleanup(t.curl);
        header_lines_done(&t.lines);
        return r;
}
