#pragma once

/* Calls of local sockets: what the handlers of both daemons share. */

#include <jansson.h>

#include "basic/buffer.h"
#include "daemon/commit.h"
#include "daemon/in-force.h"
#include "http/server.h"
#include "query/params.h"
#include "query/readers.h"
#include "store/outbox.h"
#include "store/store.h"

#define LOCAL_QUERY_TIME_LIMIT_SEC 10U

/* What a handler that reads needs. The userdata of every local server begins with one. */
typedef struct Feed Feed;
typedef struct Stats Stats;
typedef struct LocalBase LocalBase;
struct LocalBase {
        StoreReader *reader; /* the loop's own, for what is short and belongs to something else */
        Readers *readers;    /* for all that somebody asks for */
        sd_event *loop;
        InForce *in_force;
        Commit *commit;
        Feed *feed; /* NULL: not told of */
        /* Appends the daemon's metrics (format 0.0.4). 0, -ENOMEM, -ENOBUFS. */
        int (*metrics)(LocalBase *base, const Stats *stats, Buffer *out);
        /* Where it is known why submissions wait, else NULL: looks at the queue as a whole, and then tells
         * of one. 0 or negative errno (of reading); an object, or NULL where it doesn't wait. */
        int (*waiting_begin)(LocalBase *base);
        json_t *(*waiting_of)(LocalBase *base, const Submission *submission);
};

/* Answers for a failed reading: 503 for a query that takes too long, 500 otherwise, in the log too. */
int local_reply_failure(StoreReader *reader, HttpRequest *request, int error);

/* A whole JSON text as the answer. Takes what is in `text`. */
int local_reply_text(HttpRequest *request, Buffer *text);

/* 404 in the API's shape. */
int local_reply_not_found(HttpRequest *request, const char *what);

/* Sets a member of an object; a NULL text and TIME_NONE are left out. 0, or -1 without memory. */
int member_set_text(json_t *object, const char *name, const char *value);
int member_set_time(json_t *object, const char *name, int64_t t);

/* GET /v1/settings: what is in force. */
int local_on_settings(HttpRequest *request, void *userdata);

/* The number in a path, or 0 when it is none (the caller answers 404). */
uint64_t local_path_number(const HttpRequest *request, unsigned i);

/* What the handlers take in a query, and the handlers, by the file they are in: for the daemons' tables of
 * routes. */
extern const Param tasks_params[], stats_params[], revisions_params[], submissions_params[],
                deliveries_params[], feed_params[], export_params[];
int tasks_on_list(HttpRequest *request, void *userdata);
int tasks_on_get(HttpRequest *request, void *userdata);
int tasks_on_revisions(HttpRequest *request, void *userdata);
int submissions_on_list(HttpRequest *request, void *userdata);
int submissions_on_get(HttpRequest *request, void *userdata);
int deliveries_on_list(HttpRequest *request, void *userdata);
int deliveries_on_task(HttpRequest *request, void *userdata);
int deliveries_on_get(HttpRequest *request, void *userdata);
int deliveries_on_body(HttpRequest *request, void *userdata);
int feed_on_events(HttpRequest *request, void *userdata);
int export_on_get(HttpRequest *request, void *userdata);
int stats_on_get(HttpRequest *request, void *userdata);
int stats_on_metrics(HttpRequest *request, void *userdata);
int stats_on_healthz(HttpRequest *request, void *userdata); /* alive */
int stats_on_readyz(HttpRequest *request, void *userdata);  /* able to store */

/* Answers with one submission and its parameters, 404 where there is none of that id. */
int submission_reply(LocalBase *base, HttpRequest *request, unsigned status, const char *id);

/* Answers 202 with one that was just stored, whose parameters, as JSON, are not read again. */
int submission_reply_added(LocalBase *base, HttpRequest *request, const Submission *s);

/* Appends a submission as JSON; a StoreSubmissionFn whose userdata is the Buffer. */
int submission_append(const Submission *submission, void *userdata);
