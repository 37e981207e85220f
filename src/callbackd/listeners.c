/*
 * Where the receiver listens: on the sockets that the service manager holds, and for what it did not pass as
 * the settings say.
 */

#include "callbackd/listeners.h"

#include <sysexits.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "daemon/sockets.h"

#define MODE_CALLBACK 0666 /* for a proxy of another user: who shows no key gets nothing */
#define MODE_QUERY    0660
#define MODE_CONTROL  0600

void listeners_done(Listeners *listeners)
{
        for (size_t i = 0; i < listeners->n_callback; i++)
                fd_close(listeners->callback[i]);
        fd_close(listeners->query);
        fd_close(listeners->control);
        *listeners = LISTENERS_INIT;
}

/* Passed sockets stand in the place of all settings for them: said where somebody set one. */
static void warn_of_unused(const Settings *settings, const Listeners *listeners)
{
        if (listeners->n_callback > 0 && !settings_is_default(settings, "callback", "listen"))
                for (size_t i = 0; i < SETTINGS_LISTEN_MAX && settings->callback.listen[i]; i++)
                        sockets_warn_unused(listeners->callback, listeners->n_callback,
                                        settings->callback.listen[i], "[callback] listen",
                                        "scale-callbackd.socket");
        if (listeners->query >= 0 && !settings_is_default(settings, "query", "socket"))
                sockets_warn_unused(&listeners->query, 1, settings->query.socket, "[query] socket",
                                "scale-callbackd-query.socket");
        if (listeners->control >= 0 && !settings_is_default(settings, "control", "socket"))
                sockets_warn_unused(&listeners->control, 1, settings->control.socket, "[control] socket",
                                "scale-callbackd-control.socket");
}

int listeners_open(const Settings *settings, Listeners *ret)
{
        _cleanup_(listeners_done) Listeners listeners = LISTENERS_INIT;
        size_t n_query = 0, n_control = 0;
        const SocketPlace places[] = {
                { "callback", listeners.callback, &listeners.n_callback, LISTENERS_CALLBACK_MAX },
                { "query", &listeners.query, &n_query, 1 },
                { "control", &listeners.control, &n_control, 1 },
        };
        int r;

        r = sockets_take_passed(places, ELEMENTSOF(places));
        if (r == 0)
                warn_of_unused(settings, &listeners);
        if (r == 0 && listeners.query < 0)
                r = sockets_open(settings->query.socket, MODE_QUERY, "[query] socket", &listeners.query);
        if (r == 0 && listeners.control < 0)
                r = sockets_open(settings->control.socket, MODE_CONTROL, "[control] socket",
                                &listeners.control);

        if (listeners.n_callback == 0)
                for (size_t i = 0; r == 0 && i < SETTINGS_LISTEN_MAX && settings->callback.listen[i]; i++) {
                        r = sockets_open(settings->callback.listen[i], MODE_CALLBACK, "[callback] listen",
                                        &listeners.callback[listeners.n_callback]);
                        if (r == 0)
                                listeners.n_callback++;
                }
        if (r != 0)
                return r;

        *ret = listeners;
        listeners = LISTENERS_INIT;
        return 0;
}

void listeners_announce(const Listeners *listeners)
{
        for (size_t i = 0; i < listeners->n_callback; i++)
                sockets_announce(listeners->callback[i], "callback");
        sockets_announce(listeners->query, "query");
        sockets_announce(listeners->control, "control");
}

int listeners_serve_callbacks(Listeners *listeners, HttpServer *server)
{
        size_t n = listeners->n_callback;
        int r;

        for (size_t i = 0; i < n; i++) {
                int fd = listeners->callback[i];

                listeners->callback[i] = -EBADF;
                r = http_server_add_listener(server, fd);
                if (r < 0) {
                        log_error_errno(r, "Can't serve a callback socket");
                        return EX_OSERR;
                }
        }
        return 0;
}
