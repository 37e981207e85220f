#pragma once

/* Pruning: old deliveries on which nothing stands, deleted a piece at a time. */

#include <systemd/sd-event.h>

#include "daemon/commit.h"

typedef struct Prune Prune;

/* Starts to delete what came before `before`, through `port` and with pauses on `loop`. done() is called
 * once, with the number deleted and 0 or a negative errno, unless this returns negative or it is freed
 * before. When done() returns *ret is gone. */
int prune_start(sd_event *loop, CommitPort *port, int64_t before,
                void (*done)(uint64_t deleted, int error, void *userdata), void *userdata, Prune **ret);

/* Gives up what is not done yet. Takes NULL, returns NULL. */
Prune *prune_free(Prune *p);
