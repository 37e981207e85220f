/*
 * The calls that the page may make: a few paths of the query socket, read only, each put together anew from
 * its parts, so that nothing that a browser sends reaches the daemon as it is. Answers are collected and
 * handed on with their status; the feed is asked for with `wait`, so that an answer that has nothing to say
 * yet just takes its time, and a page that lost its daemon only has to ask again.
 *
 * A request may end before its answer is there (we are leaving), and an answer may never come (the daemon
 * left): a Forward belongs to both and goes with the last.
 */

#include "basic/parse.h"
#include "scalectl/api.h"
#include "scalectl/view/view.h"

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
        Forward *f = userdata;

        if (!f->transfer) {
                free(f);
                return;
        }
        f->request = NULL;
        http_transfer_cancel(f->transfer);
}

/* Says once that the daemon has gone, and once that it is back. */
static void note_away(View *v, bool away, const char *message)
{
        if (away && !v->away)
                complain("scale-callbackd does not answer, the page goes on once it does: %s",
                                strna(message));
        if (!away && v->away)
                complain("scale-callbackd answers again");
        v->away = away;
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
        Forward *f = userdata;

        f->transfer = NULL;
        if (!f->request) {
                free(f);
                return;
        }
        if (result->error == 0 || is_away(result->error))
                note_away(f->view, result->error < 0 && !is_too_large(result), result->message);
        if (reply_answer(f->request, result) < 0)
                http_request_drop(f->request);
}

static int reply_no(HttpRequest *request, unsigned status, const char *why)
{
        int r = view_add_headers(request);

        return r < 0 ? r : http_reply_error(request, status, NULL, "%s", why);
}

static int start(View *v, HttpRequest *request, const char *url)
{
        _cleanup_free_ Forward *f = calloc(1, sizeof(Forward));
        int r;

        if (!f)
                return -ENOMEM;
        *f = (Forward){ .view = v, .request = request };
        r = http_pool_start(v->pool,
                        &(HttpPoolRequest){
                                        .socket = v->ctl->settings.query.socket,
                                        .method = "GET",
                                        .url = url,
                                        .timeout = TIMEOUT_USEC,
                                        .max_body = ANSWER_MAX,
                                        .done = on_answer,
                                        .userdata = f,
                        },
                        &f->transfer);
        if (r == -EAGAIN)
                return reply_no(request, 503, "Too much is asked for at once.");
        if (r < 0)
                return r;
        http_request_set_userdata(request, TAKE_PTR(f), on_request_end);
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
static int forward(View *v, HttpRequest *request, const char *first, const char *last)
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
                r = start(v, request, buffer_text(&url.text));
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

const HttpRoute view_api_routes[] = {
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
        {},
};
