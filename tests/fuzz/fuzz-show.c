/*
 * Any bytes as an answer that scalectl shows: taken apart on the text, laid out, in a table, on a terminal.
 * What must hold: the scanner finds what the parser finds; what is laid out is the same JSON as before;
 * nothing that goes to a terminal can steer it.
 */

#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>

#include "basic/buffer.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"
#include "scalectl/text/term.h"
#include "task/value.h"

#define FLAGS (JSON_ALLOW_NUL | JSON_DECODE_ANY)

/* Characters that may reach a terminal, and line ends and tabs where they are wanted. */
static void check_safe(const char *text, const char *also)
{
        wchar_t c;

        while (*text) {
                text += format_next(text, &c);
                assert(c != 0xfffd || true);
                assert(format_printable(c) || (c < 0x80 && strchr(also, (int)c)));
        }
}

static char *print(void (*fn)(const char *text, size_t size, FILE *f), const char *text, size_t size)
{
        char *out = NULL;
        size_t n;
        FILE *f = open_memstream(&out, &n);

        assert(f);
        fn(text, size, f);
        assert(fclose(f) == 0);
        return out;
}

static void print_line(const char *text, size_t size, FILE *f)
{
        json_text_print_line(text, size, false, f);
}

static void print_line_safely(const char *text, size_t size, FILE *f)
{
        json_text_print_line(text, size, true, f);
}

static void print_pretty(const char *text, size_t size, FILE *f)
{
        json_text_print(text, size, &(JsonLook){ .indent = 4 }, f);
}

static void filter(const char *text, size_t size, FILE *f)
{
        TermFilter t = {};
        size_t half = size / 2;

        assert(term_filter(&t, text, half, f) == 0);
        assert(term_filter(&t, text + half, size - half, f) == 0);
        assert(term_filter_end(&t, f) == 0);
}

static void check_print(const json_t *value, const char *text, size_t size)
{
        static const struct {
                void (*fn)(const char *text, size_t size, FILE *f);
                bool safe;
        } ways[] = {
                { print_line, false },
                { print_line_safely, true },
                { print_pretty, true },
        };

        FOREACH_ARRAY(w, ways, ELEMENTSOF(ways)) {
                _cleanup_free_ char *out = print(w->fn, text, size);
                json_t *again = json_loads(out, FLAGS, NULL);

                assert(again && value_equal(value, again));
                if (w->safe)
                        check_safe(out, "\n");
                json_decref(again);
        }
}

/* Every member that the scanner gives is the parser's, in number and in order. */
static void check_cursor(const json_t *value, const char *text, size_t size)
{
        size_t n = 0;
        JsonCursor c;
        JsonItem item;

        assert(json_cursor_init(&c, text, size) == 0);
        while (json_cursor_next(&c, &item) > 0) {
                json_t *member = json_loadb(item.text, item.size, FLAGS, NULL);

                assert(member);
                if (json_is_array(value))
                        assert(value_equal(member, json_array_get(value, n)));
                json_decref(member);
                n++;
        }
        assert(json_cursor_next(&c, &item) == 0);
        assert(n == (json_is_array(value) ? json_array_size(value) : json_object_size(value)));
}

static void check_member(const json_t *value, const char *text, size_t size)
{
        json_t *docs = json_object_get(value, "docs"), *again;
        JsonItem item;

        if (!docs || !json_is_object(value) || memmem(text, size, "\\u00", 4))
                return; /* a name that is escaped is not found on the text */
        assert(json_text_member(text, size, "docs", &item) == 1);
        again = json_loadb(item.text, item.size, FLAGS, NULL);
        assert(again && value_equal(docs, again));
        json_decref(again);
}

static void check_cells(const json_t *value)
{
        char buf[FORMAT_TIME_SIZE];
        char *cell = format_value(value), *few = format_response(value);

        assert(cell && few);
        check_safe(cell, "");
        check_safe(few, "");
        assert(format_cut(cell, format_width(cell)) == strlen(cell));
        assert(format_cut(cell, 10) <= strlen(cell));
        check_safe(format_json_time(value, true, buf), "");
        free(cell);
        free(few);
}

/* What is no JSON, too, may be walked, and goes to a terminal when a body is shown. */
static void try_any(const char *text, size_t size)
{
        _cleanup_free_ char *filtered = print(filter, text, size), *clean = format_clean(text);
        JsonCursor c;
        JsonItem item;

        check_safe(filtered, "\n\t");
        check_safe(clean, "");
        assert(strlen(clean) <= 3 * size);
        if (json_cursor_init(&c, text, size) == 0)
                while (json_cursor_next(&c, &item) > 0)
                        assert(item.text >= text && item.size > 0 && item.text + item.size <= text + size);
        free(print(print_line_safely, text, size));
        free(print(print_pretty, text, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = calloc(1, size + 1);
        static bool done;
        json_t *value, *strict;

        assert(text);
        if (!done)
                term_set_locale();
        done = true;
        if (size > 0)
                memcpy(text, data, size);
        try_any(text, size);
        if (memchr(text, 0, size) || !(value = json_loadb(text, size, JSON_ALLOW_NUL, NULL)))
                return 0;
        strict = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        check_print(value, text, size);
        if (strict) {
                check_cursor(value, text, size);
                check_member(value, text, size);
        }
        check_cells(value);
        json_decref(strict);
        json_decref(value);
        return 0;
}
