/*
 * The whole way: a made-up callback goes to the public URL as Scale would send it, and is then looked for in
 * the database, over the query socket. An answer of 200 is not enough: anything may answer so. Nor is what
 * was stored: if the address that is kept with it is the proxy's, nobody will ever know who called.
 */

#include <arpa/inet.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "config/network.h"
#include "scalectl/api.h"
#include "scalectl/doctor/doctor.h"
#include "task/simulate.h"
#include "json/encode.h"

#define TIMEOUT_USEC (30 * USEC_PER_SEC)
#define BODY_MAX     ((size_t)1024 * 1024)
#define ANSWER_MAX   ((size_t)64 * 1024)

const char *doctor_tls_advice(const char *error)
{
        static const struct {
                const char *part, *advice;
        } causes[] = {
                { "has expired", "the certificate is out of date: renew it, and have the proxy load it" },
                { "not yet valid", "the certificate begins in the future: one of the two clocks is wrong" },
                { "does not match", "the certificate is for another name than that in the URL" },
                { "no alternative certificate", "the certificate is for another name than that in the URL" },
                { "self-signed", "no authority that this host knows signed the certificate: get one that "
                                 "Scale trusts too, and have the proxy send the whole chain" },
                { "self signed", "no authority that this host knows signed the certificate: get one that "
                                 "Scale trusts too, and have the proxy send the whole chain" },
                { "unable to get local issuer",
                                "the proxy does not send the whole chain of the certificate: "
                                "give it the intermediate ones too" },
                { "certificate", "the certificate is not one that Scale will trust: see "
                                 "`openssl s_client -connect HOST:443`" },
                { "wrong version number",
                                "the port does not speak TLS: give the proxy a certificate, or see that "
                                "the port is right" },
                { "SSL", "TLS can't be agreed on: the proxy has to offer TLS 1.2 or 1.3" },
                { "TLS", "TLS can't be agreed on: the proxy has to offer TLS 1.2 or 1.3" },
        };

        FOREACH_ARRAY(c, causes, ELEMENTSOF(causes))
                if (strcasestr(error, c->part))
                        return c->advice;
        return NULL;
}

/* What an answer that is none of ours means. */
static const char *status_advice(unsigned status)
{
        static const struct {
                unsigned from, to;
                const char *advice;
        } statuses[] = {
                { 301, 308,
                                "Scale is not to be sent elsewhere: name the URL that it ends at, in "
                                "[submit] callback_url and on the dashboard" },
                { 400, 400, "the proxy changes the request: see its log" },
                { 401, 401,
                                "see that the proxy hands on the header scale-callback-auth, and that the "
                                "daemon was reloaded since the keys changed" },
                { 403, 403, "the proxy does not let it through: see its rules for that path" },
                { 404, 405, "see that the path is that of [callback] path, also behind the proxy" },
                { 408, 408, "the proxy hands the body on too slowly" },
                { 413, 413,
                                "see the proxy's limit of a body (client_max_body_size of nginx): 8 MiB "
                                "are wanted" },
                { 422, 422, "see that the proxy leaves bodies as they are" },
                { 502, 502,
                                "the proxy does not reach the daemon: see what is said of `listeners`, "
                                "and where the proxy connects to" },
                { 503, 503, "see what is said of `ready`; else the proxy says so: see its log" },
                { 504, 504, "the daemon did not answer the proxy in time: see its log" },
        };

        FOREACH_ARRAY(s, statuses, ELEMENTSOF(statuses))
                if (status >= s->from && status <= s->to)
                        return s->advice;
        return "see who answers there: it is not scale-callbackd";
}

/* One that is meant for us alone. 0, or it was said. */
static int read_key(Doctor *doctor, Secret **ret)
{
        const char *places[] = { doctor->key_file, doctor->settings->callback.auth_keys_file,
                DOCTOR_CALLBACK_KEYS };
        int r = -ENOENT;

        FOREACH_ARRAY(p, places, ELEMENTSOF(places)) {
                r = *p ? key_file_first(*p, ret) : -ENOENT;
                if (r >= 0)
                        return 0;
                if (doctor->key_file)
                        break;
        }
        doctor_fail(doctor, "run this as root, or name a file with a line `label key` with --key-file",
                        "there is no key to show: %s", strerror(-r));
        return r;
}

static void say_unreachable(Doctor *doctor, int error, const char *says)
{
        const char *advice = doctor_tls_advice(says);

        if (!advice)
                advice = error == -EHOSTUNREACH ? "see that the name is in the DNS"
                         : error == -ETIMEDOUT
                                         ? "see that the firewall lets the port through, and that the proxy "
                                           "gets an answer from the daemon"
                         : error == -EINVAL ? "expected a URL that begins with https://"
                                            : "see that the proxy runs, and listens there";
        doctor_fail(doctor, advice, "nothing could be delivered to %s: %s", doctor->url,
                        *says ? says : strerror(-error));
}

/* Whether the daemon itself listens there, and no proxy has to be named. */
static bool is_direct(const Doctor *doctor)
{
        const char *host = strstr(doctor->url, "://");

        for (size_t i = 0; host && i < SETTINGS_LISTEN_MAX && doctor->settings->callback.listen[i]; i++) {
                const char *listen = doctor->settings->callback.listen[i];
                size_t n = strlen(listen);

                if (strncmp(host + 3, listen, n) == 0 && (host[3 + n] == '/' || host[3 + n] == 0))
                        return true;
        }
        return false;
}

/* Whether an address is one that the configuration calls a proxy's. */
static bool is_proxy(const Settings *s, const char *remote)
{
        uint8_t bytes[16] = {};
        int family = AF_UNIX;

        if (inet_pton(AF_INET, remote, bytes) == 1)
                family = AF_INET;
        else if (inet_pton(AF_INET6, remote, bytes) == 1)
                family = AF_INET6;
        FOREACH_ARRAY(n, s->callback.trusted_proxies, s->callback.n_trusted_proxies)
                if (network_contains(n, family, bytes))
                        return true;
        return false;
}

static void look_at_remote(Doctor *doctor, const char *remote, json_int_t n)
{
        const Settings *s = doctor->settings;

        if (is_direct(doctor))
                doctor_ok(doctor,
                                "a made-up callback came the whole way and is delivery %" JSON_INTEGER_FORMAT
                                ", from %s, without a proxy",
                                n, remote);
        else if (s->callback.n_trusted_proxies == 0)
                doctor_warn(doctor,
                                "name the proxy in [callback] trusted_proxies, and have it set "
                                "X-Forwarded-For: the client's address is kept then",
                                "a made-up callback came the whole way and is delivery %" JSON_INTEGER_FORMAT
                                ", but the address kept with it, %s, is the proxy's",
                                n, remote);
        else if (is_proxy(s, remote) && !doctor_is_here(doctor->url))
                doctor_warn(doctor,
                                "have the proxy set X-Forwarded-For (nginx: proxy_set_header "
                                "X-Forwarded-For $proxy_add_x_forwarded_for)",
                                "a made-up callback came the whole way and is delivery %" JSON_INTEGER_FORMAT
                                ", but the address kept with it, %s, is that of a trusted proxy",
                                n, remote);
        else
                doctor_ok(doctor,
                                "a made-up callback came the whole way and is delivery %" JSON_INTEGER_FORMAT
                                ", from %s",
                                n, remote);
}

/* The answer says which delivery it is: is there such a one, with this task? */
static void look_for_it(Doctor *doctor, const char *id, const Buffer *body)
{
        json_auto_t *answer = api_json(body);
        json_int_t n = json_integer_value(json_object_get(answer, "delivery"));
        json_auto_t *delivery = NULL;
        const char *task, *remote;
        char url[64];
        int r;

        if (n <= 0) {
                doctor_fail(doctor, status_advice(200), "%s answers 200, but not as scale-callbackd does",
                                doctor->url);
                return;
        }
        snprintf(url, sizeof(url), "/v1/delivery/%" JSON_INTEGER_FORMAT, n);
        r = doctor_ask(doctor->settings->query.socket, url, NULL, &delivery);
        task = json_string_value(json_object_get(delivery, "task_id"));
        remote = json_string_value(json_object_get(delivery, "remote"));
        if (r < 0)
                doctor_fail(doctor, "see what is said of `query-socket`",
                                "%s took a callback, but whether it was stored here can't be looked at",
                                doctor->url);
        else if (!task || !streq(task, id))
                doctor_fail(doctor,
                                "see where the proxy connects to: another receiver, with the same keys, "
                                "took it",
                                "%s took a callback, but it was not stored here", doctor->url);
        else
                look_at_remote(doctor, strna(remote), n);
}

static int make_body(const char *id, int64_t now, Buffer *ret)
{
        json_auto_t *body = NULL;
        int r;

        r = simulate_callback("categorization", id, now, &body);
        return r < 0 ? r : json_encode(body, ret);
}

void doctor_check_delivery(Doctor *doctor)
{
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_buffer_ Buffer body = BUFFER_INIT(BODY_MAX);
        char id[TASK_ID_SIZE];
        int64_t now = now_realtime();
        HttpClientResult result;
        int r;

        if (!doctor->url) {
                doctor_ok(doctor,
                                "nothing was delivered to try the proxy: --deliver and --through URL do that");
                return;
        }
        if (read_key(doctor, &key) < 0)
                return;
        r = make_body(simulate_task_id(now, id), now, &body);
        if (r < 0) {
                doctor_fail(doctor, "try again", "a callback can't be made up: %s", strerror(-r));
                return;
        }
        r = http_client_perform(
                        &(HttpClientRequest){
                                        .method = "POST",
                                        .url = doctor->url,
                                        .content_type = "application/json",
                                        .secret_header = "scale-callback-auth",
                                        .secret = key,
                                        .body = body.data,
                                        .body_size = body.size,
                                        .timeout = TIMEOUT_USEC,
                                        .max_body = ANSWER_MAX,
                        },
                        &result);
        if (r < 0)
                say_unreachable(doctor, r, result.error);
        else if (result.status != 200)
                doctor_fail(doctor, status_advice(result.status), "%s answers with the status %u",
                                doctor->url, result.status);
        else
                look_for_it(doctor, id, &result.body);
        http_client_result_done(&result);
}
