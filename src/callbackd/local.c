/*
 * The local side runs on a thread and a loop of its own, so that a slow reader is never in a callback's way,
 * and what is asked for is read by further threads, so that no read is in the way of anything else. It hears
 * of new events through an eventfd (of another process's: see feed.c), and is asked to end through another:
 * readers of the feed come to their end, requests in flight are answered, and what is left after some
 * seconds is cut.
 */

#include "callbackd/local.h"

#include <sys/eventfd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "query/params.h"

#define DRAIN_USEC (3 * USEC_PER_SEC)
#define POLL_USEC  (20 * USEC_PER_MSEC)

static const HttpLimits local_limits = {
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
        { "GET", "/v1/stats", stats_on_get, NULL, stats_params },
        { "GET", "/v1/settings", local_on_settings, NULL, NULL },
        { "GET", "/metrics", stats_on_metrics, NULL, NULL },
        { "GET", "/healthz", stats_on_healthz, NULL, NULL },
        { "GET", "/readyz", stats_on_readyz, NULL, NULL },
        {},
};

static int on_news(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        Local *local = userdata;
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        feed_notify(&local->feed);
        return 0;
}

static unsigned open_connections(const Local *local)
{
        return (local->query ? http_server_connections(local->query) : 0) +
               (local->control ? http_server_connections(local->control) : 0);
}

static int on_poll(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Local *local = userdata;

        if (open_connections(local) == 0)
                return sd_event_exit(local->base.loop, 0);
        (void)sd_event_source_set_time_relative(source, POLL_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_drained(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Local *local = userdata;

        return sd_event_exit(local->base.loop, 0);
}

static int on_end(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
        Local *local = userdata;
        eventfd_t n;
        int r;

        (void)eventfd_read(fd, &n);
        if (local->query)
                http_server_quiesce(local->query);
        if (local->control)
                http_server_quiesce(local->control);
        feed_close(&local->feed);

        r = sd_event_add_time_relative(
                        local->base.loop, &local->poll, CLOCK_MONOTONIC, 0, 1, on_poll, local);
        if (r >= 0)
                r = sd_event_add_time_relative(local->base.loop, &local->drain, CLOCK_MONOTONIC, DRAIN_USEC,
                                USEC_PER_MSEC, on_drained, local);
        return r < 0 ? sd_event_exit(local->base.loop, r) : 0;
}

static void *local_thread(void *userdata)
{
        Local *local = userdata;
        int r;

        pthread_setname_np(pthread_self(), "local");
        r = sd_event_loop(local->base.loop);
        if (r < 0)
                log_error_errno(r, "The local sockets are no longer served");
        return NULL;
}

static int add_server(Local *local, const HttpRoute *routes, const char *what, int *fd, HttpServer **ret)
{
        int r;

        if (*fd < 0)
                return 0;

        r = http_server_new(local->base.loop,
                        &(HttpServerOptions){ .routes = routes,
                                        .userdata = local,
                                        .limits = local_limits,
                                        .check = params_check,
                                        .what = what },
                        ret);
        if (r < 0)
                return r;
        return http_server_add_listener(*ret, take_fd(fd));
}

static int render_metrics(LocalBase *base, const Stats *stats, Buffer *out)
{
        const Local *local = container_of(base, Local, base);
        MetricsInputs in = {
                .metrics = local->metrics, .stats = *stats, .event_readers = local->feed.n_following
        };

        if (local->callback)
                http_server_get_stats(local->callback, &in.callback);
        if (local->query)
                http_server_get_stats(local->query, &in.query);
        if (local->control)
                http_server_get_stats(local->control, &in.control);
        return receiver_metrics_render(&in, out);
}

static int local_prepare(Local *local, int *query_fd, int *control_fd, char **ret_error)
{
        int r;

        r = sd_event_new(&local->base.loop);
        if (r < 0)
                return r;

        local->events_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        local->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (local->events_fd < 0 || local->end_fd < 0)
                return -errno;
        r = sd_event_add_io(local->base.loop, &local->events, local->events_fd, EPOLLIN, on_news, local);
        if (r < 0)
                return r;
        r = sd_event_add_io(local->base.loop, &local->end, local->end_fd, EPOLLIN, on_end, local);
        if (r < 0)
                return r;
        r = store_reader_open(local->database, LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC,
                        &local->base.reader, ret_error);
        if (r < 0)
                return r;
        r = readers_new(local->base.loop, local->database, LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC,
                        &local->base.readers, ret_error);
        if (r < 0)
                return r;
        r = commit_port_new(local->base.commit, local->base.loop, &local->port);
        if (r < 0)
                return r;
        local->ingest.port = local->port;
        local->ingest.reader = local->base.reader;
        r = add_server(local, query_routes, "query", query_fd, &local->query);
        if (r < 0)
                return r;
        return add_server(local, control_routes, "control", control_fd, &local->control);
}

int local_new(const LocalOptions *options, Local **ret, char **ret_error)
{
        _cleanup_close_ int query_fd = options->query_fd, control_fd = options->control_fd;
        _cleanup_(local_freep) Local *local = NULL;
        int r;

        *ret_error = NULL;
        local = calloc(1, sizeof(Local));
        if (!local)
                return -ENOMEM;
        local->events_fd = local->end_fd = -EBADF;
        local->database = strdup(options->database);
        if (!local->database)
                return -ENOMEM;
        local->base.commit = options->commit;
        local->base.metrics = render_metrics;
        local->base.feed = &local->feed;
        local->base.in_force = options->in_force;
        local->metrics = options->metrics;
        local->callback = options->callback;
        local->ingest.strict = options->strict;
        local->ingest.invalid_status = 422;

        r = local_prepare(local, &query_fd, &control_fd, ret_error);
        if (r < 0)
                return r;

        r = pthread_create(&local->thread, NULL, local_thread, local);
        if (r != 0)
                return -r;
        local->started = true;

        *ret = TAKE_PTR(local);
        return 0;
}

void local_notify_events(Local *local)
{
        (void)eventfd_write(local->events_fd, 1);
}

void local_set_strict(Local *local, bool strict)
{
        atomic_store(&local->ingest.strict, strict);
}

Local *local_free(Local *local)
{
        if (!local)
                return NULL;

        if (local->started) {
                (void)eventfd_write(local->end_fd, 1);
                pthread_join(local->thread, NULL);
        }
        readers_free(local->base.readers);
        commit_port_free(local->port);
        http_server_free(local->control);
        http_server_free(local->query);
        feed_done(&local->feed);
        store_reader_close(local->base.reader);

        sd_event_source_disable_unref(local->events);
        sd_event_source_disable_unref(local->end);
        sd_event_source_disable_unref(local->poll);
        sd_event_source_disable_unref(local->drain);
        sd_event_unref(local->base.loop);
        fd_close(local->events_fd);
        fd_close(local->end_fd);
        free(local->database);
        free(local);
        return NULL;
}
