/*
 * Preloaded, makes the nth call of a kind fail, with the error that it is told. What it is told lies in a
 * file that NTH_CONTROL names and that is shared with the test, so that the same process can be made to fail
 * again and again, and be asked what it did. Within the process the same is at nth_control().
 *
 * Calls are counted from main() on, those of all threads together. Only errors that a call can have are
 * asked for; the kinds tell descriptors apart, because a socket has others than a file, and an eventfd has
 * none.
 *
 * It also keeps count of what is allocated and not freed yet: a leak shows at once, in any build.
 */

#ifndef _GNU_SOURCE
#        define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nth-shim.h"

/* The real ones. */

static void *next(void **cache, const char *name)
{
        if (!*cache)
                *cache = dlsym(RTLD_NEXT, name);
        if (!*cache)
                abort();
        return *cache;
}

/* Of a function, with the type that its header gives it. */
#define REAL(f)                                     \
        ({                                          \
                static void *cache;                 \
                (__typeof__(&(f)))next(&cache, #f); \
        })

/* Deciding. */

static NthControl own, *control = &own;
static atomic_bool running; /* main() was entered */
static bool tracing;        /* NTH_TRACE is set */

NthControl *nth_control(void)
{
        return control;
}

/* Where it was called from, for who looks for the fault. */
static void trace(void)
{
        void *frames[32];

        backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
}

/* Whether this is the call; then errno is set. An error of 0 asks for a short transfer: see is_short(). */
static bool is_it(NthKind kind)
{
        long count;

        if (kind == NTH_OFF || atomic_load_explicit(&control->kind, memory_order_relaxed) != (int)kind ||
                        !atomic_load(&running))
                return false;
        count = atomic_fetch_add(&control->count, 1) + 1;
        if (count < control->n || count >= control->n + control->times)
                return false;
        atomic_fetch_add(&control->fired, 1);
        if (tracing)
                trace();
        return true;
}

static bool fails(NthKind kind)
{
        if (!is_it(kind))
                return false;
        errno = control->error;
        return true;
}

/* The same for transfers: some bytes are taken instead of all, where an error of 0 is asked for. */
static bool fails_or_cuts(NthKind kind, size_t *size)
{
        if (!is_it(kind))
                return false;
        errno = control->error;
        if (control->error != 0)
                return true;
        *size = *size > 1 ? *size / 2 : *size;
        return false;
}

static mode_t type_of(int fd)
{
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_mode & S_IFMT;
}

/* What reading or writing this descriptor is. */
static NthKind kind_of(int fd, NthKind of_socket, NthKind of_file)
{
        int saved = errno;
        mode_t type;

        if (control->kind != (int)of_socket && control->kind != (int)of_file)
                return NTH_OFF;
        type = type_of(fd);
        errno = saved;
        if (type == S_IFSOCK)
                return of_socket;
        return type == S_IFREG ? of_file : NTH_OFF;
}

/* Memory. */

static void *counted(void *p)
{
        if (p)
                atomic_fetch_add(&control->allocated, 1);
        return p;
}

void *malloc(size_t size)
{
        return fails(NTH_MEMORY) ? NULL : counted(REAL(malloc)(size));
}

void *calloc(size_t n, size_t size)
{
        return fails(NTH_MEMORY) ? NULL : counted(REAL(calloc)(n, size));
}

void *realloc(void *p, size_t size)
{
        void *q;

        if (fails(NTH_MEMORY))
                return NULL;
        q = REAL(realloc)(p, size);
        if (!p)
                return counted(q);
        if (!q && size == 0)
                atomic_fetch_sub(&control->allocated, 1);
        return q;
}

void *reallocarray(void *p, size_t n, size_t size)
{
        if (size > 0 && n > SIZE_MAX / size) {
                errno = ENOMEM;
                return NULL;
        }
        return realloc(p, n * size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
        int r;

        if (fails(NTH_MEMORY))
                return ENOMEM;
        r = REAL(posix_memalign)(ret, alignment, size);
        if (r == 0)
                counted(*ret);
        return r;
}

void *aligned_alloc(size_t alignment, size_t size)
{
        return fails(NTH_MEMORY) ? NULL : counted(REAL(aligned_alloc)(alignment, size));
}

void free(void *p)
{
        static bool finding;
        static void (*real)(void *);

        /* dlsym() lets go of its last error before it looks, and calls this again for it. */
        if (!real && finding)
                return;
        finding = true;
        if (!real)
                real = REAL(free);
        if (p)
                atomic_fetch_sub(&control->allocated, 1);
        real(p);
}

/* A sanitizer's own would pass by what stands above. */
char *strndup(const char *s, size_t max)
{
        size_t n = strnlen(s, max);
        char *p = malloc(n + 1);

        if (!p)
                return NULL;
        p[n] = 0;
        return memcpy(p, s, n);
}

char *strdup(const char *s)
{
        return strndup(s, strlen(s));
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
        return fails(NTH_MAP) ? MAP_FAILED : REAL(mmap)(address, size, protection, flags, fd, offset);
}

/* Sockets. */

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
        return fails(NTH_ACCEPT) ? -1 : REAL(accept4)(fd, address, size, flags);
}

int socket(int domain, int type, int protocol)
{
        return fails(NTH_SOCKET) ? -1 : REAL(socket)(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
        return fails(NTH_BIND) ? -1 : REAL(bind)(fd, address, size);
}

int listen(int fd, int n)
{
        return fails(NTH_BIND) ? -1 : REAL(listen)(fd, n);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
        return fails(NTH_CONNECT) ? -1 : REAL(connect)(fd, address, size);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
        return fails(NTH_SOCKOPT) ? -1 : REAL(setsockopt)(fd, level, name, value, size);
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
        return fails_or_cuts(NTH_RECEIVE, &size) ? -1 : REAL(recv)(fd, buffer, size, flags);
}

ssize_t recvfrom(int fd, void *restrict buffer, size_t size, int flags, struct sockaddr *restrict address,
                socklen_t *restrict address_size)
{
        return fails_or_cuts(NTH_RECEIVE, &size)
                               ? -1
                               : REAL(recvfrom)(fd, buffer, size, flags, address, address_size);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        return control->error != 0 && fails(NTH_RECEIVE) ? -1 : REAL(recvmsg)(fd, message, flags);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
        return fails_or_cuts(NTH_SEND, &size) ? -1 : REAL(send)(fd, buffer, size, flags);
}

/* Of several pieces, half of the first, where less is asked for. */
static bool cut_first(NthKind kind, const struct iovec *pieces, size_t n, struct iovec *ret, int *ret_result)
{
        size_t size;

        if (kind == NTH_OFF || n == 0)
                return false;
        size = pieces[0].iov_len;
        *ret_result = fails_or_cuts(kind, &size) ? -1 : 0;
        *ret = (struct iovec){ pieces[0].iov_base, size };
        return *ret_result < 0 || size < pieces[0].iov_len;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        struct msghdr cut = *message;
        struct iovec first;
        int r;

        if (!cut_first(NTH_SEND, message->msg_iov, message->msg_iovlen, &first, &r))
                return REAL(sendmsg)(fd, message, flags);
        if (r < 0)
                return -1;
        cut.msg_iov = &first;
        cut.msg_iovlen = 1;
        return REAL(sendmsg)(fd, &cut, flags);
}

/* Descriptors of any kind. */

ssize_t read(int fd, void *buffer, size_t size)
{
        NthKind kind = kind_of(fd, NTH_RECEIVE, NTH_READ);

        return fails_or_cuts(kind, &size) ? -1 : REAL(read)(fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
        NthKind kind = kind_of(fd, NTH_SEND, NTH_WRITE);

        return fails_or_cuts(kind, &size) ? -1 : REAL(write)(fd, buffer, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int n)
{
        struct iovec first;
        int r;

        if (!cut_first(kind_of(fd, NTH_SEND, NTH_WRITE), pieces, (size_t)n, &first, &r))
                return REAL(writev)(fd, pieces, n);
        return r < 0 ? -1 : REAL(writev)(fd, &first, 1);
}

static mode_t mode_of(int flags, va_list ap)
{
        return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(ap, int) : 0;
}

#define WRAP_OPEN(name)                                                      \
        int name(const char *path, int flags, ...)                           \
        {                                                                    \
                mode_t mode;                                                 \
                va_list ap;                                                  \
                                                                             \
                va_start(ap, flags);                                         \
                mode = mode_of(flags, ap);                                   \
                va_end(ap);                                                  \
                return fails(NTH_OPEN) ? -1 : REAL(name)(path, flags, mode); \
        }
WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_OPENAT(name)                                                            \
        int name(int folder, const char *path, int flags, ...)                       \
        {                                                                            \
                mode_t mode;                                                         \
                va_list ap;                                                          \
                                                                                     \
                va_start(ap, flags);                                                 \
                mode = mode_of(flags, ap);                                           \
                va_end(ap);                                                          \
                return fails(NTH_OPEN) ? -1 : REAL(name)(folder, path, flags, mode); \
        }
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

FILE *fopen(const char *restrict path, const char *restrict mode)
{
        return fails(NTH_OPEN) ? NULL : REAL(fopen)(path, mode);
}

FILE *fopen64(const char *restrict path, const char *restrict mode)
{
        return fails(NTH_OPEN) ? NULL : REAL(fopen64)(path, mode);
}

int epoll_create1(int flags)
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(epoll_create1)(flags);
}

int eventfd(unsigned value, int flags)
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(eventfd)(value, flags);
}

int timerfd_create(int clock, int flags)
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(timerfd_create)(clock, flags);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(signalfd)(fd, mask, flags);
}

int pipe2(int fds[2], int flags)
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(pipe2)(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
        return fails(NTH_DESCRIPTOR) ? -1 : REAL(socketpair)(domain, type, protocol, fds);
}

/* What takes nothing more can't fail. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
        return what == EPOLL_CTL_ADD && fails(NTH_EPOLL_ADD) ? -1 : REAL(epoll_ctl)(epoll, what, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int n, int msec)
{
        return fails(NTH_EPOLL_WAIT) ? -1 : REAL(epoll_wait)(epoll, events, n, msec);
}

int epoll_pwait2(int epoll, struct epoll_event *events, int n, const struct timespec *time,
                const sigset_t *mask)
{
        return fails(NTH_EPOLL_WAIT) ? -1 : REAL(epoll_pwait2)(epoll, events, n, time, mask);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                void *(*start)(void *), void *restrict userdata)
{
        return fails(NTH_THREAD) ? EAGAIN : REAL(pthread_create)(thread, attributes, start, userdata);
}

/* Life. */

__attribute__((constructor)) static void set_up(void)
{
        const char *name = getenv("NTH_CONTROL");
        int fd = name ? REAL(open)(name, O_RDWR | O_CLOEXEC) : -1;
        void *p;

        if (getenv("NTH_TRACE")) {
                trace(); /* the first time it allocates */
                tracing = true;
        }
        if (fd < 0)
                return;
        p = REAL(mmap)(NULL, sizeof(NthControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED)
                control = p;
        close(fd);
}

static int (*real_main)(int, char **, char **);

static int counted_main(int argc, char **argv, char **environment)
{
        atomic_store(&running, true);
        return real_main(argc, argv, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                void (*fini)(void), void (*rtld_fini)(void), void *stack_end)
{
        real_main = main;
        return REAL(__libc_start_main)(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}
