/*
 * Where a daemon listens. Sockets that the service manager holds come first: with them a restart refuses no
 * connection. Every address is logged with the port that it got, so that `127.0.0.1:0` can be asked for.
 */

#include "daemon/sockets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "http/server.h"

/* "callback, query", for people. */
static void list_names(const SocketPlace *places, size_t n_places, char *buf, size_t size)
{
        size_t n = 0;

        FOREACH_ARRAY(place, places, n_places)
                if (n < size)
                        n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? ", " : "", place->name);
}

/* Puts one passed socket where its name says. False: it has no place here. */
static bool take_passed(const SocketPlace *places, size_t n_places, const char *name, int fd)
{
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
                return false;
        FOREACH_ARRAY(place, places, n_places)
                if (streq(place->name, name) && *place->n < place->max) {
                        place->fds[(*place->n)++] = fd;
                        return true;
                }
        return false;
}

int sockets_take_passed(const SocketPlace *places, size_t n_places)
{
        char **names = NULL, expected[128] = "";
        int n, status = 0;

        n = sd_listen_fds_with_names(true, &names);
        if (n < 0) {
                log_error_errno(n, "Can't take the sockets that the service manager passed");
                return EX_OSERR;
        }
        list_names(places, n_places, expected, sizeof(expected));
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (!take_passed(places, n_places, names[i], fd)) {
                        log_error("The service manager passed a socket named \"%s\" that has no place here: expected listening stream sockets with these names: %s.",
                                        names[i], expected);
                        fd_close(fd);
                        status = EX_CONFIG;
                }
                free(names[i]);
        }
        free(names);
        return status;
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

void sockets_warn_unused(
                const int *fds, size_t n, const char *address, const char *setting, const char *unit)
{
        const char *place = strncmp(address, "unix:", 5) == 0 ? address + 5 : address;
        char buf[128];

        FOREACH_ARRAY(fd, fds, n)
                if (streq(describe(*fd, buf, sizeof(buf)), place))
                        return;
        log_warning("%s = %s is not used, because the service manager passed another socket: it is the socket unit that says where, `systemctl edit %s` changes it.",
                        setting, address, unit);
}

int sockets_open(const char *address, mode_t mode, const char *setting, int *ret)
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

void sockets_announce(int fd, const char *what)
{
        char buf[128];

        log_notice("Listening on %s (%s)", describe(fd, buf, sizeof(buf)), what);
}
