/*
 * Where the daemon listens. Sockets that the service manager holds come first: with them a restart refuses
 * no connection. What it did not pass is opened as the settings say. Every address is logged with the port
 * that it got, so that `127.0.0.1:0` can be asked for.
 */

#include "callbackd/listeners.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "basic/fd.h"
#include "basic/log.h"

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

/* Puts one passed socket where its name says. False: it has no place here. */
static bool take_passed(Listeners *l, const char *name, int fd)
{
        int *single = streq(name, "query") ? &l->query : streq(name, "control") ? &l->control : NULL;

        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
                return false;
        if (single) {
                if (*single >= 0)
                        return false;
                *single = fd;
                return true;
        }
        if (!streq(name, "callback") || l->n_callback == LISTENERS_CALLBACK_MAX)
                return false;
        l->callback[l->n_callback++] = fd;
        return true;
}

static int take_all_passed(Listeners *l)
{
        char **names = NULL;
        int n, status = 0;

        n = sd_listen_fds_with_names(true, &names);
        if (n < 0) {
                log_error_errno(n, "Can't take the sockets that the service manager passed");
                return EX_OSERR;
        }
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (!take_passed(l, names[i], fd)) {
                        log_error("The service manager passed a socket named \"%s\"; listening stream "
                                  "sockets named "
                                  "callback, query (one) and control (one) are wanted.",
                                        names[i]);
                        fd_close(fd);
                        status = EX_CONFIG;
                }
                free(names[i]);
        }
        free(names);
        return status;
}

static int open_one(const char *address, mode_t mode, const char *setting, int *ret)
{
        int fd;

        fd = http_listen(address, mode);
        if (fd < 0) {
                log_error_errno(fd, "Can't listen on %s (%s)", address, setting);
                return fd == -EACCES || fd == -EPERM ? EX_NOPERM
                       : fd == -EINVAL               ? EX_CONFIG
                                                     : EX_UNAVAILABLE;
        }
        *ret = fd;
        return 0;
}

int listeners_open(const Settings *settings, Listeners *ret)
{
        _cleanup_(listeners_done) Listeners l = LISTENERS_INIT;
        int r;

        r = take_all_passed(&l);
        if (r == 0 && l.query < 0)
                r = open_one(settings->query.socket, MODE_QUERY, "[query] socket", &l.query);
        if (r == 0 && l.control < 0)
                r = open_one(settings->control.socket, MODE_CONTROL, "[control] socket", &l.control);

        if (l.n_callback == 0)
                for (size_t i = 0; r == 0 && i < SETTINGS_LISTEN_MAX && settings->callback.listen[i]; i++) {
                        r = open_one(settings->callback.listen[i], MODE_CALLBACK, "[callback] listen",
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

static const char *describe(int fd, char *buf, size_t size)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
                struct sockaddr_un local;
                struct sockaddr_storage storage;
        } a = {};
        socklen_t n = sizeof(a);
        char text[INET6_ADDRSTRLEN] = "?";

        if (getsockname(fd, &a.any, &n) < 0)
                snprintf(buf, size, "a socket");
        else if (a.any.sa_family == AF_INET)
                snprintf(buf, size, "%s:%u", inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text)),
                                ntohs(a.v4.sin_port));
        else if (a.any.sa_family == AF_INET6)
                snprintf(buf, size, "[%s]:%u", inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text)),
                                ntohs(a.v6.sin6_port));
        else
                snprintf(buf, size, "%s",
                                a.local.sun_path[0] ? a.local.sun_path : "a socket without a path");
        return buf;
}

void listeners_announce(const Listeners *l)
{
        char buf[128];

        for (size_t i = 0; i < l->n_callback; i++)
                log_notice("Listening on %s (callback)", describe(l->callback[i], buf, sizeof(buf)));
        log_notice("Listening on %s (query)", describe(l->query, buf, sizeof(buf)));
        log_notice("Listening on %s (control)", describe(l->control, buf, sizeof(buf)));
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
