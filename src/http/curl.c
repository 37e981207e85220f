/*
 * How libcurl is used here, by the client that waits and the one that doesn't: no redirects, nobody but the
 * address that was given (no proxies from the environment), http and https alone, TLS verified, and
 * HTTP/1.1, where one connection carries one request at a time and so what became of it can be told.
 *
 * Header lines are built here and lent to curl, so that the one with the secret is wiped. While it sends,
 * curl holds a copy in a buffer of its own. So all memory that curl lets go is wiped: it is given functions
 * of ours for that.
 */

#include "http/curl.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

#include "basic/parse.h"
#include "http/header.h"

#define HEADERS_MAX     64U
#define HEADER_MAX      ((size_t)8192) /* of a name, and of a value */
#define CONNECT_SECONDS 10L

static void wipe_and_free(void *p)
{
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

/* Never in place: what is moved leaves a copy behind. */
static void *wipe_and_move(void *p, size_t size)
{
        void *q = malloc(size);

        if (q && p) {
                memcpy(q, p, MIN(size, malloc_usable_size(p)));
                wipe_and_free(p);
        }
        return q;
}

static int ready; /* 0 or negative errno */

static void get_ready(void)
{
        ready = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_and_free, wipe_and_move, strdup,
                                calloc) == CURLE_OK
                                ? 0
                                : -ENOMEM;
}

int curl_ready(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, get_ready);
        return ready;
}

typedef struct HeaderLine {
        struct curl_slist node;
        size_t size;
        char text[];
} HeaderLine;

void header_lines_done(HeaderLines *lines)
{
        struct curl_slist *next;

        for (struct curl_slist *i = lines->first; i; i = next) {
                HeaderLine *line = container_of(i, HeaderLine, node);

                next = i->next;
                explicit_bzero(line->text, line->size);
                free(line);
        }
        *lines = (HeaderLines){};
}

static int add_line(HeaderLines *lines, size_t size, HeaderLine **ret)
{
        HeaderLine *line;

        if (lines->n >= HEADERS_MAX)
                return -E2BIG;
        line = malloc(sizeof(HeaderLine) + size);
        if (!line)
                return -ENOMEM;

        line->node = (struct curl_slist){ .data = line->text };
        line->size = size;
        if (lines->last)
                lines->last->next = &line->node;
        else
                lines->first = &line->node;
        lines->last = &line->node;
        lines->n++;
        *ret = line;
        return 0;
}

static bool is_value(const char *s)
{
        for (; *s; s++)
                if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
                        return false;
        return true;
}

int header_lines_add(HeaderLines *lines, const char *name, const char *value)
{
        size_t size, n = strnlen(name, HEADER_MAX + 1), m = strnlen(value, HEADER_MAX + 1);
        HeaderLine *line;
        int r;

        if (n > HEADER_MAX || m > HEADER_MAX)
                return -E2BIG;
        if (!header_is_token(name) || !is_value(value))
                return -EINVAL;

        size = n + 2 + m + 1;
        r = add_line(lines, size, &line);
        if (r < 0)
                return r;
        /* To curl, a name with a colon and nothing behind it means to leave that header out. */
        if (m > 0)
                (void)snprintf(line->text, size, "%s: %s", name, value);
        else
                (void)snprintf(line->text, size, "%s;", name);
        return 0;
}

/* A header of curl's own that is not to be sent. */
static int leave_out(HeaderLines *lines, const char *name)
{
        size_t size = strlen(name) + 2;
        HeaderLine *line;
        int r;

        r = add_line(lines, size, &line);
        if (r < 0)
                return r;
        (void)snprintf(line->text, size, "%s:", name);
        return 0;
}

/* Writes the base64 of `user` and a colon, without another copy of them. */
static void encode_user(const char *user, size_t n, char *out)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        for (size_t i = 0; i <= n; i += 3) {
                uint32_t v = 0;

                for (size_t k = i; k < i + 3; k++)
                        v = v << 8 | (k < n ? (unsigned char)user[k] : k == n ? ':' : 0U);
                for (size_t k = 0; k < 4; k++)
                        *out++ = (char)(i + k <= n + 1 ? digits[v >> (18 - 6 * k) & 63] : '=');
        }
        *out = 0;
}

int header_lines_add_basic(HeaderLines *lines, const Secret *user)
{
        static const char begin[] = "Authorization: Basic ";
        const char *data = secret_data(user);
        size_t n = secret_size(user);
        HeaderLine *line;
        int r;

        if (n > HEADER_MAX / 2)
                return -E2BIG;
        if (strlen(data) != n || !is_value(data) || strchr(data, ':'))
                return -EINVAL;

        r = add_line(lines, sizeof(begin) + (n + 3) / 3 * 4, &line);
        if (r < 0)
                return r;
        memcpy(line->text, begin, sizeof(begin) - 1);
        encode_user(data, n, line->text + sizeof(begin) - 1);
        return 0;
}

static int add_own_headers(const CurlRequest *request, HeaderLines *lines)
{
        const struct {
                const char *name, *value;
        } own[] = {
                { "Content-Type", request->content_type },
                { "Accept", request->accept },
                { request->secret_header, request->secret_header ? secret_data(request->secret) : NULL },
        };
        int r;

        if (request->secret_header && strlen(secret_data(request->secret)) != secret_size(request->secret))
                return -EINVAL;
        FOREACH_ARRAY(i, own, ELEMENTSOF(own)) {
                r = i->value ? header_lines_add(lines, i->name, i->value) : 0;
                if (r < 0)
                        return r;
        }
        return leave_out(lines, "Expect"); /* asking first costs a round trip and saves nothing here */
}

#define SET(option, value) (curl_easy_setopt(curl, (option), (value)) == CURLE_OK)

static bool set_options(CURL *curl, const CurlRequest *request, const char *url, const HeaderLines *lines)
{
        bool ok;

        ok = SET(CURLOPT_URL, url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
             SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOSIGNAL, 1L) &&
             SET(CURLOPT_TCP_NODELAY, 1L) && SET(CURLOPT_CUSTOMREQUEST, request->method) &&
             SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
             SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
             SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_HTTPHEADER, lines->first) &&
             SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        if (ok && request->socket)
                ok = SET(CURLOPT_UNIX_SOCKET_PATH, request->socket);
        if (ok && request->timeout > 0)
                ok = SET(CURLOPT_TIMEOUT_MS,
                                (long)MIN(MAX(request->timeout / USEC_PER_MSEC, 1U), (uint64_t)INT_MAX));
        if (ok && streq(request->method, "HEAD"))
                ok = SET(CURLOPT_NOBODY, 1L);
        if (ok && (request->body || streq(request->method, "POST")))
                ok = SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size) &&
                     SET(CURLOPT_POSTFIELDS, request->body ?: "");
        return ok;
}

int curl_set_request(CURL *curl, const CurlRequest *request, HeaderLines *lines)
{
        _cleanup_free_ char *url = NULL;
        int r;

        if (!header_is_token(request->method))
                return -EINVAL;
        r = add_own_headers(request, lines);
        if (r < 0)
                return r;
        if (asprintf(&url, "%s%s", request->socket ? "http://localhost" : "", request->url) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        return set_options(curl, request, url, lines) ? 0 : -ENOMEM;
}

unsigned curl_get_status(CURL *curl)
{
        long status = 0;

        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        return (unsigned)status;
}

int curl_to_errno(CURL *curl, CURLcode code)
{
        static const struct {
                CURLcode code;
                int error;
        } errors[] = {
                { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT },
                { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH },
                { CURLE_OUT_OF_MEMORY, -ENOMEM },
                { CURLE_SSL_CONNECT_ERROR, -EBADE },
                { CURLE_PEER_FAILED_VERIFICATION, -EBADE },
                { CURLE_SSL_CACERT_BADFILE, -EBADE },
                { CURLE_SSL_ISSUER_ERROR, -EBADE },
                { CURLE_SSL_CIPHER, -EBADE },
                { CURLE_URL_MALFORMAT, -EINVAL },
                { CURLE_UNSUPPORTED_PROTOCOL, -EINVAL },
        };
        long os_error = 0, sent = 0;

        /* Also what it says of an answer that is not HTTP. */
        (void)curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent);
        if (code == CURLE_UNSUPPORTED_PROTOCOL && sent > 0)
                return -EPROTO;
        if (code == CURLE_COULDNT_CONNECT) {
                (void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
                if (os_error == EHOSTUNREACH)
                        return -ENETUNREACH; /* that there is no such name is something else */
                return os_error > 0 ? (int)-os_error : -ECONNREFUSED;
        }
        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                if (e->code == code)
                        return e->error;
        return -EPROTO;
}
