/*
 * Who may see the page. Anybody on the machine can connect to a loopback port, and so can every page that
 * the reader's browser has open; so the port alone gives nothing away:
 *
 *  - The URL that is printed holds a token. The first GET with it gets a cookie and uses it up: a URL that
 * is left behind in a history, a scroll-back or a log opens nothing any more.
 *  - The cookie is not for scripts and not for requests that other sites make. Browsers keep cookies by host
 *    and not by port, so a server on another port of loopback would be sent it: its name has the port in it,
 *    and it is for a folder whose name nobody can guess, in which the whole page lives.
 *  - Host must be a name of loopback with our port: a name of somebody else's that resolves to 127.0.0.1
 *    would make their page one of the same origin.
 *  - Calls that the browser itself says come from another site or port are refused.
 *
 * Secrets are compared in constant time. What the browser may load, run and tell others is said with every
 * answer: scripts and styles are ours alone, and nothing but pictures and sound can come from elsewhere.
 */

#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

#include "scalectl/view/view.h"

static int make_secret(char ret[static VIEW_SECRET_SIZE])
{
        uint8_t random[(VIEW_SECRET_SIZE - 1) / 2];

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        for (size_t i = 0; i < sizeof(random); i++)
                snprintf(ret + 2 * i, 3, "%02x", random[i]);
        return 0;
}

int view_session_init(ViewSession *session, uint16_t port)
{
        int r;

        *session = (ViewSession){};
        snprintf(session->cookie_name, sizeof(session->cookie_name), "scalectl-view-%u", port);
        snprintf(session->hosts[0], sizeof(session->hosts[0]), "127.0.0.1:%u", port);
        snprintf(session->hosts[1], sizeof(session->hosts[1]), "localhost:%u", port);
        r = make_secret(session->token);
        if (r >= 0)
                r = make_secret(session->cookie);
        return r < 0 ? r : make_secret(session->place);
}

/* The time it takes says nothing about where they differ. `text` need not end after `size` bytes. */
static bool is_secret(const char secret[static VIEW_SECRET_SIZE], const char *text, size_t size)
{
        volatile unsigned char difference = 0;

        if (size != VIEW_SECRET_SIZE - 1)
                return false;
        for (size_t i = 0; i < size; i++)
                difference |= (unsigned char)(secret[i] ^ text[i]);
        return difference == 0;
}

bool view_session_take_token(ViewSession *session, const char *token)
{
        if (session->token_used || !is_secret(session->token, token, strlen(token)))
                return false;
        session->token_used = true;
        return true;
}

/* Looks through one header "a=1; b=2". */
static bool find_cookie(const ViewSession *session, const char *header)
{
        size_t n = strlen(session->cookie_name);

        while (*header) {
                header += strspn(header, " ;");
                if (strncmp(header, session->cookie_name, n) == 0 && header[n] == '=' &&
                                is_secret(session->cookie, header + n + 1, strcspn(header + n + 1, " ;")))
                        return true;
                header += strcspn(header, ";");
        }
        return false;
}

static bool has_cookie(const ViewSession *session, const HttpRequest *request)
{
        const char *header;

        for (unsigned i = 0; (header = http_request_header_at(request, "Cookie", i)); i++)
                if (find_cookie(session, header))
                        return true;
        return false;
}

/* 1, or negative errno. */
static int refuse(HttpRequest *request, const char *why)
{
        int r = view_add_headers(request);

        if (r >= 0)
                r = http_reply_error(request, 403, NULL, "%s", why);
        return r < 0 ? r : 1;
}

int view_gate_host(HttpRequest *request, void *userdata)
{
        const View *view = userdata;
        const char *host = http_request_header(request, "Host");

        if (http_request_header_count(request, "Host") == 1)
                FOREACH_ARRAY(h, view->session.hosts, ELEMENTSOF(view->session.hosts))
                        if (strcasecmp(host, *h) == 0)
                                return 0;
        return refuse(request, "This page is only known as 127.0.0.1 and localhost, with its own port.");
}

int view_gate_page(HttpRequest *request, void *userdata)
{
        const View *view = userdata;
        int r;

        r = view_gate_host(request, userdata);
        if (r == 0 && !has_cookie(&view->session, request))
                return refuse(request, "Open the URL that scalectl view printed.");
        return r;
}

int view_gate_cookie(HttpRequest *request, void *userdata)
{
        const char *site = http_request_header(request, "Sec-Fetch-Site");
        int r;

        r = view_gate_page(request, userdata);
        if (r == 0 && site && !streq(site, "same-origin") && !streq(site, "none"))
                return refuse(request, "Other pages may not ask here.");
        return r;
}

int view_add_headers(HttpRequest *request)
{
        static const struct {
                const char *name, *value;
        } headers[] = {
                { "Content-Security-Policy",
                                "default-src 'none'; script-src 'self'; style-src 'self'; "
                                "img-src 'self' http: https:; media-src http: https:; connect-src 'self'; "
                                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
                { "X-Content-Type-Options", "nosniff" },
                { "Referrer-Policy", "no-referrer" },
                { "Cache-Control", "no-store" },
                { "Cross-Origin-Opener-Policy", "same-origin" },
                { "Cross-Origin-Resource-Policy", "same-origin" },
        };

        FOREACH_ARRAY(h, headers, ELEMENTSOF(headers)) {
                int r = http_reply_header(request, h->name, h->value);

                if (r < 0)
                        return r;
        }
        return 0;
}
