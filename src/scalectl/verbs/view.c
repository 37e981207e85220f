/*
 * A page to look at what is stored, served by whoever wants to look, with their rights: it is this program
 * that listens, on loopback, for as long as it runs, and that asks the daemon's query socket as every other
 * verb does. Nothing in the daemons knows of it, and nothing that it can be asked for changes anything.
 *
 * The daemon may come and go meanwhile: the page says so and goes on.
 */

#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "scalectl/api.h"
#include "scalectl/view/view.h"

#define ROUTES_MAX     32U
#define IN_FLIGHT_MAX  16U
#define WAITING_MAX    64U
#define CHECK_USEC     (5 * USEC_PER_SEC)
#define CHECK_BODY_MAX ((size_t)1024 * 1024)

typedef struct ViewOptions {
        uint64_t port;
} ViewOptions;

static const Option view_options[] = {
        { "--port", OPTION_NUMBER, offsetof(ViewOptions, port) },
};

/* Whether there is any use: a socket that may not be used stays so, while a daemon that is not there may
 * come. 0, or an exit status (said). */
static int check_socket(View *v)
{
        const HttpClientRequest request = {
                .socket = v->ctl->settings.query.socket,
                .method = "GET",
                .url = "/healthz",
                .timeout = CHECK_USEC,
                .max_body = CHECK_BODY_MAX,
        };
        HttpClientResult result;
        int r, status = 0;

        r = http_client_perform(&request, &result);
        if (r < 0) {
                status = api_complain_unreachable(API_QUERY, request.socket, r, result.error);
                v->away = true;
        }
        http_client_result_done(&result);
        return status == EX_NOPERM ? status : 0;
}

/* A listening socket on loopback and its port. The descriptor or negative errno. */
static int listen_on(uint64_t port, uint16_t *ret_port)
{
        struct sockaddr_in address = {};
        socklen_t size = sizeof(address);
        _cleanup_close_ int fd = -EBADF;
        char text[32];

        snprintf(text, sizeof(text), "127.0.0.1:%" PRIu64, port);
        fd = http_listen(text, 0);
        if (fd < 0)
                return fd;
        if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
                return -errno;
        *ret_port = ntohs(address.sin_port);
        return take_fd(&fd);
}

static int add_signals(sd_event *loop)
{
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL);
        return r < 0 ? r : sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL);
}

static int serve(View *v, sd_event *loop, int fd)
{
        static const HttpLimits limits = {
                .max_connections = 64,
                .max_body = 1024,
                .max_bodies = (size_t)64 * 1024,
                .header_timeout = 10 * USEC_PER_SEC,
                .body_timeout = 10 * USEC_PER_SEC,
                .idle_timeout = 60 * USEC_PER_SEC,
                .write_timeout = 60 * USEC_PER_SEC,
        };
        _cleanup_(http_server_freep) HttpServer *server = NULL;
        HttpRoute routes[ROUTES_MAX] = {};
        size_t n = 0;
        int r;

        for (const HttpRoute *route = view_page_routes; route->method; route++)
                routes[n++] = *route;
        for (const HttpRoute *route = view_api_routes; route->method; route++)
                routes[n++] = *route;
        assert(n < ROUTES_MAX);

        r = http_server_new(loop,
                        &(HttpServerOptions){
                                        .routes = routes, .userdata = v, .limits = limits, .what = "view" },
                        &server);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        r = http_server_add_listener(server, fd);
        if (r >= 0)
                r = http_pool_new(loop,
                                &(HttpPoolOptions){
                                                .max_in_flight = IN_FLIGHT_MAX, .max_waiting = WAITING_MAX },
                                &v->pool);
        if (r < 0)
                return r;

        printf(v->ctl->json ? "{\"url\":\"http://%s/?token=%s\"}\n" : "http://%s/?token=%s\n",
                        v->session.hosts[0], v->session.token);
        r = fflush(stdout) != 0 ? -errno : sd_event_loop(loop);

        /* Answers that are on their way still have a request to go to. */
        v->pool = http_pool_free(v->pool);
        return MIN(r, 0);
}

static int run(View *v, int fd)
{
        sd_event *loop = NULL;
        int r;

        r = sd_event_new(&loop);
        if (r >= 0)
                r = add_signals(loop);
        if (r >= 0)
                r = serve(v, loop, fd);
        else
                fd_close(fd);
        sd_event_unref(loop);
        if (r < 0)
                complain("the page can't be served: %s", strerror(-r));
        return r < 0 ? EX_OSERR : 0;
}

int verb_view(Ctl *ctl, int argc, char **argv)
{
        View v = { .ctl = ctl };
        ViewOptions o = {};
        uint16_t port = 0;
        unsigned n;
        int fd, r;

        r = options_read(ctl, verb_find("view"), view_options, ELEMENTSOF(view_options), &o, argc, argv, 0,
                        0, &n);
        if (r != 0)
                return r;
        if (o.port > UINT16_MAX) {
                complain("--port %" PRIu64 ": a port is at most %u", o.port, UINT16_MAX);
                return EX_USAGE;
        }
        r = check_socket(&v);
        if (r != 0)
                return r;

        fd = listen_on(o.port, &port);
        if (fd < 0) {
                complain("127.0.0.1:%" PRIu64 " can't be listened on: %s", o.port, strerror(-fd));
                return EX_UNAVAILABLE;
        }
        r = view_session_init(&v.session, port);
        if (r < 0) {
                fd_close(fd);
                complain("there are no random numbers: %s", strerror(-r));
                return EX_OSERR;
        }
        return run(&v, fd);
}
