/*
 * Answers are handed on as they came: a number that was 0.9 stays 0.9 and is not read into a double and
 * written as 0.90000000000000002. So lists are taken apart, and bodies laid out, on the text itself. The
 * scanner knows just enough for that, strings and brackets; whether a value is JSON at all is jansson's to
 * say, before it is printed.
 */

#include "scalectl/text/json-text.h"

#include "basic/time-util.h"
#include "scalectl/text/format.h"
#include "scalectl/text/term.h"

#define INDENT_STEP 2U
#define INDENT_MAX  128U

static const char *skip_space(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
                p++;

        return p;
}

/* From a quote to behind its counterpart; NULL when there is none. */
static const char *skip_string(const char *p, const char *end)
{
        for (p++; p < end; p++) {
                if (*p == '"')
                        return p + 1;
                if (*p == '\\')
                        p++;
        }

        return NULL;
}

static const char *skip_scalar(const char *p, const char *end)
{
        const char *start = p;

        while (p < end && !strchr(",]} \t\r\n", *p))
                p++;

        return p > start ? p : NULL;
}

static const char *skip_value(const char *p, const char *end)
{
        size_t depth = 0;

        if (p >= end)
                return NULL;
        if (*p == '"')
                return skip_string(p, end);
        if (*p != '{' && *p != '[')
                return skip_scalar(p, end);

        while (p && p < end) {
                if (*p == '"') {
                        p = skip_string(p, end);
                        continue;
                }
                if (*p == '{' || *p == '[')
                        depth++;
                else if ((*p == '}' || *p == ']') && --depth == 0)
                        return p + 1;
                p++;
        }

        return NULL;
}

int json_cursor_init(JsonCursor *cursor, const char *text, size_t size)
{
        const char *end = text + size, *p = skip_space(text, end);

        if (p >= end || (*p != '{' && *p != '['))
                return -EBADMSG;

        *cursor = (JsonCursor){ .p = p + 1, .end = end, .close = *p == '{' ? '}' : ']', .first = true };
        return 0;
}

static int take_name(JsonCursor *cursor, JsonItem *item)
{
        const char *start = cursor->p, *end;

        if (start >= cursor->end || *start != '"')
                return -EBADMSG;
        end = skip_string(start, cursor->end);
        if (!end)
                return -EBADMSG;

        item->name = start + 1;
        item->name_size = (size_t)(end - start) - 2;
        cursor->p = skip_space(end, cursor->end);
        if (cursor->p >= cursor->end || *cursor->p != ':')
                return -EBADMSG;
        cursor->p = skip_space(cursor->p + 1, cursor->end);
        return 0;
}

int json_cursor_next(JsonCursor *cursor, JsonItem *ret)
{
        JsonItem item = {};
        const char *end;

        cursor->p = skip_space(cursor->p, cursor->end);
        if (cursor->p < cursor->end && *cursor->p == cursor->close)
                return 0;
        if (!cursor->first) {
                if (cursor->p >= cursor->end || *cursor->p != ',')
                        return -EBADMSG;
                cursor->p = skip_space(cursor->p + 1, cursor->end);
        }
        cursor->first = false;

        if (cursor->close == '}' && take_name(cursor, &item) < 0)
                return -EBADMSG;
        end = skip_value(cursor->p, cursor->end);
        if (!end)
                return -EBADMSG;

        item.text = cursor->p;
        item.size = (size_t)(end - cursor->p);
        cursor->p = end;
        *ret = item;
        return 1;
}

int json_text_member(const char *text, size_t size, const char *name, JsonItem *ret)
{
        JsonCursor c;
        JsonItem item;
        int r;

        r = json_cursor_init(&c, text, size);
        if (r < 0)
                return r;
        if (c.close != '}')
                return 0;

        while ((r = json_cursor_next(&c, &item)) > 0)
                if (item.name_size == strlen(name) && memcmp(item.name, name, item.name_size) == 0) {
                        *ret = item;
                        return 1;
                }

        return r;
}

static void print_escape(unsigned c, FILE *f)
{
        if (c > 0xffff) {
                (void)fprintf(f, "\\u%04x", 0xd800U + ((c - 0x10000U) >> 10));
                c = 0xdc00U + ((c - 0x10000U) & 0x3ffU);
        }
        (void)fprintf(f, "\\u%04x", c);
}

/* A string with its quotes. A valid one has no control characters below 0x20, but there are others. */
static void print_string(const char *p, const char *end, FILE *f)
{
        while (p < end) {
                wchar_t c;
                size_t n = format_next(p, &c);

                if (c == 0xfffd) /* a byte that is no UTF-8 may be a control character to a terminal */
                        (void)fputs("\xef\xbf\xbd", f);
                else if (format_printable(c))
                        (void)fwrite(p, 1, n, f);
                else
                        print_escape((unsigned)c, f);
                p += n;
        }
}

void json_text_print_line(const char *text, size_t size, bool terminal, FILE *f)
{
        const char *p = text, *end = text + size;

        while ((p = skip_space(p, end)) < end) {
                const char *next = *p == '"' ? skip_string(p, end) : p + 1;

                if (!next)
                        next = end;
                if (terminal)
                        print_string(p, next, f);
                else
                        (void)fwrite(p, 1, (size_t)(next - p), f);
                p = next;
        }
        (void)fputc('\n', f);
}

/* A text laid out, so far. */
typedef struct Layout {
        const JsonLook *look;
        const char *end;
        unsigned depth;
        bool time; /* the value at hand is one of the object's own times */
        FILE *f;
} Layout;

/* A string with its quotes that is a time, in the reader's zone. Whether it is one. */
static bool print_time(const char *p, const char *end, FILE *f)
{
        char text[64], zoned[FORMAT_ZONED_SIZE];
        size_t n = (size_t)(end - p);
        int64_t t;

        if (n < 2 || n - 2 >= sizeof(text))
                return false;
        memcpy(text, p + 1, n - 2);
        text[n - 2] = 0;
        if (time_parse(text, &t) < 0)
                return false;

        (void)fprintf(f, "\"%s\"", format_zoned_time(t, zoned));
        return true;
}

/* A string or a scalar, coloured by what it is. */
static const char *print_leaf(Layout *layout, const char *p)
{
        const char *next = *p == '"' ? skip_string(p, layout->end) : skip_scalar(p, layout->end);
        const char *after, *sgr = SGR_YELLOW;
        bool is_name = false, is_time = layout->time;

        if (!next)
                next = p + 1;
        if (*p == '"') {
                after = skip_space(next, layout->end);
                is_name = after < layout->end && *after == ':';
                sgr = is_name ? SGR_BLUE : SGR_GREEN;
        }
        layout->time = is_name && layout->look->zone && layout->depth == 1 &&
                       format_names_time(p + 1, (size_t)(next - p) - 2);

        (void)fputs(layout->look->colour ? sgr : "", layout->f);
        if (!is_time || *p != '"' || !print_time(p, next, layout->f))
                print_string(p, next, layout->f);
        (void)fputs(layout->look->colour ? SGR_RESET : "", layout->f);
        return next;
}

static void print_break(const Layout *layout)
{
        unsigned n = MIN(layout->look->indent + layout->depth * INDENT_STEP, INDENT_MAX);

        (void)fprintf(layout->f, "\n%*s", (int)n, "");
}

/* An opening bracket; an empty container stays on its line. */
static const char *print_open(Layout *layout, const char *p)
{
        const char *next = skip_space(p + 1, layout->end);

        layout->time = false;
        (void)fputc(*p, layout->f);
        if (next < layout->end && (*next == '}' || *next == ']')) {
                (void)fputc(*next, layout->f);
                return next + 1;
        }

        layout->depth++;
        print_break(layout);
        return p + 1;
}

void json_text_print(const char *text, size_t size, const JsonLook *look, FILE *f)
{
        Layout l = { .look = look, .end = text + size, .f = f };
        const char *p = text;

        (void)fprintf(f, "%*s", (int)look->indent, "");
        while ((p = skip_space(p, l.end)) < l.end)
                switch (*p) {
                case '{':
                case '[':
                        p = print_open(&l, p);
                        break;
                case '}':
                case ']':
                        l.depth -= l.depth > 0;
                        print_break(&l);
                        (void)fputc(*p++, f);
                        break;
                case ',':
                        (void)fputc(*p++, f);
                        print_break(&l);
                        break;
                case ':':
                        (void)fputs(": ", f);
                        p++;
                        break;
                default:
                        p = print_leaf(&l, p);
                }
}
