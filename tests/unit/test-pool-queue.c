/*
 * The client on a loop: connections that are used again and end meanwhile, many requests at a time, what is
 * canceled, and the end of the pool.
 */

#include "test-pool.h"

#include "http/server.h"

/* A connection that was kept alive and ends. */

static void serve_second_dies(Peer *p, int fd, unsigned i)
{
        if (i == 0) {
                if (hear(p, fd))
                        say(fd, OK_ANSWER);
                if (hear(p, fd) && p->answer)
                        reset(fd);
                return;
        }
        while (hear(p, fd))
                say(fd, OK_ANSWER);
}

/* The peer took the second request wholly and then ended, by closing or by a reset. It may have done what
 * was asked: sent again, it would be done twice. */
static void test_kept_alive_and_taken(_unused_ void **state)
{
        static const char *const bodies[] = { "body", "" };

        for (unsigned i = 0; i < 4; i++) {
                Peer p = { .serve = serve_second_dies, .answer = i & 1 ? "reset" : NULL };
                HttpPoolRequest q;
                Told told;

                peer_start(&p);
                q = request_of("POST", url_of(&p), &told);
                q.body = bodies[i / 2];
                q.body_size = strlen(bodies[i / 2]);
                ask(&q);
                assert_int_equal(told.status, 200);
                ask(&q);
                assert_int_equal(told.error, -EPROTO);
                assert_true(told.sent);
                assert_int_equal(told.status, 0);

                /* What is asked later is heard later than a repetition would have been. */
                q = request_of("GET", url_of(&p), &told);
                ask(&q);
                assert_int_equal(told.status, 200);
                assert_int_equal(atomic_load(&p.n_requests), 3);
                assert_true(peer_has_heard(&p, "GET "));
                pool = http_pool_free(pool);
                peer_stop(&p);
                tear_down(NULL);
                set_up(NULL);
        }
}

static void test_get_is_repeated(_unused_ void **state)
{
        Peer p = { .serve = serve_second_dies };
        HttpPoolRequest q;
        Told told;

        peer_start(&p);
        q = request_of("GET", url_of(&p), &told);
        ask(&q);
        ask(&q);
        assert_int_equal(told.error, 0);
        assert_int_equal(told.status, 200);
        assert_true(told.sent);
        assert_int_equal(atomic_load(&p.n_requests), 3);
        assert_int_equal(atomic_load(&p.n_connections), 2);
        pool = http_pool_free(pool);
        peer_stop(&p);
}

/* One that was closed while it was idle is noticed before anything is sent. */
static void test_kept_alive_and_closed(_unused_ void **state)
{
        Peer p = { .serve = serve_once, .answer = OK_ANSWER };
        Told told;

        peer_start(&p);
        for (unsigned i = 1; i <= 3; i++) {
                post(&p, &told);
                assert_int_equal(told.error, 0);
                while (atomic_load(&p.n_closed) < i)
                        usleep(1000);
        }
        assert_int_equal(atomic_load(&p.n_requests), 3);
        peer_stop(&p);
}

/* Two addresses: the first never answers, so that after half of the time its socket makes place for that of
 * the second, under the same number. */
static void test_next_address(_unused_ void **state)
{
        Peer p = { .serve = serve_once, .answer = OK_ANSWER };
        int fill[FILL], deaf;
        HttpPoolRequest q;
        char url[64];
        Told told;

        p.fd = listen_at("127.0.0.2", &p.port, 16);
        assert_int_equal(pthread_create(&p.thread, NULL, run_peer, &p), 0);
        deaf = listen_deaf(&p.port, fill);
        snprintf(url, sizeof(url), "http://two.invalid:%u/", p.port);
        q = request_of("POST", url, &told);
        q.timeout = 6 * USEC_PER_SEC;
        ask(&q);
        assert_int_equal(told.error, 0);
        assert_int_equal(told.status, 200);
        close_deaf(deaf, fill);
        peer_stop(&p);
}

/* Many. */

#define MANY 100U

static HttpServer *server;
static HttpRequest *held[MANY];
static unsigned n_held, n_arrived, most_held;
static unsigned arrived[MANY];
static sd_event_source *release;

static int on_release(_unused_ sd_event_source *s, _unused_ uint64_t usec, _unused_ void *userdata)
{
        for (unsigned i = 0; i < n_held; i++)
                http_reply(held[i], 200, "text/plain", "ok", 2);
        n_held = 0;
        return 0;
}

/* Holds requests for a moment, so that as many come together as can. */
static int on_hold(HttpRequest *r, _unused_ void *userdata)
{
        assert_true(n_held < MANY && n_arrived < MANY);
        arrived[n_arrived++] = (unsigned)atoi(http_request_path_arg(r, 0));
        held[n_held++] = r;
        most_held = MAX(most_held, n_held);
        assert_true(sd_event_source_set_time_relative(release, 20 * USEC_PER_MSEC) >= 0);
        assert_true(sd_event_source_set_enabled(release, SD_EVENT_ONESHOT) >= 0);
        return 0;
}

static void server_start(const char *path)
{
        static const HttpRoute routes[] = { { "POST", "/hold/{n}", on_hold, NULL }, {} };
        const HttpServerOptions options = {
                .routes = routes,
                .what = "test",
                .limits = {
                        .max_connections = 400,
                        .max_body = 20000,
                        .max_bodies = 60000,
                        .header_timeout = 20 * USEC_PER_SEC,
                        .body_timeout = 20 * USEC_PER_SEC,
                        .idle_timeout = 20 * USEC_PER_SEC,
                        .write_timeout = 20 * USEC_PER_SEC,
                },
        };
        int fd;

        n_held = n_arrived = most_held = 0;
        assert_true(sd_event_add_time_relative(loop, &release, CLOCK_MONOTONIC, 0, 1, on_release, NULL) >=
                        0);
        assert_true(sd_event_source_set_enabled(release, SD_EVENT_OFF) >= 0);
        assert_int_equal(http_server_new(loop, &options, &server), 0);
        fd = http_listen(path, 0600);
        assert_true(fd >= 0);
        assert_int_equal(http_server_add_listener(server, fd), 0);
}

static void send_many(unsigned max_in_flight)
{
        static Told told[MANY];
        HttpServerStats stats;
        char path[64], url[32];

        snprintf(path, sizeof(path), "%s/s", dir);
        server_start(path);
        http_pool_set_max_in_flight(pool, max_in_flight);
        memset(told, 0, sizeof(told));
        for (unsigned i = 0; i < MANY; i++) {
                HttpPoolRequest q;

                snprintf(url, sizeof(url), "/hold/%u", i);
                q = request_of("POST", url, &told[i]);
                q.socket = path;
                q.body = "x";
                q.body_size = 1;
                assert_int_equal(start(&q, NULL), 0);
        }
        run_until(MANY);
        FOREACH_ARRAY(t, told, MANY)
                if (t->n != 1 || t->error != 0 || t->status != 200 || !streq(t->body, "ok"))
                        fail_msg("%u: %u times, %d %s", (unsigned)(t - told), t->n, t->error, t->message);

        http_server_get_stats(server, &stats);
        assert_int_equal(stats.accepted, max_in_flight); /* every connection was used again */
        assert_int_equal(most_held, max_in_flight);
        /* Begun in order; those under way together may arrive in any. */
        for (unsigned i = 0; i < MANY; i++)
                assert_true(arrived[i] + max_in_flight > i && arrived[i] < i + max_in_flight);

        server = http_server_free(server);
        release = sd_event_source_disable_unref(release);
        unlink(path);
}

static void test_many(_unused_ void **state)
{
        send_many(8);
}

static void test_one_at_a_time(_unused_ void **state)
{
        send_many(1);
}

static void test_queue_is_bounded(_unused_ void **state)
{
        HttpPoolRequest q;
        Told told = {};
        HttpTransfer *t;

        tear_down(NULL);
        set_up_with(0, 3, NULL);
        q = request_of("POST", "http://name.invalid/", &told);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(start(&q, &t), 0);
        assert_int_equal(start(&q, NULL), -EAGAIN);

        /* A place is free when done() was called, not before. */
        cancel(t);
        assert_int_equal(start(&q, NULL), -EAGAIN);
        run_until(1);
        assert_int_equal(told.error, -ECANCELED);
        assert_false(told.sent);
        assert_int_equal(start(&q, NULL), 0);

        http_pool_set_max_in_flight(pool, 1);
        run_until(4);
        assert_int_equal(told.error, -EHOSTUNREACH);
}

/* Canceling. */

static void test_cancel_while_resolving(_unused_ void **state)
{
        Told told = {};
        HttpPoolRequest q = request_of("POST", "http://slow.invalid/", &told);
        HttpTransfer *t;

        assert_int_equal(start(&q, &t), 0);
        run_while_not(&n_resolving, 1);
        cancel(t); /* does not wait for the name, which takes for ever */
        assert_int_equal(told.n, 0);
        run_until(1);
        assert_int_equal(told.error, -ECANCELED);
        assert_false(told.sent);
        assert_string_equal(told.message, "slow.invalid:80: canceled");
}

static void test_cancel_while_sent(_unused_ void **state)
{
        Peer p = { .serve = serve_silence };
        Told told = {};
        HttpPoolRequest q;
        HttpTransfer *t;

        peer_start(&p);
        q = request_of("POST", url_of(&p), &told);
        assert_int_equal(start(&q, &t), 0);
        run_while_not(&p.n_requests, 1);
        cancel(t);
        cancel(t); /* twice is once */
        run_until(1);
        assert_int_equal(told.error, -ECANCELED);
        assert_true(told.sent);
        assert_true(sd_event_run(loop, 0) >= 0);
        assert_int_equal(told.n, 1);
        peer_stop(&p);
}

/* Two finish together; the first done() cancels the second, whose result is there already. */
static void test_cancel_what_is_finished(_unused_ void **state)
{
        Told told[2] = {};
        HttpTransfer *t[2];

        tear_down(NULL);
        set_up_with(0, 3, NULL);
        for (unsigned i = 0; i < 2; i++) {
                HttpPoolRequest q = request_of("POST", "http://name.invalid/", &told[i]);

                assert_int_equal(start(&q, &t[i]), 0);
                cancel(t[i]);
        }
        told[0].cancel = t[1];
        run_until(2);
        assert_int_equal(told[0].n, 1);
        assert_int_equal(told[1].n, 1);
}

/* The end of the pool. */

static void start_from_done(_unused_ const HttpPoolResult *result, void *userdata)
{
        HttpPoolRequest q = request_of("POST", "http://name.invalid/", userdata);
        Told *told = userdata;

        told->n++;
        told->error = result->error;
        told->sent = result->sent;
        told->start = http_pool_start(pool, &q, NULL);
}

static void test_free_pool(_unused_ void **state)
{
        Peer p = { .serve = serve_silence };
        Told under_way = {}, resolving = {}, waiting = {}, canceled = {};
        HttpPoolRequest q;
        HttpTransfer *t;

        tear_down(NULL);
        set_up_with(2, 4, NULL);
        peer_start(&p);
        q = request_of("POST", url_of(&p), &under_way);
        q.done = start_from_done;
        assert_int_equal(start(&q, NULL), 0);
        q = request_of("POST", "http://slow.invalid/", &resolving);
        assert_int_equal(start(&q, NULL), 0);
        q = request_of("POST", url_of(&p), &waiting);
        assert_int_equal(start(&q, NULL), 0);
        q = request_of("POST", url_of(&p), &canceled);
        assert_int_equal(start(&q, &t), 0);
        run_while_not(&p.n_requests, 1);
        run_while_not(&n_resolving, 1);
        cancel(t);

        pool = http_pool_free(pool);
        assert_int_equal(under_way.n + resolving.n + waiting.n + canceled.n, 4);
        assert_int_equal(under_way.error, -ECANCELED);
        assert_int_equal(under_way.start, -ESHUTDOWN);
        assert_true(under_way.sent);
        assert_false(resolving.sent || waiting.sent || canceled.sent);
        peer_stop(&p);
}

static void test_free_from_done(_unused_ void **state)
{
        Told told[3] = {};

        for (unsigned i = 0; i < 3; i++) {
                HttpPoolRequest q = request_of("POST", "http://name.invalid/", &told[i]);

                told[i].free_pool = i == 0 ? &pool : NULL;
                assert_int_equal(start(&q, NULL), 0);
        }
        run_until(3);
        assert_null(pool);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(told[i].n, 1);
        assert_true(sd_event_run(loop, 0) >= 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_kept_alive_and_taken),
                TEST(test_get_is_repeated),
                TEST(test_kept_alive_and_closed),
                TEST(test_next_address),
                TEST(test_many),
                TEST(test_one_at_a_time),
                TEST(test_queue_is_bounded),
                TEST(test_cancel_while_resolving),
                TEST(test_cancel_while_sent),
                TEST(test_cancel_what_is_finished),
                TEST(test_free_pool),
                TEST(test_free_from_done),
        };

        return cmocka_run_group_tests(tests, begin_all, end_all);
}
