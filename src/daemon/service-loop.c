/*
 * What the services of both daemons have around their work. Signals reach the loop alone: SIGTERM and SIGINT
 * take no more and let what is in flight come to its end, within a bound; SIGHUP reads settings and keys
 * again; SIGUSR1 is what the commit thread sends after a failure of the disk, because a signal is the one
 * thing that may be done from there.
 *
 * The watchdog is fed only while the writer goes round: a loop that runs above a writer that hangs is not
 * alive.
 */

#include "daemon/service-loop.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

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

/* From the commit thread. */
static void on_fatal(_unused_ int error, _unused_ void *userdata)
{
        (void)kill(getpid(), SIGUSR1);
}

/* Nothing can be stored any more, and everybody who waits is to hear that. */
static int on_broken(
                _unused_ sd_event_source *source, _unused_ const struct signalfd_siginfo *si, void *userdata)
{
        ServiceLoop *l = userdata;

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

static int reload(ServiceLoop *l)
{
        _cleanup_free_ char *mistakes = NULL;
        int r;

        r = l->calls->reload(&mistakes, l->userdata);
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

int service_loop_keep_until_restart(const Settings *in_force, Settings *new, const char *const *sections)
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

/* Putting together. */

static int fail(int error)
{
        log_error_errno(error, "Can't start");
        return EX_OSERR;
}

int service_loop_init(ServiceLoop *l, const ServiceCalls *calls, void *userdata)
{
        int r;

        *l = (ServiceLoop){ .calls = calls, .userdata = userdata };
        r = program_block_signals();
        if (r >= 0)
                r = in_force_new(&l->in_force);
        if (r >= 0)
                r = sd_event_default(&l->event);
        return r < 0 ? fail(r) : 0;
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
                r = sd_event_add_signal(l->event, NULL, SIGUSR1, on_broken, l);
        if (r >= 0)
                r = sd_event_add_time_relative(
                                l->event, &l->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, l);
        if (r >= 0 && sd_watchdog_enabled(false, &l->watchdog_usec) > 0)
                r = sd_event_add_time_relative(
                                l->event, &l->watchdog, CLOCK_MONOTONIC, 0, 0, on_watchdog, l);
        return r;
}

int service_loop_open_store(ServiceLoop *l, const Settings *settings)
{
        const CommitOptions options = {
                .path = settings->store.path,
                .role = l->calls->role,
                .max_jobs = JOBS_MAX,
                .min_free = settings->store.min_free,
                .on_events = l->calls->on_events,
                .on_fatal = on_fatal,
                .userdata = l->userdata,
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

int service_loop_run(ServiceLoop *l)
{
        int r;

        (void)sd_notifyf(false, "READY=1\nSTATUS=%s", l->calls->ready);
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
        sd_event_source_disable_unref(l->tick);
        sd_event_source_disable_unref(l->poll);
        sd_event_source_disable_unref(l->drain);
        sd_event_source_disable_unref(l->watchdog);
        sd_event_unref(l->event);
        in_force_free(l->in_force);
        free(l->refused);
        free(l->status_text);
        *l = (ServiceLoop){};
}
