#pragma once

/* The callback listener: from a request to ingest(), and from a receipt to the answer. */

#include "callbackd/auth.h"
#include "callbackd/metrics.h"
#include "config/settings.h"
#include "daemon/commit.h"
#include "http/server.h"
#include "store/store.h"

typedef struct Receiver Receiver;

typedef struct ReceiverOptions {
        const Settings *settings; /* borrowed until the next receiver_reload() */
        Keys *keys;               /* owned from the call on, also on failure */
        Commit *commit;           /* these are borrowed and outlive the receiver */
        CommitPort *port;
        StoreReader *reader;
        Metrics *metrics;
} ReceiverOptions;

/* Serves on `loop` until freed; listeners are added by the caller. 0 or negative errno. */
int receiver_new(sd_event *loop, const ReceiverOptions *options, Receiver **ret);

/* Everything handed to the commit port must have come back: free the port first. NULL in, NULL out. */
Receiver *receiver_free(Receiver *receiver);
DEFINE_CLEANUP(Receiver *, receiver_free)

HttpServer *receiver_server(Receiver *receiver);

/* Other settings and other keys (owned by the receiver from here on) for requests to come. */
void receiver_reload(Receiver *receiver, const Settings *settings, Keys *keys);

/* Once in a while: says in the log what was left unsaid. */
void receiver_tick(Receiver *receiver);
