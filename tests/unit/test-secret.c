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

/* Whether the page of an address is mapped, and whether the kernel leaves it out of core dumps. */
static bool is_mapped(uintptr_t address, bool *ret_left_out)
{
        bool inside = false, found = false, left_out = false;
        FILE *f = fopen("/proc/self/smaps", "re");
        unsigned long from, to;
        char line[1024];

        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
                        inside = address >= from && address < to;
                        found = found || inside;
                } else if (inside && strncmp(line, "VmFlags:", strlen("VmFlags:")) == 0)
                        left_out = strstr(line, " dd ") != NULL;
        fclose(f);
        *ret_left_out = left_out;
        return found;
}

static void test_kept_out_of_dumps_and_gone_when_let_go(_unused_ void **state)
{
        bool left_out;
        uintptr_t p;
        Secret *s;

        assert_int_equal(secret_new("hunter2", strlen("hunter2"), &s), 0);
        p = (uintptr_t)secret_data(s);
        assert_true(is_mapped(p, &left_out));
        assert_true(left_out);
        assert_true(is_mapped((uintptr_t)&left_out, &left_out));
        assert_false(left_out);
        assert_null(secret_free(s));
        assert_false(is_mapped(p, &left_out));
}

static void test_new_copies(_unused_ void **state)
{
        _cleanup_(secret_freep) Secret *s = NULL;
        char text[] = "a\0b";

        assert_int_equal(secret_new(text, 3, &s), 0);
        memset(text, 'x', sizeof(text));
        assert_int_equal(secret_size(s), 3);
        assert_memory_equal(secret_data(s), "a\0b", 4);
        assert_null(secret_free(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads),
                cmocka_unit_test(test_refuses_what_others_can_reach),
                cmocka_unit_test(test_refuses_what_is_no_small_file),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_new_copies),
                cmocka_unit_test(test_kept_out_of_dumps_and_gone_when_let_go),
        };

        if (secrets_init() < 0)
                return 1;
        secrets_exit(); /* LeakSanitizer has to be able to attach */
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
