/* Files of keys, and what opens the door. */

#include "test-file.h"

#include "basic/secret.h"
#include "callbackd/auth.h"
#include "daemon/credential.h"

static const char *match(const Keys *k, const char *value)
{
        return keys_match(k, value, strlen(value));
}

static void test_match(_unused_ void **state)
{
        _cleanup_(keys_freep) Keys *k = NULL;
        char *error = NULL, longest[KEY_SIZE_MAX + 2];

        write_file("# two keys\nlive  abc123\r\n\n\t test\tdef456  \nlive-old x", 0600);
        assert_int_equal(keys_load(path, path, &k, &error), 0);
        assert_int_equal(keys_count(k), 3);
        assert_string_equal(keys_label(k, 1), "test");

        assert_string_equal(match(k, "abc123"), "live");
        assert_string_equal(match(k, "def456"), "test");
        assert_string_equal(match(k, "x"), "live-old");
        assert_null(match(k, ""));
        assert_null(match(k, "abc12"));
        assert_null(match(k, "abc1234"));
        assert_null(match(k, "ABC123"));
        assert_null(match(k, "live"));
        assert_null(match(k, " abc123"));
        memset(longest, 'a', sizeof(longest));
        longest[sizeof(longest) - 1] = 0;
        assert_null(match(k, longest));
}

static void test_mistakes_are_named_and_not_quoted(_unused_ void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "", ": there is no key in it: expected a line `label key`" },
                { "# live SECRET\n", ": there is no key in it: expected a line `label key`" },
                { "live a\nSECRET\n", ", line 2: expected a label and a key, separated by a space, as in "
                                      "`live 0123abcd`" },
                { "live SECRET and more\n", ", line 1: expected a label and a key, separated by a space, "
                                            "as in `live 0123abcd`" },
                { "l\xc3\xadve SECRET\n", ", line 1: a label is up to 32 letters, digits, dots, underscores "
                                          "and dashes" },
                { "live SECR\xc3\x8aT\n",
                                ", line 1: a key is up to 512 printable ASCII characters without spaces" },
                { "live SECRET\nlive b\n", ", line 2: this label stands for another key already" },
                { "live SECRET\ntest SECRET\n",
                                ", line 2: this key stands here already, with another label" },
                { "a 1\nb 2\nc 3\nd 4\ne 5\nf 6\ng 7\nh 8\ni 9\nj 10\nk 11\nl 12\nm 13\nn 14\no 15\np 16\nq "
                  "SECRET\n",
                                ", line 17: there can be 16 keys at most" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *error = NULL, *expected = NULL;
                Keys *k = NULL;

                write_file(c->text, 0600);
                assert_int_equal(keys_load(path, path, &k, &error), -EINVAL);
                assert_true(asprintf(&expected, "%s%s", path, c->says) > 0);
                assert_string_equal(error, expected);
                assert_null(strstr(error, "SECR"));
                assert_null(k);
        }
}

static void test_a_file_that_others_can_read(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL;
        Keys *k = NULL;

        write_file("live abc\n", 0644);
        assert_int_equal(keys_load(path, path, &k, &error), -EPERM);
        assert_non_null(strstr(error, "others can read"));
}

static void test_all_mistakes_of_a_file(_unused_ void **state)
{
        _cleanup_free_ char *error = NULL;
        Keys *k = NULL;

        write_file("live\nlive a\nlive b\nl/ve c\n", 0600);
        assert_int_equal(keys_load(path, "/etc/keys", &k, &error), -EINVAL);
        assert_string_equal(error,
                        "/etc/keys, line 1: expected a label and a key, separated by a space, as in `live "
                        "0123abcd`\n"
                        "/etc/keys, line 3: this label stands for another key already\n"
                        "/etc/keys, line 4: a label is up to 32 letters, digits, dots, underscores and "
                        "dashes");
}

static void locate(const char *configured, const char *expected)
{
        static const Credential credential = { "callback-auth-keys", "no key" };
        _cleanup_(credential_place_done) CredentialPlace place = {};
        _cleanup_free_ char *mistakes = NULL;
        int r;

        r = credential_locate(&credential, configured, &place, &mistakes);
        assert_int_equal(r, expected ? 0 : -ENOENT);
        if (expected)
                assert_string_equal(place.path, expected);
        else
                assert_string_equal(mistakes, "no key");
}

static void test_locate(_unused_ void **state)
{
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        locate(NULL, NULL);
        locate("/etc/keys", "/etc/keys");

        /* The credential comes first, where there is one. */
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
        locate("/etc/keys", "/etc/keys");
        snprintf(path, sizeof(path), "%s/callback-auth-keys", dir);
        write_file("live abc\n", 0600);
        locate("/etc/keys", path);

        /* What a reload put into the runtime directory is newer. */
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1), 0);
        assert_int_equal(setenv("RUNTIME_DIRECTORY", dir, 1), 0);
        locate("/etc/keys", path);
        assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
        unlink(path);
        snprintf(path, sizeof(path), "%s/keys", dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_match),
                cmocka_unit_test(test_mistakes_are_named_and_not_quoted),
                cmocka_unit_test(test_a_file_that_others_can_read),
                cmocka_unit_test(test_all_mistakes_of_a_file),
                cmocka_unit_test(test_locate),
        };

        if (secrets_init() < 0)
                return 1;
        secrets_exit(); /* LeakSanitizer has to be able to attach */
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
