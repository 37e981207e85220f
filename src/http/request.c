/* The request as handlers see it. Everything that it hands out lives as long as it does. */

#include <malloc.h>
#include <strings.h>

#include "basic/time-util.h"
#include "http/request.h"

#define HOLD_FACTOR 4U                  /* times what bodies may take */
#define HOLD_SMALL  ((size_t)64 * 1024) /* so much anybody may have, however short memory is */
#define HOLD_HEAVY  ((size_t)1024 * 1024)

int request_new(Connection *c, const char *target, HttpRequest **ret)
{
        HttpRequest *r;

        r = calloc(1, sizeof(HttpRequest));
        if (!r)
                return -ENOMEM;

        r->connection = c;
        r->started = now_monotonic();
        r->method = "";
        r->target = strndup(target, HTTP_URI_MAX + 1); /* one more tells that it was too long */
        r->path = r->target ? strndup(r->target, strcspn(r->target, "?")) : NULL;
        if (!r->path) {
                free(r->target);
                free(r);
                return -ENOMEM;
        }
        *ret = r;
        return 0;
}

void request_release_body(HttpRequest *r)
{
        buffer_done(&r->body);
        atomic_fetch_sub(&r->connection->server->body_bytes, r->accounted);
        r->accounted = 0;
}

bool http_request_hold(HttpRequest *r, size_t size)
{
        HttpServer *s = r->connection->server;
        uint64_t others = atomic_load(&s->held_bytes) - r->held;

        if (size > HOLD_SMALL && others > 0 && others + r->held + size > HOLD_FACTOR * s->limits.max_bodies)
                return false;
        atomic_fetch_add(&s->held_bytes, size);
        r->held += size;
        return true;
}

HttpRequest *request_free(HttpRequest *r)
{
        bool was_heavy;

        if (!r)
                return NULL;
        was_heavy = r->held >= HOLD_HEAVY;

        if (r->has_stream && r->stream.done)
                r->stream.done(r->stream_userdata);
        if (r->destroy)
                r->destroy(r->userdata);
        sd_event_source_disable_unref(r->hangup);
        if (r->response)
                MHD_destroy_response(r->response);
        for (unsigned i = 0; i < r->n_headers; i++) {
                free(r->headers[i].name);
                free(r->headers[i].value);
        }
        request_release_body(r);
        atomic_fetch_sub(&r->connection->server->held_bytes, r->held);
        free(r->reply);
        free(r->query);
        free(r->target);
        free(r->path);
        free(r);
        if (was_heavy)
                (void)malloc_trim(0); /* the allocator would keep it for ever */
        return NULL;
}

const char *http_request_method(const HttpRequest *r)
{
        return r->method;
}

const char *http_request_path(const HttpRequest *r)
{
        return r->path;
}

const char *http_request_path_arg(const HttpRequest *r, unsigned i)
{
        return i < r->n_args ? r->args[i] : NULL;
}

const char *http_request_query(const HttpRequest *r, const char *name)
{
        for (size_t i = r->n_query; i-- > 0;)
                if (streq(r->query[i].name, name))
                        return r->query[i].value;
        return NULL;
}

const struct Param *http_request_params(const HttpRequest *r)
{
        return r->route->params;
}

int http_request_each_query(
                const HttpRequest *r, int (*fn)(const FormPair *pair, void *userdata), void *userdata)
{
        for (size_t i = 0; i < r->n_query; i++) {
                int k = fn(&r->query[i], userdata);

                if (k < 0)
                        return k;
        }
        return 0;
}

/* Headers by name. */
typedef struct Search {
        const char *name;
        unsigned n;    /* found so far */
        unsigned want; /* which one is wanted */
        const char *value;
} Search;

static enum MHD_Result on_header(
                void *cls, _unused_ enum MHD_ValueKind kind, const char *name, const char *value)
{
        Search *s = cls;

        if (strcasecmp(name, s->name) == 0 && s->n++ == s->want)
                s->value = value ?: "";
        return MHD_YES;
}

static Search search(const HttpRequest *r, const char *name, unsigned i)
{
        Search s = { .name = name, .want = i };

        MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, on_header, &s);
        return s;
}

const char *http_request_header_at(const HttpRequest *r, const char *name, unsigned i)
{
        return search(r, name, i).value;
}

const char *http_request_header(const HttpRequest *r, const char *name)
{
        return search(r, name, 0).value;
}

unsigned http_request_header_count(const HttpRequest *r, const char *name)
{
        return search(r, name, 0).n;
}

static enum MHD_Result wipe_value(
                void *cls, _unused_ enum MHD_ValueKind kind, const char *name, const char *value)
{
        if (value && strcasecmp(name, cls) == 0)
                explicit_bzero((char *)(uintptr_t)value, strlen(value));
        return MHD_YES;
}

/* Values lie in the memory that libmicrohttpd has read the request into, which it neither looks at again nor
 * wipes: it is there until the next request is read over it, and in what was freed even longer. */
void request_wipe_header(const HttpRequest *r, const char *name)
{
        MHD_get_connection_values(r->connection->mhd, MHD_HEADER_KIND, wipe_value, (void *)(uintptr_t)name);
}

const void *http_request_body(const HttpRequest *r, size_t *ret_size)
{
        *ret_size = r->body.size;
        return buffer_text(&r->body);
}

const struct sockaddr *http_request_peer(const HttpRequest *r)
{
        return (const struct sockaddr *)(const void *)&r->connection->peer;
}

uint64_t http_request_started(const HttpRequest *r)
{
        return r->started;
}

void http_request_set_userdata(HttpRequest *r, void *userdata, void (*destroy)(void *userdata))
{
        assert(!r->userdata);
        r->userdata = userdata;
        r->destroy = destroy;
}

void *http_request_get_userdata(const HttpRequest *r)
{
        return r->userdata;
}
