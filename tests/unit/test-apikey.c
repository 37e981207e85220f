/* The API key: what is taken, and what messages say and don't. */

#include "test-file.h"

#include <sysexits.h>

#include "submitd/api/key.h"

static void test_taken(_unused_ void **state)
{
        static const struct {
                const char *text, *key;
                bool is_test;
        } cases[] = {
                { "live_0123\n", "live_0123", false },
                { "live_0123\r\n", "live_0123", false },
                { "test_abc", "test_abc", true },
                { "testing-1\n", "testing-1", true },
                { "live", "live", false },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                ApiKey k = {};
                char *error = NULL;

                write_file(c->text, 0600);
                assert_int_equal(api_key_read(path, path, &k, &error), 0);
                assert_int_equal(secret_size(k.secret), strlen(c->key));
                assert_string_equal(secret_data(k.secret), c->key);
                assert_int_equal(k.is_test, c->is_test);
                api_key_done(&k);
                assert_null(k.secret);
        }
}

static void test_mistakes_are_named_and_not_quoted(_unused_ void **state)
{
        static const char form[] = "printable ASCII", kind[] = "begins with live or test";
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "", "there is no API key in it" },
                { "\n", "there is no API key in it" },
                { "SECRET\n", kind },
                { "Live_SECRET\n", kind },
                { "liv\n", kind },
                { " live_SECRET\n", form },
                { "live_SECRET \n", form },
                { "live SECRET\n", form },
                { "live_SECRET\nlive_SECRET2\n", form },
                { "live_SECRET\n\n", form },
                { "live_SECRET:\n", form },
                { "live_SECRET\xc3\xa4\n", form },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *error = NULL;
                ApiKey k = {};

                write_file(c->text, 0600);
                assert_int_equal(api_key_read(path, path, &k, &error), -EINVAL);
                assert_non_null(strstr(error, path));
                if (!strstr(error, c->says))
                        fail_msg("%s: %s", c->text, error);
                assert_null(strstr(error, "SECRET"));
                assert_null(k.secret);
        }
}

static void test_files_that_are_refused(_unused_ void **state)
{
        char long_key[API_KEY_MAX + 10], *error = NULL;
        ApiKey k = {};

        write_file("live_x\n", 0644);
        assert_int_equal(api_key_read(path, path, &k, &error), -EPERM);
        assert_non_null(strstr(error, "others can read"));
        free(error);
        error = NULL;

        memset(long_key, 'x', sizeof(long_key));
        memcpy(long_key, "live", 4);
        long_key[API_KEY_MAX + 1] = 0;
        write_file(long_key, 0600);
        assert_int_equal(api_key_read(path, path, &k, &error), -EINVAL);
        assert_non_null(strstr(error, "longer than 512"));
        free(error);
        error = NULL;
        long_key[API_KEY_MAX] = 0;
        write_file(long_key, 0600);
        assert_int_equal(api_key_read(path, path, &k, &error), 0);
        api_key_done(&k);

        assert_int_equal(api_key_read(dir, dir, &k, &error), -EINVAL);
        free(error);
        error = NULL;
        assert_int_equal(api_key_read("/nonexistent/key", "/nonexistent/key", &k, &error), -ENOENT);
        free(error);
        error = NULL;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_taken),
                cmocka_unit_test(test_mistakes_are_named_and_not_quoted),
                cmocka_unit_test(test_files_that_are_refused),
        };

        if (secrets_init() < 0)
                return 1;
        secrets_exit(); /* LeakSanitizer has to be able to attach */
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
