/*
 * The client: one request, one answer, over libcurl. It follows no redirects, speaks to nobody but the
 * address it was given (no proxies from the environment), and keeps no more of an answer than it was told
 * to.
 */

#include "http/client.h"

#include <curl/curl.h>
#include <stdio.h>

#include "basic/parse.h"

#define ERROR_BODY_MAX ((size_t)64 * 1024) /* of an error's body, when the rest goes to on_data() */

typedef struct Transfer {
        CURL *curl;
        const HttpClientRequest *request;
        HttpClientResult *result;
        struct curl_slist *headers;
        bool stopped, too_large, out_of_memory;
} Transfer;

static long status_of(CURL *curl)
{
        long status = 0;

        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
        Transfer *t = userdata;
        long status = status_of(t->curl);
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

static bool add_header(Transfer *t, const char *name, const char *value)
{
        _cleanup_free_ char *line = NULL;
        struct curl_slist *longer;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return false;
        }
        longer = curl_slist_append(t->headers, line);
        if (!longer)
                return false;
        t->headers = longer;
        return true;
}

/* curl keeps copies of headers, so the one with the secret is wiped with the list. */
static void wipe_headers(struct curl_slist *headers)
{
        for (struct curl_slist *h = headers; h; h = h->next)
                explicit_bzero(h->data, strlen(h->data));
        curl_slist_free_all(headers);
}

static bool set_headers(Transfer *t)
{
        const HttpClientRequest *q = t->request;

        if (q->content_type && !add_header(t, "Content-Type", q->content_type))
                return false;
        if (q->accept && !add_header(t, "Accept", q->accept))
                return false;
        if (q->secret_header && !add_header(t, q->secret_header, secret_data(q->secret)))
                return false;
        return add_header(t, "Expect", ""); /* asking first costs a round trip and saves nothing here */
}

#define SET(option, value) (curl_easy_setopt(t->curl, (option), (value)) == CURLE_OK)

static bool set_options(Transfer *t, const char *url)
{
        const HttpClientRequest *q = t->request;
        bool ok;

        ok = SET(CURLOPT_URL, url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
             SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOSIGNAL, 1L) &&
             SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, t) &&
             SET(CURLOPT_ERRORBUFFER, t->result->error) && SET(CURLOPT_CUSTOMREQUEST, q->method) &&
             SET(CURLOPT_HTTPHEADER, t->headers) && SET(CURLOPT_CONNECTTIMEOUT, 10L);
        if (ok && q->socket)
                ok = SET(CURLOPT_UNIX_SOCKET_PATH, q->socket);
        if (ok && q->timeout > 0)
                ok = SET(CURLOPT_TIMEOUT_MS, (long)MAX(q->timeout / USEC_PER_MSEC, 1U));
        if (ok && (q->body || streq(q->method, "POST")))
                ok = SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_size) &&
                     SET(CURLOPT_POSTFIELDS, q->body ?: "");
        return ok;
}

static int error_of(const Transfer *t, CURLcode code)
{
        static const struct {
                CURLcode code;
                int error;
        } errors[] = {
                { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT },
                { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH },
                { CURLE_OUT_OF_MEMORY, -ENOMEM },
                { CURLE_URL_MALFORMAT, -EINVAL },
                { CURLE_UNSUPPORTED_PROTOCOL, -EINVAL },
        };
        long os_error = 0;

        if (t->stopped)
                return -ECANCELED;
        if (t->out_of_memory)
                return -ENOMEM;
        if (code == CURLE_COULDNT_CONNECT) {
                (void)curl_easy_getinfo(t->curl, CURLINFO_OS_ERRNO, &os_error);
                return os_error > 0 ? (int)-os_error : -ECONNREFUSED;
        }
        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                if (e->code == code)
                        return e->error;
        return -EPROTO;
}

static int perform(Transfer *t)
{
        HttpClientResult *result = t->result;
        CURLcode code;

        code = curl_easy_perform(t->curl);
        result->status = (unsigned)status_of(t->curl);
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
        _cleanup_free_ char *url = NULL;
        int r = -ENOMEM;

        static_assert(sizeof(ret->error) >= CURL_ERROR_SIZE, "curl writes so much");

        *ret = (HttpClientResult){ .body = BUFFER_INIT(
                                                   request->on_data ? ERROR_BODY_MAX : request->max_body) };
        if (asprintf(&url, "%s%s", request->socket ? "http://localhost" : "", request->url) < 0) {
                url = NULL;
                return -ENOMEM;
        }

        t.curl = curl_easy_init();
        if (t.curl && set_headers(&t) && set_options(&t, url))
                r = perform(&t);

        curl_easy_cleanup(t.curl);
        wipe_headers(t.headers);
        return r;
}
