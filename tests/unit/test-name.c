/* Names of files that are made of what others wrote. */

#include "test.h"

#include "export/name.h"

static void test_urls(_unused_ void **state)
{
        static const struct {
                const char *url, *name;
        } cases[] = {
                { "http://www.example.com/cows.jpg", "cows.jpg" },
                { "http://www.example.com/a/b/my%20cow.jpg?size=1/2#top", "my cow.jpg" },
                { "http://www.example.com/K%C3%BChe.jpg", "K\xc3\xbche.jpg" },
                { "http://www.example.com/a%2F..%2f..%2Fetc%2Fpasswd", "a_.._.._etc_passwd" },
                { "http://www.example.com/..", "_" },
                { "http://www.example.com/%2e%2e", "_" },
                { "http://www.example.com/.bashrc", "_bashrc" },
                { "http://www.example.com/-rf.jpg", "_rf.jpg" },
                { "http://www.example.com/a%00b%0a%1b.jpg", "a_b__.jpg" },
                { "http://www.example.com/%ff%c3.jpg", "__.jpg" },
                { "http://www.example.com/100%.jpg", "100%.jpg" },
                { "http://www.example.com/%zz.jpg", "%zz.jpg" },
                { "http://www.example.com/c:\\con|.jpg.", "c__con_.jpg" },
                { "http://www.example.com/", "the id" },
                { "http://www.example.com", "the id" },
                { "http://www.example.com/?a.jpg", "the id" },
                { "", "the id" },
                { "plain.wav", "plain.wav" },
        };
        char buf[NAME_SIZE];

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                assert_string_equal(name_of_url(c->url, "the id", buf), c->name);
        assert_string_equal(
                        name_of_url("http://www.example.com/", "../../etc/passwd", buf), "_._.._etc_passwd");
        assert_string_equal(name_of_url("http://www.example.com/", "", buf), "_");
}

static void test_long_names_keep_their_extension(_unused_ void **state)
{
        char url[4 * NAME_SIZE], id[256], buf[NAME_SIZE];

        memset(url, 'x', sizeof(url));
        strcpy(url + sizeof(url) - 5, ".jpg");
        assert_string_equal(name_of_url(url, "id", buf) + strlen(buf) - 5, "x.jpg");

        /* Not in the middle of a character. */
        for (size_t i = 0; i + 2 < sizeof(url); i += 2)
                memcpy(url + i, "\xc3\xbc", 2);
        strcpy(url + sizeof(url) - 6, ".jpg");
        (void)name_of_url(url, "id", buf);
        assert_int_equal((uint8_t)buf[name_stem(buf) - 1], 0xbc);

        memset(id, 'i', sizeof(id));
        id[sizeof(id) - 1] = 0;
        assert_true(strlen(name_of_text(id, buf)) <= NAME_ID_MAX);
}

/* The longest there can be, in each way that a name is made, and not a byte behind it. */
static void test_no_name_is_longer_than_its_buffer(_unused_ void **state)
{
        struct {
                char name[NAME_SIZE], behind;
        } b = { .behind = '#' };
        char text[4 * NAME_SIZE];

        for (size_t n = 1; n < sizeof(text); n++) {
                memset(text, 'x', n);
                text[n] = 0;
                if (n > 9)
                        text[n - 8] = '.';
                assert_true(strlen(name_of_url(text, "id", b.name)) < NAME_SIZE);
                assert_true(strlen(name_of_text(text, b.name)) < NAME_SIZE);
                assert_int_equal(b.behind, '#');
        }
        assert_int_equal(strlen(name_of_url(text, "id", b.name)), NAME_SIZE - 1);
}

static void test_stems(_unused_ void **state)
{
        assert_int_equal(name_stem("cows.jpg"), 4);
        assert_int_equal(name_stem("cows.tar.gz"), 8);
        assert_int_equal(name_stem("cows"), 4);
        assert_int_equal(name_stem("cows.averylongone"), 17);
        assert_int_equal(name_stem("_"), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_urls),
                cmocka_unit_test(test_long_names_keep_their_extension),
                cmocka_unit_test(test_no_name_is_longer_than_its_buffer),
                cmocka_unit_test(test_stems),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
