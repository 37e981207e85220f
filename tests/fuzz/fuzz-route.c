/*
 * Any bytes as the target of a request, after a line with the method. What must hold: a target leads to one
 * route or none, what it leads to fits it, arguments are texts, and a target that is put together from the
 * arguments again (as scalectl does) leads to the same place with the same arguments.
 */

#include "fuzz.h"

#include "http/request.h"
#include "scalectl/api.h"

static int on_request(_unused_ HttpRequest *request, _unused_ void *userdata)
{
        return 0;
}

static const HttpRoute routes[] = {
        { "GET", "/healthz", on_request, NULL },
        { "POST", "/callback", on_request, NULL },
        { "POST", "/callback/{ref}", on_request, NULL },
        { "GET", "/v1/task/{id}", on_request, NULL },
        { "POST", "/v1/task/{type}", on_request, NULL },
        { "GET", "/v1/task/{id}/revisions", on_request, NULL },
        { "POST", "/v1/task/{id}/cancel", on_request, NULL },
        { "GET", "/{place}/api/v1/delivery/{n}/body", on_request, NULL },
        {},
};

typedef struct Found {
        RouteResult result;
        HttpServer server; /* holds nothing: for the budget that a request gives back */
        Connection connection;
        HttpRequest *request;
} Found;

static void find(Found *f, const char *method, const char *target)
{
        char allow[ALLOW_SIZE];

        *f = (Found){ .connection.server = &f->server };
        assert(request_new(&f->connection, target, &f->request) == 0);
        f->result = route_find(routes, f->request, method, allow);
        assert(strlen(allow) < sizeof(allow));
        assert((f->result == ROUTE_NO_METHOD) == (f->result != ROUTE_FOUND && *allow));
}

/* The path of a route with its arguments encoded anew, and the query behind it. */
static ApiUrl build(const HttpRequest *r)
{
        ApiUrl url = api_url("");
        unsigned n = 0;

        for (const char *p = r->route->path; *p;) {
                size_t size = strcspn(++p, "/");
                char segment[64];

                memcpy(segment, p, size);
                segment[size] = 0;
                api_url_segment(&url, *segment == '{' ? http_request_path_arg(r, n++) : segment);
                p += size;
        }
        assert(n == r->n_args);
        for (size_t i = 0; i < r->n_query; i++)
                api_url_add(&url, r->query[i].name, r->query[i].value);
        return url;
}

static void check_same(const HttpRequest *a, const HttpRequest *b)
{
        size_t skipped = 0;

        assert(a->route == b->route && a->n_args == b->n_args);
        for (unsigned i = 0; i < a->n_args; i++)
                assert(streq(a->args[i], b->args[i]));
        for (size_t i = 0; i < a->n_query; i++) {
                /* A value with a NUL in it is a shorter text. */
                const FormPair *p = &a->query[i], *q = &b->query[i - skipped];

                assert(i - skipped < b->n_query);
                assert(streq(p->name, q->name) && streq(p->value, q->value));
        }
        assert(a->n_query == b->n_query);
}

static void check_found(const Found *f, const char *method)
{
        const HttpRequest *r = f->request;
        ApiUrl url;
        Found again;

        assert(streq(r->route->method, method) || streq(method, "HEAD"));
        assert(*r->path != '/' || !strstr(r->path, "%00")); /* would end the text that a handler sees */
        for (unsigned i = 0; i < HTTP_PATH_ARGS_MAX; i++)
                assert(i >= r->n_args || *http_request_path_arg(r, i));
        assert(!http_request_path_arg(r, r->n_args));
        if (r->too_many_query)
                return;

        url = build(r);
        if (url.error == 0 && url.text.size <= HTTP_URI_MAX) {
                find(&again, method, buffer_text(&url.text));
                assert(again.result == ROUTE_FOUND);
                check_same(r, again.request);
                request_free(again.request);
        }
        api_url_done(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = strndup((const char *)data, size);
        char *target;
        Found f;

        assert(text);
        target = strchr(text, '\n');
        if (!target)
                return 0;
        *target++ = 0;
        find(&f, text, target);
        assert(strlen(f.request->path) <= strlen(target));
        if (f.result == ROUTE_FOUND)
                check_found(&f, text);
        request_free(f.request);
        return 0;
}
