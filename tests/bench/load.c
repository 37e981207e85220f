/*
 * The load: a fixed number of connections, each with one request on its way, as fast as they are answered or
 * at a given rate, in one thread. Requests are made beforehand (see bodies.py); ids are written in place.
 *
 * Why not wrk: it doesn't know which requests were acknowledged, and asking it in Lua costs more than the
 * rest of it. Here every id that got the expected status is written down at the end, so that the database
 * can be held against it. With --kill the server is killed in the middle of it all, as the last thing that
 * the clock sees, and answers that still lie in the sockets are read and count as acknowledged.
 *
 * Latency is from handing a request to the kernel to its whole answer. A pause is a time in which nobody at
 * all was answered. The result is one line of JSON.
 */

#include "load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/time-util.h"

#define DRAIN_USEC (20 * USEC_PER_SEC)
#define WATCH_USEC (50 * USEC_PER_MSEC)

void load_die(const char *what)
{
        (void)fprintf(stderr, "bench-load: %s: %m\n", what);
        exit(1);
}

/* Connections. */

static socklen_t parse_address(const char *text, struct sockaddr_storage *ret)
{
        *ret = (struct sockaddr_storage){};
        if (strncmp(text, "unix:", 5) == 0) {
                struct sockaddr_un *un = (struct sockaddr_un *)ret;

                un->sun_family = AF_UNIX;
                strncpy(un->sun_path, text + 5, sizeof(un->sun_path) - 1);
                return sizeof(*un);
        }

        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        const char *colon = strrchr(text, ':');
        uint64_t port = 0;

        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (parse_u64(colon ? colon + 1 : text, 1, UINT16_MAX, &port) < 0) {
                errno = EINVAL;
                load_die(text);
        }
        in->sin_port = htons((uint16_t)port);
        return sizeof(*in);
}

static void client_connect(Load *l, Client *c)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        struct sockaddr_storage address;
        socklen_t size = parse_address(l->to, &address);
        int one = 1;

        c->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, size) < 0)
                load_die("connecting");
        if (address.ss_family == AF_INET)
                (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
                load_die("epoll");
        c->state = IDLE;
        c->head_size = c->body_left = 0;
        c->in_body = c->close = false;
}

static void client_close(Client *c)
{
        c->fd = fd_close(c->fd);
        free(TAKE_PTR(c->rest));
        c->rest_size = 0;
        c->state = CLOSED;
}

/* Sending. */

static void watch_writable(Load *l, Client *c, bool writable)
{
        struct epoll_event event = { .events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c };

        if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
                load_die("epoll");
}

static void client_lost(Load *l, Client *c);

/* The socket is full: the template is needed by others, so what is left is copied. */
static void keep_rest(Load *l, Client *c, const char *data, size_t size)
{
        c->rest = malloc(size);
        if (!c->rest)
                load_die("memory");
        memcpy(c->rest, data, size);
        c->rest_size = size;
        c->rest_done = 0;
        watch_writable(l, c, true);
}

static void client_send(Load *l, Client *c)
{
        Template *t = &l->templates.items[l->sent % l->templates.n];
        ssize_t n;

        ids_stamp(&l->ids, t, now_realtime(), c->id);
        c->sent_at = now_monotonic();
        c->state = WAITING;
        l->sent++;
        l->on_the_way++;
        n = send(c->fd, t->data, t->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
                n = 0;
        if (n < 0)
                client_lost(l, c);
        else if ((size_t)n < t->size)
                keep_rest(l, c, t->data + n, t->size - (size_t)n);
}

static void client_send_rest(Load *l, Client *c)
{
        ssize_t n;

        n = send(c->fd, c->rest + c->rest_done, c->rest_size - c->rest_done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0) {
                client_lost(l, c);
                return;
        }
        c->rest_done += (size_t)n;
        if (c->rest_done < c->rest_size)
                return;
        free(TAKE_PTR(c->rest));
        c->rest_size = 0;
        watch_writable(l, c, false);
}

static bool may_send(const Load *l)
{
        return !l->stopping && l->sent < l->limit;
}

/* At a given rate: whoever is idle, in turn, as long as something is due. */
static void send_due(Load *l)
{
        uint64_t due = (uint64_t)((double)(l->now - l->began) / (double)USEC_PER_SEC * (double)l->rate);

        for (size_t i = 0; i < l->connections && l->sent < due && may_send(l); i++) {
                Client *c = &l->clients[l->next_idle++ % l->connections];

                if (c->state == IDLE)
                        client_send(l, c);
        }
}

/* The connection ended; without an answer there may or may not be a row. */
static void client_lost(Load *l, Client *c)
{
        if (c->state == WAITING)
                l->on_the_way--;
        client_close(c);
        if (!may_send(l))
                return;
        l->reconnects++;
        client_connect(l, c);
        if (l->rate == 0)
                client_send(l, c);
}

/* Answers. */

static void answered(Load *l, Client *c)
{
        l->on_the_way--;
        c->answers++;
        c->state = IDLE;
        if (c->status < STATUS_MAX)
                l->statuses[c->status]++;
        if (c->status == l->expected) {
                l->n_acknowledged++;
                if (l->acknowledged && (fwrite(c->id, ID_SIZE, 1, l->acknowledged) != 1 ||
                                                       fputc('\n', l->acknowledged) == EOF))
                        load_die("writing ids");
        }
        if (l->measuring) {
                if (samples_add(&l->samples, l->now - c->sent_at) < 0)
                        load_die("memory");
                l->pause = MAX(l->pause, l->now - l->last_answer);
        }
        l->last_answer = l->now;

        c->head_size = 0;
        c->in_body = false;
        if (c->close)
                client_lost(l, c);
        else if (may_send(l) && l->rate == 0)
                client_send(l, c);
}

/* The head is whole: status, length, whether the connection stays. */
static void read_head(Client *c)
{
        const char *length = strcasestr(c->head, "\r\nContent-Length:");

        c->status = (unsigned)strtoul(c->head + sizeof("HTTP/1.1"), NULL, 10);
        if (!length) {
                errno = EPROTO;
                load_die("an answer without Content-Length");
        }
        c->body_left = strtoull(length + sizeof("\r\nContent-Length:") - 1, NULL, 10);
        c->close = strcasestr(c->head, "\r\nConnection: close") != NULL;
        c->in_body = true;
}

/* Takes what belongs to this answer; 0 when a new request was sent or there is no more. */
static void take_answer(Load *l, Client *c, const char *data, size_t size)
{
        if (c->state != WAITING)
                return;
        if (!c->in_body) {
                size_t n = MIN(size, HEAD_MAX - c->head_size), before = c->head_size;
                char *end;

                memcpy(c->head + before, data, n);
                c->head_size += n;
                c->head[c->head_size] = 0;
                end = strstr(c->head, "\r\n\r\n");
                if (!end && c->head_size == HEAD_MAX) {
                        errno = EPROTO;
                        load_die("an answer with a very long head");
                }
                if (!end)
                        return;
                end[2] = 0;
                n = (size_t)(end + 4 - c->head) - before;
                read_head(c);
                data += n;
                size -= n;
        }
        c->body_left -= MIN(size, c->body_left);
        if (c->body_left == 0)
                answered(l, c);
}

static void client_read(Load *l, Client *c)
{
        static char buffer[256 * 1024];
        ssize_t n;

        n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                client_lost(l, c);
        else
                take_answer(l, c, buffer, (size_t)n);
}

/* The clock. */

static void watch(Load *l)
{
        struct stat st;

        if (!l->watched || l->now < l->next_watch)
                return;
        l->next_watch = l->now + WATCH_USEC;
        if (stat(l->watched, &st) == 0)
                l->watched_peak = MAX(l->watched_peak, (uint64_t)st.st_size);
}

static void check_clock(Load *l)
{
        l->now = now_monotonic();
        watch(l);
        if (!l->measuring && !l->stopping && l->now >= l->from) {
                l->measuring = true;
                l->from = l->last_answer = l->now;
                usage_read(l->pid, &l->before);
                usage_read(getpid(), &l->own_before);
        }
        if (l->stopping || (l->now < l->until && l->sent < l->limit))
                return;
        l->stopping = true;
        l->measuring = false;
        l->until = l->now;
        if (l->samples.n > 0 && l->now - l->last_answer > l->pause)
                l->pause = l->now - l->last_answer;
        usage_read(l->pid, &l->after);
        usage_read(getpid(), &l->own_after);
        if (l->kill && kill(l->pid, SIGKILL) < 0)
                load_die("killing the server");
}

static void run_events(Load *l)
{
        struct epoll_event events[256];
        int n;

        n = epoll_wait(l->epoll, events, ELEMENTSOF(events), l->rate > 0 ? 1 : 20);
        if (n < 0 && errno != EINTR)
                load_die("epoll");
        l->now = now_monotonic();
        for (int i = 0; i < n; i++) {
                Client *c = events[i].data.ptr;

                if (events[i].events & EPOLLOUT && c->rest)
                        client_send_rest(l, c);
                if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) && c->state != CLOSED)
                        client_read(l, c);
        }
}

void load_run(Load *l)
{
        for (size_t i = 0; i < l->connections; i++)
                client_connect(l, &l->clients[i]);
        l->began = l->now = l->last_answer = now_monotonic();
        l->from = l->began + (uint64_t)(l->warmup * (double)USEC_PER_SEC);
        l->until = l->from + (uint64_t)(l->seconds * (double)USEC_PER_SEC);
        for (size_t i = 0; i < l->connections && l->rate == 0 && may_send(l); i++)
                client_send(l, &l->clients[i]);

        while (!l->stopping) {
                if (l->rate > 0)
                        send_due(l);
                run_events(l);
                check_clock(l);
        }
        while (l->on_the_way > 0 && l->now < l->until + DRAIN_USEC)
                run_events(l);
}
