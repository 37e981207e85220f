/*
 * Query parameters. A filter that is silently dropped answers another question than the one that was asked,
 * so a value that can't be read and a name that the call doesn't know are refused, and what is refused is
 * named. Clients send lists of names without values, too: those restrict nothing and are passed over.
 */

#include "query/params.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/guess.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/ingest.h"
#include "store/outbox.h"

const char *param_cursor_format(const TaskCursor *place, char buf[static PARAM_CURSOR_SIZE])
{
        int n = snprintf(buf, PARAM_CURSOR_SIZE, "%" PRId64 ".%" PRIu64, place->created_at, place->id);

        if (place->total > 0)
                snprintf(buf + n, PARAM_CURSOR_SIZE - (size_t)n, ".%" PRIu64, place->total);
        return buf;
}

/* "MICROSECONDS.ID" or "MICROSECONDS.ID.TOTAL", the first of which may be negative. */
static bool parse_cursor(const char *value, ParamCursor *ret)
{
        const bool negative = *value == '-';
        char copy[PARAM_CURSOR_SIZE], *rest = copy;
        uint64_t numbers[3] = {};
        size_t n = 0;

        value += negative ? 1 : 0;
        if (strlen(value) >= sizeof(copy))
                return false;
        memcpy(copy, value, strlen(value) + 1);

        for (const char *piece; (piece = strsep(&rest, "."));)
                if (n == ELEMENTSOF(numbers) || parse_u64(piece, 0, INT64_MAX, &numbers[n++]) < 0)
                        return false;
        if (n < 2)
                return false;

        *ret = (ParamCursor){ true,
                { negative ? -(int64_t)numbers[0] : (int64_t)numbers[0], numbers[1], numbers[2] } };
        return true;
}

static const char *parse_number(const Param *param, const char *value, void *ret)
{
        return parse_u64(value, param->min, param->max, ret) < 0 ? "a whole number within the range" : NULL;
}

static const char *parse_time(_unused_ const Param *param, const char *value, void *ret)
{
        return time_parse(value, ret) < 0 ? "a date or time in ISO 8601, as 2016-06-23T09:10:02.798Z" : NULL;
}

static const char *parse_text(const Param *param, const char *value, void *ret)
{
        if (strlen(value) > param->max)
                return "a shorter text";
        *(const char **)ret = value;
        return NULL;
}

static const char *parse_bool(_unused_ const Param *param, const char *value, void *ret)
{
        bool b;

        if (parse_boolean(value, &b) < 0)
                return "true or false";
        *(int *)ret = b;
        return NULL;
}

static const char *parse_order(_unused_ const Param *param, const char *value, void *ret)
{
        if (!streq(value, "newest") && !streq(value, "oldest"))
                return "newest or oldest";
        *(bool *)ret = streq(value, "newest");
        return NULL;
}

static const char *parse_status(_unused_ const Param *param, const char *value, void *ret)
{
        TaskStatus status = task_status_from_string(value);

        if ((int)status < 0)
                return "pending, completed, canceled or error";
        *(TaskStatus *)ret = status;
        return NULL;
}

static const char *parse_verdict(_unused_ const Param *param, const char *value, void *ret)
{
        Verdict verdict = verdict_from_string(value);

        if ((int)verdict < 0)
                return "stored, duplicate, revised, invalid, attachment_failure or discarded";
        *(Verdict *)ret = verdict;
        return NULL;
}

static const char *parse_state(_unused_ const Param *param, const char *value, void *ret)
{
        SubmissionState state = submission_state_from_string(value);

        if ((int)state < 0)
                return "queued, sending, unknown, accepted, rejected, canceled or expired";
        *(SubmissionState *)ret = state;
        return NULL;
}

static const char *parse_after(_unused_ const Param *param, const char *value, void *ret)
{
        return parse_cursor(value, ret) ? NULL : "the `next` of an earlier page";
}

static const char *(*const parsers[_PARAM_KIND_MAX])(const Param *param, const char *value, void *ret) = {
        [PARAM_NUMBER] = parse_number,
        [PARAM_TIME] = parse_time,
        [PARAM_TEXT] = parse_text,
        [PARAM_BOOLEAN] = parse_bool,
        [PARAM_ORDER] = parse_order,
        [PARAM_STATUS] = parse_status,
        [PARAM_VERDICT] = parse_verdict,
        [PARAM_STATE] = parse_state,
        [PARAM_CURSOR] = parse_after,
};

const char *param_parse(const Param *param, const char *value, void *ret)
{
        assert(parsers[param->kind]);
        return parsers[param->kind](param, value, ret);
}

#define NAME_SHOWN 320U /* bytes of a name that are shown */

#define VALUE_SHOWN 64U /* and of a value */

/* A text as it may be shown: it can hold anything. */
static const char *show_name(const char *text, char buf[static NAME_SHOWN + 1])
{
        size_t n = 0;

        for (; n < NAME_SHOWN && text[n]; n++)
                buf[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        buf[n] = 0;
        return buf;
}

/* `got` (NULL: not to be told): what was given instead. */
static int refuse(HttpRequest *request, const char *name, const char *expected, const char *got)
{
        char value[NAME_SHOWN + 1], text[2 * NAME_SHOWN];
        json_t *problems;

        if (got)
                snprintf(text, sizeof(text), "expected %s, got \"%.*s%s\"", expected, (int)VALUE_SHOWN,
                                show_name(got, value), strlen(got) > VALUE_SHOWN ? "..." : "");
        else
                snprintf(text, sizeof(text), "expected %s", expected);
        problems = json_pack("[{s:s, s:s, s:s}]", "path", name, "message", text, "severity", "error");
        return http_reply_error(request, 400, problems, "Bad parameter %s: %s.", name, text);
}

int params_refuse(HttpRequest *request, const char *name, const char *expected)
{
        return refuse(request, name, expected, http_request_query(request, name));
}

/* What the route knows. */

/* "NAME.KEY": the name of a row, and what follows behind it. NULL: it is none of these. */
static const char *key_behind(const Param *param, const char *name)
{
        const size_t n = strlen(param->name);

        return strncmp(name, param->name, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

static const Param *find_row(const Param *params, const char *name)
{
        for (const Param *param = params; param && param->name; param++)
                if (param->kind == PARAM_METADATA ? key_behind(param, name) != NULL
                                                  : streq(param->name, name))
                        return param;
        return NULL;
}

/* The row that was probably meant: "metdata.set" and "metadata[set]" mean that of metadata. */
static const Param *guess_row(const Param *params, const char *name)
{
        char stem[NAME_SHOWN + 1];
        Guess guess = GUESS(stem);
        const Param *best = NULL;

        snprintf(stem, sizeof(stem), "%.*s", (int)MIN(strcspn(name, ".["), (size_t)NAME_SHOWN), name);
        for (const Param *param = params; param && param->name; param++) {
                guess_try(&guess, param->name);
                if (guess.meant == param->name)
                        best = param;
        }
        return best;
}

static void append_text(char *text, size_t size, const char *more)
{
        size_t n = strlen(text);

        snprintf(text + n, size - n, "%s", more);
}

/* "limit", "metadata.set" for "metdata[set]". */
static void append_meant(char *text, size_t size, const Param *param, const char *name)
{
        char shown[NAME_SHOWN + 1], *key;

        append_text(text, size, param->name);
        if (param->kind != PARAM_METADATA)
                return;
        key = (char *)(uintptr_t)show_name(name + strcspn(name, ".["), shown);
        key[strcspn(key, "]")] = 0;
        append_text(text, size, ".");
        append_text(text, size, *key && key[1] ? key + 1 : "KEY");
}

static void append_known(char *text, size_t size, const Param *params)
{
        append_text(text, size, "this call takes ");
        if (!params)
                append_text(text, size, "none");
        for (const Param *param = params; param && param->name; param++) {
                append_text(text, size, param == params ? "" : param[1].name ? ", " : " and ");
                append_text(text, size, param->name);
                append_text(text, size, param->kind == PARAM_METADATA ? ".KEY" : "");
        }
}

static int refuse_unknown(HttpRequest *request, const char *name)
{
        const Param *params = http_request_params(request), *meant = guess_row(params, name);
        char shown[NAME_SHOWN + 1], text[1024] = "";
        json_t *problems;

        if (meant) {
                append_text(text, sizeof(text), "is ");
                append_meant(text, sizeof(text), meant, name);
                append_text(text, sizeof(text), " meant?");
        } else
                append_known(text, sizeof(text), params);
        show_name(name, shown);
        problems = json_pack("[{s:s, s:s+, s:s}]", "path", shown, "message",
                        "there is no such parameter: ", text, "severity", "error");
        return http_reply_error(request, 400, problems, "Unknown parameter %s: %s", shown, text);
}

/* 1: answered; 0; negative errno. */
static int check_pair(HttpRequest *request, const FormPair *pair)
{
        const Param *param = find_row(http_request_params(request), pair->name);
        const char *expected = NULL;
        char shown[NAME_SHOWN + 1];
        int r;

        if (pair->value_size != strlen(pair->value))
                expected = "a value without a NUL byte";
        else if (param && param->kind != PARAM_METADATA &&
                        !streq(http_request_query(request, pair->name), pair->value))
                expected = "one value, got several";
        else if (param || *pair->value == 0)
                return 0;

        r = expected ? refuse(request, show_name(pair->name, shown), expected, NULL)
                     : refuse_unknown(request, pair->name);
        return r < 0 ? r : 1;
}

typedef struct Check {
        HttpRequest *request;
        int result; /* of the first pair that was refused */
} Check;

static int on_pair(const FormPair *pair, void *userdata)
{
        Check *check = userdata;

        check->result = check_pair(check->request, pair);
        return check->result == 0 ? 0 : -ECANCELED;
}

int params_check(HttpRequest *request, _unused_ void *userdata)
{
        Check check = { .request = request };

        (void)http_request_each_query(request, on_pair, &check);
        return check.result;
}

/* Values. */

typedef struct MetadataReading {
        const Param *param;
        ParamMetadata items;
        const char *bad, *expected; /* the parameter that can't be taken, and what would be */
} MetadataReading;

static int take_metadata(const FormPair *pair, void *userdata)
{
        MetadataReading *reading = userdata;
        const char *key = key_behind(reading->param, pair->name);
        ParamMetadata *metadata = &reading->items;

        if (!key)
                return 0;
        reading->bad = pair->name;
        if (*key == 0)
                reading->expected = "metadata.KEY=VALUE, with the name of a member";
        else if (metadata->n == PARAM_METADATA_MAX) {
                reading->bad = "metadata";
                reading->expected = "at most eight of metadata.KEY=VALUE";
        } else if (strlen(key) > METADATA_TEXT_MAX || pair->value_size > METADATA_TEXT_MAX)
                reading->expected =
                                "a key and a value of at most 256 bytes: longer ones can't be searched for";
        if (reading->expected)
                return -EINVAL;

        metadata->items[metadata->n++] = (StoreMetadata){ key, pair->value };
        return 0;
}

static int read_metadata(HttpRequest *request, const Param *param, ParamMetadata *ret)
{
        MetadataReading reading = { .param = param };
        char shown[NAME_SHOWN + 1];
        int r;

        if (http_request_each_query(request, take_metadata, &reading) < 0) {
                r = refuse(request, show_name(reading.bad, shown), reading.expected, NULL);
                return r < 0 ? r : 1;
        }
        *ret = reading.items;
        return 0;
}

static int read_value(HttpRequest *request, const Param *param, void *ret)
{
        const char *value = http_request_query(request, param->name), *expected;
        char range[80];
        int r;

        if (param->kind == PARAM_METADATA)
                return read_metadata(request, param, ret);
        if (!value || *value == 0)
                return 0;
        expected = param_parse(param, value, ret);
        if (!expected)
                return 0;

        if (param->kind == PARAM_NUMBER) {
                snprintf(range, sizeof(range), "a whole number from %" PRIu64 " to %" PRIu64, param->min,
                                param->max);
                expected = range;
        }
        r = refuse(request, param->name, expected, value);
        return r < 0 ? r : 1;
}

int params_read(HttpRequest *request, void *values)
{
        int r = 0;

        for (const Param *param = http_request_params(request); param && param->name && r == 0; param++)
                r = read_value(request, param, (char *)values + param->offset);
        return r;
}
