/* What is wrong with an installation: one line a check, each with what would help. */

#include <jansson.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/format.h"
#include "scalectl/keyfile.h"

#define TIMEOUT_USEC (10 * USEC_PER_SEC)
#define ANSWER_MAX   ((size_t)1024 * 1024)
#define SKEW_USEC    ((int64_t)(60 * USEC_PER_SEC))

typedef enum Finding {
        FINDING_OK,
        FINDING_WARNING,
        FINDING_FAILURE,
} Finding;

/* Looks at one thing and says what it found, in a sentence. */
typedef Finding (*CheckFn)(Ctl *ctl, char *text, size_t size);

static Finding check_keys(Ctl *ctl, char *text, size_t size)
{
        const char *path = ctl->settings.callback.auth_keys_file;
        Secret *key = NULL;
        int r;

        if (!path) {
                snprintf(text, size,
                                "[callback] auth_keys_file is not set; that is right only where systemd "
                                "passes the "
                                "credential callback-auth-keys");
                return FINDING_WARNING;
        }
        r = keyfile_first(path, &key);
        secret_free(key);
        if (r == -EACCES) {
                snprintf(text, size, "%s can't be read by you, which is as it should be", path);
                return FINDING_OK;
        }
        if (r < 0) {
                snprintf(text, size, "%s: %s", path,
                                r == -EPERM    ? "others can read it; `chmod o= FILE` mends that"
                                : r == -EINVAL ? "there is no line `label key` in it"
                                               : strerror(-r));
                return FINDING_FAILURE;
        }
        snprintf(text, size, "%s holds a key and is closed to others", path);
        return FINDING_OK;
}

static Finding check_socket(const char *path, const char *what, bool needed, char *text, size_t size)
{
        const HttpClientRequest request = { .socket = path,
                .method = "GET",
                .url = "/healthz",
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX };
        HttpClientResult result;
        int r;

        r = http_client_perform(&request, &result);
        http_client_result_done(&result);
        if (r == -EACCES && !needed) {
                snprintf(text, size, "%s (%s) is for administrators only, as it should be", path, what);
                return FINDING_OK;
        }
        if (r < 0) {
                snprintf(text, size, "%s (%s) can't be reached: %s", path, what,
                                r == -EACCES ? "you may not, are you in its group?"
                                             : "is scale-callbackd running, and is this its socket?");
                return FINDING_FAILURE;
        }
        snprintf(text, size, "%s (%s) answers", path, what);
        return FINDING_OK;
}

static Finding check_query(Ctl *ctl, char *text, size_t size)
{
        return check_socket(ctl->settings.query.socket, "query", true, text, size);
}

static Finding check_control(Ctl *ctl, char *text, size_t size)
{
        return check_socket(ctl->settings.control.socket, "control", false, text, size);
}

static Finding check_ready(Ctl *ctl, char *text, size_t size)
{
        const HttpClientRequest request = { .socket = ctl->settings.query.socket,
                .method = "GET",
                .url = "/readyz",
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX };
        HttpClientResult result;
        bool ready;
        int r;

        r = http_client_perform(&request, &result);
        http_client_result_done(&result);
        if (r < 0) {
                snprintf(text, size, "whether callbacks can be stored is not known");
                return FINDING_FAILURE;
        }
        ready = result.status == 200;
        snprintf(text, size,
                        ready ? "callbacks can be stored"
                              : "callbacks can't be stored now; the daemon's log says why");
        return ready ? FINDING_OK : FINDING_FAILURE;
}

static Finding check_listener(const char *listen, char *text, size_t size)
{
        bool local = strncmp(listen, "unix:", 5) == 0;
        char url[256];
        const HttpClientRequest request = { .socket = local ? listen + 5 : NULL,
                .method = "GET",
                .url = url,
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX };
        HttpClientResult result;
        int r;

        snprintf(url, sizeof(url), "%s%s/healthz", local ? "" : "http://", local ? "" : listen);
        r = http_client_perform(&request, &result);
        http_client_result_done(&result);
        if (r == -EACCES) {
                snprintf(text, size, "%s is not for you, so whether it takes callbacks is not known",
                                listen);
                return FINDING_WARNING;
        }
        if (r < 0 || result.status != 200) {
                snprintf(text, size, "%s does not take callbacks: %s", listen,
                                r < 0 ? "nobody answers there" : "it answers, but not that it is well");
                return FINDING_FAILURE;
        }
        snprintf(text, size, "%s takes callbacks", listen);
        return FINDING_OK;
}

/* The first listener with which something is wrong, or else the last. */
static Finding check_callback(Ctl *ctl, char *text, size_t size)
{
        Finding f = FINDING_OK;

        for (size_t i = 0; i < SETTINGS_LISTEN_MAX && ctl->settings.callback.listen[i] && f == FINDING_OK;
                        i++)
                f = check_listener(ctl->settings.callback.listen[i], text, size);
        return f;
}

static Finding check_space(Ctl *ctl, char *text, size_t size)
{
        _cleanup_free_ char *dir = strdup(ctl->settings.store.path);
        char have[FORMAT_SIZE_SIZE], want[FORMAT_SIZE_SIZE];
        struct statvfs st;
        uint64_t n;

        if (dir)
                *strrchr(dir, '/') = 0;
        if (!dir || statvfs(*dir ? dir : "/", &st) < 0) {
                snprintf(text, size, "the directory of %s can't be looked at: %s", ctl->settings.store.path,
                                strerror(errno));
                return FINDING_FAILURE;
        }
        n = (uint64_t)st.f_bavail * st.f_frsize;
        format_size(n, have);
        format_size(ctl->settings.store.min_free, want);
        snprintf(text, size, "%s are free beside the database, [store] min_free asks for %s", have, want);
        return n < ctl->settings.store.min_free       ? FINDING_FAILURE
               : n < ctl->settings.store.min_free * 4 ? FINDING_WARNING
                                                      : FINDING_OK;
}

/* A new reference to an answer of the query socket, NULL when it can't be had. */
static json_t *get_json(const Ctl *ctl, const char *url)
{
        const HttpClientRequest request = { .socket = ctl->settings.query.socket,
                .method = "GET",
                .url = url,
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX };
        json_t *answer = NULL;
        HttpClientResult result;

        if (http_client_perform(&request, &result) >= 0 && result.status == 200)
                answer = json_loadb(buffer_text(&result.body), result.body.size, JSON_ALLOW_NUL, NULL);
        http_client_result_done(&result);
        return answer;
}

static Finding check_quarantine(Ctl *ctl, char *text, size_t size)
{
        json_auto_t *stats = get_json(ctl, "/v1/stats");
        json_int_t n;

        if (!stats) {
                snprintf(text, size, "the quarantine can't be looked at");
                return FINDING_FAILURE;
        }
        n = json_integer_value(json_object_get(json_object_get(stats, "by_verdict"), "invalid"));
        snprintf(text, size,
                        n > 0 ? "%" JSON_INTEGER_FORMAT
                                " deliveries are in the quarantine: see scalectl quarantine"
                              : "the quarantine is empty",
                        n);
        return n > 0 ? FINDING_WARNING : FINDING_OK;
}

/* When the newest delivery was received, by the daemon's clock. TIME_NONE when there is none to look at. */
static int64_t newest_delivery(const Ctl *ctl)
{
        json_auto_t *stats = get_json(ctl, "/v1/stats");
        json_int_t n = json_integer_value(json_object_get(stats, "last_delivery"));
        json_auto_t *delivery = NULL;
        const char *received;
        char url[64];
        int64_t t;

        if (n <= 0)
                return TIME_NONE;
        snprintf(url, sizeof(url), "/v1/delivery/%" JSON_INTEGER_FORMAT, n);
        delivery = get_json(ctl, url);
        received = json_string_value(json_object_get(delivery, "received_at"));
        return received && time_parse(received, &t) >= 0 ? t : TIME_NONE;
}

/* Times are what tasks are sorted by and what retention goes by. */
static Finding check_clock(Ctl *ctl, char *text, size_t size)
{
        int64_t newest = newest_delivery(ctl), now = now_realtime();
        struct timex state = {};

        if (newest != TIME_NONE && newest > now + SKEW_USEC) {
                snprintf(text, size,
                                "the newest delivery is from the future: the clock was wrong then, or is "
                                "now");
                return FINDING_WARNING;
        }
        if (adjtimex(&state) < 0 || (state.status & STA_UNSYNC)) {
                snprintf(text, size, "nothing keeps the clock right: is a time service running?");
                return FINDING_WARNING;
        }
        snprintf(text, size, "the clock is kept right");
        return FINDING_OK;
}

static const CheckFn checks[] = {
        check_keys,
        check_query,
        check_control,
        check_ready,
        check_callback,
        check_space,
        check_quarantine,
        check_clock,
};

static void print_finding(const Ctl *ctl, Finding f, const char *text)
{
        static const struct {
                const char *name, *colour;
        } names[] = {
                [FINDING_OK] = { "ok", SGR_GREEN },
                [FINDING_WARNING] = { "warning", SGR_YELLOW },
                [FINDING_FAILURE] = { "failure", SGR_RED },
        };
        _cleanup_free_ char *clean = NULL;

        if (ctl->json) {
                json_auto_t *line = json_pack("{s:s, s:s}", "result", names[f].name, "message", text);

                (void)json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
                putchar('\n');
                return;
        }
        clean = format_clean(text);
        printf("%s%-8s%s %s\n", ctl->term.colour ? names[f].colour : "", names[f].name,
                        ctl->term.colour ? SGR_RESET : "", clean ?: "out of memory");
}

/* The settings are the first thing that may be wrong. */
static int load(Ctl *ctl, const char *verb, int argc, char **argv, bool *ret_good, char **ret_error)
{
        unsigned n;
        int r;

        r = options_read(ctl, verb_find(verb), NULL, 0, NULL, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        *ret_good = settings_load(ctl->config, &ctl->overrides, &ctl->settings, ret_error) >= 0;
        return 0;
}

int verb_doctor(Ctl *ctl, int argc, char **argv)
{
        _cleanup_free_ char *error = NULL;
        Finding worst = FINDING_OK;
        char text[512];
        bool good;
        int r;

        r = load(ctl, "doctor", argc, argv, &good, &error);
        if (r != 0)
                return r;
        print_finding(ctl, good ? FINDING_OK : FINDING_FAILURE,
                        good ? "the configuration is good" : strna(error));
        if (!good)
                return EX_NO;

        FOREACH_ARRAY(check, checks, ELEMENTSOF(checks)) {
                Finding f = (*check)(ctl, text, sizeof(text));

                print_finding(ctl, f, text);
                worst = MAX(worst, f);
        }
        return worst == FINDING_FAILURE ? EX_NO : 0;
}

int verb_check_config(Ctl *ctl, int argc, char **argv)
{
        _cleanup_free_ char *error = NULL;
        bool good;
        int r;

        r = load(ctl, "check-config", argc, argv, &good, &error);
        if (r != 0)
                return r;
        if (!good) {
                complain("%s", strna(error));
                return EX_CONFIG;
        }
        print_finding(ctl, FINDING_OK, "the configuration is good");
        return 0;
}
