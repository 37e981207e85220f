/* JSON walked and laid out as text. */

#include "test.h"

#include <stdio.h>
#include <time.h>

#include "scalectl/text/json-text.h"
#include "scalectl/text/term.h"

static void expect_look(const JsonLook *look, const char *in, const char *out)
{
        char buf[512] = "";
        FILE *f = fmemopen(buf, sizeof(buf), "w");

        json_text_print(in, strlen(in), look, f);
        fclose(f);
        assert_string_equal(buf, out);
}

static void expect_print(const char *in, const char *out)
{
        expect_look(&(JsonLook){}, in, out);
}

static void expect_line_on(bool terminal, const char *in, const char *out)
{
        char buf[512] = "";
        FILE *f = fmemopen(buf, sizeof(buf), "w");

        json_text_print_line(in, strlen(in), terminal, f);
        fclose(f);
        assert_string_equal(buf, out);
}

static void expect_line(const char *in, const char *out)
{
        expect_line_on(false, in, out);
}

static void test_print(_unused_ void **state)
{
        expect_print("{}", "{}");
        expect_print("{\"a\":[1,2.50,{\"b\":null}],\"c\":\"x\\\"y\"}",
                        "{\n  \"a\": [\n    1,\n    2.50,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": "
                        "\"x\\\"y\"\n}");
        expect_print("[]", "[]");
}

/* Copies `in` with what stands for %s. */
static void fill_in(char ret[static 256], const char *in, const char *text)
{
        const char *gap = strstr(in, "%s");

        assert_non_null(gap);
        snprintf(ret, 256, "%.*s%s%s", (int)(gap - in), in, text, gap + 2);
}

/* Times of the object itself, not those that somebody wrote into it, nor texts that only look like one. */
static void test_times_in_the_readers_zone(_unused_ void **state)
{
        static const JsonLook look = { .zone = true };
        static const char time[] = "2016-06-23T09:09:34.752Z";
        char in[256], out[256];
        static const struct {
                const char *in, *out;
                bool shifted;
        } cases[] = {
                { "{\"created_at\":\"%s\"}", "{\n  \"created_at\": \"%s\"\n}", true },
                { "{ \"since\" : \"%s\" }", "{\n  \"since\": \"%s\"\n}", true },
                { "{\"title\":\"%s\"}", "{\n  \"title\": \"%s\"\n}", false },
                { "{\"created_at\":[\"%s\"]}", "{\n  \"created_at\": [\n    \"%s\"\n  ]\n}", false },
                { "{\"params\":{\"at_at\":\"%s\"}}", "{\n  \"params\": {\n    \"at_at\": \"%s\"\n  }\n}",
                                false },
                { "{\"a_at\":1,\"b\":\"%s\"}", "{\n  \"a_at\": 1,\n  \"b\": \"%s\"\n}", false },
                { "[\"a_at\",\"%s\"]", "[\n  \"a_at\",\n  \"%s\"\n]", false },
                { "{\"a_at\":\"%s \"}", "{\n  \"a_at\": \"%s \"\n}", false },
        };

        assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
        tzset();
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                fill_in(in, c->in, time);
                fill_in(out, c->out, c->shifted ? "2016-06-23T11:09:34.752+02:00" : time);
                expect_look(&look, in, out);
                fill_in(out, c->out, time);
                expect_print(in, out);
        }
        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        tzset();
}

static void test_lines(_unused_ void **state)
{
        expect_line("{\"a\":1,\"b\":\"x y\"}", "{\"a\":1,\"b\":\"x y\"}\n");
        expect_line("{ \"a\" : 1.0 ,\n\"b\" : [ ] }", "{\"a\":1.0,\"b\":[]}\n");
}

/* As it was written for programs; for a terminal with escapes, which leave the values what they are. */
static void test_lines_on_a_terminal(_unused_ void **state)
{
        static const char text[] = "{\"a\":\"\xc2\x9b\x7f\xe2\x80\xae\xc3\xa9\"}";

        expect_line(text, "{\"a\":\"\xc2\x9b\x7f\xe2\x80\xae\xc3\xa9\"}\n");
        expect_line_on(true, text, "{\"a\":\"\\u009b\\u007f\\u202e\xc3\xa9\"}\n");
        expect_line_on(true, "{\"a\":\"\xf3\xa0\x80\x81\"}", "{\"a\":\"\\udb40\\udc01\"}\n");
        expect_line_on(true, "\"\x9b\xff\x1b\"", "\"\xef\xbf\xbd\xef\xbf\xbd\\u001b\"\n");
        expect_print("[\"\x9b\xc2\x9b\"]", "[\n  \"\xef\xbf\xbd\\u009b\"\n]");
}

static void test_members(_unused_ void **state)
{
        static const char text[] = "{\"docs\":[{\"a\":\"]}\"},2],\"next\":\"5.7\",\"has_more\":true}";
        JsonCursor c;
        JsonItem item;

        assert_int_equal(json_text_member(text, strlen(text), "next", &item), 1);
        assert_int_equal(item.size, 5);
        assert_memory_equal(item.text, "\"5.7\"", 5);
        assert_int_equal(json_text_member(text, strlen(text), "nope", &item), 0);
        assert_int_equal(json_text_member(text, strlen(text), "docs", &item), 1);
        assert_int_equal(json_cursor_init(&c, item.text, item.size), 0);
        assert_int_equal(json_cursor_next(&c, &item), 1);
        assert_int_equal(item.size, strlen("{\"a\":\"]}\"}"));
        assert_int_equal(json_cursor_next(&c, &item), 1);
        assert_memory_equal(item.text, "2", 1);
        assert_int_equal(json_cursor_next(&c, &item), 0);
}

static void test_broken(_unused_ void **state)
{
        static const char *const texts[] = { "", "x", "{\"a\"", "{\"a\":", "{\"a\":1" };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                JsonItem item;

                if (json_text_member(*t, strlen(*t), "zz", &item) != -EBADMSG)
                        fail_msg("%s", *t);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_print),
                cmocka_unit_test(test_times_in_the_readers_zone),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_lines_on_a_terminal),
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_broken),
        };

        term_set_locale();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
