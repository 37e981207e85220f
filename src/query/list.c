/* Lists of small rows. Rows of megabytes are for page.c. */

#include "query/list.h"

#include <inttypes.h>

#include "basic/time-util.h"
#include "query/local.h"

void local_list_done(LocalList *list)
{
        buffer_done(&list->text);
}

int local_list_next(LocalList *list, uint64_t number)
{
        int r;

        if (list->n == list->limit) {
                list->has_more = true;
                return 0;
        }
        r = buffer_append_str(&list->text, list->n == 0 ? "{\"docs\":[" : ",");
        if (r < 0)
                return r;
        list->last = number;
        list->n++;
        return 1;
}

int local_list_reply(LocalList *list, HttpRequest *request)
{
        int r = 0;

        if (list->n == 0)
                r = buffer_append_str(&list->text, "{\"docs\":[");
        if (r >= 0)
                r = buffer_append_f(&list->text, "],\"has_more\":%s", list->has_more ? "true" : "false");
        if (r >= 0 && list->has_more)
                r = buffer_append_f(&list->text, ",\"next\":%" PRIu64, list->last);
        if (r >= 0)
                r = buffer_append_str(&list->text, "}");
        return r < 0 ? r : local_reply_text(request, &list->text);
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
