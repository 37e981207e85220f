/*
 * One request of the pool and what became of it. What matters most is `sent`: by it a caller decides whether
 * something that costs money may be asked for a second time.
 *
 * curl asks for leave each time that it has a connection (resolved, connected, TLS done) and before it
 * writes the first byte of a request to it. So a transfer that was never asked about sent nothing, whatever
 * error it ended with; and all others count as sent, also when writing failed, for nobody knows how much of
 * a failed write got through.
 *
 * curl repeats a request by itself when a connection that was kept alive ends before a byte of the answer:
 * perhaps its idle time was over, perhaps the peer did what was asked and then died. It asks for leave
 * again, and only GET and HEAD, which change nothing, get it. To make that rare for the others, connections
 * are kept idle for less than servers commonly do.
 */

#include <stdio.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/header.h"
#include "http/pool-internal.h"

#define HEAD_MAX     ((size_t)64 * 1024) /* of an answer's headers */
#define IDLE_SECONDS 3L                  /* the shortest that servers commonly keep is 5 */

/* What curl asks and tells. */

static int on_before_request(void *userdata, _unused_ char *peer, _unused_ char *local,
                _unused_ int peer_port, _unused_ int local_port)
{
        HttpTransfer *t = userdata;

        if (t->n_requests > 0 && !t->may_repeat)
                return CURL_PREREQFUNC_ABORT;
        t->n_requests++;
        return CURL_PREREQFUNC_OK;
}

static size_t on_head(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *t = userdata;
        size_t size = one * n;

        t->head_size += size;
        t->head_too_large = t->head_size > HEAD_MAX;
        /* An empty line ends the headers, but behind those of a 1xx the answer is still to come. */
        if (size > 0 && (*data == '\r' || *data == '\n'))
                t->head_is_whole = curl_get_status(t->curl) >= 200;
        return t->head_too_large ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t n, void *userdata)
{
        HttpTransfer *t = userdata;
        int r;

        r = buffer_append(&t->answer, data, one * n);
        t->body_too_large = r == -ENOBUFS;
        t->out_of_memory = r == -ENOMEM;
        return r < 0 ? 0 : one * n;
}

/* Making one. */

HttpTransfer *transfer_free(HttpTransfer *t)
{
        if (!t)
                return NULL;

        curl_easy_cleanup(t->curl);
        header_lines_done(&t->lines);
        buffer_done(&t->answer);
        free(t->body);
        free(t->where);
        free(t);
        return NULL;
}

/* Who is asked, for messages: a socket's path, or host and port, without what else a URL may hold. */
static int say_where(const HttpPoolRequest *q, char **ret)
{
        char *scheme = NULL, *host = NULL, *port = NULL;
        CURLU *url;
        int r = -EINVAL;

        if (q->socket) {
                *ret = strdup(q->socket);
                return *ret ? 0 : -ENOMEM;
        }

        url = curl_url();
        if (!url)
                return -ENOMEM;
        if (curl_url_set(url, CURLUPART_URL, q->url, 0) == CURLUE_OK &&
                        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                        (streq(scheme, "http") || streq(scheme, "https")) &&
                        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
                r = asprintf(ret, "%s:%s", host, port) < 0 ? -ENOMEM : 0;

        curl_free(scheme);
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(url);
        return r;
}

static int set_headers(HttpTransfer *t, const HttpPoolRequest *q)
{
        int r;

        FOREACH_ARRAY(h, q->headers, q->n_headers) {
                r = header_lines_add(&t->lines, h->name, h->value);
                if (r < 0)
                        return r;
        }
        return q->basic_user ? header_lines_add_basic(&t->lines, q->basic_user) : 0;
}

#define SET(option, value) (curl_easy_setopt(t->curl, (option), (value)) == CURLE_OK)

/* Leaving a name that is being looked up waits for the lookup, unless curl is told to be quick; then its
 * thread ends by itself. */
static bool set_options(HttpTransfer *t)
{
        return SET(CURLOPT_PRIVATE, t) && SET(CURLOPT_ERRORBUFFER, t->error) &&
               SET(CURLOPT_PREREQFUNCTION, on_before_request) && SET(CURLOPT_PREREQDATA, t) &&
               SET(CURLOPT_HEADERFUNCTION, on_head) && SET(CURLOPT_HEADERDATA, t) &&
               SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, t) &&
               SET(CURLOPT_OPENSOCKETFUNCTION, pool_open_socket) && SET(CURLOPT_OPENSOCKETDATA, t->pool) &&
               SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_MAXAGE_CONN, IDLE_SECONDS) &&
               (!t->pool->ca_file || SET(CURLOPT_CAINFO, t->pool->ca_file));
}

static int set_request(HttpTransfer *t, const HttpPoolRequest *q)
{
        const CurlRequest request = {
                .socket = q->socket,
                .method = q->method,
                .url = q->url,
                .content_type = q->content_type,
                .accept = q->accept,
                .secret_header = q->secret_header,
                .secret = q->secret,
                .body = t->body,
                .body_size = q->body_size,
                .timeout = q->timeout,
        };
        int r;

        r = set_headers(t, q);
        if (r < 0)
                return r;
        if (!set_options(t))
                return -ENOMEM;
        return curl_set_request(t->curl, &request, &t->lines);
}

int transfer_new(HttpPool *p, const HttpPoolRequest *q, HttpTransfer **ret)
{
        _cleanup_(transfer_freep) HttpTransfer *t = NULL;
        int r;

        assert(q->done && (q->body || q->body_size == 0));

        if (q->timeout == 0)
                return -EINVAL;
        t = calloc(1, sizeof(HttpTransfer));
        if (!t)
                return -ENOMEM;

        t->pool = p;
        t->answer = BUFFER_INIT(q->max_body);
        t->may_repeat = streq(q->method, "GET") || streq(q->method, "HEAD");
        t->done = q->done;
        t->userdata = q->userdata;
        if (q->body) {
                t->body = malloc(MAX(q->body_size, 1U));
                if (!t->body)
                        return -ENOMEM;
                if (q->body_size > 0)
                        memcpy(t->body, q->body, q->body_size);
        }
        r = say_where(q, &t->where);
        if (r < 0)
                return r;
        t->curl = curl_easy_init();
        if (!t->curl)
                return -ENOMEM;
        r = set_request(t, q);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(t);
        return 0;
}

/* Reading the answer. */

static const char *header_of(const HttpTransfer *t, const char *name)
{
        struct curl_header *h;

        return curl_easy_header(t->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static void read_answer(HttpTransfer *t)
{
        HttpPoolResult *result = &t->result;
        const char *date = header_of(t, "Date"), *replayed = header_of(t, "Idempotency-Replayed");

        result->status = curl_get_status(t->curl);
        result->too_large = t->body_too_large;
        result->is_json = header_type_is_json(header_of(t, "Content-Type"));
        result->is_replay = streq_ptr(replayed, "true");
        if (!date || time_parse_http_date(date, &result->date) < 0)
                result->date = TIME_NONE;
        /* By the answerer's clock where we know it. */
        result->retry_after = header_retry_after(header_of(t, "Retry-After"),
                        result->date == TIME_NONE ? now_realtime() : result->date);
}

/* The error of what curl ended with, and what is said about it. 0: there is an answer. */
static int judge(HttpTransfer *t, CURLcode code, const char **ret_why)
{
        *ret_why = NULL;
        if (code == CURLE_OK && t->head_is_whole)
                return 0;

        if (t->out_of_memory)
                return -ENOMEM;
        if (t->body_too_large)
                (void)snprintf(t->error, sizeof(t->error), "the answer is larger than %zu bytes",
                                t->answer.max);
        else if (t->head_too_large)
                *ret_why = "the answer's headers are too large";
        else if (code == CURLE_OK)
                *ret_why = "the answer ended within its headers";
        else if (code == CURLE_ABORTED_BY_CALLBACK)
                *ret_why = "the connection ended before an answer; the request may have been received and "
                           "is not repeated";
        else if (!*t->error)
                *ret_why = curl_easy_strerror(code);
        return curl_to_errno(t->curl, code);
}

/* Where and what. Parts of it can come from the peer (its certificate), so no control characters. */
static void write_message(HttpTransfer *t, const char *why)
{
        (void)snprintf(t->message, sizeof(t->message), "%.300s: %s", t->where, why);
        for (char *p = t->message; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
        t->result.message = t->message;
}

void transfer_set_result(HttpTransfer *t, CURLcode code, int error)
{
        const char *why = NULL;

        t->result = (HttpPoolResult){ .error = error, .sent = t->n_requests > 0, .body = &t->answer };
        read_answer(t);
        if (error == 0)
                t->result.error = judge(t, code, &why);
        else
                why = error == -ECANCELED ? "canceled" : strerrordesc_np(-error);
        if (t->result.error < 0)
                write_message(t, why ?: *t->error ? t->error : strerrordesc_np(-t->result.error));
}
