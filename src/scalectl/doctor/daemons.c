/*
 * Sockets: that somebody answers on each, that those may who should and nobody else, and that what listens
 * for callbacks can be reached by the proxy alone.
 */

#include <arpa/inet.h>
#include <grp.h>
#include <sys/stat.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/secret.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

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

static void look_at_rights(Doctor *doctor, const LocalSocket *local)
{
        struct stat st;

        if (stat(local->path, &st) < 0)
                return; /* whether it can be reached was said */
        if (st.st_mode & local->forbidden)
                doctor_fail(doctor,
                                local->private ? doctor_advice(doctor,
                                                                 "`chmod 0600 '%s'`: it can delete what "
                                                                 "is stored",
                                                                 local->path)
                                               : doctor_advice(doctor,
                                                                 "`chmod 0660 '%s'`: who may use it is a "
                                                                 "matter of its group",
                                                                 local->path),
                                "%s has mode %04o, so %s may use it", local->path,
                                (unsigned)(st.st_mode & 07777),
                                local->forbidden & st.st_mode & S_IRWXO ? "everybody" : "its group");
        if (local->wanted && streq(local->path, local->unit) && !is_in_group(st.st_gid, local->wanted))
                doctor_warn(doctor, doctor_advice(doctor, "`chgrp %s '%s'`", local->wanted, local->path),
                                "%s is not of the group %s, so whoever is in that can't use it", local->path,
                                local->wanted);
}

static void check_socket(Doctor *doctor, const LocalSocket *local)
{
        unsigned status = 0;
        int r;

        r = doctor_ask(local->path, "/healthz", &status, NULL);
        if (r == -EACCES && local->private)
                doctor_ok(doctor, "%s is for root alone, which is as it should be", local->path);
        else if (r == -EACCES)
                doctor_warn(doctor, "run this as root, or join the group of the socket",
                                "%s is not for you, so what is behind it can't be looked at", local->path);
        else if (r == -ETIMEDOUT)
                doctor_fail(doctor, "its log may say what it is busy with; a restart helps if nothing does",
                                "%s is there, and %s does not answer", local->path, local->daemon);
        else if (r < 0)
                doctor_fail(doctor,
                                doctor_advice(doctor,
                                                "`systemctl start %s`, or name its socket in the "
                                                "configuration",
                                                local->daemon),
                                "nobody answers on %s: is %s running?", local->path, local->daemon);
        else if (status != local->status)
                doctor_fail(doctor, "see who else has that path in its configuration",
                                "%s answers with the status %u, which is not what %s says", local->path,
                                status, local->daemon);
        look_at_rights(doctor, local);
        if (doctor->said == 0 && r >= 0)
                doctor_ok(doctor, "%s answers", local->path);
}

void doctor_check_query_socket(Doctor *doctor)
{
        check_socket(doctor, &(LocalSocket){ .path = doctor->settings->query.socket,
                                             .daemon = "scale-callbackd",
                                             .forbidden = S_IRWXO,
                                             .unit = "/run/scale-callbackd/query.sock",
                                             .wanted = "scale-query",
                                             .status = 200 });
}

void doctor_check_control_socket(Doctor *doctor)
{
        check_socket(doctor, &(LocalSocket){ .path = doctor->settings->control.socket,
                                             .daemon = "scale-callbackd",
                                             .forbidden = S_IRWXO | S_IRWXG,
                                             .private = true,
                                             .status = 404 /* it has nothing but verbs */ });
}

void doctor_check_submit_socket(Doctor *doctor)
{
        if (!doctor->submitter) {
                doctor_ok(doctor, "nothing is submitted from here");
                return;
        }
        check_socket(doctor, &(LocalSocket){ .path = doctor->settings->submit.socket,
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

static void look_at_listener(Doctor *doctor, const char *listen)
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
                doctor_warn(doctor, "run this as root",
                                "%s is not for you, so whether it takes callbacks is not known", listen);
        else if (r < 0)
                doctor_fail(doctor,
                                "start scale-callbackd, or see what [callback] listen and its socket unit "
                                "say",
                                "nobody answers on %s, so no callback arrives", listen);
        else if (result.status == 503)
                doctor_fail(doctor, "see what is said of `ready`",
                                "%s answers that callbacks can't be stored", listen);
        else if (result.status != 200)
                doctor_fail(doctor, "see who else listens there: `ss -ltnp`",
                                "%s answers with the status %u, which is not what scale-callbackd says",
                                listen, result.status);
        else if (!local && !doctor_is_here(listen))
                doctor_warn(doctor,
                                "listen on 127.0.0.1 or on a Unix socket, behind a proxy on this host "
                                "that has TLS",
                                "%s takes callbacks from the network without TLS, keys and all", listen);
        else
                doctor_ok(doctor, "%s takes callbacks", listen);
}

void doctor_check_listeners(Doctor *doctor)
{
        for (size_t i = 0; i < SETTINGS_LISTEN_MAX && doctor->settings->callback.listen[i]; i++)
                look_at_listener(doctor, doctor->settings->callback.listen[i]);
}

void doctor_check_callback_url(Doctor *doctor)
{
        const char *url = doctor->settings->submit.callback_url;
        const char *api = doctor->settings->api.url;
        bool far = !doctor_is_here(api);

        if (!doctor->submitter)
                doctor_ok(doctor, "nothing is submitted from here");
        else if (!url)
                doctor_warn(doctor,
                                "set it to the public URL of the receiver, as "
                                "https://hooks.example.com/callback",
                                "[submit] callback_url is not set: tasks keep the one that they come "
                                "with, or get the account's, and which submission a bad attachment "
                                "belongs to can't be told");
        else if (far && doctor_is_here(url))
                doctor_fail(doctor, "set it to the public URL of the proxy in front of the receiver",
                                "[submit] callback_url is %s, which only this host can reach", url);
        else if (far && strncmp(url, "https://", 8) != 0)
                doctor_fail(doctor, "give the proxy a certificate, and set an https URL",
                                "[submit] callback_url is %s: results and the key travel where others can "
                                "read them",
                                url);
        else
                doctor_ok(doctor, "[submit] callback_url is %s", url);
}

/* What the daemons say of themselves: whether they can store, what waits, and what went wrong. */

#define LOG_LARGE UINT64_C(268435456) /* it is copied back from 16 MiB on */
#define OLD_USEC  ((int64_t)USEC_PER_HOUR)

static const char not_seen[] = "see what is said of its socket";

/* A number of a member, 0 where there is none. */
static uint64_t number(const json_t *o, const char *name)
{
        json_int_t n = json_integer_value(json_object_get(o, name));

        return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *o, const char *name)
{
        return json_string_value(json_object_get(o, name)) ?: "";
}

static void look_whether_ready(Doctor *doctor, const char *socket, const char *what)
{
        unsigned status = 0;
        int r;

        r = doctor_ask(socket, "/readyz", &status, NULL);
        if (r == -EACCES)
                doctor_warn(doctor, not_seen, "whether %s can be stored is not for you to see", what);
        else if (r < 0)
                doctor_fail(doctor, not_seen, "whether %s can be stored is not known", what);
        else if (status != 200)
                doctor_fail(doctor,
                                "the daemon's log says why: a full disk is mended by making room, and it "
                                "goes on by itself",
                                "%s can't be stored now, and are refused", what);
        else
                doctor_ok(doctor, "%s can be stored", what);
}

void doctor_check_ready(Doctor *doctor)
{
        if (!doctor_skips(doctor, DOCTOR_RECEIVER))
                look_whether_ready(doctor, doctor->settings->query.socket, "callbacks");
        if (doctor->submitter && !doctor_skips(doctor, DOCTOR_SUBMITTER))
                look_whether_ready(doctor, doctor->settings->submit.socket, "submissions");
}

/* The receiver's figures, or NULL, which was said. */
static json_t *get_stats(Doctor *doctor)
{
        json_t *stats = NULL;

        if (doctor_ask(doctor->settings->query.socket, "/v1/stats", NULL, &stats) < 0 || !stats)
                doctor_warn(doctor, not_seen, "the receiver's figures can't be had");
        return stats;
}

void doctor_check_log(Doctor *doctor)
{
        json_auto_t *stats = get_stats(doctor);
        char size[FORMAT_SIZE_SIZE];
        uint64_t n;

        if (!stats)
                return;
        n = number(json_object_get(stats, "disk"), "wal_bytes");
        format_size(n, size);
        if (n > LOG_LARGE)
                doctor_warn(doctor,
                                "end what reads without an end, as a backup or an export; if there is "
                                "none, the log of the daemon says what else keeps it",
                                "%s of the write-ahead log are in use, so something keeps it from "
                                "starting over",
                                size);
        else
                doctor_ok(doctor, "%s of the write-ahead log are in use", size);
}

void doctor_check_quarantine(Doctor *doctor)
{
        json_auto_t *stats = get_stats(doctor);
        uint64_t n;

        if (!stats)
                return;
        n = number(json_object_get(stats, "by_verdict"), "invalid");
        if (n > 0)
                doctor_warn(doctor,
                                "`scalectl quarantine` shows what was wrong with each; `scalectl "
                                "quarantine retry N` takes it in when that is mended, `scalectl "
                                "quarantine discard N` puts it away",
                                "deliveries in the quarantine: %llu", (unsigned long long)n);
        else
                doctor_ok(doctor, "the quarantine is empty");
}

/* The submitter's queue, or NULL: there is nothing to look at, or it was said. */
static json_t *get_queue(Doctor *doctor)
{
        json_t *queue = NULL;

        if (!doctor->submitter)
                doctor_ok(doctor, "nothing is submitted from here");
        else if (doctor_ask(doctor->settings->submit.socket, "/v1/queue", NULL, &queue) < 0 || !queue)
                doctor_warn(doctor, not_seen, "the queue can't be looked at");
        return queue;
}

/* What the submitter says that the queue waits for, in its words. */
static void tell_of_waiting(Doctor *doctor, const json_t *waiting)
{
        const char *severity = text(waiting, "severity"), *why = text(waiting, "text");

        if (streq(severity, "error"))
                doctor_fail(doctor, text(waiting, "help"), "what is queued waits: %s", why);
        else if (streq(severity, "warning"))
                doctor_warn(doctor, text(waiting, "help"), "what is queued waits: %s", why);
        else
                doctor_ok(doctor, "the queue runs%s%s", *why ? ", and something waits: " : "", why);
}

void doctor_check_queue(Doctor *doctor)
{
        json_auto_t *queue = get_queue(doctor);
        char since[FORMAT_TIME_SIZE];
        const char *hold, *reason;

        if (!queue)
                return;
        hold = text(queue, "hold");
        reason = text(queue, "reason");
        format_json_time(json_object_get(queue, "since"), doctor->utc, since);
        if (streq(hold, "held_account"))
                doctor_fail(doctor,
                                "see to the account or the key, then `scalectl queue resume`; a new key "
                                "is tried after a reload",
                                "the API refuses the account, so nothing is sent since %s: %s", since,
                                reason);
        else if (streq(hold, "held"))
                doctor_warn(doctor, "`scalectl queue resume` lets it go on",
                                "the queue is held since %s%s%s", since, *reason ? ": " : "", reason);
        else if (streq(hold, "running"))
                tell_of_waiting(doctor, json_object_get(queue, "waiting"));
        else
                doctor_fail(doctor, "see that both are of one version",
                                "the queue says of itself what this program does not understand");
}

/* Where each submission is that needs a look. */
static void look_at_states(Doctor *doctor, const json_t *by_state)
{
        static const struct {
                const char *state, *what, *advice;
        } states[] = {
                { "unknown", "of which it is not known whether they have a task",
                                "the API is asked about them by itself; if they stay, see why with "
                                "`scalectl queue list --state unknown`" },
                { "rejected", "that the API rejected",
                                "`scalectl queue list --state rejected` says why; `scalectl queue retry ID` "
                                "or `scalectl queue drop ID`" },
                { "expired", "that were given up after five days",
                                "`scalectl queue list --state expired` says why; `scalectl queue retry ID` "
                                "or `scalectl queue drop ID`" },
        };

        FOREACH_ARRAY(s, states, ELEMENTSOF(states))
                if (number(by_state, s->state) > 0)
                        doctor_warn(doctor, s->advice, "submissions %s: %llu", s->what,
                                        (unsigned long long)number(by_state, s->state));
}

void doctor_check_submissions(Doctor *doctor)
{
        json_auto_t *queue = get_queue(doctor);
        char since[FORMAT_TIME_SIZE];
        int64_t oldest;

        if (!queue)
                return;
        look_at_states(doctor, json_object_get(queue, "by_state"));
        if (time_parse(text(queue, "oldest"), &oldest) >= 0 && now_realtime() - oldest > OLD_USEC)
                doctor_warn(doctor,
                                "`scalectl queue list` says what each waits for, and when it is tried next",
                                "the oldest submission waits since %s",
                                format_time(oldest, doctor->utc, since));
        if (doctor->said == 0)
                doctor_ok(doctor, "no submission waits for long, or for somebody");
}

void doctor_check_live_tasks(Doctor *doctor)
{
        json_auto_t *queue = get_queue(doctor);
        const json_t *cap;
        unsigned long long today;

        if (!queue)
                return;
        cap = json_object_get(queue, "live_per_day");
        today = number(queue, "live_today");
        if (!cap)
                doctor_ok(doctor, "live tasks today: %llu, and no cap", today);
        else if (today >= (unsigned long long)json_integer_value(cap))
                doctor_warn(doctor,
                                "what waits goes on at midnight UTC, or with a higher [submit] live_per_day",
                                "live tasks today: %llu, which is all that [submit] live_per_day allows",
                                today);
        else
                doctor_ok(doctor, "live tasks today: %llu of %llu", today,
                                (unsigned long long)json_integer_value(cap));
}

/*
 * Whether what stands in the files is what the daemons have in force: settings and keys are read at a start
 * and at a reload, and whoever edits a file and forgets that, or was refused, finds here what waits.
 */

typedef struct DaemonPlace {
        DoctorDaemon which;
        const char *name, *socket;
} DaemonPlace;

static void look_at_refusal(Doctor *doctor, const DaemonPlace *place, const json_t *in_force)
{
        const json_t *line;
        size_t i;

        json_array_foreach(json_object_get(in_force, "refused"), i, line)
                doctor_fail(doctor,
                                doctor_advice(doctor, "mend it, then `systemctl reload %s`", place->name),
                                "%s refused the last reload, and goes on with what it had: %s", place->name,
                                json_string_value(line));
}

static void look_at_setting(Doctor *doctor, const DaemonPlace *place, const char *section, const char *key,
                const char *has)
{
        _cleanup_free_ char *value = NULL;
        bool reloadable;

        if (settings_get(doctor->settings, section, key, &value, &reloadable) < 0 ||
                        (has && streq(value, has)))
                return;
        doctor_warn(doctor,
                        doctor_advice(doctor, "`systemctl %s %s`", reloadable ? "reload" : "restart",
                                        place->name),
                        "%s has [%s] %s = %s in force, and the files say %s", place->name, section, key,
                        strna(has), value);
}

static void look_at_settings(Doctor *doctor, const DaemonPlace *place, json_t *in_force)
{
        const char *section, *key;
        json_t *members, *value;

        json_object_foreach(json_object_get(in_force, "settings"), section, members)
                json_object_foreach(members, key, value)
                        look_at_setting(doctor, place, section, key, json_string_value(value));
}

static bool has_label(const json_t *labels, const char *label, size_t size)
{
        const json_t *l;
        size_t i;

        json_array_foreach(labels, i, l)
                if (json_string_length(l) == size && memcmp(json_string_value(l), label, size) == 0)
                        return true;
        return false;
}

/* The labels of a file, or what kind of API key is in it. False: it can't be read, or is not good; who looks
 * at the keys says so. */
static bool same_labels(const DaemonPlace *place, const char *path, const json_t *labels, bool *ret_same)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        _cleanup_free_ char *mistakes = NULL;
        KeyLines lines = {};

        if (secret_read_file(path, KEY_FILE_MAX, &file) < 0)
                return false;
        if (place->which == DOCTOR_SUBMITTER) {
                if (secret_size(file) < 4)
                        return false;
                *ret_same = has_label(labels, secret_data(file), 4);
                return true;
        }
        if (key_lines_read(path, secret_data(file), secret_size(file), &lines, &mistakes) < 0)
                return false;
        *ret_same = lines.n == json_array_size(labels);
        FOREACH_ARRAY(l, lines.items, lines.n)
                *ret_same = *ret_same && has_label(labels, l->label, l->label_size);
        return true;
}

static const char *join_labels(const json_t *labels, char *buf, size_t size)
{
        const json_t *l;
        size_t i, n = 0;

        *buf = 0;
        json_array_foreach(labels, i, l)
                if (n < size)
                        n += (size_t)snprintf(
                                        buf + n, size - n, "%s%s", n > 0 ? ", " : "", json_string_value(l));
        return buf;
}

static int64_t changed_at(const struct stat *st)
{
        const struct timespec *t = &st->st_mtim;

        if (st->st_ctim.tv_sec > t->tv_sec)
                t = &st->st_ctim; /* moved there, with the time that it had */
        return (int64_t)t->tv_sec * (int64_t)USEC_PER_SEC + t->tv_nsec / 1000;
}

static void look_at_keys(Doctor *doctor, const DaemonPlace *place, const json_t *in_force)
{
        const json_t *keys = json_object_get(in_force, "keys"), *labels = json_object_get(keys, "labels");
        const char *path = json_string_value(json_object_get(keys, "from"));
        const char *since = json_string_value(json_object_get(in_force, "since"));
        char names[KEY_LINES_MAX * (KEY_LABEL_MAX + 2) + 1], when[FORMAT_TIME_SIZE];
        struct stat st;
        int64_t read_at;
        bool same;

        if (!path || !since || time_parse(since, &read_at) < 0)
                return;
        join_labels(labels, names, sizeof(names));
        if (stat(path, &st) < 0) {
                if (errno == ENOENT && !doctor_has_credential_elsewhere(doctor, place->which))
                        doctor_fail(doctor,
                                        doctor_advice(doctor,
                                                        "put the file back, then `systemctl reload %s`; "
                                                        "until then it does not start again",
                                                        place->name),
                                        "%s goes on with what it read (%s), and its file is gone: %s",
                                        place->name, names, path);
        } else if (same_labels(place, path, labels, &same) && !same)
                doctor_warn(doctor, doctor_advice(doctor, "`systemctl reload %s`", place->name),
                                "%s has other keys in force (%s) than %s", place->name, names, path);
        else if (changed_at(&st) > read_at)
                doctor_warn(doctor, doctor_advice(doctor, "`systemctl reload %s`", place->name),
                                "%s was changed since %s read its keys, at %s", path, place->name,
                                format_time(read_at, doctor->utc, when));
}

static void look_at_daemon(Doctor *doctor, const DaemonPlace *place)
{
        json_auto_t *in_force = NULL;
        unsigned said = doctor->said, status = 0;
        int r;

        if (doctor_skips(doctor, place->which))
                return;
        r = doctor_ask(place->socket, "/v1/settings", &status, &in_force);
        if (r < 0 || !in_force) {
                doctor_warn(doctor,
                                status == 404 ? doctor_advice(doctor,
                                                                "`systemctl restart %s`: it is of an "
                                                                "older version",
                                                                place->name)
                                              : "see what is said of its socket",
                                "what %s has in force can't be had", place->name);
                return;
        }
        look_at_refusal(doctor, place, in_force);
        look_at_settings(doctor, place, in_force);
        look_at_keys(doctor, place, in_force);
        if (doctor->said == said)
                doctor_ok(doctor, "%s has in force what the files say", place->name);
}

void doctor_check_in_force(Doctor *doctor)
{
        look_at_daemon(doctor, &(DaemonPlace){ DOCTOR_RECEIVER, "scale-callbackd",
                                               doctor->settings->query.socket });
        if (doctor->submitter)
                look_at_daemon(doctor, &(DaemonPlace){ DOCTOR_SUBMITTER, "scale-submitd",
                                                       doctor->settings->submit.socket });
}
