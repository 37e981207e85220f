/* The reader makes the same values as jansson, and takes what it takes; and two things besides. */

#include "test.h"

#include <stdio.h>

#include "json/encode.h"
#include "json/memory.h"
#include "json/read.h"

#define DEPTH 64U

static json_t *load(const char *text, size_t size)
{
        return json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

static json_t *read_text(const char *text, size_t size)
{
        JsonFindings findings;
        json_t *value = NULL;

        return json_read(text, size, DEPTH, JSON_REJECT_DUPLICATES, &value, &findings) == 0 ? value : NULL;
}

/* json_equal() takes 0.0 and -0.0 for the same. */
static bool is_same(const json_t *a, const json_t *b)
{
        const char *name;
        json_t *value;
        size_t i;

        if (json_typeof(a) != json_typeof(b))
                return false;
        if (json_is_real(a)) {
                double x = json_real_value(a), y = json_real_value(b);

                return memcmp(&x, &y, sizeof(x)) == 0;
        }
        if (json_is_array(a)) {
                json_array_foreach((json_t *)(uintptr_t)a, i, value)
                        if (!json_array_get(b, i) || !is_same(value, json_array_get(b, i)))
                                return false;
                return json_array_size(a) == json_array_size(b);
        }
        if (json_is_object(a)) {
                json_object_foreach((json_t *)(uintptr_t)a, name, value)
                        if (!json_object_get(b, name) || !is_same(value, json_object_get(b, name)))
                                return false;
                return json_object_size(a) == json_object_size(b);
        }
        return json_equal(a, b);
}

/* Numbers with more digits than jansson takes are what the texts below can become by a change of one byte.
 */
static bool has_number_with_text(const json_t *value)
{
        const char *name;
        json_t *member;
        size_t i;

        json_array_foreach((json_t *)(uintptr_t)value, i, member)
                if (has_number_with_text(member))
                        return true;
        json_object_foreach((json_t *)(uintptr_t)value, name, member)
                if (has_number_with_text(member))
                        return true;
        return json_number_text(value);
}

/* True when both take the text. */
static bool agree(const char *text, size_t size)
{
        json_auto_t *ours = read_text(text, size), *slow = load(text, size);

        if ((ours && !slow && has_number_with_text(ours)) || (!ours && memchr(text, 0, size)))
                return false; /* jansson reads past some NULs */
        if (!ours != !slow || (ours && !is_same(ours, slow)))
                fail_msg("%.*s is %s for jansson", (int)size, text, slow ? "another value" : "no JSON");
        return ours;
}

static const char *const ordinary[] = {
        "{}",
        " {\r\n\t} \n",
        "{\"a\":[]}",
        "{\"a\" : [ ] , \"b\" : { } }",
        "{\"a\":[1,[2,{\"b\":[3]}],null,true,false,\"x\"]}",
        "{\"\":\"\"}",
        "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u0041\\u00e9\\u20AC\\u0000z\"}",
        "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x90\x84 \x7f\"}",
        "{\"a\":[0,-0,7,-7,123456789012345678,-999999999999999999]}",
        "{\"a\":[0.0,-0.0,0.1,0.3,1.5,-2.25,0.08,123456.789012345,999999999.999999,1e0,1E+2,2e-3,-1.5e300]}",
        "{\"a\":[0.1234567890123456789,9007199254740993.5,5e-300,179769313486231570000000000000000.0]}",
};

static const char *const rare[] = {
        "[]",
        "[{}]",
        "{\"\\u0061\":1,\"\\\\\":2}",
        "{\"a\":\"\\ud83d\\udc04\\uDBFF\\uDFFF\\ud800\\udc00\"}",
        "{\"a\":1e-999}",
        "{\"a\":[9223372036854775807,-9223372036854775808]}",
};

static const char *const wrong[] = {
        "",
        " ",
        "7",
        "{",
        "{}{}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\\u0000\":1}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xe0\x9f\xbf\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "{\"a\":\"\xe2\x82\"}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":0x1}",
        "{\"a\":nul}",
        "{\"a\":nulls}",
        "{\"a\":NaN}",
        "\xef\xbb\xbf{}",
};

static void test_the_same_values(_unused_ void **state)
{
        FOREACH_ARRAY(text, ordinary, ELEMENTSOF(ordinary))
                if (!agree(*text, strlen(*text)))
                        fail_msg("%s is not taken", *text);
}

static void test_what_is_rare(_unused_ void **state)
{
        FOREACH_ARRAY(text, rare, ELEMENTSOF(rare))
                if (!agree(*text, strlen(*text)))
                        fail_msg("%s is not taken", *text);
}

static void test_what_is_wrong(_unused_ void **state)
{
        FOREACH_ARRAY(text, wrong, ELEMENTSOF(wrong))
                if (agree(*text, strlen(*text)))
                        fail_msg("%s is taken", *text);
        assert_false(agree("{}\0", 3));
        assert_false(agree("{\"a\0\":1}", 8));
}

/* Every text that is one byte away from one that is taken, and every beginning of one. */
static void test_one_byte_off(_unused_ void **state)
{
        static const char bytes[] = "\0 \t\"\\{}[]:,.-+0159aeEntfu\x1f\x7f\x80\xa0\xc3\xe0\xed\xf0\xff";

        FOREACH_ARRAY(text, ordinary, ELEMENTSOF(ordinary)) {
                size_t size = strlen(*text);
                char copy[256];

                assert_true(size < sizeof(copy));
                for (size_t i = 0; i < size; i++) {
                        memcpy(copy, *text, size);
                        (void)agree(copy, i);
                        FOREACH_ARRAY(byte, bytes, sizeof(bytes) - 1) {
                                copy[i] = *byte;
                                (void)agree(copy, size);
                        }
                }
        }
}

static void test_half_a_character(_unused_ void **state)
{
        static const struct {
                const char *text, *value;
                size_t n, first;
        } cases[] = {
                { "[\"\\ud83d\"]", "\xef\xbf\xbd", 1, 2 },
                { "[\"a\\uDC00b\"]",
                                "a\xef\xbf\xbd"
                                "b",
                                1, 3 },
                { "[\"\\ud83d\\ud83d\\udc04\"]", "\xef\xbf\xbd\xf0\x9f\x90\x84", 1, 2 },
                { "[\"\\udc04\\ud83d\"]", "\xef\xbf\xbd\xef\xbf\xbd", 2, 2 },
                { "[\"\\ud83d\\n\"]", "\xef\xbf\xbd\n", 1, 2 },
                { "[\"\\ud83d\\u0041\"]",
                                "\xef\xbf\xbd"
                                "A",
                                1, 2 },
                { "[\"\\ud83d\\udc04\"]", "\xf0\x9f\x90\x84", 0, 0 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                JsonFindings findings;
                json_auto_t *value = NULL;

                assert_int_equal(json_read(c->text, strlen(c->text), DEPTH, 0, &value, &findings), 0);
                assert_string_equal(json_string_value(json_array_get(value, 0)), c->value);
                assert_int_equal(findings.n_unpaired, c->n);
                assert_int_equal(findings.first_unpaired, c->first);
        }
}

static void test_numbers_keep_their_digits(_unused_ void **state)
{
        static const char *const numbers[] = { "1e400", "-1e400", "1E-400", "9223372036854775808",
                "-9223372036854775809", "18446744073709551617", "9007199254740993.0", "0.30000000000000004",
                "123456789012345678901234567890.5e-3", "3e-324", "1e99999999999999999999999" };

        FOREACH_ARRAY(number, numbers, ELEMENTSOF(numbers)) {
                _cleanup_buffer_ Buffer out = BUFFER_INIT(256), text = BUFFER_INIT(256);
                json_auto_t *value = NULL;

                assert_int_equal(buffer_append_f(&text, "{\"a\":[%s,%s]}", *number, *number), 0);
                value = read_text(text.data, text.size);
                assert_non_null(value);
                assert_int_equal(json_encode(value, &out), 0);
                assert_string_equal(buffer_text(&out), buffer_text(&text));
        }
}

static void test_ordinary_numbers_have_no_text(_unused_ void **state)
{
        static const char *const numbers[] = { "0", "-7", "9223372036854775807", "0.1", "123456789.12345",
                "1e5", "-1.5E-300", "0e999999999999999999999", "1.7976931348623e308" };

        FOREACH_ARRAY(number, numbers, ELEMENTSOF(numbers)) {
                json_auto_t *value = json_read_number(*number, strlen(*number));

                assert_non_null(value);
                assert_null(json_number_text(value));
        }
        assert_null(json_read_number("1x", 2));
        assert_null(json_read_number("01", 2));
        assert_null(json_read_number("", 0));
}

static void test_depth(_unused_ void **state)
{
        char text[256] = "";

        for (unsigned n = 1; n <= DEPTH + 1; n++) {
                json_t *value;

                snprintf(text, sizeof(text), "{\"a\":%.*s1%.*s}", (int)n - 1,
                                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                (int)n - 1,
                                "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
                value = read_text(text, strlen(text));
                assert_int_equal(value != NULL, n <= DEPTH);
                json_decref(value);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_same_values),
                cmocka_unit_test(test_what_is_rare),
                cmocka_unit_test(test_what_is_wrong),
                cmocka_unit_test(test_half_a_character),
                cmocka_unit_test(test_numbers_keep_their_digits),
                cmocka_unit_test(test_ordinary_numbers_have_no_text),
                cmocka_unit_test(test_one_byte_off),
                cmocka_unit_test(test_depth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
