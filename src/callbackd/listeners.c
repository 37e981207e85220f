/*
 * Where the receiver listens: on the sockets that the service manager holds, and for what it did not pass as
 * the settings say.
 */

#include "callbackd/listeners.h"

#include <sysexits.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/sockets.h"

#define MODE_CALLBACK 0666 /* the key is the lock; a proxy of another user has to get in */
#define MODE_QUERY    0660
#define MODE_CONTROL  0600

void listeners_done(Listeners *l)
{
        for (size_t i = 0; i < l->n_callback; i++)
                fd_close(l->callback[i]);
        fd_close(l->query);
        fd_close(l->control);
        *l = LISTENERS_INIT;
}

/* Passed sockets stand in the place of all settings for them: said where somebody set one. */
static void warn_of_unused(const Settings *s, const Listeners *l)
{
        if (l->n_callback > 0 && !settings_is_default(s, "callback", "listen"))
                for (size_t i = 0; i < SETTINGS_LISTEN_MAX && s->callback.listen[i]; i++)
                        sockets_warn_unused(l->callback, l->n_callback, s->callback.listen[i],
                                        "[callback] listen", "scale-callbackd.socket");
        if (l->query >= 0 && !settings_is_default(s, "query", "socket"))
                sockets_warn_unused(&l->query, 1, s->query.socket, "[query] socket",
                                "scale-callbackd-query.socket");
        if (l->control >= 0 && !settings_is_default(s, "control", "socket"))
                sockets_warn_unused(&l->control, 1, s->control.socket, "[control] socket",
                                "scale-callbackd-control.socket");
}

int listeners_open(const Settings *settings, Listeners *ret)
{
        _cleanup_(listeners_done) Listeners l = LISTENERS_INIT;
        size_t n_query = 0, n_control = 0;
        const SocketPlace places[] = {
                { "callback", l.callback, &l.n_callback, LISTENERS_CALLBACK_MAX },
                { "query", &l.query, &n_query, 1 },
                { "control", &l.control, &n_control, 1 },
        };
        int r;

        r = sockets_take_passed(places, ELEMENTSOF(places));
        if (r == 0)
                warn_of_unused(settings, &l);
        if (r == 0 && l.query < 0)
                r = sockets_open(settings->query.socket, MODE_QUERY, "[query] socket", &l.query);
        if (r == 0 && l.control < 0)
                r = sockets_open(settings->control.socket, MODE_CONTROL, "[control] socket", &l.control);

        if (l.n_callback == 0)
                for (size_t i = 0; r == 0 && i < SETTINGS_LISTEN_MAX && settings->callback.listen[i]; i++) {
                        r = sockets_open(settings->callback.listen[i], MODE_CALLBACK, "[callback] listen",
                                        &l.callback[l.n_callback]);
                        if (r == 0)
                                l.n_callback++;
                }
        if (r != 0)
                return r;

        *ret = l;
        l = LISTENERS_INIT;
        return 0;
}

void listeners_announce(const Listeners *l)
{
        for (size_t i = 0; i < l->n_callback; i++)
                sockets_announce(l->callback[i], "callback");
        sockets_announce(l->query, "query");
        sockets_announce(l->control, "control");
}

int listeners_serve_callbacks(Listeners *l, HttpServer *server)
{
        size_t n = l->n_callback;
        int r;

        for (size_t i = 0; i < n; i++) {
                int fd = l->callback[i];

                l->callback[i] = -EBADF;
                r = http_server_add_listener(server, fd);
                if (r < 0) {
                        log_error_errno(r, "Can't serve a callback socket");
                        return EX_OSERR;
                }
        }
        return 0;
}
