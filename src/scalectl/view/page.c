/* The files of the page. They are in the program: nothing is read from disk, and nothing from elsewhere. */

#include <stdio.h>

#include "scalectl/view/view.h"

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

static int reply_entered(HttpRequest *request, const ViewSession *s)
{
        char cookie[2 * VIEW_SECRET_SIZE + 128], location[VIEW_SECRET_SIZE + 2];
        int r;

        snprintf(location, sizeof(location), "/%s/", s->place);
        snprintf(cookie, sizeof(cookie), "%s=%s; HttpOnly; SameSite=Strict; Path=%s", s->cookie_name,
                        s->cookie, location);
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
        View *v = userdata;
        int r;

        if (token && streq(http_request_method(request), "GET") &&
                        view_session_take_token(&v->session, token))
                return reply_entered(request, &v->session);

        r = view_add_headers(request);
        if (r < 0)
                return r;
        return http_reply_error(request, 403, NULL,
                        token ? "This URL was used already, or is of another run: start scalectl view again."
                              : "Open the URL that scalectl view printed.");
}

const HttpRoute view_page_routes[] = {
        { "GET", "/", on_entrance, view_gate_host },
        { "GET", "/{place}/", on_page, view_gate_page },
        { "GET", "/{place}/{file}", on_file, view_gate_cookie },
        {},
};
