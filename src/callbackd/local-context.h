#pragma once

/* What the handlers of the local sockets share: everything lives on the local thread. */

#include <systemd/sd-event.h>

#include "callbackd/feed.h"
#include "callbackd/local.h"
#include "callbackd/metrics.h"
#include "daemon/ingest.h"
#include "http/server.h"
#include "query/local.h"
#include "store/store.h"

typedef struct LocalContext {
        LocalBase base;
        const char *database;
        sd_event *loop;
        CommitPort *port;
        Ingest ingest; /* what is tried again */
        Metrics *metrics;
        HttpServer *callback, *query, *control; /* any may be NULL */
        Feed feed;
        bool backup; /* one is being made or sent */
} LocalContext;

/* The routes, each up to a row without method. */
extern const HttpRoute query_routes[];
extern const HttpRoute control_routes[];

/* What the handlers take in a query, and the handlers, by the file they are in: the tables in query.c and
 * control.c name them. */
extern const Param deliveries_params[], feed_params[], export_params[];
int deliveries_on_list(HttpRequest *request, void *userdata);
int deliveries_on_task(HttpRequest *request, void *userdata);
int deliveries_on_get(HttpRequest *request, void *userdata);
int deliveries_on_body(HttpRequest *request, void *userdata);
int feed_on_events(HttpRequest *request, void *userdata);
int export_on_get(HttpRequest *request, void *userdata);
int backup_on_get(HttpRequest *request, void *userdata);
