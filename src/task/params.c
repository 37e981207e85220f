/* What else is to be known of parameters, read out of the tables. */

#include "task/params.h"

#include "basic/parse.h"
#include "task/check.h"
#include "task/rows.h"
#include "task/value.h"

/* A URL's row is that of an attachment that can't be a text. The URLs of the shared rows are no attachments:
 * nobody fetches a callback_url. */
static bool is_attachment(const Field *f)
{
        return f->kind == FIELD_ATTACHMENT || f->kind == FIELD_ATTACHMENTS || f->kind == FIELD_URL;
}

/* Only what could be fetched: a broken value is the check's matter. */
static int call_for(const json_t *value, int (*fn)(const char *url, void *userdata), void *userdata)
{
        return value_is_url(value) ? fn(json_string_value(value), userdata) : 0;
}

int task_params_each_attachment(const TaskType *type, const json_t *params,
                int (*fn)(const char *url, void *userdata), void *userdata)
{
        size_t left = TASK_ATTACHMENTS_MAX;
        int r;

        if (streq_ptr(json_string_value(member_get(params, "attachment_type")), "text"))
                return 0;

        for (const Field *f = type->params; f->name; f++) {
                const json_t *value = member_get(params, f->name);
                const size_t n = json_is_array(value) ? json_array_size(value) : 1;

                if (!is_attachment(f) || !value)
                        continue;
                for (size_t i = 0; i < n && left > 0; i++, left--) {
                        r = call_for(json_is_array(value) ? json_array_get(value, i) : value, fn, userdata);
                        if (r != 0)
                                return r;
                }
        }
        return 0;
}

int task_make_response(const TaskType *type, const json_t *params, uint64_t n, json_t **ret)
{
        return type->make_response(params, n, ret);
}

uint64_t task_urgency_usec(const char *urgency)
{
        static const struct {
                const char *urgency;
                uint64_t usec;
        } promises[] = {
                { "immediate", USEC_PER_HOUR },
                { "day", USEC_PER_DAY },
                { "week", 7 * USEC_PER_DAY },
        };

        FOREACH_ARRAY(p, promises, ELEMENTSOF(promises))
                if (streq_ptr(p->urgency, urgency))
                        return p->usec;
        return 7 * USEC_PER_DAY;
}
