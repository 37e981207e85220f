/* Cells: what reaches a terminal, and how wide it is. */

#include "test.h"

#include <time.h>

#include "scalectl/text/format.h"
#include "scalectl/text/term.h"

static void test_clean(_unused_ void **state)
{
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "plain", "plain" },
                { "a\tb\nc", "a b c" },
                { "\x1b[31mred", "\xef\xbf\xbd[31mred" },
                { "\xc3\xa9", "\xc3\xa9" },
                { "\xff", "\xef\xbf\xbd" },
                { "\xe2\x80\xae"
                  "abc",
                                "\xef\xbf\xbd"
                                "abc" }, /* would turn the line around */
                { "\xc2\x9b"
                  "0m",
                                "\xef\xbf\xbd"
                                "0m" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *clean = format_clean(c->in);

                assert_string_equal(clean, c->out);
        }
}

static void test_width_and_cut(_unused_ void **state)
{
        assert_int_equal(format_width("abc"), 3);
        assert_int_equal(format_width("\xc3\xa9"), 1);
        assert_int_equal(format_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
        assert_int_equal(format_cut("abcdef", 3), 3);
        assert_int_equal(format_cut("\xe6\x97\xa5\xe6\x9c\xac", 3), 3);
        assert_int_equal(format_cut("ab", 9), 2);
}

static void test_sizes(_unused_ void **state)
{
        char size[FORMAT_SIZE_SIZE];

        assert_string_equal(format_size(0, size), "0");
        assert_string_equal(format_size(512, size), "512");
        assert_string_equal(format_size(1536, size), "1.5K");
        assert_string_equal(format_size(8388608, size), "8.0M");
}

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static void expect_member(const char *name, const char *json, bool utc, const char *text)
{
        json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
        _cleanup_free_ char *got = format_member(name, value, utc);

        assert_string_equal(got, text);
        json_decref(value);
}

static void set_zone(const char *zone)
{
        assert_int_equal(setenv("TZ", zone, 1), 0);
        tzset();
}

static void test_members_of_reports(_unused_ void **state)
{
        set_zone(BERLIN);
        expect_member("hold", "\"operator\"", false, "operator");
        expect_member("since", "\"2016-06-23T09:09:34.752Z\"", false, "2016-06-23 11:09:34");
        expect_member("since", "\"2016-06-23T09:09:34.752Z\"", true, "2016-06-23 09:09:34");
        expect_member("until", "null", false, "-");
        expect_member("oldest", "\"2016-01-23T09:09:34Z\"", false, "2016-01-23 10:09:34");
        expect_member("finished_at", "\"2016-06-23T09:09:34.752Z\"", false, "2016-06-23 11:09:34");
        expect_member("free_bytes", "1536", false, "1.5K");
        expect_member("bytes", "1536", false, "1536");
        expect_member("writable", "true", false, "yes");
        set_zone("UTC");
}

static void test_times_with_their_zone(_unused_ void **state)
{
        static const struct {
                const char *zone, *text;
        } cases[] = {
                { "UTC", "2016-06-23T09:09:34.752Z" },
                { BERLIN, "2016-06-23T11:09:34.752+02:00" },
                { "<+0545>-5:45", "2016-06-23T14:54:34.752+05:45" },
                { "NST3:30NDT,M3.2.0,M11.1.0", "2016-06-23T06:39:34.752-02:30" },
        };
        char buf[FORMAT_ZONED_SIZE];

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                set_zone(c->zone);
                assert_string_equal(format_zoned_time(INT64_C(1466672974752000), buf), c->text);
        }
        set_zone("UTC");
}

static void expect_response(const char *json, const char *text)
{
        json_t *value = json_loads(json, 0, NULL);
        _cleanup_free_ char *got = format_response(value);

        assert_string_equal(got, text);
        json_decref(value);
}

static void test_responses_in_a_few_words(_unused_ void **state)
{
        expect_response("{\"category\":\"big\"}", "big");
        expect_response("{\"choice\":\"yes\"}", "yes");
        expect_response("{\"fields\":{\"title\":\"A\",\"top\":\"B\"}}", "title=A, top=B");
        expect_response("{\"annotations\":[{},{}]}", "2 boxes");
        expect_response("{\"transcript\":\"The avocado\"}", "The avocado");
        expect_response("{\"fields\":[1,2]}", "[1,2]");
        expect_response("{\"category\":[\"a\",\"b\"]}", "[\"a\",\"b\"]");
        expect_response("{}", "{}");
}

/* Whoever wrote a response: none of these values may do anything to a terminal. */
static void test_nothing_of_a_response_is_raw(_unused_ void **state)
{
        static const char evil[] = "\x1b]0;t\x07\xc2\x9b\xe2\x80\xae";
        static const char *const ways[] = { "category", "choice", "error", "transcript", "other" };

        FOREACH_ARRAY(way, ways, ELEMENTSOF(ways)) {
                json_t *texts[] = { json_pack("{s:s}", *way, evil), json_pack("{s:[s]}", *way, evil),
                        json_pack("{s:{s:{s:s}}}", "fields", evil, evil, evil) };

                FOREACH_ARRAY(v, texts, ELEMENTSOF(texts)) {
                        _cleanup_free_ char *got = format_response(*v);

                        assert_non_null(got);
                        for (const char *p = got; *p;) {
                                wchar_t c;

                                p += format_next(p, &c);
                                if (!format_printable(c))
                                        fail_msg("%s: U+%04x in %s", *way, (unsigned)c, got);
                        }
                        json_decref(*v);
                }
        }
}

/* A long value shows its beginning, with others before it or not. */
static void test_long_values_are_cut(_unused_ void **state)
{
        _cleanup_free_ char *got = NULL, *alone = NULL;
        char text[2000];
        json_auto_t *v = NULL;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        v = json_pack("{s:{s:s,s:s}}", "fields", "title", "A", "text", text);
        got = format_response(v);
        assert_memory_equal(got, "title=A, text=xxx", 17);
        assert_true(strlen(got) <= FORMAT_VALUE_MAX);
        assert_string_equal(got + strlen(got) - 4, "x...");
        alone = format_value(json_object_get(json_object_get(v, "fields"), "text"));
        assert_true(strlen(alone) <= FORMAT_VALUE_MAX);
        assert_string_equal(alone + strlen(alone) - 4, "x...");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clean),
                cmocka_unit_test(test_width_and_cut),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_members_of_reports),
                cmocka_unit_test(test_times_with_their_zone),
                cmocka_unit_test(test_responses_in_a_few_words),
                cmocka_unit_test(test_nothing_of_a_response_is_raw),
                cmocka_unit_test(test_long_values_are_cut),
        };

        term_set_locale();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
