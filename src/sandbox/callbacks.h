#pragma once

/* Sends the world's callbacks, and lets its time pass. */

#include <systemd/sd-event.h>

#include "sandbox/world.h"

typedef struct Callbacks Callbacks;

typedef struct CallbacksOptions {
        const char *auth_key; /* scale-callback-auth; NULL: no such header; must outlive */
        bool anywhere;        /* also to hosts that are not this one */
} CallbacksOptions;

/* The world must outlive it. 0 or negative errno. */
int callbacks_new(sd_event *loop, World *world, const CallbacksOptions *options, Callbacks **ret);

/* Lets time pass, sends what is ready, and sees to it that it is called again when there is more. To be
 * called after every request. */
void callbacks_run(Callbacks *callbacks);

/* Leaves those alone that are under way. */
Callbacks *callbacks_free(Callbacks *callbacks);
DEFINE_CLEANUP(Callbacks *, callbacks_free)
