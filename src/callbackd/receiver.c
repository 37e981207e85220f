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

static const char *find_label(const Receiver *receiver, const HttpRequest *request,
                char ret_remote[static STORE_REMOTE_MAX + 1])
{
        remote_address(request, receiver->settings->callback.trusted_proxies,
                        receiver->settings->callback.n_trusted_proxies, ret_remote);
        return auth_check(receiver->keys, request);
}

/* Nobody is told by the answer whether the key was right. */
static void on_no_path(HttpRequest *request, void *userdata)
{
        const char *path = http_request_path(request), *label;
        char remote[STORE_REMOTE_MAX + 1];
        Receiver *receiver = userdata;

        if (!streq(http_request_method(request), "POST"))
                return;
        label = find_label(receiver, request, remote);
        if (label)
                auth_log_misdirected(&receiver->misdirected, now_monotonic(),
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
static int check_key(Receiver *receiver, HttpRequest *request, Exchange *exchange)
{
        const char *label;

        label = find_label(receiver, request, exchange->remote);
        if (label) {
                strncpy(exchange->key_label, label, sizeof(exchange->key_label) - 1);
                return 1;
        }

        atomic_fetch_add(&receiver->metrics->unauthorized, 1);
        auth_log_refusal(&receiver->refusals, now_monotonic(), exchange->remote);
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
        _cleanup_free_ Exchange *exchange = NULL;
        Receiver *receiver = userdata;
        int r;

        if (ref && !ref_is_valid(ref)) {
                on_no_path(request, receiver);
                r = http_reply_error(request, 404, NULL, "There is nothing at this path.");
                return r < 0 ? r : 1;
        }

        exchange = calloc(1, sizeof(Exchange));
        if (!exchange)
                return -ENOMEM;
        exchange->receiver = receiver;
        exchange->request = request;

        r = check_key(receiver, request, exchange);
        if (r > 0)
                r = check_content(request);
        if (r <= 0)
                return r < 0 ? r : 1;

        metrics_count_key(receiver->metrics, exchange->key_label);
        http_request_set_userdata(request, TAKE_PTR(exchange), free);
        return 0;
}

/* The answer. */

/* At what level a verdict is logged: those that somebody should look at, and the ordinary ones. */
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

static void log_delivery(const Exchange *exchange, const Receipt *receipt, uint64_t duration)
{
        const StoreOutcome *outcome = &receipt->outcome;

        log_event(verdict_events[outcome->verdict].level, verdict_events[outcome->verdict].message,
                        LOG_FIELDS(LOG_NUMBER("DELIVERY", outcome->delivery),
                                        LOG_TEXT("TASK_ID", receipt->task_id),
                                        LOG_TEXT("TASK_TYPE", receipt->type),
                                        LOG_TEXT("VERDICT", verdict_to_string(outcome->verdict)),
                                        LOG_NUMBER("STATUS_CODE", receipt->status),
                                        LOG_TEXT("REMOTE_ADDRESS", exchange->remote),
                                        LOG_TEXT("KEY_LABEL", exchange->key_label),
                                        LOG_NUMBER("DURATION_USEC", duration)),
                        "Delivery %" PRIu64 ": %s, task %s, from %s with key %s.", outcome->delivery,
                        verdict_to_string(outcome->verdict), receipt->task_id ?: "unknown", exchange->remote,
                        exchange->key_label);
}

static void count_delivery(const Exchange *exchange, const Receipt *receipt)
{
        Metrics *metrics = exchange->receiver->metrics;
        const StoreOutcome *outcome = &receipt->outcome;
        uint64_t duration = now_monotonic() - http_request_started(exchange->request);

        if (receipt->status == 503)
                return;

        atomic_fetch_add(&metrics->verdicts[outcome->verdict], 1);
        if (outcome->repeated)
                atomic_fetch_add(&metrics->repeated, 1);
        metrics_count_duration(metrics, duration);
        if (!outcome->repeated)
                log_delivery(exchange, receipt, duration);
}

static void on_receipt(const Receipt *receipt, void *userdata)
{
        Exchange *exchange = userdata;
        int r;

        count_delivery(exchange, receipt);
        r = receipt_reply(exchange->request, receipt); /* ends the exchange */
        if (r < 0)
                http_request_fail(exchange->request, r);
}

/* The routes. */

static int on_callback(HttpRequest *request, _unused_ void *userdata)
{
        Exchange *exchange = http_request_get_userdata(request);
        Receiver *receiver = exchange->receiver;
        IngestInput in = {
                .source = SOURCE_CALLBACK,
                .key_label = exchange->key_label,
                .remote = exchange->remote,
                .ref = http_request_path_arg(request, 0),
                .started = http_request_started(request),
        };
        int r;

        in.body = http_request_body(request, &in.body_size);
        if (!http_request_hold(request, callback_weight(in.body, in.body_size)))
                return http_reply_no_memory(request);
        atomic_fetch_add(&receiver->metrics->body_bytes, in.body_size);

        r = ingest(&receiver->ingest, &in, on_receipt, exchange);
        if (r < 0) {
                log_debug_errno(r, "A callback could not be handed to the store");
                return receipt_reply_unavailable(request, r);
        }
        return 0;
}

static int on_healthz(HttpRequest *request, void *userdata)
{
        static const char ok[] = "{\"status\":\"ok\"}";
        Receiver *receiver = userdata;
        CommitStats stats;

        commit_get_stats(receiver->commit, &stats);
        if (stats.state != STORE_WELL)
                return receipt_reply_unavailable(request, 0);
        return http_reply(request, 200, "application/json", ok, sizeof(ok) - 1);
}

static void on_reply(unsigned status, void *userdata)
{
        Receiver *receiver = userdata;

        metrics_count_response(receiver->metrics, status);
}

static HttpLimits limits_of(const Settings *settings)
{
        return (HttpLimits){
                .max_connections = (unsigned)settings->callback.max_connections,
                .max_body = (size_t)settings->callback.max_body,
                .max_bodies = (size_t)settings->callback.max_bodies,
                .header_timeout = settings->callback.header_timeout,
                .body_timeout = settings->callback.body_timeout,
                .idle_timeout = settings->callback.idle_timeout,
                .write_timeout = settings->callback.idle_timeout,
        };
}

/* A URL that was registered with a slash at its end would lose everything, so it means the same. */
static int make_routes(Receiver *receiver)
{
        static const char *const ends[N_PATHS] = { "", "/", "/{ref}", "/{ref}/" };

        for (size_t i = 0; i < N_PATHS; i++) {
                if (asprintf(&receiver->paths[i], "%s%s", receiver->settings->callback.path, ends[i]) < 0) {
                        receiver->paths[i] = NULL;
                        return -ENOMEM;
                }
                receiver->routes[i] = (HttpRoute){ "POST", receiver->paths[i], on_callback, gate };
        }
        receiver->routes[N_PATHS] = (HttpRoute){ "GET", "/healthz", on_healthz, NULL };
        return 0;
}

static void set_settings(Receiver *receiver, const Settings *settings)
{
        receiver->settings = settings;
        receiver->ingest.strict = settings->callback.strict;
        receiver->ingest.invalid_status = (unsigned)settings->callback.invalid_status;
}

int receiver_new(sd_event *loop, const ReceiverOptions *options, Receiver **ret)
{
        _cleanup_(receiver_freep) Receiver *receiver = NULL;
        int r;

        receiver = calloc(1, sizeof(Receiver));
        if (!receiver) {
                keys_free(options->keys);
                return -ENOMEM;
        }
        receiver->keys = options->keys;
        receiver->commit = options->commit;
        receiver->ingest.port = options->port;
        receiver->ingest.reader = options->reader;
        set_settings(receiver, options->settings);
        receiver->metrics = options->metrics;

        r = make_routes(receiver);
        if (r < 0)
                return r;

        r = http_server_new(loop,
                        &(HttpServerOptions){
                                        .routes = receiver->routes,
                                        .userdata = receiver,
                                        .limits = limits_of(receiver->settings),
                                        .on_reply = on_reply,
                                        .on_no_path = on_no_path,
                                        .what = "callback",
                                        .secret_header = AUTH_HEADER,
                        },
                        &receiver->server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(receiver);
        return 0;
}

Receiver *receiver_free(Receiver *receiver)
{
        if (!receiver)
                return NULL;

        http_server_free(receiver->server);
        keys_free(receiver->keys);
        FOREACH_ARRAY(path, receiver->paths, N_PATHS)
                free(*path);
        free(receiver);
        return NULL;
}

HttpServer *receiver_server(Receiver *receiver)
{
        return receiver->server;
}

void receiver_reload(Receiver *receiver, const Settings *settings, Keys *keys)
{
        HttpLimits limits = limits_of(settings);

        set_settings(receiver, settings);
        http_server_set_limits(receiver->server, &limits);
        keys_free(receiver->keys);
        receiver->keys = keys;
}

void receiver_tick(Receiver *receiver)
{
        auth_log_flush(&receiver->refusals, now_monotonic());
        auth_log_flush(&receiver->misdirected, now_monotonic());
}
