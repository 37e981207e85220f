#pragma once

/* The stand-in over HTTP: keys are checked here, everything else is the world's. */

#include <systemd/sd-event.h>

#include "sandbox/callbacks.h"
#include "sandbox/world.h"

#define SERVER_KEYS_MAX 32U

typedef struct SandboxServer SandboxServer;

typedef struct SandboxServerOptions {
        const char *const
                        *keys; /* of the account; those that begin with "test" are test keys; must outlive */
        size_t n_keys;         /* at most SERVER_KEYS_MAX */
} SandboxServerOptions;

/* Serves the listening socket on `loop`; owns `fd` from here on, also on failure. World and callbacks must
 * outlive it. 0 or negative errno. */
int sandbox_server_new(sd_event *loop, World *world, Callbacks *callbacks,
                const SandboxServerOptions *options, int fd, SandboxServer **ret);
SandboxServer *sandbox_server_free(SandboxServer *server);
DEFINE_CLEANUP(SandboxServer *, sandbox_server_free)
