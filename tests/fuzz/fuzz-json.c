/*
 * Any bytes to the reader of JSON. What must hold: it takes what jansson takes, and makes the same of it,
 * whether a number is whole and which sign zero has included; a number that it keeps the digits of lies as
 * near as jansson's. And what it takes besides is nothing but half characters and numbers that are too
 * large: with those out of the way jansson takes the text as well.
 */

#include "fuzz.h"

#include "basic/buffer.h"
#include "json/memory.h"
#include "json/read.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)
#define DEPTH 2048U

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

/* Which half of a character an escape at `p` is: 1, 2, or 0. */
static int half_at(const char *p, const char *end)
{
        char digits[5] = "";
        unsigned long unit;

        if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
                return 0;
        memcpy(digits, p + 2, 4);
        unit = strtoul(digits, NULL, 16);
        return unit >= 0xd800 && unit < 0xdc00 ? 1 : unit >= 0xdc00 && unit < 0xe000 ? 2 : 0;
}

/* An escape of a text: half a character becomes one. Returns what is behind it. */
static const char *copy_escape(const char *p, const char *end, Buffer *out)
{
        size_t n = MIN((size_t)(end - p), 2U);
        int half = half_at(p, end);

        if (half == 1 && half_at(p + 6, end) == 2)
                n = 12;
        else if (half != 0) {
                assert(buffer_append_str(out, "\\ufffd") == 0);
                return p + 6;
        }
        assert(buffer_append(out, p, n) == 0);
        return p + n;
}

/* A number: one that is beyond what jansson takes becomes another. Returns what is behind it. */
static const char *copy_number(const char *p, const char *end, Buffer *out)
{
        const char *start = p;
        json_t *number;

        while (p < end && memchr("+-.0123456789Ee", *p, 15))
                p++;
        number = json_read_number(start, (size_t)(p - start));
        assert((number && json_number_text(number) ? buffer_append_str(out, "0.5")
                                                   : buffer_append(out, start, (size_t)(p - start))) == 0);
        json_decref(number);
        return p;
}

static void make_ordinary(const char *text, size_t size, Buffer *out)
{
        const char *end = text + size;
        bool in_text = false;

        for (const char *p = text; p < end;) {
                if (in_text && *p == '\\')
                        p = copy_escape(p, end, out);
                else if (!in_text && memchr("-0123456789", *p, 11))
                        p = copy_number(p, end, out);
                else {
                        in_text ^= *p == '"';
                        assert(buffer_append(out, p++, 1) == 0);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_buffer_ Buffer ordinary = BUFFER_INIT(2 * size + 16);
        json_auto_t *ours = NULL, *slow = NULL;
        const char *text = (const char *)data;
        JsonFindings findings;
        int r;

        r = json_read(text, size, DEPTH, JSON_REJECT_DUPLICATES, &ours, &findings);
        assert(r == 0 || r == -EBADMSG);
        if (memchr(text, 0, size)) { /* jansson reads past some */
                assert(r < 0);
                return 0;
        }
        slow = json_loadb(text, size, FLAGS, NULL);
        if (slow) {
                assert(r == 0);
                check_same(ours, slow);
        } else if (r == 0) {
                make_ordinary(text, size, &ordinary);
                slow = json_loadb(buffer_text(&ordinary), ordinary.size, FLAGS, NULL);
                assert(slow);
        }
        return 0;
}
