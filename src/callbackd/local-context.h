#pragma once

/* What the handlers of the local sockets share: everything lives on the local thread. */

#include <systemd/sd-event.h>

#include "callbackd/commit.h"
#include "callbackd/feed.h"
#include "callbackd/local.h"
#include "callbackd/metrics.h"
#include "http/server.h"
#include "store/store.h"

#define QUERY_TIME_LIMIT_SEC 10U

typedef struct LocalContext {
        const char *database;
        sd_event *loop;
        Commit *commit;
        CommitPort *port;
        StoreReader *reader;
        Metrics *metrics;
        HttpServer *callback, *query, *control; /* any may be NULL */
        Feed feed;
        bool backup; /* one is being made or sent */
        atomic_bool strict;
} LocalContext;

/* Answers for a failed reading: 503 for a query that takes too long, 500 otherwise, in the log too. */
int local_reply_failure(LocalContext *c, HttpRequest *request, int error);

/* A whole JSON text as the answer. Takes what is in `text`. */
int local_reply_text(HttpRequest *request, Buffer *text);

/* 404 in the API's shape. */
int local_reply_not_found(HttpRequest *request, const char *what);

/* The number in a path, or 0 when it is none (the caller answers 404). */
uint64_t local_path_number(const HttpRequest *request, unsigned i);

/* The routes, each up to a row without method. */
extern const HttpRoute query_routes[];
extern const HttpRoute control_routes[];

/* Handlers by the file they are in: the tables in query.c and control.c name them. */
int tasks_on_list(HttpRequest *request, void *userdata);
int tasks_on_get(HttpRequest *request, void *userdata);
int tasks_on_revisions(HttpRequest *request, void *userdata);
int deliveries_on_list(HttpRequest *request, void *userdata);
int deliveries_on_task(HttpRequest *request, void *userdata);
int deliveries_on_get(HttpRequest *request, void *userdata);
int deliveries_on_body(HttpRequest *request, void *userdata);
int feed_on_events(HttpRequest *request, void *userdata);
int export_on_get(HttpRequest *request, void *userdata);
int stats_on_get(HttpRequest *request, void *userdata);
int stats_on_metrics(HttpRequest *request, void *userdata);
int stats_on_healthz(HttpRequest *request, void *userdata);
int stats_on_readyz(HttpRequest *request, void *userdata);
int backup_on_get(HttpRequest *request, void *userdata);
