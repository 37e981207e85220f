/* The spool: what goes in comes out, as often as one likes, and nothing of it is to be seen. */

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "scalectl/export/spool.h"

static void expect_line(Spool *s, const char *text, size_t size)
{
        const char *line;
        size_t n;

        assert_int_equal(spool_read(s, &line, &n), 1);
        assert_int_equal(n, size);
        assert_memory_equal(line, text, size);
}

static void test_again_and_again(_unused_ void **state)
{
        _cleanup_(spool_done) Spool s = {};
        const char *line;
        size_t n;

        assert_int_equal(spool_open(&s), 0);
        assert_int_equal(spool_write(&s, "one", 3), 0);
        assert_int_equal(spool_write(&s, "", 0), 0);
        assert_int_equal(spool_write(&s, "t\0o and more", 3), 0);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(spool_rewind(&s), 0);
                expect_line(&s, "one", 3);
                expect_line(&s, "", 0);
                expect_line(&s, "t\0o", 3);
                assert_int_equal(spool_read(&s, &line, &n), 0);
        }
}

static void test_has_no_name(_unused_ void **state)
{
        char dir[] = "/tmp/test-spool-XXXXXX";
        _cleanup_(spool_done) Spool s = {};
        unsigned found = 0;
        DIR *d;

        assert_non_null(mkdtemp(dir));
        assert_int_equal(setenv("TMPDIR", dir, 1), 0);
        assert_string_equal(spool_folder(), dir);
        assert_int_equal(spool_open(&s), 0);
        assert_int_equal(spool_write(&s, "one", 3), 0);
        d = opendir(dir);
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                found += e->d_name[0] != '.';
        closedir(d);
        assert_int_equal(found, 0);
        assert_int_equal(rmdir(dir), 0);
        unsetenv("TMPDIR");
}

static void test_folder_that_is_not_there(_unused_ void **state)
{
        Spool s = {};

        assert_int_equal(setenv("TMPDIR", "/none/of/this", 1), 0);
        assert_int_equal(spool_open(&s), -ENOENT);
        assert_int_equal(setenv("TMPDIR", "relative", 1), 0);
        assert_string_equal(spool_folder(), "/var/tmp");
        unsetenv("TMPDIR");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_again_and_again),
                cmocka_unit_test(test_has_no_name),
                cmocka_unit_test(test_folder_that_is_not_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
