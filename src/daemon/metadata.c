/*
 * Metadata is free-form, and so only what has one plain text can be looked for: scalars, not too long, not
 * too many, and as they are shown. Everything else is kept with the task all the same. The member by which
 * tasks are tied to submissions comes first, so that others can't push it out.
 */

#include "daemon/metadata.h"

#include "task/type.h"
#include "json/encode.h"

#define NUMBER_MAX 64U /* bytes */

/* A scalar as a text that a query can name; NULL in *ret: not to be searched for. */
static int metadata_text(const json_t *value, char **ret_owned, const char **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(NUMBER_MAX);
        int r;

        *ret = NULL;
        switch (json_typeof(value)) {
        case JSON_STRING:
                if (json_string_length(value) <= METADATA_TEXT_MAX)
                        *ret = json_string_value(value);
                return 0;
        case JSON_INTEGER:
        case JSON_REAL:
                r = json_encode(value, &text);
                if (r == -ENOBUFS) /* too long, as a text can be */
                        return 0;
                if (r < 0)
                        return r;
                *ret = *ret_owned = buffer_take(&text, NULL);
                return 0;
        case JSON_TRUE:
        case JSON_FALSE:
                *ret = json_is_true(value) ? "true" : "false";
                return 0;
        case JSON_OBJECT:
        case JSON_ARRAY:
        case JSON_NULL:
        default:
                return 0;
        }
}

static int collect(Metadata *m, const char *key, const json_t *value)
{
        const char *text;
        int r;

        if (m->n == STORE_METADATA_MAX || strlen(key) > METADATA_TEXT_MAX)
                return 0;
        r = metadata_text(value, &m->numbers[m->n], &text);
        if (r >= 0 && text)
                m->values[m->n++] = (StoreMetadata){ key, text };
        return r;
}

int metadata_collect(const json_t *task, Metadata *m)
{
        json_t *metadata = json_object_get(task, "metadata"), *value;
        const char *key;
        int r = 0;

        value = json_object_get(metadata, TASK_SUBMISSION_KEY);
        if (value)
                r = collect(m, TASK_SUBMISSION_KEY, value);
        json_object_foreach(metadata, key, value) {
                if (r < 0)
                        return r;
                if (!streq(key, TASK_SUBMISSION_KEY))
                        r = collect(m, key, value);
        }
        return r;
}

void metadata_done(Metadata *m)
{
        FOREACH_ARRAY(i, m->numbers, m->n)
                free(*i);
        *m = (Metadata){ 0 };
}
