/*
 * Metadata is free-form, and so only what has one plain text can be looked for: scalars, not too long, not
 * too many. Everything else is kept with the task all the same.
 */

#include "daemon/metadata.h"

#include <stdio.h>

#define METADATA_VALUE_MAX 256U /* bytes, of keys too */

/* A scalar as a text that a query can name; NULL in *ret: not to be searched for. */
static int metadata_text(const json_t *value, char **ret_owned, const char **ret)
{
        _cleanup_free_ char *text = NULL;
        int n = 0;

        *ret = NULL;
        switch (json_typeof(value)) {
        case JSON_STRING:
                if (json_string_length(value) <= METADATA_VALUE_MAX)
                        *ret = json_string_value(value);
                return 0;
        case JSON_INTEGER:
                n = asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
                break;
        case JSON_REAL:
                n = asprintf(&text, "%.17g", json_real_value(value));
                break;
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
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        *ret = *ret_owned = TAKE_PTR(text);
        return 0;
}

int metadata_collect(const json_t *task, Metadata *m)
{
        json_t *metadata = json_object_get(task, "metadata"), *value;
        const char *key;
        int r;

        json_object_foreach(metadata, key, value) {
                const char *text;

                if (m->n == STORE_METADATA_MAX)
                        break;
                if (strlen(key) > METADATA_VALUE_MAX)
                        continue;
                r = metadata_text(value, &m->numbers[m->n], &text);
                if (r < 0)
                        return r;
                if (text)
                        m->values[m->n++] = (StoreMetadata){ key, text };
        }
        return 0;
}

void metadata_done(Metadata *m)
{
        FOREACH_ARRAY(i, m->numbers, m->n)
                free(*i);
        *m = (Metadata){ 0 };
}
