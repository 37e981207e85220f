/* Metadata is compared as the daemon does: texts as they are, other scalars as JSON has them, nothing else.
 */

#include "scalectl/metadata.h"

#include "basic/buffer.h"
#include "json/encode.h"

int metadata_check(const OptionList *list)
{
        FOREACH_ARRAY(item, list->items, list->n)
                if (!strchr(*item, '=') || **item == '=') {
                        complain("--metadata: expected KEY=VALUE, got %s", *item);
                        return EX_USAGE;
                }
        return 0;
}

static bool has(const json_t *metadata, const char *wanted)
{
        const char *value = strchr(wanted, '=') + 1;
        const json_t *found = json_object_getn(metadata, wanted, (size_t)(value - wanted - 1));
        _cleanup_buffer_ Buffer text = BUFFER_INIT(strlen(value) + 1);

        if (json_is_string(found))
                return streq(json_string_value(found), value);
        if (!found || json_is_object(found) || json_is_array(found) || json_is_null(found))
                return false;
        return json_encode(found, &text) >= 0 && streq(buffer_text(&text), value);
}

bool metadata_fits(const json_t *task, const OptionList *list)
{
        const json_t *metadata = json_object_get(task, "metadata");

        FOREACH_ARRAY(item, list->items, list->n)
                if (!has(metadata, *item))
                        return false;
        return true;
}
