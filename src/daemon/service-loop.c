/*
 * What the services of both daemons have around their work: keys, then the store with its writer, then
 * whatever the daemon is made of. Signals reach the loop alone: SIGTERM and SIGINT take no more and let what
 * is in flight come to its end, within a bound; SIGHUP reads settings and keys again. The commit thread says
 * through an eventfd that nothing can be stored any more.
 *
 * A reload that finds a mistake keeps everything as it was.
 *
 * The watchdog is fed only while the writer goes round: a loop that runs above a writer that hangs is not
 * alive.
 */

#include "daemon/service-loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/mistakes.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/message.h"
#include "daemon/program.h"
#include "daemon/reload.h"

#define JOBS_MAX    8192U
#define TICK_USEC   (5 * USEC_PER_SEC)
#define DRAIN_USEC  (20 * USEC_PER_SEC) /* how long what is in flight may take after SIGTERM */
#define BROKEN_USEC (2 * USEC_PER_SEC)  /* and after a failure of the disk: to be told of it */
#define POLL_USEC   (20 * USEC_PER_MSEC)
#define READER_USEC (2 * USEC_PER_SEC) /* looking something up on the main loop */
#define STATUS_SIZE 256U
#define REFUSED_MAX 512U /* bytes of a mistake in the status */

static int again(sd_event_source *source, uint64_t usec)
{
        (void)sd_event_source_set_time_relative(source, usec);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Ending. */

static int on_poll(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        ServiceLoop *l = userdata;

        return l->calls->in_flight(l->userdata) == 0 ? sd_event_exit(l->event, l->status)
                                                     : again(source, POLL_USEC);
}

static int on_drain_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        ServiceLoop *l = userdata;

        l->calls->cut(l->calls->in_flight(l->userdata), l->userdata);
        return sd_event_exit(l->event, l->status);
}

/* Takes no more; leaves once nothing is in flight, or after `usec`. */
static int drain(ServiceLoop *l, uint64_t usec)
{
        int r;

        l->stopping = true;
        l->calls->quiesce(l->userdata);
        r = sd_event_add_time_relative(l->event, &l->poll, CLOCK_MONOTONIC, 0, 1, on_poll, l);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->drain, CLOCK_MONOTONIC, usec, USEC_PER_MSEC,
                                on_drain_timeout, l);
        return r < 0 ? sd_event_exit(l->event, l->status ?: EX_OSERR) : 0;
}

static int on_term(_unused_ sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        ServiceLoop *l = userdata;

        if (l->stopping)
                return 0;

        log_event(LOG_NOTICE, MESSAGE_STOPPING, NULL, 0, "Stopping: %s.",
                        si->ssi_signo == SIGTERM ? "asked to" : "interrupted");
        (void)sd_notifyf(false, "STOPPING=1\nSTATUS=%s", l->calls->stopping);
        return drain(l, DRAIN_USEC);
}

/* These two on the commit thread. */

static void on_events(uint64_t last_event, void *userdata)
{
        const ServiceLoop *l = userdata;

        if (l->calls->on_events)
                l->calls->on_events(last_event, l->userdata);
}

static void on_fatal(_unused_ int error, void *userdata)
{
        const ServiceLoop *l = userdata;

        (void)eventfd_write(l->fatal_fd, 1);
}

/* Nothing can be stored any more, and everybody who waits is to hear that. */
static int on_broken(sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
        ServiceLoop *l = userdata;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void)sd_notify(false,
                        "STOPPING=1\nSTATUS=The disk failed, or the database was replaced: see the log.");
        l->status = EX_IOERR;
        return l->stopping ? 0 : drain(l, BROKEN_USEC);
}

/* While running. */

/* As long as a reload is refused that comes first. */
static void send_status(const ServiceLoop *l)
{
        const char *mistakes = l->refused, *line;
        size_t n;

        if (l->stopping)
                return;
        line = mistakes_next(&mistakes, &n);
        if (line)
                (void)sd_notifyf(false,
                                "STATUS=The last reload was refused (%.*s%s), what was in force goes on. %s",
                                (int)MIN(n, REFUSED_MAX), line, *mistakes ? "; and more" : "",
                                l->status_text ?: l->calls->ready);
        else
                (void)sd_notifyf(false, "STATUS=%s", l->status_text ?: l->calls->ready);
}

/* Names the settings that wait for the next start, and puts them back to what is in force: the next reload
 * compares with that again. 0, or -ENOMEM, said. */
static int keep_until_restart(const Settings *in_force, Settings *new, const char *const *sections)
{
        _cleanup_free_ char *restart = NULL;
        int r;

        r = settings_needs_restart(in_force, new, sections, &restart);
        if (r >= 0 && restart)
                log_warning("These settings change at the next start only: %s", restart);
        if (r >= 0)
                r = settings_keep_until_restart(in_force, new);
        if (r < 0)
                log_oom();
        return r;
}

/* Mistakes in the keys are looked for also when the settings have some. */
static int load(ServiceLoop *l, Settings **ret, char **mistakes)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        int r;

        next = program_load_settings(l->config, l->overrides, mistakes);
        r = l->calls->load_keys(next ?: l->settings, mistakes, l->userdata);
        if (!next)
                return -EINVAL;
        if (r < 0)
                return r;
        r = keep_until_restart(l->settings, next, l->calls->sections);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(next);
        return 0;
}

static int reload(ServiceLoop *l)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        _cleanup_free_ char *mistakes = NULL;
        int r;

        r = load(l, &next, &mistakes);
        if (r >= 0) {
                Settings *old = l->settings;

                l->settings = TAKE_PTR(next);
                next = old;
                commit_set_min_free(l->commit, l->settings->store.min_free);
        }
        l->calls->reloaded(r, l->userdata);
        if (r < 0 && !mistakes)
                mistakes_add(&mistakes, "%s", strerror(-r));
        program_log_mistakes(MESSAGE_NOT_RELOADED,
                        "Not reloaded, settings and keys stay as they were: ", mistakes);
        if (in_force_refuse(l->in_force, mistakes) < 0)
                log_oom();
        free(l->refused);
        l->refused = TAKE_PTR(mistakes);
        return r;
}

static int on_hup(
                _unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
        ServiceLoop *l = userdata;
        bool asked;
        int r;

        if (l->stopping)
                return 0;

        asked = reload_is_asked_for();
        (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_monotonic());
        r = reload(l);
        (void)sd_notify(false, "READY=1");
        send_status(l);
        if (asked)
                reload_answer(r >= 0);
        return 0;
}

static int on_tick(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        char status[STATUS_SIZE] = "";
        ServiceLoop *l = userdata;
        CommitStats stats;

        commit_get_stats(l->commit, &stats);
        l->calls->tick(&stats, status, sizeof(status), l->userdata);
        free(l->status_text);
        l->status_text = strdup(status);
        send_status(l);
        return again(source, TICK_USEC);
}

static int on_watchdog(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        ServiceLoop *l = userdata;
        CommitStats stats;

        commit_get_stats(l->commit, &stats);
        if (now_monotonic() - stats.last_progress < l->watchdog_usec)
                (void)sd_notify(false, "WATCHDOG=1");
        return again(source, l->watchdog_usec / 4);
}

/* Putting together. */

static int fail(int error)
{
        log_error_errno(error, "Can't start");
        return EX_OSERR;
}

static int add_sources(ServiceLoop *l)
{
        int r;

        r = sd_event_add_signal(l->event, NULL, SIGTERM, on_term, l);
        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGINT, on_term, l);
        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGHUP, on_hup, l);
        if (r >= 0)
                r = sd_event_add_io(l->event, &l->fatal, l->fatal_fd, EPOLLIN, on_broken, l);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                l->event, &l->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, l);
        if (r >= 0 && sd_watchdog_enabled(false, &l->watchdog_usec) > 0)
                r = sd_event_add_time_relative(
                                l->event, &l->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, l);
        return r;
}

static int open_store(ServiceLoop *l)
{
        const CommitOptions options = {
                .path = l->settings->store.path,
                .role = l->calls->role,
                .max_jobs = JOBS_MAX,
                .min_free = l->settings->store.min_free,
                .on_events = on_events,
                .on_fatal = on_fatal,
                .userdata = l,
        };
        _cleanup_free_ char *error = NULL;
        int r;

        r = commit_new(&options, &l->commit, &error);
        if (r >= 0)
                r = store_reader_open(options.path, READER_USEC, &l->reader, &error);
        if (r < 0) {
                log_event(LOG_ERR, MESSAGE_DATABASE, LOG_FIELDS(LOG_TEXT("DATABASE", options.path)),
                                "Can't open the database: %s", error ?: strerror(-r));
                return program_status_of_store(r);
        }

        r = commit_port_new(l->commit, l->event, &l->port);
        if (r >= 0)
                r = add_sources(l);
        return r < 0 ? fail(r) : 0;
}

static int load_first_keys(const ServiceLoop *l)
{
        _cleanup_free_ char *mistakes = NULL;

        if (l->calls->load_keys(l->settings, &mistakes, l->userdata) >= 0)
                return 0;
        program_log_mistakes(MESSAGE_KEYS_MISSING, "", mistakes ?: "out of memory");
        return EX_CONFIG;
}

static int prepare(ServiceLoop *l)
{
        int r;

        r = program_block_signals();
        if (r >= 0)
                r = in_force_new(&l->in_force);
        if (r >= 0)
                r = sd_event_default(&l->event);
        if (r >= 0) {
                l->fatal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                r = l->fatal_fd < 0 ? -errno : 0;
        }
        return r < 0 ? fail(r) : 0;
}

void service_loop_set_in_force(ServiceLoop *l, const InForceKeys *keys)
{
        if (in_force_set(l->in_force, l->settings, l->calls->sections, l->overrides, keys) < 0)
                log_oom();
}

int service_loop_run(ServiceLoop *l, const ServiceCalls *calls, const char *config,
                const SettingsOverrides *overrides, Settings *settings, void *userdata)
{
        int r;

        *l = (ServiceLoop){
                .calls = calls,
                .config = config,
                .overrides = overrides,
                .settings = settings,
                .userdata = userdata,
                .fatal_fd = -EBADF,
        };
        r = prepare(l);
        if (r == 0)
                r = load_first_keys(l);
        if (r == 0)
                r = open_store(l);
        if (r == 0)
                r = calls->start(userdata);
        if (r != 0)
                return r;

        (void)sd_notifyf(false, "READY=1\nSTATUS=%s", calls->ready);
        log_event(LOG_NOTICE, MESSAGE_READY, NULL, 0, "Ready.");
        r = sd_event_loop(l->event);
        if (r < 0) {
                log_error_errno(r, "The event loop failed");
                return EX_SOFTWARE;
        }
        return r;
}

/* Taking apart. */

void service_loop_settle(ServiceLoop *l)
{
        l->port = commit_port_free(l->port);
}

void service_loop_done(ServiceLoop *l)
{
        service_loop_settle(l);
        store_reader_close(l->reader);
        commit_free(l->commit);
        sd_event_source_disable_unref(l->fatal);
        if (l->calls)
                fd_close(l->fatal_fd);
        sd_event_source_disable_unref(l->tick);
        sd_event_source_disable_unref(l->poll);
        sd_event_source_disable_unref(l->drain);
        sd_event_source_disable_unref(l->watchdog);
        sd_event_unref(l->event);
        in_force_free(l->in_force);
        settings_free(l->settings);
        free(l->refused);
        free(l->status_text);
        *l = (ServiceLoop){};
}
