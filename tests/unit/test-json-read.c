/* The quick reader makes the same values as jansson, and gives up where it isn't sure. */

#include "test.h"

#include <stdio.h>

#include "task/json-read.h"

#define DEPTH 64U

static json_t *load(const char *text, size_t size)
{
        return json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
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

/* True when the quick reader took the text. */
static bool agree(const char *text, size_t size)
{
        json_auto_t *quick = json_read_ordinary(text, size, DEPTH), *slow = load(text, size);

        if (quick && (!slow || !is_same(quick, slow)))
                fail_msg("%.*s is %s", (int)size, text, slow ? "another value" : "no JSON");
        return quick;
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

static const char *const unusual[] = {
        "",
        " ",
        "[]",
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
        "{\"\\u0061\":1}",
        "{\"a\":\"\\ud83d\\udc04\"}",
        "{\"a\":\"\\ud800\"}",
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
        "{\"a\":1e999}",
        "{\"a\":1e-999}",
        "{\"a\":9223372036854775807}",
        "{\"a\":99999999999999999999}",
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

static void test_what_it_leaves_to_jansson(_unused_ void **state)
{
        FOREACH_ARRAY(text, unusual, ELEMENTSOF(unusual))
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

static void test_depth(_unused_ void **state)
{
        char text[256] = "";

        for (unsigned n = 1; n <= DEPTH + 1; n++) {
                json_t *value;

                snprintf(text, sizeof(text), "{\"a\":%.*s1%.*s}", (int)n - 1,
                                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                (int)n - 1,
                                "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
                value = json_read_ordinary(text, strlen(text), DEPTH);
                assert_int_equal(value != NULL, n <= DEPTH);
                json_decref(value);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_same_values),
                cmocka_unit_test(test_what_it_leaves_to_jansson),
                cmocka_unit_test(test_one_byte_off),
                cmocka_unit_test(test_depth),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
