/*
 * jansson 2.14 writes numbers with a fixed count of digits: with 17 a 0.3 becomes 0.29999999999999999, with
 * fewer some numbers change. What people read here should be what Scale sent, so numbers are written with
 * the fewest digits that give the same number back, or with those that they came with where a double doesn't
 * hold them; everything else is left to jansson.
 */

#include "json/encode.h"

#include <stdio.h>
#include <string.h>

#include "json/memory.h"

static int encode_real(const json_t *value, Buffer *out)
{
        const double d = json_real_value(value);
        const char *own = json_number_text(value);
        char text[40];

        if (own)
                return buffer_append_str(out, own);
        for (int digits = 15; digits <= 17; digits++) {
                double back;

                snprintf(text, sizeof(text), "%.*g", digits, d);
                back = strtod(text, NULL);
                if (!(back < d) && !(back > d))
                        break;
        }
        if (!strpbrk(text, ".e"))
                strcat(text, ".0"); /* stays a real */
        return buffer_append_str(out, text);
}

static int append_to_buffer(const char *data, size_t size, void *userdata)
{
        return buffer_append(userdata, data, size);
}

static int encode_text(const json_t *string, Buffer *out)
{
        size_t before = out->size;

        if (json_dump_callback(string, append_to_buffer, out, JSON_ENCODE_ANY) >= 0)
                return 0;
        return out->max - before < json_string_length(string) * 6 + 3 ? -ENOBUFS : -ENOMEM;
}

static int encode_object(const json_t *object, Buffer *out)
{
        const char *separator = "{", *name;
        json_t *value;
        int r;

        if (json_object_size(object) == 0)
                return buffer_append_str(out, "{}");

        json_object_foreach((json_t *)(uintptr_t)object, name, value) {
                json_t *text = json_string_nocheck(name);

                r = buffer_append_str(out, separator);
                if (r >= 0)
                        r = text ? encode_text(text, out) : -ENOMEM;
                json_decref(text);
                if (r >= 0)
                        r = buffer_append_str(out, ":");
                if (r >= 0)
                        r = json_encode(value, out);
                if (r < 0)
                        return r;
                separator = ",";
        }
        return buffer_append_str(out, "}");
}

static int encode_array(const json_t *array, Buffer *out)
{
        size_t n = json_array_size(array);
        int r;

        if (n == 0)
                return buffer_append_str(out, "[]");

        for (size_t i = 0; i < n; i++) {
                r = buffer_append_str(out, i == 0 ? "[" : ",");
                if (r >= 0)
                        r = json_encode(json_array_get(array, i), out);
                if (r < 0)
                        return r;
        }
        return buffer_append_str(out, "]");
}

int json_encode(const json_t *value, Buffer *out)
{
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                return encode_object(value, out);
        case JSON_ARRAY:
                return encode_array(value, out);
        case JSON_STRING:
                return encode_text(value, out);
        case JSON_INTEGER:
                return buffer_append_f(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        case JSON_REAL:
                return encode_real(value, out);
        case JSON_TRUE:
                return buffer_append_str(out, "true");
        case JSON_FALSE:
                return buffer_append_str(out, "false");
        case JSON_NULL:
        default:
                return buffer_append_str(out, "null");
        }
}
