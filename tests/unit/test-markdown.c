/* Markdown of anybody's, as the tree that the page is made of. */

#include "test.h"

#include <time.h>

#include "scalectl/view/markdown.h"

static char *parse(const char *text, size_t size)
{
        json_t *blocks = NULL;
        char *got;

        assert_int_equal(markdown_parse(text, size, &blocks), 0);
        got = json_dumps(blocks, JSON_COMPACT | JSON_ENCODE_ANY);
        assert_non_null(got);
        json_decref(blocks);
        return got;
}

static void expect(const char *text, const char *expected)
{
        char *got = parse(text, strlen(text));

        assert_string_equal(got, expected);
        free(got);
}

static void test_what_people_write(_unused_ void **state)
{
        expect("", "[]");
        expect("Big or *small*?", "[[\"p\",\"Big or \",[\"em\",\"small\"],\"?\"]]");
        expect("# Boxes\n\nDraw **one**\naround each `cow`.",
                        "[[\"h\",1,\"Boxes\"],[\"p\",\"Draw \",[\"strong\",\"one\"],[\"br\"],\"around each "
                        "\","
                        "[\"code\",\"cow\"],\".\"]]");
        expect("- a\n- b\n", "[[\"ul\",[\"li\",[\"p\",\"a\"]],[\"li\",[\"p\",\"b\"]]]]");
        expect("3. a\n", "[[\"ol\",3,[\"li\",[\"p\",\"a\"]]]]");
        expect("> quoted\n\n---\n\n    as it is",
                        "[[\"quote\",[\"p\",\"quoted\"]],[\"hr\"],[\"pre\",\"as it is\\n\"]]");
        expect("[here](https://example.com/x \"t\")",
                        "[[\"p\",[\"a\",\"https://example.com/x\",\"here\"]]]");
        expect("![a cow](https://example.com/c.png)",
                        "[[\"p\",[\"img\",\"https://example.com/c.png\",\"a cow\"]]]");
}

static void test_html_is_text(_unused_ void **state)
{
        expect("<script>alert(1)</script>", "[[\"p\",\"<script>alert(1)</script>\\n\"]]");
        expect("a <img src=x onerror=a()> b", "[[\"p\",\"a \",\"<img src=x onerror=a()>\",\" b\"]]");
        expect("[x](javascript:alert(1))", "[[\"p\",[\"a\",\"javascript:alert(1)\",\"x\"]]]");
}

static void test_what_is_no_text(_unused_ void **state)
{
        static const char bytes[] = "a\0b\xff\xc3 \xed\xa0\x80";
        json_t *blocks = NULL;
        char *got = parse(bytes, sizeof(bytes) - 1);

        assert_non_null(strstr(got, "\xef\xbf\xbd"));
        free(got);
        assert_int_equal(markdown_parse("", MARKDOWN_MAX + 1, &blocks), -E2BIG);
        assert_null(blocks);
}

static size_t depth_of(const json_t *value)
{
        size_t deepest = 0, i;
        json_t *inner;

        json_array_foreach((json_t *)value, i, inner)
                deepest = MAX(deepest, depth_of(inner));
        return deepest + 1;
}

/* Each as often as there is room: what made parsers take hours, or all the stack. */
static void test_hostile_is_bounded(_unused_ void **state)
{
        static const char *const pieces[] = { "[", "![", "](", "[]()", "[a](", "*a **a ", "a**b", "_a __a ",
                "> ", "- ", "* 1. ", "`a``b", "<", "<!--", "<?", "<![CDATA[", "&", "\\", "[a]: b\n", "[a",
                "*", "*_", "~~~\n", "#", "\t", "\n", "a\n-", "![[]()", "<a ", "http://a ", "||", "1) ",
                "    ", "\xc2\xa0", "[\\", "***_" };
        _cleanup_free_ char *text = malloc(MARKDOWN_MAX);

        assert_non_null(text);
        FOREACH_ARRAY(piece, pieces, ELEMENTSOF(pieces)) {
                clock_t start = clock();
                json_t *blocks = NULL;
                double seconds;

                for (size_t i = 0; i < MARKDOWN_MAX; i++)
                        text[i] = (*piece)[i % strlen(*piece)];
                assert_int_equal(markdown_parse(text, MARKDOWN_MAX, &blocks), 0);
                assert_true(depth_of(blocks) <=
                                MARKDOWN_DEPTH_MAX + 3); /* the array of blocks, ["code"], its text */
                json_decref(blocks);
                seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
                print_message("%-12.12s %.3f s\n", *piece, seconds);
                if (seconds > 10)
                        fail_msg("%s: expected a second at most, took %.1f", *piece, seconds);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_people_write),
                cmocka_unit_test(test_html_is_text),
                cmocka_unit_test(test_what_is_no_text),
                cmocka_unit_test(test_hostile_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
