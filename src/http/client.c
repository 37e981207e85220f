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
        Transfer *transfer = userdata;
        unsigned status = curl_get_status(transfer->curl);
        size_t size = one * n;
        int r;

        if (transfer->request->on_data && status >= 200 && status < 300) {
                transfer->stopped = transfer->request->on_data(data, size, transfer->request->userdata) < 0;
                return transfer->stopped ? 0 : size;
        }

        r = buffer_append(&transfer->result->body, data, size);
        transfer->too_large = r == -ENOBUFS;
        transfer->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : size;
}

#define SET(option, value) (curl_easy_setopt(transfer->curl, (option), (value)) == CURLE_OK)

static int prepare(Transfer *transfer)
{
        const HttpClientRequest *request = transfer->request;
        const CurlRequest common = {
                .socket = request->socket,
                .method = request->method,
                .url = request->url,
                .content_type = request->content_type,
                .accept = request->accept,
                .secret_header = request->secret_header,
                .secret = request->secret,
                .body = request->body,
                .body_size = request->body_size,
                .timeout = request->timeout,
        };

        if (!SET(CURLOPT_WRITEFUNCTION, on_body) || !SET(CURLOPT_WRITEDATA, transfer) ||
                        !SET(CURLOPT_ERRORBUFFER, transfer->result->error))
                return -ENOMEM;
        return curl_set_request(transfer->curl, &common, &transfer->lines);
}

static int error_of(const Transfer *transfer, CURLcode code)
{
        if (transfer->stopped)
                return -ECANCELED;
        return transfer->out_of_memory ? -ENOMEM : curl_to_errno(transfer->curl, code);
}

static int perform(Transfer *transfer)
{
        HttpClientResult *result = transfer->result;
        CURLcode code;

        code = curl_easy_perform(transfer->curl);
        result->status = curl_get_status(transfer->curl);
        if (code == CURLE_OK)
                return 0;

        if (transfer->too_large)
                snprintf(result->error, sizeof(result->error), "the answer is larger than %zu bytes",
                                result->body.max);
        else if (!*result->error)
                snprintf(result->error, sizeof(result->error), "%s", curl_easy_strerror(code));
        return error_of(transfer, code);
}

void http_client_result_done(HttpClientResult *result)
{
        buffer_done(&result->body);
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
