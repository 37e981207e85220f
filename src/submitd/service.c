/*
 * The service. It is put together in the order in which the parts need each other: the key, the store with
 * its writer, the way to the API, the outbox, and last the socket; nothing is accepted that can't be stored.
 * It is taken apart the other way round: no new connections and no new requests to the API, what is in
 * flight ends or is cut after a while. A request that was cut may have made a task: that is written down,
 * and found out at the next start.
 *
 * A reload that finds a mistake keeps everything as it was. One may bring a live key where a test key was:
 * the outbox keeps apart what was sent with which.
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
#include "daemon/receipt.h"
#include "daemon/service-loop.h"
#include "daemon/sockets.h"
#include "submitd/socket/keep.h"

#define MODE_SUBMIT     0660
#define CONNECTIONS_MAX 256U
#define TROUBLE_USEC    (60 * USEC_PER_SEC) /* a failure that lasts is a line in the log that often */

typedef struct Service {
        const char *config;
        const SettingsOverrides *overrides;
        Settings *settings; /* owned */
        ServiceLoop loop;
        SubmitContext context;
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

/* Reconciliation and backfill: what is done with one is done with both. What the API says is held against
 * the same rules as what callbacks say, so `strict` is the receiver's. */

static int recovery_new(SubmitContext *c, const OutboxClock *clock, void (*on_change)(void *userdata),
                void *userdata)
{
        Intake intake = {
                .port = c->port, .reader = c->base.reader, .strict = c->settings->callback.strict
        };
        int r;

        r = reconcile_new(&(ReconcileOptions){ .api = api_client_api(c->client),
                                          .clock = *clock,
                                          .intake = intake,
                                          .interval = c->settings->reconcile.interval,
                                          .on_change = on_change,
                                          .userdata = userdata },
                        &c->reconcile);
        if (r < 0)
                return r;
        return backfill_new(&(BackfillOptions){ .api = api_client_api(c->client),
                                            .clock = *clock,
                                            .intake = intake,
                                            .on_change = on_change,
                                            .userdata = userdata },
                        &c->backfill);
}

static void recovery_free(SubmitContext *c)
{
        c->reconcile = reconcile_free(c->reconcile);
        c->backfill = backfill_free(c->backfill);
}

static void recovery_reload(SubmitContext *c, const Settings *settings)
{
        reconcile_set(c->reconcile, settings->reconcile.interval, settings->callback.strict);
        backfill_set(c->backfill, settings->callback.strict);
}

static void recovery_run(SubmitContext *c)
{
        reconcile_run(c->reconcile);
        backfill_run(c->backfill);
}

static uint64_t recovery_next(const SubmitContext *c)
{
        return MIN(reconcile_next(c->reconcile), backfill_next(c->backfill));
}

static void recovery_stop(SubmitContext *c)
{
        if (c->reconcile)
                reconcile_stop(c->reconcile);
        if (c->backfill)
                backfill_stop(c->backfill);
}

static bool recovery_is_idle(const SubmitContext *c)
{
        return reconcile_is_idle(c->reconcile) && backfill_is_idle(c->backfill);
}

/* The outbox, reconciliation and backfill on the loop. */

static void arm(Service *s)
{
        const SubmitContext *c = &s->context;
        uint64_t next = outbox_next(c->outbox);
        int r;

        next = MIN(next, recovery_next(c));

        if (next == UINT64_MAX) {
                (void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
                return;
        }
        r = sd_event_source_set_time(s->timer, next);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "The timer of the outbox can't be set");
}

static void run_parts(Service *s)
{
        uint64_t now = now_monotonic();
        int r;

        r = outbox_run(s->context.outbox);
        if (r < 0 && (s->last_trouble == 0 || now - s->last_trouble > TROUBLE_USEC)) {
                s->last_trouble = now;
                log_error_errno(r, "The outbox could not be read (%s); it is tried again",
                                store_reader_error(s->loop.reader));
        }
        recovery_run(&s->context);
        arm(s);
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

void submit_kick(SubmitContext *c)
{
        if (c->work)
                (void)sd_event_source_set_enabled(c->work, SD_EVENT_ONESHOT);
}

void submit_hurry(SubmitContext *c)
{
        outbox_hurry(c->outbox);
        submit_kick(c);
}

int submit_reply_unavailable(HttpRequest *request, int error)
{
        return receipt_reply_unavailable(request, error);
}

static void on_change(void *userdata)
{
        Service *s = userdata;

        submit_kick(&s->context);
}

static void on_task(const void *body, size_t size, void *userdata)
{
        Service *s = userdata;
        int r;

        r = keep_task(&s->context, body, size, NULL, NULL);
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
        Service *s = userdata;

        return s->loop.port ? commit_submit(s->loop.port, job) : -ENOTRECOVERABLE;
}

static OutboxOptions outbox_options(Service *s, const Settings *settings)
{
        return (OutboxOptions){
                .api = api_client_api(s->context.client),
                .writer = { .submit = submit_job, .userdata = s },
                .clock = service_clock,
                .reader = s->loop.reader,
                .callback_url = settings->submit.callback_url,
                .max_in_flight = (unsigned)settings->api.max_in_flight,
                .rate = settings->api.rate,
                .live_per_day = settings->submit.live_per_day,
                .timeout = settings->api.timeout,
                .settle = settings->api.settle,
                .seed = now_monotonic() ^ (uint64_t)now_realtime(),
                .on_change = on_change,
                .on_task = on_task,
                .userdata = s,
        };
}

/* Where the service's life turns. */

static void quiesce(void *userdata)
{
        Service *s = userdata;

        http_server_quiesce(s->context.server);
        outbox_stop(s->context.outbox);
        recovery_stop(&s->context);
        submit_kick(&s->context);
}

static unsigned in_flight(void *userdata)
{
        const SubmitContext *c = &((Service *)userdata)->context;
        bool idle = outbox_is_idle(c->outbox) && recovery_is_idle(c);

        return http_server_connections(c->server) + (idle ? 0 : 1);
}

static void cut(_unused_ unsigned n, void *userdata)
{
        Service *s = userdata;

        log_event(LOG_WARNING, MESSAGE_CONNECTIONS_CUT, NULL, 0,
                        "%u connections and %" PRIu64
                        " requests to the API did not finish in time and are cut.",
                        http_server_connections(s->context.server),
                        api_client_stats(s->context.client)->in_flight);
}

static void warn_of_callback_url(const Settings *settings)
{
        if (!settings->submit.callback_url)
                log_event(LOG_WARNING, MESSAGE_CALLBACK_URL_MISSING, NULL, 0,
                                "[submit] callback_url is not set: tasks keep their own callback_url, or "
                                "get the account's, and a callback about a bad attachment can't tell which "
                                "submission it is for.");
}

/* A hold by an answer about the account is tried again with the key that there is now. */
typedef struct Lift {
        CommitJob job;
        SubmitContext *context;
} Lift;

static int run_lift(_unused_ CommitJob *job, Store *store)
{
        return store_lift_account_hold(store, now_realtime());
}

static void on_lifted(CommitJob *job, int result)
{
        _cleanup_free_ Lift *lift = container_of(job, Lift, job);

        if (result < 0)
                log_warning_errno(result, "The queue stays held, if it was: that could not be changed");
        submit_hurry(lift->context);
}

static void lift_hold(Service *s)
{
        Lift *lift;
        int r;

        lift = malloc(sizeof(Lift));
        if (!lift) {
                log_oom();
                return;
        }
        *lift = (Lift){ .job = { .run = run_lift, .done = on_lifted }, .context = &s->context };
        r = commit_submit(s->loop.port, &lift->job);
        if (r < 0)
                on_lifted(&lift->job, r);
}

/* What this daemon takes out of the file that both read. */
static const char *const own_sections[] = { "submit", "api", "reconcile", "store", NULL };

static void say_in_force(Service *s, const ApiKey *key)
{
        const char *label = key->is_test ? "test" : "live";
        InForceKeys k = { .from = key->from, .labels = &label, .n = 1 };

        if (in_force_set(s->loop.in_force, s->settings, own_sections, s->overrides, &k) < 0)
                log_oom();
}

/* Mistakes in the key are looked for also when the settings have some. */
static int load(Service *s, Settings **ret, ApiKey *ret_key, char **mistakes)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        ApiKey key;
        int r;

        next = program_load_settings(s->config, s->overrides, mistakes);
        r = api_key_load(next ?: s->settings, &key, mistakes);
        if (r < 0)
                return r;
        r = next ? service_loop_keep_until_restart(s->settings, next, own_sections) : -EINVAL;
        if (r < 0) {
                api_key_done(&key);
                return r;
        }
        *ret = TAKE_PTR(next);
        *ret_key = key;
        return 0;
}

static int reload(Service *s, char **mistakes)
{
        OutboxOptions options;
        Settings *old = s->settings, *next;
        ApiKey key;
        int r;

        r = load(s, &next, &key, mistakes);
        if (r < 0)
                return r;

        s->context.settings = s->settings = next;
        say_in_force(s, &key);
        warn_of_callback_url(next);
        api_client_reload(s->context.client, next, &key);
        options = outbox_options(s, next);
        outbox_set_options(s->context.outbox, &options);
        recovery_reload(&s->context, next);
        commit_set_min_free(s->loop.commit, next->store.min_free);
        settings_free(old);
        lift_hold(s);
        log_event(LOG_NOTICE, MESSAGE_RELOADED, NULL, 0, "Reloaded, with a %s key.",
                        api_client_is_test(s->context.client) ? "test" : "live");
        return 0;
}

static int on_reload(char **mistakes, void *userdata)
{
        Service *s = userdata;
        int r;

        r = reload(s, mistakes);
        if (r < 0)
                s->context.metrics.reloads_failed++;
        else
                s->context.metrics.reloads++;
        return r;
}

static void on_tick(const CommitStats *stats, char *status, size_t size, void *userdata)
{
        Service *s = userdata;
        StoreQueue q = {};
        Waiting w;

        if (queue_read(&s->context, &q, &w) < 0)
                snprintf(status, size, "The outbox can't be read.");
        else if (q.hold != QUEUE_RUNNING)
                snprintf(status, size, "The queue is held%s%s; %" PRIu64 " queued.", *q.reason ? ": " : "",
                                q.reason, q.by_state[SUBMISSION_QUEUED]);
        else if (w.cause != WAITING_NOTHING)
                snprintf(status, size,
                                "%" PRIu64 " queued, %" PRIu64 " unknown, %" PRIu64
                                " accepted; waiting: %s.",
                                q.by_state[SUBMISSION_QUEUED], q.by_state[SUBMISSION_UNKNOWN],
                                q.by_state[SUBMISSION_ACCEPTED], w.text);
        else
                snprintf(status, size,
                                "%s; %" PRIu64 " queued, %" PRIu64 " sending, %" PRIu64 " unknown, %" PRIu64
                                " accepted.",
                                stats->writable ? "Sending" : "Submissions can't be stored",
                                q.by_state[SUBMISSION_QUEUED], q.by_state[SUBMISSION_SENDING],
                                q.by_state[SUBMISSION_UNKNOWN], q.by_state[SUBMISSION_ACCEPTED]);
}

static const ServiceCalls calls = {
        .role = STORE_SUBMITTER,
        .ready = "Sending.",
        .stopping = "Finishing what is in flight.",
        .quiesce = quiesce,
        .in_flight = in_flight,
        .cut = cut,
        .reload = on_reload,
        .tick = on_tick,
};

/* Putting together. */

static void on_reply(unsigned status, void *userdata)
{
        SubmitContext *c = userdata;

        metrics_count_response(&c->metrics, status);
}

static int make_readers(Service *s)
{
        _cleanup_free_ char *error = NULL;
        int r;

        r = readers_new(s->context.loop, s->settings->store.path, LOCAL_QUERY_TIME_LIMIT_SEC * USEC_PER_SEC,
                        &s->context.base.readers, &error);
        if (r < 0 && error)
                log_error("%s", error);
        return r;
}

static int render_metrics(LocalBase *base, const Stats *stats, Buffer *out)
{
        const SubmitContext *c = container_of(base, SubmitContext, base);
        MetricsInputs in = {
                .metrics = &c->metrics,
                .api = api_client_stats(c->client),
                .live_per_day = c->settings->submit.live_per_day,
                .stats = *stats,
        };

        outbox_get_stats(c->outbox, &in.outbox);
        reconcile_get_stats(c->reconcile, &in.reconcile);
        backfill_get_stats(c->backfill, &in.backfill);
        http_server_get_stats(c->server, &in.server);
        return metrics_render(&in, out);
}

static int make_parts(Service *s, ApiKey *key)
{
        SubmitContext *c = &s->context;
        OutboxOptions options;
        int r;

        c->base.reader = s->loop.reader;
        c->base.in_force = s->loop.in_force;
        c->base.commit = s->loop.commit;
        c->base.metrics = render_metrics;
        c->base.waiting_begin = queue_waiting_begin;
        c->base.waiting_of = queue_waiting_of;
        c->loop = s->loop.event;
        c->port = s->loop.port;
        c->settings = s->settings;

        r = api_client_new(c->loop, s->settings, key, &c->client);
        if (r >= 0)
                r = make_readers(s);
        if (r < 0)
                return r;
        options = outbox_options(s, s->settings);
        r = outbox_new(&options, &c->outbox);
        if (r >= 0)
                r = recovery_new(c, &service_clock, on_change, s);
        if (r >= 0)
                r = http_server_new(c->loop,
                                &(HttpServerOptions){ .routes = submit_routes,
                                                .userdata = c,
                                                .limits = limits,
                                                .check = params_check,
                                                .on_reply = on_reply,
                                                .what = "submit" },
                                &c->server);
        if (r >= 0)
                r = sd_event_add_defer(c->loop, &c->work, on_work, s);
        if (r >= 0)
                r = sd_event_add_time(
                                c->loop, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, USEC_PER_MSEC, on_timer, s);
        if (r >= 0)
                outbox_start(c->outbox);
        return r;
}

/* 0, or a status. */
static int listen_for_tasks(Service *s)
{
        int fd = -EBADF, r;
        size_t n = 0;

        r = sockets_take_passed(&(SocketPlace){ "submit", &fd, &n, 1 }, 1);
        if (r == 0 && n > 0 && !settings_is_default(s->settings, "submit", "socket"))
                sockets_warn_unused(&fd, n, s->settings->submit.socket, "[submit] socket",
                                "scale-submitd.socket");
        if (r == 0 && n == 0)
                r = sockets_open(s->settings->submit.socket, MODE_SUBMIT, "[submit] socket", &fd);
        if (r != 0) {
                fd_close(fd);
                return r;
        }

        sockets_announce(fd, "submit");
        r = http_server_add_listener(s->context.server, fd);
        if (r < 0) {
                log_error_errno(r, "Can't serve the submit socket");
                return EX_OSERR;
        }
        return 0;
}

void service_check(const Settings *settings, char **mistakes)
{
        api_key_check(settings, mistakes);
        store_look_at(settings->store.path, mistakes);
}

static int start(Service *s)
{
        _cleanup_free_ char *mistakes = NULL;
        ApiKey key;
        int r;

        if (api_key_load(s->settings, &key, &mistakes) < 0) {
                program_log_mistakes(MESSAGE_KEYS_MISSING, "", mistakes ?: "out of memory");
                return EX_CONFIG;
        }
        say_in_force(s, &key);
        r = service_loop_open_store(&s->loop, s->settings);
        if (r != 0) {
                api_key_done(&key);
                return r;
        }
        r = make_parts(s, &key);
        if (r < 0) {
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }
        warn_of_callback_url(s->settings);
        log_notice("Sending to %s with a %s key.", s->settings->api.url,
                        api_client_is_test(s->context.client) ? "test" : "live");
        return listen_for_tasks(s);
}

/* Taking apart: the order is that of the essay above. */
static Service *service_free(Service *s)
{
        SubmitContext *c;

        if (!s)
                return NULL;

        c = &s->context;
        if (c->server)
                http_server_quiesce(c->server);
        if (c->outbox)
                outbox_stop(c->outbox);
        recovery_stop(c);
        if (c->client)
                api_client_close(c->client); /* who waits for the API is told that there is no answer */
        c->base.readers = readers_free(c->base.readers);
        service_loop_settle(&s->loop); /* what is on its way to the disk is answered */
        outbox_free(c->outbox);
        recovery_free(c);
        http_server_free(c->server);
        api_client_free(c->client);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(c->work);
        service_loop_done(&s->loop);
        settings_free(s->settings);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(Service *, service_free)

int service_run(const char *config, const SettingsOverrides *overrides, Settings *settings)
{
        _cleanup_(service_freep) Service *s = NULL;
        int r;

        s = calloc(1, sizeof(Service));
        if (!s) {
                settings_free(settings);
                return log_oom(), EX_OSERR;
        }
        s->config = config;
        s->overrides = overrides;
        s->settings = settings;
        metrics_init(&s->context.metrics);

        r = service_loop_init(&s->loop, &calls, s);
        if (r != 0)
                return r;

        program_raise_descriptor_limit("[api] max_in_flight", CONNECTIONS_MAX + settings->api.max_in_flight);
        r = start(s);
        return r != 0 ? r : service_loop_run(&s->loop);
}
