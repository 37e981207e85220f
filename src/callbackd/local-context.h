#pragma once

/* What the handlers of the local sockets share: everything lives on the local thread. */

#include <systemd/sd-event.h>

#include "callbackd/metrics.h"
#include "daemon/ingest.h"
#include "http/server.h"
#include "query/feed.h"
#include "query/local.h"
#include "store/store.h"

typedef struct LocalContext {
        LocalBase base;
        const char *database;
        CommitPort *port;
        Ingest ingest; /* what is tried again */
        Metrics *metrics;
        HttpServer *callback, *query, *control; /* any may be NULL */
        Feed feed;
        bool backup; /* one is being made or sent */
} LocalContext;

/* The routes, each up to a row without method. */
extern const HttpRoute control_routes[];

int backup_on_get(HttpRequest *request, void *userdata);
