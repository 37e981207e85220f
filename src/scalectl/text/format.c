/*
 * Cells. Whatever comes out of the store was once written by somebody else, so nothing of it reaches a
 * terminal before format_clean(): no escape sequence, no line end that would fake a row, no direction mark
 * that would turn one around. What is shown of a value is bounded; the whole of it is what `task`,
 * `delivery` and --json are for.
 */

#include "scalectl/text/format.h"

#include <stdio.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "basic/buffer.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "json/memory.h"

#define REPLACEMENT      0xfffd
#define REPLACEMENT_UTF8 "\xef\xbf\xbd"

size_t format_next(const char *s, wchar_t *ret)
{
        mbstate_t state = {};
        wchar_t c;
        size_t n;

        n = mbrtowc(&c, s, MB_CUR_MAX, &state);
        if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
                *ret = REPLACEMENT;
                return 1;
        }

        *ret = c;
        return n;
}

/* Marks that turn the direction of what follows, and other invisible ones. */
static bool is_hidden(wchar_t c)
{
        static const struct {
                wchar_t first, last;
        } ranges[] = {
                { 0x061c, 0x061c }, /* a mark of direction */
                { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff },
                { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff }, /* tags: a second text that nobody sees */
        };

        FOREACH_ARRAY(r, ranges, ELEMENTSOF(ranges))
                if (c >= r->first && c <= r->last)
                        return true;
        return false;
}

bool format_printable(wchar_t c)
{
        return !is_hidden(c) && iswprint((wint_t)c);
}

static size_t char_width(wchar_t c)
{
        int w = wcwidth(c);

        return w < 0 ? 1 : (size_t)w;
}

size_t format_width(const char *s)
{
        size_t width = 0;

        for (wchar_t c; *s; width += char_width(c))
                s += format_next(s, &c);

        return width;
}

size_t format_cut(const char *s, size_t width)
{
        size_t i = 0;

        while (s[i]) {
                wchar_t c;
                size_t n = format_next(s + i, &c);

                if (char_width(c) > width)
                        break;
                width -= char_width(c);
                i += n;
        }

        return i;
}

char *format_clean(const char *s)
{
        /* A byte becomes three at most. */
        char *clean = malloc(strlen(s) * (sizeof(REPLACEMENT_UTF8) - 1) + 1), *to = clean;

        if (!clean)
                return NULL;

        while (*s) {
                wchar_t c;
                size_t n = format_next(s, &c);

                if (c == '\n' || c == '\r' || c == '\t')
                        *to++ = ' ';
                else if (c == REPLACEMENT || !format_printable(c))
                        to = stpcpy(to, REPLACEMENT_UTF8);
                else
                        to = mempcpy(to, s, n);
                s += n;
        }
        *to = 0;

        return clean;
}

const char *format_time(int64_t t, bool utc, char buf[static FORMAT_TIME_SIZE])
{
        time_t seconds = (time_t)(t / (int64_t)USEC_PER_SEC);
        struct tm tm;

        if (!(utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)) ||
                        strftime(buf, FORMAT_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                strcpy(buf, "?");

        return buf;
}

const char *format_json_time(const json_t *v, bool utc, char buf[static FORMAT_TIME_SIZE])
{
        const char *s = json_string_value(v);
        int64_t t;

        if (!v || json_is_null(v))
                strcpy(buf, "");
        else if (!s || time_parse(s, &t) < 0)
                strcpy(buf, "?");
        else
                (void)format_time(t, utc, buf);

        return buf;
}

static bool ends_with(const char *name, size_t size, const char *end)
{
        size_t n = strlen(end);

        return size >= n && memcmp(name + size - n, end, n) == 0;
}

bool format_names_time(const char *name, size_t size)
{
        static const char *const names[] = { "since", "until", "oldest" };

        FOREACH_ARRAY(i, names, ELEMENTSOF(names))
                if (strlen(*i) == size && memcmp(*i, name, size) == 0)
                        return true;
        return ends_with(name, size, "_at");
}

const char *format_zoned_time(int64_t t, char buf[static FORMAT_ZONED_SIZE])
{
        time_t seconds = (time_t)(t / (int64_t)USEC_PER_SEC);
        struct tm tm;
        long minutes;

        (void)time_format(t, buf);
        if (!localtime_r(&seconds, &tm) || tm.tm_gmtoff / 60 == 0)
                return buf;

        minutes = tm.tm_gmtoff / 60;
        (void)time_format(t + (int64_t)minutes * 60 * (int64_t)USEC_PER_SEC, buf);
        (void)snprintf(strchr(buf, 'Z'), sizeof("+hh:mm"), "%c%02u:%02u", minutes < 0 ? '-' : '+',
                        (unsigned)labs(minutes) / 60 % 24, (unsigned)labs(minutes) % 60);
        return buf;
}

const char *format_size(uint64_t bytes, char buf[static FORMAT_SIZE_SIZE])
{
        static const char units[] = "KMGTPE";
        double v = (double)bytes;
        int unit = -1;

        /* 1023.95 would be rounded to "1024.0". */
        for (; v >= 1023.95 && units[unit + 1]; unit++)
                v /= 1024;

        if (unit < 0)
                (void)snprintf(buf, FORMAT_SIZE_SIZE, "%u", (unsigned)bytes);
        else
                (void)snprintf(buf, FORMAT_SIZE_SIZE, "%.1f%c", v, units[unit]);

        return buf;
}

/* A clean copy of at most FORMAT_VALUE_MAX bytes, cut between characters, with "..." behind it where cut. */
static char *copy_bounded(const char *s)
{
        _cleanup_free_ char *front = NULL;
        size_t n = 0;

        if (strlen(s) <= FORMAT_VALUE_MAX)
                return format_clean(s);

        for (wchar_t c; n < FORMAT_VALUE_MAX - 8;)
                n += format_next(s + n, &c);
        if (asprintf(&front, "%.*s...", (int)n, s) < 0) {
                front = NULL;
                return NULL;
        }

        return format_clean(front);
}

typedef struct Sink {
        char data[FORMAT_VALUE_MAX + 16];
        size_t size;
} Sink;

/* Takes compact JSON until there is enough of it for copy_bounded() to see that it is too long. */
static int sink_take(const char *data, size_t size, void *userdata)
{
        Sink *sink = userdata;
        size_t n = MIN(size, sizeof(sink->data) - 1 - sink->size);

        memcpy(sink->data + sink->size, data, n);
        sink->size += n;
        return n < size ? -1 : 0;
}

char *format_value(const json_t *v)
{
        Sink sink = {};

        if (!v || json_is_null(v))
                return strdup("");
        if (json_is_string(v) || json_number_text(v))
                return copy_bounded(json_string_value(v) ?: json_number_text(v));

        /* Cut by the sink or whole: both are what is wanted. Six digits of a number are enough for a cell.
         */
        (void)json_dump_callback(
                        v, sink_take, &sink, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        sink.data[sink.size] = 0;
        return copy_bounded(sink.data);
}

char *format_member(const char *name, const json_t *v, bool utc)
{
        char time[FORMAT_TIME_SIZE], size[FORMAT_SIZE_SIZE];

        if (!v || json_is_null(v))
                return strdup("-");
        if (json_is_boolean(v))
                return strdup(json_is_true(v) ? "yes" : "no");
        if (json_is_string(v) && format_names_time(name, strlen(name)))
                return strdup(format_json_time(v, utc, time));
        if (json_is_integer(v) && ends_with(name, strlen(name), "_bytes"))
                return strdup(format_size((uint64_t)json_integer_value(v), size));
        return format_value(v);
}

/* "key=value, key=value": as many as there is room for. */
static char *format_fields(const json_t *fields)
{
        _cleanup_buffer_ Buffer b = BUFFER_INIT((size_t)8 * FORMAT_VALUE_MAX); /* with the last one whole */
        const char *key;
        json_t *v;

        if (!json_is_object(fields))
                return format_value(fields);

        json_object_foreach((json_t *)(uintptr_t)fields, key, v) {
                _cleanup_free_ char *name = copy_bounded(key), *text = format_value(v);

                if (!name || !text || buffer_append_f(&b, "%s%s=%s", b.size > 0 ? ", " : "", name, text) < 0)
                        return NULL;
                if (b.size > FORMAT_VALUE_MAX)
                        break;
        }

        return copy_bounded(buffer_text(&b));
}

static char *format_annotations(const json_t *annotations)
{
        size_t n = json_array_size(annotations);
        char *s;

        return asprintf(&s, "%zu %s", n, n == 1 ? "box" : "boxes") < 0 ? NULL : s;
}

char *format_response(const json_t *response)
{
        static const struct {
                const char *member;
                char *(*format)(const json_t *v);
        } ways[] = {
                { "category", format_value },
                { "choice", format_value },
                { "error", format_value },
                { "fields", format_fields },
                { "annotations", format_annotations },
                { "transcript", format_value },
        };

        FOREACH_ARRAY(way, ways, ELEMENTSOF(ways)) {
                const json_t *v = json_object_get(response, way->member);

                if (v && !json_is_null(v))
                        return way->format(v);
        }

        return format_value(response);
}
