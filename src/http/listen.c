/*
 * Listening sockets. A Unix socket gets its mode before it listens, so that there is no moment at which
 * somebody else could connect. A stale file of a daemon that was killed is replaced; one that somebody still
 * listens on is not, and neither is a file that is no socket.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "http/server.h"

#define BACKLOG 4096

typedef union Address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
} Address;

/* "127.0.0.1:8090" or "[::1]:8090". */
static int parse_inet(const char *text, Address *ret, socklen_t *ret_size)
{
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':');
        Address a = {};
        uint64_t port;
        size_t n;

        if (!colon || parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
                return -EINVAL;
        n = (size_t)(colon - text);
        if (n >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, n);
        host[n] = 0;

        if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
                host[n - 1] = 0;
                if (inet_pton(AF_INET6, host + 1, &a.v6.sin6_addr) != 1)
                        return -EINVAL;
                a.v6.sin6_family = AF_INET6;
                a.v6.sin6_port = htons((uint16_t)port);
                *ret_size = sizeof(a.v6);
        } else {
                if (inet_pton(AF_INET, host, &a.v4.sin_addr) != 1)
                        return -EINVAL;
                a.v4.sin_family = AF_INET;
                a.v4.sin_port = htons((uint16_t)port);
                *ret_size = sizeof(a.v4);
        }
        *ret = a;
        return 0;
}

static int listen_inet(const char *text)
{
        _cleanup_close_ int fd = -EBADF;
        const int on = 1;
        socklen_t size;
        Address a;
        int r;

        r = parse_inet(text, &a, &size);
        if (r < 0)
                return r;

        fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;
        if (a.any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return -errno;
        if (bind(fd, &a.any, size) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return take_fd(&fd);
}

/* 0: the path is free now. -EADDRINUSE: somebody listens there. -EEXIST: it is no socket. */
static int remove_stale(const Address *a)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (lstat(a->local.sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, &a->any, sizeof(a->local)) >= 0 || errno == EAGAIN)
                return -EADDRINUSE;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(a->local.sun_path) < 0 ? -errno : 0;
}

static int listen_unix(const char *path, mode_t mode)
{
        Address a = { .local.sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (*path != '/' || strlen(path) >= sizeof(a.local.sun_path))
                return -EINVAL;
        memcpy(a.local.sun_path, path, strlen(path) + 1);

        r = remove_stale(&a);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (bind(fd, &a.any, sizeof(a.local)) < 0 || chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return take_fd(&fd);
}

int http_listen(const char *address, mode_t mode)
{
        if (strncmp(address, "unix:", strlen("unix:")) == 0)
                return listen_unix(address + strlen("unix:"), mode);
        return *address == '/' ? listen_unix(address, mode) : listen_inet(address);
}
