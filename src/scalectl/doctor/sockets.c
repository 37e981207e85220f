/*
 * Sockets: that somebody answers on each, that those may who should and nobody else, and that what listens
 * for callbacks can be reached by the proxy alone.
 */

#include <arpa/inet.h>
#include <grp.h>
#include <sys/stat.h>

#include "basic/parse.h"
#include "scalectl/api.h"
#include "scalectl/doctor/doctor.h"

#define TIMEOUT_USEC (10 * USEC_PER_SEC)
#define ANSWER_MAX   ((size_t)1024 * 1024)

typedef struct LocalSocket {
        const char *path, *daemon;
        mode_t forbidden;   /* bits of the mode that it must not have */
        const char *unit;   /* where systemd puts it */
        const char *wanted; /* its group there; NULL: any */
        bool private;       /* for root alone: not to be allowed in is good */
        unsigned status;    /* what it answers to /healthz */
} LocalSocket;

int doctor_ask(const char *socket, const char *url, unsigned *ret_status, json_t **ret)
{
        const HttpClientRequest request = {
                .socket = socket,
                .method = "GET",
                .url = url,
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX,
        };
        HttpClientResult result;
        int r;

        r = http_client_perform(&request, &result);
        if (r >= 0) {
                if (ret_status)
                        *ret_status = result.status;
                if (ret)
                        *ret = result.status == 200 ? api_json(&result.body) : NULL;
        }
        http_client_result_done(&result);
        return r;
}

static bool is_in_group(gid_t gid, const char *name)
{
        const struct group *g = getgrgid(gid);

        return g && streq(g->gr_name, name);
}

static void look_at_rights(Doctor *d, const LocalSocket *s)
{
        struct stat st;

        if (stat(s->path, &st) < 0)
                return; /* whether it can be reached was said */
        if (st.st_mode & s->forbidden)
                doctor_fail(d,
                                s->private ? doctor_advice(d,
                                                             "`chmod 0600 '%s'`: it can delete what is "
                                                             "stored",
                                                             s->path)
                                           : doctor_advice(d,
                                                             "`chmod 0660 '%s'`: who may use it is a matter "
                                                             "of "
                                                             "its group",
                                                             s->path),
                                "%s has mode %04o, so %s may use it", s->path,
                                (unsigned)(st.st_mode & 07777),
                                s->forbidden & st.st_mode & S_IRWXO ? "everybody" : "its group");
        if (s->wanted && streq(s->path, s->unit) && !is_in_group(st.st_gid, s->wanted))
                doctor_warn(d, doctor_advice(d, "`chgrp %s '%s'`", s->wanted, s->path),
                                "%s is not of the group %s, so whoever is in that can't use it", s->path,
                                s->wanted);
}

static void check_socket(Doctor *d, const LocalSocket *s)
{
        unsigned status = 0;
        int r;

        r = doctor_ask(s->path, "/healthz", &status, NULL);
        if (r == -EACCES && s->private)
                doctor_ok(d, "%s is for root alone, which is as it should be", s->path);
        else if (r == -EACCES)
                doctor_warn(d, "run this as root, or join the group of the socket",
                                "%s is not for you, so what is behind it can't be looked at", s->path);
        else if (r == -ETIMEDOUT)
                doctor_fail(d, "its log may say what it is busy with; a restart helps if nothing does",
                                "%s is there, and %s does not answer", s->path, s->daemon);
        else if (r < 0)
                doctor_fail(d,
                                doctor_advice(d,
                                                "`systemctl start %s`, or name its socket in the "
                                                "configuration",
                                                s->daemon),
                                "nobody answers on %s: is %s running?", s->path, s->daemon);
        else if (status != s->status)
                doctor_fail(d, "see who else has that path in its configuration",
                                "%s answers with the status %u, which is not what %s says", s->path, status,
                                s->daemon);
        look_at_rights(d, s);
        if (d->said == 0 && r >= 0)
                doctor_ok(d, "%s answers", s->path);
}

void doctor_check_query_socket(Doctor *d)
{
        check_socket(d, &(LocalSocket){ .path = d->settings->query.socket,
                                        .daemon = "scale-callbackd",
                                        .forbidden = S_IRWXO,
                                        .unit = "/run/scale-callbackd/query.sock",
                                        .wanted = "scale-query",
                                        .status = 200 });
}

void doctor_check_control_socket(Doctor *d)
{
        check_socket(d, &(LocalSocket){ .path = d->settings->control.socket,
                                        .daemon = "scale-callbackd",
                                        .forbidden = S_IRWXO | S_IRWXG,
                                        .private = true,
                                        .status = 404 /* it has nothing but verbs */ });
}

void doctor_check_submit_socket(Doctor *d)
{
        if (!d->submitter) {
                doctor_ok(d, "nothing is submitted from here");
                return;
        }
        check_socket(d, &(LocalSocket){ .path = d->settings->submit.socket,
                                        .daemon = "scale-submitd",
                                        .forbidden = S_IRWXO,
                                        .unit = "/run/scale-submitd/submit.sock",
                                        .wanted = "scale-submit",
                                        .status = 200 });
}

/* What the proxy connects to. */

bool doctor_is_here(const char *place)
{
        const char *scheme = strstr(place, "://"), *host = scheme ? scheme + 3 : place;
        size_t n = strcspn(host, *host == '[' ? "]" : ":/");
        struct in_addr address;
        char text[64];

        if (n >= sizeof(text))
                return false;
        snprintf(text, sizeof(text), "%.*s", (int)n, host);
        return streq(text, "localhost") || streq(text, "[::1") ||
               (inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

static void look_at_listener(Doctor *d, const char *listen)
{
        bool local = strncmp(listen, "unix:", 5) == 0;
        char url[256];
        const HttpClientRequest request = {
                .socket = local ? listen + 5 : NULL,
                .method = "GET",
                .url = url,
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX,
        };
        HttpClientResult result;
        int r;

        snprintf(url, sizeof(url), "%s%s/healthz", local ? "" : "http://", local ? "" : listen);
        r = http_client_perform(&request, &result);
        http_client_result_done(&result);

        if (r == -EACCES)
                doctor_warn(d, "run this as root",
                                "%s is not for you, so whether it takes callbacks is not known", listen);
        else if (r < 0)
                doctor_fail(d,
                                "start scale-callbackd, or see what [callback] listen and its socket unit "
                                "say",
                                "nobody answers on %s, so no callback arrives", listen);
        else if (result.status == 503)
                doctor_fail(d, "see what is said of `ready`", "%s answers that callbacks can't be stored",
                                listen);
        else if (result.status != 200)
                doctor_fail(d, "see who else listens there: `ss -ltnp`",
                                "%s answers with the status %u, which is not what scale-callbackd says",
                                listen, result.status);
        else if (!local && !doctor_is_here(listen))
                doctor_warn(d,
                                "listen on 127.0.0.1 or on a Unix socket, behind a proxy on this host that "
                                "has "
                                "TLS",
                                "%s takes callbacks from the network without TLS, keys and all", listen);
        else
                doctor_ok(d, "%s takes callbacks", listen);
}

void doctor_check_listeners(Doctor *d)
{
        for (size_t i = 0; i < SETTINGS_LISTEN_MAX && d->settings->callback.listen[i]; i++)
                look_at_listener(d, d->settings->callback.listen[i]);
}

void doctor_check_callback_url(Doctor *d)
{
        const char *url = d->settings->submit.callback_url;
        const char *api = d->settings->api.url;
        bool far = !doctor_is_here(api);

        if (!d->submitter)
                doctor_ok(d, "nothing is submitted from here");
        else if (!url)
                doctor_warn(d,
                                "set it to the public URL of the receiver, as "
                                "https://hooks.example.com/callback",
                                "[submit] callback_url is not set: tasks keep the one that they come with, "
                                "or "
                                "get the account's, and which submission a bad attachment belongs to can't "
                                "be "
                                "told");
        else if (far && doctor_is_here(url))
                doctor_fail(d, "set it to the public URL of the proxy in front of the receiver",
                                "[submit] callback_url is %s, which only this host can reach", url);
        else if (far && strncmp(url, "https://", 8) != 0)
                doctor_fail(d, "give the proxy a certificate, and set an https URL",
                                "[submit] callback_url is %s: results and the key travel where others can "
                                "read "
                                "them",
                                url);
        else
                doctor_ok(d, "[submit] callback_url is %s", url);
}
