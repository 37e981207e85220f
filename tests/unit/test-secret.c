/* Secrets from files: who may read them, and how large they may be. */

#include "test-file.h"

#include "basic/secret.h"

static void test_reads(_unused_ void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;

        write_file("hunter2\n", 0640);
        assert_int_equal(secret_read_file(path, 100, &s), 0);
        assert_int_equal(secret_size(s), 8);
        assert_string_equal(secret_data(s), "hunter2\n");
}

static void test_refuses_what_others_can_reach(_unused_ void **state)
{
        static const mode_t modes[] = { 0604, 0602, 0606, 0644 };
        Secret *s = NULL;

        FOREACH_ARRAY(m, modes, ELEMENTSOF(modes)) {
                write_file("x", *m);
                assert_int_equal(secret_read_file(path, 100, &s), -EPERM);
        }
        assert_null(s);
}

static void test_refuses_what_is_no_small_file(_unused_ void **state)
{
        Secret *s = NULL;

        write_file("0123456789", 0600);
        assert_int_equal(secret_read_file(path, 9, &s), -EFBIG);
        assert_int_equal(secret_read_file(dir, 100, &s), -EINVAL);
        assert_int_equal(secret_read_file("/nonexistent/key", 100, &s), -ENOENT);
        assert_null(s);
}

static void test_empty(_unused_ void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;

        write_file("", 0600);
        assert_int_equal(secret_read_file(path, 100, &s), 0);
        assert_int_equal(secret_size(s), 0);
        assert_string_equal(secret_data(s), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads),
                cmocka_unit_test(test_refuses_what_others_can_reach),
                cmocka_unit_test(test_refuses_what_is_no_small_file),
                cmocka_unit_test(test_empty),
        };

        if (secrets_init() < 0)
                return 1;
        secrets_exit(); /* LeakSanitizer has to be able to attach */
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
