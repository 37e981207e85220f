/* Lists of small rows. Rows of megabytes are for page.c. */

#include "query/list.h"

#include <inttypes.h>

#include "basic/time-util.h"
#include "query/local.h"

void local_list_done(LocalList *l)
{
        buffer_done(&l->text);
}

int local_list_next(LocalList *l, uint64_t number)
{
        int r;

        if (l->n == l->limit) {
                l->has_more = true;
                return 0;
        }
        r = buffer_append_str(&l->text, l->n == 0 ? "{\"docs\":[" : ",");
        if (r < 0)
                return r;
        l->last = number;
        l->n++;
        return 1;
}

int local_list_reply(LocalList *l, HttpRequest *request)
{
        int r = 0;

        if (l->n == 0)
                r = buffer_append_str(&l->text, "{\"docs\":[");
        if (r >= 0)
                r = buffer_append_f(&l->text, "],\"has_more\":%s", l->has_more ? "true" : "false");
        if (r >= 0 && l->has_more)
                r = buffer_append_f(&l->text, ",\"next\":%" PRIu64, l->last);
        if (r >= 0)
                r = buffer_append_str(&l->text, "}");
        return r < 0 ? r : local_reply_text(request, &l->text);
}

int member_set_text(json_t *o, const char *name, const char *value)
{
        return value ? json_object_set_new(o, name, json_string(value)) : 0;
}

int member_set_time(json_t *o, const char *name, int64_t t)
{
        char text[TIME_STAMP_SIZE];

        return t == TIME_NONE ? 0 : json_object_set_new(o, name, json_string(time_format(t, text)));
}
