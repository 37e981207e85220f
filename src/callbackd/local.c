/*
 * The local side runs on a thread and a loop of its own, so that a slow reader is never in a callback's way,
 * and what is asked for is read by further threads, so that no read is in the way of anything else. It hears
 * of new events through an eventfd (of another process's: see feed.c), and is asked to end through another:
 * readers of the feed come to their end, requests in flight are answered, and what is left after some
 * seconds is cut.
 */

#include "callbackd/local.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "callbackd/local-context.h"
#include "query/params.h"

#define DRAIN_USEC (3 * USEC_PER_SEC)
#define POLL_USEC  (20 * USEC_PER_MSEC)

struct Local {
        LocalContext context;
        sd_event_source *events, *end, *poll, *drain;
        int events_fd, end_fd;
        char *database;
        pthread_t thread;
        bool started;
};

static const HttpLimits limits = {
        .max_connections = 256,
        .max_body = 1024 * 1024, /* read and dropped: no call takes a body */
        .max_bodies = 16 * 1024 * 1024,
        .header_timeout = 10 * USEC_PER_SEC,
        .body_timeout = 10 * USEC_PER_SEC,
        .idle_timeout = 60 * USEC_PER_SEC,
        .write_timeout = 30 * USEC_PER_SEC,
};

/* The query socket. It only ever reads. */
static const HttpRoute query_routes[] = {
        { "GET", "/v1/tasks", tasks_on_list, NULL, tasks_params },
        { "GET", "/v1/task/{id}", tasks_on_get, NULL, NULL },
        { "GET", "/v1/task/{id}/revisions", tasks_on_revisions, NULL, revisions_params },
        { "GET", "/v1/task/{id}/deliveries", deliveries_on_task, NULL, deliveries_params },
        { "GET", "/v1/deliveries", deliveries_on_list, NULL, deliveries_params },
        { "GET", "/v1/delivery/{n}", deliveries_on_get, NULL, NULL },
        { "GET", "/v1/delivery/{n}/body", deliveries_on_body, NULL, NULL },
        { "GET", "/v1/submissions", submissions_on_list, NULL, submissions_params },
        { "GET", "/v1/submission/{id}", submissions_on_get, NULL, NULL },
        { "GET", "/v1/events", feed_on_events, NULL, feed_params },
        { "GET", "/v1/export", export_on_get, NULL, export_params },
        { "GET", "/v1/stats", stats_on_get, NULL, NULL },
        { "GET", "/v1/settings", local_on_settings, NULL, NULL },
        { "GET", "/metrics", stats_on_metrics, NULL, NULL },
        { "GET", "/healthz", stats_on_healthz, NULL, NULL },
        { "GET", "/readyz", stats_on_readyz, NULL, NULL },
        {},
};

static int on_events(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        Local *l = userdata;
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        feed_notify(&l->context.feed);
        return 0;
}

static unsigned open_connections(const Local *l)
{
        return (l->context.query ? http_server_connections(l->context.query) : 0) +
               (l->context.control ? http_server_connections(l->context.control) : 0);
}

static int on_poll(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Local *l = userdata;

        if (open_connections(l) == 0)
                return sd_event_exit(l->context.base.loop, 0);
        (void)sd_event_source_set_time_relative(source, POLL_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_drained(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Local *l = userdata;

        return sd_event_exit(l->context.base.loop, 0);
}

static int on_end(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        Local *l = userdata;
        eventfd_t n;
        int r;

        (void)eventfd_read(fd, &n);
        if (l->context.query)
                http_server_quiesce(l->context.query);
        if (l->context.control)
                http_server_quiesce(l->context.control);
        feed_close(&l->context.feed);

        r = sd_event_add_time_relative(l->context.base.loop, &l->poll, CLOCK_MONOTONIC, 0, 1, on_poll, l);
        if (r >= 0)
                r = sd_event_add_time_relative(l->context.base.loop, &l->drain, CLOCK_MONOTONIC, DRAIN_USEC,
                                USEC_PER_MSEC, on_drained, l);
        return r < 0 ? sd_event_exit(l->context.base.loop, r) : 0;
}

static void *local_thread(void *userdata)
{
        Local *l = userdata;
        int r;

        pthread_setname_np(pthread_self(), "local");
        r = sd_event_loop(l->context.base.loop);
        if (r < 0)
                log_error_errno(r, "The local sockets are no longer served");
        return NULL;
}

static int add_server(Local *l, const HttpRoute *routes, const char *what, int *fd, HttpServer **ret)
{
        int r;

        if (*fd < 0)
                return 0;

        r = http_server_new(l->context.base.loop,
                        &(HttpServerOptions){ .routes = routes,
                                        .userdata = &l->context,
                                        .limits = limits,
                                        .check = params_check,
                                        .what = what },
                        ret);
        if (r < 0)
                return r;
        return http_server_add_listener(*ret, take_fd(fd));
}

static int render_metrics(LocalBase *base, const Stats *stats, Buffer *out)
{
        const LocalContext *c = container_of(base, LocalContext, base);
        MetricsInputs in = { .stats = *stats, .event_readers = c->feed.n_following };

        if (c->callback)
                http_server_get_stats(c->callback, &in.callback);
        if (c->query)
                http_server_get_stats(c->query, &in.query);
        if (c->control)
                http_server_get_stats(c->control, &in.control);
        return metrics_render(c->metrics, &in, out);
}

static int local_prepare(Local *l, int *query_fd, int *control_fd, char **ret_error)
{
        LocalContext *c = &l->context;
        int r;

        r = sd_event_new(&c->base.loop);
        if (r < 0)
                return r;

        l->events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        l->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (l->events_fd < 0 || l->end_fd < 0)
                return -errno;
        r = sd_event_add_io(c->base.loop, &l->events, l->events_fd, EPOLLIN, on_events, l);
        if (r >= 0)
                r = sd_event_add_io(c->base.loop, &l->end, l->end_fd, EPOLLIN, on_end, l);
        if (r >= 0)
                r = store_reader_open(c->database, LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC,
                                &c->base.reader, ret_error);
        if (r >= 0)
                r = readers_new(c->base.loop, c->database, LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC,
                                &c->base.readers, ret_error);
        if (r >= 0)
                r = commit_port_new(c->base.commit, c->base.loop, &c->port);
        c->ingest.port = c->port;
        c->ingest.reader = c->base.reader;
        if (r >= 0)
                r = add_server(l, query_routes, "query", query_fd, &c->query);
        if (r >= 0)
                r = add_server(l, control_routes, "control", control_fd, &c->control);
        return r;
}

int local_new(const LocalOptions *options, Local **ret, char **ret_error)
{
        _cleanup_close_ int query_fd = options->query_fd, control_fd = options->control_fd;
        _cleanup_(local_freep) Local *l = NULL;
        int r;

        *ret_error = NULL;
        l = calloc(1, sizeof(Local));
        if (!l)
                return -ENOMEM;
        l->events_fd = l->end_fd = -EBADF;
        l->context.database = l->database = strdup(options->database);
        if (!l->database)
                return -ENOMEM;
        l->context.base.commit = options->commit;
        l->context.base.metrics = render_metrics;
        l->context.base.feed = &l->context.feed;
        l->context.base.in_force = options->in_force;
        l->context.metrics = options->metrics;
        l->context.callback = options->callback;
        l->context.ingest.strict = options->strict;
        l->context.ingest.invalid_status = 422;

        r = local_prepare(l, &query_fd, &control_fd, ret_error);
        if (r < 0)
                return r;

        r = pthread_create(&l->thread, NULL, local_thread, l);
        if (r != 0)
                return -r;
        l->started = true;

        *ret = TAKE_PTR(l);
        return 0;
}

void local_notify_events(Local *l, _unused_ uint64_t last_event)
{
        (void)eventfd_write(l->events_fd, 1);
}

void local_set_strict(Local *l, bool strict)
{
        atomic_store(&l->context.ingest.strict, strict);
}

Local *local_free(Local *l)
{
        LocalContext *c;

        if (!l)
                return NULL;

        c = &l->context;
        if (l->started) {
                (void)eventfd_write(l->end_fd, 1);
                pthread_join(l->thread, NULL);
        }
        readers_free(c->base.readers);
        commit_port_free(c->port);
        http_server_free(c->control);
        http_server_free(c->query);
        feed_done(&c->feed);
        store_reader_close(c->base.reader);

        sd_event_source_disable_unref(l->events);
        sd_event_source_disable_unref(l->end);
        sd_event_source_disable_unref(l->poll);
        sd_event_source_disable_unref(l->drain);
        sd_event_unref(c->base.loop);
        fd_close(l->events_fd);
        fd_close(l->end_fd);
        free(l->database);
        free(l);
        return NULL;
}
