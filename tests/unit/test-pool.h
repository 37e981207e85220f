#pragma once

/* What the tests of the pool need around it: a peer on a thread that does what a script says, and names that
 * resolve as the tests want. */

#include "test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "http/pool.h"

/* The resolver, in place of libc's: nothing is asked of any network. */

static atomic_uint n_resolving;
static atomic_bool let_resolve;

static inline struct addrinfo *address_of(const char *ip, const char *service, struct addrinfo *next)
{
        struct addrinfo *a = calloc(1, sizeof(struct addrinfo));
        struct sockaddr_in *in = calloc(1, sizeof(struct sockaddr_in));

        assert(a && in);
        *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(service)) };
        assert(inet_pton(AF_INET, ip, &in->sin_addr) == 1);
        *a = (struct addrinfo){
                .ai_family = AF_INET,
                .ai_socktype = SOCK_STREAM,
                .ai_addrlen = sizeof(*in),
                .ai_addr = (struct sockaddr *)in,
                .ai_next = next,
        };
        return a;
}

int getaddrinfo(const char *name, const char *service, _unused_ const struct addrinfo *hints,
                struct addrinfo **ret)
{
        if (streq(name, "slow.invalid")) {
                atomic_fetch_add(&n_resolving, 1);
                while (!atomic_load(&let_resolve))
                        usleep(1000);
                atomic_fetch_sub(&n_resolving, 1);
        }
        if (!streq(name, "two.invalid"))
                return EAI_NONAME;
        *ret = address_of("127.0.0.1", service, address_of("127.0.0.2", service, NULL));
        return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
        while (a) {
                struct addrinfo *next = a->ai_next;

                free(a->ai_addr);
                free(a);
                a = next;
        }
}

/* The peer. */

typedef struct Peer Peer;

struct Peer {
        /* What becomes of the i-th connection; it is closed afterwards. */
        void (*serve)(Peer *p, int fd, unsigned i);
        const char *answer;
        pthread_t thread;
        int fd;
        uint16_t port;
        atomic_uint n_connections, n_requests, n_closed;
        pthread_mutex_t lock;
        char heard[32768]; /* the last request */
};

static inline int listen_at(const char *ip, uint16_t *port, int backlog)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(*port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(a);

        assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, backlog), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
        *port = ntohs(a.sin_port);
        return fd;
}

/* A listener whose queue is full: who connects hears nothing. */
#define FILL 4U

static inline int listen_deaf(uint16_t *port, int fill[static FILL])
{
        int fd = listen_at("127.0.0.1", port, 0);
        const struct sockaddr_in a = {
                .sin_family = AF_INET,
                .sin_port = htons(*port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };

        for (unsigned i = 0; i < FILL; i++) {
                fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                (void)connect(fill[i], (const struct sockaddr *)&a, sizeof(a));
        }
        return fd;
}

static inline void close_deaf(int fd, const int fill[static FILL])
{
        for (unsigned i = 0; i < FILL; i++)
                close(fill[i]);
        close(fd);
}

static inline void *run_peer(void *userdata)
{
        Peer *p = userdata;
        int fd;

        while ((fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                p->serve(p, fd, atomic_fetch_add(&p->n_connections, 1));
                close(fd);
                atomic_fetch_add(&p->n_closed, 1);
        }
        return NULL;
}

static inline void peer_start(Peer *p)
{
        p->port = 0;
        p->fd = listen_at("127.0.0.1", &p->port, 16);
        assert_int_equal(pthread_mutex_init(&p->lock, NULL), 0);
        assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

static inline void peer_stop(Peer *p)
{
        shutdown(p->fd, SHUT_RDWR);
        pthread_join(p->thread, NULL);
        close(p->fd);
}

/* Whether the last request has this text. */
static inline bool peer_has_heard(Peer *p, const char *text)
{
        bool has;

        pthread_mutex_lock(&p->lock);
        has = strstr(p->heard, text);
        pthread_mutex_unlock(&p->lock);
        return has;
}

/* Reads one request, body and all. False when the other end has closed. */
static inline bool hear(Peer *p, int fd)
{
        char heard[sizeof(p->heard)];
        size_t n = 0, want = 0;

        while (want == 0 || n < want) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
                const char *end, *length;
                ssize_t k;

                if (poll(&poll_fd, 1, 20000) <= 0)
                        return false;
                k = recv(fd, heard + n, sizeof(heard) - 1 - n, 0);
                if (k <= 0)
                        return false;
                n += (size_t)k;
                heard[n] = 0;
                end = strstr(heard, "\r\n\r\n");
                length = strstr(heard, "Content-Length: ");
                if (end)
                        want = (size_t)(end - heard) + 4 + (length ? (size_t)atoi(length + 16) : 0);
        }
        pthread_mutex_lock(&p->lock);
        memcpy(p->heard, heard, n + 1);
        pthread_mutex_unlock(&p->lock);
        atomic_fetch_add(&p->n_requests, 1);
        return true;
}

static inline void say(int fd, const char *text)
{
        size_t n = strlen(text);

        while (n > 0) {
                ssize_t k = send(fd, text, n, MSG_NOSIGNAL);

                if (k <= 0)
                        return;
                text += k;
                n -= (size_t)k;
        }
}

/* Waits for the other end to close. */
static inline void hear_end(int fd)
{
        char byte[4096];

        while (recv(fd, byte, sizeof(byte), 0) > 0)
                ;
}

static inline void reset(int fd)
{
        const struct linger now = { .l_onoff = 1 };

        assert(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
}

static inline void serve_once(Peer *p, int fd, _unused_ unsigned i)
{
        if (hear(p, fd))
                say(fd, p->answer);
}

static inline void serve_silence(Peer *p, int fd, _unused_ unsigned i)
{
        hear(p, fd);
        hear_end(fd);
}

/* The client and what it was told. */

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* What came of a request. */
typedef struct Told {
        unsigned n; /* times done() was called */
        int error;
        bool sent, is_json;
        unsigned status;
        int64_t date;
        uint64_t retry_after;
        char body[2048], message[700];
        HttpTransfer *cancel; /* to be canceled from done() */
        HttpPool **free_pool; /* to be freed from done() */
        int start;            /* what http_pool_start() said from done() */
} Told;

static sd_event *loop;
static HttpPool *pool;
static unsigned n_told;
static bool in_call;
static _unused_ char dir[] = "/tmp/test-pool-XXXXXX";

static inline void done(const HttpPoolResult *result, void *userdata)
{
        Told *t = userdata;

        assert_false(in_call);
        assert_non_null(result->body);
        assert_int_equal(result->error != 0, result->message != NULL);
        t->n++;
        t->error = result->error;
        t->sent = result->sent;
        t->is_json = result->is_json;
        t->status = result->status;
        t->date = result->date;
        t->retry_after = result->retry_after;
        snprintf(t->body, sizeof(t->body), "%.2000s", buffer_text(result->body));
        snprintf(t->message, sizeof(t->message), "%s", result->message ?: "");
        if (t->cancel)
                http_transfer_cancel(t->cancel);
        if (t->free_pool)
                *t->free_pool = http_pool_free(*t->free_pool);
        n_told++;
}

static inline HttpPoolRequest request_of(const char *method, const char *url, Told *told)
{
        return (HttpPoolRequest){
                .method = method,
                .url = url,
                .timeout = 20 * USEC_PER_SEC,
                .max_body = 1000,
                .done = done,
                .userdata = told,
        };
}

static inline int start(const HttpPoolRequest *q, HttpTransfer **ret)
{
        int r;

        in_call = true;
        r = http_pool_start(pool, q, ret);
        in_call = false;
        return r;
}

static inline void cancel(HttpTransfer *t)
{
        in_call = true;
        http_transfer_cancel(t);
        in_call = false;
}

static inline void run_until(unsigned n)
{
        uint64_t deadline = now_monotonic() + 60 * USEC_PER_SEC;

        while (n_told < n) {
                assert_true(sd_event_run(loop, USEC_PER_SEC) >= 0);
                if (now_monotonic() > deadline)
                        fail_msg("%u of %u were told about", n_told, n);
        }
}

/* Lets the loop do what it has to do, until `ready` or at most a while. */
static inline void run_while_not(const atomic_uint *count, unsigned n)
{
        uint64_t deadline = now_monotonic() + 60 * USEC_PER_SEC;

        while (atomic_load(count) < n) {
                assert_true(sd_event_run(loop, 5 * USEC_PER_MSEC) >= 0);
                assert_true(now_monotonic() < deadline);
        }
}

static inline void ask(const HttpPoolRequest *q)
{
        Told *told = q->userdata;

        *told = (Told){};
        assert_int_equal(start(q, NULL), 0);
        run_until(n_told + 1);
        assert_int_equal(told->n, 1);
}

static inline const char *url_of(const Peer *p)
{
        static char url[64];

        snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", p->port);
        return url;
}

/* Posts to the peer. */
static inline void post(const Peer *p, Told *told)
{
        HttpPoolRequest q = request_of("POST", url_of(p), told);

        q.body = "body";
        q.body_size = 4;
        ask(&q);
}

static inline int set_up_with(unsigned max_in_flight, unsigned max_waiting, const char *ca_file)
{
        const HttpPoolOptions options = {
                .max_in_flight = max_in_flight, .max_waiting = max_waiting, .ca_file = ca_file
        };

        n_told = 0;
        atomic_store(&let_resolve, false);
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(http_pool_new(loop, &options, &pool), 0);
        return 0;
}

static inline int set_up(_unused_ void **state)
{
        return set_up_with(8, 200, NULL);
}

static inline int tear_down(_unused_ void **state)
{
        atomic_store(&let_resolve, true);
        while (atomic_load(&n_resolving) > 0)
                usleep(1000);
        pool = http_pool_free(pool);
        loop = sd_event_unref(loop);
        return 0;
}

static inline int begin_all(_unused_ void **state)
{
        signal(SIGPIPE, SIG_IGN);
        return secrets_init() >= 0 && mkdtemp(dir) ? 0 : -1;
}

static inline int end_all(_unused_ void **state)
{
        secrets_exit();
        return rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
