/* Options of verbs, and URLs that are put together. */

#include "test.h"

#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/help.h"

typedef struct Values {
        bool flag;
        const char *text;
        uint64_t number;
        int64_t time;
        OptionList list;
} Values;

static const Option options[] = {
        { "--flag", OPTION_FLAG, offsetof(Values, flag) },
        { "--text", OPTION_TEXT, offsetof(Values, text) },
        { "-n", OPTION_NUMBER, offsetof(Values, number) },
        { "--since", OPTION_TIME, offsetof(Values, time) },
        { "--list", OPTION_LIST, offsetof(Values, list) },
};

static const Verb verb = { .name = "test", .arguments = "..." };

/* Reads words that are separated by spaces. */
static int read_words(Ctl *ctl, const char *words, Values *v, char **argv, unsigned *ret_n)
{
        static char copy[256];
        char *rest = NULL;
        int argc = 0;

        strcpy(copy, words);
        argv[argc++] = copy;
        for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
                argv[argc++] = w;
        argv[0] = (char *)(uintptr_t) "test";
        ctl->verb = &verb;
        *v = (Values){};
        return options_read(ctl, options, ELEMENTSOF(options), v, argc, argv, 1, 2, ret_n);
}

static void test_anywhere(_unused_ void **state)
{
        Ctl ctl = {};
        char *argv[32];
        unsigned n;
        Values v;

        assert_int_equal(read_words(&ctl, "one --flag --text=a=b -n 7 two --list x --list y", &v, argv, &n),
                        0);
        assert_int_equal(n, 2);
        assert_string_equal(argv[1], "one");
        assert_string_equal(argv[2], "two");
        assert_true(v.flag);
        assert_string_equal(v.text, "a=b");
        assert_int_equal(v.number, 7);
        assert_int_equal(v.list.n, 2);
        assert_string_equal(v.list.items[1], "y");
}

static void test_global_ones_behind_the_verb(_unused_ void **state)
{
        Ctl ctl = {};
        char *argv[32];
        unsigned n;
        Values v;

        assert_int_equal(read_words(&ctl, "one --since 2016-06-23 --json --utc", &v, argv, &n), 0);
        assert_true(ctl.json && ctl.utc);
        assert_true(v.time == INT64_C(1466640000000000));
}

static void test_after_two_dashes_all_are_arguments(_unused_ void **state)
{
        Ctl ctl = {};
        char *argv[32];
        unsigned n;
        Values v;

        assert_int_equal(read_words(&ctl, "-- --flag -n", &v, argv, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(argv[1], "--flag");
        assert_false(v.flag);
}

static void test_refuses(_unused_ void **state)
{
        static const char *const cases[] = {
                "",
                "a b c",
                "a --nope",
                "a --flag=yes",
                "a --text",
                "a -n x",
                "a -n -1",
                "a --since soon",
                "a -x",
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                Ctl ctl = {};
                char *argv[32];
                unsigned n;
                Values v;

                if (read_words(&ctl, *c, &v, argv, &n) != EX_USAGE)
                        fail_msg("%s", *c);
        }
}

static void test_help_comes_before_all_else(_unused_ void **state)
{
        Ctl ctl = { .help = HELP_WORDS };
        char *argv[32];
        unsigned n;
        Values v;

        assert_int_equal(read_words(&ctl, "a b c --nope", &v, argv, &n), OPTIONS_HELPED);
}

static void test_words(_unused_ void **state)
{
        static const Option status = { "--status", OPTION_TEXT, 0 };
        static const Option type = { "--type", OPTION_TEXT, 0 };
        static const Option state_option = { "--state", OPTION_TEXT, 0 };
        _cleanup_free_ char *wanted = NULL, *states = NULL;

        assert_null(help_check_word(&verb, &status, "completed"));
        assert_null(help_check_word(&verb, &status, "error")); /* the last one */
        wanted = help_check_word(&verb, &status, "complete");
        assert_string_equal(wanted, "pending, completed, canceled, error");
        states = help_check_word(&verb, &state_option, "");
        assert_string_equal(states, "queued, sending, unknown, accepted, rejected, canceled, expired");
        assert_null(help_check_word(&verb, &type, "a type of tomorrow"));
}

static void test_urls(_unused_ void **state)
{
        ApiUrl u = api_url("/v1/task");

        api_url_segment(&u, "a/b ?\xc3\xa9");
        api_url_add(&u, "metadata.x y", "1&2=3");
        api_url_add(&u, "nothing", NULL);
        api_url_add_number(&u, "n", 7);
        api_url_add_time(&u, "t", 0);
        api_url_add_time(&u, "none", TIME_NONE);
        assert_int_equal(u.error, 0);
        assert_string_equal(buffer_text(&u.text), "/v1/task/a%2Fb%20%3F%C3%A9?metadata.x%20y=1%262%3D3&n=7"
                                                  "&t=1970-01-01T00%3A00%3A00.000Z");
        api_url_done(&u);
}

/* What is too long is no lack of memory. */
static void test_urls_that_are_too_long(_unused_ void **state)
{
        static char text[9000];
        ApiUrl u = api_url("/v1/task");

        memset(text, ' ', sizeof(text) - 1);
        api_url_segment(&u, text);
        assert_int_equal(u.error, -E2BIG);
        api_url_add_number(&u, "n", 7);
        assert_int_equal(u.error, -E2BIG);
        api_url_done(&u);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_anywhere),
                cmocka_unit_test(test_global_ones_behind_the_verb),
                cmocka_unit_test(test_after_two_dashes_all_are_arguments),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_help_comes_before_all_else),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_urls),
                cmocka_unit_test(test_urls_that_are_too_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
