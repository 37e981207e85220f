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
        ServiceLoop *loop = userdata;

        return loop->calls->in_flight(loop->userdata) == 0 ? sd_event_exit(loop->event, loop->status)
                                                           : again(source, POLL_USEC);
}

static int on_drain_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        ServiceLoop *loop = userdata;

        loop->calls->cut(loop->calls->in_flight(loop->userdata), loop->userdata);
        return sd_event_exit(loop->event, loop->status);
}

/* Takes no more; leaves once nothing is in flight, or after `usec`. */
static int drain(ServiceLoop *loop, uint64_t usec)
{
        int r;

        loop->stopping = true;
        loop->calls->quiesce(loop->userdata);
        r = sd_event_add_time_relative(loop->event, &loop->poll, CLOCK_MONOTONIC, 0, 1, on_poll, loop);
        if (r >= 0)
                r = sd_event_add_time_relative(loop->event, &loop->drain, CLOCK_MONOTONIC, usec,
                                USEC_PER_MSEC, on_drain_timeout, loop);
        return r < 0 ? sd_event_exit(loop->event, loop->status ?: EX_OSERR) : 0;
}

static int on_term(_unused_ sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        ServiceLoop *loop = userdata;

        if (loop->stopping)
                return 0;

        log_event(LOG_NOTICE, MESSAGE_STOPPING, NULL, 0, "Stopping: %s.",
                        si->ssi_signo == SIGTERM ? "asked to" : "interrupted");
        (void)sd_notifyf(false, "STOPPING=1\nSTATUS=%s", loop->calls->stopping);
        return drain(loop, DRAIN_USEC);
}

/* These two on the commit thread. */

static void on_events(uint64_t last_event, void *userdata)
{
        const ServiceLoop *loop = userdata;

        if (loop->calls->on_events)
                loop->calls->on_events(last_event, loop->userdata);
}

static void on_fatal(_unused_ int error, void *userdata)
{
        const ServiceLoop *loop = userdata;

        (void)eventfd_write(loop->fatal_fd, 1);
}

/* Nothing can be stored any more, and everybody who waits is to hear that. */
static int on_broken(sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
        ServiceLoop *loop = userdata;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void)sd_notify(false,
                        "STOPPING=1\nSTATUS=The disk failed, or the database was replaced: see the log.");
        loop->status = EX_IOERR;
        return loop->stopping ? 0 : drain(loop, BROKEN_USEC);
}

/* While running. */

/* As long as a reload is refused that comes first. */
static void send_status(const ServiceLoop *loop)
{
        const char *mistakes = loop->refused, *line;
        size_t n;

        if (loop->stopping)
                return;
        line = mistakes_next(&mistakes, &n);
        if (line)
                (void)sd_notifyf(false,
                                "STATUS=The last reload was refused (%.*s%s), what was in force goes on. %s",
                                (int)MIN(n, REFUSED_MAX), line, *mistakes ? "; and more" : "",
                                loop->status_text ?: loop->calls->ready);
        else
                (void)sd_notifyf(false, "STATUS=%s", loop->status_text ?: loop->calls->ready);
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
static int load(ServiceLoop *loop, Settings **ret, char **mistakes)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        int r;

        next = program_load_settings(loop->config, loop->overrides, mistakes);
        r = loop->calls->load_keys(next ?: loop->settings, mistakes, loop->userdata);
        if (!next)
                return -EINVAL;
        if (r < 0)
                return r;
        r = keep_until_restart(loop->settings, next, loop->calls->sections);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(next);
        return 0;
}

static int reload(ServiceLoop *loop)
{
        _cleanup_(settings_freep) Settings *next = NULL;
        _cleanup_free_ char *mistakes = NULL;
        int r;

        r = load(loop, &next, &mistakes);
        if (r >= 0) {
                Settings *old = loop->settings;

                loop->settings = TAKE_PTR(next);
                next = old;
                commit_set_min_free(loop->commit, loop->settings->store.min_free);
        }
        loop->calls->reloaded(r, loop->userdata);
        if (r < 0 && !mistakes)
                mistakes_add(&mistakes, "%s", strerror(-r));
        program_log_mistakes(MESSAGE_NOT_RELOADED,
                        "Not reloaded, settings and keys stay as they were: ", mistakes);
        if (in_force_refuse(loop->in_force, mistakes) < 0)
                log_oom();
        free(loop->refused);
        loop->refused = TAKE_PTR(mistakes);
        return r;
}

static int on_hup(
                _unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
        ServiceLoop *loop = userdata;
        bool asked;
        int r;

        if (loop->stopping)
                return 0;

        asked = reload_is_asked_for();
        (void)sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_monotonic());
        r = reload(loop);
        (void)sd_notify(false, "READY=1");
        send_status(loop);
        if (asked)
                reload_answer(r >= 0);
        return 0;
}

static int on_tick(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        char status[STATUS_SIZE] = "";
        ServiceLoop *loop = userdata;
        CommitStats stats;

        commit_get_stats(loop->commit, &stats);
        loop->calls->tick(&stats, status, sizeof(status), loop->userdata);
        free(loop->status_text);
        loop->status_text = strdup(status);
        send_status(loop);
        return again(source, TICK_USEC);
}

static int on_watchdog(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        ServiceLoop *loop = userdata;
        CommitStats stats;

        commit_get_stats(loop->commit, &stats);
        if (now_monotonic() - stats.last_progress < loop->watchdog_usec)
                (void)sd_notify(false, "WATCHDOG=1");
        return again(source, loop->watchdog_usec / 4);
}

/* Putting together. */

static int fail(int error)
{
        log_error_errno(error, "Can't start");
        return EX_OSERR;
}

static int add_sources(ServiceLoop *loop)
{
        int r;

        r = sd_event_add_signal(loop->event, NULL, SIGTERM, on_term, loop);
        if (r >= 0)
                r = sd_event_add_signal(loop->event, NULL, SIGINT, on_term, loop);
        if (r >= 0)
                r = sd_event_add_signal(loop->event, NULL, SIGHUP, on_hup, loop);
        if (r >= 0)
                r = sd_event_add_io(loop->event, &loop->fatal, loop->fatal_fd, EPOLLIN, on_broken, loop);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                loop->event, &loop->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, loop);
        if (r >= 0 && sd_watchdog_enabled(false, &loop->watchdog_usec) > 0)
                r = sd_event_add_time_relative(
                                loop->event, &loop->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, loop);
        return r;
}

static int open_store(ServiceLoop *loop)
{
        const CommitOptions options = {
                .location = loop->settings->store.path,
                .role = loop->calls->role,
                .max_jobs = JOBS_MAX,
                .min_free = loop->settings->store.min_free,
                .on_events = on_events,
                .on_fatal = on_fatal,
                .userdata = loop,
        };
        _cleanup_free_ char *error = NULL;
        int r;

        r = commit_new(&options, &loop->commit, &error);
        if (r >= 0)
                r = store_reader_open(options.location, READER_USEC, &loop->reader, &error);
        if (r < 0) {
                log_event(LOG_ERR, MESSAGE_DATABASE, LOG_FIELDS(LOG_TEXT("DATABASE", options.location)),
                                "Can't open the database: %s", error ?: strerror(-r));
                return program_status_of_store(r);
        }

        r = commit_port_new(loop->commit, loop->event, &loop->port);
        if (r >= 0)
                r = add_sources(loop);
        return r < 0 ? fail(r) : 0;
}

static int load_first_keys(const ServiceLoop *loop)
{
        _cleanup_free_ char *mistakes = NULL;

        if (loop->calls->load_keys(loop->settings, &mistakes, loop->userdata) >= 0)
                return 0;
        program_log_mistakes(MESSAGE_KEYS_MISSING, "", mistakes ?: "out of memory");
        return EX_CONFIG;
}

static int prepare(ServiceLoop *loop)
{
        int r;

        r = program_block_signals();
        if (r >= 0)
                r = in_force_new(&loop->in_force);
        if (r >= 0)
                r = sd_event_default(&loop->event);
        if (r >= 0) {
                loop->fatal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                r = loop->fatal_fd < 0 ? -errno : 0;
        }
        return r < 0 ? fail(r) : 0;
}

void service_loop_set_in_force(ServiceLoop *loop, const InForceKeys *keys)
{
        if (in_force_set(loop->in_force, loop->settings, loop->calls->sections, loop->overrides, keys) < 0)
                log_oom();
}

int service_loop_run(ServiceLoop *loop, const ServiceCalls *calls, const char *config,
                const SettingsOverrides *overrides, Settings *settings, void *userdata)
{
        int r;

        *loop = (ServiceLoop){
                .calls = calls,
                .config = config,
                .overrides = overrides,
                .settings = settings,
                .userdata = userdata,
                .fatal_fd = -EBADF,
        };
        r = prepare(loop);
        if (r == 0)
                r = load_first_keys(loop);
        if (r == 0)
                r = open_store(loop);
        if (r == 0)
                r = calls->start(userdata);
        if (r != 0)
                return r;

        (void)sd_notifyf(false, "READY=1\nSTATUS=%s", calls->ready);
        log_event(LOG_NOTICE, MESSAGE_READY, NULL, 0, "Ready.");
        r = sd_event_loop(loop->event);
        if (r < 0) {
                log_error_errno(r, "The event loop failed");
                return EX_SOFTWARE;
        }
        return r;
}

/* Taking apart. */

void service_loop_settle(ServiceLoop *loop)
{
        loop->port = commit_port_free(loop->port);
}

void service_loop_done(ServiceLoop *loop)
{
        service_loop_settle(loop);
        store_reader_close(loop->reader);
        commit_free(loop->commit);
        sd_event_source_disable_unref(loop->fatal);
        if (loop->calls)
                fd_close(loop->fatal_fd);
        sd_event_source_disable_unref(loop->tick);
        sd_event_source_disable_unref(loop->poll);
        sd_event_source_disable_unref(loop->drain);
        sd_event_source_disable_unref(loop->watchdog);
        sd_event_unref(loop->event);
        in_force_free(loop->in_force);
        settings_free(loop->settings);
        free(loop->refused);
        free(loop->status_text);
        *loop = (ServiceLoop){};
}
