/*
 * The server over real sockets: its loop runs on a thread, the tests talk to it like any client. Deadlines
 * are short and waits are long, so that nothing hangs on how fast a machine is.
 */

#include "test.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "http/client.h"
#include "http/request.h"
#include "http/server.h"

#define MAX_BODY   20000U
#define MAX_BODIES 60000U

static char dir[] = "/tmp/test-server-XXXXXX", socket_path[64];
static sd_event *loop;
static HttpServer *server;
static pthread_t thread;
static int stop_fd;
static uint16_t port;
static HttpRequest *waiting[64];
static unsigned n_waiting, n_destroyed;
static atomic_uint n_gates;

/* Handlers. */

static int on_echo(HttpRequest *r, _unused_ void *userdata)
{
        size_t size;
        const void *body = http_request_body(r, &size);

        return http_reply(r, 200, "text/plain", body, size);
}

static int on_arg(HttpRequest *r, _unused_ void *userdata)
{
        char text[256];

        snprintf(text, sizeof(text), "%s|%s|%s", http_request_path_arg(r, 0),
                        http_request_query(r, "q") ?: "-", http_request_path(r));
        return http_reply(r, 200, "text/plain", text, strlen(text));
}

static int gate(HttpRequest *r, _unused_ void *userdata)
{
        atomic_fetch_add(&n_gates, 1);
        if (http_request_header_count(r, "X-Key") == 1)
                return 0;
        return http_reply_error(r, 401, NULL, "no") < 0 ? -ENOMEM : 1;
}

static void count_destroyed(_unused_ void *userdata)
{
        n_destroyed++;
}

/* Answered once "/release" is asked for. */
static int on_later(HttpRequest *r, _unused_ void *userdata)
{
        static int something;

        http_request_set_userdata(r, &something, count_destroyed);
        waiting[n_waiting++] = r;
        return 0;
}

static int on_release(HttpRequest *r, _unused_ void *userdata)
{
        for (unsigned i = 0; i < n_waiting; i++)
                http_reply(waiting[i], 200, NULL, "late", 4);
        n_waiting = 0;
        return http_reply(r, 200, NULL, "released", 8);
}

static int on_broken(_unused_ HttpRequest *r, _unused_ void *userdata)
{
        return -EIO;
}

/* Dropped at once, or when "/cut" is asked for. */
static int on_drop(HttpRequest *r, _unused_ void *userdata)
{
        http_request_drop(r);
        return 0;
}

static int on_cut(HttpRequest *r, _unused_ void *userdata)
{
        for (unsigned i = 0; i < n_waiting; i++)
                http_request_drop(waiting[i]);
        n_waiting = 0;
        return http_reply(r, 200, NULL, "cut", 3);
}

static int on_large(HttpRequest *r, _unused_ void *userdata)
{
        static char large[3000000];

        memset(large, 'x', sizeof(large));
        return http_reply(r, 200, "text/plain", large, sizeof(large));
}

/* A stream of numbers: one, then a wait until somebody wakes it, and so on up to five. */
typedef struct Numbers {
        unsigned next;
        bool ready;
} Numbers;

static HttpRequest *streaming;
static Numbers numbers;
static atomic_uint n_streams_done;

static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        Numbers *n = userdata;

        if (n->next == 5)
                return -ENODATA;
        if (!n->ready)
                return 0;
        n->ready = false;
        return snprintf(buffer, size, "%u\n", n->next++);
}

static void stream_done(_unused_ void *userdata)
{
        streaming = NULL;
        atomic_fetch_add(&n_streams_done, 1);
}

static int on_stream(HttpRequest *r, _unused_ void *userdata)
{
        static const HttpStream stream = { produce, stream_done };

        numbers = (Numbers){ .ready = true };
        streaming = r;
        return http_reply_stream(r, 200, "text/plain", &stream, &numbers);
}

static int on_wake(HttpRequest *r, _unused_ void *userdata)
{
        numbers.ready = true;
        if (streaming)
                http_request_wake(streaming);
        return http_reply(r, 200, NULL, "", 0);
}

static ssize_t produce_for_ever(_unused_ void *userdata, char *buffer, size_t size)
{
        memset(buffer, 'x', size);
        return (ssize_t)size;
}

static int on_flood(HttpRequest *r, _unused_ void *userdata)
{
        static const HttpStream stream = { produce_for_ever, stream_done };

        return http_reply_stream(r, 200, "text/plain", &stream, NULL);
}

/* Its source fails when something was said already. */
static ssize_t produce_and_fail(void *userdata, char *buffer, size_t size)
{
        Numbers *n = userdata;

        return n->next == 3 ? -EIO : snprintf(buffer, size, "%u\n", n->next++);
}

static int on_failing_stream(HttpRequest *r, _unused_ void *userdata)
{
        static const HttpStream stream = { produce_and_fail, stream_done };

        numbers = (Numbers){ .ready = true };
        return http_reply_stream(r, 200, "text/plain", &stream, &numbers);
}

static const HttpRoute routes[] = {
        { "POST", "/echo", on_echo, NULL },
        { "POST", "/locked", on_echo, gate },
        { "GET", "/arg/{x}", on_arg, NULL },
        { "POST", "/arg/{x}", on_arg, NULL },
        { "GET", "/later", on_later, NULL },
        { "GET", "/release", on_release, NULL },
        { "GET", "/broken", on_broken, NULL },
        { "POST", "/drop", on_drop, NULL },
        { "GET", "/cut", on_cut, NULL },
        { "GET", "/large", on_large, NULL },
        { "GET", "/stream", on_stream, NULL },
        { "GET", "/failing-stream", on_failing_stream, NULL },
        { "GET", "/wake", on_wake, NULL },
        { "GET", "/flood", on_flood, NULL },
        {},
};

/* The loop. */

static int on_stop(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                _unused_ void *userdata)
{
        return sd_event_exit(loop, 0);
}

static void *run(_unused_ void *userdata)
{
        assert(sd_event_loop(loop) >= 0);
        return NULL;
}

static int set_up(_unused_ void **state)
{
        const HttpServerOptions options = {
                .routes = routes,
                .what = "test",
                .limits = {
                        .max_connections = 400,
                        .max_body = MAX_BODY,
                        .max_bodies = MAX_BODIES,
                        .header_timeout = 700 * USEC_PER_MSEC,
                        .body_timeout = 700 * USEC_PER_MSEC,
                        .idle_timeout = 700 * USEC_PER_MSEC,
                        .write_timeout = 700 * USEC_PER_MSEC,
                },
        };
        struct sockaddr_in a;
        socklen_t size = sizeof(a);
        int tcp, local;

        if (!mkdtemp(dir))
                return -1;
        snprintf(socket_path, sizeof(socket_path), "%s/s", dir);
        n_waiting = 0;
        n_destroyed = 0;
        atomic_store(&n_streams_done, 0);
        stop_fd = eventfd(0, EFD_CLOEXEC);
        assert(sd_event_new(&loop) >= 0);
        assert(sd_event_add_io(loop, NULL, stop_fd, EPOLLIN, on_stop, NULL) >= 0);
        assert(http_server_new(loop, &options, &server) >= 0);
        tcp = http_listen("127.0.0.1:0", 0);
        local = http_listen(socket_path, 0600);
        assert(tcp >= 0 && local >= 0);
        assert(getsockname(tcp, (struct sockaddr *)&a, &size) >= 0);
        port = ntohs(a.sin_port);
        assert(http_server_add_listener(server, tcp) >= 0 && http_server_add_listener(server, local) >= 0);
        assert(pthread_create(&thread, NULL, run, NULL) == 0);
        return 0;
}

static int tear_down(_unused_ void **state)
{
        eventfd_write(stop_fd, 1);
        pthread_join(thread, NULL);
        server = http_server_free(server);
        sd_event_unref(loop);
        close(stop_fd);
        unlink(socket_path);
        rmdir(dir);
        memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
        return 0;
}

/* The client. */

static int dial(void)
{
        struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        return fd;
}

static void say(int fd, const char *text)
{
        size_t n = strlen(text);

        while (n > 0) {
                ssize_t k = send(fd, text, n, MSG_NOSIGNAL);

                assert_true(k > 0);
                text += k;
                n -= (size_t)k;
        }
}

/* Reads up to `want` in what came, or to the end. The text lives until the next call. */
static const char *hear_until(int fd, const char *want)
{
        static char text[65536];
        size_t n = 0;

        text[0] = 0;
        while (n < sizeof(text) - 1 && !(want && strstr(text, want))) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t k;

                if (poll(&p, 1, 20000) <= 0)
                        fail_msg("nothing came after: %s", text);
                k = recv(fd, text + n, sizeof(text) - 1 - n, 0);
                if (k <= 0)
                        break;
                n += (size_t)k;
                text[n] = 0;
        }
        return text;
}

static void expect(const char *request, const char *begins, const char *contains)
{
        int fd = dial();
        const char *answer;

        say(fd, request);
        shutdown(fd, SHUT_WR);
        answer = hear_until(fd, NULL);
        if (strncmp(answer, begins, strlen(begins)) != 0 || !strstr(answer, contains))
                fail_msg("%s\n-> %s", request, answer);
        close(fd);
}

#define H "Host: x\r\n"

static void test_routes(_unused_ void **state)
{
        expect("GET /arg/a%2Fb?q=1+2&z HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "a/b|1 2|/arg/a%2Fb");
        expect("GET http://x/arg/a HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "a|-|");
        expect("GET HTTPS://x/arg/a HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "a|-|");
        expect("GET foo?x=://x/arg/a HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "");
        expect("GET ftp://x/arg/a HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "");
        expect("GET /arg/ HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "\"status_code\":404");
        expect("GET /arg/a/b HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "");
        expect("GET /arg/a%00b HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "");
        expect("GET /nope HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 404", "application/json");
        expect("GET /echo HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 405", "Allow: POST\r\n");
        expect("DELETE /arg/x HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 405", "Allow: GET, HEAD, POST\r\n");
        expect("HEAD /arg/x HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "Content-Length: ");
        expect("GET /broken HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 500", "\"status_code\":500");
}

static void test_framing(_unused_ void **state)
{
        expect("POST /echo HTTP/1.1\r\n" H
               "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        "HTTP/1.1 400", "contradict");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                        "HTTP/1.1 400", "one");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
                        "HTTP/1.1 400", "");
        expect("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 400",
                        "chunked");
        expect("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "HTTP/1.1 400", "chunked");
        expect("POST /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 400", "");
        expect("POST /echo HTTP/1.1\r\n" H "Host: y\r\n\r\n", "HTTP/1.1 400", "");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", "HTTP/1.1 400", "");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999\r\n\r\nabc",
                        "HTTP/1.1 4", "");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length : 3\r\n\r\nabc", "HTTP/1.1 400", "name");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length\t: 3\r\n\r\nabc", "HTTP/1.1 400", "name");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding : chunked\r\n\r\nabc",
                        "HTTP/1.1 400", "name");
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nX(Y): z\r\n\r\nabc", "HTTP/1.1 400",
                        "name");
        expect("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: "
               "chunked\r\n\r\n0\r\n\r\n",
                        "HTTP/1.1 400", "1.1");
}

static void test_order_of_checks(_unused_ void **state)
{
        char request[256];

        /* Nothing is asked of the gate when the path or the method is wrong, nor is the size looked at
         * before it. */
        atomic_store(&n_gates, 0);
        expect("POST /nope HTTP/1.1\r\n" H "Content-Length: 999999\r\n\r\n", "HTTP/1.1 404", "");
        expect("GET /locked HTTP/1.1\r\n" H "Content-Length: 999999\r\n\r\n", "HTTP/1.1 405", "");
        assert_int_equal(atomic_load(&n_gates), 0);
        expect("POST /locked HTTP/1.1\r\n" H "Content-Length: 999999\r\n\r\n", "HTTP/1.1 401", "");
        snprintf(request, sizeof(request),
                        "POST /locked HTTP/1.1\r\n" H "X-Key: 1\r\nContent-Length: %u\r\n\r\n",
                        MAX_BODY + 1);
        expect(request, "HTTP/1.1 413", "\"status_code\":413");
        assert_int_equal(atomic_load(&n_gates), 2);
}

static void test_bodies(_unused_ void **state)
{
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "HTTP/1.1 200",
                        "\r\n\r\nhello");
        expect("POST /echo HTTP/1.1\r\n" H
               "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: x\r\n\r\n",
                        "HTTP/1.1 200", "\r\n\r\nhello");
        expect("POST /echo HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "Content-Length: 0");
        expect("POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.", "\r\n\r\nhi");
        expect("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
                        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", "hello");
        expect("GET /arg/x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "HTTP/1.1 200", "x|-");
        expect("GET /arg/x HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
               "GET /arg/y HTTP/1.1\r\n" H "\r\n",
                        "HTTP/1.1 200", "y|-");
        expect("GET /arg/x HTTP/1.1\r\n" H "Content-Length: 9999999\r\n\r\nhello", "HTTP/1.1 413", "");
}

static void test_chunked_body_over_the_limit(_unused_ void **state)
{
        char chunk[1100], head[] = "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n";
        int fd = dial();

        memset(chunk, 'x', sizeof(chunk));
        memcpy(chunk, "400\r\n", 5);
        memcpy(chunk + 5 + 1024, "\r\n", 3);
        say(fd, head);
        for (unsigned i = 0; i < 25; i++)
                say(fd, chunk);
        say(fd, "0\r\n\r\n");
        assert_non_null(strstr(hear_until(fd, "}"), "HTTP/1.1 413"));
        close(fd);

        /* One that never ends is read no further than as much again. */
        fd = dial();
        say(fd, head);
        for (unsigned i = 0; i < 100000; i++)
                if (send(fd, chunk, strlen(chunk), MSG_NOSIGNAL) < 0)
                        break;
        assert_int_equal(send(fd, chunk, strlen(chunk), MSG_NOSIGNAL), -1);
        close(fd);
}

static void test_keep_alive_and_pipelining(_unused_ void **state)
{
        int fd = dial();
        const char *answer;

        say(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\noneGET /nope HTTP/1.1\r\n" H "\r\n"
                "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\ntwo");
        answer = hear_until(fd, "two");
        assert_non_null(strstr(answer, "\r\n\r\none"));
        assert_non_null(strstr(answer, "404 Not Found"));
        say(fd, "GET /arg/three HTTP/1.1\r\n" H "\r\n");
        assert_non_null(strstr(hear_until(fd, "three"), "three"));
        close(fd);
}

static void test_later_replies(_unused_ void **state)
{
        int a = dial(), b = dial(), c = dial();

        say(a, "GET /later HTTP/1.1\r\n" H "\r\n");
        say(b, "GET /later HTTP/1.1\r\n" H "\r\n");
        while (http_server_connections(server) < 3)
                usleep(1000);
        usleep(100000);
        close(b); /* its reply finds nobody */
        say(c, "GET /release HTTP/1.1\r\n" H "\r\n");
        assert_non_null(strstr(hear_until(c, "released"), "released"));
        assert_non_null(strstr(hear_until(a, "late"), "late"));
        close(a);
        close(c);
        while (http_server_connections(server) > 0)
                usleep(1000);
        assert_int_equal(n_destroyed, 2);
}

/* Neither a byte of an answer nor a connection that stays. */
static void test_dropped(_unused_ void **state)
{
        int a = dial(), b = dial(), c = dial();

        say(a, "POST /drop HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
        assert_string_equal(hear_until(a, NULL), "");
        say(b, "GET /later HTTP/1.1\r\n" H "\r\n");
        usleep(100000);
        say(c, "GET /cut HTTP/1.1\r\n" H "\r\n");
        assert_non_null(strstr(hear_until(c, "cut"), "cut"));
        assert_string_equal(hear_until(b, NULL), "");
        close(a);
        close(b);
        close(c);
        while (http_server_connections(server) > 0)
                usleep(1000);
        assert_int_equal(n_destroyed, 1);
}

static void test_budget(_unused_ void **state)
{
        int fds[3], fd;
        char head[128];

        snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\n" H "Content-Length: %u\r\n\r\nx", MAX_BODY);
        for (unsigned i = 0; i < 3; i++) {
                fds[i] = dial();
                say(fds[i], head);
        }
        for (HttpServerStats s = {}; s.body_bytes < MAX_BODIES; usleep(1000))
                http_server_get_stats(server, &s);

        fd = dial();
        say(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx");
        assert_non_null(strstr(hear_until(fd, "}"), "HTTP/1.1 503"));
        close(fd);
        for (unsigned i = 0; i < 3; i++)
                close(fds[i]);
        for (HttpServerStats s = { .body_bytes = 1 }; s.body_bytes > 0; usleep(1000))
                http_server_get_stats(server, &s);
        expect("POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx", "HTTP/1.1 200", "x");
}

/* A byte now and then keeps nothing open: each of these would go on for a minute. */
static const char *drip(const char *head, const char *drop)
{
        int fd = dial();
        const char *answer;

        say(fd, head);
        for (unsigned i = 0; i < 600; i++) {
                struct pollfd p = { .fd = fd, .events = POLLIN };

                if (poll(&p, 1, 100) > 0)
                        break;
                if (send(fd, drop, 1, MSG_NOSIGNAL) < 0)
                        break;
                assert_true(i < 599);
        }
        answer = hear_until(fd, NULL);
        close(fd);
        return answer;
}

static void test_dripping_headers(_unused_ void **state)
{
        assert_string_equal(drip("GET /arg/x HTTP/1.1\r\n" H "X: ", "y"), "");
        assert_string_equal(drip("GET /a", "y"), "");
}

static void test_dripping_body(_unused_ void **state)
{
        const char *answer = drip("POST /echo HTTP/1.1\r\n" H "Content-Length: 10000\r\n\r\n", "y");
        const char *body = strstr(answer, "\r\n\r\n");
        char length[64];

        assert_int_equal(strncmp(answer, "HTTP/1.1 408 ", 13), 0);
        assert_non_null(body);
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body + 4));
        assert_non_null(strstr(answer, length));
        assert_non_null(strstr(body, "\"status_code\":408"));
}

static void test_idling(_unused_ void **state)
{
        int fd = dial();

        say(fd, "GET /arg/x HTTP/1.1\r\n" H "\r\n");
        hear_until(fd, "x|-|/arg/x");
        assert_string_equal(hear_until(fd, NULL), "");
        close(fd);

        fd = dial();
        assert_string_equal(hear_until(fd, NULL), "");
        close(fd);
}

static void test_large_reply(_unused_ void **state)
{
        const HttpClientRequest q = {
                .socket = socket_path, .method = "GET", .url = "/large", .max_body = 4000000
        };
        HttpClientResult result;

        assert_int_equal(http_client_perform(&q, &result), 0);
        assert_int_equal(result.status, 200);
        assert_int_equal(result.body.size, 3000000);
        http_client_result_done(&result);
}

static void test_client_caps_what_it_keeps(_unused_ void **state)
{
        const HttpClientRequest q = {
                .socket = socket_path, .method = "GET", .url = "/large", .max_body = 1000
        };
        HttpClientResult result;

        assert_int_equal(http_client_perform(&q, &result), -EPROTO);
        assert_string_equal(result.error, "the answer is larger than 1000 bytes");
        http_client_result_done(&result);
}

static void test_client_finds_nobody(_unused_ void **state)
{
        const HttpClientRequest q = {
                .socket = "/nonexistent/s", .method = "GET", .url = "/", .max_body = 1000
        };
        HttpClientResult result;

        assert_int_equal(http_client_perform(&q, &result), -ENOENT);
        assert_true(*result.error);
        http_client_result_done(&result);
}

static void test_stream(_unused_ void **state)
{
        int fd = dial();

        say(fd, "GET /stream HTTP/1.1\r\n" H "\r\n");
        hear_until(fd, "0\n\r\n");
        for (unsigned i = 1; i < 5; i++) {
                char want[8];

                expect("GET /wake HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "");
                snprintf(want, sizeof(want), "%u\n\r\n", i);
                assert_non_null(strstr(hear_until(fd, want), want));
        }
        expect("GET /wake HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "");
        hear_until(fd, "0\r\n\r\n");
        close(fd);
        while (atomic_load(&n_streams_done) < 1)
                usleep(1000);
}

/* What is not whole does not look as if it were. */
static void test_stream_whose_source_fails(_unused_ void **state)
{
        int fd = dial();
        const char *heard;

        say(fd, "GET /failing-stream HTTP/1.1\r\n" H "\r\n");
        heard = hear_until(fd, NULL);
        assert_non_null(strstr(heard, "HTTP/1.1 200"));
        assert_null(strstr(heard, "\n0\r\n"));
        close(fd);
        while (atomic_load(&n_streams_done) < 1)
                usleep(1000);
}

/* A reader that goes while its stream waits is noticed without anything being written. */
static void test_stream_whose_reader_goes(_unused_ void **state)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(a.sun_path, socket_path);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        say(fd, "GET /stream HTTP/1.1\r\n" H "\r\n");
        hear_until(fd, "0\n\r\n");
        close(fd);
        while (atomic_load(&n_streams_done) < 1)
                usleep(1000);
}

static void test_slow_reader_is_cut(_unused_ void **state)
{
        int fd = dial();

        say(fd, "GET /flood HTTP/1.1\r\n" H "\r\n");
        while (atomic_load(&n_streams_done) < 1)
                usleep(1000);
        close(fd);
}

static void test_many_connections_at_once(_unused_ void **state)
{
        static int fds[300];

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial();
        for (unsigned round = 0; round < 5; round++) {
                for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                        say(fds[i], "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
                for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                        assert_non_null(strstr(hear_until(fds[i], "hello"), "HTTP/1.1 200"));
        }
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
}

static void test_more_than_the_maximum_wait_their_turn(_unused_ void **state)
{
        static int fds[450];
        int fd;

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial();
        for (unsigned n = 0; n < 400; n = http_server_connections(server))
                usleep(1000);
        assert_int_equal(http_server_connections(server), 400);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
        fd = dial();
        say(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
        assert_non_null(strstr(hear_until(fd, "hello"), "HTTP/1.1 200"));
        close(fd);
}

static void test_freed_with_requests_in_flight(_unused_ void **state)
{
        int a = dial(), b = dial();

        say(a, "GET /later HTTP/1.1\r\n" H "\r\n");
        say(b, "GET /stream HTTP/1.1\r\n" H "\r\n");
        hear_until(b, "0\n\r\n");
        usleep(100000);
        /* tear_down() frees the server with one suspended handler and one waiting stream. */
        close(a);
        close(b);
}

/* The loop may run a timer late, to run it with others. Two of the server's runs come between a later reply
 * and the next request on its connection, and each came up to a millisecond after it was asked for. */
static void test_a_later_reply_does_not_wait_for_a_late_timer(_unused_ void **state)
{
        uint64_t late_by;

        assert_true(sd_event_source_get_time_accuracy(server->timer, &late_by) >= 0);
        assert_int_equal(late_by, 1);
}

/* Says request after request on some connections, and takes the answers, until it is told to stop. */
static void *flood(void *userdata)
{
        static const char request[] = "GET /arg/x HTTP/1.1\r\n" H "\r\n";
        _cleanup_free_ char *text = malloc(100 * sizeof(request));
        struct pollfd fds[4];
        size_t at[ELEMENTSOF(fds)] = {}, n = 0;
        char answer[65536];

        while (n < 100 * (sizeof(request) - 1))
                n = (size_t)(stpcpy(text + n, request) - text);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = (struct pollfd){ .fd = dial(), .events = POLLIN | POLLOUT };
        while (!atomic_load((atomic_bool *)userdata)) {
                (void)poll(fds, ELEMENTSOF(fds), 100);
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        ssize_t k = send(fds[i].fd, text + at[i], n - at[i], MSG_DONTWAIT | MSG_NOSIGNAL);

                        at[i] = k > 0 ? (at[i] + (size_t)k) % n : at[i];
                        (void)recv(fds[i].fd, answer, sizeof(answer), MSG_DONTWAIT);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i].fd);
        return NULL;
}

/* A server that had something to go on with at each turn of the loop took every turn, so that nobody was
 * accepted any more and nothing else of the loop was done. */
static void test_pipelines_without_end_leave_others_their_turn(_unused_ void **state)
{
        atomic_bool enough = false;
        pthread_t flooder;

        assert_int_equal(pthread_create(&flooder, NULL, flood, &enough), 0);
        while (http_server_connections(server) < 4)
                usleep(1000);
        for (unsigned i = 0; i < 5; i++)
                expect("GET /arg/y HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200", "y|");
        atomic_store(&enough, true);
        assert_int_equal(pthread_join(flooder, NULL), 0);
}

static void test_listen(_unused_ void **state)
{
        static const char *const bad[] = { "", "localhost:80", "127.0.0.1", "127.0.0.1:70000", "[::1]",
                "unix:x", "1.2.3.4:x" };
        int fd;

        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad))
                assert_int_equal(http_listen(*b, 0600), -EINVAL);
        assert_int_equal(http_listen(socket_path, 0600), -EADDRINUSE);
        assert_int_equal(http_listen(dir, 0600), -EEXIST);

        /* A file that a killed daemon left behind. */
        fd = http_listen("unix:/tmp/test-server-stale", 0600);
        assert_true(fd >= 0);
        close(fd);
        fd = http_listen("unix:/tmp/test-server-stale", 0600);
        assert_true(fd >= 0);
        close(fd);
        unlink("/tmp/test-server-stale");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(test_routes),
                T(test_framing),
                T(test_order_of_checks),
                T(test_bodies),
                T(test_chunked_body_over_the_limit),
                T(test_keep_alive_and_pipelining),
                T(test_later_replies),
                T(test_dropped),
                T(test_budget),
                T(test_dripping_headers),
                T(test_dripping_body),
                T(test_idling),
                T(test_large_reply),
                T(test_client_caps_what_it_keeps),
                T(test_client_finds_nobody),
                T(test_stream),
                T(test_stream_whose_source_fails),
                T(test_stream_whose_reader_goes),
                T(test_slow_reader_is_cut),
                T(test_many_connections_at_once),
                T(test_more_than_the_maximum_wait_their_turn),
                T(test_freed_with_requests_in_flight),
                T(test_a_later_reply_does_not_wait_for_a_late_timer),
                T(test_pipelines_without_end_leave_others_their_turn),
                T(test_listen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
