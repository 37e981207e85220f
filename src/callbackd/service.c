/*
 * The service. It is put together in the order in which the parts need each other: keys, then the store with
 * its writer, then the local sockets, then, last of all, the listeners for callbacks; nothing is accepted
 * that can't be stored. It is taken apart the other way round: no new connections, what is in flight is
 * answered, what was answered is on disk, the log of the database is copied back.
 *
 * A reload that finds a mistake keeps everything as it was.
 */

#include "callbackd/service.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "callbackd/listeners.h"
#include "callbackd/local.h"
#include "callbackd/receiver.h"
#include "callbackd/retention.h"
#include "daemon/commit.h"
#include "daemon/message.h"
#include "daemon/program.h"

#define JOBS_MAX    8192U
#define TICK_USEC   (5 * USEC_PER_SEC)
#define DRAIN_USEC  (20 * USEC_PER_SEC) /* how long requests in flight may take after SIGTERM */
#define READER_USEC (2 * USEC_PER_SEC)  /* looking up one task on the main loop */

struct Service {
        const char *config;
        const SettingsOverrides *overrides;
        Settings *settings; /* owned */
        Metrics metrics;

        sd_event *loop;
        Commit *commit;
        CommitPort *port;
        StoreReader *reader;
        Receiver *receiver;
        _Atomic(Local *) local; /* the commit thread looks at it */
        Retention *retention;
        sd_event_source *tick, *drain, *watchdog, *poll;
        uint64_t watchdog_usec;
        bool stopping;
};

/* Every connection is a descriptor, and the soft limit is kept low for programs that use select(). */
static void raise_descriptor_limit(const Settings *settings)
{
        program_raise_descriptor_limit("[callback] max_connections", settings->callback.max_connections);
}

/* What the keys are, or why there are none, said in the log. 0, or a status. */
static int load_keys(const Settings *settings, Keys **ret)
{
        _cleanup_free_ char *path = NULL, *error = NULL;
        int r;

        r = program_locate_secret("callback-auth-keys", settings->callback.auth_keys_file, &path);
        if (r < 0)
                return log_oom(), EX_OSERR;
        if (!path) {
                log_event(LOG_ERR, MESSAGE_KEYS_MISSING, NULL, 0,
                                "No callback auth key: write a line `label key` for each into "
                                "/etc/credstore/callback-auth-keys (mode 0600), which is the credential "
                                "callback-auth-keys, or name such a file in [callback] auth_keys_file.");
                return EX_CONFIG;
        }
        r = keys_load(path, ret, &error);
        if (r < 0) {
                log_event(LOG_ERR, MESSAGE_KEYS_MISSING, NULL, 0, "Can't read the callback auth keys: %s",
                                error ?: strerror(-r));
                return EX_CONFIG;
        }
        return 0;
}

/* Callbacks of the commit thread. */

static void on_events(uint64_t last_event, void *userdata)
{
        Service *s = userdata;
        Local *l = atomic_load(&s->local);

        if (l)
                local_notify_events(l, last_event);
}

/* From the commit thread: sends the loop a signal, which is the one thing that may be done from there. */
static void on_fatal(_unused_ int error, _unused_ void *userdata)
{
        (void)kill(getpid(), SIGUSR1);
}

/* Ending. */

static int on_drained(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Service *s = userdata;

        if (http_server_connections(receiver_server(s->receiver)) == 0)
                return sd_event_exit(s->loop, 0);

        (void)sd_event_source_set_time_relative(source, 20 * USEC_PER_MSEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_drain_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Service *s = userdata;

        log_event(LOG_WARNING, MESSAGE_CONNECTIONS_CUT, NULL, 0,
                        "%u connections did not finish in time and are cut.",
                        http_server_connections(receiver_server(s->receiver)));
        return sd_event_exit(s->loop, 0);
}

static int on_term(_unused_ sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        Service *s = userdata;
        int r;

        if (s->stopping)
                return 0;
        s->stopping = true;

        log_event(LOG_NOTICE, MESSAGE_STOPPING, NULL, 0, "Stopping: %s.",
                        si->ssi_signo == SIGTERM ? "asked to" : "interrupted");
        (void)sd_notify(false, "STOPPING=1\nSTATUS=Answering what is in flight.");
        http_server_quiesce(receiver_server(s->receiver));

        r = sd_event_add_time_relative(s->loop, &s->poll, CLOCK_MONOTONIC, 0, 1, on_drained, s);
        if (r >= 0)
                r = sd_event_add_time_relative(s->loop, &s->drain, CLOCK_MONOTONIC, DRAIN_USEC,
                                USEC_PER_MSEC, on_drain_timeout, s);
        return r < 0 ? sd_event_exit(s->loop, EX_OSERR) : 0;
}

static int on_broken(
                _unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
        Service *s = userdata;

        (void)sd_notify(false, "STOPPING=1\nSTATUS=The disk failed.");
        return sd_event_exit(s->loop, EX_IOERR);
}

/* What this daemon takes out of the file that both read. */
static const char *const own_sections[] = { "callback", "query", "control", "store", NULL };

/* Reloading. */

static int reload(Service *s)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        _cleanup_free_ char *restart = NULL;
        Settings *old = s->settings;
        Keys *keys;

        next = program_load_settings(
                        s->config, s->overrides, "Not reloaded, the settings stay as they were: ");
        if (!next)
                return -EINVAL;
        if (load_keys(next, &keys) != 0) {
                log_event(LOG_ERR, MESSAGE_NOT_RELOADED, NULL, 0,
                                "Not reloaded, settings and keys stay as they were.");
                return -EINVAL;
        }

        if (settings_needs_restart(old, next, own_sections, &restart) >= 0 && restart)
                log_warning("These settings change at the next start only: %s", restart);

        receiver_reload(s->receiver, next, keys);
        raise_descriptor_limit(next);
        commit_set_min_free(s->commit, next->store.min_free);
        local_set_strict(s->local, next->callback.strict);
        retention_set(s->retention, next->store.keep_deliveries);
        s->settings = TAKE_PTR(next);
        settings_free(old);
        log_event(LOG_NOTICE, MESSAGE_RELOADED, NULL, 0, "Reloaded; %zu keys.", keys_count(keys));
        return 0;
}

static int on_hup(
                _unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
        Service *s = userdata;
        int r;

        if (s->stopping)
                return 0;

        (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_monotonic());
        r = reload(s);
        atomic_fetch_add(r < 0 ? &s->metrics.reloads_failed : &s->metrics.reloads, 1);
        (void)sd_notify(false, "READY=1");
        return 0;
}

/* While running. */

static int on_tick(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Service *s = userdata;
        CommitStats stats;

        receiver_tick(s->receiver);
        commit_get_stats(s->commit, &stats);
        if (!s->stopping)
                (void)sd_notifyf(false,
                                "STATUS=%s; %" PRIu64 " stored since the start, %" PRIu64
                                " waiting, %u connections.",
                                stats.writable ? "Storing callbacks" : "Callbacks can't be stored",
                                stats.jobs, stats.queued,
                                http_server_connections(receiver_server(s->receiver)));

        (void)sd_event_source_set_time_relative(source, TICK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Fed only while the writer goes round: a loop that runs above a writer that hangs is not alive. */
static int on_watchdog(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        Service *s = userdata;
        CommitStats stats;

        commit_get_stats(s->commit, &stats);
        if (now_monotonic() - stats.last_progress < s->watchdog_usec)
                (void)sd_notify(false, "WATCHDOG=1");

        (void)sd_event_source_set_time_relative(source, s->watchdog_usec / 4);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Putting together. */

static int add_sources(Service *s)
{
        int r;

        r = sd_event_add_signal(s->loop, NULL, SIGTERM, on_term, s);
        if (r >= 0)
                r = sd_event_add_signal(s->loop, NULL, SIGINT, on_term, s);
        if (r >= 0)
                r = sd_event_add_signal(s->loop, NULL, SIGHUP, on_hup, s);
        if (r >= 0)
                r = sd_event_add_signal(s->loop, NULL, SIGUSR1, on_broken, s);
        if (r >= 0)
                r = sd_event_add_time_relative(s->loop, &s->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, s);
        if (r >= 0 && sd_watchdog_enabled(false, &s->watchdog_usec) > 0)
                r = sd_event_add_time_relative(s->loop, &s->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, s);
        return r;
}

static int open_store(Service *s)
{
        const CommitOptions options = {
                .path = s->settings->store.path,
                .max_jobs = JOBS_MAX,
                .min_free = s->settings->store.min_free,
                .on_events = on_events,
                .on_fatal = on_fatal,
                .userdata = s,
        };
        _cleanup_free_ char *error = NULL;
        int r;

        r = commit_new(&options, &s->commit, &error);
        if (r >= 0)
                r = store_reader_open(options.path, READER_USEC, &s->reader, &error);
        if (r < 0) {
                log_event(LOG_ERR, MESSAGE_DATABASE, LOG_FIELDS(LOG_TEXT("DATABASE", options.path)),
                                "Can't open the database: %s", error ?: strerror(-r));
                return program_status_of_store(r);
        }
        return 0;
}

static int start_local(Service *s, Listeners *listeners)
{
        _cleanup_free_ char *error = NULL;
        Local *l;
        int r;

        r = local_new(
                        &(LocalOptions){
                                        .database = s->settings->store.path,
                                        .query_fd = take_fd(&listeners->query),
                                        .control_fd = take_fd(&listeners->control),
                                        .commit = s->commit,
                                        .metrics = &s->metrics,
                                        .callback = receiver_server(s->receiver),
                                        .strict = s->settings->callback.strict,
                        },
                        &l, &error);
        if (r < 0) {
                log_error("Can't serve the local sockets: %s", error ?: strerror(-r));
                return EX_OSERR;
        }
        atomic_store(&s->local, l);
        return 0;
}

static int start(Service *s)
{
        _cleanup_(listeners_done) Listeners listeners = LISTENERS_INIT;
        Keys *keys;
        int r;

        r = load_keys(s->settings, &keys);
        if (r != 0)
                return r;
        r = open_store(s);
        if (r != 0) {
                keys_free(keys);
                return r;
        }

        r = commit_port_new(s->commit, s->loop, &s->port);
        if (r < 0) {
                keys_free(keys);
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }
        r = receiver_new(s->loop,
                        &(ReceiverOptions){
                                        .settings = s->settings,
                                        .keys = keys,
                                        .commit = s->commit,
                                        .port = s->port,
                                        .reader = s->reader,
                                        .metrics = &s->metrics,
                        },
                        &s->receiver);
        if (r >= 0)
                r = retention_new(s->loop, s->port, s->settings->store.keep_deliveries, &s->retention);
        if (r >= 0)
                r = add_sources(s);
        if (r < 0) {
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }

        r = listeners_open(s->settings, &listeners);
        if (r != 0)
                return r;
        listeners_announce(&listeners);
        r = start_local(s, &listeners);
        if (r != 0)
                return r;
        return listeners_serve_callbacks(&listeners, receiver_server(s->receiver));
}

/* Taking apart: the order is that of the essay above. */
static Service *service_free(Service *s)
{
        if (!s)
                return NULL;

        if (s->receiver)
                http_server_quiesce(receiver_server(s->receiver));
        retention_free(s->retention);
        commit_port_free(s->port); /* what is on its way to the disk is answered */
        local_free(atomic_exchange(&s->local, NULL));
        receiver_free(s->receiver);
        store_reader_close(s->reader);
        commit_free(s->commit);

        sd_event_source_disable_unref(s->tick);
        sd_event_source_disable_unref(s->poll);
        sd_event_source_disable_unref(s->drain);
        sd_event_source_disable_unref(s->watchdog);
        sd_event_unref(s->loop);
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
        metrics_init(&s->metrics);

        r = program_block_signals();
        if (r >= 0)
                r = sd_event_default(&s->loop);
        if (r < 0) {
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }

        raise_descriptor_limit(settings);
        r = start(s);
        if (r != 0)
                return r;

        (void)sd_notify(false, "READY=1\nSTATUS=Storing callbacks.");
        log_event(LOG_NOTICE, MESSAGE_READY, NULL, 0, "Ready.");
        r = sd_event_loop(s->loop);
        if (r < 0) {
                log_error_errno(r, "The event loop failed");
                return EX_SOFTWARE;
        }
        return r;
}
