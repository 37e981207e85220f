/*
 * Routes. A path is cut at its slashes first and decoded afterwards, so that an encoded slash is a character
 * of a segment and never a separator; a segment with an encoded NUL fits nothing. 404, 405 and Allow follow
 * from the one table.
 */

#include <stdio.h>

#include "basic/parse.h"
#include "http/request.h"

#define SEGMENTS_MAX 16U

typedef struct Segments {
        char *items[SEGMENTS_MAX];
        size_t n;
} Segments;

/* "http://host/path" is "/path". */
static char *strip_origin(char *target)
{
        size_t scheme = url_scheme_size(target);

        return scheme > 0 ? strchr(target + scheme, '/') ?: target : target;
}

static bool split_path(char *path, Segments *ret)
{
        Segments s = {};

        if (*path != '/')
                return false;

        for (char *p = path; p;) {
                char *segment = p + 1;
                size_t size;

                p = strchr(segment, '/');
                if (p)
                        *p = 0;
                if (s.n == SEGMENTS_MAX)
                        return false;
                size = form_decode(segment, false);
                if (size != strlen(segment))
                        return false;
                s.items[s.n++] = segment;
        }
        *ret = s;
        return true;
}

/* Whether the pattern fits, and the segments that its braces stand for. */
static bool match(const char *pattern, const Segments *s, HttpRequest *r)
{
        unsigned n_args = 0;

        for (size_t i = 0; i < s->n; i++) {
                size_t n;

                if (*pattern++ != '/')
                        return false;
                n = strcspn(pattern, "/");
                if (*pattern == '{') {
                        if (*s->items[i] == 0 || n_args == HTTP_PATH_ARGS_MAX)
                                return false;
                        r->args[n_args++] = s->items[i];
                } else if (strlen(s->items[i]) != n || memcmp(s->items[i], pattern, n) != 0)
                        return false;
                pattern += n;
        }
        r->n_args = n_args;
        return *pattern == 0;
}

static void allow_add(char *allow, const char *method)
{
        size_t n = strlen(allow);

        snprintf(allow + n, ALLOW_SIZE - n, "%s%s", n > 0 ? ", " : "", method);
}

static bool method_fits(const char *of_route, const char *method)
{
        return streq(of_route, method) || (streq(of_route, "GET") && streq(method, "HEAD"));
}

/* False: there is no memory. Too many parameters are remembered. */
static bool split_query(HttpRequest *r, char *query)
{
        r->query = calloc(HTTP_QUERY_ARGS_MAX, sizeof(FormPair));
        if (!r->query)
                return false;
        if (form_split(query, r->query, HTTP_QUERY_ARGS_MAX, &r->n_query) < 0) {
                r->too_many_query = true;
                r->n_query = 0;
        }
        return true;
}

RouteResult route_find(
                const HttpRoute *routes, HttpRequest *r, const char *method, char allow[static ALLOW_SIZE])
{
        char *path = strip_origin(r->target), *query = strchr(path, '?');
        Segments segments;

        allow[0] = 0;
        if (query) {
                *query++ = 0;
                if (*query && !split_query(r, query))
                        return ROUTE_NO_MEMORY;
        }
        if (!split_path(path, &segments))
                return ROUTE_NO_PATH;

        for (const HttpRoute *route = routes; route->method; route++) {
                if (!match(route->path, &segments, r))
                        continue;
                if (method_fits(route->method, method)) {
                        r->route = route;
                        return ROUTE_FOUND;
                }
                allow_add(allow, route->method);
                if (streq(route->method, "GET"))
                        allow_add(allow, "HEAD");
        }
        return *allow ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
