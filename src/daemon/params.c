/*
 * Query parameters. Clients send lists of them with empty values and with names that nobody asked for: both
 * are passed over. A value that can't be read is refused by name, because a filter that is silently dropped
 * answers another question than the one that was asked.
 */

#include "daemon/params.h"

#include <inttypes.h>
#include <stdio.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/metadata.h"
#include "store/outbox.h"

const char *param_cursor_format(int64_t created_at, uint64_t id, char buf[static PARAM_CURSOR_SIZE])
{
        snprintf(buf, PARAM_CURSOR_SIZE, "%" PRId64 ".%" PRIu64, created_at, id);
        return buf;
}

/* "MICROSECONDS.ID", the first of which may be negative. */
static bool parse_cursor(const char *value, ParamCursor *ret)
{
        bool negative = *value == '-';
        char copy[PARAM_CURSOR_SIZE], *dot;
        uint64_t usec, id;

        value += negative ? 1 : 0;
        if (strlen(value) >= sizeof(copy))
                return false;
        memcpy(copy, value, strlen(value) + 1);

        dot = strchr(copy, '.');
        if (!dot)
                return false;
        *dot = 0;
        if (parse_u64(copy, 0, INT64_MAX, &usec) < 0 || parse_u64(dot + 1, 0, INT64_MAX, &id) < 0)
                return false;

        *ret = (ParamCursor){ true, negative ? -(int64_t)usec : (int64_t)usec, id };
        return true;
}

static const char *parse_number(const Param *p, const char *value, void *ret)
{
        return parse_u64(value, p->min, p->max, ret) < 0 ? "a whole number within the range" : NULL;
}

static const char *parse_time(_unused_ const Param *p, const char *value, void *ret)
{
        return time_parse(value, ret) < 0 ? "a date or time in ISO 8601, as 2016-06-23T09:10:02.798Z" : NULL;
}

static const char *parse_text(const Param *p, const char *value, void *ret)
{
        if (strlen(value) > p->max)
                return "a shorter text";
        *(const char **)ret = value;
        return NULL;
}

static const char *parse_bool(_unused_ const Param *p, const char *value, void *ret)
{
        bool b;

        if (parse_boolean(value, &b) < 0)
                return "true or false";
        *(int *)ret = b;
        return NULL;
}

static const char *parse_status(_unused_ const Param *p, const char *value, void *ret)
{
        TaskStatus status = task_status_from_string(value);

        if ((int)status < 0)
                return "pending, completed, canceled or error";
        *(TaskStatus *)ret = status;
        return NULL;
}

static const char *parse_verdict(_unused_ const Param *p, const char *value, void *ret)
{
        Verdict verdict = verdict_from_string(value);

        if ((int)verdict < 0)
                return "stored, duplicate, revised, invalid, attachment_failure or discarded";
        *(Verdict *)ret = verdict;
        return NULL;
}

static const char *parse_state(_unused_ const Param *p, const char *value, void *ret)
{
        SubmissionState state = submission_state_from_string(value);

        if ((int)state < 0)
                return "queued, sending, unknown, accepted, rejected, canceled or expired";
        *(SubmissionState *)ret = state;
        return NULL;
}

static const char *parse_after(_unused_ const Param *p, const char *value, void *ret)
{
        return parse_cursor(value, ret) ? NULL : "the `next` of an earlier page";
}

static const char *(*const parsers[_PARAM_KIND_MAX])(const Param *p, const char *value, void *ret) = {
        [PARAM_NUMBER] = parse_number,
        [PARAM_TIME] = parse_time,
        [PARAM_TEXT] = parse_text,
        [PARAM_BOOLEAN] = parse_bool,
        [PARAM_STATUS] = parse_status,
        [PARAM_VERDICT] = parse_verdict,
        [PARAM_STATE] = parse_state,
        [PARAM_CURSOR] = parse_after,
};

const char *param_parse(const Param *param, const char *value, void *ret)
{
        return parsers[param->kind](param, value, ret);
}

int params_refuse(HttpRequest *request, const char *name, const char *wanted)
{
        json_t *problems;

        problems = json_pack("[{s:s, s:s+, s:s}]", "path", name, "message", "wanted is ", wanted, "severity",
                        "error");
        return http_reply_error(request, 400, problems, "Bad parameter %s: wanted is %s.", name, wanted);
}

int params_read(HttpRequest *request, const Param *params, size_t n, void *values)
{
        char range[80];

        FOREACH_ARRAY(p, params, n) {
                const char *value = http_request_query(request, p->name), *wanted;
                int r;

                if (!value || *value == 0)
                        continue;
                wanted = param_parse(p, value, (char *)values + p->offset);
                if (!wanted)
                        continue;

                if (p->kind == PARAM_NUMBER) {
                        snprintf(range, sizeof(range), "a whole number from %" PRIu64 " to %" PRIu64, p->min,
                                        p->max);
                        wanted = range;
                }
                r = params_refuse(request, p->name, wanted);
                return r < 0 ? r : 1;
        }
        return 0;
}

#define METADATA_PREFIX "metadata."

typedef struct MetadataReading {
        ParamMetadata items;
        const char *bad, *wanted; /* the parameter that can't be taken, and what would be */
} MetadataReading;

static int take_metadata(const char *name, const char *value, void *userdata)
{
        const size_t prefix = strlen(METADATA_PREFIX), size = strlen(name);
        MetadataReading *x = userdata;
        ParamMetadata *m = &x->items;

        if (strncmp(name, METADATA_PREFIX, prefix) != 0)
                return 0;
        x->bad = name;
        if (size == prefix)
                x->wanted = "metadata.KEY=VALUE, with the name of a member";
        else if (m->n == PARAM_METADATA_MAX) {
                x->bad = "metadata";
                x->wanted = "at most eight of metadata.KEY=VALUE";
        } else if (size - prefix > METADATA_TEXT_MAX || strlen(value) > METADATA_TEXT_MAX)
                x->wanted = "a key and a value of at most 256 bytes: longer ones can't be searched for";
        if (x->wanted)
                return -EINVAL;

        m->items[m->n++] = (StoreMetadata){ name + prefix, value };
        return 0;
}

int params_read_metadata(HttpRequest *request, ParamMetadata *ret)
{
        MetadataReading x = {};
        int r;

        r = http_request_each_query(request, take_metadata, &x);
        if (r < 0) {
                r = params_refuse(request, x.bad, x.wanted);
                return r < 0 ? r : 1;
        }
        *ret = x.items;
        return 0;
}
