/* Texts of an array, looked up in a set of them. */

#include "test.h"

#include "task/text-set.h"

static void expect(const TextSet *s, const char *text, size_t size, bool wanted)
{
        json_auto_t *value = json_stringn(text, size);

        assert_int_equal(text_set_has(s, value), wanted);
        assert_int_equal(text_is_in(s->array, value), wanted);
}

static void test_texts_are_found_whole(_unused_ void **state)
{
        json_auto_t *array = json_pack("[s, s, s#, i, [], n]", "a", "", "a\0b", (size_t)3, 5);
        json_auto_t *number = json_integer(5);
        _cleanup_(text_set_done) TextSet s = {};

        assert_non_null(array);
        assert_int_equal(text_set_init_full(&s, array), 0);
        expect(&s, "a", 1, true);
        expect(&s, "", 0, true);
        expect(&s, "a\0b", 3, true);
        expect(&s, "a\0c", 3, false);
        expect(&s, "b", 1, false);
        expect(&s, "5", 1, false);
        assert_false(text_set_has(&s, number));
}

static void test_a_text_is_taken_in_once(_unused_ void **state)
{
        json_auto_t *array = json_pack("[s, s, i, i, s]", "a", "b", 1, 1, "a");
        _cleanup_(text_set_done) TextSet s = {};

        assert_int_equal(text_set_init(&s, array), 0);
        assert_true(text_set_add(&s, 0));
        assert_true(text_set_add(&s, 1));
        assert_false(text_set_add(&s, 2));
        assert_false(text_set_add(&s, 3));
        assert_false(text_set_add(&s, 4));
}

static void test_many(_unused_ void **state)
{
        json_auto_t *array = json_array();
        _cleanup_(text_set_done) TextSet s = {};
        char text[32];

        for (int i = 0; i < 100000; i++)
                assert_int_equal(json_array_append_new(array, json_sprintf("text %d", i / 2)), 0);
        assert_int_equal(text_set_init(&s, array), 0);
        for (size_t i = 0; i < 100000; i++)
                assert_int_equal(text_set_add(&s, i), i % 2 == 0);
        for (int i = 0; i < 60000; i++) {
                json_auto_t *value = json_string((snprintf(text, sizeof(text), "text %d", i), text));

                assert_int_equal(text_set_has(&s, value), i < 50000);
        }
}

static void test_no_list_has_nothing(_unused_ void **state)
{
        json_auto_t *object = json_object(), *empty = json_array();
        const json_t *const lists[] = { NULL, object, empty };

        FOREACH_ARRAY(list, lists, ELEMENTSOF(lists)) {
                TextSet s = {};

                assert_int_equal(text_set_init_full(&s, *list), 0);
                expect(&s, "a", 1, false);
                text_set_done(&s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_texts_are_found_whole),
                cmocka_unit_test(test_a_text_is_taken_in_once),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_no_list_has_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
