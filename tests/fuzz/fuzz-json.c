/*
 * Any bytes to the quick reader of JSON. What must hold: whatever it takes, jansson takes, and makes the
 * same of it, whether a number is whole and which sign zero has included. What it leaves alone proves
 * nothing.
 */

#include "fuzz.h"

#include "task/json-read.h"

static void check_same(const json_t *a, const json_t *b)
{
        const char *name;
        json_t *value;
        size_t i;

        assert(json_typeof(a) == json_typeof(b));
        if (json_is_real(a)) {
                double x = json_real_value(a), y = json_real_value(b);

                assert(memcmp(&x, &y, sizeof(x)) == 0);
        } else if (json_is_array(a)) {
                assert(json_array_size(a) == json_array_size(b));
                json_array_foreach((json_t *)(uintptr_t)a, i, value)
                        check_same(value, json_array_get(b, i));
        } else if (json_is_object(a)) {
                assert(json_object_size(a) == json_object_size(b));
                json_object_foreach((json_t *)(uintptr_t)a, name, value)
                        check_same(value, json_object_get(b, name));
        } else
                assert(json_equal(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        json_auto_t *quick = json_read_ordinary(text, size, 64), *slow = NULL;

        if (!quick)
                return 0;
        slow = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        assert(slow);
        check_same(quick, slow);
        return 0;
}
