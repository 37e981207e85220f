/*
 * A page to look at what is stored, served by whoever wants to look, with their rights: it is this program
 * that listens, on loopback, for as long as it runs, and that asks the daemon's query socket as every other
 * verb does. Nothing in the daemons knows of it, and nothing that it can be asked for changes anything.
 *
 * The daemon may come and go meanwhile: the page says so and goes on.
 */

#include "scalectl/view/view.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "scalectl/api.h"
#include "scalectl/view/markdown.h"

/*
 * The calls that the page may make: a few paths of the query socket, read only, each put together anew from
 * its parts, so that nothing that a browser sends reaches the daemon as it is. Answers are collected and
 * handed on with their status; the feed is asked for with `wait`, so that an answer that has nothing to say
 * yet just takes its time, and a page that lost its daemon only has to ask again.
 *
 * A request may end before its answer is there (we are leaving), and an answer may never come (the daemon
 * left): a Forward belongs to both and goes with the last.
 */

#define TIMEOUT_USEC (90 * USEC_PER_SEC)
#define ANSWER_MAX   ((size_t)32 * 1024 * 1024) /* the page asks for less at once when it is more */
#define PIECE_MAX    ((size_t)1024 * 1024)      /* what comes at a time is less */

typedef struct Forward {
        View *view;
        HttpRequest *request;   /* NULL: it ended */
        HttpTransfer *transfer; /* NULL: it ended */
} Forward;

static void on_request_end(void *userdata)
{
        Forward *forward = userdata;

        if (!forward->transfer) {
                free(forward);
                return;
        }
        forward->request = NULL;
        http_transfer_cancel(forward->transfer);
}

/* Says once that the daemon has gone, and once that it is back. */
static void note_away(View *view, bool away, const char *message)
{
        if (away && !view->away)
                complain("scale-callbackd does not answer, the page goes on once it does: %s",
                                strna(message));
        if (!away && view->away)
                complain("scale-callbackd answers again");
        view->away = away;
}

/* The transfer was given up because of its size: what came of it is all that there was room for. */
static bool is_too_large(const HttpPoolResult *result)
{
        return result->error == -EPROTO && result->body->size > ANSWER_MAX - PIECE_MAX;
}

static int reply_failure(HttpRequest *request, const HttpPoolResult *result)
{
        if (is_too_large(result))
                return http_reply_error(request, 502, NULL,
                                "This is more than %zu MiB at once: ask for less, or use scalectl.",
                                ANSWER_MAX / 1024 / 1024);
        switch (result->error) {
        case -EACCES:
        case -EPERM:
                return http_reply_error(request, 403, NULL, "You may not use the query socket: %s",
                                strna(result->message));
        default:
                return http_reply_error(request, 503, NULL, "scale-callbackd does not answer: %s",
                                strna(result->message));
        }
}

static int reply_answer(HttpRequest *request, const HttpPoolResult *result)
{
        int r;

        r = view_add_headers(request);
        if (r < 0)
                return r;
        if (result->error < 0)
                return reply_failure(request, result);

        /* What is no JSON is nothing that a browser should make something of. */
        return http_reply(request, result->status,
                        result->is_json ? "application/json" : "application/octet-stream",
                        buffer_text(result->body), result->body->size);
}

static bool is_away(int error)
{
        return error == -ENOENT || error == -ECONNREFUSED || error == -EPROTO || error == -ETIMEDOUT;
}

static void on_answer(const HttpPoolResult *result, void *userdata)
{
        Forward *forward = userdata;

        forward->transfer = NULL;
        if (!forward->request) {
                free(forward);
                return;
        }
        if (result->error == 0 || is_away(result->error))
                note_away(forward->view, result->error < 0 && !is_too_large(result), result->message);
        if (reply_answer(forward->request, result) < 0)
                http_request_drop(forward->request);
}

static int reply_no(HttpRequest *request, unsigned status, const char *why)
{
        int r = view_add_headers(request);

        return r < 0 ? r : http_reply_error(request, status, NULL, "%s", why);
}

static int start(View *view, HttpRequest *request, const char *url)
{
        _cleanup_free_ Forward *forward = calloc(1, sizeof(Forward));
        int r;

        if (!forward)
                return -ENOMEM;
        *forward = (Forward){ .view = view, .request = request };
        r = http_pool_start(view->pool,
                        &(HttpPoolRequest){
                                        .socket = view->ctl->settings.query.socket,
                                        .method = "GET",
                                        .url = url,
                                        .timeout = TIMEOUT_USEC,
                                        .max_body = ANSWER_MAX,
                                        .done = on_answer,
                                        .userdata = forward,
                        },
                        &forward->transfer);
        if (r == -EAGAIN)
                return reply_no(request, 503, "Too much is asked for at once.");
        if (r < 0)
                return r;
        http_request_set_userdata(request, TAKE_PTR(forward), on_request_end);
        return 0;
}

static int add_parameter(const FormPair *pair, void *userdata)
{
        if (pair->value_size != strlen(pair->value))
                return -EINVAL;
        api_url_add(userdata, pair->name, pair->value);
        return 0;
}

/* "/v1/FIRST", "/v1/FIRST/ARGUMENT", "/v1/FIRST/ARGUMENT/LAST". */
static int forward(View *view, HttpRequest *request, const char *first, const char *last)
{
        const char *argument = http_request_path_arg(request, 1);
        ApiUrl url = api_url("/v1");
        int r;

        api_url_segment(&url, first);
        if (argument)
                api_url_segment(&url, argument);
        if (last)
                api_url_segment(&url, last);
        r = http_request_each_query(request, add_parameter, &url);

        /* These two would be taken for steps in the path on the way. */
        if (r < 0)
                r = reply_no(request, 400, "There is a NUL byte in the query.");
        else if (argument && (streq(argument, ".") || streq(argument, "..")))
                r = reply_no(request, 404, "Not found");
        else if (url.error < 0)
                r = reply_no(request, 414, "This is too long.");
        else
                r = start(view, request, buffer_text(&url.text));
        api_url_done(&url);
        return r;
}

static int on_tasks(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "tasks", NULL);
}

static int on_task(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "task", NULL);
}

static int on_revisions(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "task", "revisions");
}

static int on_task_deliveries(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "task", "deliveries");
}

static int on_deliveries(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "deliveries", NULL);
}

static int on_delivery(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "delivery", NULL);
}

static int on_body(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "delivery", "body");
}

static int on_submissions(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "submissions", NULL);
}

static int on_submission(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "submission", NULL);
}

static int on_events(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "events", NULL);
}

static int on_stats(HttpRequest *request, void *userdata)
{
        return forward(userdata, request, "stats", NULL);
}

/* Changes nothing: a text that the page has, as the tree that it means. */
static int on_markdown(HttpRequest *request, _unused_ void *userdata)
{
        json_t *blocks = NULL;
        size_t size;
        const void *text = http_request_body(request, &size);
        int r;

        r = markdown_parse(text, size, &blocks);
        if (r < 0)
                return r;
        r = view_add_headers(request);
        if (r < 0) {
                json_decref(blocks);
                return r;
        }
        return http_reply_json(request, 200, blocks);
}

static const HttpRoute api_routes[] = {
        { "GET", "/{place}/api/v1/tasks", on_tasks, view_gate_cookie },
        { "GET", "/{place}/api/v1/task/{id}", on_task, view_gate_cookie },
        { "GET", "/{place}/api/v1/task/{id}/revisions", on_revisions, view_gate_cookie },
        { "GET", "/{place}/api/v1/task/{id}/deliveries", on_task_deliveries, view_gate_cookie },
        { "GET", "/{place}/api/v1/deliveries", on_deliveries, view_gate_cookie },
        { "GET", "/{place}/api/v1/delivery/{n}", on_delivery, view_gate_cookie },
        { "GET", "/{place}/api/v1/delivery/{n}/body", on_body, view_gate_cookie },
        { "GET", "/{place}/api/v1/submissions", on_submissions, view_gate_cookie },
        { "GET", "/{place}/api/v1/submission/{id}", on_submission, view_gate_cookie },
        { "GET", "/{place}/api/v1/events", on_events, view_gate_cookie },
        { "GET", "/{place}/api/v1/stats", on_stats, view_gate_cookie },
        { "POST", "/{place}/api/markdown", on_markdown, view_gate_cookie },
        { "GET", "/{place}/api/formats", view_on_formats, view_gate_cookie },
        { "GET", "/{place}/api/export", view_on_export, view_gate_cookie },
        {},
};

/* The files of the page. They are in the program: nothing is read from disk, and nothing from elsewhere. */

typedef struct PageFile {
        const char *name; /* "app.js" */
        const char *content_type;
        const unsigned char *data;
        size_t size;
} PageFile;

#include "view-files.h"

/* NULL: there is none. */
static const PageFile *find_file(const char *name)
{
        FOREACH_ARRAY(f, page_files, ELEMENTSOF(page_files))
                if (streq(f->name, name))
                        return f;
        return NULL;
}

static int reply_file(HttpRequest *request, const char *name)
{
        const PageFile *f = find_file(name);
        int r;

        r = view_add_headers(request);
        if (r < 0)
                return r;
        return f ? http_reply(request, 200, f->content_type, f->data, f->size)
                 : http_reply_error(request, 404, NULL, "Not found");
}

static int on_file(HttpRequest *request, _unused_ void *userdata)
{
        return reply_file(request, http_request_path_arg(request, 1));
}

static int on_page(HttpRequest *request, _unused_ void *userdata)
{
        return reply_file(request, "index.html");
}

static int reply_entered(HttpRequest *request, const ViewSession *session)
{
        char cookie[2 * VIEW_SECRET_SIZE + 128], location[VIEW_SECRET_SIZE + 2];
        int r;

        snprintf(location, sizeof(location), "/%s/", session->place);
        snprintf(cookie, sizeof(cookie), "%s=%s; HttpOnly; SameSite=Strict; Path=%s", session->cookie_name,
                        session->cookie, location);
        r = view_add_headers(request);
        if (r >= 0)
                r = http_reply_header(request, "Set-Cookie", cookie);
        if (r >= 0)
                r = http_reply_header(request, "Location", location);
        return r < 0 ? r : http_reply(request, 303, "text/plain", "", 0);
}

/* Whoever comes with the token is sent on, so that it stays in no address bar. */
static int on_entrance(HttpRequest *request, void *userdata)
{
        const char *token = http_request_query(request, "token");
        View *view = userdata;
        int r;

        if (token && streq(http_request_method(request), "GET") &&
                        view_session_take_token(&view->session, token))
                return reply_entered(request, &view->session);

        r = view_add_headers(request);
        if (r < 0)
                return r;
        return http_reply_error(request, 403, NULL,
                        token ? "This URL was used already, or is of another run: start scalectl view again."
                              : "Open the URL that scalectl view printed.");
}

static const HttpRoute page_routes[] = {
        { "GET", "/", on_entrance, view_gate_host },
        { "GET", "/{place}/", on_page, view_gate_page },
        { "GET", "/{place}/{file}", on_file, view_gate_cookie },
        {},
};

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
static int check_socket(View *view)
{
        const HttpClientRequest request = {
                .socket = view->ctl->settings.query.socket,
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
                view->away = true;
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
        sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = sd_event_add_signal(loop, NULL, SIGTERM, NULL, NULL);
        return r < 0 ? r : sd_event_add_signal(loop, NULL, SIGINT, NULL, NULL);
}

static int serve(View *view, sd_event *loop, int fd)
{
        static const HttpLimits limits = {
                .max_connections = 64,
                .max_body = MARKDOWN_MAX,
                .max_bodies = 8 * MARKDOWN_MAX,
                .header_timeout = 10 * USEC_PER_SEC,
                .body_timeout = 10 * USEC_PER_SEC,
                .idle_timeout = 60 * USEC_PER_SEC,
                .write_timeout = 60 * USEC_PER_SEC,
        };
        _cleanup_(http_server_freep) HttpServer *server = NULL;
        HttpRoute routes[ROUTES_MAX] = {};
        size_t n = 0;
        int r;

        for (const HttpRoute *route = page_routes; route->method; route++)
                routes[n++] = *route;
        for (const HttpRoute *route = api_routes; route->method; route++)
                routes[n++] = *route;
        assert(n < ROUTES_MAX);

        r = http_server_new(loop,
                        &(HttpServerOptions){ .routes = routes,
                                        .userdata = view,
                                        .limits = limits,
                                        .what = "view" },
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
                                &view->pool);
        if (r < 0)
                return r;

        printf(view->ctl->json ? "{\"url\":\"http://%s/?token=%s\"}\n" : "http://%s/?token=%s\n",
                        view->session.hosts[0], view->session.token);
        r = fflush(stdout) != 0 ? -errno : sd_event_loop(loop);

        /* Answers that are on their way still have a request to go to. */
        view->pool = http_pool_free(view->pool);
        return MIN(r, 0);
}

static int run(View *view, int fd)
{
        sd_event *loop = NULL;
        int r;

        r = sd_event_new(&loop);
        if (r >= 0)
                r = add_signals(loop);
        view->loop = loop;
        if (r >= 0)
                r = serve(view, loop, fd);
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

        r = options_read(ctl, view_options, ELEMENTSOF(view_options), &o, argc, argv, 0, 0, &n);
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
