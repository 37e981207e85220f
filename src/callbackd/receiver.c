/*
 * The side that faces the network. A request passes the gate before anything of its body is read: a fitting
 * reference, one header with one of the keys, a content type that can be JSON. What follows then is
 * ingest(), and the answer goes out when its receipt comes back, in the order and with the status that it
 * says.
 */

#include "callbackd/receiver.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "callbackd/remote.h"
#include "daemon/ingest.h"
#include "daemon/message.h"
#include "daemon/receipt.h"
#include "http/header.h"

#define N_PATHS 4U /* that callbacks come to */

struct Receiver {
        HttpServer *server;
        char *paths[N_PATHS];
        HttpRoute routes[N_PATHS + 2];
        const Settings *settings;
        Keys *keys;
        Commit *commit;
        Ingest ingest;
        Metrics *metrics;
        AuthLog refusals, misdirected;
};

/* One authenticated request, for as long as it lives. */
typedef struct Exchange {
        Receiver *receiver;
        HttpRequest *request;
        char key_label[STORE_LABEL_MAX + 1];
        char remote[STORE_REMOTE_MAX + 1];
} Exchange;

/* The gate. */

static const char *find_label(
                const Receiver *v, const HttpRequest *request, char ret_remote[static STORE_REMOTE_MAX + 1])
{
        remote_address(request, v->settings->callback.trusted_proxies,
                        v->settings->callback.n_trusted_proxies, ret_remote);
        return auth_check(v->keys, request);
}

/* Nobody is told by the answer whether the key was right. */
static void on_no_path(HttpRequest *request, void *userdata)
{
        const char *path = http_request_path(request), *label;
        char remote[STORE_REMOTE_MAX + 1];
        Receiver *v = userdata;

        if (!streq(http_request_method(request), "POST"))
                return;
        label = find_label(v, request, remote);
        if (label)
                auth_log_misdirected(&v->misdirected, now_monotonic(),
                                auth_key_stands_in(request, path) ? "/..." : path, label, remote);
}

/* Submissions' ids as they may stand in a path. */
static bool ref_is_valid(const char *ref)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-";
        size_t n = strspn(ref, allowed);

        return n > 0 && n <= STORE_REF_MAX && ref[n] == 0;
}

/* 1 when the request may come in and its label is known, 0 when it was refused. */
static int check_key(Receiver *v, HttpRequest *request, Exchange *x)
{
        const char *label;

        label = find_label(v, request, x->remote);
        if (label) {
                strncpy(x->key_label, label, sizeof(x->key_label) - 1);
                return 1;
        }

        atomic_fetch_add(&v->metrics->unauthorized, 1);
        auth_log_refusal(&v->refusals, now_monotonic(), x->remote);
        return auth_refuse(request);
}

/* 1 when the body can be taken for JSON, 0 when the request was refused. */
static int check_content(HttpRequest *request)
{
        unsigned n = http_request_header_count(request, "Content-Type");
        const char *type = http_request_header(request, "Content-Type");

        if (n > 1 || (n == 1 && !header_type_is(type, "application/json")))
                return http_reply_error(request, 415, NULL, "The Content-Type must be application/json.");
        if (http_request_header_count(request, "Content-Encoding") > 0)
                return http_reply_error(request, 415, NULL,
                                "A Content-Encoding is not taken: send the body as it is.");
        return 1;
}

static int gate(HttpRequest *request, void *userdata)
{
        const char *ref = http_request_path_arg(request, 0);
        _cleanup_free_ Exchange *x = NULL;
        Receiver *v = userdata;
        int r;

        if (ref && !ref_is_valid(ref)) {
                on_no_path(request, v);
                r = http_reply_error(request, 404, NULL, "There is nothing at this path.");
                return r < 0 ? r : 1;
        }

        x = calloc(1, sizeof(Exchange));
        if (!x)
                return -ENOMEM;
        x->receiver = v;
        x->request = request;

        r = check_key(v, request, x);
        if (r > 0)
                r = check_content(request);
        if (r <= 0)
                return r < 0 ? r : 1;

        metrics_count_key(v->metrics, x->key_label);
        http_request_set_userdata(request, TAKE_PTR(x), free);
        return 0;
}

/* The answer. */

/* How loud a verdict is: what somebody should look at, and what is the daily bread. */
static const struct {
        int level;
        const char *message;
} verdict_events[_VERDICT_MAX] = {
        [VERDICT_STORED] = { LOG_DEBUG, MESSAGE_DELIVERY },
        [VERDICT_DUPLICATE] = { LOG_DEBUG, MESSAGE_DELIVERY },
        [VERDICT_REVISED] = { LOG_NOTICE, MESSAGE_DELIVERY_REVISED },
        [VERDICT_INVALID] = { LOG_WARNING, MESSAGE_DELIVERY_INVALID },
        [VERDICT_ATTACHMENT_FAILURE] = { LOG_WARNING, MESSAGE_ATTACHMENT_FAILED },
        [VERDICT_DISCARDED] = { LOG_DEBUG, MESSAGE_DELIVERY },
};

static void log_delivery(const Exchange *x, const Receipt *receipt, uint64_t duration)
{
        const StoreOutcome *o = &receipt->outcome;

        log_event(verdict_events[o->verdict].level, verdict_events[o->verdict].message,
                        LOG_FIELDS(LOG_NUMBER("DELIVERY", o->delivery),
                                        LOG_TEXT("TASK_ID", receipt->task_id),
                                        LOG_TEXT("TASK_TYPE", receipt->type),
                                        LOG_TEXT("VERDICT", verdict_to_string(o->verdict)),
                                        LOG_NUMBER("STATUS_CODE", receipt->status),
                                        LOG_TEXT("REMOTE_ADDRESS", x->remote),
                                        LOG_TEXT("KEY_LABEL", x->key_label),
                                        LOG_NUMBER("DURATION_USEC", duration)),
                        "Delivery %" PRIu64 ": %s, task %s, from %s with key %s.", o->delivery,
                        verdict_to_string(o->verdict), receipt->task_id ?: "unknown", x->remote,
                        x->key_label);
}

static void account(const Exchange *x, const Receipt *receipt)
{
        Metrics *m = x->receiver->metrics;
        const StoreOutcome *o = &receipt->outcome;
        uint64_t duration = now_monotonic() - http_request_started(x->request);

        if (receipt->status == 503)
                return;

        atomic_fetch_add(&m->verdicts[o->verdict], 1);
        if (o->repeated)
                atomic_fetch_add(&m->repeated, 1);
        metrics_count_duration(m, duration);
        if (!o->repeated)
                log_delivery(x, receipt, duration);
}

static void on_receipt(const Receipt *receipt, void *userdata)
{
        Exchange *x = userdata;
        int r;

        account(x, receipt);
        r = receipt_reply(x->request, receipt); /* ends the exchange */
        if (r < 0)
                http_request_fail(x->request, r);
}

/* The routes. */

static int on_callback(HttpRequest *request, _unused_ void *userdata)
{
        Exchange *x = http_request_get_userdata(request);
        Receiver *v = x->receiver;
        IngestInput in = {
                .source = SOURCE_CALLBACK,
                .key_label = x->key_label,
                .remote = x->remote,
                .ref = http_request_path_arg(request, 0),
                .started = http_request_started(request),
        };
        int r;

        in.body = http_request_body(request, &in.body_size);
        if (!http_request_hold(request, callback_weight(in.body, in.body_size)))
                return http_reply_no_memory(request);
        atomic_fetch_add(&v->metrics->body_bytes, in.body_size);

        r = ingest(&v->ingest, &in, on_receipt, x);
        if (r < 0) {
                log_debug_errno(r, "A callback could not be handed to the store");
                return receipt_reply_unavailable(request, r);
        }
        return 0;
}

static int on_healthz(HttpRequest *request, void *userdata)
{
        static const char ok[] = "{\"status\":\"ok\"}";
        Receiver *v = userdata;
        CommitStats stats;

        commit_get_stats(v->commit, &stats);
        if (!stats.writable)
                return receipt_reply_unavailable(request, 0);
        return http_reply(request, 200, "application/json", ok, sizeof(ok) - 1);
}

static void on_reply(unsigned status, void *userdata)
{
        Receiver *v = userdata;

        metrics_count_response(v->metrics, status);
}

static HttpLimits limits_of(const Settings *s)
{
        return (HttpLimits){
                .max_connections = (unsigned)s->callback.max_connections,
                .max_body = (size_t)s->callback.max_body,
                .max_bodies = (size_t)s->callback.max_bodies,
                .header_timeout = s->callback.header_timeout,
                .body_timeout = s->callback.body_timeout,
                .idle_timeout = s->callback.idle_timeout,
                .write_timeout = s->callback.idle_timeout,
        };
}

/* A URL that was registered with a slash at its end would lose everything, so it means the same. */
static int make_routes(Receiver *v)
{
        static const char *const ends[N_PATHS] = { "", "/", "/{ref}", "/{ref}/" };

        for (size_t i = 0; i < N_PATHS; i++) {
                if (asprintf(&v->paths[i], "%s%s", v->settings->callback.path, ends[i]) < 0) {
                        v->paths[i] = NULL;
                        return -ENOMEM;
                }
                v->routes[i] = (HttpRoute){ "POST", v->paths[i], on_callback, gate };
        }
        v->routes[N_PATHS] = (HttpRoute){ "GET", "/healthz", on_healthz, NULL };
        return 0;
}

static void set_settings(Receiver *v, const Settings *settings)
{
        v->settings = settings;
        v->ingest.strict = settings->callback.strict;
        v->ingest.invalid_status = (unsigned)settings->callback.invalid_status;
}

int receiver_new(sd_event *loop, const ReceiverOptions *options, Receiver **ret)
{
        _cleanup_(receiver_freep) Receiver *v = NULL;
        int r;

        v = calloc(1, sizeof(Receiver));
        if (!v) {
                keys_free(options->keys);
                return -ENOMEM;
        }
        v->keys = options->keys;
        v->commit = options->commit;
        v->ingest.port = options->port;
        v->ingest.reader = options->reader;
        set_settings(v, options->settings);
        v->metrics = options->metrics;

        r = make_routes(v);
        if (r < 0)
                return r;

        r = http_server_new(loop,
                        &(HttpServerOptions){
                                        .routes = v->routes,
                                        .userdata = v,
                                        .limits = limits_of(v->settings),
                                        .on_reply = on_reply,
                                        .on_no_path = on_no_path,
                                        .what = "callback",
                                        .secret_header = AUTH_HEADER,
                        },
                        &v->server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(v);
        return 0;
}

Receiver *receiver_free(Receiver *v)
{
        if (!v)
                return NULL;

        http_server_free(v->server);
        keys_free(v->keys);
        FOREACH_ARRAY(path, v->paths, N_PATHS)
                free(*path);
        free(v);
        return NULL;
}

HttpServer *receiver_server(Receiver *v)
{
        return v->server;
}

void receiver_reload(Receiver *v, const Settings *settings, Keys *keys)
{
        HttpLimits limits = limits_of(settings);

        set_settings(v, settings);
        http_server_set_limits(v->server, &limits);
        keys_free(v->keys);
        v->keys = keys;
}

void receiver_tick(Receiver *v)
{
        auth_log_flush(&v->refusals, now_monotonic());
        auth_log_flush(&v->misdirected, now_monotonic());
}
