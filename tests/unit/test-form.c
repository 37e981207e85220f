/* Forms as they are written in the wild. */

#include "test.h"

#include "basic/form.h"

static void test_split(_unused_ void **state)
{
        static const struct {
                const char *text;
                size_t n;
                const char *pairs[8];
        } cases[] = {
                { "", 0, {} },
                { "a=1", 1, { "a", "1" } },
                { "a=1&a=2", 2, { "a", "1", "a", "2" } },
                { "a", 1, { "a", "" } },
                { "a=", 1, { "a", "" } },
                { "=x", 1, { "", "x" } },
                { "a=b=c", 1, { "a", "b=c" } },
                { "&&a=1&", 1, { "a", "1" } },
                { "q=a+b%20c%2Bd", 1, { "q", "a b c+d" } },
                { "fields%5Btitle%5D=x", 1, { "fields[title]", "x" } },
                { "u=http://x/?a:*[]\xc3\xa9", 1, { "u", "http://x/?a:*[]\xc3\xa9" } },
                { "bad=%zz%4&c=%41", 2, { "bad", "%zz%4", "c", "A" } },
                { "a=%", 1, { "a", "%" } },
                { "a%00b=1", 1, { "a%00b", "1" } },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                char text[128];
                FormPair pairs[4];
                size_t n = 99;

                strcpy(text, c->text);
                assert_int_equal(form_split(text, pairs, ELEMENTSOF(pairs), &n), 0);
                assert_int_equal(n, c->n);
                for (size_t i = 0; i < n; i++) {
                        assert_string_equal(pairs[i].name, c->pairs[2 * i]);
                        assert_string_equal(pairs[i].value, c->pairs[2 * i + 1]);
                        assert_int_equal(pairs[i].value_size, strlen(pairs[i].value));
                }
        }
}

static void test_nul_in_a_value(_unused_ void **state)
{
        char text[] = "a=x%00y";
        FormPair pair;
        size_t n;

        assert_int_equal(form_split(text, &pair, 1, &n), 0);
        assert_int_equal(pair.value_size, 3);
        assert_memory_equal(pair.value, "x\0y", 3);
}

static void test_too_many(_unused_ void **state)
{
        char text[] = "a=1&b=2&c=3";
        FormPair pairs[2];
        size_t n = 0;

        assert_int_equal(form_split(text, pairs, ELEMENTSOF(pairs), &n), -E2BIG);
}

static void test_plus_in_a_path_is_a_plus(_unused_ void **state)
{
        char text[] = "a+b%2Fc";

        assert_int_equal(form_decode(text, false), 5);
        assert_string_equal(text, "a+b/c");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_split),
                cmocka_unit_test(test_nul_in_a_value),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_plus_in_a_path_is_a_plus),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
