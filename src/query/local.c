/* Answers that the local sockets of both daemons give alike. */

#include "query/local.h"

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"

int local_reply_failure(StoreReader *reader, HttpRequest *request, int error)
{
        int r;

        if (error == -ETIME) {
                r = http_reply_header(request, "Retry-After", "60");
                if (r < 0)
                        return r;
                return http_reply_error(request, 503, NULL,
                                "The query took longer than %u seconds and was given up: ask for less at once.",
                                LOCAL_QUERY_TIME_LIMIT_SEC);
        }
        log_error_errno(error, "A query failed: %s", store_reader_error(reader));
        return http_reply_error(request, 500, NULL, "The database could not be read: see the daemon's log.");
}

int local_reply_text(HttpRequest *request, Buffer *text)
{
        return http_reply(request, 200, "application/json", text->data, text->size);
}

int local_reply_not_found(HttpRequest *request, const char *what)
{
        return http_reply_error(request, 404, NULL, "%s", what);
}

uint64_t local_path_number(const HttpRequest *request, unsigned i)
{
        uint64_t n;

        return parse_u64(http_request_path_arg(request, i), 1, INT64_MAX, &n) < 0 ? 0 : n;
}

int local_on_settings(HttpRequest *request, void *userdata)
{
        json_t *settings = in_force_to_json(((const LocalBase *)userdata)->in_force);

        return settings ? http_reply_json(request, 200, settings) : -ENOMEM;
}

int member_set_text(json_t *object, const char *name, const char *value)
{
        return value ? json_object_set_new(object, name, json_string(value)) : 0;
}

int member_set_time(json_t *object, const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];

        return t == TIME_NONE ? 0 : json_object_set_new(object, name, json_string(time_format(t, text)));
}
