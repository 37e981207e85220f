/*
 * The one place where jansson reads text of others. It keeps apart what is wrong with the text and what is
 * wrong with us (json-memory.c).
 *
 * And jansson 2.14 reads past a NUL byte that follows a number or a literal, as if it were not there. What
 * was taken for JSON here would be none for whoever reads it after us, so such a byte is refused: it can
 * stand nowhere in JSON. An escaped one is a character as any other, for everybody: who takes a text in must
 * not hand it on to one of us that can't read it.
 */

#include "task/json.h"

#include <stdio.h>

#include "basic/buffer.h"
#include "task/json-memory.h"

/* What jansson would have said. */
static void refuse_nul(const char *text, size_t at, json_error_t *error)
{
        *error = (json_error_t){ .line = 1, .position = (int)MIN(at, (size_t)INT32_MAX) };
        for (size_t i = 0; i < at; i++) {
                error->column++;
                if (text[i] == '\n') {
                        error->line++;
                        error->column = 0;
                }
        }
        snprintf(error->text, sizeof(error->text), "a NUL byte");
}

/* Whether a number can be no json_int_t: a whole one, and too large. */
static bool is_beyond(const char *number, size_t size)
{
        bool negative = *number == '-';
        const char *limit = negative ? "9223372036854775808" : "9223372036854775807";
        const size_t n = strlen(limit);

        number += negative;
        size -= negative;
        if (strspn(number, "0123456789") < size) /* ends at what follows it, at the latest */
                return false;
        return size > n || (size == n && memcmp(number, limit, n) > 0);
}

/* The text with ".0" behind whole numbers that are too large, so that they are read as what every other
 * number is that doesn't fit: the nearest double, as in JavaScript. */
static int widen_numbers(const char *text, size_t size, Buffer *out)
{
        static const char in_numbers[] = "+-.0123456789Ee";
        const char *end = text + size, *done = text;
        bool in_text = false;
        int r = 0;

        for (const char *p = text; p < end && r >= 0;) {
                const char *number = p;

                if (in_text || !memchr("-0123456789", *p, 11)) {
                        if (*p == '\\' && in_text && p + 1 < end)
                                p++;
                        else if (*p == '"')
                                in_text = !in_text;
                        p++;
                        continue;
                }
                while (p < end && memchr(in_numbers, *p, sizeof(in_numbers) - 1))
                        p++;
                if (p < end && is_beyond(number, (size_t)(p - number))) {
                        r = buffer_append(out, done, (size_t)(p - done));
                        if (r >= 0)
                                r = buffer_append_str(out, ".0");
                        done = p;
                }
        }
        return r < 0 ? r : buffer_append(out, done, (size_t)(end - done));
}

static int parse_once(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error)
{
        JsonReserve reserve;
        json_t *value;
        int r;

        r = json_reserve_enter(&reserve, size);
        if (r < 0)
                return r;
        value = json_loadb(text, size, flags | JSON_ALLOW_NUL, ret_error);
        if (!json_reserve_leave(&reserve, &value))
                return -ENOMEM;
        if (!value)
                return -EBADMSG;
        *ret = value;
        return 0;
}

int json_parse(const void *text, size_t size, size_t flags, json_t **ret, json_error_t *ret_error)
{
        const char *nul = size > 0 ? memchr(text, 0, size) : NULL;
        _cleanup_buffer_ Buffer wide = BUFFER_INIT(size + size / 8 + 16);
        json_error_t error;
        int r;

        if (nul) {
                if (ret_error)
                        refuse_nul(text, (size_t)(nul - (const char *)text), ret_error);
                return -EBADMSG;
        }

        r = parse_once(text, size, flags, ret, &error);
        if (r == -EBADMSG && json_error_code(&error) == json_error_numeric_overflow) {
                r = widen_numbers(text, size, &wide);
                if (r >= 0)
                        r = parse_once(buffer_text(&wide), wide.size, flags, ret, &error);
        }
        if (r == -EBADMSG && ret_error)
                *ret_error = error;
        return r;
}
