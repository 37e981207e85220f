/* What the formats write with. What can't stand in a format is escaped where it has escapes, and else
 * becomes U+FFFD: nothing that somebody wrote into a task can look like a part of the format. */

#include "export/writer.h"

#include <math.h>

#include "export/export.h"
#include "export/text.h"
#include "json/encode.h"

#define REPLACEMENT "\xef\xbf\xbd"

void writer_done(Writer *writer)
{
        writer->text.max = EXPORT_LINE_MAX;
        buffer_done(&writer->text);
        writer->error = 0;
}

static void keep(Writer *writer, int r)
{
        if (r < 0 && writer->error == 0)
                writer->error = r;
}

void put_bytes(Writer *writer, const void *data, size_t size)
{
        keep(writer, buffer_append(&writer->text, data, size));
}

void put(Writer *writer, const char *s)
{
        put_bytes(writer, s, strlen(s));
}

void put_f(Writer *writer, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                keep(writer, -ENOMEM);
                return;
        }
        put_bytes(writer, text, (size_t)n);
}

void put_json(Writer *writer, const json_t *value)
{
        keep(writer, json_encode(value, &writer->text));
}

void put_json_text(Writer *writer, const char *s, size_t size)
{
        json_auto_t *text = json_stringn_nocheck(s, size);

        if (text)
                put_json(writer, text);
        else
                keep(writer, -ENOMEM);
}

void put_json_number(Writer *writer, double v)
{
        json_auto_t *number = NULL;

        number = fabs(v) < 1e15 && !(floor(v) < v) ? json_integer((json_int_t)v) : json_real(v);
        if (number)
                put_json(writer, number);
        else
                keep(writer, -ENOMEM);
}

static bool is_formula(const char *s, size_t size)
{
        return size > 0 && memchr("=+-@\t\r", *s, 6);
}

void put_csv(Writer *writer, const char *s, size_t size, bool guard)
{
        bool quote = size == 0 || *s == ' ' || s[size - 1] == ' ', formula = guard && is_formula(s, size);

        FOREACH_ARRAY(c, s, size)
                quote = quote || memchr(",\"\r\n", *c, 4);

        if (quote)
                put(writer, "\"");
        if (formula)
                put(writer, "'");
        for (size_t i = 0; i < size; i++)
                if (s[i] == 0)
                        put(writer, REPLACEMENT);
                else
                        put_bytes(writer, s[i] == '"' ? "\"\"" : s + i, s[i] == '"' ? 2 : 1);
        if (quote)
                put(writer, "\"");
}

/* How a character is written in XML; NULL: as it is. */
static const char *xml_of(uint32_t c)
{
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '\t':
        case '\n':
                return NULL;
        case '\r':
                return "&#13;";
        default:
                return c < 0x20 || c == 0xfffe || c == 0xffff ? REPLACEMENT : NULL;
        }
}

void put_xml(Writer *writer, const char *s, size_t size)
{
        for (size_t i = 0, n; i < size; i += n) {
                const char *text;
                uint32_t c;

                n = text_char(s + i, size - i, &c);
                text = c == 0xfffd ? REPLACEMENT : xml_of(c);
                put_bytes(writer, text ?: s + i, text ? strlen(text) : n);
        }
}
