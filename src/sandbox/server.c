/*
 * The stand-in over HTTP. A request is handed to the world as it came, and the world's answer goes back as
 * it says: at once, late, or not at all. One that is worked on late is handed over once more then. Paths
 * below /v1 want a key of the account, as HTTP Basic's user; what the password is doesn't matter. Paths
 * below /sandbox are for who runs it and want none.
 */

#include "sandbox/server.h"

#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "basic/fd.h"
#include "basic/form.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "http/server.h"

#define CREDENTIALS_MAX 1024U

struct SandboxServer {
        sd_event *loop;
        World *world;
        Callbacks *callbacks;
        SandboxServerOptions options;
        HttpServer *http;
        struct Slow *slow; /* requests that are worked on later */
};

/* Keys. */

/* What "Basic dGVzdF94Og==" holds, as "test_x:". */
static int decode_basic(const char *header, char ret[static CREDENTIALS_MAX])
{
        static const int variants[] = { sodium_base64_VARIANT_ORIGINAL,
                sodium_base64_VARIANT_ORIGINAL_NO_PADDING };
        size_t n;

        if (!header || strncasecmp(header, "Basic ", 6) != 0)
                return -EINVAL;
        header += 6 + strspn(header + 6, " ");
        FOREACH_ARRAY(variant, variants, ELEMENTSOF(variants))
                if (sodium_base642bin((unsigned char *)ret, CREDENTIALS_MAX - 1, header, strlen(header),
                                    NULL, &n, NULL, *variant) == 0) {
                        ret[n] = 0;
                        return 0;
                }
        return -EINVAL;
}

/* The account's key that the request brings, or NULL. */
static const char *find_key(const SandboxServer *server, const HttpRequest *request)
{
        char credentials[CREDENTIALS_MAX];

        if (decode_basic(http_request_header(request, "Authorization"), credentials) < 0)
                return NULL;
        credentials[strcspn(credentials, ":")] = 0;
        for (size_t i = 0; i < server->options.n_keys; i++)
                if (streq(server->options.keys[i], credentials))
                        return server->options.keys[i];
        return NULL;
}

static int check_key(HttpRequest *request, void *userdata)
{
        int r;

        if (find_key(userdata, request))
                return 0;
        r = http_reply_header(request, "WWW-Authenticate", "Basic realm=\"Scale API\"");
        if (r >= 0)
                r = http_reply_error(request, 401, NULL,
                                "Your API key does not correspond to a registered user.");
        return r < 0 ? r : 1;
}

/* Answers. */

typedef struct Slow Slow;

/* One that comes late. Lives as long as its request. */
typedef struct Late {
        HttpRequest *request;
        WorldAnswer answer;
        sd_event_source *timer;
        Slow *slow; /* what it waits for; NULL: for the timer */
} Late;

/* A request that is worked on later, whether its client waits for it or not. */
struct Slow {
        SandboxServer *server;
        Slow *next;
        WorldRequest request;                      /* with texts of its own: */
        char *method, *path, *query, *type, *body; /* owned */
        sd_event_source *timer;
        Late *late; /* NULL: the client is gone */
};

static int answer_now(HttpRequest *request, const WorldAnswer *answer)
{
        char seconds[16];
        int r = 0;

        if (answer->drop) {
                http_request_drop(request);
                return 0;
        }
        snprintf(seconds, sizeof(seconds), "%u", answer->retry_after);
        if (answer->retry_after > 0)
                r = http_reply_header(request, "Retry-After", seconds);
        if (r >= 0 && answer->allow)
                r = http_reply_header(request, "Allow", answer->allow);
        return r < 0 ? r
                     : http_reply(request, answer->status, answer->content_type, answer->body.data ?: "",
                                       answer->body.size);
}

static void late_free(void *userdata)
{
        Late *l = userdata;

        if (l->slow)
                l->slow->late = NULL;
        sd_event_source_disable_unref(l->timer);
        buffer_done(&l->answer.body);
        free(l);
}

static int on_late(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Late *l = userdata;

        if (answer_now(l->request, &l->answer) < 0)
                http_request_drop(l->request);
        return 0;
}

static int late_new(HttpRequest *request, Late **ret)
{
        Late *l = calloc(1, sizeof(Late));

        if (!l)
                return -ENOMEM;
        l->request = request;
        http_request_set_userdata(request, l, late_free);
        *ret = l;
        return 0;
}

/* Takes the answer's body. */
static int late_answer(SandboxServer *server, Late *l, WorldAnswer *answer)
{
        int r;

        l->answer = *answer;
        answer->body = (Buffer){};
        r = sd_event_add_time_relative(
                        server->loop, &l->timer, CLOCK_MONOTONIC, l->answer.delay, 1, on_late, l);
        return MIN(r, 0);
}

static int answer(SandboxServer *server, HttpRequest *request, WorldAnswer *a)
{
        Late *l;
        int r;

        if (a->delay == 0)
                return answer_now(request, a);
        r = late_new(request, &l);
        return r < 0 ? r : late_answer(server, l, a);
}

/* Slow ones. */

static void slow_free(Slow *w)
{
        for (Slow **i = &w->server->slow; *i; i = &(*i)->next)
                if (*i == w) {
                        *i = w->next;
                        break;
                }
        if (w->late)
                w->late->slow = NULL;
        sd_event_source_disable_unref(w->timer);
        free(w->method);
        free(w->path);
        free(w->query);
        free(w->type);
        free(w->body);
        free(w);
}

static int on_slow(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Slow *w = userdata;
        SandboxServer *server = w->server;
        Late *l = w->late;
        WorldAnswer a = {};
        int r;

        w->request.now = now_realtime();
        r = world_handle(server->world, &w->request, &a);
        slow_free(w);
        if (r >= 0 && l)
                r = late_answer(server, l, &a);
        if (r < 0 && l)
                http_request_drop(l->request);
        buffer_done(&a.body);
        callbacks_run(server->callbacks);
        return 0;
}

static bool copy(const char *text, char **ret)
{
        *ret = text ? strdup(text) : NULL;
        return *ret || !text;
}

static int work_later(SandboxServer *server, HttpRequest *request, const WorldRequest *q, uint64_t delay)
{
        Slow *w = calloc(1, sizeof(Slow));
        int r = -ENOMEM;

        if (!w)
                return r;
        w->server = server;
        w->next = server->slow;
        server->slow = w;
        w->request = *q;
        w->request.again = true;
        if (copy(q->method, &w->method) && copy(q->path, &w->path) && copy(q->query, &w->query) &&
                        copy(q->content_type, &w->type) && (w->body = malloc(q->body_size + 1)))
                r = sd_event_add_time_relative(
                                server->loop, &w->timer, CLOCK_MONOTONIC, delay, 1, on_slow, w);
        if (r >= 0)
                r = late_new(request, &w->late);
        if (r < 0) {
                slow_free(w);
                return r;
        }
        memcpy(w->body, q->body ?: "", q->body_size);
        w->body[q->body_size] = 0;
        w->request.method = w->method;
        w->request.path = w->path;
        w->request.query = w->query;
        w->request.content_type = w->type;
        w->request.body = w->body;
        w->late->slow = w;
        return 0;
}

/* Requests. */

static int escape(Buffer *out, const char *text)
{
        static const char hex[] = "0123456789ABCDEF";
        int r = 0;

        for (const unsigned char *c = (const unsigned char *)text; r >= 0 && *c; c++)
                r = buffer_append(out, (char[]){ '%', hex[*c >> 4], hex[*c & 15] }, 3);
        return r;
}

/* The query as it was sent, but for how it is encoded. */
static int add_pair(const FormPair *pair, void *userdata)
{
        Buffer *query = userdata;
        int r = 0;

        if (query->size > 0)
                r = buffer_append_str(query, "&");
        if (r >= 0)
                r = escape(query, pair->name);
        if (r >= 0)
                r = buffer_append_str(query, "=");
        return r < 0 ? r : escape(query, pair->value);
}

static int on_request(HttpRequest *request, void *userdata)
{
        SandboxServer *server = userdata;
        _cleanup_buffer_ Buffer query = BUFFER_INIT((size_t)4 * HTTP_URI_MAX);
        _cleanup_free_ char *path = strdup(http_request_path(request));
        const char *key = find_key(server, request);
        WorldRequest q = {
                .method = http_request_method(request),
                .path = path,
                .content_type = http_request_header(request, "Content-Type"),
                .is_test = key && strncmp(key, "test", 4) == 0,
                .now = now_realtime(),
        };
        WorldAnswer a = {};
        int r;

        if (!path)
                return -ENOMEM;
        (void)form_decode(path, false);
        r = http_request_each_query(request, add_pair, &query);
        if (r < 0)
                return r;
        q.query = buffer_text(&query);
        q.body = http_request_body(request, &q.body_size);

        r = world_handle(server->world, &q, &a);
        if (r < 0)
                return r;
        log_debug("%s %s: %u%s", q.method, q.path, a.status,
                        a.drop           ? ", dropped"
                        : a.again_in > 0 ? ", later"
                                         : "");
        r = a.again_in > 0 ? work_later(server, request, &q, a.again_in) : answer(server, request, &a);
        buffer_done(&a.body);
        callbacks_run(server->callbacks);
        return r;
}

/* The world knows which of these there are. */
static const HttpRoute routes[] = {
        { "GET", "/v1/{a}", on_request, check_key },
        { "POST", "/v1/{a}", on_request, check_key },
        { "GET", "/v1/{a}/{b}", on_request, check_key },
        { "POST", "/v1/{a}/{b}", on_request, check_key },
        { "GET", "/v1/{a}/{b}/{c}", on_request, check_key },
        { "POST", "/v1/{a}/{b}/{c}", on_request, check_key },
        { "GET", "/sandbox/{a}", on_request, NULL },
        { "POST", "/sandbox/{a}", on_request, NULL },
        { "GET", "/sandbox/{a}/{b}/{c}", on_request, NULL },
        { "POST", "/sandbox/{a}/{b}/{c}", on_request, NULL },
        {},
};

int sandbox_server_new(sd_event *loop, World *world, Callbacks *callbacks,
                const SandboxServerOptions *options, int fd, SandboxServer **ret)
{
        _cleanup_(sandbox_server_freep) SandboxServer *server = calloc(1, sizeof(SandboxServer));
        HttpServerOptions http = {
                .routes = routes,
                .userdata = server,
                .limits = {
                        .max_connections = 1024,
                        .max_body = (size_t)8 * 1024 * 1024,
                        .max_bodies = (size_t)256 * 1024 * 1024,
                        .header_timeout = 10 * USEC_PER_SEC,
                        .body_timeout = 30 * USEC_PER_SEC,
                        .idle_timeout = 60 * USEC_PER_SEC,
                        .write_timeout = 60 * USEC_PER_SEC,
                },
                .what = "sandbox",
        };
        int r;

        if (!server) {
                fd_close(fd);
                return -ENOMEM;
        }
        server->loop = sd_event_ref(loop);
        server->world = world;
        server->callbacks = callbacks;
        server->options = *options;
        r = http_server_new(loop, &http, &server->http);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        r = http_server_add_listener(server->http, fd);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(server);
        return 0;
}

SandboxServer *sandbox_server_free(SandboxServer *server)
{
        if (!server)
                return NULL;

        http_server_free(server->http);
        while (server->slow)
                slow_free(server->slow);
        sd_event_unref(server->loop);
        free(server);
        return NULL;
}
