/*
 * Calls of the local sockets. Whatever goes wrong ends as one sentence on standard error, that says which
 * socket and what to look at, and as one of the exit statuses that scripts know.
 */

#include "scalectl/api.h"

#include <inttypes.h>
#include <pwd.h>
#include <sys/stat.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "json/parse.h"

#define URL_MAX      8192U
#define QUERY_USEC   (60 * USEC_PER_SEC)
#define CONTROL_USEC (15 * 60 * USEC_PER_SEC) /* pruning a large database takes its time */

static void append(ApiUrl *url, const char *text, size_t size)
{
        if (url->error == 0)
                url->error = buffer_append(&url->text, text, size);
        if (url->error == -ENOBUFS)
                url->error = -E2BIG;
}

ApiUrl api_url(const char *path)
{
        ApiUrl u = { .text = BUFFER_INIT(URL_MAX) };

        append(&u, path, strlen(path));
        return u;
}

static void append_encoded(ApiUrl *url, const char *text)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
        char escape[sizeof("%00")];

        for (; *text && url->error == 0; text++)
                if (strchr(plain, *text))
                        append(url, text, 1);
                else {
                        snprintf(escape, sizeof(escape), "%%%02X", (unsigned char)*text);
                        append(url, escape, 3);
                }
}

void api_url_segment(ApiUrl *url, const char *segment)
{
        append(url, "/", 1);
        append_encoded(url, segment);
}

void api_url_add(ApiUrl *url, const char *name, const char *value)
{
        if (!value)
                return;
        append(url, url->has_query ? "&" : "?", 1);
        url->has_query = true;
        append_encoded(url, name);
        append(url, "=", 1);
        append_encoded(url, value);
}

void api_url_add_number(ApiUrl *url, const char *name, uint64_t value)
{
        char text[32];

        snprintf(text, sizeof(text), "%" PRIu64, value);
        api_url_add(url, name, text);
}

void api_url_add_time(ApiUrl *url, const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];

        if (t != TIME_NONE)
                api_url_add(url, name, time_format(t, text));
}

int api_url_add_metadata(ApiUrl *url, const OptionList *list)
{
        for (size_t i = 0; i < list->n; i++) {
                const char *equals = strchr(list->items[i], '=');
                _cleanup_free_ char *name = NULL;

                if (!equals || equals == list->items[i]) {
                        complain("--metadata: expected KEY=VALUE, got \"%s\"", list->items[i]);
                        return EX_USAGE;
                }
                if (asprintf(&name, "metadata.%.*s", (int)(equals - list->items[i]), list->items[i]) < 0) {
                        name = NULL;
                        return EX_OSERR;
                }
                api_url_add(url, name, equals + 1);
        }
        return 0;
}

void api_url_done(ApiUrl *url)
{
        buffer_done(&url->text);
}

static const char *socket_of(const Ctl *ctl, ApiSide side)
{
        switch (side) {
        case API_CONTROL:
                return ctl->settings.control.socket;
        case API_SUBMIT:
                return ctl->settings.submit.socket;
        case API_QUERY:
        case _API_SIDE_MAX:
        default:
                return ctl->settings.query.socket;
        }
}

/* What would help is in the mode of the socket, as far as that can be seen. */
static void complain_of_right(const char *where)
{
        const struct passwd *owner = NULL;
        struct stat st;

        if (stat(where, &st) < 0 || (st.st_mode & S_IWGRP)) {
                complain("you may not use %s: are you in the group of the socket?", where);
                return;
        }
        if (st.st_uid != 0)
                owner = getpwuid(st.st_uid);
        complain("you may not use %s: only root%s%s may", where, owner ? " and " : "",
                        owner ? owner->pw_name : "");
}

int api_complain_unreachable(ApiSide side, const char *where, int error, const char *says)
{
        switch (error) {
        case -ENOENT:
        case -ECONNREFUSED:
                complain("nobody listens on %s: is %s running, and is this its socket?", where,
                                side == API_SUBMIT ? "scale-submitd" : "scale-callbackd");
                return EX_UNAVAILABLE;
        case -EACCES:
        case -EPERM:
                complain_of_right(where);
                return EX_NOPERM;
        case -ETIMEDOUT:
                complain("%s: no answer came in time", where);
                return EX_TEMPFAIL;
        case -EINVAL:
                complain("%s: %s", where, *says ? says : "this is not a URL");
                return EX_USAGE;
        case -E2BIG:
                complain("the arguments are too long for a request");
                return EX_USAGE;
        case -ENOMEM:
                complain("out of memory");
                return EX_OSERR;
        case -ECANCELED:
                return EX_IOERR; /* said by whoever stopped it */
        case -EPROTO:
                complain("%s: the answer was cut short, or is none: %s", where, says);
                return EX_IOERR;
        default:
                complain("%s: %s", where, *says ? says : strerror(-error));
                return EX_UNAVAILABLE;
        }
}

json_t *api_json_text(const void *text, size_t size)
{
        json_t *value;

        return json_parse(text, size, 0, &value, NULL) < 0 ? NULL : value;
}

json_t *api_json(const Buffer *body)
{
        return api_json_text(buffer_text(body), body->size);
}

int api_complain_broken(void)
{
        complain("the answer is not what a daemon of this version gives");
        return EX_PROTOCOL;
}

void api_complain_of_problems(const json_t *problems)
{
        const json_t *p;
        size_t i;

        json_array_foreach((json_t *)(uintptr_t)problems, i, p) {
                const char *path = json_string_value(json_object_get(p, "path"));

                complain("  %s%s%s", path ?: "", path && *path ? ": " : "",
                                strna(json_string_value(json_object_get(p, "message"))));
        }
}

int api_complain(unsigned status, const Buffer *body)
{
        static const struct {
                unsigned status;
                int exit;
        } exits[] = {
                { 400, EX_USAGE },
                { 401, EX_NOPERM },
                { 404, EX_NO },
                { 409, EX_NO },
                { 422, EX_NO },
                { 503, EX_TEMPFAIL },
        };
        json_auto_t *answer = api_json(body);
        const char *error = json_string_value(json_object_get(answer, "error"));

        if (error)
                complain("%s", error);
        else
                complain("the answer was the status %u, and not from the daemon: is something else in "
                         "front of it?",
                                status);
        api_complain_of_problems(json_object_get(answer, "problems"));
        FOREACH_ARRAY(e, exits, ELEMENTSOF(exits))
                if (e->status == status)
                        return e->exit;
        return status >= 500 ? EX_UNAVAILABLE : EX_DATAERR;
}

int api_try(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, HttpClientResult *ret)
{
        const HttpClientRequest request = {
                .socket = socket_of(ctl, side),
                .method = method,
                .url = buffer_text(&url->text),
                .timeout = side == API_CONTROL ? CONTROL_USEC : QUERY_USEC,
                .max_body = API_BODY_MAX,
        };
        int r;

        *ret = (HttpClientResult){};
        r = url->error < 0 ? url->error : http_client_perform(&request, ret);
        api_url_done(url);
        return r;
}

int api_ask(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret, unsigned *ret_status)
{
        HttpClientResult result;
        int r, status = 0;

        r = api_try(ctl, side, method, url, &result);
        if (r < 0)
                status = api_complain_unreachable(side, socket_of(ctl, side), r, result.error);

        *ret_status = r < 0 ? 0 : result.status;
        if (status == 0)
                *ret = result.body;
        else
                http_client_result_done(&result);
        return status;
}

int api_call_status(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret,
                unsigned *ret_status)
{
        int status;

        status = api_ask(ctl, side, method, url, ret, ret_status);
        if (status == 0 && (*ret_status < 200 || *ret_status > 299)) {
                status = api_complain(*ret_status, ret);
                buffer_done(ret);
        }
        return status;
}

int api_call(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret)
{
        unsigned status;

        return api_call_status(ctl, side, method, url, ret, &status);
}

/* Whether it may go well the next time. */
static bool is_passing(int r, unsigned status)
{
        static const int errors[] = { -ENOENT, -ECONNREFUSED, -ETIMEDOUT, -EPROTO };

        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                if (r == *e)
                        return true;
        return r >= 0 && status == 503;
}

int api_stream(const Ctl *ctl, ApiSide side, ApiUrl *url,
                int (*on_data)(const char *data, size_t size, void *userdata), void *userdata,
                bool *ret_passing)
{
        const HttpClientRequest request = {
                .socket = socket_of(ctl, side),
                .method = "GET",
                .url = buffer_text(&url->text),
                .on_data = on_data,
                .userdata = userdata,
        };
        HttpClientResult result = {};
        int r, status = 0;

        r = url->error < 0 ? url->error : http_client_perform(&request, &result);
        if (ret_passing)
                *ret_passing = is_passing(r, result.status);
        if (ret_passing && *ret_passing)
                status = EX_TEMPFAIL;
        else if (r < 0)
                status = api_complain_unreachable(side, request.socket, r, result.error);
        else if (result.status != 200)
                status = api_complain(result.status, &result.body);
        api_url_done(url);
        http_client_result_done(&result);
        return status;
}
