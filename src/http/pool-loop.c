/*
 * curl's descriptors and its timer on the loop.
 *
 * A descriptor is watched from when curl says so until it says so. There are two holes, both where a name
 * has several addresses and curl gives one up that is silent. It closes that socket without a word, and
 * should the next get the same number and want the same, nothing is said about that either, while the kernel
 * forgot the number with the socket: so sockets are made here, and one whose number is watched already is
 * watched anew. And it makes the next socket only when it is called the next time, for which there is no
 * reason until the time for connecting is over: so it is called.
 */

#include "basic/parse.h"
#include "http/pool-internal.h"

struct PoolSocket {
        HttpPool *pool;
        PoolSocket *next, **prev;
        curl_socket_t fd; /* curl's */
        uint32_t events;
        sd_event_source *source;
};

static int on_ready(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        PoolSocket *s = userdata;
        int events = 0;

        if (revents & (EPOLLIN | EPOLLHUP))
                events |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                events |= CURL_CSELECT_OUT;
        if (revents & EPOLLERR)
                events |= CURL_CSELECT_ERR;

        pool_drive(s->pool, fd, events);
        return 0;
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        pool_drive(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static void socket_free(PoolSocket *s)
{
        *s->prev = s->next;
        if (s->next)
                s->next->prev = s->prev;
        sd_event_source_disable_unref(s->source);
        free(s);
}

static PoolSocket *socket_new(HttpPool *p, curl_socket_t fd)
{
        PoolSocket *s = calloc(1, sizeof(PoolSocket));

        if (!s)
                return NULL;
        s->pool = p;
        s->fd = fd;
        s->next = p->sockets;
        s->prev = &p->sockets;
        if (s->next)
                s->next->prev = &s->next;
        p->sockets = s;
        return s;
}

static PoolSocket *find_socket(HttpPool *p, curl_socket_t fd)
{
        PoolSocket *s = p->sockets;

        while (s && s->fd != fd)
                s = s->next;
        return s;
}

/* Makes the kernel watch the descriptor, whatever it did before. */
static int watch(PoolSocket *s)
{
        s->source = sd_event_source_disable_unref(s->source);
        return s->events == 0 ? 0
                              : sd_event_add_io(s->pool->loop, &s->source, s->fd, s->events, on_ready, s);
}

static int change(HttpPool *p, curl_socket_t fd, uint32_t events)
{
        PoolSocket *s = find_socket(p, fd) ?: socket_new(p, fd);

        if (!s)
                return -ENOMEM;
        s->events = events;
        if (s->source && events != 0)
                return sd_event_source_set_io_events(s->source, events);
        return watch(s);
}

static int on_change(CURL *curl, curl_socket_t fd, int what, void *userdata, _unused_ void *socket)
{
        static const uint32_t events[] = {
                [CURL_POLL_NONE] = 0,
                [CURL_POLL_IN] = EPOLLIN,
                [CURL_POLL_OUT] = EPOLLOUT,
                [CURL_POLL_INOUT] = EPOLLIN | EPOLLOUT,
        };
        HttpTransfer *t = NULL;
        HttpPool *p = userdata;
        int r;

        (void)curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&t);
        if (t) {
                t->is_idle = what == CURL_POLL_REMOVE && t->n_requests == 0;
                p->has_idle |= t->is_idle;
        }
        if (what == CURL_POLL_REMOVE) {
                PoolSocket *s = find_socket(p, fd);

                if (s)
                        socket_free(s);
                return 0;
        }

        assert(what >= 0 && (size_t)what < ELEMENTSOF(events));
        r = change(p, fd, events[what]);
        /* An error from here would end all of curl; it is one transfer's alone. */
        if (r < 0 && t)
                t->watch_error = r;
        return 0;
}

/* Setting sources fails only on a loop that has ended, on which nothing would come anyway. */
static int on_timer(_unused_ CURLM *multi, long timeout_ms, void *userdata)
{
        HttpPool *p = userdata;

        if (timeout_ms < 0) {
                (void)sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
                return 0;
        }
        (void)sd_event_source_set_time_relative(p->timer, (uint64_t)timeout_ms * USEC_PER_MSEC);
        (void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
        return 0;
}

curl_socket_t pool_open_socket(void *userdata, _unused_ curlsocktype purpose, struct curl_sockaddr *address)
{
        HttpPool *p = userdata;
        PoolSocket *s;
        int fd;

        fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        if (fd < 0)
                return CURL_SOCKET_BAD;

        s = find_socket(p, fd);
        if (s && watch(s) < 0) {
                socket_free(s);
                close(fd);
                return CURL_SOCKET_BAD;
        }
        return fd;
}

CURLMcode pool_rouse(HttpPool *p)
{
        bool any = false;
        int running;

        if (!p->has_idle)
                return CURLM_OK;
        p->has_idle = false;
        for (HttpTransfer *t = p->stages[TRANSFER_UNDER_WAY].head; t; t = t->next)
                any |= t->is_idle;
        if (!any)
                return CURLM_OK;

/* There is nothing else that looks at one with no descriptor that is ready and no time that is over. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        return curl_multi_socket_all(p->multi, &running);
#pragma GCC diagnostic pop
}

#define SET(option, value) (curl_multi_setopt(p->multi, (option), (value)) == CURLM_OK)

int pool_watch(HttpPool *p)
{
        int r;

        r = sd_event_add_time_relative(p->loop, &p->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_time, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        if (!SET(CURLMOPT_SOCKETFUNCTION, on_change) || !SET(CURLMOPT_SOCKETDATA, p) ||
                        !SET(CURLMOPT_TIMERFUNCTION, on_timer) || !SET(CURLMOPT_TIMERDATA, p))
                return -ENOMEM;
        return 0;
}

void pool_unwatch(HttpPool *p)
{
        while (p->sockets)
                socket_free(p->sockets);
        p->timer = sd_event_source_disable_unref(p->timer);
}
