/*
 * The client on a loop, against peers that misbehave: what it says of an answer, and of `sent`, is looked at
 * from the other end. What is about many requests is in test-pool-queue.c.
 */

#include "test-pool.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

/* Answers. */

static void serve_answers(Peer *p, int fd, _unused_ unsigned i)
{
        while (hear(p, fd))
                say(fd, p->answer);
}

static void test_answer(_unused_ void **state)
{
#define HEAD  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
#define DATE  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define T     INT64_C(784111777000000)
#define DAY   (24 * 3600 * USEC_PER_SEC)
#define NEVER UINT64_MAX
        static const struct {
                const char *answer;
                unsigned status;
                bool is_json;
                int64_t date;
                uint64_t retry_after;
        } cases[] = {
                { HEAD "\r\n{}", 200, false, TIME_NONE, NEVER },
                { HEAD "content-type: application/json\r\n" DATE "\r\n{}", 200, true, T, NEVER },
                { HEAD "Content-Type: Application/JSON;charset=x\r\n\r\n{}", 200, true, TIME_NONE, NEVER },
                { HEAD "Content-Type: application/problem+json\r\n\r\n{}", 200, true, TIME_NONE, NEVER },
                { HEAD "Content-Type: application/jsonx\r\n\r\n{}", 200, false, TIME_NONE, NEVER },
                { HEAD "Content-Type: text/html\r\n\r\n{}", 200, false, TIME_NONE, NEVER },
                { HEAD "Date: yesterday\r\n\r\n{}", 200, false, TIME_NONE, NEVER },
                { "HTTP/1.1 503 No\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}", 503, false, TIME_NONE,
                                7000000 },
                { "HTTP/1.1 429 No\r\nContent-Length: 2\r\n" DATE
                  "Retry-After: Sun, 06 Nov 1994 08:49:47 GMT\r\n\r\n{}",
                                429, false, T, 10000000 },
                { HEAD DATE "Retry-After: Sun, 06 Nov 1994 08:49:07 GMT\r\n\r\n{}", 200, false, T, 0 },
                { HEAD DATE "Retry-After: Mon, 06 Nov 1995 08:49:07 GMT\r\n\r\n{}", 200, false, T, DAY },
                { HEAD "Retry-After: Sun, 06 Nov 1994 08:49:07 GMT\r\n\r\n{}", 200, false, TIME_NONE, 0 },
                { HEAD "Retry-After: 86401\r\n\r\n{}", 200, false, TIME_NONE, DAY },
                { HEAD "Retry-After: 99999999999999999999999\r\n\r\n{}", 200, false, TIME_NONE, DAY },
                { HEAD "Retry-After: -1\r\n\r\n{}", 200, false, TIME_NONE, NEVER },
                { HEAD "Retry-After: soon\r\n\r\n{}", 200, false, TIME_NONE, NEVER },
                { "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 2\r\n\r\n{}", 302, false, TIME_NONE,
                                NEVER },
                { "HTTP/1.1 100 Continue\r\n\r\n" HEAD "\r\n{}", 200, false, TIME_NONE, NEVER },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, false,
                                TIME_NONE, NEVER },
        };
        Peer p = { .serve = serve_answers };
        Told told;

        peer_start(&p);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                p.answer = c->answer;
                post(&p, &told);
                if (told.error != 0 || !told.sent || told.status != c->status ||
                                told.is_json != c->is_json || told.date != c->date ||
                                told.retry_after != c->retry_after || !streq(told.body, "{}"))
                        fail_msg("%s: %d %s %u %s", c->answer, told.error, told.message, told.status,
                                        told.body);
        }
        assert_int_equal(atomic_load(&p.n_requests), ELEMENTSOF(cases));
        assert_int_equal(atomic_load(&p.n_connections), 1);
        pool = http_pool_free(pool);
        peer_stop(&p);
}

/* Requests. */

static unsigned n_wiped;
static const char *wiped_text = "dGVzdF9rZXk6";

/* In the place of libc's, to see what is wiped. */
void see_wipe(void *p, size_t size) __asm__("explicit_bzero");
void see_wipe_checked(void *p, size_t size, size_t object) __asm__("__explicit_bzero_chk");

void see_wipe(void *p, size_t size)
{
        if (memmem(p, size, wiped_text, strlen(wiped_text)))
                n_wiped++;
        memset(p, 0, size);
        __asm__ volatile("" ::"r"(p) : "memory");
}

void see_wipe_checked(void *p, size_t size, _unused_ size_t object)
{
        see_wipe(p, size);
}

static Secret *secret_of(const char *text)
{
        Secret *s;

        assert_int_equal(secret_new(text, strlen(text), &s), 0);
        return s;
}

static void test_request(_unused_ void **state)
{
        static const char *const lines[] = {
                "POST /x HTTP/1.1\r\n",
                "\r\nAuthorization: Basic dGVzdF9rZXk6\r\n",
                "\r\nscale-callback-auth: k2\r\n",
                "\r\nIdempotency-Key: abc\r\n",
                "\r\nX-Empty:\r\n",
                "\r\nContent-Type: application/json\r\n",
                "\r\nAccept: text/x\r\n",
                "\r\nContent-Length: 4\r\n",
                "\r\n\r\nbody",
        };
        const HttpHeader headers[] = { { "Idempotency-Key", "abc" }, { "X-Empty", "" } };
        Secret *user = secret_of("test_key"), *secret = secret_of("k2");
        Peer p = { .serve = serve_answers, .answer = OK_ANSWER };
        HttpPoolRequest q;
        char body[] = "body", url[64];
        Told told = {};

        peer_start(&p);
        strcpy(url, url_of(&p));
        q = request_of("POST", url, &told);
        q.headers = headers;
        q.n_headers = ELEMENTSOF(headers);
        q.basic_user = user;
        q.secret_header = "scale-callback-auth";
        q.secret = secret;
        q.content_type = "application/json";
        q.accept = "text/x";
        q.body = body;
        q.body_size = 4;

        /* Nothing of it is needed once the call has returned. */
        n_wiped = 0;
        assert_int_equal(start(&q, NULL), 0);
        secret_free(user);
        secret_free(secret);
        memset(body, 'x', sizeof(body));
        memset(url, 'x', sizeof(url));
        assert_int_equal(n_wiped, 0);
        run_until(1);
        assert_int_equal(told.error, 0);
        assert_true(n_wiped >= 2); /* our line, and the buffers that curl has sent it from */

        FOREACH_ARRAY(l, lines, ELEMENTSOF(lines))
                if (!strstr(p.heard, *l))
                        fail_msg("no %s in %s", *l, p.heard);
        assert_null(strstr(p.heard, "Expect"));
        pool = http_pool_free(pool);
        peer_stop(&p);
}

static void test_basic(_unused_ void **state)
{
        static const char *const cases[][2] = {
                { "", "Basic Og==\r\n" },
                { "a", "Basic YTo=\r\n" },
                { "ab", "Basic YWI6\r\n" },
                { "abc", "Basic YWJjOg==\r\n" },
                { "\xff\xfe~?", "Basic //5+Pzo=\r\n" },
        };
        Peer p = { .serve = serve_answers, .answer = OK_ANSWER };
        Told told;

        peer_start(&p);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                HttpPoolRequest q = request_of("GET", url_of(&p), &told);
                Secret *user = secret_of((*c)[0]);

                q.basic_user = user;
                ask(&q);
                assert_true(peer_has_heard(&p, (*c)[1]));
                secret_free(user);
        }
        pool = http_pool_free(pool);
        peer_stop(&p);
}

static void test_refuses_what_cannot_be_sent(_unused_ void **state)
{
        static const HttpHeader headers[] = { { "A", "b\r\nC: d" }, { "A\r\nB", "c" }, { "", "x" },
                { "A:", "x" }, { "A B", "x" } };
        static const char *const urls[] = { "", "x", "ftp://127.0.0.1/", "file:///etc/passwd",
                "http://127.0.0.1:99999/", "http://a b/" };
        static const char *const users[] = { "a:b", "a\nb" };
        Told told = {};
        HttpPoolRequest q;

        FOREACH_ARRAY(h, headers, ELEMENTSOF(headers)) {
                q = request_of("GET", "http://127.0.0.1/", &told);
                q.headers = h;
                q.n_headers = 1;
                assert_int_equal(start(&q, NULL), -EINVAL);
        }
        FOREACH_ARRAY(url, urls, ELEMENTSOF(urls)) {
                q = request_of("GET", *url, &told);
                if (start(&q, NULL) != -EINVAL)
                        fail_msg("%s", *url);
        }
        FOREACH_ARRAY(user, users, ELEMENTSOF(users)) {
                Secret *s = secret_of(*user);

                q = request_of("GET", "http://127.0.0.1/", &told);
                q.basic_user = s;
                assert_int_equal(start(&q, NULL), -EINVAL);
                secret_free(s);
        }
        q = request_of("GET /x", "http://127.0.0.1/", &told);
        assert_int_equal(start(&q, NULL), -EINVAL);
        q = request_of("GET", "http://127.0.0.1/", &told);
        q.timeout = 0;
        assert_int_equal(start(&q, NULL), -EINVAL);
        assert_int_equal(told.n, 0);
}

/* Failures. */

static void serve_close(_unused_ Peer *p, _unused_ int fd, _unused_ unsigned i)
{
}

static void serve_reset(Peer *p, int fd, _unused_ unsigned i)
{
        hear(p, fd);
        reset(fd);
}

/* Says the answer again and again. */
static void serve_flood(Peer *p, int fd, _unused_ unsigned i)
{
        hear(p, fd);
        for (unsigned k = 0; k < 20000; k++)
                say(fd, p->answer);
}

static void test_failures(_unused_ void **state)
{
        static const struct {
                void (*serve)(Peer *p, int fd, unsigned i);
                const char *answer;
                int error;
                unsigned status;
                const char *body, *message;
        } cases[] = {
                { serve_close, NULL, -EPROTO, 0, "", "" },
                { serve_reset, NULL, -EPROTO, 0, "", "reset" },
                { serve_once, "", -EPROTO, 0, "", "mpty reply" },
                { serve_once, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", -EPROTO, 200, "hello",
                                "4 bytes remaining" },
                { serve_once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", -EPROTO,
                                200, "hello", "" },
                { serve_once, "HTTP/1.1 200 OK\r\nContent-Le", -EPROTO, 200, "", "" },
                { serve_once, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", -EPROTO, 200, "", "" },
                { serve_once, "HTTP/1.1 100 Continue\r\n\r\n", -EPROTO, 100, "", "" },
                { serve_once, "SSH-2.0-x\r\n", -EPROTO, 0, "", "HTTP/0.9" },
                { serve_silence, NULL, -ETIMEDOUT, 0, "", "timed out" },
                { serve_flood, "HTTP/1.1 100 Continue\r\n\r\n", -EPROTO, 100, "", "headers are too large" },
                { serve_flood, "HTTP/1.1 200 OK\r\n\r\n0123456789", -EPROTO, 200, NULL,
                                "the answer is larger than 1000 bytes" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                Peer p = { .serve = c->serve, .answer = c->answer };
                HttpPoolRequest q;
                Told told;
                char where[64];

                peer_start(&p);
                q = request_of("POST", url_of(&p), &told);
                if (c->error == -ETIMEDOUT)
                        q.timeout = 300 * USEC_PER_MSEC;
                ask(&q);
                snprintf(where, sizeof(where), "127.0.0.1:%u: ", p.port);
                if (told.error != c->error || !told.sent || told.status != c->status ||
                                (c->body && !streq(told.body, c->body)) ||
                                strncmp(told.message, where, strlen(where)) != 0 ||
                                !strstr(told.message, c->message))
                        fail_msg("case %d: %d sent %d, %u, %s, %s", (int)(c - cases), told.error, told.sent,
                                        told.status, told.body, told.message);
                assert_true(atomic_load(&p.n_connections) == 1);
                peer_stop(&p);
        }
}

static void test_never_connected(_unused_ void **state)
{
        uint16_t port = 0, deaf_port = 0;
        int fill[FILL], fd = listen_at("127.0.0.1", &port, 1), deaf = listen_deaf(&deaf_port, fill);
        char refused[64], deaf_url[64], tls_url[64];
        Peer p = { .serve = serve_close };
        Told told;

        /* A port that nobody listens to, one whose queue is full, one that does not speak TLS. */
        close(fd);
        snprintf(refused, sizeof(refused), "http://127.0.0.1:%u/", port);
        snprintf(deaf_url, sizeof(deaf_url), "http://127.0.0.1:%u/", deaf_port);
        peer_start(&p);
        snprintf(tls_url, sizeof(tls_url), "https://127.0.0.1:%u/", p.port);

        const struct {
                const char *socket, *url;
                int error;
                const char *message;
        } cases[] = {
                { NULL, refused, -ECONNREFUSED, "127.0.0.1:" },
                { NULL, deaf_url, -ETIMEDOUT, "127.0.0.1:" },
                { NULL, tls_url, -EBADE, "127.0.0.1:" },
                { NULL, "http://u:hunter2@name.invalid/?hunter2", -EHOSTUNREACH, "name.invalid:80: " },
                { "/nonexistent/socket", "/", -ENOENT, "/nonexistent/socket: " },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                HttpPoolRequest q = request_of("POST", c->url, &told);

                q.socket = c->socket;
                if (c->error == -ETIMEDOUT)
                        q.timeout = 300 * USEC_PER_MSEC;
                ask(&q);
                if (told.error != c->error || told.sent || told.status != 0 ||
                                strncmp(told.message, c->message, strlen(c->message)) != 0)
                        fail_msg("%s: %d sent %d, %s", c->url, told.error, told.sent, told.message);
                assert_null(strstr(told.message, "hunter2"));
        }
        close_deaf(deaf, fill);
        peer_stop(&p);
}

/* TLS. */

/* Runs openssl in `dir`; its standard output is a pipe. -1: there is none. */
static pid_t run_openssl(const char *const argv[], int *ret_output)
{
        posix_spawn_file_actions_t actions;
        pid_t pid = -1;
        int fds[2], r;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, "openssl", &actions, NULL, (char *const *)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[1]);
        *ret_output = fds[0];
        return r == 0 ? pid : -1;
}

/* From "ACCEPT 127.0.0.1:PORT", whatever it says before. */
static unsigned read_port(int fd)
{
        char text[4096] = "", end;
        size_t n = 0;
        unsigned port;

        for (;;) {
                const char *line = strstr(text, "ACCEPT ");
                ssize_t k;

                if (line && sscanf(line, "ACCEPT %*[0-9.]:%u%c", &port, &end) == 2)
                        return port;
                k = n < sizeof(text) - 1 ? read(fd, text + n, sizeof(text) - 1 - n) : 0;
                if (k <= 0)
                        fail_msg("openssl said: %s", text);
                n += (size_t)k;
                text[n] = 0;
        }
}

static void test_tls(_unused_ void **state)
{
        char key[64], cert[64], url[64], by_address[64];
        const char *const make[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost", "-days", "2", NULL };
        const char *const serve[] = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert",
                cert, "-www", NULL };
        HttpPoolRequest q;
        int output, status;
        unsigned port;
        Told told;
        pid_t pid;

        snprintf(key, sizeof(key), "%s/key", dir);
        snprintf(cert, sizeof(cert), "%s/cert", dir);
        pid = run_openssl(make, &output);
        if (pid < 0) {
                close(output);
                skip();
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(output);
        pid = run_openssl(serve, &output);
        assert_true(pid > 0);
        port = read_port(output);
        snprintf(url, sizeof(url), "https://localhost:%u/", port);
        snprintf(by_address, sizeof(by_address), "https://127.0.0.1:%u/", port);

        /* Nobody vouches for it. */
        q = request_of("GET", url, &told);
        q.max_body = 100000;
        ask(&q);
        assert_int_equal(told.error, -EBADE);
        assert_false(told.sent);
        assert_non_null(strstr(told.message, "self-signed certificate"));

        /* Vouched for, under its name and under another. */
        tear_down(NULL);
        set_up_with(8, 8, cert);
        ask(&q);
        if (told.error != 0)
                fail_msg("%s", told.message);
        assert_int_equal(told.status, 200);
        assert_true(told.sent);
        q.url = by_address;
        ask(&q);
        assert_int_equal(told.error, -EBADE);
        assert_false(told.sent);
        assert_non_null(strstr(told.message, "127.0.0.1"));

        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        close(output);
        unlink(key);
        unlink(cert);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_answer),
                TEST(test_request),
                TEST(test_basic),
                TEST(test_refuses_what_cannot_be_sent),
                TEST(test_failures),
                TEST(test_never_connected),
                TEST(test_tls),
        };

        return cmocka_run_group_tests(tests, begin_all, end_all);
}
