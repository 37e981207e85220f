/* Classes: numbers that stay. */

#include "test.h"

#include <stdio.h>

#include "export/classes.h"

static void add_all(Classes *c, const char *const *names)
{
        for (; *names; names++)
                assert_int_equal(classes_add(c, *names), 0);
}

static uint32_t number_of(const Classes *c, const char *name)
{
        return classes_find(c, name)->number;
}

static void test_numbers_by_name_do_not_shift(_unused_ void **state)
{
        const char *const few[] = { "cow", "dog", NULL }, *const more[] = { "ant", "dog", "cow", "bee",
                NULL };
        _cleanup_(classes_done) Classes a = {}, b = {};

        add_all(&a, few);
        add_all(&b, more);
        assert_int_equal(classes_number_by_name(&a), 0);
        assert_int_equal(classes_number_by_name(&b), 0);
        assert_int_equal(number_of(&a, "cow"), number_of(&b, "cow"));
        assert_int_equal(number_of(&a, "dog"), number_of(&b, "dog"));
        assert_int_not_equal(number_of(&b, "ant"), number_of(&b, "bee"));
        /* The same in every version: these are in people's files. */
        assert_int_equal(number_of(&a, "cow"), 899691571);
        assert_int_equal(number_of(&a, "dog"), 1769241855);
}

static void test_a_list_keeps_its_numbers(_unused_ void **state)
{
        const char *const names[] = { "ant", "dog", "cow", "bee", NULL };
        _cleanup_(classes_done) Classes c = {};
        _cleanup_free_ const Class **sorted = NULL;

        assert_int_equal(classes_add_listed(&c, "dog", 3), 0);
        assert_int_equal(classes_add_listed(&c, "cow and more", 3), 0);
        assert_int_equal(classes_add_listed(&c, "dog", 3), -EINVAL);
        assert_int_equal(classes_add_listed(&c, "", 0), -EINVAL);
        assert_int_equal(classes_add_listed(&c, "a\0b", 3), -EINVAL);
        add_all(&c, names);
        classes_number(&c);
        assert_int_equal(number_of(&c, "dog"), 0);
        assert_int_equal(number_of(&c, "cow"), 1);
        assert_int_equal(number_of(&c, "ant"), 2);
        assert_int_equal(number_of(&c, "bee"), 3);
        assert_int_equal(classes_by_number(&c, &sorted), 0);
        assert_string_equal(sorted[2]->name, "ant");
        assert_int_equal(c.n_listed, 2);
}

static void test_bounds(_unused_ void **state)
{
        _cleanup_(classes_done) Classes c = {};
        char name[CLASS_NAME_MAX + 2];

        memset(name, 'x', sizeof(name));
        name[sizeof(name) - 1] = 0;
        assert_int_equal(classes_add(&c, name), -EMSGSIZE);
        name[CLASS_NAME_MAX] = 0;
        assert_int_equal(classes_add(&c, name), 0);
        for (unsigned i = 1; i < CLASSES_MAX; i++) {
                snprintf(name, sizeof(name), "%05u", i);
                assert_int_equal(classes_add(&c, name), 0);
        }
        assert_int_equal(classes_add(&c, "one more"), -E2BIG);
        assert_int_equal(classes_add(&c, "00001"), 0); /* it is there */
}

/* These two share a number of 31 bits; that is noticed, not hidden. */
static void test_a_collision_is_noticed(_unused_ void **state)
{
        const char *const names[] = { "class 70857", "cow", "class 83635", "dog", NULL };
        _cleanup_(classes_done) Classes c = {};

        add_all(&c, names);
        assert_int_equal(classes_number_by_name(&c), -EEXIST);
        assert_int_equal(strncmp(c.items[c.collision[0]].name, "class ", 6), 0);
        assert_int_equal(strncmp(c.items[c.collision[1]].name, "class ", 6), 0);
        assert_int_not_equal(c.collision[0], c.collision[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_by_name_do_not_shift),
                cmocka_unit_test(test_a_list_keeps_its_numbers),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_a_collision_is_noticed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
