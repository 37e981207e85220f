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
        const char *ready, *stopping; /* for STATUS= */
        /* Asked to end: nothing new from here on. */
        void (*quiesce)(void *userdata);
        /* After that, again and again: how much is still under way. At 0 the loop ends. */
        unsigned (*in_flight)(void *userdata);
        /* The time for that is over, and so much is cut: says so in the log. */
        void (*cut)(unsigned n, void *userdata);
        /* Reads settings and keys again. 0, or negative errno: *mistakes got a line for each thing that was
         * wrong. */
        int (*reload)(char **mistakes, void *userdata);
        /* Every few seconds. What STATUS= is to say, into `status`. */
        void (*tick)(const CommitStats *stats, char *status, size_t size, void *userdata);
        /* On the commit thread: see CommitOptions. NULL: nobody listens. */
        void (*on_events)(uint64_t last_event, void *userdata);
} ServiceCalls;

typedef struct ServiceLoop {
        sd_event *event;
        Commit *commit;
        CommitPort *port;    /* of the main loop */
        StoreReader *reader; /* likewise */
        InForce *in_force;
        bool stopping;

        /* The rest is private. */
        int status; /* to leave with */
        const ServiceCalls *calls;
        void *userdata;
        sd_event_source *tick, *drain, *poll, *watchdog;
        uint64_t watchdog_usec;
        char *refused;     /* owned: what was wrong with the last reload; NULL: nothing */
        char *status_text; /* owned: what was said last */
} ServiceLoop;

/* The first thing, before any thread: blocks the signals and makes the loop. `calls` and `userdata` outlive
 * the loop. 0, or a status of sysexits.h; what was wrong is in the log. Likewise below. */
int service_loop_init(ServiceLoop *l, const ServiceCalls *calls, void *userdata);

/* Opens the database and starts its writer. */
int service_loop_open_store(ServiceLoop *l, const Settings *settings);

/* Tells the service manager that it is ready, and runs until something ends it. The status to leave with. */
int service_loop_run(ServiceLoop *l);

/* Waits for what is on its way to the disk: all of it has been told afterwards. */
void service_loop_settle(ServiceLoop *l);

/* Ends the writer and frees what is left. Also for one that is all zeros. */
void service_loop_done(ServiceLoop *l);

/* For a reload: names the settings in `sections` (NULL-terminated) that wait for the next start, and puts
 * all such back to what is in force: the next reload compares with that again. 0, or -ENOMEM, said. */
int service_loop_keep_until_restart(const Settings *in_force, Settings *new, const char *const *sections);
