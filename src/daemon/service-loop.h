#pragma once

/* The loop that a service lives on: the loop, the store, signals, the watchdog, and the end. */

#include <systemd/sd-event.h>

#include "config/settings.h"
#include "daemon/commit.h"
#include "daemon/in-force.h"
#include "store/store.h"

/* What a service does where its life turns, all of it on the main loop. */
typedef struct ServiceCalls {
        StoreRole role;
        const char *const *sections;  /* what it takes out of the file that both daemons read, up to NULL */
        const char *ready, *stopping; /* for STATUS= */
        /* Reads its keys, which it holds until start() or reloaded() is called; for a reload that is also
         * done when the settings have mistakes. 0, or negative errno: *mistakes got a line for each thing
         * that was wrong. */
        int (*load_keys)(const Settings *settings, char **mistakes, void *userdata);
        /* The database is open: makes the rest, and takes over the keys. 0, or a status of sysexits.h; what
         * was wrong is in the log. */
        int (*start)(void *userdata);
        /* 0: other settings are in force, and the keys that were loaded are to be; those of before are freed
         * next. Negative: all stays as it was. */
        void (*reloaded)(int result, void *userdata);
        /* Asked to end: nothing new from here on. */
        void (*quiesce)(void *userdata);
        /* After that, again and again: how much is still under way. At 0 the loop ends. */
        unsigned (*in_flight)(void *userdata);
        /* The time for that is over, and so much is cut: says so in the log. */
        void (*cut)(unsigned n, void *userdata);
        /* Every few seconds. What STATUS= is to say, into `status`. */
        void (*tick)(const CommitStats *stats, char *status, size_t size, void *userdata);
        /* On the commit thread: see CommitOptions. NULL: nobody listens. */
        void (*on_events)(uint64_t last_event, void *userdata);
} ServiceCalls;

typedef struct ServiceLoop {
        Settings *settings; /* in force */
        sd_event *event;
        Commit *commit;
        CommitPort *port;    /* of the main loop */
        StoreReader *reader; /* likewise */
        InForce *in_force;

        /* The rest is private. */
        int status; /* to leave with */
        bool stopping;
        const char *config;
        const SettingsOverrides *overrides;
        int fatal_fd; /* eventfd: the commit thread gave up */
        const ServiceCalls *calls;
        void *userdata;
        sd_event_source *tick, *drain, *poll, *watchdog, *fatal;
        uint64_t watchdog_usec;
        char *refused;     /* owned: what was wrong with the last reload; NULL: nothing */
        char *status_text; /* owned: what was said last */
} ServiceLoop;

/* Reads the keys, opens the database, starts the service and runs until something ends it. Before any thread
 * there is. `calls`, `config` (NULL: the default place), `overrides` and `userdata` outlive the loop:
 * reloading reads the first two again. `settings` is owned from the call on. The status of sysexits.h to
 * leave with; what was wrong is in the log. */
int service_loop_run(ServiceLoop *loop, const ServiceCalls *calls, const char *config,
                const SettingsOverrides *overrides, Settings *settings, void *userdata);

/* Has what others see of the keys and settings in force say what is. */
void service_loop_set_in_force(ServiceLoop *loop, const InForceKeys *keys);

/* Waits for what is on its way to the disk: all of it has been told afterwards. */
void service_loop_settle(ServiceLoop *loop);

/* Ends the writer and frees what is left. Also for one that is all zeros and did not run. */
void service_loop_done(ServiceLoop *loop);
