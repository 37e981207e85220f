/*
 * The service. It is put together in the order in which the parts need each other: the key and the store
 * with its writer (see service-loop.c), the way to the API, the outbox, and last the socket; nothing is
 * accepted that can't be stored. It is taken apart the other way round: no new connections and no new
 * requests to the API, what is in flight ends or is cut after a while. A request that was cut may have made
 * a task: that is written down, and found out at the next start.
 *
 * A reload may bring a live key where a test key was: the outbox keeps apart what was sent with which.
 */

#include "submitd/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/message.h"
#include "daemon/program.h"
#include "daemon/service-loop.h"
#include "daemon/sockets.h"
#include "submitd/socket/context.h"

#define MODE_SUBMIT     0660
#define CONNECTIONS_MAX 256U
#define TROUBLE_USEC    (60 * USEC_PER_SEC) /* a failure that lasts is a line in the log that often */

typedef struct Service {
        ServiceLoop loop;
        SubmitContext context;
        ApiKey loaded;          /* to be handed on; all zeros: nothing to do */
        sd_event_source *timer; /* when one of the three that work wants to be run */
        uint64_t last_trouble;
} Service;

static const HttpLimits limits = {
        .max_connections = CONNECTIONS_MAX,
        .max_body = 1024 * 1024,
        .max_bodies = 64 * 1024 * 1024,
        .header_timeout = 10 * USEC_PER_SEC,
        .body_timeout = 30 * USEC_PER_SEC,
        .idle_timeout = 60 * USEC_PER_SEC,
        .write_timeout = 30 * USEC_PER_SEC,
};

/* Reconciliation and backfill. What the API says is held against the same rules as what callbacks say, so
 * `strict` is the receiver's. */

static int recovery_new(SubmitContext *context, const OutboxClock *clock, void (*on_change)(void *userdata),
                void *userdata)
{
        int r;

        r = reconcile_new(&(ReconcileOptions){ .api = api_client_api(context->client),
                                          .clock = *clock,
                                          .ingest = &context->ingest,
                                          .interval = context->settings->reconcile.interval,
                                          .on_change = on_change,
                                          .userdata = userdata },
                        &context->reconcile);
        if (r < 0)
                return r;
        return backfill_new(&(BackfillOptions){ .api = api_client_api(context->client),
                                            .clock = *clock,
                                            .ingest = &context->ingest,
                                            .on_change = on_change,
                                            .userdata = userdata },
                        &context->backfill);
}

static void recovery_stop(SubmitContext *context)
{
        if (context->reconcile)
                reconcile_stop(context->reconcile);
        if (context->backfill)
                backfill_stop(context->backfill);
}

/* The outbox, reconciliation and backfill on the loop. */

static void arm(Service *service)
{
        const SubmitContext *context = &service->context;
        uint64_t next = MIN(outbox_next(context->outbox),
                        MIN(reconcile_next(context->reconcile), backfill_next(context->backfill)));
        int r;

        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(service->timer, SD_EVENT_OFF);
                return;
        }
        r = sd_event_source_set_time(service->timer, next);
        if (r >= 0)
                r = sd_event_source_set_enabled(service->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "The timer of the outbox can't be set");
}

static void run_parts(Service *service)
{
        uint64_t now = now_monotonic();
        int r;

        r = outbox_run(service->context.outbox);
        if (r < 0 && (service->last_trouble == 0 || now - service->last_trouble > TROUBLE_USEC)) {
                service->last_trouble = now;
                log_error_errno(r, "The outbox could not be read (%s); it is tried again",
                                store_reader_error(service->loop.reader));
        }
        reconcile_run(service->context.reconcile);
        backfill_run(service->context.backfill);
        arm(service);
}

static int on_work(_unused_ sd_event_source *source, void *userdata)
{
        run_parts(userdata);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        run_parts(userdata);
        return 0;
}

static void on_change(void *userdata)
{
        Service *service = userdata;

        submit_kick(&service->context);
}

static void on_task(const void *body, size_t size, void *userdata)
{
        Service *service = userdata;
        int r;

        r = ingest_bytes(&service->context.ingest, body, size, SOURCE_RECONCILE, NULL, NULL);
        if (r < 0)
                log_warning_errno(r, "What the API told of a task could not be stored");
}

static int64_t clock_realtime(_unused_ void *userdata)
{
        return now_realtime();
}

static uint64_t clock_monotonic(_unused_ void *userdata)
{
        return now_monotonic();
}

static const OutboxClock service_clock = { .realtime = clock_realtime, .monotonic = clock_monotonic };

static int submit_job(void *userdata, CommitJob *job)
{
        Service *service = userdata;

        return service->loop.port ? commit_submit(service->loop.port, job) : -ENOTRECOVERABLE;
}

static OutboxOptions outbox_options(Service *service, const Settings *settings)
{
        return (OutboxOptions){
                .api = api_client_api(service->context.client),
                .writer = { .submit = submit_job, .userdata = service },
                .clock = service_clock,
                .reader = service->loop.reader,
                .callback_url = settings->submit.callback_url,
                .max_in_flight = (unsigned)settings->api.max_in_flight,
                .rate = settings->api.rate,
                .live_per_day = settings->submit.live_per_day,
                .timeout = settings->api.timeout,
                .settle = settings->api.settle,
                .seed = now_monotonic() ^ (uint64_t)now_realtime(),
                .on_change = on_change,
                .on_task = on_task,
                .userdata = service,
        };
}

/* Stopping and reloading. */

static void quiesce(void *userdata)
{
        Service *service = userdata;

        http_server_quiesce(service->context.server);
        outbox_stop(service->context.outbox);
        recovery_stop(&service->context);
        submit_kick(&service->context);
}

static unsigned in_flight(void *userdata)
{
        const SubmitContext *context = &((Service *)userdata)->context;
        bool idle = outbox_is_idle(context->outbox) && reconcile_is_idle(context->reconcile) &&
                    backfill_is_idle(context->backfill);

        return http_server_connections(context->server) + (idle ? 0 : 1);
}

static void cut(_unused_ unsigned n, void *userdata)
{
        Service *service = userdata;

        log_event(LOG_WARNING, MESSAGE_CONNECTIONS_CUT, NULL, 0,
                        "%u connections and %" PRIu64
                        " requests to the API did not finish in time and are cut.",
                        http_server_connections(service->context.server),
                        api_client_stats(service->context.client)->in_flight);
}

static void warn_of_callback_url(const Settings *settings)
{
        if (!settings->submit.callback_url)
                log_event(LOG_WARNING, MESSAGE_CALLBACK_URL_MISSING, NULL, 0,
                                "[submit] callback_url is not set: tasks keep their own callback_url, or get the account's, and a callback about a bad attachment can't tell which submission it is for.");
}

/* A hold by an answer about the account is tried again with the key that there is now. */
typedef struct Lift {
        CommitJob job;
        SubmitContext *context;
} Lift;

static void on_lifted(CommitJob *job, int result)
{
        _cleanup_free_ Lift *lift = container_of(job, Lift, job);

        if (result < 0)
                log_warning_errno(result, "The queue stays held, if it was: that could not be changed");
        outbox_hurry(lift->context->outbox);
}

static void lift_hold(Service *service)
{
        Lift *lift;
        int r;

        lift = malloc(sizeof(Lift));
        if (!lift) {
                log_oom();
                return;
        }
        *lift = (Lift){ .job = { .change = { .kind = STORE_LIFT_HOLD, .now = now_realtime() },
                                        .done = on_lifted },
                .context = &service->context };
        r = commit_submit(service->loop.port, &lift->job);
        if (r < 0)
                on_lifted(&lift->job, r);
}

/* What this daemon takes out of the file that both read. */
static const char *const own_sections[] = { "submit", "api", "reconcile", "store", NULL };

static int load_key(const Settings *settings, char **mistakes, void *userdata)
{
        Service *service = userdata;

        return api_key_load(settings, &service->loaded, mistakes);
}

/* The key that was loaded is in force. */
static void say_in_force(Service *service)
{
        const char *label = service->loaded.is_test ? "test" : "live";
        InForceKeys keys = { .from = service->loaded.from, .labels = &label, .n = 1 };

        service_loop_set_in_force(&service->loop, &keys);
}

static void on_reloaded(int result, void *userdata)
{
        Service *service = userdata;
        SubmitContext *context = &service->context;
        const Settings *settings = service->loop.settings;
        OutboxOptions options;

        if (result < 0) {
                context->metrics.reloads_failed++;
                api_key_done(&service->loaded);
                return;
        }
        context->metrics.reloads++;
        context->settings = settings;
        say_in_force(service);
        warn_of_callback_url(settings);
        api_client_reload(context->client, settings, &service->loaded);
        options = outbox_options(service, settings);
        outbox_set_options(context->outbox, &options);
        context->ingest.strict = settings->callback.strict;
        reconcile_set_interval(context->reconcile, settings->reconcile.interval);
        lift_hold(service);
        log_event(LOG_NOTICE, MESSAGE_RELOADED, NULL, 0, "Reloaded, with a %s key.",
                        api_client_is_test(context->client) ? "test" : "live");
}

static void on_tick(const CommitStats *stats, char *status, size_t size, void *userdata)
{
        Service *service = userdata;
        StoreQueue queue = {};
        Waiting waiting;

        if (queue_read(&service->context, &queue, &waiting) < 0)
                snprintf(status, size, "The outbox can't be read.");
        else if (queue.hold != QUEUE_RUNNING)
                snprintf(status, size, "The queue is held%s%s; %" PRIu64 " queued.",
                                *queue.reason ? ": " : "", queue.reason, queue.by_state[SUBMISSION_QUEUED]);
        else if (waiting.cause != WAITING_NOTHING)
                snprintf(status, size,
                                "%" PRIu64 " queued, %" PRIu64 " unknown, %" PRIu64
                                " accepted; waiting: %s.",
                                queue.by_state[SUBMISSION_QUEUED], queue.by_state[SUBMISSION_UNKNOWN],
                                queue.by_state[SUBMISSION_ACCEPTED], waiting.text);
        else
                snprintf(status, size,
                                "%s; %" PRIu64 " queued, %" PRIu64 " sending, %" PRIu64 " unknown, %" PRIu64
                                " accepted.",
                                stats->state == STORE_WELL ? "Sending" : "Submissions can't be stored",
                                queue.by_state[SUBMISSION_QUEUED], queue.by_state[SUBMISSION_SENDING],
                                queue.by_state[SUBMISSION_UNKNOWN], queue.by_state[SUBMISSION_ACCEPTED]);
}

/* Putting together. */

static void on_reply(unsigned status, void *userdata)
{
        SubmitContext *context = userdata;

        metrics_count_response(&context->metrics, status);
}

static int make_readers(Service *service)
{
        _cleanup_free_ char *error = NULL;
        int r;

        r = readers_new(service->context.base.loop, service->loop.settings->store.path,
                        LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC, &service->context.base.readers, &error);
        if (r < 0 && error)
                log_error("%s", error);
        return r;
}

static int render_metrics(LocalBase *base, const Stats *stats, Buffer *out)
{
        const SubmitContext *context = container_of(base, SubmitContext, base);
        MetricsInputs in = {
                .own = context->metrics,
                .api = *api_client_stats(context->client),
                .live_per_day = context->settings->submit.live_per_day,
                .stats = *stats,
        };

        outbox_get_stats(context->outbox, &in.outbox);
        reconcile_get_stats(context->reconcile, &in.reconcile);
        backfill_get_stats(context->backfill, &in.backfill);
        http_server_get_stats(context->server, &in.server);
        return submit_metrics_render(&in, out);
}

static int make_parts(Service *service)
{
        SubmitContext *context = &service->context;
        OutboxOptions options;
        int r;

        context->base.reader = service->loop.reader;
        context->base.in_force = service->loop.in_force;
        context->base.commit = service->loop.commit;
        context->base.metrics = render_metrics;
        context->base.waiting_begin = queue_waiting_begin;
        context->base.waiting_of = queue_waiting_of;
        context->base.loop = service->loop.event;
        context->port = service->loop.port;
        context->settings = service->loop.settings;
        context->ingest.port = service->loop.port;
        context->ingest.reader = service->loop.reader;
        context->ingest.strict = service->loop.settings->callback.strict;
        context->ingest.invalid_status = 422;

        r = api_client_new(context->base.loop, service->loop.settings, &service->loaded, &context->client);
        if (r >= 0)
                r = make_readers(service);
        if (r < 0)
                return r;
        options = outbox_options(service, service->loop.settings);
        r = outbox_new(&options, &context->outbox);
        if (r >= 0)
                r = recovery_new(context, &service_clock, on_change, service);
        if (r >= 0)
                r = http_server_new(context->base.loop,
                                &(HttpServerOptions){ .routes = submit_routes,
                                                .userdata = context,
                                                .limits = limits,
                                                .check = params_check,
                                                .on_reply = on_reply,
                                                .what = "submit" },
                                &context->server);
        if (r >= 0)
                r = sd_event_add_defer(context->base.loop, &context->work, on_work, service);
        if (r >= 0)
                r = sd_event_add_time(context->base.loop, &service->timer, CLOCK_MONOTONIC, UINT64_MAX,
                                USEC_PER_MSEC, on_timer, service);
        if (r >= 0)
                outbox_start(context->outbox);
        return r;
}

/* 0, or a status. */
static int listen_for_tasks(Service *service)
{
        int fd = -EBADF, r;
        size_t n = 0;

        r = sockets_take_passed(&(SocketPlace){ "submit", &fd, &n, 1 }, 1);
        if (r == 0 && n > 0 && !settings_is_default(service->loop.settings, "submit", "socket"))
                sockets_warn_unused(&fd, n, service->loop.settings->submit.socket, "[submit] socket",
                                "scale-submitd.socket");
        if (r == 0 && n == 0)
                r = sockets_open(service->loop.settings->submit.socket, MODE_SUBMIT, "[submit] socket", &fd);
        if (r != 0) {
                fd_close(fd);
                return r;
        }

        sockets_announce(fd, "submit");
        r = http_server_add_listener(service->context.server, fd);
        if (r < 0) {
                log_error_errno(r, "Can't serve the submit socket");
                return EX_OSERR;
        }
        return 0;
}

void submit_service_check(const Settings *settings, char **mistakes)
{
        api_key_check(settings, mistakes);
        store_look_at(settings->store.path, mistakes);
}

static int service_start(void *userdata)
{
        Service *service = userdata;
        const Settings *settings = service->loop.settings;
        int r;

        program_raise_descriptor_limit("[api] max_in_flight", CONNECTIONS_MAX + settings->api.max_in_flight);
        say_in_force(service);
        r = make_parts(service);
        if (r < 0) {
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }
        warn_of_callback_url(settings);
        log_notice("Sending to %s with a %s key.", settings->api.url,
                        api_client_is_test(service->context.client) ? "test" : "live");
        return listen_for_tasks(service);
}

static const ServiceCalls calls = {
        .role = STORE_SUBMITTER,
        .sections = own_sections,
        .ready = "Sending.",
        .stopping = "Finishing what is in flight.",
        .load_keys = load_key,
        .start = service_start,
        .reloaded = on_reloaded,
        .quiesce = quiesce,
        .in_flight = in_flight,
        .cut = cut,
        .tick = on_tick,
};

/* Taking apart: the order is that of the essay above. */
static Service *service_free(Service *service)
{
        SubmitContext *context;

        if (!service)
                return NULL;

        context = &service->context;
        if (context->server)
                http_server_quiesce(context->server);
        if (context->outbox)
                outbox_stop(context->outbox);
        recovery_stop(context);
        if (context->client)
                api_client_close(
                                context->client); /* who waits for the API is told that there is no answer */
        context->base.readers = readers_free(context->base.readers);
        service_loop_settle(&service->loop); /* what is on its way to the disk is answered */
        outbox_free(context->outbox);
        reconcile_free(context->reconcile);
        backfill_free(context->backfill);
        http_server_free(context->server);
        api_client_free(context->client);
        sd_event_source_disable_unref(service->timer);
        sd_event_source_disable_unref(context->work);
        service_loop_done(&service->loop);
        api_key_done(&service->loaded);
        free(service);
        return NULL;
}
DEFINE_CLEANUP(Service *, service_free)

int submit_service_run(const char *config, const SettingsOverrides *overrides, Settings *settings)
{
        _cleanup_(service_freep) Service *service = NULL;

        service = calloc(1, sizeof(Service));
        if (!service) {
                settings_free(settings);
                return log_oom(), EX_OSERR;
        }
        service->context.metrics.started_at = (uint64_t)now_realtime();
        return service_loop_run(&service->loop, &calls, config, overrides, settings, service);
}
